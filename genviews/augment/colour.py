"""Transforms that change colours: brightness, contrast, saturation and hue."""

from __future__ import annotations

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import fail
from genviews.rng import Streams

__all__ = ["ColorJitter"]


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
    """

    name = "jitter"

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        if min(brightness, contrast, saturation, hue) < 0 or hue > 0.5:
            fail(
                "colour jitter",
                expected="strengths of at least 0, and a hue of at most 0.5",
                got=f"{brightness}, {contrast}, {saturation}, {hue}",
                remedy="0.05 is the published strength",
            )
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        strengths = (self.brightness, self.contrast, self.saturation, self.hue)
        if views.shape[2] not in (1, 3):
            fail("colour jitter", expected="1 or 3 channels", got=views.shape[2], remedy="leave it")
        changes = _CHANGES if views.shape[2] == 3 else _CHANGES[:2]
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


def _grey(images: Tensor) -> Tensor:
    """Luma of ITU-R BT.601, on the channel axis -3."""
    if images.shape[-3] == 1:
        return images
    weights = torch.tensor([0.2989, 0.587, 0.114], device=images.device, dtype=images.dtype)
    return (images * weights[:, None, None]).sum(-3, keepdim=True)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return images * factor


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    mean = _grey(images).mean((-3, -2, -1), keepdim=True)
    return torch.lerp(mean, images, factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return torch.lerp(_grey(images), images, factor)


def _hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue: the HSV colour with the same value and chroma at hue + turn."""
    red, green, blue = images.unbind(-3)
    value, where = images.max(-3)
    chroma = value - images.min(-3).values
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    sextants = torch.stack([(green - blue), (blue - red), (red - green)], dim=-3) / safe.unsqueeze(
        -3
    )
    offset = 2.0 * where.to(images.dtype)  # red is at 0, green at 2, blue at 4 sixths of the circle
    sixths = sextants.gather(-3, where.unsqueeze(-3)).squeeze(-3) + offset + 6 * turn.squeeze(-3)
    place = torch.tensor([5.0, 3.0, 1.0], device=images.device, dtype=images.dtype)[:, None, None]
    k = (place + sixths.unsqueeze(-3)) % 6
    return value.unsqueeze(-3) - chroma.unsqueeze(-3) * torch.minimum(k, 4 - k).clamp(0, 1)


_CHANGES = (_brightness, _contrast, _saturation, _hue)
