"""Run rows: train the encoder of each seed, judge it, keep both; what is done is not done again.

    ROW, seed -> batches -> train -> encoder -> probe -> `row.json`

A row and seed has a folder with its identity and, while it trains, its checkpoint, then
`encoder.safetensors`, `answers.safetensors` (the classes that the probes gave the test images) and
last `row.json`. Processes that run the same study share its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from safetensors.torch import load_file
from torch import Tensor

from genviews.checks import fail
from genviews.engine import Engine
from genviews.evaluate.encoders import EncoderScores, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.files import read_json, save_tensors
from genviews.identity import Identity
from genviews.records import RecordStore
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.monitor import OnlineKNN
from genviews.represent.train import StepRecord, TrainedRepresentation, train_representation
from genviews.shard import key_text
from genviews.studies.learning.data import RowBatches, check_row
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import Progress
from genviews.work import HereOnly, Tell, run_shards

__all__ = [
    "RowReport",
    "RowResult",
    "check_done",
    "new_encoder",
    "run_row",
    "run_rows",
    "train_row",
]


@dataclass(frozen=True, kw_only=True)
class RowReport:
    """How far a row is.

    Args:
        row: name of the row.
        seed: its seed.
        stage: "views" (rendered into the store), "train", "probe" or "done"; then, where encoders
            are judged on VOC, "voc" (photos seen), "svm" (classes) and "detection".
        done: samples rendered, or updates made, or photos or classes.
        total: of them.
        record: of training, where there is a new one.
    """

    row: str
    seed: int
    stage: str
    done: int = 0
    total: int = 0
    record: StepRecord | None = None


Report = Callable[[RowReport], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class RowResult:
    """What a row and seed came to.

    Args:
        row: the row.
        seed: of first weights, order and pixel views.
        folder: with the encoder.
        record: what `row.json` holds: "linear" and "knn" (accuracy on test, its interval, the
            setting, accuracy on val), "training" (loss, samples a second, share of time spent
            waiting for views, seconds) and "key".
        answers: (N,) class of each test image, by probe; empty where nothing was probed.
        failed: why there is no record, such as "features: expected ... got one value for all"; ""
            where there is one. The encoder may be there: it is kept before it is judged.
    """

    row: LearningRow
    seed: int
    folder: Path
    record: dict[str, Any]
    answers: dict[str, Tensor] = field(default_factory=dict)
    failed: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"row {self.row.name!r}, seed {self.seed}"

    def encoder(self) -> RepresentationEncoder:
        """The trained encoder."""
        return RepresentationEncoder.load(self.folder / "encoder.safetensors")


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
        engine: "local" (this process), "ray", or an `Engine`.
        report: called as rows go on; those that run in other processes tell only of their end.

    Returns:
        A result for each row and seed, seeds within rows.

    Raises:
        ValueError: two rows of one name, a row that asks for what the setting does not have (see
            `check_row`), or a folder that holds results of another setting; all before the first
            row is run.
    """
    pieces = [(row, seed) for seed in seeds for row in rows]
    store = _check_rows(rows, pieces, setting, Path(folder))
    say, made = HereOnly(report), set[int]()

    def make(numbers: range, tell: Tell) -> dict[str, Any]:
        made.add(numbers.start)
        return _make(*pieces[numbers.start], setting, Path(folder), say)

    def known(indices: Iterable[int]) -> None:
        for row, seed in (pieces[index] for index in indices):
            say(RowReport(row=row.name, seed=seed, stage="done"))

    before = [index for index in range(len(pieces)) if store.has(index)]
    known(before)
    failed = run_shards(
        store,
        len(pieces),
        make,
        shard_size=1,
        stage="rows",
        unit="rows",
        engine=engine,
        keep_going=True,
    )
    known(set(range(len(pieces))) - made - set(before))
    found = {
        (row.name, seed): _result(row, seed, setting, Path(folder), failed.get(index, ""))
        for index, (row, seed) in enumerate(pieces)
    }
    return [found[row.name, seed] for row in rows for seed in seeds]


def run_row(
    row: LearningRow,
    setting: LearningSetting,
    seed: int,
    folder: str | Path,
    *,
    report: Report | None = None,
) -> RowResult:
    """Run one row with one seed, or read its result where it is there.

    Args:
        row: the row.
        setting: of the study.
        seed: of first weights, order and pixel views.
        folder: of the study.
        report: called as the row goes on.

    Raises:
        ValueError: the folder holds a result of another setting, the row asks for what the
            setting does not have (see `check_row`), or it failed.

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
        ...     result = run_row(row, setting, 0, folder)
        ...     result.record["training"]["updates"], result.encoder().config.channels
        (2, 1)
    """
    (result,) = run_rows([row], setting, [seed], folder, report=report)
    check_done([result])
    return result


@runtime_checkable
class Judged(Protocol):
    """A result of a row and seed, or of its judging, that may have failed."""

    @property
    def row(self) -> LearningRow:
        """The row."""

    @property
    def seed(self) -> int:
        """Its seed."""

    @property
    def failed(self) -> str:
        """Why there is no result, or nothing."""


def check_done(results: Sequence[Judged]) -> None:
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


def _make(
    row: LearningRow, seed: int, setting: LearningSetting, folder: Path, say: Report
) -> dict[str, Any]:
    """Train and judge; returns the record. The encoder is kept before it is judged."""
    place = _place(row, seed, folder)
    setting.identity(row, seed).keep(place, f"result of row {row.name!r}, seed {seed}")
    encoder, trained = _train(row, setting, seed, folder, say)
    encoder.save(place / "encoder.safetensors", {"row": row.name, "seed": str(seed)})
    say(RowReport(row=row.name, seed=seed, stage="probe"))
    scores = _probe(encoder, setting, untrained=row.data == "none")
    if scores is not None:
        answers = {name: value.short() for name, value in scores.answers.items()}
        save_tensors(place / "answers.safetensors", answers)
    say(RowReport(row=row.name, seed=seed, stage="done"))
    return {
        "row": asdict(row),
        "seed": seed,
        **({} if scores is None else _scores(scores)),
        "training": trained,
    }


