"""What the pictures of a generator tell, sampled or reconstructed, and how inversions ended."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from genviews.checks import finite_rows
from genviews.gates.gate import GUESSING, LEVEL, MOST_OF, Gate, few_gate
from genviews.signature import checked
from genviews.types import Status
from genviews.user_code import GUIDE

__all__ = [
    "copies_gate",
    "finite_gate",
    "likeness_gate",
    "picture_gate",
    "range_gate",
    "redrawn_gate",
    "status_gates",
]

SPREAD = 0.05
"""Least spread of generated pictures, as a part of that of the images."""

ALIKE = 0.02
"""Spread of images, which lie in [-1, 1], below which they are themselves one picture."""


@checked
def finite_gate(images: Float[Tensor, "n C H W"], what: str = "samples of the generator") -> Gate:
    """Whether the pixels that a generator draws are numbers, but for a few pictures."""
    bad = int((~finite_rows(images)).sum())
    return few_gate(
        bad,
        len(images),
        name=f"numbers of {what}",
        found=f"{bad:,} of {len(images):,} {what} have pixels that are not finite.",
        remedy="The weights are damaged, or the generator overflows: load it again, or in float32.",
    )


def redrawn_gate(count: int, total: int, what: str) -> Gate | None:
    """Whether few views were not finite at first; None where none was.

    Those were drawn again, so the views are of what the generator can render: of a few that is
    nearly what was asked for, of many it is another distribution.

    Args:
        count: views that were drawn again.
        total: of all views that were rendered.
        what: the images are, for messages.
    """
    if not count:
        return None
    return few_gate(
        count,
        total,
        name=f"numbers of views of {what}",
        found=f"{count:,} of {total:,} generated views of {what} had pixels that are not finite, "
        "and were drawn again.",
        remedy="Load the generator's weights again, run it in float32, or take smaller strengths.",
        noted=True,
    )


def _spread(images: Tensor, masks: Tensor | None) -> float:
    """Standard deviation of a pixel over the images that know it, its mean over the pixels."""
    values, known = _known(images, masks)
    count = known.sum(0)
    apart = torch.where(known, values - values.sum(0) / count.clamp_min(1), 0.0)
    deviations = (apart.square().sum(0) / (count - 1).clamp_min(1)).sqrt()
    told = count > 1
    return float(deviations[told].mean()) if bool(told.any()) else 0.0


def _known(images: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
    """Values with unknown ones 0, and which are known: an unknown pixel may be no number."""
    known = torch.ones_like(images, dtype=torch.bool)
    if masks is not None:
        known = (masks > 0).expand_as(images)
    return torch.where(known, images.double(), 0.0), known


@checked
def picture_gate(
    made: Float[Tensor, "n C H W"],
    images: Float[Tensor, "m c h w"],
    what: str,
    remedy: str,
    *,
    masks: Float[Tensor, "m 1 h w"] | None = None,
    made_masks: Float[Tensor, "n 1 H W"] | None = None,
) -> Gate | None:
    """Whether pictures differ from one another as images do; None where the images are alike.

    Args:
        made: the pictures.
        images: the images.
        what: the pictures are, for messages.
        remedy: see `Gate`.
        masks: of the images, 0 where a pixel is not known and says nothing; None: all known.
        made_masks: of the pictures; those of their images, where they are reconstructions.
    """
    whole = finite_rows(made)
    count = int(whole.sum())
    if count < 4 or len(images) < 4:
        return None
    own = _spread(made[whole], None if made_masks is None else made_masks[whole])
    theirs = _spread(images, masks)
    if theirs < ALIKE:
        return None
    return Gate(
        name=f"differences of {what}",
        found=f"{count:,} {what} differ from one another by {100 * own / theirs:.2g} % of what "
        "the images differ by" + (": they are all one picture." if own < SPREAD * theirs else "."),
        threshold=f"at least {100 * SPREAD:.0f} % (standard deviation of a pixel, mean over them)",
        remedy=remedy,
        passed=own >= SPREAD * theirs,
    )


@checked
def likeness_gate(
    made: Float[Tensor, "n C H W"],
    images: Float[Tensor, "n C H W"],
    masks: Float[Tensor, "n 1 H W"] | None = None,
) -> Gate | None:
    """Whether reconstructions are of their images; None where that cannot be asked.

    Of all reconstructions its own is the nearest to an image, as a rule. Where an encoder, or
    latents, are of another generator or of other images, it is so by chance alone. It closes as
    `accuracy_gate` does: on what is not told from guessing, and surely below half of the way from
    there to certainty.

    Args:
        made: the reconstructions.
        images: theirs, in the same order.
        masks: of the images, 0 where a pixel is not known and not compared; None: all known.
    """
    whole = finite_rows(made)
    made, images = made[whole].double(), images[whole]
    masks = None if masks is None else masks[whole]
    count = len(made)
    if count < 4 or _spread(images, masks) < ALIKE:
        return None
    values, known = (part.flatten(1).double() for part in _known(images, masks))
    made = made.flatten(1)
    # Of each image (rows) the squared distance to each reconstruction, over the pixels it knows.
    apart = values.square().sum(1)[:, None] - 2 * values @ made.T + known @ made.square().T
    hits = int((apart.diagonal() <= apart.amin(1)).sum())
    half = 0.5 + 0.5 / count
    guessed = stats.binom.sf(hits - 1, count, 1 / count) >= GUESSING
    return Gate(
        name="likeness of reconstructions",
        found=f"For {hits:,} of {count:,} images their own reconstruction is the nearest of all.",
        threshold=f"more than by guessing, or not surely below {100 * half:.0f} % (exact test, "
        f"p < {LEVEL})",
        remedy="Check that encoder and latents are those of this generator, and that it draws such "
        "images; invert for more steps (--steps).",
        passed=not (guessed and stats.binom.cdf(hits, count, half) < LEVEL),
    )


def copies_gate(copies: int, count: int, what: str) -> Gate:
    """Whether the images of a split differ: tests and intervals count each as new evidence.

    Args:
        copies: images with the pixels of an earlier one.
        count: of images.
        what: they are, for messages.
    """
    return few_gate(
        copies,
        count,
        name=f"copies among {what}",
        found=f"{copies:,} of {count:,} {what} are copies of others among them.",
        remedy="Take each image once: a copy is no new evidence, but is counted as such.",
    )


@checked
def range_gate(
    made: Float[Tensor, "n C H W"],
    images: Float[Tensor, "m c h w"],
    masks: Float[Tensor, "m 1 h w"] | None = None,
) -> Gate | None:
    """Whether generator and images, which may be larger, have one range: [0, 1] is not [-1, 1].

    Args:
        made: pictures of the generator.
        images: the images.
        masks: of the images, 0 where a pixel is not known and not looked at; None: all known.
    """
    made = made[finite_rows(made)]
    shown = images if masks is None else images[(masks > 0).expand_as(images)]
    if not len(made) or not shown.numel():
        return None
    lows = [float(part.min()) for part in (made, shown)]
    dark = [float((part < -0.5).float().mean()) for part in (made, shown)]
    wrong = [lows[at] > -0.05 and dark[1 - at] > 0.02 for at in (0, 1)]
    which = "generator's pictures" if wrong[0] else "images"
    return Gate(
        name="value range of generator and images",
        found=f"The least value of the generator's pictures is {lows[0]:.2f}, of the images "
        f"{lows[1]:.2f}" + (f": the {which} look like [0, 1]." if any(wrong) else "."),
        threshold="both reach below -0.05, or neither has 2 % of its pixels below -0.5",
        remedy="Images must be in [-1, 1]; of a function say in which range it draws, range "
        f"(--generator-range), see {GUIDE}.",
        passed=not any(wrong),
    )


@checked
def status_gates(status: Int[Tensor, " N"], what: str = "images") -> list[Gate]:
    """How inversions ended: few may have failed, and most must be better than their start.

    Args:
        status: of each inversion, see `Status`.
        what: the images are, for messages.
    """
    count = len(status)
    failed, kept = (int((status == s).sum()) for s in (Status.FAILED, Status.START_KEPT))
    return [
        few_gate(
            failed,
            count,
            name=f"failed inversions of {what}",
            found=f"{failed:,} of {count:,} inversions of {what} failed: image, generator or loss "
            "gave numbers that are not finite.",
            remedy="Load the generator's weights again, or run it in float32.",
        ),
        Gate(
            name=f"starts of inversions of {what}",
            found=f"{kept:,} of {count:,} inversions of {what} kept their start: no step of the "
            "optimisation made them better.",
            threshold=f"at most {100 * MOST_OF:.0f} %",
            remedy="Start elsewhere, from random samples or an encoder (--encoder), or check that "
            "a gradient reaches the latents.",
            passed=kept <= MOST_OF * count,
        ),
    ]
