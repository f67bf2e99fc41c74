"""Where do generated views pay when a classifier has learnt from few labels?

A seed redraws everything that chance decides: the labels, the first weights and the order of the
training, the calibration images, the test images of a shift, and the views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from scipy import stats
from torch import Tensor

from genviews.checks import check_each, fail
from genviews.classify.config import TrainConfig, training_preset
from genviews.classify.model import Classifier
from genviews.classify.network import SmallResNet
from genviews.classify.task import Task
from genviews.classify.train import train_classifier
from genviews.data.source import as_source
from genviews.identity import key
from genviews.rng import Rng
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import BarColumn, Bars, Cell, Column, Estimate, Table
from genviews.studies.ensembling.shift_tables import SHOWN, accuracy_column
from genviews.studies.ensembling.shifts import UnderShifts, check, measure_shifts
from genviews.studies.ensembling.under_shift import BEST, CLEAN, Measured
from genviews.studies.result import Result
from genviews.studies.statistics import Gap, points, weigh

__all__ = ["STUDY", "FewLabels", "run"]

_VIEWS = ("generated views", "known shift")
_GAINS = (
    (BEST, ""),
    _VIEWS,
    ("generated views", "one weight"),
)


@dataclass(frozen=True, kw_only=True)
class FewLabels(UnderShifts):
    """Options of the study of few labels.

    Args:
        labels: Labelled images of each class that classifiers are trained on.
        seeds: Seeds, one after the other from that of the run.
        training_steps: Of each training, about; fewer labels make more epochs.
        perturb: Kind of generated views, such as stylemix_fine.
    """

    labels: tuple[int, ...] = (10, 30, 120)
    seeds: int = 3
    training_steps: int = 1000
    perturb: str = "stylemix_fine"

    def quick(self) -> FewLabels:
        """One seed, two numbers of labels."""
        few = replace(super().quick(), attacks=(), skip_restored=True)
        return replace(few, labels=(2, 3), seeds=1, training_steps=4)


def run(bench: Bench, options: FewLabels) -> Result:
    """The table of shifts for classifiers that are trained on few labels, over seeds."""
    found = [_of_seed(bench, options, bench.seed + seed) for seed in range(options.seeds)]
    tasks = [_title(count) for count in options.labels]
    shifts = list(dict.fromkeys(one.shift for one in found[0]))
    data = [[asdict(one) for one in rows] for rows in found]
    groups = {
        "clean images": [CLEAN],
        _mean_of("corruptions", options.shifts): options.shifts,
        _mean_of("attacks", options.attacks): options.attacks,
    }
    return Result(
        title="Where do generated views pay when labels are few?",
        verdict=_verdict(found, tasks, groups),
        blocks=(
            _means(found, tasks, groups),
            *(_table(found, task, shifts) for task in tasks),
            *(_bars(found, task, shifts) for task in tasks),
        ),
        record=bench.record(options, data={"seeds": data}),
    )


def _of_seed(bench: Bench, options: FewLabels, seed: int) -> list[Measured]:
    """Every row of one seed."""
    train, val, test = map(as_source, bench.probe.splits().values())
    labels = train.labels
    assert labels is not None  # of a probe
    tasks = []
    for count in options.labels:
        rows = _drawn(labels, train.ids, count, len(train.class_names), seed)
        batch = train.select(rows).load()
        assert batch.labels is not None
        known = batch.images, batch.labels, batch.class_names
        classifier = _trained(bench, *known, seed, options.training_steps)
        column = next(iter(val.columns))
        tasks.append(Task(name=_title(count), classifier=classifier, labels=column))
    inputs = replace(
        bench.inputs,
        tasks=tuple(tasks),
        splits={"calibration": val, "test": test},
        perturbations=bench.kit.perturbations([options.perturb]),
        pixel_views=bench.kit.baselines,
    )
    own = replace(bench, inputs=inputs, seed=seed, folder=bench.place)
    rows_found = measure_shifts(own, options, attack_each=True, all_rivals=True)[1]
    bench.benches_under.extend((own, *own.benches_under))
    return rows_found


def _mean_of(kind: str, names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"mean of {len(names)} {kind}"


def _title(count: int) -> str:
    return f"{count} labels a class"


def _drawn(labels: Tensor, ids: Sequence[str], count: int, classes: int, seed: int) -> list[int]:
    """So many rows of each class; fewer are among those of more."""
    order = Rng(seed, "labels").streams(ids).uniform(1, (1,)).flatten().argsort(stable=True)
    rows = list[int]()
    for number in range(classes):
        own = order[labels[order] == number][:count].tolist()
        if len(own) < count:
            expected, remedy = f"{count} training images of each class", "ask for fewer --labels"
            fail("labels", expected=expected, got=f"{len(own)} of class {number}", remedy=remedy)
        rows += own
    return sorted(rows)


def _trained(
    bench: Bench, images: Tensor, labels: Tensor, names: Sequence[str], seed: int, steps: int
) -> Classifier:
    """A small network of these images; what is kept of a training that was killed goes on."""
    spec = bench.kit.generator.image_spec
    domain = bench.kit.domain
    known = domain is not None and domain.name == "fashion32"
    config = training_preset("fashion32") if known else TrainConfig()
    batch = min(config.batch_size, max(2, len(images) // 2))
    epochs = math.ceil(steps / max(1, len(images) // batch))
    config = replace(config, seed=seed, batch_size=batch, epochs=epochs)
    network = SmallResNet(channels=spec.channels, num_classes=len(names), seed=seed)
    place = bench.place / "classifiers" / f"{key(images, labels, config)}.pt"
    place.parent.mkdir(parents=True, exist_ok=True)
    trained = train_classifier(
        network.to(bench.device), images, labels, config, checkpoint=place, progress=bench.progress
    )
    return Classifier(trained.module, spec, tuple(names))


def _over_seeds(values: Sequence[float]) -> Estimate:
    """The mean, with the 95 % interval of Student's t over seeds; none of a single one."""
    mean = float(np.mean(values))
    if len(values) < 2 or len(set(values)) < 2:
        return Estimate(mean)
    low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    return Estimate(mean, (float(low), float(high)))


