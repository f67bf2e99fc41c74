"""What the terminal says while encoders are trained."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from genviews.cli.progress import Stages
from genviews.generators.toy import ToyGenerator
from genviews.represent.config import RepresentationTraining
from genviews.represent.schedule import StepCosine
from genviews.represent.train import StepRecord
from genviews.studies.learning.judge import RowReport
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import StudyProgress
from genviews.studies.learning.setting import LearningSetting


@pytest.fixture
def shown(clock):
    """Stages that write to a text file, and that file."""
    file = io.StringIO()
    return Stages(Console(file=file, width=200, color_system=None), clock), file


def record(step, loss=2.5):
    return StepRecord(
        step=step, loss=loss, terms={}, learning_rate=0.1, samples_per_second=1.0, data_share=0.0
    )


ROWS = [
    LearningRow(name="untrained", data="none"),
    LearningRow(name="steps", views="gaussian_all_0.20", pool=3),
    LearningRow(name="plain", pixels=True, updates=0.5),
]


@pytest.fixture
def setting():
    return LearningSetting(
        training=lambda n: RepresentationTraining(schedule=StepCosine(steps=n), log_every=10),
        updates=20,
        base=100,
        batch=5,
        generator=ToyGenerator(),
    )


class TestOneRow:
    """Nothing is said of which row it is."""

    @pytest.fixture
    def tell(self, shown, setting):
        row = LearningRow(name="one", updates=0.5)  # 10 updates
        often = replace(setting.training(10), log_every=2)
        setting = replace(setting, training=lambda n: often)
        tell = StudyProgress(shown[0], [row], 1, setting)

        def say(step, loss=2.5):
            report = RowReport(row="one", seed=0, stage="train", done=step, total=10)
            tell(replace(report, record=record(step, loss)))

        return say

    def test_samples_rate_and_loss(self, shown, clock, tell):
        stages, file = shown
        with stages:
            clock.now = 5.0
            tell(2)
            clock.now = 10.0
            tell(10, loss=1.25)
        assert file.getvalue() == "train: 50 in 10 s, 5 images/s, loss 1.25\n"

    @pytest.mark.parametrize(("steps", "before"), [((8, 10), 30), ((9,), 40)])
    def test_updates_of_an_earlier_run_count_for_no_rate(self, shown, clock, tell, steps, before):
        """It goes on from a checkpoint at 6 or 8; a last record may be a short one."""
        stages, file = shown
        with stages:
            for step in steps:
                clock.now += 5.0
                tell(step)
        assert f"{before} of them done before" in file.getvalue()


class TestStudy:
    def test_each_row_is_named_and_the_end_foretold(self, shown, clock, setting):
        stages, file = shown
        tell = StudyProgress(stages, ROWS, 2, setting, clock)

        def say(row, stage, done=0, total=0, seconds=0.0, seed=0):
            clock.now += seconds
            step = record(done) if stage == "train" else None
            tell(RowReport(row=row, seed=seed, stage=stage, done=done, total=total, record=step))

        with stages:
            say("untrained", "done")  # by an earlier run
            say("steps", "views", 0, 100)
            say("steps", "views", 100, 100, seconds=8.0)
            say("steps", "train", 10, 20, seconds=10.0)
            say("steps", "train", 20, 20, seconds=10.0)
            say("steps", "probe")
            say("steps", "done", seconds=2.0)
            say("plain", "train", 10, 10, seconds=5.0)
            say("plain", "probe")
            say("plain", "done", seconds=1.0)
        lines = file.getvalue().splitlines()
        # 100 samples with three views each.
        assert lines[0] == "render views: 400 in 8.0 s, 50 images/s, steps, seed 0 (2 of 6)"
        assert lines[1] == "train: 100 in 20 s, 5 images/s, loss 2.5, steps, seed 0 (2 of 6)"
        assert lines[2] == "probe: 1 in 2.0 s, steps, seed 0 (2 of 6)"
        # The first row took 30 s for 20 updates. 20 + 10 of the other seed are left.
        assert lines[3].endswith("loss 2.5, plain, seed 0 (3 of 6), all rows in 45 s")
        assert set(stages.seconds) == {"render views", "train", "probe"}

    def test_encoders_that_are_judged_are_counted(self, shown, clock, setting):
        stages, file = shown
        tell = StudyProgress(stages, ROWS, 1, setting, clock)

        def say(row, stage, done, total, seconds):
            clock.now += seconds
            tell(RowReport(row=row, seed=0, stage=stage, done=done, total=total))

        with stages:
            for row in ("steps", "plain"):
                say(row, "voc", 0, 100, 0.0)
                say(row, "voc", 100, 100, 10.0)
                say(row, "svm", 0, 20, 0.0)
                say(row, "svm", 20, 20, 4.0)
                say(row, "detection", 0, 8, 0.0)
                say(row, "detection", 8, 8, 2.0)
        lines = file.getvalue().splitlines()
        assert lines[0].startswith("voc: 100 in 10 s, 10 images/s, steps, seed 0 (encoder 1)")
        assert lines[1].startswith("svm: 20 in 4.0 s")
        assert "images/s" not in lines[1]
        assert lines[2].startswith("fine-tune: 8 in 2.0 s")
        assert "plain, seed 0 (encoder 2)" in lines[3]
