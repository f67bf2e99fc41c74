"""A defence says what the pipeline says, and its gradient is that of what it says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from genviews import (
    Classifier,
    Ensemble,
    GenerativeTTA,
    Isotropic,
    PredictionBank,
    Rng,
    StyleMix,
    ToyGenerator,
    invert,
    render,
)
from genviews.ensemble.notice import NoticingEnsemble
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L2, Objective
from genviews.invert.optimizer import Adam
from genviews.invert.start import MeanStart
from genviews.robustness.adaptive import AdaptiveAttack, answers, attack_defence, view_streams
from genviews.robustness.attack import attack
from genviews.robustness.defence import Preprocessed, Undefended, ViewsDefence
from genviews.robustness.gradient import FGSM, PGD

TOY = ToyGenerator()
IDS = tuple(f"{i}.png" for i in range(5))
IMAGES = TOY.synthesize(TOY.map(TOY.sample(Rng(3).streams(range(5))))).clamp(-1, 1)
FIVE = Inverter(
    start=MeanStart(),
    objective=Objective((L2(1.0),)),
    optimizer=Adam(lr=0.1),
    steps=5,
    tolerance=0.0,
    smoothing=0.0,
)


def a_classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ELU(), nn.Linear(12, 3))
    return Classifier(network.double(), TOY.image_spec, ("one", "two", "three"))


CLASSIFIER = a_classifier()
LABELS = CLASSIFIER(IMAGES.double()).argmax(1)
VIEWS = ViewsDefence(
    classifier=CLASSIFIER,
    generator=TOY,
    inverter=FIVE,
    perturbation=StyleMix("fine"),
    num_views=3,
    alpha=0.6,
)


def noticing() -> NoticingEnsemble:
    """Weights of images, fitted on some other images and on darker copies of them."""
    images = TOY.synthesize(TOY.map(TOY.sample(Rng(4).streams(range(12))))).clamp(-1, 1)
    bank, loss = bank_of(torch.cat([images, 0.3 * images]), split="calibration")
    return NoticingEnsemble(Ensemble("stylemix_fine")).fit(bank, loss)


def bank_of(images: Tensor, split="test", names=None) -> tuple[PredictionBank, Tensor]:
    """What the pipeline's parts say of images, put together by hand."""
    ids = tuple(f"{split}{i}" for i in range(len(images))) if names is None else names
    found = invert(TOY, images, inverter=FIVE)
    views = StyleMix("fine")(TOY, found.latents, 3, view_streams(ids))
    logits = {
        "image": CLASSIFIER(images.double()[:, None]),
        "reconstruction": CLASSIFIER(found.reconstructions.double()[:, None]),
        "stylemix_fine": CLASSIFIER(render(TOY, views).double()),
    }
    labels = logits["image"][:, 0].argmax(-1)
    bank = PredictionBank(
        ids=ids,
        labels=labels,
        class_names=CLASSIFIER.class_names,
        split=split,
        logits={key: value.detach() for key, value in logits.items()},
    )
    return bank, found.loss.double()


DEFENCES = {
    "views": VIEWS,
    "alone": replace(VIEWS, alpha=1.0, include_reconstruction=False),
    "reconstruction": replace(VIEWS, perturbation=None, alpha=0.9),
    "noticing": replace(VIEWS, alpha=noticing()),
    "logits": replace(VIEWS, merge="gmean"),
    "noise": replace(VIEWS, perturbation=Isotropic("all", 0.3)),
    "image": replace(VIEWS, alpha=0.0),
}


@pytest.mark.parametrize(
    ("merge", "alpha"),
    [("mean", 0.0), ("mean", 1.0), ("mean", 0.6), ("gmean", 0.6), ("tsharpen", 0.6), ("max", 0.6)],
)
def test_it_says_what_the_pipeline_says(merge, alpha) -> None:
    tta = GenerativeTTA(
        CLASSIFIER,
        TOY,
        inverter=FIVE,
        perturbation=StyleMix("fine"),
        num_views=3,
        merge=merge,
        alpha=alpha,
        seed=7,
    )
    wanted = tta.predict_proba(IMAGES, ids=IDS)
    logits = replace(VIEWS, merge=merge, alpha=alpha)(IMAGES.double(), view_streams(IDS, 7))
    torch.testing.assert_close(logits.softmax(-1), wanted, rtol=0, atol=1e-5)


