"""The families of generators that a card or a file can hold: a config, and the network made of it.

    family and config, JSON values -> Config dataclass -> network -> weights of the very names

A family is one line of `FAMILIES`. Its weights lie beside a card (`kit.save`), in a safetensors
file whose header has family and config (`save_generator`), or, for StyleGAN2 alone, in one beside a
JSON file of the config.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.described import at_most, described_by, parse_json, parse_object
from genviews.files import load_header, load_tensors
from genviews.generators.base import Generator
from genviews.generators.biggan import BigGAN, BigGANConfig
from genviews.generators.biggan_deep import BigGANDeep, BigGANDeepConfig
from genviews.generators.callable import named_classes
from genviews.generators.edm import EDM, EDMConfig
from genviews.generators.r3gan import R3GAN, R3GANConfig
from genviews.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from genviews.weights import check_weights, load_strictly, save_network, without_filters

__all__ = [
    "FAMILIES",
    "Family",
    "config_from",
    "family_of",
    "filled",
    "is_own_file",
    "read_generator_file",
    "read_weights",
    "save_generator",
]


class Family(NamedTuple):
    """A family of generators.

    Args:
        config: frozen dataclass of JSON values, tuples and mappings; describes the architecture.
        network: a `Generator` that is made from the config alone and keeps it as `config`.
    """

    config: type[Any]
    network: type[Any]


FAMILIES: dict[str, Family] = {
    "stylegan2": Family(StyleGAN2Config, StyleGAN2),
    "stylegan3": Family(StyleGAN3Config, StyleGAN3),
    "stylegan1": Family(StyleGAN1Config, StyleGAN1),
    "biggan-deep": Family(BigGANDeepConfig, BigGANDeep),
    "biggan": Family(BigGANConfig, BigGAN),
    "r3gan": Family(R3GANConfig, R3GAN),
    "edm": Family(EDMConfig, EDM),
}
"""Name on a card -> family."""


def family_of(generator: Generator) -> tuple[str, dict[str, Any]] | None:
    """Return the family of a generator and its config as JSON values; None where it has none."""
    for name, family in FAMILIES.items():
        if isinstance(generator, family.network):
            config: Any = vars(generator)["config"]
            return name, {k: _as_json(v) for k, v in asdict(config).items() if k != "ranges"}
    return None


def config_from(name: str, values: Mapping[str, Any], what: str) -> Any:  # noqa: ANN401 (a config)
    """Return the config of a family that JSON values describe; other keys are left alone.

    Args:
        name: of the family.
        values: fields of its config.
        what: holds them, for messages.

    Raises:
        ValueError: an unknown family, a field that has no default is missing, or values that the
            config refuses; starts with `what`.
    """
    config = lookup(name, FAMILIES, "family of the generator").config
    hints = get_type_hints(config)
    own = {f.name: values[f.name] for f in fields(config) if f.name in values}
    with described_by(what, f"the fields of {config.__name__}"):
        try:
            return config(**{key: _as_said(hints[key], value) for key, value in own.items()})
        except TypeError as error:
            if "required keyword-only argument" not in str(error):
                raise
    fail(
        what,
        expected=f"the fields of {config.__name__}, {_required(config)} among them",
        got=", ".join(sorted(values)) or "nothing",
        remedy="write the architecture of the weights into it",
    )


def read_weights(name: str, config: Any, path: Path) -> Generator:  # noqa: ANN401 (see `Family`)
    """Return the generator of a family and config with the weights of a file, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, or a config of another or a far larger network.
    """
    shapes = without_filters(load_header(path, "generator")[0])

    def weights() -> dict[str, Tensor]:
        return without_filters(load_tensors(path, what="generator")[0])

    return filled(name, config, shapes, weights, f"generator {path.name}")


def filled(
    name: str,
    config: Any,  # noqa: ANN401 (see `Family`)
    shapes: Mapping[str, Tensor],
    weights: Callable[[], Mapping[str, Tensor]],
    what: str,
) -> Generator:
    """Return the generator of a family and config with some weights, in eval mode.

    Args:
        name: of the family.
        config: of the family.
        shapes: of the weights, as tensors on the meta device, by their names in the network.
        weights: gives them; asked once the shapes fit.
        what: they are, for messages.

    Raises:
        ValueError: other weights, or a config of another or a far larger network.
    """
    network = FAMILIES[name].network
    with described_by(what, "the network of its config"):
        _check_fields(config)
        with at_most(shapes):
            made: Generator = network(config)
        check_weights(made, shapes, f"{network.__name__} weights", _REMEDY)
        load_strictly(made, weights(), f"{network.__name__} weights", _REMEDY)
    return made.eval()


def save_generator(
    path: str | Path, generator: Generator, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a generator of a family to one safetensors file, with family and config in its header.

    Args:
        path: of the file, replaced as a whole.
        generator: of one of `FAMILIES`.
        metadata: further text of the header, such as source and licence.

    Raises:
        ValueError: a generator of no family.

    Example:
        >>> save_generator("net.safetensors", generator)  # doctest: +SKIP
        >>> load_generator("net.safetensors")  # doctest: +SKIP
    """
    found = family_of(generator)
    if found is None:
        fail(
            "generator in a file",
            expected=f"one of a family ({', '.join(FAMILIES)})",
            got=type(generator).__name__,
            remedy="keep the code of it, and name it as package.module:function",
        )
    config = _as_json(asdict(vars(generator)["config"]))  # with named rows, if they were given
    save_network(path, generator, found[0], config, metadata)


