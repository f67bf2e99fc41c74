"""`genviews learn`: one encoder from generated views, real images, or a mix of both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genviews.cli.check import check_learn
from genviews.cli.flags import KitFlags, LearnFlags, RunFlags
from genviews.cli.run import run_verb

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.data.pixels import Decoding
    from genviews.kit import GeneratorKit
    from genviews.studies.bench import Inputs
    from genviews.studies.learning.options import LearnOptions

__all__ = ["load_inputs", "load_kit", "run_learn"]


def run_learn(flags: LearnFlags, options: LearnOptions, run: RunFlags) -> int:
    """Learn into a run folder; returns the exit code."""
    from genviews.studies.learning.one import LEARN, one_row

    options.check()
    made, real = flags.generator is not None, flags.real is not None
    row = one_row(options, made=made, real=real)
    parts = [f"views of {Path(flags.generator).name}"] if flags.generator is not None else []
    parts += [f"images of {flags.real}"] if real else []
    return run_verb(
        "learn",
        LEARN,
        options,
        [flags, options],
        run,
        check=lambda out: check_learn(flags, out),
        load=lambda decoding: load_inputs(flags, decoding),
        title=f"An encoder learnt from {' and '.join(parts)}",
        about={"views": row.views},
    )


def load_kit(flags: KitFlags) -> GeneratorKit | None:
    """What `--generator` and `--walks` name; None without a generator."""
    from genviews.load.generator import load_generator

    if flags.generator is None:
        return None
    return load_generator(flags.generator, z_dim=flags.z_dim, walks=flags.walks)


def load_inputs(flags: LearnFlags, decoding: Decoding) -> Inputs:
    """Read the generator, the images to learn from and those to judge on."""
    from genviews.load.images import images_spec
    from genviews.load.learning import load_probe, load_real
    from genviews.studies.bench import Inputs

    kit = load_kit(flags)
    if kit is not None:
        spec = kit.generator.image_spec
    else:  # checked: there are real images
        spec = images_spec(str(flags.real), size=flags.size, convert=flags.convert)
    probe, real = None, None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    resize, convert = flags.resize, flags.convert
    if flags.data is not None:
        probe, skipped, notes = load_probe(
            flags.data, spec, resize=resize, convert=convert, decoding=decoding
        )
    if flags.real is not None:
        real, more = load_real(
            flags.real, spec, probe, resize=resize, convert=convert, decoding=decoding
        )
        notes, skipped = (*notes, *more), (*skipped, *real.skipped)
    return Inputs(kit=kit, real=real, probe=probe, skipped=skipped, notes=notes)