def test_weights_of_images_are_those_of_the_ensemble() -> None:
    """And they differ, or there would be nothing to see."""
    bank, loss = bank_of(IMAGES, names=IDS)
    alpha = noticing()
    assert float(alpha.weights(bank, loss).std()) > 0.01
    said = replace(VIEWS, alpha=alpha)(IMAGES.double(), view_streams(IDS)).softmax(-1)
    torch.testing.assert_close(said, alpha.predict_proba(bank, loss), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", DEFENCES)
def test_its_gradient_is_that_of_what_it_says(name) -> None:
    defence, streams = DEFENCES[name], view_streams(IDS[:2])
    where = IMAGES[:2].double().requires_grad_()
    way = torch.randn(where.shape, generator=Rng(0).torch(), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(defence(where, streams)[0, 1], where)
    assert not gradient[1].any()
    with torch.no_grad():
        ends = [defence(where + s * 1e-5 * way, streams)[0, 1] for s in (-1, 1)]
    wanted = (ends[1] - ends[0]) / 2e-5
    torch.testing.assert_close((gradient * way).sum(), wanted, rtol=1e-4, atol=1e-8)


def test_what_is_rendered_may_pass_for_the_image() -> None:
    """BPDA with the identity: the classifier's gradient at the views, of the image's pixels."""
    defence = replace(VIEWS, alpha=1.0, perturbation=None, through="pixels")
    where, streams = IMAGES[:2].double().requires_grad_(), view_streams(IDS[:2])
    said = defence(where, streams)
    (gradient,) = torch.autograd.grad(said[0, 1], where)
    torch.testing.assert_close(said, replace(defence, through="latents")(where, streams))
    with torch.no_grad():
        shown = TOY.synthesize(defence_latents(where))
    shown.requires_grad_()
    (wanted,) = torch.autograd.grad(CLASSIFIER(shown).log_softmax(-1)[0, 1], shown)
    torch.testing.assert_close(gradient, wanted)


def defence_latents(images: Tensor) -> Tensor:
    return invert(TOY, images.detach(), inverter=FIVE).latents


def test_a_conditional_generator_is_asked_for_the_class_that_is_seen() -> None:
    toy = ToyGenerator(num_classes=3)
    defence = replace(VIEWS, generator=toy)
    wanted = GenerativeTTA(
        CLASSIFIER, toy, inverter=FIVE, perturbation=StyleMix("fine"), num_views=3, alpha=0.6
    ).predict_proba(IMAGES, ids=IDS)
    said = defence(IMAGES.double(), view_streams(IDS)).softmax(-1)
    torch.testing.assert_close(said, wanted, rtol=0, atol=1e-5)


STEPS = PGD(0.3, steps=3)


def test_on_a_classifier_alone_it_is_the_attack_itself() -> None:
    images, streams = IMAGES.double(), view_streams(IDS)
    found = AdaptiveAttack(attack=STEPS)(Undefended(model=CLASSIFIER), images, LABELS, streams)
    assert torch.equal(found, STEPS(CLASSIFIER, images, LABELS, streams.child("attack")))


@pytest.mark.parametrize(("randomness", "count"), [("fresh", 2 * 2 * 3), ("fixed", 1)])
def test_draws_are_fresh_or_the_defence_s_own(randomness, count) -> None:
    """Another for each sample of each step of each repeat; the defence judges by its own."""
    seen: list[str] = []

    def defence(images: Tensor, streams) -> Tensor:
        if images.requires_grad:
            seen.append(streams.rng.purpose)
        else:
            assert streams.rng.purpose == "views"
        return CLASSIFIER(images)

    attack = AdaptiveAttack(
        attack=replace(STEPS, steps=3, restarts=2), randomness=randomness, samples=2
    )
    attack(defence, IMAGES.double(), LABELS, view_streams(IDS))
    assert len(seen) == 2 * 2 * 3
    assert len(set(seen)) == count


@pytest.mark.parametrize("kind", ["cw", "random:0.2"])
def test_an_attack_without_gradients_has_draws_of_its_own_too(kind) -> None:
    """What is followed is asked, with an attacker's draws; the defence's stay its secret."""
    made = attack(kind)
    made.check_installed()
    made = replace(made, **({"steps": 2, "searches": 1} if kind == "cw" else {"tries": 3}))
    seen: list[str] = []

    def secret(images: Tensor, streams) -> Tensor:
        raise AssertionError("the defence was asked for its own draws")

    def followed(images: Tensor, streams) -> Tensor:
        seen.append(streams.rng.purpose)
        return CLASSIFIER(images)

    adaptive = AdaptiveAttack(attack=made, samples=2)
    adaptive(secret, IMAGES.double(), LABELS, view_streams(IDS), gradient_of=followed)
    assert len(set(seen)) == 2
    assert "views" not in seen


def test_driving_a_model_to_no_answer_counts_over_repeats() -> None:
    images = IMAGES.double().clamp(-0.9, 0.9)
    labels = CLASSIFIER(images).argmax(1)

    def brittle(given: Tensor) -> Tensor:
        """Says nothing of pixels that no clean image has."""
        silent = (given.abs() > 0.95).flatten(1).any(1)[:, None]
        return CLASSIFIER(given).masked_fill(silent, torch.nan)

    found = PGD(1.0, steps=2, restarts=3)(brittle, images, labels, view_streams(IDS))
    assert not brittle(found).isfinite().any()


def test_what_says_the_same_of_all_classes_is_right_of_none() -> None:
    def constant(images: Tensor, streams) -> Tensor:
        return images.flatten(1)[:, :1].expand(-1, 3) * 0

    found = attack_defence(
        constant, IMAGES.double(), torch.zeros(5).long(), IDS, AdaptiveAttack(attack=FGSM(0.1))
    )
    assert found.clean_accuracy == found.accuracy == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"images": IMAGES[:0], "labels": LABELS[:0], "ids": ()}, "images to attack"),
        ({"ids": ("a",) * 5}, "ids of the images to attack"),
    ],
)
def test_no_image_and_equal_ids_are_told_at_once(change, told) -> None:
    given = {"images": IMAGES, "labels": LABELS, "ids": IDS, **change}
    with pytest.raises(ValueError, match=told):
        attack_defence(Undefended(model=CLASSIFIER), attack=AdaptiveAttack(attack=STEPS), **given)
    with pytest.raises(ValueError, match="images to ask about"):
        answers(Undefended(model=CLASSIFIER), IMAGES[:0], view_streams(()))


