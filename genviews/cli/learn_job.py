"""The work of `genviews learn`: load, render, train, probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genviews.checks import fail
from genviews.claim import claim as lock
from genviews.cli.device import find_device
from genviews.cli.engine import run_engine
from genviews.cli.learn import BACKBONE, ENCODER, WORK, views_of
from genviews.cli.learn_options import LearnInputs, LearnOptions
from genviews.cli.learn_progress import PROBE, TrainProgress
from genviews.cli.learn_setting import (
    Loaded,
    load_kit,
    load_setting,
)
from genviews.cli.options import RunOptions
from genviews.cli.progress import Stages
from genviews.cli.run import Claim
from genviews.data.source import as_source
from genviews.evaluate.encoders import EncoderScores, ProbeData, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.identity import describe
from genviews.memory import keep_freed_memory
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.monitor import OnlineKNN
from genviews.represent.train import TrainedRepresentation, train_representation
from genviews.studies.learning.data import RowBatches, check_row
from genviews.studies.learning.encoder_result import encoder_result
from genviews.studies.learning.options import TrainingOptions
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.training import check_walks
from genviews.studies.result import Record, Result

__all__ = ["LearnJob"]

BANK, QUERIES = 2000, 1000  # images of train and val that are looked at while training


@dataclass(frozen=True, kw_only=True)
class LearnJob:
    """One encoder, as the flags describe it.

    Args:
        inputs: what to learn from and what to judge on.
        views: what is shown, and what is asked.
        training: how to train.
        flags: device and batch size.
        config: the resolved options, kept with the result.
        command: that asks for it.
    """

    inputs: LearnInputs
    views: LearnOptions
    training: TrainingOptions
    flags: RunOptions
    config: Mapping[str, Any]
    command: str

    def run(self, stages: Stages, claim: Claim) -> Result:
        """Do the work and tell its progress.

        Raises:
            ValueError: flags that do not fit what was loaded, another run's checkpoint, or another
                process at work in the folder.
        """
        keep_freed_memory()
        device = find_device(self.flags.device)
        row, loaded = self._load(device, stages)
        stages.note("load")
        claim(row=loaded.setting.identity(row, self.views.seed))
        with lock(self.views.out / WORK / ".lock") as mine:
            if not mine:
                fail(
                    f"output folder {str(self.views.out)!r}",
                    expected="one run at a time",
                    got="another process that trains there",
                    remedy="wait for it, or choose another folder with --out",
                )
            trained = self._train(row, loaded.setting, stages, device)
        scores = None
        if loaded.setting.probe is not None:
            scores = judge(trained.encoder, loaded.setting.probe, self.flags.batch_size)
            stages.note(PROBE)
        encoder, known = trained.encoder.cpu(), facts(row, loaded.setting, self.views.seed)
        self._save(encoder, str(known["images"]))
        return encoder_result(
            self._title(),
            encoder,
            record=Record(
                command=self.command,
                config=self.config,
                seed=self.views.seed,
                skipped=loaded.skipped,
                seconds=dict(stages.seconds),
            ),
            scores=scores,
            history=trained.history,
            facts=known,
        )

    def _save(self, encoder: RepresentationEncoder, images: str) -> None:
        """Write the weights before anything is said of them: no hour of work is lost."""
        named = self.inputs.generator
        about = {"images": images, "generator": Path(named).name if named else "none"}
        encoder.save(self.views.out / ENCODER, about)
        encoder.export_backbone(self.views.out / BACKBONE, about)

    def _load(self, device: torch.device, stages: Stages) -> tuple[LearningRow, Loaded]:
        row = self._row()
        loaded = load_setting(
            self.inputs,
            self.training,
            device,
            batch_size=self.flags.batch_size,
            kit=load_kit(self.inputs),
            folder=self.views.out / WORK / "pixels",
            engine=run_engine(self.flags, device),
            progress=stages,
        )
        check_row(row, loaded.setting)
        check_walks([row], loaded.setting)
        return row, loaded

    def _row(self) -> LearningRow:
        views, inputs = self.views, self.inputs
        both = inputs.generator is not None and inputs.real is not None
        return LearningRow(
            name="learned",
            data="mixed" if both else "generated" if inputs.real is None else "real",
            views=views_of(inputs, views),
            space=views.space,
            pixels=self.training.pixels != "none",
            objective=views.objective,
            positives=views.positives,
            pool=views.pool,
            share=views.share,
        )

    def _train(
        self, row: LearningRow, setting: LearningSetting, stages: Stages, device: torch.device
    ) -> TrainedRepresentation:
        objective, head = setting.objective_of(row)
        encoder = RepresentationEncoder(replace(setting.encoder, **head), seed=self.views.seed)
        config = replace(setting.training(setting.updates), seed=self.views.seed)
        work = self.views.out / WORK
        images = 1 if row.views is None else 1 + (row.pool or row.positives)

        def rendered(stage: str, unit: str, done: int, total: int) -> None:
            stages(stage, "images", done * images, total * images)

        batches = RowBatches(
            row,
            setting,
            self.views.seed,
            work,
            engine=run_engine(self.flags, device),
            progress=rendered,
        )
        try:
            return train_representation(
                encoder.to(device),
                batches,
                objective,
                config,
                knn=None if setting.probe is None else monitor(setting.probe),
                checkpoint=work / "checkpoint.pt",
                report=TrainProgress(
                    stages,
                    updates=setting.updates,
                    batch=setting.batch,
                    log_every=config.log_every,
                ),
            )
        finally:
            batches.close()

    def _title(self) -> str:
        made = self.inputs.generator and Path(self.inputs.generator).name
        parts = [f"views of {made}"] if made else []
        parts += [f"images of {self.inputs.real}"] if self.inputs.real is not None else []
        return f"An encoder learnt from {' and '.join(parts)}"


def judge(encoder: RepresentationEncoder, data: ProbeData, batch_size: int) -> EncoderScores:
    """The probes of an encoder, `batch_size` images at once."""
    return probe_encoder(FeatureExtractor(encoder, batch_size=batch_size), data)


def monitor(data: ProbeData) -> OnlineKNN:
    """Nearest neighbours on parts of train and val, to be looked at while training."""
    bank, queries = spread(len(data.train), BANK), spread(len(data.val), QUERIES)
    assert data.train.labels is not None  # checked by ProbeData
    assert data.val.labels is not None
    return OnlineKNN(
        bank=as_source(data.train).read(bank.tolist()).images,
        bank_labels=data.train.labels[bank],
        queries=as_source(data.val).read(queries.tolist()).images,
        query_labels=data.val.labels[queries],
        neighbours=min(20, len(bank)),
    )


def spread(count: int, most: int) -> torch.Tensor:
    """Rows spread evenly over a set, which may be sorted by class."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def facts(row: LearningRow, setting: LearningSetting, seed: int) -> dict[str, Any]:
    """What an encoder was learnt from, and how, as JSON values."""
    return {
        "row": {name: value for name, value in asdict(row).items() if name != "name"},
        "images": "x".join(str(n) for n in setting.image_spec.shape),
        "updates": setting.updates,
        "batch": setting.batch,
        "samples": setting.base,
        "pixels": repr(setting.pixels),
        "training": describe(replace(setting.training(setting.updates), seed=seed)),
    }
