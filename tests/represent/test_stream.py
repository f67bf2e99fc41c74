"""A stream's batch is a function of its step: with a thread, without, resumed or shared."""

from __future__ import annotations

import time
from collections import Counter

import pytest
import torch

from genviews.augment import ColorJitter, Compose, HorizontalFlip
from genviews.generators import ToyGenerator
from genviews.identity import describe
from genviews.perturb import Gaussian, Independent
from genviews.represent import LatentViews, SamplePlan, StreamedBatches, ViewStream
from genviews.represent.batches import Batches, PartBatches, local_batch
from genviews.rng import Rng

TOY = ToyGenerator(num_classes=3)
VIEWS = LatentViews(TOY, Independent(), positives=2)
PLAN = SamplePlan(batch_size=4, num_unique=12)
PIXELS = Compose(HorizontalFlip(), ColorJitter(0.4, 0.4), name="pixels")


def take(steps=10, views=VIEWS, plan=PLAN, **options):
    with ViewStream(views, plan, steps, **options) as stream:
        return list(stream)


def same(left, right) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.ids == b.ids
        assert a.visits == b.visits
        assert a.tensors().keys() == b.tensors().keys()
        assert all(torch.equal(a.tensors()[name], b.tensors()[name]) for name in a.tensors())


OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {},
        {"pixels": PIXELS},
        {"pixels": PIXELS, "reuse": 3},
        {"pixels": PIXELS, "reuse": 2, "buffer": 3},
    ],
    ids=["plain", "pixels", "reuse", "buffer"],
)


@OPTIONS
@pytest.mark.parametrize("prefetch", [1, 4])
def test_a_thread_changes_nothing(options, prefetch) -> None:
    same(take(prefetch=prefetch, **options), take(prefetch=0, **options))


@OPTIONS
@pytest.mark.parametrize("start", [1, 5, 8])
def test_a_resumed_stream_goes_on_bit_for_bit(options, start) -> None:
    same(take(start=start, **options), take(**options)[start:])


@OPTIONS
def test_parts_of_processes_make_up_the_whole_batch(options) -> None:
    whole = take(**options)
    parts = [
        take(plan=SamplePlan(batch_size=4, num_unique=12, rank=r, world_size=3), **options)
        for r in range(3)
    ]
    for step, batch in enumerate(whole):
        pieces = [part[step] for part in parts]
        assert sum((p.ids for p in pieces), ()) == batch.ids
        for name, value in batch.tensors().items():
            torch.testing.assert_close(
                torch.cat([p.tensors()[name] for p in pieces]), value, rtol=0, atol=1e-5
            )


def test_batches_are_those_of_the_plan() -> None:
    for step, batch in enumerate(take(7)):
        ids, visit = PLAN.batch(step)
        wanted = VIEWS(ids, visit)
        assert batch.ids == ids
        assert torch.equal(batch.images, wanted.images)
        assert torch.equal(batch.latents, wanted.latents)


def test_pixel_views_are_drawn_by_sample_visit_and_use() -> None:
    for step, batch in enumerate(take(5, pixels=PIXELS)):
        ids, visit = PLAN.batch(step)
        plain = VIEWS(ids, visit).images
        for row, i in enumerate(ids):
            streams = Rng(0, "pixel views").streams([f"{i}/{visit}/0"])
            alone = PIXELS.augment(plain[row : row + 1], streams)
            torch.testing.assert_close(batch.images[row : row + 1], alone, rtol=0, atol=1e-5)


def test_pixel_seed_moves_pixel_views_alone() -> None:
    plain, wanted = take(5), take(5, pixels=PIXELS)
    same(take(5, pixels=PIXELS, pixel_seed=VIEWS.seed), wanted)
    moved = take(5, pixels=PIXELS, pixel_seed=3)
    for batch, before, rendered in zip(moved, wanted, plain, strict=True):
        assert (batch.ids, batch.visits) == (before.ids, before.visits)
        assert not (batch.images == before.images).flatten(2).all(2).any()
        assert torch.equal(batch.latents, before.latents)
        names = [f"{i}/{v}/0" for i, v in zip(batch.ids, batch.visits, strict=True)]
        drawn = PIXELS.augment(rendered.images, Rng(3, "pixel views").streams(names))
        assert torch.equal(batch.images, drawn)
    same(take(5, pixel_seed=3), plain)  # without pixel views there is nothing to draw


