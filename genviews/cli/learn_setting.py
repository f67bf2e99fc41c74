"""From flags to a `LearningSetting`: generator, images, pixel views, encoder, training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from genviews.augment import PixelViews, pixel_views
from genviews.checks import check_count, fail
from genviews.cli.learn_options import LearnInputs, TrainingOptions
from genviews.cli.run import say_notes
from genviews.data import ImageSource, MemorySource
from genviews.data.pixels import StoredPixels
from genviews.data.source import as_source
from genviews.domains import Domain, learning_pixels
from genviews.engine import Engine
from genviews.evaluate.encoders import ProbeData
from genviews.kit import GeneratorKit
from genviews.load.generator import load_generator
from genviews.load.images import load_images
from genviews.load.spec import images_spec
from genviews.load.splits import load_splits
from genviews.perturb.steer import Steer
from genviews.represent.backbones import make_backbone
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.schedule import StepCosine
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.types import ImageSpec, Progress

__all__ = [
    "Loaded",
    "check_training",
    "check_walks",
    "encoder_config",
    "load_kit",
    "load_setting",
    "pixel_preset",
    "probe_data",
    "training",
]

SAMPLES = 20_000  # unique ones, without real images (chosen by us)
FASHION_TRAIN = 20_000  # images of it that probes are fitted on; more gain little, cost much
SMALL = 64  # pixels, up to which images get small networks (chosen by us)
RATES = {"sgd": 0.03, "adamw": 1e-3}
DECAYS = {"sgd": 1e-4, "adamw": 0.05}
RECORDS = 40  # of a training, at least
LOOKS = 20  # at signs of collapse, in a training


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """What was loaded.

    Args:
        setting: of a study or of one encoder.
        skipped: (file, reason) of images that were left out.
        notes: what was decided for the user, in sentences.
    """

    setting: LearningSetting
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


def load_setting(
    inputs: LearnInputs,
    options: TrainingOptions,
    device: torch.device,
    *,
    batch_size: int,
    kit: GeneratorKit | None,
    folder: Path | None = None,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> Loaded:
    """Read the images and put the parts together.

    Args:
        inputs: the flags that say what to learn from.
        options: how.
        device: of the generator; without one, of the real images, since encoders are trained where
            these are.
        batch_size: images rendered at once.
        kit: what `--generator` names, already loaded; None for real images alone.
        folder: where the pixels of images are kept, decoded once; None keeps them in memory.
        engine: where they are decoded.
        progress: of that.

    Raises:
        ValueError: images that cannot be used, unknown pixel views or backbone, counts out of
            range.
    """
    generator = None if kit is None else kit.generator.to(device)
    spec = _image_spec(inputs) if generator is None else generator.image_spec
    probe: ProbeData | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    if inputs.data is not None:
        probe, skipped, notes = probe_data(
            inputs.data,
            spec,
            resize=inputs.resize,
            convert=inputs.convert,
            folder=folder,
            engine=engine,
            progress=progress,
        )
    real = None
    if inputs.real is not None:
        keep = _keeper(folder, engine, progress)
        real, more = _real_images(inputs, spec, probe, keep)
        notes = (*notes, *more)
        skipped = (*skipped, *real.skipped)
    say_notes(notes)
    base = options.samples or (SAMPLES if real is None else len(real))
    return Loaded(
        setting=LearningSetting(
            training=training(options),
            updates=options.updates,
            base=base,
            generator=generator,
            real=real,
            pixels=pixel_preset(options.pixels, spec, None if kit is None else kit.domain),
            encoder=encoder_config(options, spec),
            probe=probe,
            batch=options.batch,
            walks=None if kit is None else kit.walks,
            statistics=None if kit is None else kit.directions,
            stored=not options.stream,
            render_batch=batch_size,
            place=str(device),
        ),
        skipped=skipped,
        notes=notes,
    )


def _keeper(
    folder: Path | None, engine: str | Engine, progress: Progress | None
) -> Callable[[ImageSource], ImageSource]:
    """What reads a source once: its pixels into a folder, or into memory without one."""

    def keep(source: ImageSource) -> ImageSource:
        if folder is None:
            return MemorySource(source.load())
        return StoredPixels(
            source, folder, engine=engine, stage="decode real images", progress=progress
        )

    return keep


def probe_data(
    word: str,
    spec: ImageSpec,
    *,
    resize: bool = False,
    convert: bool = False,
    folder: Path | None = None,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> tuple[ProbeData, tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Read what `--data` names.

    Returns:
        The splits, (file, reason) of what was left out, and what was decided for the user.

    Raises:
        ValueError: a class without a readable image, or what `load_splits` refuses.
    """
    splits = load_splits(
        word, spec, needs=("train", "val", "test"), ask_order=False, resize=resize, convert=convert
    )
    train = splits.train
    if word == "fashion32":
        train = train.select(range(FASHION_TRAIN))
    found = ProbeData.load(train, splits.val, splits.test, folder, engine=engine, progress=progress)
    skipped = {one for part in found.splits().values() for one in part.skipped}
    return found, tuple(sorted(skipped)), splits.notes


