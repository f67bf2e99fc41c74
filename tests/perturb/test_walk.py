"""Walks against scipy's distributions, closed forms and naive float64 loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.stylegan2 import StyleGAN2
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.noise import Angular, Gaussian, Isotropic, Normal, Uniform
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.render import render
from genviews.rng import Rng
from genviews.testing import GENERATOR_CHECKS
from tests.networks import small_stylegan2

TOY = ToyGenerator()
WIDTH = 16
BLACK_BOX = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=WIDTH)
CLASSES = CallableGenerator(
    lambda z, c: (z + c.sum(1, keepdim=True)).tanh().reshape(-1, 1, 2, 2), z_dim=4, num_classes=3
)


def steps(perturb, batch: int = 100, views: int = 20) -> np.ndarray:
    """What is added to z, (batch * views, WIDTH)."""
    latents = torch.zeros(batch, 1, WIDTH)
    moved = perturb(BLACK_BOX, latents, views, Rng(3).streams(range(batch)))
    return moved.double().numpy().reshape(-1, WIDTH)


class TestNormal:
    @pytest.mark.parametrize(
        ("noise", "law"),
        [
            (Normal(), stats.norm()),
            (Normal(std=0.25), stats.norm(0, 0.25)),
            (Normal.fixed_bound(2.0), stats.truncnorm(-2, 2)),
            (Normal.fixed_bound(0.9), stats.truncnorm(-0.9, 0.9)),
            (Normal.fixed_bound(2.0, std=4.0), stats.truncnorm(-0.5, 0.5, scale=4.0)),
            (Normal.scaled_bound(0.4), stats.truncnorm(-2, 2, scale=0.4)),
            (Normal.scaled_bound(0.9, 3.0), stats.truncnorm(-3, 3, scale=0.9)),
        ],
    )
    def test_law_moments_and_support(self, noise, law) -> None:
        drawn = noise.draw(Rng(0).streams(range(200)), 1, (200,)).double().flatten().numpy()
        assert stats.kstest(drawn, law.cdf).pvalue > 0.01
        assert drawn.mean() == pytest.approx(0.0, abs=5 * law.std() / 200)
        assert drawn.std() == pytest.approx(law.std(), rel=0.02)
        low, high = law.support()
        assert drawn.min() >= low - 1e-6 * abs(high)
        assert drawn.max() <= high + 1e-6 * abs(high)
        if math.isfinite(high):
            assert drawn.max() > 0.97 * high  # the bound is reached, not a smaller one

    def test_the_two_readings_are_two_laws_but_for_t_2(self) -> None:
        streams = Rng(0).streams(range(50))
        fixed, scaled = (
            make(0.5).draw(streams, 1, (50,)) for make in (Normal.fixed_bound, Normal.scaled_bound)
        )
        assert fixed.abs().max() <= 0.5 < scaled.abs().max() <= 1.0
        same = Normal.fixed_bound(2.0).draw(streams, 1, (50,))
        assert torch.equal(same, Normal.scaled_bound(1.0).draw(streams, 1, (50,)))

    def test_redrawing_until_inside_has_the_same_law(self) -> None:
        naive = np.random.default_rng(0).standard_normal(100_000)
        naive = naive[np.abs(naive) <= 1.3]
        drawn = Normal.fixed_bound(1.3).draw(Rng(1).streams(range(100)), 1, (300,)).flatten()
        assert stats.ks_2samp(naive, drawn.numpy()).pvalue > 0.01

    def test_misuse_is_named(self) -> None:
        with pytest.raises(ValueError, match="std of Normal: expected a finite number"):
            Normal(std=-1.0)
        for bound in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(ValueError, match="bound of Normal"):
                Normal(bound=bound)
        with pytest.raises(ValueError, match="bound of Normal: expected a finite number above 0"):
            Normal.fixed_bound(0.0)


class TestGaussian:
    @pytest.mark.parametrize(
        ("perturb", "law"),
        [
            (Gaussian("all", 0.2), stats.truncnorm(-2, 2, scale=0.2)),
            (Gaussian("all", 1.0, 1.5), stats.truncnorm(-1.5, 1.5, scale=1.0)),
            (Gaussian("all", 0.25, None), stats.norm(0, 0.25)),
            (Gaussian("all", 0.2, reading="fixed"), stats.truncnorm(-10, 10, scale=0.2)),
            (Gaussian("all", 1.5, reading="fixed"), stats.truncnorm(-4 / 3, 4 / 3, scale=1.5)),
        ],
    )
    def test_the_law_of_both_readings(self, perturb, law) -> None:
        drawn = steps(perturb).flatten()
        assert stats.kstest(drawn, law.cdf).pvalue > 0.01
        assert np.abs(drawn).max() <= law.support()[1] + 1e-6

    def test_the_published_bound_scales_with_the_deviation(self) -> None:
        """The published code's bounds are +-2s; the paper's notation reads as +-2."""
        assert 0.39 < np.abs(steps(Gaussian("all", 0.2))).max() <= 0.4 + 1e-6
        assert 0.6 < np.abs(steps(Gaussian("all", 0.2, reading="fixed"))).max() <= 2.0

    def test_in_w_plus_only_its_rows_move(self) -> None:
        streams = Rng(0).streams(range(4))
        latents = TOY.map(TOY.sample(streams))
        moved = Gaussian("fine", 0.3)(TOY, latents, 5, streams) - latents[:, None]
        assert (moved[:, :, :2] == 0).all()
        assert 0 < moved[:, :, 2:].abs().max() <= 0.6 + 1e-6

    def test_untruncated_has_the_law_of_isotropic(self) -> None:
        ours, theirs = steps(Gaussian("all", 0.5, None)), steps(Isotropic("all", 0.5))
        assert stats.ks_2samp(ours.flatten(), theirs.flatten()).pvalue > 0.01

    def test_names_tell_variants_apart(self) -> None:
        names = [
            Gaussian("all", 0.2, *rest).name
            for rest in [(), (None,), (2.0, "fixed"), (3.0,), (2.5,), (3.0, "fixed")]
        ]
        assert names == [
            "gaussian_all_0.20",
            "gaussian-free_all_0.20",
            "gaussian-fixed_all_0.20",
            "gaussian-3_all_0.20",
            "gaussian-2.5_all_0.20",
            "gaussian-fixed-3_all_0.20",
        ]

    def test_misuse_is_named(self) -> None:
        with pytest.raises(ValueError, match="std of Gaussian"):
            Gaussian("all", -0.1)
        with pytest.raises(ValueError, match="bound of Normal"):
            Gaussian("all", 0.1, 0.0)


class TestAngular:
    def test_each_sample_keeps_its_own_norm_against_a_naive_loop(self) -> None:
        """The published code divides by one norm over the whole batch."""
        streams = Rng(0).streams(range(8))
        z = BLACK_BOX.map(BLACK_BOX.sample(streams)) * torch.linspace(0.2, 3, 8)[:, None, None]
        views = Angular("all", 1.0)(BLACK_BOX, z, 3, streams)
        noise = Normal.scaled_bound(1.0).draw(streams.child("angular"), 3, (1, WIDTH)).double()
        for i in range(8):
            for k in range(3):
                start = z[i, 0].double().numpy()
                moved = start + noise[i, k, 0].numpy()
                wanted = moved * math.sqrt((start**2).sum()) / math.sqrt((moved**2).sum())
                np.testing.assert_allclose(views[i, k, 0].numpy(), wanted, rtol=1e-5, atol=1e-6)
        norms = views.double().norm(dim=-1) / z[:, None].double().norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones_like(norms), rtol=1e-6, atol=0)
        one_norm = z[:, None] + noise.float()
        one_norm = one_norm * z.norm() / one_norm.norm()  # what the reference does
        assert (one_norm.norm(dim=-1) / z[:, None].norm(dim=-1) - 1).abs().max() > 0.1

    def test_each_row_of_w_plus_keeps_its_norm(self) -> None:
        streams = Rng(0).streams(range(4))
        latents = TOY.map(TOY.sample(streams))
        views = Angular("fine", 0.5)(TOY, latents, 5, streams)
        torch.testing.assert_close(
            views.norm(dim=-1), latents[:, None].norm(dim=-1).expand(4, 5, 4), rtol=1e-6, atol=1e-6
        )

    def test_a_latent_of_zeros_stays(self) -> None:
        assert (steps(Angular("all", 1.0), 2, 2) == 0).all()


class TestUniform:
    @pytest.mark.parametrize("std", [0.1, 1.0])
    def test_the_box(self, std) -> None:
        drawn = steps(Uniform("all", std)).flatten()
        half = math.sqrt(3) * std
        assert stats.kstest(drawn, stats.uniform(-half, 2 * half).cdf).pvalue > 0.01
        assert drawn.std() == pytest.approx(std, rel=0.02)

    @pytest.mark.parametrize("std", [0.1, 1.0])
    def test_the_ball(self, std) -> None:
        drawn = steps(Uniform("all", std, "ball"))
        radius = std * math.sqrt(WIDTH + 2)
        lengths = np.linalg.norm(drawn, axis=1)
        assert stats.kstest((lengths / radius) ** WIDTH, "uniform").pvalue > 0.01
        assert drawn.std() == pytest.approx(std, rel=0.02)
        # One coordinate of a direction uniform on the sphere: (1 + c) / 2 is a beta variable.
        cosine = (drawn[:, 0] / lengths + 1) / 2
        beta = stats.beta((WIDTH - 1) / 2, (WIDTH - 1) / 2)
        assert stats.kstest(cosine, beta.cdf).pvalue > 0.01

    def test_in_one_dimension_the_ball_is_the_box(self) -> None:
        line = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 1, 1), z_dim=1)
        streams = Rng(0).streams(range(500))
        moved = Uniform("all", 0.5, "ball")(line, torch.zeros(500, 1, 1), 4, streams)
        law = stats.uniform(-math.sqrt(0.75), 2 * math.sqrt(0.75))
        assert stats.kstest(moved.flatten().double().numpy(), law.cdf).pvalue > 0.01

    def test_an_unknown_shape_is_named(self) -> None:
        with pytest.raises((ValueError, TypeError), match="shape"):
            Uniform("all", 0.5, "sphere")


class TestIndependent:
    def test_views_are_samples_of_the_prior_that_forget_the_anchor(self) -> None:
        independent = Independent(noise=Normal.fixed_bound(0.9))
        streams = Rng(3).streams(range(300))
        anchors = Normal.fixed_bound(0.9).draw(Rng(4).streams(range(300)), 1, (WIDTH,))
        views = independent(BLACK_BOX, anchors, 2, streams)
        drawn = views.double().flatten().numpy()
        assert stats.kstest(drawn, stats.truncnorm(-0.9, 0.9).cdf).pvalue > 0.01
        both = torch.stack([anchors.flatten(), views[:, 0].flatten(), views[:, 1].flatten()])
        correlation = torch.corrcoef(both.double()) - torch.eye(3)
        assert correlation.abs().max() < 4.5 / both.shape[1] ** 0.5

    def test_the_class_stays(self) -> None:
        labels = torch.arange(12) % 3
        streams = Rng(0).streams(range(12))
        latents = CLASSES.map(CLASSES.sample(streams), labels)
        views = Independent()(CLASSES, latents, 4, streams, labels)
        assert (views[..., 4:] == latents[:, None, :, 4:]).all()
        assert not (views[..., :4] == latents[:, None, :, :4]).any()

    def test_a_conditional_generator_needs_labels(self) -> None:
        with pytest.raises(ValueError, match="label of Independent: expected a class for each"):
            Independent()(CLASSES, torch.zeros(2, 1, 4), 1, Rng(0).streams(range(2)))

    def test_truncation_of_the_mapping(self) -> None:
        streams = Rng(0).streams(range(4))
        latents = TOY.map(TOY.sample(streams))
        mean = Independent(psi=0.0)(TOY, latents, 2, streams)
        torch.testing.assert_close(mean, TOY.mean.float().expand_as(mean))
        some = Independent(psi=0.0, cutoff=2)(TOY, latents, 2, streams)
        assert torch.equal(some[:, :, :2], mean[:, :, :2])
        assert torch.equal(some[:, :, 2:], Independent()(TOY, latents, 2, streams)[:, :, 2:])

    def test_names_tell_priors_apart(self) -> None:
        assert Independent().name == "independent_all"
        assert GeneratorKit(TOY).perturbation("independent_all") == Independent()
        assert Independent("fine", 0.5).name == "independent_fine_0.50"
        other = Independent(noise=Normal(std=0.4, bound=2.0), psi=0.9, cutoff=3)
        assert other.name == "independent-std0.4-bound2-psi0.9-cutoff3_all"


@pytest.mark.parametrize("make", [Gaussian, Angular, Uniform, Isotropic, StyleMix, Independent])
def test_no_perturbation_can_move_the_class(make) -> None:
    """It is no part of the latent: what is rendered is of the class that it is told."""
    label = torch.arange(6) % 3
    streams = Rng(0).streams(range(6))
    latents = CLASSES.map(CLASSES.sample(streams), label)
    views = make("all", 1.0)(CLASSES, latents, 4, streams, label)
    assert views.shape == (6, 4, 1, 4)
    assert not (views == latents[:, None]).any()


class TestZSpace:
    def stylegan2(self, classes: int = 0) -> StyleGAN2:
        return StyleGAN2(small_stylegan2(c_dim=classes)).eval()

    @pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
    @pytest.mark.parametrize("classes", [0, 3])
    def test_the_contract_of_generators(self, check, classes) -> None:
        check(z_space(ToyGenerator(num_classes=classes), psi=0.9))

    @pytest.mark.parametrize("cutoff", [None, 2])
    @pytest.mark.parametrize("classes", [0, 3])
    def test_rendering_is_mapping_then_synthesis(self, classes, cutoff) -> None:
        base = self.stylegan2(classes)
        base.mapping.w_avg.normal_(std=0.3)
        generator = z_space(base, psi=0.7, cutoff=cutoff)
        streams = Rng(0).streams(range(5))
        labels = torch.arange(5) % classes if classes else None
        z = generator.sample(streams)
        views = Gaussian("all", 0.25, None)(generator, generator.map(z, labels), 2, streams)
        noise = streams.child("gaussian").normal(2, (6,))
        images = render(generator, views, label=labels)
        for k in range(2):
            latents = base.map(z + 0.25 * noise[:, k], labels, psi=0.7, cutoff=cutoff)
            torch.testing.assert_close(images[:, k], base.synthesize(latents))

    def test_truncation_is_in_the_identity(self) -> None:
        from genviews.identity import key

        hashes = {key(z_space(TOY, psi=p, cutoff=c)) for p, c in [(1.0, None), (0.9, None)]}
        hashes |= {key(z_space(TOY, psi=0.9, cutoff=2))}
        assert len(hashes) == 3

    def test_a_generator_in_z_space_is_refused(self) -> None:
        with pytest.raises(ValueError, match="generator: expected one with a mapping"):
            z_space(BLACK_BOX)
