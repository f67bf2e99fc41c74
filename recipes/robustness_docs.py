"""The pages' sections on where generated views pay, from results/fashion32/robustness_*.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genviews.report.text import STARRED, markdown, markdown_table
from genviews.studies.blocks import Images
from genviews.studies.ensembling.under_shift import BEST
from genviews.studies.result import Result
from recipes.robustness_figure import drawn

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
    "generated views", "both", "restored, then views", "not knowing the shift", "noticing it",
)  # fmt: skip


def result_lines(folder: Path) -> list[str]:
    """Every study that was measured, the first with what a practitioner should do."""
    lines = []
    for name, result in _results(folder).items():
        kept = tuple(block for block in result.blocks if not isinstance(block, Images))
        lines += [*markdown(replace(result, title=TITLES[name], blocks=kept)), ""]
        if name == "shifts":
            lines += [*advice_lines(result), ""]
    return lines


def advice_lines(result: Result) -> list[str]:
    """What a practitioner should do, with the numbers of the study of shifts."""
    rows = result.record.data["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    corrupted = result.record.config["options"]["shifts"]

    def mean(task: str, name: str, protocol: str = "") -> str:
        own = [
            row["accuracy"]
            for row in rows
            if (row["task"], row["row"], row["protocol"]) == (task, name, protocol)
            and row["shift"] in corrupted
        ]
        return f"{100 * sum(own) / len(own):.1f} %" if own else "not measured"

    def clean(task: str, name: str, protocol: str = "") -> str:
        (row,) = (
            row
            for row in rows
            if (row["shift"], row["task"], row["row"], row["protocol"])
            == ("clean", task, name, protocol)
        )
        return f"{100 * row['gain']:+.1f}"

    main, generated = tasks[0], "generated views"
    views, one, noticing = [(generated, p) for p in ("known shift", "one weight", "noticing")]
    restored = ("restored, then views", "known shift")
    rows_of_main = dict.fromkeys((row["row"], row["protocol"]) for row in rows)
    highest = max(rows_of_main, key=lambda key: float(mean(main, *key).partition(" ")[0]))
    lines = [
        "### What to do",
        "",
        f"Means over the {len(corrupted)} corruptions; the classifier alone has "
        f"{mean(main, 'single image')}. The highest mean of all rows of the first classifier is "
        f"{mean(main, *highest)}: {highest[0]}.",
        "",
        f"- **You cannot train again, and have labelled images under the shift**: choose on them. "
        f"Generated views have {mean(main, *views)}, the best rival (pixel views, filters or an "
        f"autoencoder, each chosen under the shift) {mean(main, BEST)}, views of the "
        f"restored image {mean(main, *restored)}, the reconstruction "
        f"alone {mean(main, 'reconstruction')}.",
        f"- **You do not know the shift**: one weight, fitted on clean images and a mild shift of "
        f"another kind, has {mean(main, *one)}, and changes clean accuracy by "
        f"{clean(main, *one)} points; weights that notice the shift have "
        f"{mean(main, *noticing)}, and change it by {clean(main, *noticing)}.",
        f"- **Your images are clean**: fit the weight on clean images; views then change accuracy "
        f"by {clean(main, generated, 'clean')} points, pixel views by "
        f"{clean(main, 'pixel views')}.",
    ]
    told = {
        "foreseen": "You can train again, and know the shift",
        "others": "You can train again, and expect other shifts than come",
        "views": "You trained on generated views",
    }
    for task in tasks[1:]:
        lines.append(
            f"- **{told.get(task, task)}**: that classifier alone has "
            f"{mean(task, 'single image')}, with generated views {mean(task, *views)}, with one "
            f"weight {mean(task, *one)}."
        )
    return lines


def readme_lines(folder: Path) -> list[str]:
    """The first table of the README, and its figure; none before they are measured."""
    found = _results(folder).get("shifts")
    if found is None:
        return []
    lines = [found.verdict, "", f"![Accuracy under shifts of severity 3 and attacks]({FIGURE})", ""]
    lines += [*_columns(found, _SHOWN), ""]
    own = "`results/fashion32/robustness_shifts.json`"
    told = (
        "The attacks of this table know the classifier alone. What to do in practice, and every "
        "rival: [docs/results.md](docs/results.md)."
    )
    lines += [f"`{found.record.command}` -> {own}. {STARRED} {told}", ""]
    for name in ("few_labels", "adaptive"):
        if (result := _results(folder).get(name)) is not None:
            lines += [f"{TITLES[name]}: {result.verdict}", ""]
    return lines


def figure(folder: Path) -> bytes | None:
    """The figure of the README as a file; None before the study of shifts is measured."""
    found = _results(folder).get("shifts")
    if found is None:
        return None
    rows = found.record.data["rows"]
    return drawn([row for row in rows if row["task"] == rows[0]["task"]])


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
