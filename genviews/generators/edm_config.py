"""The architecture of an EDM network, its preconditioning and the steps of its sampler.

Source: Karras et al., "Elucidating the design space of diffusion-based generative models", NeurIPS
2022, arXiv 2206.00364, Table 1 (preconditioning), Algorithm 1 (steps), appendix F (networks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from genviews.checks import check_count, check_number, check_words, fail
from genviews.generators.layers import check_taps

__all__ = ["EDMConfig"]

_MOST_STEPS, _MOST_LEVELS, _MOST_BLOCKS = 1000, 8, 32
_WIDEST = 2**13


@dataclass(frozen=True, kw_only=True)
class EDMConfig:
    """A denoiser and how images are sampled with it.

    Args:
        resolution: image height and width in pixels, a multiple of 2 for each level but the first.
        img_channels: C, 1 to 4.
        c_dim: number of classes; 0 for an unconditional generator.
        preconditioning: "edm", "vp", "ve" or "iddpm": how a noise level enters and leaves it.
        network: "song" (DDPM++, NCSN++) or "adm".
        model_channels: channels of which all others are multiples.
        channel_mult: the multiple at each level; a level has half the size of that before it.
        channel_mult_emb: of the embedding of noise level and class.
        channel_mult_noise: of the waves of the noise level, in "song".
        num_blocks: residual blocks of each level.
        attn_resolutions: heights at which blocks attend.
        embedding: waves of the noise level in "song": "positional" or "fourier".
        encoder: "standard", or how the input enters at each level of "song": "skip", "residual".
        decoder: "standard", or "skip" where each level of "song" adds to the output.
        resample_filter: 1-D low-pass filter between levels of "song".
        sigma_data: deviation of the images, in "edm".
        beta_d: range of the noise schedule, in "vp".
        beta_min: its start, in "vp".
        noise_steps: M, of the training of "vp" and "iddpm".
        cosine: (C_1, C_2), of the schedule of "iddpm".
        steps: N, of the sampler.
        solver: "heun", which asks the network 2 N - 1 times, or "euler", N times.
        sigma_min: last noise level before 0, of those that the network knows.
        sigma_max: first noise level; z is scaled by it.
        rho: exponent of the steps: the larger, the more of them at low noise.

    Raises:
        ValueError: a size out of range, or an unknown name.
    """

    resolution: int
    img_channels: int = 3
    c_dim: int = 0
    preconditioning: Literal["edm", "vp", "ve", "iddpm"] = "edm"
    network: Literal["song", "adm"] = "song"
    model_channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    channel_mult_noise: int = 1
    num_blocks: int = 4
    attn_resolutions: tuple[int, ...] = (16,)
    embedding: Literal["positional", "fourier"] = "positional"
    encoder: Literal["standard", "skip", "residual"] = "standard"
    decoder: Literal["standard", "skip"] = "standard"
    resample_filter: tuple[float, ...] = (1.0, 1.0)
    sigma_data: float = 0.5
    beta_d: float = 19.9
    beta_min: float = 0.1
    noise_steps: int = 1000
    cosine: tuple[float, float] = (0.001, 0.008)
    steps: int = 18
    solver: Literal["heun", "euler"] = "heun"
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        check_words(self)
        check_count(self.resolution, "resolution")
        check_count(self.img_channels, "img_channels", most=4)
        check_count(self.c_dim, "c_dim", least=0)
        check_count(len(self.channel_mult), "levels", most=_MOST_LEVELS)
        for width in self.channel_mult:
            check_count(width, "channel_mult of a level")
        check_count(self.channel_mult_emb, "channel_mult_emb")
        for name in ("model_channels", "channel_mult_noise"):
            check_count(getattr(self, name), name, most=_WIDEST)
        check_count(self.num_blocks, "num_blocks", most=_MOST_BLOCKS)
        check_count(self.noise_steps, "noise_steps", least=2, most=10_000)
        check_count(self.steps, "steps", least=2, most=_MOST_STEPS)
        for name in ("sigma_data", "beta_d", "beta_min", "sigma_min", "rho"):
            check_number(getattr(self, name), name, above=0)
        check_number(self.sigma_max, "sigma_max", above=self.sigma_min)
        check_number(self.cosine[0], "cosine[0]", above=0)
        levels = len(self.channel_mult) - 1
        if self.resolution % 2**levels:
            fail(
                "resolution",
                expected=f"a multiple of {2**levels}, for {levels + 1} levels",
                got=self.resolution,
                remedy="change it, or the levels (`channel_mult`)",
            )
        check_taps(self.resample_filter, "use (1, 1)", even=True)
