"""Run rows: train the encoder of each seed, judge it, keep both; what is done is not done again.

    ROW, seed -> batches -> train -> encoder -> probe -> `row.json`

A row and seed has a folder with its identity and, while it trains, its checkpoint, then
`encoder.safetensors`, `answers.safetensors` (the classes that the probes gave the test images) and
last `row.json`. Processes that run the same study share its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from genviews.checks import fail
from genviews.engine import Engine
from genviews.files import read_json
from genviews.identity import Identity
from genviews.record_store import RecordStore
from genviews.report.words import duration
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.train import StepRecord, check_alone, train_representation
from genviews.shard import key_text
from genviews.studies.learning.data import check_row, row_batches
from genviews.studies.learning.judge import ENCODER, ProbeJudge, Report, RowReport, RowResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.tables import UNTRAINED
from genviews.types import NotedProgress
from genviews.work import HereOnly, Tell, run_shards

__all__ = ["PROBE", "StudyProgress", "check_done", "new_encoder", "run_rows"]

CHECKPOINT = "checkpoint.pt"
VIEWS, TRAIN, PROBE = "render views", "train", "probe"  # stages; the first two count images
FURTHER = {
    "voc": ("voc", "images"),
    "svm": ("svm", "classes"),
    "detection": ("fine-tune", "updates"),
}


def run_rows(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    seeds: Sequence[int],
    folder: str | Path,
    *,
    engine: str | Engine = "local",
    report: Report | None = None,
) -> list[RowResult]:
    """Run rows with every seed: all rows of the first seed, then those of the next.

    A row that fails (its encoder collapsed, so that no probe can tell images apart) does not stop
    the others: its result says why. The next run tries it again.

    Args:
        rows: with different names.
        setting: of the study.
        seeds: one encoder each.
        folder: of the study. Another process may run the same study there; it takes other rows.
        engine: "local" (this process), "ray", or an `Engine`: where rows are run. A single row and
            seed is trained in this process, and its views are rendered there.
        report: called as rows go on; those that run in other processes tell only of their end.

    Returns:
        A result for each row and seed, seeds within rows.

    Raises:
        ValueError: two rows of one name, a row that asks for what the setting does not have (see
            `check_row`), a folder that holds results of another setting, or several processes that
            torchrun started; all before the first row is run.
        Exception: why a single row and seed failed.

    Example:
        >>> import tempfile
        >>> from genviews import ToyGenerator
        >>> from genviews.represent.config import RepresentationTraining
        >>> from genviews.represent.schedule import StepCosine
        >>> setting = LearningSetting(
        ...     training=lambda steps: RepresentationTraining(schedule=StepCosine(steps=steps)),
        ...     updates=2,
        ...     base=8,
        ...     batch=4,
        ...     generator=ToyGenerator(),
        ... )
        >>> row = LearningRow(name="Gaussian", views="gaussian_all_0.20")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (result,) = run_rows([row], setting, [0], folder)
        ...     result.record["training"]["updates"], result.encoder().config.channels
        (2, 1)
    """
    places = Path(folder) / "rows"
    pieces = [
        RowResult(row=row, seed=seed, folder=places / row.slug / f"seed{seed}")
        for seed in seeds
        for row in rows
    ]
    check_alone()
    store = _store(rows, pieces, setting)
    say, made, alone = HereOnly(report), set[int](), len(pieces) == 1
    views_engine = engine if alone else "local"

    def make(numbers: range, tell: Tell) -> dict[str, Any]:
        made.add(numbers.start)
        return _make(pieces[numbers.start], setting, Path(folder), views_engine, say)

    def known(indices: Iterable[int]) -> None:
        for index in indices:
            say(pieces[index].report(stage="done"))

    before = [index for index in range(len(pieces)) if store.has(index)]
    known(before)
    failed = run_shards(
        store,
        len(pieces),
        make,
        shard_size=1,
        stage="rows",
        unit="rows",
        engine="local" if alone else engine,
        keep_going=not alone,
    )
    known(set(range(len(pieces))) - made - set(before))
    found = [_read(piece, setting, failed.get(index, "")) for index, piece in enumerate(pieces)]
    return [one for row in range(len(rows)) for one in found[row :: len(rows)]]


def check_done(results: Sequence[RowResult]) -> None:
    """Raise where a row failed.

    Raises:
        ValueError: it names the rows and seeds, with the reason of each.
    """
    failed = [one for one in results if one.failed]
    if failed:
        reasons = "; ".join(f"{one.row.name!r}, seed {one.seed}: {one.failed}" for one in failed)
        fail(
            "rows of the study",
            expected="a result of each",
            got=f"failures ({reasons})",
            remedy="change these rows, or leave them out; the others are kept",
        )


def new_encoder(
    setting: LearningSetting, seed: int, head: Mapping[str, Any] | None = None
) -> RepresentationEncoder:
    """Return a fresh encoder with the head that an objective asks for.

    Args:
        setting: of the study, which says where it is.
        seed: of its weights.
        head: fields of its config; None, for an untrained one, has no objective to please.
    """
    seen = {"channels": setting.image_spec.channels, "input_size": setting.input_size}
    config = replace(setting.encoder, **{**seen, **(head or {})})
    return RepresentationEncoder(config, seed=seed).to(setting.device)


def _store(
    rows: Sequence[LearningRow], pieces: Sequence[RowResult], setting: LearningSetting
) -> RecordStore:
    """The store of the rows, once nothing in it and in them is refused."""
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        fail("rows", expected="different names", got=names, remedy="rename those that are equal")
    for row in rows:
        check_row(row, setting)
    identities = [setting.identity(piece.row, piece.seed) for piece in pieces]
    keys = [key_text(identity.exact) for identity in identities]
    paths = [piece.folder / "row.json" for piece in pieces]
    store = RecordStore(paths, keys, [piece.name for piece in pieces])
    for piece, identity in zip(pieces, identities, strict=True):
        kept = Identity.kept_in(piece.folder)
        if kept is not None:
            identity.check(kept, f"result of {piece.name}")
    return store


def _make(
    piece: RowResult, setting: LearningSetting, folder: Path, engine: str | Engine, say: Report
) -> dict[str, Any]:
    """Train and judge; returns the record. The encoder is kept before it is judged."""
    row, seed, place = piece.row, piece.seed, piece.folder
    setting.identity(row, seed).keep(place, f"result of {piece.name}")
    encoder, trained = _train(piece, setting, folder, engine, say)
    encoder.save(place / ENCODER, {"row": row.name, "seed": str(seed)})
    judged: dict[str, Any] = {}
    if setting.probe is not None:
        judge = ProbeJudge(setting.probe)
        judged = judge.score(piece, setting, place / judge.name, say)
    say(piece.report(stage="done"))
    return {"row": asdict(row), "seed": seed, **judged, "training": trained}


def _train(
    piece: RowResult, setting: LearningSetting, folder: Path, engine: str | Engine, say: Report
) -> tuple[RepresentationEncoder, dict[str, Any]]:
    row, seed = piece.row, piece.seed
    if row.data == "none":
        return new_encoder(setting, seed).eval(), {"updates": 0}
    updates, views_seconds = setting.updates_of(row), 0.0
    began = time.perf_counter()

    def rendered(stage: str, unit: str, done: int, total: int) -> None:
        nonlocal views_seconds
        views_seconds = time.perf_counter() - began
        say(piece.report(stage="views", done=done, total=total))

    def trained(record: StepRecord) -> None:
        say(piece.report(stage="train", done=record.step, total=updates, record=record))

    objective, head = setting.objective_of(row)
    batches = row_batches(row, setting, seed, folder, engine=engine, progress=rendered)
    try:
        found = train_representation(
            new_encoder(setting, seed, head),
            batches,
            objective,
            replace(setting.training(updates), seed=seed),
            knn=setting.monitor,
            checkpoint=piece.folder / CHECKPOINT,
            report=trained,
        )
    finally:
        batches.close()
    last = found.history[-1]
    speeds = torch.tensor([record.samples_per_second for record in found.history])
    waits = torch.tensor([record.data_share for record in found.history])
    return found.encoder, {
        "updates": updates,
        "threads": torch.get_num_threads(),
        "loss": last.loss,
        "samples_per_second": float(speeds.median()),
        "waiting_for_views": float(waits.median()),
        "views_seconds": views_seconds,
        "seconds": time.perf_counter() - began - views_seconds,
        "monitors": last.monitors,
        "history": [asdict(record) for record in found.history],
    }


def _read(piece: RowResult, setting: LearningSetting, failed: str) -> RowResult:
    """What a row and seed came to."""
    if failed:
        return replace(piece, failed=failed)
    (piece.folder / CHECKPOINT).unlink(missing_ok=True)
    record = read_json(piece.folder / "row.json")
    if setting.probe is None:
        return replace(piece, record=record)
    judge = ProbeJudge(setting.probe)
    measured = judge.measured(record, piece.folder / judge.name)
    return replace(piece, record=record, measured=measured)


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
        self._stages: dict[tuple[str, int], str] = {}  # the last of each row and seed
        self._spent, self._made, self._since = 0.0, 0, clock()

    def __call__(self, report: RowReport) -> None:
        """Take note of a report."""
        row = self._rows.get(report.row, UNTRAINED)  # the floor is judged beside the rows
        key, which = (report.row, report.seed), ""
        before, self._stages[key] = self._stages.get(key), report.stage
        if report.stage in FURTHER:
            judged = sum(stage in FURTHER for stage in self._stages.values())
            stage, unit = FURTHER[report.stage]
            which = f"{report.row}, seed {report.seed} (encoder {judged})"
            self._progress(stage, unit, report.done, report.total, which)
        elif self._total > 1:
            place = f"{len(self._stages)} of {self._total}"
            which = f"{report.row}, seed {report.seed} ({place})"
        if report.stage == "views":
            images = 1 if row.views is None else 1 + (row.pool or row.positives)
            self._progress(VIEWS, "images", report.done * images, report.total * images, which)
        elif report.stage == "train":
            self._train(report, which, first=before != "train")
        elif report.stage == "probe":
            self._progress(PROBE, "encoders", 0, 1, which)
        elif report.stage == "done":
            if before == "probe":
                self._progress(PROBE, "encoders", 1, 1, which)
            self._end(row, known=before is None)

    def _train(self, report: RowReport, which: str, *, first: bool) -> None:
        assert report.record is not None
        batch = self._setting.batch
        done, total = report.done * batch, report.total * batch
        if first:
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
