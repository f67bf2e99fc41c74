"""Crops, resizes and blurs as one pair of small matrices for each view, and the boxes of crops.

All three are separable and linear, `out = R x S^T`, with R (h, H) over rows and S (w, W) over
columns. A batch of views is then two batched matrix products, with every view's own matrices, on
any device, differentiable, and equal to what torchvision computes for one image at a time.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.signature import checked

__all__ = ["ATTEMPTS", "blur", "blur_size", "crop_and_resize", "random_boxes"]

ATTEMPTS = 10  # windows drawn before the largest central one is taken, as in torchvision

# On a CPU the products cost more than torch's own interpolation of one crop at a time from about
# this many pixels on (measured: four times as much at 96x96, a sixth at 32x32).
LARGE = 48 * 48


@checked
def random_boxes(
    unit: Float[Tensor, "N attempts 4"],
    size: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
) -> Int[Tensor, "N 4"]:
    """Boxes (top, left, height, width) of random area, aspect ratio and place inside an image.

    The first attempt that fits is taken; where none does, the largest central box whose ratio is in
    range. The law of torchvision's `RandomResizedCrop.get_params`.

    Args:
        unit: draws on [0, 1): area, ratio, top and left of each attempt.
        size: (H, W) of the image.
        area: least and most share of the image.
        ratio: least and most width / height, drawn log-uniformly.
    """
    height, width = size
    unit = unit.double()
    share = area[0] + unit[:, :, 0] * (area[1] - area[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    slope = (0.5 * (low + unit[:, :, 1] * (high - low))).exp()
    side = (share * height * width).sqrt()
    tall, wide = (side / slope).round(), (side * slope).round()
    top = (unit[:, :, 2] * (height - tall + 1)).floor()
    left = (unit[:, :, 3] * (width - wide + 1)).floor()
    fits = (tall >= 1) & (wide >= 1) & (tall <= height) & (wide <= width)
    boxes = torch.stack([top, left, tall, wide], dim=2).long()
    first = boxes[torch.arange(len(unit), device="cpu"), fits.int().argmax(1)]
    central = torch.tensor(_central_box(height, width, ratio), device="cpu")
    return torch.where(fits.any(1, keepdim=True), first, central)


def _central_box(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int, int, int]:
    tall, wide = height, width
    if width / height < ratio[0]:
        tall = round(width / ratio[0])
    elif width / height > ratio[1]:
        wide = round(height * ratio[1])
    return ((height - tall) // 2, (width - wide) // 2, tall, wide)


@checked
def crop_and_resize(
    images: Float[Tensor, "N C H W"],
    box: Int[Tensor, "N 4"],
    flip: Bool[Tensor, " N"],
    size: tuple[int, int],
) -> Float[Tensor, "N C h w"]:
    """Cut each image's own box, resize it bilinearly with antialiasing, and mirror some.

    As torchvision's `resized_crop(..., antialias=True)` followed by `hflip`: nothing outside the
    box is read, and a box larger than `size` is filtered before it shrinks.

    Args:
        images: any values.
        box: (top, left, height, width) in pixels, inside the image; on the CPU.
        flip: which ones are mirrored left and right; on the CPU.
        size: (h, w) of the result.
    """
    if images.device.type == "cpu" and images.shape[-2] * images.shape[-1] >= LARGE:
        return _one_by_one(images, box, flip, size)
    top, left, tall, wide = box.to(images).unbind(1)
    rows = _triangles(top, tall, size[0], images.shape[-2])
    columns = _triangles(left, wide, size[1], images.shape[-1])
    columns = torch.where(flip.to(images.device)[:, None, None], columns.flip(1), columns)
    return _apply(images, rows, columns)


def _one_by_one(images: Tensor, box: Tensor, flip: Tensor, size: tuple[int, int]) -> Tensor:
    if len(images) == 0:
        return images.new_empty(0, images.shape[1], *size)
    made = []
    for image, (top, left, tall, wide), mirrored in zip(
        images.split(1), box.tolist(), flip.tolist(), strict=True
    ):
        window = image[:, :, top : top + tall, left : left + wide]
        if (tall, wide) != size:
            window = F.interpolate(window, size, mode="bilinear", antialias=True)
        made.append(window.flip(-1) if mirrored else window)
    return torch.cat(made)


def _triangles(
    start: Float[Tensor, " N"], length: Float[Tensor, " N"], count: int, pixels: int
) -> Float[Tensor, "N {count} {pixels}"]:
    """Weights of the input's pixels in each of `count` output pixels that cover the window."""
    step = (length / count)[:, None, None]
    output = torch.arange(count, device=start.device, dtype=start.dtype)[:, None] + 0.5
    pixel = torch.arange(pixels, device=start.device, dtype=start.dtype) + 0.5
    begin = start[:, None, None]
    # A triangle as wide as an output pixel, or an input pixel where that is wider.
    weights = (1 - (pixel - begin - output * step).abs() / step.clamp(min=1)).clamp(min=0)
    inside = (pixel > begin) & (pixel < begin + length[:, None, None])
    weights = weights * inside
    return weights / weights.sum(-1, keepdim=True)


def blur_size(height: int) -> int:
    """Width of the blur's kernel: the odd number nearest to a tenth of the image, as in SimCLR."""
    return 2 * round(height / 20) + 1


@checked
def blur(
    images: Float[Tensor, "N C H W"], sigma: Float[Tensor, " N"], width: int
) -> Float[Tensor, "N C H W"]:
    """Gaussian blur, each image with its own sigma; the border reflects.

    As torchvision's `gaussian_blur(image, [width, width], sigma)`.

    Args:
        images: larger than half of `width` in height and width.
        sigma: standard deviation in pixels, above 0; on any device.
        width: of the kernel, odd.
    """
    offset = torch.arange(width, device=images.device, dtype=images.dtype) - width // 2
    kernel = (-0.5 * (offset / sigma.to(images)[:, None]).square()).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    rows, columns = (_reflecting(kernel, pixels) for pixels in images.shape[-2:])
    return _apply(images, rows, columns)


def _reflecting(kernel: Float[Tensor, "N k"], pixels: int) -> Float[Tensor, "N {pixels} {pixels}"]:
    """The kernel of each image as a matrix over the pixels of a line."""
    half = kernel.shape[1] // 2
    output = torch.arange(pixels, device=kernel.device)[:, None]
    source = (output + torch.arange(-half, half + 1, device=kernel.device)).abs()
    source = torch.minimum(source, 2 * (pixels - 1) - source)
    matrix = kernel.new_zeros(len(kernel), pixels, pixels)
    spread = kernel[:, None, :].expand(-1, pixels, -1)
    return matrix.scatter_add(2, source.expand(len(kernel), -1, -1), spread)


def _apply(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """R x S^T for each channel of each image."""
    n, c, height, width = images.shape
    wide = torch.bmm(images.reshape(n, c * height, width), columns.transpose(1, 2))
    return torch.matmul(rows[:, None], wide.unflatten(1, (c, height)))
