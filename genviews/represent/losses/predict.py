"""Objectives that predict what the generator knows: the latent of a view, its class, or both.

The encoder's head gives the prediction: `RepresentationConfig(head="linear", normalize=False,
projection=Z + Y)`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.represent.losses.base import Objective
from genviews.types import check_shape

__all__ = ["ClassPrediction", "LatentPrediction"]


@dataclass(frozen=True, kw_only=True)
class LatentPrediction(Objective):
    """The paper's inverter: each view tells the latent that it was rendered from.

        z_weight * MSE(z_hat, z) + y_weight * CE(y_hat, y)

    The first Z entries of a projection are z_hat, the next Y the logits y_hat.

    Args:
        z_dim: Z.
        num_classes: Y; 0 predicts no class.
        z_weight: of the squared error, the mean over entries.
        y_weight: of the cross-entropy; 1 in the paper.

    Raises:
        ValueError: a projection that is not Z + Y wide, or latents that are not one a view.

    Source: Jahanian et al. 2022, arXiv:2106.05258, section 3.4 and appendix C.2.3.

    Differs: with neighbours on, the authors' script gives the latent of the anchor to the image of
        the neighbour. Here each view has its own latent, and one latent for two views is an error.

    Example:
        >>> import torch
        >>> u, z = torch.zeros(3, 2, 6), torch.full((3, 2, 4), 2.0)
        >>> LatentPrediction(z_dim=4, num_classes=2).terms(u, torch.tensor([0, 1, 1]), z)
        {'z': tensor(4.), 'y': tensor(0.6931)}
    """

    unit: ClassVar[bool] = False
    latents: ClassVar[bool] = True
    single_view: ClassVar[bool] = True
    z_dim: int
    num_classes: int = 0
    z_weight: float = 1.0
    y_weight: float = 1.0

    def __post_init__(self) -> None:
        check_count(self.z_dim, "z_dim")
        check_count(self.num_classes, "num_classes", least=0)

    @classmethod
    def for_data(cls, *, z_dim: int, num_classes: int) -> LatentPrediction:
        """Predict z, and the class where the data has classes."""
        return cls(z_dim=z_dim, num_classes=num_classes)

    @property
    def width(self) -> int:
        """Z + Y."""
        return self.z_dim + self.num_classes

    @property
    def needs(self) -> tuple[str, ...]:
        """z, and the labels where classes are predicted."""
        return ("z", "labels") if self.num_classes else ("z",)

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        assert z is not None
        if z.ndim == 2 and u.shape[1] == 1:
            z = z[:, None]
        remedy = "give the latent that each view was rendered from, not the anchor's alone"
        check_shape(z, (*u.shape[:2], self.z_dim), "z, a latent for each view", remedy)
        terms = {"z": self.z_weight * F.mse_loss(u[..., : self.z_dim], z.to(u.dtype))}
        if labels is not None:
            terms["y"] = self.y_weight * _class_loss(u[..., self.z_dim :], labels)
        return terms


@dataclass(frozen=True, kw_only=True)
class ClassPrediction(Objective):
    """A classifier of generated views: cross-entropy between projections, as logits, and labels.

    Args:
        num_classes: Y, the width of the projection.

    Raises:
        ValueError: a projection of another width, or a label outside [0, Y).

    Source: Jahanian et al. 2022, arXiv:2106.05258, table 6.

    Differs: the authors' code always has 1000 outputs, and shows the neighbour's image alone; here
        every view given counts.

    Example:
        >>> import torch
        >>> ClassPrediction(num_classes=4)(torch.zeros(3, 1, 4), torch.tensor([0, 3, 1]))
        tensor(1.3863)
    """

    unit: ClassVar[bool] = False
    classes: ClassVar[bool] = True
    single_view: ClassVar[bool] = True
    num_classes: int

    def __post_init__(self) -> None:
        check_count(self.num_classes, "num_classes", least=2)

    @classmethod
    def for_data(cls, *, z_dim: int, num_classes: int) -> ClassPrediction:
        """Predict one of `num_classes` classes."""
        return cls(num_classes=num_classes)

    @property
    def width(self) -> int:
        """Y."""
        return self.num_classes

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        assert labels is not None
        return {"y": _class_loss(u, labels)}


def _class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    classes = logits.shape[-1]
    if not bool(((labels >= 0) & (labels < classes)).all()):
        fail(
            "labels",
            expected=f"classes in [0, {classes})",
            got=f"{int(labels.min())} to {int(labels.max())}",
            remedy="set num_classes to the number of classes of the batches",
        )
    targets = labels[:, None].expand(logits.shape[:2])
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten().long())
