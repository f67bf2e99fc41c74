"""A new loss: alignment of views and uniformity of samples, what contrastive losses come to.

Its file: genviews/represent/losses/alignment.py
Its line, in OBJECTIVES of genviews/represent/losses/__init__.py:

    "alignment": "genviews.represent.losses.alignment:Alignment",
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.represent.losses.base import Objective

__all__ = ["Alignment"]


@dataclass(frozen=True, kw_only=True)
class Alignment(Objective):
    """Views of a sample close together, samples spread evenly over the sphere.

        alignment    mean over pairs of views of |u - u'|^2
        uniformity   mean over views of log mean_{i != j} exp(-t |u_i - u_j|^2)

    Args:
        sharpness: t, above 0; 2 in the paper.
        weight: of uniformity, at least 0; 1 in the paper's code.

    Raises:
        ValueError: a single view or sample, or an argument out of range.

    Source: Wang and Isola 2020, arXiv:2005.10242, equations 2 and 3, with alpha = 2.

    Differs: for more than two views, alignment is the mean over all pairs.

    Example:
        >>> u = torch.tensor([[[1.0, 0.0]] * 2, [[-1.0, 0.0]] * 2])
        >>> {name: value.item() for name, value in Alignment().terms(u).items()}
        {'alignment': 0.0, 'uniformity': -8.0}
    """

    unit: ClassVar[bool] = True
    sharpness: float = 2.0
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (self.sharpness > 0 and self.weight >= 0):
            got = f"sharpness={self.sharpness}, weight={self.weight}"
            fail(
                "Alignment",
                expected="sharpness above 0, weight of at least 0",
                got=got,
                remedy="change it",
            )

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        batch, views = u.shape[:2]
        if batch < 2 or views < 2:
            fail(
                "Alignment batch",
                expected="two samples and two views or more",
                got=f"{batch} samples of {views} views",
                remedy="render more",
            )
        first, second = torch.triu_indices(views, views, 1)
        close = (u[:, first] - u[:, second]).square().sum(-1).mean()
        of_view = u.transpose(0, 1)
        square = 2 - 2 * of_view @ of_view.mT  # of the distance, as the rows have length 1
        one, other = torch.triu_indices(batch, batch, 1)
        spread = torch.logsumexp(-self.sharpness * square[:, one, other], dim=1)
        return {
            "alignment": close,
            "uniformity": self.weight * (spread - torch.tensor(len(one)).log()).mean(),
        }
