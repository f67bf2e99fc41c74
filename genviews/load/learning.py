"""Images to learn from, and labelled ones that encoders are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from genviews.checks import fail
from genviews.data import ImageSource, MemorySource
from genviews.data.pixels import StoredPixels
from genviews.data.source import as_source
from genviews.engine import Engine
from genviews.evaluate.encoders import ProbeData
from genviews.load.images import load_images
from genviews.load.splits import load_splits
from genviews.types import ImageSpec, Progress

__all__ = ["Decoding", "load_probe", "load_real"]

FASHION_TRAIN = 20_000  # images of it that probes are fitted on; more gain little, cost much

Skipped = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """How images are decoded, once, and where their pixels are kept.

    Args:
        folder: of the pixels, by content: runs may share it.
        engine: where it is done.
        progress: of it.
    """

    folder: Path
    engine: str | Engine = "local"
    progress: Progress | None = None


def load_probe(
    word: str | Path,
    spec: ImageSpec,
    *,
    resize: bool = False,
    convert: bool = False,
    decoding: Decoding | None = None,
) -> tuple[ProbeData, Skipped, tuple[str, ...]]:
    """Read train, val and test.

    Args:
        word: what `load_splits` knows; of fashion32 a part of train is taken.
        spec: of the images.
        resize: see `load_images`.
        convert: see `load_images`.
        decoding: None holds the images in memory.

    Returns:
        The splits, (file, reason) of what was left out, and what was decided for the user.

    Raises:
        ValueError: a class without a readable image, or what `load_splits` refuses.
    """
    splits = load_splits(
        word, spec, needs=("train", "val", "test"), ask_order=False, resize=resize, convert=convert
    )
    train = splits.train
    if word == "fashion32":
        train = train.select(range(FASHION_TRAIN))
    found = ProbeData.load(
        train,
        splits.val,
        splits.test,
        None if decoding is None else decoding.folder,
        engine="local" if decoding is None else decoding.engine,
        progress=None if decoding is None else decoding.progress,
    )
    skipped = {one for part in found.splits().values() for one in part.skipped}
    return found, tuple(sorted(skipped)), splits.notes


def load_real(
    word: str | Path,
    spec: ImageSpec,
    probe: ProbeData | None = None,
    *,
    resize: bool = False,
    convert: bool = False,
    decoding: Decoding | None = None,
) -> tuple[ImageSource, tuple[str, ...]]:
    """Read images to learn from, without those that encoders are judged on.

    Args:
        word: what `load_images` knows.
        spec: of the images.
        probe: what encoders are judged on; its val and test are left out, by content.
        resize: see `load_images`.
        convert: see `load_images`.
        decoding: None holds the images in memory.

    Returns:
        The images, and what was decided for the user.

    Raises:
        ValueError: no image is left, or what `load_images` refuses.
    """
    source = load_images(word, spec, ask_order=False, split="train", resize=resize, convert=convert)
    found = _kept(source, decoding)
    if probe is None:
        return found, source.notes
    judged = {one for part in (probe.val, probe.test) for one in as_source(part).hashes()}
    rows = [row for row, one in enumerate(found.hashes()) if one not in judged]
    if len(rows) == len(found):
        return found, source.notes
    if not rows:
        fail(
            f"real images {str(word)!r}",
            expected="other images than those that encoders are judged on",
            got="all of them in val or test of --data",
            remedy="name images of train",
        )
    note = f"{len(found) - len(rows)} images of --real are in val or test of --data: left out"
    return found.select(rows), (*source.notes, note)


def _kept(source: ImageSource, decoding: Decoding | None) -> ImageSource:
    """The source, read once."""
    if decoding is None:
        return MemorySource(source.load())
    return StoredPixels(
        source,
        decoding.folder,
        engine=decoding.engine,
        stage="decode real images",
        progress=decoding.progress,
    )
