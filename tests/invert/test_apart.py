"""Inversions apart in a folder: as in one go, resumed after a kill, never those of other work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.optimize import invert
from genviews.invert.start import MeanStart
from genviews.rng import Rng

INVERTER = Inverter(start=MeanStart(), steps=4)


def toy_images(count, name):
    toy = ToyGenerator()
    ids = tuple(f"{name}/{i}" for i in range(count))
    images = toy.synthesize(toy.map(toy.sample(Rng(0, name).streams(ids)))).clamp(-1, 1)
    return ImageSet(images=images, ids=ids)


@pytest.fixture
def parts(tmp_path):
    """Generator, 7 images, and a folder."""
    return ToyGenerator(), toy_images(7, "x"), tmp_path / "inversions"


def run(parts, inverter=INVERTER, seen=None):
    generator, images, folder = parts
    tell = None if seen is None else lambda *told: seen.append(told[2])
    options = {"shard_size": 3, "batch_size": 2, "progress": tell, "apart": True}
    return invert_source(MemorySource(images), generator, inverter, folder, **options)


def test_equals_inversion_at_once(parts):
    found = run(parts)
    whole = invert(parts[0], parts[1].images, inverter=INVERTER)
    kept = found.columns("loss", "start_loss", "status", "nothing")
    assert sorted(kept) == ["loss", "start_loss", "status"]
    for name, value in kept.items():
        torch.testing.assert_close(value, getattr(whole, name), rtol=0, atol=1e-5)
    ids = parts[1].ids
    latents = found.select(range(7), ids)["latents"]
    torch.testing.assert_close(latents, whole.latents, rtol=0, atol=1e-5)
    assert torch.equal(found.loss_of(ids[4:1:-1]), kept["loss"][[4, 3, 2]])


def test_snapshots_are_those_of_the_inverter(parts):
    found = run(parts, replace(INVERTER, snapshots=(0, 2)))
    whole = invert(parts[0], parts[1].images, inverter=replace(INVERTER, snapshots=(0, 2)))
    torch.testing.assert_close(
        found.columns("snapshots")["snapshots"], whole.snapshots, rtol=0, atol=1e-5
    )


def test_finished_shards_are_not_made_again(parts, counted):
    first = run(parts)
    assert counted == [3, 3, 1]
    second = run(parts)
    assert counted == [3, 3, 1]
    assert torch.equal(first.columns("loss")["loss"], second.columns("loss")["loss"])


def test_a_killed_run_goes_on_where_it_was(parts, counted, monkeypatch):
    run(parts)
    shards = sorted(parts[2].rglob("[0-9]*.safetensors"))
    shards[1].unlink()
    counted.clear()
    seen: list[int] = []
    run(parts, seen=seen)
    assert counted == [3]
    assert (seen[0], seen[-1]) == (4, 7)
    assert seen == sorted(seen)


@pytest.mark.parametrize("change", ["images", "weights", "settings"])
def test_whatever_changes_the_result_is_made_anew(parts, counted, change):
    run(parts)
    counted.clear()
    generator, images, folder = parts
    if change == "images":
        images = toy_images(7, "other")
    if change == "weights":
        generator = ToyGenerator(seed=1)
    run(
        (generator, images, folder),
        replace(INVERTER, steps=3) if change == "settings" else INVERTER,
    )
    assert counted == [3, 3, 1]
