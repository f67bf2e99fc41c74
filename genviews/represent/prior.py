"""The prior: where the anchors of the learning arrow come from.

    PRIOR -> sample -> latents -> perturb -> render -> augment -> encode -> representation

An anchor is a sample of the generator. What is drawn for sample id i depends on (seed, i) alone.

Source: Jahanian et al., "Generative models as a data source for multiview representation learning",
ICLR 2022, arXiv:2106.05258, sections 3.2 and 4, appendices A and C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_different, fail, lookup
from genviews.generators.base import Generator
from genviews.perturb.noise import STANDARD, Normal
from genviews.perturb.stylemix import Independent
from genviews.rng import Streams
from genviews.signature import checked

__all__ = ["Anchors", "Prior", "check_ids", "prior_of"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Anchors:
    """Samples of a generator.

    Args:
        z: (B, Z) prior latents.
        latents: (B, L, D), what they map to.
        labels: (B,) class condition; None for an unconditional generator.
        pseudo_labels: (B,) which pseudo-class; None where the prior has none. They name shards of
            an unconditional generator's samples and carry no meaning: never train on them.
    """

    z: Float[Tensor, "B Z"]
    latents: Float[Tensor, "B L D"]
    labels: Int[Tensor, " B"] | None = None
    pseudo_labels: Int[Tensor, " B"] | None = None


@dataclass(frozen=True, kw_only=True)
class Prior:
    """Samples anchors from any generator, black boxes included.

    Args:
        noise: of z. `Normal()` takes `generator.sample`; `Normal.fixed_bound(2.0)` is the truncated
            normal of the papers, `Normal.scaled_bound(0.4)` that of BigGAN's code at truncation
            0.4. With t = 2 and deviation 1 the two are the same.
        psi: truncation of the mapped latent towards its mean; 1 is none. What the paper calls a
            normal truncated at 0.9 for StyleGAN2 is psi = 0.9 in its code.
        cutoff: truncate rows [0, cutoff) only; None truncates every row.
        classes: class conditions to sample from; None is all of the generator's.
        per_class: None draws each sample's class, uniformly. A number n makes blocks: ids 0 to n-1
            are of the first class, the next n of the second, and round again after the last, so
            that the number of samples in each class is exact; 1 goes round the classes.
        pseudo_classes: of an unconditional generator, how many blocks of `per_class` ids bear a
            number of their own; 0 for none. The paper's cars have 893 of 1000.

    Raises:
        ValueError: a value out of range, or `pseudo_classes` without `per_class`.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> generator = ToyGenerator(num_classes=3)
        >>> prior = Prior(noise=Normal.fixed_bound(2.0), per_class=2)
        >>> anchors = prior.sample(generator, Rng(0).streams(range(6)))
        >>> anchors.latents.shape, anchors.labels.tolist()
        (torch.Size([6, 4, 4]), [0, 0, 1, 1, 2, 2])
    """

    noise: Normal = STANDARD
    psi: float = 1.0
    cutoff: int | None = None
    classes: tuple[int, ...] | None = None
    per_class: int | None = None
    pseudo_classes: int = 0

    def __post_init__(self) -> None:
        if self.per_class is not None:
            check_count(self.per_class, "per_class of Prior")
        check_count(self.pseudo_classes, "pseudo_classes of Prior", least=0)
        if self.pseudo_classes and (self.per_class is None or self.classes is not None):
            fail(
                "pseudo_classes of Prior",
                expected="per_class, and no classes",
                got=f"per_class={self.per_class}, classes={self.classes}",
                remedy="pass how many samples each pseudo-class has",
            )
        if self.classes is not None:
            check_count(len(self.classes), "number of classes of Prior")
            check_different(self.classes, "classes of Prior", "None is all of the generator's")

    @checked
    def sample(
        self, generator: Generator, streams: Streams, labels: Int[Tensor, " B"] | None = None
    ) -> Anchors:
        """Draw one anchor for each sample id, on the generator's device, without gradients.

        Args:
            generator: any generator.
            streams: one random stream for each sample, `Rng(seed).streams(ids)`.
            labels: classes to condition on, in the place of drawn ones.

        Raises:
            ValueError: what the generator cannot do: a class it does not have, truncation in W of
                one without W, pseudo-classes of a conditional one; or blocks of classes, and ids
                that are no integers.
        """
        self.check(generator)
        if labels is None:
            labels = self._labels(generator, streams)
        with torch.no_grad():
            z = self._z(generator, streams)
            label = None if labels is None else labels.to(generator.device)
            latents = generator.latents_of(z, label, psi=self.psi, cutoff=self.cutoff)
        pseudo = None
        if self.pseudo_classes:
            pseudo = (self._blocks(streams) % self.pseudo_classes).to(generator.device)
        return Anchors(z=z, latents=latents, labels=label, pseudo_labels=pseudo)

    def independent(self, layers: str = "all") -> Independent:
        """The perturbation that draws another sample of this prior, of the anchor's class."""
        return Independent(layers, noise=self.noise, psi=self.psi, cutoff=self.cutoff)

    @checked
    def check(self, generator: Generator) -> None:
        """Raise ValueError if `generator` cannot be sampled so."""
        generator.check_truncation(self.psi, self.cutoff)
        if self.psi != 1.0 and generator.latent_spec.space == "z":
            fail(
                "psi of Prior",
                expected="1, for a generator in z space",
                got=self.psi,
                remedy="truncate its noise, Prior(noise=Normal.fixed_bound(2.0)), or use "
                "z_space(generator, psi=...)",
            )
        count = generator.num_classes
        unknown = [c for c in self.classes or () if not 0 <= c < count]
        if unknown:
            fail(
                "classes of Prior",
                expected=f"class indices in [0, {count})" if count else "None",
                got=unknown,
                remedy="choose classes of the generator" if count else "it is unconditional",
            )
        if count:
            remedy = "per_class alone makes blocks of the classes of a conditional generator"
            check_count(
                self.pseudo_classes, "pseudo_classes of Prior", least=0, most=0, remedy=remedy
            )
        if self.per_class and not (count or self.pseudo_classes):
            fail(
                "per_class of Prior",
                expected="classes, or pseudo_classes for an unconditional generator",
                got="neither",
                remedy="pass pseudo_classes, or leave per_class out",
            )

    def _z(self, generator: Generator, streams: Streams) -> Float[Tensor, "B Z"]:
        if self.noise == STANDARD:
            return generator.sample(streams)
        z = self.noise.draw(streams.child("z"), 1, (generator.z_dim,))[:, 0]
        return generator.place(z)

    def _labels(self, generator: Generator, streams: Streams) -> Int[Tensor, " B"] | None:
        if not generator.num_classes:
            return None
        known = range(generator.num_classes) if self.classes is None else self.classes
        if self.per_class is None:
            # In float64 the product cannot round up to the number of classes.
            drawn = streams.child("label").uniform(1, (1,)).flatten().double()
            which = (drawn * len(known)).long()
        else:
            which = self._blocks(streams) % len(known)
        return torch.tensor(list(known), device="cpu")[which]

    def _blocks(self, streams: Streams) -> Int[Tensor, " B"]:
        """Which block of `per_class` ids each id is in."""
        assert self.per_class is not None
        return (
            torch.tensor(check_ids(streams.ids), dtype=torch.long, device="cpu") // self.per_class
        )


