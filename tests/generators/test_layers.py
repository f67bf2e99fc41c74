"""The layers of StyleGAN2: what is cached and when, the constant's shortcut, half precision."""

from __future__ import annotations

import math

import jaxtyping
import pytest
import torch
from torch.nn import functional as F

from genviews.generators.layers import FrozenCache
from genviews.generators.stylegan2 import StyleGAN2
from genviews.rng import Rng
from tests.generators.test_stylegan2 import random_generator


@pytest.fixture
def generator():
    return random_generator(resolution=16).requires_grad_(False)


@pytest.fixture
def latents(generator):
    return Rng(1).streams(range(3)).normal(1, generator.latent_spec.shape)[:, 0]


class Counter:
    """A value made from a weight, and how often it was made."""

    def __init__(self, weight):
        self.weight = weight
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.weight.square()


class TestFrozenCache:
    def test_made_once_while_nothing_changes(self):
        make, cache = Counter(torch.arange(3.0)), FrozenCache()
        for _ in range(3):
            assert torch.equal(cache.get(make, make.weight), torch.tensor([0.0, 1.0, 4.0]))
        assert make.calls == 1

    def test_an_in_place_change_is_seen(self):
        make, cache = Counter(torch.arange(3.0)), FrozenCache()
        cache.get(make, make.weight)
        make.weight.add_(1)
        assert torch.equal(cache.get(make, make.weight), torch.tensor([1.0, 4.0, 9.0]))

    def test_another_weight_is_seen_even_at_the_address_of_the_first(self):
        cache = FrozenCache()

        def squared(value):
            weight = torch.full((1000,), value)  # its memory is free again after the call
            return cache.get(weight.square, weight)

        for value in (1.0, 2.0, 3.0):
            assert squared(value)[0] == value**2

    def test_never_kept_while_a_weight_requires_gradients(self):
        make, cache = Counter(torch.arange(3.0)), FrozenCache()
        cache.get(make, make.weight)
        make.weight.requires_grad_()
        for _ in range(2):
            assert cache.get(make, make.weight).requires_grad
        assert make.calls == 3

    def test_nothing_from_inference_mode_is_kept(self):
        make, cache = Counter(torch.arange(3.0)), FrozenCache()
        with torch.inference_mode():
            cache.get(make, make.weight)
        assert not cache.get(make, make.weight).is_inference()


class TestImagesFollowTheWeights:
    @pytest.mark.parametrize("name", ["b4.const", "b4.conv1.weight", "b16.conv0.weight"])
    def test_changed_in_place(self, generator, latents, name):
        before = generator.synthesize(latents)
        with torch.no_grad():
            generator.synthesis.get_parameter(name).add_(0.5)
        after = generator.synthesize(latents)
        fresh = StyleGAN2(generator.config).load_weights(generator.state_dict())
        assert (after - before).abs().max() > 0.01
        assert torch.equal(after, fresh.synthesize(latents))

    def test_loaded(self, generator, latents):
        generator.synthesize(latents)
        state = {name: 0.5 * tensor for name, tensor in generator.state_dict().items()}
        fresh = StyleGAN2(generator.config).load_weights(state)
        generator.load_weights(state)
        assert torch.equal(generator.synthesize(latents), fresh.synthesize(latents))

    def test_every_weight_gets_its_gradient_in_training(self, generator, latents):
        generator.synthesize(latents)  # frozen: the caches are full
        generator.requires_grad_(True).train()
        generator.synthesize(latents).square().mean().backward()
        for name, parameter in generator.synthesis.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name

    @pytest.mark.parametrize("name", ["b4.const", "b4.conv1.weight", "b8.conv0.weight"])
    def test_the_gradient_is_that_of_the_image(self, generator, latents, name):
        """Against central differences in float64, through what a frozen network caches."""
        generator.double().requires_grad_(True)
        parameter = generator.synthesis.get_parameter(name)
        energy = generator.synthesize(latents[:1].double()).square().sum()
        (gradient,) = torch.autograd.grad(energy, parameter)
        values = []
        for step in (1e-5, -2e-5):
            with torch.no_grad():
                parameter[0, 0] += step
                values.append(generator.synthesize(latents[:1].double()).square().sum())
        expected = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close(gradient[0, 0].sum(), expected, rtol=1e-4, atol=1e-4)

    def test_latents_get_gradients_after_inference_mode(self, generator, latents):
        with torch.inference_mode():
            generator.synthesize(latents)
        leaf = latents.clone().requires_grad_()
        generator.synthesize(leaf).sum().backward()
        assert leaf.grad.abs().max() > 0


@pytest.mark.parametrize("noise", ["none", "const", "random"])
def test_the_constant_is_convolved_like_any_input(generator, latents, noise):
    """Against modulation as the paper writes it, and against the path of the other layers."""
    block = generator.synthesis.b4
    layer, w = block.conv1, latents[:, 0]
    field = torch.randn(3, 1, 4, 4, generator=Rng(0).torch()) if noise == "random" else None
    got = layer.on_constant(block.const, w, noise, field, torch.float32)
    expanded = block.const.expand(3, -1, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(got, layer(expanded.clone(), w, noise, field))

    grid = {"none": torch.zeros(1), "const": layer.noise_const, "random": field}[noise]
    style = layer.affine(w)
    for i in range(3):
        weight = layer.weight * style[i][None, :, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        x = F.conv2d(expanded[i : i + 1], weight, padding=1)
        x = x + layer.noise_strength * (grid if grid.ndim < 4 else grid[i])
        x = F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)
        torch.testing.assert_close(got[i : i + 1], x, atol=1e-5, rtol=1e-5)


def test_half_precision_of_the_last_block(generator, latents):
    exact = generator.synthesize(latents)
    half = generator.set_half(1, torch.bfloat16).synthesize(latents)
    assert half.dtype == torch.float32
    assert 0 < (half - exact).abs().max() < 0.1


@pytest.fixture
def without_type_checks():
    """The shape checks of the tests cannot be traced."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_type_checks")
def test_compiled_images_are_equal(generator, latents):
    with torch.no_grad():
        compiled = torch.compile(generator.synthesize, backend="eager")(latents)
        assert torch.equal(compiled, generator.synthesize(latents))
