"""The pages' sections on where generated views pay, from results/fashion32/robustness_*.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genviews.report.draw import bars_svg, standalone
from genviews.report.text import STARRED, markdown, markdown_table
from genviews.studies.blocks import Bars, Images
from genviews.studies.result import Result

__all__ = ["FIGURE", "figure", "readme_lines", "result_lines"]

FIGURE = "docs/where_views_pay.svg"
TITLES = {
    "shifts": "Where do generated views pay? (fashion32)",
    "few_labels": "Few labels",
    "adaptive": "Attacks that know the defence",
    "fig7": "Corruptions and attacks as in the paper (Fig. 7 and 19)",
}
_SHOWN = (
    "images", "single image", "best rival", "pixel views", "reconstruction",
    "generated views", "both", "not knowing the shift", "noticing it",
)  # fmt: skip


def result_lines(folder: Path) -> list[str]:
    """Every study that was measured, the first with what a practitioner should do."""
    lines = []
    for name, result in _results(folder).items():
        kept = tuple(block for block in result.blocks if not isinstance(block, Images))
        lines += [*markdown(replace(result, title=TITLES[name], blocks=kept)), ""]
    return lines


def readme_lines(folder: Path) -> list[str]:
    """The first table of the README, and its figure; none before they are measured."""
    found = _results(folder).get("shifts")
    if found is None:
        return []
    lines = [found.verdict, "", f"![Gain over the single image]({FIGURE})", ""]
    lines += [*_columns(found, _SHOWN), ""]
    own = "`results/fashion32/robustness_shifts.json`"
    lines += [f"`{found.record.command}` -> {own}. {STARRED}", ""]
    for name in ("few_labels", "adaptive"):
        if (result := _results(folder).get(name)) is not None:
            lines += [f"{TITLES[name]}: {result.verdict}", ""]
    return lines


def figure(folder: Path) -> bytes | None:
    """The first figure of the study of shifts as a file; None before it is measured."""
    found = _results(folder).get("shifts")
    if found is None:
        return None
    bars = next(block for block in found.blocks if isinstance(block, Bars))
    return standalone(bars_svg(bars, bars.columns[0])).encode()


def _results(folder: Path) -> dict[str, Result]:
    paths = {name: folder / f"robustness_{name}.json" for name in TITLES}
    return {name: Result.load(path) for name, path in paths.items() if path.exists()}


def _columns(result: Result, names: Sequence[str]) -> list[str]:
    """Some columns of the table that a verdict is read from, those that it has."""
    table = result.answer
    assert table is not None
    known = [column.name for column in table.columns]
    places = [known.index(name) for name in names if name in known]
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    return markdown_table(
        replace(table, columns=tuple(table.columns[place] for place in places), rows=rows)
    )
