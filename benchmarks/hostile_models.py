"""Hostile files of models, made here: damaged, of another kind, or larger than memory."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.hostile_case import Case, Want
from benchmarks.hostile_checkpoints import Bomb, ExecutedError, checkpoint_cases
from genviews.classify.network import SmallResNet
from genviews.files import load_tensors, save_tensors
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.kit import GeneratorKit
from genviews.load.classifier import load_classifier
from genviews.load.encoder import load_encoder
from genviews.load.generator import load_generator
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.perturb.walks import Walks
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.types import ImageSpec

__all__ = ["ExecutedError", "model_cases"]

SPEC = ImageSpec(channels=1, height=8, width=8)
CONFIG = {
    "resolution": 8,
    "img_channels": 1,
    "z_dim": 8,
    "w_dim": 8,
    "mapping_layers": 2,
    "channels": {"4": 8, "8": 8},
}


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """A kind of model file: a good one, and what opens it."""

    name: str
    good: Path
    open: Callable[[Path], Any]


def model_cases(folder: Path) -> Iterator[Case]:
    """All of them; files are made below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = _good(folder)
    for kind in kinds:
        right = partial(kind.open, kind.good)
        yield Case(name=f"{kind.name}: a good one", kind="model", open=right, want="answer")
        place = folder / kind.name.replace(" ", "_")
        place.mkdir()
        others = [other for other in kinds if other.name != kind.name]
        for number, (name, make) in enumerate(_changes(kind, others).items()):
            path = place / f"{number:02d}" / kind.good.name
            path.parent.mkdir()
            make(path)
            config = kind.good.with_suffix(".json")
            if config.exists():
                path.with_suffix(".json").write_bytes(config.read_bytes())
            yield _case(f"{kind.name}: {name}", partial(kind.open, path), names=path.stem)
    yield from _headers(folder, kinds)
    yield from _configs(folder)
    yield from _cards(folder)
    yield from _words(folder)
    yield from checkpoint_cases(folder / "checkpoints")


def _case(name: str, read: Callable[[], Any], *, names: str = "", want: Want = "refusal") -> Case:
    return Case(name=name, kind="model", open=read, want=want, names=names)


def _good(folder: Path) -> list[_Kind]:
    place = folder / "good"
    place.mkdir()
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(**{**CONFIG, "channels": {4: 8, 8: 8}}))
    save_tensors(place / "generator.safetensors", generator.state_dict())
    (place / "generator.json").write_text(json.dumps(CONFIG))
    SmallResNet(num_classes=2, width=8).save(place / "classifier.safetensors")
    small = EncoderConfig(image_channels=1, size=8, num_layers=4, dim=8, widths=(8,), blocks=(1,))
    InversionEncoder(small).save(place / "inverter.safetensors")
    RepresentationEncoder(RepresentationConfig(channels=1)).save(place / "encoder.safetensors")
    toy = ToyGenerator()
    train_walks(toy, SteerTraining(samples=8, lr=0.01)).save(place / "walks.safetensors")
    PCAStatistics.measure(toy, 100).save(place / "pca.safetensors")
    names = ("a", "b")
    table: dict[str, Callable[[Path], Any]] = {
        "generator": load_generator,
        "classifier": lambda path: load_classifier(path, SPEC, names),
        "inverter": InversionEncoder.load,
        "encoder": load_encoder,
        "walks": Walks.load,
        "pca": PCAStatistics.load,
    }
    return [
        _Kind(name=name, good=place / f"{name}.safetensors", open=read)
        for name, read in table.items()
    ]


