"""Choosing scales and measuring rows: choices see calibration, results see test once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.augment.geometry import RandomCrop
from genviews.ensemble.choose import Chosen, choose_combined, group_candidates, methods
from genviews.ensemble.combine import Method, adjust, evaluate, ranked, score
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.significance import gain_report, holm
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble, alpha_grid, pixel_average
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix

SINGLE = Method(name="single image", group="image")
LATENT = Method(name="isotropic fine", group="latent", views=("fine",), weighing="alpha")
PIXEL = Method(name="crop", group="pixel", views=("crop",), weighing="equal")
PLAIN = Method(name="reconstruction only", group="latent", views=("reconstruction",))
COMBINED = Method(
    name="combined", group="combined", views=("both",), weighing="alpha", image_views=("crop",)
)
KEYS = {"fine": 5, "crop": 3, "both": 4}


def test_scale_with_the_best_calibration_accuracy_wins(make_bank):
    bank = make_bank(keys={"a": 4, "b": 4, "c": 4})
    good = bank.logits["b"] + 3 * torch.nn.functional.one_hot(bank.labels, 3)[:, None]
    bank = replace(bank, logits={**bank.logits, "b": good})
    found = ranked(bank, ["a", "b", "c"])
    fitted = {key: Ensemble(key).fit(bank) for key in "abc"}
    assert found[0].views == ("b",)
    assert {e.views[0]: e.alpha_ for e in found} == {key: fitted[key].alpha_ for key in "abc"}
    accuracies = [e.accuracy_ for e in found]
    assert accuracies == sorted((fitted[key].accuracy_ for key in "abc"), reverse=True)


def test_ties_take_the_mildest_scale(make_bank):
    bank = make_bank(keys={"a": 4})
    bank = replace(bank, logits={**bank.logits, "b": bank.logits["a"]})
    assert ranked(bank, ["a", "b"])[0].views == ("a",)
    assert ranked(bank, ["b", "a"])[0].views == ("b",)


def test_choices_refuse_the_test_split(make_bank):
    test = make_bank(split="test", keys=KEYS)
    with pytest.raises(ValueError, match="got 'test'"):
        ranked(test, ["fine"])
    for method in (SINGLE, PIXEL, LATENT):
        with pytest.raises(ValueError, match="got 'test'"):
            score(method, test)
    with pytest.raises(ValueError, match="got 'test'"):
        evaluate(LATENT, test, test, task="images")
    with pytest.raises(ValueError, match="at least one key"):
        ranked(make_bank(), [])


@pytest.mark.parametrize("merge", ["mean", "gmean", "max"])
@pytest.mark.parametrize("method", [SINGLE, PIXEL, PLAIN, LATENT, COMBINED])
def test_rows(make_bank, method, merge):
    calibration = make_bank(keys=KEYS)
    test = make_bank(keys=KEYS, split="test", seed=5, number=60)
    single = evaluate(SINGLE, calibration, test, task="images", rule=EnsembleRule(merge=merge))
    found = evaluate(
        method,
        calibration,
        test,
        task="views",
        baseline=single.correct,
        reference=single.correct,
        rule=EnsembleRule(merge=merge),
    )
    row = found.row
    fitted = {
        "isotropic fine": Ensemble("fine", rule=EnsembleRule(merge=merge)),
        "combined": Ensemble("both", image_views="crop", rule=EnsembleRule(merge=merge)),
    }.get(method.name)
    if fitted is not None:
        fitted.fit(calibration)
        proba = fitted.predict_proba(test)
        best = int(fitted.curve(test).argmax())
        assert row.oracle_alpha == alpha_grid()[best]
        assert row.oracle_accuracy == fitted.curve(test)[best]
        assert row.calibration_accuracy == fitted.accuracy_
        assert found.curve.calibration == tuple(fitted.curve_.tolist())
        assert found.curve.test == tuple(fitted.curve(test).tolist())
        assert (found.curve.row, found.curve.task) == (method.name, "views")
    else:
        key = "reconstruction" if method is PLAIN else "image"
        proba = test.probs(key)[:, 0]
        if method is PIXEL:
            proba = pixel_average(test, "crop", merge)
        assert (row.alpha, row.oracle_alpha, row.oracle_accuracy) == (None, None, None)
        assert found.curve is None
    torch.testing.assert_close(found.proba, proba)
    correct = proba.argmax(1) == test.labels
    assert torch.equal(found.correct, correct)
    expected = gain_report(correct, single.correct)
    for name in ("accuracy", "interval", "gain", "gain_interval", "fixed", "broke", "p_value"):
        assert getattr(row, name) == getattr(expected, name)
    assert row.reference_gain == expected.gain
    assert row.reference_p_value == expected.p_value
    count = {"crop": 3, "isotropic fine": 6, "combined": 3 + 5, "reconstruction only": 1}
    assert row.num_views == count.get(method.name, 0)
    assert row.views == (*method.image_views, *method.views)


def test_the_baseline_row_gains_nothing(make_bank):
    row = evaluate(SINGLE, make_bank(), make_bank(split="test"), task="images").row
    assert (row.gain, row.fixed, row.broke) == (0, 0, 0)
    assert (row.p_value, row.reference_gain, row.reference_gain_interval) == (1.0, None, None)


def test_permuted_test_labels_change_no_choice(make_bank):
    calibration = make_bank(keys=KEYS)
    test = make_bank(keys=KEYS, split="test", seed=5)
    turned = replace(test, labels=test.labels.flip(0))
    one, other = (evaluate(LATENT, calibration, t, task="x") for t in (test, turned))
    assert one.row.alpha == other.row.alpha
    assert one.row.calibration_accuracy == other.row.calibration_accuracy
    assert torch.equal(one.proba, other.proba)
    assert one.row.accuracy != other.row.accuracy


def test_holm_counts_the_rows_with_a_baseline(make_bank):
    calibration, test = make_bank(keys=KEYS), make_bank(keys=KEYS, split="test", seed=5)
    single = evaluate(SINGLE, calibration, test, task="x")
    rows = [single.row] + [
        evaluate(m, calibration, test, task="x", baseline=single.correct).row
        for m in (PIXEL, LATENT, COMBINED)
    ]
    rows = [replace(row, p_value=p) for row, p in zip(rows, (1.0, 0.04, 0.01, 0.03), strict=True)]
    adjusted = adjust(rows)
    assert [row.p_holm for row in adjusted] == [1.0, *holm([0.04, 0.01, 0.03])]


def test_candidates_compete_within_kind_and_layers():
    candidates = [
        Isotropic("fine", 0.1),
        Isotropic("coarse", 0.1),
        Isotropic("fine", 0.2),
        StyleMix("fine"),
    ]
    groups = group_candidates(candidates)
    assert list(groups) == ["isotropic fine", "isotropic coarse", "stylemix fine"]
    assert groups["isotropic fine"] == (candidates[0], candidates[2])
    with pytest.raises(ValueError, match="list each once"):
        group_candidates([Isotropic("fine", 0.1), Isotropic("fine", 0.1)])


def test_combined_takes_the_best_of_both_kinds(make_bank):
    coarse, fine = StyleMix("coarse"), StyleMix("fine")
    flip, crop = ViewSet(pixels=RandomCrop(1)), ViewSet(pixels=_named("wide"))
    bank = make_bank(keys={coarse.name: 3, fine.name: 3, "crop": 3, "wide": 3})
    better = {
        key: bank.logits[key] + 3 * torch.nn.functional.one_hot(bank.labels, 3)[:, None]
        for key in (fine.name, "wide")
    }
    bank = replace(bank, logits={**bank.logits, **better})
    chosen = Chosen(
        pixels=(flip, crop),
        latents={"c": ViewSet(perturbation=coarse), "f": ViewSet(perturbation=fine)},
    )
    found = choose_combined(chosen, bank, per_latent=4)
    both = found.generated
    assert (found.pixels.name, both.name, both.per_latent) == ("wide", f"wide+{fine.name}", 4)
    assert choose_combined(replace(chosen, pixels=()), bank) is None
    whole = replace(chosen, combined=found)
    assert [v.name for v in whole.view_sets] == [
        "crop", "wide", coarse.name, fine.name, both.name
    ]  # fmt: skip
    assert [m.name for m in methods(whole)] == [
        "single image",
        "crop",
        "wide",
        "reconstruction only",
        "image + reconstruction",
        "c",
        "f",
        "combined",
    ]
    assert methods(whole)[-1].image_views == ("wide",)


@pytest.mark.parametrize(
    ("pixels", "views", "image", "generated"),
    [(31, 31, 16, 15), (32, 32, 17, 15), (1, 32, 2, 30), (4, 4, 3, 1), (2, 2, 2, 1), (1, 10, 2, 8)],
)
def test_combined_views_are_as_many_as_pixel_views_alone(
    make_bank, pixels, views, image, generated
):
    fine, crop = StyleMix("fine"), ViewSet(pixels=RandomCrop(1))
    chosen = Chosen(pixels=(crop,), latents={"f": ViewSet(perturbation=fine)})
    bank = make_bank(keys={fine.name: views, "crop": pixels})
    found = choose_combined(chosen, bank)
    assert (found.image_size, found.generated.num_views) == (image, generated)
    method = methods(replace(chosen, combined=found))[-1]
    test = make_bank(keys={"crop": pixels, found.generated.name: generated})
    assert method.count(test) == (views if views > 2 else 3)
    ensemble = method.ensemble()
    assert ensemble.image_pool(test).shape[1] == image
    assert ensemble.view_pool(test).shape[1] == 1 + generated
    first = torch.cat([test.logits["image"], test.logits["crop"]], 1)[:, :image].double()
    torch.testing.assert_close(ensemble.image_pool(test), first.softmax(-1))


def _named(name):
    from genviews.augment.base import Compose

    return Compose(RandomCrop(2), name=name)
