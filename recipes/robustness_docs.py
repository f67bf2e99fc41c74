"""The pages' sections on where generated views pay, from results/fashion32/robustness_*.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from genviews.report.text import legend, markdown, markdown_table
from genviews.studies.blocks import Images, Table
from genviews.studies.ensembling.shift_tables import VIEWS
from genviews.studies.ensembling.under_shift import BEST, TOGETHER, with_views
from genviews.studies.result import Result
from recipes.robustness_figure import drawn

__all__ = ["FIGURE", "advice_lines", "figure", "readme_lines", "result_lines"]

FIGURE = "docs/where_views_pay.svg"
TITLES = {
    "shifts": "Where do generated views pay? (fashion32)",
    "few_labels": "Few labels",
    "adaptive": "Attacks that know the defence",
    "fig7": "Corruptions and attacks as in the paper (Fig. 7 and 19)",
}
_SHOWN = (
    "images", "single image", "best rival", "batch statistics", "pixel views", "reconstruction",
    "generated views", "both", "restored, then views", "not knowing the shift", "noticing it",
)  # fmt: skip
_ADAPTIVE = ("defence", "budget", "weight of views", "clean", "not knowing", "worst")
AIM = 0.3
"""Points that a weight which serves all shifts may cost on clean images: set beforehand."""


def result_lines(folder: Path) -> list[str]:
    """Every study that was measured, the first with what a practitioner should do."""
    lines = []
    for name, result in _results(folder).items():
        kept = tuple(block for block in result.blocks if not isinstance(block, Images))
        lines += [*markdown(replace(result, title=TITLES[name], blocks=kept)), ""]
        if name == "shifts":
            lines += [*advice_lines(result), ""]
    return lines


class _Means:
    """Means over some shifts of what the study of shifts measured."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], shifts: Sequence[str]) -> None:
        self.rows = [row for row in rows if row["shift"] in shifts]

    def of(self, task: str, name: str, protocol: str = "") -> float:
        """Mean accuracy of a row, in percent."""
        key = (task, name, protocol)
        own = [r for r in self.rows if (r["task"], r["row"], r["protocol"]) == key]
        return 100 * sum(row["accuracy"] for row in own) / len(own)

    def highest(self, task: str) -> str:
        """The row of a task with the highest mean, of those that see one image at a time."""
        known = dict.fromkeys((r["row"], r["protocol"]) for r in self.rows if r["task"] == task)
        seen = [key for key in known if key[0] not in (TOGETHER, with_views(TOGETHER))]
        name, protocol = max(seen, key=lambda key: self.of(task, *key))
        return f"{name}{protocol and f' ({protocol})'} with {self.of(task, name, protocol):.1f} %"


def advice_lines(result: Result) -> list[str]:
    """What a practitioner should do, with the numbers of the study of shifts."""
    rows, options = result.record.data["rows"], result.record.config["options"]
    corrupted, attacked = (_Means(rows, options[name]) for name in ("shifts", "attacks"))
    clean = {(r["task"], r["row"], r["protocol"]): r for r in rows if r["shift"] == "clean"}
    main = rows[0]["task"]
    known, one, noticing = ((VIEWS, name) for name in ("known shift", "one weight", "noticing"))

    def cost(name: str, protocol: str = "") -> str:
        return f"{100 * clean[main, name, protocol]['gain']:+.1f}"

    def aim(protocol: str) -> str:
        met = 100 * clean[main, VIEWS, protocol]["gain"] >= -AIM
        return "within" if met else "beyond"

    def percent(means: _Means, name: str, protocol: str = "", task: str = main) -> str:
        return f"{means.of(task, name, protocol):.1f} %"

    lines = [
        "### What to do",
        "",
        f"Mean accuracies over the {len(options['shifts'])} corruptions, and over the "
        f"{len(options['attacks'])} attacks that know the classifier alone.",
        "",
        "- **Your images are clean**: fit the weight on clean images. Generated views then change "
        f"accuracy by {cost(VIEWS, 'clean')} points, pixel views by {cost('pixel views')}.",
        "- **You have labelled images under the shift, and cannot train again**: choose on them, "
        f"filters and normalisation before anything else. The classifier alone has "
        f"{percent(corrupted, 'single image')}, generated views {percent(corrupted, *known)}, "
        f"their reconstruction alone {percent(corrupted, 'reconstruction')}, the rival that "
        f"calibration chooses {percent(corrupted, BEST)}. The highest mean is "
        f"{corrupted.highest(main)}.",
        f"- **You do not know the shift**: one weight, fitted on clean images and a mild shift of "
        f"another kind, has {percent(corrupted, *one)} and changes clean accuracy by "
        f"{cost(*one)} points, {aim('one weight')} the {AIM} that were allowed beforehand; weights "
        f"that notice the shift have {percent(corrupted, *noticing)} and change it by "
        f"{cost(*noticing)}, {aim('noticing')} them.",
        f"- **Somebody attacks the classifier and knows of no defence**: alone it has "
        f"{percent(attacked, 'single image')}, with generated views {percent(attacked, *known)}, "
        f"with the chosen rival {percent(attacked, BEST)}. One who knows the defence is another "
        f"matter: see *{TITLES['adaptive']}*.",
    ]
    if any(row["task"] == "foreseen" for row in rows):
        lines.append(_insurance(corrupted, main, known))
    if any(row["task"] == "views" for row in rows):
        lines.append(
            f"- **You trained on generated views**: that classifier alone has "
            f"{percent(corrupted, 'single image', task='views')} under the corruptions, with views "
            f"{percent(corrupted, *known, task='views')}."
        )
    return lines


