"""Which rows a study of the learning arrow has, from options and generator."""

from __future__ import annotations

from genviews import GeneratorKit, load_generator
from genviews.generators.toy import ToyGenerator
from genviews.studies.learning.options import LearningOptions
from genviews.studies.learning.tables import TABLES, learning_table, suited, table_rows


def test_style_rows_where_the_generator_has_them():
    found, lacking = suited(LearningOptions(), GeneratorKit(ToyGenerator()))
    assert (found.mix, found.steer) == ("fine", 0.0)
    assert list(lacking) == ["steer"]
    found, lacking = suited(LearningOptions(steer=0.0, mix="none"), None)
    assert (found.mix, found.steer, lacking) == ("none", 0.0, {})


def test_strengths_are_those_of_the_options():
    options = LearningOptions(std=0.5, sweep=(0.1, 2.0), steer=0.7, mix="coarse")
    walks = load_generator("fashion32").walks
    found, lacking = suited(options, GeneratorKit(ToyGenerator(), walks=walks))
    assert (found.std, found.sweep, found.steer, found.mix) == (0.5, (0.1, 2.0), 0.7, "coarse")
    assert lacking == {}


def test_rows_keep_the_order_of_the_table():
    kit = load_generator("fashion32")
    options = LearningOptions(rows=("Gaussian", "real + T_x"))
    found, notes = table_rows(TABLES["table1"], options, kit)
    assert [row.name for row in found] == ["real + T_x", "Gaussian"]
    assert notes == ()
    assert table_rows(TABLES["table1"], LearningOptions(), kit)[0] == learning_table("table1")


def test_what_nobody_asked_for_is_not_missed():
    kit = GeneratorKit(ToyGenerator())
    assert table_rows(TABLES["table1"], LearningOptions(rows=("Gaussian",)), kit)[1] == ()
    assert len(table_rows(TABLES["table1"], LearningOptions(), kit)[1]) == 1
