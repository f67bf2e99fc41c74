"""Filling banks: against a naive loop, whatever the batch, and refusing what would fail late."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.classify.model import Classifier
from genviews.classify.task import Task, attribute_tasks
from genviews.ensemble.fill import rendered_label
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.pipeline import GenerativeTTA
from genviews.rng import Rng
from tests.ensemble.filled import fill_bank

SETS = (
    ViewSet(pixels=RandomCrop(padding=1)),
    ViewSet(pixels=HorizontalFlip(1.0), num_views=1),
    ViewSet(perturbation=StyleMix("fine")),
    ViewSet(perturbation=Isotropic("coarse", 0.2)),
    ViewSet(perturbation=StyleMix("fine"), pixels=RandomCrop(padding=1)),
)


def tasks_of(task) -> list[Task]:
    return [Task(name="one", classifier=task.classifier), Task(name="two", classifier=task.other)]


def fill(task, number=12, order=None, **options):
    rows = torch.arange(number) if order is None else order
    images = task.test.select(rows)
    plan = {"view_sets": SETS, "generator": task.generator, "num_views": 4, "batch_size": 16}
    plan |= {name: options.pop(name) for name in (*plan, "seed") if name in options}
    arguments = {
        "tasks": tasks_of(task),
        "plan": ViewPlan(**plan),
        "images": images.images,
        "ids": images.ids,
        "labels": {"label": images.labels},
        "latents": task.test_inversion.latents[rows],
        "split": "test",
    }
    return fill_bank(**{**arguments, **options})


def test_equals_one_view_at_a_time(task):
    banks = fill(task)
    plan = ViewPlan(view_sets=SETS, generator=task.generator, num_views=4)
    latents = task.test_inversion.latents[:12]
    views = dict(plan.views(task.test.images[:12], task.test.ids[:12], latents))
    assert set(views) == set(banks["one"].logits)
    for name, classifier in (("one", task.classifier), ("two", task.other)):
        for key, pixels in views.items():
            for i in range(12):
                for k in range(pixels.shape[1]):
                    with torch.no_grad():
                        expected = classifier(pixels[i, k])
                    torch.testing.assert_close(banks[name].logits[key][i, k], expected)
    assert banks["one"].split == "test"
    assert banks["two"].meta == {"task": "two", "seed": 0, "num_views": 4}
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


class CountingGenerator(ToyGenerator):
    """Counts the images that it renders."""

    rendered = 0

    def synthesize(self, latents, label=None):
        self.rendered += len(latents)
        return super().synthesize(latents)


class CountingNetwork(nn.Module):
    """One linear logit for each of some attributes; counts the images that it sees."""

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(64, attributes)
        with torch.no_grad():
            random = torch.Generator().manual_seed(3)
            self.linear.weight.copy_(torch.randn(attributes, 64, generator=random))
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return self.linear(images.flatten(1))


def test_each_view_is_rendered_once(task):
    generator = CountingGenerator()
    fill(task, generator=generator)
    # Two tasks and two sets of the style-mix share 4 views; 4 isotropic, 1 reconstruction.
    assert generator.rendered == 12 * (4 + 4 + 1)


class TestAttributes:
    """Forty binary questions about each image, answered by one network with forty logits."""

    NAMES = tuple(f"attribute {i}" for i in range(40))

    @pytest.fixture
    def network(self) -> CountingNetwork:
        return CountingNetwork(40)

    @pytest.fixture
    def tasks(self, task, network) -> tuple[Task, ...]:
        return attribute_tasks(Classifier(network, task.generator.image_spec, self.NAMES))

    @pytest.fixture
    def labels(self) -> dict[str, torch.Tensor]:
        return {name: (torch.arange(12) + i) % 2 for i, name in enumerate(self.NAMES)}

    def test_one_rendering_and_one_forward_pass(self, task, network, tasks, labels):
        generator, seen = CountingGenerator(), network.seen
        bank = fill(task, tasks=tasks, labels=labels, generator=generator)
        assert len(bank) == 40
        assert generator.rendered == 12 * (4 + 4 + 1)
        # Image, reconstruction, crops, one flip, two kinds of latent views, crops of latent views.
        assert network.seen - seen == 12 * (1 + 1 + 4 + 1 + 4 + 4 + 4)

    def test_equal_forty_banks_of_one_task_bit_for_bit(self, task, tasks, labels):
        bank = fill(task, tasks=tasks, labels=labels)
        for one in tasks[::8]:
            alone = fill(task, tasks=[one], labels=labels)[one.name]
            assert bank[one.name].class_names == alone.class_names == ("no", "yes")
            assert torch.equal(bank[one.name].labels, labels[one.name])
            assert bank[one.name].logits.keys() == alone.logits.keys()
            for key, logits in alone.logits.items():
                assert torch.equal(bank[one.name].logits[key], logits)

    def test_equal_a_classifier_of_that_attribute_alone(self, task, network, tasks):
        class Own(nn.Module):
            def forward(self, images):
                weight, bias = network.linear.weight[7:8], network.linear.bias[7:8]
                return nn.functional.linear(images.flatten(1), weight, bias)

        alone = Task(
            name="own", classifier=Classifier(Own(), task.generator.image_spec, ("no", "yes"))
        )
        expected, bank = fill(task, tasks=[alone])["own"], fill(task, tasks=tasks)
        for key, logits in bank["attribute 7"].logits.items():
            torch.testing.assert_close(logits, expected.logits[key])

    def test_beside_a_task_of_classes(self, task, tasks, labels):
        bank = fill(
            task,
            tasks=[*tasks_of(task), *tasks[:2]],
            labels={**labels, "label": labels["attribute 0"]},
        )
        assert list(bank) == ["one", "two", "attribute 0", "attribute 1"]
        whole = fill(task)
        assert torch.equal(bank["two"].logits["crop"], whole["two"].logits["crop"])

    def test_merging_adds_view_sets(self, task, tasks, labels):
        first = fill(task, tasks=tasks, labels=labels, view_sets=SETS[:2])
        joined = first.merge(fill(task, tasks=tasks, labels=labels, view_sets=SETS[2:3]))
        assert joined["attribute 3"].view_keys == ("crop", "flip", "stylemix_fine")
        with pytest.raises(ValueError, match="to merge: expected the same tasks"):
            first.merge(fill(task))
        other = replace(tasks[0], classifier=copy.deepcopy(tasks[0].classifier))
        for changed in ([other, *tasks[1:]], tasks[::-1]):  # another classifier of the same name
            with pytest.raises(ValueError, match="to merge: expected the same tasks"):
                first.merge(fill(task, tasks=changed, labels=labels, view_sets=SETS[2:3]))


def test_without_a_generator(task):
    banks = fill(task, generator=None, latents=None, view_sets=SETS[:2])
    assert set(banks["one"].logits) == {"image", "crop", "flip"}


def test_labels_are_not_needed(task):
    assert fill(task, labels=None)["one"].labels is None


def test_progress_ends_at_the_total(task):
    calls: list[tuple[str, str, int, int]] = []
    fill(task, progress=lambda *call: calls.append(call))
    assert calls == [("views of test", "images", n, 12) for n in (0, 4, 8, 12)]


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
        [Task(name="only", classifier=classifier)],
        ViewPlan(view_sets=[ViewSet(perturbation=mix)], generator=generator, num_views=2),
        images,
        ids,
        latents,
        split="val",
    )["only"]
    expected = mix(generator, latents, 2, Rng(0, "views").streams(ids), label=predicted)
    with torch.no_grad():
        logits = classifier(generator.synthesize(expected.flatten(0, 1))).unflatten(0, (6, 2))
    torch.testing.assert_close(bank.logits[mix.name], logits)


@pytest.mark.parametrize(
    ("own", "names", "table"),
    [
        ((), ("x", "y", "z"), [0, 1, 2]),  # nobody said them: in their order
        (("a", "b", "c"), ("c", "a", "b"), [2, 0, 1]),
        (("a", "b", "c"), ("c", "a"), [2, 0]),
        (("a", "b", "c"), ("0", "1", "2"), [0, 1, 2]),
        (("a", "b", "c"), ("a", "b", "z"), None),  # one is another
        (("a", "b", "c"), ("x", "y"), None),
        ((), ("x", "y"), None),
        ((), ("w", "x", "y", "z"), None),
    ],
)
def test_classes_are_found_by_name(own, names, table):
    generator = ToyGenerator(num_classes=3)
    generator.class_names = own
    found = generator.classes_of(names)
    assert (None if found is None else found.tolist()) == table
    assert ToyGenerator().classes_of(names) is None


def test_a_classifier_of_two_classes_of_five_renders_those():
    """Blobs at the place of their class, of which the classifier knows the last and the first."""
    places = torch.eye(5)

    def decode(z, c):
        marks = (c @ places)[:, None, None].repeat(1, 1, 2, 1)
        return 2 * marks - 1 + 0.1 * z.mean(1).tanh()[:, None, None, None]

    names = ("one", "two", "three", "four", "five")
    generator = CallableGenerator(decode, 4, num_classes=5, class_names=names)
    network = nn.Sequential(nn.Flatten(), nn.Linear(10, 2, bias=False))
    with torch.no_grad():
        weights = torch.zeros(2, 10)
        weights[0, 4], weights[1, 0] = 1.0, 1.0
        network[1].weight.copy_(weights)
    classifier = Classifier(network, generator.image_spec, ("five", "one"))
    images = generator.synthesize(torch.zeros(2, 1, 4), torch.tensor([0, 4]))
    label = rendered_label([Task(name="t", classifier=classifier)], generator, images)
    assert label.tolist() == [0, 4]
    tta = GenerativeTTA(
        classifier,
        generator,
        inverter=Inverter(steps=2),
        perturbation=Isotropic("all", 0.1),
        num_views=2,
    )
    assert tta.fit(images, torch.tensor([1, 0])).predict(images).tolist() == [1, 0]
    others = Classifier(network, generator.image_spec, ("six", "one"))
    message = "one of its 5 classes: one, two, .*'classifier' of 2: six, one; .*class_names"
    with pytest.raises(ValueError, match=message):
        GenerativeTTA(others, generator, perturbation=Isotropic("all", 0.1))


def test_a_conditional_generator_needs_a_task_of_its_classes(task):
    with pytest.raises(
        ValueError, match=r"expected one of its 3 classes.*'one' of 2: up, down; 'two' of 2"
    ):
        fill(task, generator=ToyGenerator(num_classes=3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ()}, "tasks: expected at least one"),
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
