"""Images a second of GAN training: the recipe's step against a plain PyTorch loop.

Command: python -m benchmarks.train_generator [--steps 16] [--threads 1] [--separate]

Both train the same networks, those of `recipes.fashion32.train_generator`, from the same first
weights at batch 32, with the same losses, R1 at the same interval, style mixing, random noise and
an averaged generator. The baseline is the loop that one writes first, and not a careless one:

- made images anew for the generator's step and, without gradients, for the discriminator's;
- the formulas of the layers as the papers state them, in PyTorch's usual NCHW layout;
- the discriminator's weights need no gradient in the generator's step; R1 is lazy; `torch.randn`.

Before the timing both are checked to be the same functions. Steps of the loops alternate.
Time is processor time when there is one thread, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.environment import environment
from genviews.files import write_json
from genviews.generators.layers import ModulatedConv, ToImage
from genviews.generators.stylegan2 import StyleGAN2
from genviews.memory import keep_freed_memory
from recipes.fashion32.discriminator import Discriminator, minibatch_stddev
from recipes.fashion32.generator_trainer import Data, GeneratorTraining, Trainer

RESULT = Path("results/benchmarks/train_generator.json")
BASELINE = "plain PyTorch loop"
GAIN = math.sqrt(2.0)
M = TypeVar("M", bound=nn.Module)


class PlainLoop:
    """The same training, written straight down."""

    def __init__(self, trainer: Trainer) -> None:
        self.config, self.images = trainer.config, trainer.data.images
        self.generator = _usual_layout(copy.deepcopy(trainer.generator))
        self.discriminator = _usual_layout(copy.deepcopy(trainer.discriminator))
        self.average = copy.deepcopy(self.generator)
        self.w_avg = torch.zeros(self.config.generator.w_dim)
        c = self.config.r1_interval / (self.config.r1_interval + 1)
        b0, b1 = self.config.betas
        self.adam_g = torch.optim.Adam(self.generator.parameters(), self.config.lr, (b0, b1))
        self.adam_d = torch.optim.Adam(
            self.discriminator.parameters(), self.config.lr * c, (b0**c, b1**c)
        )
        self.steps = 0

    def step(self) -> None:
        """One batch."""
        config = self.config
        real = self.images[torch.randint(len(self.images), (config.batch,))]

        self.discriminator.requires_grad_(False)
        loss = F.softplus(-plain_discriminator(self.discriminator, self.make())).mean()
        self.adam_g.zero_grad()
        loss.backward()
        self.adam_g.step()
        self.discriminator.requires_grad_(True)

        with torch.no_grad():
            made = self.make()
        fake_logits = plain_discriminator(self.discriminator, made)
        real_logits = plain_discriminator(self.discriminator, real)
        loss = F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()
        self.adam_d.zero_grad()
        loss.backward()
        self.adam_d.step()

        if self.steps % config.r1_interval == 0:
            real.requires_grad_(True)
            logits = plain_discriminator(self.discriminator, real)
            (gradient,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
            penalty = gradient.square().sum((1, 2, 3)).mean()
            self.adam_d.zero_grad()
            (penalty * (config.r1_gamma / 2 * config.r1_interval)).backward()
            self.adam_d.step()

        beta = 0.5 ** (config.batch / config.average_half_life)
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.generator.parameters(), strict=True)
            for old, new in pairs:
                old.copy_(new.lerp(old, beta))
        self.steps += 1

    def make(self) -> Tensor:
        """New images, with style mixing and random noise."""
        config = self.config
        batch, z_dim = config.batch, config.generator.z_dim
        ws = self.generator.map(torch.randn(batch, z_dim))
        with torch.no_grad():
            self.w_avg.lerp_(ws[:, 0].mean(0), 1 - config.w_avg_beta)
        if torch.rand(()) < config.mixing:
            row = int(torch.randint(1, ws.shape[1], ()))
            other = self.generator.map(torch.randn(batch, z_dim))
            ws = torch.cat([ws[:, :row], other[:, row:]], dim=1)
        return plain_synthesis(self.generator, ws, random_noise=True)


def plain_synthesis(generator: StyleGAN2, ws: Tensor, *, random_noise: bool) -> Tensor:
    """StyleGAN2's synthesis as the paper states it."""
    image = None
    x = torch.empty(0)
    for row, block in generator.synthesis.blocks():
        if block.conv1.resolution == 4:
            x, layers = block.const.expand(len(ws), -1, -1, -1), [block.conv1]
        else:
            layers = [block.conv0, block.conv1]
        for i, layer in enumerate(layers):
            x = _modulated(layer, x, ws[:, row + i], random_noise)
        out = _to_image(block.torgb, x, ws[:, row + len(layers)])
        image = out if image is None else _double(image) + out
    assert image is not None
    return image


def plain_discriminator(net: Discriminator, images: Tensor) -> Tensor:
    """The residual discriminator as the paper states it."""
    x = _equalised(net.from_image, images, GAIN)
    for block in net.blocks:
        kernel = _fir().expand(x.shape[1], 1, 4, 4)
        down = F.conv2d(x, kernel, padding=1, stride=2, groups=x.shape[1])
        skip = _equalised(block.skip, down)
        x = _equalised(block.conv0, x, GAIN, padding=1)
        x = F.conv2d(x, kernel, padding=2, groups=x.shape[1])
        x = _equalised(block.conv1, x, GAIN, stride=2)
        x = (x + skip) * math.sqrt(0.5)
    x = _equalised(net.conv, minibatch_stddev(x), GAIN, padding=1).flatten(1)
    x = _dense(net.fc, x)
    x = F.leaky_relu(x, 0.2) * GAIN
    return _dense(net.out, x)[:, 0]


