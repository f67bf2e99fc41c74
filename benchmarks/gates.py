"""How often gates close on sound set-ups, and on set-ups with a fault planted.

Command: python -m benchmarks.gates
Claim: a gate closes on fewer than 1 % of sound set-ups.
A set-up is a toy generator, a linear classifier of a wanted accuracy (from a third of the way from
guessing to certainty upwards), labelled noisy images in equal or skewed classes, and an inverter.
It is sound where the classifier is, on 4,000 other images, above the most frequent class. Faults
are planted in the same set-ups. One that is refused when it is made, before any gate, counts as
found.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from scipy import stats
from torch import Tensor, nn

from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.environment import environment
from genviews.files import write_json
from genviews.gates.gate import Gate
from genviews.generators.base import Generator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.kit import GeneratorKit
from genviews.rng import Rng
from genviews.studies.bench import Bench
from genviews.studies.gates import gates_of_inputs, gates_of_inversions
from genviews.studies.inputs import Inputs

RESULT = Path("results/benchmarks/gates.json")
SEEDS, COUNTS, CLASSES = range(5), (24, 80, 300), (2, 3, 10)
TARGETS, SKEWS, CHANNELS = (0.33, 0.6, 0.9), (1.0, 0.5), (1, 3)
POPULATION = 4000  # images that tell what a classifier can
STEPS = 15
PLANTED = 8  # a fault is planted in one set-up of so many


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a set-up is made from.

    Args:
        seed: of generator, classifier and images.
        count: of calibration images.
        classes: Y.
        target: part of the way from guessing to certainty that the classifier goes.
        skew: each class is so many times as frequent as the one before it.
        channels: of the images.
    """

    seed: int
    count: int
    classes: int
    target: float
    skew: float
    channels: int


@dataclass(frozen=True, kw_only=True, eq=False)
class SetUp:
    """A set-up and its parts, to plant faults in."""

    setting: Setting
    generator: Generator
    linear: nn.Linear
    images: ImageSet
    is_sound: bool

    @property
    def classifier(self) -> nn.Module:
        """The sound one."""
        return nn.Sequential(nn.Flatten(), self.linear)

    def bench(
        self,
        network: nn.Module | None = None,
        generator: Generator | None = None,
        steps: int = STEPS,
    ) -> Bench:
        """A bench of the parts, some of them changed.

        Raises:
            ValueError: they are refused.
        """
        maker = self.generator if generator is None else generator
        module = self.classifier if network is None else network
        classifier = Classifier(module, maker.image_spec, self.images.class_names)
        inputs = Inputs(
            kit=GeneratorKit(maker, name="toy", inverter=Inverter(steps=STEPS)),
            tasks=(Task(name="class", classifier=classifier),),
            splits={"calibration": MemorySource(self.images)},
        )
        return Bench(inputs)


def every_setting() -> Iterator[Setting]:
    """All of them."""
    names = ("seed", "count", "classes", "target", "skew", "channels")
    for values in itertools.product(SEEDS, COUNTS, CLASSES, TARGETS, SKEWS, CHANNELS):
        yield Setting(**dict(zip(names, values, strict=True)))


def draw(setting: Setting, count: int, what: str, generator: ToyGenerator) -> tuple[Tensor, Tensor]:
    """Noisy images with classes of the wanted frequencies, and their labels."""
    rng = Rng(setting.seed, f"{what} {setting}")
    latents = generator.map(generator.sample(rng.streams(range(6 * count))))
    labels = generator.classes(latents, setting.classes)
    weights = torch.tensor([setting.skew**index for index in range(setting.classes)])
    random = torch.Generator().manual_seed(rng.torch().initial_seed())
    # Each label is drawn by its weight; the rows of a label in their order.
    wanted = torch.multinomial(weights, count, replacement=True, generator=random)
    rows = torch.empty(count, dtype=torch.long)
    for index in wanted.unique().tolist():
        places = torch.nonzero(wanted == index).flatten()
        own = torch.nonzero(labels == index).flatten()
        rows[places] = own[torch.arange(len(places)) % len(own)]
    images = generator.synthesize(latents[rows])
    noise = 0.05 * torch.randn(images.shape, generator=random)
    return (images + noise).clamp(-1, 1).detach(), labels[rows]


