"""Filling banks: against a naive loop, whatever the batch, and refusing what would fail late."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genviews.augment import HorizontalFlip, RandomCrop
from genviews.classify.model import Classifier
from genviews.ensemble.fill import fill_bank
from genviews.ensemble.views import ViewSet, make_views
from genviews.generators.toy import ToyGenerator
from genviews.perturb import Isotropic, StyleMix
from genviews.rng import Rng

SETS = (
    ViewSet(pixels=RandomCrop(padding=1)),
    ViewSet(pixels=HorizontalFlip(1.0), num_views=1),
    ViewSet(perturbation=StyleMix("fine")),
    ViewSet(perturbation=Isotropic("coarse", 0.2)),
    ViewSet(perturbation=StyleMix("fine"), pixels=RandomCrop(padding=1)),
)


def fill(task, number=12, order=None, **options):
    rows = torch.arange(number) if order is None else order
    images = task.test.select(rows)
    arguments = {
        "classifiers": {"one": task.classifier, "two": task.other},
        "generator": task.generator,
        "images": images.images,
        "ids": images.ids,
        "labels": images.labels,
        "latents": task.test_inversion.latents[rows],
        "view_sets": SETS,
        "split": "test",
        "num_views": 4,
        "batch_size": 16,
    }
    return fill_bank(**{**arguments, **options})


def test_equals_one_view_at_a_time(task):
    banks = fill(task)
    views = make_views(
        task.generator,
        task.test.images[:12],
        task.test.ids[:12],
        task.test_inversion.latents[:12],
        SETS,
        num_views=4,
    )
    assert set(views) == set(banks["one"].logits)
    for name, classifier in (("one", task.classifier), ("two", task.other)):
        for key, pixels in views.items():
            for i in range(12):
                for k in range(pixels.shape[1]):
                    with torch.no_grad():
                        expected = classifier(pixels[i, k])
                    torch.testing.assert_close(banks[name].logits[key][i, k], expected)
    assert banks["one"].split == "test"
    assert banks["two"].meta == {"classifier": "two", "seed": 0, "num_views": 4}
    assert torch.equal(banks["one"].labels, task.test.labels[:12])


def test_batch_size_neighbours_and_order_change_nothing(task):
    whole = fill(task)["one"]
    order = torch.tensor([7, 2, 11, 0])
    for batch_size in (1, 5, 1000):
        some = fill(task, order=order, batch_size=batch_size)["one"]
        assert some.ids == whole.select(order).ids
        for key in whole.logits:
            torch.testing.assert_close(some.logits[key], whole.logits[key][order])


def test_another_seed_makes_other_views(task):
    one, other = fill(task)["one"], fill(task, seed=1)["one"]
    assert torch.equal(one.logits["image"], other.logits["image"])
    for key in ("crop", "stylemix_fine", "isotropic_coarse_0.20"):
        assert not torch.equal(one.logits[key], other.logits[key])


def test_each_view_is_rendered_once(task):
    class Counting(ToyGenerator):
        rendered = 0

        def synthesize(self, latents):
            Counting.rendered += len(latents)
            return super().synthesize(latents)

    fill(task, generator=Counting())
    # Two classifiers and two sets of the style-mix share 4 views; 4 isotropic, 1 reconstruction.
    assert Counting.rendered == 12 * (4 + 4 + 1)


def test_without_a_generator(task):
    banks = fill(task, generator=None, latents=None, view_sets=SETS[:2])
    assert set(banks["one"].logits) == {"image", "crop", "flip"}


def test_labels_are_not_needed(task):
    assert fill(task, labels=None)["one"].labels is None


def test_progress_ends_at_the_total(task):
    calls: list[tuple[str, int, int]] = []
    fill(task, progress=lambda *call: calls.append(call))
    assert calls == [("views of test", n, 12) for n in (4, 8, 12)]


def test_a_conditional_generator_mixes_the_predicted_class():
    generator = ToyGenerator(num_classes=2)
    ids = [f"c{i}" for i in range(6)]
    streams = Rng(0).streams(ids)
    latents = generator.map(generator.sample(streams), torch.tensor([0, 1, 0, 1, 0, 1]))
    images = generator.synthesize(latents)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    classifier = Classifier(network, generator.image_spec, ("a", "b"))
    with torch.no_grad():
        predicted = classifier(images).argmax(-1)
    assert 0 < int(predicted.sum()) < 6
    mix = StyleMix("coarse")
    bank = fill_bank(
        {"only": classifier},
        generator,
        images,
        ids,
        None,
        latents,
        [ViewSet(perturbation=mix)],
        split="val",
        num_views=2,
    )["only"]
    expected = mix(generator, latents, 2, Rng(0, "views").streams(ids), labels=predicted)
    with torch.no_grad():
        logits = classifier(generator.synthesize(expected.flatten(0, 1))).unflatten(0, (6, 2))
    torch.testing.assert_close(bank.logits[mix.name], logits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifiers": {}}, "classifiers: expected at least one"),
        ({"generator": None}, "got no generator, given latents, 2 perturbations"),
        ({"latents": None}, "got a generator, no latents"),
        ({"generator": None, "latents": None}, "got no generator, no latents, 2 perturbations"),
        ({"batch_size": 0}, "batch_size"),
        ({"ids": ("a", "b")}, "images: expected 2, one for each id, got 12"),
        ({"ids": ("a",) * 12}, "all different"),
    ],
)
def test_misuse(task, options, message):
    with pytest.raises(ValueError, match=message):
        fill(task, **options)


@pytest.mark.parametrize("what", ["images", "latents"])
def test_numbers_that_are_not_finite_are_named_before_the_work(task, what):
    bad = {
        "images": task.test.images[:12].clone(),
        "latents": task.test_inversion.latents[:12].clone(),
    }[what]
    bad[(3,) + (0,) * (bad.ndim - 1)] = torch.nan
    calls: list[object] = []
    with pytest.raises(ValueError, match=f"{what}: expected finite numbers, got others in toy-103"):
        fill(task, **{what: bad}, progress=lambda *call: calls.append(call))
    assert calls == []
