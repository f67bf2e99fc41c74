"""Every public call that takes a tensor, images, a generator or a classifier, in one line each.

A call reads what it is given by name from `Inputs`. So a test can put something odd in the place of
one of them, whatever the call, and see what comes of it. Its key is the module below `genviews` and
the name in it, "Class.method" or "Class()" for the call of an object.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import genviews as g
from genviews.align import aligners, warp
from genviews.align.base import Box, check_source
from genviews.augment import colour, presets, resample
from genviews.augment.geometry import HorizontalFlip
from genviews.classify.answers import as_logits
from genviews.classify.config import TrainConfig
from genviews.classify.model import call_module, predict_logits
from genviews.classify.task import Task, attribute_tasks
from genviews.classify.train import train_classifier
from genviews.classify.views import LatentViewSource
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource, as_source
from genviews.ensemble import choose, combine, cutoff, fill, photo_banks, weigh
from genviews.ensemble import resample as redraw
from genviews.ensemble.bank import ViewBank
from genviews.ensemble.photos import Photos, check_labels
from genviews.ensemble.significance import gain_report
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.evaluate import detection_ap, extractor, fidelity, linear, precision, probe, sgd, svm
from genviews.evaluate.encoders import ProbeData, probe_encoder
from genviews.gates import answers, chance, models, pictures, views
from genviews.invert import start
from genviews.invert.encoder import EncoderConfig
from genviews.invert.features import ModuleFeatures, Predictions
from genviews.invert.job import invert_source
from genviews.invert.objective import L1, Objective
from genviews.perturb import noise, stylemix, train_steer, walks, warps
from genviews.perturb.base import identity_of, perturbation
from genviews.perturb.redraw import finite_views
from genviews.represent import losses, monitor
from genviews.represent.schedule import StepCosine
from genviews.represent.stored import StoredViews, write_views

N = 12
SEED = 0


STYLEGAN = g.StyleGAN2Config(
    resolution=8, z_dim=8, w_dim=8, mapping_layers=1, channels={4: 2, 8: 2}, img_channels=1
)


class Linear(nn.Module):
    """A classifier, or an encoder, of 8x8 grey images."""

    def __init__(self, outputs: int = 2) -> None:
        super().__init__()
        chance = torch.Generator().manual_seed(SEED)
        self.weight = nn.Parameter(torch.randn(64, outputs, generator=chance))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1) @ self.weight


def streams(count: int = N) -> g.Rng:
    return g.Rng(SEED).streams(range(count))


def _chance() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def _bank(split: str) -> g.PredictionBank:
    logits = {"image": 1, "reconstruction": 1, "views": 3, "pixels": 3}
    chance = _chance()
    made = {key: torch.randn(N, size, 2, generator=chance) for key, size in logits.items()}
    ids, names = tuple(f"{split} {i}" for i in range(N)), ("a", "b")
    labels = torch.arange(N) % 2
    return g.PredictionBank(ids=ids, labels=labels, class_names=names, split=split, logits=made)


def _set(name: str, images: torch.Tensor) -> ImageSet:
    ids = tuple(f"{name} {i}" for i in range(N))
    return ImageSet(images=images, ids=ids, labels=get("labels"), class_names=("a", "b"))


RIGHT: dict[str, Callable[[], Any]] = {
    "generator": g.ToyGenerator,
    "conditional": lambda: g.ToyGenerator(num_classes=2),
    "z": lambda: g.ToyGenerator().sample(streams()),
    "latents": lambda: g.ToyGenerator().map(get("z")),
    "rows": lambda: get("latents")[:, None].repeat(1, 2, 1, 1),
    "images": lambda: g.ToyGenerator().synthesize(get("latents")).clamp(-1, 1).detach(),
    "others": lambda: get("images").flip(0).contiguous(),
    "views": lambda: get("images")[:, None].repeat(1, 2, 1, 1, 1),
    "image": lambda: get("images")[0],
    "crop": lambda: get("image")[:, :4, :4].contiguous(),
    "box": lambda: Box(0.0, 0.0, 4.0, 4.0),
    "masks": lambda: torch.ones(N, 1, 8, 8),
    "labels": lambda: torch.arange(N) % 2,
    "said": lambda: torch.arange(N) // 2 % 2,
    "right": lambda: torch.arange(N) % 3 == 0,
    "flags": lambda: torch.arange(N) % 2 == 0,
    "network": Linear,
    "function": lambda: nn.Unflatten(1, (1, 8, 8)),
    "layers": lambda: nn.Conv2d(1, 2, 3),
    "classifier": lambda: g.Classifier(Linear(), get("generator").image_spec, ("a", "b")),
    "logits": lambda: torch.randn(N, 2, generator=_chance()),
    "answers": lambda: get("logits")[:, None],
    "probs": lambda: get("logits").double().softmax(1),
    "features": lambda: torch.randn(N, 3, generator=_chance()),
    "more": lambda: torch.randn(N + 2, 3, generator=_chance()) + 0.1,
    "loss": lambda: torch.rand(N, generator=_chance()),
    "alphas": lambda: torch.arange(5).double() / 4,
    "mean": lambda: torch.zeros(3),
    "covariance": lambda: torch.eye(3),
    "signs": lambda: torch.tensor([[1, -1], [-1, 1]]).repeat(N // 2, 1),
    "boxes": lambda: torch.tensor([[0.0, 0, 4, 4]]).repeat(N, 1),
    "crops": lambda: torch.tensor([[0, 0, 4, 4]]).repeat(N, 1),
    "unit": lambda: torch.rand(N, 10, 4, generator=_chance()),
    "amounts": lambda: torch.full((N, 4), 0.1),
    "changes": lambda: torch.ones(N, 4, dtype=torch.bool),
    "order": lambda: torch.arange(4).repeat(N, 1),
    "steps": lambda: torch.zeros(N, len(warps.directions_of(1))),
    "moves": lambda: torch.ones(N, 1),
    "directions": lambda: torch.full((1, 4, 4), 0.1),
    "projections": lambda: nn.functional.normalize(
        torch.randn(N, 2, 4, generator=_chance()), dim=2
    ),
    "status": lambda: torch.zeros(N, dtype=torch.long),
    "landmarks": lambda: torch.tensor([[2.0, 3], [6, 3], [4, 4], [3, 6], [5, 6]]),
    "set": lambda: _set("a", get("images")),
    "probed 2": lambda: _set("b", get("images") * 0.9),
    "probed 3": lambda: _set("c", get("images") * 0.8),
    "source": lambda: MemorySource(get("set")),
    "calibration": lambda: _bank("calibration"),
    "test": lambda: _bank("test"),
    "photos": lambda: Photos(get("images"), get("generator").image_spec),
    "plan": lambda: ViewPlan(
        view_sets=(ViewSet(perturbation=get("perturbation")),),
        generator=get("generator"),
        num_views=2,
    ),
    "perturbation": lambda: g.Gaussian("all", 0.3),
    "inverter": lambda: g.Inverter(steps=1),
    "objective": lambda: Objective((L1(),)),
    "statistics": lambda: g.PCAStatistics.measure(get("generator"), num_samples=50),
    "walks": lambda: walks.Walks(directions=get("directions"), names=("zoom",)),
    "ensemble": lambda: g.Ensemble("views").fit(get("calibration")),
    "pixels": lambda: HorizontalFlip(),
    "simclr": lambda: g.SimCLR(8),
    "extractor": lambda: g.FeatureExtractor(Linear(3)),
    "encoder": lambda: g.RepresentationEncoder(
        g.RepresentationConfig(
            channels=1, backbone="custom", features=3, head="linear", projection=4
        ),
        Linear(3),
    ),
    "latent views": lambda: g.LatentViews(get("generator"), get("perturbation"), batch_size=5),
    "batches": lambda: g.StreamedBatches(
        g.LatentViews(get("generator"), get("perturbation")), g.SamplePlan(batch_size=4), prefetch=0
    ),
    "target": lambda: losses.NTXent(),
    "probe": lambda: g.KNNProbe((2,)).fit(get("features"), get("labels")),
    "stylegan": lambda: g.StyleGAN2(STYLEGAN),
    "styles": lambda: get("stylegan").map(get("z")).detach(),
    "inversion encoder": lambda: g.InversionEncoder(
        EncoderConfig.for_generator(get("generator"))
    ).eval(),
    "svm": lambda: svm.MultiLabelSVM(costs=(1.0,), folds=2).fit(get("features"), get("signs")),
}


def get(name: str) -> Any:
    return RIGHT[name]()


class Inputs:
    """What a call is given: everything right but what is put in the place of a name."""

    def __init__(self, **instead: object) -> None:
        self.instead, self.read = instead, []

    def __getattr__(self, name: str) -> Any:
        name = name.replace("_", " ") if name.replace("_", " ") in RIGHT else name
        if name not in RIGHT:
            raise AttributeError(name)
        if name not in self.read:
            self.read.append(name)
        return self.instead[name] if name in self.instead else get(name)


def tta(u: Inputs, **options: Any) -> g.GenerativeTTA:
    given = {"inverter": g.Inverter(steps=1), "perturbation": g.Gaussian("all", 0.3), "alpha": 0.5}
    return g.GenerativeTTA(u.classifier, u.generator, num_views=1, **given | options)


def fitted(u: Inputs, images: object) -> g.GenerativeTTA:
    return tta(u, perturbation="reconstruction", alpha=None).fit(images, u.labels)


def moved(made: g.Perturbation, u: Inputs) -> torch.Tensor:
    return made(u.generator, u.latents, 2, streams())


def trained(u: Inputs, **options: Any) -> object:
    config = g.RepresentationTraining(schedule=StepCosine(steps=1), log_every=1, **options)
    return g.train_representation(u.encoder, u.batches, u.target, config).history


def written(u: Inputs, views: object) -> object:
    with tempfile.TemporaryDirectory() as folder:
        write_views(views, folder, 6, shard_size=6)
        return StoredViews(folder)([0, 5]).images


def learnt(u: Inputs) -> object:
    config = TrainConfig(epochs=1, batch_size=4, warmup=0.0)
    return train_classifier(
        u.network, u.images, u.labels, config, validation=(u.others, u.said)
    ).history


HANDED: list[object] = []


def handed() -> object:
    """What is found by the name of this function."""
    return HANDED[-1]


def by_name(load: Callable, thing: object, *given: object, **settings: object) -> Any:
    HANDED.append(thing)
    return load("tests.public_calls:handed", *given, **settings)


METHOD = combine.Method(name="m", group="latent", views=("views",), weighing="alpha")


def inverted(u: Inputs) -> object:
    with tempfile.TemporaryDirectory() as folder:
        return invert_source(u.source, u.generator, u.inverter, folder, batch_size=None).read_all()


def filled(u: Inputs) -> object:
    return fill.fill_from_source(
        [Task(name="t", classifier=u.classifier)],
        u.plan,
        u.source,
        u.latents,
        {"t": u.labels},
        split="calibration",
    )["t"].logits["image"]


def walked(u: Inputs) -> object:
    return train_steer.train_walks(
        u.generator, train_steer.SteerTraining(samples=8, batch=4, edits=("zoom",))
    )


def evaluation(u: Inputs) -> object:
    return combine.evaluate(METHOD, u.calibration, u.test, task="t", baseline=u.right)


def knn(u: Inputs) -> object:
    return monitor.OnlineKNN(
        bank=u.images, bank_labels=u.labels, queries=u.others, query_labels=u.said, neighbours=1
    )(u.encoder)


def scores(u: Inputs) -> object:
    found = detection_ap.Detections(boxes=u.boxes, labels=u.labels, scores=u.loss)
    truth = detection_ap.BoxAnnotations(boxes=u.boxes, labels=u.said, difficult=u.flags)
    return detection_ap.detection_ap([found], [truth], 2)


TERM = {"images": None}


def kept(term: Any, u: Inputs) -> object:
    return term.loss(term.keep(u.images, u.masks, u.latents), u.others, u.latents)


CALLS: dict[str, Callable[[Inputs], object]] = {
    # the test-time arrow
    "pipeline GenerativeTTA": lambda u: tta(u, inverter=u.inverter, perturbation=u.perturbation),
    "pipeline GenerativeTTA.fit": lambda u: fitted(u, u.images).ensemble_.alpha_,
    "pipeline GenerativeTTA.fit source": lambda u: fitted(u, u.source).ensemble_.alpha_,
    "pipeline GenerativeTTA.fit set": lambda u: fitted(u, u.set).ensemble_.alpha_,
    "pipeline GenerativeTTA.predict_proba": lambda u: tta(u).predict_proba(u.images, masks=u.masks),
    "pipeline GenerativeTTA.predict": lambda u: tta(u).predict(u.images),
    "pipeline GenerativeTTA.forward": lambda u: tta(u)(u.images),
    "pipeline GenerativeTTA.bank": lambda u: (
        tta(u).bank(u.images, split="test", labels=u.labels).logits["image"]
    ),
    "pipeline GenerativeTTA.answers": lambda u: [p for _, p in tta(u).answers(u.photos)],
    "render render": lambda u: g.render(u.generator, u.latents),
    "render render class": lambda u: g.render(u.conditional, u.latents, label=u.labels),
    "invert.optimize invert": lambda u: (
        g.invert(u.generator, u.images, u.masks, inverter=u.inverter).latents
    ),
    "invert.optimize invert class": lambda u: (
        g.invert(u.conditional, u.images, inverter=u.inverter, label=u.labels).latents
    ),
    "invert.job invert_source": inverted,
    "invert.start class_means": lambda u: start.class_means(u.conditional, 2, num=20),
    "invert.start class_means by a classifier": lambda u: start.class_means(
        u.generator, 2, u.classifier, num=60
    ),
    "invert.start GivenStart": lambda u: (
        g.invert(
            u.generator, u.images, inverter=g.Inverter(steps=1, start=start.GivenStart(u.latents))
        ).latents
    ),
    "invert.start ClassMeanStart": lambda u: (
        g.invert(
            u.generator,
            u.images,
            inverter=g.Inverter(steps=1, start=start.ClassMeanStart(u.latents, u.network)),
        ).latents
    ),
    "invert.inverter Inverter.check": lambda u: g.Inverter(steps=1).check(u.generator),
    "invert.inverter Inverter.follow": lambda u: g.Inverter(steps=1).follow(u.generator),
    "invert.inverter Inverter": lambda u: g.Inverter(steps=1, objective=u.objective),
    "invert.features Predictions": lambda u: Predictions(1.0, u.network).keep(
        u.images, u.masks, u.latents
    ),
    "invert.features ModuleFeatures": lambda u: ModuleFeatures(u.layers, ("",))(u.images),
    "kit GeneratorKit": lambda u: (
        g.GeneratorKit(
            u.generator,
            inverter=u.inverter,
            directions=u.statistics,
            walks=u.walks,
            class_means=u.latents,
        ).candidates
    ),
    "kit GeneratorKit.perturbation": lambda u: g.GeneratorKit(u.generator).perturbation(
        u.perturbation
    ),
    "perturb.base perturbation": lambda u: perturbation(
        "isotropic_fine_0.30", g.GeneratorKit(u.generator)
    ),
    # generators
    "load.generator load_generator": lambda u: by_name(
        g.load_generator, u.function, z_dim=64
    ).generator.map(torch.zeros(2, 64)),
    "load.classifier load_classifier": lambda u: by_name(
        g.load_classifier, u.network, get("generator").image_spec, ("a", "b")
    )(u.images),
    "generators.stylegan2 StyleGAN2.map": lambda u: get("stylegan").map(u.z),
    "generators.stylegan2 StyleGAN2.synthesize": lambda u: get("stylegan").synthesize(u.styles),
    "invert.encoder InversionEncoder.forward": lambda u: get("inversion encoder")(
        u.images, u.masks
    ),
    "generators.toy ToyGenerator.map": lambda u: get("generator").map(u.z),
    "generators.toy ToyGenerator.map class": lambda u: g.ToyGenerator(num_classes=2).map(
        u.z, u.labels
    ),
    "generators.toy ToyGenerator.synthesize": lambda u: g.ToyGenerator().synthesize(u.latents),
    "generators.toy ToyGenerator.invert": lambda u: g.ToyGenerator().invert(u.images),
    "generators.toy ToyGenerator.classes": lambda u: g.ToyGenerator(num_classes=2).classes(
        u.latents
    ),
    "generators.base Generator.images_of": lambda u: g.ToyGenerator().images_of(u.latents),
    "generators.base Generator.synthesize_views": lambda u: g.ToyGenerator().synthesize_views(
        u.rows
    ),
    "generators.callable CallableGenerator": lambda u: g.CallableGenerator(u.function, 64),
    "generators.callable z_space": lambda u: g.z_space(u.generator),
    # perturbations
    "perturb.base Perturbation() Gaussian": lambda u: moved(g.Gaussian("all", 0.3), u),
    "perturb.base Perturbation() Isotropic": lambda u: moved(g.Isotropic("fine", 0.3), u),
    "perturb.base Perturbation() Angular": lambda u: moved(noise.Angular("all", 0.3), u),
    "perturb.base Perturbation() Uniform": lambda u: moved(noise.Uniform("all", 0.3), u),
    "perturb.base Perturbation() StyleMix": lambda u: moved(g.StyleMix("fine"), u),
    "perturb.base Perturbation() Independent": lambda u: moved(stylemix.Independent("all"), u),
    "perturb.base Perturbation() PCA": lambda u: moved(g.PCA("fine", 0.3, u.statistics), u),
    "perturb.base Perturbation() Steer": lambda u: moved(
        g.Steer("all", u.walks, gains=(("zoom", 1.0),)), u
    ),
    "perturb.base Perturbation() class": lambda u: g.StyleMix("fine")(
        u.conditional, u.latents, 2, streams(), u.labels
    ),
    "perturb.pca PCAStatistics": lambda u: g.PCAStatistics(u.features, u.loss),
    "perturb.pca PCAStatistics.measure": lambda u: g.PCAStatistics.measure(
        u.generator, num_samples=50
    ),
    "perturb.pca PCA": lambda u: g.PCA("fine", 0.3, u.statistics),
    "perturb.walks Walks": lambda u: walks.Walks(directions=u.directions, names=("zoom",)),
    "perturb.walks Walks.check": lambda u: get("walks").check(u.generator),
    "perturb.walks Walks.move": lambda u: get("walks").move(u.latents, u.moves),
    "perturb.walks Steer": lambda u: g.Steer("all", u.walks, gains=(("zoom", 1.0),)),
    "perturb.base identity_of": lambda u: identity_of(u.generator),
    "perturb.train_steer train_walks": walked,
    "perturb.train_steer measure_walks": lambda u: train_steer.measure_walks(
        u.generator, u.walks, samples=4
    ),
    "perturb.warps warp": lambda u: warps.warp(u.images, u.steps),
    "perturb.warps steering_loss": lambda u: warps.steering_loss(u.images, u.others, u.masks),
    "perturb.redraw finite_views": lambda u: finite_views(u.views),
    # classifiers
    "classify.model Classifier": lambda u: g.Classifier(
        u.network, get("generator").image_spec, ("a", "b")
    ),
    "classify.model Classifier.forward": lambda u: get("classifier")(u.images),
    "classify.model Classifier.answer": lambda u: get("classifier").answer(u.images),
    "classify.model predict_logits": lambda u: predict_logits(u.network, u.images, 5),
    "classify.model call_module": lambda u: call_module(u.network, u.images),
    "classify.task Task": lambda u: Task(name="t", classifier=u.classifier),
    "classify.task Task.answer": lambda u: Task(name="t", classifier=u.classifier).answer(u.logits),
    "classify.task attribute_tasks": lambda u: attribute_tasks(u.classifier),
    "classify.train train_classifier": learnt,
    "classify.views LatentViewSource": lambda u: LatentViewSource(
        u.conditional, u.latents, u.perturbation, labels=u.labels
    ).batch([0, 1], 0),
    "classify.answers as_logits": lambda u: as_logits(u.logits, "logits"),
    # banks and their weights
    "ensemble.bank PredictionBank": lambda u: g.PredictionBank(
        ids=tuple(map(str, range(N))),
        labels=u.labels,
        class_names=("a", "b"),
        split="test",
        logits={"image": u.answers},
    ),
    "ensemble.bank PredictionBank.concatenate": lambda u: g.PredictionBank.concatenate(
        [u.calibration]
    ),
    "ensemble.bank ViewBank": lambda u: ViewBank(
        tasks=(Task(name="t", classifier=u.classifier),),
        ids=tuple(map(str, range(N))),
        labels={"t": u.labels},
        split="test",
        logits=({"image": u.answers},),
    )["t"],
    "ensemble.weigh Ensemble.fit": lambda u: g.Ensemble("views").fit(u.calibration).alpha_,
    "ensemble.weigh Ensemble.predict_proba": lambda u: get("ensemble").predict_proba(u.test),
    "ensemble.weigh Ensemble.predict": lambda u: get("ensemble").predict(u.test),
    "ensemble.weigh Ensemble.curve": lambda u: get("ensemble").curve(u.test),
    "ensemble.weigh Ensemble.terms": lambda u: get("ensemble").terms(u.test),
    "ensemble.weigh Ensemble.image_pool": lambda u: get("ensemble").image_pool(u.test),
    "ensemble.weigh Ensemble.view_pool": lambda u: get("ensemble").view_pool(u.test),
    "ensemble.weigh pixel_average": lambda u: weigh.pixel_average(u.test, "pixels"),
    "ensemble.weigh merged": lambda u: weigh.merged(u.test, ("image", "pixels"), "mean"),
    "ensemble.weigh pool": lambda u: weigh.pool(u.test, ("image", "pixels"), "mean"),
    "ensemble.weigh mix": lambda u: weigh.mix(u.probs, u.logits, 0.5),
    "ensemble.weigh grid_accuracies": lambda u: weigh.grid_accuracies(
        u.probs, u.logits, u.labels, u.alphas
    ),
    "ensemble.weigh grid_log_losses": lambda u: weigh.grid_log_losses(
        u.probs, u.probs, u.labels, u.alphas
    ),
    "ensemble.cutoff cutoff_thresholds": lambda u: cutoff.cutoff_thresholds(
        u.loss, (0.0, 0.5, 1.0)
    ),
    "ensemble.cutoff cutoff_grid": lambda u: cutoff.cutoff_grid(
        u.ensemble, u.calibration, u.loss, u.alphas
    ),
    "ensemble.cutoff cutoff_proba": lambda u: cutoff.cutoff_proba(
        u.ensemble, u.calibration, u.loss, 0.5, 0.5
    ),
    "ensemble.combine ranked": lambda u: combine.ranked(u.calibration, ["views"]),
    "ensemble.combine score": lambda u: combine.score(METHOD, u.calibration),
    "ensemble.combine evaluate": evaluation,
    "ensemble.choose pick": lambda u: choose.pick(
        evaluation(Inputs()), evaluation(Inputs()), u.loss, 4
    ),
    "ensemble.choose group_candidates": lambda u: choose.group_candidates([u.perturbation]),
    "ensemble.resample resample_members": lambda u: redraw.resample_members(
        u.ensemble, u.calibration, u.test, size=2, times=2
    ),
    "ensemble.resample resample_pixels": lambda u: redraw.resample_pixels(
        u.test, ["pixels"], size=2, times=2
    ),
    "ensemble.resample ensemble_size_study": lambda u: redraw.ensemble_size_study(
        u.ensemble, u.calibration, u.test, sizes=(1, 2), members=3, times=2
    ),
    "ensemble.resample pixel_size_study": lambda u: redraw.pixel_size_study(
        u.test, ["pixels"], sizes=(1, 2), times=2
    ),
    "ensemble.significance gain_report": lambda u: gain_report(u.right, u.flags),
    "ensemble.views ViewSet": lambda u: ViewSet(perturbation=u.perturbation, pixels=u.pixels).name,
    "ensemble.views ViewPlan.views": lambda u: dict(
        get("plan").views(u.images, list(map(str, range(N))), u.latents)
    ),
    "ensemble.views ViewPlan.shown": lambda u: get("plan").shown(
        u.images, list(map(str, range(N)))
    ),
    "ensemble.fill view_logits": lambda u: fill.view_logits(
        [Task(name="t", classifier=u.classifier)],
        u.plan,
        u.images,
        list(map(str, range(N))),
        u.latents,
    ),
    "ensemble.fill fill_from_source": filled,
    "ensemble.fill conditioning_task": lambda u: fill.conditioning_task(
        [Task(name="t", classifier=u.classifier)], u.conditional
    ),
    "ensemble.fill rendered_label": lambda u: fill.rendered_label(
        [Task(name="t", classifier=u.classifier)], u.conditional, u.images
    ),
    "ensemble.fill label_of": lambda u: fill.label_of(
        Task(name="t", classifier=u.classifier), u.conditional, u.logits
    ),
    "ensemble.photos Photos": lambda u: Photos(
        u.images, get("generator").image_spec, masks=u.masks
    ),
    "ensemble.photos check_labels": lambda u: check_labels(u.labels, get("photos"), ("a", "b")),
    "ensemble.photo_banks photo_banks": lambda u: [
        p.bank.logits["image"]
        for p in photo_banks.photo_banks(u.photos, u.classifier, u.plan, u.inverter, split="test")
    ],
    # gates
    "gates.answers prediction_gates": lambda u: answers.prediction_gates(
        u.logits, u.labels, ("a", "b")
    ),
    "gates.answers order_gate": lambda u: answers.order_gate(u.said, u.labels, ("a", "b")),
    "gates.answers answers_gate": lambda u: answers.answers_gate(u.said, u.labels, ("a", "b")),
    "gates.views bank_gates": lambda u: views.bank_gates(u.calibration),
    "gates.answers classes_gate": lambda u: answers.classes_gate(u.said, u.labels, ("a", "b")),
    "gates.answers accuracy_gate": lambda u: answers.accuracy_gate(u.said, u.labels, 2),
    "gates.answers probability_gate": lambda u: answers.probability_gate(u.logits, u.labels),
    "gates.views class_gate": lambda u: views.class_gate(u.said, u.labels, ("a", "b")),
    "gates.chance guessing": lambda u: chance.guessing(u.said, u.labels),
    "gates.models chance_gate": lambda u: models.chance_gate(u.classifier, u.images),
    "gates.models batch_gate": lambda u: models.batch_gate(u.classifier, u.images),
    "gates.models form_gate": lambda u: models.form_gate(
        u.classifier, u.images, u.labels, u.logits
    ),
    "gates.pictures finite_gate": lambda u: pictures.finite_gate(u.images),
    "gates.pictures picture_gate": lambda u: pictures.picture_gate(
        u.images, u.others, "renders", "look"
    ),
    "gates.pictures range_gate": lambda u: pictures.range_gate(u.images, u.others),
    "gates.pictures status_gates": lambda u: pictures.status_gates(u.status),
    # judges
    "evaluate.extractor FeatureExtractor": lambda u: g.FeatureExtractor(u.network)(get("images")),
    "evaluate.extractor FeatureExtractor()": lambda u: get("extractor")(u.images),
    "evaluate.extractor extract_features": lambda u: (
        extractor.extract_features(u.extractor, u.set).h
    ),
    "evaluate.extractor extract_features source": lambda u: (
        extractor.extract_features(u.extractor, u.source, transform=u.pixels, rng=g.Rng(0)).h
    ),
    "evaluate.extractor centre_view": lambda u: extractor.centre_view(u.images, 4, 6),
    "evaluate.extractor l2_normalise": lambda u: extractor.l2_normalise(u.features),
    "evaluate.encoders probe_encoder": lambda u: (
        probe_encoder(
            u.extractor,
            ProbeData(train=u.set, val=get("probed 2"), test=get("probed 3")),
            costs=(1.0,),
            neighbours=(2,),
        )
        and None
    ),
    "evaluate.fidelity GeneratedSource": lambda u: (
        fidelity.GeneratedSource(u.generator, 5).read(range(5)).images
    ),
    "evaluate.fidelity measure_fidelity": lambda u: fidelity.measure_fidelity(
        u.features, u.more, subsets=2
    ),
    "evaluate.fidelity frechet_inception_distance": lambda u: fidelity.frechet_inception_distance(
        u.features, u.more
    ),
    "evaluate.fidelity kernel_inception_distance": lambda u: fidelity.kernel_inception_distance(
        u.features, u.more, subsets=2
    ),
    "evaluate.fidelity precision_recall_manifolds": lambda u: fidelity.precision_recall_manifolds(
        u.features, u.more
    ),
    "evaluate.fidelity frechet_distance": lambda u: fidelity.frechet_distance(
        u.mean, u.covariance, u.mean, u.covariance
    ),
    "evaluate.fidelity moments": lambda u: fidelity.moments(u.features),
    "evaluate.probe Probe.fit": lambda u: g.KNNProbe((2,)).fit(u.features, u.labels).classes_,
    "evaluate.probe Probe.fit linear": lambda u: (
        g.LinearProbe((1.0,), max_iter=3).fit(u.features, u.labels).classes_
    ),
    "evaluate.probe Probe.fit sgd": lambda u: (
        sgd.SGDProbe(sgd.SGDConfig(epochs=1, batch_size=4)).fit(u.features, u.labels).classes_
    ),
    "evaluate.probe Probe.select": lambda u: get("probe").select(u.features, u.labels).curve_,
    "evaluate.probe Probe.predict": lambda u: get("probe").predict(u.features),
    "evaluate.probe Probe.score": lambda u: get("probe").score(u.features, u.labels),
    "evaluate.probe mean_class_accuracy": lambda u: probe.mean_class_accuracy(u.said, u.labels),
    "evaluate.linear LinearProbe.select_by_folds": lambda u: (
        g.LinearProbe((1.0,), max_iter=3).select_by_folds(u.features, u.labels, folds=2).curve_
    ),
    "evaluate.linear stratified_folds": lambda u: linear.stratified_folds(u.labels, 2),
    "evaluate.sgd SGDProbe.fit_epochs": lambda u: (
        sgd.SGDProbe(sgd.SGDConfig(epochs=1, batch_size=4))
        .fit_epochs(lambda epoch: u.features, u.labels)
        .score_last(u.features, u.labels)
    ),
    "evaluate.svm MultiLabelSVM.check_labels": lambda u: svm.MultiLabelSVM(folds=2).check_labels(
        u.signs
    ),
    "evaluate.svm MultiLabelSVM.fit": lambda u: (
        svm.MultiLabelSVM(costs=(1.0,), folds=2).fit(u.features, u.signs).costs_
    ),
    "evaluate.svm MultiLabelSVM.decision": lambda u: get("svm").decision(u.features),
    "evaluate.svm MultiLabelSVM.score": lambda u: get("svm").score(u.features, u.signs),
    "evaluate.svm counted": lambda u: svm.counted(u.said, "positive"),
    "evaluate.precision average_precision": lambda u: precision.average_precision(u.loss, u.flags),
    "evaluate.precision precision_recall": lambda u: precision.precision_recall(u.loss, u.flags),
    "evaluate.precision resampled_precision": lambda u: precision.resampled_precision(
        u.loss, u.flags, u.order
    ),
    "evaluate.precision curve_precision": lambda u: precision.curve_precision(
        u.loss, u.loss, "area"
    ),
    "evaluate.detection_ap Detections": scores,
    # the learning arrow
    "represent.views LatentViews": lambda u: (
        g.LatentViews(u.generator, u.perturbation)([0, 3]).images
    ),
    "represent.views LatentViews.view_z": lambda u: get("latent views").view_z(u.z, u.rows),
    "represent.stored write_views": lambda u: written(u, u.latent_views),
    "represent.stream StreamedBatches": lambda u: g.StreamedBatches(
        u.latent_views, g.SamplePlan(batch_size=4), u.pixels, prefetch=0
    ).batch(0)["views"],
    "represent.real RealViews": lambda u: g.RealViews(u.set)([0, 3]).images,
    "represent.real RealViews source": lambda u: g.RealViews(u.source)([0, 3]).images,
    "represent.prior Prior.sample": lambda u: (
        g.Prior().sample(u.conditional, streams(), u.labels).latents
    ),
    "represent.prior Prior.check": lambda u: g.Prior().check(u.generator),
    "represent.encoder RepresentationEncoder": lambda u: g.RepresentationEncoder(
        g.RepresentationConfig(
            channels=1, backbone="custom", features=2, head="linear", projection=4
        ),
        u.network,
    )(get("images")),
    "represent.encoder RepresentationEncoder.forward": lambda u: get("encoder")(u.images),
    "represent.encoder RepresentationEncoder.project": lambda u: get("encoder").project(u.features),
    "represent.encoder RepresentationEncoder.features": lambda u: get("encoder").features(
        u.images, 5
    ),
    "represent.train train_representation": trained,
    "represent.config RepresentationTraining.make_optimizer": lambda u: g.RepresentationTraining(
        schedule=StepCosine(steps=1)
    ).make_optimizer(u.network),
    "represent.losses.base Objective() NTXent": lambda u: losses.NTXent()(u.projections),
    "represent.losses.base Objective() SupCon": lambda u: losses.OBJECTIVES["supcon"]()(
        u.projections, labels=u.labels
    ),
    "represent.losses.base Objective() latent": lambda u: losses.LatentPrediction(z_dim=4)(
        u.projections, z=u.projections
    ),
    "represent.monitor OnlineKNN": knn,
    "represent.monitor alignment": lambda u: monitor.alignment(u.projections),
    "represent.monitor uniformity": lambda u: monitor.uniformity(u.features),
    "represent.monitor rankme": lambda u: monitor.rankme(u.features),
    # pixels
    "augment.base PixelViews()": lambda u: get("pixels")(u.images, 2, streams()),
    "augment.base PixelViews.augment": lambda u: HorizontalFlip().augment(u.views, streams()),
    "augment.simclr SimCLR": lambda u: g.SimCLR(8)(u.images, 2, streams()),
    "augment.presets for_renders": lambda u: presets.for_renders(u.pixels),
    "augment.colour to_grey": lambda u: colour.to_grey(u.images, u.flags),
    "augment.colour change_colours": lambda u: colour.change_colours(
        u.images, u.order, u.amounts, u.changes
    ),
    "augment.resample blur": lambda u: resample.blur(u.images, u.loss, 3),
    "augment.resample crop_and_resize": lambda u: resample.crop_and_resize(
        u.images, u.crops, u.flags, (4, 4)
    ),
    "augment.resample random_boxes": lambda u: resample.random_boxes(
        u.unit, (8, 8), (0.2, 1.0), (0.7, 1.4)
    ),
    "align.aligners CentreBox.align": lambda u: (
        aligners.CentreBox(aligners.Frame(height=4, width=4, content_height=4, content_width=4))
        .align(u.image, get("box"))
        .image
    ),
    "align.aligners FaceQuad.quad": lambda u: aligners.FaceQuad(4).quad(u.landmarks),
    "align.base check_source": lambda u: check_source(u.image),
    "align.base Aligned.paste_back": lambda u: (
        aligners.CentreBox(aligners.Frame(height=4, width=4, content_height=4, content_width=4))
        .align(get("image"), get("box"))
        .paste_back(u.crop, u.image)
    ),
    "align.warp resize_lanczos": lambda u: warp.resize_lanczos(u.image, (4, 4)),
    "align.warp warp": lambda u: warp.warp(u.image, warp.Affine.scaling(0.5, 0.5), (4, 4)),
    # images
    "data.images ImageSet": lambda u: ImageSet(
        images=u.images, ids=tuple(map(str, range(N))), labels=u.labels, class_names=("a", "b")
    ),
    "data.source MemorySource": lambda u: MemorySource(u.set, u.masks).read([0]).images,
    "data.source as_source": lambda u: as_source(u.source),
    "types ImageSpec.check": lambda u: get("generator").image_spec.check(u.images),
    "types LatentSpec.check": lambda u: get("generator").latent_spec.check(u.latents),
}
