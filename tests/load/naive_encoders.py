"""The published encoders and classifiers in float64, off the names of their files: an oracle.

As `tests.generators.naive_others`: a run draws the file too.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F

from tests.generators.naive_others import lrelu


def prelu(w, name, x):
    slope = w(f"{name}.weight", x.shape[1], around=0.25, deviation=0.05)
    return torch.where(x < 0, slope[:, None, None] * x, x)


def improved(w, name, x, out, stride, squeeze):
    """A residual unit of ArcFace's: norm, 3x3, PReLU, 3x3 with the stride, norm, squeeze."""
    y = w.conv(f"{name}.res_layer.1", w.norm(f"{name}.res_layer.0", x), out, 3)
    y = prelu(w, f"{name}.res_layer.2", y)
    y = w.norm(f"{name}.res_layer.4", w.conv(f"{name}.res_layer.3", y, out, 3, stride=stride))
    if squeeze:
        mean = y.mean((2, 3), keepdim=True)
        less = w.conv(f"{name}.res_layer.5.fc1", mean, out // 16, 1).clamp(min=0)
        y = y * w.conv(f"{name}.res_layer.5.fc2", less, out, 1).sigmoid()
    short = x[:, :, ::stride, ::stride]
    if x.shape[1] != out:
        conv = w.conv(f"{name}.shortcut_layer.0", x, out, 1, stride=stride)
        short = w.norm(f"{name}.shortcut_layer.1", conv)
    return y + short


def basic(w, name, x, out, stride):
    """A block of torchvision's ResNet-34."""
    y = w.norm(f"{name}.bn1", w.conv(f"{name}.conv1", x, out, 3, stride=stride)).clamp(min=0)
    y = w.norm(f"{name}.bn2", w.conv(f"{name}.conv2", y, out, 3))
    if stride != 1 or x.shape[1] != out:
        conv = w.conv(f"{name}.downsample.0", x, out, 1, stride=stride)
        x = w.norm(f"{name}.downsample.1", conv)
    return (x + y).clamp(min=0)


def trunk(w, x, widths, depths, resnet=False, squeeze=False):
    """The maps after each of the four groups of blocks."""
    if resnet:
        x = w.norm("bn1", w.conv("conv1", x, widths[0], 7, stride=2))
        x = prelu(w, "relu", x)
    else:
        x = w.norm("input_layer.1", w.conv("input_layer.0", x, widths[0], 3))
        x = prelu(w, "input_layer.2", x)
    maps, at = [], 0
    for group, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for i in range(depth):
            first = i == 0 and (group > 0 or not resnet)
            if resnet:
                x = basic(w, f"body.{at}", x, width, 2 if first else 1)
            else:
                x = improved(w, f"body.{at}", x, width, 2 if first else 1, squeeze)
            at += 1
        maps.append(x)
    return maps[1:]


def row(w, name, x, dim):
    """Halved until one pixel is left, then a linear layer."""
    step = 0
    while max(x.shape[2:]) > 1:
        x = lrelu(w.conv(f"{name}.convs.{2 * step}", x, dim, 3, stride=2, bias=True, gain=2), 0.01)
        step += 1
    return w.linear(f"{name}.linear", x[:, :, 0, 0], dim)


def straight(x, size):
    """Between corners on straight lines, an axis at a time."""
    for axis, new in zip((2, 3), size, strict=True):
        old = x.shape[axis]
        at = torch.arange(new, dtype=torch.float64) * (old - 1) / (new - 1)
        low = at.floor().long().clamp(max=old - 2)
        share = (at - low).reshape([-1 if i == axis else 1 for i in range(4)])
        x = x.index_select(axis, low) * (1 - share) + x.index_select(axis, low + 1) * share
    return x


def style_encoder(w, x, rows, dim, widths, depths, head, deltas=False, **options):
    """Latents relative to the mean (or to those so far), (B, L, D)."""
    fine, middle, coarse = trunk(w, x.double(), widths, depths, **options)
    if head == "mean":
        one = w.linear("linear", coarse.mean((2, 3)), dim)
        return one[:, None].expand(-1, rows, -1)
    if head == "flat":
        pooled = F.adaptive_avg_pool2d(w.norm("output_layer_2.0", coarse), 7).flatten(1)
        weight = w("output_layer_2.3.weight", dim, pooled.shape[1], deviation=0.1)
        pooled = pooled @ weight.t() + w("output_layer_2.3.bias", dim)
        return w.linear("linear", pooled, dim * rows).view(-1, rows, dim)
    seen = [coarse] * rows
    if head == "pyramid":
        side = w.conv("latlayer1", middle, widths[3], 1, bias=True)
        second = side + straight(coarse, side.shape[2:])
        side = w.conv("latlayer2", fine, widths[3], 1, bias=True)
        third = side + straight(second, side.shape[2:])
        seen = [coarse] * 3 + [second] * 4 + [third] * (rows - 7)
    found = [row(w, f"styles.{i}", one, dim) for i, one in enumerate(seen)]
    if deltas:
        found = [found[0], *(found[0] + delta for delta in found[1:])]
    return torch.stack(found, 1)


def resnet_encoder(w, x, rows, dim, widths, depths):
    """Chai et al. 2021: a ResNet-34, a 1x1 convolution, the mean over the pixels."""
    x = w.norm("bn1", w.conv("conv1", x.double(), widths[0], 7, stride=2)).clamp(min=0)
    x = F.max_pool2d(x, 3, 2, 1)
    for group, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for i in range(depth):
            x = basic(w, f"layer{group + 1}.{i}", x, width, 2 if group and i == 0 else 1)
    x = w.conv("layer5.conv5", x, rows * dim, 1, bias=True)
    return x.mean((2, 3)).view(-1, rows, dim)


def in_domain_encoder(w, x, dim, widths, norms=True):
    """Zhu et al. 2020: residual blocks, the size halved between, a linear layer at 4 pixels."""
    last = len(widths)

    def norm(name, y):
        return w.norm(f"{name}.bn", y) if norms else y

    x = lrelu(norm("block0.bn", w.conv("block0.conv", x.double(), widths[0], 3)))
    for i, out in enumerate(widths[1:], 1):
        x, name = F.avg_pool2d(x, 2), f"block{i}"
        hidden = min(x.shape[1], out)
        y = w.conv(f"{name}.conv1", x, hidden, 3)
        y = y + w(f"{name}.wscale1.bias", hidden, deviation=0.1)[:, None, None]
        y = w.conv(f"{name}.conv2", lrelu(norm(f"{name}.bn1", y)), out, 3)
        y = y + w(f"{name}.wscale2.bias", out, deviation=0.1)[:, None, None]
        y = lrelu(norm(f"{name}.bn2", y))
        if x.shape[1] != out:
            x = lrelu(norm(f"{name}.bn", w.conv(f"{name}.conv", x, out, 1)))
        x = x + y
    rows = 2 * last
    x = x.flatten(1)
    weight = w(f"block{last}.fc.weight", rows * dim, x.shape[1]) / math.sqrt(x.shape[1])
    return norm(f"block{last}.bn", x @ weight.t()).view(-1, rows, dim)


def attribute(w, x, widths, head, hidden, prefix_growth=False):
    """The number l of an attribute classifier."""

    def scaled(name, x, out, size, gain=2**0.5):
        conv = size > 0
        shape = (out, x.shape[1], size, size) if conv else (out, x.shape[1])
        weight = w(f"{name}.{'conv' if conv else 'linear'}.weight", *shape)
        bias = w(f"{name}.wscale.b", out, deviation=0.3)
        weight = weight * gain / math.sqrt(weight[0].numel())
        if conv:
            return F.conv2d(x, weight, padding=size // 2) + bias[:, None, None]
        return x @ weight.t() + bias

    side = x.shape[-1]
    if prefix_growth:
        w["fromrgb_lod1.conv.conv.weight"] = torch.zeros(widths[1], 3, 1, 1)
        w["fromrgb_lod1.conv.wscale.b"] = torch.zeros(widths[1])
    w["lod_in"] = torch.tensor(0.0, dtype=torch.float64)
    x = lrelu(scaled("fromrgb_lod0.conv", x.double(), widths[0], 1))
    for out in widths[1:]:
        x = lrelu(scaled(f"{side}x{side}.conv0", x, x.shape[1], 3))
        x = lrelu(F.avg_pool2d(scaled(f"{side}x{side}.conv1", x, out, 3), 2))
        side //= 2
    x = lrelu(scaled("4x4.conv", x, head, 3)).flatten(1)
    x = lrelu(scaled("4x4.dense0", x, hidden, 0))
    return scaled("4x4.dense1", x, 1, 0, gain=1.0)[:, 0]
