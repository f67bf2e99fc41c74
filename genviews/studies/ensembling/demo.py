"""Try it: do generated views help on clean images, and under shifts?

The main study on images as they are, and the study of shifts on the same images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from genviews.robustness.corruption import corruption
from genviews.studies.base import Study
from genviews.studies.bench import Bench
from genviews.studies.ensembling import main
from genviews.studies.ensembling.demo_shift import SHIFT
from genviews.studies.ensembling.shifts import Shifts
from genviews.studies.ensembling.shifts import run as run_under_shifts
from genviews.studies.result import Result

__all__ = ["STUDY", "Demo", "run"]

NOISE = ("gaussian_noise:1@imagenet-c",)
"""What the weight of the views is fitted on where the shift is not known."""


@dataclass(frozen=True, kw_only=True)
class Demo(main.MainStudy):
    """Options of the demo.

    Args:
        shifts: Corruptions NAME:SEVERITY that views are measured under.
    """

    shifts: tuple[str, ...] = (SHIFT,)

    def check(self) -> None:
        """Raise ValueError for unknown shifts too."""
        super().check()
        self.under_shifts().check()

    def under_shifts(self) -> Shifts:
        """The options of the study of shifts, with nothing that takes long."""
        noisy = any(corruption(word).kind == "gaussian_noise" for word in self.shifts)
        return Shifts(
            merge=self.merge,
            choose_by=self.choose_by,
            num_views=self.num_views,
            shifts=self.shifts,
            headlines=(),
            fit_on=NOISE if not noisy else (*NOISE, "gaussian_blur:1@imagenet-c"),
            attacks=(),
            calibration_images=None,
            test_images=None,
            skip_restored=True,
            gallery_images=min(3, self.gallery_images),
        )


def run(bench: Bench, options: Demo) -> Result:
    """Where views pay first, then all that the main study has to say of clean images."""
    clean = main.run(bench, options)
    (views,) = bench.kit.perturbations(["stylemix_fine"])
    few = replace(bench.inputs, perturbations=(views,), tasks=bench.tasks[:1])
    own = replace(bench, inputs=few)
    found = run_under_shifts(own, options.under_shifts())
    bench.benches_under.extend(own.benches_under)
    data = {**clean.record.data, "shifts": found.record.data, "verdict_clean": clean.verdict}
    return Result(
        title=bench.title or found.title,
        verdict=found.verdict,
        tone=found.tone,
        blocks=(*found.blocks, *clean.blocks),
        record=replace(clean.record, data=data),
    )


STUDY = Study(
    "ensembling/demo",
    run,
    Demo,
    source="Chai et al. 2021, section 4 and figures 5, 7 and 8",
    minutes=1,
    products=main.STUDY.products,
)
