"""The pages' section on learning from a generator alone, from results/fashion32/learn_*.json."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genviews.report.text import claims_table, markdown, markdown_table
from genviews.studies.result import Result

__all__ = ["learning_lines", "readme_lines", "short_table", "speed_lines"]

Json = dict[str, Any]
HALF, TORCH = ", bfloat16", ", torch's batch norm"  # endings of paths of benchmarks/learn.py

TITLES = {
    "table1": "Unconditional generator (Table 1 of the paper)",
    "figure5": "Deviation of the Gaussian step, with pixel views (Fig. 5)",
    "figure6": "Number of unique samples at equal updates, Gaussian + T_x (Fig. 6)",
    "figure9": "Real images, a share of which is replaced by generated ones (Fig. 9)",
    "table3": "Class-conditional generator, supervised contrastive (Table 3)",
    "table6": "Classifiers (Table 6)",
    "longer": "Longer trainings (ours)",
}


def learning_lines(folder: Path) -> list[str]:
    """Everything that the recipe has measured: claims first, then the tables."""
    found = _results(folder)
    if not found:
        return ["`python -m recipes.fashion32.learn` has not been run."]
    first = next(iter(found.values()))
    claims = claims_table([claim for result in found.values() for claim in result.claims])
    known = first.record.data
    lines = [
        f"{known['updates']} updates of {known['batch']} anchors for every row, "
        f"{len(known['seeds'])} seeds, one compact encoder; probes fitted on the "
        f"{first.record.config['probe']} ({known['test_images']:,} images). Intervals are of test "
        "images and seeds together (95 %); differences are paired, p is corrected by Holm over the "
        "rows of a table. The generator has seen `train` without labels.",
        "",
        "### The paper's claims, at this size",
        "",
        *markdown_table(claims),
        "",
        "The paper's figures are top-1 on ImageNet (Table 1, 3) or ImageNet-100 (Fig. 9, Table 6), "
        "other data and scale; p is corrected by Holm over the claims of a table. `holds`: p is "
        "below 0.05, and for claims of equality so is that of a test that the two are within one "
        "point (corrected likewise); `contradicted`: p is below 0.05 the other way, or of a "
        "difference where there should be none; `not seen`: too little was looked at to say.",
    ]
    for name, result in found.items():
        lines += ["", *markdown(replace(result, title=TITLES[name], claims=()), level=3)]
    for file in ("learn_bfloat16", "fidelity"):
        if (folder / f"{file}.json").exists():
            lines += markdown(Result.load(folder / f"{file}.json"), level=3)
    return lines


def _results(folder: Path) -> dict[str, Result]:
    paths = {name: folder / f"learn_{name}.json" for name in TITLES}
    return {name: Result.load(path) for name, path in paths.items() if path.exists()}


def speed_lines(bench: Json) -> list[str]:
    """The benchmark of learning: anchors a second, waiting, and what bounds the ratio."""
    rates = {name: statistics.median(v) for name, v in bench["anchors_per_second"].items()}
    ours, streamed = "genviews, stored views", "genviews, views rendered while training"
    plain = "a DataLoader with torchvision's transforms, one image at a time"
    lines = [
        f"`{bench['command']}`: compact encoder, batches of {bench['config']['batch']}, "
        f"{bench['config']['threads']} threads, each way with the threads, workers and batches "
        "ahead that were fastest for it.",
        "",
        "| | anchors a second, median | with | waiting for views, % |",
        "|---|---|---|---|",
        *[
            f"| {name} | {rate:.0f} | {bench['chosen'][name]} | {_waiting(bench, name)} |"
            for name, rate in rates.items()
        ],
        "",
        "Twice the plain loop was the aim. With stored views it is "
        f"{rates[ours] / rates[plain]:.2f} times in 32 bits, where both have our encoder, "
        f"{rates[ours] / rates[plain + TORCH]:.2f} times where the plain loop has torch's batch "
        f"norm; in bfloat16 {rates[ours + HALF] / rates[plain]:.2f} times the loop in 32 bits and "
        f"{rates[ours + HALF] / rates[plain + HALF]:.2f} times the loop in bfloat16. The encoder's "
        "own step is most of the time in all. Beyond the rendering itself (aim: under 10 %), "
        f"{100 * bench['waiting'][streamed]['beyond_rendering']:.0f} % of the time is spent "
        "waiting for views that are rendered while training, and "
        f"{100 * bench['waiting'][ours]['beyond_rendering']:.0f} % for stored ones "
        f"({100 * bench['waiting'][ours + HALF]['beyond_rendering']:.0f} % in bfloat16), which is "
        "reading them and making pixel views.",
    ]
    for name, ratio in bench["pixel_views"]["ours_against"].items():
        lines.append(f"Pixel views alone: {ratio:.2f} times {name}.")
    return lines


def _waiting(bench: Json, name: str) -> str:
    """Share of the time, where it was measured."""
    found = bench["waiting"].get(name)
    return "" if found is None else f"{100 * found['share']:.1f}"


def readme_lines(folder: Path) -> list[str]:
    """The short answer of the learning arrow."""
    result = _results(folder).get("table1")
    if result is None:
        return []
    return [
        "",
        f"Learning from the generator alone: {result.verdict}",
        "",
        *short_table(result, ("learnt from", "linear probe", "difference")),
        "",
        f"`{result.record.command}` -> `results/fashion32/learn_table1.json`.",
    ]


def short_table(result: Result, names: Sequence[str]) -> list[str]:
    """Some columns of the table that a verdict is read from, as lines of Markdown."""
    table = result.answer
    assert table is not None
    places = [[column.name for column in table.columns].index(name) for name in names]
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    columns = tuple(table.columns[place] for place in places)
    return markdown_table(replace(table, columns=columns, rows=rows))
