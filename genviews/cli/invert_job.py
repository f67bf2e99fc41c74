"""The work of `genviews invert`: load, invert into a store, reconstruct, and sum up."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews.checks import fail
from genviews.cli.device import find_device
from genviews.cli.engine import run_engine
from genviews.cli.images import image_source
from genviews.cli.invert import IMAGES, LATENTS, PNG, RECONSTRUCTIONS
from genviews.cli.invert_progress import InvertProgress
from genviews.cli.options import InvertInputs, InvertOptions, PictureOptions, RunOptions
from genviews.cli.progress import Stages
from genviews.cli.run import Claim
from genviews.data import ImageSource
from genviews.engine import Engine
from genviews.generators import Generator
from genviews.invert import (
    L1,
    L2,
    LPIPS,
    GivenStart,
    InversionStore,
    Inverter,
    Objective,
    Term,
    invert_source,
    inverter_preset,
)
from genviews.invert.quality import ImageQuality, Reconstructions, extremes, reconstruct
from genviews.load.generator import load_generator
from genviews.memory import keep_freed_memory
from genviews.report import write_atomic
from genviews.report.png import write_png_files
from genviews.studies.inversion import Inverted, images_csv, inversion_result
from genviews.studies.result import Record, Result

__all__ = ["InvertJob"]

SHOWN = 8  # best and worst images on the page; the paper's figure has 4


@dataclass(frozen=True, kw_only=True)
class InvertJob:
    """An inversion, as the flags describe it.

    Args:
        inputs: what, with what.
        options: how.
        pictures: what it leaves besides.
        flags: device and batch size.
        config: the resolved options, kept with the result.
        command: that asks for it.
    """

    inputs: InvertInputs
    options: InvertOptions
    pictures: PictureOptions
    flags: RunOptions
    config: Mapping[str, Any]
    command: str

    def run(self, stages: Stages, claim: Claim) -> Result:
        """Do the work and tell its progress.

        Raises:
            ValueError: nothing could be read, a flag names nothing known, or the folder holds the
                work of other images or weights.
        """
        keep_freed_memory()
        device = find_device(self.flags.device)
        generator, inverter = self._load(device)
        errors = self._errors(generator, inverter)
        source = image_source(self.inputs, generator.image_spec)
        inverter = self._started(inverter, source)
        stages.note("load")
        source.fingerprint()  # reads every file once; the inversion asks for it again
        stages.note("hash images")
        claim(generator=generator, inverter=inverter, source=source, errors=errors)
        engine = run_engine(self.flags, device)
        store, earlier = self._invert(source, generator, inverter, engine, stages)
        self._check_any(store)
        made = reconstruct(
            store,
            source,
            generator,
            self.options.out / RECONSTRUCTIONS,
            terms=errors,
            batch_size=self.flags.batch_size,
            engine=engine,
            progress=stages,
        )
        if self.pictures.png:
            write_png_files(made, self.options.out / PNG)
            stages.note("write PNG files")
        return self._result(source, store, made, earlier, stages)

    def _load(self, device: torch.device) -> tuple[Generator, Inverter]:
        options, inputs = self.options, self.inputs
        kit = load_generator(
            inputs.generator, z_dim=inputs.z_dim, encoder=inputs.encoder, steps=options.steps
        )
        inverter = kit.inverter
        if options.preset != "default":  # which is what suits the generator
            inverter = inverter_preset(
                options.preset,
                inverter.encoder,
                lpips_weights=options.lpips_weights,
                steps=options.steps,
            )
        for module in inverter.modules():
            module.to(device)
        return kit.generator.to(device), inverter

    def _errors(self, generator: Generator, inverter: Inverter) -> tuple[Term, ...]:
        """What is measured: L1, L2, and LPIPS where the objective has it or weights were given."""
        perceptual = [t for t in inverter.objective.active if t.name.startswith("lpips")]
        if not perceptual and self.options.lpips_weights is not None:
            perceptual = [LPIPS(1.0, "alex", self.options.lpips_weights)]
        for module in (m for term in perceptual for m in term.modules()):
            module.to(generator.device)
        terms = (L1(), L2(), *perceptual)
        # Images that a term cannot measure are a mistake to hear of now, not after the inversion.
        latents = generator.mean_latent()[None]
        blank = torch.zeros(1, *generator.image_spec.shape, device=generator.device)
        Objective(terms).target(blank, torch.ones_like(blank[:, :1]), latents)
        return terms

    def _started(self, inverter: Inverter, source: ImageSource) -> Inverter:
        """The inverter, with the latents of `--start-from` as its starts."""
        if self.options.start_from is None:
            return inverter
        return replace(inverter, start=GivenStart(_stored_latents(self.options.start_from, source)))

    def _invert(
        self,
        source: ImageSource,
        generator: Generator,
        inverter: Inverter,
        engine: Engine,
        stages: Stages,
    ) -> tuple[InversionStore, int]:
        """The complete store, and how many images earlier runs had made."""
        folder = self.options.out / LATENTS
        progress = InvertProgress(stages, folder)
        label = source.labels if generator.renders_label else None
        store = invert_source(
            source,
            generator,
            inverter,
            folder,
            label=label,
            batch_size=self.flags.batch_size,
            engine=engine,
            progress=progress,
        )
        return store, progress.earlier

    def _check_any(self, store: InversionStore) -> None:
        """Nothing readable: leave no half results, and say why."""
        skipped = store.skipped
        if len(skipped) < len(store):
            return
        if all(not len(shard) for shard in store.iter_shards()):
            shutil.rmtree(self.options.out / LATENTS)
            shown = "; ".join(f"{name} {reason}" for name, reason in skipped[:5])
            fail(
                f"--images {self.inputs.images}",
                expected="at least one readable image",
                got=f"none of {len(store)}: {shown}",
                remedy="check the images; --resize and --convert accept more",
            )

    def _result(
        self,
        source: ImageSource,
        store: InversionStore,
        made: Reconstructions,
        earlier: int,
        stages: Stages,
    ) -> Result:
        qualities = made.qualities()
        errors = qualities[0].errors
        ranked_by = next(n for n in ("lpips_alex", "lpips_vgg", "l1") if n in errors)
        best, worst = extremes(qualities, ranked_by, SHOWN)
        pictures = _pictures([*best, *worst], source, made)
        write_atomic(self.options.out / IMAGES, images_csv(qualities, store.skipped))
        stages.note("sum up")
        return inversion_result(
            f"Inversion of {self.inputs.images} with {Path(self.inputs.generator).name}",
            qualities,
            ranked_by=ranked_by,
            best=pictures[: len(best)],
            worst=pictures[len(best) :],
            record=Record(
                command=self.command,
                config=self.config,
                seconds=dict(stages.seconds),
                skipped=store.skipped,
            ),
            earlier=earlier,
        )


def _stored_latents(folder: str, source: ImageSource) -> Tensor:
    """The latents of an earlier inversion in the order of the source.

    Raises:
        FileNotFoundError: no such store.
        ValueError: images of the source that it does not have.
    """
    place = Path(folder) / LATENTS
    store = InversionStore(place if place.is_dir() else folder)
    shard = store.read_all()
    rows = {name: row for row, name in enumerate(shard.ids)}
    unread = dict(store.skipped)  # those will be skipped again
    absent = [name for name in source.ids if name not in rows and name not in unread]
    if absent or not rows:
        fail(
            f"--start-from {folder}",
            expected="a start for each image",
            got=f"none for {len(absent)} of {len(source)}, e.g. {absent[0]!r}"
            if absent
            else "none",
            remedy="start from an inversion of the same images",
        )
    chosen = torch.tensor([rows.get(name, 0) for name in source.ids])
    return shard.tensors["latents"][chosen]


def _pictures(
    chosen: Sequence[ImageQuality], source: ImageSource, made: Reconstructions
) -> list[Inverted]:
    places = {name: row for row, name in enumerate(source.ids)}
    batch = source.read([places[one.id] for one in chosen])
    rendered = made.select([one.id for one in chosen])
    return [
        Inverted(
            quality=one,
            image=batch.images[row],
            mask=None if batch.masks is None else batch.masks[row],
            reconstruction=rendered[one.id],
        )
        for row, one in enumerate(chosen)
    ]
