"""The pages quote the JSON files: building them again changes nothing."""

import json

import pytest

from genviews.ensemble.significance import gain_interval
from genviews.studies.result import Result
from recipes import write_docs


def test_pages_are_up_to_date():
    folder = write_docs.ROOT / "results"
    page = (write_docs.ROOT / "docs/results.md").read_text()
    assert page == write_docs.results_page(folder)
    readme = (write_docs.ROOT / "README.md").read_text()
    assert readme == write_docs.with_blocks(readme, write_docs.readme_blocks(folder))


def test_every_result_says_how_it_was_made():
    for path in (write_docs.ROOT / "results").rglob("*.json"):
        value = json.loads(path.read_text())
        text = json.dumps(value)
        assert "command" in text, path
        assert "version" in text, path
        assert "seed" in text, path


def test_figures_are_formatted():
    assert write_docs.percent(0.87649) == "87.6"
    text = "a<!-- results -->\nold\n<!-- /results -->b<!-- more --><!-- /more -->"
    assert write_docs.with_blocks(text, {"results": "new", "more": "1"}) == (
        "a<!-- results -->\nnew\n<!-- /results -->b<!-- more -->\n1\n<!-- /more -->"
    )


def test_inversion_pages_say_what_the_files_hold():
    from recipes import inversion_docs

    folder = write_docs.ROOT / "results"
    text = (write_docs.ROOT / "docs/results.md").read_text()
    for row in Result.load(folder / "fashion32/inversion.json").record.data["inversions"]:
        assert f"| {row['inversion']} | {row['distances']['l1']:.4f} |" in text
    bench = json.loads((folder / "benchmarks/inversion.json").read_text())
    text = "\n".join(inversion_docs.speed_lines(bench))
    assert f"{bench['ours']['loss']['mean']:.4f}" in text
    lowest = min(row["loss"]["mean"] for row in bench["baselines"].values())
    rows = bench["ours_by_step_limit"].items()
    reached = [steps for steps, row in rows if row["loss"]["mean"] <= lowest]
    assert (f"With {reached[0]} steps and no early stop" in text) if reached else "No step" in text


def test_every_gain_of_the_main_result_is_that_of_its_counts():
    result = Result.load(write_docs.ROOT / "results/fashion32/ensemble.json")
    data = result.record.data
    for row in data["rows"]:
        wanted = gain_interval(row["fixed"], row["broke"], data["num_test"])
        assert tuple(row["gain_interval"]) == pytest.approx(wanted)
        assert row["gain"] == pytest.approx((row["fixed"] - row["broke"]) / data["num_test"])
        assert (wanted[0] > 0 or wanted[1] < 0) == (row["p_value"] < 0.05)
    shown = {row[0]: row[2] for row in result.answer.rows if row[2] is not None}
    for row in data["rows"]:
        if row["task"] == data["rows"][0]["task"] and row["name"] in shown:
            assert shown[row["name"]].interval == pytest.approx(row["gain_interval"])
