from __future__ import annotations

import pytest
import torch

from genviews.cli import inversions
from genviews.cli.inversions import invert_images
from genviews.generators import ToyGenerator
from genviews.invert import Inverter, invert

INVERTER = Inverter(steps=4)


@pytest.fixture
def parts(toy_images, tmp_path, monkeypatch):
    """Generator, 7 images, and a folder; shards of 3."""
    monkeypatch.setattr(inversions, "SHARD", 3)
    return ToyGenerator(), toy_images(7, "x"), tmp_path / "inversions"


def run(parts, inverter=INVERTER, seen=None):
    generator, images, folder = parts
    tell = None if seen is None else lambda *told: seen.append(told[2])
    return invert_images(generator, images, inverter, folder, batch_size=2, progress=tell)


def test_equals_inversion_at_once(parts):
    found = run(parts)
    whole = invert(parts[0], parts[1].images, inverter=INVERTER)
    for name in ("latents", "reconstructions", "loss", "start_loss", "status", "steps"):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), rtol=0, atol=1e-5)


def test_finished_shards_are_not_made_again(parts, counted):
    first = run(parts)
    assert counted == [3, 3, 1]
    second = run(parts)
    assert counted == [3, 3, 1]
    assert torch.equal(first.latents, second.latents)
    assert torch.equal(first.reconstructions, second.reconstructions)


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
def test_whatever_changes_the_result_is_made_anew(parts, counted, toy_images, change):
    run(parts)
    counted.clear()
    generator, images, folder = parts
    if change == "images":
        images = toy_images(7, "other")
    if change == "weights":
        generator = ToyGenerator(seed=1)
    run((generator, images, folder), Inverter(steps=3) if change == "settings" else INVERTER)
    assert counted == [3, 3, 1]


def test_gradients_are_off(parts):
    found = run(parts)
    assert not found.latents.requires_grad
    assert not found.reconstructions.requires_grad
