"""The residual discriminator that trains the fashion32 generator; nothing else needs it.

One number per image: the higher, the more the image looks like the data. Each block halves the
side:

    y = down(conv(conv(x))) / sqrt 2 + skip(down(x)) / sqrt 2

and the last block sees, as one more channel, how much the images of a group of four differ, so that
a generator that makes the same image again and again is caught.

Source: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", arXiv
1912.04958, section 4.1 and appendix B (residual discriminator); Karras et al. 2018, arXiv
1710.10196, section 3 (minibatch standard deviation) and 4.1 (equalised learning rate); Miyato &
Koyama 2018, arXiv 1802.05637 (projection). Differs: a class condition is one learnt row a class,
without a mapping network. Gains are folded into weights and biases: a leaky ReLU with a positive
gain g gives g lrelu(x) = lrelu(g x), so no pass over memory is spent on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.checks import fail

__all__ = ["Discriminator", "fir_down", "minibatch_stddev"]

SLOPE = 0.2
LRELU_GAIN = math.sqrt(2.0)
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_down(
    x: Float[Tensor, "B C H W"], taps: Float[Tensor, "t t"], padding: int, stride: int
) -> Tensor:
    """Blur each channel with `taps` (they sum to one) and keep every `stride`-th pixel."""
    weight = taps.to(x.dtype).expand(x.shape[1], 1, *taps.shape)
    return F.conv2d(x, weight, padding=padding, stride=stride, groups=x.shape[1])


def minibatch_stddev(x: Float[Tensor, "B C H W"], group: int = 4) -> Float[Tensor, "B C+1 H W"]:
    """Append one channel: the standard deviation over a group of images, averaged.

    Args:
        x: features; image i is in the group of images i, i + B/group, i + 2 B/group, ...
        group: images in a group; the largest divisor of B up to this is taken. 4 is the paper's
            choice.

    Returns:
        (B, C + 1, H, W).
    """
    batch, _, height, width = x.shape
    group = next(g for g in range(min(group, batch), 0, -1) if batch % g == 0)
    centred = x.unflatten(0, (group, -1))
    centred = centred - centred.mean(0)
    stddev = (centred.square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    channel = stddev.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)
    return torch.cat([x, channel], 1)


class _Equalised(nn.Module):
    """Weights held at unit variance and scaled by gain / sqrt(fan in) at each use.

    Args:
        shape: of the weight, output first.
        rng: draws the weight.
        gain: factor on the output, bias too; the non-linearity's gain is put here.
        bias: whether there is one.
    """

    def __init__(
        self, *shape: int, rng: torch.Generator, gain: float = 1.0, bias: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=rng))
        self.bias = nn.Parameter(torch.zeros(shape[0])) if bias else None
        self.gain, self.scale = gain, gain / math.sqrt(math.prod(shape[1:]))

    def forward(self) -> tuple[Tensor, Tensor | None]:
        """The weight and bias to use."""
        bias = self.bias
        if bias is not None and self.gain != 1:
            bias = bias * self.gain
        return self.weight * self.scale, bias


class _Block(nn.Module):
    """Two convolutions, the second after a blur and with stride 2, beside a blurred 1x1 skip."""

    def __init__(self, c_in: int, c_out: int, rng: torch.Generator) -> None:
        super().__init__()
        half = math.sqrt(0.5)  # the two branches add up to unit variance
        self.conv0 = _Equalised(c_in, c_in, 3, 3, rng=rng, gain=LRELU_GAIN)
        self.conv1 = _Equalised(c_out, c_in, 3, 3, rng=rng, gain=LRELU_GAIN * half)
        self.skip = _Equalised(c_out, c_in, 1, 1, rng=rng, gain=half, bias=False)
        taps = torch.tensor(FIR_TAPS)
        self.register_buffer("taps", taps.outer(taps) / taps.sum() ** 2, persistent=False)
        self.taps: Tensor

    def forward(self, x: Tensor) -> Tensor:
        # Padding keeps the two branches on one grid: 4 taps and 3x3 with stride 2, or 4 taps with
        # stride 2.
        skip = F.conv2d(fir_down(x, self.taps, padding=1, stride=2), *self.skip())
        x = F.leaky_relu_(F.conv2d(x, *self.conv0(), padding=1), SLOPE)
        x = F.conv2d(fir_down(x, self.taps, padding=2, stride=1), *self.conv1(), stride=2)
        return F.leaky_relu_(x, SLOPE) + skip


class Discriminator(nn.Module):
    """Image, and class if there are any, -> one logit: high for the data, low for the generator.

    Args:
        image_channels: C of the image.
        size: side of the square image in pixels, a power of two of at least 8.
        channels: feature channels at each side, e.g. {4: 64, 8: 64, 16: 64, 32: 32}.
        num_classes: class conditions; 0 for none.
        rng: draws the first weights.

    Raises:
        ValueError: a size that is no power of two, or a side without a number of channels.
    """

    def __init__(
        self,
        *,
        image_channels: int,
        size: int,
        channels: Mapping[int, int],
        num_classes: int = 0,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        sides = [2**i for i in range(2, size.bit_length())]
        if size < 8 or sides[-1] != size or any(side not in channels for side in sides):
            fail(
                "discriminator size",
                expected="a power of two of at least 8, with channels for each side from 4 up",
                got=f"size {size} and channels for {sorted(channels)}",
                remedy="pad the images to a power of two, or list the missing sides",
            )
        self.num_classes = num_classes
        self.from_image = _Equalised(channels[size], image_channels, 1, 1, rng=rng, gain=LRELU_GAIN)
        self.blocks = nn.Sequential(
            *(_Block(channels[side], channels[side // 2], rng) for side in reversed(sides[1:]))
        )
        last = channels[4]
        self.conv = _Equalised(last, last + 1, 3, 3, rng=rng, gain=LRELU_GAIN)
        self.fc = _Equalised(last, last * 16, rng=rng, gain=LRELU_GAIN)
        self.out = _Equalised(last if num_classes else 1, last, rng=rng)
        if num_classes:
            self.classes = nn.Parameter(torch.randn(num_classes, last, generator=rng))

    def forward(
        self, images: Float[Tensor, "B C H W"], label: Int[Tensor, " B"] | None = None
    ) -> Float[Tensor, " B"]:
        """Logits (B,). `label` holds class indices and is needed exactly when there are classes."""
        if (label is None) != (self.num_classes == 0):
            fail(
                "label",
                expected=f"class indices below {self.num_classes}" if self.num_classes else "none",
                got="none" if label is None else "labels",
                remedy="build the discriminator with the number of classes of the data",
            )
        # A linear map of channels-last pixels: conv2d cannot tell that layout from one channel.
        weight, bias = self.from_image()
        x = F.linear(images.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        # Not in place here: the input is a view, which would cost copies in the backward pass.
        x = self.blocks(F.leaky_relu(x, SLOPE))
        x = F.leaky_relu_(F.conv2d(minibatch_stddev(x), *self.conv(), padding=1), SLOPE)
        x = F.leaky_relu_(F.linear(x.flatten(1), *self.fc()), SLOPE)
        logits = F.linear(x, *self.out())
        if label is None:
            return logits[:, 0]
        rows = self.classes[label]
        rows = rows * (rows.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        projected: Tensor = (logits * rows).sum(1) / math.sqrt(rows.shape[1])
        return projected
