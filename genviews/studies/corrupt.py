"""What would these images be like, taken by a poor camera, in bad weather, or from a poor file?

    IMAGES -> corrupt -> `images/NAME/`, with the names and folders that they had, and `NAME.json`

The corrupted images are there to be classified, or to be looked at; what each is drawn by depends
on the seed and its id alone, so that studies see the same. `genviews corrupt` runs this.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_different, fail, first_reasons
from genviews.data.images import spread_rows
from genviews.data.source import ImageSource, SourceBatch
from genviews.files import write_json, write_many
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.report.names import file_names
from genviews.report.output import write_atomic
from genviews.report.pictures import png_bytes, to_picture
from genviews.robustness.corruption import Corruption, corruption, shift_streams
from genviews.shard import Shard
from genviews.store import ShardStore
from genviews.studies.base import WORK, Need, Study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Column, Grid, Images, Picture, Table
from genviews.studies.options import Options
from genviews.studies.result import Result
from genviews.work import Tell, run_shards

__all__ = ["STUDY", "CorruptOptions", "folder_of", "run"]

IMAGES = "images"  # subfolder of the run
LABELS = "labels.csv"  # where the folders do not say them
SHARD = 250  # images, or fewer where they are large
SHOWN = 6  # images on the page


@dataclass(frozen=True, kw_only=True)
class CorruptOptions(Options):
    """Which corruptions.

    Args:
        corruption: their names, such as fog:2 or noise:3@imagenet-c.
    """

    corruption: tuple[str, ...] = ("gaussian_noise:3",)

    def check(self) -> None:
        """Raise ValueError for a name that is none, or stands twice."""
        names = [corruption(word).name for word in self.corruption]
        check_different(names, "--corruption", "name each once")


def folder_of(made: Corruption) -> str:
    """The name of its folder, which any file system takes: "fog-2", "fog-2-imagenet-c"."""
    return made.name.replace(":", "-").replace("@", "-")


def run(bench: Bench, options: CorruptOptions) -> Result:
    """Corrupt every image in each way, write the files, sum up.

    Raises:
        ValueError: no image can be read, a corruption that they do not allow, or files of something
            else where theirs go.
    """
    source, kinds = bench.source, [corruption(word) for word in options.corruption]
    for one in kinds:
        one.check(source.image_spec)
    folder, names = bench.products / IMAGES, file_names(source.ids, ".png")
    size = images_in_shard(source.image_spec, SHARD)
    identity = identify(source=source, corruptions=kinds, seed=bench.seed, shard=size)
    # Beside the files, wherever other work lies: it says which of them are there.
    place = bench.products / WORK / f"corrupted-{identity.digest}"
    if folder.exists() and not place.exists():
        what, remedy = f"--out {bench.products}", "choose another folder with --out"
        fail(what, expected=f"no {IMAGES} there", got="those of something else", remedy=remedy)
    place.mkdir(parents=True, exist_ok=True)
    store, seed = ShardStore(place, identity), bench.seed

    def make(rows: range, tell: Tell) -> Shard:
        return _write(source.read(rows), kinds, seed, folder, names)

    run_shards(
        store,
        len(source),
        make,
        shard_size=size,
        stage="corrupt",
        engine=bench.engine,
        progress=bench.progress,
    )
    shards = [store.read(index) for index in range(-(-len(source) // size))]
    skipped = [one for shard in shards for one in shard.notes.items()]
    if len(skipped) == len(source):
        shutil.rmtree(place)
        fail(
            "--images",
            expected="at least one readable image",
            got=f"none of {len(source)}: {first_reasons(skipped)}",
            remedy="check the images; --resize and --convert accept more",
        )
    changes = torch.cat([shard.tensors["changes"] for shard in shards])
    _write_cards(bench, kinds, len(changes), folder)
    _write_labels(source, kinds, {name for name, _ in skipped}, folder, names)
    return _result(bench, options, kinds, changes, skipped)


def _write(
    batch: SourceBatch,
    kinds: Sequence[Corruption],
    seed: int,
    folder: Path,
    names: Mapping[str, str],
) -> Shard:
    """Write some images in each way; what is kept is by how much they changed."""
    streams, changes = shift_streams(seed, batch.ids), []
    files: list[tuple[Path, bytes]] = []
    for one in kinds:
        made, place = one(batch.images, streams), folder / folder_of(one)
        changes.append((made - batch.images).abs().flatten(1).mean(1))
        pictures = zip(batch.ids, made, strict=True)
        files += [(place / names[name], png_bytes(to_picture(image))) for name, image in pictures]
    write_many(files)
    tensors = {"changes": torch.stack(changes, 1)}
    return Shard(tensors=tensors, ids=batch.ids, notes=dict(batch.skipped))


def _write_cards(bench: Bench, kinds: Sequence[Corruption], count: int, folder: Path) -> None:
    """What each folder holds, beside it."""
    for one in kinds:
        card = {
            "corruption": one.name,
            "kind": one.kind,
            "severity": one.severity,
            "scale": one.scale,
            "numbers": list(one.numbers),
            "seed": bench.seed,
            "images": count,
            "of": str(bench.source),
            "shape": list(bench.source.image_spec.shape),
        }
        write_json(folder / f"{folder_of(one)}.json", card)


def _write_labels(
    source: ImageSource,
    kinds: Sequence[Corruption],
    without: Collection[str],
    folder: Path,
    names: Mapping[str, str],
) -> None:
    """A table of labels in each folder, unless its subfolders are the classes."""
    if source.labels is None:
        return
    labels = [source.class_names[label] for label in source.labels.tolist()]
    known = [one for one in zip(source.ids, labels, strict=True) if one[0] not in without]
    if all(names[name].startswith(f"{label}/") for name, label in known):
        return
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows([("file", "label"), *((names[name], label) for name, label in known)])
    for one in kinds:
        write_atomic(folder / folder_of(one) / LABELS, text.getvalue())


def _result(
    bench: Bench,
    options: CorruptOptions,
    kinds: Sequence[Corruption],
    changes: Float[Tensor, "N K"],
    skipped: Sequence[tuple[str, str]],
) -> Result:
    means = changes.double().mean(0).tolist()
    table = Table(
        title="What was done",
        columns=(
            Column(name="corruption", priority=0),
            Column(
                name="mean change",
                kind="number",
                digits=3,
                priority=0,
                help="mean absolute difference of a value, of which black and white are 2 apart",
            ),
            Column(name="folder", priority=1),
        ),
        rows=tuple(
            (one.name, mean, f"{IMAGES}/{folder_of(one)}")
            for one, mean in zip(kinds, means, strict=True)
        ),
    )
    ways = "one corruption" if len(kinds) == 1 else f"each of {len(kinds)} corruptions"
    text = f"{len(changes):,} images are in {IMAGES}/ as they are after {ways}"
    left = f"; {len(skipped):,} left out" if skipped else ""
    record = bench.record(
        options, data={"changes": {one.name: mean for one, mean in zip(kinds, means, strict=True)}}
    )
    return Result(
        title=bench.title or "Corrupted images",
        verdict=f"{text}{left}.",
        blocks=(table, _pictures(bench, kinds, {name for name, _ in skipped})),
        record=replace(record, skipped=tuple(dict.fromkeys((*record.skipped, *skipped)))),
    )


def _pictures(bench: Bench, kinds: Sequence[Corruption], without: Collection[str]) -> Images:
    """A row for each of a few images: as it was, then each corruption."""
    source = bench.source
    rows = [row for row, name in enumerate(source.ids) if name not in without]
    batch = source.read([rows[place] for place in spread_rows(len(rows), SHOWN)])
    streams = shift_streams(bench.seed, batch.ids)
    shown = [batch.images, *(one(batch.images, streams) for one in kinds)]
    grid = Grid(
        columns=("image", *(one.name for one in kinds)),
        rows=batch.ids,
        pictures=tuple(
            tuple(Picture(pixels=images[row]) for images in shown) for row in range(len(batch))
        ),
    )
    return Images(title="Some of the images", grids=(grid,))


STUDY = Study(
    "corrupt",
    run,
    CorruptOptions,
    needs=(Need.IMAGES,),
    products=(IMAGES,),
    keeps_work=False,
)
"""What `genviews corrupt` runs."""
