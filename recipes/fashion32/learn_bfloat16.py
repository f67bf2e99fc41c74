"""Does an encoder lose anything by being trained in bfloat16?

Claim: none of the papers'; it says what the faster half of `benchmarks/learn.py` costs.
Command: python -m recipes.fashion32.learn_bfloat16
Time: 15 minutes on one core; finished rows are kept and a re-run makes what is missing. Rows of
float32 are those of `recipes.fashion32.learn table1` where these are there.
Split: as in `recipes.fashion32.learn`. Reported on `test`; nothing is chosen.
Expected: no difference outside its interval.
Writes: results/fashion32/learn_bfloat16.json, and runs/fashion32/learn/ with the encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch

from genviews.environment import environment
from genviews.files import write_json
from genviews.studies.blocks import Column, Table
from genviews.studies.learning.compare import RowSummary, summarise
from genviews.studies.learning.run import StudyProgress, run_rows
from genviews.studies.learning.tables import learning_table
from genviews.studies.learning.training import learning_setting
from genviews.studies.result import Record, Result
from genviews.studies.statistics import standing, weigh
from recipes.fashion32 import learn
from recipes.recipe import folder_of, run

RESULT = learn.RESULTS / "learn_bfloat16.json"
ROWS = ("real + T_x", "Gaussian + T_x")
PLACES = {"float32": "images", "bfloat16": "bfloat16"}  # the first is that of table1


def main(*, quick: bool = False, seeds: int = 3, folder: Path = learn.FOLDER) -> Result:
    """Run what is missing and compare the two precisions; `quick` writes no result."""
    place, options = folder_of(folder, quick=quick), learn.options_of("table1", quick=quick)
    bench = learn.bench_of("table1", place, quick=quick)
    rows = [row for row in learning_table("table1", options) if row.name in ROWS]
    found, facts = [], {}
    for kind, part in PLACES.items():
        setting = learning_setting(bench, replace(options, bfloat16=kind == "bfloat16"), rows)
        facts[kind] = setting.facts()
        report = StudyProgress(bench.progress, rows, seeds, setting)
        found += [
            (kind, one)
            for one in run_rows(rows, setting, range(seeds), place / part, report=report)
        ]
    compared = {}
    for row in rows:
        named = [replace(one, row=replace(row, name=kind)) for kind, one in found if one.row == row]
        summaries = summarise(named, reference="float32")
        compared[row.name] = {summary.name: summary for summary in summaries}
    config = {
        **facts["bfloat16"],
        "rows": [asdict(row) for row in rows],
        "seeds": list(range(seeds)),
        "environment": environment(),
    }
    command = "python -m recipes.fashion32.learn_bfloat16"
    result = result_of(compared, Record(command=command, seed=0, config=config))
    if not quick:
        write_json(RESULT, result.to_json())
    return result


def result_of(compared: Mapping[str, Mapping[str, RowSummary]], record: Record) -> Result:
    """Whether bfloat16 costs accuracy.

    Args:
        compared: row -> "float32" and "bfloat16", the latter against the former.
        record: of the run.
    """
    rows, lost = [], []
    gaps = [row["bfloat16"].against or {} for row in compared.values()]
    weighed = {what: weigh([gap[what].gap for gap in gaps]) for what in ("linear", "knn")}
    for (name, row), linear, knn in zip(compared.items(), *weighed.values(), strict=True):
        lost += [name] if standing(linear) == "below" else []
        single, half = (row[kind].accuracy["linear"].estimate for kind in ("float32", "bfloat16"))
        rows.append((name, single, half, linear.estimate, linear.p_value, knn.estimate))
    columns = (
        Column(name="row", priority=0),
        Column(name="in 32 bits", kind="percent", priority=0),
        Column(name="in bfloat16", kind="percent", priority=0),
        Column(name="difference", kind="points"),
        Column(name="Holm p", kind="p"),
        Column(name="neighbours, difference", kind="points", priority=2),
    )
    which = f"loses accuracy in {', '.join(lost)}" if lost else "loses no accuracy that can be seen"
    return Result(
        title="Trained in bfloat16",
        verdict=f"The same rows and seeds, the encoder under autocast: it {which}.",
        blocks=(
            Table(
                title="Linear probe",
                columns=columns,
                rows=tuple(rows),
                caption="Differences are paired by image and seed, with 95 % intervals.",
            ),
        ),
        record=replace(
            record,
            data={
                name: {kind: asdict(summary) for kind, summary in row.items()}
                for name, row in compared.items()
            },
        ),
    )


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(main)
