"""The toy generator: what it claims to know about itself (inverse, mean, axes, energy, classes)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from genviews.generators.toy import ToyGenerator
from genviews.rng import Rng

SIZES = [
    {},
    {"channels": 3, "size": 16, "num_layers": 8, "seed": 1},
    {"channels": 4, "size": 2, "num_layers": 4},  # as many pixels as latents
    {"num_layers": 1, "size": 2},
    {"num_classes": 5, "channels": 2},
]


@pytest.fixture(scope="module", params=SIZES, ids=str)
def toy(request):
    return ToyGenerator(**request.param)


def sampled(generator, num, seed=0):
    label = torch.arange(num) % generator.num_classes if generator.num_classes else None
    return generator.map(generator.sample(Rng(seed).streams(range(num))), label)


def naive_image(generator, rows):
    """The formulas of the module docstring, one row and one wave at a time."""
    total = np.zeros(math.prod(generator.image_spec.shape))
    basis = iter(generator._basis.numpy())
    for mix, row in zip(generator._mix.numpy(), rows, strict=True):
        for direction in mix:
            total = total + math.asinh(sum(direction * row)) * next(basis)
    pixels = [t / math.sqrt(1 + t * t) for t in total]
    return np.array(pixels).reshape(generator.image_spec.shape)


class TestInverse:
    def test_exact_on_sampled_latents(self, toy):
        latents = sampled(toy, 300)
        assert (toy.invert(toy.synthesize(latents)) - latents).abs().max() < 1e-5

    def test_exact_on_latents_with_unequal_rows(self, toy):
        latents = Rng(0).streams(range(300)).normal(1, toy.latent_spec.shape)[:, 0]
        assert (toy.invert(toy.synthesize(latents)) - latents).abs().max() < 1e-5

    def test_a_projection_for_any_image(self, toy):
        """Inverting and rendering twice is the same as once; the images themselves change."""
        images = Rng(0).streams(range(20)).uniform(1, toy.image_spec.shape)[:, 0].double() * 2 - 1
        once = toy.synthesize(toy.invert(images))
        twice = toy.synthesize(toy.invert(once))
        assert (once - twice).abs().max() < 1e-9

    def test_pixels_at_the_ends_of_the_range_are_finite(self, toy):
        images = (
            torch.ones(2, *toy.image_spec.shape) * torch.tensor([1.0, -1.0])[:, None, None, None]
        )
        assert toy.invert(images).isfinite().all()

    def test_a_bad_image_spoils_only_itself(self, toy):
        images = toy.synthesize(sampled(toy, 3))
        spoilt = images.clone()
        spoilt[1, 0, 0, 0] = torch.nan
        latents = toy.invert(spoilt)
        assert latents[1].isnan().any()
        assert torch.equal(latents[[0, 2]], toy.invert(images)[[0, 2]])

    def test_images_are_checked(self, toy):
        with pytest.raises(ValueError, match="images: expected shape"):
            toy.invert(torch.zeros(1, 1, 3, 3))


class TestSynthesis:
    def test_formula(self, toy):
        latents = Rng(3).streams(range(2)).normal(1, toy.latent_spec.shape)[:, 0].double()
        wanted = [naive_image(toy, rows) for rows in latents.numpy()]
        np.testing.assert_allclose(toy.synthesize(latents).numpy(), wanted, atol=1e-12)

    def test_range_and_contrast(self, toy):
        images = toy.synthesize(sampled(toy, 300))
        assert images.abs().max() < 1
        assert images.std() > 0.3

    def test_gradient(self):
        toy = ToyGenerator(size=3, num_layers=2)
        latents = Rng(0).streams([0]).normal(1, (2, 4))[:, 0].double().requires_grad_()
        assert torch.autograd.gradcheck(toy.synthesize, latents)

    def test_each_row_has_less_energy_than_the_row_before(self, toy):
        latents, images = sampled(toy, 200), toy.synthesize(sampled(toy, 200))
        changes = []
        for row in range(toy.latent_spec.num_layers):
            mixed = latents.clone()
            mixed[:, row] = latents.roll(2, 0)[:, row]
            changes.append((toy.synthesize(mixed) - images).square().mean().item())
        assert changes == sorted(changes, reverse=True)
        assert changes[-1] > 1e-5

    def test_later_rows_are_higher_frequencies(self):
        toy = ToyGenerator(size=16, num_layers=8)
        waves = toy._basis.reshape(8, 4, 16, 16)
        roughness = waves.diff(dim=-1).square().sum((1, 2, 3)) + waves.diff(dim=-2).square().sum(
            (1, 2, 3)
        )
        roughness = (roughness / waves.square().sum((1, 2, 3))).tolist()
        assert roughness == sorted(roughness)

    def test_waves_are_orthogonal(self, toy):
        gram = toy._basis @ toy._basis.T
        assert (gram - gram.diag().diag()).abs().max() < 1e-12


class TestMapping:
    def test_affine_with_the_known_mean_axes_and_deviations(self, toy):
        """The map is affine in z, so its matrix gives the exact covariance."""
        label = torch.zeros(9, dtype=torch.long) if toy.num_classes else None
        z = torch.cat([torch.zeros(1, 8), torch.eye(8)]).double()
        w = toy.map(z, label)
        assert torch.equal(w, w[:, :1].expand_as(w))
        matrix = (w[1:, 0] - w[0, 0]).numpy()
        variances, directions = np.linalg.eigh(matrix.T @ matrix)
        np.testing.assert_allclose(variances[::-1], toy.stddev.numpy() ** 2, atol=1e-12)
        overlap = np.abs(np.sum(directions.T[::-1] * toy.axes.numpy(), axis=1))
        np.testing.assert_allclose(overlap, 1.0, atol=1e-12)
        assert (toy.stddev[:-1] - toy.stddev[1:]).min() > 0.1

    def test_mean(self, toy):
        error = toy.mean_latent(5000) - toy.mean
        assert error.abs().max() < 0.1
        assert (toy.map(torch.ones(5, 8), classes_of(toy), psi=0.0) - toy.mean).abs().max() < 1e-6
        assert toy.mean.norm() > 0.1


def classes_of(toy):
    return torch.arange(5) if toy.num_classes else None


class TestClasses:
    def test_halves_are_balanced_and_visible(self):
        toy = ToyGenerator()
        latents = sampled(toy, 2000)
        label = toy.classes(latents)
        assert abs(label.float().mean() - 0.5) < 0.03
        images = toy.synthesize(latents).flatten(1)
        probe = LogisticRegression(max_iter=1000).fit(images[:1000], label[:1000])
        assert probe.score(images[1000:], label[1000:]) > 0.95

    @pytest.mark.parametrize("num_classes", [2, 3, 4, 7])
    def test_sectors_in_the_plane_of_row_0(self, num_classes):
        toy = ToyGenerator()
        latents = sampled(toy, 200).double()
        x, y = ((latents[:, 0] - toy.mean) @ toy._mix[0, :2].T).numpy().T
        wanted = [
            int((math.atan2(b, a) % math.tau) / (math.tau / num_classes))
            for a, b in zip(x, y, strict=True)
        ]
        assert toy.classes(latents, num_classes).tolist() == wanted
        assert set(wanted) == set(range(num_classes))

    def test_only_row_0_matters(self):
        toy = ToyGenerator()
        latents = sampled(toy, 100)
        mixed = latents.clone()
        mixed[:, 1:] = latents.roll(1, 0)[:, 1:]
        assert torch.equal(toy.classes(mixed), toy.classes(latents))
        mixed[:, 0] = latents.roll(1, 0)[:, 0]
        assert not torch.equal(toy.classes(mixed), toy.classes(latents))

    def test_a_horizontal_flip_keeps_the_class(self):
        toy = ToyGenerator()
        latents = sampled(toy, 100)
        flipped = toy.invert(toy.synthesize(latents).flip(-1))
        assert torch.equal(toy.classes(flipped, 4), toy.classes(latents, 4))

    @pytest.mark.parametrize(("num_classes", "least"), [(2, 0.99), (5, 0.98), (10, 0.9)])
    def test_a_condition_is_nearly_always_the_class(self, num_classes, least):
        toy = ToyGenerator(num_classes=num_classes)
        latents = sampled(toy, 2000)
        right = toy.classes(latents) == torch.arange(2000) % num_classes
        assert least < right.float().mean() <= 1

    def test_views_of_a_batch(self):
        toy = ToyGenerator()
        latents = sampled(toy, 6)
        assert torch.equal(
            toy.classes(latents.reshape(2, 3, 4, 4)), toy.classes(latents).reshape(2, 3)
        )


class TestConstruction:
    def test_seed_decides_everything(self):
        z = Rng(0).streams(range(2)).normal(1, (8,))[:, 0]
        images = [toy.synthesize(toy.map(z)) for toy in map(seeded, (0, 0, 1))]
        assert torch.equal(images[0], images[1])
        assert (images[0] - images[2]).abs().max() > 0.1

    @pytest.mark.parametrize(
        ("num_layers", "ranges"),
        [
            (1, {"coarse": [0]}),
            (2, {"coarse": [0], "fine": [1]}),
            (4, {"coarse": [0], "middle": [1], "fine": [2, 3]}),
            (8, {"coarse": [0, 1], "middle": [2, 3], "fine": [4, 5, 6, 7]}),
        ],
    )
    def test_ranges(self, num_layers, ranges):
        spec = ToyGenerator(num_layers=num_layers).latent_spec
        rows = list(range(num_layers))
        assert {r.name: rows[r.rows] for r in spec.ranges} == ranges

    def test_prints_as_its_call(self):
        toy = ToyGenerator(channels=2, num_classes=3)
        assert repr(toy) == "ToyGenerator(channels=2, size=8, num_layers=4, seed=0, num_classes=3)"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"channels": 5}, "channels: expected an integer of at least 1 and at most 4, got 5"),
            ({"channels": 0}, "channels: expected an integer of at least 1"),
            ({"num_layers": 0}, "num_layers: expected an integer of at least 1"),
            ({"num_classes": 1}, "num_classes .0, or.: expected an integer of at least 2"),
            ({"size": 3}, "image size: expected at least 16 values for 4 rows of 4, got 1 x 3 x 3"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            ToyGenerator(**options)


def seeded(seed):
    return ToyGenerator(seed=seed)
