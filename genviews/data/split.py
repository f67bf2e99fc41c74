"""Splits: what data may be used for, as a property that data keeps.

    train          networks and probes are fitted to it
    calibration    alpha, strengths and cutoffs are chosen on it; also called val
    val            settings of probes are chosen on it
    trainval       both, joined, as PASCAL VOC has them
    test           results are reported on it, and nothing else
    predict        answers are asked for; it has no labels that count

Law 4 reads this property: nothing is ever fitted to, or chosen on, test or predict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.rng import Rng

__all__ = ["CALLED", "FITTED", "SplitName", "check_fit", "check_split", "stratified"]

SplitName = Literal["train", "calibration", "val", "trainval", "test", "predict"]

CALLED: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "calibration": "val",
    "test": "test",
    "testing": "test",
}
"""What folders and tables call a split -> its name."""

FITTED: tuple[SplitName, ...] = ("train", "calibration", "val", "trainval")
"""Splits that something may be fitted to or chosen on."""


def check_split(split: str, what: str = "split") -> SplitName:
    """Return `split`, one of the names above, or raise ValueError."""
    return lookup(split, {name: name for name in get_args(SplitName)}, what)


def check_fit(split: str | None, doing: str = "fit") -> None:
    """Raise ValueError unless something may be fitted to, or chosen on, this split (law 4).

    Of images of which nobody said what they are for (None), it may.

    Example:
        >>> check_fit("calibration")
        >>> check_fit("test")
        Traceback (most recent call last):
        ValueError: split to fit on: expected one of train, calibration, val, ...
    """
    if split is not None and split not in FITTED:
        fail(
            f"split to {doing} on",
            expected=f"one of {', '.join(FITTED)}",
            got=repr(split),
            remedy="keep data that results are reported on for the report",
        )


def stratified(
    ids: Sequence[str],
    labels: Int[Tensor, " N"] | None,
    fraction: float,
    seed: int,
    *,
    purpose: str = "calibration",
) -> Bool[Tensor, " N"]:
    """Return which images make up a fraction of each class, the same for any order of the images.

    Within each class the images are ordered by a random number that depends on the seed and the
    image's id alone, and the first `round(fraction * n)` are taken, at least one and never all. A
    class of one image gives none.

    Args:
        ids: of the images.
        labels: class indices; None is one class.
        fraction: strictly between 0 and 1.
        seed: another seed, another split.
        purpose: another purpose, another split.

    Raises:
        ValueError: a fraction out of range, or no class with two images.
    """
    if not 0.0 < fraction < 1.0:
        fail(
            f"{purpose} fraction",
            expected="a number strictly between 0 and 1",
            got=repr(fraction),
            remedy="use e.g. 0.5 to calibrate on half of the images",
        )
    draws = Rng(seed).child(purpose).streams(ids).uniform(1, ()).flatten().tolist()
    # The id breaks ties of the float32 draws, so that the order of the images never does.
    order = sorted(range(len(ids)), key=lambda i: (draws[i], ids[i]))
    classes = [0] * len(ids) if labels is None else labels.tolist()
    sizes = Counter(classes)
    left = {c: min(max(1, round(fraction * n)), n - 1) for c, n in sizes.items()}
    mask = torch.zeros(len(ids), dtype=torch.bool)
    for i in order:
        mask[i] = left[classes[i]] > 0
        left[classes[i]] -= 1
    if not mask.any():
        fail(
            "images to split",
            expected="at least two images in some class",
            got=f"{len(ids)} image(s), none with a companion of its class",
            remedy="add images of each class, or sort them into folders train, val and test",
        )
    return mask
