"""View sets: names, kinds, and views that depend on the image's id and the view index alone."""

from __future__ import annotations

import pytest
import torch

from genviews.augment.base import Compose, Renamed
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import HorizontalFlip, RandomCrop, Rotate
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.render import render
from genviews.rng import Rng

CROP = RandomCrop(padding=1)
FINE = StyleMix("fine")


@pytest.mark.parametrize(
    ("view_set", "name", "group"),
    [
        (ViewSet(pixels=CROP), "crop", "pixel"),
        (ViewSet(pixels=Compose(HorizontalFlip(), CROP)), "flip+crop", "pixel"),
        (ViewSet(perturbation=Isotropic("fine", 0.3)), "isotropic_fine_0.30", "latent"),
        (ViewSet(perturbation=FINE, pixels=CROP), f"crop+{FINE.name}", "combined"),
    ],
)
def test_names_and_groups(view_set, name, group):
    assert (view_set.name, view_set.group) == (name, group)


def test_misuse():
    with pytest.raises(ValueError, match="a perturbation, pixel views or both, got neither"):
        ViewSet()
    with pytest.raises(ValueError, match="per_latent: expected 1, got 4"):
        ViewSet(pixels=CROP, per_latent=4)
    with pytest.raises(ValueError, match="per_latent: expected an integer of at least 1"):
        ViewSet(pixels=CROP, perturbation=FINE, per_latent=0)


def views_of(task, view_sets, rows=slice(0, 5), **options):
    images = task.test.select(rows)
    latents = task.test_inversion.latents[rows]
    plan = ViewPlan(view_sets=view_sets, generator=task.generator, **options)
    return dict(plan.views(images.images, images.ids, latents))


def test_views_are_render_of_perturb(task):
    views = views_of(task, [ViewSet(perturbation=FINE)], num_views=3, seed=4)
    streams = Rng(4, "views").streams(task.test.ids[:5])
    expected = FINE(task.generator, task.test_inversion.latents[:5], 3, streams)
    torch.testing.assert_close(views[FINE.name], render(task.generator, expected))
    torch.testing.assert_close(
        views["reconstruction"][:, 0], task.test_inversion.reconstructions[:5]
    )
    assert torch.equal(views["image"][:, 0], task.test.images[:5])


def test_pixel_views_of_the_image_and_of_its_generated_views(task):
    both = ViewSet(perturbation=FINE, pixels=CROP)
    plain = ViewSet(perturbation=FINE)
    views = views_of(task, [ViewSet(pixels=CROP), both, plain], num_views=3)
    streams = Rng(0, "views").streams(task.test.ids[:5])
    expected = CROP(task.test.images[:5], 3, streams.child("pixel"))
    assert torch.equal(views["crop"], expected)
    expected = CROP.augment(views[FINE.name], streams.child("pixel of stylemix"))
    assert torch.equal(views[both.name], expected)


def test_scales_share_their_draws(task):
    toy, ids = task.generator, ("a", "b")
    latents = toy.map(toy.sample(Rng(1).streams(ids)))
    images = toy.synthesize(latents)
    steps = []
    for perturbation in (Isotropic("fine", 0.1), Isotropic("fine", 0.2)):
        view_sets = [ViewSet(perturbation=perturbation)]
        plan = ViewPlan(view_sets=view_sets, generator=toy, num_views=2)
        views = dict(plan.views(images, ids, latents))[perturbation.name]
        found = toy.invert(views.flatten(0, 1)).unflatten(0, (2, 2))
        steps.append(found - latents[:, None])
    assert float(steps[0].abs().max()) > 0.05
    torch.testing.assert_close(2 * steps[0], steps[1], atol=1e-3, rtol=0)


def test_fewer_views_are_the_first_of_more(task):
    sets = [
        ViewSet(pixels=CROP),
        ViewSet(perturbation=FINE),
        ViewSet(perturbation=FINE, pixels=CROP),
    ]
    many, few = (views_of(task, sets, num_views=k) for k in (6, 2))
    for view_set in sets:
        torch.testing.assert_close(few[view_set.name], many[view_set.name][:, :2])


def test_own_number_of_views_and_several_transforms_of_one_latent(task):
    identity_like = RandomCrop(padding=0)
    sets = [
        ViewSet(pixels=CROP, num_views=1),
        ViewSet(perturbation=FINE, pixels=identity_like, per_latent=4),
        ViewSet(perturbation=FINE),
    ]
    views = views_of(task, sets, num_views=6)
    assert views["crop"].shape[1] == 1
    repeated, plain = views[f"crop+{FINE.name}"], views[FINE.name]
    assert repeated.shape[1] == plain.shape[1] == 6
    torch.testing.assert_close(repeated, plain[:, [0, 0, 0, 0, 1, 1]])


@pytest.mark.parametrize(
    ("pixels", "count"),
    [
        (HorizontalFlip(1.0), 1),
        (HorizontalFlip(0.5), 5),
        (HorizontalFlip(0.01), 5),  # which seldom shows it
        (Compose(HorizontalFlip(1.0), Renamed(RandomCrop(), "still")), 1),
        (Compose(HorizontalFlip(1.0), CROP), 5),
        (Renamed(ColorJitter(hue=0.1), "hue"), 5),  # grey images have none
        (Rotate(0.0), 1),
    ],
)
@pytest.mark.parametrize("images", [1, 5])
def test_what_is_sure_has_one_view_whatever_the_images(task, pixels, count, images):
    views = views_of(task, [ViewSet(pixels=pixels)], slice(0, images), num_views=5)
    assert views[pixels.name].shape[:2] == (images, count)
    assert views_of(task, [ViewSet(pixels=pixels, num_views=2)])[pixels.name].shape[1] == 2


def test_names_must_differ(task):
    with pytest.raises(ValueError, match="view sets: expected all different"):
        views_of(task, [ViewSet(pixels=CROP), ViewSet(pixels=RandomCrop(padding=2))])


def test_what_is_no_seed_is_refused_before_any_view():
    ViewPlan(view_sets=())  # signatures are checked at the first call in a test
    with pytest.raises(TypeError, match="seed: expected an integer, got 'a'"):
        ViewPlan(view_sets=(), seed="a")
