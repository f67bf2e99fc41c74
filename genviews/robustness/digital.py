"""What files and screens do to an image: compression, large pixels, a wrong frame."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, Published

__all__ = ["JPEG"]


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
