"""The knobs of a test-time study, in one frozen object that is also its record in the result."""

from __future__ import annotations

from dataclasses import dataclass

from genviews.checks import check_count
from genviews.ensemble.weigh import Average, check_average

__all__ = ["StudySettings"]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """The knobs of a study; all but the classifiers and images.

    Args:
        num_views: K of each view set; 32 as in the reference code.
        scale_views: views with which candidate scales compete; 8 is enough to rank them (chosen by
            us).
        scale_images: calibration images on which they compete; None takes all.
        reference: the task that chooses scales and that others with the same labels are compared
            with; None is the first.
        scale_per_task: each task chooses its own scales, as in the paper; more views to make.
        average: "probs" (reference code) or "logits" (the paper's formula).
        per_latent: pixel transforms of each latent view in the combined row; the reference's
            `tensortransform` files have 4.
        gallery_images: images shown; 0 makes no gallery.
        gallery_views: views shown of each set.
        seed: of views, subsets and bootstrap.
        batch_size: images rendered and classified at once; changes no result.
    """

    num_views: int = 32
    scale_views: int = 8
    scale_images: int | None = None
    reference: str | None = None
    scale_per_task: bool = False
    average: Average = "probs"
    per_latent: int = 1
    gallery_images: int = 24
    gallery_views: int = 6
    seed: int = 0
    batch_size: int = 256

    def __post_init__(self) -> None:
        for name in ("num_views", "scale_views", "per_latent", "gallery_views", "batch_size"):
            check_count(getattr(self, name), name)
        check_count(self.gallery_images, "gallery_images", least=0)
        if self.scale_images is not None:
            check_count(self.scale_images, "scale_images")
        check_average(self.average)
