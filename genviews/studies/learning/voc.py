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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from genviews.evaluate.detection import DetectionConfig
from genviews.evaluate.extractor import FeatureExtractor, short_hash
from genviews.evaluate.voc import decide_voc
from genviews.evaluate.voc_detection import PAPER_TEST, detect_voc
from genviews.files import read_json, save_tensors, sha256_of, write_json
from genviews.shard import key_text
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import Report, RowReport, RowResult, share_work
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.voc_task import VOCTask

__all__ = ["VOCResult", "judge_row", "judge_rows"]


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
    """

    row: LearningRow
    seed: int
    record: dict[str, Any]
    decisions: Float[Tensor, "N Y"] = field(repr=False)
    labels: Int[Tensor, "N Y"] = field(repr=False)
    detection: dict[str, Any] | None = None


def judge_rows(
    results: Sequence[RowResult],
    task: VOCTask,
    setting: LearningSetting,
    *,
    report: Report | None = None,
) -> list[VOCResult]:
    """Judge the encoders of finished rows, those that are not judged yet.

    Args:
        results: of `run_rows`.
        task: what to judge on; see `VOCTask.check`.
        setting: of the study.
        report: called as it goes on.

    Returns:
        A result for each, in their order. Processes that judge the same rows share the work.
    """
    done = share_work(
        [(result.folder / ".voc.lock", result) for result in results],
        lambda result: judge_row(result, task, setting, report=report),
    )
    found = {(one.row.name, one.seed): one for one in done}
    return [found[result.row.name, result.seed] for result in results]


def judge_row(
    result: RowResult, task: VOCTask, setting: LearningSetting, *, report: Report | None = None
) -> VOCResult:
    """Judge the encoder of a row and seed, or read what it came to where that is there.

    Args:
        result: of `run_row`.
        task: what to judge on.
        setting: of the study.
        report: called as it goes on.

    Raises:
        ValueError: an encoder that says the same of all photos, or a detector whose loss is not
            finite.
    """
    say = (lambda _: None) if report is None else report
    encoder = {"encoder": sha256_of(result.folder / "encoder.safetensors")}
    key = key_text({**encoder, **task.describe(setting.image_spec.channels)})
    place = result.folder / f"voc-{short_hash(key)}"
    files = place.with_suffix(".json"), place.with_suffix(".safetensors")
    if not files[0].exists():
        _classify(result, task, setting, say, place, key)
    record, kept = read_json(files[0]), load_file(files[1])
    return VOCResult(
        row=result.row,
        seed=result.seed,
        record=record,
        decisions=kept["decisions"],
        labels=kept["labels"].long(),
        detection=None
        if task.detection is None
        else _detection(result, task, setting, say, encoder),
    )


def _classify(
    result: RowResult,
    task: VOCTask,
    setting: LearningSetting,
    say: Report,
    place: Path,
    key: str,
) -> None:
    """Fit SVMs and write `place`.safetensors, then `place`.json."""
    row, seed = result.row.name, result.seed

    def seen(done: int, total: int) -> None:
        say(RowReport(row=row, seed=seed, stage="voc", done=done, total=total))

    def fitted(done: int, total: int) -> None:
        say(RowReport(row=row, seed=seed, stage="svm", done=done, total=total))

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
        seen=seen,
        progress=fitted,
    )
    kept = {"decisions": found.decisions, "labels": found.labels.to(torch.int8)}
    save_tensors(place.with_suffix(".safetensors"), kept)
    skipped = [list(one) for one in found.skipped]
    record = {**asdict(found.score), "skipped": skipped, "key": key}
    write_json(place.with_suffix(".json"), record)
    shutil.rmtree(place, ignore_errors=True)


def _detection(
    result: RowResult,
    task: VOCTask,
    setting: LearningSetting,
    say: Report,
    encoder_key: dict[str, str],
) -> dict[str, Any]:
    """Fine-tune a detector and write what it came to, or read it."""
    assert task.detection is not None
    config = _config(task.detection, result)
    key = key_text({**encoder_key, **task.detection_key, "seed": config.seed})
    file = result.folder / f"detection-{short_hash(key)}.json"
    if file.exists():
        return read_json(file)

    def trained(step: int, _: object) -> None:
        say(
            RowReport(
                row=result.row.name,
                seed=result.seed,
                stage="detection",
                done=step + 1,
                total=config.steps,
            )
        )

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
        progress=trained,
    )
    per_class = [None if math.isnan(value) else value for value in found.per_class]
    record = {**asdict(found), "per_class": per_class, "steps": config.steps, "key": key}
    write_json(file, record)
    return record


def _config(config: DetectionConfig, result: RowResult) -> DetectionConfig:
    """A detector sees images as its encoder did; its other weights are drawn by the row's seed."""
    known = result.encoder().config
    mean, std = (values * (3 if len(values) == 1 else 1) for values in (known.mean, known.std))
    return replace(config, mean=mean, std=std, seed=result.seed)
