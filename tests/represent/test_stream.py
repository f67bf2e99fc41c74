"""A stream's batch is a function of its step: with a thread, without, resumed or shared."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing

import pytest
import torch

from genviews.augment.base import Compose
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import HorizontalFlip
from genviews.generators.toy import ToyGenerator
from genviews.identity import describe
from genviews.perturb.noise import Gaussian
from genviews.perturb.stylemix import Independent
from genviews.represent.batches import Batches, PartBatches, local_batch
from genviews.represent.plan import SamplePlan
from genviews.represent.stream import StreamedBatches
from genviews.represent.views import LatentViews
from genviews.rng import Rng

TOY = ToyGenerator(num_classes=3)
VIEWS = LatentViews(TOY, Independent(), positives=2)
PLAN = SamplePlan(batch_size=4, num_unique=12)
PIXELS = Compose(HorizontalFlip(), ColorJitter(0.4, 0.4), name="pixels")


def take(steps=10, views=VIEWS, plan=PLAN, start=0, **options):
    with closing(StreamedBatches(views, plan, steps=steps, **options)) as batches:
        return [batches.batch(step) for step in range(start, steps)]


def equal(a, b) -> bool:
    return (a is None and b is None) or torch.equal(a, b)


def same(left, right) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        assert all(equal(a[name], b[name]) for name in a)


def ids_of(batch) -> tuple[int, ...]:
    return tuple(batch["ids"].tolist())


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
    parts = []
    for process in range(3):
        with closing(StreamedBatches(VIEWS, PLAN, **options)) as batches:
            parts.append([batches.part(step, process, 3) for step in range(10)])
    for step, batch in enumerate(whole):
        pieces = [part[step] for part in parts]
        assert [len(piece["ids"]) for piece in pieces] == [2, 1, 1]  # as torch.tensor_split
        assert sum(map(ids_of, pieces), ()) == ids_of(batch)
        for name in ("views", "labels"):
            joined = torch.cat([piece[name] for piece in pieces])
            torch.testing.assert_close(joined, batch[name], rtol=0, atol=1e-5)


def test_batches_are_those_of_the_plan() -> None:
    for step, batch in enumerate(take(7)):
        ids, visit = PLAN.batch(step)
        wanted = VIEWS(ids, visit)
        assert ids_of(batch) == ids
        assert torch.equal(batch["views"], wanted.images)
        assert torch.equal(batch["labels"], wanted.labels)


def test_pixel_views_are_drawn_by_sample_visit_and_use() -> None:
    for step, batch in enumerate(take(5, pixels=PIXELS)):
        ids, visit = PLAN.batch(step)
        plain = VIEWS(ids, visit).images
        for row, i in enumerate(ids):
            streams = Rng(0, "pixel views").streams([f"{i}/{visit}/0"])
            alone = PIXELS.augment(plain[row : row + 1], streams)
            torch.testing.assert_close(batch["views"][row : row + 1], alone, rtol=0, atol=1e-5)


def test_pixel_seed_moves_pixel_views_alone() -> None:
    plain, wanted = take(5), take(5, pixels=PIXELS)
    same(take(5, pixels=PIXELS, pixel_seed=VIEWS.seed), wanted)
    moved = take(5, pixels=PIXELS, pixel_seed=3)
    for step, (batch, before, rendered) in enumerate(zip(moved, wanted, plain, strict=True)):
        assert ids_of(batch) == ids_of(before) == ids_of(rendered)
        assert not (batch["views"] == before["views"]).flatten(2).all(2).any()
        names = [f"{i}/{PLAN.batch(step)[1]}/0" for i in ids_of(batch)]
        drawn = PIXELS.augment(rendered["views"], Rng(3, "pixel views").streams(names))
        assert torch.equal(batch["views"], drawn)
    same(take(5, pixel_seed=3), plain)  # without pixel views there is nothing to draw


@pytest.mark.parametrize(("reuse", "buffer"), [(1, 1), (3, 1), (2, 3), (4, 2)])
def test_each_rendered_batch_is_used_so_often_with_its_own_latents(reuse, buffer) -> None:
    steps = 2 * reuse * buffer
    plan = SamplePlan(batch_size=4)  # every rendered sample is another
    options = {"steps": steps, "reuse": reuse, "buffer": buffer}
    with closing(StreamedBatches(VIEWS, plan, **options)) as stream:
        batches = [stream.batch(step) for step in range(steps)]
        stats = stream.stats
    assert stats.rendered == steps // reuse
    counts = Counter(i for batch in batches for i in ids_of(batch))
    assert set(counts.values()) == {reuse}
    assert len(counts) == 4 * steps // reuse
    for batch in batches:
        assert len(set(ids_of(batch))) == 4
        # Rows that changed places took their labels and pixels with them.
        wanted = VIEWS(ids_of(batch))
        assert torch.equal(batch["labels"], wanted.labels)
        torch.testing.assert_close(batch["views"], wanted.images, rtol=0, atol=1e-5)


def test_reuse_mixes_batches_and_draws_pixels_anew() -> None:
    plan = SamplePlan(batch_size=8)
    plain = take(12, plan=plan, reuse=3, buffer=4)
    first = {frozenset(ids_of(batch)) for batch in plain[:4]}
    assert not first & {frozenset(ids_of(batch)) for batch in plain[4:]}
    jittered = take(3, plan=plan, reuse=3, pixels=PIXELS)
    assert ids_of(jittered[0]) == ids_of(jittered[1]) == ids_of(jittered[2])
    a, b, c = (batch["views"].flatten(1) for batch in jittered)
    assert not (a == b).all(1).any()
    assert not (b == c).all(1).any()


@pytest.mark.parametrize("unique", [6, 8, 11, 30, None])
@pytest.mark.parametrize(("reuse", "buffer"), [(2, 4), (3, 3)])
def test_no_batch_holds_a_sample_twice(unique, reuse, buffer) -> None:
    """Not where the mixed batches are of two epochs, nor where an epoch is a single batch."""
    plan = SamplePlan(batch_size=6, num_unique=unique)
    steps = 4 * reuse * buffer
    batches = take(steps, plan=plan, reuse=reuse, buffer=buffer)
    assert all(len(set(ids_of(batch))) == 6 for batch in batches)
    rendered = Counter(i for index in range(steps // reuse) for i in plan.batch(index)[0])
    used = Counter(i for batch in batches for i in ids_of(batch))
    assert used == Counter({i: reuse * count for i, count in rendered.items()})
    halves = StreamedBatches(VIEWS, plan, reuse=reuse, buffer=buffer, prefetch=0)
    for step in (steps - 1, steps // 2):  # two processes mix as one would
        parts = [ids_of(halves.part(step, process, 2)) for process in (0, 1)]
        assert parts[0] + parts[1] == ids_of(batches[step])


def test_memory_is_bounded_by_the_buffer() -> None:
    class Counting(LatentViews):
        made = 0

        def __call__(self, ids, visit=0):
            self.made += 1
            return super().__call__(ids, visit)

    views = Counting(TOY, None)
    with closing(StreamedBatches(views, SamplePlan(batch_size=2), steps=100)) as stream:
        stream.batch(0)
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
    with closing(StreamedBatches(views, PLAN, PIXELS, prefetch=0)) as stream:
        for step in range(5):
            stream.batch(step)
        stats = stream.stats
    assert stats.steps == stats.rendered == 5
    assert stats.images == 5 * 4 * 2
    assert stats.generation_seconds >= 5 * 0.02
    assert 0 < stats.pixel_seconds < stats.wait_seconds
    assert stats.wait_seconds >= stats.generation_seconds + stats.pixel_seconds


def test_views_that_are_ready_are_not_waited_for() -> None:
    class Slow(LatentViews):
        def __call__(self, ids, visit=0):
            time.sleep(0.1)
            return super().__call__(ids, visit)

    with closing(StreamedBatches(Slow(TOY, None), PLAN, steps=5, prefetch=4)) as stream:
        stream.batch(0)
        while stream.stats.rendered < 5:
            time.sleep(0.01)
        time.sleep(0.05)
        before = stream.stats
        for step in range(1, 5):
            stream.batch(step)
        waited = stream.stats.wait_seconds - before.wait_seconds
    assert before.generation_seconds >= 0.5
    assert waited < 0.5 * before.generation_seconds


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_in_rendering_reaches_training(prefetch) -> None:
    class Broken(LatentViews):
        def __call__(self, ids, visit=0):
            if 9 in ids:
                raise RuntimeError("out of memory")
            return super().__call__(ids, visit)

    plan = SamplePlan(batch_size=4)
    with closing(StreamedBatches(Broken(TOY, None), plan, prefetch=prefetch)) as stream:
        assert [ids_of(stream.batch(step))[0] for step in range(2)] == [0, 4]
        with pytest.raises(RuntimeError, match="out of memory"):
            stream.batch(2)


def test_batches_move_to_the_device_of_the_encoder() -> None:
    (batch,) = take(1, device="meta")
    assert batch["views"].device.type == batch["labels"].device.type == "meta"


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
            same([found], [wanted[step]])
        assert batches.stats.steps == 8
        batches.close()
        assert batches.stats.steps == 8

    def test_pixel_seed_is_passed_on_and_described(self) -> None:
        batches = [StreamedBatches(VIEWS, PLAN, PIXELS, pixel_seed=seed) for seed in (None, 0, 3)]
        views = [b.batch(2)["views"] for b in batches]
        assert torch.equal(views[0], views[1])  # VIEWS has seed 0
        (wanted,) = take(3, pixels=PIXELS, pixel_seed=3)[2:]
        assert torch.equal(views[2], wanted["views"])
        assert [describe(b)["pixel_seed"] for b in batches] == [0, 0, 3]
        for b in batches:
            b.close()

    def test_a_part_is_made_alone_and_each_process_has_one(self) -> None:
        with closing(StreamedBatches(VIEWS, PLAN, prefetch=0)) as batches:
            batches.part(3, 1, 3)
            assert batches.stats.images == 3  # of one sample
            for process, processes in ((2, 2), (-1, 2), (0, 5)):
                with pytest.raises(ValueError, match=r"process < processes <= 4, the batch size"):
                    batches.part(0, process, processes)

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
        with pytest.raises(
            ValueError, match="step: expected an integer of at least 0 and at most 1"
        ):
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
    with closing(StreamedBatches(views, plan, steps=20, prefetch=3)) as ahead:
        busy = torch.randn(1024, 1024, device="cuda")
        images = []
        for step in range(20):
            batch = ahead.batch(step)
            busy = (busy @ busy).tanh()
            images.append(batch["views"].clone())
    for left, right in zip(images, take(20, views, plan, prefetch=0), strict=True):
        assert torch.equal(left, right["views"])


@pytest.mark.parametrize("name", ["steps", "reuse", "buffer", "prefetch"])
def test_misuse_is_named(name) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected an integer"):
        StreamedBatches(VIEWS, PLAN, **{name: -1})
    with pytest.raises(ValueError, match="step: expected an integer of at least 0"):
        StreamedBatches(VIEWS, PLAN).batch(-1)
