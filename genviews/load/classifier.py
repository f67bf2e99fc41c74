"""What a word for a classifier stands for.

    fashion32, fashion32/views      one that ships with genviews
    net.safetensors                 a file that `SmallResNet.save` wrote
    package.module:function         the user's function that builds a network

Code comes from a function of the user's own, named "package.module:function"; weights come from a
file of tensors alone. A file that holds both is refused: reading it would run what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from torch import nn

from genviews.checks import fail, lookup
from genviews.classify.model import Classifier, PerChannel
from genviews.classify.network import SmallResNet
from genviews.files import read_tensors
from genviews.named import find_function
from genviews.types import ImageSpec
from genviews.zoo import CLASSIFIERS, zoo_classifier
from genviews.zoo import names as zoo_names

__all__ = ["check_classifier", "load_classifier"]

_PROGRAMS = {".pt2": "an exported program", ".pt": "a TorchScript or pickle file"}
_PROGRAMS |= {".pth": "a pickle file", ".pkl": "a pickle file", ".onnx": "an ONNX program"}


def load_classifier(
    word: str | Path,
    image_spec: ImageSpec | None = None,
    class_names: Sequence[str] = (),
    *,
    weights: str | Path | None = None,
    mean: PerChannel = 0.0,
    std: PerChannel = 1.0,
) -> Classifier:
    """Return the classifier that a word stands for, in eval mode.

    Args:
        word: see the module; a function takes no argument and returns an `nn.Module`. Of a kit
            that ships, "fashion32" is the classifier trained on images, "fashion32/views" and
            "fashion32/reconstructions" those trained on these.
        image_spec: C, H and W of the images that it takes; None for those of one that ships.
        class_names: the names of its logits, in order; () for those of one that ships.
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
    text = str(word)
    entry, _, kind = text.partition("/")
    if entry in zoo_names():
        lookup(kind or "images", CLASSIFIERS, f"classifier of {entry}")
        return zoo_classifier(entry, kind or "images")
    if image_spec is None or not class_names:
        fail(
            f"classifier {text!r}",
            expected="the images that it takes and the names of its classes",
            got="none",
            remedy="pass image_spec and class_names",
        )
    module: nn.Module
    if text.endswith(".safetensors"):
        if weights is not None:
            fail(
                "classifier weights",
                expected="none beside a safetensors file",
                got=str(weights),
                remedy="name the function that builds the network as the classifier",
            )
        module = SmallResNet.load(Path(text).expanduser())
    else:
        module = _build(text)
        if weights is not None:
            _load_weights(module, Path(weights).expanduser())
    return Classifier(module.eval(), image_spec, class_names, mean, std)


def check_classifier(word: str | Path) -> None:
    """Raise for a word that stands for nothing; reads no weights, builds no network.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown name, no such module or function, or a file that holds code.
    """
    text = str(word)
    entry, _, kind = text.partition("/")
    if entry in zoo_names():
        lookup(kind or "images", CLASSIFIERS, f"classifier of {entry}")
    elif text.endswith(".safetensors"):
        if not Path(text).expanduser().is_file():
            fail(
                f"classifier {text!r}",
                expected="a file that exists",
                got="none",
                remedy="correct the path",
                error=FileNotFoundError,
            )
    else:
        _function(text)


def _function(name: str) -> Callable[[], object]:
    """The user's function."""
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
    return find_function(
        name,
        what,
        "a function without arguments",
        "package.module:function, or a safetensors file",
    )


def _build(name: str) -> nn.Module:
    module = _function(name)()
    if not isinstance(module, nn.Module):
        fail(
            f"classifier {name!r}",
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
