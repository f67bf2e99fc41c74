"""What a word for a generator stands for: a kit.

fashion32                   a kit that ships with genviews
folder                      a kit that `kit.save` wrote
net.safetensors, net.json   a StyleGAN2: weights, and the config beside them
package.module:name         the user's function or module that turns z into images
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from safetensors import SafetensorError

from genviews.checks import check_count, fail, lookup
from genviews.files import load_tensors, read_json
from genviews.generators.base import Generator
from genviews.generators.callable import load_callable
from genviews.generators.card import stylegan2_config
from genviews.generators.stylegan2 import StyleGAN2
from genviews.invert.encoder import InversionEncoder
from genviews.kit import GeneratorKit, read_generator
from genviews.named import find_named
from genviews.perturb.walks import Walks
from genviews.zoo import entry_folder
from genviews.zoo import names as zoo_names

__all__ = ["check_generator", "load_generator"]


def load_generator(
    word: str | Path,
    *,
    z_dim: int | None = None,
    num_classes: int = 0,
    encoder: str | Path | None = None,
    walks: str | Path | None = None,
    steps: int | None = None,
    domain: str | None = None,
) -> GeneratorKit:
    """Return the kit that a word stands for.

    Args:
        word: see the module; `~` is the home folder.
        z_dim: Z, the width of z, for a function.
        num_classes: of a function that takes z and a class; 0 for none.
        encoder: file of an inversion encoder; None takes the kit's, or starts from the mean latent.
        walks: file of learnt walks; None takes the kit's.
        steps: most optimisation steps of an inversion; None takes what suits the kit.
        domain: kind of its images, whose settings suit it: a key of `genviews.domains.DOMAINS`;
            None takes the card's, or measures what is needed.

    Raises:
        ValueError: no such form, an unknown name (the closest are listed), or a damaged file.
        FileNotFoundError: no such file.

    Example:
        >>> load_generator("fashion32").generator.latent_spec.num_layers
        8
    """
    if steps is not None:
        check_count(steps, "steps", least=0)
    found = _find(str(word), z_dim, num_classes)
    return GeneratorKit(
        found.generator,
        name=found.name,
        card=found.card,
        folder=found.folder,
        encoder=None if encoder is None else InversionEncoder.load(Path(encoder).expanduser()),
        walks=None if walks is None else Walks.load(Path(walks).expanduser()),
        steps=steps,
        domain=domain,
    )


def check_generator(word: str | Path) -> None:
    """Raise for a word that stands for nothing; reads no weights.

    Raises:
        ValueError: no such form or function, or an unknown name (the closest are listed).
        FileNotFoundError: no such file.
    """
    text, path = str(word), Path(word).expanduser()
    if text in zoo_names() or path.is_dir():
        return
    if path.suffix in _SUFFIXES:
        _files(text, path)
    elif ":" in text:
        find_named(text, f"generator {text!r}")
    else:
        _unknown(text)


@dataclass(frozen=True, kw_only=True)
class _Found:
    generator: Generator
    name: str
    card: Mapping[str, Any]
    folder: Path | None = None


_SUFFIXES = (".safetensors", ".json")


def _find(word: str, z_dim: int | None, num_classes: int) -> _Found:
    path = Path(word).expanduser()
    if word in zoo_names():
        return _folder(entry_folder(word))
    if path.suffix in _SUFFIXES:
        return _file(word, path)
    if path.is_dir():
        return _folder(path)
    if ":" in word:
        return _function(word, z_dim, num_classes)
    _unknown(word)


def _unknown(word: str) -> NoReturn:
    forms = "generator (or FILE.safetensors, a kit's folder, or module:function)"
    lookup(word, dict.fromkeys(zoo_names()), forms)
    raise AssertionError("lookup raises")


def _folder(folder: Path) -> _Found:
    generator, card = read_generator(folder)
    return _Found(generator=generator, name=folder.name, card=card, folder=folder)


def _files(word: str, path: Path) -> tuple[Path, Path]:
    """Weights and config, both there."""
    weights, card = path.with_suffix(".safetensors"), path.with_suffix(".json")
    for file in (card, weights):
        if not file.is_file():
            fail(
                f"generator {word!r}",
                expected=f"the files {weights.name} and {card.name} side by side",
                got=f"no {file.name}",
                remedy="put the weights beside their config, the fields of StyleGAN2Config",
                error=FileNotFoundError,
            )
    return weights, card


def _file(word: str, path: Path) -> _Found:
    weights, card = _files(word, path)
    config = stylegan2_config(read_json(card), f"config {card.name}")
    try:
        tensors, _ = load_tensors(weights)
    except SafetensorError as error:
        fail(
            f"generator {weights.name}",
            expected="a safetensors file of weights",
            got=str(error),
            remedy="fetch the file again; a pointer of Git LFS is a few lines of text",
        )
    generator = StyleGAN2(config).load_weights(tensors).eval()
    return _Found(generator=generator, name=path.stem, card={})


def _function(word: str, z_dim: int | None, num_classes: int) -> _Found:
    if z_dim is None:
        fail(
            f"generator {word!r}",
            expected="the width of its z",
            got="none",
            remedy="add --z-dim, for example --z-dim 128",
        )
    generator = load_callable(word, z_dim, num_classes=num_classes).eval()
    known = {"family": "callable", "function": word, "z_dim": z_dim, "num_classes": num_classes}
    return _Found(generator=generator, name=word, card={"generator": known})
