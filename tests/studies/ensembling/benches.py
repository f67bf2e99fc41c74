"""Benches of the noisy toy task: all that a study of the test-time arrow asks for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.classify.task import Task
from genviews.data.source import MemorySource
from genviews.invert.inverter import Inverter
from genviews.invert.start import MeanStart
from genviews.kit import GeneratorKit
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.studies.bench import Bench
from genviews.studies.inputs import Inputs
from tests.problem import toy_problem

CANDIDATES = (Isotropic("fine", 0.1), Isotropic("fine", 0.6), StyleMix("fine"), StyleMix("coarse"))


@cache
def toy_inputs() -> Inputs:
    """Two classifiers of one labelling, four candidates, two pixel views."""
    problem = toy_problem()
    return Inputs(
        kit=GeneratorKit(
            problem.generator, name="toy", inverter=Inverter(start=MeanStart(), steps=8)
        ),
        tasks=(
            Task(name="images", classifier=problem.classifier),
            Task(name="views", classifier=problem.other),
        ),
        splits={
            "calibration": MemorySource(problem.calibration),
            "test": MemorySource(problem.test),
        },
        perturbations=CANDIDATES,
        pixel_views=(HorizontalFlip(1.0), RandomCrop(padding=1)),
    )


def toy_bench(*, seed: int = 3, batch_size: int = 256, **changes) -> Bench:
    """A bench of the toy inputs, some of them changed."""
    inputs = replace(toy_inputs(), **changes)
    return Bench(inputs, title="Do toy views help?", seed=seed, batch_size=batch_size)
