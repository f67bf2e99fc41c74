"""From options to what all rows of a study share: pixel views, encoder, training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from genviews.augment.base import PixelViews
from genviews.augment.presets import pixel_views
from genviews.checks import fail
from genviews.domains import Domain, learning_pixels, plain_views
from genviews.perturb.pca import PCA
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig, make_backbone
from genviews.represent.schedule import StepCosine
from genviews.studies.bench import Bench
from genviews.studies.learning.options import TrainingOptions
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import ImageSpec

__all__ = [
    "encoder_config",
    "learning_setting",
    "pixel_preset",
    "training",
]

SAMPLES = 20_000  # unique ones, without real images (chosen by us)
SMALL = 64  # pixels, up to which images get small networks (chosen by us)
RATES = {"sgd": 0.03, "adamw": 1e-3}
DECAYS = {"sgd": 1e-4, "adamw": 0.05}
RECORDS = 40  # of a training, at least
LOOKS = 20  # at signs of collapse, in a training


def learning_setting(
    bench: Bench, options: TrainingOptions, rows: Sequence[LearningRow]
) -> LearningSetting:
    """Put the parts together.

    Args:
        bench: with a generator, real images or both, and where encoders are trained. Without
            labelled splits they are not judged.
        options: how to train.
        rows: that are to be run. Principal directions are measured where one of them needs them.

    Raises:
        ValueError: neither generator nor images, unknown pixel views or backbone, or counts out of
            range, or pixel views that the images are too small for.
    """
    kit, real = bench.inputs.kit, bench.inputs.real
    along = kit is not None and any((row.views or "").startswith(PCA.kind) for row in rows)
    found = LearningSetting(
        training=training(options),
        updates=options.updates,
        base=options.samples or (SAMPLES if real is None else len(real)),
        generator=None if kit is None else kit.generator.to(bench.device),
        real=real,
        probe=bench.inputs.probe,
        batch=options.batch,
        walks=None if kit is None else kit.walks,
        statistics=kit.directions if kit is not None and along else None,
        stored=not options.stream,
        render_batch=bench.batch_size,
        place=str(bench.device),
    )
    spec, domain = found.image_spec, None if kit is None else kit.domain
    pixels = pixel_preset(options.pixels, spec, domain)
    try:
        plain = plain_views(spec, domain, pixels)
    except ValueError as error:
        expected = f"pixel views of images of {spec.height}x{spec.width} pixels"
        remedy = "name others, such as genrep/train, or leave the flag out"
        fail(
            "pixels (--pixels)", expected=expected, got=f"{options.pixels} ({error})", remedy=remedy
        )
    found = replace(found, pixels=pixels, plain=plain)
    side = found.input_size or min(spec.height, spec.width)
    seen = replace(spec, height=side, width=side)
    return replace(found, encoder=encoder_config(options, seen))


def pixel_preset(
    name: str | None, spec: ImageSpec, domain: Domain | None = None
) -> PixelViews | None:
    """The named pixel views; where none are named, those of the domain, or SimCLR's at this size.

    Args:
        name: a preset, "none", or None.
        spec: of the images.
        domain: of the generator, or None.

    Raises:
        ValueError: an unknown name; the closest are listed.
    """
    if name == "none":
        return None
    if name is not None:
        return pixel_views(name)
    return learning_pixels(spec, domain)


def encoder_config(options: TrainingOptions, spec: ImageSpec) -> RepresentationConfig:
    """The architecture that the flags ask for, or one that suits what it sees of the images.

    Raises:
        ImportError: a network of timm where timm is not installed.
    """
    side = min(spec.height, spec.width)
    fits = side <= SMALL and not (spec.height % 8 or spec.width % 8)  # what `compact` takes
    name = options.backbone or ("compact" if fits else "resnet50")
    stem = options.stem or ("small" if side <= SMALL else "imagenet")
    if not name.startswith("resnet"):
        stem = "imagenet"  # others have none; one word, so that equal encoders have equal keys
    size = _image_size(name, spec) if name.startswith("timm:") else None
    return RepresentationConfig(backbone=name, channels=spec.channels, stem=stem, image_size=size)


def _image_size(name: str, spec: ImageSpec) -> int | None:
    """The size to tell a network of timm; None for one without position embedding."""
    side = min(spec.height, spec.width)
    try:
        make_backbone(name, channels=spec.channels, image_size=side)
    except ValueError:
        return None
    return side


def training(options: TrainingOptions) -> Callable[[int], RepresentationTraining]:
    """How to train for a number of updates, as the flags say."""
    rate = RATES[options.optimizer] if options.lr is None else options.lr

    def of(updates: int) -> RepresentationTraining:
        log = max(1, min(50, updates // RECORDS))
        return RepresentationTraining(
            # AdamW needs a warm-up; SGD has none, as in the paper at this batch.
            schedule=StepCosine(
                steps=updates,
                peak=rate,
                warmup_steps=updates // 20 if options.optimizer == "adamw" else 0,
            ),
            optimizer=options.optimizer,
            weight_decay=DECAYS[options.optimizer],
            decay_all=options.optimizer == "sgd",
            bfloat16=options.bfloat16,
            log_every=log,
            monitor_every=log * max(1, updates // (LOOKS * log)),
            checkpoint_every=log * max(1, min(500, updates // 20) // log),
        )

    return of
