"""StyleGAN3, t and r, and StyleGAN-XL in plain PyTorch: no compiled operator.

    w = f(z, c)        ws = truncate(broadcast(w))        image = g(ws)

Parameter names and formulas are those of the official releases, so official weights load without
renaming. What differs is the order of the arithmetic, for speed on a CPU
(`benchmarks/render_families.py`):

- a modulated convolution scales activations, not weights, so that one ordinary convolution serves
  the batch; a style is scaled by its own size, not that of its batch, which cancels;
- filters are banded matrices, and the fine grid between them is not kept
  (`genviews.generators.filtered`);
- views that share their first rows share the work of those rows (`synthesize_views`).

Source: Karras et al., "Alias-free generative adversarial networks", NeurIPS 2021, arXiv 2106.12423;
Sauer et al., "StyleGAN-XL: scaling StyleGAN to large diverse datasets", SIGGRAPH 2022, arXiv
2202.00273.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.generators.base import Generator
from genviews.generators.stylegan3_config import StyleGAN3Config
from genviews.generators.stylegan3_networks import SynthesisNetwork, mapping_of
from genviews.types import Draws, Images, ImageSpec, Label, Latents, LatentSpec
from genviews.weights import check_weights, load_strictly

__all__ = ["StyleGAN3", "StyleGAN3Config"]


class StyleGAN3(Generator):
    """A StyleGAN3 or StyleGAN-XL generator in W+ space.

    Args:
        config: the architecture. Weights start as in training from scratch: seed torch's global
            generator, or load weights with `load_weights`.

    Differs: single precision throughout, and a style is scaled by its own size in place of its
        batch's, so that an image does not depend on its neighbours; both change round-off only
        (results/generators/stylegan3.json).

    Example:
        >>> from genviews import Rng
        >>> g = StyleGAN3(StyleGAN3Config(resolution=16, z_dim=8, w_dim=8, channel_max=4,
        ...     num_layers=4))
        >>> g.synthesize(g.map(g.sample(Rng(0).streams([0, 1])))).shape
        torch.Size([2, 3, 16, 16])
    """

    def __init__(self, config: StyleGAN3Config) -> None:
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
        self.mapping = mapping_of(config)
        self.synthesis = SynthesisNetwork(config)

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Map z to W+ latents: one w on every row, truncated to `mean + psi (w - mean)`.

        Args:
            z: prior latents.
            label: class indices; required by a conditional generator.
            psi: 1 is no truncation, 0 the mean w, in StyleGAN-XL that of the class.
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
        truncated = self.mapping.mean(label).expand_as(w).lerp(w, psi)
        return torch.cat([truncated[:, None].expand(-1, stop, -1), ws[:, stop:]], dim=1)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render W+ latents."""
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

    def load_weights(self, state: Mapping[str, Tensor]) -> StyleGAN3:
        """Load official weights (names of `G` or `G_ema`); returns self.

        Raises:
            ValueError: a weight is missing, unused or has another shape; the message names them.
        """
        load_strictly(self, self._own(state), "StyleGAN3 weights", _REMEDY)
        return self

    def check_weights(self, state: Mapping[str, Tensor]) -> None:
        """Raise as `load_weights` would; of tensors on the meta device the shapes are looked at."""
        check_weights(self, self._own(state), "StyleGAN3 weights", _REMEDY)

    def _own(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Without what is there and not used: embeddings of classes beyond those of the network."""
        key, classes = "mapping.embed.weight", self.config.c_dim
        if not self.config.class_embedding or key not in state:
            return state
        others = {name: value for name, value in state.items() if name != key}
        return {**others, key: state[key][:classes]} if classes else others


_REMEDY = "check the resolution, layers, channels, filters and class condition of the config"
