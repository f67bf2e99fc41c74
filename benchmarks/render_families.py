"""Images a second at 256 pixels of several families, beside the originals on a CPU.

    python -m benchmarks.render_families --originals FOLDER [NAME ...]   # checkouts of originals

Random weights of the original, which ours reads out of its file; forward, and with the gradient of
the latents. Images and gradients are compared before any timing, and a difference stops the run;
repeats of the two are interleaved, and the median counts (`benchmarks.render`). The originals take
their own path without compiled operators. Writes results/benchmarks/render_families.json, where
families that are not named keep what they have.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pickle
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import genviews
from benchmarks.agreement import commit_of, original, randomised
from benchmarks.generators_ports import opened
from benchmarks.generators_stylegan3 import stirred
from benchmarks.render import OURS, ROOT, Render, check_equal, measure
from benchmarks.settled import imported, settled
from genviews.files import write_json
from genviews.generators.base import Generator
from genviews.load.generator import load_generator
from genviews.memory import keep_freed_memory
from genviews.rng import Rng

ORIGINAL = "original, plain operators"
SEED = 0

Pair = tuple[dict[str, Render], Tensor]
"""Ours and the original's rendering of the same weights, and what they render."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family, and the original that it is timed against.

    Args:
        repository: owner and name of the original, whose checkout is the folder `name`.
        config: arguments of the original.
        pair: makes both of the arguments, pixels, a number of images and the checkout.
    """

    repository: str
    config: Mapping[str, Any]
    pair: Callable[[Mapping[str, Any], int, int, Path], Pair]


def _nvidia(module: str, stir: Callable[[nn.Module, int], nn.Module]) -> Callable[..., Pair]:
    """A release of NVIDIA: latents w+ of its pickle."""

    def pair(config: Mapping[str, Any], size: int, batch: int, checkout: Path) -> Pair:
        with original(checkout), tempfile.TemporaryDirectory() as folder:
            networks = importlib.import_module(module)
            torch.manual_seed(SEED)
            theirs: Any = stir(networks.Generator(img_resolution=size, **config), SEED)
            path = Path(folder) / "net.pkl"
            path.write_bytes(pickle.dumps({"G": theirs, "D": nn.Identity(), "G_ema": theirs}))
            ours = load_generator(path).generator

        def render(latents: Tensor) -> Tensor:
            images: Tensor = theirs.synthesis(latents, noise_mode="const")
            return images

        latents = Rng(SEED).streams(range(batch)).normal(1, ours.latent_spec.shape)[:, 0]
        return {OURS: ours.synthesize, ORIGINAL: render}, latents

    return pair


def _of_classes(
    ours: Generator, theirs: Callable[[Tensor, Tensor], Tensor], classes: int, batch: int
) -> Pair:
    """Both from z, of some classes."""
    label = torch.arange(batch) % classes

    def mine(z: Tensor) -> Tensor:
        return ours.synthesize(ours.map(z, label), label)

    z = ours.sample(Rng(SEED).streams(range(batch)))
    return {OURS: mine, ORIGINAL: lambda latents: theirs(latents, label)}, z


def _biggan(config: Mapping[str, Any], size: int, batch: int, checkout: Path) -> Pair:
    with (
        imported(checkout, "pytorch_pretrained_gans.BigBiGAN") as (module,),
        tempfile.TemporaryDirectory() as folder,
    ):
        torch.manual_seed(SEED)
        whole = {**module.make_biggan_config(size), **config}
        theirs = settled(module.BigGAN.Generator(**whole))
        ours = opened(Path(folder), theirs.state_dict())
    classes = whole["n_classes"]
    return _of_classes(ours, lambda z, label: theirs(z, theirs.shared(label)), classes, batch)


def _biggan_deep(config: Mapping[str, Any], size: int, batch: int, checkout: Path) -> Pair:
    with (
        imported(checkout, "pytorch_pretrained_biggan") as (module,),
        tempfile.TemporaryDirectory() as folder,
    ):
        torch.manual_seed(SEED)
        theirs = module.BigGAN(module.BigGANConfig(output_dim=size, **config))
        nn.init.ones_(theirs.generator.bn.weight)  # made without values
        nn.init.zeros_(theirs.generator.bn.bias)
        classes = config["num_classes"]
        with torch.no_grad():
            for _ in range(20):  # the singular vectors settle, a step at each call
                theirs.train()(torch.zeros(1, config["z_dim"]), torch.eye(classes)[:1], 1.0)
        ours = opened(Path(folder), settled(theirs).state_dict())
    return _of_classes(
        ours, lambda z, label: theirs(z, one_hot(label, classes).float(), 1.0), classes, batch
    )


_EIGHTH: dict[str, Any] = {"channel_base": 4096, "channel_max": 64}
_SHAPE: dict[str, Any] = {"z_dim": 64, "c_dim": 0, "w_dim": 64, "img_channels": 3}
_STYLEGAN2: dict[str, Any] = {**_SHAPE, "z_dim": 512, "w_dim": 512}
_STYLEGAN2["mapping_kwargs"] = {"num_layers": 2}  # not timed
_STYLEGAN2["synthesis_kwargs"] = {"channel_base": 16384, "channel_max": 512}
# Channels of the published 256 pixels, in multiples of the width: 16 at first and 1 at last.
_DEEP = [(False, 16, 16), (True, 16, 16), (False, 16, 16), (True, 16, 8), (False, 8, 8)]
_DEEP += [(True, 8, 8), (False, 8, 8), (True, 8, 4), (False, 4, 4), (True, 4, 2), (False, 2, 2)]
_DEEP += [(True, 2, 1)]
_WIDE: dict[str, Any] = {"z_dim": 128, "class_embed_dim": 128, "num_classes": 10}
_WIDE |= {"channel_width": 128, "layers": _DEEP, "attention_layer_position": 8}
_STYLEGAN3 = _nvidia("training.networks_stylegan3", stirred)

FAMILIES: dict[str, Family] = {
    "stylegan2": Family(
        repository="NVlabs/stylegan2-ada-pytorch",
        config=_STYLEGAN2,
        pair=_nvidia("training.networks", randomised),
    ),
    "biggan": Family(
        repository="lukemelas/pytorch-pretrained-gans", config={"n_classes": 10}, pair=_biggan
    ),
    "biggan_deep": Family(
        repository="huggingface/pytorch-pretrained-BigGAN", config=_WIDE, pair=_biggan_deep
    ),
    "stylegan3 t": Family(
        repository="NVlabs/stylegan3",
        config={**_SHAPE, "conv_kernel": 3, **_EIGHTH},
        pair=_STYLEGAN3,
    ),
    "stylegan3 r": Family(
        repository="NVlabs/stylegan3",
        config={**_SHAPE, "conv_kernel": 1, "use_radial_filters": True, **_EIGHTH},
        pair=_STYLEGAN3,
    ),
}
"""Published widths, but for StyleGAN3: an eighth of them, to end in minutes; few classes."""


def timed(name: str, originals: Path, size: int, batch: int, repeats: int) -> dict[str, Any]:
    """What came of a family.

    Raises:
        FileNotFoundError: its original is not in the folder.
        SystemExit: ours renders something else.
    """
    family = FAMILIES[name]
    checkout = originals / family.repository.partition("/")[2]
    if not checkout.is_dir():
        raise FileNotFoundError(f"no checkout {checkout.name} of {family.repository}")
    renders, latents = family.pair(family.config, size, batch, checkout)
    differences = check_equal(renders, latents)
    speeds = measure(renders, latents, repeats)
    return {
        "original": {"repository": family.repository, "commit": commit_of(checkout)},
        "config": dict(family.config),
        "size": size,
        "batch": batch,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        "relative_difference": differences,
        "images_per_second": speeds,
        "ratios": {step: of[OURS] / of[ORIGINAL] for step, of in speeds.items()},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(FAMILIES))
    parser.add_argument("--originals", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--size", type=int, default=256, help="pixels (default 256)")
    parser.add_argument("--batch", type=int, default=2, help="images a call (default 2)")
    parser.add_argument("--repeats", type=int, default=3, help="timed calls (default 3)")
    parser.add_argument("--threads", type=int, default=None, help="torch threads")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "results/benchmarks/render_families.json"
    )
    given = parser.parse_args(argv)
    if strange := [name for name in given.names if name not in FAMILIES]:
        parser.error(f"no family {strange[0]}; there are {', '.join(FAMILIES)}")
    if given.threads:
        torch.set_num_threads(given.threads)
    keep_freed_memory()  # for both alike
    before = json.loads(given.output.read_text())["families"] if given.output.exists() else {}
    for name in given.names or FAMILIES:
        found = timed(name, given.originals, given.size, given.batch, given.repeats)
        title = f"{name}, {given.batch} at once"
        before[title] = found
        ratios = ", ".join(f"{step} {ratio:.2f} x" for step, ratio in found["ratios"].items())
        print(title, ratios, flush=True)
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
            "versions": {**versions, "processors": os.cpu_count()},
            "families": dict(sorted(before.items())),
        },
    )


if __name__ == "__main__":
    main()
