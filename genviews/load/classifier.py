"""What a word for a classifier stands for.

    fashion32, fashion32/views      a classifier that ships with genviews
    net.safetensors                 a file that `SmallResNet.save` wrote, or `AttributeNetwork.save`
    net_best.pth                    an attribute classifier of Chai et al. 2021: logits of absent
                                    and present
    package.module:function         the user's function that builds a network, or the network itself

Code comes from a function of the user's own, named "package.module:function"; weights come from a
file of tensors alone. A file that holds both is refused: reading it would run what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from genviews.checks import check_file, check_type, expanded, fail, is_there, lookup, option
from genviews.classify.attribute import (
    AttributeNetwork,
    attribute_network,
    looks_like_attribute,
)
from genviews.classify.model import Classifier, as_module, needed_arguments
from genviews.classify.network import SmallResNet
from genviews.classify.probe import probe_classifier
from genviews.classify.settings import ClassifierSettings
from genviews.described import described_by
from genviews.files import load_header, read_tensors
from genviews.generators.checkpoints.contents import open_contents
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.tensors import as_dict
from genviews.modes import evaluated
from genviews.named import find_named
from genviews.types import ImageSpec
from genviews.user_code import GUIDE, user_code
from genviews.weights import bare_names, load_strictly
from genviews.zoo import CLASSIFIERS, zoo_classifier
from genviews.zoo import names as zoo_names

__all__ = ["check_classifier", "load_classifier"]

_PROGRAMS = {".pt2": "an exported program", ".pt": "a TorchScript or pickle file"}
_PROGRAMS |= {".pth": "a pickle file", ".pkl": "a pickle file", ".onnx": "an ONNX program"}
_FORMS = (
    "package.module:function, a safetensors file of a SmallResNet or an AttributeNetwork, or a "
    "published attribute classifier (.pth)"
)


def load_classifier(
    word: str | Path,
    image_spec: ImageSpec | None = None,
    class_names: Sequence[str] = (),
    *,
    weights: str | Path | None = None,
    settings: ClassifierSettings | None = None,
) -> Classifier:
    """Return the classifier that a word stands for, in eval mode.

    Args:
        word: see the module; a function without arguments returns a network, or a `Classifier`,
            whose classes are matched by name; one of an argument is taken as a function of images.
            Of a kit that ships, "fashion32" is the classifier trained on images, "fashion32/views"
            and "fashion32/reconstructions" those trained on these.
        image_spec: C, H and W of the images that it takes; None for those of one that ships.
        class_names: the names of its logits, in order; () for those of one that ships.
        weights: a state dict for the function's module: a safetensors file, or a file of
            `torch.save`, read with `weights_only=True`. Every key must match.
        settings: how it is asked and its answers are read; None changes nothing.

    Raises:
        FileNotFoundError: no such file.
        TypeError: the function does not return a network.
        ValueError: neither a function nor such a file; no such module or function; a file that
            holds code; missing, unused or misshapen weights; or what `Classifier` refuses.

    Differs: TorchScript and torch.export files are not read. They are programs, and
        `torch.export.load` unpickles parts of them without restriction. Who trusts a file loads it
        in a function of one line and names that function.
    """
    remedy = "of a network that is there make one: Classifier(network, image_spec, class_names)"
    text = str(check_type(word, (str, Path), "classifier", "a word for one", remedy))
    what = f"classifier {text!r}"
    ready = text.endswith(".safetensors") or text.partition("/")[0] in zoo_names()
    if weights is not None and ready:
        fail(
            "classifier weights",
            expected="none beside a classifier that has its own",
            got=str(weights),
            remedy="name the function that builds the network as the classifier",
        )
    made = _find(text)()
    network = made.module if isinstance(made, Classifier) else as_module(made, what)
    if weights is not None:
        path, named = expanded(weights), "classifier weights"
        load_strictly(network, read_tensors(path, named), f"{named} {path.name}")
    given = {} if settings is None else settings.changed()
    if isinstance(made, Classifier):
        if weights is not None:
            probe_classifier(made)
        return _own(made, what, image_spec, tuple(class_names), given)
    if image_spec is None or not class_names:
        fail(
            what,
            expected="the images that it takes and the names of its classes",
            got="none",
            remedy="pass image_spec and class_names",
        )
    return Classifier(evaluated(network), image_spec, class_names, **given)


def _own(
    made: Classifier,
    what: str,
    image_spec: ImageSpec | None,
    class_names: tuple[str, ...],
    given: dict[str, Any],
) -> Classifier:
    """A `Classifier` that is there, for these images and for these classes in their order."""
    if given:
        got, remedy = ", ".join(given), "leave them out, or give the network alone"
        fail(what, expected="no settings: it has its own", got=got, remedy=remedy)
    spec, names = image_spec or made.image_spec, class_names or made.class_names
    if spec.shape == made.image_spec.shape and names == made.class_names:
        return evaluated(made)
    own = made.image_spec
    return Classifier(
        evaluated(made),
        spec,
        names,
        input_size=(own.height, own.width),
        input_channels=own.channels if own.channels in (1, 3) else None,
        output_names=made.class_names,
    )


def check_classifier(word: str | Path) -> None:
    """Raise for a word that stands for nothing; reads no weights, builds no network.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown name, no such module or function, or a file that holds code.
    """
    _find(str(word))


def _find(word: str) -> Callable[[], object]:
    """What reads or builds a classifier, or its network."""
    what = f"classifier {word!r}"
    entry, _, kind = word.partition("/")
    if entry in zoo_names():
        lookup(kind or "images", CLASSIFIERS, f"classifier of {entry}")
        return partial(zoo_classifier, entry, kind or "images")
    if word.endswith(".safetensors"):
        path = expanded(word)
        check_file(path, what)
        return partial(_own_network, path, what)
    if (read := _attribute(expanded(word))) is not None:
        return read
    for suffix, program in _PROGRAMS.items():
        if word.endswith(suffix):
            fail(
                what,
                expected=_FORMS,
                got=program,
                remedy="it may run code when it is read: write a function that builds the network, "
                f"and give a file of its weights as {option('weights')}",
            )
    if ":" not in word and get_close_matches(word, zoo_names()):
        lookup(word, dict.fromkeys(zoo_names()), "classifier (or package.module:function)")
    found = find_named(word, what, _FORMS, calls="a function that builds a network, or a network")
    if isinstance(found, nn.Module) or (
        needed_arguments(found) == 1 and not isinstance(found, type)
    ):
        return lambda: found  # a network, or a function of images

    def build() -> object:
        with user_code(what, remedy=f"see {GUIDE}"):
            return found()

    return build


def _attribute(path: Path) -> Callable[[], AttributeNetwork] | None:
    """What reads a published attribute classifier; None for any other file, or none."""
    if not path.name.endswith((".pt", ".pth", ".tar")) or not is_there(path):
        return None
    what = f"classifier {path.name}"
    try:
        contents = open_contents(path, "classifier")
    except ValueError:  # whatever it is, it is none
        return None
    held = contents.keys()
    names = bare_names(as_dict(held.get("state_dict")) or held)
    if not looks_like_attribute(names):
        return None

    def read() -> AttributeNetwork:
        with described_by(what, "an attribute classifier", REMEDY):
            return attribute_network(contents.tensors(names), what)

    return read


def _own_network(path: Path, what: str) -> SmallResNet | AttributeNetwork:
    """The network of a file that says what it is of."""
    header = load_header(path, "classifier")[1]
    if header.get("network") == AttributeNetwork.__name__:
        return AttributeNetwork.load(path)
    if "config" not in header:
        fail(
            what,
            expected="a file that `SmallResNet.save` or `AttributeNetwork.save` wrote",
            got="weights that name no network",
            remedy="name the function that builds their network as the classifier, and this file "
            f"as {option('weights')}",
        )
    return SmallResNet.load(path)
