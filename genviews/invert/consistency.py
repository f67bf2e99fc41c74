"""Latent terms through the inversion encoder E, which hold latents where E's answers lie.

Both papers say "regularise towards the encoder" and mean different things; each is a term here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from genviews.checks import fail
from genviews.invert.term import Kept, Target, Term, blank
from genviews.modes import evaluating
from genviews.types import Images, Latents, Masks, Values

__all__ = ["ReEncode", "ToEncoder"]


def _encode(encoder: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    with evaluating(encoder):
        latents: Tensor = encoder(blank(images, masks), masks)
    return latents


@dataclass(frozen=True)
class ToEncoder(Term):
    """Mean squared distance of the latents to the encoder's estimate.

        mean over rows and dimensions of (w - E(x, m))^2

    Equal to `ToStart` where the inversion starts from the same encoder.

    Args:
        weight: factor of the term; the paper's is 0.5 beside image terms of 1.
        encoder: (images, masks) -> latents, called in eval mode.

    Source: Chai et al. 2021, Eq. 4.
    Differs: E sees unknown pixels as 0; their code does not hide them.
    """

    encoder: nn.Module

    of_images: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """See `Term`."""
        return "to_encoder"

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The encoder's latents."""
        return [_encode(self.encoder, images, masks)]

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        return (latents - kept[0]).square().mean(dim=(1, 2))


@dataclass(frozen=True)
class ReEncode(Term):
    """Mean squared distance of the re-encoded rendering to the first code, or to the latents.

        to="encoder":  mean (E(x, m) - E(G(w), m))^2
        to="latents":  mean (w - E(G(w)))^2

    The first compares image and rendering as E sees them. The second, the domain regulariser, asks
    for latents that E gives back: it looks at all of G(w), for none of its pixels is unknown.

    Args:
        weight: factor of the term; 0.25 in Chai's code (beside image terms of 0.5), 2 in In-Domain.
        encoder: (images, masks) -> latents, called in eval mode.
        to: see above.

    Raises:
        ValueError: another `to`.

    Source: "encoder": Chai et al. 2021, code (`inversions.invert_lbfgs`; the paper's Eq. 4 is
        `ToEncoder`). "latents": Zhu et al. 2020, arXiv 2004.00049, domain-regularised
        optimisation; `StyleGANInverter.invert` of their code.
    Differs: "encoder": E sees unknown pixels as 0; their code does not hide them.
    """

    encoder: nn.Module
    to: Literal["encoder", "latents"] = "encoder"

    of_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.to not in ("encoder", "latents"):
            fail("to", expected="'encoder' or 'latents'", got=repr(self.to), remedy="change it")

    @property
    def name(self) -> str:
        """See `Term`."""
        return f"re_encode_{self.to}"

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The encoder's latents, where they are what the rendering's are compared with."""
        return [_encode(self.encoder, images, masks)] if self.to == "encoder" else []

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        if self.to == "encoder":
            difference = _encode(self.encoder, rendered, target.masks) - kept[0]
        else:
            whole = torch.ones_like(target.masks)
            difference = _encode(self.encoder, rendered, whole) - latents
        return difference.square().mean(dim=(1, 2))
