"""Inversion without an encoder, on a DCGAN that cannot move from its mean latent.

Command: python -m benchmarks.random_starts
Claim: from the default start the mean absolute error is at most a quarter of that from the mean
latent, within the time that 30 steps from a random start take.

The generator is that of PyTorch's DCGAN tutorial, narrower, for Fashion-MNIST at 64x64. It is
trained here, in a minute, as the decoder of a variational autoencoder: against a discriminator it
needs longer than anybody waits for a benchmark. While it trains, the biases of its first layer are
held so low that every rectifier there is shut at z = 0: the gradient is exactly 0, and an optimizer
that starts from the mean of z stays there. The images are of the `test` split, which the training
does not see; the default was chosen by looking at `val`.

Time is processor time of one thread, so that other work on the machine does not count.

Source: Radford et al. 2016, arXiv 1511.06434; PyTorch's DCGAN tutorial (networks); Kingma and
Welling 2014, arXiv 1312.6114 (training).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.data.fashion import fashion_mnist
from genviews.environment import environment
from genviews.files import write_json
from genviews.generators.callable import CallableGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.samples import SampleStart
from genviews.invert.start import GivenStart, MeanStart
from genviews.rng import Rng
from genviews.types import ImageSpec, Status

Row = dict[str, Any]

RESULT = Path("results/benchmarks/random_starts.json")
SHUT = -0.05  # what the first rectifiers get at z = 0, at most
CLAIM = 0.25  # of the error from the mean latent
DEVIATION = 0.7  # of a pixel from what is drawn


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is trained and measured.

    Args:
        width: channels of the generator before its last layer; the tutorial has 64.
        z_dim: width of z.
        photos: images to train on.
        updates: of the training.
        batch: images of an update.
        images: that are inverted.
        steps: of the descents that are compared.
        seed: of weights, z and the order of images.
    """

    width: int = 24
    z_dim: int = 64
    photos: int = 20_000
    updates: int = 1000
    batch: int = 32
    images: int = 64
    steps: int = 30
    seed: int = 0


QUICK = Setting(width=2, z_dim=8, photos=16, updates=8, batch=8, images=3, steps=6)


def decoder(z_dim: int, width: int) -> nn.Sequential:
    """The tutorial's generator: z (N, Z, 1, 1) -> images (N, 1, 64, 64) in [-1, 1]."""
    widths = [8 * width, 4 * width, 2 * width, width]
    layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, widths[0], 4, 1, 0, bias=False)]
    for before, after in zip(widths, [*widths[1:], 1], strict=True):
        layers += [nn.BatchNorm2d(before), nn.ReLU()]
        layers.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
    return nn.Sequential(*layers, nn.Tanh())


def encoder(z_dim: int, width: int) -> nn.Sequential:
    """The tutorial's discriminator with other outputs: mean and log variance of z."""
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before in (width, 2 * width, 4 * width):
        layers.append(nn.Conv2d(before, 2 * before, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(2 * before), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 2 * z_dim, 4, 1, 0))


def enlarged(images: Tensor) -> Tensor:
    """Images at 64 pixels."""
    return F.interpolate(images, size=(64, 64), mode="bilinear", align_corners=False)


@torch.no_grad()
def shut(network: nn.Sequential) -> None:
    """Lower the biases of the first layer until each of its rectifiers is shut at z = 0."""
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    at_zero = norm.bias - norm.weight * norm.running_mean / (norm.running_var + norm.eps).sqrt()
    norm.bias -= (at_zero - SHUT).clamp(min=0)


