"""Weigh the views against the image: the ensemble rule and the choice of its one weight, alpha.

The last step of the test-time arrow. Equation 7 mixes two terms,

    y = (1 - alpha) * image term + alpha * mean over the views,

where alpha = 0 is the plain classifier and alpha = 1 the views alone. (Other ways to put views
together than their mean are in `genviews.ensemble.merge`.) Alpha is chosen on a named calibration
split, never on the test split; where several alphas do equally well, the smallest wins, so that the
views count only as far as they earn it.

The paper chooses by accuracy. Few calibration images can hardly tell accuracies apart: one image is
a third of a point on 300. Log-loss, the mean of -log of the probability of an image's class, sees
every image at every alpha; it asks for probabilities that can be believed, not for the right order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_different, check_fraction, fail
from genviews.data.split import check_fit
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import find_merge
from genviews.ensemble.rule import EnsembleRule, MergeName
from genviews.signature import checked
from genviews.types import check_classes

__all__ = [
    "Ensemble",
    "alpha_grid",
    "grid_accuracies",
    "grid_log_losses",
    "log_loss",
    "merged",
    "mix",
    "pixel_average",
    "pool",
]

_RULE = EnsembleRule()
BLOCK = 1 << 22  # numbers held at once while the grid is scored: 32 MiB in float64


class Ensemble:
    """Equation 7 with alpha fitted on a calibration bank.

    Args:
        views: key or keys of the view sets whose views are pooled with equal weight.
        image_views: None takes the image alone as the image term; keys of pixel views take the mean
            over the image and those views (the combined mode of the cars).
        image_size: members of the image term, the image first; None takes all.
        rule: how predictions become one, and what alpha is chosen by.
        include_reconstruction: the reconstruction is one more member of the pool of views, as in
            the reference code (33 = 1 + 32).
        grid: number of alphas tried, evenly spaced from 0 to 1; 21 gives steps of 0.05, as in the
            paper.
        alpha: weight of the views, where it is known; `fit` is then not needed, and refused.

    Attributes:
        alpha_: the weight of the views, given or chosen.
        curve_: (grid,) calibration accuracy at each alpha.
        accuracy_: calibration accuracy at `alpha_`.
        score_: what it was chosen by there, the more the better: `accuracy_`, or minus log-loss.
        split_: the name of the split that `fit` saw.

    Source: Chai et al. 2021, section 3.2, equation 7; supplementary section 7.3 for the grid.

    Differs: the reference code takes the last alpha of an unstable sort among equals; here the
        smallest.

    Example:
        >>> logits = {"image": torch.tensor([[[1., 0.]], [[1., 0.]]]),
        ...           "reconstruction": torch.tensor([[[2., 0.]], [[0., 2.]]])}
        >>> bank = PredictionBank(ids=("a", "b"), labels=torch.tensor([0, 1]), logits=logits,
        ...                       class_names=("cat", "dog"), split="calibration")
        >>> ensemble = Ensemble("reconstruction").fit(bank)
        >>> round(ensemble.alpha_, 2), ensemble.accuracy_
        (0.4, 1.0)
    """

    def __init__(
        self,
        views: str | Sequence[str],
        *,
        image_views: str | Sequence[str] | None = None,
        image_size: int | None = None,
        rule: EnsembleRule = _RULE,
        include_reconstruction: bool = True,
        grid: int = 21,
        alpha: float | None = None,
    ) -> None:
        self.views = _keys(views)
        self.image_views = _keys(image_views or ())
        self.image_size = None if image_size is None else check_count(image_size, "image_size")
        self.rule, self._merge = rule, find_merge(rule.merge)
        self.include_reconstruction = include_reconstruction
        self.grid = check_count(grid, "grid", least=2)
        self.alpha = alpha
        if alpha is not None:
            self.alpha_ = check_fraction(alpha, "alpha")
        if not self.views and not include_reconstruction:
            fail("views", expected="at least one key", got="none", remedy="name the views to pool")

    def __repr__(self) -> str:
        return (
            f"Ensemble(views={self.views!r}, image_views={self.image_views!r}, "
            f"rule={self.rule!r}, grid={self.grid}, "
            f"alpha={self.alpha}, image_size={self.image_size}, "
            f"include_reconstruction={self.include_reconstruction})"
        )

    @property
    def pool_keys(self) -> tuple[str, ...]:
        """The bank keys of the pool of views, the reconstruction first."""
        first = ("reconstruction",) if self.include_reconstruction else ()
        return tuple(dict.fromkeys((*first, *self.views)))

    @checked
    def fit(self, bank: PredictionBank) -> Ensemble:
        """Choose alpha: the smallest that does best on a calibration bank.

        Args:
            bank: labelled, of any split but the test split.

        Raises:
            ValueError: a bank of a test split, without labels, or without the keys; or alpha was
                given.
        """
        self.check_fitting()
        check_fit(bank.split, "choose alpha")
        terms, labels = self.terms(bank), bank.known_labels()
        scores = self.scores(*terms, labels)
        best = int(scores.argmax())  # the first of equals: the smallest alpha
        self.curve_: Tensor = self.curve(bank) if self.rule.by_log_loss else scores
        self.alpha_ = float(alpha_grid(self.grid)[best])
        self.accuracy_ = float(self.curve_[best])
        self.score_ = float(scores[best])
        self.split_ = bank.split
        return self

    def scores(
        self, image: Float[Tensor, "N Y"], views: Float[Tensor, "N Y"], labels: Int[Tensor, " N"]
    ) -> Float[Tensor, " G"]:
        """What alpha is chosen by at every alpha, the more the better: accuracy, or -log-loss.

        Args:
            image: the image term, see `terms`.
            views: the term of the views.
            labels: true classes.
        """
        alphas = alpha_grid(self.grid)
        if self.rule.by_log_loss:
            return -grid_log_losses(image, views, labels, alphas, merge=self.rule.merge)
        return grid_accuracies(image, views, labels, alphas)

    def check_fitting(self) -> None:
        """Raise ValueError where alpha was given, and so is not to be chosen."""
        if self.alpha is not None:
            expected, got = "no alpha, where it is to be chosen", f"alpha={self.alpha}"
            fail("fit", expected=expected, got=got, remedy="leave out alpha, or do not fit")

    @checked
    def predict_proba(self, bank: PredictionBank) -> Float[Tensor, "N Y"]:
        """Class probabilities of the ensemble, float64.

        Raises:
            ValueError: before `fit`.
        """
        alpha = self._fitted_alpha()
        return self._merge.probs(mix(*self.terms(bank), alpha))

    @checked
    def predict(self, bank: PredictionBank) -> Int[Tensor, " N"]:
        """The most probable class of each image.

        Raises:
            ValueError: before `fit`.
        """
        return mix(*self.terms(bank), self._fitted_alpha()).argmax(-1)

    @checked
    def curve(self, bank: PredictionBank) -> Float[Tensor, " G"]:
        """Accuracy at every alpha of the grid; needs no fit and changes nothing."""
        return grid_accuracies(*self.terms(bank), bank.known_labels(), alpha_grid(self.grid))

    @checked
    def terms(self, bank: PredictionBank) -> tuple[Float[Tensor, "N Y"], Float[Tensor, "N Y"]]:
        """The image term and the views' mean (or what else merges them) of equation 7, float64."""
        return self._merge.join(self.image_pool(bank)), self._merge.join(self.view_pool(bank))

    @checked
    def image_pool(self, bank: PredictionBank) -> Float[Tensor, "N I Y"]:
        """The members of the image term: the image, then its pixel views if any."""
        return pool(bank, ("image", *self.image_views), self.rule.merge)[:, : self.image_size]

    @checked
    def view_pool(self, bank: PredictionBank) -> Float[Tensor, "N M Y"]:
        """The members of the pool of views: the reconstruction, then the views in order."""
        return pool(bank, self.pool_keys, self.rule.merge)

    def _fitted_alpha(self) -> float:
        try:
            return self.alpha_
        except AttributeError:
            fail(
                "ensemble",
                expected="a fitted alpha",
                got="none yet",
                remedy="call `fit` with the bank of a calibration split first",
            )


