"""What may be set of a set of views that other people's trainers read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from genviews.checks import check_count, check_number, for_flag
from genviews.studies.options import Options

__all__ = ["BLOCK", "ViewSetOptions"]

BLOCK = 1000
"""Samples in a folder of a generator without classes, as in the paper's pseudo-classes."""


@dataclass(frozen=True, kw_only=True)
class ViewSetOptions(Options):
    """Which samples, which views of each, and how they are laid out.

    Args:
        samples: Anchors: samples of the generator.
        views: Latent views of each anchor, such as gaussian_all_0.20, steer_all_1.00,
            independent_all or stylemix_fine; none writes anchors alone.
        positives: Views of each anchor.
        space: Where latent views are made: z (before the mapping, as in the paper) or own (the
            generator's own latents, which style-mixing needs).
        psi: Truncation of the anchors: towards the mean latent, or, of a generator without a
            mapping, the deviation of a normal that is cut at two deviations.
        classes: Class of a conditional generator, its name or number. Repeat the flag. Without it:
            all.
        per_class: Anchors of each class in a row, round and round. Without it: each is of a class
            by chance.
        layout: folders of PNG files, one a class, or shards: tar files as WebDataset reads them.
        shard_size: Anchors in a tar file, and in what a killed run may lose.
        seed: Seed of samples and views.
    """

    samples: int = 1000
    views: str = "gaussian_all_0.20"
    positives: int = 1
    space: Literal["z", "own"] = "z"
    psi: float = 1.0
    classes: tuple[str, ...] = ()
    per_class: int | None = None
    layout: Literal["folders", "shards"] = "folders"
    shard_size: int = BLOCK
    seed: int = field(default=0, metadata={"least": 0})

    def check(self) -> None:
        """Raise ValueError for numbers out of range and an unknown kind of views."""
        from genviews.perturb.base import lacks_strength  # loads torch, which help does not need

        super().check()
        check_number(self.psi, "--psi")
        if self.per_class is not None:
            check_count(self.per_class, "--per-class")
        if self.views != "none":
            with for_flag("--views"):
                lacks_strength(self.views)

    def quick(self) -> ViewSetOptions:
        """Four samples."""
        return replace(self, samples=4)
