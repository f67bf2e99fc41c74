"""A small generator of every family and format, as a user has one on disk or in a module.

Each of `FORMATS` writes one into a folder, and returns what is said of it on the command line.
Images have 32 pixels where the format lets them: the fewest that LPIPS can measure are 31.

`tests.formats` has the smallest files, to be damaged; these make pictures of some contrast, to be
perturbed and inverted.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks import generators_diffusers as diffusers
from benchmarks.nvidia_files import pytorch_pickle, tensorflow_pickle
from genviews.cli import main
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.pca import PCAStatistics
from tests.contracts import test_generators as contract
from tests.generators import naive_others as naive
from tests.generators import test_files_of_families as nvidia
from tests.generators import test_other_families as others
from tests.load import test_inversion_encoder as encoders
from tests.load.naive_encoders import style_encoder

Write = Callable[[Path], list[str]]

NAME = "toys_here"
"""Of the user's module."""
MODULE = """
import warnings
import torch
from genviews.generators.diffusion import PipelineGenerator
from genviews.generators.toy import ToyGenerator
from tests import pretended_diffusers

toy, classed = ToyGenerator(channels=3, size=32), ToyGenerator(size=32, num_classes=3)


def decode(z):
    return toy.synthesize(toy.map(z))


def decode_class(z, c):
    images = classed.synthesize(classed.map(z.flatten(1), c)).clamp(-1, 1)
    return {"pictures": (images.movedim(1, -1) + 1) * 127.5, "noise": z}


def no_gradient(z):
    with torch.no_grad():
        return decode(z)


class Decoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(8, 3 * 32 * 32)

    def forward(self, z):
        return self.linear(z).tanh().reshape(-1, 3, 32, 32)


class Brightness(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.classes = classes

    def forward(self, images):
        mean = images.mean((1, 2, 3))[:, None]
        return -(mean - torch.linspace(-0.5, 0.5, self.classes)).square()


def two():
    return Brightness(2)


def three():
    return Brightness(3)


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.load("net.ts")


def pixels():
    network = pretended_diffusers.Network(3, 4, num_class_embeds=3)
    return PipelineGenerator(network, pretended_diffusers.Scheduler())


def prompted():
    return pretended_diffusers.prompted()


def autoencoder():
    return pretended_diffusers.autoencoder()
"""
WIDE = {"resolution": 32, "channels": {4: 8, 8: 8, 16: 8, 32: 4}}
STYLEGAN2 = StyleGAN2Config(z_dim=6, w_dim=6, mapping_layers=2, **WIDE)
CLASSED = StyleGAN2Config(**{**vars(STYLEGAN2), "c_dim": 2, "img_channels": 1})


def _stylegan2(config: StyleGAN2Config) -> StyleGAN2:
    """Random weights overshoot [-1, 1] more than a trained generator does: these do not."""
    made = others.stylegan2(config)
    for name, weight in made.named_parameters():
        if name.endswith("torgb.weight"):
            weight.data.mul_(0.1)
    return made


def _file(name: str, content: bytes, folder: Path) -> list[str]:
    (folder / name).write_bytes(content)
    return [name]


def _ada(folder: Path) -> list[str]:
    return _file("net.pkl", pytorch_pickle(_stylegan2(CLASSED)), folder)


def _tensorflow(folder: Path) -> list[str]:
    clamped = StyleGAN2Config(**{**vars(STYLEGAN2), "conv_clamp": 1.0})
    return _file("net.pkl", tensorflow_pickle(clamped), folder)


def _stylegan3(folder: Path, **options: object) -> list[str]:
    made = contract.stylegan3(**{"resolution": 32, **options})
    return [nvidia.file_of(folder, G_ema=nvidia.of_stylegan3(made)).name]


def _r3gan(folder: Path) -> list[str]:
    made = contract.r3gan(
        widths=(8, 8, 8, 4), groups=(4, 2, 2, 1), blocks=(1, 1, 1, 1), c_dim=2, class_width=3
    )
    network = nvidia.tree(nvidia.official_names(made), nvidia.of_plain)
    return [nvidia.file_of(folder, G_ema=network).name]