@pytest.mark.parametrize(("reuse", "buffer"), [(1, 1), (3, 1), (2, 3), (4, 2)])
def test_each_rendered_batch_is_used_so_often_with_its_own_latents(reuse, buffer) -> None:
    steps = 2 * reuse * buffer
    plan = SamplePlan(batch_size=4)  # every rendered sample is another
    with ViewStream(VIEWS, plan, steps, reuse=reuse, buffer=buffer) as stream:
        batches = list(stream)
        stats = stream.stats
    assert stats.rendered == steps // reuse
    counts = Counter(i for batch in batches for i in batch.ids)
    assert set(counts.values()) == {reuse}
    assert len(counts) == 4 * steps // reuse
    for batch in batches:
        assert len(set(batch.ids)) == 4
        # Rows that changed places took their latents, labels and pixels with them.
        wanted = VIEWS(batch.ids)
        for name, value in wanted.tensors().items():
            torch.testing.assert_close(batch.tensors()[name], value, rtol=0, atol=1e-5)


def test_reuse_mixes_batches_and_draws_pixels_anew() -> None:
    plan = SamplePlan(batch_size=8)
    plain = take(12, plan=plan, reuse=3, buffer=4)
    first = {frozenset(batch.ids) for batch in plain[:4]}
    assert not first & {frozenset(batch.ids) for batch in plain[4:]}
    jittered = take(3, plan=plan, reuse=3, pixels=PIXELS)
    assert jittered[0].ids == jittered[1].ids == jittered[2].ids
    a, b, c = (batch.images.flatten(1) for batch in jittered)
    assert not (a == b).all(1).any()
    assert not (b == c).all(1).any()


def test_memory_is_bounded_by_the_buffer() -> None:
    class Counting(LatentViews):
        made = 0

        def __call__(self, ids, visit=0):
            self.made += 1
            return super().__call__(ids, visit)

    views = Counting(TOY, None)
    with ViewStream(views, SamplePlan(batch_size=2), 100, prefetch=2) as stream:
        next(stream)
        while views.made < 3:  # ends: nothing else is asked for
            time.sleep(0.01)
        time.sleep(0.1)
        assert views.made == 3


def test_time_and_counts_are_reported() -> None:
    class Slow(LatentViews):
        def __call__(self, ids, visit=0):
            time.sleep(0.02)
            return super().__call__(ids, visit)

    views = Slow(TOY, None, positives=1)
    with ViewStream(views, PLAN, 5, prefetch=0, pixels=PIXELS) as stream:
        assert stream.step == 0
        for _ in stream:
            pass
        stats = stream.stats
    assert stream.step == stats.steps == stats.rendered == 5
    assert stats.images == 5 * 4 * 2
    assert stats.generation_seconds >= 5 * 0.02
    assert 0 < stats.pixel_seconds < stats.wait_seconds
    assert stats.wait_seconds >= stats.generation_seconds + stats.pixel_seconds
    assert stats.describe()["wait_seconds"] == stats.wait_seconds


def test_views_that_are_ready_are_not_waited_for() -> None:
    class Slow(LatentViews):
        def __call__(self, ids, visit=0):
            time.sleep(0.1)
            return super().__call__(ids, visit)

    with ViewStream(Slow(TOY, None), PLAN, 4, prefetch=4) as stream:
        while stream.stats.rendered < 4 or stream.stats.pixel_seconds == 0.0:
            time.sleep(0.01)
        time.sleep(0.05)
        assert len(list(stream)) == 4
        stats = stream.stats
    assert stats.generation_seconds >= 0.4
    assert stats.wait_seconds < 0.5 * stats.generation_seconds


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_in_rendering_reaches_training(prefetch) -> None:
    class Broken(LatentViews):
        def __call__(self, ids, visit=0):
            if 9 in ids:
                raise RuntimeError("out of memory")
            return super().__call__(ids, visit)

    with ViewStream(Broken(TOY, None), SamplePlan(batch_size=4), 5, prefetch=prefetch) as stream:
        assert [next(stream).ids[0] for _ in range(2)] == [0, 4]
        with pytest.raises(RuntimeError, match="out of memory"):
            next(stream)
        assert list(stream) == []


def test_batches_move_to_the_device_of_the_encoder() -> None:
    (batch,) = take(1, device="meta")
    assert batch.images.device.type == batch.labels.device.type == "meta"


