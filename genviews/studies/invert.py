"""Which latents reproduce these images, and how well do they?

    IMAGES -> invert -> `latents` -> render -> `reconstructions` -> errors of each image

Both stores stay in the run folder: later steps read them. Every view starts from a reconstruction,
so views can be no better than these numbers allow. `genviews invert` runs this.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import fail, first_reasons
from genviews.data.source import ImageSource
from genviews.files import write_many
from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.objective import Objective, Term
from genviews.invert.perceptual import LPIPS
from genviews.invert.quality import Reconstructions, reconstruct
from genviews.invert.start import GivenStart
from genviews.invert.store import InversionStore
from genviews.report.names import file_names
from genviews.report.output import write_atomic
from genviews.report.pictures import png_bytes, to_picture
from genviews.store import ShardStore
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.gates import gates_of_reconstructions
from genviews.studies.inverted import best_and_worst, images_csv, inversion_result, measured_terms
from genviews.studies.options import Options
from genviews.studies.result import Result
from genviews.types import NotedProgress
from genviews.user_code import GUIDE

__all__ = ["STUDY", "InvertOptions", "earlier_start", "run"]

LATENTS, RECONSTRUCTIONS, PNG = "latents", "reconstructions", "png"  # subfolders of the run
IMAGES = "images.csv"  # a line an image
SHOWN = 8  # best and worst images on the page; the paper's figure has 4
LOOK = 1.0  # seconds between looks at the store


@dataclass(frozen=True, kw_only=True)
class InvertOptions(Options):
    """What is measured of an inversion, and what it leaves besides.

    Args:
        lpips_weights: ImageNet weights of AlexNet: LPIPS is measured.
        png: also write each reconstruction as a PNG file.
    """

    lpips_weights: Path | None = None
    png: bool = field(default=False, metadata={"identity": False})


def _label(source: ImageSource, generator: Generator) -> Tensor | None:
    """The generator's class for each image, where it renders one."""
    if not generator.renders_label:
        return None
    if source.labels is None:
        fail(
            "classes of the images",
            expected="one for each: the generator renders images of a class",
            got="none",
            remedy="sort the images into a subfolder for each class of the generator, or name a "
            "CSV file with the columns file and label",
        )
    table = generator.classes_of(source.class_names)
    if table is None:
        fail(
            "classes of the images",
            expected=f"the generator's {generator.num_classes} classes: "
            + (", ".join(generator.class_names) or "they have no names"),
            got=", ".join(source.class_names),
            remedy="name the generator's classes as the images do: class_names "
            f"(--generator-class-names; {GUIDE} shows how)",
        )
    return table[source.labels]


def run(bench: Bench, options: InvertOptions) -> Result:
    """Invert, reconstruct and sum up.

    Raises:
        ValueError: nothing could be read, or images that a term of the loss cannot measure.
    """
    generator, inverter, source = bench.kit.generator, bench.kit.inverter, bench.source
    terms = _terms(generator, inverter, options)
    names = file_names(source.ids, ".png") if options.png else {}
    progress = _Losses(bench.progress, bench.products / LATENTS)
    store = invert_source(
        source,
        generator,
        inverter,
        bench.products / LATENTS,
        label=_label(source, generator),
        batch_size=bench.batch_size,
        engine=bench.engine,
        progress=progress,
    )
    _check_any(store, bench.products / LATENTS)
    made = reconstruct(
        store,
        source,
        generator,
        bench.products / RECONSTRUCTIONS,
        terms=terms,
        batch_size=bench.batch_size,
        engine=bench.engine,
        progress=bench.progress,
    )
    if options.png:
        _write_png_files(made, bench.products / PNG, names)
        bench.note("write PNG files")
    qualities = made.qualities()
    ranked_by = next(n for n in ("lpips_alex", "lpips_vgg", "l1") if n in qualities[0].errors)
    shown = best_and_worst(source, made, ranked_by, SHOWN)
    write_atomic(bench.products / IMAGES, images_csv(qualities, store.skipped, names))
    bench.note("sum up")
    return inversion_result(
        bench.title or "Inversion",
        qualities,
        shown=shown,
        record=replace(bench.record(options), seed=None, skipped=store.skipped),
        earlier=progress.earlier,
        seconds=progress.seconds,
    ).behind(gates_of_reconstructions(source, made))