def _equalised(
    conv: nn.Module, x: Tensor, gain: float | None = None, *, stride: int = 1, padding: int = 0
) -> Tensor:
    weight = conv.weight / math.sqrt(conv.weight[0].numel())
    x = F.conv2d(x, weight, conv.bias, stride=stride, padding=padding)
    return x if gain is None else F.leaky_relu(x, 0.2) * gain


def _dense(layer: nn.Module, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight / math.sqrt(layer.weight.shape[1]), layer.bias)


def _modulated(layer: ModulatedConv, x: Tensor, w: Tensor, random_noise: bool) -> Tensor:
    style = layer.affine(w)
    energy = (layer.weight[None] * style[:, None, :, None, None]).square().sum((2, 3, 4))
    x = x * style[:, :, None, None]
    if layer.up:
        x = F.conv_transpose2d(x, layer.weight.transpose(0, 1), stride=2)
        kernel = (_fir() * 4).expand(x.shape[1], 1, 4, 4)
        x = F.conv2d(x, kernel, padding=1, groups=x.shape[1])
    else:
        x = F.conv2d(x, layer.weight, padding=1)
    x = x * (energy + 1e-8).rsqrt()[:, :, None, None]
    side = layer.resolution
    noise = torch.randn(len(x), 1, side, side) if random_noise else layer.noise_const
    x = x + noise * layer.noise_strength
    x = x + layer.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * GAIN


def _to_image(layer: ToImage, x: Tensor, w: Tensor) -> Tensor:
    style = layer.affine(w) / math.sqrt(x.shape[1])
    return F.conv2d(x * style[:, :, None, None], layer.weight, layer.bias)


def _double(image: Tensor) -> Tensor:
    kernel = (_fir() * 4).expand(image.shape[1], 1, 4, 4)
    return F.conv_transpose2d(image, kernel, stride=2, padding=1, groups=image.shape[1])


def _fir() -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return taps.outer(taps) / 64


def _usual_layout(module: M) -> M:
    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()
    return module


@torch.no_grad()
def check_same(trainer: Trainer, plain: PlainLoop) -> None:
    """Raise AssertionError unless both are the same functions."""
    z = torch.randn(8, trainer.config.generator.z_dim)
    ws = trainer.generator.map(z)
    images = trainer.generator.synthesize(ws)
    torch.testing.assert_close(
        plain_synthesis(plain.generator, ws, random_noise=False), images, atol=1e-3, rtol=1e-3
    )
    logits = trainer.discriminator(images)
    torch.testing.assert_close(
        plain_discriminator(plain.discriminator, images), logits, atol=1e-3, rtol=1e-3
    )


def seconds(loop: Trainer | PlainLoop, *, penalty: bool) -> float:
    """Time of one step: of the processor with one thread, else on the clock."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    loop.steps = loop.config.r1_interval if penalty else 1
    started = clock()
    loop.step()
    return clock() - started


def measure(loops: Mapping[str, Trainer | PlainLoop], steps: int) -> dict[str, float]:
    """Images a second of each loop, from the median step with and without the penalty.

    Steps of the loops alternate, so that a busy minute of the machine falls on all of them.
    """
    spent = {(name, penalty): [] for name in loops for penalty in (False, True)}
    for i in range(-1, steps):
        for name, loop in loops.items():
            for penalty in (False, True) if i % 2 == 0 else (False,):
                took = seconds(loop, penalty=penalty)
                if i >= 0:  # the first round only warms up
                    spent[name, penalty].append(took)
    speed = {}
    for name, loop in loops.items():
        plain, with_penalty = (statistics.median(spent[name, due]) for due in (False, True))
        interval = loop.config.r1_interval
        total = (interval - 1) * plain + with_penalty
        speed[name] = interval * loop.config.batch / total
    return speed


def main() -> None:
    """Time the loops, write the JSON, print the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, default=16, help="timed steps of each loop")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--separate", action="store_true", help="also without shared fakes")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    config = GeneratorTraining()
    noise = torch.rand(2048, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    data = Data(noise * 2 - 1)
    trainer = Trainer(config, data)
    plain = PlainLoop(trainer)
    check_same(trainer, plain)
    loops = {"genviews": trainer, BASELINE: plain}
    if options.separate:
        loops["genviews, separate fakes"] = Trainer(replace(config, shared_fakes=False), data)
    speed = measure(loops, options.steps)
    ratio = speed["genviews"] / speed[BASELINE]
    record = {
        "benchmark": "GAN training, images a second",
        "baseline": BASELINE,
        "ratios": [{"what": "training the generator", "baseline": BASELINE, "ratio": ratio}],
        "images_per_second": {name: round(value, 1) for name, value in speed.items()},
        "clock": "processor" if options.threads == 1 else "wall",
        "steps": options.steps,
        "seed": config.seed,
        "config": config.fixed_fields(),
        "environment": environment(),
    }
    write_json(options.out, record)
    for name, value in speed.items():
        print(f"{name}: {value:.1f} images a second")
    print(f"ratio {ratio:.2f} against {BASELINE}")


if __name__ == "__main__":
    main()
