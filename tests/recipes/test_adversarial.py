"""Losses, R1, averages and style mixing against naive float64 loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from genviews.rng import Rng
from recipes.fashion32.adversarial import (
    average_beta,
    discriminator_loss,
    draw_crossover,
    generator_loss,
    gradient_penalty,
    lazy_adam,
    mix_styles,
    relativistic_loss,
    update_average,
)
from recipes.fashion32.discriminator import Discriminator


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_losses_equal_naive_formulas():
    fake = torch.tensor([-3.0, 0.5, 40.0, 1.0]).double()
    real = torch.tensor([2.0, -0.5, -30.0, 0.0]).double()

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    # -log s(D(G(z))), and -log(1 - s(D(G(z)))) - log s(D(x)), with 1 - s(x) = s(-x)
    expected_g = np.mean([-math.log(sigmoid(float(x))) for x in fake])
    expected_d = np.mean([-math.log(sigmoid(-float(x))) for x in fake])
    expected_d += np.mean([-math.log(sigmoid(float(x))) for x in real])
    assert float(generator_loss(fake)) == pytest.approx(expected_g, rel=1e-12)
    assert float(discriminator_loss(fake, real)) == pytest.approx(expected_d, rel=1e-12)


def test_relativistic_loss_equals_the_formula_of_the_paper():
    fake = torch.tensor([-3.0, 0.5, 40.0, 1.0]).double()
    real = torch.tensor([2.0, -0.5, -30.0, 1.0]).double()

    def f(t):
        return -math.log(1 + math.exp(-t))

    # arXiv 2501.05441, eq. 2: L = E f(D(G(z)) - D(x)), which the discriminator raises in the
    # direction of real images and the generator in that of made ones.
    expected_g = -np.mean([f(float(a) - float(b)) for a, b in zip(fake, real, strict=True)])
    expected_d = -np.mean([f(float(b) - float(a)) for a, b in zip(fake, real, strict=True)])
    assert float(relativistic_loss(fake, real)) == pytest.approx(expected_g, rel=1e-12)
    assert float(relativistic_loss(real, fake)) == pytest.approx(expected_d, rel=1e-12)
    # Only the distance within each pair counts, and pairs are not means.
    assert float(relativistic_loss(fake + 7, real + 7)) == pytest.approx(expected_g, rel=1e-12)
    assert float(relativistic_loss(fake.flip(0), real)) != pytest.approx(expected_g, rel=1e-3)


def test_gradients_of_the_relativistic_loss_and_of_the_penalty_are_exact():
    fake, real = (torch.randn(5, generator=rng(i), dtype=torch.float64) for i in (1, 2))
    assert torch.autograd.gradcheck(
        relativistic_loss, (fake.requires_grad_(), real.requires_grad_())
    )
    net = Uncoupled()
    images = torch.randn(2, 1, 3, 4, generator=rng(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda weight: gradient_penalty(net, images), net.weight)


def test_penalty_on_made_images_leaves_the_generator_alone():
    net = Uncoupled()
    latent = torch.randn(2, 12, generator=rng(1), dtype=torch.float64, requires_grad=True)
    gradient_penalty(net, latent.tanh().view(2, 1, 3, 4)).backward()
    assert latent.grad is None
    assert bool(net.weight.grad.any())


class Uncoupled(nn.Module):
    """A smooth critic without a batch statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(12, generator=rng(3), dtype=torch.float64))

    def forward(self, images, label=None):
        return torch.tanh(images.flatten(1) @ self.weight) + images.square().flatten(1).sum(1)


def test_r1_equals_one_image_at_a_time():
    net = Uncoupled()
    images = torch.randn(5, 1, 3, 4, generator=rng(1), dtype=torch.float64)
    total = 0.0
    for image in images:
        image = image[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(net(image)[0], image)
        total += float((gradient**2).sum())
    got = gradient_penalty(net, images)
    assert float(got.detach()) == pytest.approx(total / 5, rel=1e-12)


def test_r1_gradient_in_the_weights_equals_finite_differences():
    net = Discriminator(image_channels=1, size=8, channels={4: 3, 8: 3}, rng=rng()).double()
    images = torch.randn(4, 1, 8, 8, generator=rng(1), dtype=torch.float64)
    weight = net.blocks[0].conv1.weight
    (got,) = torch.autograd.grad(gradient_penalty(net, images), weight)
    direction = torch.randn(weight.shape, generator=rng(2), dtype=torch.float64)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight.add_(direction, alpha=sign * 1e-6)
        values.append(float(gradient_penalty(net, images).detach()))
        with torch.no_grad():
            weight.sub_(direction, alpha=sign * 1e-6)
    slope = (values[0] - values[1]) / 2e-6
    assert float((got * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_lazy_adam_is_corrected_for_the_extra_step():
    net = Uncoupled()
    group = lazy_adam(net, lr=0.0025, betas=(0.5, 0.99), interval=16).param_groups[0]
    assert group["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert group["betas"] == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)))
    plain = lazy_adam(net, lr=0.0025, betas=(0.0, 0.99)).param_groups[0]
    assert (plain["lr"], plain["betas"]) == (0.0025, (0.0, 0.99))


def test_average_beta_is_a_half_life_with_a_ramp():
    def beta(shown, batch=32, ramp=0.05):
        return average_beta(batch=batch, images_shown=shown, half_life=10_000, ramp=ramp)

    assert beta(0) == 0.0
    assert beta(6_400) == pytest.approx(0.5 ** (32 / 320))
    assert beta(200_000) == beta(10**7) == pytest.approx(0.5 ** (32 / 10_000))
    assert beta(0, ramp=None) == pytest.approx(0.5 ** (32 / 10_000))
    # After one half-life of images a weight has moved half of the way.
    assert beta(10**7) ** (10_000 / 32) == pytest.approx(0.5)


def test_update_average_moves_parameters_and_copies_buffers():
    average, current = nn.BatchNorm1d(3).double(), nn.BatchNorm1d(3).double()
    with torch.no_grad():
        current.weight.copy_(torch.tensor([1.0, 3.0, -1.0]))
        current.running_mean.fill_(5.0)
    update_average(average, current, 0.75)
    assert torch.allclose(average.weight, torch.tensor([1.0, 1.5, 0.5]).double())
    assert torch.equal(average.running_mean, current.running_mean)
    assert average.weight.grad_fn is None


def test_mix_styles_takes_rows_from_the_crossover_on():
    first, second = torch.zeros(4, 5, 2), torch.ones(4, 5, 2)
    mixed = mix_styles(first, second, torch.tensor([1, 3, 4, 5]))
    assert mixed[:, :, 0].tolist() == [
        [0, 1, 1, 1, 1],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],
    ]


def test_crossover_is_uniform_and_mixes_as_often_as_asked():
    streams = Rng(0).streams(range(20_000))
    drawn = draw_crossover(streams, 8, 0.9).numpy()
    counts = np.bincount(drawn, minlength=9)
    assert counts[0] == 0
    assert counts[8] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert np.allclose(counts[1:8] / 20_000, 0.9 / 7, atol=0.01)
    assert (draw_crossover(streams[:100], 8, 0.0) == 8).all()
    assert draw_crossover(streams[5:9], 8, 0.9).tolist() == drawn[5:9].tolist()
