"""How far a study of encoders is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from genviews.report.words import duration
from genviews.studies.learning.judge import RowReport
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import NotedProgress

__all__ = ["StudyProgress"]

VIEWS, TRAIN, PROBE = "render views", "train", "probe"  # stages; the first two count images
FURTHER = {
    "voc": ("voc", "images"),
    "svm": ("svm", "classes"),
    "detection": ("fine-tune", "updates"),
}


class StudyProgress:
    """The `report` of `run_rows`: which row it is at, its loss, and when all will be done.

    Args:
        progress: is told the stages; a training counts its samples.
        rows: of the study.
        seeds: number of encoders of each row.
        setting: of the study.
        clock: seconds; another clock in tests.
    """

    def __init__(
        self,
        progress: NotedProgress,
        rows: Sequence[LearningRow],
        seeds: int,
        setting: LearningSetting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress, self._setting, self._clock = progress, setting, clock
        self._rows = {row.name: row for row in rows}
        self._total = len(rows) * seeds
        self._left = seeds * sum(self._updates(row) for row in rows)  # updates
        self._begun: set[tuple[str, int]] = set()
        self._trained: set[tuple[str, int]] = set()
        self._judged: set[tuple[str, int]] = set()
        self._spent, self._made, self._since = 0.0, 0, clock()
        self._last = ""  # stage

    def __call__(self, report: RowReport) -> None:
        """Take note of a report."""
        key, row = (report.row, report.seed), self._rows[report.row]
        if report.stage in FURTHER:
            self._judged.add(key)
            which = f"{report.row}, seed {report.seed} (encoder {len(self._judged)})"
            stage, unit = FURTHER[report.stage]
            self._progress(stage, unit, report.done, report.total, which)
            return
        known = report.stage == "done" and key not in self._begun  # by an earlier run
        self._begun.add(key)
        place = f" ({len(self._begun)} of {self._total})"
        which = f"{report.row}, seed {report.seed}{place}" if self._total > 1 else ""
        if report.stage == "views":
            images = 1 if row.views is None else 1 + (row.pool or row.positives)
            done, total = report.done * images, report.total * images
            self._progress(VIEWS, "images", done, total, which)
        elif report.stage == "train":
            self._train(key, report, which)
        elif report.stage == "probe":
            self._progress(PROBE, "encoders", 0, 1, which)
        elif report.stage == "done":
            if self._last == "probe":
                self._progress(PROBE, "encoders", 1, 1, which)
            self._end(row, known=known)
        self._last = report.stage

    def _train(self, key: tuple[str, int], report: RowReport, which: str) -> None:
        assert report.record is not None
        batch = self._setting.batch
        done, total = report.done * batch, report.total * batch
        if key not in self._trained:
            self._trained.add(key)
            # Checkpoints are written at records: what lies before the first one's is of earlier.
            log_every = self._setting.training(report.total).log_every
            earlier = (report.done - 1) // log_every * log_every
            self._progress(TRAIN, "images", earlier * batch, total)
        left = ""
        if self._made:  # it can be told from a whole row
            seconds = (self._left - report.done) * self._spent / self._made
            left = f"all rows in {duration(seconds)}"
        told = (f"loss {report.record.loss:.4g}", which, left)
        self._progress(TRAIN, "images", done, total, ", ".join(part for part in told if part))

    def _end(self, row: LearningRow, *, known: bool) -> None:
        updates, now = self._updates(row), self._clock()
        self._left -= updates
        if not known:
            self._made += updates
            self._spent += now - self._since
        self._since = now

    def _updates(self, row: LearningRow) -> int:
        return 0 if row.data == "none" else self._setting.updates_of(row)
