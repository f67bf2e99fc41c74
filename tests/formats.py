"""A small file of every format that is read, as a value that tests change before it is written.

    content (dicts, lists, networks, tensors, numbers)  ->  written into a folder  ->  opened

`FORMATS` is the table. Each reader of generators must know one of them, and each family be written
by `save_generator`: `tests/generators/test_fuzz.py` fails where one is missing.
"""

from __future__ import annotations

import json
import pickle
import tempfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.generators_diffusers import CASES, made, pipeline_of
from benchmarks.nvidia_files import (
    named_class,
    persistence,
    pytorch_network,
    tensorflow,
    tensorflow_networks,
)
from genviews.classify.network import SmallResNet
from genviews.files import save_tensors
from genviews.generators.edm import EDM, EDMConfig
from genviews.generators.families import save_generator
from genviews.generators.r3gan import R3GAN, R3GANConfig
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from genviews.invert.encoders import read_encoder
from genviews.kit import GeneratorKit
from genviews.load.classifier import load_classifier
from genviews.load.generator import load_generator
from genviews.load.inversion_encoder import load_inversion_encoder
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.walks import Walks
from genviews.rng import Rng
from genviews.types import ImageSpec
from tests.generators import test_files_of_families as families
from tests.generators import test_other_families as others
from tests.generators.naive_others import Weights
from tests.load import naive_encoders as naive
from tests.load import test_inversion_encoder as encoders


@dataclass(frozen=True)
class Format:
    """A format.

    Args:
        content: gives what a good file holds.
        write: a content, whatever was changed in it, into an empty folder; where it lies.
        open: what is there, and ask it for an image if it is a generator.
    """

    content: Callable[[], object]
    write: Callable[[object, Path], Path]
    open: Callable[[Path], object]


# ---- How a content is written --------------------------------------------------------------------


def pickled(content: object, folder: Path) -> Path:
    """By pickle, with the classes of the releases named as if they were installed."""
    path = folder / "net.pkl"
    with ExitStack() as named:
        _name_classes(named)
        path.write_bytes(pickle.dumps(content, 4))
    return path


def saved(content: object, folder: Path, *, zipped: bool = True) -> Path:
    """By `torch.save`."""
    path = folder / "net.pth"
    with ExitStack() as named:
        _name_classes(named)
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def _name_classes(named: ExitStack) -> None:
    named.enter_context(persistence())
    named.enter_context(tensorflow())
    named.enter_context(named_class("training.networks", "Generator", families.Plain))


def as_safetensors(content: object, folder: Path, name: str = "net") -> Path:
    """A header of JSON, with more JSON in its texts, and the numbers."""
    path = folder / f"{name}.safetensors"
    path.write_bytes(_safetensors(content))
    return path


def _safetensors(content: object) -> bytes:
    content = content if isinstance(content, dict) else {"header": content}
    header, data = content.get("header"), content.get("data")
    text = header.get("__metadata__") if isinstance(header, dict) else None
    if isinstance(text, dict):
        texts = {k: as_json(v) if isinstance(v, dict | list) else v for k, v in text.items()}
        header = {**header, "__metadata__": texts}
    head = as_json(header).encode()
    return len(head).to_bytes(8, "little") + head + (data if isinstance(data, bytes) else b"")


def as_json(value: object) -> str:
    """JSON, in which what is none is a text."""
    return json.dumps(value, default=repr, skipkeys=True)


def as_folder(content: object, folder: Path) -> Path:
    """Files by their names."""
    place = folder / "net"
    place.mkdir()
    for name, value in content.items() if isinstance(content, dict) else ():
        path = place / str(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".json":
            path.write_text(as_json(value))
        elif path.suffix == ".safetensors" and not isinstance(value, bytes):
            path.write_bytes(_safetensors(value))
        else:
            path.write_bytes(value if isinstance(value, bytes) else str(value).encode())
    return place


# ---- How a good file is read, to be changed ------------------------------------------------------


def parsed_safetensors(path: Path) -> dict[str, object]:
    """What `as_safetensors` writes, of a file."""
    data = path.read_bytes()
    size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:size])
    text = header.get("__metadata__", {})
    text |= {name: json.loads(value) for name, value in text.items() if value[:1] in ("{", "[")}
    return {"header": header, "data": data[size:]}


def parsed_folder(place: Path, *, hashed: bool = False) -> dict[str, object]:
    """What `as_folder` writes, of a folder; weights whose hash is on a card stay as they are."""
    found: dict[str, object] = {}
    for path in sorted(one for one in place.rglob("*") if one.is_file()):
        name = str(path.relative_to(place))
        if path.suffix == ".json":
            found[name] = json.loads(path.read_text())
        elif path.suffix == ".safetensors" and not hashed:
            found[name] = parsed_safetensors(path)
        else:
            found[name] = path.read_bytes()
    return found


