"""How often gates close on sound set-ups, and on set-ups with a fault planted.

Command: python -m benchmarks.gates
Claim: a gate closes on fewer than 1 % of sound set-ups, the upper end of the interval included.
A set-up (`benchmarks.gates_set_ups`) is a small generator of one of five kinds, a classifier of one
of five kinds with images and outputs in a form of its own, 20 to 500 labelled images in each split,
of 2 to 40 equal or skewed classes, and an inverter of one of three kinds. It is sound where the
classifier is, on 1,500 other images, above the most frequent class and a quarter of the way from
guessing to certainty. Faults are planted in the same set-ups; one that is refused when it is made,
before any gate, counts as found. Thresholds were chosen on set-ups of other numbers.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from scipy import stats
from torch import Tensor, nn

from benchmarks.gates_set_ups import USEFUL, SetUp, World, alone, bench, make, way_of
from genviews.environment import environment
from genviews.files import write_json
from genviews.gates.gate import Gate
from genviews.generators.adapter import Adapter
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator
from genviews.studies.bench import Bench
from genviews.studies.gates import gates_of_inputs, gates_of_inversions

RESULT = Path("results/benchmarks/gates.json")
SET_UPS = 1400
PLANTED = 14
INVERTED = 64  # calibration images at most: gates look at no more pictures
STRONG = 0.6  # part of the way to certainty from which a classifier counts as a strong one

MEAN, STD = (
    torch.tensor(numbers).reshape(-1, 1, 1)
    for numbers in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
)


class Spoilt(nn.Module):
    """A generator as a function whose pictures are changed by one of (pictures, z)."""

    def __init__(self, like: Generator, spoil: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.like, self.spoil = like, spoil

    def forward(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Pictures."""
        label = None if classes is None else classes.argmax(1)
        latents = self.like.map(z, label)
        shown = label if self.like.renders_label else None
        return self.spoil(self.like.synthesize(latents, shown), z)


def spoilt(world: World, spoil: Callable[[Tensor, Tensor], Tensor]) -> Generator:
    """The generator of a world, its pictures changed."""
    like = world.generator
    names = tuple(f"class {index}" for index in range(like.num_classes))
    module = Spoilt(like, spoil).eval()
    return CallableGenerator(
        module,
        like.z_dim,
        num_classes=like.num_classes,
        adapter=Adapter(range="-1..1"),
        class_names=names,
    )


def _stuck(images: Tensor, z: Tensor) -> Tensor:
    """One picture, with a gradient of 0: all rectifiers are shut."""
    return (0.2 + 0 * images).detach() + 0 * z.sum(1)[:, None, None, None]


def _some_nan(images: Tensor, z: Tensor) -> Tensor:
    """No numbers for two in five latents; a generator with more is refused when it is loaded."""
    return images.masked_fill((z[:, 0] > 0.25)[:, None, None, None], torch.nan)


def _exchanged(setup: SetUp, *, pair: bool) -> Bench:
    order = list(range(setup.classes))
    order = [1, 0, *order[2:]] if pair else [*order[1:], order[0]]
    return bench(setup, after=lambda logits: logits[:, order])


def _untrained(setup: SetUp) -> Bench:
    width = setup.calibration[0][0].numel()
    with torch.random.fork_rng():
        torch.manual_seed(setup.number)
        network = nn.Sequential(nn.Flatten(), nn.Linear(width, setup.classes))
    return bench(setup, network=network.requires_grad_(False))


def _one_class(setup: SetUp) -> Bench:
    _, truth = setup.test
    return bench(setup, labels={"test": truth.new_full(truth.shape, int(truth[0]))})


def _no_common_class(setup: SetUp) -> Bench:
    half, (_, first), (_, last) = setup.classes // 2, setup.calibration, setup.test
    return bench(setup, labels={"calibration": first % half, "test": half + last % half})


def _shifting(logits: Tensor) -> Tensor:
    """Less the mean of the batch, as batch norms in training mode do."""
    return logits - logits.mean(0) if len(logits) > 1 else logits


