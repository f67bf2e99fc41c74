"""What adaptive attacks cost, and a defence that hides its gradient, attacked with and without it.

The costs are CPU seconds of one thread for one image: of an answer, of a gradient, and of an attack
of 20 steps and of three repeats, which is what `genviews study ensembling/adaptive` takes for each
loss and budget. The defences are the classifier of 120 labels a class that ships, alone and with
views of the shipped kit at the inverter's first steps.

The defence that hides its gradient rounds pixels to a few grey levels before they are classified.
Rounding has no gradient, so PGD finds nothing that its random start does not; who takes rounding
for the identity (BPDA) breaks it, and `check_masking` tells the two verdicts apart.

Command: python -m benchmarks.adaptive
Time: four minutes.
Writes: results/benchmarks/adaptive.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genviews import load_generator
from genviews.environment import environment
from genviews.files import write_json
from genviews.invert.batch import ALIKE
from genviews.perturb.stylemix import StyleMix
from genviews.robustness.adaptive import AdaptiveAttack, view_streams
from genviews.robustness.ask import Ask
from genviews.robustness.defence import Defence, Preprocessed, Undefended, ViewsDefence
from genviews.robustness.gradient import PGD
from genviews.robustness.masking import check_masking
from genviews.zoo import zoo_classifier, zoo_images

OUT = Path("results/benchmarks/adaptive.json")
LEVELS = 4  # the defence that rounds has grey levels 1 / LEVELS apart
BUDGET = 0.1
STEPS, REPEATS = 20, 3


def rounded(images: Tensor) -> Tensor:
    """Pixels at a few grey levels."""
    return (images * LEVELS).round() / LEVELS


def defences(views: int, most: int) -> dict[str, tuple[ViewsDefence | Undefended, Defence]]:
    """What is attacked, and what its gradient is taken of: three views, for their cost."""
    kit, classifier = load_generator("fashion32"), zoo_classifier("fashion32")
    plain = Undefended(model=classifier)
    found: dict[str, tuple[ViewsDefence | Undefended, Defence]] = {"classifier": (plain, plain)}
    for steps in (0, most):
        made = ViewsDefence(
            classifier=classifier,
            generator=kit.generator,
            inverter=replace(kit.inverter, steps=steps),
            perturbation=StyleMix("fine"),
            num_views=views,
        )
        found[f"views, {steps} steps"] = (made, replace(made, num_views=3))
    made, followed = found[f"views, {most} steps"]
    assert isinstance(made, ViewsDefence)
    assert isinstance(followed, ViewsDefence)
    for name, change in {
        "encoder's gradient": {"unroll": 0},
        "pixels' gradient": {"through": "pixels"},
    }.items():
        found[f"views, {most} steps, {name}"] = (made, replace(followed, **change))
    return found


def seconds(call: Callable[[], object], images: int, times: int) -> float:
    """CPU seconds of a call, for one of the images."""
    if times > 1:
        call()
    began = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - began) / times / images


def costs(images: Tensor, labels: Tensor, ids: list[str], times: int) -> dict[str, Any]:
    """Of each defence: seconds of an answer, of a gradient and of an attack on one image."""
    streams, found = view_streams(ids), {}
    for name, (defence, followed) in defences(10, 1 if times == 1 else 10).items():

        def ask(one: Defence) -> Ask:
            return Ask(lambda part, rows, draw: one(part, streams[rows]), labels)

        judge, follow = ask(defence), ask(followed)
        answer = seconds(lambda judge=judge: judge.margins(images), len(images), times)
        gradient = seconds(
            lambda follow=follow: follow.slope(images, "cross-entropy", 0), len(images), times
        )
        found[name] = {
            "answer": round(answer, 5),
            "gradient": round(gradient, 5),
            f"{STEPS} steps, {REPEATS} repeats": round(
                REPEATS * (STEPS * gradient + answer) + 2 * answer, 2
            ),
        }
    return found


def hidden(images: Tensor, labels: Tensor, ids: list[str], steps: int) -> dict[str, Any]:
    """A defence that rounds, attacked by one who does not know it and by one who does."""
    classifier = zoo_classifier("fashion32")
    attack, plain = AdaptiveAttack(attack=PGD(BUDGET, steps=steps)), Undefended(model=classifier)
    found = {}
    for through in ("own", "identity"):
        report = check_masking(
            Preprocessed(model=classifier, process=rounded, through=through),
            images,
            labels,
            view_streams(ids),
            attack,
            budgets=(0.05,),
            transfer_from=plain,
        )
        told = {"own": "gradient of rounding", "identity": "rounding taken for the identity"}
        found[told[through]] = {
            **asdict(report),
            "believable": report.believable,
            "words": report.words,
        }
    return found


def main(*, quick: bool = False, out: str | Path = OUT) -> dict[str, Any]:
    """Measure, print and write.

    Args:
        quick: few images.
        out: JSON file.
    """
    torch.set_num_threads(1)
    began, test = time.perf_counter(), zoo_images("fashion32", "test")
    assert test.labels is not None
    few, count = torch.arange(ALIKE) * 60, 10 if quick else 200
    many = torch.arange(count) * (len(test) // count)
    chosen = [test.select(rows.tolist()) for rows in (few, many)]
    report = {
        "command": "python -m benchmarks.adaptive",
        "config": {
            "seed": 0,
            "images timed at once": ALIKE,
            "views": 10,
            "views of the gradient": 3,
            "levels": LEVELS,
            "budget": BUDGET,
            "steps": 3 if quick else STEPS,
        },
        "seconds_an_image": costs(
            chosen[0].images, chosen[0].labels, list(chosen[0].ids), 1 if quick else 5
        ),
        "hidden_gradient": hidden(
            chosen[1].images, chosen[1].labels, list(chosen[1].ids), 3 if quick else STEPS
        ),
        "seconds": round(time.perf_counter() - began, 1),
        "environment": environment(),
    }
    write_json(Path(out), report)
    for name, cost in report["seconds_an_image"].items():
        print(f"{name}: {cost}")
    for name, said in report["hidden_gradient"].items():
        print(f"{name}: {said['words']}")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default=OUT)
    main(**vars(parser.parse_args()))
