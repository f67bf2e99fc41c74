"""Inversion without an encoder, on a DCGAN that cannot move from its mean latent.

Command: python -m benchmarks.random_starts (trains `benchmarks.dcgan` first, if it is not there)
Claim: in the time that 30 steps from one random start take, the default start ends at no more than
a quarter of the mean absolute error that the mean latent has, and no higher than the random start.

Errors are of images of the `test` split, which the training does not see; the numbers of the
default were chosen on `val`. Each way of starting is tried with several seeds. The interval of an
error is that of its mean over images, each of which counts with its mean over seeds, and that of a
difference is of the same images in pairs. Time is processor time of one thread, so that other work
on the machine does not count; what the time of a random start allows is counted in evaluations of
the objective, which no other work changes.
"""

from __future__ import annotations

import argparse
import json
import time
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import dcgan
from genviews.data.fashion import fashion_mnist
from genviews.environment import environment
from genviews.files import write_json
from genviews.generators.callable import CallableGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.samples import SampleStart
from genviews.invert.start import GivenStart, MeanStart, Start
from genviews.rng import Rng
from genviews.types import ImageSpec, Status

Row = dict[str, Any]

RESULT = Path("results/benchmarks/random_starts.json")
CLAIM = 0.25  # of the error from the mean latent
RANDOM = "1 random start"
EQUAL = "default start, as many evaluations"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured.

    Args:
        training: of the generator.
        images: that are inverted.
        steps: of the descents that are compared.
        random: numbers of random starts, each descended from.
        seeds: of the starts.
    """

    training: dcgan.Training = field(default_factory=dcgan.Training)
    images: int = 64
    steps: int = 30
    random: tuple[int, ...] = (1, 4, 16)
    seeds: int = 4


QUICK = Setting(training=dcgan.QUICK, images=2, steps=3, random=(1,), seeds=2)


def slope_at_zero(generator: CallableGenerator, images: Tensor) -> float:
    """The largest gradient of the absolute error with respect to z, at z = 0."""
    z = torch.zeros(len(images), 1, generator.z_dim, requires_grad=True)
    error = (generator.synthesize(z) - images).abs().mean()
    return float(torch.autograd.grad(error, z)[0].abs().max())


def random_start(generator: CallableGenerator, count: int, images: int, seed: int) -> Start:
    """Samples of the prior, others for each image."""
    streams = Rng(seed, "random starts").streams(range(images))
    return GivenStart(streams.normal(count, (1, generator.z_dim)))


def once(
    generator: CallableGenerator, images: Tensor, start: Start, steps: int
) -> tuple[Tensor, Row]:
    """The mean absolute error of each image, and what it cost."""
    began = time.process_time()
    found = invert(generator, images, inverter=Inverter(start=start, steps=steps))
    seconds, statuses = time.process_time() - began, found.status.tolist()
    return (found.reconstructions - images).abs().mean((1, 2, 3)), {
        "seconds": seconds,
        "evaluations_per_image": float(found.evaluations.double().mean()),
        "status": {one.name: statuses.count(one) for one in Status if one in statuses},
    }


def summary(errors: Tensor, costs: list[Row]) -> Row:
    """Errors (S, B) of S seeds and B images, and their costs, in numbers."""
    return {
        "l1": float(errors.mean()),
        "l1_interval": interval(errors.mean(0)),
        "l1_median": float(errors.median(1).values.mean()),
        "l1_of_seeds": errors.mean(1).tolist(),
        "seconds": float(np.median([cost["seconds"] for cost in costs])),
        "evaluations_per_image": float(np.mean([c["evaluations_per_image"] for c in costs])),
        "status_of_first_seed": costs[0]["status"],
    }


def interval(values: Tensor) -> list[float]:
    """The 95 % interval of a mean, by 2,000 bootstrap samples of the values (B,)."""
    rng = Rng(0, "bootstrap").numpy()
    means = values.numpy()[rng.integers(0, len(values), (2000, len(values)))].mean(1)
    return [float(end) for end in np.percentile(means, (2.5, 97.5))]


def fitting_steps(
    generator: CallableGenerator, images: Tensor, evaluations: float, most: int
) -> int:
    """The most steps from the default start that cost no more evaluations than these.

    The samples, rendered once for all, count as evaluations too.
    """
    start = SampleStart()
    allowed = evaluations - start.samples / len(images)

    def costs(steps: int) -> float:
        return float(once(generator, images, start, steps)[1]["evaluations_per_image"])

    return max(1, bisect_right(range(1, most + 1), allowed, key=costs))


def measure(
    generator: CallableGenerator, images: Tensor, setting: Setting
) -> tuple[dict[str, Row], dict[str, Tensor]]:
    """Error and cost of each way to start; also the errors (B,) of images, over seeds."""
    steps, seeds = setting.steps, range(setting.seeds)
    invert(generator, images[:2], inverter=Inverter(steps=1))  # what is made once is made now

    def tried(name: str, starts: list[Start], steps: int) -> None:
        runs = [once(generator, images, start, steps) for start in starts]
        errors = torch.stack([errors for errors, _ in runs]).double()
        rows[name] = {"steps": steps, **summary(errors, [cost for _, cost in runs])}
        of_images[name] = errors.mean(0)

    rows: dict[str, Row] = {}
    of_images: dict[str, Tensor] = {}
    tried("mean latent", [MeanStart()], steps)
    for count in setting.random:
        name = f"{count} random start" + "s" * (count > 1)
        tried(name, [random_start(generator, count, len(images), seed) for seed in seeds], steps)
    defaults: list[Start] = [SampleStart(seed=seed) for seed in seeds]
    tried("default start", defaults, steps)
    alone = [SampleStart(seed=seed, nearest=1, descents=1, trial=1) for seed in seeds]
    tried("nearest sample", [*alone], steps)
    allowed = rows[RANDOM]["evaluations_per_image"]
    tried(EQUAL, defaults, fitting_steps(generator, images, allowed, steps))
    return rows, of_images


def run(setting: Setting, generator: CallableGenerator, images: Tensor) -> dict[str, object]:
    """Measure, and say whether the claim holds.

    Args:
        setting: what is measured.
        generator: of z, a DCGAN.
        images: (B, 1, 64, 64) to invert.
    """
    rows, of_images = measure(generator, images, setting)
    share = rows[EQUAL]["l1"] / rows["mean latent"]["l1"]
    against: Mapping[str, Tensor] = {
        name: of_images[EQUAL] - errors for name, errors in of_images.items() if name != EQUAL
    }
    higher = interval(against[RANDOM])[0] > 0
    return {
        "benchmark": "random_starts",
        "command": "python -m benchmarks.random_starts",
        "seed": setting.training.seed,
        "config": {**asdict(setting), "start": vars(SampleStart()), "threads": 1},
        "slope_at_zero": slope_at_zero(generator, images),
        "rows": rows,
        "share_of_the_mean_start": share,
        "difference_to_it": {
            name: {"l1": float(gap.mean()), "interval": interval(gap)}
            for name, gap in against.items()
        },
        "aim": CLAIM,
        "claim_holds": share <= CLAIM and not higher,
        "environment": environment(),
    }


def generator_of(network: torch.nn.Module, training: dcgan.Training) -> CallableGenerator:
    """A DCGAN as a generator of rows z (N, Z)."""
    spec = ImageSpec(channels=1, height=64, width=64)
    return CallableGenerator(lambda z: network(z[:, :, None, None]), training.z_dim, spec)


def main() -> None:
    """Train or take the generator, measure at full size, print the rows and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=dcgan.FOLDER, help="of the generator")
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting = Setting()
    network = dcgan.train(setting.training, lambda: fashion_mnist("train").images, options.folder)
    images = dcgan.enlarged(fashion_mnist("test").images[: setting.images])
    found = run(setting, generator_of(network, setting.training), images)
    print(json.dumps(found, indent=1))
    write_json(RESULT, found)


if __name__ == "__main__":
    main()
