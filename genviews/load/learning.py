"""Images to learn from, and labelled ones that encoders are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from genviews.checks import fail, option
from genviews.data.pixels import IN_MEMORY, Decoding
from genviews.data.source import ImageSource, as_source
from genviews.evaluate.encoders import ProbeData
from genviews.load.images import FASHION, kind_of, load_images
from genviews.load.splits import load_splits
from genviews.types import ImageSpec

__all__ = ["load_probe", "load_real"]

FASHION_TRAIN = 20_000  # images of it that probes are fitted on; more gain little, cost much
_REAL, _DATA = option("real"), option("data")


def load_probe(
    word: str | Path,
    spec: ImageSpec,
    *,
    columns: Sequence[str] | None = None,
    seed: int = 0,
    resize: bool = False,
    convert: bool = False,
    decoding: Decoding = IN_MEMORY,
) -> ProbeData:
    """Return train, val and test of labelled images.

    Args:
        word: what `load_splits` knows; of fashion32 a part of train is taken.
        spec: of the images.
        columns: see `load_images`.
        seed: see `load_splits`.
        resize: see `load_images`.
        convert: see `load_images`.
        decoding: where the images are held; None as its folder is memory.

    Raises:
        ValueError: a class without a readable image, or what `load_splits` refuses.
    """
    splits = load_splits(
        word,
        spec,
        needs=("train", "val", "test"),
        seed=seed,
        columns=columns,
        ask_order=False,
        resize=resize,
        convert=convert,
    )
    train = splits.train
    if str(word) == FASHION and kind_of(word) == FASHION:
        train = train.select(range(FASHION_TRAIN))
    return ProbeData.load(train, splits.val, splits.test, decoding, splits.notes)


def load_real(
    word: str | Path,
    spec: ImageSpec,
    probe: ProbeData | None = None,
    *,
    resize: bool = False,
    convert: bool = False,
    decoding: Decoding = IN_MEMORY,
) -> ImageSource:
    """Return images to learn from, without those that encoders are judged on.

    Args:
        word: what `load_images` knows.
        spec: of the images.
        probe: what encoders are judged on; its val and test are left out, by content.
        resize: see `load_images`.
        convert: see `load_images`.
        decoding: where the images are held; None as its folder is memory.

    Raises:
        ValueError: no image is left, or what `load_images` refuses.
    """
    source = load_images(word, spec, ask_order=False, split="train", resize=resize, convert=convert)
    found = as_source(decoding.decode(source, "decode real images"))
    notes = source.notes
    if probe is not None:
        judged = {one for part in (probe.val, probe.test) for one in as_source(part).hashes()}
        rows = [row for row, one in enumerate(found.hashes()) if one not in judged]
        if not rows:
            fail(
                f"real images {str(word)!r}",
                expected="other images than those that encoders are judged on",
                got=f"all of them in val or test of {_DATA}",
                remedy="name images of train",
            )
        if len(rows) < len(found):
            out = len(found) - len(rows)
            notes = (*notes, f"{out} images of {_REAL} are in val or test of {_DATA}: left out")
            found = found.select(rows)
    copies = len(found) - len(set(found.hashes()))
    if copies:
        told = "copies of others, which an objective that tells images apart takes for other images"
        notes = (*notes, f"{copies} of the {len(found)} images of {_REAL} are {told}")
    found.notes = notes
    return found