def train(setting: Setting, photos: Tensor) -> nn.Sequential:
    """Train the decoder on the evidence lower bound; its first rectifiers are shut at z = 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(setting.seed)
        network = decoder(setting.z_dim, setting.width)
        helper = encoder(setting.z_dim, setting.width // 2)
    rng = Rng(setting.seed, "decoder").torch()
    weights = [*network.parameters(), *helper.parameters()]
    adam = torch.optim.Adam(weights, 2e-3, betas=(0.9, 0.99))
    for step in range(setting.updates):
        adam.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 - 2 * step / setting.updates)
        images = photos[torch.randint(len(photos), (setting.batch,), generator=rng)]
        mean, log_variance = helper(images).chunk(2, dim=1)
        noise = torch.randn(mean.shape, generator=rng)
        made = network(mean + noise * (log_variance / 2).exp())
        error = (made - images).square().sum((1, 2, 3)).mean() / (2 * DEVIATION**2)
        divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2
        adam.zero_grad()
        (error + divergence).backward()
        adam.step()
        shut(network)
    return network.eval().requires_grad_(False)


def slope_at_zero(generator: CallableGenerator, images: Tensor) -> float:
    """The largest gradient of the absolute error with respect to z, at z = 0."""
    z = torch.zeros(len(images), 1, generator.z_dim, requires_grad=True)
    error = (generator.synthesize(z) - images).abs().mean()
    return float(torch.autograd.grad(error, z)[0].abs().max())


def measure(generator: CallableGenerator, images: Tensor, setting: Setting) -> dict[str, Row]:
    """Error, time and evaluations of inversion, by where it starts."""
    streams = Rng(setting.seed, "random starts").streams(range(len(images)))
    steps = setting.steps
    ways = {
        "mean latent": Inverter(start=MeanStart(), steps=steps),
        "one random start": Inverter(start=GivenStart(streams.normal(1, (1, generator.z_dim)))),
        "default start": Inverter(),
        "default start, 8 steps": Inverter(steps=min(8, steps)),
    }
    invert(generator, images[:2], inverter=Inverter(steps=1))  # what is made once is made now
    found = {}
    for name, inverter in ways.items():
        began = time.process_time()
        result = invert(
            generator, images, inverter=replace(inverter, steps=min(inverter.steps, steps))
        )
        seconds = time.process_time() - began
        statuses = result.status.tolist()
        found[name] = {
            "l1": float((result.reconstructions - images).abs().mean()),
            "seconds": round(seconds, 2),
            "evaluations_per_image": float(result.evaluations.double().mean()),
            "status": {one.name: statuses.count(one) for one in Status if one in statuses},
        }
    return found


def run(setting: Setting, photos: Tensor, images: Tensor) -> dict[str, object]:
    """Train, measure, and say whether the claim holds.

    Args:
        setting: what is trained and measured.
        photos: (N, 1, H, W) to train on, of any size.
        images: (B, 1, H, W) to invert.
    """
    network = train(setting, enlarged(photos))
    decode: Callable[[Tensor], Tensor] = network
    spec = ImageSpec(channels=1, height=64, width=64)
    generator = CallableGenerator(lambda z: decode(z[:, :, None, None]), setting.z_dim, spec)
    targets = enlarged(images)
    rows = measure(generator, targets, setting)
    mean, random, ours = (rows[n] for n in ("mean latent", "one random start", "default start"))
    fast = rows["default start, 8 steps"]
    in_time = [row for row in (ours, fast) if row["seconds"] <= random["seconds"]]
    share = min((row["l1"] for row in in_time), default=mean["l1"]) / mean["l1"]
    return {
        "benchmark": "random_starts",
        "command": "python -m benchmarks.random_starts",
        "seed": setting.seed,
        "config": {**asdict(setting), "start": vars(SampleStart()), "threads": 1},
        "slope_at_zero": slope_at_zero(generator, targets),
        "rows": rows,
        "share_of_the_mean_start": share,
        "claim_holds": share <= CLAIM,
        "environment": environment(),
    }


def main() -> None:
    """Measure at full size, print the rows and write the JSON."""
    torch.set_num_threads(1)
    setting = Setting()
    photos, images = (
        fashion_mnist(split).images[:count]
        for split, count in (("train", setting.photos), ("test", setting.images))
    )
    found = run(setting, photos, images)
    print(json.dumps(found, indent=1))
    write_json(RESULT, found)


if __name__ == "__main__":
    main()