def _place(row: LearningRow, seed: int, folder: Path) -> Path:
    return folder / "rows" / row.slug / f"seed{seed}"


def _check_rows(
    rows: Sequence[LearningRow],
    pieces: Sequence[tuple[LearningRow, int]],
    setting: LearningSetting,
    folder: Path,
) -> RecordStore:
    """The store of the rows, once nothing in it and in them is refused."""
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        fail("rows", expected="different names", got=names, remedy="rename those that are equal")
    for row in rows:
        check_row(row, setting)
    places = [_place(row, seed, folder) for row, seed in pieces]
    identities = [setting.identity(row, seed) for row, seed in pieces]
    keys = [key_text(identity.exact) for identity in identities]
    called = [f"row {row.name!r}, seed {seed}" for row, seed in pieces]
    store = RecordStore([place / "row.json" for place in places], keys, called)
    for place, identity, name in zip(places, identities, called, strict=True):
        kept = Identity.kept_in(place)
        if kept is not None:
            identity.check(kept, f"result of {name}")
    return store


def _result(
    row: LearningRow, seed: int, setting: LearningSetting, folder: Path, failed: str
) -> RowResult:
    """What a row and seed came to, read."""
    place = _place(row, seed, folder)
    if failed:
        return RowResult(row=row, seed=seed, folder=place, record={}, failed=failed)
    (place / "checkpoint.pt").unlink(missing_ok=True)
    record, answers = read_json(place / "row.json"), {}
    if (place / "answers.safetensors").exists():
        tensors = load_file(place / "answers.safetensors")  # in the order of the alphabet
        answers = {name: tensors[name].long() for name in record if name in tensors}
    return RowResult(row=row, seed=seed, folder=place, record=record, answers=answers)


def _train(
    row: LearningRow, setting: LearningSetting, seed: int, folder: Path, say: Report
) -> tuple[RepresentationEncoder, dict[str, Any]]:
    if row.data == "none":
        return new_encoder(setting, seed).eval(), {"updates": 0}
    updates, views_seconds = setting.updates_of(row), 0.0
    began = time.perf_counter()

    def rendered(stage: str, unit: str, done: int, total: int) -> None:
        nonlocal views_seconds
        views_seconds = time.perf_counter() - began
        say(RowReport(row=row.name, seed=seed, stage="views", done=done, total=total))

    def trained(record: StepRecord) -> None:
        say(
            RowReport(
                row=row.name,
                seed=seed,
                stage="train",
                done=record.step,
                total=updates,
                record=record,
            )
        )

    checkpoint = _place(row, seed, folder) / "checkpoint.pt"
    result = train_row(row, setting, seed, folder, checkpoint, rendered=rendered, report=trained)
    last = result.history[-1]
    speeds = torch.tensor([record.samples_per_second for record in result.history])
    waits = torch.tensor([record.data_share for record in result.history])
    return result.encoder, {
        "updates": updates,
        "loss": last.loss,
        "samples_per_second": float(speeds.median()),
        "waiting_for_views": float(waits.median()),
        "views_seconds": views_seconds,
        "seconds": time.perf_counter() - began - views_seconds,
        "monitors": last.monitors,
    }


def train_row(
    row: LearningRow,
    setting: LearningSetting,
    seed: int,
    folder: Path,
    checkpoint: Path,
    *,
    knn: OnlineKNN | None = None,
    engine: str | Engine = "local",
    rendered: Progress | None = None,
    report: Callable[[StepRecord], None] | None = None,
) -> TrainedRepresentation:
    """Train the encoder of a row.

    Args:
        row: of any data but "none".
        setting: of the study.
        seed: of first weights, order and pixel views.
        folder: for stored views.
        checkpoint: file to go on from.
        knn: labelled images to look at while training.
        engine: where views are rendered.
        rendered: called as views are stored.
        report: called with each record of the training.
    """
    objective, head = setting.objective_of(row)
    batches = RowBatches(row, setting, seed, folder, engine=engine, progress=rendered)
    try:
        return train_representation(
            new_encoder(setting, seed, head),
            batches,
            objective,
            replace(setting.training(setting.updates_of(row)), seed=seed),
            knn=knn,
            checkpoint=checkpoint,
            report=report,
        )
    finally:
        batches.close()


def new_encoder(
    setting: LearningSetting, seed: int, head: Mapping[str, Any] | None = None
) -> RepresentationEncoder:
    """Return a fresh encoder with the head that an objective asks for.

    Args:
        setting: of the study, which says where it is.
        seed: of its weights.
        head: fields of its config; None, for an untrained one, has no objective to please.
    """
    config = replace(setting.encoder, channels=setting.image_spec.channels, **(head or {}))
    return RepresentationEncoder(config, seed=seed).to(setting.device)


def _probe(
    encoder: RepresentationEncoder, setting: LearningSetting, *, untrained: bool
) -> EncoderScores | None:
    if setting.probe is None:
        return None
    return probe_encoder(FeatureExtractor(encoder, allow_untrained=untrained), setting.probe)


def _scores(scores: EncoderScores) -> dict[str, Any]:
    parts = {"linear": scores.linear, "knn": scores.knn}
    return {name: {**asdict(s), "val": scores.val[name]} for name, s in parts.items()}
