"""What does an ensemble that was fitted say of other images, labelled or not?

    IMAGES -> invert -> perturb -> render -> classify -> weigh with the run's ALPHA -> ANSWERS

The images are cut into shards, each read, inverted, classified and kept as answers, so memory does
not grow with their number and a killed run goes on. `genviews predict` runs this.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import torch

from genviews.data.source import ImageSource
from genviews.ensemble.fill import NO_ANSWER, refuse_silence
from genviews.ensemble.photos import Photos
from genviews.ensemble.significance import counted_report
from genviews.gates.pictures import redrawn_gate
from genviews.gates.views import number_gate
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.perturb.redraw import REDRAWN
from genviews.pipeline import GenerativeTTA
from genviews.report.output import write_atomic
from genviews.report.text import csv_rows
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Column, Table
from genviews.studies.ensembling.answers import ANSWERS, answer_columns, answer_rows, said
from genviews.studies.ensembling.evidence import difference
from genviews.studies.ensembling.saved import SavedEnsemble
from genviews.studies.result import Result
from genviews.work import Tell, run_shards

__all__ = ["STUDY", "run"]

SHARD = 250  # images, or fewer where they are large
_STORE = "answers-"  # and the digest of its identity


def run(bench: Bench, options: SavedEnsemble) -> Result:
    """Classify every image, write the answers, sum up."""
    source, tta = bench.source, options.tta(bench)
    size = images_in_shard(source.image_spec, SHARD)
    identity = identify(
        source=source,
        plan=tta.plan,
        inverter=bench.kit.inverter,
        classifier=bench.tasks[0].classifier,
        ensemble=options,
        shard=size,
    )
    store = ShardStore(bench.place / f"{_STORE}{identity.digest}", identity)

    def make(rows: range, tell: Tell) -> Shard:
        return _answer(tta, source, rows, tell)

    run_shards(
        store,
        len(source),
        make,
        shard_size=size,
        stage="predict",
        engine=bench.engine,
        progress=bench.progress,
    )
    if not any(len(store.read(index)) for index in range(-(-len(source) // size))):
        _refuse_silence(store, len(source), size, bench.place)
    counts = _Counts(options.class_names, set(options.chosen_on))
    views = [(v.name, count) for v, count in tta.plan.counts() if v.perturbation is None]
    if options.alpha > 0:
        views.append(("reconstruction", 1))
        views += [(v.name, count) for v, count in tta.plan.counts() if v.perturbation is not None]
    write_atomic(bench.products / ANSWERS, _lines(store, source, size, views, counts))
    total = int(counts.single.sum())
    rendered = total * tta.plan.num_rendered if options.alpha > 0 else 0
    plain = number_gate(counts.plain, total, "images")  # those that it passes are in the verdict
    again = redrawn_gate(counts.redrawn, rendered, "images")
    gates = (None if plain is None or plain.passed else plain, again)
    doubts = (*options.doubts, *(gate for gate in gates if gate is not None))
    return counts.result(bench, options).behind(doubts)


def _refuse_silence(store: ShardStore, count: int, size: int, place: Path) -> NoReturn:
    """No image has an answer: leave no work, which another run could not go on with; say why."""
    notes = dict(note for i in range(-(-count // size)) for note in store.read(i).notes.items())
    shutil.rmtree(place / f"{_STORE}{store.identity.digest}")
    with suppress(OSError):  # others may keep theirs there
        place.rmdir()
    refuse_silence(notes)


def _answer(tta: GenerativeTTA, source: ImageSource, rows: range, tell: Tell) -> Shard:
    """The answers for some rows, with a note on an image without one, or without one to views."""
    part = source.select(rows)
    ids: list[str] = []
    notes: dict[str, str] = {}
    found: list[dict[str, torch.Tensor]] = []
    photos = Photos(part, tta.generator.image_spec)
    answers = tta.answers(photos, progress=lambda stage, unit, done, total: tell(done))
    redrawn = 0
    for answer, proba in answers:
        redrawn += answer.redrawn
        bank, notes = answer.bank, {**notes, **answer.notes}
        ids += bank.ids
        shown = [key for key in bank.logits if key != "image"]
        found.append(
            {
                "single": bank.get("image")[:, 0].argmax(-1),
                "ensemble": proba.argmax(-1),
                "confidence": proba.amax(-1),
                "views": said(bank, shown),
            }
        )
    left = [row for row, name in enumerate(part.ids) if name not in set(ids)]
    notes |= {part.ids[row]: NO_ANSWER for row in left}
    if left:
        notes |= dict(part.read(left).skipped)
    notes |= {REDRAWN: str(redrawn)} if redrawn else {}
    tensors = {"single": torch.zeros(0, dtype=torch.long)}
    if found:
        tensors = {name: torch.cat([one[name] for one in found]) for name in found[0]}
    return Shard(tensors=tensors, ids=tuple(ids), notes=notes)


def _lines(
    store: ShardStore,
    source: ImageSource,
    size: int,
    views: list[tuple[str, int]],
    counts: _Counts,
) -> Iterator[str]:
    """The file, a shard at a time."""
    columns = [*answer_columns(views), "note"]
    yield csv_rows([columns])
    known, names = source.labels, list[str | None]([None] * len(source))
    if known is not None:
        names = [source.class_names[label] for label in known.tolist()]
    content = dict(zip(source.ids, source.hashes(), strict=True))
    for index, start in enumerate(range(0, len(source), size)):
        shard, part = store.read(index), slice(start, start + size)
        label = dict(zip(source.ids[part], names[part], strict=True))
        lines: dict[str, list[object]] = {}
        if len(shard):
            told = shard.tensors
            truth = [counts.truth(label[name], content[name]) for name in shard.ids]
            counts.add(told["single"], told["ensemble"], truth)
            rows = answer_rows(
                shard.ids,
                [label[name] for name in shard.ids],
                told["single"],
                (told["ensemble"], told["confidence"]),
                told["views"],
                counts.class_names,
            )
            named = zip(shard.ids, rows, strict=True)
            lines = {name: [*row, shard.notes.get(name)] for name, row in named}
        counts.redrawn += int(shard.notes.get(REDRAWN, 0))
        counts.skipped += [
            (name, text)
            for name, text in shard.notes.items()
            if name not in lines and name != REDRAWN
        ]
        counts.plain += sum(name in lines for name in shard.notes)
        blank = [None] * (len(columns) - 3)
        yield csv_rows(
            lines.get(name, [name, label[name], *blank, shard.notes.get(name)]) for name in label
        )


class _Counts:
    """How often each class was said, and how often rightly."""

    def __init__(self, class_names: tuple[str, ...], chosen_on: set[str]) -> None:
        self.class_names, self.chosen_on, self.fitted = class_names, chosen_on, 0
        self.single, self.ensemble = (torch.zeros(len(class_names)).long() for _ in range(2))
        self.changed = self.labelled = self.plain = self.redrawn = 0
        self.right, self.fixed, self.broke = 0, 0, 0
        self.skipped: list[tuple[str, str]] = []

    def truth(self, label: str | None, content: str) -> str | None:
        """The label of an image that did not choose the weight itself."""
        known = label is not None and content in self.chosen_on
        self.fitted += known
        return None if known else label

    def add(self, single: torch.Tensor, ensemble: torch.Tensor, labels: list[str | None]) -> None:
        """Count some images."""
        size = len(self.class_names)
        self.single += torch.bincount(single, minlength=size)
        self.ensemble += torch.bincount(ensemble, minlength=size)
        self.changed += int((single != ensemble).sum())
        for one, all_, label in zip(single.tolist(), ensemble.tolist(), labels, strict=True):
            if label in self.class_names:
                self.labelled += 1
                alone, both = (self.class_names[answer] == label for answer in (one, all_))
                self.right += both
                self.fixed += both and not alone
                self.broke += alone and not both

    def result(self, bench: Bench, options: SavedEnsemble) -> Result:
        """The sum of it."""
        total = int(self.single.sum())
        text = (
            f"{total:,} images classified by {options.row!r} with weight {options.alpha:.2f}: "
            f"{self.changed:,} answers are not those of the single image"
        )
        if self.labelled:
            found = counted_report(self.right, self.fixed, self.broke, self.labelled)
            alone = found.accuracy - found.gain
            text += (
                f"; of {self.labelled:,} with a known label {100 * found.accuracy:.1f} % are "
                f"right, {100 * alone:.1f} % by the single image: {difference(found)}"
            )
        if self.fitted:
            text += f"; the labels of {self.fitted:,} are left out, as they chose the weight"
        if self.plain:
            text += f"; {self.plain:,} have the plain answer, for want of a view or an inversion"
        if self.skipped:
            text += f"; no answer for {len(self.skipped):,}"
        table = Table(
            title="How often each class was said",
            columns=(
                Column(name="class", priority=0),
                Column(name="single image", kind="count", priority=0),
                Column(name="ensemble", kind="count", priority=0),
            ),
            rows=tuple(
                zip(self.class_names, self.single.tolist(), self.ensemble.tolist(), strict=True)
            ),
            caption=f"The answer for each image and view is in {ANSWERS}.",
        )
        record = bench.record(
            replace(options, chosen_on=()), data={"images": total, "changed": self.changed}
        )
        skipped = tuple(dict.fromkeys((*record.skipped, *self.skipped)))
        return Result(
            title=bench.title or "Predictions",
            verdict=f"{text}.",
            blocks=(table,),
            record=replace(record, skipped=skipped),
        )


STUDY = Study(
    "predict",
    run,
    SavedEnsemble,
    needs=(Need.KIT, Need.CLASSIFIER, Need.IMAGES),
    products=(ANSWERS,),
)
"""What `genviews predict` runs."""
