"""Views that share rows, with each kind of noise."""

from __future__ import annotations

import inspect

import pytest
import torch

from genviews.generators.stylegan2_networks import SynthesisNetwork
from genviews.rng import Rng
from tests.generators.test_stylegan2 import random_generator


@pytest.fixture(scope="module")
def generator():
    return random_generator(resolution=16).requires_grad_(False)


@pytest.fixture(scope="module")
def views(generator):
    """(2, 3, L, D): three views of two latents, equal below row 3."""
    rows, dim = generator.latent_spec.shape
    made = Rng(0).streams(range(2)).normal(3, (rows, dim))
    made[:, :, :3] = made[:, :1, :3]
    return made


@pytest.mark.parametrize("shared", [1, 2, 3])
@pytest.mark.parametrize("noise", ["none", "const", "random"])
def test_shared_rows_change_no_image(generator, views, noise, shared):
    streams = Rng(5).streams(range(2)) if noise == "random" else None
    flat = views.flatten(0, 1)
    together = generator.synthesis(flat, noise, streams, views=3, shared_rows=shared)
    apart = generator.synthesis(flat, noise, streams, views=3)
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=1e-5)


def test_rows_may_all_be_shared(generator, views):
    flat = views[:, :1].expand(-1, 3, -1, -1).flatten(0, 1)
    rows = generator.latent_spec.num_layers
    together = generator.synthesis(flat, views=3, shared_rows=rows)
    torch.testing.assert_close(together, generator.synthesis(flat), atol=1e-5, rtol=1e-5)


def test_random_noise_differs_between_views_of_one_latent(generator, views):
    flat = views[:, :1].expand(-1, 3, -1, -1).flatten(0, 1)
    streams = Rng(5).streams(range(2))
    images = generator.synthesis(flat, "random", streams, views=3, shared_rows=6)
    assert (images[0] - images[1]).abs().max() > 0.01


def test_unknown_noise_names_the_closest(generator, views):
    forward = inspect.unwrap(SynthesisNetwork.forward)  # without the type check of the tests
    with pytest.raises(ValueError, match=r"noise mode: .* did you mean 'const'"):
        forward(generator.synthesis, views[:, 0], "constant")
