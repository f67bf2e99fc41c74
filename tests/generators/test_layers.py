"""The layers of StyleGAN2: caches, gradients by hand, the constant's shortcut."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import pytest
import torch
from torch.nn import functional as F
from torch.profiler import profile

from genviews.generators import modulation
from genviews.generators.edm_config import EDMConfig
from genviews.generators.layers import FrozenCache, ModulatedConv, ToImage
from genviews.generators.r3gan import R3GANConfig
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.rng import Rng
from tests.generators.test_stylegan2 import CASES, random_generator

CONFIGS = {
    "stylegan2": (StyleGAN2Config, {"resolution": 8}),
    "r3gan": (R3GANConfig, {"widths": (4,), "groups": (1,), "blocks": (1,)}),
    "edm": (EDMConfig, {"resolution": 8}),
}
NO_TAPS = [(1.0,), (1.0, -1.0), (1.0, math.nan), (math.inf, 1.0), ("a", "b"), (1.0,) * 66, 3, "ab"]


@pytest.mark.as_installed  # types are looked at by nobody else
@pytest.mark.parametrize("taps", NO_TAPS, ids=repr)
@pytest.mark.parametrize("family", CONFIGS)
def test_what_is_no_low_pass_filter_is_refused(family, taps):
    kind, sizes = CONFIGS[family]
    with pytest.raises(ValueError, match=r"^resample_filter: expected .* 64 finite numbers, whose"):
        kind(**sizes, resample_filter=taps)


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

    def test_nothing_from_autocast_is_kept(self, generator, latents):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            leaf = latents.clone().requires_grad_()
            coarse = generator.synthesize(leaf)
            coarse.sum().backward()
        exact = generator.synthesize(latents)
        assert 0 < (coarse - exact).abs().max() < 0.1
        assert leaf.grad.abs().max() > 0


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


def gradient(generator, latents, noise="const"):
    """Of a sum that weights every pixel differently, with respect to the latents."""
    leaf = latents.clone().requires_grad_()
    streams = Rng(5).streams(range(len(leaf))) if noise == "random" else None
    images = generator.synthesis(leaf, noise=noise, streams=streams)
    weights = torch.linspace(-1, 2, images.numel()).reshape(images.shape).to(images)
    return images.detach(), torch.autograd.grad((images * weights).sum(), leaf)[0]


@pytest.fixture
def however_small(monkeypatch):
    """Gradients by hand, even where they do not pay."""
    monkeypatch.setattr(modulation, "BY_HAND_FROM", 0)


@pytest.mark.usefixtures("however_small")
class TestFrozenGenerator:
    """Frozen weights: gradients by hand. Trained weights: gradients by torch. They are the same."""

    @pytest.mark.parametrize("case", CASES)
    @pytest.mark.parametrize(
        ("noise", "dtype", "tolerance"),
        [
            ("none", torch.float64, 1e-11),
            ("const", torch.float32, 3e-5),
            ("random", torch.float64, 1e-11),
        ],
        ids=["none f64", "const f32", "random f64"],
    )
    def test_same_images_and_gradients_as_in_training(self, case, noise, dtype, tolerance):
        trained = random_generator(**CASES[case]).to(dtype)
        frozen = copy.deepcopy(trained).requires_grad_(False)
        shape = trained.latent_spec.shape
        latents = Rng(1).streams(range(3)).normal(1, shape)[:, 0].to(dtype)
        wanted_images, wanted = gradient(trained, latents, noise)
        images, got = gradient(frozen, latents, noise)
        assert wanted.abs().amin(dim=(0, 2)).max() > 0
        assert (images - wanted_images).norm() <= tolerance * wanted_images.norm()
        assert (got - wanted).norm() <= tolerance * wanted.norm()

    def test_few_samples_at_a_time(self, generator, latents, monkeypatch):
        _, together = gradient(generator.double(), latents.double(), "random")
        monkeypatch.setattr(modulation, "FEWEST_AT_A_TIME", 1)
        monkeypatch.setattr(modulation, "ENTRIES_AT_A_TIME", 1536 // torch.get_num_threads())
        with profile(record_shapes=True) as seen:
            _, apart = gradient(generator, latents.double(), "random")
        calls = (call for call in seen.events() if call.name == "aten::conv_transpose2d")
        transposed = [call.input_shapes[0] for call in calls]
        # At 16 pixels these are the gradients of convolutions alone: of one sample at a time.
        assert [shape for shape in transposed if shape[2] == 16] == 3 * [[1, 6, 16, 16]]
        assert [3, 6, 8, 8] in transposed
        torch.testing.assert_close(apart, together, rtol=1e-10, atol=1e-10)

    def test_keeps_one_activation_a_layer(self, generator):
        latents = Rng(1).streams(range(8)).normal(1, generator.latent_spec.shape)[:, 0]
        large = {}

        def keep(tensor):
            if len(tensor) == 8 and tensor.ndim == 4 and tensor.shape[2] > 1:
                large[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            generator.synthesize(latents.requires_grad_())
        channels = 6
        shapes = [(8, channels, r, r) for r in (4, 4, 8, 8, 16, 16)]  # twice at 4: of the constant
        assert sorted(tuple(t.shape) for t in large.values()) == sorted(shapes)

    def test_only_some_rows_want_a_gradient(self, generator, latents):
        _, wanted = gradient(generator, latents)
        for rows in (slice(0, 2), slice(3, 4), slice(5, 6)):
            part = latents[:, rows].clone().requires_grad_()
            joined = torch.cat([latents[:, : rows.start], part, latents[:, rows.stop :]], dim=1)
            images = generator.synthesize(joined)
            weights = torch.linspace(-1, 2, images.numel()).reshape(images.shape)
            (got,) = torch.autograd.grad((images * weights).sum(), part)
            torch.testing.assert_close(got, wanted[:, rows], rtol=1e-4, atol=1e-4)

    def test_gradient_of_a_gradient(self):
        """As in path-length regularisation, but of the latents."""
        found = []
        for train in (True, False):
            generator = random_generator(resolution=16).double().requires_grad_(train)
            latents = Rng(1).streams(range(2)).normal(1, (6, 8))[:, 0].double().requires_grad_()
            images = generator.synthesize(latents)
            (first,) = torch.autograd.grad(images.square().sum(), latents, create_graph=True)
            found.append(torch.autograd.grad(first.square().sum(), latents)[0])
        assert found[0].abs().min() > 0
        torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-9)

    def test_a_changed_weight_is_noticed_before_it_gives_a_wrong_gradient(self, generator, latents):
        images = generator.synthesize(latents.requires_grad_())
        generator.synthesis.b16.conv1.weight.mul_(2.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            images.sum().backward()

    def test_no_latents(self, generator, latents):
        _, got = gradient(generator, latents[:0])
        assert got.shape == latents[:0].shape


OF_TORCH = "ignore:`torch.jit.script` is deprecated"  # torch's forward mode calls it


class Layer(NamedTuple):
    up_filter: tuple[float, ...] | None = None
    clamp: float | None = None
    noise: str = "const"


LAYERS = {
    "plain": Layer(),
    "no noise": Layer(noise="none"),
    "random noise": Layer(noise="random"),
    "clamp": Layer(clamp=0.8),
    "up": Layer(up_filter=(1.0, 3.0, 3.0, 1.0)),
    "up clamp random": Layer(up_filter=(1.0, 3.0, 3.0, 1.0), clamp=0.8, noise="random"),
    "up two taps": Layer(up_filter=(1.0, 1.0)),
    "up three taps": Layer(up_filter=(1.0, 2.0, 1.0)),
    "up lopsided": Layer(up_filter=(1.0, 2.0, 4.0, 9.0)),
    "up one tap": Layer(up_filter=(1.0,)),
}


@pytest.mark.usefixtures("however_small")
class TestFrozenLayers:
    """Against finite differences in float64, and what falls back to torch's own gradients."""

    @pytest.fixture(params=LAYERS)
    def case(self, request):
        """(function of x and w, x, w): a frozen layer whose every weight is random."""
        made, draw = LAYERS[request.param], Rng(0, request.param).torch()
        side = 3 if made.up_filter is None else 6
        layer = ModulatedConv(3, 2, 4, side, up_filter=made.up_filter, clamp=made.clamp).double()
        for tensor in [*layer.parameters(), layer.noise_const]:
            tensor.data = torch.randn(tensor.shape, generator=draw, dtype=torch.float64)
        layer.requires_grad_(False)
        field = None
        if made.noise == "random":
            field = torch.randn(2, 1, side, side, generator=draw, dtype=torch.float64)
        x = torch.randn(2, 3, 3, 3, generator=draw, dtype=torch.float64).requires_grad_()
        w = torch.randn(2, 4, generator=draw, dtype=torch.float64).requires_grad_()
        return lambda x, w: layer(x, w, made.noise, field), x, w

    def test_convolution(self, case):
        function, x, w = case
        y = function(x, w)
        assert type(y.grad_fn).__name__ == "_ModulatedConvBackward"
        assert torch.autograd.gradcheck(function, (x, w))
        assert torch.autograd.gradcheck(lambda x: function(x, w.detach()), x, fast_mode=True)
        assert torch.autograd.gradcheck(lambda w: function(x.detach(), w), w, fast_mode=True)

    def test_second_order(self, case):
        function, x, w = case
        # Along random directions: each number of the second derivative by itself takes seconds.
        assert torch.autograd.gradgradcheck(function, (x, w), fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda w: function(x.detach(), w), w, fast_mode=True)

    @pytest.mark.filterwarnings(OF_TORCH)
    def test_forward_mode_and_function_transforms(self, case):
        function, x, w = case
        forward = {"check_forward_ad": True, "check_backward_ad": False}
        assert torch.autograd.gradcheck(function, (x, w), fast_mode=True, **forward)
        wanted = torch.autograd.grad(function(x, w).square().sum(), (x, w))
        got = torch.func.grad(lambda x, w: function(x, w).square().sum(), argnums=(0, 1))(x, w)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-10)

    def test_the_input_is_left_alone(self, case):
        function, x, w = case
        before = x.detach().clone()
        y = function(x, w)
        seen = y.detach().clone()
        y.sum().backward()
        assert torch.equal(x, before)
        assert torch.equal(y, seen)

    @pytest.mark.filterwarnings(OF_TORCH)
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("frozen", [False, True])
    def test_output_layer(self, channels, frozen):
        draw = Rng(0).torch()
        layer = ToImage(3, channels, 4, clamp=2.0).double().requires_grad_(not frozen)
        x = torch.randn(2, 3, 2, 3, generator=draw, dtype=torch.float64).requires_grad_()
        w = torch.randn(2, 4, generator=draw, dtype=torch.float64).requires_grad_()
        names = [name for name, p in layer.named_parameters() if p.requires_grad]

        def function(x, w, *weights):
            given = dict(zip(names, weights, strict=True))
            return torch.func.functional_call(layer, given, (x, w))

        inputs = (x, w, *layer.parameters()) if names else (x, w)
        assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)

    @pytest.mark.parametrize("batch", [1, 4])
    def test_by_hand_where_it_pays(self, batch, monkeypatch):
        monkeypatch.setattr(modulation, "BY_HAND_FROM", 4 * 3 * 3 * 3)
        layer = ModulatedConv(3, 2, 4, 3).requires_grad_(False)
        x, w = torch.zeros(batch, 3, 3, 3), torch.ones(batch, 4, requires_grad=True)
        node = type(layer(x, w, "const", None).grad_fn).__name__
        assert (node == "_ModulatedConvBackward") == (batch == 4)

    @pytest.mark.parametrize("name", ["weight", "bias", "noise_strength", "noise_const"])
    def test_whatever_wants_a_gradient_gets_it(self, name):
        """Noise too: the official projector optimises it, of a generator that is frozen else."""
        layer = ModulatedConv(3, 2, 4, 3).requires_grad_(False)
        x, w = torch.randn(2, 3, 3, 3, generator=Rng(0).torch()), torch.ones(2, 4)
        layer.noise_strength.fill_(0.5)
        layer(x, w.requires_grad_(), "const", None)  # the caches are full
        wanted = getattr(layer, name).requires_grad_()
        layer(x, w, "const", None).square().sum().backward()
        assert wanted.grad.abs().max() > 0
        assert w.grad.abs().max() > 0


