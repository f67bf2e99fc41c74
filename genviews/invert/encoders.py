"""The inversion encoders that a file can hold: a config, and the network made of it.

A file of a `LatentEncoder` (`encoder.save`) names its kind and its config in the header.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from genviews.checks import lookup
from genviews.files import load_header
from genviews.invert.encoder import EncoderConfig, InversionEncoder, LatentEncoder
from genviews.invert.psp import PspConfig, PspEncoder
from genviews.invert.published import (
    InDomainConfig,
    InDomainEncoder,
    ResNetEncoder,
    ResNetEncoderConfig,
)
from genviews.weights import load_network

__all__ = ["ENCODERS", "read_encoder"]


class _Kind(NamedTuple):
    config: type[Any]
    network: type[Any]


ENCODERS: dict[str, _Kind] = {
    "InversionEncoder": _Kind(EncoderConfig, InversionEncoder),
    "PspEncoder": _Kind(PspConfig, PspEncoder),
    "ResNetEncoder": _Kind(ResNetEncoderConfig, ResNetEncoder),
    "InDomainEncoder": _Kind(InDomainConfig, InDomainEncoder),
}
"""Name in a file -> kind of encoder."""


def read_encoder(path: str | Path) -> LatentEncoder:
    """Read a file that `LatentEncoder.save` wrote; the encoder is in eval mode and frozen.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or weights that do not fit its config.
    """
    name = load_header(path, "encoder in")[1].get("network", "InversionEncoder")
    kind = lookup(name, ENCODERS, f"kind of encoder in {Path(path).name}")

    def make(given: dict[str, Any]) -> LatentEncoder:
        made: LatentEncoder = kind.network(kind.config(**given))
        return made

    return load_network(path, name, make).requires_grad_(False)
