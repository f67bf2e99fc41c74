"""StyleGAN3 and StyleGAN-XL from the paper's equations in float64 numpy: slow and obvious.

The oracle of `genviews.generators.stylegan3`. It reads a state dict with official parameter names
and shares no arithmetic with the library: bands are lists of numbers, weights are modulated and
demodulated explicitly for each sample, the fine grid is made by scipy, and so are the filters.

Source: Karras et al. 2021, arXiv 2106.12423: Sec. 3.1 and appendix (input), Sec. 3.2, Fig. 4b
(layer), appendix B (filters) and C (padding); Sauer et al. 2022, arXiv 2202.00273 (heads).
"""

from __future__ import annotations

import numpy as np
from scipy import signal, special

from tests.generators.naive_stylegan2 import leaky, pixel_norm


def layers_of(config):
    """[(in, out, critical, last)], a band being (cutoff, half width, rate, size, channels)."""

    def bands(f, t, count, critical, size):
        found = []
        for i in range(count + 1):
            share = min(i / (count - critical), 1.0)
            cutoff = f * (size / 2 / f) ** share
            stop = t * (size / 2 * config.last_stopband_rel / t) ** share
            rate = 2 ** int(np.ceil(np.log2(min(2 * stop, size))))
            side = size if i >= count - 1 else rate + 2 * config.margin_size
            channels = int(np.rint(min(config.channel_base / 2 / cutoff, config.channel_max)))
            channels = config.img_channels if i == count else channels
            found.append((cutoff, max(stop, rate / 2) - cutoff, rate, side, channels))
        return found

    def steps(all_bands):
        last = len(all_bands) - 1
        return [
            (all_bands[max(i - 1, 0)], band, i >= last - config.num_critical, i == last)
            for i, band in enumerate(all_bands)
        ]

    size = config.stem_resolution
    found = steps(
        bands(
            config.first_cutoff, config.first_stopband, config.num_layers, config.num_critical, size
        )
    )
    for count, factor in config.heads:
        found, size = [step for step in found if not step[2]], size * factor
        f, width, rate, _, channels = found[-1][1]
        head = bands(f, f + width, count, 2, size)
        head[0] = (f, max(f + width, rate / 2) - f, rate, rate + 2 * config.margin_size, channels)
        found += steps(head)
    return found


def design(taps, band, rate, radial=False):
    """The low-pass filter of a band at a rate; [1] for one tap."""
    cutoff, half_width = band[:2]
    if taps == 1:
        return np.ones(1)
    if not radial:
        return signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)
    beta = signal.kaiser_beta(signal.kaiser_atten(taps, 2 * half_width / (rate / 2)))
    window = signal.windows.kaiser(taps, beta)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.sqrt(x[:, None] ** 2 + x[None] ** 2)
    jinc = cutoff * special.j1(2 * np.pi * cutoff * r) / r
    f = jinc * window[:, None] * window[None]
    return f / f.sum()


