"""Inversion: images a second against the reference protocol, at the loss that it ends with.

    python -m benchmarks.inversion                          # against its optimizer, written anew
    python -m benchmarks.inversion --reference CHECKOUT     # and against the repository's own

Same generator, real images, starts and objective for all: fashion32, `test`, the encoder's latents,
0.5 L1 + 0.5 L2 + 0.25 |w - w_0|^2 (the reference code's weights, with a squared error in the place
of LPIPS, whose weights cannot ship). The protocol of Chai et al. 2021 is one image at a time, 500
steps of L-BFGS. `LBFGS.reference()` repeats it, failure loop included; a checkout of
chail/gan-ensembling, named by `--reference` or GENVIEWS_REFERENCE_ENSEMBLING, brings the original.
The baseline of the ratio is the faster of those that ran, with the faster number of threads.

Settings of ours were chosen on `val`. About 12 minutes on 2 cores; run it on an idle machine.
Writes results/benchmarks/inversion.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gauss_newton import GaussNewton
from benchmarks.reference_inversion import VARIABLE, load_lbfgs
from genviews import load_generator, load_images
from genviews.data.images import ImageSet
from genviews.environment import environment
from genviews.files import write_json
from genviews.generators.base import Generator
from genviews.identity import describe
from genviews.invert.batch import bytes_per_image
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam
from genviews.invert.start import EncoderStart
from genviews.memory import keep_freed_memory

RESULT = Path("results/benchmarks/inversion.json")
OBJECTIVE = Objective((L1(0.5), L2(0.5), ToStart(0.25)))
STEPS = 500
TIMES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds an image
LIMITS = (10, 20, 40, 60, 100, 150)
FAITHFUL, ORIGINAL = "LBFGS.reference(), one image at a time", "the repository's optimizer"


@dataclass(frozen=True)
class Curve:
    """One image's way through the reference protocol."""

    losses: list[float]
    seconds: list[float]
    evaluations: int

    def at(self, seconds: float) -> float:
        """Loss after this time."""
        reached = [loss for loss, t in zip(self.losses, self.seconds, strict=True) if t <= seconds]
        return reached[-1] if reached else self.losses[0]


Evaluate = Callable[[Tensor], Tensor]
Protocol = Callable[[Evaluate, Tensor], Curve]


def faithful(evaluate: Evaluate, start: Tensor) -> Curve:
    """The reference protocol with our copy of its optimizer."""
    optimizer, shape = LBFGS.reference(), start.shape
    state = optimizer.begin(start.flatten(1), STEPS)
    losses, seconds, count, began = [], [], 0, time.perf_counter()
    while int(state.made) < STEPS:
        point = state.point.detach().requires_grad_(True)
        loss = evaluate(point.view(shape))
        (gradient,) = torch.autograd.grad(loss.sum(), point)
        before = int(state.made)
        optimizer.advance(state, loss.detach(), gradient, STEPS)
        count += 1
        if int(state.made) > before:
            losses.append(float(state.f))
            seconds.append(time.perf_counter() - began)
    return Curve(losses, seconds, count)


def original(checkout: Path) -> Protocol:
    """The reference protocol with the optimizer of a checkout."""
    module = load_lbfgs(checkout)

    def run(evaluate: Evaluate, start: Tensor) -> Curve:
        latents, count = start.clone().requires_grad_(True), 0
        optimizer = module.FullBatchLBFGS([latents])

        def closure() -> Tensor:
            nonlocal count
            count += 1
            optimizer.zero_grad()
            return evaluate(latents).sum()

        losses, seconds, began = [], [], time.perf_counter()
        loss = closure()
        loss.backward()
        for _ in range(STEPS):
            losses.append(loss.item())
            seconds.append(time.perf_counter() - began)
            options = {"closure": closure, "current_loss": loss, "max_ls": 10}
            loss = optimizer.step(options)[0]
        losses.append(loss.item())
        seconds.append(time.perf_counter() - began)
        return Curve(losses, seconds, count)

    return run


