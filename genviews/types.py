"""The values that cross the arrows: specs of images and latents, and the result of an inversion.

Shape letters, used in every signature of the package:

    B batch   K views   C H W image   Z prior width   L style layers   D latent width   Y classes

Images inside the package are float RGB (or grey) tensors of shape (B, C, H, W) in [-1, 1], what
generators speak. Uint8 and mean/std normalisation live at the two borders only: `genviews.data` and
`genviews.classify`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_type, fail, lookup
from genviews.style_rows import (
    LayerRange,
    LayerRows,
    Layers,
    layers_name,
    numbered_rows,
    plain_layers,
)

__all__ = [
    "Draws",
    "ImageSpec",
    "Images",
    "Inversion",
    "Label",
    "LatentSpec",
    "Latents",
    "Masks",
    "NotedProgress",
    "Progress",
    "Status",
    "Values",
    "check_classes",
    "check_floats",
    "check_masks",
    "check_tensor",
    "check_shape",
    "luma",
    "silent",
]

LatentSpace = Literal["z", "w", "w+"]

_PACKED = {getattr(torch, name) for name in dir(torch) if name.startswith(("float4", "float8"))}
"""Kinds of numbers to store, which torch can hardly reckon with."""

Images = Float[Tensor, "B C H W"]
"""A batch of images in [-1, 1]."""

Masks = Float[Tensor, "B 1 H W"]
"""Of each image, 1 where a pixel is known and 0 where it is not."""

Draws = Float[Tensor, "B Z"]
"""Prior latents z, as `Generator.sample` draws them."""

Latents = Float[Tensor, "B L D"]
"""What a generator renders: L rows of width D for each image."""

Label = Int[Tensor, " B"]
"""The class index of each image."""

Values = Float[Tensor, " B"]
"""A number for each image, such as its loss."""

Progress = Callable[[str, str, int, int], None]
"""How long work tells of itself: `progress("invert test images", "images", 64, 1000)`.

Stage, unit in the plural, how many are done, how many there are. The first call of a stage says
what was done before it began, 0 if nothing; the last one has done equal to the total.
"""


def check_floats(value: object, what: str) -> Tensor:
    """Return `value`, a float tensor, or raise TypeError."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        fail(
            what,
            expected="a float tensor with values in [-1, 1]",
            got=value.dtype if isinstance(value, Tensor) else type(value).__name__,
            remedy="convert uint8 with `x.float() / 127.5 - 1`",
            error=TypeError,
        )
    return check_tensor(value, what)


def check_tensor(value: object, what: str, *, floats: bool = False, shapes: bool = False) -> Tensor:
    """Return a tensor whose numbers can be read, or raise TypeError.

    An array or a list is none, nor is a sparse tensor, or one on the device "meta".

    Args:
        value: is it one?
        what: it is.
        floats: its numbers must be real and of floating point.
        shapes: its shape is all that is read, so that it may be on "meta".
    """
    if isinstance(value, Tensor):
        plain = value.layout == torch.strided and not (value.is_nested or value.is_quantized)
        if plain and (shapes or value.device.type != "meta") and value.dtype not in _PACKED:
            if floats and not value.is_floating_point():
                remedy = "convert it with `.float()`"
                fail(what, expected="floats", got=value.dtype, remedy=remedy, error=TypeError)
            return value
        got = f"one of {value.dtype} that is {value.layout} on {value.device}"
    else:
        got = f"a {type(value).__name__}"
    remedy = "make one with `torch.as_tensor` or `to_dense`"
    return fail(what, expected="a dense tensor", got=got, remedy=remedy, error=TypeError)


def check_shape(
    tensor: Tensor, shape: Sequence[int | str], what: str, remedy: str, *, note: str = ""
) -> None:
    """Raise ValueError unless a tensor has a shape.

    Args:
        tensor: of any type.
        shape: sizes, and letters for those that are free; "..." first allows more axes in front.
        what: the tensor is.
        remedy: see `fail`.
        note: what the message says behind the shape.

    Example:
        >>> check_shape(torch.zeros(2, 3), ("B", 4), "logits", "wrap it in `Classifier`")
        Traceback (most recent call last):
        ValueError: logits: expected shape (B, 4), got (2, 3); wrap it in `Classifier`.
    """
    check_tensor(tensor, what, shapes=True)
    sizes = [size for size in shape if size != "..."]
    more = tensor.ndim - len(sizes)
    known = zip(sizes, tensor.shape[max(more, 0) :], strict=False)
    wrong = any(isinstance(size, int) and size != found for size, found in known)
    if wrong or more < 0 or (more > 0 and "..." not in shape):
        told = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
        fail(what, expected=f"shape ({told}){note}", got=tuple(tensor.shape), remedy=remedy)


