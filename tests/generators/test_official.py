"""StyleGAN2 against the official network, from the checkout in GENVIEWS_OFFICIAL_STYLEGAN2."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch.nn.functional import one_hot

from benchmarks.official import VARIABLE, load_networks, official_twin
from genviews.rng import Rng
from tests.generators.test_stylegan2 import CASES, random_generator

needs_checkout = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no stylegan2-ada-pytorch checkout"
)


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    networks = load_networks(Path(os.environ[VARIABLE]))
    ours = random_generator(**CASES[request.param])
    return ours, official_twin(networks, ours)


@needs_checkout
@pytest.mark.parametrize(("psi", "cutoff"), [(1.0, None), (0.5, None), (0.5, 3)])
def test_mapping(pair, psi, cutoff):
    ours, official = pair
    z = ours.sample(Rng(0).streams(range(3)))
    label = torch.arange(3) % ours.num_classes if ours.num_classes else None
    condition = None if label is None else one_hot(label, ours.num_classes).float()
    wanted = official.mapping(z, condition, truncation_psi=psi, truncation_cutoff=cutoff)
    torch.testing.assert_close(
        ours.map(z, label, psi=psi, cutoff=cutoff), wanted, rtol=0, atol=1e-5
    )


@needs_checkout
@pytest.mark.parametrize("noise", ["const", "none"])
def test_synthesis(pair, noise):
    ours, official = pair
    latents = Rng(1).streams(range(3)).normal(1, ours.latent_spec.shape)[:, 0]
    wanted = official.synthesis(latents, noise_mode=noise)
    torch.testing.assert_close(ours.synthesis(latents, noise=noise), wanted, rtol=0, atol=1e-4)


@needs_checkout
def test_gradient_of_the_latents(pair):
    ours, official = pair
    latents = Rng(2).streams(range(3)).normal(1, ours.latent_spec.shape)[:, 0].requires_grad_()
    weight = Rng(3).streams(range(3)).normal(1, ours.image_spec.shape)[:, 0]
    images = official.synthesis(latents, noise_mode="const")
    (wanted,) = torch.autograd.grad((images * weight).sum(), latents)
    (got,) = torch.autograd.grad((ours.synthesize(latents) * weight).sum(), latents)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder with training/networks\.py"):
        load_networks(tmp_path)