def _form(before: Callable[[Tensor], Tensor]) -> Callable[[SetUp], Bench]:
    return lambda setup: bench(setup, before=before)


FAULTS: Mapping[str, Callable[[SetUp], Bench]] = {
    "classes in another order": lambda s: _exchanged(s, pair=False),
    "two classes exchanged": lambda s: _exchanged(s, pair=True),
    "labels of other images": lambda s: bench(
        s, labels={"calibration": s.calibration[1].roll(7), "test": s.test[1].roll(7)}
    ),
    "an untrained classifier": _untrained,
    "one answer for all images": lambda s: bench(
        s, after=lambda x: 0 * x + torch.eye(x.shape[1])[0]
    ),
    "probabilities taken for logits": lambda s: bench(s, after=lambda x: x.softmax(1), outputs=""),
    "dropout that always acts": lambda s: bench(
        s, before=lambda x: nn.functional.dropout(x, 0.5, training=True)
    ),
    "answers that depend on the batch": lambda s: bench(s, after=_shifting),
    "images in [0, 1]": _form(lambda x: 2 * x - 1),
    "images in [0, 255]": _form(lambda x: x / 127.5 - 1),
    "images with ImageNet's mean and std": _form(lambda x: 2 * (x * STD + MEAN) - 1),
    "blue first": _form(lambda x: x.flip(1)),
    "dark and light exchanged": _form(torch.neg),
    "upside down": _form(lambda x: x.flip(2)),
    "rows and columns exchanged": _form(lambda x: x.transpose(2, 3)),
    "test images of one class": _one_class,
    "no class in common": _no_common_class,
    "a generator with NaN for two in five latents": lambda s: bench(
        s, generator=spoilt(s.world, _some_nan)
    ),
    "a generator of one picture, without a gradient": lambda s: bench(
        s, generator=spoilt(s.world, _stuck)
    ),
    "a generator in [0, 1]": lambda s: bench(
        s, generator=spoilt(s.world, lambda images, z: (images + 1) / 2)
    ),
}
"""Fault -> a bench with it."""

COLOUR = ("images with ImageNet's mean and std", "blue first")


def suits(fault: str, setup: SetUp) -> bool:
    """Whether a fault can be planted: exchanged colours need some, and one answer no other."""
    if fault in COLOUR:
        return setup.world.images.shape[1] == 3
    if fault == "probabilities taken for logits":
        return setup.outputs in ("logits", "one logit")
    return fault != "no class in common" or setup.classes > 3


def gates_of(found: Bench, few: Bench | None) -> tuple[Gate, ...]:
    """All gates of a bench, with those of the inversions of another with fewer images."""
    first = gates_of_inputs(found)
    if few is None:
        return first
    few.inversions("calibration")
    return (*first, *gates_of_inversions(few))


class Tally:
    """What became of sound set-ups, by gate: how often it was asked, and closed."""

    def __init__(self) -> None:
        self.asked, self.shut, self.told = Counter[str](), Counter[str](), list[str]()
        self.noted = 0

    def add(self, setup: SetUp, gates: Sequence[Gate]) -> None:
        """Count the gates of a sound set-up."""
        names = {_kind(gate) for gate in gates}
        shut = [gate for gate in gates if not gate.passed]
        self.asked.update(["any", *names])
        self.shut.update(["any"] * bool(shut) + sorted({_kind(gate) for gate in shut}))
        self.noted += any(gate.passed and gate.noted for gate in gates)
        self.told += [f"set-up {setup.number} {dict(setup.facts)}: {g.found}" for g in shut]

    def record(self) -> dict[str, object]:
        """With exact 95 % intervals (Clopper and Pearson 1934)."""
        return {
            "of": "set-ups in which the gate was asked",
            "gates": {name: _rate(self.shut[name], count) for name, count in self.asked.items()},
            "told": self.told,
            "with_a_note": self.noted,
        }


