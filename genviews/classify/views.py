"""Views as training data: what `train_classifier` may show in the place of a labelled image.

    labelled image -> invert -> latents -> PERTURB -> render -> train

Source: Chai et al. 2021, arXiv:2104.14551, equation 8: training on G(w*), or on G(w~) of a
perturbed latent w~, closes the gap between photos and what the generator renders of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail
from genviews.generators.base import Generator
from genviews.identity import key
from genviews.perturb.base import Perturbation
from genviews.render import render
from genviews.rng import Rng

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

    def __init__(
        self,
        generator: Generator,
        latents: Float[Tensor, "N L D"],
        perturbation: Perturbation | None = None,
        seed: int = 0,
        *,
        ids: Sequence[str] | None = None,
        labels: Int[Tensor, " N"] | None = None,
        batch_size: int = 64,
    ) -> None:
        generator.latent_spec.check(latents)
        self._ids = [str(i) for i in range(len(latents))] if ids is None else list(ids)
        for what, count in (("ids", len(self._ids)), ("labels", _length(labels, len(latents)))):
            if count != len(latents):
                fail(
                    f"{what} of the latents", expected=len(latents), got=count, remedy="match them"
                )
        self._generator = generator
        self._latents = latents
        self._perturbation = perturbation
        self._rng = Rng(seed, "training views")
        self._labels = labels
        self._batch_size = batch_size
        self._reconstructions: Tensor | None = None

    def __len__(self) -> int:
        return len(self._latents)

    def __describe__(self) -> dict[str, object]:
        """All that the views depend on."""
        return {
            "generator": self._generator,
            "latents": self._latents,
            "perturbation": self._perturbation,
            "rng": self._rng,
            "ids": key(self._ids),
            "labels": self._labels,
        }

    def batch(self, rows: Sequence[int], epoch: int) -> Float[Tensor, "n C H W"]:
        """Return a view of each row, on the generator's device.

        Args:
            rows: indices of training images.
            epoch: counted from 0; changes perturbed views, not reconstructions.
        """
        rows = list(rows)
        if self._perturbation is None:
            return self._all_reconstructions()[rows]
        streams = self._rng.streams([f"{self._ids[i]}/{epoch}" for i in rows])
        labels = None if self._labels is None else self._labels[rows]
        latents = self._perturbation(self._generator, self._latents[rows], 1, streams, labels)
        return render(self._generator, latents[:, 0], label=labels, batch_size=self._batch_size)

    def _all_reconstructions(self) -> Tensor:
        if self._reconstructions is None:
            self._reconstructions = render(
                self._generator, self._latents, label=self._labels, batch_size=self._batch_size
            )
        return self._reconstructions


def _length(labels: Tensor | None, default: int) -> int:
    return default if labels is None else len(labels)