def earlier_start(folder: str | Path, source: ImageSource) -> GivenStart:
    """Start from the latents of an earlier inversion.

    Args:
        folder: its store, or the run folder.
        source: the images, whose order is taken.

    Raises:
        FileNotFoundError: no such store.
        ValueError: images of the source that it does not have.
    """
    place = Path(folder) / LATENTS
    store = InversionStore(place if place.is_dir() else folder)
    shard = store.read_all()
    rows = {name: row for row, name in enumerate(shard.ids)}
    unread = dict(store.skipped)  # those will be skipped again
    absent = [name for name in source.ids if name not in rows and name not in unread]
    if absent or not rows:
        fail(
            f"--start-from {folder}",
            expected="a start for each image",
            got=f"none for {len(absent)} of {len(source)}, e.g. {absent[0]!r}"
            if absent
            else "none",
            remedy="start from an inversion of the same images",
        )
    chosen = torch.tensor([rows.get(name, 0) for name in source.ids])
    return GivenStart(shard.tensors["latents"][chosen])


def _terms(generator: Generator, inverter: Inverter, options: InvertOptions) -> tuple[Term, ...]:
    """What is measured: L1, L2, and LPIPS where the objective has it or weights were given."""
    terms = measured_terms(inverter)
    if len(terms) == 2 and options.lpips_weights is not None:
        terms = (*terms, LPIPS(1.0, "alex", options.lpips_weights))
    objective = Objective(terms)
    for module in objective.modules():
        module.to(generator.device)
    # Images that a term cannot measure are a mistake to hear of now, not after the inversion.
    latents = generator.mean_latent()[None]
    blank = torch.zeros(1, *generator.image_spec.shape, device=generator.device)
    objective.target(blank, torch.ones_like(blank[:, :1]), latents)
    return terms


def _check_any(store: InversionStore, folder: Path) -> None:
    """Nothing readable: leave no half results, and say why."""
    skipped = store.skipped
    if len(skipped) < len(store) or any(len(shard) for shard in store.iter_shards()):
        return
    shutil.rmtree(folder)
    fail(
        "--images",
        expected="at least one readable image",
        got=f"none of {len(store)}: {first_reasons(skipped)}",
        remedy="check the images; --resize and --convert accept more",
    )


def _write_png_files(made: Reconstructions, folder: Path, names: Mapping[str, str]) -> None:
    for shard in made.iter_shards():
        pictures = zip(shard.ids, shard.tensors["reconstructions"], strict=True)
        write_many((folder / names[name], png_bytes(to_picture(image))) for name, image in pictures)


class _Losses:
    """The `progress` of an inversion: passes it on with the mean loss of what is done.

    The mean is over the shards in the store, so it counts what other processes and earlier runs
    made, and is known once the first shard is done.

    Attributes:
        earlier: images that earlier runs had made.
        seconds: that the inversion took.
    """

    def __init__(self, progress: NotedProgress, folder: Path) -> None:
        self.earlier, self.seconds = 0, 0.0
        self._progress, self._folder = progress, folder
        self._losses: dict[int, tuple[float, int]] = {}
        self._began, self._looked = 0.0, 0.0

    def __call__(self, stage: str, unit: str, done: int, total: int) -> None:
        """Take note that `done` of `total` images are inverted."""
        now = time.monotonic()
        if not self._began:
            self._began, self.earlier = now, done
        elif done >= total or now - self._looked >= LOOK:
            self._look()
        self.seconds = now - self._began
        self._progress(stage, unit, done, total, self._note())

    def _look(self) -> None:
        # A shard that is being written, or is damaged, is the inversion's matter, not ours.
        with contextlib.suppress(OSError, ValueError):
            store = ShardStore(self._folder)
            for index in set(store.present()) - self._losses.keys():
                shard = store.read(index)
                loss = shard.tensors["loss"] if len(shard) else torch.empty(0)
                good = loss[loss.isfinite()].double()
                self._losses[index] = (float(good.sum()), len(good))
        self._looked = time.monotonic()

    def _note(self) -> str:
        count = sum(n for _, n in self._losses.values())
        total = sum(loss for loss, _ in self._losses.values())
        return f"mean loss {total / count:.4g}" if count else ""


STUDY = Study(
    "invert",
    run,
    InvertOptions,
    needs=(Need.KIT, Need.IMAGES),
    products=(IMAGES, LATENTS, RECONSTRUCTIONS),
)
"""What `genviews invert` runs."""
