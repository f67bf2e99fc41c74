"""What is published follows from its counts by the rules of today."""

from __future__ import annotations

import shutil

import pytest

from genviews.ensemble.significance import gain_interval
from genviews.files import read_json
from genviews.studies.blocks import Table
from genviews.studies.result import Result
from recipes import recount
from recipes.write_docs import ROOT

NAMES = ("ensemble.json", "inversion.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("results")
    for name in NAMES:
        shutil.copy(ROOT / "results/fashion32" / name, place)
    recount.main(folder=place)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_the_published_results_are_up_to_date(folder, name):
    assert read_json(folder / name) == read_json(ROOT / "results/fashion32" / name)


def test_every_row_of_the_main_result_is_that_of_its_counts(folder):
    result = Result.load(folder / "ensemble.json")
    for row in result.record.data["rows"]:
        wanted = gain_interval(row["fixed"], row["broke"], 4000)
        assert tuple(row["gain_interval"]) == pytest.approx(wanted)
        assert (wanted[0] > 0 or wanted[1] < 0) == (row["p_value"] < 0.05)
    table = result.answer
    assert isinstance(table, Table)
    shown = {row[0]: row[2] for row in table.rows if row[2] is not None}
    assert shown["flip"].interval == pytest.approx(gain_interval(55, 25, 4000))


def test_counts_of_other_images_are_refused():
    kept = {"accuracy": 0.8, "gain": 0.01, "fixed": 3, "broke": 1}
    with pytest.raises(ValueError, match="counts: expected those of 300 images"):
        recount.again(kept, 300)
