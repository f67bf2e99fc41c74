"""How close generated images are to real ones, in any feature space: FID, KID, precision, recall.

    generator -> images -> features \
                                     FID, KID, precision, recall
    real images  ->      features   /

The numbers depend on the network, the number of images and how both were resized: compare only what
was measured alike. All sums are float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, check_finite, fail, finite_rows
from genviews.data.content import content_hash
from genviews.data.source import ImageSource, SourceBatch
from genviews.evaluate.extractor import check_features
from genviews.generators.base import Generator
from genviews.identity import key
from genviews.render import render
from genviews.rng import Rng
from genviews.signature import checked

__all__ = [
    "FidelityReport",
    "GeneratedSource",
    "measure_fidelity",
    "frechet_distance",
    "frechet_inception_distance",
    "kernel_inception_distance",
    "moments",
    "precision_recall_manifolds",
]

_ROWS = 4096
_ROUND_OFF = 1e-12  # of a squared distance, relative to the squared lengths


class GeneratedSource(ImageSource):
    """Images drawn from a generator, one for each id "000000", "000001", ...

    An image depends on the seed and its id alone. Values are clamped to [-1, 1]; an image that is
    not finite is left out, and listed. Classes of a conditional generator take turns.

    Args:
        generator: used as it is, on its device.
        num: images.
        seed: of the latents.
        psi: truncation towards the mean latent; 1 is none.
        batch_size: images rendered at once.

    Raises:
        ValueError: a count below 1.

    Example:
        >>> from genviews import ToyGenerator
        >>> GeneratedSource(ToyGenerator(), 3).read([2]).images.shape
        torch.Size([1, 1, 8, 8])
    """

    @checked
    def __init__(
        self,
        generator: Generator,
        num: int,
        *,
        seed: int = 0,
        psi: float = 1.0,
        batch_size: int = 64,
    ) -> None:
        generator.check_truncation(psi)
        self.generator, self.psi = generator, psi
        self.seed, self.batch_size = seed, check_count(batch_size, "batch_size")
        self.image_spec, self.name = generator.image_spec, type(generator).__name__
        self.ids = tuple(f"{i:06d}" for i in range(check_count(num, "images")))

    def read(self, rows: Sequence[int]) -> SourceBatch:
        """Render the images at `rows`."""
        ids = tuple(self.ids[row] for row in rows)
        classes, device = self.generator.num_classes, self.generator.device
        label = None
        if classes:
            label = torch.as_tensor(rows, dtype=torch.long, device=device) % classes
        with torch.no_grad():
            z = self.generator.sample(Rng(self.seed, "generated source").streams(ids))
            latents = self.generator.latents_of(z, label, psi=self.psi)
        images = render(
            self.generator, latents, label=label, batch_size=self.batch_size, out_device="cpu"
        )
        fine = finite_rows(images)
        skipped = [(ids[row], "is not finite") for row in (~fine).nonzero().flatten().tolist()]
        if len(skipped) > max(4, len(ids) / 2):
            fail(
                "images of the generator",
                expected="finite numbers",
                got=f"nan or inf in {len(skipped)} of {len(ids)}",
                remedy="mend the generator, or its weights; half precision may overflow",
            )
        images = images[fine].float().clamp(-1, 1)
        hashes = tuple(content_hash(image) for image in images)
        ids = tuple(ids[row] for row in fine.nonzero().flatten().tolist())
        return SourceBatch(images=images, ids=ids, hashes=hashes, skipped=tuple(skipped))

    def fingerprint(self) -> str:
        """A hash of the generator, the number of images, seed and psi."""
        return key(self.__describe__())

    def __describe__(self) -> dict[str, object]:
        """The generator, which is known by what it renders as well, number, seed and psi."""
        return {
            "generator": self.generator,
            "images": len(self),
            "seed": self.seed,
            "psi": self.psi,
        }


@dataclass(frozen=True, kw_only=True)
class FidelityReport:
    """How close a set of generated images is to a set of real ones.

    Args:
        fid: Fréchet distance; 0 is best. Biased upwards by few images.
        kid: unbiased squared kernel distance, mean over subsets; may be slightly negative.
        kid_deviation: standard deviation over the subsets.
        precision: share of generated images within the real manifold, in [0, 1].
        recall: share of real images within the generated manifold, in [0, 1].
        num_real: real images.
        num_generated: generated images.
    """

    fid: float
    kid: float
    kid_deviation: float
    precision: float
    recall: float
    num_real: int
    num_generated: int


@checked
def measure_fidelity(
    real: Float[Tensor, "N E"],
    generated: Float[Tensor, "M E"],
    *,
    neighbours: int = 3,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> FidelityReport:
    """Return all four measures of two sets of features.

    Args:
        real: features of real images.
        generated: features of generated images, by the same network.
        neighbours: see `precision_recall_manifolds`.
        subsets: see `kernel_inception_distance`.
        subset_size: see `kernel_inception_distance`.
        seed: of the subsets.

    Raises:
        ValueError: other widths, features that are not finite or all the same, or too few rows.

    Example:
        >>> same = torch.randn(50, 4)
        >>> report = measure_fidelity(same, same.flip(0), subsets=2)
        >>> abs(report.fid) < 1e-8, report.precision, report.recall
        (True, 1.0, 1.0)
    """
    kid, deviation = kernel_inception_distance(
        real, generated, subsets=subsets, subset_size=subset_size, seed=seed
    )
    precision, recall = precision_recall_manifolds(real, generated, neighbours=neighbours)
    return FidelityReport(
        fid=frechet_inception_distance(real, generated),
        kid=kid,
        kid_deviation=deviation,
        precision=precision,
        recall=recall,
        num_real=len(real),
        num_generated=len(generated),
    )


@checked
def frechet_inception_distance(
    real: Float[Tensor, "N E"], generated: Float[Tensor, "M E"]
) -> float:
    """Fréchet distance of Gaussians fitted to two sets of features.

    Args:
        real: features of real images.
        generated: features of generated images, by the same network.

    Raises:
        ValueError: as `measure_fidelity`.

    Source: Heusel et al. 2017, arXiv:1706.08500, Eq. 6; the network is the caller's.
    """
    _check(real, generated, 2)
    return frechet_distance(*moments(real), *moments(generated))


@checked
def frechet_distance(
    mean: Float[Tensor, " E"],
    covariance: Float[Tensor, "E E"],
    other_mean: Float[Tensor, " E"],
    other_covariance: Float[Tensor, "E E"],
) -> float:
    """|m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)).

    The trace of the root is the sum of the singular values of S^(1/2) S'^(1/2): no complex number
    appears, and with fewer images than features, where S is singular, no root is taken of
    round-off. What is left of that below 0 becomes 0.

    Args:
        mean: m.
        covariance: S, symmetric and positive semi-definite.
        other_mean: m'.
        other_covariance: S'.

    Source: Dowson and Landau 1982; Heusel et al. 2017, arXiv:1706.08500, Eq. 6.

    Example:
        >>> one = torch.eye(2).double()
        >>> round(frechet_distance(torch.zeros(2), one, torch.ones(2), 4 * one), 6)
        4.0
    """
    for given in (covariance, other_covariance):
        check_finite(given, "covariance", range(len(given)), "look at the features")
    a, b = covariance.double(), other_covariance.double()
    cross = torch.linalg.svdvals(_root(a) @ _root(b)).sum()
    shift = (mean.double() - other_mean.double()).square().sum()
    return max(0.0, float(shift + a.trace() + b.trace() - 2 * cross))


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


@checked
def moments(h: Float[Tensor, "N E"]) -> tuple[Float[Tensor, " E"], Float[Tensor, "E E"]]:
    """Return mean and covariance (divided by N - 1) of features, float64.

    Raises:
        ValueError: fewer than two rows, which do not vary.
    """
    check_count(len(h), "rows of features", least=2)
    mean = torch.stack([part.double().sum(0) for part in h.split(_ROWS)]).sum(0) / len(h)
    scatter = mean.new_zeros(len(mean), len(mean))
    for part in h.split(_ROWS):
        centred = part.double() - mean
        scatter += centred.T @ centred
    return mean, scatter / (len(h) - 1)


@checked
def kernel_inception_distance(
    real: Float[Tensor, "N E"],
    generated: Float[Tensor, "M E"],
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Unbiased squared maximum mean discrepancy with the kernel (x . y / E + 1)^3.

    Args:
        real: features of real images.
        generated: features of generated images, by the same network.
        subsets: drawn without replacement within a subset; the result is their mean.
        subset_size: rows of each set in a subset; None is 1000, or all of the smaller set.
        seed: of the draws.

    Returns:
        Mean over the subsets, and their standard deviation (divided by their number).

    Raises:
        ValueError: as `measure_fidelity`, or more rows in a subset than in a set.

    Source: Binkowski et al. 2018, arXiv:1801.01401, Eq. 4 and Sec. 4.
    """
    _check(real, generated, 2)
    smaller = min(len(real), len(generated))
    size = min(1000, smaller) if subset_size is None else subset_size
    check_count(size, "subset_size", least=2, most=smaller)
    found = []
    for index in range(check_count(subsets, "subsets")):
        draw = Rng(seed, "KID").child(str(index)).numpy()
        rows = [draw.choice(len(h), size, replace=False) for h in (real, generated)]
        found.append(_squared_mmd(real[rows[0]].double(), generated[rows[1]].double()))
    values = torch.tensor(found, dtype=torch.float64)
    return float(values.mean()), float(values.std(correction=0))


