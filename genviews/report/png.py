"""Reconstructions as PNG files, one an image."""

from __future__ import annotations

import io
from pathlib import Path

from genviews.invert.quality import Reconstructions
from genviews.report.output import write_atomic
from genviews.report.pictures import to_picture

__all__ = ["png_name", "write_png_files"]


def write_png_files(made: Reconstructions, folder: Path) -> None:
    """Write each reconstruction with 8 bits a channel, at `png_name` of its image's id.

    Raises:
        OSError: a file cannot be written; no part of it is left.
    """
    for shard in made.iter_shards():
        for name, image in zip(shard.ids, shard.tensors["reconstructions"], strict=True):
            out = io.BytesIO()
            to_picture(image).save(out, "PNG")
            write_atomic(folder / png_name(name), out.getvalue())


def png_name(image_id: str) -> str:
    """The path of a reconstruction below its folder, which no id can lead out of."""
    parts = [
        "__" if part == ".." else part for part in image_id.split("/") if part not in ("", ".")
    ]
    name = "/".join(parts) or "_"
    return name if name.lower().endswith(".png") else f"{name}.png"
