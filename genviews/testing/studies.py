"""The contracts of long work: each study, on the toy generator and with quick options; `Engine`."""

from __future__ import annotations

import csv
import functools
import html
import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.engine import Engine, Facts, Worker
from genviews.evaluate.encoders import ProbeData
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.noise import Isotropic
from genviews.perturb.pca import PCAStatistics
from genviews.report.output import PAGE
from genviews.report.terminal import show
from genviews.report.text import markdown, table_csv
from genviews.rng import Rng
from genviews.studies.base import Study, run_study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Images, Table
from genviews.studies.inputs import Inputs
from genviews.studies.result import RESULT_FILE, Result
from genviews.testing.laws import Laws, expect, refuses

__all__ = ["ENGINE_CHECKS", "STUDY_CHECKS", "check_engine", "check_study", "toy_inputs"]

CLASSES = ("dark", "middle", "light")
SHIFTS = (-0.6, 0.2, 0.3)  # of brightness, which put the toy's classes in the order of their names
SHARDS = (3, 1, 2, 8)
NO_SPACE = 28  # errno.ENOSPC


def toy_inputs() -> Inputs:
    """Everything that a study may need, made by the toy generator in a second."""
    kit = _toy_kit()
    made = {
        name: _toy_images(name, count)
        for name, count in (("calibration", 24), ("test", 24), ("train", 64), ("val", 24))
    }
    classifier = Classifier(_Brightness(), kit.generator.image_spec, CLASSES)
    return Inputs(
        kit=kit,
        tasks=(Task(name="brightness", classifier=classifier),),
        splits={name: MemorySource(made[name]) for name in ("calibration", "test")},
        perturbations=(Isotropic("fine", 0.3),),
        real=made["train"],
        probe=ProbeData(train=made["train"], val=made["val"], test=made["test"]),
    )


@functools.cache
def _toy_kit() -> GeneratorKit:
    """One for all studies, so that its directions are measured once."""
    toy = ToyGenerator(num_classes=len(CLASSES))
    directions = PCAStatistics.measure(toy, num_samples=2000)
    return GeneratorKit(toy, directions=directions, name="toy", steps=8)


class _Brightness(torch.nn.Module):
    """Logits of three levels of mean brightness."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Say of each image how near it is to each level."""
        levels = torch.tensor([-0.5, 0.0, 0.5], device=images.device)
        return -(((images.flatten(1).mean(1)[:, None] - levels) * 4) ** 2)


@functools.cache
def _toy_images(name: str, count: int) -> ImageSet:
    generator = _toy_kit().generator
    ids = [f"{name}/{i}" for i in range(count)]
    labels = torch.arange(count) % len(CLASSES)
    z = Rng(0, "toy images").streams(ids).normal(1, (generator.z_dim,))[:, 0]
    images = generator.synthesize(generator.map(z, labels))
    shifted = images.float() + torch.tensor(SHIFTS)[labels].view(-1, 1, 1, 1).float()
    return ImageSet(
        images=shifted.float().clamp(-1, 1).detach(),
        ids=tuple(ids),
        labels=labels,
        class_names=CLASSES,
    )


def check_study(study: Study[Any], work: Path | None = None) -> None:
    """Run a study on the toy generator with its quick options, and check every law.

    Args:
        study: of the registry or your own.
        work: folder that studies share, so that what two ask for is made once; None: of its own.

    Raises:
        AssertionError: a law is broken; the message says which.
    """
    with tempfile.TemporaryDirectory() as folder:
        StudyLaws.check(study)
        place = Path(folder) / "run"
        made = _run(study, place, work)
        RunLaws.check(study, made, place, work)


def check_engine(engine: Engine) -> None:
    """Run every check of the contract on one engine; a few workers are started.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.engine import LocalEngine
        >>> check_engine(LocalEngine())
    """
    EngineLaws.check(engine)


class StudyLaws(Laws[Study[Any]]):
    """What a study says before it runs."""

    def it_says_what_it_is(self) -> None:
        """Its name is ARROW/QUESTION; it has a sentence, a source, minutes, help of each option."""
        study = self.subject
        expect(study.name.count("/") == 1, f"its name is {study.name!r}")
        expect(study.summary.endswith((".", "?")), f"its summary is {study.summary!r}")
        expect(bool(study.source) and study.minutes > 0, "no source, or no minutes")
        told = "".join(base.__doc__ or "" for base in study.options.__mro__)
        for option in fields(study.options):
            expect(f" {option.name}:" in told, f"option {option.name} has no line under Args")
        study.options().check()

    def it_is_refused_without_its_needs(self) -> None:
        """A bench without what it needs is refused, and nothing is written."""
        with tempfile.TemporaryDirectory() as folder:
            place, options = Path(folder) / "run", self.subject.options().quick()
            call = partial(run_study, self.subject, Bench(Inputs()), options, place)
            refuses(call, "a bench with nothing")
            expect(not place.exists(), "it wrote something")