def _squared_mmd(x: Tensor, y: Tensor) -> float:
    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    n = len(x)
    within = sum(float(k.sum() - k.trace()) for k in (kernel(x, x), kernel(y, y)))
    return within / (n * (n - 1)) - 2 * float(kernel(x, y).mean())


@checked
def precision_recall_manifolds(
    real: Float[Tensor, "N E"], generated: Float[Tensor, "M E"], *, neighbours: int = 3
) -> tuple[float, float]:
    """Improved precision and recall.

    The manifold of a set is the union of balls around its rows, each reaching to the row's k-th
    nearest other row. Precision is the share of generated rows in the real manifold, recall the
    share of real rows in the generated one.

    Args:
        real: features of real images.
        generated: features of generated images, by the same network.
        neighbours: k; 3 as published.

    Returns:
        (precision, recall), each in [0, 1].

    Raises:
        ValueError: as `measure_fidelity`, or at most k rows in a set.

    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, Eq. 1 and 2, Algorithm 1.
    Differs: float64; a row's own distance is left out by its place, not as the smallest one.
    """
    check_count(neighbours, "neighbours")
    _check(real, generated, neighbours + 1)
    return (
        _inside(generated, real, _radii(real, neighbours)),
        _inside(real, generated, _radii(generated, neighbours)),
    )