def prior_of(
    generator: Generator,
    *,
    psi: float = 1.0,
    classes: Sequence[str] = (),
    per_class: int | None = None,
) -> Prior:
    """Return the prior that words ask for.

    Args:
        generator: that is sampled.
        psi: truncation as the generator's own code has it: towards the mean latent, or, in z space,
            the deviation of a normal cut at two of them (BigGAN's).
        classes: names, or numbers; () for all.
        per_class: see `Prior`.

    Raises:
        ValueError: a class that the generator does not have, or what `Prior` refuses.

    Example:
        >>> from genviews import ToyGenerator
        >>> prior_of(ToyGenerator(num_classes=3), classes=["2"], psi=0.7).classes
        (2,)
    """
    names = [str(number) for number in range(generator.num_classes)]
    known = dict(zip(names, range(len(names)), strict=True))
    known |= {name: number for number, name in enumerate(generator.class_names)}
    if classes and not known:
        fail("classes", expected="none", got=", ".join(classes), remedy="it is unconditional")
    truncated = generator.latent_spec.space == "z" and psi != 1.0
    found = Prior(
        noise=Normal.scaled_bound(psi) if truncated else STANDARD,
        psi=1.0 if truncated else psi,
        classes=tuple(lookup(one, known, "class of the generator") for one in classes) or None,
        per_class=per_class,
    )
    found.check(generator)
    return found


def check_ids(ids: Sequence[int | str], count: int | None = None) -> tuple[int, ...]:
    """Return sample ids as a tuple of integers in [0, `count`); None sets no limit.

    Raises:
        ValueError: others, some of which are shown.
    """
    least, beyond = 0, math.inf if count is None else count
    # The truth values of a mask are integers to Python.
    whole = [i for i in ids if isinstance(i, Integral) and not isinstance(i, bool)]
    plain = [int(i) for i in whole if least <= int(i) < beyond]
    if len(plain) < len(ids):
        below = "" if count is None else f", below {count}"
        fail(
            "sample ids",
            expected=f"integers from 0{below}",
            got=", ".join([repr(i) for i in ids if i not in plain or isinstance(i, bool)][:5]),
            remedy="plan with as many unique samples as there are, numbered from 0",
        )
    return tuple(plain)
