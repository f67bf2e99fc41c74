"""StyleGAN2 in plain PyTorch: mapping network, skip synthesis, no compiled operator.

    w = f(z, c)        ws = truncate(broadcast(w))        image = g(ws, noise)

Parameter names and formulas are those of the official PyTorch release, so official weights load
without renaming. What differs is the order of the arithmetic, for speed on a CPU
(`benchmarks/render.py`):

- a modulated convolution scales activations, not weights, so that one ordinary convolution serves
  the batch: conv(x; s W d) = d * conv(s * x; W) with d = (sum_i s_i^2 sum_k W_oik^2 + 1e-8)^-0.5;
- activations and weights are channels-last;
- the first convolution acts on a constant, hence is linear in the style: one matrix product;
- the 1x1 output layers are weighted sums over channels, and two small matrices up-sample images;
- views that share their first rows share the work of those rows (`synthesize_views`).

Source: Karras et al., "Analyzing and improving the image quality of StyleGAN", CVPR 2020, arXiv
1912.04958; Karras et al., "Training generative adversarial networks with limited data", NeurIPS
2020, arXiv 2006.06676.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.generators.base import Generator
from genviews.generators.stylegan2_networks import (
    MappingNetwork,
    NoiseMode,
    StyleGAN2Config,
    SynthesisNetwork,
    noise_mode,
)
from genviews.types import Draws, Images, ImageSpec, Label, Latents, LatentSpec
from genviews.weights import check_weights, load_strictly

__all__ = ["NoiseMode", "StyleGAN2", "StyleGAN2Config", "noise_mode"]


class StyleGAN2(Generator):
    """A StyleGAN2 generator in W+ space.

    Args:
        config: the architecture. Weights start as in training from scratch: seed torch's global
            generator, or load weights with `load_weights`.

    Differs: noise is fixed by default in `synthesize` (the official default is random), because a
        view must be a function of its latent. Weights are modulated through the activations, which
        changes round-off only (below 1e-5 in float32 on random weights,
        `tests/generators/test_stylegan2.py`).

    Example:
        >>> from genviews import Rng, StyleGAN2, StyleGAN2Config
        >>> g = StyleGAN2(StyleGAN2Config(resolution=16, img_channels=1, z_dim=8, w_dim=8,
        ...     mapping_layers=2, channels={4: 8, 8: 8, 16: 4}))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 1, 16, 16])
    """

    def __init__(self, config: StyleGAN2Config) -> None:
        """Build the networks; see the class docstring."""
        super().__init__()
        self.config = config
        self.z_dim = config.z_dim
        self.num_classes = config.c_dim
        r = config.resolution
        self.image_spec = ImageSpec(channels=config.img_channels, height=r, width=r)
        self.latent_spec = LatentSpec(
            space="w+", num_layers=config.num_ws, dim=config.w_dim, ranges=config.layer_ranges
        )
        self.mapping = MappingNetwork(config)
        self.synthesis = SynthesisNetwork(config)

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Map z to W+ latents: one w on every row, truncated to `w_avg + psi (w - w_avg)`.

        Args:
            z: prior latents.
            label: class indices; required by a conditional generator.
            psi: 1 is no truncation, 0 the mean w.
            cutoff: truncate rows [0, cutoff) only.

        Raises:
            ValueError: `psi` is not finite, `cutoff` is not in [0, L], or the labels do not fit.
        """
        label = self.check_draws(z, label)
        stop = self.check_truncation(psi, cutoff)
        w: Tensor = self.mapping(z, label)
        ws = w[:, None].expand(-1, self.config.num_ws, -1)
        if psi == 1.0:
            return ws.contiguous()
        truncated = self.mapping.w_avg.lerp(ws, psi)
        return torch.cat([truncated[:, :stop], ws[:, stop:]], dim=1)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render W+ latents with the fixed noise of the checkpoint."""
        self.latent_spec.check(latents, batch=True)
        images: Tensor = self.synthesis(latents.to(self.mapping.w_avg.dtype))
        return images

    def synthesize_views(
        self, latents: Float[Tensor, "B K L D"], shared_rows: int = 0, label: Label | None = None
    ) -> Float[Tensor, "B K C H W"]:
        """Render K views of each image; the layers of the shared rows run once for each image."""
        self.latent_spec.check(latents)
        b, k = latents.shape[:2]
        rows = latents.flatten(0, 1).to(self.mapping.w_avg.dtype)
        flat = self.synthesis(rows, views=k, shared_rows=shared_rows)
        images: Tensor = flat.unflatten(0, (b, k))
        return images

    def load_weights(self, state: Mapping[str, Tensor]) -> StyleGAN2:
        """Load official weights (names of `G` or `G_ema`); their constant filters may be there too.

        Returns self.

        Raises:
            ValueError: a weight is missing, unused or has another shape; the message names them.
        """
        load_strictly(self, _weights(state), "StyleGAN2 weights", _REMEDY)
        return self

    def check_weights(self, state: Mapping[str, Tensor]) -> None:
        """Raise as `load_weights` would; of tensors on the meta device the shapes are looked at."""
        check_weights(self, _weights(state), "StyleGAN2 weights", _REMEDY)


_REMEDY = "check the resolution, channel schedule and class condition of the config"


def _weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.endswith("resample_filter")}
