"""The U-nets of EDM from published equations in float64 numpy: one sample at a time, obvious.

The oracle of `genviews.generators.edm_networks`. It walks the official names of a state dict in the
order in which the networks of the papers are drawn, and shares no arithmetic with the library.

Source: see `genviews.generators.edm_networks`.
"""

from __future__ import annotations

import numpy as np
from scipy import signal


def silu(x):
    return x / (1 + np.exp(-x))


def normalise(x, weight, bias, eps):
    groups = max(min(32, len(x) // 4), 1)
    parts = np.stack([(g - g.mean()) / np.sqrt(g.var() + eps) for g in np.split(x, groups)])
    return parts.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]


def convolve(x, weight, bias):
    """Cross-correlation with as many zeros around as keep the size: tap by tap."""
    half, (height, width) = weight.shape[2] // 2, x.shape[1:]
    wide = np.pad(x, ((0, 0), (half, half), (half, half)))
    y = np.zeros((len(weight), height, width)) + bias[:, None, None]
    for i, j in np.ndindex(weight.shape[2:]):
        y += np.tensordot(weight[:, :, i, j], wide[:, i : i + height, j : j + width], 1)
    return y


def shrink(x, taps):
    """Filter, then every second sample; the filter is centred between two samples."""
    f, half = np.outer(taps, taps) / np.sum(taps) ** 2, (len(taps) - 1) // 2
    wide = np.pad(x, ((0, 0), (half, half), (half, half)))
    return np.stack([signal.correlate2d(plane, f, mode="valid")[::2, ::2] for plane in wide])


def grow(x, taps):
    """The transpose of `shrink`, times 4."""
    f, half = np.outer(taps, taps) / np.sum(taps) ** 2 * 4, (len(taps) - 1) // 2
    wide = np.zeros((len(x), 2 * x.shape[1] - 1, 2 * x.shape[2] - 1))
    wide[:, ::2, ::2] = x
    full = np.stack([signal.convolve2d(plane, f) for plane in wide])
    return full[:, half : half + 2 * x.shape[1], half : half + 2 * x.shape[2]]


class NaiveUNet:
    """Parameters by official name; the architecture is given."""

    def __init__(self, state, config):
        self.p = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        self.config = config
        self.adm = config.network == "adm"
        self.eps = 1e-5 if self.adm else 1e-6
        self.taps = (1, 1) if self.adm else config.resample_filter

    def has(self, name):
        return f"{name}.weight" in self.p

    def dense(self, name, x):
        return self.p[f"{name}.weight"] @ x + self.p.get(f"{name}.bias", 0.0)

    def conv(self, name, x):
        return convolve(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"])

    def norm(self, name, x, eps=None):
        return normalise(x, self.p[f"{name}.weight"], self.p[f"{name}.bias"], eps or self.eps)

    def embedding(self, level, label):
        p, c = self.p, self.config.c_dim
        if "map_noise.freqs" in p:
            angles = 2 * np.pi * p["map_noise.freqs"] * level
        else:
            half = p["map_layer0.weight"].shape[1] // 2
            angles = level / 10000.0 ** (np.arange(half) / (half if self.adm else half - 1))
        waves = [np.cos(angles), np.sin(angles)]
        if self.adm:
            deep = self.dense("map_layer1", silu(self.dense("map_layer0", np.concatenate(waves))))
            return silu(deep if label is None else deep + p["map_label.weight"][:, label])
        x = np.concatenate(waves[::-1])
        if label is not None:
            x = x + p["map_label.weight"][:, label] * np.sqrt(c) + p["map_label.bias"]
        return silu(self.dense("map_layer1", silu(self.dense("map_layer0", x))))

    def block(self, name, x, embedding, resize=None):
        resized = (lambda a: a) if resize is None else (lambda a: resize(a, self.taps))
        y = self.conv(f"{name}.conv0", resized(silu(self.norm(f"{name}.norm0", x))))
        given = self.dense(f"{name}.affine", embedding)[:, None, None]
        if self.adm:
            scale, shift = np.split(given, 2)
            y = self.norm(f"{name}.norm1", y) * (1 + scale) + shift
        else:
            y = self.norm(f"{name}.norm1", y + given)
        y = self.conv(f"{name}.conv1", silu(y))
        side = resized(x)
        y = y + (self.conv(f"{name}.skip", side) if self.has(f"{name}.skip") else side)
        y = y if self.adm else y / np.sqrt(2)
        if not self.has(f"{name}.qkv"):
            return y
        heads = len(y) // 64 if self.adm else 1
        qkv = self.conv(f"{name}.qkv", self.norm(f"{name}.norm2", y))
        mixed = []
        for part in np.split(qkv.reshape(3 * len(y), -1), heads):
            q, k, v = part[0::3], part[1::3], part[2::3]
            scores = np.exp(q.T @ k / np.sqrt(len(q)))
            mixed.append(v @ (scores / scores.sum(1, keepdims=True)).T)
        y = y + self.conv(f"{name}.proj", np.concatenate(mixed).reshape(y.shape))
        return y if self.adm else y / np.sqrt(2)

    def __call__(self, x, level, label):
        config, e = self.config, self.embedding(level, label)
        sizes = [config.resolution >> i for i in range(len(config.channel_mult))]
        kept, side = [], x
        for size in sizes:
            at = f"enc.{size}x{size}"
            if size == sizes[0]:
                x = self.conv(f"{at}_conv", x)
            else:
                x = self.block(f"{at}_down", x, e, shrink)
            if self.has(f"{at}_aux_skip"):
                side = shrink(side, self.taps)
                x = x + self.conv(f"{at}_aux_skip", side)
            if self.has(f"{at}_aux_residual"):
                # They convolve over zeros all around, then filter; here far enough out for both.
                name, half = f"{at}_aux_residual", (len(self.taps) - 1) // 2
                wide = np.pad(side, ((0, 0), (half, half), (half, half)))
                wide = np.pad(wide, ((0, 0), (1, 1), (1, 1)))
                wide = convolve(wide, self.p[f"{name}.weight"], 0 * self.p[f"{name}.bias"])
                wide = wide[:, 1:-1, 1:-1]
                f = np.outer(self.taps, self.taps) / np.sum(self.taps) ** 2
                low = [signal.correlate2d(plane, f, mode="valid")[::2, ::2] for plane in wide]
                side = (x + np.stack(low) + self.p[f"{name}.bias"][:, None, None]) / np.sqrt(2)
                x = side
            kept.append(x)
            for i in range(config.num_blocks):
                x = self.block(f"{at}_block{i}", x, e)
                kept.append(x)
        image = None
        for size in reversed(sizes):
            at = f"dec.{size}x{size}"
            if size == sizes[-1]:
                x = self.block(f"{at}_in1", self.block(f"{at}_in0", x, e), e)
            else:
                x = self.block(f"{at}_up", x, e, grow)
            for i in range(config.num_blocks + 1):
                x = self.block(f"{at}_block{i}", np.concatenate([x, kept.pop()]), e)
            if self.has(f"{at}_aux_conv"):
                more = self.conv(f"{at}_aux_conv", silu(self.norm(f"{at}_aux_norm", x)))
                image = more if image is None else grow(image, self.taps) + more
        return self.conv("out_conv", silu(self.norm("out_norm", x))) if self.adm else image
