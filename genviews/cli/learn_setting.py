"""What learning works with, from flags: generator, images to learn from, images to judge on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from genviews.checks import fail
from genviews.cli.learn_options import KitInputs, LearnInputs
from genviews.cli.run import say_notes
from genviews.data import ImageSource, MemorySource
from genviews.data.pixels import StoredPixels
from genviews.data.source import as_source
from genviews.engine import Engine
from genviews.evaluate.encoders import ProbeData
from genviews.kit import GeneratorKit
from genviews.load.generator import load_generator
from genviews.load.images import load_images
from genviews.load.spec import images_spec
from genviews.load.splits import load_splits
from genviews.studies.learning.options import TrainingOptions
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.training import learning_setting
from genviews.types import ImageSpec, Progress

__all__ = ["Loaded", "Read", "load_kit", "load_setting", "probe_data", "read_images"]

FASHION_TRAIN = 20_000  # images of it that probes are fitted on; more gain little, cost much


@dataclass(frozen=True, kw_only=True)
class Read:
    """The images that the flags name.

    Args:
        real: to learn from, or None.
        probe: to judge on, or None.
        skipped: (file, reason) of images that were left out.
        notes: what was decided for the user, in sentences.
    """

    real: ImageSource | None
    probe: ProbeData | None
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]


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
    read = read_images(inputs, kit, folder, engine=engine, progress=progress)
    setting = learning_setting(
        options,
        kit=kit,
        real=read.real,
        probe=read.probe,
        device=device,
        batch_size=batch_size,
    )
    return Loaded(setting=setting, skipped=read.skipped, notes=read.notes)


def read_images(
    inputs: LearnInputs,
    kit: GeneratorKit | None,
    folder: Path | None = None,
    *,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> Read:
    """Read what `--real` and `--data` name, and say what was decided for the user.

    Args:
        inputs: the flags.
        kit: the generator, whose images the others must match; None for real images alone.
        folder: where the pixels of images are kept, decoded once; None keeps them in memory.
        engine: where they are decoded.
        progress: of that.

    Raises:
        ValueError: images that cannot be used.
    """
    spec = _image_spec(inputs) if kit is None else kit.generator.image_spec
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
        real, more = _real_images(inputs, spec, probe, _keeper(folder, engine, progress))
        notes = (*notes, *more)
        skipped = (*skipped, *real.skipped)
    say_notes(notes)
    return Read(real=real, probe=probe, skipped=skipped, notes=notes)


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


def load_kit(inputs: KitInputs) -> GeneratorKit | None:
    """What `--generator` and `--walks` name; None without a generator.

    Raises:
        ValueError: unknown; the closest names are listed.
        FileNotFoundError: no such file.
    """
    if inputs.generator is None:
        return None
    return load_generator(inputs.generator, z_dim=inputs.z_dim, walks=inputs.walks)
