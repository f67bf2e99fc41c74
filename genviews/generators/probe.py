"""What a user's function is, found out by calling it before anything rests on it.

A few samples say how it takes z and its class, and where the images are in its answer; 64 say in
which range they are and how many are not finite; two say whether an image depends on its batch or
on chance, and whether a gradient reaches z. What is in doubt is refused with the flag that says it;
what was found to differ from the contract is told in a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from genviews.checks import LARGEST_PIXEL, finite_rows
from genviews.generators.adapter import (
    CONTRACT,
    Adapter,
    Axes,
    Classes,
    ImageRange,
    ZShape,
    parts_of,
    refuse,
)
from genviews.generators.arguments import call_remedy, takes_indices, takes_pixels
from genviews.identity.answers import largest_difference
from genviews.modes import ordinary, undisturbed
from genviews.rng import Rng
from genviews.types import ImageSpec

__all__ = ["Found", "probe"]

FEW = 5  # samples that say the shapes: no number of channels, so that no axis is taken for another
SAMPLES = 64  # that say the range ...
PIXELS = SAMPLES * 256 * 256  # ... or fewer, but FEW, where images are larger than 256 x 256
CHUNK = 16
SAME = 1e-3  # a sample alone and in a batch may differ by round-off, not by more
ASKEW = 0.25  # lowest value, over the highest: nearer to 0 than this is [0, 1] overshot, or dark
_CHANGING: tuple[type[nn.Module], ...] = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout),
)
OUTSIDE = 0.05  # a larger share of values beyond [-1, 1] is worth a word


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found.

    Args:
        adapter: with nothing left open.
        own_spec: of what the function itself gives, before its colours are changed.
        image_spec: of the images in [-1, 1].
        differentiable: whether a gradient of the images reaches z.
        notes: what differs from the contract, in sentences.
    """

    adapter: Adapter
    own_spec: ImageSpec
    image_spec: ImageSpec
    differentiable: bool
    notes: tuple[str, ...]


def probe(
    function: Callable[..., Any],
    z_dim: int,
    num_classes: int,
    what: str,
    adapter: Adapter,
    spec: ImageSpec | None,
    device: torch.device,
) -> Found:
    """Call a function and find out what an adapter leaves open.

    Args:
        function: of the user's.
        z_dim: Z.
        num_classes: Y; 0 for a function of z alone.
        what: it is; messages start with it.
        adapter: what is known of it.
        spec: of what it gives, or None; its range is that of the images.
        device: where it computes.

    Raises:
        ValueError: it fails on every way to call it, what it gives are no images, the range is in
            doubt, most images are not finite, or an image depends on its batch or on chance.
        TypeError: it does not give a tensor.
    """
    networks = [function] if isinstance(function, nn.Module) else []
    with torch.inference_mode(False):  # `invert`, too, asks a copy of weights that forbid gradients
        function = ordinary(function, networks)
    asked = _Probe(function, z_dim, num_classes, what, spec, device)
    with torch.inference_mode(False), undisturbed():
        with torch.no_grad():
            asked.check_mode()
            adapter, answer = asked.way_to_call(adapter)
            adapter = asked.where_images_are(adapter, answer)
            adapter = asked.range_of(adapter)
            asked.check_alone(adapter)
            asked.look_at_classes(adapter)
            own, made = (
                asked.spec_of(one) for one in (replace(adapter, colours="as-made"), adapter)
            )
        smooth = asked.gradient(adapter)
    notes = tuple(asked.notes)
    return Found(adapter=adapter, own_spec=own, image_spec=made, differentiable=smooth, notes=notes)


class _Values(NamedTuple):
    """The values of so many samples, of which some are broken: not finite."""

    samples: int
    broken: int
    low: float
    high: float
    outside: float


