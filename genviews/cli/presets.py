"""What `--preset` names: an inverter for the generator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from genviews.checks import fail, lookup
from genviews.cli.sources import Source
from genviews.invert import (
    Inverter,
    Objective,
    paper_objective,
    reference_objective,
)

__all__ = ["inverter_for"]

_NAMES = ("default", "paper", "reference", "in-domain")


def inverter_for(
    name: str, source: Source, *, lpips_weights: Path | None = None, steps: int | None = None
) -> Inverter:
    """Return the inverter of a preset.

    Args:
        name: "default" is what suits the generator.
        source: generator and its own inverter, whose encoder the presets use.
        lpips_weights: file of the ImageNet weights of AlexNet.
        steps: most optimisation steps; None takes the preset's.

    Raises:
        ValueError: an unknown name (the closest are listed), or a preset that needs an encoder.
        ImportError, FileNotFoundError: no LPIPS.
    """
    lookup(name, dict.fromkeys(_NAMES, True), "--preset")
    inverter = source.inverter
    if name == "default":
        return inverter
    return replace(inverter, objective=_objective(name, inverter, lpips_weights))


def _objective(name: str, inverter: Inverter, lpips_weights: Path | None) -> Objective:
    encoder = inverter.encoder
    if name == "reference":
        return reference_objective(encoder, lpips_weights)
    if name == "in-domain":
        fail(
            "--preset in-domain",
            expected="the weights of its VGG-16",
            got="no flag for them",
            remedy="make the inverter in Python with `in_domain_objective`, or use another preset",
        )
    if encoder is None:
        fail(
            f"--preset {name}",
            expected="an inversion encoder",
            got="none",
            remedy="add --encoder, or use --preset default",
        )
    return paper_objective(encoder, lpips_weights)