def _radii(h: Tensor, neighbours: int) -> Tensor:
    """(N,) squared distance of each row to its k-th nearest other row."""
    found = []
    for start in range(0, len(h), _ROWS):
        rows = h[start : start + _ROWS]
        distances = _squared_distances(rows, h)
        place = torch.arange(len(rows), device=h.device)
        distances[place, place + start] = torch.inf
        found.append(distances.kthvalue(neighbours, dim=1).values)
    return torch.cat(found)


def _inside(rows: Tensor, centres: Tensor, radii: Tensor) -> float:
    """Share of the rows that lie in a ball."""
    hits = sum(
        int((_squared_distances(part, centres) <= radii).any(1).sum()) for part in rows.split(_ROWS)
    )
    return hits / len(rows)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) squared distances, float64; what is round-off is 0, so that equal rows are equal."""
    a, b = a.double(), b.double()
    centre = b.mean(0)  # small numbers cancel less
    a, b = a - centre, b - centre
    lengths = a.square().sum(1)[:, None] + b.square().sum(1)
    found = lengths - 2 * (a @ b.T)
    return torch.where(found <= _ROUND_OFF * lengths, 0.0, found)


def _check(real: Tensor, generated: Tensor, least: int) -> None:
    if real.shape[1:] != generated.shape[1:] or min(len(real), len(generated)) < least:
        fail(
            "features of real and generated images",
            expected=f"the same width, and at least {least} rows each",
            got=f"shapes {tuple(real.shape)} and {tuple(generated.shape)}",
            remedy="use one network, and more images",
        )
    check_features(real, "features of real images")
    check_features(generated, "features of generated images")
