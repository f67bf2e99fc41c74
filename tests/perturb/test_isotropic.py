"""Isotropic noise has the stated distribution and comes from the stated streams."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Isotropic
from genviews.rng import Rng

TOY = ToyGenerator()


def noise(sigma: float, batch: int, num_views: int) -> torch.Tensor:
    """What is added to the fine rows (B, K, 2, 4)."""
    streams = Rng(3).streams(range(batch))
    latents = torch.zeros(batch, *TOY.latent_spec.shape)
    return Isotropic("fine", sigma)(TOY, latents, num_views, streams)[:, :, 2:]


@pytest.mark.parametrize("sigma", [0.1, 2.0])
def test_sigma_is_the_standard_deviation_of_normal_noise(sigma: float) -> None:
    drawn = noise(sigma, 50, 20).flatten().numpy()
    assert stats.kstest(drawn, "norm", args=(0.0, sigma)).pvalue > 0.01


def test_rows_and_elements_are_independent() -> None:
    drawn = noise(1.0, 200, 20).double().flatten(0, 1).flatten(1)
    correlation = torch.corrcoef(drawn.T) - torch.eye(drawn.shape[1])
    assert correlation.abs().max() < 4.5 / len(drawn) ** 0.5


def test_images_and_views_are_independent() -> None:
    streams = Rng(0).streams(range(3))
    wide = ToyGenerator(size=32, num_layers=256)
    views = Isotropic("all", 1.0)(wide, torch.zeros(3, 256, 4), 4, streams)
    drawn = views.double().flatten(0, 1).flatten(1)
    correlation = torch.corrcoef(drawn) - torch.eye(len(drawn))
    assert correlation.abs().max() < 4.5 / drawn.shape[1] ** 0.5


def test_noise_is_the_stream_times_sigma() -> None:
    streams = Rng(1).streams(["a", "b"])
    latents = TOY.map(TOY.sample(streams))
    views = Isotropic("fine", 0.7)(TOY, latents, 3, streams)
    drawn = Rng(1).child("isotropic").streams(["a", "b"]).normal(3, (2, 4))
    assert torch.equal(views[:, :, 2:], latents[:, None, 2:] + 0.7 * drawn)


def test_sigma_is_checked() -> None:
    with pytest.raises(ValueError, match="sigma of Isotropic: expected a finite number"):
        Isotropic("fine", -0.1)
