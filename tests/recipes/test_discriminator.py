"""The discriminator against scipy, naive loops and autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from recipes.fashion32.discriminator import Discriminator, fir_down, minibatch_stddev

CHANNELS = {4: 6, 8: 5, 16: 4}


def make(num_classes: int = 0, size: int = 16, seed: int = 0) -> Discriminator:
    return Discriminator(
        image_channels=2,
        size=size,
        channels=CHANNELS,
        num_classes=num_classes,
        rng=torch.Generator().manual_seed(seed),
    )


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("padding", "stride"), [(1, 2), (2, 1), (2, 2)])
def test_fir_down_equals_scipy(padding, stride):
    x = normal(2, 3, 8, 8).double()
    taps = make().blocks[0].taps.double()
    expected_taps = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    assert np.allclose(taps, expected_taps)
    got = fir_down(x, taps, padding, stride)
    for b, c in np.ndindex(2, 3):
        padded = np.pad(x[b, c].numpy(), padding)
        expected = correlate2d(padded, expected_taps, mode="valid")[::stride, ::stride]
        assert np.allclose(got[b, c], expected, atol=1e-12)


def test_branches_of_a_block_see_the_same_pixels():
    # With 3x3 kernels that copy the centre, the long branch must sample the blurred image where the
    # skip does.
    block = make().blocks[0].double()
    x = normal(1, 4, 16, 16).abs().double()
    skip = fir_down(x, block.taps, padding=1, stride=2)[0, 0]
    long = fir_down(x, block.taps, padding=2, stride=1)[0, 0, 1::2, 1::2]
    assert np.allclose(skip, long, atol=1e-12)


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (6, 3), (5, 1), (2, 2)])
def test_minibatch_stddev_equals_naive_loop(batch, group):
    x = normal(batch, 3, 4, 4).double()
    got = minibatch_stddev(x, 4)
    assert torch.equal(got[:, :3], x)
    step = batch // group
    for i in range(batch):
        members = x[i % step :: step].numpy()
        assert len(members) == group
        expected = np.sqrt(members.var(axis=0) + 1e-8).mean()
        assert np.allclose(got[i, 3], expected)


def test_forward_equals_unfolded_formula():
    net = make().double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                p.copy_(normal(*p.shape, seed=7))
    x = normal(4, 2, 16, 16).double()

    def conv(x, m, act_gain=None, **how):
        weight = m.weight / np.sqrt(m.weight[0].numel())
        y = torch.nn.functional.conv2d(x, weight, m.bias, **how)
        return y if act_gain is None else torch.nn.functional.leaky_relu(y, 0.2) * act_gain

    y = conv(x, net.from_image, 2**0.5)
    for b in net.blocks:
        skip = conv(fir_down(y, b.taps, 1, 2), b.skip) * 0.5**0.5
        long = fir_down(conv(y, b.conv0, 2**0.5, padding=1), b.taps, 2, 1)
        y = conv(long, b.conv1, 2**0.5 * 0.5**0.5, stride=2) + skip
    y = conv(minibatch_stddev(y), net.conv, 2**0.5, padding=1).flatten(1)
    y = y @ net.fc.weight.T / np.sqrt(net.fc.weight.shape[1]) + net.fc.bias
    y = torch.nn.functional.leaky_relu(y, 0.2) * 2**0.5
    y = y @ net.out.weight.T / np.sqrt(net.out.weight.shape[1]) + net.out.bias
    assert torch.allclose(net(x), y[:, 0], atol=1e-12)


def test_channels_last_changes_nothing_but_speed():
    net, x = make(), normal(4, 2, 16, 16)
    expected = net(x)
    got = make().to(memory_format=torch.channels_last)(
        x.contiguous(memory_format=torch.channels_last)
    )
    assert torch.allclose(got, expected, atol=1e-5)


def test_projection_adds_the_class_row():
    net = make(num_classes=3).double()
    x = normal(4, 2, 16, 16).double()
    label = torch.tensor([0, 2, 1, 2])
    got = net(x, label).detach().numpy()
    rows = net.classes.detach().numpy()
    width = rows.shape[1]
    # Rows of one entry each read the features off, one at a time.
    net.classes = torch.nn.Parameter(torch.eye(width).double())
    read = [net(x, torch.full((4,), k)).detach().numpy() for k in range(width)]
    features = np.stack(read, 1) * np.sqrt(1 / width + 1e-8) * np.sqrt(width)
    for i, y in enumerate(label):
        row = rows[y] / np.sqrt((rows[y] ** 2).mean() + 1e-8)
        assert np.isclose(got[i], features[i] @ row / np.sqrt(width))


def test_second_derivative_is_right():
    net = make(size=8).double()
    x = normal(2, 2, 8, 8).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: net(x).square(), x, atol=1e-4, fast_mode=True)


def test_first_weights_come_from_the_generator_given():
    state = torch.get_rng_state()
    a, b, c = make(seed=0), make(seed=0), make(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    assert not torch.equal(a.fc.weight, c.fc.weight)


@pytest.mark.parametrize("size", [4, 24, 32])
def test_bad_size_is_refused(size):
    with pytest.raises(ValueError, match=r"discriminator size: expected a power of two"):
        make(size=size)


def test_label_is_needed_exactly_when_there_are_classes():
    x = normal(2, 2, 16, 16)
    with pytest.raises(ValueError, match="label: expected none, got labels"):
        make()(x, torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="label: expected class indices below 3, got none"):
        make(num_classes=3)(x)
