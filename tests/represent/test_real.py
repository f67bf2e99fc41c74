"""Real views by id, and mixes whose sample i is the real image i or the generator's sample i."""

from __future__ import annotations

import inspect
import math
from statistics import NormalDist

import pytest
import torch

from genviews.augment.geometry import HorizontalFlip
from genviews.data.images import ImageSet
from genviews.generators.toy import ToyGenerator
from genviews.identity import describe
from genviews.perturb.noise import Gaussian
from genviews.represent.plan import SamplePlan
from genviews.represent.real import MixedViews, RealViews
from genviews.represent.stream import StreamedBatches
from genviews.represent.views import LatentViews
from genviews.rng import Rng

COUNT = 40
IMAGES = Rng(3).streams(range(COUNT)).normal(1, (1, 8, 8))[:, 0].tanh()
LABELS = torch.arange(COUNT) % 3


def real(images=IMAGES, labels=None, **options):
    names = () if labels is None else ("a", "b", "c")
    ids = tuple(map(str, range(len(images))))
    found = ImageSet(images=images, ids=ids, labels=labels, class_names=names)
    return RealViews(found, **options)


REAL = real(labels=LABELS, positives=2)
MADE = LatentViews(ToyGenerator(num_classes=3), Gaussian("all", 0.2), positives=2)
MIXES = pytest.mark.parametrize("mix", ["fixed", "sampled"])


def raw(function):
    """The function without the runtime check of its annotations."""
    return inspect.unwrap(function)


def mixed(share=0.3, mix="fixed", count=COUNT, **options):
    return MixedViews(REAL, MADE, share, count, mix=mix, **options)


def same(left, right) -> None:
    """Equal bit for bit, but for latents, which real images do not have."""
    assert (left.ids, left.visits) == (right.ids, right.visits)
    assert torch.equal(left.images, right.images)
    assert torch.equal(left.labels, right.labels)


class TestReal:
    def test_images_and_labels_by_id(self) -> None:
        batch = REAL([7, 0, 39], visit=2)
        assert batch.ids == (7, 0, 39)
        assert batch.visits == (2, 2, 2)
        for row, i in enumerate((7, 0, 39)):
            for view in range(3):
                assert torch.equal(batch.images[row, view], IMAGES[i])
        assert batch.labels.tolist() == [1, 0, 0]
        assert batch.z.shape == (3, 0)
        assert batch.view_z is batch.latents is batch.pseudo_labels is None
        assert torch.equal(REAL([7, 0, 39], visit=5).images, batch.images)

    def test_what_it_says_of_itself(self) -> None:
        assert len(REAL) == COUNT
        assert REAL.image_spec.shape == (1, 8, 8)
        assert (REAL.positives, REAL.pool, REAL.seed) == (2, None, 0)
        assert REAL.device == IMAGES.device

    def test_without_labels(self) -> None:
        assert real()([1]).labels is None

    def test_pixel_views_tell_the_positives_apart(self) -> None:
        plan = SamplePlan(batch_size=8, num_unique=COUNT)
        batches = StreamedBatches(REAL, plan, HorizontalFlip(), prefetch=0)
        views = batches.batch(0)["views"]
        ids = list(plan.batch(0)[0])
        flipped = (views == IMAGES[ids][:, None].flip(-1)).flatten(2).all(2)
        plain = (views == IMAGES[ids][:, None]).flatten(2).all(2)
        assert bool((flipped ^ plain).all())
        assert len(set(map(tuple, flipped.tolist()))) > 1

    def test_description_follows_images_labels_and_settings(self) -> None:
        other = IMAGES.clone()
        other[3, 0, 2, 2] += 1e-3
        views = [
            REAL,
            real(other, LABELS, positives=2),
            real(labels=LABELS.flip(0), positives=2),
            real(positives=2),
            real(labels=LABELS),
            real(labels=LABELS, positives=2, seed=1),
        ]
        found = [str(describe(v)) for v in views]
        assert len(set(found)) == len(found)
        same = real(IMAGES.clone(), LABELS.clone(), positives=2)
        assert describe(same) == describe(REAL)

    @pytest.mark.parametrize("ids", [[COUNT], [3, COUNT + 5]])
    def test_id_of_no_image(self, ids) -> None:
        with pytest.raises(ValueError, match=rf"below 40, got {max(ids)}; plan with as many uni"):
            REAL(ids)

    def test_ids_are_integers_from_0(self) -> None:
        with pytest.raises(ValueError, match="sample ids: expected integers from 0"):
            REAL([3, -1])

    def test_number_of_positives(self) -> None:
        with pytest.raises(ValueError, match="positives: expected an integer of at least 1"):
            real(positives=0)


