"""Run rows: train the encoder of each seed, judge it, keep both; what is done is not done again.

    ROW, seed -> batches -> train -> encoder -> probe -> `row.json`

A row and seed has a folder with `started.json` (the setting) and its checkpoint while it trains,
then `encoder.safetensors`, `answers.safetensors` (the classes that the probes gave the test images)
and last `row.json`. Processes that run the same study share its rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor

from genviews.checks import fail
from genviews.claim import claim
from genviews.evaluate.encoders import EncoderScores, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.files import read_json, save_tensors, write_json
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.run import StepRecord
from genviews.represent.train import train_representation
from genviews.shard import key_difference, key_text
from genviews.studies.learning.data import RowBatches, check_row
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting

__all__ = ["RowReport", "RowResult", "new_encoder", "run_row", "run_rows", "share_work"]

Piece = TypeVar("Piece")
Done = TypeVar("Done")

POLL = 1.0  # seconds between looks at rows that another process is running


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
    """

    row: LearningRow
    seed: int
    folder: Path
    record: dict[str, Any]
    answers: dict[str, Tensor] = field(default_factory=dict)

    def encoder(self) -> RepresentationEncoder:
        """The trained encoder."""
        return RepresentationEncoder.load(self.folder / "encoder.safetensors")


def run_rows(
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    seeds: Sequence[int],
    folder: str | Path,
    *,
    report: Report | None = None,
) -> list[RowResult]:
    """Run rows with every seed: all rows of the first seed, then those of the next.

    Args:
        rows: with different names.
        setting: of the study.
        seeds: one encoder each.
        folder: of the study. Another process may run the same study there; it takes other rows.
        report: called as rows go on.

    Returns:
        A result for each row and seed, seeds within rows.

    Raises:
        ValueError: two rows of one name, a row that asks for what the setting does not have (see
            `check_row`), or a folder that holds results of another setting; all before the first
            row is run.
    """
    left = [(row, seed) for seed in seeds for row in rows]
    _check_rows(rows, left, setting, Path(folder))
    done = share_work(
        [(_place(row, seed, Path(folder)) / ".lock", (row, seed)) for row, seed in left],
        lambda one: run_row(one[0], setting, one[1], folder, report=report),
    )
    found = {(result.row.name, result.seed): result for result in done}
    return [found[row.name, seed] for row in rows for seed in seeds]


def share_work(pieces: Sequence[tuple[Path, Piece]], work: Callable[[Piece], Done]) -> list[Done]:
    """Do pieces of work, those that another process is at last; it waits for them.

    Args:
        pieces: a lock file and what to do, each.
        work: does a piece, or reads what it came to where it is done.

    Returns:
        The results, in the order in which they were there.
    """
    left, found = list(pieces), []
    while left:
        busy = []
        for lock, piece in left:
            with claim(lock) as mine:
                if mine:
                    found.append(work(piece))
                else:
                    busy.append((lock, piece))
        if len(busy) == len(left):
            time.sleep(POLL)
        left = busy
    return found


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
        ValueError: the folder holds a result of another setting, or the row asks for what the
            setting does not have (see `check_row`).

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
    say = (lambda _: None) if report is None else report
    check_row(row, setting)
    known = _known(row, seed, setting, Path(folder))
    if known is not None:
        say(RowReport(row=row.name, seed=seed, stage="done"))
        return known
    place, key = _place(row, seed, Path(folder)), key_text(setting.describe(row, seed))
    write_json(place / "started.json", {"key": key})
    encoder, trained = _train(row, setting, seed, Path(folder), say)
    say(RowReport(row=row.name, seed=seed, stage="probe"))
    scores = _probe(encoder, setting, untrained=row.data == "none")
    encoder.save(place / "encoder.safetensors", {"row": row.name, "seed": str(seed)})
    answers = {} if scores is None else scores.answers
    if answers:
        save_tensors(place / "answers.safetensors", {k: v.short() for k, v in answers.items()})
    record = {
        "row": asdict(row),
        "seed": seed,
        **({} if scores is None else _scores(scores)),
        "training": trained,
        "key": key,
    }
    write_json(place / "row.json", record)
    (place / "checkpoint.pt").unlink(missing_ok=True)
    say(RowReport(row=row.name, seed=seed, stage="done"))
    return RowResult(row=row, seed=seed, folder=place, record=record, answers=answers)


def _place(row: LearningRow, seed: int, folder: Path) -> Path:
    return folder / "rows" / row.slug / f"seed{seed}"


def _check_rows(
    rows: Sequence[LearningRow],
    runs: Sequence[tuple[LearningRow, int]],
    setting: LearningSetting,
    folder: Path,
) -> None:
    names = [row.name for row in rows]
    if len(set(names)) != len(names):
        fail("rows", expected="different names", got=names, remedy="rename those that are equal")
    for row in rows:
        check_row(row, setting)
    for row, seed in runs:
        _known(row, seed, setting, folder)


def _known(row: LearningRow, seed: int, setting: LearningSetting, folder: Path) -> RowResult | None:
    """The result that is there; None where there is none, or one that was not finished."""
    place = _place(row, seed, folder)
    kept = [name for name in ("row.json", "started.json") if (place / name).exists()]
    if not kept:
        return None
    record = read_json(place / kept[0])
    ours = key_text(setting.describe(row, seed))
    if record["key"] != ours:
        fail(
            f"result of row {row.name!r}, seed {seed}",
            expected="the setting of this study",
            got=key_difference(record["key"], ours),
            remedy="choose another folder, or remove that row's",
        )
    if kept[0] == "started.json":
        return None
    answers = {}
    if (place / "answers.safetensors").exists():
        tensors = load_file(place / "answers.safetensors")  # in the order of the alphabet
        answers = {name: tensors[name].long() for name in record if name in tensors}
    return RowResult(row=row, seed=seed, folder=place, record=record, answers=answers)


def _train(
    row: LearningRow, setting: LearningSetting, seed: int, folder: Path, say: Report
) -> tuple[RepresentationEncoder, dict[str, Any]]:
    if row.data == "none":
        return new_encoder(setting, seed).eval(), {"updates": 0}
    objective, head = setting.objective_of(row)
    encoder, updates = new_encoder(setting, seed, head), setting.updates_of(row)

    def rendered(done: int, total: int) -> None:
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

    began = time.perf_counter()
    batches = RowBatches(row, setting, seed, folder, rendered)
    views_seconds, began = time.perf_counter() - began, time.perf_counter()
    try:
        result = train_representation(
            encoder,
            batches,
            objective,
            replace(setting.training(updates), seed=seed),
            checkpoint=_place(row, seed, folder) / "checkpoint.pt",
            report=trained,
        )
    finally:
        batches.close()
    last = result.history[-1]
    speeds = torch.tensor([record.samples_per_second for record in result.history])
    waits = torch.tensor([record.data_share for record in result.history])
    return result.encoder, {
        "updates": updates,
        "loss": last.loss,
        "samples_per_second": float(speeds.median()),
        "waiting_for_views": float(waits.median()),
        "views_seconds": views_seconds,
        "seconds": time.perf_counter() - began,
        "monitors": last.monitors,
    }


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
