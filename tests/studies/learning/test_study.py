"""A table run and read: the reference, Holm's correction, the verdict, the CSV file."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from genviews.data.images import ImageSet
from genviews.evaluate.encoders import ProbeData
from genviews.generators.toy import ToyGenerator
from genviews.report.text import table_csv
from genviews.represent.config import RepresentationTraining
from genviews.represent.schedule import StepCosine
from genviews.studies.learning.judge import Measured, RowResult
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import compare_rows, read_study
from genviews.studies.learning.tables import learning_table
from genviews.studies.result import Record

TEST = 400  # images


def image_set(split, count):
    return ImageSet(
        images=torch.linspace(-1, 1, count * 64).view(count, 1, 8, 8),
        ids=tuple(f"{split}/{i}" for i in range(count)),
        labels=torch.arange(count) % 2,
        class_names=("a", "b"),
    )


@pytest.fixture
def setting():
    return LearningSetting(
        training=lambda n: RepresentationTraining(schedule=StepCosine(steps=n), log_every=1),
        updates=1,
        base=8,
        batch=4,
        generator=ToyGenerator(),
        real=image_set("real", 8),
        probe=ProbeData(
            train=image_set("train", 24), val=image_set("val", 12), test=image_set("test", TEST)
        ),
        prefetch=0,
    )


def result(setting, row, right, *, seed=0, val=0.5, knn=None):
    """A result whose probes answer the first `right` (and `knn`) test images rightly."""
    truth = setting.probe.test.labels
    order = torch.arange(TEST)
    counts = {"linear": right, "knn": right if knn is None else knn}
    return RowResult(
        row=row,
        seed=seed,
        folder=Path(),
        record={
            **{probe: {"val": val} for probe in counts},
            "training": {"samples_per_second": 100.0, "waiting_for_views": 0.25},
        },
        measured={
            probe: Measured.of(torch.where(order < n, truth, 1 - truth) == truth)
            for probe, n in counts.items()
        },
    )


REAL = LearningRow(name="real + T_x", data="real", pixels=True)
GOOD = LearningRow(name="good", views="gaussian_all_0.20")
BAD = LearningRow(name="bad", views="gaussian_all_1.00")
NONE = LearningRow(name="untrained", data="none")


def study(setting, rows, reference="real + T_x"):
    """A study of (row, right answers, accuracy on val)."""
    results = [result(setting, row, right, val=val) for row, right, val in rows]
    return read_study("toy", results, setting, reference)


class TestVerdict:
    def test_above(self, setting):
        found = study(setting, [(REAL, 200, 0.5), (GOOD, 300, 0.9), (BAD, 100, 0.2)])
        assert found.best.name == "good"
        assert found.verdict.startswith(
            "good, the best on val, is above real + T_x: linear probe 75.0 %, +25.0 points "
            "[+20.5, +29.3], p = "
        )
        assert "1 seed, whose luck is not in the interval, 400 test images." in found.verdict

    def test_below(self, setting):
        found = study(setting, [(REAL, 300, 0.5), (GOOD, 200, 0.9), (BAD, 250, 0.2)])
        assert "good, the best on val, is below real + T_x" in found.verdict
        assert "-25.0 points" in found.verdict

    def test_level(self, setting):
        found = study(setting, [(REAL, 300, 0.5), (GOOD, 300, 0.9)])
        assert "is level with real + T_x" in found.verdict
        assert found.weighed["linear"]["good"].p_value > 0.05
        wide = study(setting, [(REAL, 300, 0.5), (GOOD, 303, 0.9)])
        words = "No difference seen between good, the best on val, and real + T_x"
        assert wide.verdict.startswith(words)

    @pytest.mark.parametrize(("untrained", "said"), [(0.74, False), (0.6, True)])
    def test_level_is_not_said_of_what_learnt_nothing(self, setting, untrained, said):
        """75 % of 400 are not surely above the 74 % of first weights, and above 60 %."""
        floor = {"unseen": {"linear": 0.5}, "class": "a", "untrained": {"linear": untrained}}
        rows = [result(setting, row, 300, val=val) for row, val in ((REAL, 0.5), (GOOD, 0.9))]
        found = read_study("toy", rows, setting, "real + T_x", floor=floor)
        assert ("level" in found.verdict) is said
        if not said:
            assert found.verdict.startswith(
                "good, the best on val, is not told from what learnt nothing: linear probe 75.0 %"
            )
            assert "nothing learnt can be seen: real + T_x, good." in found.verdict

    def test_the_best_is_chosen_on_val_alone(self, setting):
        found = study(setting, [(REAL, 200, 0.9), (GOOD, 150, 0.8), (BAD, 390, 0.7)])
        assert found.best.name == "good"

    def test_what_is_untrained_is_no_way_to_learn(self, setting):
        found = study(setting, [(REAL, 200, 0.5), (NONE, 390, 0.9), (BAD, 100, 0.2)])
        assert found.best.name == "bad"
        alone = study(setting, [(REAL, 200, 0.5), (NONE, 390, 0.9)])
        assert alone.best is None
        assert alone.verdict == "There is no row to compare."

    def test_holm_can_turn_a_difference_level(self, setting):
        """One comparison at p = 0.03 counts; among ten of them it does not."""
        pair = [(REAL, 200, 0.5), (GOOD, 208, 0.9)]
        assert "is above" in study(setting, pair).verdict
        others = [(replace(BAD, name=f"other {i}"), 200, 0.1) for i in range(9)]
        many = study(setting, [*pair, *others])
        assert many.verdict.startswith("No difference seen between good")
        # Holm: the smallest of ten is multiplied by ten.
        assert many.weighed["linear"]["good"].p_value == pytest.approx(
            min(1.0, 10 * many.rows[1].against["linear"].p_value)
        )
        assert set(many.weighed["linear"]) == {row.name for row in many.rows} - {"real + T_x"}


class TestHolm:
    def test_is_the_step_down_method(self, setting):
        rows = [(replace(GOOD, name=str(n)), n, 0.5) for n in (203, 207, 209, 250)]
        found = study(setting, [(REAL, 200, 0.5), *rows])
        raw = {row.name: row.against["linear"].p_value for row in found.rows if row.against}
        wanted, last = {}, 0.0
        for place, (name, p) in enumerate(sorted(raw.items(), key=lambda item: item[1])):
            last = max(last, min(1.0, (len(raw) - place) * p))
            wanted[name] = last
        assert {n: t.p_value for n, t in found.weighed["linear"].items()} == pytest.approx(wanted)

    def test_probes_are_corrected_apart(self, setting):
        results = [
            result(setting, REAL, 200, knn=300),
            result(setting, GOOD, 300, knn=300),
            result(setting, BAD, 200, knn=100),
        ]
        found = read_study("toy", results, setting, "real + T_x")
        assert found.weighed["linear"]["good"].p_value < 0.001
        assert found.weighed["knn"]["good"].p_value == 1.0
        assert found.weighed["knn"]["bad"].p_value < 0.001


class TestFiles:
    @pytest.fixture
    def found(self, setting):
        results = [
            result(setting, row, right + seed, seed=seed, val=0.5)
            for row, right in ((REAL, 200), (GOOD, 300))
            for seed in (0, 1)
        ]
        return read_study("toy", results, setting, "real + T_x")

    def test_table_and_csv(self, found):
        table = table_result(found, record=Record()).answer
        reference, good = csv.DictReader(table_csv(table).splitlines())
        assert (reference["learnt_from"], good["learnt_from"]) == ("real + T_x", "good")
        assert float(good["linear_probe"]) == pytest.approx(300.5 / 400)
        assert float(good["difference"]) == pytest.approx(0.25)
        p = found.rows[1].against["linear"].p_value
        assert float(good["Holm_p"]) == pytest.approx(p)  # of one
        assert {reference[n] for n in ("difference", "difference_low", "Holm_p")} == {""}
        assert (good["images_a_second"], good["waiting"]) == ("100.0", "0.25")
        assert "2 seeds" in table.caption

    def test_an_untrained_row_has_no_speed(self, setting):
        untrained = result(setting, NONE, 100)
        untrained.record["training"] = {"updates": 0}
        found = read_study("toy", [result(setting, REAL, 200), untrained], setting, "real + T_x")
        assert found.rows[1].samples_per_second is None
        row = table_result(found, record=Record()).answer.rows[1]
        assert (row[0], row[-3:-1]) == ("untrained", (None, None))

    def test_the_record_is_json_and_says_how(self, found):
        record = json.loads(json.dumps(found.record()))
        assert (record["table"], record["reference"]) == ("toy", "real + T_x")
        assert (record["seeds"], record["test_images"]) == ([0, 1], TEST)
        assert record["verdict"] == found.verdict
        assert "2 seeds, 400 test images" in found.verdict
        assert record["definitions"]["good"]["views"] == "gaussian_all_0.20"
        assert (record["updates"], record["batch"], record["base"]) == (1, 4, 8)
        assert record["encoder"]["backbone"] == "compact"
        assert record["training"]["schedule"]["type"] == "genviews:StepCosine"


class TestRun:
    @pytest.fixture
    def asked(self, monkeypatch):
        """Rows that were run; nothing is trained."""
        found = []

        def run_rows(rows, setting, seeds, folder, *, engine, report):
            found.extend(rows)
            return [result(setting, row, 200, seed=s) for row in rows for s in seeds]

        monkeypatch.setattr("genviews.studies.learning.study.run_rows", run_rows)
        return found

    def test_the_first_real_row_is_the_reference(self, setting, asked, tmp_path):
        found = compare_rows("table1", learning_table("table1"), setting, [0], tmp_path)
        assert found.reference == "real + T_x"
        assert len(found.rows) == len(asked)

    @pytest.mark.parametrize(
        ("table", "reference"),
        [
            ("figure5", "std 0.00"),
            ("figure9", "0 % generated"),
            ("table6", "classifier, real + T_x"),
            ("training-time", "0.25 of the updates"),
        ],
    )
    def test_else_it_is_the_first_that_is_trained(self, setting, asked, tmp_path, table, reference):
        found = compare_rows(table, learning_table(table), setting, [0], tmp_path)
        assert found.reference == reference
        assert asked[0] == NONE  # nothing learnt, beside every table
        assert NONE.name not in {row.name for row in found.rows}
        assert found.record()["floor"]["untrained"] == {"linear": 0.5, "knn": 0.5}

    def test_what_is_untrained_is_no_reference_but_where_it_is_alone(
        self, setting, asked, tmp_path
    ):
        assert compare_rows("toy", [NONE, BAD, GOOD], setting, [0], tmp_path).reference == "bad"
        assert compare_rows("toy", [NONE], setting, [0], tmp_path).reference == "untrained"

    def test_it_can_be_named(self, setting, asked, tmp_path):
        found = compare_rows("toy", [REAL, GOOD], setting, [0], tmp_path, reference="good")
        assert found.rows[1].against is None
        with pytest.raises(ValueError, match=r"reference row: expected one of good, real \+ T_x"):
            compare_rows("toy", [REAL, GOOD], setting, [0], tmp_path, reference="bad")

    def test_the_floor_is_that_of_its_own_row_or_of_one_more(self, setting, asked, tmp_path):
        found = compare_rows("toy", [REAL, GOOD, NONE], setting, [0, 1], tmp_path)
        assert [row.name for row in asked] == ["real + T_x", "good", "untrained"]
        said = "The floor: an untrained encoder 50.0 %, the most frequent class ("
        assert said in found.verdict
        assert "nothing learnt can be seen: real + T_x, good." in found.verdict  # as often
        most = setting.probe.train.labels.bincount().argmax()
        hits = int((setting.probe.test.labels == most).sum())
        assert found.record()["floor"]["majority"]["hits"] == hits

    def test_a_row_that_collapsed_is_named_and_left_out(self, setting, monkeypatch, tmp_path):
        why = "features: expected rows that differ, got the same row for all 60 images"

        def run_rows(rows, setting, seeds, folder, *, engine, report):
            made = [result(setting, row, 200, seed=s) for row in rows for s in seeds]
            return [replace(r, failed=why) if (r.row, r.seed) == (self.bad, 1) else r for r in made]

        monkeypatch.setattr("genviews.studies.learning.study.run_rows", run_rows)
        for self.bad in (GOOD, BAD, NONE):
            found = compare_rows("toy", [REAL, GOOD, BAD, NONE], setting, [0, 1], tmp_path)
            names = [row.name for row in found.rows]
            assert names == [r.name for r in (REAL, GOOD, BAD, NONE) if r != self.bad]
            assert f"Left out, failed: {self.bad.name}, seed 1 ({why})." in found.verdict
            (gate,) = [gate for gate in table_result(found, record=Record()).gates]
            assert self.bad.name in gate.text
        self.bad = REAL  # there is nothing to compare with
        with pytest.raises(ValueError, match=r"rows of the study: .*'real \+ T_x', seed 1: feat"):
            compare_rows("toy", [REAL, GOOD], setting, [0, 1], tmp_path)

    def test_mistakes_come_before_the_training(self, setting, asked, tmp_path):
        with pytest.raises(ValueError, match="rows of a study: expected at least one, got none"):
            compare_rows("toy", [], setting, [0], tmp_path)
        with pytest.raises(ValueError, match="labelled splits to judge encoders on"):
            compare_rows("toy", [GOOD], replace(setting, probe=None), [0], tmp_path)
        assert asked == []

    def test_it_is_run_and_read_again(self, setting, tmp_path):
        rows = [NONE, GOOD]
        stages = []
        first = compare_rows(
            "toy", rows, setting, [0], tmp_path, report=lambda r: stages.append(r.stage)
        )
        assert {"views", "train", "probe", "done"} == set(stages)
        stages.clear()
        second = compare_rows(
            "toy", rows, setting, [0], tmp_path, report=lambda r: stages.append(r.stage)
        )
        assert stages == ["done", "done"]
        assert first.record() == second.record()