@dataclass
class _Probe:
    """A function under probe; `notes` collects what is found."""

    function: Callable[..., Any]
    z_dim: int
    num_classes: int
    what: str
    spec: ImageSpec | None
    device: torch.device

    def __post_init__(self) -> None:
        self.notes: list[str] = []

    def inputs(self, rows: range) -> tuple[Tensor, Tensor | None]:
        """Z and the classes of some samples."""
        streams = Rng(0, "probe").streams(rows).child("z")
        z = streams.normal(1, (self.z_dim,))[:, 0].to(self.device)
        if self.num_classes == 0:
            return z, None
        # From the last class down: one that the function does not have is found.
        return z, (-1 - torch.tensor(rows, device=self.device)) % self.num_classes

    def answer(self, adapter: Adapter, rows: range) -> object:
        z, label = self.inputs(rows)
        remedy = call_remedy(self.function, self.z_dim, self.num_classes)
        return adapter.call(self.function, z, label, self.num_classes, self.what, remedy)

    def images(self, adapter: Adapter, rows: range) -> Tensor:
        z, _ = self.inputs(rows)
        return adapter.read(self.answer(adapter, rows), self.what, z, self.spec)

    def spec_of(self, adapter: Adapter) -> ImageSpec:
        """What an adapter makes of an image."""
        channels, height, width = self.images(adapter, range(1)).shape[1:]
        return ImageSpec(channels=channels, height=height, width=width)

    def check_mode(self) -> None:
        """Refuse a module whose answers depend on the batch, before it is called."""
        if not isinstance(self.function, nn.Module):
            return
        for name, layer in self.function.named_modules():
            if isinstance(layer, _CHANGING) and layer.training:
                self._refuse_chance(f"{type(layer).__name__} {name!r} in training mode")

    def way_to_call(self, adapter: Adapter) -> tuple[Adapter, object]:
        """The first way to call it that it answers; z as rows first."""
        shapes: tuple[ZShape, ...] = ("rows", "pixels")
        classes: tuple[Classes, ...] = ("one-hot", "index") if self.num_classes else ("one-hot",)
        shapes = shapes if adapter.z_shape is None else (adapter.z_shape,)
        classes = classes if adapter.classes is None else (adapter.classes,)
        errors: dict[tuple[Classes, ZShape], ValueError] = {}
        for way in classes:
            for shape in shapes:
                tried = replace(adapter, z_shape=shape, classes=way)
                try:
                    answer = self.answer(tried, range(FEW))
                except ValueError as error:
                    errors[way, shape] = error
                    continue
                if shape == "pixels" and adapter.z_shape is None:
                    self.notes.append(f"z is given as (N, {self.z_dim}, 1, 1): it takes no rows")
                if way == "index" and adapter.classes is None:
                    self.notes.append("classes are given as indices (N,): it takes no one-hot")
                return tried, answer
        # What a convolution says of rows, or an embedding of one-hot classes, helps nobody.
        raise errors[
            classes[-1 if takes_indices(self.function) else 0],
            shapes[-1 if takes_pixels(self.function) else 0],
        ]

    def where_images_are(self, adapter: Adapter, answer: object) -> Adapter:
        """The adapter with the part of the answer and the order of its axes."""
        if adapter.output is None and not isinstance(answer, Tensor | np.ndarray):
            parts = parts_of(answer)
            like = [key for key, value in parts.items() if self._like_images(value)]
            if len(like) == 1:
                adapter = replace(adapter, output=like[0])
                self.notes.append(f"of what it returns, {like[0]!r} is taken for the images")
            elif parts:
                refuse(
                    self.what,
                    expected="a tensor of images",
                    got=f"{type(answer).__name__} of {', '.join(parts)}",
                    remedy=f"return the images alone, or name their part with {_flag('output')}",
                    error=TypeError,
                )
        images = adapter.pick(answer, self.what)
        if adapter.axes is None:
            axes = self._axes(tuple(images.shape))
            if axes not in (None, CONTRACT.axes):
                told = ", ".join(map(str, images.shape[1:]))
                self.notes.append(f"its images (N, {told}) are taken for {axes}")
            adapter = replace(adapter, axes=axes or CONTRACT.axes)
        adapter.arrange(images, self.what, FEW, self.spec)
        return adapter

    def range_of(self, adapter: Adapter) -> Adapter:
        """The adapter with the range of the images, from many samples."""
        seen = self._values(replace(adapter, range="-1..1", colours="as-made"))
        if seen.broken > seen.samples / 2:
            refuse(
                self.what,
                expected="finite images",
                got=f"nan or inf in {seen.broken} of {seen.samples} samples",
                remedy="mend the generator, or its weights; half precision may overflow",
            )
        if seen.broken:
            told = f"{seen.broken} of {seen.samples} samples are not finite"
            self.notes.append(f"{told}; such are never shown")
        stated = adapter.range or self._stated_range()
        found = _range(seen.low, seen.high) if stated is None else stated
        told = f"values from {seen.low:.3g} up to {seen.high:.3g} in {seen.samples} samples"
        if found is None or not _fits(found, seen.low, seen.high):
            remedy = f"say the range with {_flag('range')}: -1..1, 0..1 or 0..255, or scale "
            remedy += "the images inside the function, as x / 127.5 - 1 for 0 to 255"
            wanted = f"images with values in {_TOLD[stated or '-1..1']}"
            refuse(self.what, expected=wanted, got=told, remedy=remedy)
        if stated is None and found != "-1..1":
            self.notes.append(
                f"{told} are taken for {_TOLD[found]} and scaled to [-1, 1]; "
                f"say otherwise with {_flag('range')}"
            )
        if found == "-1..1" and seen.outside > OUTSIDE:
            self.notes.append(f"{seen.outside:.0%} of the values lie outside [-1, 1]")
        return replace(adapter, range=found)

    def _values(self, adapter: Adapter) -> _Values:
        """What the values of many samples are, as they come."""
        height, width = self.images(adapter, range(1)).shape[-2:]
        samples = max(FEW, min(SAMPLES, PIXELS // (height * width)))
        low, high, outside, count, whole = math.inf, -math.inf, 0, 0, 0
        for start in range(0, samples, CHUNK):
            found = self.images(adapter, range(start, min(start + CHUNK, samples))).flatten(1)
            found = found[finite_rows(found)]
            if len(found):
                low, high = min(low, found.min().item()), max(high, found.max().item())
                outside += int((found.abs() > 1.05).sum())
                count, whole = count + found.numel(), whole + len(found)
        return _Values(samples, samples - whole, low, high, outside / max(count, 1))

    def check_alone(self, adapter: Adapter) -> None:
        """Refuse images that depend on the other samples of their batch, or on chance."""
        together, again = (self.images(adapter, range(FEW)) for _ in range(2))
        self._check_same(together, again, "when it is called twice", "by chance")
        # The last row: a function may take all rows for the first.
        alone = self.images(adapter, range(FEW - 1, FEW))
        self._check_same(together[-1:], alone, "alone and in a batch", "with its batch")

    def look_at_classes(self, adapter: Adapter) -> None:
        """Say it where the class changes nothing."""
        if self.num_classes > 1:
            z, label = self.inputs(range(2))
            assert label is not None
            same = z[:1].expand(2, -1)
            answer = adapter.call(self.function, same, label, self.num_classes, self.what)
            one, other = adapter.read(answer, self.what, z, self.spec).nan_to_num()
            if torch.equal(one, other):
                self.notes.append("two classes have the same images: it may not look at them")

    def gradient(self, adapter: Adapter) -> bool:
        """Whether a gradient that is not zero reaches z, where images are finite."""
        pairs = (range(row, row + 2) for row in range(0, SAMPLES, 2))
        pair = next((rows for rows in pairs if self._some_finite(adapter, rows)), range(2))
        z, label = self.inputs(pair)
        try:
            with torch.enable_grad():
                z.requires_grad_()
                answer = adapter.call(self.function, z, label, self.num_classes, self.what)
                images = adapter.read(answer, self.what, z, self.spec)
                if not images.requires_grad:
                    return False
                (found,) = torch.autograd.grad(
                    images.nan_to_num().square().sum(), z, allow_unused=True
                )
        # What autograd or a user's code raises where there is no gradient: that is the answer.
        except (RuntimeError, ValueError, NotImplementedError):
            return False
        return found is not None and bool((found != 0).any())

    def _some_finite(self, adapter: Adapter, rows: range) -> bool:
        with torch.no_grad():
            return bool(finite_rows(self.images(adapter, rows)).any())

    def _axes(self, shape: tuple[int, ...]) -> Axes | None:
        """The order of axes that a shape says without doubt."""
        spec = self.spec
        if spec is not None:
            of: dict[tuple[int, ...], Axes] = {
                (FEW, *spec.shape): "channels-first",
                (FEW, spec.height, spec.width, spec.channels): "channels-last",
                (FEW, math.prod(spec.shape)): "flat",
            }
            if spec.channels == 1:
                of[(FEW, spec.height, spec.width)] = "no-channels"
            return of.get(shape)
        if len(shape) == 3 and shape[0] == FEW:
            return "no-channels"
        if len(shape) != 4 or not 1 <= shape[3] <= 4:
            return None
        # In doubt the images are squares of more than a pixel: of (N, 4, 4, 3) channels are last.
        square = 1 < shape[1] == shape[2] != shape[3]
        return "channels-last" if square or not 1 <= shape[1] <= 4 else None

    def _like_images(self, value: object) -> bool:
        if not isinstance(value, Tensor | np.ndarray) or value.ndim not in (3, 4):
            return False
        coloured = value.ndim == 3 or 1 <= value.shape[1] <= 4 or 1 <= value.shape[3] <= 4
        return len(value) == FEW and coloured

    def _stated_range(self) -> ImageRange | None:
        """The range that the spec of the images states, where it is not the default."""
        known: dict[tuple[float, float], ImageRange] = {(0.0, 1.0): "0..1", (0.0, 255.0): "0..255"}
        return None if self.spec is None else known.get(self.spec.range)

    def _check_same(self, one: Tensor, other: Tensor, when: str, how: str) -> None:
        differ = largest_difference(one, other)
        if differ > SAME:
            self._refuse_chance(f"images that differ by {differ:.3g} {when}: they change {how}")

    def _refuse_chance(self, got: str) -> None:
        refuse(
            self.what,
            expected="the same image for the same z, alone or in a batch",
            got=got,
            remedy="call .eval() on the module and fix its noise",
        )


_TOLD = {"-1..1": "[-1, 1]", "0..1": "[0, 1]", "0..255": "0 to 255"}


def _range(low: float, high: float) -> ImageRange | None:
    """The range that values say without doubt; None where they do not."""
    if 0 <= low == high:
        return None  # one colour says nothing
    if low >= 0 and high > 1.0:
        return "0..255" if LARGEST_PIXEL < high <= 256 else None
    if low >= 0:
        return "0..1"  # no pixel of any sample darker than mid-grey, if it were [-1, 1]
    if max(-low, high) > LARGEST_PIXEL or -low < ASKEW * high:
        return None
    return "-1..1"


def _fits(stated: str, low: float, high: float) -> bool:
    """Whether values may be of a range that was stated."""
    if stated == "0..1":
        return low >= -ASKEW and high <= 1 + ASKEW
    if stated == "0..255":
        return low >= -255 * ASKEW and 1.0 < high <= 255 * (1 + ASKEW)
    return max(-low, high) <= LARGEST_PIXEL


def _flag(name: str) -> str:
    """A field of `Adapter`, by its name in Python and on the command line."""
    return f"{name} (--generator-{name.replace('_', '-')})"
