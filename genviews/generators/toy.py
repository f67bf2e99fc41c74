"""The toy generator: small, analytic, exactly invertible; known answers prove each arrow.

It has the anatomy of a style-based generator, each part in closed form:

    mapping      w = mean + V diag(s) P z (+ class centre)   Gaussian, with known mean and axes V
    style row r  c_r = asinh(O_r w_r)                        O_r orthogonal
    synthesis    x = h(Q diag(energy) [c_0 ... c_{L-1}])     Q orthonormal cosine waves,
                                                             h(t) = t / sqrt(1 + t^2)

Every step has an inverse, so `invert` is exact. Row 0 drives the lowest spatial frequencies with
the most energy, the last row the highest with the least: "coarse" and "fine" mean here what they
mean for StyleGAN. The class of an image is a sector in a plane of row 0 alone, so changing finer
rows never changes the class.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.rng import Rng
from genviews.signature import checked
from genviews.style_rows import LayerRange
from genviews.types import Draws, Images, ImageSpec, Label, Latents, LatentSpec

__all__ = ["ToyGenerator"]

Z_DIM = 8
DIM = 4
STDDEV = (1.6, 1.1, 0.8, 0.5)  # of w along its principal axes: distinct, so that PCA has one answer
ENERGY_DECAY = 0.6  # of one row's amplitude to the row before it
CONTRAST = 0.75  # root mean square of the pixels before h, for coefficients of size one
CLASS_RADIUS = 3.0  # distance of a class centre from the mean ...
CLASS_SPREAD = 0.5  # ... and the factor on STDDEV within a class: neighbours overlap only a little
EDGE = 1.0 - 1e-6  # images are moved inside (-EDGE, EDGE) before h is inverted, ...
LIMIT = 10.0  # ... and coefficients inside (-LIMIT, LIMIT) before asinh is: latents stay finite


class ToyGenerator(Generator):
    """Analytic generator with w+ latents, named layer ranges and an exact inverse.

    Computed in float64 inside, whatever the dtype of the latents: exactness is the point.

    Args:
        channels: image channels C, 1 to 4.
        size: height and width in pixels.
        num_layers: L style rows of width 4; an image must have room for L * 4 values.
        seed: of the fixed matrices (mapping, mixing, channel patterns).
        num_classes: 0 for an unconditional generator, else at least 2 class conditions.

    Attributes:
        mean: (D,) mean of w, over classes too; what truncation shrinks to.
        axes: (D, D) principal directions of w within a class, unit rows, largest variance first.
        stddev: (D,) standard deviation of w along `axes`.
        settings: the arguments.

    Raises:
        ValueError: a count is out of range, or the images are too small to hold the latents.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> generator = ToyGenerator()
        >>> latents = generator.map(generator.sample(Rng(0).streams(range(2))))
        >>> images = generator.synthesize(latents)
        >>> images.shape, bool((generator.invert(images) - latents).abs().max() < 1e-5)
        (torch.Size([2, 1, 8, 8]), True)
        >>> generator.latent_spec.layers("fine").rows
        slice(2, 4, None)
    """

    mean: Tensor
    axes: Tensor
    stddev: Tensor
    _from_z: Tensor
    _mix: Tensor
    _basis: Tensor
    _centres: Tensor

    def __init__(
        self,
        channels: int = 1,
        size: int = 8,
        num_layers: int = 4,
        seed: int = 0,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        check_count(channels, "channels", most=4)
        check_count(size, "size")
        check_count(num_layers, "num_layers")
        if num_classes != 0:
            check_count(num_classes, "num_classes (0, or)", least=2)
        if num_layers * DIM > channels * size * size:
            fail(
                "image size",
                expected=f"at least {num_layers * DIM} values for {num_layers} rows of {DIM}",
                got=f"{channels} x {size} x {size}",
                remedy="make the image larger or use fewer layers",
            )
        self.settings = {"channels": channels, "size": size, "num_layers": num_layers}
        self.settings |= {"seed": seed, "num_classes": num_classes}
        self.z_dim = Z_DIM
        self.num_classes = num_classes
        self.image_spec = ImageSpec(channels=channels, height=size, width=size)
        self.latent_spec = LatentSpec(
            space="w+", num_layers=num_layers, dim=DIM, ranges=_ranges(num_layers)
        )
        rng = Rng(seed, "toy generator").numpy()
        axes = _orthogonal(rng, DIM)
        stddev = np.array(STDDEV) * (CLASS_SPREAD if num_classes else 1.0)
        mix = np.stack([_orthogonal(rng, DIM) for _ in range(num_layers)])
        arrays = {
            "mean": 0.4 * rng.standard_normal(DIM),
            "axes": axes,
            "stddev": stddev,
            "_from_z": axes.T * stddev @ _orthogonal(rng, Z_DIM)[:DIM],
            "_mix": mix,
            "_basis": _basis(rng, channels, size, num_layers),
            "_centres": CLASS_RADIUS * _directions(num_classes) @ mix[0][:2],
        }
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def __repr__(self) -> str:
        return f"ToyGenerator({', '.join(f'{k}={v}' for k, v in self.settings.items())})"

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """One Gaussian w for each z, the same in every style row, in the dtype of `z`."""
        label = self.check_draws(z, label)
        offset = z.double() @ self._from_z.double().T
        if label is not None:
            offset = offset + self._centres.double()[label.to(offset.device)]
        rows = torch.arange(self.latent_spec.num_layers, device=offset.device)
        strength = torch.where(rows < self.check_truncation(psi, cutoff), psi, 1.0).double()
        return (self.mean.double() + strength[:, None] * offset[:, None]).to(z.dtype)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Images in (-1, 1), in the dtype of `latents`; smooth in every latent."""
        self.latent_spec.check(latents, batch=True)
        mixed = torch.einsum("rij,brj->bri", self._mix.double(), latents.double())
        waves = torch.asinh(mixed).flatten(1) @ self._basis.double()
        pixels = waves * torch.rsqrt(1.0 + waves.square())
        return pixels.reshape(-1, *self.image_spec.shape).to(latents.dtype)

    @checked
    def invert(self, images: Images) -> Latents:
        """The latents of images: exact for images this generator made, a projection for any other.

        Exact for latents up to 1e4. What no such latents give, a pixel at -1 or 1 say, is moved to
        the nearest they do.

        Raises:
            TypeError, ValueError: not float images of this generator's shape.
        """
        self.image_spec.check(images)
        pixels = images.double().flatten(1).clamp(-EDGE, EDGE)
        waves = pixels * torch.rsqrt(1.0 - pixels.square())
        basis = self._basis.double()
        coefficients = waves @ (basis / basis.square().sum(1, keepdim=True)).T
        mixed = torch.sinh(coefficients.clamp(-LIMIT, LIMIT)).reshape(-1, *self.latent_spec.shape)
        latents = torch.einsum("rij,bri->brj", self._mix.double(), mixed)
        return latents.to(images.dtype)

    @checked
    def classes(
        self, latents: Float[Tensor, "*N L D"], num_classes: int | None = None
    ) -> Int[Tensor, "*N"]:
        """True class of latents: which of Y equal sectors row 0 lies in, seen from the mean.

        The sectors divide the plane of the first two mixed coordinates of row 0. With one channel
        they are the brightness of the image and its top-to-bottom slope, which a horizontal flip
        keeps. Two classes are the sign of the slope, in equal parts. The classes of a conditional
        generator are centred in their sectors; a few samples stray over the border.

        Args:
            latents: latents of this generator.
            num_classes: Y >= 2; None is the generator's own number, or 2 when unconditional.

        Example:
            >>> from genviews import Rng, ToyGenerator
            >>> generator = ToyGenerator()
            >>> latents = generator.map(generator.sample(Rng(0).streams(range(400))))
            >>> [round(n / 400, 1) for n in generator.classes(latents).bincount().tolist()]
            [0.5, 0.5]
        """
        self.latent_spec.check(latents)
        count = check_count(num_classes or self.num_classes or 2, "num_classes", least=2)
        plane = (latents[..., 0, :].double() - self.mean.double()) @ self._mix[0, :2].double().T
        turns = torch.atan2(plane[..., 1], plane[..., 0]) / (2 * math.pi) % 1.0
        return (turns * count).long().clamp(max=count - 1)