def one_by_one(
    protocol: Protocol, generator: Generator, images: Tensor, starts: Tensor
) -> list[Curve]:
    """Run a protocol on each image."""
    curves = []
    for image, start in zip(images.split(1), starts.split(1), strict=True):
        target = OBJECTIVE.target(image, torch.ones_like(image), start)

        def evaluate(latents: Tensor, target: object = target) -> Tensor:
            return OBJECTIVE(target, generator.synthesize(latents), latents)

        curves.append(protocol(evaluate, start))
    return curves


def spread(losses: Sequence[float]) -> dict[str, float]:
    """Mean and 90th percentile."""
    values = torch.tensor(losses, dtype=torch.float64)
    return {"mean": float(values.mean()), "p90": float(values.quantile(0.9))}


def time_batch(
    generator: Generator, images: Tensor, inverter: Inverter, repeats: int, batch: int = 64
) -> dict[str, object]:
    """Invert a batch several times; the median of the times, and the losses, which do not vary."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        found = invert(generator, images, inverter=inverter, batch_size=batch)
        seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds)
    return {
        "loss": spread(found.loss.tolist()),
        "losses": found.loss.tolist(),
        "images_per_second": len(images) / middle,
        "seconds_per_image": middle / len(images),
        "seconds": seconds,
        "evaluations": float(found.evaluations.double().mean()),
    }


def evaluation_ms(generator: Generator, images: Tensor, starts: Tensor, repeats: int) -> float:
    """Milliseconds of one loss and gradient, an image."""
    target = OBJECTIVE.target(images, torch.ones_like(images), starts)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        latents = starts.clone().requires_grad_(True)
        loss = OBJECTIVE(target, generator.synthesize(latents), latents).sum()
        torch.autograd.grad(loss, latents)
        times.append(time.perf_counter() - began)
    return statistics.median(times) / len(images) * 1e3


def best_threads(generator: Generator, image: Tensor, start: Tensor, most: int) -> int:
    """The number of threads that evaluates one image fastest."""
    if most == 1:
        return most
    times = {}
    for threads in range(1, most + 1):
        torch.set_num_threads(threads)
        times[threads] = evaluation_ms(generator, image, start, 40)
    return min(times, key=lambda threads: times[threads])


def rivals(inverter: Inverter) -> dict[str, Inverter]:
    """Other ways of optimising a batch."""
    exact = replace(inverter, tolerance=0.0, smoothing=0.0)
    return {
        "Adam, lr 0.1, 150 steps": replace(
            exact, optimizer=Adam(lr=0.1, betas=(0.9, 0.95), final=0.02), steps=150
        ),
        "Adam, lr 0.1, 300 steps": replace(
            exact, optimizer=Adam(lr=0.1, betas=(0.9, 0.95), final=0.02), steps=300
        ),
        "L-BFGS without smoothing": replace(exact, steps=150),
        "L-BFGS, one smoothing of 0.02": replace(inverter, smoothing=0.02),
        "L-BFGS, history 10": replace(inverter, optimizer=LBFGS(history=10)),
    }


class _OperatorCounter(TorchDispatchMode):
    """Counts the operators that do work: on a GPU each starts at least one kernel."""

    VIEWS = ("view", "expand", "permute", "transpose", "slice", "select", "detach", "alias")
    VIEWS += ("unsqueeze", "squeeze", "t.default", "as_strided", "empty")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the operator and count it."""
        name = str(func).removeprefix("aten.")
        self.count += not name.lstrip("_").startswith(self.VIEWS)
        return func(*args, **(kwargs or {}))


