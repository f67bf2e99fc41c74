"""The verbs: each checks what is named, loads it, runs one study, and shows its answer.

Nothing heavy is imported before a verb runs: help must answer at once.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import lookup
from genviews.cli.check import (
    check_demo,
    check_invert,
    check_learn,
    check_models,
    check_probe,
    fraction,
)
from genviews.cli.flags import (
    DemoFlags,
    EnsembleFlags,
    InvertFlags,
    LearnFlags,
    ModelFlags,
    ObjectiveFlags,
    ProbeFlags,
    RunFlags,
)
from genviews.cli.run import run_verb
from genviews.studies.learning.options import LearnOptions

if TYPE_CHECKING:  # these load torch
    from genviews.data.pixels import Decoding
    from genviews.studies.bench import Inputs

__all__ = [
    "demo",
    "ensemble",
    "invert",
    "learn",
    "load_learning",
    "load_models",
    "probe",
    "title_of",
]

ENTRY = "fashion32"
_DEMO, _ENSEMBLE, _RUN = DemoFlags(), EnsembleFlags(), RunFlags()
_LEARNT_FROM, _OBJECTIVE = LearnFlags(), LearnOptions()


def demo(flags: DemoFlags = _DEMO, *, run: RunFlags = _RUN) -> int:
    """Try it: the whole study on images and weights that ship with the package, no download.

    Inverts real images, makes views of them, chooses alpha on calibration images, measures the gain
    on test images, and writes a report.
    """
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_verb(
        "demo",
        STUDY,
        MainStudy(num_views=flags.num_views, scale_views=min(flags.num_views, 4)),
        [flags],
        run,
        check=lambda out: check_demo(flags),
        load=lambda decoding: _load_demo(flags),
        title=f"{ENTRY}: do generated views help this classifier?",
        seed=flags.seed,
    )


def _load_demo(flags: DemoFlags) -> Inputs:
    """The parts that ship; the first images of a sample are as balanced as the sample is."""
    from genviews.classify import Task
    from genviews.data import MemorySource
    from genviews.load.generator import load_generator
    from genviews.studies.bench import Inputs
    from genviews.zoo import zoo_classifiers, zoo_images

    kit = load_generator(ENTRY, steps=flags.steps)
    val, test = zoo_images(ENTRY, "val"), zoo_images(ENTRY, "test")
    return Inputs(
        kit=kit,
        tasks=tuple(
            Task(name=n, classifier=c, about=f"classifier trained on {n}")
            for n, c in zoo_classifiers(ENTRY).items()
        ),
        splits={
            "calibration": MemorySource(val.select(slice(flags.calibration))),
            "test": MemorySource(test.select(slice(flags.test))),
        },
        perturbations=kit.candidates,
        pixel_views=kit.baselines,
    )


def ensemble(models: ModelFlags, *, flags: EnsembleFlags = _ENSEMBLE, run: RunFlags = _RUN) -> int:
    """Find out whether generated views make your classifier better on your images.

    The images need labels: alpha is chosen on one part of them, the gain is measured on the other.
    A killed run started again continues where it was.
    """
    from genviews.studies.ensembling.main import STUDY, MainStudy

    return run_verb(
        "ensemble",
        STUDY,
        MainStudy(num_views=flags.num_views, average=flags.average),
        [models, flags],
        run,
        check=lambda out: check_models(models, out),
        load=lambda decoding: load_models(models),
        title=title_of(models),
        seed=models.seed,
    )


def title_of(models: ModelFlags) -> str:
    """The question, with the names of the models."""
    return f"Do views from {Path(models.generator).name} help {Path(models.classifier).name}?"


def load_models(flags: ModelFlags) -> Inputs:
    """Load labelled images, a generator and the classifier that judges its views."""
    from genviews.augment import pixel_views_apart
    from genviews.classify import Task
    from genviews.load.files import read_class_names
    from genviews.load.generator import load_generator
    from genviews.load.networks import load_classifier
    from genviews.load.splits import load_splits
    from genviews.studies.bench import Inputs

    kit = load_generator(
        flags.generator,
        z_dim=flags.z_dim,
        encoder=flags.encoder,
        walks=flags.walks,
        steps=flags.steps,
        domain=flags.domain,
    )
    pixels = pixel_views_apart(flags.augment) if flags.augment else kit.baselines
    perturbations = kit.perturbations(flags.perturb)
    spec, part = kit.generator.image_spec, fraction(flags.calibration)
    splits = load_splits(
        flags.images,
        spec,
        calibration=flags.calibration if part is None else part,
        seed=flags.seed,
        labels=None if flags.labels == "subfolders" else flags.labels,
        calibration_labels=flags.calibration_labels,
        class_names=None if flags.class_names is None else read_class_names(flags.class_names),
        resize=flags.resize,
        convert=flags.convert,
    )
    calibration, test = splits.calibration, splits.test
    classifier = load_classifier(flags.classifier, spec, test.class_names, weights=flags.weights)
    return Inputs(
        kit=kit,
        tasks=(Task(name="images", classifier=classifier),),
        splits={"calibration": calibration, "test": test},
        perturbations=perturbations,
        pixel_views=pixels,
        skipped=tuple(dict.fromkeys((*calibration.skipped, *test.skipped))),
        notes=(*splits.notes, *kit.notes),
    )


def invert(flags: InvertFlags, *, run: RunFlags = _RUN) -> int:
    """Find the latents that reproduce your images, and see how well they do.

    Writes stores of latents and of reconstructions, a table and a summary of their quality, and a
    page with the best and the worst. A killed run started again continues where it was.
    """
    from genviews.studies.invert import STUDY, InvertOptions

    return run_verb(
        "invert",
        STUDY,
        InvertOptions(lpips_weights=flags.lpips_weights, png=flags.png),
        [flags],
        run,
        check=lambda out: check_invert(flags, out),
        load=lambda decoding: _load_invert(flags),
        title=f"Inversion of {flags.images} with {Path(flags.generator).name}",
    )


def _load_invert(flags: InvertFlags) -> Inputs:
    """The images, and a generator with the inverter that the flags ask for."""
    from genviews.align import read_geometry
    from genviews.align.aligners import ALIGNERS
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
        aligner = lookup(flags.align, ALIGNERS, "aligner")(spec)
        alignment = Alignment(aligner, read_geometry(flags.geometry))
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
    bare = GeneratorKit(kit.generator, name=kit.name, inverter=inverter)
    return Inputs(kit=bare, images=source, notes=tuple(kit.notes))


def learn(
    flags: LearnFlags = _LEARNT_FROM,
    *,
    options: ObjectiveFlags = _OBJECTIVE,
    run: RunFlags = _RUN,
) -> int:
    """Learn an encoder from generated views, from real images, or from a mix.

    Writes the encoder, its backbone with the key names of torchvision or timm, the history of the
    training and a page. With --data a linear probe and nearest neighbours judge it. A killed run
    started again continues where it was.
    """
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
        load=lambda decoding: load_learning(flags, decoding),
        title=f"An encoder learnt from {' and '.join(parts)}",
        about={"views": row.views},
    )


def load_learning(flags: LearnFlags, decoding: Decoding) -> Inputs:
    """Load a generator, images to learn from and those to judge on, as far as they are named."""
    from genviews.load.generator import load_generator
    from genviews.load.images import images_spec
    from genviews.load.learning import load_probe, load_real
    from genviews.studies.bench import Inputs

    found, resize, convert = Inputs(), flags.resize, flags.convert
    if flags.generator is not None:
        kit = load_generator(flags.generator, z_dim=flags.z_dim, walks=flags.walks)
        found, spec = replace(found, kit=kit), kit.generator.image_spec
    else:  # checked: there are real images
        spec = images_spec(str(flags.real), size=flags.size, convert=convert)
    if flags.data is not None:
        probe = load_probe(flags.data, spec, resize=resize, convert=convert, decoding=decoding)
        found = replace(found, probe=probe, skipped=probe.skipped, notes=probe.notes)
    if flags.real is not None:
        real = load_real(
            flags.real, spec, found.probe, resize=resize, convert=convert, decoding=decoding
        )
        skipped, notes = (*found.skipped, *real.skipped), (*found.notes, *real.notes)
        found = replace(found, real=real, skipped=skipped, notes=notes)
    return found


def probe(flags: ProbeFlags, *, run: RunFlags = _RUN) -> int:
    """Judge an encoder on labelled images: a linear probe and nearest neighbours, with intervals.

    The encoder is frozen. Probes are fitted on train, their settings chosen on val, and accuracies
    are of test.
    """
    from genviews.studies.learning.one import PROBE_ENCODER
    from genviews.studies.options import Options

    return run_verb(
        "probe",
        PROBE_ENCODER,
        Options(),
        [flags],
        run,
        check=lambda out: check_probe(flags, out),
        load=lambda decoding: _load_probe(flags, decoding),
        title=f"What {flags.encoder.name} knows of {flags.data}",
    )


def _load_probe(flags: ProbeFlags, decoding: Decoding) -> Inputs:
    from genviews.load.learning import load_probe
    from genviews.load.networks import load_encoder, trained_spec
    from genviews.studies.bench import Inputs

    encoder = load_encoder(flags.encoder)
    size = 32 if flags.data.partition("/")[0] == "fashion32" else None
    spec = trained_spec(flags.encoder, encoder, size=flags.size or size)
    found = load_probe(
        flags.data, spec, resize=flags.resize, convert=flags.convert, decoding=decoding
    )
    return Inputs(encoder=encoder, probe=found, skipped=found.skipped, notes=found.notes)
