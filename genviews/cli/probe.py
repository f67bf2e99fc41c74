"""`genviews probe`: how well a linear probe and nearest neighbours read classes from an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from genviews.checks import check_count, fail
from genviews.cli.images import check_apart, check_exist
from genviews.cli.learn_options import ProbeOptions
from genviews.cli.options import RunOptions, command, plain
from genviews.cli.progress import Stages
from genviews.cli.run import Claim, ResultOutput, run, say_notes

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.represent.encoder import RepresentationEncoder
    from genviews.studies.result import Result
    from genviews.types import ImageSpec

__all__ = ["run_probe"]

PIXELS = "pixels"  # subfolder with the decoded images, removed at the end


def run_probe(options: ProbeOptions, flags: RunOptions) -> int:
    """Judge an encoder into a run folder; returns the exit code."""
    _check(options)
    config = {
        "verb": "probe",
        **plain(options),
    }

    def job(stages: Stages, claim: Claim) -> Result:
        return _judge(options, flags, config, stages, claim)

    return run(config, options.out, flags, ResultOutput(scratch=(PIXELS,)), job)


def _check(options: ProbeOptions) -> None:
    """Find what is wrong with the flags before anything is loaded."""
    from genviews.load.images import kind_of

    check_exist({"--encoder": options.encoder}, folders=False)
    kind_of(options.data)
    check_apart(options.out, {"--data": options.data})
    if options.size is not None:
        check_count(options.size, "--size")


def _judge(
    options: ProbeOptions,
    flags: RunOptions,
    config: Mapping[str, Any],
    stages: Stages,
    claim: Claim,
) -> Result:
    from genviews.cli.device import find_device
    from genviews.cli.engine import run_engine
    from genviews.cli.learn_job import judge
    from genviews.cli.learn_setting import probe_data
    from genviews.load.encoder import load_encoder
    from genviews.studies.learning.encoder_result import encoder_result
    from genviews.studies.result import Record

    device = find_device(flags.device)
    encoder = load_encoder(options.encoder)
    spec = _image_spec(options, encoder)
    data, skipped, notes = probe_data(
        options.data,
        spec,
        resize=options.resize,
        convert=options.convert,
        folder=options.out / PIXELS,
        engine=run_engine(flags, device),
        progress=stages,
    )
    say_notes(notes)
    stages.note("load")
    claim(encoder=encoder, data=data)
    scores = judge(encoder.to(device), data, flags.batch_size)
    stages.note("probe")
    return encoder_result(
        f"What {options.encoder.name} knows of {options.data}",
        encoder.cpu(),
        record=Record(
            command=command("probe", options),
            config={**config, "notes": list(notes)},
            skipped=skipped,
            seconds=dict(stages.seconds),
        ),
        scores=scores,
    )


def _image_spec(options: ProbeOptions, encoder: RepresentationEncoder) -> ImageSpec:
    """The images that the encoder takes: its channels, and the size that is known."""
    from safetensors import safe_open

    from genviews.types import ImageSpec

    with safe_open(str(options.encoder), framework="pt") as file:
        text = (file.metadata() or {}).get("images", "")
    channels = encoder.config.channels
    if options.size is not None:
        height = width = options.size
    elif options.data.partition("/")[0] == "fashion32":
        height = width = 32
    elif text:
        _, height, width = (int(part) for part in text.split("x"))
    else:
        fail(
            f"size of the images for {options.encoder.name}",
            expected="--size, where the encoder's file does not say it",
            got="none",
            remedy="add --size, for example --size 32",
        )
    return ImageSpec(channels=channels, height=height, width=width)
