"""StyleGAN of 2019, BigGAN-deep and BigGAN in float64, off the names of their files: an oracle.

Written from the papers' formulas, an operation at a time, and told nothing of our networks. A name
that is asked for and not there is drawn, so that a run of an oracle also writes the file.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional as F


class Weights(dict):
    """Tensors by name, drawn when they are first asked for; computed with in double precision."""

    def __init__(self, seed=0):
        super().__init__()
        self.noise = torch.Generator().manual_seed(seed)

    def __call__(self, name, *shape, around=0.0, deviation=1.0):
        if name not in self:
            drawn = torch.randn(shape, generator=self.noise)
            self[name] = around + deviation * drawn
        assert self[name].shape == shape, name
        return self[name].double()

    def norm(self, name, x, eps=1e-5):
        """A batch norm in eval mode, with the names of torch's."""
        c = x.shape[1]
        scale = self(f"{name}.weight", c, around=1.0, deviation=0.1)
        shift = self(f"{name}.bias", c, deviation=0.1)
        mean = self(f"{name}.running_mean", c, deviation=0.1)
        if f"{name}.running_var" not in self:
            self[f"{name}.running_var"] = 0.5 + torch.rand(c, generator=self.noise)
            self[f"{name}.num_batches_tracked"] = torch.tensor(3)
        deviation = (self[f"{name}.running_var"].double() + eps).sqrt()
        scale, shift, mean, deviation = (
            v.reshape(1, c, *[1] * (x.ndim - 2)) for v in (scale, shift, mean, deviation)
        )
        return (x - mean) / deviation * scale + shift

    def conv(self, name, x, out, size, *, stride=1, bias=False, gain=1.0):
        """A convolution with `size // 2` zeros around."""
        shape = (out, x.shape[1], size, size)
        weight = self(f"{name}.weight", *shape, deviation=gain / math.sqrt(x.shape[1] * size**2))
        shift = self(f"{name}.bias", out, deviation=0.1) if bias else None
        return F.conv2d(x, weight, shift, stride, size // 2)

    def linear(self, name, x, out, *, bias=True):
        """A linear layer whose weight is divided by the square root of its inputs."""
        weight = self(f"{name}.weight", out, x.shape[1]) / math.sqrt(x.shape[1])
        y = x @ weight.t()
        return y + self(f"{name}.bias", out, deviation=0.1) if bias else y


def lrelu(x, slope=0.2):
    return torch.where(x < 0, slope * x, x)


def doubled(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


# ---- StyleGAN of 2019, names of genforce -------------------------------------------------------


def stylegan1_mapping(w, z, depth, hidden, out, labels=None, label=None):
    x = z.double()
    if labels:
        x = torch.cat([x, w("mapping.label_weight", labels, z.shape[1])[label]], 1)
    x = x / (x.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(depth):
        width = out if i == depth - 1 else hidden
        weight = w(f"mapping.dense{i}.fc.weight", width, x.shape[1], deviation=100.0)
        x = x @ weight.t() * (math.sqrt(2 / x.shape[1]) * 0.01)
        x = lrelu(x + 0.01 * w(f"mapping.dense{i}.wscale.bias", width, deviation=10.0))
    return x


def stylegan1_synthesis(w, ws, channels, fused_from=128, tanh=True, images=3):
    x = None
    for i, (size, width) in enumerate(sorted(channels.items())):
        for part in range(2):
            row = 2 * i + part
            name = f"synthesis.layer{row}"
            if row == 0:
                x = w(f"{name}.const", 1, width, 4, 4).expand(len(ws), -1, -1, -1)
            elif part == 0:
                x = _stylegan1_up(w, name, x, width, fused=size >= fused_from)
            else:
                weight = w(f"{name}.conv.weight", width, width, 3, 3)
                x = F.conv2d(x, weight, padding=1) * math.sqrt(2 / (9 * width))
            x = _epilogue(w, f"{name}.epilogue", x, ws[:, row])
        weight = w(f"synthesis.output{i}.conv.weight", images, width, 1, 1, deviation=0.2)
        bias = w(f"synthesis.output{i}.bias", images, deviation=0.1)
        image = F.conv2d(x, weight) / math.sqrt(width) + bias[:, None, None]
    w["synthesis.lod"] = torch.tensor(0.0)
    return image.tanh() if tanh else image


def _stylegan1_up(w, name, x, out, *, fused):
    inside = x.shape[1]
    if fused:  # a kernel of the transposed convolution: the mean of four shifts, times four
        weight = w(f"{name}.weight", 3, 3, inside, out).permute(2, 3, 0, 1)
        kernel = torch.zeros(inside, out, 4, 4, dtype=torch.float64)
        for down in (0, 1):
            for right in (0, 1):
                kernel[:, :, down : down + 3, right : right + 3] += weight
        x = F.conv_transpose2d(x, kernel, stride=2, padding=1)
    else:
        x = F.conv2d(doubled(x), w(f"{name}.conv.weight", out, inside, 3, 3), padding=1)
    x = x * math.sqrt(2 / (9 * inside))
    blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=torch.float64) / 16
    w[f"{name}.blur.kernel"] = blur.float().expand(out, 1, 3, 3).clone()
    return F.conv2d(x, blur.expand(out, 1, 3, 3), padding=1, groups=out)


def _epilogue(w, name, x, style):
    c, size = x.shape[1], x.shape[2]
    noise = w(f"{name}.apply_noise.noise", 1, 1, size, size)
    x = x + noise * w(f"{name}.apply_noise.weight", c, deviation=0.1)[:, None, None]
    x = lrelu(x + w(f"{name}.bias", c, deviation=0.1)[:, None, None])
    x = x - x.mean((2, 3), keepdim=True)
    x = x / (x.square().mean((2, 3), keepdim=True) + 1e-8).sqrt()
    dense = w(f"{name}.style_mod.dense.fc.weight", 2 * c, style.shape[1])
    s = style @ dense.t() / math.sqrt(style.shape[1])
    s = s + w(f"{name}.style_mod.dense.wscale.bias", 2 * c, deviation=0.1)
    return x * (s[:, :c, None, None] + 1) + s[:, c:, None, None]


# ---- BigGAN-deep, names of Hugging Face ---------------------------------------------------------


def _spectral(w, name, *shape):
    """The weight over u^T W v, with the vectors that torch's spectral norm keeps."""
    if f"{name}.weight_orig" not in w:
        weight = w(f"{name}.weight_orig", *shape)
        u, _, v = torch.linalg.svd(weight.flatten(1), full_matrices=False)
        w[f"{name}.weight_u"], w[f"{name}.weight_v"] = u[:, 0].float(), v[0].float()
    weight = w[f"{name}.weight_orig"].double()
    sigma = w[f"{name}.weight_u"].double() @ weight.flatten(1) @ w[f"{name}.weight_v"].double()
    return weight / sigma


def _statistics(w, name, channels, truncation, steps):
    if f"{name}.running_vars" not in w:
        w(f"{name}.running_means", steps, channels, deviation=0.2)
        w[f"{name}.running_vars"] = 0.5 + torch.rand(steps, channels, generator=w.noise)
    means = w[f"{name}.running_means"].double()
    variances = w[f"{name}.running_vars"].double()
    share, at = math.modf(truncation / (1 / (steps - 1)))
    near, far = int(at), min(int(at) + 1, steps - 1)
    if share == 0:
        return means[near], variances[near]
    # As published: the share of the nearer goes to the farther.
    return (t[near] * share + t[far] * (1 - share) for t in (means, variances))


def biggan_deep(w, z, label, blocks, attention, class_dim, classes, truncation=1.0, steps=51):
    width = blocks[-1][2]
    embedded = w("embeddings.weight", class_dim, classes).t()[label]
    c = torch.cat([z.double(), embedded], 1)

    def norm(name, x):
        mean, variance = _statistics(w, name, x.shape[1], truncation, steps)
        scale, shift = (
            c @ _spectral(w, f"{name}.{part}", x.shape[1], c.shape[1]).t()
            for part in ("scale", "offset")
        )
        x = (x - mean[:, None, None]) / (variance + 1e-4).sqrt()[:, None, None]
        return (x * (1 + scale)[..., None, None] + shift[..., None, None]).clamp(min=0)

    first = blocks[0][1]
    x = c @ _spectral(w, "generator.gen_z", 16 * first, c.shape[1]).t()
    x = (x + w("generator.gen_z.bias", 16 * first, deviation=0.1)).view(-1, 4, 4, first)
    x, place = x.permute(0, 3, 1, 2), 0
    for i, (up, inside, out) in enumerate(blocks):
        if i == attention:
            x, place = _attention(w, f"generator.layers.{place}", x), place + 1
        name, y, middle = f"generator.layers.{place}", x, inside // 4
        for j, (to, size) in enumerate([(middle, 1), (middle, 3), (middle, 3), (out, 1)]):
            y = norm(f"{name}.bn_{j}", y)
            y = doubled(y) if up and j == 1 else y
            weight = _spectral(w, f"{name}.conv_{j}", to, y.shape[1], size, size)
            bias = w(f"{name}.conv_{j}.bias", to, deviation=0.1)
            y = F.conv2d(y, weight, bias, padding=size // 2)
        x = x[:, :out]
        x, place = (doubled(x) if up else x) + y, place + 1
    mean, variance = _statistics(w, "generator.bn", width, truncation, steps)
    x = (x - mean[:, None, None]) / (variance + 1e-4).sqrt()[:, None, None]
    scale = w("generator.bn.weight", width, around=1.0, deviation=0.1)
    x = x * scale[:, None, None] + w("generator.bn.bias", width, deviation=0.1)[:, None, None]
    weight = _spectral(w, "generator.conv_to_rgb", width, width, 3, 3)
    bias = w("generator.conv_to_rgb.bias", width, deviation=0.1)
    return F.conv2d(x.clamp(min=0), weight, bias, padding=1)[:, :3].tanh()


def _attention(w, name, x, spectral=_spectral, prefix="snconv1x1_", o="o_conv", shape=(1,)):
    n, c, h, width = x.shape

    def one(part, out, inside=c, of=x):
        return F.conv2d(of, spectral(w, f"{name}.{prefix}{part}", out, inside, 1, 1))

    query = one("theta", c // 8).flatten(2)
    key, value = (
        F.max_pool2d(one(p, o), 2).flatten(2) for p, o in (("phi", c // 8), ("g", c // 2))
    )
    weights = torch.einsum("ncq,nck->nqk", query, key).softmax(2)
    taken = torch.einsum("nck,nqk->ncq", value, weights).reshape(n, c // 2, h, width)
    gamma = w(f"{name}.gamma", *shape, around=0.5, deviation=0.1)
    return x + gamma * one(o, c, c // 2, taken)


# ---- BigGAN and BigBiGAN, names of BigGAN-PyTorch -----------------------------------------------


def _stepped(w, name, *shape):
    """The weight over the singular value that one step from the kept vector gives."""
    w(f"{name}.u0", 1, shape[0])
    w[f"{name}.sv0"] = torch.ones(1)
    weight = w(f"{name}.weight", *shape, deviation=0.5)
    matrix, u = weight.flatten(1), w[f"{name}.u0"].double()[0]
    v = u @ matrix
    v = v / v.norm().clamp(min=1e-4)
    u = matrix @ v
    u = u / u.norm().clamp(min=1e-4)
    return weight / (v @ matrix.t() @ u)


def biggan(w, z, label, channels, attention, chunk, class_dim, classes):
    shared = w("shared.weight", classes, class_dim)[label]
    first, *chunks = z.double().split(chunk, 1)

    def moments(name, c):
        if f"{name}.stored_var" not in w:
            w(f"{name}.stored_mean", c, deviation=0.2)
            w[f"{name}.stored_var"] = 0.5 + torch.rand(c, generator=w.noise)
        return (w[f"{name}.stored_{k}"].double()[:, None, None] for k in ("mean", "var"))

    def norm(name, x, c):
        mean, variance = moments(name, x.shape[1])
        gain, bias = (
            c @ _stepped(w, f"{name}.{part}", x.shape[1], c.shape[1]).t()
            for part in ("gain", "bias")
        )
        x = (x - mean) / (variance + 1e-4).sqrt()
        return (x * (1 + gain)[..., None, None] + bias[..., None, None]).clamp(min=0)

    def conv(name, x, out, size):
        weight = _stepped(w, name, out, x.shape[1], size, size)
        return F.conv2d(x, weight, w(f"{name}.bias", out, deviation=0.1), padding=size // 2)

    x = first @ _stepped(w, "linear", 16 * channels[0], chunk).t()
    x = (x + w("linear.bias", 16 * channels[0], deviation=0.1)).view(-1, channels[0], 4, 4)
    for i, out in enumerate(channels[1:]):
        name, c = f"blocks.{i}.0", torch.cat([shared, chunks[i]], 1)
        y = conv(f"{name}.conv1", doubled(norm(f"{name}.bn1", x, c)), out, 3)
        y = conv(f"{name}.conv2", norm(f"{name}.bn2", y, c), out, 3)
        x = y + conv(f"{name}.conv_sc", doubled(x), out, 1)
        if i in attention:
            x = _attention(w, f"blocks.{i}.1", x, _stepped, prefix="", o="o", shape=())
    mean, variance = moments("output_layer.0", x.shape[1])
    x = (x - mean) / (variance + 1e-5).sqrt()
    x = x * w("output_layer.0.gain", x.shape[1], around=1.0, deviation=0.1)[:, None, None]
    x = x + w("output_layer.0.bias", x.shape[1], deviation=0.1)[:, None, None]
    return conv("output_layer.2", x.clamp(min=0), 3, 3).tanh()
