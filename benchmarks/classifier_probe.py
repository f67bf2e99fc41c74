"""How often the probe of classifiers is wrong: ordinary networks refused, faulty ones let through.

Command: python -m benchmarks.classifier_probe
Networks have random weights and random architectures: that is harder than trained ones, whose
answers for different images lie further apart.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice, product
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.classify.model import Classifier
from genviews.classify.network import SmallResNet
from genviews.classify.probe import probe_images, tolerance
from genviews.environment import environment
from genviews.files import write_json
from genviews.modes import evaluating
from genviews.rng import Rng
from genviews.types import ImageSpec

RESULT = Path("results/benchmarks/classifier_probe.json")
SIZE = 16
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}
NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm2d,
    "group": partial(nn.GroupNorm, 2),
    "instance": partial(nn.InstanceNorm2d, affine=True),
}
Fault = Callable[[Tensor], Tensor]
FAULTS: dict[str, Fault] = {
    "softmax": lambda out: out.softmax(1),
    "sigmoids": lambda out: out.sigmoid(),
    "dropout": F.dropout,
    "a mean over the batch": lambda out: out - out.mean(0),
    "divided by the batch": lambda out: out / out.abs().max(),
    "noise of a tenth": lambda out: out + 0.1 * out.abs().max() * torch.randn_like(out),
    "blind": lambda out: out[:1].expand(len(out), -1) * 0 + 1,
    "NaN": lambda out: out.sqrt() if bool((out < 0).any()) else out * math.nan,
}


class Transformer(nn.Module):
    """Patches of 4 pixels, two layers of attention, a mean and a linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 16, 4, 4)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        tokens = self.layers(self.patches(images).flatten(2).transpose(1, 2))
        logits: Tensor = self.head(self.norm(tokens).mean(1))
        return logits


class Faulty(nn.Module):
    """A network with a fault at its end."""

    def __init__(self, network: nn.Module, fault: Fault) -> None:
        super().__init__()
        self.network, self.fault = network, fault

    def forward(self, images: Tensor) -> Tensor:
        """Outputs with the fault."""
        return self.fault(self.network(images))


def convolutional(channels: int, classes: int, depth: int, norm: str, width: int = 8) -> nn.Module:
    """Convolutions with rectifiers, a mean and a linear layer."""
    layers: list[nn.Module] = []
    for index in range(depth):
        given = width if index else channels
        conv = nn.Conv2d(given, width, 3, 2 if index < 2 else 1, 1)
        layers += [conv, NORMS[norm](width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def network_of(kind: str, channels: int, classes: int, seed: int) -> nn.Module:
    """A network of a kind with weights that a seed decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(Rng(seed, f"{kind}/{channels}/{classes}").torch().initial_seed())
        if kind == "linear":
            return nn.Sequential(nn.Flatten(), nn.Linear(channels * SIZE**2, classes))
        if kind == "perceptron":
            layers = (nn.Linear(channels * SIZE**2, 32), nn.Tanh(), nn.Linear(32, classes))
            return nn.Sequential(nn.Flatten(), *layers)
        if kind == "residual":
            return SmallResNet(channels, max(classes, 2), width=4, seed=seed)
        if kind == "transformer":
            return Transformer(channels, classes)
        depth, norm = kind.removeprefix("conv").split("/")
        return convolutional(channels, classes, int(depth), norm)


KINDS = ("linear", "perceptron", "residual", "transformer", *(f"conv3/{name}" for name in NORMS))
KINDS += ("conv12/none", "conv12/batch")


def refusal(network: nn.Module, channels: int, classes: int, scale: float) -> str:
    """What the probe says against a network; "" where it takes it."""
    spec = ImageSpec(channels=channels, height=SIZE, width=SIZE)
    names = [f"class {index}" for index in range(max(classes, 2))]
    try:
        Classifier(network.eval(), spec, names, std=scale)
    except (TypeError, ValueError) as error:
        return str(error)
    return ""


def difference(network: nn.Module, channels: int, scale: float) -> float:
    """How far equal answers are apart, as a part of what is allowed."""
    spec = ImageSpec(channels=channels, height=SIZE, width=SIZE)
    images = (probe_images(spec) / scale).to(next(network.parameters()).dtype)
    with torch.no_grad(), evaluating(network):
        found = network(images)
        apart = [network(images.flip(0)).flip(0) - found, network(images[:1]) - found[:1]]
    largest = max(float(part.abs().max()) for part in apart)
    return largest / (float(found.abs().max()) * tolerance(found))


def main(*, seeds: int = 2, quick: bool = False, out: Path = RESULT) -> dict[str, object]:
    """Try every kind of network, say how many were judged wrongly, write the JSON."""
    # The values that a network takes are up to 255 where the scale is 1 / 127.5.
    scales = (1.0, 0.25, 1 / 127.5)
    cases = list(product(range(1 if quick else seeds), KINDS, DTYPES, (1, 3), (1, 2, 10), scales))
    cases = cases[:: 17 if quick else 1]
    alarms: list[str] = []
    nearest = dict.fromkeys(DTYPES, 0.0)
    for seed, kind, dtype, channels, classes, scale in cases:
        network = network_of(kind, channels, classes, seed).to(DTYPES[dtype])
        told = refusal(network, channels, classes, scale)
        if told:
            alarms.append(f"{kind}, {dtype}, {channels}, {classes}, {scale:.3g}, {seed}: {told}")
        nearest[dtype] = max(nearest[dtype], difference(network, channels, scale))
    missed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for (name, fault), case in product(FAULTS.items(), islice(cases, 0, None, 7)):
        seed, kind, dtype, channels, classes, scale = case
        if name == "softmax" and classes == 1:
            continue
        network = Faulty(network_of(kind, channels, classes, seed), fault).to(DTYPES[dtype])
        tried[name] += 1
        missed[f"{name}, {dtype}"] += not refusal(network, channels, classes, scale)
    found: dict[str, object] = {
        "networks": len(cases),
        "false_alarms": len(alarms),
        "alarms": alarms,
        "largest_difference_of_allowed": nearest,
        "faulty": dict(tried),
        # Of untrained networks whose answers hardly differ, some faults change nothing to see.
        "missed": {name: count for name, count in missed.items() if count},
    }
    if not quick:
        record = {"benchmark": "classifier_probe", "config": {"seeds": seeds, "size": SIZE}}
        record["command"] = f"python -m benchmarks.classifier_probe --seeds {seeds}"
        write_json(out, {**record, **found, "environment": environment()})
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    print(json.dumps(main(**vars(parser.parse_args())), indent=1))
