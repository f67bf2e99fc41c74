"""What is measured or learnt of a generator that makes no numbers of some of its samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genviews.domains import measure_scales
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.rng import Rng


class Mapped(ToyGenerator):
    """Its mapping overflows where the first number is above a bound."""

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.bound = bound

    def map(self, z, label=None, **settings):
        w = super().map(z, label, **settings)
        return torch.where(z[:, :1, None] > self.bound, torch.full_like(w, torch.nan), w)


def drawn(bound: float) -> CallableGenerator:
    """It draws nothing where the first number is above a bound."""

    def draw(z):
        images = z.tanh().reshape(-1, 1, 4, 4)
        return torch.where(z[:, :1, None, None] > bound, torch.full_like(images, torch.nan), images)

    return CallableGenerator(draw, z_dim=16)


MOST = 0.7  # above it are a quarter of the samples
KINDS = pytest.mark.parametrize("make", [Mapped, drawn])


def test_directions_are_those_of_the_finite_samples() -> None:
    found = PCAStatistics.measure(Mapped(MOST), num_samples=400, batch_size=64)
    toy, kept = ToyGenerator(), Mapped(MOST)
    z = toy.sample(Rng(0, "pca statistics").streams(range(400)))
    w = toy.map(z)[kept.map(z).isfinite().flatten(1).all(1)][:, 0].double().numpy()
    assert 250 < len(w) < 350
    values = np.linalg.eigvalsh(np.cov(w, rowvar=False))[::-1]
    np.testing.assert_allclose(found.stddev, np.sqrt(values), rtol=1e-5)
    with pytest.raises(ValueError, match=r"finite samples of w: expected .* got 0"):
        PCAStatistics.measure(Mapped(-9.0), num_samples=40)


@KINDS
def test_strengths_are_those_of_finite_pictures(make) -> None:
    generator = make(MOST)
    few = PCAStatistics.measure(generator, 1000) if make is Mapped else None
    found = measure_scales(GeneratorKit(generator, directions=few))
    for one in found.values():
        assert all(0 < strength < 9 for strengths in one.values() for strength in strengths)
    assert found["isotropic"]["all"] if make is drawn else found["stylemix"]
    with pytest.raises(ValueError, match=r"expected finite images|finite samples of the"):
        measure_scales(GeneratorKit(make(-9.0)))


@KINDS
def test_walks_are_learnt_from_finite_pictures(make) -> None:
    config = SteerTraining(samples=32, batch=16, lr=0.05, edits=("colour",))
    assert train_walks(make(MOST), config).directions.isfinite().all()
    with pytest.raises(ValueError, match=r"expected finite images|finite pictures of a step"):
        train_walks(make(-9.0), config)
