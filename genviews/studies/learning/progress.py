"""How far a training is, and how far a study of many is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from genviews.report.words import duration
from genviews.represent.train import StepRecord
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import RowReport
from genviews.studies.learning.setting import LearningSetting
from genviews.types import NotedProgress

__all__ = ["StudyProgress", "TrainProgress"]

VIEWS, TRAIN, PROBE = "render views", "train", "probe"  # stages; the first two count images
VOC = {
    "voc": ("voc", "images"),
    "svm": ("svm", "classes"),
    "detection": ("fine-tune", "updates"),
}


class TrainProgress:
    """The `report` of a training: tells the stage "train", in samples, with the loss.

    Args:
        progress: is told the stages.
        updates: of the training.
        batch: samples an update.
        log_every: updates a record.
        about: further words for each record.
    """

    def __init__(
        self,
        progress: NotedProgress,
        *,
        updates: int,
        batch: int,
        log_every: int,
        about: Callable[[StepRecord], str] = lambda record: "",
    ) -> None:
        self._progress, self._about = progress, about
        self._updates, self._batch, self._log_every = updates, batch, log_every
        self._begun = False

    def __call__(self, record: StepRecord) -> None:
        """Take note of a record."""
        if not self._begun:
            self._begun = True
            # Checkpoints are written at records: what lies before the first one's is of earlier.
            earlier = (record.step - 1) // self._log_every * self._log_every
            self._progress(TRAIN, "images", earlier * self._batch, self._updates * self._batch)
        note = ", ".join(part for part in (f"loss {record.loss:.4g}", self._about(record)) if part)
        self._progress(
            TRAIN, "images", record.step * self._batch, self._updates * self._batch, note
        )


class StudyProgress:
    """The `report` of a study: which row it is at, its loss, and when all will be done.

    Args:
        progress: is told the stages.
        rows: of the study.
        seeds: number of encoders of each row.
        setting: of the study.
        clock: seconds; another clock in tests.

    Attributes:
        known: rows, with each seed, that earlier runs had done.
    """

    def __init__(
        self,
        progress: NotedProgress,
        rows: Sequence[LearningRow],
        seeds: int,
        setting: LearningSetting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.known = 0
        self._progress, self._setting, self._clock = progress, setting, clock
        self._rows = {row.name: row for row in rows}
        self._total = len(rows) * seeds
        self._left = seeds * sum(self._updates(row) for row in rows)  # updates
        self._begun: dict[tuple[str, int], TrainProgress | None] = {}
        self._judged: set[tuple[str, int]] = set()
        self._spent, self._made, self._since = 0.0, 0, clock()
        self._at = 0  # updates of the row that is training

    def __call__(self, report: RowReport) -> None:
        """Take note of a report."""
        key, row = (report.row, report.seed), self._rows[report.row]
        if report.stage in VOC:
            self._judged.add(key)
            which = f"{report.row}, seed {report.seed} (encoder {len(self._judged)})"
            stage, unit = VOC[report.stage]
            self._progress(stage, unit, report.done, report.total, which)
            return
        known = report.stage == "done" and key not in self._begun
        self._begun.setdefault(key, None)
        if report.stage == "views":
            images = self._images_of(row)
            done, total = report.done * images, report.total * images
            self._progress(VIEWS, "images", done, total, self._which(report))
        elif report.stage == "train" and report.record is not None:
            self._at = report.done
            self._training(key, report.total)(report.record)
        elif report.stage == "probe":
            self._progress(PROBE, "encoders", 0, 1, self._which(report))
        elif report.stage == "done":
            self._end(report, known=known)

    def _training(self, key: tuple[str, int], updates: int) -> TrainProgress:
        found = self._begun[key]
        if found is None:
            found = self._begun[key] = TrainProgress(
                self._progress,
                updates=updates,
                batch=self._setting.batch,
                log_every=self._setting.training(updates).log_every,
                about=lambda record: f"{self._name(*key)}{self._time_left()}",
            )
        return found

    def _end(self, report: RowReport, *, known: bool) -> None:
        updates, now = self._updates(self._rows[report.row]), self._clock()
        self._left -= updates
        self._at = 0
        if known:
            self.known += 1
        else:
            self._made += updates
            self._spent += now - self._since
            self._progress(PROBE, "encoders", 1, 1, self._which(report))
        self._since = now

    def _time_left(self) -> str:
        """Of all rows, once it can be told from a whole one."""
        if not self._made:
            return ""
        left = (self._left - self._at) * self._spent / self._made
        return f", all rows in {duration(left)}"

    def _which(self, report: RowReport) -> str:
        return self._name(report.row, report.seed)

    def _name(self, row: str, seed: int) -> str:
        return f"{row}, seed {seed} ({len(self._begun)} of {self._total})"

    def _updates(self, row: LearningRow) -> int:
        return 0 if row.data == "none" else self._setting.updates_of(row)

    def _images_of(self, row: LearningRow) -> int:
        """Images that are rendered for a sample."""
        return 1 if row.views is None else 1 + (row.pool or row.positives)