@checked
def pixel_average(
    bank: PredictionBank, keys: str | Sequence[str], merge: MergeName = "mean"
) -> Float[Tensor, "N Y"]:
    """Class probabilities of ordinary test-time augmentation: the equal-weight mean with the image.

    Args:
        bank: predictions of the image and its pixel views.
        keys: the pixel view sets to merge with the image; none gives the plain classifier.
        merge: how they become one, see `genviews.ensemble.merge`.

    Source: Chai et al. 2021, the colour and crop baselines: 32 = original + 31 views, no alpha.
    """
    return merged(bank, ("image", *_keys(keys)), merge)


@checked
def merged(bank: PredictionBank, keys: Sequence[str], merge: MergeName) -> Float[Tensor, "N Y"]:
    """Class probabilities of all predictions of some keys, each with equal weight."""
    rule = find_merge(merge)
    return rule.probs(rule.join(pool(bank, keys, merge)))


@checked
def pool(bank: PredictionBank, keys: Sequence[str], merge: MergeName) -> Float[Tensor, "N M Y"]:
    """All predictions of some keys side by side, as the values that a merge joins; float64."""
    values = find_merge(merge).values
    return torch.cat([values(bank.get(key).double()) for key in keys], 1)


@checked
def mix(
    image: Float[Tensor, "N Y"], views: Float[Tensor, "N Y"], alpha: float
) -> Float[Tensor, "N Y"]:
    """Equation 7 at one alpha; exactly the image term at 0 and the views' mean at 1."""
    return (1.0 - alpha) * image + alpha * views


