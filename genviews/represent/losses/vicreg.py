"""VICReg, an objective without negatives: what keeps the projections from collapsing is variance.

a * invariance + b * variance + c * covariance
invariance   mean over pairs of views of |u - u'|^2 / P
variance     mean over views and dimensions of max(0, 1 - sqrt(var + 1e-4))
covariance   sum over two views of the squared off-diagonal covariances / P
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.checks import fail
from genviews.represent.losses.base import Objective

__all__ = ["VICReg"]

_EPSILON = 1e-4


@dataclass(frozen=True, kw_only=True)
class VICReg(Objective):
    """Variance, invariance, covariance; projections are not normalised, and wide heads are best.

    Args:
        invariance: a, weight of the squared distance between views.
        variance: b, weight of the hinge on each dimension's standard deviation over the batch.
        covariance: c, weight of the squared covariances.

    Raises:
        ValueError: a single view or a single sample, or a negative weight.

    Source: Bardes et al. 2022, arXiv:2105.04906, equations 1-6, with the means of the authors' code
        (facebookresearch/vicreg, main_vicreg.py).

    Differs: the paper sums |u - u'|^2 over dimensions and the hinge over two views, the code takes
        means; so do we. For V views, invariance is the mean over pairs and the others are V/2 times
        less than a sum over views, so that V = 2 is the code.

    Example:
        >>> terms = VICReg().terms(torch.zeros(4, 2, 3))
        >>> {name: round(value.item(), 3) for name, value in terms.items()}
        {'invariance': 0.0, 'variance': 24.75, 'covariance': 0.0}
    """

    unit: ClassVar[bool] = False
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0

    def __post_init__(self) -> None:
        for name in ("invariance", "variance", "covariance"):
            if getattr(self, name) < 0:
                fail(name, expected="a weight >= 0", got=getattr(self, name), remedy="change it")

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        batch, views, width = u.shape
        if batch < 2 or views < 2:
            fail(
                "VICReg batch",
                expected="two samples and two views or more",
                got=f"{batch} samples of {views} views",
                remedy="render more",
            )
        # Each unordered pair of views stands twice among V x V, and V pairs are a view with itself.
        square = (u[:, :, None] - u[:, None]).square().mean((0, 3)).sum()
        centred = u - u.mean(0)
        deviation = (centred.square().sum(0) / (batch - 1) + _EPSILON).sqrt()
        matrix = torch.einsum("bvp,bvq->vpq", centred, centred) / (batch - 1)
        off_diagonal = matrix - torch.diag_embed(matrix.diagonal(dim1=1, dim2=2))
        return {
            "invariance": self.invariance * square / (views * (views - 1)),
            "variance": self.variance * F.relu(1 - deviation).mean(),
            "covariance": self.covariance * 2 * off_diagonal.square().sum((1, 2)).mean() / width,
        }
