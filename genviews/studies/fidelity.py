"""Does a reconstruction keep the class, or only what the classifier thinks it is?

An inversion that is told to please a classifier reproduces its predictions, the wrong ones too.
Then accuracy on reconstructions rises towards accuracy on images, and nothing is gained: views that
repeat a mistake cannot correct it. So mistakes are counted apart: how many are copied, how many
corrected, and what a judge says that took no part in the inversion.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from genviews.checks import fail
from genviews.ensemble.significance import accuracy_interval

__all__ = ["Fidelity", "Share", "class_fidelity"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of some images: `count` of `total`, with its 95 % Wilson interval."""

    count: int
    total: int
    share: float
    interval: tuple[float, float]

    @classmethod
    def of(cls, chosen: Tensor) -> Share:
        """The share of true values; of no image it is 0, with the interval [0, 1]."""
        count, total = int(chosen.sum()), len(chosen)
        interval = accuracy_interval(count, total) if total else (0.0, 1.0)
        return cls(count=count, total=total, share=count / max(total, 1), interval=interval)


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """What became of a classifier's answers when images were replaced by reconstructions.

    Args:
        agreement: images with the same answer before and after, right or wrong.
        kept: right answers that stayed right.
        copied: wrong answers that stayed the same wrong answer.
        corrected: wrong answers that became right.
    """

    agreement: Share
    kept: Share
    copied: Share
    corrected: Share


def class_fidelity(
    on_images: Int[Tensor, " N"], on_reconstructions: Int[Tensor, " N"], labels: Int[Tensor, " N"]
) -> Fidelity:
    """Compare predicted classes before and after.

    Args:
        on_images: classes predicted for the images.
        on_reconstructions: for their reconstructions.
        labels: true classes.

    Raises:
        ValueError: different lengths.

    Example:
        >>> import torch
        >>> said, again = torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0])
        >>> found = class_fidelity(said, again, torch.tensor([0, 0, 0]))
        >>> found.agreement.share, found.copied.share, found.corrected.share
        (0.6666666666666666, 0.5, 0.5)
    """
    if not len(on_images) == len(on_reconstructions) == len(labels):
        fail(
            "predictions",
            expected="one for each label",
            got=f"{len(on_images)} and {len(on_reconstructions)} for {len(labels)}",
            remedy="judge the same images in the same order",
        )
    same, right = on_images == on_reconstructions, on_images == labels
    return Fidelity(
        agreement=Share.of(same),
        kept=Share.of(same[right]),
        copied=Share.of(same[~right]),
        corrected=Share.of((on_reconstructions == labels)[~right]),
    )
