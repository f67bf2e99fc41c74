"""EDM: its networks against `naive_edm`, its sampler against an equation with a known solution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genviews.generators.edm import EDM, EDMConfig
from genviews.rng import Rng
from tests.generators.naive_edm import NaiveUNet

NCSN = {"embedding": "fourier", "channel_mult_noise": 2, "resample_filter": (1.0, 3.0, 3.0, 1.0)}
NETWORKS = {
    "ddpm++": {"c_dim": 3},
    "ncsn++": {**NCSN, "encoder": "residual"},
    "ncsn++, skips": {**NCSN, "encoder": "skip", "decoder": "skip", "c_dim": 2},
    "adm": {"network": "adm", "model_channels": 64, "attn_resolutions": (4,), "resolution": 4},
    "adm, classes": {"network": "adm", "c_dim": 3, "channel_mult": (1, 1, 1)},
}


def random_generator(**options):
    small = {"resolution": 8, "model_channels": 8, "channel_mult": (1, 2), "num_blocks": 1}
    more = {"img_channels": 2, "attn_resolutions": (4,), "channel_mult_emb": 2}
    generator = EDM(EDMConfig(**{**small, **more, **options})).eval().requires_grad_(False)
    draw = Rng(0, "weights").torch()
    for parameter in generator.parameters():
        scale = 0.3 if parameter.ndim < 2 else parameter[0].numel() ** -0.5
        parameter.copy_(scale * torch.randn(parameter.shape, generator=draw))
        parameter += 0.5 * (parameter.ndim < 2)
    return generator


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_are_those_of_the_equations(network):
    generator = random_generator(**NETWORKS[network])
    naive = NaiveUNet(generator.model.state_dict(), generator.config)
    x = torch.randn(1, *generator.image_spec.shape, generator=Rng(1).torch())
    label = torch.tensor([1]) if generator.num_classes else None
    wanted = naive(x[0].double().numpy(), 0.7, None if label is None else 1)
    got = generator.model(x, torch.tensor([0.7]), label)[0].numpy()
    assert np.abs(got - wanted).max() < 2e-5 * max(1, np.abs(wanted).max())


def of_gaussians(**options):
    """A network that adds nothing: the denoiser of images that are normal, of deviation 0.5."""
    generator = random_generator(channel_mult=(1,), **options)
    generator.model.dec["8x8_aux_conv"].weight.zero_()
    generator.model.dec["8x8_aux_conv"].bias.zero_()
    return generator


def test_the_sampler_solves_the_equation():
    """dx / dsigma = x sigma / (sigma^2 + s^2): the picture shrinks by s / sqrt(sigma^2 + s^2)."""
    z = of_gaussians().sample(Rng(0).streams([0]))
    exact = z * 80 * 0.5 / math.sqrt(80**2 + 0.5**2)
    errors = {}
    for solver in ("euler", "heun"):
        for steps in (16, 32):
            generator = of_gaussians(steps=steps, solver=solver)
            image = generator.synthesize(generator.map(z)).flatten(1)
            errors[solver, steps] = float((image - exact).norm() / exact.norm())
            assert generator.evaluations == (2 * steps - 1 if solver == "heun" else steps)
    assert errors["heun", 32] < errors["heun", 16] / 3  # of second order
    assert errors["euler", 16] / 3 < errors["euler", 32] < errors["euler", 16] / 1.5  # of first
    assert errors["heun", 16] < errors["euler", 32]


def test_noise_levels_are_those_of_the_paper():
    """Eq. 5, within what each network was trained for (Table 1)."""
    levels = random_generator(steps=3, rho=1.0, sigma_min=2.0, sigma_max=10.0).noise_levels()
    assert np.allclose(levels, [10, 6, 2])
    edm = random_generator().noise_levels()
    assert np.allclose([edm[0], edm[-1], len(edm)], [80, 0.002, 18])
    assert edm[9] == pytest.approx(
        (80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    )
    assert random_generator(preconditioning="ve").noise_levels()[-1] == pytest.approx(0.02)
    first = math.sqrt(math.exp(19.9 / 2 * 1e-10 + 0.1 * 1e-5) - 1)
    vp = random_generator(preconditioning="vp", sigma_min=1e-6).noise_levels()
    assert vp[-1] == pytest.approx(first, rel=1e-6)


def test_levels_of_iddpm_are_its_own():
    generator = random_generator(preconditioning="iddpm", noise_steps=50, steps=7)
    alpha = np.sin(np.pi / 2 * np.arange(51) / 50 / 1.008) ** 2
    u = [0.0]
    for j in range(50, 0, -1):
        u.insert(0, math.sqrt((u[0] ** 2 + 1) / max(alpha[j - 1] / alpha[j], 0.001) - 1))
    assert np.allclose(generator.u, u, rtol=1e-3)
    assert all(
        min(abs(level / known - 1) for known in u[:-1]) < 1e-3 for level in generator.noise_levels()
    )


@pytest.mark.parametrize("kind", ["edm", "vp", "ve", "iddpm"])
def test_preconditioning(kind):
    """D of each kind, by Table 1 of the paper, around the network's own answer."""
    generator = random_generator(preconditioning=kind, noise_steps=100)
    sigma = generator.u[40].item() if kind == "iddpm" else 1.7
    x = torch.randn(2, *generator.image_spec.shape, generator=Rng(0).torch())
    root = math.sqrt(sigma**2 + 1)
    time = (math.sqrt(0.01 + 2 * 19.9 * math.log(sigma**2 + 1)) - 0.1) / 19.9
    skip, out, given, noise = {
        "edm": (
            0.25 / (sigma**2 + 0.25),
            sigma * 0.5 / math.sqrt(sigma**2 + 0.25),
            1 / math.sqrt(sigma**2 + 0.25),
            math.log(sigma) / 4,
        ),
        "vp": (1, -sigma, 1 / root, 99 * time),
        "ve": (1, sigma, 1, math.log(sigma / 2)),
        "iddpm": (1, -sigma, 1 / root, 99 - 40),
    }[kind]
    answer = generator.model(x * given, torch.tensor([float(noise)]), None)[:, :2]
    assert torch.allclose(generator.denoised(x, sigma, None), skip * x + out * answer, atol=1e-4)


def test_the_gradient_is_that_of_the_whole_path():
    """By differences in double precision, although no evaluation is kept."""
    generator = random_generator(channel_mult=(1,), resolution=2, steps=2, sigma_max=5.0).double()
    z = generator.sample(Rng(0).streams([0]))[:, None].double()
    assert torch.autograd.gradcheck(
        lambda part: generator.synthesize(torch.cat([part, z[..., 2:]], -1))[0, 0, 0],
        z[..., :2].requires_grad_(),
        atol=1e-4,
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 9}, "multiple of 2"),
        ({"steps": 1}, "steps"),
        ({"model_channels": 10**6}, "model_channels"),
        ({"sigma_max": 0.001}, "sigma_max"),
        ({"resample_filter": (1.0, 2.0, 1.0)}, "an even number, at most 64 finite numbers"),
    ],
)
def test_an_impossible_architecture_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EDMConfig(**{"resolution": 8, "channel_mult": (1, 1), **options})
