"""What is fitted where the shift is not known: clean calibration images, and mildly shifted copies.

See the protocols of `genviews.studies.ensembling.under_shift`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.classify.task import Task
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.views import ViewSet
from genviews.perturb.base import Perturbation
from genviews.robustness.shifted import Shift
from genviews.studies.bench import Bench
from genviews.studies.under import under

__all__ = ["Asked", "Calibrated", "calibrate"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What classifiers say of calibration images and their generated views.

    Args:
        banks: of each task.
        loss: of the inversions.
    """

    banks: Mapping[str, PredictionBank]
    loss: Float[Tensor, " N"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Calibrated:
    """Calibration images that protocols without knowledge of the shift fit on.

    Args:
        clean: as they are.
        milds: name -> copies under a mild shift.
    """

    clean: Asked
    milds: Mapping[str, Asked]

    def joined(self, task: str, names: Sequence[str]) -> tuple[PredictionBank, Tensor]:
        """Clean images and copies under some mild shifts: their bank, and the losses."""
        banks, losses = [self.clean.banks[task]], [self.clean.loss]
        for name in names:
            own = self.milds[name]
            ids = tuple(f"{image} ({name})" for image in own.banks[task].ids)
            banks.append(replace(own.banks[task], ids=ids))
            losses.append(own.loss)
        return PredictionBank.concatenate(banks), torch.cat(losses)

    def counts(self, names: Sequence[str]) -> Tensor:
        """How often each image of `joined` counts: clean ones as often as all copies together."""
        copies = [torch.ones(len(self.milds[name].loss)) for name in names]
        clean = torch.full((len(self.clean.loss),), float(max(len(names), 1)))
        return torch.cat([clean, *copies])


def calibrate(
    bench: Bench,
    perturbations: Sequence[Perturbation],
    milds: Sequence[Shift],
    counts: Mapping[str, int],
    *,
    num_views: int,
    tasks: Sequence[Task] | None = None,
) -> Calibrated:
    """Ask about calibration images as they are, and under mild shifts.

    Args:
        bench: of clean images.
        perturbations: that make views.
        milds: the shifts.
        counts: of splits, how many images.
        num_views: of each perturbation.
        tasks: None takes all.
    """
    sets = [ViewSet(perturbation=one) for one in perturbations]

    def asked(shift: Shift | None) -> Asked:
        own = under(bench, shift, counts=counts)
        found = own.bank("calibration", sets, num_views=num_views, tasks=tasks)
        return Asked(banks=found, loss=own.inversions("calibration").loss_of(found.ids))

    return Calibrated(clean=asked(None), milds={one.name: asked(one) for one in milds})
