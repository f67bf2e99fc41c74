"""What a study works with: the inputs that it needs, and what is made of them, once.

    GENERATOR, CLASSIFIERS, IMAGES -> inversions, predictions on views, encoders, judgements

Whatever a study asks for twice is made once. In a folder it is kept, so that a killed run goes on
and studies that share the folder share the work.
"""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.checks import fail
from genviews.classify.task import Task
from genviews.data.source import ImageSource
from genviews.data.split import SplitName
from genviews.engine import Engine
from genviews.ensemble.bank import PredictionBank, ViewBank
from genviews.ensemble.fill import fill_from_source, rendered_label
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.evaluate.encoders import ProbeData
from genviews.identity import identify
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.store import InversionStore
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation
from genviews.represent.encoder import RepresentationEncoder
from genviews.rng import Rng
from genviews.studies.base import Need, Options, Study
from genviews.studies.inputs import Inputs
from genviews.studies.result import Record
from genviews.studies.run_folder import WORK
from genviews.types import NotedProgress

__all__ = ["SPLITS", "Bench", "Watcher"]

SPLITS: tuple[SplitName, SplitName] = ("calibration", "test")
"""Of a test-time study: where choices are made, and where results are measured."""

Known = TypeVar("Known")


class Watcher:
    """What a bench tells how its work goes on; this one listens to nothing."""

    def tell(self, text: str) -> None:
        """Take note of what a user should hear at once."""

    def note(self, stage: str) -> None:
        """Take note that a stage has ended that counted nothing, such as loading."""

    def progress(self, stage: str, unit: str, done: int, total: int, note: str = "") -> None:
        """Take note that so many items of a stage are done, and what else is known of it."""


