"""What an objective is: a scalar from the projections of a batch of views, and what it needs.

views -> backbone -> h -> head -> u -> OBJECTIVE -> loss
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.represent.batches import gather_rows
from genviews.signature import checked

__all__ = ["Objective"]

# float32 rows that were divided by their length differ from 1 by some 1e-7, bfloat16 ones by 4e-3.
_UNIT_TOLERANCE = 1e-3


class Objective(ABC):
    """A training objective; call it on projections, or ask for its `terms`.

    An objective has no parameters: a head that it needs is the encoder's projection head. It
    gathers the batch of all processes first, and computes in float32 (or float64) also under
    autocast, so the result depends neither on the split of the batch nor on mixed precision.

    Attributes:
        unit: whether it takes projections of length 1; others take them as the head gives them.
        classes: whether it can be learnt from data with two classes or more alone.
        latents: whether it can be learnt from generated data alone, whose latents are known.
        single_view: whether it looks at one view at a time, so that a second one is work for
            nothing.
        positives: number of views that it takes beside an anchor; None for any.
        width: of the projections, which then come from a linear head; None leaves the head as it
            is.
    """

    unit: ClassVar[bool]
    classes: ClassVar[bool] = False
    latents: ClassVar[bool] = False
    single_view: ClassVar[bool] = False
    positives: ClassVar[int | None] = None

    @classmethod
    def for_data(cls, *, z_dim: int, num_classes: int) -> Objective:
        """Return the objective for data with latents `z_dim` wide and so many classes.

        Args:
            z_dim: Z, or 0 where latents are not known.
            num_classes: Y, or 0 for data without classes.
        """
        return cls()

    @property
    def width(self) -> int | None:
        """See `Attributes`."""
        return None

    @property
    def needs(self) -> tuple[str, ...]:
        """What it needs beside the projections: "labels", "z", both or nothing."""
        return ("labels",) if self.classes else ()

    @abstractmethod
    def _terms(self, u: Tensor, labels: Tensor | None, z: Tensor | None) -> dict[str, Tensor]:
        """The summands of the loss, from the checked (B, V, P) projections of the whole batch."""

    @checked
    def terms(
        self,
        u: Float[Tensor, "B V P"],
        labels: Int[Tensor, " B"] | None = None,
        z: Float[Tensor, "B *V Z"] | None = None,
    ) -> dict[str, Tensor]:
        """Return the summands of the loss by name, each with its weight.

        Args:
            u: projections of V views of each of B samples; with several processes, of this one.
            labels: class of each sample.
            z: prior latent of each view, (B, V, Z); (B, Z) if V is 1.

        Raises:
            ValueError: something it needs is missing or has another number of samples; projections
                of another `width`, or that are not of length 1 where they must be, or not finite.
        """
        check_count(len(u), "samples of a batch")
        given = {"labels": labels, "z": z}
        targets = {name: given[name] if name in self.needs else None for name in given}
        for name, value in targets.items():
            _check_target(type(self).__name__, name, value, name in self.needs, u.shape[0])
        u = gather_rows(u)
        gathered = {k: None if v is None else gather_rows(v) for k, v in targets.items()}
        with torch.autocast(u.device.type, enabled=False):
            u = u.to(torch.promote_types(u.dtype, torch.float32))
            _check_projections(u, unit=self.unit, width=self.width)
            return self._terms(u, gathered["labels"], gathered["z"])

    def __call__(
        self,
        u: Float[Tensor, "B V P"],
        labels: Int[Tensor, " B"] | None = None,
        z: Float[Tensor, "B *V Z"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss, the sum of `terms`."""
        return torch.stack(list(self.terms(u, labels, z).values())).sum()


def _check_target(
    objective: str, name: str, value: Tensor | None, needed: bool, batch: int
) -> None:
    if needed and (value is None or value.shape[0] != batch):
        fail(
            f"{name} for {objective}",
            expected=f"one for each of the {batch} samples",
            got="none" if value is None else f"{value.shape[0]}",
            remedy="let the batches give them"
            + ("; views perturbed after the mapping have none" if name == "z" else ""),
        )


def _check_projections(u: Tensor, *, unit: bool, width: int | None) -> None:
    if width not in (None, u.shape[-1]):
        fail(
            "projections",
            expected=f"{width} wide, as what is predicted",
            got=u.shape[-1],
            remedy='use an encoder with head="linear", normalize=False and this `projection`',
        )
    off = float((u.detach().norm(dim=-1) - 1).abs().max()) if unit else 0.0
    if not off <= _UNIT_TOLERANCE:  # also for NaN
        fail(
            "projections",
            expected="rows of length 1",
            got=f"lengths up to {off:.3g} away from it",
            remedy="use an encoder with normalize=True; if it is one, training has diverged",
        )