def renders(path: Path) -> object:
    """Open a generator and ask it for an image."""
    generator = load_generator(path).generator
    label = generator.labels_in_turn(range(1))
    z = generator.sample(Rng(0).streams(range(1)))
    with torch.no_grad():
        return generator.images_of(generator.latents_of(z, label), label)


# ---- The contents --------------------------------------------------------------------------------

TINY = StyleGAN2Config(
    resolution=8, img_channels=1, z_dim=4, w_dim=4, mapping_layers=1, channels={4: 2, 8: 2}
)


def tiny() -> StyleGAN2:
    """The StyleGAN2 of `TINY`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StyleGAN2(TINY)


def _nvidia(network: torch.nn.Module, key: str = "G_ema") -> dict[str, object]:
    return {key: network, "D": None, "training_set_kwargs": {"path": "data.zip"}}


def _stylegan3(name: str) -> dict[str, object]:
    small = {**families.STYLEGAN3, **families.STYLEGANS[name]}
    return _nvidia(families.of_stylegan3(families.made(StyleGAN3, StyleGAN3Config(**small))))


def _r3gan() -> dict[str, object]:
    config = R3GANConfig(
        widths=(8, 4), groups=(4, 2), blocks=(1, 1), z_dim=6, **families.R3GANS["classes"]
    )
    state = families.official_names(families.made(R3GAN, config))
    return _nvidia(families.tree(state, families.of_plain))


def _edm(kind: str) -> dict[str, object]:
    own, outer, inner = families.EDMS[kind]
    small = {"resolution": 4, "model_channels": 4, "channel_mult": (1, 1), "num_blocks": 1}
    generator = families.made(EDM, EDMConfig(**{**small, "preconditioning": kind, **own}))
    return _nvidia(families.of_edm(generator, outer, inner), "ema")


def _rosinality() -> dict[str, object]:
    ours, arguments = others.stylegan2(), Namespace(size=16, r1=10.0)
    state = others.state_dict(others.rosinality(ours))
    return {"g_ema": state, "latent_avg": ours.mapping.w_avg.clone(), "args": arguments}


def _rosinality_in_one_table() -> object:
    """The same as safetensors, which has no dicts in dicts."""
    ours = others.stylegan2()
    state = {f"decoder.{name}": value for name, value in others.rosinality(ours).items()}
    state["latent_avg"] = ours.mapping.w_avg.clone()
    return _saved_by(partial(save_tensors, tensors=state))


def _pivotal() -> dict[str, object]:
    """e4e, which holds the generator as well."""
    w = Weights()
    images = torch.zeros(1, 3, 256, 256)
    naive.style_encoder(w, images, 8, 6, encoders.WIDTHS, encoders.DEPTHS, "pyramid", deltas=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.pt"
        encoders.written(path, w, {"encoder_type": "Encoder4Editing"})
        found: dict[str, object] = torch.load(path, weights_only=True)
    return found


def _drawn(run: Callable[[Weights], object]) -> OrderedDict[str, torch.Tensor]:
    w = Weights()
    run(w)
    return OrderedDict(w)


def _chai(w: Weights) -> object:
    return naive.resnet_encoder(w, torch.zeros(1, 4, 32, 32), 8, 6, (8, 8, 12, 8), (1, 1, 1, 1))


def _in_domain(w: Weights) -> object:
    return naive.in_domain_encoder(w, torch.zeros(1, 3, 32, 32), 6, (4, 8, 8, 6), True)


def _attribute(w: Weights) -> object:
    return naive.attribute(w, torch.zeros(1, 3, 16, 16), (6, 8, 4), head=5, hidden=7)


def _encoder(path: Path) -> object:
    return load_inversion_encoder(path, encoders.target())


def _classifier(path: Path) -> object:
    spec = ImageSpec(channels=3, height=16, width=16)
    return load_classifier(path, spec, ("absent", "present"))


OTHERS: dict[str, Format] = {
    "stylegan2-ada": Format(lambda: _nvidia(pytorch_network(tiny())), pickled, renders),
    "stylegan2 of TensorFlow": Format(lambda: tensorflow_networks(TINY), pickled, renders),
    "stylegan3": Format(lambda: _stylegan3("r, classes"), pickled, renders),
    "stylegan-xl": Format(lambda: _stylegan3("xl, two heads"), pickled, renders),
    "r3gan": Format(_r3gan, pickled, renders),
    **{f"edm, {kind}": Format(partial(_edm, kind), pickled, renders) for kind in families.EDMS},
    "rosinality": Format(_rosinality, saved, renders),
    "rosinality, before 1.6": Format(_rosinality, partial(saved, zipped=False), renders),
    "rosinality as safetensors": Format(_rosinality_in_one_table, as_safetensors, renders),
    "e4e": Format(_pivotal, saved, renders),
    "stylegan1": Format(others.FORMS["stylegan1"], saved, renders),
    "biggan-deep": Format(others.FORMS["biggan-deep"], saved, renders),
    "biggan": Format(others.FORMS["biggan"], saved, renders),
    "stylegan2-ada in torch.save": Format(lambda: _nvidia(pytorch_network(tiny())), saved, renders),
}
"""Generators of other people."""

ENCODERS: dict[str, Format] = {
    "encoder of e4e": Format(_pivotal, saved, _encoder),
    "encoder of Chai et al.": Format(
        lambda: {"state_dict": _drawn(_chai), "epoch": 3}, saved, _encoder
    ),
    "encoder of In-Domain": Format(lambda: _drawn(_in_domain), saved, _encoder),
    "classifier of an attribute": Format(
        lambda: {"state_dict": _drawn(_attribute), "epoch": 4, "valacc": 0.9}, saved, _classifier
    ),
}
"""What goes with them."""


def _own(name: str) -> object:
    """What `save_generator` writes of a generator of `OTHERS`."""
    with tempfile.TemporaryDirectory() as folder:
        path = OTHERS[name].write(OTHERS[name].content(), Path(folder))
        save_generator(path.with_suffix(".safetensors"), load_generator(path).generator)
        return parsed_safetensors(path.with_suffix(".safetensors"))


def _small_kit() -> GeneratorKit:
    scales = {"isotropic": {"all": [0.1, 0.3]}}
    return GeneratorKit(tiny().eval(), name="tiny", scales=scales)


def _kit() -> object:
    """A folder that `kit.save` writes."""
    with tempfile.TemporaryDirectory() as folder:
        _small_kit().save(Path(folder) / "kit")
        return parsed_folder(Path(folder) / "kit", hashed=True)


def _whole_kit(path: Path) -> object:
    kit = load_generator(path)
    return kit.inverter, kit.directions, kit.candidates, renders(path)


def _saved_by(save: Callable[[Path], object]) -> object:
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "net.safetensors")
        return parsed_safetensors(Path(folder) / "net.safetensors")


def _own_encoder() -> object:
    with tempfile.TemporaryDirectory() as folder:
        encoder = _encoder(ENCODERS["encoder of In-Domain"].write(_drawn(_in_domain), Path(folder)))
    return _saved_by(encoder.save)


def _classifier_of_three() -> object:
    return _saved_by(SmallResNet(num_classes=3, width=4).save)


def _small_classifier(path: Path) -> object:
    return load_classifier(path, ImageSpec(channels=1, height=8, width=8), ("a", "b", "c"))


def _walks() -> object:
    directions = torch.linspace(-1, 1, 16).reshape(1, 4, 4)
    return _saved_by(Walks(directions=directions, names=("zoom",)).save)


def _pipeline(name: str) -> object:
    with tempfile.TemporaryDirectory() as folder:
        place, case = Path(folder) / "net", CASES[name]
        network = pipeline_of(case, place) if case.scheduler else made(case.kind, **case.network)
        network.save_pretrained(place)
        return parsed_folder(place)


OURS: dict[str, Format] = {
    **{f"our own, {name}": Format(partial(_own, name), as_safetensors, renders) for name in OTHERS},
    "kit": Format(_kit, as_folder, _whole_kit),
    "our encoder": Format(_own_encoder, as_safetensors, read_encoder),
    "our classifier": Format(_classifier_of_three, as_safetensors, _small_classifier),
    "directions": Format(
        lambda: _saved_by(_small_kit().directions.save), as_safetensors, PCAStatistics.load
    ),
    "walks": Format(_walks, as_safetensors, Walks.load),
}

PIPELINES: dict[str, Format] = {
    name: Format(partial(_pipeline, name), as_folder, renders)
    for name in ("consistency model, 2 steps", "sd-turbo, 1 step", "AutoencoderKL", "TAESD")
    if find_spec("diffusers") is not None
}

GROUPS = {"others": OTHERS, "encoders": ENCODERS, "ours": OURS, "pipelines": PIPELINES}
FORMATS = {name: one for group in GROUPS.values() for name, one in group.items()}
"""Name -> format."""


@cache
def content_of(name: str) -> object:
    """What a good file of a format holds; not to be changed in place."""
    return FORMATS[name].content()