@dataclass(kw_only=True, eq=False)
class Bench:
    """The inputs of a study and what is made of them.

    Args:
        inputs: what was given.
        title: of the run, e.g. the names of generator and classifier.
        seed: of the views.
        batch_size: images at once; memory, and no effect on results but float round-off.
        device: where to compute.
        engine: where the shards of inversions and predictions are made, those that are kept.
        folder: where work is kept; None keeps it in a folder that goes with the bench.
        inversions_known: of splits that were inverted before, by the generator's own inverter.
        watcher: what is told how the work goes on.
        out: the run folder, where a study leaves products of its own; set by `run_study`.

    Attributes:
        plain_answers: split -> ids of images whose own answers stand for those of their views,
            which are no numbers, or for want of an inversion.
        redrawn: split -> how many views were not finite, and drawn again, and of how many.
        where: " under SHIFT" of a bench of shifted images, else "".
        benches_under: those of the same inputs under a shift that were asked for, see `derived`.
    """

    inputs: Inputs = field(kw_only=False)
    title: str = ""
    seed: int = 0
    batch_size: int = 256
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    engine: str | Engine = "local"
    folder: Path | None = None
    inversions_known: Mapping[str, InversionStore] = field(default_factory=dict)
    watcher: Watcher = field(default_factory=Watcher)
    out: Path | None = None
    plain_answers: dict[str, set[str]] = field(default_factory=dict, init=False)
    redrawn: dict[str, tuple[int, int]] = field(default_factory=dict, init=False)
    benches_under: list[Bench] = field(default_factory=list, init=False)
    where: str = field(default="", init=False)
    _left_out: dict[str, str] = field(default_factory=dict, init=False)
    _inversions: dict[tuple[str, str], InversionStore] = field(default_factory=dict, init=False)

    def at(self, out: Path) -> Bench:
        """The same for a run folder, whose subfolder has the work, unless that lies elsewhere."""
        return replace(self, out=out, folder=self.folder or out / WORK)

    def check(self, study: Study[Any]) -> None:
        """Raise ValueError where an input is missing that a study needs."""
        missing = [need.value for need in study.needs if need not in self.inputs.given()]
        if missing:
            fail(
                f"study {study.name}",
                expected=" and ".join(need.value for need in study.needs),
                got=f"no {' and no '.join(text.removeprefix('a ') for text in missing)}",
                remedy="name what is missing",
            )
        if Need.SPLITS in study.needs:
            self.inputs.check_splits()

    def __describe__(self) -> Mapping[str, object]:
        """The inputs and the seed; batch size, device and folder change no result."""
        return {"inputs": self.inputs, "seed": self.seed}

    @cached_property
    def place(self) -> Path:
        """The folder for what is kept."""
        if self.folder is not None:
            return self.folder
        made = Path(mkdtemp())
        weakref.finalize(self, shutil.rmtree, made, ignore_errors=True)
        return made

    @property
    def kit(self) -> GeneratorKit:
        """The generator; a study that needs none does not ask."""
        return _known(self.inputs.kit)

    @property
    def probe(self) -> ProbeData:
        """The labelled splits that encoders are judged on."""
        return _known(self.inputs.probe)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is asked of every image."""
        return self.inputs.tasks

    @property
    def perturbations(self) -> tuple[Perturbation, ...]:
        """Of the generator's latents, to try."""
        return self.inputs.perturbations

    @property
    def pixel_views(self) -> tuple[PixelViews, ...]:
        """To compare generated views with."""
        return self.inputs.pixel_views

    def images(self, split: str) -> ImageSource:
        """The images of "calibration" or "test"."""
        return self.inputs.splits[split]

    def derived(
        self, splits: Mapping[str, ImageSource], where: str, tasks: Sequence[Task] | None = None
    ) -> Bench:
        """The same bench with other images; its work lies in the same folder.

        Args:
            splits: "calibration" and "test".
            where: see `Attributes`.
            tasks: to answer; None keeps all.
        """
        same = {n: s for n, s in self.inversions_known.items() if splits[n] is self.images(n)}
        kept = self.inputs.tasks if tasks is None else tuple(tasks)
        inputs = replace(self.inputs, splits=splits, tasks=kept)
        found = replace(self, inputs=inputs, inversions_known=same)
        found.where = where
        self.benches_under.append(found)
        return found

    def drawn(self, images: ImageSource, most: int) -> list[int]:
        """Rows of so many images, or of all; which, their ids and the seed alone decide."""
        if most >= len(images):
            return list(range(len(images)))
        draws = Rng(self.seed, "scale images").streams(images.ids).uniform(1, (1,))
        rows: list[int] = draws.flatten().argsort(stable=True)[:most].sort().values.tolist()
        return rows

    def inversions(self, split: str, inverter: Inverter | None = None) -> InversionStore:
        """The inversions of a split, made once.

        Args:
            split: "calibration" or "test".
            inverter: None takes the generator's own.
        """
        how = inverter or self.kit.inverter
        key = (split, identify(inverter=how).digest)
        if inverter is None and split in self.inversions_known:
            self._inversions.setdefault(key, self.inversions_known[split])
        if key not in self._inversions:
            self._inversions[key] = invert_source(
                self.images(split),
                self.kit.generator,
                how,
                self.place / "inversions",
                label=self._rendered_label(split),
                batch_size=self.batch_size,
                engine=self.engine,
                apart=True,
                stage=f"invert {split} images{self.where}",
                progress=self.progress,
            )
        return self._inversions[key]

    def _rendered_label(self, split: str) -> Tensor | None:
        """The class to invert each image with; 0 for one that cannot be read."""
        if not self.kit.generator.renders_label:
            return None
        images = self.images(split)
        label, plan = torch.zeros(len(images), dtype=torch.long), self.plan()
        for start in range(0, len(images), self.batch_size):
            rows = range(len(images))[start : start + self.batch_size]
            batch = images.read(rows)
            if not len(batch):
                continue
            shown = plan.shown(batch.images, batch.ids)
            found = rendered_label(
                self.tasks, self.kit.generator, shown, batch_size=self.batch_size
            )
            assert found is not None
            label[images.rows_of(batch.ids, rows)] = found
        return label

    def plan(self, view_sets: Sequence[ViewSet] = (), num_views: int = 1) -> ViewPlan:
        """What makes and shows views of images, by the generator and the seed of this bench."""
        return ViewPlan(
            view_sets=tuple(view_sets),
            generator=None if self.inputs.kit is None else self.kit.generator,
            num_views=num_views,
            seed=self.seed,
            batch_size=self.batch_size,
            photo_transform=self.inputs.photo_transform,
            render_transform=self.inputs.render_transform,
        )

    def bank(
        self,
        split: SplitName,
        view_sets: Sequence[ViewSet],
        *,
        num_views: int,
        tasks: Sequence[Task] | None = None,
        count: int | None = None,
        latents: InversionStore | Float[Tensor, "N L D"] | None = None,
        stage: str | None = None,
    ) -> ViewBank:
        """What the classifiers say of the views of a split.

        Args:
            split: "calibration" or "test".
            view_sets: the views.
            num_views: of each set that does not say itself.
            tasks: None takes all.
            count: images drawn by their ids; None takes all.
            latents: of all images, or their inversions; None takes those of `inversions`.
            stage: what is told of it; None is "views of SPLIT".
        """
        images = self.images(split)
        rows = self.drawn(images, len(images) if count is None else count)
        plan = self.plan(view_sets, num_views)
        found = fill_from_source(
            self.tasks if tasks is None else tasks,
            plan,
            images,
            self.inversions(split) if latents is None else latents,
            {name: column.values for name, column in images.columns.items()},
            split=split,
            rows=rows,
            folder=self.place / "predictions",
            engine=self.engine,
            stage=f"{stage or f'views of {split}'}{self.where}",
            progress=self.progress,
        )
        before = self.redrawn.get(split, (0, 0))
        rendered = len(found.ids) * plan.num_rendered
        self.redrawn[split] = (before[0] + found.redrawn, before[1] + rendered)
        self.plain_answers.setdefault(split, set()).update(found.notes.keys() & set(found.ids))
        self._left_out |= {n: text for n, text in found.notes.items() if n not in set(found.ids)}
        return found

    def banks(
        self,
        view_sets: Sequence[ViewSet],
        num_views: int,
        latents: Mapping[SplitName, InversionStore | Tensor] | None = None,
    ) -> tuple[PredictionBank, PredictionBank]:
        """What the classifier of the first task says of the views of calibration, and of test.

        Args:
            view_sets: the views.
            num_views: of each set that does not say itself.
            latents: of all images of each split, or their inversions; None: those of `inversions`.
        """
        name, known = self.tasks[0].name, latents or {}
        first, last = (
            self.bank(split, view_sets, num_views=num_views, latents=known.get(split))[name]
            for split in SPLITS
        )
        return first, last

    @property
    def inversions_made(self) -> Mapping[tuple[str, str], InversionStore]:
        """The inversions that were asked for, by split and identity of the inverter."""
        return self._inversions

    @property
    def source(self) -> ImageSource:
        """The images to invert."""
        return _known(self.inputs.images)

    @property
    def encoder(self) -> RepresentationEncoder:
        """The encoder to judge."""
        return _known(self.inputs.encoder)

    @property
    def products(self) -> Path:
        """The run folder."""
        return _known(self.out)

    @property
    def progress(self) -> NotedProgress:
        """What is to be called as work goes on, with (stage, unit, done, all, a further note)."""
        return self.watcher.progress

    def note(self, stage: str) -> None:
        """Say that a stage has ended that counted nothing."""
        self.watcher.note(stage)

    def tell(self, text: str) -> None:
        """Say something that a user should hear at once, and not after hours."""
        self.watcher.tell(text)

    def record(self, options: Options, data: Mapping[str, Any] | None = None) -> Record:
        """The beginning of a result's record.

        Args:
            options: of the study.
            data: further numbers, JSON values.
        """
        every = (self, *self.benches_under)
        unread = (note for b in every for s in b.inversions_made.values() for note in s.skipped)
        left_out = [note for b in every for note in b._left_out.items()]
        return Record(
            seed=self.seed,
            config=asdict(options),
            data=data or {},
            images=self.inputs.named_images(),
            skipped=tuple(dict.fromkeys((*self.inputs.skipped, *unread, *left_out))),
        )


def _known(value: Known | None) -> Known:
    """An input that `check` has found there."""
    assert value is not None
    return value
