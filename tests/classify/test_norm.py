"""The short way of batch norm, addition and rectification against torch's own, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.classify.norm import rectified_norm

# Channels that fill registers alone or side by side, and pixels that cannot be put side by side.
SHAPES = [(4, 20, 6, 6), (2, 40, 4, 4), (3, 60, 4, 2), (2, 128, 2, 2), (5, 3, 1, 3), (2, 1, 1, 1)]

Way = Callable[[nn.Module, Tensor, Tensor | None], Tensor]


@dataclass
class Found:
    """What a step leaves."""

    y: Tensor
    gradients: dict[str, Tensor]
    running: dict[str, Tensor]


def make_norm(channels: int) -> nn.BatchNorm2d:
    """A norm whose weights and statistics are not those of the beginning."""
    norm = nn.BatchNorm2d(channels, momentum=0.3)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(-1.5, 2.0, channels))
        norm.bias.copy_(torch.linspace(0.5, -0.5, channels))
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(torch.linspace(-1, 1, channels))
        norm.running_var.copy_(torch.linspace(0.5, 2, channels))
    return norm


def plain(norm: nn.Module, x: Tensor, skip: Tensor | None) -> Tensor:
    """The same in words of torch."""
    return F.relu(norm(x) if skip is None else norm(x) + skip)


def step(way: Way, norm: nn.Module, x: Tensor, skip: Tensor | None, dy: Tensor) -> Found:
    """Forward and backward through copies."""
    norm = copy.deepcopy(norm)
    leaves = {"x": x.clone().requires_grad_()}
    if skip is not None:
        leaves["skip"] = skip.clone().requires_grad_()
    y = way(norm, leaves["x"], leaves.get("skip"))
    y.backward(dy.to(y.dtype))
    gradients = {}
    for name, leaf in {**leaves, **dict(norm.named_parameters())}.items():
        assert leaf.grad is not None
        gradients[name] = leaf.grad
    return Found(y.detach(), gradients, dict(norm.named_buffers()))


def inputs(shape: tuple[int, ...], *, offset: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
    """Maps, skips and gradients; the maps are channels first for an odd number of channels."""
    torch.manual_seed(sum(shape))
    x, skip, dy = (torch.randn(shape) for _ in range(3))
    if shape[1] % 2 == 0:
        x, skip, dy = (t.to(memory_format=torch.channels_last) for t in (x, skip, dy))
    return x + offset, skip, dy


def largest(found: Tensor, truth: Tensor) -> float:
    """The largest difference, as a part of the largest value, or of 0.1."""
    return float((found.double() - truth).abs().max() / truth.abs().max().clamp_min(0.1))


def compare(found: Found, truth: Found) -> dict[str, float]:
    """The largest difference of everything that a step leaves."""
    return {
        "y": largest(found.y, truth.y),
        **{name: largest(g, truth.gradients[name]) for name, g in found.gradients.items()},
        **{name: largest(v, truth.running[name]) for name, v in found.running.items()},
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("added", [False, True])
def test_a_step_is_that_of_torch_in_float64(shape: tuple[int, ...], added: bool) -> None:
    x, skip, dy = inputs(shape)
    norm = make_norm(shape[1])
    other = skip if added else None
    truth = step(
        plain, norm.double(), x.double(), None if other is None else other.double(), dy.double()
    )
    norm = norm.float()
    found = step(rectified_norm, norm, x, other, dy)
    ours = compare(found, truth)
    theirs = compare(step(plain, norm, x, other, dy), truth)
    assert set(ours) >= {"y", "x", "weight", "bias", "running_mean", "running_var"}
    # torch itself is off by more where two pixels are nearly the same.
    assert all(ours[name] <= max(1e-5, 2 * theirs[name]) for name in ours), (ours, theirs)
    assert int(found.running["num_batches_tracked"]) == 1


@pytest.mark.parametrize("shape", [(4, 20, 6, 6), (3, 60, 4, 2)], ids=str)
def test_in_bfloat16_it_errs_no_more_than_torch(shape: tuple[int, ...]) -> None:
    x, skip, dy = (t.bfloat16() for t in inputs(shape))
    norm = make_norm(shape[1])
    truth = step(plain, norm.double(), x.double(), skip.double(), dy.double())
    norm = norm.float()
    ours = compare(step(rectified_norm, norm, x, skip, dy), truth)
    theirs = compare(step(plain, norm, x, skip, dy), truth)
    # One rounding more of a gradient, never a statistic in eight bits.
    assert all(ours[name] <= 2 * theirs[name] + 1e-3 for name in ours), (ours, theirs)
    assert ours["running_var"] < 1e-5


def test_a_mean_far_from_zero_costs_no_more_digits_than_in_torch() -> None:
    x, skip, dy = inputs((8, 20, 8, 8), offset=1000.0)
    norm = make_norm(20)
    skip = skip + 100  # so that nothing is rectified: rounding would let single pixels through
    truth = step(plain, norm.double(), x.double(), skip.double(), dy.double())
    norm = norm.float()
    ours = compare(step(rectified_norm, norm, x, skip, dy), truth)
    theirs = compare(step(plain, norm, x, skip, dy), truth)
    assert all(ours[name] <= max(1e-5, 2 * theirs[name]) for name in ours), (ours, theirs)


@pytest.mark.parametrize(
    "norm",
    [
        nn.Identity(),
        nn.GroupNorm(2, 4),
        nn.SyncBatchNorm(4).eval(),
        nn.BatchNorm2d(4).eval(),
        nn.BatchNorm2d(4, momentum=None),
        nn.BatchNorm2d(4, affine=False),
        nn.BatchNorm2d(4, track_running_stats=False),
    ],
    ids=repr,
)
def test_any_other_norm_is_called_as_it_is(norm: nn.Module) -> None:
    x, skip, _ = inputs((3, 4, 5, 5))
    ours, theirs = copy.deepcopy(norm), copy.deepcopy(norm)
    assert torch.equal(rectified_norm(ours, x.clone(), skip), plain(theirs, x, skip))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), theirs.buffers(), strict=True))


def test_float64_goes_the_way_of_torch() -> None:
    x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: rectified_norm(nn.BatchNorm2d(4).double(), x), (x.requires_grad_(),)
    )


def test_one_pixel_has_no_variance() -> None:
    with pytest.raises(ValueError, match="more than 1 value"):
        rectified_norm(nn.BatchNorm2d(4), torch.zeros(1, 4, 1, 1))


def test_its_gradient_is_not_differentiated_again() -> None:
    x = torch.randn(2, 4, 3, 3, requires_grad=True)
    y = rectified_norm(nn.BatchNorm2d(4), x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_without_gradients_it_gives_the_same() -> None:
    x, skip, _ = inputs((4, 20, 6, 6))
    norm = make_norm(20)
    with torch.no_grad():
        y = rectified_norm(copy.deepcopy(norm), x, skip)
    assert torch.equal(y, rectified_norm(copy.deepcopy(norm), x, skip))
