"""What files and screens do to an image: compression, large pixels, a wrong frame."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published
from genviews.robustness.filters import along_axes, at_places, boxes_matrix, gaussian

__all__ = ["JPEG", "ElasticTransform", "Pixelate"]


@dataclass(frozen=True)
class JPEG(Corruption):
    """A file of JPEG, written at quality q and read again, by Pillow.

    The one kind that is rounded to 8 bits, as a file is.
    """

    kind: ClassVar[str] = "jpeg"
    published: ClassVar[Published] = {
        "cifar-c": ((80,), (65,), (58,), (50,), (40,)),
        "imagenet-c": ((25,), (18,), (15,), (10,), (7,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images as they come back."""
        (quality,) = self.numbers
        pixels = (values.movedim(1, -1) * 255).round().to(torch.uint8).cpu().numpy()
        found = np.empty_like(pixels)
        for number, image in enumerate(pixels):
            file = BytesIO()
            Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
                file, "JPEG", quality=int(quality)
            )
            with Image.open(file) as read:
                found[number] = np.asarray(read).reshape(image.shape)
        return torch.from_numpy(found).movedim(-1, 1).to(values) / 255


@dataclass(frozen=True)
class Pixelate(Corruption):
    """Resized to a share of its size, and back, by boxes: see `filters.boxes_matrix`."""

    kind: ClassVar[str] = "pixelate"
    published: ClassVar[Published] = {
        "cifar-c": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),
        "imagenet-c": ((0.6,), (0.5,), (0.4,), (0.3,), (0.25,)),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The images of larger pixels."""
        (share,) = self.numbers
        rows, columns = (
            boxes_matrix(size, small) @ boxes_matrix(small, size)
            for size in values.shape[-2:]
            for small in [max(1, int(size * share))]
        )
        return along_axes(values, rows, columns)


@dataclass(frozen=True)
class ElasticTransform(Corruption):
    """A random affine map, then a random field of displacements.

    Three points of the image move by up to a in each direction, and the image with them; it is a
    mirror beyond its border. Then each pixel is read d N(s) * u away, u uniform on [-1, 1] in both
    directions, smoothed by a Gaussian of s cut off at 3 s. The three lengths a, d and s are
    fractions of the shorter side. Severities are ordered by the errors of classifiers: the first
    ones bend the image as a whole, and the others tear at it.

    Source: Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied
        to visual document analysis", ICDAR 2003.
    Differs: OpenCV 4, of that time, rounds the places of the affine map to 1/32 of a pixel; 5 does
        not.
    """

    kind: ClassVar[str] = "elastic_transform"
    rises: ClassVar[bool] = False
    published: ClassVar[Published] = {
        "cifar-c": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        # Written for images of 224 pixels as multiples of 244.
        "imagenet-c": tuple(
            tuple(244 / 224 * part for part in parts)
            for parts in (
                (2, 0.7, 0.1),
                (2, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
    }

    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """The bent images."""
        height, width = values.shape[-2:]
        far, smooth, affine = (part * min(height, width) for part in self.numbers)
        moves = streams.child("affine").uniform(1, (3, 2))[:, 0].double() * 2 - 1
        # (W, H, 2) as columns and rows, and (H, W, 2) when turned.
        across, along = (torch.arange(size, device="cpu").double() for size in (width, height))
        pixels = torch.cartesian_prod(across, along)
        pixels = pixels.view(width, height, 2).transpose(0, 1)
        places = _moved_back(pixels, affine * moves, height, width)
        values = at_places(values, places, "mirror")
        draws = streams.child("field").uniform(1, (2, height, width))[:, 0].double() * 2 - 1
        bent = pixels + far * gaussian(draws, smooth, truncate=3, border="reflect").movedim(1, -1)
        return at_places(values, bent, "reflect")


def _moved_back(pixels: Tensor, moves: Tensor, height: int, width: int) -> Tensor:
    """(B, H, W, 2) where each pixel was before three points, and the plane with them, moved.

    Args:
        pixels: (H, W, 2) column and row of each.
        moves: (B, 3, 2) of the points.
        height: of the image.
        width: of the image.
    """
    arm = max(min(height, width) // 3, 1)
    corners = pixels.new_tensor([[1, 1], [1, -1], [-1, -1]]) * arm
    points = F.pad(pixels.new_tensor([width // 2, height // 2]) + corners, (0, 1), value=1)
    after = points + F.pad(moves, (0, 1))
    back = torch.linalg.solve(after, points.expand_as(after))  # of rows: after @ back = points
    found: Tensor = F.pad(pixels, (0, 1), value=1).view(1, -1, 3) @ back[:, :, :2]
    return found.view(-1, height, width, 2)
