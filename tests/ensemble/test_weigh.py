"""Equation 7 against naive loops; alpha's limits, ties and the split it may see."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from genviews.ensemble import weigh
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import MERGES
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.weigh import Ensemble, alpha_grid, pixel_average


def softmax(logits: list[float]) -> list[float]:
    top = max(logits)
    powers = [math.exp(v - top) for v in logits]
    return [p / sum(powers) for p in powers]


def naive(bank, image_keys, view_keys, alpha, merge):
    """Equation 7 in plain Python, one image, one view and one class at a time."""

    def mean(keys, i):
        members = [
            bank.logits[k][i, v].tolist() for k in keys for v in range(bank.logits[k].shape[1])
        ]
        if merge != "gmean":
            members = [softmax(m) for m in members]
        if merge == "tsharpen":
            members = [[math.sqrt(p) for p in m] for m in members]
        columns = list(zip(*members, strict=True))
        if merge == "max":
            return [max(column) for column in columns]
        return [math.fsum(column) / len(members) for column in columns]

    rows = []
    for i in range(len(bank)):
        image, views = mean(image_keys, i), mean(view_keys, i)
        mixed = [(1 - alpha) * a + alpha * b for a, b in zip(image, views, strict=True)]
        rows.append(softmax(mixed) if merge == "gmean" else [m / math.fsum(mixed) for m in mixed])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("merge", MERGES)
@pytest.mark.parametrize("reconstruction", [True, False])
@pytest.mark.parametrize(("views", "image_views"), [("fine", None), (("fine", "mix"), ("crop",))])
def test_curve_and_probabilities_equal_loops(make_bank, merge, reconstruction, views, image_views):
    bank = make_bank(number=12, keys={"fine": 4, "mix": 3, "crop": 2})
    ensemble = Ensemble(
        views,
        image_views=image_views,
        rule=EnsembleRule(merge=merge),
        include_reconstruction=reconstruction,
    )
    image_keys = ("image", *(image_views or ()))
    view_keys = (("reconstruction",) if reconstruction else ()) + (
        (views,) if isinstance(views, str) else views
    )
    curve = []
    for alpha in range(21):
        proba = naive(bank, image_keys, view_keys, alpha / 20, merge)
        curve.append(float((proba.argmax(1) == bank.labels).double().mean()))
    torch.testing.assert_close(ensemble.curve(bank), torch.tensor(curve, dtype=torch.float64))
    ensemble.fit(bank)
    assert ensemble.accuracy_ == pytest.approx(max(curve))
    assert ensemble.alpha_ == pytest.approx(curve.index(max(curve)) / 20)
    expected = naive(bank, image_keys, view_keys, ensemble.alpha_, merge)
    torch.testing.assert_close(ensemble.predict_proba(bank), expected)
    assert torch.equal(ensemble.predict(bank), expected.argmax(1))


@pytest.mark.parametrize("merge", ["mean", "gmean"])
def test_limits_are_exact(make_bank, merge):
    bank = make_bank()
    ensemble = Ensemble("fine", rule=EnsembleRule(merge=merge))
    image, views = ensemble.terms(bank)
    assert torch.equal(weigh.mix(image, views, 0.0), image)
    assert torch.equal(weigh.mix(image, views, 1.0), views)
    assert float(ensemble.curve(bank)[0]) == bank.accuracy()


def test_grid_is_exact():
    assert alpha_grid(21).tolist() == [i / 20 for i in range(21)]
    assert alpha_grid(2).tolist() == [0.0, 1.0]


def bank_of(image, view, labels) -> PredictionBank:
    """Banks of one view, given as logits."""
    return PredictionBank(
        ids=tuple(str(i) for i in range(len(labels))),
        labels=torch.tensor(labels),
        class_names=("a", "b"),
        split="val",
        logits={"image": torch.tensor(image)[:, None], "view": torch.tensor(view)[:, None]},
    )


def test_ties_take_the_smallest_alpha():
    same = [[1.0, 0.0], [0.0, 1.0]]
    useless = Ensemble("view", include_reconstruction=False).fit(bank_of(same, same, [0, 0]))
    assert (useless.alpha_, useless.accuracy_) == (0.0, 0.5)
    # Probabilities 0.2 against 0.9: right from 0.3 / 0.7 = 0.43 on, so 0.45 is the first.
    logits = bank_of([[math.log(0.2), math.log(0.8)]], [[math.log(0.9), math.log(0.1)]], [0])
    rising = Ensemble("view", include_reconstruction=False).fit(logits)
    assert rising.alpha_ == 0.45
    assert rising.curve_.tolist() == [0.0] * 9 + [1.0] * 12


def test_average_of_logits_differs_from_that_of_probabilities():
    # One view is very sure of class 0, two lean to class 1: logits follow the sure one.
    bank = PredictionBank(
        ids=("x",),
        labels=torch.tensor([0]),
        class_names=("a", "b"),
        split="val",
        logits={"image": torch.zeros(1, 1, 2), "v": torch.tensor([[[9.0, 0], [0, 1.0], [0, 1.0]]])},
    )
    logits, probs = (
        Ensemble("v", rule=EnsembleRule(merge=merge), include_reconstruction=False).fit(bank)
        for merge in ("gmean", "mean")
    )
    assert float(logits.terms(bank)[1][0, 0]) == pytest.approx(3.0)
    assert float(probs.terms(bank)[1][0, 0]) == pytest.approx(
        (softmax([9, 0])[0] + 2 * softmax([0, 1])[0]) / 3
    )


def test_order_of_views_and_keys_is_irrelevant(make_bank):
    bank = make_bank(keys={"fine": 6, "mix": 3})
    turned = replace(bank, logits={k: v.flip(1) for k, v in reversed(list(bank.logits.items()))})
    one, other = Ensemble(("fine", "mix")).fit(bank), Ensemble(("mix", "fine")).fit(turned)
    assert one.alpha_ == other.alpha_
    torch.testing.assert_close(one.predict_proba(bank), other.predict_proba(turned))


def test_blocks_of_images_change_nothing(make_bank, monkeypatch):
    bank = make_bank(number=37)
    whole = Ensemble("fine").curve(bank)
    monkeypatch.setattr(weigh, "BLOCK", 21 * 3 * 4)
    assert torch.equal(Ensemble("fine").curve(bank), whole)


def test_images_do_not_depend_on_their_neighbours(make_bank):
    bank = make_bank()
    ensemble = Ensemble("fine").fit(bank)
    alone = ensemble.predict_proba(bank.select([5]))
    torch.testing.assert_close(alone, ensemble.predict_proba(bank)[5:6])


@pytest.mark.parametrize("split", ["test", "predict"])
def test_fit_refuses_what_results_are_reported_on(make_bank, split):
    message = f"split to choose alpha on: expected one of train, calibration, .* got '{split}'"
    with pytest.raises(ValueError, match=message):
        Ensemble("fine").fit(make_bank(split=split))


def test_predict_before_fit_says_what_to_call(make_bank):
    for call in (Ensemble("fine").predict, Ensemble("fine").predict_proba):
        with pytest.raises(ValueError, match="call `fit` with the bank of a calibration split"):
            call(make_bank())


def test_a_curve_leaves_the_fit_alone(make_bank):
    bank, test = make_bank(), make_bank(split="test", seed=1)
    ensemble = Ensemble("fine").fit(bank)
    chosen = ensemble.alpha_
    assert ensemble.curve(test).shape == (21,)
    assert ensemble.alpha_ == chosen
    assert ensemble.split_ == "calibration"


def test_test_labels_do_not_reach_the_prediction(make_bank):
    bank, test = make_bank(), make_bank(split="test", seed=1)
    ensemble = Ensemble("fine").fit(bank)
    turned = replace(test, labels=test.labels.flip(0))
    assert torch.equal(ensemble.predict_proba(test), ensemble.predict_proba(turned))
    unlabelled = replace(test, labels=None)
    assert torch.equal(ensemble.predict(test), ensemble.predict(unlabelled))


def test_pixel_average_is_the_equal_mean_with_the_image(make_bank):
    bank = make_bank(keys={"crop": 4, "flip": 1})
    expected = naive(bank, ("image", "crop", "flip"), ("image",), 0.0, "mean")
    torch.testing.assert_close(pixel_average(bank, ("crop", "flip")), expected)
    logits = naive(bank, ("image", "crop"), ("image",), 0.0, "gmean")
    torch.testing.assert_close(pixel_average(bank, "crop", "gmean"), logits)
    assert torch.equal(pixel_average(bank, ()), bank.probs("image")[:, 0])


def test_reconstruction_is_pooled_once(make_bank):
    bank = make_bank()
    assert Ensemble("reconstruction").pool_keys == ("reconstruction",)
    assert Ensemble(()).view_pool(bank).shape == (40, 1, 3)
    assert Ensemble("fine").view_pool(bank).shape == (40, 6, 3)
    assert torch.equal(Ensemble("fine").view_pool(bank)[:, :1], bank.probs("reconstruction"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": (), "include_reconstruction": False}, "at least one key"),
        ({"views": ("fine", "fine")}, "all different"),
        ({"views": "fine", "grid": 1}, "grid: expected an integer of at least 2"),
    ],
)
def test_misuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(**arguments)


def test_an_unknown_merge_or_criterion_is_named():
    EnsembleRule()  # signatures are checked at the first call in a test; here words count
    with pytest.raises(ValueError, match="merge: expected one of gmean, max, mean, tsharpen"):
        EnsembleRule(merge="median")
    with pytest.raises(ValueError, match=r"choose_by: .* did you mean 'log-loss'"):
        EnsembleRule(choose_by="logloss")


@pytest.mark.parametrize("merge", MERGES)
def test_log_loss_chooses_the_alpha_of_the_smallest_mean_loss(make_bank, merge):
    bank = make_bank(number=15, keys={"fine": 3})
    ensemble = Ensemble("fine", rule=EnsembleRule(merge=merge, choose_by="log-loss")).fit(bank)
    losses = []
    for alpha in range(21):
        proba = naive(bank, ("image",), ("reconstruction", "fine"), alpha / 20, merge)
        chances = [float(proba[i, label]) for i, label in enumerate(bank.labels)]
        losses.append(-math.fsum(map(math.log, chances)) / len(chances))
    best = losses.index(min(losses))
    assert ensemble.alpha_ == pytest.approx(best / 20)
    assert ensemble.accuracy_ == float(ensemble.curve(bank)[best])


def test_a_given_alpha_needs_no_fit_and_takes_none(make_bank):
    bank = make_bank()
    fitted = Ensemble("fine").fit(bank)
    given = Ensemble("fine", alpha=fitted.alpha_)
    assert torch.equal(given.predict_proba(bank), fitted.predict_proba(bank))
    with pytest.raises(ValueError, match="leave out alpha, or do not fit"):
        given.fit(bank)
    with pytest.raises(ValueError, match="alpha: expected a number in"):
        Ensemble("fine", alpha=1.5)


def test_repr_is_the_call():
    text = repr(Ensemble("fine", image_views="crop"))
    assert text.startswith("Ensemble(views=('fine',), image_views=('crop',), rule=EnsembleRule(")
    assert eval(text).pool_keys == ("reconstruction", "fine")
