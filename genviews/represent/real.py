"""Real images as anchors, and mixes of real and generated ones: the comparison is one argument.

    images -> VIEWS -> augment -> encode -> representation

Source: Jahanian et al. 2022, arXiv:2106.05258, table 1 (real data) and appendix F (mixes).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from genviews.checks import check_count, check_fraction, fail, lookup
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource
from genviews.identity import key
from genviews.represent.prior import check_ids
from genviews.represent.views import AnchorViews, ViewBatch
from genviews.rng import Rng
from genviews.signature import checked

__all__ = ["MixedViews", "RealViews"]

Mix = Literal["fixed", "sampled"]


class RealViews(AnchorViews):
    """Real images as anchors; their positives are the image itself, told apart by pixel views.

    Args:
        images: with their labels, for objectives that use them; row i is sample i. A source is read
            as its images are needed, so that memory does not hold them; all must be readable.
        positives: K, at least 1.
        seed: of what is drawn for the views downstream, pixel views among it.
        device: of the views; None takes that of the images, and the CPU for a source.

    Raises:
        ValueError: no positive.

    Source: Jahanian et al. 2022, arXiv:2106.05258, table 1 ("real").

    Example:
        >>> images = ImageSet(images=torch.zeros(5, 1, 8, 8), ids=tuple("abcde"))
        >>> RealViews(images)([4, 0]).images.shape
        torch.Size([2, 2, 1, 8, 8])
    """

    @checked
    def __init__(
        self,
        images: ImageSet | ImageSource,
        *,
        positives: int = 1,
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        self._pixels = images.images if isinstance(images, ImageSet) else images
        here = self._pixels.device if isinstance(self._pixels, Tensor) else torch.device("cpu")
        self._device = here if device is None else device
        self.labels = None if images.labels is None else images.labels.to(self._device)
        self.positives, self.seed = check_count(positives, "positives"), seed
        self.image_spec, self.pool = images.image_spec, None

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def device(self) -> torch.device:
        """Of the views."""
        return self._device

    @cached_property
    def _content(self) -> str:
        return key(self._pixels, self.labels)

    def __describe__(self) -> dict[str, object]:
        """The images and their labels, and the settings."""
        return {"real": self._content, "positives": self.positives, "seed": self.seed}

    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        """Return the images, each 1 + K times; the same at every visit.

        Raises:
            ValueError: an id of no image.
        """
        ids = check_ids(ids, len(self))
        rows = torch.tensor(ids, dtype=torch.long, device=self.device)
        images = self._read(ids).to(self.device)
        return ViewBatch(
            ids=ids,
            visits=(visit,) * len(ids),
            images=images[:, None].expand(-1, 1 + self.positives, -1, -1, -1),
            z=images.new_zeros(len(ids), 0),  # nobody knows the latents of a real image
            labels=None if self.labels is None else self.labels[rows],
        )

    def _read(self, rows: tuple[int, ...]) -> Tensor:
        if isinstance(self._pixels, Tensor):
            return self._pixels[torch.tensor(rows, dtype=torch.long, device=self._pixels.device)]
        batch = self._pixels.read(rows)
        if batch.skipped:
            fail(
                "real images",
                expected="readable ones",
                got=f"{batch.skipped[0][0]!r}, which {batch.skipped[0][1]}",
                remedy="keep their pixels with `StoredPixels`, which leaves such images out",
            )
        return batch.images


class MixedViews(AnchorViews):
    """Real samples, a share of which is replaced by generated ones.

    Sample i is the real image i or the generator's sample i.

    Args:
        real: of the samples that stay.
        generated: of those that replace.
        share: of generated samples, in [0, 1].
        num_samples: N; ids are 0 to N - 1.
        mix: "fixed" replaces the same round(share N) samples for good, as the paper says; "sampled"
            tosses a coin at each visit, as its code does.
        seed: of the choice.

    Raises:
        ValueError: images of different shapes or numbers of positives, or a share out of range.

    Source: Jahanian et al. 2022, arXiv:2106.05258, appendix F (Fig. 9).

    Differs: the authors make pixel views of anchors alone; here generated positives may be
        perturbed as well.

    Example:
        >>> grey, white = (
        ...     ImageSet(images=torch.full((8, 1, 4, 4), level), ids=tuple("abcdefgh"))
        ...     for level in (0.0, 1.0)
        ... )
        >>> real, made = RealViews(grey), RealViews(white)
        >>> mixed = MixedViews(real, made, 0.25, 8)
        >>> float(mixed(range(8)).images[:, 0].mean())
        0.25
    """

    @checked
    def __init__(
        self,
        real: AnchorViews,
        generated: AnchorViews,
        share: float,
        num_samples: int,
        *,
        mix: Mix = "fixed",
        seed: int = 0,
    ) -> None:
        _check_pair(real, generated)
        self.real, self.generated = real, generated
        self.share = check_fraction(share, "share of generated samples")
        self.mix: str = lookup(mix, {"fixed": "fixed", "sampled": "sampled"}, "mix")
        self.num_samples, self.seed = check_count(num_samples, "num_samples"), seed
        self.image_spec, self.positives = real.image_spec, real.positives
        self.pool = None

    @property
    def device(self) -> torch.device:
        """The real images'."""
        return self.real.device

    def __describe__(self) -> dict[str, object]:
        """Both parts and how they are mixed."""
        names = ("real", "generated", "share", "num_samples", "mix", "seed")
        return {name: getattr(self, name) for name in names}

    def is_generated(self, ids: Sequence[int], visit: int = 0) -> Bool[Tensor, " B"]:
        """Which samples are generated ones, at a visit.

        Raises:
            ValueError: an id that is not below N.
        """
        ids = check_ids(ids, self.num_samples)
        if self.mix == "sampled":
            streams = Rng(self.seed, "mix").streams(ids).from_view(visit)
            return streams.uniform(1, (1,)).flatten() < self.share
        return self._replaced[torch.tensor(ids, dtype=torch.long, device="cpu")]

    @cached_property
    def _replaced(self) -> Tensor:
        order = Rng(self.seed, "mix").numpy().permutation(self.num_samples)
        replaced = torch.zeros(self.num_samples, dtype=torch.bool, device="cpu")
        replaced[torch.from_numpy(order[: round(self.share * self.num_samples)])] = True
        return replaced

    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        """Return the views of samples, with labels where all of these samples have one.

        Raises:
            ValueError: an id that is not below N.
        """
        which = self.is_generated(ids, visit)
        chosen = [(self.real, ~which), (self.generated, which)]
        rows = [(views, mask.nonzero().flatten().tolist()) for views, mask in chosen]
        parts = [views([ids[row] for row in some], visit) for views, some in rows if some]
        order = (
            torch.tensor([row for _, some in rows for row in some], device="cpu")
            .argsort()
            .to(self.device)
        )
        labels = [part.labels for part in parts if part.labels is not None]
        images = torch.cat([part.images.to(self.device) for part in parts])[order]
        return ViewBatch(
            ids=check_ids(ids),
            visits=(visit,) * len(ids),
            images=images,
            z=images.new_zeros(len(ids), 0),
            labels=torch.cat([some.to(self.device) for some in labels])[order]
            if len(labels) == len(parts)
            else None,
        )


def _check_pair(real: AnchorViews, generated: AnchorViews) -> None:
    ours = (real.image_spec.shape, real.positives)
    theirs = (generated.image_spec.shape, generated.positives)
    if ours != theirs:
        fail(
            "generated samples of a mix",
            expected=f"images {ours[0]} with {ours[1]} positives, as the real ones",
            got=f"{theirs[0]} with {theirs[1]}",
            remedy="resize the real images, or give both the same number of positives",
        )
