"""A generator that gives NaN or inf for some z: such a view is never stored, shown or averaged."""

from __future__ import annotations

import json

import pytest
import torch

from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.evaluate.fidelity import GeneratedSource
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Gaussian
from genviews.represent.prior import Prior
from genviews.represent.stored import StoredViews, recreate_views, write_views
from genviews.represent.views import LatentViews

IDS = range(24)


def broken_above(limit, value=torch.nan):
    """Images of z; of those whose first number is above a limit, one pixel is not a number."""

    def decode(z):
        images = z.tanh().reshape(-1, 1, 4, 4)
        bad = torch.zeros_like(images)
        bad[:, :, 2, 3] = 1
        high = (z[:, 0] > limit)[:, None, None, None]
        return images.where(~(high & (bad > 0)), images.new_tensor(value))

    return CallableGenerator(decode, z_dim=16)


def views_of(limit=0.7, value=torch.nan, **options):
    return LatentViews(broken_above(limit, value), Gaussian("all", 1.0), **options)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_streamed_and_stored_views_are_finite_and_alike(value: float, tmp_path) -> None:
    views = views_of(value=value, positives=2)
    batch = views(IDS)
    assert batch.images.isfinite().all()
    assert (batch.latents[:, :, 0, 0] <= 0.7).all()
    assert (batch.z == batch.latents[:, 0, 0]).all()
    plain = LatentViews(broken_above(9.0), Gaussian("all", 1.0), positives=2)(IDS)
    first_bad = plain.latents[:, :, 0, 0] > 0.7
    assert batch.redrawn == int(first_bad.sum()) > 10
    untouched = ~first_bad[:, 0]  # anchors that are finite stay, and so do their finite positives
    kept = ~first_bad & untouched[:, None]
    assert torch.equal(batch.latents[kept], plain.latents[kept])
    assert not (batch.latents[first_bad] == plain.latents[first_bad]).any()

    manifest = write_views(views, tmp_path / "a", len(IDS), keep="both", shard_size=7)
    assert manifest["views that were not finite and drawn again"] == batch.redrawn
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == manifest
    stored = StoredViews(tmp_path / "a", positives=2)(IDS)
    assert torch.equal(stored.latents, batch.latents)
    assert (stored.images - batch.images).abs().max() < 0.5 / 127
    assert recreate_views(manifest, views.generator, tmp_path / "b") == manifest


def test_a_sample_does_not_depend_on_its_neighbours_or_the_visit() -> None:
    views = views_of(positives=2, pool=3)
    whole = views(IDS, 1)
    for rows in ([5], [20, 3]):
        part = views(rows, 1)
        assert torch.equal(part.latents, whole.latents[rows])
    assert torch.equal(views(IDS, 2).latents[:, 0], whole.latents[:, 0])


def test_classes_and_pseudo_classes_stay() -> None:
    views = LatentViews(broken_above(0.7), None, Prior(per_class=3, pseudo_classes=4))
    batch = views(IDS)
    assert batch.redrawn > 3
    assert batch.pseudo_labels.tolist() == [i // 3 % 4 for i in IDS]
    assert torch.equal(batch.images[:, 0], batch.images[:, 1])


class Broken(ToyGenerator):
    """Renders nothing."""

    def synthesize(self, latents, label=None):
        return super().synthesize(latents, label) * torch.nan


def test_most_are_refused_in_one_sentence(tmp_path) -> None:
    message = r"views of the generator: expected finite images, got nan or inf in 48 of 48, and in"
    views = LatentViews(Broken(), Gaussian("all", 0.1))
    with pytest.raises(ValueError, match=message):
        views(IDS)
    with pytest.raises(ValueError, match=message):
        write_views(views, tmp_path, len(IDS), keep="images")
    with pytest.raises(ValueError, match="got nan or inf in 24 of 24; mend"):
        GeneratedSource(Broken(), 24).read(IDS)


def test_latents_alone_are_refused_when_they_are_rendered(tmp_path) -> None:
    views = views_of()
    write_views(views, tmp_path, len(IDS), keep="latents")
    stored = StoredViews(tmp_path, views.generator)
    with pytest.raises(ValueError, match="latent alone was kept; store the images as well"):
        stored(IDS)


def test_fidelity_leaves_such_images_out_and_lists_them() -> None:
    batch = GeneratedSource(broken_above(0.7), 40).read(range(40))
    assert batch.images.isfinite().all()
    assert len(batch.skipped) == 40 - len(batch.ids) > 3
    assert batch.skipped[0][1] == "is not finite"


def test_views_of_images_are_finite() -> None:
    generator = broken_above(0.7)
    plan = ViewPlan(
        view_sets=(ViewSet(perturbation=Gaussian("all", 1.0)),), generator=generator, num_views=6
    )
    latents = torch.zeros(8, 1, 16)
    images = torch.zeros(8, 1, 4, 4)
    ids = [str(i) for i in range(8)]
    shown = dict(plan.views(images, ids, latents))
    assert all(views.isfinite().all() for views in shown.values())
    alone = dict(plan.views(images[:1], ["5"], latents[:1]))
    for name, views in alone.items():
        assert torch.allclose(views[0], shown[name][5], atol=1e-6)
