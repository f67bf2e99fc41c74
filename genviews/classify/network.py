"""A small residual network for 32x32 images: the classifier of the embedded default, fashion32.

It is made for a processor without GPU: channels-last memory, few wide convolutions, half the image
size after the first. Its feature maps serve as a perceptual distance for the same images.

Source: He et al. 2016, "Deep residual learning", arXiv:1512.03385, basic block; sizes chosen by us.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count
from genviews.classify.norm import rectified_norm
from genviews.rng import Rng
from genviews.weights import load_network, save_network

__all__ = ["SmallResNet"]

_KIND = "SmallResNet"


class SmallResNet(nn.Module):
    """Logits of small images: a 4x4 convolution of stride 2, three residual blocks, mean, linear.

    The blocks have `width`, 2 and 3 times `width` channels at 1/2, 1/4 and 1/8 of the image size.

    Args:
        channels: image channels C.
        num_classes: Y.
        width: channels of the first block; 32 gives 0.22 million parameters and is chosen by us.
        seed: of the first weights, which do not touch torch's global random numbers.

    Example:
        >>> SmallResNet(width=8)(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self, channels: int = 1, num_classes: int = 10, width: int = 32, seed: int = 0
    ) -> None:
        super().__init__()
        check_count(num_classes, "num_classes", least=2)
        self.config = {"channels": channels, "num_classes": num_classes, "width": width}
        self.stem = _conv(check_count(channels, "channels"), check_count(width, "width"), 4, 2)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList(
            [
                _Block(width, width, stride=1),
                _Block(width, 2 * width, stride=2),
                _Block(2 * width, 3 * width, stride=2),
            ]
        )
        self.head = nn.Linear(3 * width, num_classes, device="meta").to_empty(device="cpu")
        self._initialise(Rng(seed, "SmallResNet").torch())
        self.to(memory_format=torch.channels_last)

    def _initialise(self, generator: torch.Generator) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        bound = 1 / math.sqrt(self.head.in_features)
        nn.init.uniform_(self.head.weight, -bound, bound, generator=generator)
        nn.init.zeros_(self.head.bias)

    def features(self, images: Float[Tensor, "N C H W"]) -> tuple[Tensor, ...]:
        """Return the feature maps after each block, for a perceptual distance.

        Args:
            images: in [-1, 1]; H and W are multiples of 8.

        Returns:
            (N, width, H/2, W/2), (N, 2 width, H/4, W/4), (N, 3 width, H/8, W/8), not negative.
        """
        x = images.contiguous(memory_format=torch.channels_last)
        x = rectified_norm(self.stem_norm, self.stem(x))
        maps = []
        for block in self.blocks:
            x = block(x)
            maps.append(x)
        return tuple(maps)

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
        """Return the logits of images in [-1, 1]."""
        logits: Tensor = self.head(self.features(images)[-1].mean((2, 3)))
        return logits

    def save(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write weights and sizes to one safetensors file that `load` reads.

        Args:
            path: of the file, replaced as a whole.
            metadata: further text of the header, such as the data and the licence.
        """
        save_network(path, self, _KIND, self.config, metadata)

    @classmethod
    def load(cls, path: str | Path) -> SmallResNet:
        """Read a network that `save` wrote, in eval mode; no code of the file is run.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a SmallResNet file, or missing, unused or misshapen weights.
        """
        return load_network(path, _KIND, lambda config: cls(**config))


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, which averages pixels where the others skip them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, width, 3, stride)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = _conv(width, width, 3, 1)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), _conv(channels, width, 1, 1), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return the rectified sum."""
        y = rectified_norm(self.norm1, self.conv1(x))
        return rectified_norm(self.norm2, self.conv2(y), self.shortcut(x))


def _conv(channels: int, width: int, kernel: int, stride: int) -> nn.Conv2d:
    # Without its usual initialisation, which would draw from torch's global random numbers.
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(channels, width, kernel, stride, padding, bias=False, device="meta")
    return conv.to_empty(device="cpu")
