"""Ensembles that notice a shift by themselves, and weights that are chosen without labels.

One weight for all images has to be right for those that the classifier knows and for those that a
shift has made strange. `NoticingEnsemble` gives each image a weight of its own, from what can be
seen without its class,

    y_i = (1 - alpha_i) * image term + alpha_i * mean over the views
    alpha_i = sigmoid(b + w f_i)

where f_i holds how sure the image term and the views are, whether they agree, whether the views
agree among themselves and, where it is known, how far the reconstruction is from the image. b and w
are fitted by log-loss on calibration images, clean ones and copies of them under a mild shift.

`alpha_without_labels` chooses one weight for images of which nobody knows the classes: that at
which most of them are answered with more confidence than the error on clean, labelled images allows
for (average thresholded confidence).

Source: ours, but for the estimate of accuracy without labels: Garg et al. 2022, "Leveraging
unlabeled data to predict out-of-distribution performance", arXiv 2201.04234.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from genviews.checks import check_number, fail
from genviews.data.split import check_fit
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import find_merge
from genviews.ensemble.weigh import Ensemble, alpha_grid, log_loss, mix
from genviews.signature import checked
from genviews.types import check_shape

__all__ = ["NoticingEnsemble", "alpha_without_labels"]

LARGEST = 5.0  # standard deviations from the calibration mean that a feature counts for at most


class NoticingEnsemble:
    """Equation 7 with a weight for each image, fitted on a calibration bank.

    Args:
        ensemble: says what is pooled; its own alpha is not used.
        ridge: pull of w to 0, in units of the mean log-loss; b is free.

    Attributes:
        bias_: b.
        slopes_: w, of features in standard deviations over the calibration images.

    Example:
        >>> logits = {"image": torch.tensor([[[1., 0.]], [[1., 0.]]]),
        ...           "reconstruction": torch.tensor([[[2., 0.]], [[0., 2.]]])}
        >>> bank = PredictionBank(ids=("a", "b"), labels=torch.tensor([0, 1]), logits=logits,
        ...                       class_names=("cat", "dog"), split="calibration")
        >>> NoticingEnsemble(Ensemble("reconstruction")).fit(bank).predict_proba(bank).argmax(1)
        tensor([0, 1])
    """

    def __init__(self, ensemble: Ensemble, *, ridge: float = 0.01) -> None:
        self.ensemble = ensemble
        self.ridge = check_number(ridge, "ridge", least=0, remedy="try 0.01")

    def __describe__(self) -> dict[str, object]:
        """The settings, and what was fitted."""
        learnt = {name: value for name, value in vars(self).items() if name != "ensemble"}
        return {"ensemble": repr(self.ensemble), **learnt}

    @property
    def has_loss(self) -> bool | None:
        """Whether it looks at losses of inversions; None before `fit`."""
        known: bool | None = getattr(self, "_with_loss", None)
        return known

    @checked
    def fit(
        self,
        bank: PredictionBank,
        loss: Float[Tensor, " N"] | None = None,
        *,
        counts: Float[Tensor, " N"] | None = None,
    ) -> NoticingEnsemble:
        """Fit b and w by log-loss.

        Args:
            bank: labelled, of any split but the test split; best of images as they come and of
                copies under a shift, so that there is something to notice.
            loss: reconstruction error of each image; one that is not finite counts, here and later,
                as the largest of these.
            counts: how often each image counts, above 0; None counts each once. Where there are
                copies under several shifts, let the images as they come count as often as all
                copies together: they are the usual case.

        Raises:
            ValueError: a bank of a test split, or without labels or the keys.
        """
        check_fit(bank.split, "fit weights of images")
        finite = None if loss is None else loss[loss.isfinite()]
        self._unknown_error = 1.0 if finite is None or not len(finite) else float(finite.max())
        features = self._features(bank, loss).cpu().double()
        shares = _shares(counts, len(bank))
        self._mean = shares @ features
        self._spread = (shares @ (features - self._mean).square()).sqrt()
        known, labels = self._standard(features), bank.known_labels().cpu()
        image, views = (term.cpu() for term in self.ensemble.terms(bank))
        probs = find_merge(self.ensemble.rule.merge).probs

        def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
            free = torch.tensor(point, dtype=torch.float64, requires_grad=True)
            alpha = torch.sigmoid(free[0] + known @ free[1:])[:, None]
            value = log_loss(probs((1 - alpha) * image + alpha * views), labels, shares)
            value = value + self.ridge * free[1:].square().sum()
            (slope,) = torch.autograd.grad(value, free)
            return value.item(), slope.numpy()

        with torch.enable_grad():
            found = minimize(objective, np.zeros(1 + known.shape[1]), jac=True, method="L-BFGS-B")
        self.bias_, self.slopes_ = float(found.x[0]), torch.tensor(found.x[1:])
        self._with_loss = loss is not None
        return self

    @checked
    def weights(
        self, bank: PredictionBank, loss: Float[Tensor, " N"] | None = None
    ) -> Float[Tensor, " N"]:
        """The weight of the views for each image, in [0, 1].

        Raises:
            ValueError: before `fit`, or a loss where there was none at `fit`, or the reverse.
        """
        fitted = getattr(self, "slopes_", None)
        if fitted is None or self._with_loss != (loss is not None):
            fail(
                "ensemble that notices",
                expected="`fit` first, with a loss where there is one here",
                got="no fit" if fitted is None else "a loss in one of the two",
                remedy="fit it on a calibration bank",
            )
        known = self._standard(self._features(bank, loss))
        return torch.sigmoid(self.bias_ + known @ fitted.to(known))

    @checked
    def predict_proba(
        self, bank: PredictionBank, loss: Float[Tensor, " N"] | None = None
    ) -> Float[Tensor, "N Y"]:
        """Class probabilities, float64."""
        alpha = self.weights(bank, loss)[:, None]
        image, views = self.ensemble.terms(bank)
        return find_merge(self.ensemble.rule.merge).probs((1 - alpha) * image + alpha * views)

    def _standard(self, features: Tensor) -> Tensor:
        mean, spread = self._mean.to(features), self._spread.to(features)
        spread = spread.where(spread > 1e-9, torch.ones_like(spread))
        return ((features - mean) / spread).clamp(-LARGEST, LARGEST)

    def _features(self, bank: PredictionBank, loss: Tensor | None) -> Float[Tensor, "N F"]:
        """What is seen of each image without its class."""
        rule = find_merge(self.ensemble.rule.merge)
        image, views = map(rule.probs, self.ensemble.terms(bank))
        each = torch.cat([bank.probs(key) for key in self.ensemble.pool_keys], 1)
        columns = [
            _sureness(image),
            _sureness(views),
            (image * views).sqrt().sum(1),  # Bhattacharyya coefficient: 1 where they agree
            (each.argmax(-1) == image.argmax(-1)[:, None]).double().mean(1),
            _entropy(each.mean(1)) - _entropy(each).mean(1),  # how far views are from one another
        ]
        if loss is not None:
            check_shape(loss, (len(bank),), "loss", "give one of each image of the bank")
            error = loss.to(image)
            known = error.where(error.isfinite(), torch.full_like(error, self._unknown_error))
            columns.append(known.clamp_min(1e-9).log())
        return torch.stack(columns, 1)


def _shares(counts: Tensor | None, images: int) -> Float[Tensor, " N"]:
    if counts is None:
        return torch.full((images,), 1 / images, dtype=torch.float64)
    check_shape(counts, (images,), "counts", "give one of each image of the bank")
    given = counts.detach().cpu().double()
    if not bool((given > 0).all() and given.isfinite().all()):
        got, remedy = f"{float(given.min()):g}", "leave out images that are not to count"
        fail("counts", expected="finite numbers above 0", got=got, remedy=remedy)
    return given / given.sum()


def _sureness(probs: Float[Tensor, "N Y"]) -> Float[Tensor, " N"]:
    """Log-odds of the answer."""
    best = probs.amax(1).clamp(1e-9, 1 - 1e-9)
    return best.log() - (-best).log1p()


def _entropy(probs: Float[Tensor, "*N Y"]) -> Float[Tensor, "*N"]:
    entropy: Tensor = torch.special.entr(probs).sum(-1)
    return entropy


@checked
def alpha_without_labels(
    ensemble: Ensemble, labelled: PredictionBank, unlabelled: PredictionBank
) -> float:
    """The weight that promises the highest accuracy on images without labels.

    At each alpha, the share of labelled images that are answered wrongly gives a threshold: that
    share of them is less sure. The accuracy that is promised for others is the share of them that
    is more sure than that. Of equal weights the smallest is taken.

    Args:
        ensemble: says what is pooled, and the grid of alphas; it need not be fitted.
        labelled: clean images with labels, of any split but the test split.
        unlabelled: images of which no label is looked at, such as those under a shift.

    Raises:
        ValueError: a labelled bank of a test split.

    Source: Garg et al. 2022, arXiv 2201.04234, with negative entropy as the score.
    """
    check_fit(labelled.split, "choose alpha")
    probs, labels = find_merge(ensemble.rule.merge).probs, labelled.known_labels()
    known, asked = ensemble.terms(labelled), ensemble.terms(unlabelled)
    promised = []
    for alpha in alpha_grid(ensemble.grid).tolist():
        own, other = probs(mix(*known, alpha)), probs(mix(*asked, alpha))
        wrong = float((own.argmax(1) != labels).double().mean())
        threshold = torch.quantile(-_entropy(own), wrong)
        promised.append(float((-_entropy(other) > threshold).double().mean()))
    best: int = max(range(len(promised)), key=promised.__getitem__)
    return float(alpha_grid(ensemble.grid)[best])
