"""Every family of generators against its original implementation, on files that this one writes.

    python -m benchmarks.generators --originals FOLDER            # checkouts of the originals
    python -m benchmarks.generators --originals FOLDER stylegan2  # of one family
    python -m benchmarks.generators diffusers                     # beside the installed package

Small networks with random weights, made and saved by the original in a checkout (FOLDER/NAME, such
as FOLDER/stylegan3), are read by `load_generator` and compared on a CPU in float32: latents for
several truncations, images for each way of noise, of classes where there are some. Claim: the
largest difference is below 1e-3 (of the largest value, where that is above 1).

Writes results/generators/FAMILY.json. Where an original is absent, it says so and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks import (
    generators_diffusers,
    generators_encoders,
    generators_ports,
    generators_prior,
    generators_stylegan2,
    generators_stylegan3,
)
from benchmarks.agreement import Comparison, Section, commit_of
from genviews.checks import lookup
from genviews.environment import environment
from genviews.files import write_json

__all__ = ["FAMILIES", "TOLERANCE", "agreement", "main"]

TOLERANCE = 1e-3
RESULTS = Path("results/generators")

FAMILIES: dict[str, Section] = {
    **generators_stylegan2.SECTIONS,
    **generators_stylegan3.SECTIONS,
    **generators_prior.SECTIONS,
    **generators_ports.SECTIONS,
    **generators_encoders.SECTIONS,
    **generators_diffusers.SECTIONS,
}
"""Name of a result -> what is compared."""


def agreement(
    section: Section, originals: Path, *, quick: bool = False
) -> tuple[list[Comparison], dict[str, str]]:
    """Compare a family with its original; the comparisons, and which original it was.

    Raises:
        FileNotFoundError: no checkout of the original, or its package is not installed.
    """
    checkout = originals / section.repository.partition("/")[2]
    if section.package and find_spec(section.package) is None:
        raise FileNotFoundError(f"the package {section.package} is not installed")
    if not section.package and not checkout.is_dir():
        raise FileNotFoundError(f"no checkout {checkout.name} of {section.repository}")
    found = {"version": version(section.package)} if section.package else {}
    found = found or {"commit": commit_of(checkout)}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        comparisons = list(section.compare(checkout, Path(folder), quick))
    return comparisons, {"repository": section.repository, **found}


def largest(comparisons: Iterable[Comparison]) -> dict[str, float]:
    """What was compared -> its largest difference in any case."""
    found: dict[str, float] = {}
    for one in comparisons:
        for what, value in one.differences.items():
            found[what] = max(found.get(what, 0.0), value)
    return found


def main(argv: Sequence[str] | None = None) -> bool:
    """Compare the named families, all where none are; whether all agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("families", nargs="*", metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--originals", type=Path, default=Path(), metavar="FOLDER")
    parser.add_argument("--quick", action="store_true", help="a few cases, and no result")
    given = parser.parse_args(argv)
    try:  # before the first is compared
        sections = {name: lookup(name, FAMILIES, "family") for name in given.families or FAMILIES}
    except ValueError as error:
        parser.error(str(error))
    good = True
    for name, section in sections.items():
        try:
            found, original = agreement(section, given.originals, quick=given.quick)
        except FileNotFoundError as error:
            print(f"{name}: not compared: {error}")
            continue
        most = largest(found)
        agrees = all(value <= TOLERANCE for value in most.values())
        good &= agrees
        told = ", ".join(f"{what} {value:.1e}" for what, value in most.items())
        print(f"{name}: {len(found)} cases: {told}{'' if agrees else '  DIFFERENT'}")
        if not given.quick:
            where = "" if section.package else " --originals FOLDER"
            write_json(
                RESULTS / f"{name}.json",
                {
                    "command": f"python -m benchmarks.generators{where} {name}",
                    "original": original,
                    "tolerance": TOLERANCE,
                    "largest": most,
                    "cases": [asdict(one) for one in found],
                    "environment": environment(),
                },
            )
    return good


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
