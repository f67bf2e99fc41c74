"""Images a second at 256 pixels of other families than StyleGAN2, beside the originals on a CPU.

    python -m benchmarks.render_families --originals FOLDER       # checkouts of the originals

Random weights of the original, which ours reads out of its pickle; forward, and with the gradient
of the latents. Images and gradients are compared before any timing, and a difference stops the run;
repeats of the two are interleaved, and the median counts (`benchmarks.render`). The originals take
their own path without compiled operators. Writes results/benchmarks/render_families.json.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pickle
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import genviews
from benchmarks.agreement import commit_of, original
from benchmarks.generators_stylegan3 import stirred
from benchmarks.render import OURS, ROOT, Render, check_equal, measure
from genviews.files import write_json
from genviews.load.generator import load_generator
from genviews.memory import keep_freed_memory

ORIGINAL = "original, plain operators"
SEED = 0
_WIDTH: dict[str, Any] = {"channel_base": 4096, "channel_max": 64}
CASES: dict[str, dict[str, Any]] = {
    "stylegan3 t": {"conv_kernel": 3, **_WIDTH},
    "stylegan3 r": {"conv_kernel": 1, "use_radial_filters": True, **_WIDTH},
}
"""Name -> arguments of the synthesis: an eighth of the published widths, to end in minutes."""


def pair(config: Mapping[str, Any], size: int, checkout: Path) -> dict[str, Render]:
    """Ours and the original's rendering of the same weights."""
    with original(checkout), tempfile.TemporaryDirectory() as folder:
        networks = importlib.import_module("training.networks_stylegan3")
        torch.manual_seed(SEED)
        shape = {"z_dim": 64, "c_dim": 0, "w_dim": 64, "img_resolution": size, "img_channels": 3}
        theirs: Any = stirred(networks.Generator(**shape, **config), SEED)
        path = Path(folder) / "net.pkl"
        path.write_bytes(pickle.dumps({"G": theirs, "D": nn.Identity(), "G_ema": theirs}))
        ours = load_generator(path).generator
    return {OURS: ours.synthesize, ORIGINAL: _without_noise(theirs)}


def _without_noise(theirs: Any) -> Callable[[Tensor], Tensor]:  # noqa: ANN401 (their network)
    def render(latents: Tensor) -> Tensor:
        images: Tensor = theirs.synthesis(latents, noise_mode="const")
        return images

    return render


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--originals", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--batch", type=int, default=2, help="images a call (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls (default 3)")
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results/benchmarks/render_families.json"
    )
    given = parser.parse_args(argv)
    if given.threads:
        torch.set_num_threads(given.threads)
    keep_freed_memory()  # for both alike
    checkout = given.originals / "stylegan3"
    found = {}
    for name, config in CASES.items():
        renders = pair(config, given.size, checkout)
        draw = torch.Generator().manual_seed(SEED)
        latents = torch.randn(given.batch, 16, 64, generator=draw)
        differences = check_equal(renders, latents)
        speeds = measure(renders, latents, given.repeats)
        ratios = {step: of[OURS] / of[ORIGINAL] for step, of in speeds.items()}
        print(name, ", ".join(f"{step} {ratio:.2f} x" for step, ratio in ratios.items()))
        found[name] = {
            "config": config,
            "relative_difference": differences,
            "images_per_second": speeds,
            "ratios": ratios,
        }
    line = f"python -m benchmarks.render_families --originals FOLDER --size {given.size}"
    line += f" --batch {given.batch} --repeats {given.repeats} --threads {torch.get_num_threads()}"
    versions = {"genviews": genviews.__version__, "torch": torch.__version__}
    versions |= {"python": platform.python_version()}
    write_json(
        given.output,
        {
            "benchmark": "render_families",
            "command": line,
            "seed": SEED,
            "original": {"repository": "NVlabs/stylegan3", "commit": commit_of(checkout)},
            "versions": {**versions, "processors": os.cpu_count()},
            "families": found,
        },
    )


if __name__ == "__main__":
    main()