def _values(
    found: Sequence[Sequence[Measured]], task: str, shift: str, row: tuple[str, str]
) -> list[Measured]:
    return [
        one
        for rows in found
        for one in rows
        if (one.task, one.shift) == (task, shift) and (one.row, one.protocol) == row
    ]


def _means(
    found: Sequence[Sequence[Measured]], tasks: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> Table:
    """Accuracies on clean images, and means over corruptions and over attacks."""
    lines = {
        f"{task}: {name}": (task, shifts)
        for task in tasks
        for name, shifts in groups.items()
        if shifts
    }
    each = len(lines) // len(tasks)
    table = _accuracies(found, "Where do generated views pay when labels are few?", lines)
    return replace(table, breaks=tuple(range(each, len(lines), each)))


def _table(found: Sequence[Sequence[Measured]], task: str, shifts: Sequence[str]) -> Table:
    """Accuracies under each shift."""
    return _accuracies(found, f"Accuracy: {task}", {shift: (task, [shift]) for shift in shifts})


def _accuracies(
    found: Sequence[Sequence[Measured]],
    title: str,
    lines: Mapping[str, tuple[str, Sequence[str]]],
) -> Table:
    """A line for each name: accuracies of a task, means over some shifts, then over seeds."""
    rows = []
    for name, (task, shifts) in lines.items():
        cells: list[Cell] = [name]
        for column in SHOWN:
            row = column.row, column.protocol
            values = _each_seed(found, task, shifts, row, "accuracy")
            cells.append(_share(_over_seeds(values)) if values else None)
        rows.append(tuple(cells))
    kept = [place for place in range(len(SHOWN)) if any(row[1 + place] for row in rows)]
    return Table(
        title=title,
        columns=(
            Column(name="images", priority=0),
            *(accuracy_column(SHOWN[place]) for place in kept),
        ),
        rows=tuple((row[0], *(row[1 + place] for place in kept)) for row in rows),
        caption=f"Mean over {len(found)} seeds with its 95 % interval (Student's t); generated "
        "views are weighed under the shift, or without knowing it.",
    )


def _each_seed(
    found: Sequence[Sequence[Measured]],
    task: str,
    shifts: Sequence[str],
    row: tuple[str, str],
    what: Literal["accuracy", "gain"],
) -> list[float]:
    """Of each seed the mean over some shifts; none where nobody measured it."""
    own = [_values(found, task, shift, row) for shift in shifts]
    if not any(own):
        return []
    for values in own:
        check_each(values, len(found), f"{row[0]} of {task}", "seed")
    return [
        float(np.mean([one.accuracy if what == "accuracy" else one.gain for one in seed]))
        for seed in zip(*own, strict=True)
    ]


def _share(found: Estimate) -> Estimate:
    """An accuracy, whose interval ends at 0 and 1."""
    if found.interval is None:
        return found
    low, high = found.interval
    return Estimate(found.value, (max(low, 0.0), min(high, 1.0)))


def _bars(found: Sequence[Sequence[Measured]], task: str, shifts: Sequence[str]) -> Bars:
    columns = []
    for row, protocol in _GAINS:
        each = [_values(found, task, shift, (row, protocol)) for shift in shifts]
        columns.append(
            BarColumn(
                label=row if protocol != "one weight" else "not knowing the shift",
                values=tuple(
                    _over_seeds([one.gain for one in own]) if own else None for own in each
                ),
                kind="points",
                level=0.0,
            )
        )
    return Bars(
        title=f"Gain over the single image: {task}", names=tuple(shifts), columns=tuple(columns)
    )


def _verdict(
    found: Sequence[Sequence[Measured]], tasks: Sequence[str], groups: Mapping[str, Sequence[str]]
) -> str:
    """Mean gains of each number of labels, tested over seeds and corrected together."""
    gaps = {
        (task, name): _gap(_each_seed(found, task, shifts, _VIEWS, "gain"))
        for task in tasks
        for name, shifts in groups.items()
        if shifts
    }
    weighed = dict(zip(gaps, weigh(list(gaps.values())), strict=True))
    said = []
    for task in tasks:
        own = [
            f"{points(gap, 1)} on {name}" + ("" if gap.differs else " (no difference seen)")
            for (other, name), gap in weighed.items()
            if other == task
        ]
        said.append(f"with {task} {', '.join(own)}")
    return (
        f"Over {len(found)} seeds generated views, weighed under the shift, gain over the single "
        f"image: {'; '.join(said)}."
    )


def _gap(values: Sequence[float]) -> Gap:
    """A mean over seeds, with Student's interval and test."""
    estimate = _over_seeds(values)
    p_value = None
    if estimate.interval is not None:
        p_value = float(stats.ttest_1samp(values, 0.0).pvalue)
    return Gap(value=estimate.value, interval=estimate.interval, p_value=p_value, p_level=None)


STUDY = Study(
    "ensembling/few-labels",
    run,
    FewLabels,
    needs=(Need.KIT, Need.PROBES),
    source="ours, after Chai et al. 2021, section 4.3 (many images, few labels)",
    minutes=90,
    check=check,
)
