"""What a word for a representation encoder stands for: a file that genviews wrote."""

from __future__ import annotations

from pathlib import Path

from genviews.checks import fail
from genviews.represent.encoder import RepresentationEncoder

__all__ = ["load_encoder"]


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
