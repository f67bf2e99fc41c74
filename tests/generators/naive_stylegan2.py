"""StyleGAN2 from the paper's equations in float64 numpy, one sample at a time: slow and obvious.

The oracle of `genviews.generators.stylegan2`. It reads a state dict with official parameter names
and shares no arithmetic with the library: weights are modulated and demodulated explicitly for
each sample, up-sampling inserts the zeros, and each filter tap is a shifted addition.

Source: Karras et al. 2020, arXiv 1912.04958: Eq. 1 and 3 (modulation, demodulation), Fig. 2c
(noise and bias after demodulation), Fig. 7a (skip generator); Karras et al. 2019, arXiv 1812.04948,
Sec. 2 and appendix B (mapping, truncation); Karras et al. 2018, arXiv 1710.10196, Sec. 4 (equalised
learning rate, pixel norm).
"""

from __future__ import annotations

import numpy as np

EPSILON = 1e-8


class NaiveStyleGAN2:
    """Parameters by official name; the constants of the architecture are given."""

    def __init__(
        self,
        state,
        *,
        resolution,
        mapping_layers,
        lr_multiplier=0.01,
        taps=(1, 3, 3, 1),
        clamp=None,
    ):
        self.p = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        self.resolution = resolution
        self.mapping_layers = mapping_layers
        self.lr_multiplier = lr_multiplier
        self.taps = np.asarray(taps, dtype=np.float64) / np.sum(taps)
        self.clamp = clamp

    @property
    def num_rows(self):
        return 2 * (int(np.log2(self.resolution)) - 1)

    def map(self, z, label=None, psi=1.0, cutoff=None):
        """(B, Z) -> (B, L, D), truncated in the first `cutoff` rows."""
        latents = []
        for i in range(len(z)):
            x = pixel_norm(np.asarray(z[i], dtype=np.float64))
            if label is not None:
                one_hot = np.zeros(self.p["mapping.embed.weight"].shape[1])
                one_hot[label[i]] = 1.0
                x = np.concatenate([x, pixel_norm(self.dense("mapping.embed", one_hot))])
            for n in range(self.mapping_layers):
                x = leaky(self.dense(f"mapping.fc{n}", x, self.lr_multiplier))
            rows = np.repeat(x[None], self.num_rows, axis=0)
            for r in range(self.num_rows if cutoff is None else cutoff):
                mean = self.p["mapping.w_avg"]
                rows[r] = mean + psi * (rows[r] - mean)
            latents.append(rows)
        return np.stack(latents)

    def synthesize(self, latents, noise="const"):
        """(B, L, D) -> (B, C, H, W); `noise` is "const", "none", or {layer name: (B, h, h)}."""
        return np.stack([self.one(latents[i], noise, i) for i in range(len(latents))])

    def one(self, rows, noise, sample):
        """Row r feeds the r-th convolution; an output layer takes the row after its block's."""
        rows = iter(np.asarray(rows, dtype=np.float64))
        x, image = self.p["synthesis.b4.const"], 0.0
        row = next(rows)
        resolution = 4
        while True:
            block = f"synthesis.b{resolution}"
            if resolution > 4:
                x = self.style_layer(f"{block}.conv0", x, row, noise, sample, up=True)
                row = next(rows)
            x = self.style_layer(f"{block}.conv1", x, row, noise, sample)
            row = next(rows)
            image = image + self.to_image(f"{block}.torgb", x, row)
            if resolution == self.resolution:
                return image
            image = self.upsample(image)
            resolution *= 2

    def dense(self, name, x, lr_multiplier=1.0):
        weight = self.p[f"{name}.weight"]
        scale = lr_multiplier / np.sqrt(weight.shape[1])
        return (weight * scale) @ x + self.p[f"{name}.bias"] * lr_multiplier

    def style_layer(self, name, x, w, noise, sample, up=False):
        style = self.dense(f"{name}.affine", w)
        weight = self.p[f"{name}.weight"] * style[None, :, None, None]  # Eq. 1
        norm = np.sqrt((weight**2).sum(axis=(1, 2, 3)) + EPSILON)
        weight = weight / norm[:, None, None, None]  # Eq. 3
        y = self.upsampled_convolution(x, weight) if up else correlate(pad(x, 1, 1), weight)
        if isinstance(noise, dict):
            y = y + self.p[f"{name}.noise_strength"] * noise[name][sample]
        elif noise == "const":
            y = y + self.p[f"{name}.noise_strength"] * self.p[f"{name}.noise_const"]
        return self.clamped(leaky(y + self.p[f"{name}.bias"][:, None, None]))

    def to_image(self, name, x, w):
        style = self.dense(f"{name}.affine", w)
        weight = self.p[f"{name}.weight"] / np.sqrt(x.shape[0]) * style[None, :, None, None]
        return self.clamped(correlate(x, weight) + self.p[f"{name}.bias"][:, None, None])

    def clamped(self, x):
        return x if self.clamp is None else np.clip(x, -self.clamp, self.clamp)

    def upsample(self, x, extra=0):
        """Zeros between the samples, then the low-pass filter; `extra` rings beyond the border."""
        n = len(self.taps)
        spaced = pad(zeros_between(x), (n + 1) // 2 + extra, (n - 2) // 2 + extra)
        kernel = 4.0 * np.outer(self.taps, self.taps)[::-1, ::-1]
        return np.concatenate([correlate(channel[None], kernel[None, None]) for channel in spaced])

    def upsampled_convolution(self, x, weight):
        """Up-sample and convolve, without cutting to the image in between: hence the extra ring.

        A true convolution: the kernel is turned by half a circle against that of the other layers.
        """
        return correlate(self.upsample(x, extra=1), weight[:, :, ::-1, ::-1])


def pixel_norm(x):
    return x / np.sqrt(np.mean(x**2) + EPSILON)


def leaky(x):
    """Leaky ReLU of slope 0.2, times sqrt(2) to keep the variance."""
    return np.where(x >= 0, x, 0.2 * x) * np.sqrt(2.0)


def pad(x, before, after):
    return np.pad(x, ((0, 0), (before, after), (before, after)))


def zeros_between(x):
    """(C, h, w) -> (C, 2h, 2w) with x at the even places."""
    channels, height, width = x.shape
    spaced = np.zeros((channels, 2 * height, 2 * width))
    spaced[:, ::2, ::2] = x
    return spaced


def correlate(x, weight):
    """(I, h, w), (O, I, a, b) -> (O, h - a + 1, w - b + 1): one shifted addition for each tap."""
    rows, columns = weight.shape[2:]
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    total = np.zeros((len(weight), height, width))
    for i in range(rows):
        for j in range(columns):
            window = x[:, i : i + height, j : j + width]
            total += np.tensordot(weight[:, :, i, j], window, axes=1)
    return total
