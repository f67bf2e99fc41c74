"""PCA directions: the selected rows move together along one principal direction of w.

`PCAStatistics` holds the directions of a generator and is measured once; `PCA` is the perturbation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from genviews.checks import check_count, check_given, check_number, fail, lookup
from genviews.described import described_by
from genviews.files import load_arrays, load_header, load_tensors, save_tensors
from genviews.generators.base import Generator
from genviews.identity import Identity
from genviews.perturb.base import Parts, Perturbation, Rows, format_strength, identity_of
from genviews.rng import Rng, Streams
from genviews.signature import checked
from genviews.types import Label, check_floats, check_shape, check_tensor

__all__ = ["PCA", "PCAStatistics"]

Scaling = Literal["stddev", "eigenvalue", "none"]
_SCALINGS: dict[str, Scaling] = {"pca-eigenvalue": "eigenvalue", "pca-none": "none"}


@checked
@dataclass(frozen=True, eq=False)
class PCAStatistics:
    """Principal directions of a generator's w and the standard deviation along each, largest first.

    Args:
        components: (n, D) unit directions v_d.
        stddev: (n,) standard deviation of w along each.
        num_samples: how many w were measured; None when unknown.
        seed: of these samples; None when unknown.
        generator: that they were measured on, as `identity_of` knows it; None when unknown.

    Raises:
        ValueError: the shapes do not fit, a value is not finite or a stddev is negative.
    """

    components: Float[Tensor, "n D"]
    stddev: Float[Tensor, " n"]
    num_samples: int | None = None
    seed: int | None = None
    generator: Identity | None = field(default=None, metadata={"identity": False}, kw_only=True)

    def __post_init__(self) -> None:
        remedy = "take them from `PCAStatistics.measure` or `PCAStatistics.load`"
        for what, numbers in (("components", self.components), ("stddev", self.stddev)):
            check_tensor(numbers, f"{what} of PCA statistics", floats=True)
        check_shape(self.components, ("n", "D"), "components of PCA statistics", remedy)
        count = check_count(len(self.components), "number of PCA components")
        check_shape(self.stddev, (count,), "stddev of PCA statistics", remedy)
        finite = self.components.isfinite().all() and self.stddev.isfinite().all()
        if not (finite and (self.stddev >= 0).all()):
            fail(
                "PCA statistics",
                expected="finite components and finite stddev of at least 0",
                got="others",
                remedy="measure them again with `PCAStatistics.measure`",
            )

    def __repr__(self) -> str:
        n, dim = self.components.shape
        return f"PCAStatistics(n={n}, D={dim}, num_samples={self.num_samples}, seed={self.seed})"

    def check(self, generator: Generator) -> None:
        """Raise ValueError unless these statistics are of w of `generator`, as far as is known."""
        remedy = "measure them on this generator with `PCAStatistics.measure`"
        check_shape(self.components, ("n", generator.latent_spec.dim), "PCA statistics", remedy)
        if self.generator is not None:
            identity_of(generator).check(self.generator, "PCA statistics", remedy)

    @classmethod
    @checked
    def measure(
        cls,
        generator: Generator,
        num_samples: int = 100_000,
        num_components: int = 20,
        seed: int = 0,
        *,
        batch_size: int = 4096,
    ) -> PCAStatistics:
        """Measure the principal directions of w on samples of a generator.

        w is row 0 of an untruncated mapping, before anything differs between rows; for a
        conditional generator the samples go round the classes. Mean and covariance (n - 1 in the
        denominator, as in scikit-learn) are summed in float64 on the CPU, a batch at a time; the
        samples are never held together, and those that are not finite are left out. A component's
        largest entry is positive, so that its sign is the same each time.

        Args:
            generator: any generator.
            num_samples: chosen by us; at D = 512 the stddevs are then good to about 0.3 %.
            num_components: n, the paper's 20; at most D are returned.
            seed: of the samples.
            batch_size: samples mapped at once; changes round-off only.

        Returns:
            Statistics in float32 on the CPU.

        Raises:
            ValueError: a count is too small.

        Source:
            Härkönen, Hertzmann, Lehtinen, Paris, "GANSpace", NeurIPS 2020, arXiv:2004.02546 (PCA of
            w); used by Chai et al. 2021, arXiv:2104.14551, Eq. 6.

        Differs:
            An exact covariance in place of GANSpace's incremental PCA of 300,000 samples. Chai et
            al. released their statistics but neither the script nor the number of samples.

        Example:
            >>> from genviews import PCAStatistics, ToyGenerator
            >>> PCAStatistics.measure(ToyGenerator(), num_samples=1000)
            PCAStatistics(n=4, D=4, num_samples=1000, seed=0)
        """
        check_count(num_samples, "num_samples", least=2)
        check_count(num_components, "num_components")
        check_count(batch_size, "batch_size")
        covariance = _covariance(generator, num_samples, Rng(seed, "pca statistics"), batch_size)
        variances, vectors = torch.linalg.eigh(covariance)
        components = vectors.T.flip(0)[:num_components]
        largest = components.gather(1, components.abs().argmax(1, keepdim=True))
        components = components * largest.sign()
        stddev = variances.flip(0)[:num_components].clamp(min=0).sqrt()
        known = identity_of(generator)
        return cls(components.float(), stddev.float(), num_samples, seed, generator=known)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file; one that exists is replaced only by a complete one."""
        facts = {"num_samples": self.num_samples, "seed": self.seed}
        text = {key: str(value) for key, value in facts.items() if value is not None}
        known, stated = ({}, {}) if self.generator is None else self.generator.pack()
        tensors = {"components": self.components, "stddev": self.stddev}
        save_tensors(path, {**tensors, **known}, {**text, **stated})

    @classmethod
    def load(cls, path: str | Path) -> PCAStatistics:
        """Read a file that `save` wrote, or an .npz with the arrays `components` and `stddev`.

        The .npz is the format of the statistics that Chai et al. published. Nothing in either is
        executed.

        Raises:
            FileNotFoundError: no such file.
            ValueError: an array is missing, or the shapes do not fit.
        """
        path = Path(path)
        what, facts = f"PCA statistics in {path.name}", dict[str, str]()
        if path.suffix == ".npz":
            tensors = {key: array.float() for key, array in load_arrays(path, what).items()}
        else:
            tensors, facts = load_header(path, "PCA statistics in")
        missing = {"components", "stddev"} - set(tensors)
        if missing:
            fail(
                what,
                expected="the arrays components and stddev",
                got=", ".join(sorted(tensors)) or "none",
                remedy="write the file with `PCAStatistics.save`",
            )
        if path.suffix != ".npz":
            tensors = load_tensors(path, what="PCA statistics in")[0]
        with described_by(what, "statistics that `PCAStatistics.save` wrote"):
            known = {key: int(facts[key]) for key in ("num_samples", "seed") if key in facts}
            for key in ("components", "stddev"):
                check_floats(tensors[key], key)
            of = Identity.unpack(tensors, facts)
            return cls(tensors["components"], tensors["stddev"], generator=of, **known)


