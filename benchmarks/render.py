"""Images a second that StyleGAN2 renders, forward and with the gradient of the latents.

    python -m benchmarks.render                              # against the grouped convolution
    python -m benchmarks.render --official PATH_TO_CHECKOUT  # and against the official network

All paths hold the same weights and get the same latents; before any timing their images and
gradients are compared, and a difference stops the run. Repeats of the paths are interleaved, so
that a busy moment of the machine hits all alike; the median counts. The official network is the
public stylegan2-ada-pytorch, on its own path without compiled operators; `--official` or
GENVIEWS_OFFICIAL_STYLEGAN2 names a checkout. Writes results/benchmarks/render.json.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

import genviews
from benchmarks.naive_modconv import NaiveSynthesis
from benchmarks.official import VARIABLE, load_networks, official_twin
from genviews.files import write_json
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.memory import keep_freed_memory
from genviews.rng import Rng

OURS, NAIVE, OFFICIAL = "genviews", "naive grouped convolution", "official network, plain operators"
ROOT = Path(__file__).resolve().parents[1]
TOLERANCE = 1e-3  # of the norm; round-off is 1e-6, a leaky ReLU it tips over costs some 1e-5

# The architecture of the embedded generator.
FASHION32 = StyleGAN2Config(
    resolution=32,
    img_channels=1,
    z_dim=64,
    w_dim=64,
    mapping_layers=4,
    channels={4: 64, 8: 64, 16: 64, 32: 32},
    resample_filter=(1.0, 3.0, 3.0, 1.0),
)
Render = Callable[[Tensor], Tensor]


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64, help="images a call (default 64)")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls a path (default 15)")
    parser.add_argument(
        "--threads", type=int, default=None, help="torch threads (default: torch's)"
    )
    parser.add_argument("--device", default="cpu", help="torch device (default cpu)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and latents (default 0)")
    parser.add_argument("--official", type=Path, default=None, metavar="CHECKOUT")
    parser.add_argument("--output", type=Path, default=ROOT / "results/benchmarks/render.json")
    options = parser.parse_args(argv)
    if options.batch < 1 or options.repeats < 1:
        parser.error("--batch and --repeats are at least 1")
    if options.official is None and os.environ.get(VARIABLE):
        options.official = Path(os.environ[VARIABLE])
    return options


def command(options: argparse.Namespace) -> str:
    """The whole command line, but for where files are on this machine."""
    line = f"python -m benchmarks.render --batch {options.batch} --repeats {options.repeats}"
    line += f" --threads {torch.get_num_threads()} --device {options.device} --seed {options.seed}"
    return line + (" --official CHECKOUT" if options.official else "")


def random_generator(seed: int) -> StyleGAN2:
    """The architecture with random weights; biases and noise strengths are random too."""
    generator = StyleGAN2(FASHION32).eval()
    draw = Rng(seed, "benchmark weights").torch()
    for name, parameter in generator.named_parameters():
        scale = 100.0 if ".fc" in name else 0.3 if name.endswith("noise_strength") else 1.0
        parameter.data.copy_(torch.randn(parameter.shape, generator=draw) * scale)
    return generator


def paths(generator: StyleGAN2, checkout: Path | None) -> dict[str, Render]:
    """Name -> function from latents to images; ours first."""
    found: dict[str, Render] = {OURS: generator.synthesize, NAIVE: NaiveSynthesis(generator)}
    if checkout is None:
        print(f"{OFFICIAL}: absent; name a checkout with --official or in {VARIABLE}")
        return found
    twin = official_twin(load_networks(checkout), generator).to(generator.device)
    found[OFFICIAL] = lambda latents: twin.synthesis(latents, noise_mode="const")
    return found


def forward(render: Render, latents: Tensor) -> Tensor:
    """Images without gradient."""
    with torch.no_grad():
        return render(latents)


def backward(render: Render, latents: Tensor) -> Tensor:
    """Gradient of the mean square of the images with respect to the latents."""
    latents = latents.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(render(latents).square().mean(), latents)
    return gradient


def check_equal(renders: dict[str, Render], latents: Tensor) -> dict[str, float]:
    """Norm of the difference to our images and gradients, as a fraction of the norm of ours.

    Raises:
        SystemExit: a path renders something else, so that its speed says nothing.
    """
    differences = {}
    for what, step in (("images", forward), ("gradients", backward)):
        wanted = step(renders[OURS], latents)
        for name, render in renders.items():
            error = (step(render, latents) - wanted).norm() / wanted.norm()
            differences[f"{what}: {name}"] = error.item()
            if not error <= TOLERANCE:
                sys.exit(f"{name}: {what} differ from ours by {error:.2g}, so no speed is compared")
    return differences


def measure(
    renders: dict[str, Render], latents: Tensor, repeats: int
) -> dict[str, dict[str, float]]:
    """Median images a second, {step: {path: speed}}; the paths take turns within each repeat."""
    speeds = {}
    for step in (forward, backward):
        seconds: dict[str, list[float]] = {name: [] for name in renders}
        for repeat in range(repeats + 2):
            for name, render in renders.items():
                synchronize(latents)
                start = time.perf_counter()
                step(render, latents)
                synchronize(latents)
                if repeat >= 2:  # two calls warm up
                    seconds[name].append(time.perf_counter() - start)
        speeds[step.__name__] = {n: len(latents) / statistics.median(s) for n, s in seconds.items()}
    return speeds


def synchronize(latents: Tensor) -> None:
    """Wait for the accelerator, if there is one."""
    if latents.is_cuda:
        torch.cuda.synchronize()


def main(argv: list[str] | None = None) -> None:
    """Compare, measure, print, write."""
    options = arguments(argv)
    keep_freed_memory()  # for every path alike
    if options.threads:
        torch.set_num_threads(options.threads)
    generator = random_generator(options.seed).to(options.device).requires_grad_(False)
    renders = paths(generator, options.official)
    ids = Rng(options.seed, "benchmark").streams(range(options.batch))
    with torch.no_grad():
        latents = generator.map(generator.sample(ids))
    print(f"batch {options.batch}, {torch.get_num_threads()} threads, {options.device}")
    differences = check_equal(renders, latents)
    speeds = measure(renders, latents, options.repeats)
    for step, of in speeds.items():
        for name, speed in of.items():
            ratio = speeds[step][OURS] / speed
            print(f"{step:9s} {speed:9.1f} images/s  {ratio:5.2f} x  {name}")
    channels = FASHION32.block_channels
    result = {
        "benchmark": "render",
        "command": command(options),
        "seed": options.seed,
        "config": {
            "batch": options.batch,
            "repeats": options.repeats,
            "threads": torch.get_num_threads(),
            "device": options.device,
            "generator": {
                **asdict(FASHION32),
                "channels": {str(r): c for r, c in channels.items()},
            },
        },
        "versions": {
            "genviews": genviews.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "processors": os.cpu_count(),
        },
        "relative_difference": differences,
        "images_per_second": speeds,
        "ratios": [
            {"what": f"synthesis, {step}", "baseline": name, "ratio": of[OURS] / speed}
            for step, of in speeds.items()
            for name, speed in of.items()
            if name != OURS
        ],
    }
    write_json(options.output, result)
    baseline = OFFICIAL if OFFICIAL in renders else NAIVE
    ratio = speeds["forward"][OURS] / speeds["forward"][baseline]
    print(f"ratio {ratio:.2f} against {baseline}")


if __name__ == "__main__":
    main()
