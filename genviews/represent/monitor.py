"""What a training looks at beside its loss: neighbours on labelled images, and signs of collapse.

A falling loss does not show that the features are any good, and some objectives are lowest where
all features are equal. None of this changes the training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_finite, fail, option
from genviews.represent.encoder import RepresentationEncoder
from genviews.signature import checked

__all__ = ["OnlineKNN", "alignment", "rankme", "uniformity"]


@checked
def alignment(u: Float[Tensor, "B V P"]) -> float:
    """Mean squared distance between two views of a sample, on the unit sphere: 0 to 4, low is good.

        mean over samples and pairs v != w of |u_v - u_w|^2

    Args:
        u: projections, or features; rows are brought to length 1.

    Raises:
        ValueError: a single view.

    Source: Wang and Isola 2020, arXiv:2005.10242, section 4.1, alpha = 2.

    Example:
        >>> alignment(torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]))
        2.0
    """
    views = u.shape[1]
    check_count(views, "views for alignment", least=2, remedy="render more views")
    check_count(len(u), "samples for alignment")
    unit = F.normalize(u.detach().double(), dim=-1)
    # Of all V x V pairs the V of a view with itself are 0.
    square = (unit[:, :, None] - unit[:, None]).square().sum(-1).sum((1, 2))
    return float((square / (views * (views - 1))).mean())


@checked
def uniformity(u: Float[Tensor, "N P"]) -> float:
    """Log of the mean Gaussian potential of two rows on the unit sphere: 0 collapsed, low is good.

        log mean over pairs i < j of exp(-2 |u_i - u_j|^2)

    Args:
        u: at least two rows; they are brought to length 1. For the batch of a training take one
            view of each sample, since views of a sample are meant to be close.

    Raises:
        ValueError: a single row.

    Source: Wang and Isola 2020, arXiv:2005.10242, section 4.1, t = 2.

    Example:
        >>> uniformity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]]))
        -8.0
    """
    check_count(u.shape[0], "rows for uniformity", least=2, remedy="give more samples")
    unit = F.normalize(u.detach().double(), dim=-1)
    potential = torch.pdist(unit).square().mul(-2)
    return float(potential.logsumexp(0)) - math.log(len(potential))


@checked
def rankme(h: Float[Tensor, "N E"]) -> float:
    """Effective rank of features: 1 collapsed, at most min(N, E).

        exp(-sum_k p_k log p_k),    p_k = sigma_k / sum sigma + 1e-7

    Args:
        h: features; neither centred nor normalised, as in the paper.

    Source: Garrido et al. 2023, arXiv:2210.02885, equation 1.

    Example:
        >>> round(rankme(torch.eye(4)), 3)
        4.0
    """
    check_finite(h, "features", range(len(h)), "look at the images and the encoder")
    check_count(len(h), "rows for rankme")
    sigma = torch.linalg.svdvals(h.detach().double())
    p = sigma / sigma.sum().clamp(min=1e-300) + 1e-7
    return float((-(p * p.log()).sum()).exp())


@checked
@dataclass(frozen=True, kw_only=True, eq=False)
class OnlineKNN:
    """Accuracy of nearest neighbours on held-out labelled images, while an encoder is trained.

    Labels are looked at, never learnt from. Take parts of `train` and `val`, not of `test`.

    Args:
        bank: labelled images in [-1, 1] whose labels vote.
        bank_labels: their classes.
        queries: images whose classes are guessed.
        query_labels: their classes.
        neighbours: k; 20 suits some thousand bank images, 200 ImageNet.

    Raises:
        ValueError: other numbers of labels than of images, or fewer bank images than neighbours.

    Source: Wu et al. 2018, arXiv:1805.01978, section 3.4.

    Example:
        >>> from genviews.represent.encoder import RepresentationConfig
        >>> images = torch.linspace(-1, 1, 8).view(8, 1, 1, 1).expand(8, 1, 8, 8)
        >>> labels = torch.arange(8) // 4
        >>> knn = OnlineKNN(bank=images, bank_labels=labels, queries=images,
        ...                 query_labels=labels, neighbours=1)
        >>> knn(RepresentationEncoder(RepresentationConfig(channels=1)))
        1.0
    """

    bank: Float[Tensor, "N C H W"]
    bank_labels: Int[Tensor, " N"]
    queries: Float[Tensor, "M C H W"]
    query_labels: Int[Tensor, " M"]
    neighbours: int = 20

    def __post_init__(self) -> None:
        check_count(self.neighbours, "neighbours")
        check_count(len(self.bank), "number of bank images", least=self.neighbours)
        check_count(len(self.queries), "number of queries")

    @checked
    def __call__(self, encoder: RepresentationEncoder) -> float:
        """Return the accuracy in [0, 1]; of equal features, the share of the commonest class."""
        # Here: a training that is not watched imports none of what judges.
        from genviews.evaluate.extractor import check_features  # up: judges of a training
        from genviews.evaluate.probe import KNNProbe  # up: judges of a training

        h = encoder.features(self.bank)
        bank_labels, query_labels = self.bank_labels.cpu(), self.query_labels.cpu()
        try:
            check_features(h)
        except ValueError:
            if not bool(h.isfinite().all()):
                fail(
                    "features of the encoder that learns",
                    expected="finite numbers",
                    got="NaN or infinity",
                    remedy=f"lower the learning rate, {option('lr')}, or check the images",
                )
            # Collapsed: all neighbours are equally near. A monitor must not end the run.
            return float((query_labels == bank_labels.mode().values).double().mean())
        probe = KNNProbe((self.neighbours,)).fit(h, bank_labels, split="train")
        return probe.score(encoder.features(self.queries), query_labels, split="val").accuracy