def make(setting: Setting) -> SetUp:
    """The set-up of a setting."""
    generator = ToyGenerator(channels=setting.channels, seed=setting.seed)
    population, truth = draw(setting, POPULATION, "population", generator)
    flat = torch.cat([population.flatten(1), torch.ones(POPULATION, 1)], 1)
    known = nn.functional.one_hot(truth, setting.classes).float()
    frequency = known.mean(0)
    own = known / frequency.clamp_min(1 / POPULATION) / setting.classes * 2 - 1
    weight = torch.linalg.lstsq(flat.T @ flat + torch.eye(flat.shape[1]), flat.T @ own).solution
    random = torch.Generator().manual_seed(setting.seed)
    false = torch.randn(weight.shape, generator=random)
    false[-1] = 0
    false *= weight.norm() / false.norm()
    guess = 1 / setting.classes
    wanted = guess + setting.target * (1 - guess)

    def accuracy(share: float) -> float:
        said = (flat @ (weight + share * false)).argmax(1)
        return float((said == truth).double().mean())

    low, high = 0.0, 8.0
    for _ in range(12):  # the more is false, the weaker
        middle = (low + high) / 2
        low, high = (middle, high) if accuracy(middle) > wanted else (low, middle)
    linear = nn.Linear(flat.shape[1] - 1, setting.classes)
    with torch.no_grad():
        *rows, bias = 4 * (weight + low * false)
        linear.weight.copy_(torch.stack(rows, 1))
        linear.bias.copy_(bias)
    images, labels = draw(setting, setting.count, "calibration", generator)
    names = tuple(f"class {index}" for index in range(setting.classes))
    ids = tuple(str(index) for index in range(setting.count))
    return SetUp(
        setting=setting,
        generator=generator,
        linear=linear,
        images=ImageSet(images=images, ids=ids, labels=labels, class_names=names),
        is_sound=accuracy(low) > float(frequency.max())
        and accuracy(low) > guess + 0.3 * (1 - guess),
    )