def alpha_grid(size: int = 21) -> Float[Tensor, " G"]:
    """The alphas that are tried, 0 to 1 in even steps, float64."""
    return torch.arange(size, dtype=torch.float64) / (size - 1)


@checked
def grid_accuracies(
    image: Float[Tensor, "N Y"],
    views: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    alphas: Float[Tensor, " G"],
) -> Float[Tensor, " G"]:
    """Accuracy of equation 7 at every alpha, for all at once in blocks of images."""
    check_count(len(alphas), "number of alphas")
    check_count(len(image), "number of images")
    step = max(1, BLOCK // (len(alphas) * image.shape[1]))
    weight = alphas[:, None, None]
    hits = torch.zeros(len(alphas), dtype=torch.long)
    for start in range(0, len(image), step):
        rows = slice(start, start + step)
        mixed = (1.0 - weight) * image[rows] + weight * views[rows]
        hits += (mixed.argmax(-1) == labels[rows]).sum(1)
    return hits.double() / len(image)


@checked
def grid_log_losses(
    image: Float[Tensor, "N Y"],
    views: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    alphas: Float[Tensor, " G"],
    *,
    merge: MergeName = "mean",
) -> Float[Tensor, " G"]:
    """Log-loss of equation 7 at every alpha, see `log_loss`."""
    check_count(len(alphas), "number of alphas")
    check_classes(labels, image.shape[1], "labels")
    probs = find_merge(merge).probs
    return torch.stack([log_loss(probs(mix(image, views, float(a))), labels) for a in alphas])


def log_loss(
    probs: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    shares: Float[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """Mean of -log of the probability of each label, in nats; 0 counts as the smallest float.

    Args:
        probs: of the classes.
        labels: class indices.
        shares: of each image in the mean, with a sum of 1; None is the same for all.
    """
    check_count(len(labels), "number of images")
    least = torch.finfo(torch.float64).tiny
    losses = -probs.gather(1, labels[:, None])[:, 0].double().clamp_min(least).log()
    return losses.mean() if shares is None else (losses * shares).sum()


def _keys(keys: str | Sequence[str]) -> tuple[str, ...]:
    found = (keys,) if isinstance(keys, str) else tuple(keys)
    check_different(found, "views", "a key pools all of its views")
    return found
