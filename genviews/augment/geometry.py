"""Transforms that move pixels: flips, crops, resizing and rotation.

Whole-pixel crops and flips copy values exactly. Random resized crops are antialiased
(`genviews.augment.resample`). The others are one affine map from output to input per view, sampled
bilinearly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.augment.resample import ATTEMPTS, crop_and_resize, random_boxes
from genviews.checks import check_count, check_fraction, check_number, fail
from genviews.rng import Streams

__all__ = [
    "CentreCrop",
    "HorizontalFlip",
    "RandomCrop",
    "RandomResizedCrop",
    "Resize",
    "ResizedCrop",
    "Rotate",
    "check_window",
]

Fill = float | Literal["nearest"]
Row = tuple[Tensor, Tensor, Tensor]  # of an affine map, each of N views


class HorizontalFlip(PixelViews):
    """Mirror left and right with a probability; the coin of each view comes from the stream.

    With probability 1 every view is the mirror image, so one view is enough; with 0.5 the views
    are the image and its mirror in equal shares on average, not in turn: view k must not depend on
    how many views are drawn.

    Args:
        probability: of a flip, in [0, 1]; 0.5 is the value of every published setting.
    """

    name = "flip"

    def __init__(self, probability: float = 0.5) -> None:
        self.probability = check_fraction(probability, "flip probability")

    @property
    def is_random(self) -> bool:
        """Whether a coin is tossed."""
        return 0 < self.probability < 1

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        if self.probability == 0:
            return views
        coin = streams.child("flip").uniform(views.shape[1], (1, 1, 1)) < self.probability
        return torch.where(coin.to(views.device), views.flip(-1), views)


class RandomCrop(PixelViews):
    """Pad by some pixels and cut a window at a random whole-pixel position; no resampling.

    Args:
        padding: pixels added on each side; 4 is usual at 32x32 (CIFAR10), 0 adds none.
        size: height and width of the square window; None keeps the input's height and width.
        fill: value of the padding, or "nearest" for the nearest pixel of the image. -1 is black.
    """

    name = "crop"

    def __init__(self, padding: int = 0, size: int | None = None, fill: Fill = -1.0) -> None:
        self.padding = check_count(padding, "crop padding", least=0)
        self.size = None if size is None else check_count(size, "crop size")
        self.fill = fill

    @property
    def is_random(self) -> bool:
        """Whether there is room to move the window."""
        return self.padding > 0 or self.size is not None

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        height, width = views.shape[-2:] if self.size is None else (self.size, self.size)
        spare_y = views.shape[-2] + 2 * self.padding - height
        spare_x = views.shape[-1] + 2 * self.padding - width
        _check_fits(height, width, views, self.padding)
        if spare_y == spare_x == 0 and self.padding == 0:
            return views
        unit = streams.child("crop").uniform(views.shape[1], (2,)).to(views.device).flatten(0, 1)
        top = (unit[:, 0] * (spare_y + 1)).long()
        left = (unit[:, 1] * (spare_x + 1)).long()
        flat = views.flatten(0, 1)
        if self.padding and self.fill == "nearest":
            flat = F.pad(flat, (self.padding,) * 4, mode="replicate")
        elif self.padding:
            flat = F.pad(flat, (self.padding,) * 4, value=float(self.fill))
        return _split(_window(flat, top, left, height, width), views)


class CentreCrop(PixelViews):
    """Cut the central window; the same for every view. Also drops the bars of a framed image.

    Args:
        height: of the window, in pixels.
        width: of the window; None makes it square.
    """

    name = "centre"
    is_random = False

    def __init__(self, height: int, width: int | None = None) -> None:
        self.height = check_count(height, "crop height")
        self.width = self.height if width is None else check_count(width, "crop width")

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        top, left = views.shape[-2] - self.height, views.shape[-1] - self.width
        _check_fits(self.height, self.width, views)
        # Half an odd spare rounds to even, as in torchvision, so that the same pixels are cut.
        top, left = round(top / 2), round(left / 2)
        return views[..., top : top + self.height, left : left + self.width]


class Resize(PixelViews):
    """Resize by antialiased bilinear interpolation; the same for every view.

    Args:
        size: (height, width), or the length of the shorter side, whatever the aspect ratio.
    """

    name = "resize"
    is_random = False

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = size

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        height, width = views.shape[-2:]
        if isinstance(self.size, tuple):
            target = self.size
        else:
            short = min(height, width)
            target = (self.size * height // short, self.size * width // short)
        if target == (height, width):
            return views
        flat = views.flatten(0, 1)
        wide = flat if flat.dtype.itemsize >= 4 else flat.float()  # not resized everywhere in half
        flat = F.interpolate(wide, target, mode="bilinear", antialias=True).to(flat.dtype)
        return _split(flat, views)


class ResizedCrop(PixelViews):
    """Enlarge the image a little and cut a window of the old size: a shift of up to `scale - 1`.

    Args:
        scale: enlargement, at least 1; 1.03125 (1024 to 1056 pixels) is the published
            crop of faces.

    Source: Chai et al. 2021, arXiv:2104.14551, section 4.1, and the released code.
    """

    name = "crop"

    def __init__(self, scale: float = 1.03125) -> None:
        self.scale = check_number(scale, "crop scale", least=1, remedy="use 1.03125 for 3 %")

    @property
    def is_random(self) -> bool:
        """Whether there is room to move the window."""
        return self.scale > 1

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        height, width = views.shape[-2:]
        tall, wide = int(self.scale * height), int(self.scale * width)
        if (tall, wide) == (height, width):
            return views
        unit = streams.child("crop").uniform(views.shape[1], (2,)).to(views.device).flatten(0, 1)
        top = (unit[:, 0] * (tall - height + 1)).floor() * (height / tall)
        left = (unit[:, 1] * (wide - width + 1)).floor() * (width / wide)
        # The window's height and width, in pixels of the input.
        high, broad = torch.full_like(top, height**2 / tall), torch.full_like(left, width**2 / wide)
        none = torch.zeros_like(top)
        across = (broad / width, none, (2 * left + broad) / width - 1)
        down = (none, high / height, (2 * top + high) / height - 1)
        return _resample(views, across, down, "nearest")


@dataclass(frozen=True)
class RandomResizedCrop(PixelViews):
    """Cut a window of random area and aspect ratio and resize it to a square, antialiased.

    Args:
        size: height and width of the result.
        area: least and most share of the image's area; (0.8, 1) is the cars' and cats' training,
            (0.2, 1) the contrastive one.
        ratio: least and most width / height of the window, drawn log-uniformly.

    Source: torchvision's `RandomResizedCrop`, which both papers use; the same law and the same
        interpolation.
    """

    size: int
    area: tuple[float, float] = (0.8, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)

    name: ClassVar[str] = "resizedcrop"

    def __post_init__(self) -> None:
        check_window(self.area, self.ratio)
        check_count(self.size, "crop size")

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        unit = streams.child("resizedcrop").uniform(views.shape[1], (ATTEMPTS, 4)).flatten(0, 1)
        boxes = random_boxes(unit, (views.shape[-2], views.shape[-1]), self.area, self.ratio)
        straight = torch.zeros(len(boxes), dtype=torch.bool, device="cpu")
        flat = crop_and_resize(views.flatten(0, 1), boxes, straight, (self.size, self.size))
        return _split(flat, views)


def check_window(area: tuple[float, float], ratio: tuple[float, float]) -> None:
    """Raise ValueError unless both are ranges that a random window can have."""
    if not (0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= ratio[1] < math.inf):
        fail(
            "resized crop",
            expected="0 < area[0] <= area[1] <= 1 and 0 < ratio[0] <= ratio[1]",
            got=f"area {area}, ratio {ratio}",
            remedy="give (least, most)",
        )


class Rotate(PixelViews):
    """Rotate about the centre by a random angle, bilinearly.

    Args:
        degrees: largest angle, either way; 10 is the published car study.
        fill: value outside the image, or "nearest".

    Source: Chai et al. 2021, supplement, figure 21.
    """

    name = "rotate"

    def __init__(self, degrees: float = 10.0, fill: Fill = -1.0) -> None:
        self.degrees = check_number(degrees, "degrees of rotation", least=0, remedy="drop the sign")
        self.fill = fill

    @property
    def is_random(self) -> bool:
        """Whether there is an angle to draw."""
        return self.degrees > 0

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        if self.degrees == 0:
            return views
        unit = streams.child("rotate").uniform(views.shape[1], ()).to(views.device).flatten()
        angle = torch.deg2rad((2 * unit - 1) * self.degrees)
        height, width = views.shape[-2:]
        cos, sin, none = angle.cos(), angle.sin(), torch.zeros_like(angle)
        # Output to input, in coordinates where the half-width and half-height are 1.
        across, down = (cos, -sin * height / width, none), (sin * width / height, cos, none)
        return _resample(views, across, down, self.fill)


def _check_fits(height: int, width: int, views: Tensor, padding: int = 0) -> None:
    """Raise ValueError for a window larger than the padded image."""
    tall, wide = views.shape[-2], views.shape[-1]
    if height > tall + 2 * padding or width > wide + 2 * padding:
        padded = f", {tall}x{wide} plus {padding} on each side"
        expected = f"at most the padded image{padded}" if padding else f"at most {tall}x{wide}"
        got, remedy = f"{height}x{width}", "resize first, or pad more"
        fail("crop size", expected=expected, got=got, remedy=remedy)


def _split(flat: Tensor, views: Tensor) -> Tensor:
    """Give (B K, C, H2, W2) the two leading axes of (B, K, C, H, W)."""
    return flat.reshape(*views.shape[:2], *flat.shape[1:])


def _window(images: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Cut a (height, width) window out of each (N, C, H, W) image at its own corner."""
    rows = top[:, None] + torch.arange(height, device=images.device)
    columns = left[:, None] + torch.arange(width, device=images.device)
    n, c, _, w = images.shape
    band = images.gather(2, rows[:, None, :, None].expand(n, c, height, w))
    return band.gather(3, columns[:, None, None, :].expand(n, c, height, width))


def _resample(views: Tensor, across: Row, down: Row, fill: Fill) -> Tensor:
    """Sample each view bilinearly through its affine map, of two rows, from output to input."""
    flat = views.flatten(0, 1)
    if len(flat) == 0:  # which `affine_grid` does not take
        return views
    theta = torch.stack([torch.stack(row, dim=1) for row in (across, down)], dim=1)
    grid = F.affine_grid(theta.to(flat.dtype), list(flat.shape), align_corners=False)
    if fill == "nearest":
        out = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    else:  # outside is 0 to grid_sample: move the fill value there and back
        value = float(fill)
        out = F.grid_sample(flat - value, grid, padding_mode="zeros", align_corners=False) + value
    return _split(out, views)
