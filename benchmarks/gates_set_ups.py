"""Small sound set-ups of many kinds, for the benchmark of gates.

    WORLD: generator, images, inverter -> SET-UP: splits, trained classifier -> BENCH of a study

A world is shared by a few set-ups. Each has a network of its own, trained on images of its own, so
that the accidents of one network are not counted twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from genviews.classify.model import Classifier
from genviews.classify.settings import InputRange
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, LabelColumn, MemorySource
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.invert.encoder import EncoderConfig
from genviews.invert.encoder_training import EncoderTraining, train_encoder
from genviews.invert.inverter import Inverter
from genviews.invert.samples import SampleStart
from genviews.invert.start import EncoderStart, MeanStart, Start
from genviews.kit import GeneratorKit
from genviews.studies.bench import Bench
from genviews.studies.inputs import Inputs

__all__ = ["USEFUL", "Network", "SetUp", "World", "alone", "bench", "make", "way_of"]

SHARED = 6
"""Set-ups of a world."""

SIZE = 8
POOL, POPULATION = 2500, 1500  # images to train on and to take splits from; those that tell truth
STEPS = 4

MAKERS = ("style layers", "conditional", "convolutions", "components", "conditional components")
NETWORKS = ("least squares", "least squares, spoilt", "class means", "perceptron", "convolutions")
OUTPUTS = ("logits", "probs", "sigmoids", "one logit")
FORMS: tuple[tuple[InputRange | None, float, float], ...] = (
    (None, 0.0, 1.0),
    ("0..1", 0.0, 1.0),
    ("0..255", 0.0, 1.0),
    ("0..1", 0.45, 0.25),
)
USEFUL = 0.25
"""Part of the way from guessing to certainty that the classifier of a sound set-up goes."""


class Components(nn.Module):
    """A linear generator of principal components, of all images or of each class."""

    def __init__(self, images: Tensor, labels: Tensor | None, classes: int, width: int) -> None:
        super().__init__()
        flat = images.flatten(1)
        own = flat.mean(0, keepdim=True)
        if labels is not None:
            own = torch.stack(
                [
                    flat[labels == k].mean(0) if bool((labels == k).any()) else own[0]
                    for k in range(classes)
                ]
            )
        centred = flat - (own if labels is None else own[labels])
        _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
        scaled = axes[:width] * spread[:width, None] / len(flat) ** 0.5
        self.shape = images.shape[1:]
        self.register_buffer("mean", own)
        self.register_buffer("axes", scaled)

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Images of z, and of one-hot classes."""
        mean = self.mean if classes is None else classes @ self.mean
        return (mean + z @ self.axes).clamp(-1, 1).reshape(-1, *self.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """A generator, how it is inverted, and labelled images of its domain."""

    maker: str
    start: str
    generator: Generator
    inverter: Inverter
    images: Tensor
    labels: Tensor
    classes: int

    def draw(
        self, count: int, skew: float, rng: torch.Generator, part: slice
    ) -> tuple[Tensor, Tensor]:
        """Images with new noise, each class so many times as frequent as the one before it."""
        weights = skew ** torch.arange(self.classes).double()
        known = self.labels[part]
        weights[known.bincount(minlength=self.classes) == 0] = 0
        wanted = torch.multinomial(weights, count, replacement=True, generator=rng)
        rows = torch.empty(count, dtype=torch.long)
        for index in wanted.unique().tolist():
            places = torch.nonzero(wanted == index).flatten()
            own = torch.nonzero(known == index).flatten()
            own = own[torch.randperm(len(own), generator=rng)]
            rows[places] = own[torch.arange(len(places)) % len(own)]
        images = self.images[part][rows]
        noise = 0.1 * torch.randn(images.shape, generator=rng)
        return (images + noise).clamp(-1, 1), known[rows]


@lru_cache(maxsize=1)
def world(seed: int) -> World:
    """The world of a seed."""
    chance, rng = random.Random(f"world {seed}"), torch.Generator().manual_seed(seed)
    maker, start = chance.choice(MAKERS), chance.choice(("samples", "mean", "encoder"))
    channels, classes = chance.choice((1, 3)), chance.choice((2, 3, 10, 40))
    total = POOL + POPULATION
    generator: Generator
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        if maker in ("style layers", "conditional"):
            own = classes if maker == "conditional" else 0
            generator = toy = ToyGenerator(channels=channels, size=SIZE, seed=seed, num_classes=own)
            label = torch.randint(classes, (total,), generator=rng) if own else None
            latents = toy.map(torch.randn(total, toy.z_dim, generator=rng), label)
            labels = toy.classes(latents, classes)
            images = toy.synthesize(latents)
        elif maker == "convolutions":
            module = nn.Sequential(
                nn.Unflatten(1, (16, 1, 1)),
                nn.ConvTranspose2d(16, 16, 4),
                nn.LeakyReLU(0.2),
                nn.ConvTranspose2d(16, channels, 4, 2, 1),
            )
            z = torch.randn(total, 16, generator=rng)
            module[-1].weight.div_(module(z).std())
            module.append(nn.Tanh())
            images, labels = module(z), (z @ torch.randn(16, classes, generator=rng)).argmax(1)
            generator = CallableGenerator(module.eval(), 16)
        else:
            images, labels = scenes(total, channels, classes, rng)
            own = classes if maker.startswith("conditional") else 0
            module = Components(images, labels if own else None, classes, 12)
            generator = CallableGenerator(module, 12, num_classes=own, class_names=names(own))
    return World(
        maker=maker,
        start=start,
        generator=generator,
        inverter=Inverter(steps=STEPS, start=_start(start, generator)),
        images=images.float(),
        labels=labels,
        classes=classes,
    )


def scenes(count: int, channels: int, classes: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A smooth pattern for each class, moved and lit by chance, before a smooth background."""

    def smooth(many: int, side: int) -> Tensor:
        small = torch.randn(many, channels, side, side, generator=rng)
        return nn.functional.interpolate(small, size=SIZE, mode="bicubic", align_corners=True)

    labels = torch.randint(classes, (count,), generator=rng)
    images = smooth(classes, 4)[labels]
    for axis in (2, 3):
        moved = torch.randint(-1, 2, (count, 1, 1, 1), generator=rng)
        choices = [images.roll(step, axis) for step in (-1, 0, 1)]
        images = torch.where(moved < 0, choices[0], torch.where(moved > 0, choices[2], choices[1]))
    light = 0.3 * torch.randn(count, channels, 1, 1, generator=rng)
    return (0.6 * images + 0.5 * smooth(count, 3) + light).tanh(), labels


def _start(kind: str, generator: Generator) -> Start:
    if kind == "encoder":
        config = EncoderConfig.for_generator(generator, widths=(8,))
        return EncoderStart(train_encoder(generator, config, EncoderTraining(steps=20, batch=16)))
    return MeanStart() if kind == "mean" else SampleStart()


def names(count: int) -> tuple[str, ...]:
    """Of classes."""
    return tuple(f"class {index}" for index in range(count))


class Network(nn.Module):
    """A classifier of images in [-1, 1] as a user has it: of images in another form, say.

    Args:
        network: from signed images to logits.
        before: of the images it gets, to signed images.
        after: of its logits, to what it answers.
    """

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda images: images,
        after: Callable[[Tensor], Tensor] = lambda logits: logits,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        """Answers."""
        return self.after(self.network(self.before(images)))


@dataclass(frozen=True, kw_only=True, eq=False)
class SetUp:
    """A set-up and its parts, to plant faults in.

    Args:
        number: of it.
        world: that it is of.
        network: from images in [-1, 1] to logits.
        form: that a network has its images in: range, mean, std.
        outputs: what it answers.
        calibration: images and labels.
        test: images and labels.
        facts: what was drawn by chance, in words.
        population: images and labels that tell how good the classifier is.
        way: part of the way from guessing to certainty that it goes, on other images.
        is_sound: whether that is far enough, and always naming one class is right less often.
    """

    number: int
    world: World
    network: nn.Module
    form: tuple[InputRange | None, float, float]
    outputs: str
    calibration: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    facts: dict[str, object]
    population: tuple[Tensor, Tensor]
    way: float
    is_sound: bool

    @property
    def classes(self) -> int:
        """Y."""
        return self.world.classes


def make(number: int) -> SetUp:
    """The set-up of a number."""
    place, chance = world(number // SHARED), random.Random(f"set-up {number}")
    rng = torch.Generator().manual_seed(10_000_019 + number)
    counts = {what: round(20 * 25 ** chance.random()) for what in ("calibration", "test")}
    skew = (
        chance.choice((1.0, 1.0, 0.8, 0.5)) if place.classes <= 10 else chance.choice((1.0, 0.95))
    )
    kind, learnt = chance.choice(NETWORKS), chance.choice((100, 400, 1500))
    false, form = chance.choice((0.0, 0.0, 0.3)), chance.choice(FORMS)
    outputs = chance.choice(OUTPUTS if place.classes == 2 else OUTPUTS[:3])
    pool, rest = slice(0, POOL), slice(POOL, None)
    images, labels = place.draw(learnt, skew, rng, pool)
    wrong = torch.rand(learnt, generator=rng) < false
    labels = torch.where(wrong, labels[torch.randperm(learnt, generator=rng)], labels)
    population, truth = place.draw(POPULATION, skew, rng, rest)
    with torch.random.fork_rng():
        torch.manual_seed(number)
        network = _trained(kind, images, labels, place.classes)
        if kind.endswith("spoilt"):
            _spoil(network[-1], chance.choice((0.3, 0.6)), population, truth, place.classes)
    with torch.no_grad():
        way, is_sound = way_of(network(population).argmax(1), truth, place.classes)
    facts = {"maker": place.maker, "start": place.start, "channels": place.images.shape[1]}
    facts |= {"classes": place.classes, "skew": skew, "network": kind, "learnt from": learnt}
    facts |= {
        "false labels": false,
        "form": form,
        "outputs": outputs,
        "way": round(way, 2),
        **counts,
    }
    return SetUp(
        number=number,
        world=place,
        network=network,
        form=form,
        outputs=outputs,
        calibration=place.draw(counts["calibration"], skew, rng, rest),
        test=place.draw(counts["test"], skew, rng, rest),
        facts=facts,
        population=(population, truth),
        way=way,
        is_sound=is_sound,
    )


def way_of(said: Tensor, truth: Tensor, classes: int) -> tuple[float, bool]:
    """Part of the way from guessing to certainty, and whether a sound classifier goes so far.

    It is Cohen's kappa. A sound one is right more often than always naming one class, too.
    """
    own, known = (row.bincount(minlength=classes).double() / len(row) for row in (said, truth))
    hits, guess = float((said == truth).double().mean()), float(own @ known)
    way = (hits - guess) / (1 - guess) if guess < 1 else 0.0
    return way, way > USEFUL and hits > float(known.max())


def _trained(kind: str, images: Tensor, labels: Tensor, classes: int) -> nn.Sequential:
    """A network from signed images to logits."""
    width, channels = images[0].numel(), images.shape[1]
    if kind in ("perceptron", "convolutions"):
        first: Sequence[nn.Module] = (nn.Flatten(), nn.Linear(width, 32), nn.ReLU())
        last = 32
        if kind == "convolutions":
            first = (
                nn.Conv2d(channels, 12, 3, 2, 1),
                nn.ReLU(),
                nn.Conv2d(12, 16, 3),
                nn.ReLU(),
                nn.Flatten(),
            )
            last = 64
        network = nn.Sequential(*first, nn.Linear(last, classes))
        optimiser = torch.optim.Adam(network.parameters(), 0.01)
        for _ in range(50):
            rows = torch.randint(len(images), (64,))
            loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return network.eval().requires_grad_(False)
    flat = images.flatten(1).double()
    known = nn.functional.one_hot(labels, classes).double()
    if kind == "class means":
        means = known.T @ flat / known.sum(0).clamp_min(1)[:, None]
        weight, bias = 2 * means, -means.square().sum(1)
        bias[known.sum(0) == 0] = -1e3
    else:
        ones = torch.cat([flat, torch.ones(len(flat), 1)], 1)
        ridge = torch.eye(width + 1) * len(flat) * 0.01
        found = torch.linalg.solve(ones.T @ ones + ridge, ones.T @ (4 * known - 2))
        weight, bias = found[:-1].T, found[-1]
    spread = (flat @ weight.T + bias).clamp_min(-50).std()
    linear = nn.Linear(width, classes).requires_grad_(False)
    linear.weight.copy_(3 * weight / spread)
    linear.bias.copy_(3 * bias / spread)
    return nn.Sequential(nn.Flatten(), linear)


def _spoil(linear: nn.Module, way: float, images: Tensor, labels: Tensor, classes: int) -> None:
    """Add so much of a random direction that the network goes part of the way to certainty."""
    assert isinstance(linear, nn.Linear)
    good, flat = linear.weight.clone(), images.flatten(1)
    bad = torch.randn(good.shape)
    bad *= good.norm() / bad.norm()
    low, high, wanted = 0.0, 8.0, 1 / classes + way * (1 - 1 / classes)
    for _ in range(10):
        middle = (low + high) / 2
        said = (flat @ (good + middle * bad).T + linear.bias).argmax(1)
        better = float((said == labels).double().mean()) > wanted
        low, high = (middle, high) if better else (low, middle)
    linear.weight.copy_(good + low * bad)


def bench(
    setup: SetUp,
    *,
    network: nn.Module | None = None,
    before: Callable[[Tensor], Tensor] = lambda images: images,
    after: Callable[[Tensor], Tensor] = lambda logits: logits,
    outputs: str | None = None,
    generator: Generator | None = None,
    labels: Mapping[str, Tensor] | None = None,
    rare: bool = False,
    most: int | None = None,
) -> Bench:
    """A bench of the parts, some of them changed.

    Args:
        setup: what is changed.
        network: in the place of its own.
        before: what is done to signed images before the network.
        after: what is done to its logits.
        outputs: what it answers; other than what is said of it in the set-up.
        generator: in the place of its own.
        labels: of splits, in the place of their own.
        rare: whether the last class against the rest is a second task.
        most: images of calibration.

    Raises:
        ValueError: they are refused.
    """
    place, given = setup.world, {"calibration": setup.calibration, "test": setup.test}
    maker = place.generator if generator is None else generator
    sources = dict[str, ImageSource]()
    for split, (images, truth) in given.items():
        few = slice(most if split == "calibration" else None)
        one = ImageSet(
            images=images[few],
            ids=tuple(f"{split} {index}" for index in range(len(images[few]))),
            labels=(labels or {}).get(split, truth)[few],
            class_names=names(place.classes),
        )
        sources[split] = source = MemorySource(one)
        last = (truth[few] == place.classes - 1).long()
        source.columns = {
            **source.columns,
            "rare": LabelColumn(values=last, class_names=("rest", "rare")),
        }
    values, mean, std = setup.form
    answer = _ANSWERS[setup.outputs if outputs is None else outputs]
    whole = Network(
        setup.network if network is None else network,
        before=lambda images: before(_signed(images, setup.form)),
        after=lambda logits: answer(after(logits)),
    )
    kind = "logits" if setup.outputs == "one logit" else setup.outputs
    classifier = Classifier(
        whole, maker.image_spec, names(place.classes), mean, std, input_range=values, outputs=kind
    )
    tasks = [Task(name="class", classifier=classifier)]
    if rare:
        lone = Classifier(Network(setup.network, after=alone), maker.image_spec, ("rest", "rare"))
        tasks.append(Task(name="rare", classifier=lone, labels="rare"))
    inputs = Inputs(
        kit=GeneratorKit(maker, name="small", inverter=place.inverter),
        tasks=tuple(tasks),
        splits=sources,
    )
    return Bench(inputs)


def alone(logits: Tensor) -> Tensor:
    """The last class against the rest."""
    return torch.stack([logits[:, :-1].logsumexp(1), logits[:, -1]], 1)


def _signed(images: Tensor, form: tuple[InputRange | None, float, float]) -> Tensor:
    """Images in [-1, 1] of those that a network is given in its form."""
    values, mean, std = form
    plain = images * std + mean
    return {None: plain, "0..1": 2 * plain - 1, "0..255": plain / 127.5 - 1}[values]


_ANSWERS: dict[str, Callable[[Tensor], Tensor]] = {
    "logits": lambda logits: logits,
    "probs": lambda logits: logits.softmax(1),
    "sigmoids": torch.sigmoid,
    "": lambda answers: answers,
    "one logit": lambda logits: logits[:, 1:] - logits[:, :1],
}
