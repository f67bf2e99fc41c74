"""What a word for a representation encoder stands for: a file that genviews wrote."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from genviews.checks import fail
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
    path = Path(word).expanduser()
    if not path.is_file():
        fail(
            f"encoder {str(word)!r}",
            expected="a file that exists",
            got="none",
            remedy="name the encoder.safetensors of a run",
            error=FileNotFoundError,
        )
    return RepresentationEncoder.load(path)


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
    path, channels = Path(word).expanduser(), encoder.config.channels
    if size is not None:
        return ImageSpec(channels=channels, height=size, width=size)
    with safe_open(str(path), framework="pt") as file:
        text = (file.metadata() or {}).get("images", "")
    sides = text.split("x")
    if len(sides) != 3 or not all(side.isdigit() for side in sides):
        fail(
            f"size of the images for {path.name}",
            expected="--size, where the encoder's file does not say it",
            got=repr(text) if text else "none",
            remedy="add --size, for example --size 32",
        )
    return ImageSpec(channels=channels, height=int(sides[1]), width=int(sides[2]))
