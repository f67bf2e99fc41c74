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
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from genviews.environment import environment
from genviews.files import write_json
from genviews.identity import describe
from genviews.memory import keep_freed_memory
from genviews.represent.config import RepresentationTraining
from genviews.studies.learning.compare import summarise
from genviews.studies.learning.run import RowResult, run_rows
from recipes.fashion32 import learn

RESULT = learn.RESULTS / "learn_bfloat16.json"
ROWS = ("real + T_x", "Gaussian + T_x")


def half_training(updates: int) -> RepresentationTraining:
    """As the rows of `recipes.fashion32.learn`, in mixed precision."""
    return replace(learn.training(updates), bfloat16=True)


def main(
    *, quick: bool = False, seeds: Sequence[int] = learn.SEEDS, folder: Path = learn.FOLDER
) -> dict[str, object]:
    """Run what is missing and compare the two precisions; `quick` writes no result."""
    folder = folder.with_name(f"{folder.name}-quick") if quick else folder
    single = learn.setting("table1", quick=quick)
    assert single.probe is not None
    truth = single.probe.test.labels
    assert truth is not None
    half = replace(single, training=half_training)
    rows = [row for row in learn.rows_of("table1") if row.name in ROWS]
    compared = {}
    for row in rows:
        plain = run_rows([row], single, seeds, folder / "images", report=learn.say)
        mixed = run_rows([row], half, seeds, folder / "bfloat16", report=learn.say)
        summaries = summarise(
            [*_named(plain, "float32"), *_named(mixed, "bfloat16")], truth, reference="float32"
        )
        compared[row.name] = {summary.name: asdict(summary) for summary in summaries}
    result: dict[str, object] = {
        "recipe": "recipes.fashion32.learn_bfloat16",
        "command": "python -m recipes.fashion32.learn_bfloat16",
        "seed": 0,
        "config": {
            "rows": [asdict(row) for row in rows],
            "seeds": list(seeds),
            "updates": single.updates,
            "batch": single.batch,
            "training": describe(half.training(single.updates)),
        },
        "compared": compared,
        "environment": environment(),
    }
    if not quick:
        write_json(RESULT, result)
    return result


def _named(results: Sequence[RowResult], name: str) -> list[RowResult]:
    return [replace(result, row=replace(result.row, name=name)) for result in results]


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="a few steps; writes no result")
    main(quick=parser.parse_args().quick)