def _edm(folder: Path) -> list[str]:
    made = contract.edm(resolution=4, channel_mult=(1, 1), attn_resolutions=())
    return [nvidia.file_of(folder, ema=nvidia.of_edm(made, {}, {})).name]


def _saved(name: str, content: object, folder: Path) -> list[str]:
    torch.save(content, folder / name)
    return [name]


def _rosinality(folder: Path) -> list[str]:
    made = _stylegan2(STYLEGAN2)
    held = {"g_ema": others.state_dict(others.rosinality(made)), "latent_avg": made.mapping.w_avg}
    return _saved("net.pt", held, folder)


def _e4e(folder: Path) -> list[str]:
    """With an encoder beside the generator."""
    weights, blank = naive.Weights(), torch.zeros(1, 3, 256, 256)
    style_encoder(weights, blank, 8, 6, (4, 6, 8, 4), (1, 1, 1, 1), "mean")
    opts = Namespace(encoder_type="SingleStyleCodeEncoder")
    encoders.written(folder / "net.pt", weights, opts, _stylegan2(encoders.WIDE))
    return ["net.pt"]


def _drawn(name: str, run: Callable[[naive.Weights], object], folder: Path) -> list[str]:
    return _saved(name, others.state_dict(others.drawn(run)), folder)


def _in_domain(w: naive.Weights) -> object:
    return others.stylegan1(w, torch.ones(1, 5))


def _deep(w: naive.Weights) -> object:
    blocks = ((False, 16, 16), (True, 16, 8), *((False, 8, 8), (True, 8, 8)) * 2)
    more = {"blocks": blocks, "attention": 2, "class_dim": 4, "classes": 3}
    return naive.biggan_deep(w, torch.ones(1, 4), torch.tensor([0]), **more)


def _chunked(w: naive.Weights, classes: int) -> object:
    more = {"attention": (1,), "chunk": 2, "class_dim": 3, "classes": classes}
    return naive.biggan(w, torch.ones(1, 8), torch.tensor([0]), channels=(8, 8, 8, 16), **more)


def _converted(folder: Path) -> list[str]:
    """A file of our own, of somebody else's."""
    _ada(folder)
    words = [
        "generator",
        "convert",
        str(folder / "net.pkl"),
        "--out",
        str(folder / "net.safetensors"),
    ]
    assert main([*words, "--generator-class-names", "cat,dog"]) == 0
    return ["net.safetensors"]


def _beside_its_config(folder: Path) -> list[str]:
    made = _stylegan2(STYLEGAN2)
    save_file({k: v.contiguous() for k, v in made.state_dict().items()}, folder / "net.safetensors")
    known = {"z_dim": 6, "w_dim": 6, "mapping_layers": 2, **WIDE, "ranges": {"fine": [4, 8]}}
    (folder / "net.json").write_text(json.dumps(known))
    return ["net.json"]


def _kit(folder: Path) -> list[str]:
    toy = ToyGenerator(channels=1, size=32, num_classes=2)
    GeneratorKit(toy, directions=PCAStatistics.measure(toy, 100)).save(folder / "kit")
    return ["kit"]


def _function(name: str, *flags: str) -> list[str]:
    return [f"{NAME}:{name}", *flags]


def _scripted(folder: Path) -> list[str]:
    words = _function("scripted")
    made: dict[str, type[torch.nn.Module]] = {}
    exec(MODULE, made)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # it is out of date, as are the files that it wrote
        torch.manual_seed(0)
        torch.jit.trace(made["Decoder"](), torch.zeros(2, 8)).save(folder / "net.ts")
    return [*words, "--z-dim", "8"]


def _of(name: str, *flags: str) -> Write:
    return lambda folder: _function(name, *flags)


CLASS_FLAGS = (
    *("--z-dim", "8", "--num-classes", "3", "--generator-z-shape", "pixels"),
    *("--generator-classes", "index", "--generator-class-names", "bag,coat,shoe"),
    *("--generator-output", "pictures", "--generator-axes", "channels-last"),
    *("--generator-range", "0..255", "--generator-colours", "rgb"),
)