def _real_images(
    inputs: LearnInputs,
    spec: ImageSpec,
    probe: ProbeData | None,
    keep: Callable[[ImageSource], ImageSource],
) -> tuple[ImageSource, tuple[str, ...]]:
    """What `--real` names, without the images that encoders are judged on."""
    assert inputs.real is not None
    source = load_images(
        inputs.real,
        spec,
        ask_order=False,
        split="train",
        resize=inputs.resize,
        convert=inputs.convert,
    )
    found = keep(source)
    if probe is None:
        return found, source.notes
    judged = {one for part in (probe.val, probe.test) for one in as_source(part).hashes()}
    rows = [row for row, one in enumerate(found.hashes()) if one not in judged]
    if len(rows) == len(found):
        return found, source.notes
    if not rows:
        fail(
            f"--real {inputs.real}",
            expected="other images than those that encoders are judged on",
            got="all of them in val or test of --data",
            remedy="name images of train",
        )
    note = f"{len(found) - len(rows)} images of --real are in val or test of --data: left out"
    return found.select(rows), (*source.notes, note)


def _image_spec(inputs: LearnInputs) -> ImageSpec:
    """The images that a run without a generator learns from."""
    assert inputs.real is not None
    return images_spec(inputs.real, size=inputs.size, convert=inputs.convert)


def load_kit(inputs: LearnInputs) -> GeneratorKit | None:
    """What `--generator` and `--walks` name; None without a generator.

    Raises:
        ValueError: unknown; the closest names are listed.
        FileNotFoundError: no such file.
    """
    if inputs.generator is None:
        return None
    return load_generator(inputs.generator, z_dim=inputs.z_dim, walks=inputs.walks)


def check_walks(rows: Sequence[LearningRow], setting: LearningSetting) -> None:
    """Raise ValueError if steered views would be made with the walks of another generator."""
    spaces = {
        row.space: row for row in rows if row.views is not None and row.views.startswith(Steer.kind)
    }
    for row in spaces.values():
        assert setting.walks is not None  # the views could not have been made
        setting.walks.check(setting.generator_of(row)[0])


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
    """The architecture that the flags ask for, or one that suits the size of the images.

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
    """How to train for a number of updates, as the flags say.

    Raises:
        ValueError: a learning rate that is not above 0.
    """
    rate = RATES[options.optimizer] if options.lr is None else options.lr
    if not 0 < rate < math.inf:
        fail("--lr", expected="a number above 0", got=rate, remedy="0.03 is the paper's")

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


def check_training(options: TrainingOptions) -> None:
    """Find numbers out of range, before anything is loaded.

    Raises:
        ValueError: a count below 1, fewer samples than a batch, an unknown backbone or unknown
            pixel views; the closest names are listed.
        ImportError: a network of timm where timm is not installed.
    """
    check_count(options.updates, "--updates")
    check_count(options.batch, "--batch", least=2)
    if options.samples is not None:
        check_count(options.samples, "--samples", least=options.batch)
    training(options)
    if options.backbone is not None:
        make_backbone(options.backbone, channels=3, stem=options.stem or "imagenet")
    if options.pixels not in (None, "none"):
        pixel_views(str(options.pixels))
