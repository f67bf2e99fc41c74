"""Corruptions as the augmentation of a training: what a classifier is to expect, it is shown.

    image -> augment -> CORRUPT, or not -> a step of training

The strongest cheap rival of all that is done at test time, against the kinds that it was shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import check_fraction, fail
from genviews.rng import Streams
from genviews.robustness.corruption import Corruption, corruption

__all__ = ["RandomCorruption"]


class RandomCorruption(PixelViews):
    """One of several corruptions for each view, each as likely, or none.

    For a training give it as `TrainConfig.augment`, or within a `Compose` behind other transforms:
    `train_classifier` draws anew for each image and epoch. Several severities of one kind are
    several corruptions.

    Args:
        corruptions: or their names, such as ("noise:1", "noise:3", "blur:2@imagenet-c").
        share: of the views that are corrupted; the others stay as they are.

    Raises:
        ValueError: no corruption, an unknown name, or a share outside [0, 1].

    Example:
        >>> from genviews.rng import Rng
        >>> views = RandomCorruption(["noise:3", "brightness:2"], share=0.5)
        >>> views(torch.zeros(2, 1, 8, 8), 3, Rng(0).streams(["a.png", "b.png"])).shape
        torch.Size([2, 3, 1, 8, 8])
    """

    name = "corrupted"

    def __init__(self, corruptions: Sequence[Corruption | str], share: float = 0.5) -> None:
        given = [corruptions] if isinstance(corruptions, str) else corruptions
        self.corruptions = tuple(corruption(c) if isinstance(c, str) else c for c in given)
        if not self.corruptions:
            remedy = "name some, such as noise:2"
            fail("corruptions of a training", expected="at least one", got="none", remedy=remedy)
        check_fraction(share, "share of corrupted views")
        self.share = share

    @property
    def is_random(self) -> bool:
        """Whether any view is corrupted."""
        return self.share > 0

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        if not self.share:
            return views
        drawn = streams.child("which").uniform(views.shape[1], ()) / self.share
        which = (drawn * len(self.corruptions)).floor()
        changed = views.clone(memory_format=torch.contiguous_format)
        for view in range(views.shape[1]):
            own = streams.from_view(streams.first_view + view)
            for place, one in enumerate(self.corruptions):
                rows = (which[:, view] == place).nonzero().flatten()
                if len(rows):
                    changed[rows, view] = one(views[rows, view], own[rows])
        return changed
