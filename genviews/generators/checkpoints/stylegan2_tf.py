"""StyleGAN2 in a pickle of NVIDIA's TensorFlow releases: stylegan2 and stylegan2-ada.

    (G, D, Gs)    each a dnnlib.tflib.network.Network: static_kwargs, components, variables

`Gs`, the averaged generator, is taken. The names of arguments and variables, and what is refused,
are those of the conversion in NVIDIA's PyTorch release. TensorFlow stores (height, width, in, out),
and filters of transposed convolutions the other way round.

Source: NVlabs/stylegan2-ada-pytorch d72cc7d, `legacy.py`; NVlabs/stylegan2 bf0fe0b,
`dnnlib/tflib/network.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from torch import Tensor

from genviews.checks import fail
from genviews.described import described_by
from genviews.generators.checkpoints.contents import Contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY, Call, Name
from genviews.generators.checkpoints.strangers import WRITE
from genviews.generators.checkpoints.stylegan2_ada import checked_options, no_noise
from genviews.generators.checkpoints.tensors import as_dict, plain, shape_of
from genviews.generators.families import filled
from genviews.generators.stylegan2_networks import StyleGAN2Config

__all__ = ["READER"]

_NETWORK = Name("dnnlib.tflib.network", "Network")
_LEAST_VERSION = 4
_DEEPEST = 4
_MOST = 2**14  # variables; a component that holds itself would have no end of them
_OPTIONS: dict[str, tuple[str, object]] = {
    "architecture": ("architecture", "skip"),
    "nonlinearity": ("activation", "lrelu"),
    "mapping_nonlinearity": ("mapping activation", "lrelu"),
    "use_noise": ("use_noise", True),
}
_ARGUMENTS = (
    *("latent_size", "label_size", "dlatent_size", "resolution", "num_channels"),
    *("mapping_layers", "mapping_lrmul", "conv_clamp", "resample_kernel"),
)
_IGNORED = (
    *("num_fp16_res", "w_avg_beta", "truncation_psi", "truncation_cutoff"),
    *("style_mixing_prob", "structure", "fmap_base", "fmap_max"),
)
_WIDTHS = ("label_fmaps", "mapping_fmaps")


def _knows(contents: Contents) -> bool:
    root = contents.root
    return (
        isinstance(root, tuple)
        and len(root) == 3
        and all(isinstance(one, Call) and one.of == _NETWORK for one in root)
    )


def _read(contents: Contents) -> Opened:
    with described_by(contents.what, "a StyleGAN2 of TensorFlow", REMEDY):
        state = as_dict(contents.root[2]) or {}
        if not plain(state["version"]) >= _LEAST_VERSION:
            raise ValueError(f"a network of version {state['version']}")
        variables = dict(islice(_variables(state), _MOST))
        config, noisy = _config(as_dict(state["static_kwargs"]) or {}, variables, contents.what)
        places = {place: found for place in variables if (found := _renamed(place)) is not None}
        stored = contents.shapes({place: variables[place] for place in places})
        still = {} if noisy else no_noise(config)
        shapes = {name: value.to("meta") for name, value in still.items()}
        shapes |= {name: turn(stored[place]) for place, (name, turn) in places.items()}

    def weights() -> dict[str, Tensor]:
        turned = {
            name: turn(contents.tensor(variables[place])) for place, (name, turn) in places.items()
        }
        return still | turned

    return Opened(
        generator=filled("stylegan2", config, shapes, weights, contents.what),
        source="a StyleGAN2 of NVIDIA's TensorFlow releases (stylegan2, stylegan2-ada)",
        licence="weights that NVIDIA published: Nvidia Source Code License, not for commerce",
        skipped=("G", "D"),
    )


READER = Reader(what="a StyleGAN2 in a TensorFlow pickle", knows=_knows, read=_read)


def _variables(
    state: Mapping[str, Any], prefix: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """(path, array) of each variable of a network and of its components."""
    for pair in state["variables"]:
        name, value = pair
        yield f"{prefix}{name}", value
    components = (as_dict(state["components"]) or {}) if depth < _DEEPEST else {}
    for name, part in components.items():
        yield from _variables(as_dict(part) or {}, f"{prefix}{name}/", depth + 1)


def _config(
    given: Mapping[str, Any], variables: Mapping[str, Any], what: str
) -> tuple[StyleGAN2Config, bool]:
    """The architecture that the arguments of TensorFlow describe, and whether it has noise."""

    def value(name: str, default: Any = None) -> Any:  # noqa: ANN401 (of a file)
        return plain(given.get(name, default))

    known = {*_OPTIONS, *_ARGUMENTS, *_IGNORED, *_WIDTHS}
    if unknown := [str(name) for name in given if name not in known]:
        fail(what, expected="arguments that StyleGAN2 has", got=unknown[0], remedy=WRITE)
    options = {name: value(key, default) for key, (name, default) in _OPTIONS.items()}
    if any("ToRGB_lod" in place for place in variables):
        options["architecture"] = "orig"
    noisy = checked_options(options, what)
    w_dim = value("dlatent_size", 512)
    for name in _WIDTHS:
        if value(name) not in (None, w_dim):
            expected = f"{name} as wide as w, {w_dim}"
            fail(what, expected=expected, got=value(name), remedy=WRITE)
    resolution = value("resolution", 1024)
    sizes = [2**i for i in range(2, int(resolution).bit_length())]
    first = {4: "4x4/Conv"} | {size: f"{size}x{size}/Conv1" for size in sizes[1:]}
    widths = {
        size: shape_of(variables[f"synthesis/{place}/weight"])[-1] for size, place in first.items()
    }
    config = StyleGAN2Config(
        resolution=resolution,
        img_channels=value("num_channels", 3),
        z_dim=value("latent_size", 512),
        w_dim=w_dim,
        c_dim=value("label_size", 0),
        mapping_layers=value("mapping_layers", 8),
        mapping_lr_multiplier=value("mapping_lrmul", 0.01),
        channels=widths,
        resample_filter=tuple(float(plain(tap)) for tap in value("resample_kernel", [1, 3, 3, 1])),
        conv_clamp=value("conv_clamp"),
    )
    return config, noisy


def _renamed(place: str) -> tuple[str, Callable[[Tensor], Tensor]] | None:
    """The name of a variable in `StyleGAN2`, and how its axes are turned; None for others."""
    for pattern, name, turns in _NAMES:
        if (found := re.fullmatch(pattern, place)) is not None:
            groups = found.groupdict()
            part = groups.get("part")
            if part not in turns:
                return None
            if (number := groups.get("number")) is not None:
                groups["layer"] = _noise_layer(int(number))
            own = _PARTS.get(part or "", part)
            return name.format(**{**groups, "part": own}), turns[part]
    return None


def _noise_layer(number: int) -> str:
    """The layer of the noise input of a number: 0 of 4x4, then two a resolution."""
    return f"b{2 ** ((number + 5) // 2)}.conv{number % 2 ^ 1}"


def _same(x: Tensor) -> Tensor:
    return x


def _transposed(x: Tensor) -> Tensor:
    return x.t()


def _outer_first(x: Tensor) -> Tensor:
    return x.permute(3, 2, 0, 1)


_PARTS = {"mod_weight": "affine.weight", "mod_bias": "affine.bias"}
_Turns = dict[str | None, Callable[[Tensor], Tensor]]
_DENSE: _Turns = {"weight": _transposed, "bias": _same}
_STYLED: _Turns = {"weight": _outer_first, "bias": _same}
_STYLED |= {"mod_weight": _transposed, "mod_bias": lambda x: x + 1}
_CONV: _Turns = {**_STYLED, "noise_strength": _same}
_ONE: _Turns = {None: lambda x: x[0]}
_UP: _Turns = {**_CONV, "weight": lambda x: _outer_first(x.flip(0, 1))}

_NAMES: tuple[tuple[str, str, _Turns], ...] = (
    (r"dlatent_avg", "mapping.w_avg", {None: _same}),
    (r"mapping/LabelEmbed/(?P<part>\w+)", "mapping.embed.{part}", _DENSE),
    (r"mapping/Dense(?P<i>\d+)/(?P<part>\w+)", "mapping.fc{i}.{part}", _DENSE),
    (r"synthesis/4x4/Const/const", "synthesis.b4.const", _ONE),
    (r"synthesis/4x4/Conv/(?P<part>\w+)", "synthesis.b4.conv1.{part}", _CONV),
    (r"synthesis/(?P<r>\d+)x(?P=r)/Conv0_up/(?P<part>\w+)", "synthesis.b{r}.conv0.{part}", _UP),
    (r"synthesis/(?P<r>\d+)x(?P=r)/Conv1/(?P<part>\w+)", "synthesis.b{r}.conv1.{part}", _CONV),
    (r"synthesis/(?P<r>\d+)x(?P=r)/ToRGB/(?P<part>\w+)", "synthesis.b{r}.torgb.{part}", _STYLED),
    (
        r"synthesis/noise(?P<number>\d{1,3})",
        "synthesis.{layer}.noise_const",
        {None: lambda x: x[0, 0]},
    ),
)
"""Pattern of a variable -> name in `StyleGAN2`, and how each part of it is turned."""
