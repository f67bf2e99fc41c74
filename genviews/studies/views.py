"""What would a trainer see of this generator: anchors and views, as files that any trainer reads.

    prior -> sample -> latents -> perturb -> render -> `images/`, `latents/`, `recipe.json`

    folders   images/CLASS/0000012_anchor.png, 0000012_view1.png ... (CLASS: its name, or a block of
              1,000 samples where the generator has none)
    shards    images/00000.tar of WebDataset's layout: 0000012.anchor.png, 0000012.view1.png ...,
              0000012.json with number and class, 0000012.cls where there are classes

`latents/00000.safetensors` has z (and labels) of the anchors by number, and says which of the files
are there. `genviews generator views` runs this; `genviews.represent.stored.write_views` keeps the
same views for our own training.
"""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import genviews
from genviews.checks import fail, for_flag
from genviews.files import atomic_write_bytes, write_json, write_many
from genviews.generators.callable import z_space
from genviews.identity import identify
from genviews.kit import GeneratorKit
from genviews.load.facts import generator_facts
from genviews.memory import images_in_shard
from genviews.perturb.base import Perturbation
from genviews.perturb.redraw import REDRAWN
from genviews.perturb.stylemix import Independent
from genviews.report.pictures import png_bytes, to_picture
from genviews.report.samples import class_word
from genviews.represent.prior import prior_of
from genviews.represent.views import LatentViews, ViewBatch
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.studies.base import Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Column, Grid, Images, Picture, Table
from genviews.studies.result import Result
from genviews.studies.view_options import BLOCK, ViewSetOptions
from genviews.work import Tell, run_shards

__all__ = ["STUDY", "run", "view_set"]

IMAGES, LATENTS, RECIPE = "images", "latents", "recipe.json"
SHOWN = 6  # samples on the page


def view_set(kit: GeneratorKit, options: ViewSetOptions, batch_size: int = 64) -> LatentViews:
    """Return the views that options ask for, to be rendered.

    Raises:
        ValueError: classes, truncation or views that the generator cannot have.
    """
    generator, psi = kit.generator, options.psi
    if options.space == "z" and generator.latent_spec.space != "z":
        kit, psi = GeneratorKit(z_space(generator, psi=psi), walks=kit.walks), 1.0
    with for_flag("--classes"):
        prior = prior_of(
            kit.generator, psi=psi, classes=options.classes, per_class=options.per_class
        )
    found: Perturbation | None = None
    if options.views != "none":
        with for_flag("--views"):
            found = kit.perturbation(options.views)
            if isinstance(found, Independent):  # another sample of the same prior
                found = replace(found, noise=prior.noise, psi=prior.psi, cutoff=prior.cutoff)
    return LatentViews(
        kit.generator,
        found,
        prior,
        positives=options.positives,
        seed=options.seed,
        batch_size=batch_size,
    )