def _ranges(num_layers: int) -> tuple[LayerRange, ...]:
    """The first quarter is coarse, the second middle, the rest fine; an empty range is left out."""
    edges = (0, math.ceil(num_layers / 4), math.ceil(num_layers / 2), num_layers)
    named = zip(("coarse", "middle", "fine"), edges, edges[1:], strict=False)
    return tuple(LayerRange(name=n, start=a, stop=b) for n, a, b in named if a < b)


def _orthogonal(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.asarray(np.linalg.qr(rng.standard_normal((size, size))).Q)


def _directions(num_classes: int) -> np.ndarray:
    """(Y, 2) unit vectors to the middle of each sector."""
    angles = (np.arange(num_classes) + 0.5) * 2 * np.pi / max(num_classes, 1)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _basis(rng: np.random.Generator, channels: int, size: int, num_layers: int) -> np.ndarray:
    """(L*D, C*H*W) orthogonal cosine waves, lowest frequency first, times their row's energy."""
    frequency, pixel = np.arange(size)[:, None], np.arange(size)[None, :] + 0.5
    cosines = np.sqrt(2 / size) * np.cos(np.pi * frequency * pixel / size)
    cosines[0] = np.sqrt(1 / size)
    # Vertical first: the wave after the mean is a top-to-bottom slope, which a flip keeps.
    order = sorted(np.ndindex(size, size), key=lambda ij: (ij[0] ** 2 + ij[1] ** 2, ij[1]))
    patterns = _orthogonal(rng, channels)
    count = num_layers * DIM
    pairs = [(i, j, p) for i, j in order for p in patterns][:count]
    waves = np.stack([np.multiply.outer(p, np.outer(cosines[i], cosines[j])) for i, j, p in pairs])
    energy = ENERGY_DECAY ** (np.arange(count) // DIM)
    gain = CONTRAST * np.sqrt(waves[0].size / np.square(energy).sum())
    return np.asarray(gain * energy[:, None] * waves.reshape(count, -1))