class Changed(nn.Module):
    """A network with a function before it, and one after it."""

    def __init__(
        self,
        network: nn.Module,
        before: Callable[[Tensor], Tensor] = lambda x: x,
        after: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        """Answers."""
        return self.after(self.network(self.before(images)))


class Spoilt(ToyGenerator):
    """A toy generator whose pictures are changed by a function (images, latents)."""

    def __init__(self, like: Generator, spoil: Callable[[Tensor, Tensor], Tensor]) -> None:
        settings = like.settings
        super().__init__(channels=settings["channels"], seed=settings["seed"])
        self.spoil = spoil

    def synthesize(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        """Pictures."""
        return self.spoil(super().synthesize(latents), latents)


def _stuck(images: Tensor, latents: Tensor) -> Tensor:
    """The picture of the mean, with a gradient of 0: all rectifiers are shut."""
    return (0.2 + 0 * images).detach() + 0 * latents.sum((1, 2))[:, None, None, None]


def _some_nan(images: Tensor, latents: Tensor) -> Tensor:
    bad = latents[:, 0, 0] > 0
    return images.masked_fill(bad[:, None, None, None], torch.nan)


def _exchanged(setup: SetUp, *, pair: bool) -> nn.Module:
    """Outputs in another order: all moved by one, or the first two exchanged."""
    order = list(range(setup.setting.classes))
    order = [1, 0, *order[2:]] if pair else [*order[1:], order[0]]
    return Changed(setup.classifier, after=lambda logits: logits[:, order])


def _shifting(logits: Tensor) -> Tensor:
    """Less the mean of the batch, as batch norms in training mode do."""
    return logits - logits.mean(0) if len(logits) > 1 else logits


FAULTS: dict[str, Callable[[SetUp], Bench]] = {
    "classes in another order": lambda s: s.bench(_exchanged(s, pair=False)),
    "two classes exchanged": lambda s: s.bench(_exchanged(s, pair=True)),
    "an untrained classifier": lambda s: s.bench(
        nn.Sequential(nn.Flatten(), nn.Linear(s.linear.in_features, s.setting.classes))
    ),
    "one answer for all images": lambda s: s.bench(
        Changed(s.classifier, after=lambda x: 0 * x + torch.eye(x.shape[1])[0])
    ),
    "softmax outputs": lambda s: s.bench(Changed(s.classifier, after=lambda x: x.softmax(1))),
    "a classifier of another form of images": lambda s: s.bench(
        Changed(s.classifier, before=lambda x: 2 * x - 1)
    ),
    "dropout that always acts": lambda s: s.bench(
        Changed(s.classifier, before=lambda x: nn.functional.dropout(x, 0.5, training=True))
    ),
    "answers that depend on the batch": lambda s: s.bench(Changed(s.classifier, after=_shifting)),
    "labels of other images": lambda s: replace(
        s, images=replace(s.images, labels=_known(s.images).roll(7))
    ).bench(),
    "a generator with NaN for half of its latents": lambda s: s.bench(
        generator=Spoilt(s.generator, _some_nan)
    ),
    "a generator of one picture, without a gradient": lambda s: s.bench(
        generator=Spoilt(s.generator, _stuck)
    ),
    "a generator in [0, 1]": lambda s: s.bench(
        generator=Spoilt(s.generator, lambda x, latents: (x + 1) / 2)
    ),
}
"""Fault -> a bench with it."""


def _known(images: ImageSet) -> Tensor:
    assert images.labels is not None
    return images.labels


def gates_of(bench: Bench) -> tuple[Gate, ...]:
    """All gates of a bench, with those of its inversions."""
    first = gates_of_inputs(bench)
    bench.inversions("calibration")
    return (*first, *gates_of_inversions(bench))


def _is_found(plant: Callable[[SetUp], Bench], setup: SetUp) -> bool:
    try:
        return any(not gate.passed for gate in gates_of(plant(setup)))
    except (ValueError, TypeError):
        return True  # refused when it was made


def main(
    settings: Sequence[Setting] | None = None, *, out: Path | None = RESULT
) -> dict[str, object]:
    """Count the sound set-ups on which a gate closes, and the faults that one finds.

    Args:
        settings: of the set-ups; None for all.
        out: where the numbers are written; None writes none.
    """
    began, total, unsound = time.perf_counter(), 0, 0
    alarms, texts = Counter[str](), list[str]()
    found: dict[str, dict[int, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for place, setting in enumerate(every_setting() if settings is None else settings):
        setup = make(setting)
        if not setup.is_sound:
            unsound += 1
            continue
        total += 1
        if total % 20 == 0:
            print(f"{total} set-ups, {alarms['any']} alarms", flush=True)
        shut = [gate for gate in gates_of(setup.bench()) if not gate.passed]
        alarms.update(["any"] if shut else [])
        alarms.update(gate.name for gate in shut)
        texts += [f"{setting}: {gate.found}" for gate in shut]
        for number, (name, plant) in enumerate(FAULTS.items()):
            if number % PLANTED == place % PLANTED:
                found[name][setting.count].append(_is_found(plant, setup))
    interval = stats.binomtest(alarms["any"], total).proportion_ci(0.95)
    record: dict[str, object] = {
        "benchmark": "benchmarks.gates",
        "command": "python -m benchmarks.gates",
        "config": {
            "seeds": list(SEEDS),
            "counts": COUNTS,
            "classes": CLASSES,
            "targets": TARGETS,
            "skews": SKEWS,
            "channels": CHANNELS,
            "population": POPULATION,
            "steps": STEPS,
            "planted_in_one_of": PLANTED,
        },
        "sound": {
            "set_ups": total,
            "left_out_as_too_weak": unsound,
            "alarms": alarms["any"],
            "rate": alarms["any"] / total,
            "interval": [interval.low, interval.high],
            "by_gate": {name: count for name, count in alarms.items() if name != "any"},
            "told": texts,
        },
        "faults": {
            name: {
                "planted": sum(map(len, own.values())),
                "found": sum(map(sum, own.values())),
                "found_by_images": {
                    str(count): f"{sum(values)} of {len(values)}" for count, values in own.items()
                },
            }
            for name, own in found.items()
        },
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }
    if out is not None:
        write_json(out, record)
    return record


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    told = main(out=parser.parse_args().out)
    for part in ("sound", "faults"):
        print(part, told[part])
