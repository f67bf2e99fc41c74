"""Banks filled shard by shard: as in one go, resumed after a kill, never from other work."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from genviews.augment.base import Renamed
from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.ensemble import fill
from genviews.ensemble.fill import fill_from_source, view_logits
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.generators.toy import ToyGenerator
from genviews.identity import key as key_of_parts
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import StyleMix
from tests.ensemble.filled import fill_bank

NUMBER, SHARD = 10, 4  # shards of 4, 4 and 2 images
SETS = (ViewSet(perturbation=StyleMix("fine")), ViewSet(pixels=HorizontalFlip()))


def tasks_of(one, two):
    return [Task(name="one", classifier=one), Task(name="two", classifier=two)]


class Killed(Exception):
    pass


@pytest.fixture(autouse=True)
def filled(monkeypatch):
    """Small shards; returns the ids of each shard that is made, in whatever order."""
    calls = []

    def record(tasks, plan, images, ids, *rest, **options):
        calls.append(list(ids))
        return view_logits(tasks, plan, images, ids, *rest, **options)

    monkeypatch.setattr(fill, "SHARD", SHARD)
    monkeypatch.setattr(fill, "view_logits", record)
    return calls


@pytest.fixture
def arguments(task):
    return {
        "tasks": tasks_of(task.classifier, task.other),
        "plan": ViewPlan(view_sets=SETS, generator=task.generator, num_views=2),
        "images": task.calibration.images[:NUMBER],
        "ids": task.calibration.ids[:NUMBER],
        "labels": {"label": task.calibration.labels[:NUMBER]},
        "latents": task.calibration_inversion.latents[:NUMBER],
        "split": "calibration",
    }


def keep(folder, *, images, ids, **arguments):
    """As `fill_bank`, of a source."""
    source = MemorySource(ImageSet(images=images, ids=tuple(ids)))
    return fill_from_source(source=source, folder=folder, **arguments)


def assert_equal_banks(got, wanted):
    assert got.keys() == wanted.keys()
    for name, bank in wanted.items():
        assert got[name].ids == bank.ids
        assert got[name].class_names == bank.class_names
        assert (got[name].split, got[name].meta) == (bank.split, bank.meta)
        assert torch.equal(got[name].labels, bank.labels)
        assert got[name].logits.keys() == bank.logits.keys()
        for key, logits in bank.logits.items():
            torch.testing.assert_close(got[name].logits[key], logits)


def test_equals_filling_in_one_go(tmp_path, arguments, filled):
    got = keep(tmp_path, **arguments)
    assert sorted(len(ids) for ids in filled) == [2, 4, 4]
    assert_equal_banks(got, fill_bank(**arguments))


def test_without_a_generator(tmp_path, arguments, filled):
    arguments |= {"plan": ViewPlan(view_sets=SETS[1:]), "latents": None, "labels": None}
    got = keep(tmp_path, **arguments)
    assert set(got["one"].logits) == {"image", "flip"}
    assert got["one"].labels is None


def test_a_second_call_makes_nothing(tmp_path, arguments, filled):
    first = keep(tmp_path, **arguments)
    filled.clear()
    again = keep(str(tmp_path), **arguments)
    assert filled == []
    for name, bank in first.items():
        for key, logits in bank.logits.items():
            assert torch.equal(again[name].logits[key], logits)


def test_resumes_after_a_kill(tmp_path, arguments, filled, monkeypatch):
    make = fill.view_logits

    def kill(*parts, **options):
        if len(filled) == 1:
            raise Killed
        return make(*parts, **options)

    monkeypatch.setattr(fill, "view_logits", kill)
    with pytest.raises(Killed):
        keep(tmp_path, **arguments)
    monkeypatch.setattr(fill, "view_logits", make)
    got = keep(tmp_path, **arguments)
    made = [name for ids in filled for name in ids]
    assert sorted(made) == sorted(arguments["ids"])  # each once
    assert_equal_banks(got, fill_bank(**arguments))


def other_weights(classifier):
    changed = copy.deepcopy(classifier)
    with torch.no_grad():
        next(changed.parameters()).add_(0.1)
    return changed


def other_mean(classifier):
    return Classifier(classifier.module, classifier.image_spec, classifier.class_names, mean=0.3)


def planned(arguments, **changes):
    return {"plan": replace(arguments["plan"], **changes)}


CHANGES = {
    "images": lambda a: {"images": 0.9 * a["images"]},
    "one latent": lambda a: {"latents": torch.cat([a["latents"][:-1], a["latents"][:1]])},
    "ids": lambda a: {"ids": tuple(f"new {name}" for name in a["ids"])},
    "classifier weights": lambda a: {
        "tasks": [
            a["tasks"][0],
            replace(a["tasks"][1], classifier=other_weights(a["tasks"][1].classifier)),
        ]
    },
    "classifier mean": lambda a: {
        "tasks": [
            a["tasks"][0],
            replace(a["tasks"][1], classifier=other_mean(a["tasks"][1].classifier)),
        ]
    },
    "order of classifiers": lambda a: {
        "tasks": tasks_of(*(t.classifier for t in a["tasks"][::-1]))
    },
    "generator weights": lambda a: planned(a, generator=ToyGenerator(seed=1)),
    "strength": lambda a: planned(
        a, view_sets=(ViewSet(perturbation=StyleMix("fine", 0.5)), SETS[1])
    ),
    "transform": lambda a: planned(a, view_sets=(SETS[0], ViewSet(pixels=HorizontalFlip(0.9)))),
    "transform of the same name": lambda a: planned(
        a, view_sets=(SETS[0], ViewSet(pixels=Renamed(RandomCrop(padding=1), "flip")))
    ),
    "views of a set": lambda a: planned(a, view_sets=(SETS[0], replace(SETS[1], num_views=3))),
    "number of views": lambda a: planned(a, num_views=3),
    "seed": lambda a: planned(a, seed=1),
    "split": lambda a: {"split": "val"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_other_work_never_reuses_a_shard(tmp_path, arguments, filled, name):
    first = keep(tmp_path, **arguments)
    filled.clear()
    changed = {**arguments, **CHANGES[name](arguments)}
    got = keep(tmp_path, **changed)
    assert len(filled) == 3
    assert_equal_banks(got, fill_bank(**changed))
    filled.clear()
    assert_equal_banks(keep(tmp_path, **arguments), first)  # both are kept
    assert filled == []


def test_names_and_heads_are_not_part_of_the_work(tmp_path, arguments, filled):
    keep(tmp_path, **arguments)
    filled.clear()
    one, two = arguments["tasks"]
    first = one.classifier.class_names[0]
    head = Task(name="head", classifier=one.classifier, outputs=(first,), class_names=("no", "yes"))
    got = keep(tmp_path, **{**arguments, "tasks": [head, two]})
    assert filled == []
    assert_equal_banks(got, fill_bank(**{**arguments, "tasks": [head, two]}))


def test_the_head_that_a_conditional_generator_follows_is_part_of_the_work(
    tmp_path, arguments, filled
):
    """Of two heads of one classifier, the first says which class is rendered."""
    generator = ToyGenerator(num_classes=2)
    arguments |= planned(arguments, generator=generator)
    classifier = arguments["tasks"][0].classifier
    names = ("no", "yes")
    heads = [
        Task(name=name, classifier=classifier, outputs=outputs, class_names=names)
        for name, outputs in (("one", ()), ("two", classifier.class_names[::-1]))
    ]
    for tasks in (heads, heads[::-1]):
        filled.clear()
        got = keep(tmp_path, **{**arguments, "tasks": tasks})
        assert len(filled) == 3
        assert_equal_banks(got, fill_bank(**{**arguments, "tasks": tasks}))


def test_labels_are_not_part_of_the_work(tmp_path, arguments, filled):
    keep(tmp_path, **arguments)
    filled.clear()
    arguments["labels"] = {"label": 1 - arguments["labels"]["label"]}
    got = keep(tmp_path, **arguments)
    assert filled == []
    assert torch.equal(got["one"].labels, arguments["labels"]["label"])


def test_progress_counts_over_all_shards(tmp_path, arguments):
    seen = []
    keep(tmp_path, **arguments, progress=lambda *step: seen.append(step))
    assert {told[:2] for told in seen} == {("views of calibration", "images")}
    assert {4, 8, NUMBER} <= {done for _, _, done, _ in seen}
    assert {total for _, _, _, total in seen} == {NUMBER}


def test_other_pca_directions_are_other_views():
    def described(sign: float) -> str:
        components = torch.tensor([[sign, 0.0, 0.0, 0.0]])
        statistics = PCAStatistics(components, torch.ones(1))
        return key_of_parts(ViewSet(perturbation=PCA("fine", 1.0, statistics)))

    assert described(1.0) == described(1.0)
    assert described(1.0) != described(-1.0)
