"""EDM: a diffusion model as a deterministic generator, from a noise picture to an image.

    x_0 = sigma_0 z        dx / dsigma = (x - D(x; sigma)) / sigma        image = x at sigma = 0

The equation is solved by a few steps of Heun or Euler. Nothing random is added on the way, so that
an image is a smooth function of z: it can be inverted, and its views are views of z. The gradient
makes each evaluation of the network anew, so that it takes the memory of one.

D scales what goes into the network F and comes out of it:

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)

Source: Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS
2022, arXiv 2206.00364, Algorithm 1, Table 1.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genviews.checks import fail
from genviews.generators.edm_config import EDMConfig
from genviews.generators.edm_networks import UNet
from genviews.generators.modulation import is_ordinary
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["EDM", "EDMConfig"]

# Earliest time that "vp" was trained for; noise levels that "ve" was.
_FIRST_TIME = 1e-5
_LEVELS_OF_VE = (0.02, 100.0)


class _Factors(NamedTuple):
    """Of the preconditioning at one noise level."""

    skip: float
    out: float
    given: float
    noise: float


class EDM(PriorGenerator):
    """A diffusion model in z space: z is the noise picture, in rows of (C, H, W), unit normal.

    Args:
        config: of the network and of the sampler.

    Attributes:
        evaluations: of the network for an image.

    Differs: single precision throughout, where the release holds the picture between steps in
        double precision and may have a network in half (results/generators/edm.json).

    Example:
        >>> from genviews import Rng
        >>> g = EDM(EDMConfig(resolution=8, model_channels=4, channel_mult=(1, 1), num_blocks=1,
        ...     steps=2))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape, g.evaluations
        (torch.Size([2, 3, 8, 8]), 3)
    """

    u: Tensor

    def __init__(self, config: EDMConfig) -> None:
        """Build the network; see the class docstring."""
        super().__init__()
        self.config = config
        shape = (config.img_channels, config.resolution, config.resolution)
        self.image_spec = ImageSpec(channels=shape[0], height=shape[1], width=shape[2])
        self.set_prior(math.prod(shape), config.c_dim)
        self.model = UNet(config)
        if config.preconditioning == "iddpm":
            self.register_buffer("u", _levels_of_iddpm(config))
        self._check_levels()

    @property
    def evaluations(self) -> int:
        """See the class."""
        steps = self.config.steps
        return 2 * steps - 1 if self.config.solver == "heun" else steps

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Follow z from the first noise level to none, in a class where there are classes."""
        self.latent_spec.check(latents, batch=True)
        label = self.check_label(label, len(latents))
        levels = self.noise_levels()
        z = latents[:, 0].to(self.model.map_layer0.weight.dtype)
        x: Tensor = z.reshape(-1, *self.image_spec.shape) * levels[0]
        for now, then in pairwise([*levels, 0.0]):
            slope = (x - self.denoised(x, now, label)) / now
            moved = x + (then - now) * slope
            if then and self.config.solver == "heun":
                other = (moved - self.denoised(moved, then, label)) / then
                moved = x + (then - now) * (slope + other) / 2
            x = moved
        return x

    def mean_latent(self, num: int = 10_000, seed: int = 0) -> Float[Tensor, "L D"]:
        """Return 0, the mean of the prior: so many noise pictures would not fit into memory."""
        return self.place(torch.zeros(self.latent_spec.shape))

    def noise_levels(self) -> list[float]:
        """Return the N noise levels of the sampler, the largest first; 0 comes after them."""
        config = self.config
        known = self._known_levels()
        low, high = max(config.sigma_min, known[0]), min(config.sigma_max, known[1])
        ends = [end ** (1 / config.rho) for end in (high, low)]
        shares = (i / (config.steps - 1) for i in range(config.steps))
        levels = [(ends[0] + share * (ends[1] - ends[0])) ** config.rho for share in shares]
        if config.preconditioning == "iddpm":
            return [self.u[self._nearest(level)].item() for level in levels]
        return levels

    def _check_levels(self) -> None:
        """Raise ValueError for a sampler whose noise does not fall towards 0, by round-off too."""
        try:
            levels = self.noise_levels()
            factors = [number for level in levels for number in self._factors(level)]
            good = all(a >= b > 0 for a, b in pairwise(levels)) and all(map(math.isfinite, factors))
        except (ArithmeticError, ValueError):  # ValueError: a root of what is below 0
            good = False
        if not good:
            got = "others, by sigma_min, sigma_max, rho and the schedule"
            remedy = "change the sampler, or the schedule of the network"
            fail("noise levels of EDM", expected="such as fall towards 0", got=got, remedy=remedy)

    def denoised(self, x: Tensor, sigma: float, label: Label | None) -> Tensor:
        """D(x; sigma): the expected image behind a picture with so much noise."""
        if not x.requires_grad or not torch.is_grad_enabled() or not is_ordinary(x):
            return self._denoised(x, sigma, label)
        # Kept are x and D alone; what lies between is made again for the gradient.
        again: Tensor = checkpoint(
            self._denoised, x, sigma, label, use_reentrant=False, preserve_rng_state=False
        )
        return again

    def _denoised(self, x: Tensor, sigma: float, label: Label | None) -> Tensor:
        factors = self._factors(sigma)
        out: Tensor = self.model(x * factors.given, x.new_tensor([factors.noise]), label)
        return x * factors.skip + out[:, : x.shape[1]] * factors.out

    def _factors(self, sigma: float) -> _Factors:
        config = self.config
        kind, data = config.preconditioning, config.sigma_data
        if kind == "edm":
            both = sigma**2 + data**2
            skip, out = data**2 / both, sigma * data / math.sqrt(both)
            return _Factors(skip, out, 1 / math.sqrt(both), math.log(sigma) / 4)
        if kind == "ve":
            return _Factors(1.0, sigma, 1.0, math.log(sigma / 2))
        given, last = 1 / math.sqrt(sigma**2 + 1), config.noise_steps - 1
        if kind == "vp":
            return _Factors(1.0, -sigma, given, last * self._time(sigma))
        return _Factors(1.0, -sigma, given, last - self._nearest(sigma))

    def _known_levels(self) -> tuple[float, float]:
        """The least and the largest noise level that the network was trained for."""
        kind = self.config.preconditioning
        if kind == "vp":
            return self._level(_FIRST_TIME), self._level(1.0)
        if kind == "iddpm":
            return self.u[-2].item(), self.u[0].item()
        return _LEVELS_OF_VE if kind == "ve" else (0.0, math.inf)

    def _level(self, time: float) -> float:
        """Noise level of "vp" at a time in (0, 1]."""
        exponent = self.config.beta_d * time**2 / 2 + self.config.beta_min * time
        return math.sqrt(math.expm1(exponent))

    def _time(self, sigma: float) -> float:
        """The inverse of `_level`."""
        beta_d, beta_min = self.config.beta_d, self.config.beta_min
        root = math.sqrt(beta_min**2 + 2 * beta_d * math.log1p(sigma**2))
        return (root - beta_min) / beta_d

    def _nearest(self, sigma: float) -> int:
        """Which of its levels is nearest, in "iddpm"."""
        return int((self.u - sigma).abs().argmin())


def _levels_of_iddpm(config: EDMConfig) -> Tensor:
    """(M + 1,), the noise levels u_0 > ... > u_M = 0 of a cosine schedule, as the release has them.

    Source: Karras et al. 2022, Eq. 164 of appendix C.3.4.
    """
    most, (floor, offset) = config.noise_steps, config.cosine
    places = torch.arange(most + 1) * (math.pi / 2 / most / (offset + 1))
    kept = places.sin().square()
    ratios = (kept[:-1] / kept[1:]).clamp(min=floor)
    u = torch.zeros(most + 1)
    for j in range(most, 0, -1):
        u[j - 1] = ((u[j] ** 2 + 1) / ratios[j - 1] - 1).sqrt()
    return u
