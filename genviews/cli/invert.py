"""`genviews invert`: the latents of a data set, its reconstructions, and how good they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.cli.check import check_invert
from genviews.cli.flags import InvertFlags, RunFlags
from genviews.cli.run import run_verb

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.studies.bench import Inputs

__all__ = ["run_invert"]


def run_invert(flags: InvertFlags, run: RunFlags) -> int:
    """Invert into a run folder; returns the exit code."""
    from genviews.studies.invert import STUDY, InvertOptions

    return run_verb(
        "invert",
        STUDY,
        InvertOptions(lpips_weights=flags.lpips_weights, png=flags.png),
        [flags],
        run,
        check=lambda out: check_invert(flags, out),
        load=lambda decoding: _load(flags),
        title=f"Inversion of {flags.images} with {Path(flags.generator).name}",
    )


def _load(flags: InvertFlags) -> Inputs:
    """The images, and a generator with the inverter that the flags ask for."""
    from genviews.align import read_geometry
    from genviews.align.presets import named_aligner
    from genviews.data import Alignment
    from genviews.invert import inverter_preset
    from genviews.kit import GeneratorKit
    from genviews.load.generator import load_generator
    from genviews.load.images import load_images
    from genviews.studies.bench import Inputs
    from genviews.studies.invert import earlier_start

    kit = load_generator(
        flags.generator, z_dim=flags.z_dim, encoder=flags.encoder, steps=flags.steps
    )
    inverter, spec = kit.inverter, kit.generator.image_spec
    if flags.preset != "default":  # which is what suits the generator
        inverter = inverter_preset(
            flags.preset, inverter.encoder, lpips_weights=flags.lpips_weights, steps=flags.steps
        )
    alignment = None
    if flags.geometry is not None:
        alignment = Alignment(named_aligner(flags.align, spec), read_geometry(flags.geometry))
    source = load_images(
        flags.images,
        spec,
        ask_order=False,
        root=flags.root,
        resize=flags.resize,
        convert=flags.convert,
        alignment=alignment,
    )
    if flags.start_from is not None:
        inverter = replace(inverter, start=earlier_start(flags.start_from, source))
    return Inputs(
        kit=GeneratorKit(kit.generator, name=kit.name, inverter=inverter),
        images=source,
        notes=tuple(kit.notes),
    )
