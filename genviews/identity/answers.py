"""Answers to fixed questions: what a generator or a classifier does, whatever its code is."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genviews.modes import evaluating, undisturbed
from genviews.rng import Rng
from genviews.types import ImageSpec

__all__ = ["Answering", "answers_of", "fixed_images", "largest_difference", "shrink"]

LARGEST_SIDE = 32  # pixels of an image that is kept as an answer: 12 kB in colour


@runtime_checkable
class Answering(Protocol):
    """Something known by what it does: a generator, a classifier."""

    def __answers__(self) -> Tensor:
        """Return the answers to fixed questions, on a scale of which 2 % is no difference."""


def answers_of(thing: Answering) -> Tensor:
    """Ask, in eval mode and without gradients, leaving modes and global chance as they were.

    Returns:
        float32, on the CPU.
    """
    quiet = evaluating(thing) if isinstance(thing, nn.Module) else nullcontext()
    with torch.no_grad(), undisturbed(), quiet:
        return thing.__answers__().detach().to("cpu", torch.float32).contiguous()


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Return how far the answers of two calls differ at most.

    Equal infinities do not differ, nor does NaN from NaN; NaN in one alone differs without end.

    Example:
        >>> largest_difference(torch.tensor([1.0, torch.nan]), torch.tensor([1.5, torch.nan]))
        0.5
    """
    apart = (one.double() - other.double()).abs()
    found = apart.masked_fill((one == other) | (one.isnan() & other.isnan()), 0.0)
    return float(found.nan_to_num(torch.inf).max()) if found.numel() else 0.0


def fixed_images(spec: ImageSpec, num: int = 8) -> Float[Tensor, "N C H W"]:
    """Return images in the range of `spec`, none of them blank: noise from coarse to fine.

    Example:
        >>> images = fixed_images(ImageSpec(channels=1, height=8, width=8))
        >>> images.shape, bool((images.flatten(1).std(1) > 0.1).all())
        (torch.Size([8, 1, 8, 8]), True)
    """
    low, high = spec.range
    size = (spec.height, spec.width)
    images = []
    for index in range(num):
        cells = tuple(min(side, 2 ** (1 + index % 4)) for side in size)
        noise = Rng(0, "fixed images").streams([index]).uniform(1, (spec.channels, *cells))[0]
        images.append(F.interpolate(noise, size, mode="nearest"))
    return low + (high - low) * torch.cat(images)


def shrink(images: Float[Tensor, "N C H W"], spec: ImageSpec) -> Float[Tensor, "N C h w"]:
    """Return images scaled from the range of `spec` to [0, 1], averaged to 32 pixels at most."""
    low, high = spec.range
    height, width = (min(side, LARGEST_SIDE) for side in images.shape[2:])
    small: Tensor = F.adaptive_avg_pool2d(images.float(), (height, width))
    return (small - low) / (high - low)
