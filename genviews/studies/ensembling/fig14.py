"""Should badly reconstructed images keep their own prediction?

Beside the weight alpha, a cutoff on the reconstruction error: images above it are predicted from
the image alone. Both are chosen on calibration, and the same cell is read on test.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.combine import ranked
from genviews.ensemble.cutoff import cutoff_grid, cutoff_proba, cutoff_thresholds
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import alpha_grid
from genviews.studies.base import Study
from genviews.studies.bench import SPLITS, Bench
from genviews.studies.ensembling.choose import Viewed
from genviews.studies.ensembling.evidence import difference, gain_claim, gain_table, heat_maps
from genviews.studies.result import Result

__all__ = ["STUDY", "Cutoff", "run"]

_CLAIM = "A cutoff on the reconstruction error makes the ensemble more accurate."
FRACTIONS = tuple(i / 10 for i in range(11))


@dataclass(frozen=True, kw_only=True)
class Cutoff(Viewed):
    """Options of the study of reconstruction cutoffs.

    Args:
        fractions: of the calibration images that are ensembled, ascending; 0 none, 1 all whose
            inversion did not fail.
    """

    fractions: tuple[float, ...] = FRACTIONS

    def quick(self) -> Cutoff:
        """Few views and cutoffs."""
        return replace(self, num_views=4, fractions=(0.0, 0.5, 1.0))


_FIXED = "The verdict is about the last, as was fixed before test was read: its own p counts there."


def run(bench: Bench, options: Cutoff) -> Result:
    """Accuracy for every alpha and cutoff, for the perturbation that does best on calibration."""
    sets = [ViewSet(perturbation=p) for p in bench.perturbations]
    banks = bench.banks(sets, options.num_views)
    losses = [bench.inversions(s).loss_of(b.ids) for s, b in zip(SPLITS, banks, strict=True)]
    rule = ranked(banks[0], [v.name for v in sets], rule=options.rule)[0]
    cuts = cutoff_thresholds(losses[0], options.fractions)
    grids = [cutoff_grid(rule, bank, loss, cuts) for bank, loss in zip(banks, losses, strict=True)]
    cut, weight = _best_cell(cutoff_grid(rule, banks[0], losses[0], cuts, scores=True))
    alpha = float(alpha_grid(rule.grid)[weight])
    proba = cutoff_proba(rule, banks[1], losses[1], float(cuts[cut]), alpha)
    labels, single = banks[1].known_labels(), banks[1].correct()
    plain, both = rule.predict(banks[1]) == labels, proba.argmax(-1) == labels
    against = {
        "alpha and cutoff over the single image": gain_report(both, single),
        "alpha alone over the single image": gain_report(plain, single),
        "alpha and cutoff over alpha alone": gain_report(both, plain),
    }
    over = against["alpha and cutoff over alpha alone"]
    named = dict(zip(SPLITS, grids, strict=True))
    return Result(
        title="Should badly reconstructed images keep their own prediction?",
        verdict=f"Choosing a cutoff beside alpha: {difference(over)} over alpha alone "
        f"({rule.views[0]!r}; chosen alpha {alpha:.2f} for {100 * options.fractions[cut]:.0f} % of "
        f"the images, alpha alone {rule.alpha_:.2f} for all).",
        blocks=(
            gain_table("What a cutoff gains on test", against, caption=_FIXED),
            heat_maps(
                "Accuracy by weight and cutoff",
                # The first row ensembles no image: it is the single image's accuracy.
                {split: grid - grid[0, 0] for split, grid in named.items()},
                "To the right more images are ensembled, the badly reconstructed last; downwards "
                "the views weigh more.",
            ),
        ),
        claims=(
            gain_claim(_CLAIM, over, said="performs similarly", source="Chai et al. 2021, Fig. 14"),
        ),
        record=bench.record(options, {split: grid.tolist() for split, grid in named.items()}),
    )


def _best_cell(grid: Float[Tensor, "T G"]) -> tuple[int, int]:
    """(cutoff, alpha) of the best cell; among equals the smallest alpha, then the most images."""
    places = torch.nonzero(grid == grid.max()).tolist()
    return min(((cut, weight) for cut, weight in places), key=lambda cell: (cell[1], -cell[0]))


STUDY = Study(
    "ensembling/fig14",
    run,
    Cutoff,
    source="Chai et al. 2021, Fig. 14",
    reported="a search over alpha and cutoff performs similarly to one over alpha alone",
    minutes=6,
)