def _changes(kind: _Kind, others: list[_Kind]) -> Mapping[str, Callable[[Path], object]]:
    data = kind.good.read_bytes()
    tensors, header = load_tensors(kind.good)
    first = next(name for name, one in tensors.items() if one.is_floating_point() and one.ndim)
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])

    def write(content: bytes) -> Callable[[Path], object]:
        return lambda path: path.write_bytes(content)

    def weights(change: Callable[[Tensor], Tensor | None]) -> Callable[[Path], object]:
        """With one tensor changed, or left out."""
        new = change(tensors[first])
        kept = {k: v for k, v in tensors.items() if k != first}
        kept |= {} if new is None else {first: new}
        return lambda path: save_tensors(path, kept, header)

    def headed(change: Mapping[str, Any]) -> Callable[[Path], object]:
        """With a header that says something else of the first tensor."""
        text = json.dumps({**head, first: {**head[first], **change}}).encode()
        return write(struct.pack("<Q", len(text)) + text + data[8 + size :])

    return {
        "no byte": write(b""),
        "half of it": write(data[: len(data) // 2]),
        "all but a byte": write(data[:-1]),
        "a byte more": write(data + b"\0"),
        "a pointer of Git LFS": write(
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
        ),
        "a web page": write(b"<!DOCTYPE html><html><body>404</body></html>"),
        "a header of 2^63 bytes": write(struct.pack("<Q", 2**63 - 1) + data[8:]),
        "a header of 90 MB that is not there": write(struct.pack("<Q", 90_000_000) + b"{}"),
        "a header that is no JSON": write(struct.pack("<Q", 8) + b"{{{{{{{{"),
        "a header that is deep": write(struct.pack("<Q", 100_000) + b"[" * 100_000),
        "a shape of 2^60": headed({"shape": [2**60]}),
        "a shape that is negative": headed({"shape": [-1]}),
        "a type that is none": headed({"dtype": "Q7"}),
        "places beyond the file": headed({"data_offsets": [0, 2**40]}),
        "8 GB of zeros in one tensor": lambda path: _sparse(path, header),
        "a pickle that runs": lambda path: path.write_bytes(pickle.dumps(Bomb())),
        "a file of torch that runs": lambda path: torch.save(Bomb(), path),
        "a picture": write(b"\x89PNG\r\n\x1a\n" + bytes(100)),
        "a folder": lambda path: path.mkdir(),
        "a named pipe": os.mkfifo,
        "a link to nothing": lambda path: path.symlink_to("nothing"),
        "a link to a device": lambda path: path.symlink_to("/dev/zero"),
        **{f"the file of a {o.name}": write(o.good.read_bytes()) for o in others[:2]},
        "a tensor missing": weights(lambda one: None),
        "a tensor of another shape": weights(lambda one: one.flatten()[:1].repeat(3)),
        "a tensor of no size": weights(lambda one: one[:0]),
        "weights that are bool": weights(lambda one: one > 0),
        "weights that are int8": weights(lambda one: one.to(torch.int8)),
        "weights that are complex": weights(lambda one: one.to(torch.complex64)),
        "weights that are NaN": weights(lambda one: one * float("nan")),
        "weights that are infinite": weights(lambda one: one * 0 + float("inf")),
    }


def _sparse(path: Path, text: Mapping[str, str]) -> None:
    """A whole safetensors file, whose only tensor takes no room on the disk."""
    size = 8 * 10**9
    tensor = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    head = json.dumps({"__metadata__": dict(text), "a": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    os.truncate(path, 8 + len(head) + size)


def _headers(folder: Path, kinds: list[_Kind]) -> Iterator[Case]:
    """Headers that promise a network which no memory holds, or none at all."""
    place = folder / "headers"
    place.mkdir()
    by_name = {kind.name: kind for kind in kinds}
    inverter = {"image_channels": 1, "size": 8, "num_layers": 4, "dim": 8, "widths": [8]}
    inverter |= {"blocks": [1], "neck": 64}
    classifier = {"channels": 1, "num_classes": 2, "width": 8}
    encoder = {"backbone": "compact", "channels": 1, "mean": [0.0], "std": [1.0]}
    changed: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
        "inverter": (
            inverter,
            [
                {"size": 2**20},
                {"num_layers": 10**6},
                {"dim": 10**9},
                {"widths": [10**6]},
                {"blocks": [10**6]},
                {"neck": 10**9},
                {"widths": [0]},
                {"widths": []},
                {"size": -8},
                {"size": "8"},
                {"size": None},
                {"image_channels": 10**9},
                {"image_channels": 0},
                {"more": 1},
            ],
        ),
        "classifier": (
            classifier,
            [
                {"width": 8000},
                {"width": 10**9},
                {"num_classes": 10**9},
                {"channels": 10**9},
                {"width": 0},
                {"width": "8"},
                {"width": 8.5},
                {"width": True},
                {"more": 1},
            ],
        ),
        "encoder": (
            encoder,
            [
                {"backbone": "timm:hf-hub:somebody/network"},
                {"backbone": "timm:local-dir:/tmp"},
                {"backbone": "timm:resnet18"},
                {"backbone": "resnet9000"},
                {"backbone": 3},
                {"channels": 10**9},
                {"projection": 10**9},
                {"stem": "none"},
                {"head": None},
                {"mean": 0.0},
                {"mean": ["a"]},
                {"std": [0.0]},
                {"normalize": "yes"},
                {"more": 1},
            ],
        ),
    }
    number = 0
    for name, (config, changes) in changed.items():
        kind = by_name[name]
        tensors, header = load_tensors(kind.good)
        texts = [json.dumps({**config, **change}) for change in changes]
        texts += ["[]", "null", "{", "3", '"x"', "{}", "[" * 50_000]
        for text in texts:
            path = place / f"{number:03d}.safetensors"
            save_tensors(path, tensors, {**header, "config": text})
            number += 1
            shown = text if len(text) < 150 else text[:20] + "..."
            read = partial(kind.open, path)
            yield _case(f"{name} whose header says {shown}", read, names=path.name)
    for name in ("walks", "pca"):
        kind = by_name[name]
        tensors, header = load_tensors(kind.good)
        for key in header:
            for text in ("", "{", "null", "[1]", "1e999", '{"a": 1}', "[" * 50_000):
                path = place / f"{number:03d}.safetensors"
                save_tensors(path, tensors, {**header, key: text})
                number += 1
                read = partial(kind.open, path)
                # A card is whatever its maker wrote.
                want: Want = (
                    "either" if text == '{"a": 1}' and key in ("card", "identity") else "refusal"
                )
                shown = text[:20]
                yield _case(f"{name} whose {key} is {shown!r}", read, names=path.name, want=want)


def _configs(folder: Path) -> Iterator[Case]:
    """The JSON file beside a StyleGAN2."""
    good = (folder / "good" / "generator.safetensors").read_bytes()
    changes: list[dict[str, Any]] = [
        {"mapping_layers": 10**6},
        {"mapping_layers": 1e6},
        {"mapping_layers": 0},
        {"channels": {"4": 8000, "8": 8000}},
        {"channels": {"4": 10**9, "8": 8}},
        {"channels": {"4": "8", "8": 8}},
        {"channels": {"four": 8, "8": 8}},
        {"channels": [8, 8]},
        {"channels": {"4": 0, "8": 8}},
        {"channels": {}},
        {"resolution": 2**20},
        {"resolution": 2**1000},
        {"resolution": "8"},
        {"resolution": 8.0},
        {"resolution": True},
        {"resolution": None},
        {"resolution": 12},
        {"z_dim": 10**12},
        {"z_dim": -1},
        {"w_dim": 10**9},
        {"w_dim": "8"},
        {"c_dim": 10**9},
        {"c_dim": -1},
        {"c_dim": 2.5},
        {"img_channels": 0},
        {"img_channels": 10**6},
        {"mapping_lr_multiplier": 0},
        {"mapping_lr_multiplier": "fast"},
        {"mapping_lr_multiplier": None},
        {"resample_filter": [0, 0]},
        {"resample_filter": [1]},
        {"resample_filter": "1331"},
        {"resample_filter": [1.0] * 10**5},
        {"resample_filter": None},
        {"conv_clamp": "no"},
        {"conv_clamp": -1},
        {"ranges": {"coarse": [3, 1]}},
        {"ranges": {"coarse": 3}},
        {"ranges": [1, 2]},
        {"ranges": {"coarse": ["a", "b"]}},
    ]
    texts = [json.dumps({**CONFIG, **change}) for change in changes]
    texts += ["", "[]", "{", "null", "3", "[" * 100_000, "\0", '{"resolution": 1e999}', "{}"]
    texts += ['{"resolution": NaN}']
    place = folder / "configs"
    place.mkdir()
    for number, text in enumerate(texts):
        path = place / f"{number:03d}.safetensors"
        path.write_bytes(good)
        path.with_suffix(".json").write_text(text)
        change = str(changes[number]) if number < len(changes) else text
        read = partial(load_generator, path)
        yield _case(f"config of a generator: {change[:70]!r}", read, names=path.stem)


def _cards(folder: Path) -> Iterator[Case]:
    """The card of a kit: fields missing, unknown or of another type."""
    torch.manual_seed(0)
    generator = StyleGAN2(StyleGAN2Config(**{**CONFIG, "channels": {4: 8, 8: 8}}))
    good = folder / "kit"
    GeneratorKit(generator, name="kit").save(good)
    card = json.loads((good / "card.json").read_text())
    sections = ("generator", "files", "ranges", "perturbations", "inverter", "about", "image")
    wrong: list[tuple[str, dict[str, Any]]] = [
        (f"{name} is {value!r}", {**card, name: value})
        for name in sections
        for value in (None, [], 3, "text", {"unknown": 1}, {"unknown": None})
    ]
    wrong += [(f"no {name}", {k: v for k, v in card.items() if k != name}) for name in sections]
    listed = card["files"]["generator.safetensors"]
    more: list[tuple[str, dict[str, Any]]] = [
        ("files/hash", {"files": {"generator.safetensors": {**listed, "sha256": None}}}),
        ("files/no hash", {"files": {"generator.safetensors": {"what": "x"}}}),
        ("files/above", {"files": {"../generator.safetensors": listed}}),
        ("family", {"generator": {"family": "none"}}),
        ("family/no config", {"generator": {"family": "stylegan2"}}),
        ("family/toy", {"generator": {"family": "toy", "sizes": 3}}),
        ("family/toy/absurd", {"generator": {"family": "toy", "channels": 10**9}}),
        ("family/callable", {"generator": {"family": "callable"}}),
        ("family/callable/module", {"generator": {"family": "callable", "function": "nowhere:f"}}),
        ("family/callable/number", {"generator": {"family": "callable", "function": 3}}),
        ("ranges/text", {"ranges": {"coarse": "0-4"}}),
        ("ranges/three", {"ranges": {"coarse": [0, 1, 2]}}),
        ("ranges/backwards", {"ranges": {"coarse": [4, 0]}}),
        ("domain", {"about": {"domain": "house"}}),
        ("domain/number", {"about": {"domain": 3}}),
        ("inverter/absurd", {"inverter": {"steps": "many"}}),
        ("perturbations/kind", {"perturbations": {"none": {"coarse": [1]}}}),
        ("perturbations/strength", {"perturbations": {"isotropic": {"coarse": ["a"]}}}),
        ("perturbations/range", {"perturbations": {"isotropic": {"none": [1]}}}),
    ]
    wrong += [(name, {**card, **change}) for name, change in more]
    weights = (good / "generator.safetensors").read_bytes()
    for number, (name, value) in enumerate(wrong):
        place = folder / "cards" / f"{number:03d}"
        place.mkdir(parents=True)
        (place / "card.json").write_text(json.dumps(value))
        (place / "generator.safetensors").write_bytes(weights)
        # What is not needed to build it may be missing, empty or more.
        yield _case(f"card: {name}", partial(_use, place), want="either")
    for number, text in enumerate(("", "[]", "{", "\xff", "[" * 100_000, "3", "{}")):
        place = folder / "cards" / f"text{number}"
        place.mkdir(parents=True)
        (place / "card.json").write_text(text, encoding="latin-1")
        yield _case(f"card: the text {text[:10]!r}", partial(_use, place), names=place.name)


def _use(folder: Path) -> GeneratorKit:
    """Load a kit, and look at all that its card decides."""
    kit = load_generator(folder)
    for part in (kit.inverter, kit.candidates, kit.baselines, kit.encoder, kit.walks):
        assert part is None or part is not NotImplemented
    return kit


def _words(folder: Path) -> Iterator[Case]:
    """Files of weights beside a function, and words that stand for nothing."""
    place = folder / "words"
    place.mkdir()
    torch.save(Bomb(), place / "bomb.pt")
    (place / "page.pt").write_bytes(b"<html>404</html>")
    (place / "empty.pt").write_bytes(b"")
    (place / "pointer.pt").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    torch.save({"a": [1, 2]}, place / "list.pt")
    torch.save(torch.zeros(3), place / "tensor.pt")
    torch.save({"weight": torch.zeros(3)}, place / "other.pt")
    (place / "deep.pt").write_bytes(b"\x80\x02" + b"(" * 10**5 + b".")
    (place / "long.pt").write_bytes(b"\x80\x02\x8b" + struct.pack("<I", 2**32 - 1))
    for name in ("bomb", "page", "empty", "pointer", "list", "tensor", "other", "deep", "long"):
        word = "benchmarks.hostile_models:network"
        path = place / f"{name}.pt"
        read = partial(load_classifier, word, SPEC, ("a", "b"), weights=path)
        yield _case(f"weights beside a function: {name}", read, names=path.name)
    for word in ("bomb.pt", "page.pt", "pointer.pt"):
        yield _case(f"generator {word}", partial(load_generator, place / word), names=word)
    for word in ("bomb.pt", "page.pth", "a.onnx", "a.pkl", "nowhere.safetensors"):
        read = partial(load_classifier, place / word, SPEC, ("a", "b"))
        yield _case(f"classifier {word}", read, names=word)
    for word in ("s3://bucket/net.safetensors", "https://host/net.safetensors", "hf-hub:a/b"):
        yield _case(f"generator {word}", partial(load_generator, word), names=word)
        yield _case(
            f"classifier {word}", partial(load_classifier, word, SPEC, ("a", "b")), names=word
        )
        yield _case(f"encoder {word}", partial(load_encoder, word))
    for word in ("", "no such", "a:b", "os:system", "math:tau", "a\0b", "x" * 5000, "~nobody/a"):
        yield _case(f"generator {word[:20]!r}", partial(load_generator, word))
        yield _case(f"classifier {word[:20]!r}", partial(load_classifier, word, SPEC, ("a", "b")))


def network() -> torch.nn.Module:
    """A classifier for weights to be loaded into."""
    return torch.nn.Linear(2, 2)