def _insurance(corrupted: _Means, main: str, known: tuple[str, str]) -> str:
    """What training does that views do not, and what they do on top of it."""
    views = corrupted.of(main, *known)
    foreseen, others = (corrupted.of(task, "single image") for task in ("foreseen", "others"))
    better = "better" if min(foreseen, others) > views else "not always better"
    told = ", ".join(
        f"{'the tested' if task == 'foreseen' else 'other'} kinds {alone:.1f} % alone and "
        f"{corrupted.of(task, *known):.1f} % with views"
        for task, alone in (("foreseen", foreseen), ("others", others))
    )
    return (
        f"- **You can train again**: training with corruptions is {better} than views of a "
        f"classifier that was trained without ({views:.1f} %): trained with {told}. Views are "
        "insurance for a classifier that cannot be trained again, and for a shift that training "
        "did not foresee."
    )


def readme_lines(folder: Path) -> list[str]:
    """The first table of the README, and its figure; none before they are measured."""
    results = _results(folder)
    if "shifts" not in results:
        return []
    options = results["shifts"].record.config["options"]
    answers = [results[name].answer for name in ("shifts", "few_labels") if name in results]
    table = _joined([one for one in answers if one is not None], _SHOWN)
    notes = [
        legend(table),
        f"Clean images and {', '.join(options['headlines'])}: all 10,000 test images; the others "
        f"{options['test_images']:,}. "
        "\\* Other than the single image, by more than chance explains (the whole table corrected "
        "together). Attacks know the classifier alone.",
    ]
    sources = "`robustness_shifts.json`"
    if "few_labels" in results:
        notes.append(
            "Rows of few labels are means over seeds, with Student's interval over them; restored "
            "images were not inverted there."
        )
        sources += ", `robustness_few_labels.json`"
    lines = [results["shifts"].verdict, ""]
    lines += [f"![Accuracy under shifts of severity 3 and attacks]({FIGURE})", ""]
    lines += [*markdown_table(table), ""]
    lines += [f"`python -m recipes.fashion32.robustness` -> {sources} in `results/fashion32/`."]
    lines += [*notes, ""]
    if "few_labels" in results:
        lines += [f"{TITLES['few_labels']}: {results['few_labels'].verdict}", ""]
    if "adaptive" in results:
        found = results["adaptive"]
        assert found.answer is not None
        lines += [f"{TITLES['adaptive']}: {found.verdict}", ""]
        lines += [*markdown_table(_joined([found.answer], _ADAPTIVE)), ""]
        lines += [
            f"`{found.record.command}` -> `results/fashion32/robustness_adaptive.json`: "
            f"{found.record.data['images']} test images; worst is what withstands every attack "
            "that was tried, knowing all. \\* Other than the classifier's worst, by more than "
            f"chance explains. {_signs_words(found)} Each attack: "
            "[docs/results.md](docs/results.md#attacks-that-know-the-defence).",
            "",
        ]
    page = "[docs/results.md](docs/results.md#what-to-do)"
    lines += [f"What to do in practice, and every rival: {page}."]
    return lines


def _signs_words(adaptive: Result) -> str:
    """Of which defences a masked gradient must be suspected."""
    signs = [name for name, one in adaptive.record.data["masking"].items() if one["signs"]]
    if not signs:
        return "No sign of a masked gradient was seen."
    return f"Signs of a masked gradient, hence no robustness: {'; '.join(signs)}."


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


def _joined(tables: Sequence[Table], names: Sequence[str]) -> Table:
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
    return replace(tables[0], columns=picked, rows=tuple(rows), breaks=())