class NaiveStyleGAN3:
    """Parameters by official name; the architecture is given."""

    def __init__(self, state, config):
        self.p = {name: np.asarray(value, dtype=np.float64) for name, value in state.items()}
        self.config = config
        self.steps = layers_of(config)

    def dense(self, name, x, lr=1.0):
        weight, bias = self.p[f"{name}.weight"], self.p[f"{name}.bias"]
        return weight @ x * (lr / np.sqrt(weight.shape[1])) + bias * lr

    def map(self, z, label=None, psi=1.0, cutoff=None):
        """(B, Z) -> (B, L, D), truncated in the first `cutoff` rows."""
        found, own = [], self.config.class_embedding
        for i in range(len(z)):
            x = pixel_norm(np.asarray(z[i], dtype=np.float64))
            if label is not None:
                if own:
                    y = leaky(
                        self.dense("mapping.embed_proj", self.p["mapping.embed.weight"][label[i]])
                    )
                else:
                    y = self.dense("mapping.embed", np.eye(self.config.c_dim)[label[i]])
                x = np.concatenate([x, pixel_norm(y)])
            for n in range(self.config.mapping_layers):
                x = leaky(self.dense(f"mapping.fc{n}", x, self.config.mapping_lr_multiplier))
            rows = np.repeat(x[None], len(self.steps) + 1, axis=0)
            mean = self.p["mapping.w_avg"]
            mean = mean if mean.ndim == 1 else mean[label[i]]
            rows[:cutoff] = mean + psi * (rows[:cutoff] - mean)
            found.append(rows)
        return np.stack(found)

    def synthesize(self, latents):
        """(B, L, D) -> (B, C, H, W)."""
        return np.stack([self.one(np.asarray(ws, dtype=np.float64)) for ws in latents])

    def one(self, ws):
        x = self.waves(ws[0])
        names = [
            name[10:-7]
            for name in self.p
            if name.startswith("synthesis.L") and name.endswith("weight") and "affine" not in name
        ]
        for name, step, w in zip(names, self.steps, ws[1:], strict=True):
            x = self.layer(f"synthesis.{name}", step, x, w)
        return x * self.config.output_scale

    def waves(self, w):
        band = self.steps[0][0]
        cutoff, _, rate, size, channels = band
        c, s, tx, ty = self.dense("synthesis.input.affine", w)
        norm = np.hypot(c, s)
        c, s, tx, ty = c / norm, s / norm, tx / norm, ty / norm
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        move = np.array([[1, 0, -tx], [0, 1, -ty], [0, 0, 1]])
        m = turn @ move @ self.p["synthesis.input.transform"]
        found = np.zeros((channels, size, size))
        for k in range(channels):
            f = self.p["synthesis.input.freqs"][k]
            phase = self.p["synthesis.input.phases"][k] + f @ m[:2, 2]
            f = f @ m[:2, :2]
            amplitude = np.clip(1 - (np.hypot(*f) - cutoff) / (rate / 2 - cutoff), 0, 1)
            at = (np.arange(size) - (size - 1) / 2) / rate
            found[k] = amplitude * np.sin(
                2 * np.pi * (f[0] * at[None] + f[1] * at[:, None] + phase)
            )
        weight = self.p["synthesis.input.weight"] / np.sqrt(channels)
        return np.einsum("ok,kyx->oyx", weight, found)

    def layer(self, name, step, x, w):
        (given, made, critical, last), config = step, self.config
        style = self.dense(f"{name}.affine", w)
        weight, bias = self.p[f"{name}.weight"], self.p[f"{name}.bias"]
        k = weight.shape[-1]
        if last:
            weight = weight * style[None, :, None, None] / np.sqrt(weight[0].size)
        else:
            weight = weight / np.sqrt((weight**2).mean((1, 2, 3), keepdims=True))
            weight = weight * (style / np.sqrt((style**2).mean()))[None, :, None, None]
            weight = weight / np.sqrt((weight**2).sum((1, 2, 3), keepdims=True) + 1e-8)
        weight = weight / np.sqrt(self.p[f"{name}.magnitude_ema"])
        wide = np.pad(x, ((0, 0), (k - 1, k - 1), (k - 1, k - 1)))
        side = wide.shape[1] - k + 1
        y = np.zeros((len(weight), side, side)) + bias[:, None, None]
        for i in range(k):
            for j in range(k):
                y += np.einsum(
                    "oi,iyx->oyx", weight[:, :, i, j], wide[:, i : i + side, j : j + side]
                )
        if last:
            return (
                y
                if config.conv_clamp is None
                else np.clip(y, -config.conv_clamp, config.conv_clamp)
            )
        fine = max(given[2], made[2]) * config.lrelu_upsampling
        up, down = fine // given[2], fine // made[2]
        fu = design(config.filter_size * up if up > 1 else 1, given, fine)
        radial = config.use_radial_filters and not critical
        fd = design(config.filter_size * down if down > 1 else 1, made, fine, radial)
        # Zeros between the samples, the last one's too; then zeros, or a cut, on both sides.
        total = (made[3] - 1) * down + 1 - side * up + len(fu) + len(fd) - 2
        low = (total + up) // 2
        planes = []
        for plane in y:
            grid = np.zeros((side * up, side * up))
            grid[::up, ::up] = plane
            pads = [max(low, 0), max(total - low, 0)]
            grid = np.pad(grid, pads)
            first, end = max(-low, 0), len(grid) - max(low - total, 0)
            grid = grid[first:end, first:end]
            grid = signal.convolve2d(grid, np.outer(fu, fu) * up**2, mode="valid")
            grid = leaky(grid)
            if config.conv_clamp is not None:
                grid = np.clip(grid, -config.conv_clamp, config.conv_clamp)
            both = fd if fd.ndim == 2 else np.outer(fd, fd)
            planes.append(signal.convolve2d(grid, both, mode="valid")[::down, ::down])
        return np.stack(planes)
