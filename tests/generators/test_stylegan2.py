"""StyleGAN2 against the equations of the paper (`naive_stylegan2`), its rows, noise, weights."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config, noise_mode
from genviews.rng import Rng, Streams
from tests.generators.naive_stylegan2 import NaiveStyleGAN2

ODD = {4: 7, 8: 5, 16: 9, 32: 3, 64: 2}

# What differs from `config()`. Filters sum to a power of two, so that float32 holds their taps.
CASES = {
    "8px": {"resolution": 8, "img_channels": 1},
    "8px rgba classes": {"resolution": 8, "img_channels": 4, "c_dim": 5},
    "16px": {"resolution": 16, "img_channels": 3, "mapping_layers": 1},
    "16px classes clamp": {"resolution": 16, "img_channels": 2, "c_dim": 5, "conv_clamp": 0.7},
    "16px one class": {"resolution": 16, "img_channels": 1, "c_dim": 1, "z_dim": 1},
    "32px odd": {"resolution": 32, "img_channels": 1, "channels": ODD},
    "32px binomial filter": {"resolution": 32, "resample_filter": (1.0, 2.0, 1.0)},
    "32px lopsided filter": {"resolution": 32, "resample_filter": (1.0, 2.0, 4.0, 9.0)},
    "32px lr multiplier": {"resolution": 32, "mapping_lr_multiplier": 0.3, "w_dim": 3},
    "64px odd": {"resolution": 64, "img_channels": 3, "channels": ODD, "c_dim": 5},
    "128px": {"resolution": 128, "channels": {r: 2 for r in (4, 8, 16, 32, 64, 128)}},
}


def config(**options):
    small = {
        "img_channels": 2,
        "z_dim": 6,
        "w_dim": 8,
        "mapping_layers": 3,
        "channels": {r: 6 for r in (4, 8, 16, 32, 64)},
    }
    return StyleGAN2Config(**{**small, **options})


def random_generator(**options):
    """A generator whose every parameter and buffer is random: no bias, noise or mean is 0 or 1."""
    made = config(**options)
    generator = StyleGAN2(made).eval()
    draw = Rng(0, "weights").torch()
    state = {}
    for name, tensor in generator.state_dict().items():
        state[name] = torch.randn(tensor.shape, generator=draw)
        if ".fc" in name:
            state[name] /= made.mapping_lr_multiplier
        if name.endswith(("torgb.weight", "noise_strength")):
            state[name] *= 0.3
    return generator.load_weights(state)


def naive(generator):
    made = generator.config
    return NaiveStyleGAN2(
        generator.state_dict(),
        resolution=made.resolution,
        mapping_layers=made.mapping_layers,
        lr_multiplier=made.mapping_lr_multiplier,
        taps=made.resample_filter,
        clamp=made.conv_clamp,
    )


def labels(generator, batch):
    return torch.arange(batch) % generator.num_classes if generator.num_classes else None


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return random_generator(**CASES[request.param])


class TestEquations:
    @pytest.mark.parametrize(("psi", "cutoff"), [(1.0, None), (0.5, None), (0.5, 3), (0.0, 2)])
    def test_mapping(self, case, psi, cutoff):
        z = case.sample(Rng(0).streams(range(3)))
        label = labels(case, 3)
        wanted = naive(case).map(z.numpy(), label, psi, cutoff)
        got = case.map(z, label, psi=psi, cutoff=cutoff)
        np.testing.assert_allclose(got.detach().numpy(), wanted, atol=1e-4)

    def test_mapping_in_float64_is_the_same_function(self, case):
        z = case.sample(Rng(4).streams(range(3))).double() * 0.01  # small: the epsilon counts
        wanted = naive(case).map(z.numpy(), labels(case, 3))
        got = copy.deepcopy(case).double().map(z, labels(case, 3))
        np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-10, atol=1e-10)

    def test_synthesis(self, case):
        latents = Rng(1).streams(range(3)).normal(1, case.latent_spec.shape)[:, 0]
        wanted = naive(case).synthesize(latents.numpy(), "const")
        got = case.synthesis(latents, noise="const")
        np.testing.assert_allclose(got.detach().numpy(), wanted, atol=1e-4)

    @pytest.mark.parametrize("noise", ["const", "none"])
    def test_synthesis_in_float64_is_the_same_function(self, case, noise):
        """No tolerance for a wrong border or a missing epsilon: float64 agrees to 1e-10."""
        latents = Rng(2).streams(range(2)).normal(1, case.latent_spec.shape)[:, 0].double()
        generator = copy.deepcopy(case).double()
        wanted = naive(case).synthesize(latents.numpy(), noise)
        got = generator.synthesis(latents, noise=noise)
        np.testing.assert_allclose(got.detach().numpy(), wanted, rtol=1e-10, atol=1e-10)

    def test_images_vary_enough_to_tell(self, case):
        latents = Rng(1).streams(range(2)).normal(1, case.latent_spec.shape)[:, 0]
        images = case.synthesize(latents)
        assert images.std() > 0.2
        assert (images[0] - images[1]).std() > 0.1
        assert (images - case.synthesis(latents, noise="none")).abs().max() > 0.05

    def test_synthesize_uses_the_fixed_noise(self, case):
        latents = Rng(1).streams(range(2)).normal(1, case.latent_spec.shape)[:, 0]
        assert torch.equal(case.synthesize(latents), case.synthesis(latents, noise="const"))


ROWS = {  # of a 32-pixel network: spec A1 of the study, 2 log2(32) - 2 = 8 rows
    "b4.conv1": 0,
    "b4.torgb": 1,
    "b8.conv0": 1,
    "b8.conv1": 2,
    "b8.torgb": 3,
    "b16.conv0": 3,
    "b16.conv1": 4,
    "b16.torgb": 5,
    "b32.conv0": 5,
    "b32.conv1": 6,
    "b32.torgb": 7,
}


@pytest.mark.parametrize(("layer", "row"), ROWS.items())
def test_row_of_each_layer(layer, row):
    """With the styles of all other layers cut off, the image depends on this layer alone."""
    generator = random_generator(resolution=32)
    for name, parameter in generator.synthesis.named_parameters():
        if name.endswith("affine.weight") and not name.startswith(layer):
            parameter.data.zero_()
    latents = Rng(0).streams(range(2)).normal(1, (8, 8))[:, 0].requires_grad_()
    images = generator.synthesize(latents)
    (gradient,) = torch.autograd.grad(images.square().mean(), latents)
    used = gradient.abs().amax(dim=(0, 2)) > 1e-6
    assert used.nonzero().flatten().tolist() == [row]


class TestRandomNoise:
    @pytest.fixture
    def generator(self):
        return random_generator(resolution=16)

    @pytest.fixture
    def latents(self):
        return Rng(0).streams(["w"]).normal(1, (6, 8))[:, 0].expand(4, -1, -1)

    def test_streams_decide_the_noise(self, generator, latents):
        streams = Rng(5).streams(range(4))
        images = generator.synthesis(latents, noise="random", streams=streams)
        assert torch.equal(images, generator.synthesis(latents, noise="random", streams=streams))
        for i in range(4):
            alone = generator.synthesis(latents[:1], noise="random", streams=streams[[i]])
            assert (alone[0] - images[i]).abs().max() < 1e-5
            assert (images[i] - images[i - 1]).abs().max() > 0.01

    def test_noise_is_scaled_and_added_as_in_the_paper(self, generator, latents, monkeypatch):
        drawn = {}
        normal = Streams.normal

        def record(streams, num_views, shape):
            drawn[streams.rng.purpose] = normal(streams, num_views, shape)
            return drawn[streams.rng.purpose]

        monkeypatch.setattr(Streams, "normal", record)
        streams = Rng(5).streams(range(4))
        got = generator.synthesis(latents, noise="random", streams=streams)
        layers = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
        assert len(drawn) == len(layers)
        fields = {
            f"synthesis.{layer}": next(v for k, v in drawn.items() if layer in k)[:, 0, 0].numpy()
            for layer in layers
        }
        wanted = naive(generator).synthesize(latents.numpy(), fields)
        np.testing.assert_allclose(got.detach().numpy(), wanted, atol=1e-4)

    @pytest.mark.parametrize("streams", [None, Rng(0).streams(range(3))])
    def test_needs_a_stream_for_each_sample(self, generator, latents, streams):
        with pytest.raises(
            ValueError, match="streams of random noise: expected 4, one for each sample"
        ):
            generator.synthesis(latents, noise="random", streams=streams)

    def test_noise_mode_by_name(self):
        assert noise_mode("const") == "const"
        with pytest.raises(ValueError, match="did you mean 'random'"):
            noise_mode("randm")


# Of a 32-pixel network with two mapping layers.
NAMES = """
mapping.w_avg
mapping.fc0.weight mapping.fc0.bias mapping.fc1.weight mapping.fc1.bias
synthesis.b4.const
synthesis.b4.conv1.weight synthesis.b4.conv1.bias
synthesis.b4.conv1.noise_const synthesis.b4.conv1.noise_strength
synthesis.b4.conv1.affine.weight synthesis.b4.conv1.affine.bias
synthesis.b4.torgb.weight synthesis.b4.torgb.bias
synthesis.b4.torgb.affine.weight synthesis.b4.torgb.affine.bias
synthesis.b8.conv0.weight synthesis.b8.conv0.bias
synthesis.b8.conv0.noise_const synthesis.b8.conv0.noise_strength
synthesis.b8.conv0.affine.weight synthesis.b8.conv0.affine.bias
synthesis.b8.conv1.weight synthesis.b8.conv1.bias
synthesis.b8.conv1.noise_const synthesis.b8.conv1.noise_strength
synthesis.b8.conv1.affine.weight synthesis.b8.conv1.affine.bias
synthesis.b8.torgb.weight synthesis.b8.torgb.bias
synthesis.b8.torgb.affine.weight synthesis.b8.torgb.affine.bias
synthesis.b16.conv0.weight synthesis.b16.conv0.bias
synthesis.b16.conv0.noise_const synthesis.b16.conv0.noise_strength
synthesis.b16.conv0.affine.weight synthesis.b16.conv0.affine.bias
synthesis.b16.conv1.weight synthesis.b16.conv1.bias
synthesis.b16.conv1.noise_const synthesis.b16.conv1.noise_strength
synthesis.b16.conv1.affine.weight synthesis.b16.conv1.affine.bias
synthesis.b16.torgb.weight synthesis.b16.torgb.bias
synthesis.b16.torgb.affine.weight synthesis.b16.torgb.affine.bias
synthesis.b32.conv0.weight synthesis.b32.conv0.bias
synthesis.b32.conv0.noise_const synthesis.b32.conv0.noise_strength
synthesis.b32.conv0.affine.weight synthesis.b32.conv0.affine.bias
synthesis.b32.conv1.weight synthesis.b32.conv1.bias
synthesis.b32.conv1.noise_const synthesis.b32.conv1.noise_strength
synthesis.b32.conv1.affine.weight synthesis.b32.conv1.affine.bias
synthesis.b32.torgb.weight synthesis.b32.torgb.bias
synthesis.b32.torgb.affine.weight synthesis.b32.torgb.affine.bias
"""


class TestWeights:
    def test_official_names(self):
        generator = StyleGAN2(config(resolution=32, mapping_layers=2))
        assert set(generator.state_dict()) == set(NAMES.split())

    def test_conditional_names(self):
        generator = StyleGAN2(config(resolution=32, mapping_layers=2, c_dim=3))
        embed = {"mapping.embed.weight", "mapping.embed.bias"}
        assert set(generator.state_dict()) == set(NAMES.split()) | embed
        assert generator.mapping.embed.weight.shape == (8, 3)
        assert generator.mapping.fc0.weight.shape == (8, 6 + 8)

    def test_shapes(self):
        state = StyleGAN2(config(resolution=32, channels=ODD, img_channels=3)).state_dict()
        assert state["synthesis.b4.const"].shape == (7, 4, 4)
        assert state["synthesis.b16.conv0.weight"].shape == (9, 5, 3, 3)
        assert state["synthesis.b16.conv0.affine.weight"].shape == (5, 8)
        assert state["synthesis.b16.conv1.noise_const"].shape == (16, 16)
        assert state["synthesis.b16.conv1.noise_strength"].shape == ()
        assert state["synthesis.b32.torgb.weight"].shape == (3, 3, 1, 1)

    def test_loading_gives_the_same_images_and_takes_filter_buffers(self):
        generator = random_generator(resolution=8)
        state = generator.state_dict()
        state["synthesis.b8.resample_filter"] = torch.ones(4, 4)
        other = StyleGAN2(config(resolution=8)).load_weights(state)
        latents = Rng(0).streams(range(2)).normal(1, (4, 8))[:, 0]
        assert torch.equal(other.synthesize(latents), generator.synthesize(latents))

    def test_wrong_weights_are_named_and_none_is_loaded(self):
        generator = random_generator(resolution=8)
        before = {k: v.clone() for k, v in generator.state_dict().items()}
        state = {k: v + 1 for k, v in before.items()}
        del state["synthesis.b4.const"]
        state["synthesis.b8.skip.weight"] = torch.zeros(1)
        state["mapping.fc1.weight"] = torch.zeros(8, 9)
        with pytest.raises(ValueError, match="StyleGAN2 weights") as error:
            generator.load_weights(state)
        message = str(error.value)
        assert "missing synthesis.b4.const" in message
        assert "unused synthesis.b8.skip.weight" in message
        assert "mapping.fc1.weight has shape (8, 9), not (8, 8)" in message
        for name, tensor in generator.state_dict().items():
            assert torch.equal(tensor, before[name])

    def test_starts_as_in_training_from_scratch(self):
        state = StyleGAN2(config(resolution=16, w_dim=32)).state_dict()
        for name, tensor in state.items():
            if name.endswith("affine.bias"):
                assert (tensor == 1).all(), name
            elif name.endswith(("bias", "noise_strength", "w_avg")):
                assert (tensor == 0).all(), name
            else:
                scale = 100 if ".fc" in name else 1  # lr multiplier 0.01
                # The deviation of n draws has a standard error of 1 / sqrt(2 n).
                error = abs(float(tensor.std()) / scale - 1)
                assert error < 5 / math.sqrt(2 * tensor.numel()), name


class TestConfig:
    @pytest.mark.parametrize(
        ("resolution", "rows"), [(8, 4), (16, 6), (32, 8), (256, 14), (512, 16), (1024, 18)]
    )
    def test_number_of_rows(self, resolution, rows):
        assert StyleGAN2Config(resolution=resolution).num_ws == rows

    @pytest.mark.parametrize(
        ("resolution", "ranges"),
        [
            (1024, {"coarse": (0, 4), "middle": (4, 10), "fine": (10, 18)}),
            (512, {"coarse": (0, 4), "middle": (4, 10), "fine": (10, 16)}),
            (256, {"coarse": (0, 4), "middle": (4, 10), "fine": (10, 14)}),
            (32, {"coarse": (0, 4), "middle": (4, 8)}),
            (8, {"coarse": (0, 4)}),
        ],
    )
    def test_default_ranges_are_those_of_the_study(self, resolution, ranges):
        made = StyleGAN2Config(resolution=resolution)
        assert {r.name: (r.start, r.stop) for r in made.layer_ranges} == ranges

    def test_ranges_of_a_card(self):
        generator = StyleGAN2(config(resolution=8, ranges={"coarse": (0, 3), "fine": (3, 4)}))
        assert generator.latent_spec.layers("fine").rows == slice(3, 4)

    def test_official_channel_schedule(self):
        made = StyleGAN2Config(resolution=1024)
        wanted = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
        assert dict(made.block_channels) == wanted

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"resolution": 48}, "resolution: expected a power of two from 8 to 16384, got 48"),
            ({"resolution": 4}, "resolution: expected a power of two from 8 to 16384, got 4"),
            ({"resolution": 8, "img_channels": 5}, "img_channels: .* at most 4, got 5"),
            ({"resolution": 8, "z_dim": 0}, "z_dim: expected an integer of at least 1"),
            ({"resolution": 8, "mapping_layers": 0}, "mapping_layers: expected an integer"),
            ({"resolution": 16, "channels": {4: 8}}, r"none for \[8, 16\]"),
        ],
    )
    def test_errors(self, options, message):
        with pytest.raises(ValueError, match=message):
            config(**options)
