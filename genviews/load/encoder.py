"""The representation encoder of a file that `RepresentationEncoder.save` wrote, and its images."""

from __future__ import annotations

from pathlib import Path

from genviews.checks import expanded, fail, option
from genviews.files import load_header
from genviews.represent.encoder import RepresentationEncoder
from genviews.types import ImageSpec

__all__ = ["load_encoder", "trained_spec"]


def load_encoder(word: str | Path) -> RepresentationEncoder:
    """Return the encoder of a file that `RepresentationEncoder.save` wrote, in eval mode.

    Args:
        word: path of a safetensors file; `~` is the home folder.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, or weights that do not fit; they are named.
    """
    return RepresentationEncoder.load(expanded(word))


def trained_spec(
    word: str | Path, encoder: RepresentationEncoder, *, size: int | None = None
) -> ImageSpec:
    """Return the images that the encoder of a file takes.

    Args:
        word: path of the file.
        encoder: what it holds.
        size: height and width in pixels; None takes those that it was trained with.

    Raises:
        ValueError: no size, where the file does not say it.
    """
    path, channels = expanded(word), encoder.config.channels
    if size is not None:
        return ImageSpec(channels=channels, height=size, width=size)
    text = load_header(path, "encoder")[1].get("images", "")
    sides = text.split("x")
    if len(sides) != 3 or not all(side.isdigit() for side in sides):
        fail(
            f"size of the images for {path.name}",
            expected="height and width, where the encoder's file does not say them",
            got=repr(text) if text else "none",
            remedy=f"add {option('size')}, for example 32",
        )
    return ImageSpec(channels=channels, height=int(sides[1]), width=int(sides[2]))
