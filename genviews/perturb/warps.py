"""The edits that walks imitate: shift, zoom, rotation in and out of the plane, and colour.

A *step* says how far to go along each edit, as the coefficient that multiplies the walk in the
latent. It determines the edit of the picture too, so that one number a direction is all there is:

    direction   step c drawn from          picture                               at 256 pixels
    shiftx      {-1, -0.9, ..., 1}         c shift W pixels to the right         100 c
    shifty      {-1, -0.9, ..., 1}         c shift H pixels down                 100 c
    zoom        ln a, half a ~ U(1/4, 1),  1/a times as large: a < 1 crops and   the same
                half a ~ U(1, 4)           enlarges, a > 1 pads and shrinks
    rot2d       {-1, -5/6, ..., 1}         30 c degrees anticlockwise            the same
    rot3d       {-1, -5/6, ..., 1}         60 c degrees about the vertical axis, 12 c pixels
                                           seen from one diagonal away, and      to the left
                                           c slide W pixels to the left
    colourI     U(-1/2, 1/2)               channel I of [-1, 1] plus c           the same

With `zoom_law="magnify"` of `StepRanges`, which is ours, the picture becomes a times as large. The
two are no mirror images of each other: sizes have the median 1 in both, but the quartiles .4 and
1.6 under the published law, .625 and 2.5 under ours.

The whole edit is colour, then rot3d, rot2d, zoom and shift. Each stage leaves behind what moved out
of the frame. A pixel of the result is valid where no stage had to invent it: its place lay inside
the picture before each of them.

Source: Jahanian et al. 2022, arXiv:2106.05258, section 3.3.2 and appendix B; its code
(`pixel_transformations.py`, `biggan_steer_train.py`), and eborboihuc/rotate_3d for the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from genviews.checks import check_count, check_number, lookup
from genviews.rng import Streams
from genviews.signature import checked
from genviews.types import Images, Masks, check_shape

__all__ = [
    "EDITS",
    "Masking",
    "StepRanges",
    "ZoomLaw",
    "directions_of",
    "edit_of",
    "steering_loss",
    "warp",
]

EDITS = ("shiftx", "shifty", "zoom", "rot2d", "rot3d", "colour")
Masking = Literal["intersection", "published"]
ZoomLaw = Literal["published", "magnify"]
_PLANE = EDITS[:-1]  # one direction each; colour has one a channel
_SLACK = 1e-3  # of a pixel: whole-pixel moves reach the outermost centres whatever the round-off


def directions_of(channels: int, edits: tuple[str, ...] = EDITS) -> tuple[str, ...]:
    """Names of the directions of edits, in the order of steps; colour has one for each channel.

    Raises:
        ValueError: an unknown edit; the closest are listed.

    Example:
        >>> directions_of(3, ("colour", "zoom"))
        ('zoom', 'colour0', 'colour1', 'colour2')
    """
    for edit in edits:
        lookup(edit, dict.fromkeys(EDITS, True), "edit of a walk")
    colours = tuple(f"colour{i}" for i in range(channels)) if "colour" in edits else ()
    return tuple(edit for edit in _PLANE if edit in edits) + colours


def edit_of(direction: str) -> str:
    """The edit that a direction belongs to: "colour" of "colour2", else its own name."""
    return "colour" if direction.startswith("colour") else direction


@dataclass(frozen=True, kw_only=True)
class StepRanges:
    """How far the edits go. Lengths are shares of the picture, so that they fit every size.

    Args:
        shift: largest shift, a share of width and height.
        zoom: largest enlargement, and the inverse of the smallest; at least 1.
        zoom_law: "published": a step above 0 shrinks, and a picture becomes e^-c times as large;
            "magnify": it enlarges, e^c times. Walks of one law are none of the other.
        rot2d: largest rotation in the plane, in degrees.
        rot3d: largest rotation about the vertical axis, in degrees, at most 60: the picture must
            stay in front of the camera.
        slide: how far the largest rot3d moves the picture to the left, a share of the width.
        colour: largest change of a channel, of values in [-1, 1].
        shift_levels: how many equidistant steps of a shift there are; odd, so that one is 0.
        rotation_levels: likewise of both rotations.

    Raises:
        ValueError: a value out of range.

    Source: the defaults are those of Jahanian et al. 2022, appendix B and code, at 256 pixels.
    """

    shift: float = 100 / 256
    zoom: float = 4.0
    zoom_law: ZoomLaw = "published"
    rot2d: float = 30.0
    rot3d: float = 60.0
    slide: float = 12 / 256
    colour: float = 0.5
    shift_levels: int = 21
    rotation_levels: int = 13

    def __post_init__(self) -> None:
        check_count(self.shift_levels, "shift_levels", least=3)
        check_count(self.rotation_levels, "rotation_levels", least=3)
        for name in ("shift", "slide", "colour", "rot2d", "rot3d"):
            most = 60.0 if name == "rot3d" else math.inf
            what, remedy = f"{name} of the step ranges", "0 leaves an edit out"
            check_number(getattr(self, name), what, least=0, most=most, remedy=remedy)
        lookup(self.zoom_law, dict.fromkeys(get_args(ZoomLaw), True), "zoom_law")
        check_number(self.zoom, "zoom of the step ranges", least=1, remedy="use 4")

    def draw(
        self, streams: Streams, num_views: int, channels: int
    ) -> Float[Tensor, "B K {5+channels}"]:
        """Random steps along all directions, `directions_of(channels)`, for K views of each sample.

        Args:
            streams: one for each of the B samples.
            num_views: K.
            channels: C, of the pictures.
        """
        unit = streams.uniform(num_views, (len(_PLANE) + channels,)).double()
        levels = (self.shift_levels, self.shift_levels, 0, *2 * (self.rotation_levels,))
        steps = [
            self._zoom(unit[..., i]) if count == 0 else _level(unit[..., i], count)
            for i, count in enumerate(levels)
        ]
        colours = (2 * unit[..., len(_PLANE) :] - 1) * self.colour
        return torch.cat([torch.stack(steps, dim=-1), colours], dim=-1).float()

    def _zoom(self, unit: Tensor) -> Tensor:
        least = 1 / self.zoom
        smaller = least + 2 * unit * (1 - least)
        larger = 1 + (2 * unit - 1) * (self.zoom - 1)
        return torch.where(unit < 0.5, smaller, larger).log()


def _level(unit: Tensor, count: int) -> Tensor:
    return 2 * (unit * count).floor() / (count - 1) - 1


@checked
def warp(
    images: Images,
    steps: Float[Tensor, "B J"],
    ranges: StepRanges | None = None,
    masking: Masking = "intersection",
) -> tuple[Images, Masks]:
    """Edit pictures, each by its own steps, and say which pixels of the result are valid.

    Differentiable in the images and the steps. A step of zero along every direction returns the
    image, up to round-off, with every pixel valid.

    Args:
        images: values in [-1, 1], on any device.
        steps: along `directions_of(C)`, J = 5 + C; see the module.
        ranges: what steps mean; None is `StepRanges()`.
        masking: "intersection": valid is what is valid for every edit. "published": the mask of
            zoom and shift alone; the reference overwrites those of the rotations, so that its loss
            sees their empty corners.

    Returns:
        The edited pictures, 0 (mid-grey) where a stage had nothing, and the mask, 1 for valid.

    Raises:
        ValueError: another number of directions, or an unknown masking.

    Differs:
        One bilinear interpolation for the whole edit, where the reference interpolates once a
        stage, and blurs. Its camera turns a plane one pixel behind the axis, which shrinks the
        picture by 0.3 % at 256 pixels when no edit is made; here the axis lies in the plane.
        Neither clamps colours, nor filters before it shrinks.
    """
    ranges = StepRanges() if ranges is None else ranges
    lookup(masking, dict.fromkeys(get_args(Masking), True), "masking")
    channels = images.shape[1]
    remedy = "draw them with `StepRanges().draw(streams, 1, channels)`"
    note = f", of {', '.join(directions_of(channels))}"
    check_shape(steps, ("B", len(_PLANE) + channels), "steps", remedy, note=note)
    steps = steps.to(images)
    coloured = images + steps[:, len(_PLANE) :, None, None]
    x, y, moved, turned = _sources(steps, ranges, (images.shape[-2], images.shape[-1]))
    grid = torch.stack([x * (2 / images.shape[-1]), y * (2 / images.shape[-2])], dim=-1)
    sampled = F.grid_sample(coloured, grid, padding_mode="border", align_corners=False)
    both = (moved & turned)[:, None]
    valid = both if masking == "intersection" else moved[:, None]
    return torch.where(both, sampled, 0.0), valid.to(images)


def _sources(
    steps: Tensor, ranges: StepRanges, size: tuple[int, int]
) -> tuple[
    Float[Tensor, "B H W"], Float[Tensor, "B H W"], Bool[Tensor, "B H W"], Bool[Tensor, "B H W"]
]:
    """Where each pixel comes from, as offsets from the middle, and whether that was in the frame.

    The stages are undone from the last to the first. The first mask is of shift and zoom, the
    second of the rotations.
    """
    height, width = size
    shiftx, shifty, zoom, rot2d, rot3d = steps[:, : len(_PLANE), None, None].unbind(1)
    y, x = (_centres(length).to(steps) for length in size)
    y = y[:, None] - shifty * ranges.shift * height
    x, y = torch.broadcast_tensors(x - shiftx * ranges.shift * width, y)
    moved = _inside(x, y, size)
    scale = (zoom if ranges.zoom_law == "published" else -zoom).exp()
    x, y = x * scale, y * scale
    moved = moved & _inside(x, y, size)
    angle = torch.deg2rad(rot2d * ranges.rot2d)
    x, y = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
    turned = _inside(x, y, size)
    angle = torch.deg2rad(rot3d * ranges.rot3d)
    distance = math.hypot(height, width)
    # Above a tenth of the distance all over the frame; far outside, the ray may miss the picture.
    towards = (distance * angle.cos() - x * angle.sin()).clamp(min=0.01 * distance)
    x = distance * (x + rot3d * ranges.slide * width) / towards
    y = y * (x * angle.sin() + distance) / distance
    return x, y, moved, turned & _inside(x, y, size)


def _centres(length: int) -> Tensor:
    """Places of the pixels of a line, from its middle."""
    return torch.arange(length, device="cpu") + 0.5 - length / 2


def _inside(x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Between the centres of the outermost pixels, so that nothing outside has a weight."""
    height, width = size
    return (x.abs() <= (width - 1) / 2 + _SLACK) & (y.abs() <= (height - 1) / 2 + _SLACK)


@checked
def steering_loss(edited: Images, target: Images, mask: Masks) -> Float[Tensor, ""]:
    """Mean squared error over the valid values of a batch.

        sum((m edited - m target)^2) / count_nonzero(m),    m once for each channel

    Source: the code of Jahanian et al. 2022; its paper writes a norm that is not squared.
    """
    count = mask.count_nonzero() * edited.shape[1]
    return ((edited - target).square() * mask).sum() / count.clamp(min=1)
