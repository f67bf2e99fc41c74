"""A folder of diffusers' layout: its index, its parts, and networks out of it.

What a folder says is data: only classes of diffusers and transformers that are known by name are
made, from JSON; weights are safetensors, compared by name and shape before they are read. Python
files and pickles of a folder are not looked at, and nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from genviews.checks import check_type, fail, is_there
from genviews.described import at_most, described_by
from genviews.files import load_header, load_tensors, read_json
from genviews.named import find_package
from genviews.user_code import GUIDE
from genviews.weights import check_weights, load_strictly

__all__ = [
    "FETCH",
    "WEIGHT_FILES",
    "PipelineFolder",
    "downloaded",
    "is_pipeline",
    "known_class",
    "licence_of",
    "may_be_on_hub",
    "weight_files",
]

FETCH = "fetch it again, or save the pipeline anew with `save_pretrained`"
_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(rf"\.({'|'.join(_OLD_ATTENTION)})\.(weight|bias)$")
_HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
WEIGHT_FILES = (".pkl", ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pth.tar")
"""Endings of files of weights."""
_FILES = (*WEIGHT_FILES, ".tar", ".zip", ".onnx", ".json")
_WRITE = "write a function that calls it, and name that as package.module:name; see " + GUIDE


def is_pipeline(folder: Path) -> bool:
    """Whether a folder is of diffusers' layout, by its index or by the config of one network."""
    if is_there(folder / "model_index.json"):
        return True
    config = folder / "config.json"
    return is_there(config) and "_class_name" in read_json(config)


def may_be_on_hub(word: str) -> bool:
    """Whether a word is of the form owner/name, and no name of a file."""
    return _HUB.fullmatch(word) is not None and not word.endswith(_FILES)


def downloaded(word: str) -> Path:
    """Return where `owner/name` of the Hugging Face hub lies on this machine; nothing is fetched.

    Raises:
        FileNotFoundError: it was not downloaded.
        ModuleNotFoundError: the client of the hub is not installed.
    """
    hub = find_package("huggingface_hub", "hub", f"generator {word!r}")
    try:
        return Path(hub.snapshot_download(word, local_files_only=True))
    except (OSError, ValueError):
        fail(
            f"generator {word!r}",
            expected="a file or folder, or a repository of the Hugging Face hub in the cache",
            got="neither",
            remedy=f"download it with `hf download {word}`: nothing is fetched unasked",
            error=FileNotFoundError,
        )


def licence_of(folder: Path) -> str:
    """Return the licence that the head of a folder's README.md names, else ""."""
    path = folder / "README.md"
    if not is_there(path):
        return ""
    with open(path, "rb") as file:
        head = file.read(4096).decode(errors="replace")
    found: dict[str, str] = dict(
        re.findall(r"^(license(?:_name)?):\s*([\w.+-]+)\s*$", head, re.MULTILINE)
    )
    return found.get("license_name") or found.get("license", "")


@dataclass(frozen=True)
class PipelineFolder:
    """A folder and what its index says.

    Args:
        path: of the folder.
        name: for messages.
    """

    path: Path
    name: str

    @property
    def what(self) -> str:
        """The folder in a message."""
        return f"generator {self.name}"

    @cached_property
    def index(self) -> dict[str, Any]:
        """{} where there is none."""
        path = self.path / "model_index.json"
        return read_json(path) if is_there(path) else {}

    def has(self, part: str) -> bool:
        """Whether the index names a part."""
        return self.index.get(part) not in (None, [None, None])

    def kind(self, part: str, library: str, known: Sequence[str]) -> str | None:
        """The class of a part, one of those that are known; None where it has no such part."""
        if not self.has(part):
            return None
        said = self.index[part]
        what = f"{part} of {self.what}"
        pair = check_type(said, list, what, "library and class, in model_index.json", "fetch it")
        own = len(pair) == 2 and pair[0] == library
        return known_class(pair[1] if own else f"a class of {pair[:1]}", known, what, "class")

    def place(self, part: str) -> Path:
        """Where a part lies: in a folder of its name, or beside the index."""
        own = self.path / part
        return own if is_there(own, folders=True) else self.path

    def diffusers(self) -> Any:  # noqa: ANN401 (an optional package)
        """The package."""
        return find_package("diffusers", "hub", self.what)

    def network(self, place: Path, kind: str) -> Any:  # noqa: ANN401 (a class of diffusers)
        """A network of diffusers with its weights, in eval mode."""
        config = read_json(place / "config.json")
        files = weight_files(place, "diffusion_pytorch_model", self.what)
        made_by = getattr(self.diffusers(), kind)
        what = f"{kind} of {self.what}"
        shapes: dict[str, Tensor] = {}
        for file in files:
            shapes |= load_header(file, self.what)[0]
        with described_by(what, "the network of its config.json"), at_most(shapes):
            network = made_by.from_config(config)
        check_weights(network, _renamed(shapes), what, FETCH)
        weights: dict[str, Tensor] = {}
        for file in files:
            weights |= load_tensors(file, what=self.what)[0]
        single = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
        load_strictly(network, _renamed(single), what, FETCH, assign=True)
        return network.float().eval()


def weight_files(place: Path, stem: str, what: str) -> list[Path]:
    """Return the safetensors files of a part: whole or in pieces, those of half precision last.

    Raises:
        FileNotFoundError: none there.
    """
    for variant in ("", ".fp16"):
        pieces = sorted(place.glob(f"{stem}{variant}-*-of-*.safetensors"))
        whole = place / f"{stem}{variant}.safetensors"
        if found := [whole] if is_there(whole) else pieces:
            return found
    pickles = [path.name for path in sorted(place.glob("*")) if path.suffix in (".bin", ".ckpt")]
    got = f"a pickle ({pickles[0]}), which is not opened" if pickles else "none"
    fail(
        f"weights in {place.name} of {what}",
        expected=f"{stem}.safetensors",
        got=got,
        remedy="fetch the safetensors, or save the pipeline anew with `save_pretrained`",
        error=FileNotFoundError,
    )


def known_class(kind: object, known: Sequence[str], what: str, of: str) -> str:
    """The name of a class if it is one of those that are known."""
    if kind not in known:
        expected = f"a known {of}: {', '.join(known)}"
        fail(what, expected=expected, got=str(kind), remedy=_WRITE)
    return str(kind)


def _renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names that attention has now."""
    return {_OLD.sub(lambda m: f".{_OLD_ATTENTION[m[1]]}.{m[2]}", k): v for k, v in weights.items()}
