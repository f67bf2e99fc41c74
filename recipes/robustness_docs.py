"""The pages' sections on where generated views pay, from results/fashion32/robustness_*.json."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genviews.ensemble.significance import GainReport
from genviews.report.text import STARRED, markdown, markdown_table
from genviews.studies.blocks import Cell, Column, Estimate, Images, Table
from genviews.studies.ensembling.adaptive_tables import WORST
from genviews.studies.ensembling.under_shift import BEST
from genviews.studies.result import Result
from genviews.studies.statistics import Gap, weigh
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
_NOTES = {
    "shifts": f"{STARRED} Attacks know the classifier alone, where a row does not say otherwise.",
    "adaptive": "Where they know all, the worst of every attack that was tried counts, for the "
    "classifier too: for generated views alone, for one weight and for a weight for each image.",
    "few_labels": "Rows of few labels are means over seeds, with Student's interval over them.",
}


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
    results = _results(folder)
    if "shifts" not in results:
        return []
    named = [name for name in _NOTES if name in results]
    tables = [
        _adaptive(results[name]) if name == "adaptive" else results[name].answer for name in named
    ]
    sources = ", ".join(f"`robustness_{name}.json`" for name in named)
    lines = [results["shifts"].verdict, ""]
    lines += [f"![Accuracy under shifts of severity 3 and attacks]({FIGURE})", ""]
    lines += [*_joined([one for one in tables if one is not None], _SHOWN), ""]
    lines += [f"`python -m recipes.fashion32.robustness` -> {sources} in `results/fashion32/`."]
    lines += [*(_NOTES[name] for name in named)]
    lines += ["What to do in practice, and every rival: [docs/results.md](docs/results.md).", ""]
    for name in named[1:]:
        lines += [f"{TITLES[name]}: {results[name].verdict}", ""]
    return lines


def _adaptive(result: Result) -> Table:
    """Ensembles under attacks that know of them, in the columns of the table of shifts."""
    rows, options = result.record.data["rows"], result.record.config["options"]
    most = options["optimizer_steps"][-1]
    least = options["optimizer_steps"][0]
    shown = {
        "generated views": f"views alone, {most} steps",
        "not knowing the shift": f"image and views, {most} steps",
        "noticing it": f"a weight for each image, {least} steps",
    }
    by_place = {(row["defence"], row["budget"]): row for row in rows}
    pairs = [(name, budget) for budget in options["budgets"] for name in shown.values()]
    reports = [GainReport(**by_place[pair]["against"]) for pair in pairs]
    gaps = dict(zip(pairs, weigh([Gap.of(one) for one in reports]), strict=True))
    lines = []
    for budget in options["budgets"]:
        plain = by_place[rows[0]["defence"], budget]["reports"][WORST]
        cells: list[Cell] = [f"pgd:{budget:g}, knowing all"]
        cells.append(Estimate(plain["accuracy"], tuple(plain["interval"])))
        for name in shown.values():
            worst = by_place[name, budget]["reports"][WORST]
            star = gaps[name, budget].differs
            cells.append(Estimate(worst["accuracy"], tuple(worst["interval"]), star))
        lines.append(tuple(cells))
    names = ("single image", *shown)
    return Table(
        title=TITLES["adaptive"],
        columns=(
            Column(name="images"),
            *(Column(name=name, kind="percent", digits=1) for name in names),
        ),
        rows=tuple(lines),
    )


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


def _joined(tables: Sequence[Table], names: Sequence[str]) -> list[str]:
    """Some columns of the first table, with the rows of all; what one lacks stays empty."""
    columns = {column.name: column for column in tables[0].columns}
    kept = [name for name in names if name in columns]
    rows = []
    for table in tables:
        known = [column.name for column in table.columns]
        for row in table.rows:
            own = dict(zip(known, row, strict=True))
            rows.append(tuple(own.get(name) for name in kept))
    picked = tuple(columns[name] for name in kept)
    return markdown_table(replace(tables[0], columns=picked, rows=tuple(rows), breaks=()))