def bounds(generator: Generator, images: Tensor, starts: Tensor, threads: int) -> dict[str, object]:
    """What an evaluation costs: floating-point operations, bytes, milliseconds by batch."""
    # `backward`, because the counter cannot watch `autograd.grad` reach a leaf.
    target = OBJECTIVE.target(images[:1], torch.ones_like(images[:1]), starts[:1])
    latents = starts[:1].clone().requires_grad_(True)
    with FlopCounterMode(display=False) as counter:
        OBJECTIVE(target, generator.synthesize(latents), latents).sum().backward()
    torch.set_num_threads(threads)
    sizes = [b for b in (1, 8, 16, 32, 64) if b <= len(images)]
    batches = {b: evaluation_ms(generator, images[:b], starts[:b], 9) for b in sizes}
    flops = counter.get_total_flops()
    with _OperatorCounter() as calls:
        evaluation_ms(generator, images[:1], starts[:1], 1)
    return {
        "operators_per_evaluation": calls.count,
        "gflop_per_evaluation": flops / 1e9,
        "bytes_kept_per_image": bytes_per_image(generator, OBJECTIVE),
        "milliseconds_per_image_by_batch": batches,
        f"gflop_per_second_at_{sizes[-1]}": flops / batches[sizes[-1]] / 1e6,
    }


def main(
    *,
    checkout: Path | None = None,
    images: int = 64,
    many: int = 256,
    repeats: int = 3,
    threads: int = 2,
    out: Path | None = RESULT,
) -> float:
    """Measure, write the JSON, print the ratio."""
    kit = load_generator("fashion32")
    generator, sample = (
        kit.generator,
        load_images("fashion32/sample/test", kit.generator.image_spec).load(),
    )
    chosen = _spread_over(sample, images)
    with torch.no_grad():
        starts = kit.encoder(chosen)
    # Chosen on 64 images of `val`, where the repository's optimizer ends at 0.05251: the longer one
    # ends 1.0 % below with 165 evaluations, for a margin on other images; the shorter 0.8 % below
    # with 121. The first is `ours`, whatever comes out.
    longer = Inverter(
        start=EncoderStart(kit.encoder),
        objective=OBJECTIVE,
        optimizer=LBFGS(history=50),
        steps=300,
        patience=20,
        tolerance=0.0005,
    )
    shorter = replace(longer, patience=15, tolerance=0.001)
    inverter = longer

    single = best_threads(generator, chosen[:1], starts[:1], threads)
    torch.set_num_threads(single)
    protocols: dict[str, Protocol] = {FAITHFUL: faithful}
    if checkout is not None:
        protocols[ORIGINAL] = original(checkout)
    curves = {}
    for name, protocol in protocols.items():
        curves[name] = one_by_one(protocol, generator, chosen, starts)
        print(f"{name}: {_row(curves[name])}", flush=True)
    baselines = {name: _row(found) for name, found in curves.items()}
    baseline = max(baselines, key=lambda name: float(baselines[name]["images_per_second"]))

    torch.set_num_threads(threads)
    ours = time_batch(generator, chosen, inverter, repeats)
    print(f"ours: {ours['loss']}, {ours['images_per_second']:.2f} images/s", flush=True)
    sooner = time_batch(generator, chosen, shorter, repeats)
    print(
        f"ours, shorter: {sooner['loss']}, {sooner['images_per_second']:.2f} images/s", flush=True
    )
    limits = {
        steps: time_batch(generator, chosen, replace(inverter, steps=steps, tolerance=0.0), 1)
        for steps in LIMITS
    }
    others = {
        name: time_batch(generator, chosen, other, 1) for name, other in rivals(inverter).items()
    }
    others |= _gauss_newton(generator, chosen, starts)
    crowd = time_batch(generator, _spread_over(sample, many), inverter, 1)
    alone = invert(generator, chosen[:8], inverter=inverter).loss
    together = torch.tensor(ours.pop("losses"))
    for row in (sooner, crowd, *limits.values(), *others.values()):
        row.pop("losses", None)
    reference_loss = {
        n: statistics.mean(c.losses[-1] for c in found) for n, found in curves.items()
    }
    ratio = float(ours["images_per_second"]) / float(baselines[baseline]["images_per_second"])
    record = {
        "benchmark": "inversion",
        "command": "python -m benchmarks.inversion" + (" --reference CHECKOUT" if checkout else ""),
        "seed": 0,
        "config": {
            "split": "test",
            "images": images,
            "many_images": many,
            "repeats": repeats,
            "threads": threads,
            "threads_of_the_baseline": single,
            "inverter": describe(inverter),
        },
        "baselines": baselines,
        "baseline": baseline,
        "ours": ours,
        "ours_shorter": {"inverter": describe(shorter), **sooner},
        "ours_on_many_images": crowd,
        "reaches_the_loss_of": {n: ours["loss"]["mean"] <= v for n, v in reference_loss.items()},
        "ours_by_step_limit": limits,
        "rivals": others,
        "at_equal_time": _equal_time(curves[baseline], limits),
        "batch_against_alone": float((alone - together[:8]).abs().max()),
        "bounds": bounds(generator, chosen, starts, threads),
        "ratios": [
            _ratio(row, baselines[baseline], baseline, reference_loss[baseline], what)
            for what, row in (("inversion", ours), ("inversion, stopped sooner", sooner))
        ],
        "environment": environment(),
    }
    if out is not None:
        write_json(out, record)
    print(f"ratio {ratio:.2f} against {baseline}")
    return ratio


