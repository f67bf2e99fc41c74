"""Rows of every kind run, resume bit for bit, and are shared; what they lack is said at once."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import replace
from functools import cache

import pytest
import torch
from safetensors.torch import load_file

from genviews.claim import claim
from genviews.evaluate.encoders import ProbeData
from genviews.files import read_json
from genviews.perturb.walks import Walks
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.schedule import StepCosine
from genviews.represent.train import check_alone
from genviews.studies.learning import judge, run
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import run_rows
from tests.processes import start, wait_until
from tests.studies.learning.small import CLASSES, images, probe, run_row, small, training

REAL = LearningRow(name="real", data="real", pixels=True)
GAUSSIAN = LearningRow(name="Gaussian", views="gaussian_all_0.20")
UNTRAINED = LearningRow(name="untrained", data="none")
MIXED = LearningRow(name="mixed", data="mixed", share=0.25, pixels=True)
PAIR = [UNTRAINED, GAUSSIAN]

# Of every kind of data, space and objective: row, changes of the setting.
KINDS = [
    (REAL, {}),
    (GAUSSIAN, {}),
    (MIXED, {}),
    (UNTRAINED, {}),
    (LearningRow(name="style-mix", views="stylemix_fine", space="own", pixels=True), {}),
    (LearningRow(name="steered", views="steer_all_1.00"), {"stored": False}),
    (
        LearningRow(
            name="several",
            views="independent_all",
            objective="multi-positive",
            positives=2,
            pool=3,
        ),
        {},
    ),
    (LearningRow(name="inverter", objective="inverter"), {"generator": CLASSES}),
    (replace(MIXED, name="mixed classes", objective="supcon"), {"generator": CLASSES}),
    (
        LearningRow(name="real classifier", data="real", objective="classifier"),
        {"generator": None},
    ),
    (LearningRow(name="made classifier", objective="classifier"), {"generator": CLASSES}),
    (LearningRow(name="sampled", data="mixed", share=0.5, mix="sampled"), {"stored": False}),
]


@pytest.fixture
def setting():
    return small()


class Killed(BaseException):
    """What stands for a kill: no row survives it, as none survives the interrupt of a keyboard."""


class Reports(list):
    """What was reported; dies where it is told to."""

    def __init__(self, kill_at: int | None = None) -> None:
        super().__init__()
        self.kill_at = kill_at

    def __call__(self, report) -> None:
        self.append(report)
        if report.stage == "train" and report.done == self.kill_at:
            raise Killed

    def steps(self, row=None):
        """The updates reported, of a row."""
        return [r.done for r in self if r.stage == "train" and row in (None, r.row)]

    def stages(self):
        """In their order, repeated ones once."""
        found = [(r.row, r.stage) for r in self]
        return [b for a, b in zip([None, *found], found, strict=False) if a != b]


def weights(result):
    return load_file(result.folder / "encoder.safetensors")


def answers(result):
    """The class that each probe gave each test image."""
    return load_file(result.folder / "answers.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stamps(folder):
    return {p: p.stat().st_mtime_ns for p in sorted(folder.rglob("*")) if p.is_file()}


class TestRow:
    @pytest.mark.parametrize(("row", "changes"), KINDS, ids=[row.name for row, _ in KINDS])
    def test_every_kind_runs(self, row, changes, tmp_path) -> None:
        walks = Walks(directions=torch.ones(2, 1, 8), names=("shiftx", "zoom"))
        setting, reports = small(walks=walks, **changes), Reports()
        result = run_row(row, setting, 1, tmp_path, report=reports)
        trained = result.record["training"]
        steps = [] if row.data == "none" else [1, 2, 3]
        assert reports.steps() == steps
        assert trained["updates"] == len(steps)
        assert [r.record.step for r in reports if r.record is not None] == steps
        if steps:
            assert trained["loss"] == next(r for r in reports if r.done == 3).record.loss
            assert 0 <= trained["waiting_for_views"] <= 1
            assert trained["samples_per_second"] > 0
        truth = probe().test.labels
        for name in ("linear", "knn"):
            score = result.record[name]
            assert score["accuracy"] == float((answers(result)[name] == truth).double().mean())
            assert score["accuracy"] == result.measured[name].value
            assert 0 <= score["val"] <= 1
            assert score["splits"] == {"fit": "train", "select": "val", "score": "test"}
        # What was kept is what was trained and judged.
        encoder = result.encoder()
        h = encoder.features(probe().test.images)
        assert h.shape == (45, encoder.features_dim)
        assert encoder.config.channels == 1
        assert sorted(p.name for p in result.folder.iterdir()) == [
            "answers.safetensors",
            "encoder.safetensors",
            "identity.json",
            "identity.safetensors",
            "row.json",
        ]
        assert read_json(result.folder / "row.json")["row"]["name"] == row.name

    def test_training_moves_every_weight_from_that_of_the_seed(self, setting, tmp_path) -> None:
        start = RepresentationEncoder(setting.encoder, seed=1).state_dict()
        trained = weights(run_row(GAUSSIAN, setting, 1, tmp_path))
        kept = weights(run_row(UNTRAINED, setting, 1, tmp_path))
        assert start.keys() == trained.keys() == kept.keys()
        assert same(start, kept)
        moved = [name for name in start if not torch.equal(start[name], trained[name])]
        assert [name for name in start if name.endswith("weight")] == [
            name for name in moved if name.endswith("weight")
        ]
        other = weights(run_row(UNTRAINED, setting, 2, tmp_path))
        assert not same(kept, other)

    def test_dropout_of_a_training_has_the_seed_of_the_row(
        self, setting, tmp_path, monkeypatch
    ) -> None:
        seeds, train = [], run.train_representation

        def seen(encoder, batches, objective, config, **options):
            seeds.append(config.seed)
            return train(encoder, batches, objective, config, **options)

        monkeypatch.setattr(run, "train_representation", seen)
        run_rows([GAUSSIAN], setting, (0, 5), tmp_path)
        assert seeds == [0, 5]

    def test_an_untrained_row_needs_nothing_of_its_objective(self, setting, tmp_path) -> None:
        row = replace(UNTRAINED, objective="supcon")
        assert same(
            weights(run_row(row, setting, 0, tmp_path)),
            weights(run_row(UNTRAINED, setting, 0, tmp_path)),
        )

    def test_stages(self, setting, tmp_path) -> None:
        reports = Reports()
        run_row(GAUSSIAN, setting, 0, tmp_path, report=reports)
        stages = [stage for _, stage in reports.stages()]
        assert stages == ["views", "train", "probe", "done"]
        assert {r.total for r in reports if r.stage == "train"} == {3}
        assert [(r.done, r.total) for r in reports if r.stage == "views"] == [(0, 24), (24, 24)]
        assert {(r.row, r.seed) for r in reports} == {("Gaussian", 0)}

    def test_without_a_probe(self, tmp_path) -> None:
        result = run_row(GAUSSIAN, small(probe=None), 0, tmp_path)
        assert result.measured == {}
        assert result.record.keys() == {"row", "seed", "training", "key"}
        again = run_row(GAUSSIAN, small(probe=None), 0, tmp_path)
        assert again.measured == {}
        assert again.record == result.record


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """A function: a row's result with six updates, made once."""
    return cache(lambda row: run_row(row, small(updates=6), 0, tmp_path_factory.mktemp("row")))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A pair of rows with two seeds: their folder, results and reports."""
    folder, reports = tmp_path_factory.mktemp("finished"), Reports()
    return folder, run_rows(PAIR, small(), (3, 0), folder, report=reports), reports


class TestResume:
    @pytest.mark.parametrize(
        ("row", "kill_at"), [(REAL, 5), (GAUSSIAN, 1), (GAUSSIAN, 3), (MIXED, 3)]
    )
    def test_killed_in_training_it_goes_on_bit_for_bit(
        self, row, kill_at, uninterrupted, tmp_path
    ) -> None:
        setting = small(updates=6)
        whole = uninterrupted(row)
        with pytest.raises(Killed):
            run_row(row, setting, 0, tmp_path / "cut", report=Reports(kill_at))
        place = tmp_path / "cut" / "rows" / row.slug / "seed0"
        assert not (place / "row.json").exists()
        assert (place / "checkpoint.pt").exists() == (kill_at > 1)
        reports = Reports()
        smaller = replace(setting, render_batch=5)  # as one whose memory was not enough would
        resumed = run_row(row, smaller, 0, tmp_path / "cut", report=reports)
        assert len(list(tmp_path.glob("cut/views/*"))) == (row != REAL)
        # A checkpoint is written every second update, before the update is reported.
        assert reports.steps() == list(range(kill_at // 2 * 2 + 1, 7))
        assert same(weights(whole), weights(resumed))
        assert same(answers(whole), answers(resumed))
        timed = ("samples_per_second", "waiting_for_views", "views_seconds", "seconds", "history")
        for name in whole.record["training"].keys() - set(timed):
            assert whole.record["training"][name] == resumed.record["training"][name]
        losses = [
            [r["loss"] for r in one.record["training"]["history"]] for one in (whole, resumed)
        ]
        assert losses[0] == losses[1]
        assert len(losses[0]) == 6
        assert not (place / "checkpoint.pt").exists()

    def test_killed_in_probing_it_does_not_train_again(
        self, setting, tmp_path, monkeypatch
    ) -> None:
        def killed(*arguments):
            raise Killed

        monkeypatch.setattr(judge, "probe_encoder", killed)
        with pytest.raises(Killed):
            run_row(GAUSSIAN, setting, 0, tmp_path)
        monkeypatch.undo()
        reports = Reports()
        resumed = run_row(GAUSSIAN, setting, 0, tmp_path, report=reports)
        assert [stage for _, stage in reports.stages()] == ["views", "probe", "done"]
        whole = run_row(GAUSSIAN, setting, 0, tmp_path / "whole")
        assert same(weights(whole), weights(resumed))
        assert resumed.record["training"]["loss"] == whole.record["training"]["loss"]

    def test_finished_rows_are_read(self, setting, finished) -> None:
        folder, first, _ = finished
        before, reports = stamps(folder), Reports()
        again = run_rows(PAIR, setting, (3, 0), folder, report=reports)
        assert [(r.row, r.seed, r.stage) for r in reports] == [
            (row.name, seed, "done") for seed in (3, 0) for row in PAIR
        ]
        assert stamps(folder) == before
        for a, b in zip(first, again, strict=True):
            assert (a.row, a.seed, a.folder) == (b.row, b.seed, b.folder)
            assert same(answers(a), answers(b))
            # JSON has lists where Python has tuples.
            assert b.record == read_json(a.folder / "row.json")
            assert b.record["linear"]["accuracy"] == a.record["linear"]["accuracy"]


# A row that fails, what it lacks in the setting, and what is said.
BAD = {
    "real": (REAL, {"real": None}, "expected at least 24 real images, got 0"),
    "few": (replace(REAL, ratio=2.0), {}, "expected at least 48 real images, got 24"),
    "pixels": (REAL, {"pixels": None}, "row 'real': expected pixel views in the setting"),
    "views": (replace(GAUSSIAN, name="b", views="gausian_all_0.20"), {}, "mean 'gaussian'"),
    "walks": (replace(GAUSSIAN, name="b", views="steer_all_1.00"), {}, "expected learnt walks"),
    "classes": (replace(GAUSSIAN, name="b", objective="supcon"), {}, "two classes or more"),
    "latents": (replace(REAL, objective="inverter"), {}, "whose latents are known"),
    "batch": (replace(GAUSSIAN, name="b", ratio=0.1), {}, "expected at least 8 samples"),
}


class TestRows:
    def test_all_rows_of_a_seed_come_before_the_next(self, finished) -> None:
        _, results, reports = finished
        done = [(r.row, r.seed) for r in reports if r.stage == "done"]
        assert done == [(row.name, seed) for seed in (3, 0) for row in PAIR]
        assert [(r.row, r.seed) for r in results] == [
            (row, seed) for row in PAIR for seed in (3, 0)
        ]
        assert len({r.folder for r in results}) == 4

    def test_equal_names_are_refused(self, setting, tmp_path) -> None:
        rows = [GAUSSIAN, replace(REAL, name="Gaussian")]
        with pytest.raises(ValueError, match=r"rows: expected different names, got \['Gaussian',"):
            run_rows(rows, setting, (0,), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_row_under_two_names_is_run_once(self, setting, tmp_path) -> None:
        rows, reports = [GAUSSIAN, replace(GAUSSIAN, name="std 0.20")], Reports()
        one, other = run_rows(rows, setting, (0,), tmp_path, report=reports)
        assert reports.steps("Gaussian") == [1, 2, 3]
        assert reports.steps("std 0.20") == []
        assert (one.folder, one.row.name) == (other.folder, "Gaussian")
        assert other.row.name == "std 0.20"
        assert same(answers(one), answers(other))

    @pytest.mark.parametrize("ratio", [1 / 3, 0.5, 1.0, 2.0])
    def test_updates_are_equal_for_any_number_of_samples(self, ratio, tmp_path) -> None:
        (result,) = run_rows([replace(GAUSSIAN, ratio=ratio)], small(probe=None), (0,), tmp_path)
        assert result.record["training"]["updates"] == 3

    @pytest.mark.parametrize("case", BAD)
    def test_what_the_last_row_lacks_is_said_before_the_first_is_run(self, case, tmp_path) -> None:
        bad, changes, message = BAD[case]
        reports, folder = Reports(), tmp_path / "study"
        with pytest.raises(ValueError, match=message):
            run_rows([UNTRAINED, GAUSSIAN, bad], small(**changes), (0, 1), folder, report=reports)
        assert reports == []
        assert not folder.exists()
        with pytest.raises(ValueError, match=message):
            run_row(bad, small(**changes), 0, folder)
        assert not folder.exists()

    @pytest.mark.parametrize("started", ["2", "64"])
    def test_several_processes_are_refused_before_anything_is_rendered(
        self, started, tmp_path, monkeypatch
    ) -> None:
        monkeypatch.setenv("WORLD_SIZE", started)
        reports, folder = Reports(), tmp_path / "study"
        with pytest.raises(ValueError, match=f"got WORLD_SIZE={started}, .* without torchrun and"):
            run_rows([GAUSSIAN], small(), (0,), folder, report=reports)
        assert reports == []
        assert not folder.exists()
        for alone in ("1", "", "none"):
            monkeypatch.setenv("WORLD_SIZE", alone)
            check_alone()

    def test_no_generator(self, tmp_path) -> None:
        reports, folder = Reports(), tmp_path / "study"
        with pytest.raises(ValueError, match="row 'Gaussian': expected a generator, got none"):
            run_rows([REAL, GAUSSIAN], small(generator=None), (0,), folder, report=reports)
        assert reports == []
        assert not folder.exists()


# Of a study in a folder that another was run in: what is changed, and what is said.
CHANGES = {
    "updates": ({"updates": 4}, r"training\.schedule\.steps: 3 in the store, 4 asked"),
    "base": ({"base": 16}, "base: 24 in the store, 16 asked"),
    "views": ({"views_seed": 1}, "views_seed: 0 in the store, 1 asked"),
    "probe": (
        {"probe": ProbeData(train=images("train", 57), val=probe().val, test=probe().test)},
        r"probe\.train\.images: ",
    ),
    "generator": ({"generator": CLASSES}, r"generator\.weights: "),
}


class TestOtherSetting:
    @pytest.mark.parametrize("finished", [True, False], ids=["finished", "half trained"])
    def test_a_folder_of_it_is_refused_at_once(self, finished, setting, tmp_path) -> None:
        if finished:
            run_row(GAUSSIAN, setting, 0, tmp_path)
        else:
            with pytest.raises(Killed):
                run_row(GAUSSIAN, setting, 0, tmp_path, report=Reports(2))
        before, reports = stamps(tmp_path), Reports()
        for changes, message in CHANGES.values():
            with pytest.raises(ValueError, match=rf"result of row 'Gaussian', seed 0: .*{message}"):
                run_rows([REAL, GAUSSIAN], small(**changes), (1, 0), tmp_path, report=reports)
            assert reports == []
            assert stamps(tmp_path) == before

    def test_what_a_row_does_not_use_may_change(self, setting, tmp_path) -> None:
        run_rows([REAL, UNTRAINED], setting, (0,), tmp_path)
        reports = Reports()
        run_rows([REAL, UNTRAINED], small(generator=CLASSES), (0,), tmp_path, report=reports)
        assert {r.stage for r in reports} == {"done"}

    def test_how_to_run_may_change_in_the_middle(self, uninterrupted, tmp_path) -> None:
        whole = uninterrupted(REAL)
        with pytest.raises(Killed):
            run_row(REAL, small(updates=6), 0, tmp_path, report=Reports(4))

        def seldom(updates):
            return replace(training(updates), log_every=6)

        resumed = run_row(REAL, small(updates=6, prefetch=2, training=seldom), 0, tmp_path)
        assert same(weights(whole), weights(resumed))


class Slow(Reports):
    """Touches a file as it trains, and takes its time."""

    def __init__(self, ready):
        super().__init__()
        self.ready = ready

    def __call__(self, report):
        super().__call__(report)
        if report.stage == "train":
            self.ready.touch()
            time.sleep(0.5)


def run_slowly(study, ready):
    reports = Slow(ready)
    run_rows([REAL, GAUSSIAN, MIXED], small(), (0,), study, report=reports)
    sys.stdout.write(" ".join(f"{r.row}/{r.done}" for r in reports if r.stage == "train"))


class TestSharing:
    def test_a_row_that_another_runs_is_waited_for(self, setting, tmp_path) -> None:
        rows, theirs, results = [REAL, GAUSSIAN, UNTRAINED], Reports(), []
        other = threading.Thread(
            target=lambda: results.extend(run_rows(rows, setting, (0,), tmp_path, report=theirs))
        )

        class Ours(Reports):
            def __call__(self, report) -> None:
                super().__call__(report)
                if report.stage == "train" and report.done == 1:
                    other.start()
                    # It goes on with the rows that are free, then waits.
                    free = ["Gaussian", "untrained"]
                    wait_until(lambda: [r.row for r in theirs if r.stage == "done"] == free)
                    time.sleep(0.2)
                    assert other.is_alive()

        ours = Ours()
        result = run_row(REAL, setting, 0, tmp_path, report=ours)
        other.join()
        assert ours.steps() == [1, 2, 3]
        assert theirs.steps("real") == []
        assert theirs[-1].row == "real"
        assert theirs[-1].stage == "done"
        assert [r.row.name for r in results] == ["real", "Gaussian", "untrained"]
        assert same(answers(results[0]), answers(result))
        assert not list(tmp_path.rglob("*.lock"))

    def test_a_row_that_fails_does_not_stop_the_others(self, tmp_path) -> None:
        """One update with an endless learning rate: its loss is finite, its features are not."""

        def exploding(updates):
            return replace(training(updates), schedule=StepCosine(steps=updates, peak=1e38))

        setting = small(updates=1, training=exploding)
        failed, fine = run_rows([GAUSSIAN, UNTRAINED], setting, (3,), tmp_path)
        assert "numbers that are not finite" in failed.failed
        assert fine.failed == ""
        assert fine.measured.keys() == {"linear", "knn"}
        assert not all(bool(v.isfinite().all()) for v in weights(failed).values())  # it was kept
        assert not (failed.folder / "row.json").exists()
        with pytest.raises(ValueError, match="numbers that are not finite"):
            run_row(GAUSSIAN, setting, 3, tmp_path)
        reports = Reports()
        run_rows([GAUSSIAN, UNTRAINED], setting, (3,), tmp_path, report=reports)
        assert reports.steps() == []  # tried again without training again
        assert ("Gaussian", "probe") in reports.stages()

    def test_an_error_in_a_row_frees_its_claim(self, setting, tmp_path) -> None:
        with pytest.raises(Killed):
            run_rows([REAL], setting, (0,), tmp_path, report=Reports(2))
        with claim(tmp_path / "rows" / REAL.slug / "seed0" / ".row.lock") as mine:
            assert mine

    def test_two_processes(self, setting, tmp_path) -> None:
        """The other has the first row and is slow; each row is trained by one of the two."""
        study, ready, printed = (tmp_path / name for name in ("study", "ready", "printed"))
        other = start(run_slowly, study, ready, printed=printed)
        wait_until(ready.exists, alive=other)
        reports = Reports()
        results = run_rows([REAL, GAUSSIAN, MIXED], setting, (0,), study, report=reports)
        other.join()
        assert other.exitcode == 0, printed.read_text()
        ours = [f"{r.row}/{r.done}" for r in reports if r.stage == "train"]
        assert sorted(printed.read_text().split() + ours) == sorted(
            f"{row.name}/{step}" for row in (REAL, GAUSSIAN, MIXED) for step in (1, 2, 3)
        )
        assert [step for step in ours if step.startswith("real")] == []
        assert [r.row.name for r in results] == ["real", "Gaussian", "mixed"]
