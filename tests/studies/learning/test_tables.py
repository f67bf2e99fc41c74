"""The paper's tables as lists of rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genviews import GeneratorKit, load_generator, z_space
from genviews.represent.plan import RATIOS
from genviews.studies.learning.options import LearningOptions
from genviews.studies.learning.tables import TABLES, learning_table


def by_name(table, strengths=None):
    return {row.name: row for row in learning_table(table, strengths)}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "strengths", [LearningOptions(mix="fine"), LearningOptions(steer=0.0, mix="none")]
)
class TestEveryTable:
    def test_rows_differ_in_name_and_in_what_they_are(self, table, strengths):
        rows = learning_table(table, strengths)
        assert rows
        assert len({row.name for row in rows}) == len(rows)
        assert len({row.slug for row in rows}) == len(rows)

    def test_views_have_names_that_are_understood(self, table, strengths):
        kit = load_generator("fashion32")
        before = GeneratorKit(z_space(kit.generator), walks=kit.walks)
        for row in learning_table(table, strengths):
            if row.views is not None and row.space == "own":
                assert kit.perturbation(row.views).name == row.views
            elif row.views is not None:
                assert before.perturbation(row.views) is not None

    def test_what_is_left_out_is_nowhere(self, table, strengths):
        kinds = {(row.views or "").partition("_")[0] for row in learning_table(table, strengths)}
        if not strengths.steer:
            assert not kinds & {"steer", "stylemix"}


class TestTable1:
    def test_has_the_papers_rows(self):
        """Table 1: data x (T_z) x (T_x), and the inverter."""
        rows = learning_table("table1")
        found = {
            (row.data, (row.views or "").partition("_")[0], row.pixels, row.objective)
            for row in rows
        }
        papers = {
            ("none", "", False, "nt-xent"),
            ("real", "", True, "nt-xent"),
            ("generated", "", True, "nt-xent"),
            ("generated", "gaussian", False, "nt-xent"),
            ("generated", "gaussian", True, "nt-xent"),
            ("generated", "steer", False, "nt-xent"),
            ("generated", "steer", True, "nt-xent"),
            ("generated", "", False, "inverter"),
        }
        assert papers <= found
        assert {views for _, views, _, _ in found - papers} == {"stylemix"}  # which are ours

    def test_tables_2_and_4_are_the_same_with_other_data(self):
        assert learning_table("table1") == learning_table("table2") == learning_table("table4")

    def test_several_positives_have_their_objective(self):
        rows = [row for row in learning_table("table1") if row.positives > 1]
        assert [(row.objective, row.positives) for row in rows] == [("multi-positive", 3)]

    def test_strengths_are_in_the_names(self):
        rows = by_name("table1", LearningOptions(std=0.5, steer=0.7, mix="coarse"))
        assert rows["Gaussian"].views == "gaussian_all_0.50"
        assert rows["steered + T_x"].views == "steer_all_0.70"
        assert rows["style-mix"].views == "stylemix_coarse"
        assert rows["style-mix, 3 positives + T_x"].views == "stylemix_coarse"


class TestTable3:
    def test_is_learnt_with_classes(self):
        rows = by_name("table3")
        kinds = {row.objective for name, row in rows.items() if name != "inverter"}
        assert kinds == {"supcon"}
        assert rows["inverter"].objective == "inverter"
        assert {"independent", "independent + T_x", "style-mix", "style-mix + T_x"} <= set(rows)
        assert learning_table("table3") == learning_table("table5")

    def test_table_6_compares_classifiers(self):
        rows = learning_table("table6")
        assert [(row.data, row.objective) for row in rows] == [
            ("real", "classifier"),
            ("generated", "classifier"),
        ]


class TestFigures:
    def test_figure_5_sweeps_the_deviation(self):
        rows = learning_table("figure5", LearningOptions(sweep=(0.1, 1.5)))
        assert [(row.name, row.views) for row in rows] == [
            ("std 0.00", None),
            ("std 0.10", "gaussian_all_0.10"),
            ("std 1.50", "gaussian_all_1.50"),
        ]
        assert all(row.pixels for row in rows)

    def test_figures_6_and_8_sweep_the_samples_at_constant_updates(self):
        for table, objective in (("figure6", "nt-xent"), ("figure8", "supcon")):
            rows = learning_table(table)
            assert tuple(row.ratio for row in rows) == RATIOS
            assert {(row.objective, row.updates) for row in rows} == {(objective, 1.0)}

    def test_figure_9_mixes(self):
        rows = learning_table("figure9")
        assert [row.share for row in rows] == [None, 0.05, 0.25, 0.5, None]
        assert [row.data for row in rows] == ["real", "mixed", "mixed", "mixed", "generated"]

    def test_training_time_and_pool(self):
        assert [row.updates for row in learning_table("training-time")] == [0.25, 0.5, 0.75, 1.0]
        assert [row.pool for row in learning_table("pool")] == [1, 5, 20]

    def test_objectives_share_their_views(self):
        rows = learning_table("objectives")
        assert len({replace(row, name="", objective="nt-xent").slug for row in rows}) == 1


class TestSharedRows:
    """Rows of two tables that are the same are learnt once."""

    @pytest.mark.parametrize(
        ("table", "row", "other", "same"),
        [
            ("figure9", "0 % generated", "table1", "real + T_x"),
            ("figure9", "100 % generated", "table1", "generated + T_x"),
            ("figure5", "std 0.00", "table1", "generated + T_x"),
            ("figure5", "std 0.20", "table1", "Gaussian + T_x"),
            ("figure6", "1 times the samples", "table1", "Gaussian + T_x"),
            ("training-time", "1 of the updates", "table1", "real + T_x"),
            ("objectives", "nt-xent", "table1", "Gaussian + T_x"),
            ("figure8", "1 times the samples", "table3", "Gaussian + T_x"),
        ],
    )
    def test_they_have_one_folder(self, table, row, other, same):
        assert by_name(table)[row].slug == by_name(other)[same].slug

    def test_others_have_not(self):
        slugs = {row.name: row.slug for row in learning_table("table1")}
        assert len(set(slugs.values())) == len(slugs)
        assert by_name("table1")["untrained"].slug == by_name("table2")["untrained"].slug
        assert by_name("figure6")["2 times the samples"].slug not in slugs.values()


def test_unknown_table():
    with pytest.raises(ValueError, match="did you mean 'table1'"):
        learning_table("tabel1")


@pytest.mark.parametrize("options", [{"std": 0.0}, {"sweep": (0.1, -0.2)}])
def test_a_deviation_of_zero_is_no_gaussian_row(options):
    with pytest.raises(ValueError, match=r"--std and --sweep: expected at least 0\.01"):
        LearningOptions(**options).check()
