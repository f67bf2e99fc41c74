"""StyleGAN3 and StyleGAN-XL against the equations of the papers (`naive_stylegan3`)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from genviews.generators.filtered import Filtering, filtered, lowpass
from genviews.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from genviews.rng import Rng
from genviews.weights import load_strictly
from tests.generators.naive_stylegan3 import NaiveStyleGAN3, design

CASES = {
    "t": {},
    "r, classes": {"conv_kernel": 1, "use_radial_filters": True, "c_dim": 3},
    "all else": {
        "resolution": 32,
        "img_channels": 1,
        "mapping_layers": 3,
        "num_critical": 1,
        "first_cutoff": 4.0,
        "first_stopband": 7.0,
        "last_stopband_rel": 1.5,
        "margin_size": 3,
        "output_scale": 1.0,
        "filter_size": 3,
        "lrelu_upsampling": 4,
        "conv_clamp": 0.6,
    },
    "no clamp, no finer grid": {"conv_clamp": None, "lrelu_upsampling": 1, "margin_size": 0},
    "embedded classes": {"class_embedding": 5, "c_dim": 3},
    "heads": {"resolution": 32, "class_embedding": 5, "c_dim": 2, "heads": ((3, 2), (4, 2))},
    "radial head": {"resolution": 32, "use_radial_filters": True, "heads": ((4, 2),)},
}


def random_generator(**options):
    """A generator whose every parameter and buffer is random, but for the filters."""
    small = {"resolution": 16, "z_dim": 5, "w_dim": 6, "num_layers": 4, "channel_max": 4}
    generator = StyleGAN3(StyleGAN3Config(**{**small, **options})).eval()
    draw = Rng(0, "weights").torch()
    state = {}
    for name, tensor in generator.state_dict().items():
        random = torch.randn(tensor.shape, generator=draw)
        if name.endswith("filter"):
            random = tensor
        elif name.endswith("transform"):
            random = torch.eye(3) + 0.2 * random * torch.tensor([[1.0], [1.0], [0.0]])
        elif name.endswith("freqs"):
            random = 3 * random  # some out of the band
        elif name.endswith("magnitude_ema"):
            random = 0.5 + random.abs()
        elif ".fc" in name:
            random *= 100
        state[name] = random
    load_strictly(generator, state, "StyleGAN3 weights")
    return generator.requires_grad_(False)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return random_generator(**CASES[request.param])


def test_latents_and_images_are_those_of_the_equations(case):
    naive = NaiveStyleGAN3(case.state_dict(), case.config)
    z, label = case.sample(Rng(1).streams(range(2))), case.labels_in_turn(range(2))
    rows = case.map(z, label, psi=0.6, cutoff=2)
    assert np.allclose(rows, naive.map(z, label, psi=0.6, cutoff=2), atol=1e-4)
    latents = rows + 0.3 * torch.randn(rows.shape, generator=Rng(2).torch())
    wanted = naive.synthesize(latents[:1])
    image = case.synthesize(latents)[:1].numpy()
    assert np.abs(image - wanted).max() < 2e-5 * max(1.0, np.abs(wanted).max())


def test_the_names_of_the_layers_are_the_official_ones():
    """As in the released stylegan3-t-ffhq-1024x1024: sizes and channels by its schedule."""
    names = [layer.name for layer in StyleGAN3Config(resolution=1024).layers]
    assert names[:3] == ["L0_36_512", "L1_36_512", "L2_52_512"]
    assert names[-3:] == ["L12_1044_32", "L13_1024_32", "L14_1024_3"]


def test_ranges_end_at_the_frequencies_of_stylegan2():
    config = StyleGAN3Config(resolution=256)
    assert [(r.name, r.start, r.stop) for r in config.layer_ranges] == [
        ("coarse", 0, 4),
        ("middle", 4, 10),
        ("fine", 10, 16),
    ]
    own = StyleGAN3Config(resolution=256, ranges={"late": (12, 40), "none": (20, 30)})
    assert [(r.name, r.start, r.stop) for r in own.layer_ranges] == [("late", 12, 16)]


@pytest.mark.parametrize("taps", [2, 6, 12, 24])
def test_filters_are_those_of_scipy(taps):
    wide = {"cutoff": 8.0, "half_width": 3.0 + 40 / taps, "rate": 64.0}
    band = (wide["cutoff"], wide["half_width"])
    assert np.allclose(lowpass(taps, **wide), design(taps, band, 64), atol=1e-7)
    radial = lowpass(taps, **wide, radial=True)
    assert np.allclose(radial, design(taps, band, 64, radial=True), atol=1e-7)
    assert lowpass(1, **wide) is None


@pytest.mark.parametrize("clamp", [None, 0.4])
@pytest.mark.parametrize("radial", [False, True])
def test_gradients_of_the_filtered_nonlinearity(clamp, radial):
    up, down = torch.rand(4, generator=Rng(0).torch()), lowpass(4, 2.0, 1.0, 16.0, radial=radial)
    filtering = Filtering(up, down, (2, 2), (3, -1), clamp)
    x = torch.randn(1, 1, 4, 4, generator=Rng(1).torch(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: filtered(x, filtering), x)
    assert torch.autograd.gradgradcheck(lambda x: filtered(x, filtering), x)


def test_long_axes_are_made_part_by_part():
    """Of a kind that the networks do not have: one sample a plane, lopsided filters."""
    draw = Rng(0).torch()
    up, down = torch.rand(5, generator=draw), torch.rand(3, generator=draw)
    x = torch.rand(1, 1, 90, 90, generator=draw).double() + 1  # positive: phi is the gain alone
    got = filtered(x, Filtering(up, down, (3, 2), (1, 4), None))[0, 0]
    wanted = x[0, 0].numpy()
    for axis in (0, 1):
        # upfirdn: zeros between and the filter, which begins before the first sample.
        fine = signal.upfirdn(up.double().numpy() * 3, wanted, up=3, axis=axis)
        fine = np.apply_along_axis(
            lambda line: np.pad(line, 9)[9 + 4 - 1 : 9 + 4 - 1 + 271], axis, fine
        )
        wanted = signal.upfirdn(down.double().numpy(), fine, axis=axis)
        wanted = wanted.take(range(2, 271, 2), axis=axis)
    assert np.allclose(got, wanted * np.sqrt(2), atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 48}, "power of two"),
        ({"resolution": 16, "heads": ((4, 3),)}, "power of two"),
        ({"resolution": 32, "heads": ((2, 2),)}, "layers of a head"),
        ({"num_layers": 2}, "num_layers"),
        ({"first_stopband": 1.0}, "first_stopband"),
        ({"conv_clamp": 0.0}, "conv_clamp"),
    ],
)
def test_an_impossible_architecture_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        StyleGAN3Config(**{"resolution": 64, **options})
