"""What a study chooses: scales and what is combined, before it looks at test; then what it shows.

Scales and combinations are chosen on the calibration split, by accuracy or log-loss; among equals
the first candidate wins, so candidates are listed from the mildest to the strongest. Of the test
images that are shown, fixed and broken ones come from the ensemble that did best on calibration;
the best and worst reconstructions show what the generator can and cannot say; typical ones keep it
honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.augment.presets import for_renders
from genviews.checks import check_different
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.combine import Evaluation, Method, score
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.views import ViewSet
from genviews.perturb.base import Perturbation
from genviews.signature import checked
from genviews.types import check_shape

__all__ = [
    "Chosen",
    "Combined",
    "Picks",
    "choose_combined",
    "group_candidates",
    "methods",
    "pick",
    "shared_budget",
]

_RULE = EnsembleRule()
SINGLE = Method(name="single image", group="image")


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Pixel and generated views in one ensemble, as many together as pixel views have alone.

    Args:
        pixels: pixel views of the image, which join it in the image term.
        generated: that pixel transform of generated views, or its partner (`for_renders`).
        image_size: predictions in the image term, that of the image itself among them.
    """

    pixels: ViewSet
    generated: ViewSet
    image_size: int


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The view sets of one classifier's rows.

    Args:
        pixels: pixel view sets.
        latents: row name -> the chosen latent view set.
        combined: what is combined, or None.
    """

    pixels: tuple[ViewSet, ...]
    latents: Mapping[str, ViewSet]
    combined: Combined | None = None

    @property
    def view_sets(self) -> tuple[ViewSet, ...]:
        """All of them."""
        both = () if self.combined is None else (self.combined.generated,)
        return (*self.pixels, *self.latents.values(), *both)


@checked
def group_candidates(candidates: Sequence[Perturbation]) -> dict[str, tuple[Perturbation, ...]]:
    """Row name such as "isotropic fine" -> its candidates, in the order given.

    Args:
        candidates: perturbations; those of one kind and layer range compete for one row.

    Raises:
        ValueError: the same perturbation twice.

    Example:
        >>> from genviews import Isotropic
        >>> list(group_candidates([Isotropic("fine", 0.1), Isotropic("fine", 0.2)]))
        ['isotropic fine']
    """
    check_different([p.name for p in candidates], "perturbations", "list each once")
    groups: dict[str, tuple[Perturbation, ...]] = {}
    for candidate in candidates:
        row = f"{candidate.kind} {candidate.layers_name}"
        groups[row] = (*groups.get(row, ()), candidate)
    return groups


@checked
def choose_combined(
    chosen: Chosen, bank: PredictionBank, *, rule: EnsembleRule = _RULE, per_latent: int = 1
) -> Combined | None:
    """Pair the best pixel views with the best latent views, both as calibration has it.

    Whether generated views add to pixel views is asked at equal budgets: half of the 1 + K
    predictions that pixel views have with the image go to the image term, the other half to
    generated views and the reconstruction. A sure flip has 2, which all join.

    Args:
        chosen: pixel and latent view sets.
        bank: calibration predictions of them all.
        rule: how predictions become one, and what is best.
        per_latent: pixel transforms that each latent view gets.

    Returns:
        What is combined; None without either kind.

    Source: Chai et al. 2021, the cars: 16 of the image and its crops and 16 of the generated views,
        against 32 of the image and its crops.
    """
    if not chosen.pixels or not chosen.latents:
        return None
    pixels, latent = (
        max(view_sets, key=lambda v: score(_method(v), bank, rule=rule))
        for view_sets in (chosen.pixels, chosen.latents.values())
    )
    image_size, num_views = shared_budget(bank, latent.name, pixels.name)
    generated = ViewSet(
        perturbation=latent.perturbation,
        pixels=None if pixels.pixels is None else for_renders(pixels.pixels),
        per_latent=per_latent,
        num_views=num_views,
    )
    return Combined(pixels=pixels, generated=generated, image_size=image_size)


def shared_budget(bank: PredictionBank, generated: str, pixels: str) -> tuple[int, int]:
    """How 1 + K predictions are shared, K being the number of generated views.

    Args:
        bank: with both.
        generated: key of the K generated views.
        pixels: key of pixel views.

    Returns:
        The members of the image term, the image among them, and the number of generated views
        beside the reconstruction.
    """
    budget = 1 + bank.get(generated).shape[1]
    image_size = min((budget + 1) // 2, 1 + bank.get(pixels).shape[1])
    return image_size, max(1, budget - image_size - 1)  # the reconstruction is a member, too


def methods(chosen: Chosen) -> list[Method]:
    """The rows of the table for one classifier, the single image first."""
    only = Method(
        name="reconstruction only", group="latent", views=("reconstruction",), weighing="none"
    )
    # Control: what the reconstruction brings without any perturbation.
    control = replace(only, name="image + reconstruction", weighing="alpha")
    rows = [SINGLE, *map(_method, chosen.pixels), only, control]
    rows += [_method(view_set, name) for name, view_set in chosen.latents.items()]
    if chosen.combined is not None:
        own, key = chosen.combined, chosen.combined.pixels.name
        combined = _method(own.generated, "combined")
        rows.append(replace(combined, image_views=(key,), image_size=own.image_size))
    return rows


def _method(view_set: ViewSet, name: str | None = None) -> Method:
    return Method(
        name=name or view_set.name,
        group=view_set.group,
        views=(view_set.name,),
        weighing="equal" if view_set.group == "pixel" else "alpha",
    )


@dataclass(frozen=True, kw_only=True)
class Picks:
    """Rows of the test images to show, and why each is shown."""

    rows: tuple[int, ...]
    kinds: tuple[str, ...]


@checked
def pick(single: Evaluation, ensemble: Evaluation, loss: Float[Tensor, " N"], count: int) -> Picks:
    """Choose up to `count` images: fixed, broke, best and worst reconstructions, then typical ones.

    A third is for fixed images (the largest rise of confidence in the ensemble's answer first), a
    sixth each for broken ones, best and worst reconstructions; what is left over goes to images
    whose loss is nearest the median. No image is shown twice, and nothing is drawn by chance.

    Args:
        single: the classifier on the image alone.
        ensemble: what it is compared with.
        loss: inversion loss of each test image; images whose loss is not finite are not shown.
        count: number of images wanted.
    """
    check_shape(loss, (len(single.proba),), "loss", "give one of each test image")
    loss = loss.cpu()  # predictions are there; inversions stay where they were made
    finite = torch.isfinite(loss)
    change = (ensemble.proba - single.proba).abs().amax(1)
    far = (loss - loss[finite].median()).abs() if bool(finite.any()) else loss
    sixth = max(1, count // 6)
    queues = (
        ("fixed", 2 * sixth, _ordered(-change, finite & ensemble.correct & ~single.correct)),
        ("broke", sixth, _ordered(-change, finite & single.correct & ~ensemble.correct)),
        ("best reconstruction", sixth, _ordered(loss, finite)),
        ("worst reconstruction", sixth, _ordered(-loss, finite)),
        ("typical", count, _ordered(far, finite)),
    )
    chosen: dict[int, str] = {}
    for kind, quota, rows in queues:
        fresh = [row for row in rows if row not in chosen]
        chosen.update(dict.fromkeys(fresh[: min(quota, count - len(chosen))], kind))
    return Picks(rows=tuple(chosen), kinds=tuple(chosen.values()))


def _ordered(key: Tensor, allowed: Tensor) -> Iterable[int]:
    """Rows that are allowed, smallest key first, equal keys in order."""
    order: list[int] = torch.argsort(key, stable=True).tolist()
    return [row for row in order if bool(allowed[row])]
