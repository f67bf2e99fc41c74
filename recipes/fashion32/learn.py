"""Learn encoders from fashion32 alone, and say how they compare with one learnt from real images.

Claims: the tables and figures of Jahanian et al. 2022 (arXiv:2106.05258) at the size of two CPU
cores: table1 (T_x, Gaussian, steered, inverter; style-mixing and several positives are ours),
figure5 (deviation of the Gaussian step), figure6 (number of samples), figure9 (mixes with real
images), table3 and table6 (class-conditional generator), training-time.
Command: python -m recipes.fashion32.learn TABLE [TABLE ...]   (none: all of them)
Time: some 70 seconds a row and seed on one core; finished rows are kept, a re-run makes what is
missing, and processes that run at the same time share the rows.
Split: encoders see generated samples or `train` images without labels (table3's real row and table6
with them). Probes are fitted on the first 20,000 of `train`, their settings chosen on `val`,
reported on `test`.
Expected: no promise. The optimiser was chosen on `val` with the row real + T_x, for all rows alike;
the deviation of the Gaussian step, 0.2, is the paper's; figure5 shows others.
Writes: results/fashion32/learn_TABLE.json, and runs/fashion32/learn/ with the encoders.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from genviews import load_generator, load_splits
from genviews.augment import pixel_views
from genviews.data import ImageSet, fashion_mnist
from genviews.environment import environment
from genviews.evaluate.encoders import ProbeData
from genviews.files import write_json
from genviews.memory import keep_freed_memory
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.schedule import StepCosine
from genviews.studies.learning.judge import RowReport
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import LearningStudy, compare_rows
from genviews.studies.learning.tables import Strengths, learning_table
from genviews.studies.result import Record

FOLDER = Path("runs/fashion32/learn")
RESULTS = Path("results/fashion32")
UPDATES, BATCH, SEEDS = 350, 256, (0, 1, 2)
PROBE_IMAGES = 20_000
SAMPLES_BASE = 11_000  # of figure 6, so that ten times as many are still seen about once
STRENGTHS = Strengths(std=0.2, sweep=(0.05, 0.1, 0.2, 0.5, 1.0))
TABLES = ("table1", "figure5", "figure6", "figure9", "table3", "table6")
CONDITIONAL = ("table3", "table6")


def training(updates: int) -> RepresentationTraining:
    """How every row is trained: SGD at 0.03 with weight decay 1e-4, as in the paper.

    It did best on `val` of SGD at 0.03 and 0.1 and AdamW at 2e-3 and 5e-3.
    """
    return RepresentationTraining(
        schedule=StepCosine(steps=updates, peak=0.03), log_every=min(50, updates)
    )


def splits(*, quick: bool) -> tuple[ImageSet, ProbeData]:
    """Images to train on, and the labelled splits of the probe."""
    if quick:  # the sample that ships: no data set is needed
        spec = load_generator("fashion32").generator.image_spec
        val, test = (part.load() for part in load_splits("fashion32/sample", spec))
        parts = [test.select(range(start, 1000, 4)) for start in (0, 1, 2)]
        return parts[0], ProbeData(train=val, val=parts[1], test=parts[2])
    train = fashion_mnist("train")
    probed = train.select(range(PROBE_IMAGES))
    return train, ProbeData(train=probed, val=fashion_mnist("val"), test=fashion_mnist("test"))


def setting(table: str, *, quick: bool = False) -> LearningSetting:
    """What the rows of a table share."""
    real, probe = splits(quick=quick)
    kit = load_generator("fashion32-classes" if table in CONDITIONAL else "fashion32")
    base = SAMPLES_BASE if table == "figure6" else len(real)
    found = LearningSetting(
        training=training,
        updates=UPDATES,
        base=base,
        generator=kit.generator,
        real=real,
        pixels=pixel_views("fashion32/simclr"),
        encoder=RepresentationConfig(channels=1),
        probe=probe,
        batch=BATCH,
        walks=kit.walks,
    )
    return replace(found, updates=3, base=64, batch=16) if quick else found


def rows_of(table: str) -> list[LearningRow]:
    """The rows of a table."""
    return learning_table(table, replace(STRENGTHS, mix="") if table in CONDITIONAL else STRENGTHS)


def say(report: RowReport) -> None:
    """One line for each row that begins to train or is done."""
    if report.record is not None and report.done == report.total:
        record = report.record
        print(
            f"{report.row}, seed {report.seed}: loss {record.loss:.3f}, "
            f"{record.samples_per_second:.0f} samples/s",
            flush=True,
        )


def run_table(
    table: str, *, quick: bool = False, seeds: Sequence[int] = SEEDS, folder: Path = FOLDER
) -> LearningStudy:
    """Run what is missing of a table, and write its JSON."""
    folder = folder.with_name(f"{folder.name}-quick") if quick else folder
    folder = folder / _part(table)
    shared, rows = setting(table, quick=quick), rows_of(table)
    study = compare_rows(table, rows, shared, seeds, folder, report=say)
    print(study.verdict, flush=True)
    if not quick:
        record = Record(
            command=f"python -m recipes.fashion32.learn {table}",
            seed=0,
            config={
                "probe": f"first {PROBE_IMAGES} of train; settings on val; test reported",
                "strengths": vars(STRENGTHS),
                "environment": environment(),
            },
        )
        write_json(RESULTS / f"learn_{table}.json", table_result(study, record=record).to_json())
    return study


def _part(table: str) -> str:
    """Tables of one generator and base size share a folder, and so their rows."""
    if table in CONDITIONAL:
        return "classes"
    return "samples" if table == "figure6" else "images"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run tables; the exit status."""
    parser = argparse.ArgumentParser(description="Learn encoders from fashion32 alone.")
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(TABLES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="a few steps; writes no result")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    given = parser.parse_args(arguments)
    for table in given.tables or TABLES:
        run_table(table, quick=given.quick, seeds=given.seeds)
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    sys.exit(main())
