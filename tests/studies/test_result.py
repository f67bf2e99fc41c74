from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Column,
    Estimate,
    Grid,
    Picture,
    Table,
    chart_of,
)
from genviews.studies.result import Record, Result
from tests.studies.results import TABLE, images, result


class TestRecord:
    def test_all_but_the_pixels_comes_back(self, tmp_path):
        found = result(
            record=Record(command="x", seed=1, config={"names": ["a"]}, data={"rows": [[1, 2]]})
        )
        found.save(tmp_path)
        again = Result.load(tmp_path)
        assert again == found
        assert again.blocks[3].grids[0].pictures[0][0].pixels is None

    def test_of_every_block_and_as_text(self, tmp_path):
        found = result()
        found.save(tmp_path)
        assert Result.load(tmp_path / "results.json").to_json() == found.to_json()
        assert json.loads((tmp_path / "results.json").read_text()) == found.to_json()

    def test_knows_versions_by_itself(self):
        assert Record().versions["torch"] == result().to_json()["record"]["versions"]["torch"]

    def test_the_answer_is_the_first_table(self):
        assert result().answer == TABLE
        assert result(blocks=(images(), replace(TABLE, folded=True))).answer is None

    def test_names_the_place_of_a_number_that_is_none(self, tmp_path):
        rows = (("a", Estimate(float("nan"))),)
        table = Table(title="t", columns=(Column(name="a"), Column(name="b")), rows=rows)
        with pytest.raises(ValueError, match=r"blocks\[0\].rows\[0\]\[1\].value"):
            result(blocks=(table,)).save(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_refuses_tensors(self):
        with pytest.raises(TypeError, match=r"record.data.found.*got Tensor"):
            result(record=Record(data={"found": torch.zeros(1)})).to_json()

    def test_refuses_other_files(self, tmp_path):
        (tmp_path / "results.json").write_text('{"rows": []}')
        with pytest.raises(ValueError, match=r"expected what .* returns"):
            Result.load(tmp_path)


class TestBlocks:
    def test_a_row_has_a_cell_for_each_column(self):
        with pytest.raises(ValueError, match="cells of a row of 't': expected 2, got 1"):
            Table(title="t", columns=(Column(name="a"), Column(name="b")), rows=((1,),))

    def test_a_row_has_a_tone_or_none_has(self):
        with pytest.raises(ValueError, match="tones of 't': expected 1, got 2"):
            Table(title="t", columns=(Column(name="a"),), rows=((1,),), tones=("", ""))

    def test_a_bar_for_each_name(self):
        with pytest.raises(ValueError, match="values of 'b': expected 2, got 1"):
            Bars(title="b", names=("x", "y"), columns=(BarColumn(label="l", values=(None,)),))
        with pytest.raises(ValueError, match="tones of 'b'"):
            Bars(
                title="b",
                names=("x",),
                columns=(BarColumn(label="l", values=(None,), tones=("", "")),),
            )

    def test_a_name_for_each_row_of_pictures(self):
        with pytest.raises(ValueError, match="names of rows of 'g'"):
            Grid(title="g", rows=("a", "b"), pictures=((Picture(),),))

    @pytest.mark.parametrize(
        ("intervals", "low"), [((None, (0.1, 0.4)), (0.2, 0.1)), ((None, None), ())]
    )
    def test_a_line_has_an_interval_at_each_place_or_none(self, intervals, low):
        rows = tuple((x, Estimate(0.2, ends)) for x, ends in enumerate(intervals))
        columns = (Column(name="x", kind="count"), Column(name="y", kind="percent"))
        table = Table(title="t", columns=columns, rows=rows)
        assert chart_of(table, ["y"], y_label="y").series[0].low == low
