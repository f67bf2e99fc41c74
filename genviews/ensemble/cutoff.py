"""A cutoff beside alpha: images that were badly reconstructed are left out of the ensemble.

A badly reconstructed image gives views of something else. With a cutoff, images whose
reconstruction error is above it keep the prediction of the image term; the others are ensembled.
The paper's 2-D search over alpha and cutoff did about as well as alpha alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, check_each, check_fraction
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import find_merge
from genviews.ensemble.weigh import Ensemble, alpha_grid, grid_accuracies, mix
from genviews.signature import checked

__all__ = ["cutoff_grid", "cutoff_proba", "cutoff_thresholds"]


@checked
def cutoff_thresholds(loss: Float[Tensor, " N"], fractions: Sequence[float]) -> Float[Tensor, " T"]:
    """Reconstruction errors below which the given fractions of the calibration images lie.

    Args:
        loss: reconstruction error of each calibration image. One that is not finite belongs to an
            inversion that failed: it counts as an image, and lies above every cutoff.
        fractions: of the images to ensemble, in [0, 1]; 0 is below every error and 1 above every
            error.

    Differs: the paper does not say which split its percentiles come from; here the calibration
        split.
    """
    shares = torch.tensor([check_fraction(f, "fraction") for f in fractions], dtype=torch.float64)
    finite = torch.isfinite(loss)
    if not bool(finite.any()):
        return torch.full_like(shares, -torch.inf)
    # The place of a failed inversion is the top; a quantile up there takes all the others.
    found = torch.quantile(loss.double().where(finite, loss[finite].double().max()), shares)
    found[shares == 0] = -torch.inf
    found[shares == 1] = torch.inf
    return found


@checked
def cutoff_grid(
    ensemble: Ensemble,
    bank: PredictionBank,
    loss: Float[Tensor, " N"],
    thresholds: Float[Tensor, " T"],
    *,
    scores: bool = False,
) -> Float[Tensor, "T G"]:
    """Accuracy at every cutoff and every alpha of the ensemble's grid.

    Choose the best cell on a calibration bank and read the same cell for the test bank.

    Args:
        ensemble: says what is pooled; it need not be fitted.
        bank: labelled predictions.
        loss: reconstruction error of each image of the bank; not finite where the inversion
            failed: such an image is never ensembled.
        thresholds: largest error that is still ensembled; -inf ensembles none, +inf all.
        scores: what cells are chosen by, see `Ensemble.scores`, in the place of accuracy.

    Source: Chai et al. 2021, supplementary figure 14.
    """
    check_count(len(thresholds), "number of thresholds")
    image, views = ensemble.terms(bank)
    alphas, labels = alpha_grid(ensemble.grid), bank.known_labels()
    trusted = [_trusted(image, views, loss, float(t)) for t in thresholds]
    if scores:
        return torch.stack([ensemble.scores(image, t, labels) for t in trusted])
    return torch.stack([grid_accuracies(image, t, labels, alphas) for t in trusted])


@checked
def cutoff_proba(
    ensemble: Ensemble,
    bank: PredictionBank,
    loss: Float[Tensor, " N"],
    threshold: float,
    alpha: float,
) -> Float[Tensor, "N Y"]:
    """Class probabilities at one cutoff and one alpha: a cell of `cutoff_grid`, image by image."""
    image, views = ensemble.terms(bank)
    return find_merge(ensemble.rule.merge).probs(
        mix(image, _trusted(image, views, loss, threshold), alpha)
    )


def _trusted(image: Tensor, views: Tensor, loss: Tensor, threshold: float) -> Tensor:
    """The views' term where the reconstruction is good enough, else the image term."""
    check_each(loss, len(image), "loss")
    trusted = (loss.double() <= threshold) & torch.isfinite(loss)
    return torch.where(trusted[:, None], views, image)