def _kind(gate: Gate) -> str:
    """The gate of calibration and test images, of every task."""
    return gate.name.removesuffix(" of calibration images").removesuffix(" of test images")


def _rate(hits: int, count: int) -> dict[str, object]:
    interval = stats.binomtest(hits, count).proportion_ci(0.95)
    ends = [round(interval.low, 5), round(interval.high, 5)]
    return {"closed": hits, "asked": count, "rate": round(hits / count, 5), "interval": ends}


def sound_gates(setup: SetUp) -> tuple[Gate, ...]:
    """Those of a set-up as it is; of some, a second task tells its last class from the rest."""
    images, truth = setup.population
    with torch.no_grad():
        said = alone(setup.network(images)).argmax(1)
    last = (truth == setup.classes - 1).long()
    rare = setup.number % 3 == 0 and setup.classes > 2 and way_of(said, last, 2)[1]
    return gates_of(bench(setup, rare=rare), bench(setup, rare=rare, most=INVERTED))


def outcome(name: str, setup: SetUp) -> str:
    """What becomes of a fault: "found" also where a model is refused when it is made."""
    plant = FAULTS[name]
    try:
        gates = gates_of(plant(setup), plant(setup) if "generator" in name else None)
    except (ValueError, TypeError):
        return "found"
    if all(gate.passed for gate in gates):
        return "noted" if any(gate.noted for gate in gates) else "missed"
    return "found"


def main(
    numbers: Sequence[int] = range(SET_UPS), *, planted: int = PLANTED, out: Path | None = RESULT
) -> dict[str, object]:
    """Count the sound set-ups on which a gate closes, and the faults that one finds.

    Args:
        numbers: of the set-ups.
        planted: each fault is planted in one set-up of so many.
        out: where the record is written; None writes none.
    """
    began, spent = time.perf_counter(), time.process_time()
    tally, unsound = Tally(), 0
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for number in numbers:
        setup = make(number)
        if not setup.is_sound:
            unsound += 1
            continue
        tally.add(setup, sound_gates(setup))
        kind = "strong" if setup.way >= STRONG else "weak"
        kind += ", 80 images or more" if len(setup.calibration[1]) >= 80 else ", fewer than 80"
        for place, name in enumerate(FAULTS):
            if (place + number) % planted == 0 and suits(name, setup):
                found[name][kind].append(outcome(name, setup))
        if number % 60 == 59:
            print(f"{tally.asked['any']} set-ups, {tally.shut['any']} alarms", flush=True)
    record: dict[str, object] = {
        "benchmark": "benchmarks.gates",
        "command": "python -m benchmarks.gates",
        "config": {
            "seed": [min(numbers), max(numbers)],
            "useful": USEFUL,
            "strong": STRONG,
            "planted_in_one_of": planted,
            "inverted": INVERTED,
        },
        "sound": {"set_ups": tally.asked["any"], "left_out_as_too_weak": unsound, **tally.record()},
        "faults": {name: _detected(found[name]) for name in FAULTS if name in found},
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - spent, 1),
        "environment": environment(),
    }
    if out is not None:
        write_json(out, record)
    return record


def _detected(kinds: Mapping[str, Sequence[str]]) -> dict[str, object]:
    every = [value for values in kinds.values() for value in values]
    return {
        "planted": len(every),
        "found": every.count("found"),
        "noted": every.count("noted"),
        "found_by_kind": {
            kind: f"{own.count('found')} of {len(own)}" for kind, own in sorted(kinds.items())
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--first", type=int, default=0, help="number of the first set-up")
    parser.add_argument("--count", type=int, default=SET_UPS, help="of set-ups")
    parser.add_argument("--out", type=Path, default=RESULT)
    flags = parser.parse_args()
    told = main(range(flags.first, flags.first + flags.count), out=flags.out)
    for part in ("sound", "faults", "seconds", "cpu_seconds"):
        print(part, told[part])