@dataclass(frozen=True, kw_only=True)
class Format:
    """A way in which a generator comes.

    Args:
        write: writes one into a folder with `MODULE`, and returns the words after `generator show`.
        space: of its latents.
        size: pixels of a side.
        channels: of its images.
        classes: of its images.
        gradient: whether one reaches its latents.
        encoder: whether one for inversions comes with it.
    """

    write: Write
    space: str = "w+"
    size: int = 32
    channels: int = 3
    classes: int = 0
    gradient: bool = True
    encoder: bool = False


def _in_z(write: Write, **facts: Any) -> Format:
    return Format(write=write, space="z", **facts)


RADIAL = {"conv_kernel": 1, "use_radial_filters": True, "c_dim": 2}
XL = {"resolution": 64, "heads": ((3, 2), (4, 2)), "c_dim": 2, "class_embedding": 3}

FORMATS: dict[str, Format] = {
    "stylegan2-ada": Format(write=_ada, channels=1, classes=2),
    "stylegan2 of TensorFlow": Format(write=_tensorflow),
    "stylegan3-t": Format(write=_stylegan3),
    "stylegan3-r": Format(write=partial(_stylegan3, **RADIAL), classes=2),
    "stylegan-xl": Format(write=partial(_stylegan3, **XL), size=64, classes=2),
    "rosinality": Format(write=_rosinality),
    "e4e": Format(write=_e4e, encoder=True),
    "in-domain": Format(write=partial(_drawn, "net.pth", _in_domain), size=16),
    "our own file": Format(write=_converted, channels=1, classes=2),
    "weights beside a config": Format(write=_beside_its_config),
    "a kit": Format(write=_kit, channels=1, classes=2),
    "r3gan": _in_z(_r3gan, classes=2),
    "biggan-deep": _in_z(partial(_drawn, "pytorch_model.bin", _deep), classes=3),
    "biggan": _in_z(partial(_drawn, "net.pth", partial(_chunked, classes=3)), classes=3),
    "bigbigan": _in_z(partial(_drawn, "net.pth", partial(_chunked, classes=1))),
    "edm": _in_z(_edm, size=4),
    "a function": _in_z(_of("decode", "--z-dim", "8")),
    "a function of classes": _in_z(_of("decode_class", *CLASS_FLAGS), classes=3),
    "a function without gradient": _in_z(_of("no_gradient", "--z-dim", "8"), gradient=False),
    "torchscript": _in_z(_scripted),
    "a pipeline of classes": _in_z(_of("pixels"), size=4, classes=3),
    "a pipeline of prompts": _in_z(_of("prompted"), size=4, classes=2),
    "an autoencoder": _in_z(_of("autoencoder"), size=6, encoder=True),
}


def _diffusers(case: str, folder: Path) -> list[str]:
    chosen = diffusers.CASES[case]
    if chosen.scheduler:
        pipeline = diffusers.pipeline_of(chosen, folder)
        pipeline.save_pretrained(folder / "net")
        names = ["--generator-class-names", "a b,c"]
        return ["net", *(names if "tokenizer" in pipeline.components else [])]
    diffusers.made(chosen.kind, **chosen.network).save_pretrained(folder / "net")
    config = folder / "net" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 16}))
    return ["net"]


def _of_diffusers(name: str) -> Format:
    case = diffusers.CASES[name]
    write, alone = partial(_diffusers, name), not case.scheduler
    prompts = case.kind.startswith(("Stable", "Latent"))
    classes = 2 if prompts else case.network.get("num_class_embeds", 0)
    return _in_z(write, size=16 if prompts or alone else 8, classes=classes, encoder=alone)


if importlib.util.find_spec("diffusers") is not None:
    # Those of a kind differ in their steps, which are no part of a folder.
    kinds = {(case.kind, case.scheduler): name for name, case in reversed(diffusers.CASES.items())}
    FORMATS |= {name: _of_diffusers(name) for name in kinds.values()}
