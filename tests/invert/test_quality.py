from __future__ import annotations

import math

import pytest
import torch

from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.objective import L1, L2
from genviews.invert.perceptual import LPIPS
from genviews.invert.quality import ImageQuality, extremes, reconstruct
from genviews.rng import Rng
from genviews.types import Status


@pytest.fixture
def parts(tmp_path):
    """Generator, a source of 7 images with masks, their inversions in shards of 3, a folder."""
    toy = ToyGenerator()
    images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(7))))).float().clamp(-1, 1)
    masks = torch.ones(7, 1, 8, 8)
    masks[::2, :, :3] = 0
    source = MemorySource(ImageSet(images=images, ids=tuple("abcdefg")), masks)
    store = invert_source(source, toy, Inverter(steps=2), tmp_path / "latents", shard_size=3)
    return toy, source, store, tmp_path / "reconstructions"


def measure(parts, **options):
    toy, source, store, folder = parts
    return reconstruct(store, source, toy, folder, **options)


def test_errors_equal_a_loop_over_known_pixels(parts):
    made = measure(parts, batch_size=2)
    toy, source, store, _ = parts
    batch, shard = source.read(range(7)), store.read_all()
    rendered = toy.synthesize(shard.tensors["latents"])
    for row, one in enumerate(made.qualities()):
        pairs = [
            (float(rendered[row, 0, y, x]), float(batch.images[row, 0, y, x]))
            for y in range(8)
            for x in range(8)
            if batch.masks[row, 0, y, x] == 1
        ]
        assert len(pairs) == (40 if row % 2 == 0 else 64)
        assert one.errors["l1"] == pytest.approx(
            math.fsum(abs(a - b) for a, b in pairs) / len(pairs)
        )
        squares = math.fsum((a - b) ** 2 for a, b in pairs) / len(pairs)
        assert one.errors["l2"] == pytest.approx(squares, rel=1e-4)
        assert one.loss == float(shard.tensors["loss"][row])
        assert one.source_hash == batch.hashes[row]
        torch.testing.assert_close(made.select([one.id])[one.id], rendered[row])


def test_only_what_is_missing_is_made(parts):
    seen: list[tuple[int, int]] = []
    measure(parts, progress=lambda *told: seen.append(told[2:]))
    assert seen == [(0, 7), (3, 7), (6, 7), (7, 7)]
    (parts[3] / "00001.safetensors").unlink()
    seen.clear()
    measure(parts, progress=lambda *told: seen.append(told[2:]))
    assert seen == [(4, 7), (7, 7)]
    seen.clear()
    assert len(measure(parts, progress=lambda *told: seen.append(told[2:])).qualities()) == 7
    assert seen == [(7, 7)]


def test_other_inversions_are_refused(parts, tmp_path):
    measure(parts)
    toy, source, _, folder = parts
    other = invert_source(source, toy, Inverter(steps=1), tmp_path / "other", shard_size=3)
    with pytest.raises(ValueError, match=r"inverter.steps: 2 in the store, 1 asked"):
        reconstruct(other, source, toy, folder)


def test_changed_images_are_noticed(parts):
    toy, source, store, folder = parts
    images = source.read(range(7)).images * 0.5
    changed = MemorySource(ImageSet(images=images, ids=source.ids))
    with pytest.raises(ValueError, match="got 'a', which has changed since"):
        reconstruct(store, changed, toy, folder)


def test_lpips_can_be_measured(tmp_path, lpips_backbone):
    toy = ToyGenerator(size=32)
    images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(2))))).float().clamp(-1, 1)
    source = MemorySource(ImageSet(images=images, ids=("a", "b")))
    store = invert_source(source, toy, Inverter(steps=1), tmp_path / "latents")
    term = LPIPS(0.5, "alex", lpips_backbone("alex"))
    made = reconstruct(store, source, toy, tmp_path / "made", terms=(L1(), L2(), term))
    found = made.qualities()
    assert list(found[0].errors) == ["l1", "l2", "lpips_alex"]
    rendered = toy.synthesize(store.read_all().tensors["latents"])
    with torch.no_grad():
        wanted = term.network(images.expand(-1, 3, -1, -1), rendered.expand(-1, 3, -1, -1))
    ours = torch.tensor([one.errors["lpips_alex"] for one in found])
    torch.testing.assert_close(ours, wanted.mean((1, 2, 3)), rtol=1e-3, atol=1e-6)


def quality(name, error, status=Status.CONVERGED):
    return ImageQuality(
        id=name,
        status=status,
        loss=error,
        start_loss=2 * error,
        steps=3,
        errors={"l1": error},
        source_hash="00",
    )


class TestExtremes:
    def test_both_ends_and_none_twice(self):
        some = [quality(str(i), float((7 * i) % 10)) for i in range(10)]
        best, worst = extremes(some, "l1", 3)
        assert [one.errors["l1"] for one in best] == [0, 1, 2]
        assert [one.errors["l1"] for one in worst] == [9, 8, 7]
        best, worst = extremes(some[:3], "l1", 8)
        assert (len(best), len(worst)) == (2, 1)
        assert {one.id for one in best}.isdisjoint(one.id for one in worst)

    def test_ties_go_by_id_and_failures_are_left_out(self):
        some = [quality("b", 1.0), quality("a", 1.0), quality("c", math.nan)]
        some.append(quality("d", 0.0, Status.FAILED))
        best, worst = extremes(some, "l1", 8)
        assert [one.id for one in (*best, *worst)] == ["a", "b"]
        assert extremes([], "l1", 8) == ([], [])
