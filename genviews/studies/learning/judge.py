"""Who judges the encoders of a study, and what is known of one: a row and seed.

    encoder of a row and seed -> JUDGE -> record, numbers -> columns of the table

A judge scores an encoder, keeps what it said beside it, and gives the columns of its numbers. The
linear probe and nearest neighbours come with every row; others, such as VOC, can be added to a
study that is there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from genviews.engine import Engine
from genviews.evaluate.encoders import ProbeData, majority_score, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.files import save_tensors
from genviews.identity import describe
from genviews.identity import key as key_of
from genviews.record_store import RecordStore
from genviews.represent.encoder import RepresentationEncoder
from genviews.represent.train import StepRecord
from genviews.shard import key_text
from genviews.studies.blocks import Column
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import ImageSpec
from genviews.work import HereOnly, Tell, run_shards

__all__ = [
    "ENCODER",
    "Judge",
    "KeptJudge",
    "Measure",
    "Measured",
    "ProbeJudge",
    "Report",
    "RowReport",
    "RowResult",
    "extractor_of",
    "judge_rows",
]

ENCODER, ANSWERS = "encoder.safetensors", "answers.safetensors"


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
class Measured:
    """A number of one encoder, or a difference of two, and how it varies with the test images.

    Args:
        value: the number.
        parts: (N,) of each test image, whose mean is the number, such as correctness (0 or 1); or
            (B,) the number for B draws of the images, nan for a draw that says nothing. None where
            it is not known how the number varies.
        images: N; 1 for draws.
    """

    value: float
    parts: Float[Tensor, " N"] | None = None
    images: int = 1

    @classmethod
    def of(cls, images: Tensor) -> Measured:
        """The mean of numbers of the test images."""
        return cls(value=float(images.double().mean()), parts=images.double(), images=len(images))

    def __sub__(self, other: Measured) -> Measured:
        """How far it is above another of the same images or draws."""
        if self.parts is None or other.parts is None:
            return Measured(value=self.value - other.value)
        parts = self.parts - other.parts
        value = float(parts.mean()) if self.images > 1 else self.value - other.value
        return Measured(value=value, parts=parts, images=self.images)


def extractor_of(
    encoder: RepresentationEncoder,
    spec: ImageSpec | None = None,
    *,
    batch_size: int = 256,
    untrained: bool = False,
) -> FeatureExtractor:
    """An encoder and how images are shown to it.

    Args:
        encoder: its config says which central square it learnt to see.
        spec: of the images, whose short side is brought to 8/7 of that square where this shrinks
            it, as published (112 of 128); None shows images as they come.
        batch_size: images at once.
        untrained: whether the encoder is not meant to have learnt anything.
    """
    size = None if spec is None else encoder.config.input_size
    short = None
    if size is not None and spec is not None:
        short = min(round(size / 0.875), spec.height, spec.width)
    return FeatureExtractor(
        encoder,
        input_size=size,
        resize_to=short,
        allow_untrained=untrained,
        batch_size=batch_size,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class RowResult:
    """What a row and seed came to; before it is run, the row and where its result will be.

    Args:
        row: the row.
        seed: of first weights, order and pixel views.
        folder: with the encoder.
        record: what `row.json` holds: "linear" and "knn" (accuracy on test, its interval, the
            setting, accuracy on val), "training" (loss, samples a second, share of time spent
            waiting for views, seconds, and the records of its "history") and "key"; then what
            further judges said, by their names.
        measured: the numbers of all judges by name; empty where nothing was judged.
        failed: why there is no record, such as "features: expected ... got one value for all"; ""
            where there is one. The encoder may be there: it is kept before it is judged.
    """

    row: LearningRow
    seed: int
    folder: Path
    record: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Measured] = field(default_factory=dict)
    failed: str = ""

    @property
    def name(self) -> str:
        """For messages."""
        return f"row {self.row.name!r}, seed {self.seed}"

    @property
    def accuracies(self) -> dict[str, float]:
        """The numbers of all judges by name, without how they vary."""
        return {name: one.value for name, one in self.measured.items()}

    @property
    def report(self) -> Callable[..., RowReport]:
        """A `RowReport` of it, from the fields that follow its seed."""
        return partial(RowReport, row=self.row.name, seed=self.seed)

    def encoder(self) -> RepresentationEncoder:
        """The trained encoder, on the CPU."""
        return RepresentationEncoder.load(self.folder / ENCODER)

    def extractor(
        self, setting: LearningSetting, batch_size: int = 256, spec: ImageSpec | None = None
    ) -> FeatureExtractor:
        """The encoder as a judge sees it, where the setting says; see `extractor_of`."""
        encoder, untrained = self.encoder().to(setting.device), self.row.data == "none"
        return extractor_of(encoder, spec, batch_size=batch_size, untrained=untrained)


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What tables show of a number.

    Args:
        title: of the number in charts; "" leaves it out of them.
        column: of the number. Words in braces in its help are the study's.
        against: columns of the difference to the reference row and of its p-value; () for none.
    """

    title: str = ""
    column: Column
    against: tuple[Column, ...] = ()

    @property
    def inside(self) -> str:
        """The title within a sentence: a word begins with a small letter, a short form does not."""
        return self.title if self.title[:2].isupper() else self.title[:1].lower() + self.title[1:]


