"""`genviews probe`: how well a linear probe and nearest neighbours read classes from an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import check_count
from genviews.cli.check import check_apart, check_exist
from genviews.cli.flags import ProbeFlags, RunFlags
from genviews.cli.run import run_verb

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.data.pixels import Decoding
    from genviews.studies.bench import Inputs

__all__ = ["run_probe"]


def run_probe(flags: ProbeFlags, run: RunFlags) -> int:
    """Judge an encoder into a run folder; returns the exit code."""
    from genviews.studies.learning.one import PROBE_ENCODER
    from genviews.studies.options import Options

    return run_verb(
        "probe",
        PROBE_ENCODER,
        Options(),
        [flags],
        run,
        check=lambda out: _check(flags, out),
        load=lambda decoding: _load(flags, decoding),
        title=f"What {flags.encoder.name} knows of {flags.data}",
    )


def _check(flags: ProbeFlags, out: Path) -> None:
    from genviews.load.images import kind_of

    check_exist({"--encoder": flags.encoder}, folders=False)
    kind_of(flags.data)
    check_apart(out, {"--data": flags.data})
    if flags.size is not None:
        check_count(flags.size, "--size")


def _load(flags: ProbeFlags, decoding: Decoding) -> Inputs:
    from genviews.load.encoder import load_encoder, trained_spec
    from genviews.load.learning import load_probe
    from genviews.studies.bench import Inputs

    encoder = load_encoder(flags.encoder)
    size = 32 if flags.data.partition("/")[0] == "fashion32" else None
    spec = trained_spec(flags.encoder, encoder, size=flags.size or size)
    probe, skipped, notes = load_probe(
        flags.data, spec, resize=flags.resize, convert=flags.convert, decoding=decoding
    )
    return Inputs(encoder=encoder, probe=probe, skipped=skipped, notes=notes)
