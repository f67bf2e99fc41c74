"""A generator with a style row for each layer: specs, truncation and views of the StyleGANs.

    w = f(z, c)        ws = truncate(one w a row, or a w for each)        image = g(ws)

Source: Karras et al., "A style-based generator architecture for generative adversarial networks",
CVPR 2019, arXiv 1812.04948, appendix B (truncation in w).
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.generators.base import Generator
from genviews.style_rows import LayerRange
from genviews.types import Draws, Images, ImageSpec, Label, Latents, LatentSpec

__all__ = ["StyleGenerator", "StyleMapping"]


@runtime_checkable
class StyleConfig(Protocol):
    """The fields of a config that the specs are made from."""

    @property
    def resolution(self) -> int: ...
    @property
    def img_channels(self) -> int: ...
    @property
    def z_dim(self) -> int: ...
    @property
    def w_dim(self) -> int: ...
    @property
    def c_dim(self) -> int: ...
    @property
    def num_ws(self) -> int: ...
    @property
    def layer_ranges(self) -> tuple[LayerRange, ...]: ...


class StyleMapping(nn.Module):
    """z (and class) -> w, (B, D) or one for each row, (B, L D); subclasses implement `forward`.

    Attributes:
        w_avg: the mean w that truncation pulls towards.
    """

    w_avg: Tensor

    def mean(self, label: Label | None) -> Float[Tensor, "*B D"]:
        """What truncation pulls a sample of this class towards."""
        return self.w_avg


class StyleGenerator(Generator):
    """Abstract: a generator in W+ space; subclasses set `mapping` and `synthesis`.

    Attributes:
        mapping: z (and class) -> w.
        synthesis: ws -> images, of K views each with `views=K` and the rows that these share.
    """

    mapping: StyleMapping
    synthesis: nn.Module

    def __init__(self, config: StyleConfig) -> None:
        """Set the specs."""
        super().__init__()
        self.z_dim, self.num_classes = config.z_dim, config.c_dim
        r = config.resolution
        self.image_spec = ImageSpec(channels=config.img_channels, height=r, width=r)
        self.latent_spec = LatentSpec(
            space="w+", num_layers=config.num_ws, dim=config.w_dim, ranges=config.layer_ranges
        )

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Map z to W+ latents: w on every row, truncated to `mean + psi (w - mean)`.

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
        rows, dim = self.latent_spec.shape
        ws: Tensor = self.mapping(z, label).unflatten(1, (-1, dim)).expand(-1, rows, -1)
        if psi == 1.0:
            return ws.contiguous()
        truncated = self.mapping.mean(label)[..., None, :].lerp(ws, psi)
        return torch.cat([truncated[:, :stop], ws[:, stop:]], dim=1)

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render W+ latents with the fixed noise of the checkpoint, where there is noise."""
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
