"""Views as training data: what `train_classifier` may show in the place of a labelled image.

    labelled image -> invert -> latents -> PERTURB -> render -> train

Source: Chai et al. 2021, arXiv:2104.14551, equation 8: training on G(w*), or on G(w~) of a
perturbed latent w~, closes the gap between photos and what the generator renders of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_each
from genviews.generators.base import Generator
from genviews.perturb.base import Perturbation
from genviews.render import render
from genviews.rng import Rng
from genviews.signature import checked

__all__ = ["LatentViewSource", "ViewSource"]


@runtime_checkable
class ViewSource(Protocol):
    """One view of each of some training images, the same for the same row and epoch."""

    def __len__(self) -> int:
        """Number of training images that it has views of."""

    def batch(self, rows: Sequence[int], epoch: int) -> Float[Tensor, "n C H W"]:
        """Return a view of each row, in [-1, 1].

        Args:
            rows: indices of training images.
            epoch: counted from 0; a new one may give new views.
        """


@checked
@dataclass(eq=False)
class LatentViewSource:
    """Views rendered from the inverted latents of the training images.

    Without a perturbation these are the reconstructions, rendered once when they are first asked
    for. With one, every epoch has fresh views: image i draws from the stream "ID/EPOCH".

    Args:
        generator: renders the latents.
        latents: (N, L, D) of the training images, in their order.
        perturbation: None for reconstructions.
        seed: of the perturbations.
        ids: N names of the training images; None is their row numbers.
        labels: (N,) their classes, for a conditional generator: style-mixing then stays within the
            class, as in the authors' CIFAR10 training.
        batch_size: views rendered at once.

    Raises:
        ValueError: latents that are not this generator's, or other numbers of ids or labels.
    """

    generator: Generator
    latents: Float[Tensor, "N L D"]
    perturbation: Perturbation | None = None
    seed: int = 0
    _: KW_ONLY
    ids: Sequence[str] | None = None
    labels: Int[Tensor, " N"] | None = None
    batch_size: int = field(default=64, metadata={"identity": False})

    def __post_init__(self) -> None:
        self.generator.latent_spec.check(self.latents)
        if self.perturbation is not None:
            self.perturbation.check(self.generator)
        for what, given in (("ids", self.ids), ("labels", self.labels)):
            if given is not None:
                check_each(given, len(self), f"{what} of the latents", "latent")

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, rows: Sequence[int], epoch: int) -> Float[Tensor, "n C H W"]:
        """Return a view of each row, on the generator's device.

        Args:
            rows: indices of training images.
            epoch: counted from 0; changes perturbed views, not reconstructions.
        """
        rows = list(rows)
        if self.perturbation is None:
            return self._reconstructions[rows]
        names = rows if self.ids is None else [self.ids[row] for row in rows]
        streams = Rng(self.seed, "training views").streams(f"{name}/{epoch}" for name in names)
        labels = None if self.labels is None else self.labels[rows]
        views = self.perturbation(self.generator, self.latents[rows], 1, streams, labels)[:, 0]
        return render(self.generator, views, label=labels, batch_size=self.batch_size)

    @cached_property
    def _reconstructions(self) -> Tensor:
        size = self.batch_size
        return render(self.generator, self.latents, label=self.labels, batch_size=size)