def _covariance(
    generator: Generator, num_samples: int, rng: Rng, batch_size: int
) -> Float64[Tensor, "D D"]:
    """Covariance of w from its first and second moments, summed over batches."""
    dim, count = generator.latent_spec.dim, 0
    first = torch.zeros(dim, dtype=torch.float64, device="cpu")
    second = torch.zeros(dim, dim, dtype=torch.float64, device="cpu")
    for start in range(0, num_samples, batch_size):
        ids = range(start, min(start + batch_size, num_samples))
        w = _sample_w(generator, rng, ids)
        first += w.sum(0)
        second += w.T @ w
        count += len(w)
    check_number(count, "finite samples of w", least=2, remedy="mend the generator's mapping")
    return (second - torch.outer(first, first) / count) / (count - 1)


def _sample_w(generator: Generator, rng: Rng, ids: range) -> Float64[Tensor, "n D"]:
    with torch.no_grad():
        z = generator.sample(rng.streams(ids))
        latents = generator.latents_of(z, generator.labels_in_turn(ids))
    w = latents[:, 0].cpu().double()
    return w[w.isfinite().all(1)]


@checked
@dataclass(frozen=True)
class PCA(Perturbation):
    """Moves the selected rows along one principal direction, drawn anew for each view.

        w' = w + beta * s_d * v_d,    d uniform on 0 .. n-1,    beta ~ U(-sigma, sigma)

    The same vector is added to every selected row.

    Args:
        layers: rows to edit, see `Perturbation`.
        sigma: largest step in units of s_d, at least 0. Published values: 0.5 to 1 (cats), 1 to 3
            (cars, faces): `genviews.domains.DOMAINS`.
        statistics: the generator's directions, from `PCAStatistics.measure` or
            `PCAStatistics.load`.
        scaling: what s_d is: "stddev", the standard deviation along v_d, as in the published code;
            "eigenvalue", the variance, as the paper's text reads; "none", 1.
        num_components: n, the first components to draw from (the paper's 20); all of them when
            fewer are known.

    Raises:
        ValueError: sigma is negative or not finite, unknown scaling, or num_components < 1;
            when called, statistics of another latent width than the generator's.

    Source:
        Chai et al., "Ensembling with Deep Generative Views", CVPR 2021, arXiv:2104.14551, Eq. 6.

    Differs:
        Eq. 6 multiplies by the eigenvalue; the published code by the standard deviation, our
        default.

    Example:
        >>> from genviews import PCA, PCAStatistics, Rng, ToyGenerator
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(2))
        >>> perturb = PCA("coarse", 2.0, PCAStatistics.measure(generator, num_samples=1000))
        >>> perturb(generator, generator.map(generator.sample(streams)), 8, streams).shape
        torch.Size([2, 8, 4, 4])
        >>> perturb.name
        'pca_coarse_2.00'
    """

    sigma: float
    statistics: PCAStatistics
    scaling: Scaling = "stddev"
    num_components: int = 20

    kind: ClassVar[str] = "pca"
    strength_field: ClassVar[str] = "sigma"

    @classmethod
    def of_kind(cls, kind: str, layers: str, strength: float, parts: Parts) -> PCA:
        """Make "pca" (in stddevs), "pca-eigenvalue" or "pca-none", along the parts' directions.

        Raises:
            ValueError: the generator has no directions.
        """
        wanted = "a generator with principal directions"
        remedy = f"in z space all are alike: take isotropic_{layers}_{format_strength(strength)}"
        found = check_given(parts.directions, "pca perturbation", wanted, remedy)
        return cls(layers, strength, found, _SCALINGS.get(kind, "stddev"))

    def __post_init__(self) -> None:
        super().__post_init__()
        lookup(self.scaling, {name: name for name in get_args(Scaling)}, "scaling of PCA")
        check_count(self.num_components, "num_components of PCA")

    def check(self, generator: Generator) -> None:
        """See `Perturbation`: the statistics must be of the generator."""
        super().check(generator)
        self.statistics.check(generator)

    @property
    def variant(self) -> str:
        """As in "pca"; another scaling is named, "pca-eigenvalue"."""
        return self.kind if self.scaling == "stddev" else f"{self.kind}-{self.scaling}"

    def edit(self, generator: Generator, rows: Rows, streams: Streams, label: Label | None) -> Rows:
        """The rows plus one step, the same for every row of a view."""
        steps = self._steps()
        remedy = "measure them on this generator with `PCAStatistics.measure`"
        check_shape(steps, ("n", rows.shape[-1]), "directions of PCA", remedy)
        # In float64 the product below cannot round up to n, an index past the end.
        which, size = streams.uniform(rows.shape[1], (2,)).double().unbind(-1)
        beta = self.sigma * (2.0 * size - 1.0)
        delta = beta[..., None] * steps[(which * len(steps)).long()]
        return rows + delta[:, :, None].to(rows)

    def _steps(self) -> Float64[Tensor, "n D"]:
        """s_d * v_d for each component that may be drawn."""
        n = min(self.num_components, len(self.statistics.components))
        components = self.statistics.components[:n].cpu().double()
        stddev = self.statistics.stddev[:n].cpu().double()
        power = {"stddev": 1.0, "eigenvalue": 2.0, "none": 0.0}[self.scaling]
        return stddev[:, None] ** power * components