def check_masks(masks: object, count: int, size: Sequence[int]) -> None:
    """Raise unless there is a mask for each image, from 0 (unknown) to 1 (known).

    A number that is not finite passes: it is the matter of its image, not of its neighbours.

    Args:
        masks: that are given.
        count: of the images.
        size: H and W.

    Raises:
        TypeError: not a tensor.
        ValueError: another shape than (N, 1, H, W), or values outside [0, 1].

    Example:
        >>> check_masks(torch.full((1, 1, 2, 2), 255), 1, (2, 2))
        Traceback (most recent call last):
        ValueError: masks: expected values from 0 (unknown) to 1 (known), got values from 255 to
        255; divide masks of 0 and 255 by 255, or compare them with a level, as in `masks > 0`.
    """
    expected, remedy = "one mask for each image, with one channel", "use torch.as_tensor"
    given = check_type(masks, Tensor, "masks", f"a tensor: {expected}", remedy)
    check_tensor(given, "masks")
    check_shape(given, (count, 1, *size), "masks", expected)
    if given.is_complex():
        fail("masks", expected="numbers from 0 to 1", got=given.dtype, remedy="use `masks.real`")
    known = given[given.isfinite()]
    if known.numel() and not bool(((known >= 0) & (known <= 1)).all()):
        fail(
            "masks",
            expected="values from 0 (unknown) to 1 (known)",
            got=f"values from {known.min().item():g} to {known.max().item():g}",
            remedy="divide masks of 0 and 255 by 255, or compare them with a level, as in "
            "`masks > 0`",
        )


def check_classes(
    labels: Tensor,
    classes: int,
    what: str,
    remedy: str = "count classes from 0, in the order of the class names",
) -> None:
    """Raise ValueError unless labels are indices of so many classes."""
    low, high = (int(found) for found in labels.aminmax()) if labels.numel() else (0, 0)
    if low < 0 or high >= classes:
        got = f"labels from {low} to {high}"
        fail(what, expected=f"classes from 0 to {classes - 1}", got=got, remedy=remedy)


def luma(images: Float[Tensor, "*N 3 H W"]) -> Float[Tensor, "*N 1 H W"]:
    """Return colour images as grey ones, as photos are made grey.

    Source: ITU-R BT.601, as Pillow and torchvision.
    """
    weights = images.new_tensor((0.299, 0.587, 0.114))[:, None, None]
    return (images * weights).sum(-3, keepdim=True)


@runtime_checkable
class NotedProgress(Protocol):
    """A `Progress` that takes a note as well, such as "mean loss 0.02"."""

    def __call__(self, stage: str, unit: str, done: int, total: int, note: str = "") -> None:
        """Take note that so many items of a stage are done."""