class TestMix:
    @pytest.mark.parametrize("share", [0.0, 0.05, 0.25, 0.3125, 0.34, 0.5, 1.0])
    def test_fixed_replaces_an_exact_number_for_good(self, share) -> None:
        views = mixed(share)
        which = views.is_generated(range(COUNT))
        assert int(which.sum()) == round(share * COUNT)
        for visit in (1, 2, 7):
            assert torch.equal(views.is_generated(range(COUNT), visit), which)

    def test_fixed_samples_depend_on_the_seed_and_are_nested(self) -> None:
        half = mixed(0.5).is_generated(range(COUNT))
        assert not torch.equal(mixed(0.5, seed=1).is_generated(range(COUNT)), half)
        assert not torch.equal(half, torch.arange(COUNT) < COUNT // 2)
        quarter = mixed(0.25).is_generated(range(COUNT))
        assert bool((half | ~quarter).all())

    def test_sampled_has_the_rate_and_changes_from_visit_to_visit(self) -> None:
        count, share = 4000, 0.3
        views = mixed(share, "sampled", count)
        found = torch.stack([views.is_generated(range(count), visit) for visit in range(3)])
        # Four chances in a million that a right rate falls outside, for each visit.
        half = NormalDist().inv_cdf(1 - 2e-6) * math.sqrt(count * share * (1 - share))
        for visit in found:
            assert abs(int(visit.sum()) - share * count) < half
        # The visits are independent: two of them agree as often as coins do.
        for a, b in ((0, 1), (1, 2), (0, 2)):
            agree = share**2 + (1 - share) ** 2
            half = NormalDist().inv_cdf(1 - 2e-6) * math.sqrt(count * agree * (1 - agree))
            assert abs(int((found[a] == found[b]).sum()) - agree * count) < half
        assert torch.equal(views.is_generated(range(count), 1), found[1])

    @MIXES
    @pytest.mark.parametrize("visit", [0, 1, 5])
    def test_sample_i_is_real_i_or_generated_i(self, mix, visit) -> None:
        views, ids = mixed(0.4, mix), list(range(COUNT))
        batch, which = views(ids, visit), views.is_generated(ids, visit)
        real, made = REAL(ids, visit), MADE(ids, visit)
        for i in ids:
            part = made if which[i] else real
            assert torch.equal(batch.images[i], part.images[i])
            assert batch.labels[i] == part.labels[i]
        assert 0 < int(which.sum()) < COUNT
        assert batch.z.shape == (COUNT, 0)
        assert batch.view_z is None

    @MIXES
    @pytest.mark.parametrize(("share", "part"), [(0.0, REAL), (1.0, MADE)])
    def test_shares_0_and_1_are_the_parts(self, mix, share, part) -> None:
        for ids, visit in (([5, 2, 39], 0), ([0, 1], 3)):
            same(mixed(share, mix)(ids, visit), part(ids, visit))

    @MIXES
    def test_order_and_batch_mates_change_nothing(self, mix) -> None:
        views, ids = mixed(0.5, mix), [9, 31, 2, 17, 30, 0, 25]
        batch = views(ids, 1)
        back = views(ids[::-1], 1)
        assert torch.equal(back.images.flip(0), batch.images)
        assert torch.equal(back.labels.flip(0), batch.labels)
        for row, i in enumerate(ids):
            alone = views([i], 1)
            assert torch.equal(alone.images[0], batch.images[row])
            assert alone.labels[0] == batch.labels[row]

    def test_labels_only_where_all_samples_have_one(self) -> None:
        views = MixedViews(real(positives=2), MADE, 0.5, COUNT)
        assert views(range(COUNT)).labels is None

    def test_what_it_says_of_itself(self) -> None:
        views = mixed()
        assert views.image_spec.shape == (1, 8, 8)
        assert (views.positives, views.pool, views.device) == (2, None, IMAGES.device)
        others = [
            views,
            mixed(0.31),
            mixed(mix="sampled"),
            mixed(seed=1),
            mixed(count=39),
            MixedViews(real(positives=2), MADE, 0.3, COUNT),
            MixedViews(REAL, LatentViews(MADE.generator, None, positives=2), 0.3, COUNT),
        ]
        assert len({str(describe(v)) for v in others}) == len(others)

    def test_streams_as_batches(self) -> None:
        views, plan = mixed(0.5), SamplePlan(batch_size=8, num_unique=COUNT, seed=2)
        batches = StreamedBatches(views, plan, prefetch=0)
        for step in (0, 6):
            ids, visit = plan.batch(step)
            assert torch.equal(batches.batch(step)["views"], views(ids, visit).images)

    @pytest.mark.parametrize("call", [MixedViews.__call__, MixedViews.is_generated])
    @MIXES
    def test_id_that_is_not_mixed(self, call, mix) -> None:
        with pytest.raises(ValueError, match="below 30, got 30; plan with as many unique samples"):
            call(mixed(0.5, mix, 30), [3, 30])

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"real": real()}, r"\(1, 8, 8\) with 1 positives.*got \(1, 8, 8\) with 2"),
            (
                {"generated": LatentViews(ToyGenerator(size=16), positives=2)},
                r"expected images \(1, 8, 8\) .* got \(1, 16, 16\) with 2; resize",
            ),
            ({"share": 1.5}, r"share of generated samples: expected a number in \[0, 1\]"),
            ({"share": math.nan}, r"share of generated samples: expected a number in \[0, 1\]"),
            ({"num_samples": 0}, "num_samples: expected an integer of at least 1"),
            ({"mix": "fixd"}, "mix: expected one of fixed, sampled, got 'fixd'; did you mean 'fix"),
        ],
    )
    def test_input_is_checked(self, changes, message) -> None:
        fields = {"real": REAL, "generated": MADE, "share": 0.5, "num_samples": COUNT, **changes}
        with pytest.raises(ValueError, match=message):
            raw(MixedViews.__init__)(MixedViews.__new__(MixedViews), **fields)
