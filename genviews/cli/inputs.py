"""What flags name, loaded: each group of flags adds its part to the inputs of a study.

This loads torch; a verb imports it when all that can be checked without it has been checked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import singledispatch
from typing import Any

import torch

from genviews import zoo
from genviews.align.aligners import ALIGNERS
from genviews.align.table import read_geometry
from genviews.augment.presets import pixel_views, pixel_views_apart
from genviews.checks import for_flag, lookup
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.cli.check import class_names_of, fraction, function_settings
from genviews.cli.flags import (
    CorruptFlags,
    DemoFlags,
    FrameFlags,
    InvertFlags,
    ModelFlags,
    PredictFlags,
)
from genviews.cli.learning_flags import KitFlags, LearnFlags, ProbeFlags, VOCFlags
from genviews.cli.saved import check_fitted_with, models_of, saved_ensemble
from genviews.data.file_source import Alignment
from genviews.data.pixels import IN_MEMORY, Decoding
from genviews.data.source import MemorySource
from genviews.ensemble.fill import conditioning_task
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.evaluate.detection import DetectionConfig
from genviews.invert.inverter import inverter_preset
from genviews.kit import GeneratorKit
from genviews.load.classifier import load_classifier
from genviews.load.encoder import load_encoder, trained_spec
from genviews.load.files import Reading, read_class_names
from genviews.load.generator import load_generator
from genviews.load.images import FASHION, images_spec, kind_of, load_images
from genviews.load.learning import load_probe, load_real
from genviews.load.splits import load_splits
from genviews.represent.encoder import RepresentationEncoder
from genviews.rng import Rng
from genviews.robustness.corruption import corruption
from genviews.studies.inputs import Inputs
from genviews.studies.invert import earlier_start
from genviews.studies.learning.voc import DetectionJudge, SVMJudge
from genviews.types import ImageSpec

__all__ = ["load_inputs", "try_models"]


def load_inputs(
    groups: Sequence[object],
    decoding: Decoding,
    check: Callable[[GeneratorKit | None], object],
) -> Inputs:
    """Load what groups of flags name; pixels that are decoded are kept as `decoding` says.

    The generator comes first, and is `check`ed before the images, which take longest, are read.
    """
    found = Inputs()
    for group in groups:
        if isinstance(group, KitFlags):
            found = _kit(group, found, decoding)
            check(found.kit)
        found = _load(group, found, decoding)
    return found


def try_models(groups: Sequence[object], check: Callable[[GeneratorKit | None], object]) -> None:
    """Load every model that flags name, and list images; none is read.

    Args:
        groups: of flags.
        check: of the study, called with the generator where that is a group of its own.
    """
    for group in groups:
        if isinstance(group, ModelFlags):
            _try_classifier(group)
        elif isinstance(group, InvertFlags | PredictFlags | CorruptFlags):
            _load(group, Inputs(), IN_MEMORY)  # images are read when they are asked for
        elif isinstance(group, KitFlags):
            check(_kit(group, Inputs(), IN_MEMORY).kit)
        elif isinstance(group, ProbeFlags):
            _encoder(group)


def _try_classifier(flags: ModelFlags) -> None:
    """Load the generator, what views are made with, and the classifier for the classes listed."""
    kit = _load_kit(flags.generator, flags)
    kit.inverter.check(kit.generator)
    if flags.perturb:
        with for_flag("--perturb"):
            kit.perturbations(flags.perturb)
    spec = kit.generator.image_spec
    how = Reading(
        labels=None if flags.labels == "subfolders" else flags.labels,
        columns=None if flags.label_column is None else [flags.label_column],
        class_names=None if flags.class_names is None else read_class_names(flags.class_names),
    )
    if kind_of(flags.images) in ("folder", "table"):
        columns = how.listing(flags.images, in_splits=True).columns
        names = next(iter(columns.values())).class_names if columns else ()
    else:
        names = load_images(flags.images, spec).class_names
    _classifier(flags, spec, names)


@singledispatch
def _load(flags: object, found: Inputs, decoding: Decoding) -> Inputs:
    """Add what a group of flags names; options of a study name nothing."""
    return found


@_load.register
def _demo(flags: DemoFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """The parts that ship; the first images of a sample are as balanced as the sample is."""
    kit = load_generator("fashion32", steps=flags.steps)
    val, test = zoo.zoo_images("fashion32", "val"), zoo.zoo_images("fashion32", "test")
    classifiers = zoo.zoo_classifiers("fashion32")
    return replace(
        found,
        kit=kit,
        tasks=tuple(
            Task(name=name, classifier=one, about=f"classifier trained on {name}")
            for name, one in classifiers.items()
        ),
        splits={
            "calibration": MemorySource(val.select(slice(flags.calibration))),
            "test": MemorySource(test.select(slice(flags.test))),
        },
        perturbations=kit.candidates,
        pixel_views=kit.baselines,
    )


@_load.register
def _models(flags: ModelFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """Labelled images, a generator and the classifier that judges its views."""
    kit = _load_kit(flags.generator, flags)
    kit.inverter.check(kit.generator)
    pixels = pixel_views_apart(flags.augment) if flags.augment else kit.baselines
    with for_flag("--perturb"):
        perturbations = kit.perturbations(flags.perturb)
    spec, part = kit.generator.image_spec, fraction(flags.calibration)
    splits = load_splits(
        flags.images,
        spec,
        calibration=flags.calibration if part is None else part,
        seed=flags.seed if flags.split_seed is None else flags.split_seed,
        labels=None if flags.labels == "subfolders" else flags.labels,
        calibration_labels=flags.calibration_labels,
        columns=None if flags.label_column is None else [flags.label_column],
        class_names=None if flags.class_names is None else read_class_names(flags.class_names),
        resize=flags.resize,
        convert=flags.convert,
        alignment=_alignment(flags, spec),
        masks=flags.mask,
    )
    calibration, test = splits.calibration, splits.test
    shown = _shown(flags)
    classifier = _classifier(flags, spec, test.class_names)
    sets = tuple(ViewSet(pixels=views) for views in pixels)
    plan = ViewPlan(view_sets=sets, generator=kit.generator, **shown)
    plan.check_shapes(spec, classifier.image_spec)
    task = Task(name="images", classifier=classifier, labels=flags.label_column or "label")
    notes = (*splits.notes, *kit.notes)
    if conditioning_task([task], kit.generator) and not kit.generator.class_names:
        told = ", ".join(classifier.class_names)
        notes += (f"classes of the generator, in its order, are taken for {told}",)
    return replace(
        found,
        kit=kit,
        tasks=(task,),
        splits={"calibration": calibration, "test": test},
        perturbations=perturbations,
        pixel_views=pixels,
        **shown,
        skipped=tuple(dict.fromkeys((*calibration.skipped, *test.skipped))),
        notes=notes,
    )


@_load.register
def _predict(flags: PredictFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """The models of a run, compared with what it was made from, and the images to classify."""
    saved, models = saved_ensemble(flags.ensemble), models_of(flags)
    if isinstance(models, DemoFlags):
        kit = load_generator("fashion32", steps=models.steps)
        classifier, pixels = zoo.zoo_classifiers("fashion32")[saved.task], kit.baselines
        shown: dict[str, Any] = {}
    else:
        kit = _load_kit(models.generator, models)
        pixels = pixel_views_apart(models.augment) if models.augment else kit.baselines
        classifier = _classifier(models, kit.generator.image_spec, saved.class_names)
        shown = _shown(models)
    check_fitted_with(
        flags.ensemble,
        saved.task,
        {**saved.views(kit, pixels), **shown},
        generator=kit.generator,
        inverter=kit.inverter,
        classifier=classifier,
    )
    images = load_images(
        flags.images,
        kit.generator.image_spec,
        labels=flags.labels,
        columns=None if flags.label_column is None else [flags.label_column],
        ask_order=False,
        resize=flags.resize,
        convert=flags.convert,
        alignment=_alignment(flags, kit.generator.image_spec),
        masks=flags.mask,
    )
    strange = [name for name in images.class_names if name not in saved.class_names]
    said = f"labels that are no class of the ensemble do not count: {', '.join(strange)[:200]}"
    return replace(
        found,
        kit=kit,
        tasks=(Task(name=saved.task, classifier=classifier),),
        images=images,
        pixel_views=pixels,
        **shown,
        skipped=images.skipped,
        notes=(*images.notes, *kit.notes, *([said] if strange else [])),
    )


def _alignment(flags: FrameFlags, spec: ImageSpec) -> Alignment | None:
    if flags.geometry is None:
        return None
    aligner = lookup(flags.align, ALIGNERS, "aligner")(spec)
    return Alignment(aligner, read_geometry(flags.geometry))


def _shown(flags: ModelFlags) -> dict[str, Any]:
    """How classifiers are shown images and renders."""
    given = {name: getattr(flags, name) for name in ("photo_transform", "render_transform")}
    return {name: None if word is None else pixel_views(word) for name, word in given.items()}


def _classifier(flags: ModelFlags, spec: ImageSpec, class_names: Sequence[str]) -> Classifier:
    """The classifier of images as they are shown to it."""
    photo = _shown(flags)["photo_transform"]
    if photo is not None:
        blank = torch.zeros(1, *spec.shape)
        height, width = photo(blank, 1, Rng(0).streams([0])).shape[-2:]
        spec = replace(spec, height=height, width=width)
    return load_classifier(
        flags.classifier, spec, class_names, weights=flags.weights, settings=flags.settings
    )


@_load.register
def _invert(flags: InvertFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """The images, and a generator with the inverter that the flags ask for."""
    kit = _load_kit(flags.generator, flags)
    inverter, spec = kit.inverter, kit.generator.image_spec
    if flags.preset != "default":  # which is what suits the generator
        inverter = inverter_preset(
            flags.preset, kit.encoder, lpips_weights=flags.lpips_weights, steps=flags.steps
        )
    inverter.check(kit.generator)
    source = load_images(
        flags.images,
        spec,
        ask_order=False,
        root=flags.root,
        resize=flags.resize,
        convert=flags.convert,
        alignment=_alignment(flags, spec),
        masks=flags.mask,
    )
    if flags.start_from is not None:
        with for_flag("--start-from"):
            inverter = replace(inverter, start=earlier_start(flags.start_from, source))
    bare = GeneratorKit(kit.generator, name=kit.name, inverter=inverter)
    return replace(found, kit=bare, images=source, notes=tuple(kit.notes))


@_load.register
def _corrupt(flags: CorruptFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """The images, which every corruption must be possible for."""
    spec = images_spec(flags.images, size=flags.size, convert=flags.convert)
    for word in flags.corruption:
        with for_flag("--corruption"):
            corruption(word).check(spec)
    source = load_images(
        flags.images,
        spec,
        ask_order=False,
        resize=flags.resize or flags.size is not None,
        convert=flags.convert,
    )
    return replace(found, images=source, skipped=source.skipped, notes=source.notes)


def _kit(flags: KitFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """The generator, if one is named."""
    if flags.generator is None:
        return found
    kit = _load_kit(flags.generator, flags)
    return replace(found, kit=kit, notes=(*found.notes, *kit.notes))


def _load_kit(word: str, flags: KitFlags | ModelFlags | InvertFlags) -> GeneratorKit:
    """A generator with what flags say of it."""
    known = ("encoder", "walks", "steps", "domain")
    rest = {name: value for name, value in vars(flags).items() if name in known}
    names = class_names_of(flags)
    return load_generator(word, **function_settings(flags), class_names=names, **rest)


@_load.register
def _learn(flags: LearnFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """A generator, images to learn from and those to judge on, as far as they are named."""
    resize, convert = flags.resize, flags.convert
    if found.kit is not None:
        spec = found.kit.generator.image_spec
    else:  # checked: there are real images
        spec = images_spec(str(flags.real), size=flags.size, convert=convert)
    if flags.data is not None:
        found = _judged(flags, flags.data, spec, found, decoding)
    if flags.real is not None:
        real = load_real(
            flags.real, spec, found.probe, resize=resize, convert=convert, decoding=decoding
        )
        skipped, notes = (*found.skipped, *real.skipped), (*found.notes, *real.notes)
        found = replace(found, real=real, skipped=skipped, notes=notes)
    return found


def _encoder(flags: ProbeFlags) -> tuple[RepresentationEncoder, ImageSpec]:
    """An encoder, and the images that it is shown."""
    encoder = load_encoder(flags.encoder)
    size = 32 if kind_of(flags.data) == FASHION else None
    return encoder, trained_spec(flags.encoder, encoder, size=flags.size or size)


@_load.register
def _probe(flags: ProbeFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """An encoder, and images to judge it on."""
    encoder, spec = _encoder(flags)
    return _judged(flags, flags.data, spec, replace(found, encoder=encoder), decoding)


def _judged(
    flags: LearnFlags | ProbeFlags, word: str, spec: ImageSpec, found: Inputs, decoding: Decoding
) -> Inputs:
    """Labelled images to judge encoders on."""
    probe = load_probe(
        word,
        spec,
        columns=None if flags.label_column is None else [flags.label_column],
        seed=flags.split_seed,
        resize=flags.resize,
        convert=flags.convert,
        decoding=decoding,
    )
    skipped, notes = (*found.skipped, *probe.skipped), (*found.notes, *probe.notes)
    return replace(found, probe=probe, skipped=skipped, notes=notes)


@_load.register
def _voc(flags: VOCFlags, found: Inputs, decoding: Decoding) -> Inputs:
    """Who judges encoders as well; nobody without `--voc`."""
    if flags.voc is None:
        return found
    svm = SVMJudge(path=flags.voc, protocol=flags.voc_protocol, size=flags.voc_size)
    steps = flags.detection_steps
    config = DetectionConfig() if steps is None else DetectionConfig.lasting(steps)
    detection = [DetectionJudge(path=flags.voc, config=config)] if flags.detection else []
    return replace(found, judges=(svm, *detection))