class RunLaws(Laws[Study[Any]]):
    """What a run of it left."""

    def __init__(self, study: Study[Any], made: Result, place: Path, work: Path | None) -> None:
        super().__init__(study)
        self.made, self.place, self.work = made, place, work

    def it_says_something(self) -> None:
        """There is a verdict, evidence, and how it was made."""
        made = self.made
        expect(bool(made.verdict.strip() and made.title.strip()), "no verdict or title")
        expect(bool(made.blocks), "no block")
        expect(made.record.command == "toy", "the record does not hold the command")
        expect(bool(made.record.seconds), "the record does not hold the time")
        kept = made.record.config["study"] == self.subject.name
        expect(kept, "the record does not hold the study")

    def its_record_comes_back(self) -> None:
        """All but the pictures is read back as it was, every number finite."""
        expect(Result.load(self.place).to_json() == self.made.to_json(), "the record differs")

    def it_is_shown_in_every_form(self) -> None:
        """Page, terminal of 80 columns, CSV and Markdown have the answer."""
        made, page, out = self.made, (self.place / PAGE).read_text(encoding="utf-8"), io.StringIO()
        words = " ".join(html.unescape(page).split())  # a page holds some spaces together
        expect(" ".join(made.verdict.split()) in words, "the page has no verdict")
        expect(len(page) < 1_500_000, f"the page has {len(page):,} characters")
        show(made, Console(file=out, width=80))
        widest = max(map(len, out.getvalue().splitlines()))
        expect(widest <= 80, f"the terminal has a line of {widest} characters")
        expect("".join(made.verdict.split()) in "".join(out.getvalue().split()), "no verdict there")
        expect(made.verdict in "\n".join(markdown(made)), "Markdown has no verdict")
        for block in made.blocks:
            if isinstance(block, Table):
                lines = len(list(csv.reader(io.StringIO(table_csv(block)))))
                expect(lines == len(block.rows) + 1, f"CSV of {block.title!r}: {lines} lines")
            if isinstance(block, Images):
                pictures = [one for grid in block.grids for row in grid.pictures for one in row]
                expect(all(one.pixels is not None for one in pictures), "a picture without pixels")

    def a_finished_run_does_nothing(self) -> None:
        """The same run asked again writes nothing."""
        before = self._times()
        again = _run(self.subject, self.place, self.work)
        expect(again.to_json() == self.made.to_json(), "it found something else")
        expect(self._times() == before, "it wrote something")

    def another_run_is_refused(self) -> None:
        """Another seed is not answered with this one's result."""
        before = (self.place / RESULT_FILE).read_bytes()
        other = Bench(toy_inputs(), seed=1, folder=self.work)
        options = self.subject.options().quick()
        refuses(partial(run_study, self.subject, other, options, self.place), "another seed")
        expect((self.place / RESULT_FILE).read_bytes() == before, "the result was replaced")

    def _times(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.place.rglob("*")}


def _run(study: Study[Any], place: Path, work: Path | None) -> Result:
    bench = Bench(toy_inputs(), folder=work)
    return run_study(study, bench, study.options().quick(), place, command="toy")


class EngineLaws(Laws[Engine]):
    """What is reported is kept in its order."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.told: list[tuple[int, Facts]] = []

    def _run(self, shards: Sequence[int], make_worker: Callable[[], Worker]) -> None:
        self.subject.run(shards, make_worker, lambda *report: self.told.append(report))

    def each_shard_is_run_and_reported_once(self) -> None:
        """Every shard is reported once, with what its worker returned, in any order."""
        self._run(SHARDS, _squares)
        wanted = [(index, {"square": index**2}) for index in SHARDS]
        got = sorted(self.told, key=lambda report: SHARDS.index(report[0]))
        expect(got == wanted, f"reports {self.told}")

    def what_a_worker_raises_is_raised_here(self) -> None:
        """The error of a worker comes with its type and arguments; its shard is not done."""
        try:
            self._run([7], _full)
        except OSError as error:
            expect(error.errno == NO_SPACE, f"the error lost its number: {error!r}")
        else:
            raise AssertionError("the error of a worker was lost")
        expect(not self.told, "a shard that failed was reported")

    def no_shard_is_no_error(self) -> None:
        """Nothing to do ends at once."""
        self._run([], _squares)
        expect(not self.told, f"{self.told} was reported")


def _squares() -> Worker:
    return lambda index: {"square": index**2}


def _full() -> Worker:
    def worker(index: int) -> Facts:
        raise OSError(NO_SPACE, "No space left on device")

    return worker


ENGINE_CHECKS = EngineLaws.checks()
STUDY_CHECKS = (*StudyLaws.checks(), *RunLaws.checks())
"""The laws of a study: those of `StudyLaws` before it runs, then those of what it left."""
