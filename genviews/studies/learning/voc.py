"""Finished rows judged on PASCAL VOC: the transfer columns of the paper's tables.

    encoder of a row and seed -> SVMs on VOC07 -> decisions, average precision
                              -> C4 detector   -> AP, AP50, AP75

What an encoder came to is kept beside it, under a hash of all that it depends on: VOC can be added
to a study that is there, a killed run goes on at the encoder where it was, and tables share it.

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1 and 3-6, Sec. 4 and App. E.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from genviews.engine import Engine
from genviews.evaluate.detection import DetectionConfig
from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.voc import decide_voc
from genviews.evaluate.voc_detection import PAPER_TEST, detect_voc
from genviews.files import save_tensors
from genviews.identity import describe
from genviews.identity import key as key_of
from genviews.records import RecordStore
from genviews.shard import key_text
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import Report, RowReport, RowResult
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.voc_task import VOCTask
from genviews.work import HereOnly, Tell, run_shards

__all__ = ["VOCResult", "judge_rows"]


@dataclass(frozen=True, kw_only=True, eq=False)
class VOCResult:
    """What the encoder of a row and seed came to on VOC.

    Args:
        row: the row.
        seed: of its encoder.
        record: the fields of `MultiLabelScore`, and "skipped", photos that could not be read.
        decisions: (N, Y) of the SVMs for each photo that is scored, float64.
        labels: (N, Y) 1 there, 0 all of it difficult, -1 not there.
        detection: "ap", "ap50", "ap75" and "per_class"; None where no detector was fine-tuned.
        failed: why the encoder could not be judged; the other fields are then empty.
    """

    row: LearningRow
    seed: int
    record: dict[str, Any] = field(default_factory=dict)
    decisions: Float[Tensor, "N Y"] = field(default_factory=lambda: torch.zeros(0, 0), repr=False)
    labels: Int[Tensor, "N Y"] = field(
        default_factory=lambda: torch.zeros(0, 0, dtype=torch.long), repr=False
    )
    detection: dict[str, Any] | None = None
    failed: str = ""


def judge_rows(
    results: Sequence[RowResult],
    task: VOCTask,
    setting: LearningSetting,
    *,
    engine: str | Engine = "local",
    report: Report | None = None,
) -> list[VOCResult]:
    """Judge the encoders of finished rows, those that are not judged yet.

    An encoder that cannot be judged (it says the same of all photos, the loss of its detector is
    not finite) does not stop the others: its result says why.

    Args:
        results: of `run_rows`, none of which failed.
        task: what to judge on; see `VOCTask.check`.
        setting: of the study.
        engine: "local" (this process), "ray", or an `Engine`.
        report: called as it goes on.

    Returns:
        A result for each, in their order. Processes that judge the same rows share the work.
    """
    say = HereOnly(report)
    encoders = [describe(result.folder / "encoder.safetensors") for result in results]
    parts = task.parts(setting.image_spec.channels)
    keys = [key_text({"encoder": one, "task": parts}) for one in encoders]
    classified = _store(results, "voc", keys)
    failed = _fill(classified, results, partial(_classify, task, setting, say), engine)
    found: Sequence[dict[str, Any] | None] = [None] * len(results)
    if task.detection is not None:
        seeds = [_config(task.detection, result).seed for result in results]
        keys = [
            key_text({"encoder": one, "task": task.detection_parts, "seed": seed})
            for one, seed in zip(encoders, seeds, strict=True)
        ]
        detected = _store(results, "detection", keys)
        failed = _fill(detected, results, partial(_detect, task, setting, say), engine) | failed
        found = [None if i in failed else detected.read(i) for i in range(len(results))]
    return [
        VOCResult(row=result.row, seed=result.seed, failed=failed[index])
        if index in failed
        else _read(result, classified, index, found[index])
        for index, result in enumerate(results)
    ]


def _store(results: Sequence[RowResult], kind: str, keys: Sequence[str]) -> RecordStore:
    """Records beside the encoders, each under a name of its own for each key."""
    pairs = zip(results, keys, strict=True)
    paths = [result.folder / f"{kind}-{key_of(key)}.json" for result, key in pairs]
    return RecordStore(paths, keys, [f"{kind} of {result.name}" for result in results])


def _fill(
    store: RecordStore,
    results: Sequence[RowResult],
    judge: Callable[[RowResult, Path], dict[str, Any]],
    engine: str | Engine,
) -> dict[int, str]:
    def make(numbers: range, tell: Tell) -> dict[str, Any]:
        return judge(results[numbers.start], store.paths[numbers.start].with_suffix(""))

    return run_shards(
        store,
        len(results),
        make,
        shard_size=1,
        stage="voc",
        unit="encoders",
        engine=engine,
        keep_going=True,
    )


def _read(
    result: RowResult, classified: RecordStore, index: int, detection: dict[str, Any] | None
) -> VOCResult:
    kept = load_file(classified.paths[index].with_suffix(".safetensors"))
    return VOCResult(
        row=result.row,
        seed=result.seed,
        record=classified.read(index),
        decisions=kept["decisions"],
        labels=kept["labels"].long(),
        detection=detection,
    )


def _classify(
    task: VOCTask, setting: LearningSetting, say: Report, result: RowResult, place: Path
) -> dict[str, Any]:
    """Fit SVMs and write `place`.safetensors; returns the record."""

    def tell(stage: str, unit: str, done: int, total: int) -> None:
        row, seed = result.row.name, result.seed
        say(RowReport(row=row, seed=seed, stage=stage, done=done, total=total))

    extractor = FeatureExtractor(
        result.encoder().to(setting.device),
        allow_untrained=result.row.data == "none",
        batch_size=setting.render_batch,
    )
    found = decide_voc(
        extractor,
        *task.splits,
        svm=task.svm,
        size=task.size,
        channels=setting.image_spec.channels,
        folder=place,  # a large network on a CPU takes an hour: a killed run goes on
        progress=tell,
    )
    kept = {"decisions": found.decisions, "labels": found.labels.to(torch.int8)}
    save_tensors(place.with_suffix(".safetensors"), kept)
    shutil.rmtree(place, ignore_errors=True)
    return {**asdict(found.score), "skipped": [list(one) for one in found.skipped]}


def _detect(
    task: VOCTask, setting: LearningSetting, say: Report, result: RowResult, place: Path
) -> dict[str, Any]:
    """Fine-tune a detector; returns what it came to."""
    assert task.detection is not None
    config = _config(task.detection, result)
    row, seed, total = result.row.name, result.seed, config.steps

    def trained(step: int, losses: Mapping[str, float]) -> None:
        say(RowReport(row=row, seed=seed, stage="detection", done=step + 1, total=total))

    say(RowReport(row=row, seed=seed, stage="detection", done=0, total=total))
    encoder = result.encoder()
    found = detect_voc(
        encoder.backbone.state_dict(),
        task.path,
        config,
        architecture=encoder.config.backbone,
        train=task.years,
        test=PAPER_TEST,
        class_names=task.class_names,
        device=setting.device,
        report=trained,
    )
    per_class = [None if math.isnan(value) else value for value in found.per_class]
    return {**asdict(found), "per_class": per_class, "steps": config.steps}


def _config(config: DetectionConfig, result: RowResult) -> DetectionConfig:
    """A detector sees images as its encoder did; its other weights are drawn by the row's seed."""
    known = result.encoder().config
    mean, std = (values * (3 if len(values) == 1 else 1) for values in (known.mean, known.std))
    return replace(config, mean=mean, std=std, seed=result.seed)
