"""Transforms that change colours: brightness, contrast, saturation and hue."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import fail
from genviews.rng import Streams
from genviews.signature import checked

__all__ = ["CHANGES", "ColorJitter", "change_colours", "check_jitter", "to_grey"]

CHUNK = 2**19  # values changed at once on a CPU, so that what lies between stays in its cache


@dataclass(frozen=True)
class ColorJitter(PixelViews):
    """Change brightness, contrast, saturation and hue, in this order, each by its own draw.

    Three factors f ~ U(max(0, 1 - s), 1 + s) and a hue turn ~ U(-hue, hue), on values in [0, 1]:

        brightness f x,   contrast f x + (1 - f) mean(grey(x)),   saturation f x + (1 - f) grey(x)

    After each change the values are clamped to the valid range. A change of strength 0 is left out:
    it neither clamps nor rounds. Grey images (C = 1) have no saturation or hue to change.

    Args:
        brightness: s of brightness, at least 0.
        contrast: s of contrast.
        saturation: s of saturation.
        hue: largest turn, a fraction of the colour circle in [0, 0.5].

    Differs: torchvision's class draws the order of the four changes as well; here it is fixed.
        `genviews.augment.SimCLR` draws it.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    name: ClassVar[str] = "jitter"

    def __post_init__(self) -> None:
        check_jitter(self.brightness, self.contrast, self.saturation, self.hue)

    @property
    def is_random(self) -> bool:
        """Whether anything changes."""
        return max(self.brightness, self.contrast, self.saturation, self.hue) > 0

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        if views.shape[2] not in (1, 3):
            fail("colour jitter", expected="1 or 3 channels", got=views.shape[2], remedy="leave it")
        changes = CHANGES if views.shape[2] == 3 else CHANGES[:2]
        draws = streams.child("jitter").uniform(views.shape[1], (4, 1, 1, 1)).to(views.device)
        for index, (change, strength) in enumerate(zip(changes, strengths, strict=False)):
            if strength == 0:
                continue
            least = -strength if change is _hue else max(0.0, 1 - strength)
            most = strength if change is _hue else 1 + strength
            amount = least + draws[:, :, index] * (most - least)
            values = change((views + 1) / 2, amount)
            views = values.clamp(0, 1) * 2 - 1
        return views


def check_jitter(brightness: float, contrast: float, saturation: float, hue: float) -> None:
    """Raise ValueError unless the strengths are in range."""
    known = all(0 <= one < math.inf for one in (brightness, contrast, saturation, hue))  # not NaN
    if not known or hue > 0.5:
        fail(
            "colour jitter",
            expected="strengths of at least 0, and a hue of at most 0.5",
            got=f"{brightness}, {contrast}, {saturation}, {hue}",
            remedy="0.05 is the published strength for test-time views, 0.4 for learning",
        )


@checked
def change_colours(
    images: Float[Tensor, "N C H W"],
    order: Int[Tensor, "N 4"],
    amounts: Float[Tensor, "N 4"],
    chosen: Bool[Tensor, "N 4"],
) -> Float[Tensor, "N C H W"]:
    """Brightness, contrast, saturation and hue, each image's in an order of its own.

    As torchvision's `adjust_*` functions, called one after the other: every change clamps to the
    valid range. Images of which no change is chosen stay as they are, bit for bit.

    Args:
        images: values in [-1, 1].
        order: permutation of the changes: `order[i, 0]` is the first one of image i. On the CPU,
            like the two below, so that the rows of each change are known without waiting.
        amounts: factors of brightness, contrast and saturation, and the turn of the hue.
        chosen: which changes are made. Those of colour are never made on grey images (C = 1).
    """
    if not bool((order.sort(1).values == torch.arange(4)).all()):
        expected, remedy = "0, 1, 2 and 3 in each row", "make it with `argsort`"
        fail("order of the changes", expected=expected, got="others", remedy=remedy)
    chosen = chosen.clone()
    if images.shape[1] == 1:
        chosen[:, 2:] = False
    rows = chosen.any(1).nonzero().flatten()
    changed = images.clone()
    # On a GPU all at once.
    most = CHUNK // images.shape[1:].numel() if images.device.type == "cpu" else len(images)
    for part in rows.split(max(1, most)):
        here = part.to(images.device)
        values = (changed.index_select(0, here) + 1) / 2
        values = _change(values, order[part], amounts[part], chosen[part])
        changed.index_copy_(0, here, values * 2 - 1)
    return changed


def _change(values: Tensor, order: Tensor, amounts: Tensor, chosen: Tensor) -> Tensor:
    """The changes on values in [0, 1]; `values` is written to."""
    used = chosen.any(0)
    # Without the changes that nobody makes; a permutation holds each of them once.
    order = order[used[order]].reshape(len(order), int(used.sum()))
    for place in order.unbind(1):
        for index in used.nonzero().flatten().tolist():
            rows = ((place == index) & chosen[:, index]).nonzero().flatten()
            if len(rows):
                change = CHANGES[index]
                amount = amounts[rows, index].to(values)[:, None, None, None]
                rows = rows.to(values.device)
                changed = change(values.index_select(0, rows), amount).clamp(0, 1)
                values.index_copy_(0, rows, changed)
    return values


@checked
def to_grey(
    images: Float[Tensor, "N C H W"], chosen: Bool[Tensor, " N"]
) -> Float[Tensor, "N C H W"]:
    """Replace the colours of the chosen images by their luma, in every channel.

    Args:
        images: values in [-1, 1]; grey ones (C = 1) are returned as they are.
        chosen: on the CPU.
    """
    if images.shape[1] == 1 or not chosen.any():
        return images
    rows = chosen.nonzero().flatten().to(images.device)
    changed = images.clone()
    # On [0, 1], as torchvision's: the three weights add up to 0.9999, not to 1.
    grey = _grey((images.index_select(0, rows) + 1) / 2) * 2 - 1
    return changed.index_copy_(0, rows, grey.expand(-1, images.shape[1], -1, -1))


def _grey(images: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, on the channel axis -3."""
    if images.shape[-3] == 1:
        return images
    red, green, blue = images.unbind(-3)
    return (0.2989 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(-3)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images.mean((-2, -1), keepdim=True))  # the luma is linear: its mean is the mean's
    return torch.lerp(mean, images, factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(images), images, factor)


def _hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue: the HSV colour with the same value and chroma at hue + turn."""
    red, green, blue = images.unbind(-3)
    value = torch.maximum(torch.maximum(red, green), blue)
    least = torch.minimum(torch.minimum(red, green), blue)
    chroma = value - least
    # The hue in sixths of the circle, times the chroma: red is at 0, green at 2, blue at 4.
    greenish, blueish = blue - red + 2 * chroma, (red - green).add_(chroma, alpha=4)
    sixths = torch.where(value == green, greenish, blueish)
    sixths = torch.where(value == red, green - blue, sixths)
    sixths = sixths / chroma.clamp(min=torch.finfo(images.dtype).tiny) + 6 * turn.squeeze(-3)
    sixths = sixths - 6 * (sixths / 6).floor_()
    shares = [(sixths - 3).abs_() - 1, 2 - (sixths - 2).abs_(), 2 - (sixths - 4).abs_()]
    share = torch.stack(shares, dim=-3).clamp_(0, 1)
    return torch.addcmul(least.unsqueeze(-3), chroma.unsqueeze(-3), share)


CHANGES = (_brightness, _contrast, _saturation, _hue)
