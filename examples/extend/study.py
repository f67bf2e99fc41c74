"""How often views agree with their image, where its prediction is right and where it is wrong.

Its file: genviews/studies/ensembling/view_agreement.py
Its line, in ADDRESSES of genviews/studies/registry.py:

    "genviews.studies.ensembling.view_agreement:STUDY",
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from genviews.ensemble.views import ViewSet
from genviews.studies.base import Options, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Cell, Column, Estimate, Table
from genviews.studies.result import Result

__all__ = ["STUDY", "Agreement", "run"]


@dataclass(frozen=True, kw_only=True)
class Agreement(Options):
    """Options of the study of agreement.

    Args:
        num_views: K of each perturbation.
    """

    num_views: int = 32

    def quick(self) -> Agreement:
        """Four views."""
        return replace(self, num_views=4)


def run(bench: Bench, options: Agreement) -> Result:
    """Share of views that are predicted as their image is, where that is right and where wrong."""
    sets = [ViewSet(perturbation=p) for p in bench.perturbations]
    bank = bench.bank("test", sets, num_views=options.num_views)[bench.tasks[0].name]
    image = bank.get("image")[:, 0].argmax(-1)
    right = image == bank.known_labels()
    rows: list[tuple[Cell, ...]] = []
    for views in sets:
        agree = (bank.get(views.name).argmax(-1) == image[:, None]).double().mean(1)
        rows.append((views.name, _mean(agree[right]), _mean(agree[~right])))
    lower = sum(_is_lower(wrong, than=known) for _, known, wrong in rows)
    kind = "percent"
    return Result(
        title="Do views tell a wrong prediction?",
        verdict=f"Views agree with their image less often where it is wrong for {lower} of "
        f"{len(rows)} perturbations, beyond the intervals.",
        blocks=(
            Table(
                title="Views that are predicted as their image is",
                columns=(
                    Column(name="views", priority=0),
                    Column(name="image right", kind=kind, priority=0),
                    Column(name="image wrong", kind=kind, priority=0),
                ),
                rows=tuple(rows),
                caption=f"{int(right.sum())} of {len(right)} images are right; 95 % intervals over "
                "images.",
            ),
        ),
        record=bench.record(options),
    )


def _mean(values: Tensor) -> Estimate | None:
    """Mean with its interval; None of fewer than two values."""
    if len(values) < 2:
        return None
    mean, half = float(values.mean()), 1.96 * float(values.std()) / math.sqrt(len(values))
    return Estimate(mean, (mean - half, mean + half))


def _is_lower(one: Cell, *, than: Cell) -> bool:
    """Whether the interval of one lies below that of another."""
    if not (isinstance(one, Estimate) and isinstance(than, Estimate)):
        return False
    return bool(one.interval and than.interval and one.interval[1] < than.interval[0])


STUDY = Study("ensembling/agreement", run, Agreement, minutes=6)
