"""What the pictures of a generator tell, sampled or reconstructed, and how inversions ended."""

from __future__ import annotations

from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from genviews.gates.gate import LEVEL, Gate
from genviews.types import Status
from genviews.user_code import GUIDE

__all__ = ["finite_gate", "picture_gate", "range_gate", "redrawn_gate", "status_gates"]

SPREAD = 0.05
"""Least spread of generated pictures, as a part of that of the images."""

ALIKE = 0.02
"""Spread of images, which lie in [-1, 1], below which they are themselves one picture."""

FAILED, MOST_OF = 0.1, 0.5
"""Largest share of inversions that fail by the fault of single images; and what most are."""


def finite_gate(images: Float[Tensor, "n C H W"], what: str = "samples of the generator") -> Gate:
    """Whether every pixel that a generator draws is a number."""
    bad = int((~images.isfinite().flatten(1).all(1)).sum())
    return Gate(
        name=f"numbers of {what}",
        found=f"{bad:,} of {len(images):,} {what} have pixels that are not finite.",
        threshold="none",
        remedy="The weights are damaged, or the generator overflows: load it again, or in float32.",
        passed=bad == 0,
    )


def redrawn_gate(count: int, what: str) -> Gate | None:
    """Whether the generator drew every view of some images at once; None where it did."""
    if not count:
        return None
    return Gate(
        name="numbers of views of the generator",
        found=f"{count:,} views of {what} had pixels that are not finite, and were drawn again.",
        threshold="none",
        remedy="Load the generator's weights again, run it in float32, or take smaller strengths.",
        passed=False,
        decides=False,
    )


def picture_gate(
    made: Float[Tensor, "n C H W"],
    images: Float[Tensor, "m C H W"],
    what: str,
    remedy: str,
) -> Gate | None:
    """Whether pictures differ from one another as images do; None where the images are alike."""
    made = made[made.isfinite().flatten(1).all(1)]
    if len(made) < 4 or len(images) < 4:
        return None
    own, theirs = (float(part.double().std(0).mean()) for part in (made, images))
    if theirs < ALIKE:
        return None
    return Gate(
        name=f"differences of {what}",
        found=f"{len(made):,} {what} differ from one another by {100 * own / theirs:.2g} % of what "
        "the images differ by" + (": they are all one picture." if own < SPREAD * theirs else "."),
        threshold=f"at least {100 * SPREAD:.0f} % (standard deviation of a pixel, mean over them)",
        remedy=remedy,
        passed=own >= SPREAD * theirs,
    )


def range_gate(made: Float[Tensor, "n C H W"], images: Float[Tensor, "m C H W"]) -> Gate | None:
    """Whether generator and images have one range of values: [0, 1] is not [-1, 1]."""
    made = made[made.isfinite().flatten(1).all(1)]
    if not len(made) or not len(images):
        return None
    ends = [(float(part.min()), float(part.float().mean())) for part in (made, images)]
    dark = [float((part < -0.5).float().mean()) for part in (made, images)]
    wrong = [ends[at][0] > -0.05 and dark[1 - at] > 0.02 for at in (0, 1)]
    which = "generator's pictures" if wrong[0] else "images"
    return Gate(
        name="value range of generator and images",
        found=f"The least value of the generator's pictures is {ends[0][0]:.2f}, of the images "
        f"{ends[1][0]:.2f}" + (f": the {which} look like [0, 1]." if any(wrong) else "."),
        threshold="both reach below -0.05, or neither has 2 % of its pixels below -0.5",
        remedy="Images must be in [-1, 1]; of a function say in which range it draws, range "
        f"(--generator-range), see {GUIDE}.",
        passed=not any(wrong),
    )


def status_gates(status: Int[Tensor, " N"], what: str = "images") -> list[Gate]:
    """How inversions ended: few may have failed, and most must be better than their start.

    Args:
        status: of each inversion, see `Status`.
        what: the images are, for messages.
    """
    count = len(status)
    failed, kept = (int((status == s).sum()) for s in (Status.FAILED, Status.START_KEPT))
    many = failed > MOST_OF * count or stats.binom.sf(failed - 1, count, FAILED) < LEVEL
    return [
        Gate(
            name=f"failed inversions of {what}",
            found=f"{failed:,} of {count:,} inversions of {what} failed: image, generator or loss "
            "gave numbers that are not finite.",
            threshold=f"at most half, and not certainly more than {100 * FAILED:.0f} % (exact "
            f"test, p < {LEVEL})",
            remedy="Load the generator's weights again, or run it in float32.",
            passed=not many,
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
