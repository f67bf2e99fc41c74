"""Load the classifier that a user names on the command line.

Code comes from a function of the user's own, named "package.module:function"; weights come from a
file of tensors alone. A file that holds both is refused: reading it would run what is in it.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from genviews.checks import fail
from genviews.classify.model import Classifier, PerChannel
from genviews.classify.network import SmallResNet
from genviews.named import find_function
from genviews.types import ImageSpec

__all__ = ["load_classifier", "read_tensors"]

_PROGRAMS = {".pt2": "an exported program", ".pt": "a TorchScript or pickle file"}
_PROGRAMS |= {".pth": "a pickle file", ".pkl": "a pickle file", ".onnx": "an ONNX program"}


def load_classifier(
    source: str | Path,
    image_spec: ImageSpec,
    class_names: Sequence[str],
    *,
    weights: str | Path | None = None,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
) -> Classifier:
    """Return the classifier that `source` names, in eval mode.

    Args:
        source: "package.module:function", a function without arguments that returns an
            `nn.Module`; or a safetensors file that `SmallResNet.save` wrote.
        image_spec: C, H and W of the images that it takes.
        class_names: the names of its logits, in order.
        weights: a state dict for the function's module: a safetensors file, or a file of
            `torch.save`, read with `weights_only=True`. Every key must match.
        mean: of images in [-1, 1], see `Classifier`.
        std: of images in [-1, 1].

    Raises:
        FileNotFoundError: no such file.
        TypeError: the function does not return an `nn.Module`.
        ValueError: neither a function nor such a file; no such module or function; a file that
            holds code; missing, unused or misshapen weights; or what `Classifier` refuses.

    Differs: TorchScript and torch.export files are not read. They are programs, and
        `torch.export.load` unpickles parts of them without restriction. Who trusts a file loads it
        in a function of one line and names that function.
    """
    text = str(source)
    module: nn.Module
    if text.endswith(".safetensors"):
        if weights is not None:
            fail(
                "classifier weights",
                expected="none beside a safetensors file",
                got=str(weights),
                remedy="name the function that builds the network as the classifier",
            )
        module = SmallResNet.load(text)
    else:
        module = _build(text)
        if weights is not None:
            _load_weights(module, Path(weights))
    return Classifier(module.eval(), image_spec, class_names, mean, std)


def _build(name: str) -> nn.Module:
    what = f"classifier {name!r}"
    for suffix, kind in _PROGRAMS.items():
        if name.endswith(suffix):
            fail(
                what,
                expected="package.module:function, or a safetensors file of a SmallResNet",
                got=kind,
                remedy="it may run code when it is read: write a function that builds the network, "
                "and give a file of its weights as `weights`",
            )
    build = find_function(
        name,
        what,
        "a function without arguments",
        "package.module:function, or a safetensors file",
    )
    module = build()
    if not isinstance(module, nn.Module):
        fail(
            what,
            expected="a function that returns a torch.nn.Module",
            got=type(module).__name__,
            remedy="return the network that gives the logits",
            error=TypeError,
        )
    return module


def _load_weights(module: nn.Module, path: Path) -> None:
    what = f"classifier weights {path.name}"
    try:
        module.load_state_dict(read_tensors(path, what))
    except RuntimeError as error:
        fail(
            what,
            expected="exactly the weights of the network",
            got=str(error),
            remedy="take the file of this network, or rename its keys",
        )


def read_tensors(path: Path, what: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors or `torch.save` file by name; no code of it is run.

    Raises:
        OSError: no such file.
        ValueError: a file of anything else; the message starts with `what`.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, EOFError, RuntimeError) as error:
        # Not torch's own text, which advises to unpickle the file without restriction.
        fail(
            what,
            expected="a file of tensors alone",
            got=f"something else ({type(error).__name__})",
            remedy="save `module.state_dict()`, best as safetensors",
        )
    if not isinstance(found, dict) or not all(isinstance(v, Tensor) for v in found.values()):
        fail(
            what,
            expected="a state dict: names and tensors",
            got=type(found).__name__,
            remedy="save `module.state_dict()` alone, without the rest of a checkpoint",
        )
    return found