def run(bench: Bench, options: ViewSetOptions) -> Result:
    """Render the views, write the files and the recipe, sum up.

    Raises:
        ValueError: what the generator cannot do, or files of something else where these go.
    """
    views = view_set(bench.kit, options, bench.batch_size)
    folder, place = bench.products / IMAGES, bench.products / LATENTS
    if folder.exists() and not place.exists():
        what, remedy = f"--out {bench.products}", "choose another folder with --out"
        fail(what, expected=f"no {IMAGES} there", got="those of something else", remedy=remedy)
    place.mkdir(parents=True, exist_ok=True)
    job = _Job(views, options, folder)
    identity = identify(views=views, options=_content(options))
    store = ShardStore(place, identity)
    run_shards(
        store,
        options.samples,
        job.make,
        shard_size=options.shard_size,
        stage="render views",
        unit="samples",
        engine=bench.engine,
        progress=bench.progress,
    )
    redrawn = 0
    for index in range(-(-options.samples // options.shard_size)):
        redrawn += int(store.read(index).notes.get(REDRAWN, 0))
    counts = {"anchors": options.samples, "views": options.samples * job.shown, REDRAWN: redrawn}
    recipe = _recipe(bench.kit, views, options, counts)
    write_json(bench.products / RECIPE, recipe)
    return _result(bench, options, views, counts, recipe)


def _content(options: ViewSetOptions) -> dict[str, Any]:
    """What decides which files there are; the views themselves say the rest."""
    return {name: getattr(options, name) for name in ("samples", "layout", "shard_size", "views")}


class _Job:
    """Writes the files of a range of samples; pickles, for other processes.

    Attributes:
        shown: views of each anchor that are written; 0 where they would equal it.
    """

    def __init__(self, views: LatentViews, options: ViewSetOptions, folder: Path) -> None:
        self._views, self._options, self._folder = views, options, folder
        self.shown = 0 if options.views == "none" else options.positives

    def make(self, rows: range, tell: Tell) -> Shard:
        """Write the files of some samples; what is kept is their z and classes."""
        kept: list[ViewBatch] = []
        batches = self._batches(rows, kept, tell)
        if self._options.layout == "folders":
            for batch in batches:
                write_many(self._pictures(batch))
        else:
            name = f"{rows.start // self._options.shard_size:05d}.tar"
            atomic_write_bytes(self._folder / name, self._tar(batches))
        tensors = {"z": torch.cat([one.z for one in kept]).cpu()}
        if labels := [one.labels for one in kept if one.labels is not None]:
            tensors["labels"] = torch.cat(labels).cpu()
        redrawn = sum(one.redrawn for one in kept)
        notes = {REDRAWN: str(redrawn)} if redrawn else {}
        return Shard(tensors=tensors, ids=tuple(str(i) for i in rows), notes=notes)

    def _batches(self, rows: range, kept: list[ViewBatch], tell: Tell) -> Iterator[ViewBatch]:
        """The samples in parts that fit into memory; what stays of each is `kept`."""
        step = max(1, images_in_shard(self._views.image_spec, 250) // (1 + self.shown))
        for start in range(0, len(rows), step):
            tell(start)
            batch = self._views(rows[start : start + step])
            kept.append(replace(batch, images=batch.images[:, :0], view_z=None, latents=None))
            yield batch

    def _views_of(self, batch: ViewBatch) -> Iterator[tuple[int, int | None, dict[str, bytes]]]:
        """Number and class of each sample, and its PNG files by "anchor", "view1" ..."""
        for row, number in enumerate(batch.ids):
            words = ("anchor", *(f"view{k}" for k in range(1, 1 + self.shown)))
            pairs = zip(words, batch.images[row], strict=False)  # equal ones are not written
            files = {word: png_bytes(to_picture(image)) for word, image in pairs}
            yield number, None if batch.labels is None else int(batch.labels[row]), files

    def _pictures(self, batch: ViewBatch) -> Iterator[tuple[Path, bytes]]:
        for number, label, files in self._views_of(batch):
            home = self._folder / self._home(number, label)
            for word, data in files.items():
                yield home / f"{number:07d}_{word}.png", data

    def _home(self, number: int, label: int | None) -> str:
        """The subfolder of a sample; sorted, those of classes are in the generator's order."""
        if label is None:
            return f"{number // BLOCK:05d}"
        names = self._views.generator.class_names
        name = re.sub(r"[^\w.-]+", "-", names[label])[:80] if label < len(names) else ""
        return f"{label:04d}-{name}" if name else f"{label:04d}"

    def _tar(self, batches: Iterator[ViewBatch]) -> Iterator[bytes]:
        """The bytes of a tar file, the same whenever they are made."""
        names = self._views.generator.class_names
        for batch in batches:
            for number, label, files in self._views_of(batch):
                facts: dict[str, object] = {"number": number}
                members = {f"{word}.png": data for word, data in files.items()}
                if label is not None:
                    facts |= {"class": label, "class_name": class_word(names, label)}
                    members["cls"] = str(label).encode()
                members["json"] = json.dumps(facts).encode()
                for ending, data in members.items():
                    info = tarfile.TarInfo(f"{number:07d}.{ending}")
                    info.size = len(data)
                    yield info.tobuf(tarfile.USTAR_FORMAT)
                    yield data + bytes(-len(data) % tarfile.BLOCKSIZE)
        yield bytes(2 * tarfile.BLOCKSIZE)


def _recipe(
    kit: GeneratorKit, views: LatentViews, options: ViewSetOptions, counts: Mapping[str, int]
) -> dict[str, Any]:
    """All by which the set can be made again, and what a trainer must know of it."""
    facts = generator_facts(kit)
    about = ("name", "family", "config", "source", "licence", "classes", "class_names")
    spec = views.image_spec
    return {
        "format": "genviews-view-set-1",
        "generator": {name: facts[name] for name in about},
        "options": asdict(options),
        "perturbation": "none" if views.perturbation is None else repr(views.perturbation),
        "prior": repr(views.prior),
        "pixels": {"height": spec.height, "width": spec.width, "channels": spec.channels},
        "counts": dict(counts),
        "genviews": genviews.__version__,
    }


def _result(
    bench: Bench,
    options: ViewSetOptions,
    views: LatentViews,
    counts: Mapping[str, int],
    recipe: Mapping[str, Any],
) -> Result:
    pixels, shown = recipe["pixels"], counts["views"] // options.samples
    size = f"{pixels['height']} x {pixels['width']}"
    rows = [("anchors", f"{counts['anchors']:,}"), ("views", f"{counts['views']:,}")]
    rows += [("pixels", size), ("perturbation", recipe["perturbation"]), ("layout", options.layout)]
    rows += [(REDRAWN, f"{counts[REDRAWN]:,}")] if counts[REDRAWN] else []
    table = Table(
        title="What was written",
        columns=(Column(name="of the set", priority=0), Column(name="value", priority=0)),
        rows=tuple(rows),
    )
    batch = views(range(min(SHOWN, options.samples)))
    grid = Grid(
        columns=("anchor", *(["view"] * shown)),
        rows=tuple(str(number) for number in batch.ids),
        pictures=tuple(
            tuple(Picture(pixels=image) for image in images[: 1 + shown]) for images in batch.images
        ),
    )
    each = f" with {shown} view{'s' if shown > 1 else ''} each" if shown else ""
    return Result(
        title=bench.title or "A set of views",
        verdict=f"{counts['anchors']:,} anchors{each} are in {IMAGES}/, {size} pixels.",
        blocks=(table, Images(title="Some of them", grids=(grid,))),
        record=replace(bench.record(options, data=dict(recipe)), seed=options.seed),
    )


STUDY = Study(
    "views",
    run,
    ViewSetOptions,
    needs=(Need.KIT,),
    products=(IMAGES, LATENTS, RECIPE),
    keeps_work=False,
    check=lambda kit, options: kit is not None and view_set(kit, options),
)
"""What `genviews generator views` runs."""