@pytest.mark.parametrize(
    ("change", "ensemble", "told"),
    [
        ({"merge": "gmean"}, {}, "merge: expected gmean"),
        ({"include_reconstruction": False}, {}, "include_reconstruction: expected False"),
        ({"perturbation": StyleMix("coarse")}, {}, "views"),
        ({}, {"fit": False}, "a loss: expected True"),
    ],
)
def test_weights_of_another_ensemble_are_refused(change, ensemble, told) -> None:
    unfitted = NoticingEnsemble(Ensemble("stylemix_fine"))
    fitted = noticing() if ensemble.get("fit", True) else unfitted
    with pytest.raises(ValueError, match=told):
        replace(VIEWS, alpha=fitted, **change)


def test_an_attack_that_knows_the_defence_finds_more() -> None:
    """Of the images that it is right about, at a size at which the plain attack does little."""
    defence = replace(VIEWS, alpha=1.0)
    images, labels = IMAGES.double(), defence(IMAGES.double(), view_streams(IDS)).argmax(1)
    losses = {}
    for name, followed in {"plain": Undefended(model=CLASSIFIER), "adaptive": None}.items():
        found = AdaptiveAttack(attack=PGD(0.2, steps=8))(
            defence, images, labels, view_streams(IDS), gradient_of=followed
        )
        said = defence(found, view_streams(IDS))
        losses[name] = torch.nn.functional.cross_entropy(said, labels)
    assert losses["adaptive"] > losses["plain"]


def test_many_images_are_attacked_in_shards(tmp_path) -> None:
    """Their size changes nothing; a second start does nothing; another attack is another."""
    defence, attack = replace(VIEWS, num_views=2), AdaptiveAttack(attack=FGSM(0.2))
    images = IMAGES.double()
    whole = attack_defence(defence, images, LABELS, IDS, attack)
    calls: list[int] = []

    def progress(stage: str, unit: str, done: int, total: int) -> None:
        calls.append(done)

    for told in ([0, 2, 4, 5], [5]):
        calls.clear()
        parts = attack_defence(
            defence,
            images,
            LABELS,
            IDS,
            attack,
            folder=tmp_path / "attacked",
            shard_size=2,
            progress=progress,
        )
        assert calls == told
    for name in ("images", "clean_logits", "logits"):
        assert torch.equal(getattr(parts, name), getattr(whole, name))
    assert parts.ids == IDS
    assert 0 <= parts.accuracy <= parts.clean_accuracy <= 1
    torch.testing.assert_close(parts.logits, defence(parts.images, view_streams(IDS)))
    other = AdaptiveAttack(attack=FGSM(0.1))
    less = attack_defence(defence, images, LABELS, IDS, other, folder=tmp_path / "attacked")
    assert float((less.images - images).abs().max()) <= 0.1 + 1e-9


def test_rounding_stops_the_gradient_but_not_an_attack_that_knows_it() -> None:
    def round_it(images: Tensor) -> Tensor:
        return (images * 4).round() / 4

    images, streams = IMAGES.double(), view_streams(IDS)
    right = {}
    for through in ("own", "identity"):
        defence = Preprocessed(model=CLASSIFIER, process=round_it, through=through)
        labels = defence(images, streams).argmax(1)
        attack = AdaptiveAttack(attack=PGD(0.4, steps=8, random_start=False))
        found = attack(defence, images, labels, streams)
        right[through] = int((defence(found, streams).argmax(1) == labels).sum())
    assert right == {"own": len(IDS), "identity": 0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"alpha": 1.5}, "alpha: expected a number in"),
        ({"merge": "median"}, "merge: expected one of"),
        ({"through": "pixel"}, "through: expected one of"),
        ({"unroll": -1}, "unroll: expected an integer"),
        ({"perturbation": StyleMix("finest")}, "layer range: expected one of"),
        ({"perturbation": None, "include_reconstruction": False}, "views of the defence"),
    ],
)
@pytest.mark.as_installed
def test_misuse_is_told(change, told) -> None:
    with pytest.raises(ValueError, match=told):
        replace(VIEWS, **change)


def test_the_page_of_attacks_runs(capsys) -> None:
    page = Path(__file__).parents[2] / "docs" / "attacks.md"
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(block, str(page), "exec"), names)
    assert float(capsys.readouterr().out.split()[0]) > 0.5
