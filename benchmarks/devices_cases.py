"""Uses of generators off the CPU, on a pretended device: what a checkout of genviews does in each.

Run by `benchmarks.devices` as a program of its own, by its path, with the checkout as PYTHONPATH.
It uses only what all versions have had.
"""

from __future__ import annotations

import importlib.util
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genviews import Classifier, Inverter, Rng, ToyGenerator, invert
from genviews.cli import main
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.start import EncoderStart
from genviews.pipeline import GenerativeTTA

__all__ = ["cases", "try_all"]

Use = Callable[[torch.device], None]

USAGE, FINISHED = 2, (0, 3)  # exit codes; 3 is of results on which no verdict can rest
IMAGES = ToyGenerator().synthesize(torch.randn(6, 4, 4, generator=Rng(0).torch())).detach()
LABELS = (IMAGES.mean((1, 2, 3)) > 0).long()
MASKS = torch.ones(6, 1, 8, 8)
MASKS[:, :, :2] = 0


def inverter(start: str) -> Inverter:
    """Two steps, from the mean latent or from what an encoder says."""
    if start == "mean":
        return Inverter(steps=2)
    config = EncoderConfig(
        image_channels=1, size=8, num_layers=4, dim=4, widths=(8,), blocks=(1,), neck=8
    )
    return Inverter(start=EncoderStart(InversionEncoder(config).eval()), steps=2)


def whole(start: str, there: bool, device: torch.device) -> None:
    """Move a `GenerativeTTA` by `.to(device)` alone; fit it and classify."""
    toy = ToyGenerator()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    classifier = Classifier(network, toy.image_spec, ("dark", "bright"))
    tta = GenerativeTTA(classifier, toy, inverter=inverter(start), num_views=2).to(device)
    images, labels = (x.to(device) if there else x for x in (IMAGES, LABELS))
    tta.fit(images, labels)
    tta.predict_proba(images)


def inversion(start: str, there: bool, masked: bool, device: torch.device) -> None:
    """Invert by a generator that was moved, with masks that stay on the CPU."""
    images = IMAGES.to(device) if there else IMAGES
    masks = MASKS if masked else None
    invert(ToyGenerator().to(device), images, masks, inverter=inverter(start))


def double(start: str, device: torch.device) -> None:
    """A `GenerativeTTA` in float64, and images in float64; needs no device."""
    toy = ToyGenerator()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    classifier = Classifier(network, toy.image_spec, ("dark", "bright"))
    tta = GenerativeTTA(classifier, toy, inverter=inverter(start), num_views=2).double()
    tta.fit(IMAGES.double(), LABELS)
    tta.predict_proba(IMAGES.double())


def demo(device: torch.device) -> None:
    """The command line: it moves what its flags name.

    Raises:
        RuntimeError: it failed; with the last line that it printed.
    """
    words = ["demo", "--calibration", "8", "--test", "8", "--steps", "2", "--device", device.type]
    shown, code = io.StringIO(), USAGE
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(shown), redirect_stdout(shown):
        for views in ("--num-views", "--views"):  # as it has been called
            if code == USAGE:
                code = main([*words, views, "2", "--out", folder])
    if code not in FINISHED:
        raise RuntimeError(" ".join(shown.getvalue().splitlines()[-1:]))


def cases() -> dict[str, Use]:
    """Each use by its name; it is given the device."""
    place = {False: "images on the CPU", True: "images on the device"}
    found: dict[str, Use] = {}
    for start, there in product(("mean", "encoder"), (False, True)):
        found[f"tta.to(device), {start} start, {place[there]}"] = partial(whole, start, there)
        for masked in (False, True):
            said = "masks on the CPU" if masked else "no masks"
            name = f"invert, {start} start, {place[there]}, {said}"
            found[name] = partial(inversion, start, there, masked)
    for start in ("mean", "encoder"):
        found[f"tta.double(), {start} start, float64 images"] = partial(double, start)
    found["genviews demo --device DEVICE"] = demo
    return found


def try_all(uses: Mapping[str, Use], pretend: Callable[[], Any]) -> dict[str, str]:
    """What each use ends in: "passes", or the first line of its error.

    Args:
        uses: by their names.
        pretend: `pretended_device` of the tests.
    """
    found = {}
    for name, use in uses.items():
        torch.manual_seed(0)
        try:
            with pretend() as device:
                use(device)
            found[name] = "passes"
        except Exception as error:  # whatever an old version raises is what was found
            found[name] = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return found


if __name__ == "__main__":
    tool = Path(__file__).resolve().parents[1] / "tests" / "pretended_device.py"
    spec = importlib.util.spec_from_file_location("pretended_device", tool)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    print(json.dumps(try_all(cases(), module.pretended_device)))
