"""Objectives that compare views: those of one thing close together, and no collapse.

The contrastive ones keep all others of the batch apart:

    l_i = -mean_{p in P(i)} s_ip  +  log sum_{j in N(i)} exp(s_ij),    s_ij = u_i . u_j / tau

P(i), the positives of row i, are the other views of its sample, or all other rows of its class.
N(i) is every row but i; in the decoupled form, every row but i and P(i). The loss is the mean of
l_i over the anchors times tau / base_temperature, where one is given.

The rows of `u` have length 1, and B samples of V views give B V rows. `VICReg` is an objective
without negatives: what keeps its projections from collapsing is variance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genviews.checks import check_count, check_number, fail, lookup
from genviews.represent.losses.base import Objective

__all__ = ["Decoupled", "MultiPositive", "NTXent", "SupCon", "VICReg"]

_EPSILON = 1e-4  # of a variance


@dataclass(frozen=True, kw_only=True)
class _Contrastive(Objective):
    """The fields and the formula that all contrastive objectives share.

    Args:
        temperature: tau, above 0.
        base_temperature: the loss is multiplied by tau / base_temperature; None multiplies by 1.
        similarity: "divide" has s = u.u / tau, "multiply" s = u.u tau as equation 1 of the paper is
            printed.
        anchors: "all" makes every view an anchor, "first" the first view of each sample alone, the
            one side that the paper's equation shows. Both contrast with every row.
    """

    unit: ClassVar[bool] = True
    decoupled: ClassVar[bool] = False
    temperature: float = 0.1
    base_temperature: float | None = None
    similarity: Literal["divide", "multiply"] = "divide"
    anchors: Literal["all", "first"] = "all"

    def __post_init__(self) -> None:
        lookup(self.similarity, dict.fromkeys(("divide", "multiply")), "similarity")
        lookup(self.anchors, dict.fromkeys(("all", "first")), "anchors")
        for name in ("temperature", "base_temperature"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, above=0)

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        """The loss of (B, V, P) projections whose positives share a sample, or a class."""
        batch, views = u.shape[:2]
        least = 1 if self.classes else 2
        most = math.inf if self.positives is None else 1 + self.positives
        remedy = "render two views of each sample; for more views use MultiPositive"
        check_count(views, "contrastive views of a sample", least=least, most=most, remedy=remedy)
        group = torch.arange(batch, device=u.device) if labels is None else labels
        rows, groups = u.flatten(0, 1), group.repeat_interleave(views)
        step = 1 if self.anchors == "all" else views
        index = torch.arange(0, batch * views, step, device=u.device)
        itself = index[:, None] == torch.arange(batch * views, device=u.device)
        positive = (groups[index, None] == groups) & ~itself
        left_out = itself | positive if self.decoupled else itself
        count = positive.sum(1)
        _check_counts(count, (~left_out).sum(1))
        scale = self.temperature if self.similarity == "multiply" else 1 / self.temperature
        logits = rows[index] @ rows.T * scale
        attraction = (logits * positive).sum(1) / count
        spread = logits.masked_fill(left_out, -math.inf).logsumexp(1)
        factor = 1.0 if self.base_temperature is None else self.temperature / self.base_temperature
        return {"contrast": factor * (spread - attraction).mean()}


def _check_counts(positives: Tensor, others: Tensor) -> None:
    # One look at the device for both, and only on its answer the details.
    if not bool(((positives > 0) & (others > 0)).all()):
        lonely, total = int((positives == 0).sum()), len(positives)
        fail(
            "contrastive batch",
            expected="a positive and something to contrast with for every anchor",
            got=f"{lonely} of {total} anchors without a positive, "
            f"{int((others == 0).sum())} anchors with nothing but positives",
            remedy="give two views of each sample, and two samples or classes or more a batch",
        )


@dataclass(frozen=True, kw_only=True)
class NTXent(_Contrastive):
    """SimCLR: the positive of a view is the other view of its sample.

    With all projections equal the loss is (tau / base_temperature) ln(2B - 1).

    Args:
        temperature: tau, above 0; 0.1 is the authors'.
        base_temperature: the authors' code multiplies the loss by tau / 0.07; None does not, as
            SimCLR. It scales the gradient as a learning rate would.
        similarity: "divide" as in the code, "multiply" as equation 1 is printed.
        anchors: "all" views as in the code, or the "first" alone as equation 1 shows.

    Raises:
        ValueError: other than two views, or a single sample.

    Source: Chen et al. 2020, arXiv:2002.05709, equation 1; Jahanian et al. 2022, arXiv:2106.05258,
        equation 1 and losses.py of the authors' code.

    Differs: none known; the printed equation 1 is `NTXent(similarity="multiply", anchors="first",
        base_temperature=None)`.

    Example:
        >>> u = torch.nn.functional.normalize(torch.ones(256, 2, 8), dim=-1)
        >>> round(NTXent()(u).item(), 3)
        8.909
    """

    positives: ClassVar[int | None] = 1
    base_temperature: float | None = 0.07


@dataclass(frozen=True, kw_only=True)
class SupCon(_Contrastive):
    """Supervised contrastive: every other row of the same class is a positive.

    Any number of views; with one, each class must be in the batch twice.

    Args:
        temperature: tau, above 0; 0.1 is the authors'.
        base_temperature: the loss is multiplied by tau / 0.07, None by 1.
        similarity: see `NTXent`.
        anchors: see `NTXent`.

    Raises:
        ValueError: an anchor without a positive.

    Source: Khosla et al. 2020, arXiv:2004.11362, equation 2 (L_out); the authors' code.

    Differs: where the code divides 0 by 0 for an anchor without a positive, this is an error.

    Example:
        >>> u = torch.nn.functional.normalize(torch.ones(4, 1, 3), dim=-1)
        >>> loss = SupCon(base_temperature=None)(u, torch.tensor([0, 0, 1, 1]))
        >>> round(loss.item(), 3), round(math.log(3), 3)
        (1.099, 1.099)
    """

    classes: ClassVar[bool] = True
    base_temperature: float | None = 0.07


@dataclass(frozen=True, kw_only=True)
class MultiPositive(_Contrastive):
    """StableRep: all other views of a sample are its positives, two or more views.

    It is the cross-entropy between the distribution that is even over the positives and the softmax
    of the similarities. With two views it is `NTXent` of the same temperatures.

    Args:
        temperature: tau, above 0; 0.1 in the paper.
        base_temperature: None in the paper.
        similarity: see `NTXent`.
        anchors: see `NTXent`.

    Raises:
        ValueError: a single view, or a single sample.

    Source: Tian et al. 2023, arXiv:2306.00984, equations 1-3.

    Differs: in the paper a caption, here a latent, is what the views of a sample share.

    Example:
        >>> u = torch.nn.functional.normalize(torch.ones(8, 4, 3), dim=-1)
        >>> round(MultiPositive()(u).item(), 3), round(math.log(31), 3)
        (3.434, 3.434)
    """


@dataclass(frozen=True, kw_only=True)
class Decoupled(_Contrastive):
    """DCL: as `MultiPositive`, but the positives are not in the denominator.

    An easy positive then no longer shrinks the gradient of the negatives, which helps small
    batches.

    Args:
        temperature: tau, above 0; 0.1 in the paper's main setting.
        base_temperature: None in the paper.
        similarity: see `NTXent`.
        anchors: see `NTXent`.

    Raises:
        ValueError: a single view, or a single sample.

    Source: Yeh et al. 2022, arXiv:2110.06848, equation 6 (without the weights of DCLW).

    Differs: more than two views are allowed: the mean over the positives.

    Example:
        >>> u = torch.nn.functional.normalize(torch.ones(8, 2, 3), dim=-1)
        >>> round(Decoupled()(u).item(), 3), round(math.log(14), 3)
        (2.639, 2.639)
    """

    decoupled: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class VICReg(Objective):
    """Variance, invariance, covariance; projections are not normalised, and wide heads are best.

        a * invariance + b * variance + c * covariance
        invariance   mean over pairs of views of |u - u'|^2 / P
        variance     mean over views and dimensions of max(0, 1 - sqrt(var + 1e-4))
        covariance   sum over two views of the squared off-diagonal covariances / P

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
            check_number(getattr(self, name), f"weight of {name}", least=0)

    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        batch, views, width = u.shape
        check_count(batch, "samples of a VICReg batch", least=2, remedy="give more")
        check_count(views, "views of a VICReg batch", least=2, remedy="render more")
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
