"""What reports are made of: one encoder with its training and probes, or a table of many.

train -> history        probe -> accuracies        both -> page, table, summary
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from genviews.evaluate.encoders import EncoderScores
from genviews.evaluate.probe import ProbeScore
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.run import StepRecord
from genviews.studies.learning.study import LearningStudy

__all__ = ["PROBES", "EncoderResult", "PanelResult", "TableResult", "probe_name"]

PROBES = {"linear": "Linear probe", "knn": "Nearest neighbours", "voc": "VOC07 AP"}


def probe_name(probe: str, *, inside: bool = False) -> str:
    """The name of a probe as people read it.

    Args:
        probe: a key of `PROBES`.
        inside: of a sentence, where a word begins with a small letter and a short form does not.

    Example:
        >>> probe_name("linear", inside=True), probe_name("voc", inside=True)
        ('linear probe', 'VOC07 AP')
    """
    name = PROBES.get(probe, probe)
    return name if not inside or name[:2].isupper() else name[0].lower() + name[1:]


@dataclass(frozen=True, kw_only=True, eq=False)
class EncoderResult:
    """An encoder that was trained, or judged, or both.

    Args:
        title: of the report.
        encoder: in eval mode.
        command: that asked for it.
        config: its resolved options.
        history: of the training; empty where an encoder was only judged.
        scores: of the probes; None where there were no labelled images.
        facts: of the training, JSON values: what was learnt from, and how.
        skipped: (file, reason) of images that were left out.
        seconds: by stage.
        versions: of packages.
    """

    title: str
    encoder: RepresentationEncoder
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[StepRecord, ...] = ()
    scores: EncoderScores | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The result in a sentence or two."""
        parts = []
        if self.history:
            last = self.history[-1]
            parts.append(f"Learnt in {last.step:,} updates, to a loss of {last.loss:.4g}.")
        if self.scores is None:
            return " ".join([*parts, "No labelled images were given, so nobody judged it."])
        told = [f"{probe_name(n, inside=True)} {_percent(s)}" for n, s in self.probes().items()]
        total = self.scores.linear.total
        parts.append(f"Right answers on {total:,} test images: {', '.join(told)}.")
        return " ".join(parts)

    def probes(self) -> dict[str, ProbeScore]:
        """The scores by probe."""
        return {} if self.scores is None else {"linear": self.scores.linear, "knn": self.scores.knn}

    def probe_records(self) -> dict[str, dict[str, Any]]:
        """The scores by probe, with the accuracy on val, as JSON values."""
        if self.scores is None:
            return {}
        return {n: {**asdict(s), "val": self.scores.val[n]} for n, s in self.probes().items()}

    def summary(self) -> dict[str, Any]:
        """All but the history, as JSON values."""
        last = self.history[-1] if self.history else None
        return {
            "title": self.title,
            "verdict": self.verdict,
            "encoder": asdict(self.encoder.config),
            "features": self.encoder.features_dim,
            "training": None if last is None else {**self.facts, "last": asdict(last)},
            "probes": self.probe_records(),
            "skipped": [list(one) for one in self.skipped],
            "command": self.command,
            "config": dict(self.config),
            "seconds": dict(self.seconds),
            "versions": dict(self.versions),
        }

    def history_records(self) -> list[dict[str, Any]]:
        """The history as JSON values."""
        return [asdict(record) for record in self.history]

    def history_csv(self) -> str:
        """The history, a line a record; what was not looked at is empty."""
        terms = _names(record.terms for record in self.history)
        monitors = _names(record.monitors for record in self.history)
        head = ["step", "loss", *(f"loss_{name}" for name in terms)]
        head += ["learning_rate", "samples_per_second", "waiting_for_views", *monitors]
        rows = [
            [
                record.step,
                record.loss,
                *(record.terms.get(name, "") for name in terms),
                record.learning_rate,
                record.samples_per_second,
                record.data_share,
                *(record.monitors.get(name, "") for name in monitors),
            ]
            for record in self.history
        ]
        return _csv([head, *rows])

    def probe_csv(self) -> str:
        """The scores, a line a probe."""
        head = ["probe", "accuracy", "low", "high", "mean_class_accuracy", "val", "hits", "total"]
        rows: list[list[Any]] = [[*head, "setting"]]
        for name, score in self.probes().items():
            assert self.scores is not None
            setting = " ".join(f"{key}={value:g}" for key, value in score.setting.items())
            rows.append(
                [
                    name,
                    score.accuracy,
                    *score.interval,
                    score.mean_class_accuracy,
                    self.scores.val[name],
                    score.hits,
                    score.total,
                    setting,
                ]
            )
        return _csv(rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class TableResult:
    """A table that was run, and what a report says around it.

    Args:
        study: the rows compared.
        command: that asked for it.
        config: its resolved options.
        left_out: kinds of rows that were left out, and what they need.
        panel: views of each row beside their anchors, as PNG; None where none has latent views.
        skipped: (file, reason) of images that were left out.
        seconds: by stage.
        versions: of packages.
    """

    study: LearningStudy
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    panel: bytes | None = field(default=None, repr=False)
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """All but the panel, as JSON values."""
        return {
            **self.study.record(),
            "left_out": list(self.left_out),
            "skipped": [list(one) for one in self.skipped],
            "command": self.command,
            "config": dict(self.config),
            "seconds": dict(self.seconds),
            "versions": dict(self.versions),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class PanelResult:
    """Views of a few samples, as a picture.

    Args:
        name: of the figure.
        generator: as it was named.
        samples: ids, a line of the picture each.
        views: of each sample and row.
        rows: whose views are shown, as JSON values.
        pixels: T_x in words; None where it is not shown.
        seed: of samples and views, and of T_x.
        picture: PNG, with the record in its text.
        command: that asked for it.
        config: its resolved options.
        left_out: kinds of views that were left out, and what they need.
        seconds: by stage.
        versions: of packages.
    """

    name: str
    generator: str
    samples: tuple[int, ...]
    views: int
    rows: tuple[Mapping[str, Any], ...]
    pixels: str | None
    seed: int
    picture: bytes = field(repr=False)
    command: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """What is shown, in a sentence."""
        kinds = ", ".join(str(row["name"]) for row in self.rows)
        count = "1 sample" if len(self.samples) == 1 else f"{len(self.samples)} samples"
        beside = "" if self.pixels is None else ", with pixel views T_x beside each image"
        return f"{count} of {self.generator} and their views ({kinds}){beside}."

    def record(self) -> dict[str, Any]:
        """All but the picture, as JSON values."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "generator": self.generator,
            "samples": list(self.samples),
            "views": self.views,
            "rows": [dict(row) for row in self.rows],
            "pixels": self.pixels,
            "seed": self.seed,
            "left_out": list(self.left_out),
            "command": self.command,
            "config": dict(self.config),
            "seconds": dict(self.seconds),
            "versions": dict(self.versions),
        }


def _percent(score: ProbeScore) -> str:
    low, high = (100 * edge for edge in score.interval)
    return f"{100 * score.accuracy:.1f} % [{low:.1f}, {high:.1f}]"


def _names(records: Any) -> list[str]:  # noqa: ANN401  (an iterable of mappings)
    return list(dict.fromkeys(name for record in records for name in record))


def _csv(rows: list[list[Any]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