@pytest.mark.parametrize("noise", ["none", "const", "random"])
def test_the_constant_is_convolved_like_any_input(generator, latents, noise):
    """Against modulation as the paper writes it, and against the path of the other layers."""
    block = generator.synthesis.b4
    layer, w = block.conv1, latents[:, 0]
    field = torch.randn(3, 1, 4, 4, generator=Rng(0).torch()) if noise == "random" else None
    got = layer.on_constant(block.const, w, noise, field)
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


@pytest.mark.as_installed  # the checks of these tests cannot be traced
def test_compiled_images_are_equal():
    generator = random_generator(resolution=8).requires_grad_(False)
    latents = Rng(1).streams(range(3)).normal(1, generator.latent_spec.shape)[:, 0]
    with torch.no_grad():
        compiled = torch.compile(generator.synthesize, backend="eager")(latents)
        assert torch.equal(compiled, generator.synthesize(latents))


@pytest.mark.as_installed  # the checks of these tests cannot be traced
def test_compiled_gradients_are_equal():
    generator = random_generator(resolution=8).requires_grad_(False)
    latents = Rng(1).streams(range(3)).normal(1, generator.latent_spec.shape)[:, 0]

    def loss(latents):
        return generator.synthesize(latents).square().sum()

    leaves = [latents.clone().requires_grad_() for _ in range(2)]
    (wanted,) = torch.autograd.grad(loss(leaves[0]), leaves[0])
    compiled = torch.compile(loss, backend="eager", fullgraph=True)
    (got,) = torch.autograd.grad(compiled(leaves[1]), leaves[1])
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)
