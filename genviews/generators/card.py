"""A generator as a description on a card and a file of weights, and back.

A description is JSON values: a family, and what that family needs to build the generator.

    {"family": "stylegan2", "config": {...}}                  weights beside it
    {"family": "toy", "channels": 1, ...}                     none
    {"family": "callable", "function": "package.module:name", "z_dim": 128, "num_classes": 0}
                                      the user's own code: it is imported, its weights are its own;
                                      "adapter" says how it is called
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from genviews.checks import check_type, fail, lookup
from genviews.described import at_most, described_by
from genviews.files import load_header, load_tensors
from genviews.generators.adapter import Adapter
from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator, load_callable
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator
from genviews.named import find_named
from genviews.types import ImageSpec

__all__ = [
    "called",
    "generator_description",
    "generator_from",
    "read_stylegan2",
    "stylegan2_config",
]

Ranges = Mapping[str, tuple[int, int]]


def generator_from(
    description: Mapping[str, Any], weights: Callable[[], Path], ranges: Ranges | None = None
) -> Generator:
    """Return the generator of a description, in eval mode and frozen.

    Args:
        description: see the module.
        weights: gives the file of weights, for a family that has some.
        ranges: named row ranges, in place of those of the family, where it lets them be chosen.

    Raises:
        ValueError: an unknown family, or what its own reader refuses.
    """

    def stylegan2() -> Generator:
        values = check_type(description.get("config"), dict, "config", "a JSON object", "add it")
        values = values | ({} if ranges is None else {"ranges": ranges})
        config = stylegan2_config(values, "config on the card")
        return read_stylegan2(config, weights())

    given = {key: value for key, value in description.items() if key != "family"}
    families: dict[str, Callable[[], Generator]] = {
        "stylegan2": stylegan2,
        "toy": lambda: ToyGenerator(**given),
        "callable": lambda: _function(**given),
    }
    make = lookup(description.get("family", "stylegan2"), families, "family of the generator")
    return make().eval().requires_grad_(False)


def read_stylegan2(config: StyleGAN2Config, path: Path) -> StyleGAN2:
    """Return a StyleGAN2 with the weights of a file, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another file, or a config of another or a far larger network.
    """
    shapes = load_header(path, "generator")[0]
    with described_by(f"generator {path.name}", "the network of its config"):
        with at_most(shapes):
            made = StyleGAN2(config)
        made.check_weights(shapes)
        return made.load_weights(load_tensors(path, what="generator")[0]).eval()


def generator_description(generator: Generator) -> dict[str, Any]:
    """Return the description from which `generator_from` makes this generator again.

    Raises:
        ValueError: a generator of no family that a card can hold, or a function without a name by
            which it could be imported, such as a lambda.
    """
    if isinstance(generator, StyleGAN2):
        config = {k: v for k, v in asdict(generator.config).items() if k != "ranges"}
        channels = generator.config.block_channels.items()
        config["channels"] = {str(size): width for size, width in channels}
        return {"family": "stylegan2", "config": config}
    if isinstance(generator, ToyGenerator):
        return {"family": "toy", **generator.settings}
    if isinstance(generator, CallableGenerator):
        return {
            "family": "callable",
            "function": _address(generator.function),
            **called(generator),
        }
    fail(
        "generator on a card",
        expected="a StyleGAN2, or a function of z with a name",
        got=type(generator).__name__,
        remedy="write a function without arguments around it that can be imported, and name that",
    )


def called(generator: CallableGenerator) -> dict[str, Any]:
    """How a function is called, as a description says it."""
    adapter = {k: v for k, v in asdict(generator.adapter).items() if v is not None}
    counts = {"z_dim": generator.z_dim, "num_classes": generator.num_classes}
    size = {"image_spec": asdict(generator.own_spec)} if adapter["axes"] == "flat" else {}
    return {**counts, "adapter": adapter, **size}


def _function(function: str, **given: Any) -> Generator:  # noqa: ANN401 (JSON values)
    """The function of a description."""
    adapter, size = given.pop("adapter", {}), given.pop("image_spec", None)
    if size is not None:
        size = ImageSpec(**size | {"range": tuple(size["range"])})
    return load_callable(function, image_spec=size, adapter=Adapter(**adapter), **given)


def stylegan2_config(values: Mapping[str, Any], what: str) -> StyleGAN2Config:
    """Return the architecture that JSON values describe; other keys are left alone.

    Raises:
        ValueError: no resolution, or values that `StyleGAN2Config` refuses; starts with `what`.
    """
    own = {f.name: values[f.name] for f in fields(StyleGAN2Config) if f.name in values}
    if "resolution" not in own:
        fail(
            what,
            expected="the fields of StyleGAN2Config, resolution among them",
            got=", ".join(sorted(values)) or "nothing",
            remedy="write the architecture of the weights into it",
        )
    with described_by(what, "the fields of StyleGAN2Config"):
        if own.get("channels") is not None:
            own["channels"] = {int(size): width for size, width in own["channels"].items()}
        if "resample_filter" in own:
            own["resample_filter"] = tuple(own["resample_filter"])
        if own.get("ranges") is not None:
            own["ranges"] = {name: (start, stop) for name, (start, stop) in own["ranges"].items()}
        return StyleGAN2Config(**own)


def _address(function: Callable[..., Any]) -> str:
    """The name (package.module:name) under which the very object is found."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "")
    address = f"{module}:{name}"
    if not module or not name or "<" in name or find_named(address, "generator") is not function:
        fail(
            "function of the generator",
            expected="one that can be imported by its name",
            got=repr(function),
            remedy="define it at the top of a module, and load it as package.module:name",
        )
    return address
