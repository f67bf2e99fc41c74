"""Views of anchors equal the steps done by hand, and come from (seed, id, view index) alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.toy import ToyGenerator
from genviews.identity import describe
from genviews.perturb.noise import Gaussian, Normal
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.perturb.walks import Steer, Walks
from genviews.represent.prior import Prior
from genviews.represent.views import LatentViews
from genviews.rng import Rng

TOY = ToyGenerator()
CONDITIONAL = ToyGenerator(num_classes=3)
BLACK_BOX = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
STATISTICS = PCAStatistics.measure(TOY, num_samples=300)
DIRECTIONS = 0.3 * Rng(0, "walks").streams(range(2)).normal(1, (4, 4))[:, 0]
WALKS = Walks(directions=DIRECTIONS, names=("shiftx", "shifty"))

CASES = {
    "none": (TOY, None),
    "gaussian in w+": (TOY, Gaussian("all", 0.2)),
    "gaussian in z of a black box": (BLACK_BOX, Gaussian("all", 0.2)),
    "gaussian in z before the mapping": (z_space(TOY, psi=0.9), Gaussian("all", 0.2)),
    "style-mix": (TOY, StyleMix("fine")),
    "pca": (TOY, PCA("coarse", 2.0, STATISTICS)),
    "steered": (TOY, Steer("all", WALKS)),
    "independent": (CONDITIONAL, Independent()),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_views_are_sample_perturb_synthesize_by_hand(case) -> None:
    generator, perturbation = case
    ids = [5, 0, 9]
    batch = LatentViews(generator, perturbation, positives=3, seed=4)(ids)
    streams = Rng(4, "latent views").streams(ids)
    anchors = Prior().sample(generator, streams)
    for row in range(3):
        rows = [anchors.latents[row]] * 4
        if perturbation is not None:
            label = None if anchors.labels is None else anchors.labels[[row]]
            alone = perturbation(
                generator,
                anchors.latents[[row]],
                3,
                Rng(4, "latent views").streams([ids[row]]),
                label,
            )
            rows[1:] = list(alone[0])
        for view, latent in enumerate(rows):
            image = generator.synthesize(latent[None])[0].clamp(-1, 1)
            torch.testing.assert_close(batch.images[row, view], image, rtol=0, atol=1e-5)
    assert batch.images.shape == (3, 4, *generator.image_spec.shape)
    assert torch.equal(batch.z, anchors.z)
    assert torch.equal(batch.latents[:, 0], anchors.latents)
    assert batch.ids == (5, 0, 9)
    assert not batch.images.requires_grad


def test_batch_mates_and_number_of_positives_change_nothing(case) -> None:
    generator, perturbation = case
    many = LatentViews(generator, perturbation, positives=4)(range(6))
    few = LatentViews(generator, perturbation, positives=2)([4, 1])
    torch.testing.assert_close(few.images, many.images[[4, 1], :3], rtol=0, atol=1e-5)
    torch.testing.assert_close(few.latents, many.latents[[4, 1], :3], rtol=0, atol=1e-5)
    if many.labels is not None:
        assert torch.equal(few.labels, many.labels[[4, 1]])


def test_a_positive_keeps_its_class_and_labels_are_the_anchors() -> None:
    batch = LatentViews(CONDITIONAL, Independent(), positives=5)(range(40))
    classes = CONDITIONAL.classes(batch.latents)
    assert (classes == batch.labels[:, None]).float().mean() > 0.95
    assert (batch.latents[:, 1] != batch.latents[:, 0]).any(-1).any(-1).all()


def test_z_of_each_view_renders_that_view() -> None:
    """The reference pairs the anchor's z with the image of its neighbour."""
    base, psi = TOY, 0.9
    batch = LatentViews(z_space(base, psi=psi), Gaussian("all", 0.5), positives=2)(range(5))
    for view in range(3):
        again = base.synthesize(base.map(batch.view_z[:, view], psi=psi))
        torch.testing.assert_close(batch.images[:, view], again, rtol=0, atol=1e-5)
    assert torch.equal(batch.view_z[:, 0], batch.z)
    same = LatentViews(TOY, None)(range(5))
    assert torch.equal(same.view_z, same.z[:, None].expand(-1, 2, -1))
    assert LatentViews(TOY, StyleMix("fine"))(range(5)).view_z is None


