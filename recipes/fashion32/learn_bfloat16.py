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

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from genviews.environment import environment
from genviews.files import write_json
from genviews.identity import describe
from genviews.memory import keep_freed_memory
from genviews.represent.config import RepresentationTraining
from genviews.studies.blocks import Column, Table
from genviews.studies.learning.compare import RowSummary, summarise
from genviews.studies.learning.judge import RowResult
from genviews.studies.learning.run import run_rows
from genviews.studies.result import Record, Result
from recipes.fashion32 import learn

RESULT = learn.RESULTS / "learn_bfloat16.json"
ROWS = ("real + T_x", "Gaussian + T_x")


def half_training(updates: int) -> RepresentationTraining:
    """As the rows of `recipes.fashion32.learn`, in mixed precision."""
    return replace(learn.training(updates), bfloat16=True)


def main(
    *, quick: bool = False, seeds: Sequence[int] = learn.SEEDS, folder: Path = learn.FOLDER
) -> Result:
    """Run what is missing and compare the two precisions; `quick` writes no result."""
    folder = folder.with_name(f"{folder.name}-quick") if quick else folder
    single = learn.setting("table1", quick=quick)
    half = replace(single, training=half_training)
    rows = [row for row in learn.rows_of("table1") if row.name in ROWS]
    compared = {}
    for row in rows:
        plain = run_rows([row], single, seeds, folder / "images", report=learn.say)
        mixed = run_rows([row], half, seeds, folder / "bfloat16", report=learn.say)
        summaries = summarise(
            [*_named(plain, "float32"), *_named(mixed, "bfloat16")], reference="float32"
        )
        compared[row.name] = {summary.name: summary for summary in summaries}
    config = {
        "rows": [asdict(row) for row in rows],
        "seeds": list(seeds),
        "updates": single.updates,
        "batch": single.batch,
        "training": describe(half.training(single.updates)),
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
    for name, row in compared.items():
        gaps = row["bfloat16"].against
        assert gaps is not None
        linear, knn = gaps["linear"], gaps["knn"]
        shown = linear.estimate(linear.p_value)
        lost += [name] if shown.significant and linear.mean < 0 else []
        single, half = (row[kind].accuracy["linear"] for kind in ("float32", "bfloat16"))
        p_value, other = linear.p_value, knn.estimate(knn.p_value)
        rows.append((name, single.estimate(), half.estimate(), shown, p_value, other))
    columns = (
        Column(name="row", priority=0),
        Column(name="in 32 bits", kind="percent", priority=0),
        Column(name="in bfloat16", kind="percent", priority=0),
        Column(name="difference", kind="points"),
        Column(name="p", kind="p"),
        Column(name="neighbours, difference", kind="points", priority=2),
    )
    which = f"lose accuracy: {', '.join(lost)}" if lost else "loses no accuracy that can be seen"
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


def _named(results: Sequence[RowResult], name: str) -> list[RowResult]:
    return [replace(result, row=replace(result.row, name=name)) for result in results]


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few steps; writes no result")
    main(quick=parser.parse_args().quick)