def silent(stage: str, unit: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """What images a generator makes or a classifier takes: (C, H, W) and the value range.

    Args:
        channels: number of image channels C, 1 to 4.
        height: H in pixels.
        width: W in pixels.
        range: lowest and highest value an image holds; a generator may overshoot it slightly.

    Raises:
        ValueError: another number of channels, an empty image, or a range that is none.
    """

    channels: int
    height: int
    width: int
    range: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        remedy = "images are (C, H, W), with 1 (grey) to 4 channels"
        check_count(self.channels, "channels of images", most=4, remedy=remedy)
        check_count(self.height, "height of images", remedy=remedy)
        check_count(self.width, "width of images", remedy=remedy)
        if len(self.range) != 2 or not -math.inf < self.range[0] < self.range[1] < math.inf:
            fail(
                "range of images",
                expected="two finite numbers, the lower first",
                got=self.range,
                remedy="images inside genviews are in (-1, 1)",
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)

    def check(self, images: Tensor, what: str = "images") -> None:
        """Raise unless `images` is a float tensor of shape (..., C, H, W).

        Raises:
            TypeError: not a floating-point tensor.
            ValueError: another number of channels, or another size.
        """
        remedy = "resize or convert the images, or use a model made for this size"
        check_shape(check_floats(images, what), ("...", *self.shape), what, remedy)


@dataclass(frozen=True, kw_only=True)
class LatentSpec:
    """The latents a generator renders: their space, the L x D shape and the named layer ranges.

    Args:
        space: "z" (prior, L = 1), "w" (mapped, L = 1) or "w+" (one w for each style row).
        num_layers: L.
        dim: D.
        ranges: named ranges; "all" is always known and need not be listed.
    """

    space: LatentSpace
    num_layers: int
    dim: int
    ranges: tuple[LayerRange, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        """(L, D)."""
        return (self.num_layers, self.dim)

    def layers(self, name: Layers) -> LayerRows:
        """Resolve rows: by name ("coarse", "fine", "all"), as "5-7", "6" or "0-2,5", or by number.

        Raises:
            TypeError: neither of the forms of `Layers`.
            ValueError: unknown name (the closest are listed), a row twice, or rows outside [0, L).

        Example:
            >>> spec = LatentSpec(space="w+", num_layers=8, dim=4)
            >>> spec.layers((2, 3, 4, 7)), spec.layers("0-2,5").indices
            (LayerRows(name='2-4,7', indices=(2, 3, 4, 7)), (0, 1, 2, 5))
        """
        known = plain_layers(name)
        if isinstance(known, str):
            if (numbered := numbered_rows(known)) is not None:
                return self.layers(numbered)
            everything = LayerRange(name="all", start=0, stop=self.num_layers)
            known = lookup(known, {r.name: r for r in (everything, *self.ranges)}, "layer range")
        if isinstance(known, LayerRange):
            found = LayerRows(name=known.name, indices=tuple(known.numbers))
        else:
            found = LayerRows(name=layers_name(known), indices=known)
        if found.indices[-1] >= self.num_layers:
            fail(
                f"layer range {found.name!r}",
                expected=f"rows within 0-{self.num_layers - 1}",
                got=f"rows {layers_name(found.indices)}",
                remedy="this generator has fewer style rows; choose one of its named ranges",
            )
        return found

    def check(self, latents: Tensor, what: str = "latents", *, batch: bool = False) -> None:
        """Raise unless they are floats (TypeError) of shape (..., L, D), or (B, L, D) (ValueError).

        Args:
            latents: are they?
            what: they are.
            batch: exactly one axis stands before (L, D).
        """
        remedy = "make them with `generator.map(generator.sample(streams))` or by inversion"
        note = f" in {self.space} space"
        check_tensor(latents, what, floats=True)
        check_shape(latents, ("B" if batch else "...", *self.shape), what, remedy, note=note)


class Status(IntEnum):
    """How the inversion of one image ended; stored as an int tensor of shape (B,)."""

    CONVERGED = 0  # the loss stopped improving before the step limit
    STEP_LIMIT = 1  # every step was used; more steps may still lower the loss
    START_KEPT = 2  # no step improved on the starting latent, which was kept
    FAILED = 3  # not a finite number in the image, mask or start: the mean latent was kept


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """Latents that reproduce images, and how well.

    Args:
        latents: (B, L, D), the best iterate of each image.
        reconstructions: (B, C, H, W), `generator.synthesize(latents)`.
        loss: (B,) objective at `latents`.
        start_loss: (B,) objective at the start; never smaller than `loss`.
        status: (B,) values of `Status`.
        steps: (B,) optimisation steps made on each image.
        evaluations: (B,) evaluations of loss and gradient spent on each image, from every start.
        snapshots: (B, T, L, D) the best iterate after each of `Inverter.snapshots` steps; an image
            that ended earlier shows its last. None where none were asked for.
        label: (B,) class that each was rendered with, where the latents do not carry it.
    """

    latents: Float[Tensor, "B L D"]
    reconstructions: Float[Tensor, "B C H W"]
    loss: Float[Tensor, " B"]
    start_loss: Float[Tensor, " B"]
    status: Int[Tensor, " B"]
    steps: Int[Tensor, " B"]
    evaluations: Int[Tensor, " B"]
    snapshots: Float[Tensor, "B T L D"] | None = None
    label: Int[Tensor, " B"] | None = None

    def __len__(self) -> int:
        return self.latents.shape[0]

    def failed(self) -> list[int]:
        """Indices of the images that could not be inverted."""
        return torch.nonzero(self.status == Status.FAILED).flatten().tolist()