def is_own_file(path: Path) -> bool:
    """Whether a safetensors file says itself which generator it holds."""
    return load_header(path, "generator")[1].get("network") in FAMILIES


def read_generator_file(path: Path) -> tuple[Generator, dict[str, Any]]:
    """Return the generator that `save_generator` wrote, in eval mode, and the text of the header.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file.
    """
    header = load_header(path, "generator")[1]
    what = f"generator {path.name}"
    name = lookup(header.get("network", ""), {k: k for k in FAMILIES}, f"family of the {what}")
    values = parse_object(header.get("config", ""), f"config of the {what}")
    made = read_weights(name, config_from(name, values, f"config of the {what}"), path)
    if "class_names" in header:
        names = parse_json(header["class_names"], f"class names of the {what}")
        with described_by(what, "a list of the names of its classes"):
            made.class_names = named_classes(list(map(str, names)), made.num_classes)
    return made, header


_REMEDY = "check the sizes in the config: resolution, channels, classes"


def _required(config: type[Any]) -> str:
    """The fields of a config that must be given: any config is refused without them."""
    needed = (f for f in fields(config) if f.default is MISSING and f.default_factory is MISSING)
    return ", ".join(f.name for f in needed)


def _check_fields(config: Any) -> None:  # noqa: ANN401 (see `Family`)
    """Raise ValueError for a field of another type than its own, which files may have."""
    for name, kind in get_type_hints(type(config)).items():
        if not _suits(value := getattr(config, name), kind):
            raise ValueError(f"{name} {value!r}")


def _suits(value: Any, kind: Any) -> bool:  # noqa: ANN401 (a value, and a type)
    """Whether a value is of a type; of numbers, also whether single precision has them."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_suits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        each = list(inner)
        if inner[1:] == (...,) and isinstance(value, tuple):
            each = [inner[0]] * len(value)
        fits = isinstance(value, tuple) and len(value) == len(each)
        return fits and all(map(_suits, value, each))
    if isinstance(origin, type):  # a mapping
        pairs = value.items() if isinstance(value, Mapping) else ((None, None),)
        return all(_suits(k, inner[0]) and _suits(v, inner[1]) for k, v in pairs)
    if kind in (int, float):
        number = type(value) is int or (kind is float and type(value) is float)
        return number and abs(value) < torch.finfo(torch.float32).max
    return isinstance(value, kind)


def _as_json(value: Any) -> Any:  # noqa: ANN401 (JSON values)
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    return [_as_json(one) for one in value] if isinstance(value, tuple | list) else value


def _as_said(kind: Any, value: Any) -> Any:  # noqa: ANN401 (a type, and JSON values)
    """A JSON value as a field of a type holds it; of the wrong kind, it is left to the config."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        chosen = [one for one in inner if one is not type(None)]
        return value if value is None or len(chosen) > 1 else _as_said(chosen[0], value)
    if origin is tuple:
        each = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(_as_said(one, v) for one, v in zip(each, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {_as_key(inner[0], k): _as_said(inner[1], v) for k, v in value.items()}
    return value


def _as_key(kind: Any, key: str) -> Any:  # noqa: ANN401 (a type)
    return int(key) if kind is int else key
