"""How to invert: a start, an objective and an optimizer, and when an image is done.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

Said once, for any images; `genviews.invert.optimize` carries it out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

from torch import nn

from genviews.checks import check_count, fail
from genviews.invert.encoder import InversionEncoder
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import Objective
from genviews.invert.optimizer import Optimizer
from genviews.invert.start import MeanStart, Start

__all__ = ["Inverter"]


@dataclass(frozen=True, kw_only=True)
class Inverter:
    """How to invert.

    Args:
        start: where each image starts; with several candidates, the best result is kept.
        objective: what is minimised.
        optimizer: how; `LBFGS()`, `Adam()`, or `LBFGS.reference()` to compare with the reference.
        steps: most optimisation steps for an image; 0 keeps the start.
        patience: an image has converged when its best loss has not fallen by `tolerance` (as a
            fraction) within this many steps.
        tolerance: see `patience`; 0 uses every step.
        smoothing: delta of sqrt(e^2 + delta^2) - delta, which stands for |e| in the L1 term while
            descending, in units of [-1, 1] images; 0 descends on the kinks. Several are stages: an
            image goes on with the next, and its curvature memory, when its best loss has not fallen
            by 5 `tolerance` within half of `patience` steps, or when the optimizer is stuck. The
            default (2.5 and 0.6 grey levels) was chosen by us on fashion32 `val`. Losses and best
            iterates are exact.
        snapshots: steps after which the best iterate is kept as well, for studies of quality
            against steps in one run. Each equals the result of a run that ends there, unless the
            optimizer has a schedule that knows the end (`Adam`, but for `final=1`).
    """

    start: Start = field(default_factory=MeanStart)
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer[Any] = field(default_factory=LBFGS)
    steps: int = 150
    patience: int = 10
    tolerance: float = 0.001
    smoothing: float | tuple[float, ...] = (0.02, 0.005)
    snapshots: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_count(self.steps, "steps", least=0)
        check_count(self.patience, "patience")
        if not 0 <= self.tolerance < 1:
            fail("tolerance", expected="a number in [0, 1)", got=self.tolerance, remedy="try 0.001")
        finite = all(0 <= delta < math.inf for delta in self.stages)
        falling = all(before > delta for before, delta in pairwise(self.stages))
        if not (self.stages and finite and falling):
            fail(
                "smoothing",
                expected="a finite number of at least 0, or several that fall",
                got=self.smoothing,
                remedy="try (0.02, 0.005)",
            )
        for steps in self.snapshots:
            check_count(steps, "snapshot steps", least=0)

    @property
    def stages(self) -> tuple[float, ...]:
        """The smoothings, one after another."""
        given = self.smoothing
        return (float(given),) if isinstance(given, int | float) else tuple(map(float, given))

    @property
    def encoder(self) -> InversionEncoder | None:
        """The inversion encoder of the start, if it has one."""
        return self.start.encoder

    def modules(self) -> list[nn.Module]:
        """The networks that must be where the images are."""
        return [*self.start.modules(), *self.objective.modules()]

    def __describe__(self) -> dict[str, object]:
        """The fields; one smoothing is one stage, however it was given."""
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "smoothing": self.stages}
