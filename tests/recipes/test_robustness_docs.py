"""What the pages say of the studies of shifts, against the files that hold the numbers."""

from __future__ import annotations

import re
import shutil
from statistics import mean

import pytest

from genviews.ensemble.significance import counted_report
from genviews.files import write_json
from genviews.robustness.masking import MaskingReport
from genviews.studies.blocks import Column, Estimate, Table
from genviews.studies.ensembling.adaptive_tables import CLEAN, NAIVE, WORST, Row, shown
from genviews.studies.result import Record, Result
from recipes import robustness_docs, write_docs

FOLDER = write_docs.ROOT / "results/fashion32"


@pytest.fixture(scope="module")
def shifts():
    return Result.load(FOLDER / "robustness_shifts.json")


def percent(result, task, name, protocol="", *, over="shifts"):
    """The mean accuracy of a row over corruptions or attacks."""
    key, shifts = (task, name, protocol), result.record.config["options"][over]
    rows = result.record.data["rows"]
    own = [
        row["accuracy"]
        for row in rows
        if (row["task"], row["row"], row["protocol"]) == key and row["shift"] in shifts
    ]
    assert len(own) == len(shifts)
    return f"{100 * mean(own):.1f} %"


def test_advice_quotes_means_of_the_study(shifts):
    text = "\n".join(robustness_docs.advice_lines(shifts))
    views = ("generated views", "known shift")
    for name, protocol in (("single image", ""), views, ("best rival", ""), ("reconstruction", "")):
        assert percent(shifts, "images", name, protocol) in text
    for over in ("shifts", "attacks"):
        assert percent(shifts, "images", *views, over=over) in text
    for task in ("foreseen", "others", "views"):
        assert percent(shifts, task, "single image") in text
        assert percent(shifts, task, *views) in text
    assert "batch statistics" not in text


def test_the_aim_on_clean_images_is_said_to_be_met_or_not(shifts):
    text = "\n".join(robustness_docs.advice_lines(shifts))
    gains = {
        row["protocol"]: 100 * row["gain"]
        for row in shifts.record.data["rows"]
        if (row["shift"], row["task"], row["row"]) == ("clean", "images", "generated views")
    }
    for protocol in ("one weight", "noticing"):
        word = "within" if gains[protocol] >= -robustness_docs.AIM else "beyond"
        assert re.search(rf"{re.escape(f'{gains[protocol]:+.1f}')}(?: points)?, {word} ", text)


def few_labels() -> Result:
    table = Table(
        title="Means",
        columns=(
            Column(name="images"),
            Column(name="single image", kind="percent", digits=1),
            Column(name="generated views", kind="percent", digits=1),
        ),
        rows=(("10 labels a class: clean images", Estimate(0.61, (0.5, 0.72)), Estimate(0.63)),),
    )
    return Result(title="Few", verdict="It is so.", blocks=(table,), record=Record(command="few"))


def adaptive(signs: tuple[str, ...] = ()) -> Result:
    def row(name: str, worst: int) -> Row:
        hits = {CLEAN: 90, NAIVE: 80, "margin": worst, WORST: worst}
        return Row(
            defence=name,
            budget=0.05,
            alpha=None,
            reports={way: counted_report(count, 0, 0, 100) for way, count in hits.items()},
            against=counted_report(worst, worst, 0, 100),
        )

    seen = MaskingReport(
        images=50, clean=0.9, budgets=(0.05, 1.0), accuracy=(0.4, 0.0), margin=(0.1, 2.0),
        at=0.05, one_step=0.5, random=0.6, transfer=0.6, worst=0.4,
    )  # fmt: skip
    rows = [row("classifier", 7), row("views", 44)]
    told = {"classifier": ("margin", seen), "views": ("margin", seen)}
    masking = {name: {"signs": signs} for name, signs in (("classifier", ()), ("views", signs))}
    return shown(rows, told, Record(command="adapt", data={"images": 100, "masking": masking}))


def test_the_readme_has_rows_of_few_labels_and_a_table_of_adaptive_attacks(tmp_path):
    shutil.copy(FOLDER / "robustness_shifts.json", tmp_path)
    alone = robustness_docs.readme_lines(tmp_path)
    assert not any("labels a class" in line or "`adapt`" in line for line in alone)
    for name, result in (("few_labels", few_labels()), ("adaptive", adaptive())):
        write_json(tmp_path / f"robustness_{name}.json", result.to_json())
    lines = robustness_docs.readme_lines(tmp_path)
    (head, *_) = (line for line in lines if line.startswith("| images | single image"))
    (own,) = (line for line in lines if line.startswith("| 10 labels a class: clean images"))
    names, values = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (head, own))
    cells = dict(zip(names, values, strict=True))
    assert cells["single image, %"] == "61.0 [50.0 to 72.0]"
    assert cells["generated views, %"] == "63.0"
    assert cells["reconstruction, %"] == ""
    (attacked,) = (line for line in lines if line.startswith("| views | 0.05"))
    assert "80.0" in attacked
    assert "44.0" in attacked
    assert any(line.startswith("Few labels: It is so.") for line in lines)
    assert any("No sign of a masked gradient" in line for line in lines)
    write_json(tmp_path / "robustness_adaptive.json", adaptive(("One step finds more.",)).to_json())
    (told,) = (line for line in robustness_docs.readme_lines(tmp_path) if "masked gradient" in line)
    assert "no robustness: views." in told


def test_nothing_is_said_before_it_is_measured(tmp_path):
    assert robustness_docs.readme_lines(tmp_path) == []
    assert robustness_docs.result_lines(tmp_path) == []
    assert robustness_docs.figure(tmp_path) is None