class TestStreamedBatches:
    def test_they_are_what_a_training_asks_for(self) -> None:
        batches = StreamedBatches(VIEWS, PLAN, PIXELS)
        assert isinstance(batches, Batches)
        assert isinstance(batches, PartBatches)
        found = local_batch(batches, 0, torch.device("cpu"))
        batches.close()
        assert found["views"].shape == (4, 3, 1, 8, 8)
        assert found["labels"].shape == (4,)

    @OPTIONS
    def test_a_batch_is_a_function_of_its_step(self, options) -> None:
        wanted = take(8, **options)
        batches = StreamedBatches(VIEWS, PLAN, **options)
        for step in (0, 1, 2, 5, 6, 1, 1, 7):
            found = batches.batch(step)
            assert torch.equal(found["views"], wanted[step].images)
            assert torch.equal(found["labels"], wanted[step].labels)
            assert found["ids"].tolist() == list(wanted[step].ids)
        assert batches.stats.steps == 8
        batches.close()
        assert batches.stats.steps == 8

    def test_pixel_seed_is_passed_on_and_described(self) -> None:
        batches = [StreamedBatches(VIEWS, PLAN, PIXELS, pixel_seed=seed) for seed in (None, 0, 3)]
        views = [b.batch(2)["views"] for b in batches]
        assert torch.equal(views[0], views[1])  # VIEWS has seed 0
        (wanted,) = take(3, pixels=PIXELS, pixel_seed=3)[2:]
        assert torch.equal(views[2], wanted.images)
        assert [describe(b)["pixel_seed"] for b in batches] == [0, 0, 3]
        for b in batches:
            b.close()

    def test_parts_are_made_alone(self) -> None:
        batches = StreamedBatches(VIEWS, PLAN, PIXELS)
        whole = batches.batch(3)
        parts = [batches.part(3, r, 3) for r in range(3)]
        batches.close()
        for name in ("views", "labels", "ids"):
            joined = torch.cat([part[name] for part in parts])
            torch.testing.assert_close(joined, whole[name], rtol=0, atol=1e-5)

    def test_z_goes_with_each_view_or_is_none(self) -> None:
        batches = StreamedBatches(LatentViews(TOY, None), PLAN)
        found = batches.batch(0)
        batches.close()
        labels = found["labels"]
        for view in range(2):
            again = TOY.synthesize(TOY.map(found["z"][:, view], labels))
            torch.testing.assert_close(found["views"][:, view], again, rtol=0, atol=1e-5)
        moved = StreamedBatches(LatentViews(TOY, Gaussian("all", 0.1)), PLAN)
        assert moved.batch(0)["z"] is None
        moved.close()

    def test_beyond_the_last_step_is_named_and_an_error_can_be_tried_again(self) -> None:
        batches = StreamedBatches(VIEWS, PLAN, steps=2)
        batches.batch(1)
        with pytest.raises(ValueError, match="step: expected below 2, the steps of these batches"):
            batches.batch(2)
        assert batches.batch(0)["views"].shape[0] == 4
        batches.close()


def test_after_an_error_streamed_batches_begin_anew() -> None:
    class Once(LatentViews):
        broken = True

        def __call__(self, ids, visit=0):
            if self.broken:
                self.broken = False
                raise RuntimeError("interrupted")
            return super().__call__(ids, visit)

    batches = StreamedBatches(Once(TOY, None), PLAN)
    with pytest.raises(RuntimeError, match="interrupted"):
        batches.batch(3)
    assert batches.batch(3)["ids"].tolist() == list(PLAN.batch(3)[0])
    batches.close()


@pytest.mark.gpu
def test_on_a_gpu_the_views_are_those_of_the_unthreaded_stream() -> None:
    views = LatentViews(ToyGenerator().cuda(), Gaussian("all", 0.2))
    plan = SamplePlan(batch_size=64)
    with ViewStream(views, plan, 20, prefetch=3) as ahead:
        busy = torch.randn(1024, 1024, device="cuda")
        images = []
        for batch in ahead:
            busy = (busy @ busy).tanh()
            images.append(batch.images.clone())
    for left, right in zip(images, take(20, views, plan, prefetch=0), strict=True):
        assert torch.equal(left, right.images)


@pytest.mark.parametrize("name", ["steps", "start", "reuse", "buffer", "prefetch"])
def test_misuse_is_named(name) -> None:
    options = {"steps": 3, name: -1}
    with pytest.raises(ValueError, match=f"{name}: expected an integer"):
        ViewStream(VIEWS, PLAN, **options)