def _ratio(
    row: dict[str, object], base: dict[str, object], name: str, loss: float, what: str
) -> dict[str, object]:
    """Images a second against the baseline, and whether at no higher a loss."""
    # Rows are JSON, whose values have no types.
    reached = float(row["loss"]["mean"]) <= loss  # type: ignore[index]
    how = "at a mean loss no higher" if reached else "NOT reaching the loss"
    return {
        "what": f"{what}, images a second {how}",
        "ratio": float(row["images_per_second"]) / float(base["images_per_second"]),
        "baseline": f"{name}, 500 steps one image at a time",
    }


def _spread_over(sample: ImageSet, count: int) -> Tensor:
    """Images at equal distances through the sample, which lists class after class."""
    rows = torch.linspace(0, len(sample) - 1, count).long().tolist()
    return sample.select(rows).images


def _row(curves: list[Curve]) -> dict[str, object]:
    seconds = [curve.seconds[-1] for curve in curves]
    return {
        "loss": spread([curve.losses[-1] for curve in curves]),
        "images_per_second": len(curves) / sum(seconds),
        "seconds_per_image": {
            "mean": statistics.mean(seconds),
            "median": statistics.median(seconds),
        },
        "evaluations": statistics.mean(curve.evaluations for curve in curves),
    }


def _gauss_newton(generator: Generator, images: Tensor, starts: Tensor) -> dict[str, dict]:
    found = {}
    # Frozen weights take a fast path that has no forward mode.
    generator.requires_grad_(True)
    for outer, inner in ((12, 6), (6, 12)):
        rival = GaussNewton(l1=0.5, l2=0.5, pull=0.25, outer=outer, inner=inner)
        began = time.perf_counter()
        with warnings.catch_warnings():
            # The first use of forward mode compiles scripted formulas, which warn.
            warnings.simplefilter("ignore", FutureWarning)
            _, loss = rival.run(generator, images, starts)
        spent = (time.perf_counter() - began) / len(images)
        found[f"Levenberg-Marquardt, {outer} x {inner} CG steps"] = {
            "loss": spread(loss.tolist()),
            "images_per_second": 1 / spent,
            "seconds_per_image": spent,
        }
    generator.requires_grad_(False)
    return found


def _equal_time(curves: list[Curve], limits: dict[int, dict]) -> list[dict[str, object]]:
    """Mean and 90th percentile of both at the time that each step limit takes."""
    rows = []
    for steps, row in limits.items():
        seconds = float(row["seconds_per_image"])
        theirs = spread([curve.at(seconds) for curve in curves])
        rows.append(
            {"seconds_per_image": seconds, "steps": steps, "ours": row["loss"], "theirs": theirs}
        )
    return rows


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--reference", type=Path, default=os.environ.get(VARIABLE))
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    main(
        checkout=given.reference and Path(given.reference),
        images=given.images,
        threads=given.threads,
    )