class Judge(ABC):
    """Scores encoders.

    Attributes:
        name: of what it says in records, and of its files.
        measures: its numbers by name, in the order of their columns.
    """

    name: ClassVar[str]
    measures: ClassVar[Mapping[str, Measure]]

    @abstractmethod
    def score(
        self, result: RowResult, setting: LearningSetting, place: Path, say: Report
    ) -> dict[str, Any]:
        """Judge the encoder of a row and seed.

        Args:
            result: the encoder, which is there.
            setting: of the study.
            place: path of files that it writes, without their ending.
            say: called as it goes on.

        Returns:
            What it says, as JSON values.
        """

    @abstractmethod
    def measured(self, record: Mapping[str, Any], place: Path) -> dict[str, Measured]:
        """The numbers by name, from what `score` returned and wrote."""

    @abstractmethod
    def unseen(self) -> dict[str, float]:
        """The numbers by name of who answers without a look at the images; a part of the floor."""


@dataclass(frozen=True)
class ProbeJudge(Judge):
    """A linear probe and nearest neighbours, see `probe_encoder`.

    Args:
        data: labelled splits.
    """

    name: ClassVar[str] = "answers"
    measures: ClassVar[Mapping[str, Measure]] = {
        "linear": Measure(
            title="Linear probe",
            column=Column(
                name="linear probe",
                kind="percent",
                priority=0,
                help="right answers, read from the frozen features; the interval is {over}",
            ),
            against=(
                Column(
                    name="difference",
                    kind="points",
                    help="of the linear probe to {reference}, paired by image and seed",
                ),
                Column(name="Holm p", kind="p", priority=2, help="corrected for the rows compared"),
            ),
        ),
        "knn": Measure(
            title="Nearest neighbours",
            column=Column(
                name="neighbours", kind="percent", priority=2, help="as the linear probe"
            ),
        ),
    }

    data: ProbeData

    def score(
        self, result: RowResult, setting: LearningSetting, place: Path, say: Report
    ) -> dict[str, Any]:
        """See `Judge`; the class that each probe gives each test image is kept."""
        say(result.report(stage="probe"))
        scores = probe_encoder(result.extractor(setting, spec=setting.image_spec), self.data)
        answers = {name: one.short() for name, one in scores.answers.items()}
        save_tensors(place.with_suffix(".safetensors"), answers)
        return scores.record()

    def measured(self, record: Mapping[str, Any], place: Path) -> dict[str, Measured]:
        """The accuracy of each probe."""
        answers, truth = load_file(place.with_suffix(".safetensors")), self.data.test.labels
        assert truth is not None  # checked by ProbeData
        return {name: Measured.of(answers[name] == truth) for name in self.measures}

    def unseen(self) -> dict[str, float]:
        """The accuracy of always naming the most frequent class of train."""
        return dict.fromkeys(self.measures, majority_score(self.data)[0].accuracy)


class KeptJudge(Judge):
    """A judge that can be added to a study: what it says has its own files and key.

    Attributes:
        seeded: whether it draws anything by the seed of a row.
    """

    seeded: ClassVar[bool] = False

    @abstractmethod
    def check(self, setting: LearningSetting) -> None:
        """Raise for what would end the judging of a finished row; trains nothing."""

    @abstractmethod
    def depends(self, setting: LearningSetting) -> str:
        """A hash of all that its scores depend on beside the encoder and its seed."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What its numbers are of, as JSON values for the record."""


def judge_rows(
    judge: KeptJudge,
    results: Sequence[RowResult],
    setting: LearningSetting,
    *,
    engine: str | Engine = "local",
    report: Report | None = None,
) -> list[RowResult]:
    """Judge the encoders of finished rows, those that are not judged yet.

    An encoder that cannot be judged (it says the same of all photos, the loss of its detector is
    not finite) does not stop the others: its result says why. Processes that judge the same rows
    share the work.

    Args:
        judge: who judges.
        results: of `run_rows`, none of which failed.
        setting: of the study.
        engine: "local" (this process), "ray", or an `Engine`.
        report: called as it goes on.

    Returns:
        The results with what the judge says.
    """
    task = judge.depends(setting)
    keys = [
        key_text(
            {
                "encoder": describe(one.folder / ENCODER),
                "task": task,
                **({"seed": one.seed} if judge.seeded else {}),
            }
        )
        for one in results
    ]
    pairs = zip(results, keys, strict=True)
    places = [one.folder / f"{judge.name}-{key_of(key)}" for one, key in pairs]
    paths = [place.with_suffix(".json") for place in places]
    store = RecordStore(paths, keys, [f"{judge.name} of {one.name}" for one in results])
    say = HereOnly(report)

    def make(numbers: range, tell: Tell) -> dict[str, Any]:
        return judge.score(results[numbers.start], setting, places[numbers.start], say)

    failed = run_shards(
        store,
        len(results),
        make,
        shard_size=1,
        stage=judge.name,
        unit="encoders",
        engine=engine,
        keep_going=True,
    )
    found = []
    for index, one in enumerate(results):
        if index in failed:
            found.append(replace(one, failed=failed[index]))
            continue
        record = store.read(index)
        numbers = {**one.measured, **judge.measured(record, places[index])}
        found.append(replace(one, record={**one.record, judge.name: record}, measured=numbers))
    return found