def test_without_a_pool_each_visit_has_new_positives_of_the_same_anchor() -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2), positives=2)
    first, second = views([3, 1], visit=0), views([3, 1], visit=1)
    assert torch.equal(first.images[:, 0], second.images[:, 0])
    latents = torch.cat([first.latents, second.latents[:, 1:]], dim=1)
    assert all(len(row.flatten(1).unique(dim=0)) == 5 for row in latents)
    longer = LatentViews(TOY, Gaussian("all", 0.2), positives=4)([3, 1])
    assert torch.equal(longer.latents, latents)


def test_a_pool_shows_some_of_its_positives_at_each_visit() -> None:
    whole = LatentViews(TOY, Gaussian("all", 0.2), positives=6)(range(30)).latents[:, 1:]
    views = LatentViews(TOY, Gaussian("all", 0.2), positives=2, pool=6)
    counts = torch.zeros(6)
    for visit in range(40):
        batch = views(range(30), visit)
        hits = (batch.latents[:, 1:, None] == whole[:, None]).all(-1).all(-1)  # (B, 2, 6)
        assert (hits.sum(-1) == 1).all()
        assert (hits.sum(1) <= 1).all()  # two different ones
        counts += hits.sum((0, 1))
    expected = 30 * 40 * 2 / 6
    assert ((counts - expected).abs() < 5 * expected**0.5).all()
    chosen = [views.choose([7], visit)[0].tolist() for visit in range(20)]
    assert len({tuple(c) for c in chosen}) > 5
    assert torch.equal(views.choose([7, 8], 3)[1], views.choose([8], 3)[0])


def test_a_whole_pool_is_the_same_at_each_visit() -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2), positives=2, pool=2)
    assert torch.equal(views([3, 1], 0).images, views([3, 1], 5).images)
    fresh = LatentViews(TOY, Gaussian("all", 0.2), positives=2)
    assert torch.equal(views([3, 1], 5).images, fresh([3, 1], 0).images)


def test_images_are_in_range_when_the_generator_overshoots() -> None:
    loud = CallableGenerator(lambda z: 2 * z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
    images = LatentViews(loud, Gaussian("all", 0.2))(range(20)).images
    assert images.min() == -1
    assert images.max() == 1


def test_to_moves_every_tensor() -> None:
    moved = LatentViews(CONDITIONAL, None)(range(3)).to("meta")
    assert {value.device.type for value in moved.tensors().values()} == {"meta"}
    assert set(moved.tensors()) == {"images", "z", "view_z", "latents", "labels"}


def test_description_tells_configurations_apart() -> None:
    texts = {
        json.dumps(describe(views))
        for views in (
            LatentViews(TOY),
            LatentViews(TOY, seed=1),
            LatentViews(TOY, positives=2),
            LatentViews(TOY, pool=2),
            LatentViews(ToyGenerator(seed=1)),
            LatentViews(TOY, Gaussian("all", 0.2)),
            LatentViews(TOY, Gaussian("all", 0.2, 3.0)),
            LatentViews(TOY, PCA("coarse", 2.0, STATISTICS)),
            LatentViews(TOY, PCA("coarse", 2.0, PCAStatistics.measure(TOY, 200))),
            LatentViews(TOY, Steer("all", WALKS)),
            LatentViews(TOY, Steer("all", replace(WALKS, directions=DIRECTIONS + 1))),
            LatentViews(TOY, prior=Prior(psi=0.9)),
            LatentViews(BLACK_BOX),
        )
    }
    assert len(texts) == 13


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LatentViews(TOY, positives=0), "positives: expected an integer of at least 1"),
        (lambda: LatentViews(TOY, positives=3, pool=2), "pool: expected an integer of at least 3"),
        (lambda: LatentViews(TOY, Gaussian("fien", 0.1)), "layer range: .*'fine'"),
        (lambda: LatentViews(TOY, prior=Prior(per_class=2)), "per_class of Prior"),
        (
            lambda: LatentViews(TOY, Independent(), Prior(noise=Normal.fixed_bound(2.0))),
            r"independent views: expected the prior of the anchors.*prior\.independent",
        ),
        (lambda: LatentViews(TOY)([-1]), "sample ids: expected integers from 0"),
        (lambda: LatentViews(TOY)([True, False]), "sample ids: .* got True, False"),
        (lambda: LatentViews(TOY)([1], visit=-1), "visit: expected an integer of at least 0"),
    ],
)
def test_misuse_is_named(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
