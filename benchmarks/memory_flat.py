"""How much memory `learn`, `ensemble` and `GenerativeTTA.predict_proba` take, by number of images.

Command: python -m benchmarks.memory_flat
Claim: the peak of resident memory over 200 and 2,000 images of 3x256x256 differs by less than 15 %.
Each measurement is a process of its own; the peak is the kernel's (`ru_maxrss`). The generator is a
toy that draws stripes, so the memory is that of images and not of a network.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from genviews.environment import environment
from genviews.files import write_json

RESULT = Path("results/benchmarks/memory_flat.json")
COUNTS, SIZE, ALLOWED = (200, 2000), 256, 1.15

MODULE = """
import torch
from torch import nn

torch.manual_seed(0)
STRIPES = torch.randn(8, 3, {size}, 1)


def stripes(z):
    drawn = torch.einsum("nz,zchw->nchw", z, STRIPES.to(z))
    return torch.tanh(0.3 * drawn).expand(-1, -1, -1, {size})


class Mean(nn.Module):
    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def network():
    return Mean()
"""
PREDICT = """
import torch
from mine import Mean, stripes
from genviews import Classifier, GenerativeTTA, Inverter
from genviews.generators.callable import CallableGenerator
from genviews.load.images import load_images
from genviews.perturb.noise import Isotropic

torch.set_num_threads(1)
generator = CallableGenerator(stripes, z_dim=8)
source = load_images("images", generator.image_spec)
classifier = Classifier(Mean(), generator.image_spec, ("dark", "light"))
tta = GenerativeTTA(
    classifier,
    generator,
    inverter=Inverter(steps=1),
    perturbation=Isotropic("all", 0.1),
    num_views=2,
    batch_size=16,
)
few = source.select(range(0, len(source), 10))
tta.fit(few, few.labels)
tta.ensemble_.alpha_ = 0.5  # so that every image is inverted
assert tta.predict_proba(source).isfinite().all()
"""
# The kernel lets a process begin with the peak of the one that starts it, so a small one does.
LAUNCH = """
import os, sys
words = [sys.executable, *sys.argv[1:]]
_, status, usage = os.wait4(os.posix_spawn(words[0], words, os.environ), 0)
print(usage.ru_maxrss)
sys.exit(status != 0)
"""
GENERATOR = ("--generator", "mine:stripes", "--z-dim", "8")
CASES: dict[str, tuple[str, ...]] = {
    "predict_proba": ("-c", PREDICT),
    "learn": (
        *("-m", "genviews.cli", "learn", "--real", "images", "--out", "learn", "--device", "cpu"),
        *("--updates", "2", "--batch", "4", "--backbone", "resnet18"),
    ),
    "ensemble": (
        *("-m", "genviews.cli", "ensemble", "--images", "images", "--out", "ensemble"),
        *("--classifier", "mine:network", *GENERATOR, "--steps", "1", "--num-views", "2"),
        *("--batch-size", "16", "--device", "cpu"),
    ),
}


def write_images(folder: Path, count: int, size: int) -> None:
    """Write images of two classes, and the user's module."""
    (folder / "mine.py").write_text(MODULE.format(size=size))
    random = np.random.default_rng(0)
    for number in range(count):
        level = 64 if number % 2 else 160
        target = folder / "images" / ("dark" if number % 2 else "light")
        target.mkdir(parents=True, exist_ok=True)
        stripes = random.integers(level, level + 64, (size, 1, 3), dtype=np.uint8)
        Image.fromarray(np.repeat(stripes, size, 1)).save(target / f"{number:05d}.png")


def peak_megabytes(words: Sequence[str], folder: Path) -> float:
    """Run Python in a folder; returns the largest resident memory of that process.

    Raises:
        RuntimeError: it failed.
    """
    root = str(Path(__file__).resolve().parents[1])
    environ = {**os.environ, "PYTHONPATH": f"{root}:{folder}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-S", "-c", LAUNCH, *words]
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    peak = int(done.stdout.splitlines()[-1])
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # bytes, or KiB


def measure(cases: Sequence[str], counts: Sequence[int], size: int) -> dict[str, dict[str, float]]:
    """Peak of each case by number of images, in MiB."""
    found: dict[str, dict[str, float]] = {case: {} for case in cases}
    for count in counts:
        with tempfile.TemporaryDirectory() as name:
            write_images(Path(name), count, size)
            for case in cases:
                found[case][str(count)] = round(peak_megabytes(CASES[case], Path(name)), 1)
                print(f"{case}, {count} images: {found[case][str(count)]} MiB", flush=True)
    return found


def main(
    *,
    cases: Sequence[str] = tuple(CASES),
    counts: Sequence[int] = COUNTS,
    size: int = SIZE,
    out: Path = RESULT,
) -> dict[str, float]:
    """Measure, write the JSON; returns the growth of each case."""
    found = measure(cases, counts, size)
    growth = {
        case: round(peaks[str(counts[-1])] / peaks[str(counts[0])], 3)
        for case, peaks in found.items()
    }
    write_json(
        out,
        {
            "benchmark": "memory_flat",
            "command": "python -m benchmarks.memory_flat",
            "seed": 0,
            "config": {"counts": list(counts), "size": size, "channels": 3, "threads": 1},
            "peak_mebibytes": found,
            "growth": growth,
            "allowed": ALLOWED,
            "environment": environment(),
        },
    )
    print(growth)
    return growth


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    given = parser.parse_args()
    sys.exit(0 if max(main(cases=given.cases).values()) < ALLOWED else 1)
