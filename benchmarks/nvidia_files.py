"""Files of StyleGAN2 as NVIDIA's releases write them, written without their code.

For tests, and for hostile files that begin as good ones. `benchmarks.generators` reads what the
releases themselves write, and compares the opcodes of the two.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from genviews.generators.stylegan2 import StyleGAN2
from genviews.generators.stylegan2_networks import StyleGAN2Config

__all__ = [
    "SOURCE",
    "named_class",
    "persistence",
    "persistent",
    "pytorch_network",
    "pytorch_pickle",
    "tensorflow",
    "tensorflow_networks",
    "tensorflow_pickle",
]

GAIN = np.sqrt(2)  # one number, which every layer shares
SOURCE = "raise SystemExit('the source of a class was run')\n"


@contextlib.contextmanager
def named_class(module: str, name: str, value: object) -> Iterator[None]:
    """Let pickles name an object as part of a module that is not installed."""
    value.__module__, value.__qualname__ = module, name  # type: ignore[attr-defined]  # a class
    parts = module.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    before = {one: sys.modules.get(one) for one in names}
    for one in names:
        sys.modules[one] = types.ModuleType(one)
    setattr(sys.modules[module], name, value)
    try:
        yield
    finally:
        for one, old in before.items():
            if old is None:
                del sys.modules[one]
            else:
                sys.modules[one] = old


def _reconstruct_persistent_obj(meta: object) -> None:
    raise AssertionError("a file was unpickled")


class _Persistent(nn.Module):
    """A network that is pickled as NVIDIA's `persistence` does."""

    kind = ""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[dict[str, Any]], None]:
        meta = {"type": "class", "version": 6, "module_src": SOURCE}
        meta |= {"class_name": self.kind, "state": self.__dict__}
        return _reconstruct_persistent_obj, (meta,), None


def persistent(
    kind: str,
    attributes: Mapping[str, Any],
    parts: Mapping[str, Any],
    kwargs: Mapping[str, Any],
    args: tuple[Any, ...] = (),
) -> nn.Module:
    """A network as `persistence` keeps one.

    Args:
        kind: name of its class.
        attributes: plain values that it keeps.
        parts: parameters, buffers (other tensors) and networks, by name.
        kwargs: it was constructed with.
        args: the same without names.
    """
    made = _Persistent()
    made.__class__ = type(kind, (_Persistent,), {"kind": kind})
    vars(made).update(attributes)
    for name, part in parts.items():
        if isinstance(part, nn.Module):
            made.add_module(name, part)
        elif isinstance(part, nn.Parameter):
            made.register_parameter(name, part)
        else:
            made.register_buffer(name, part)
    vars(made).update({"_init_args": args, "_init_kwargs": dict(kwargs)})
    return made


def pytorch_pickle(generator: nn.Module, **extras: object) -> bytes:
    """The file that stylegan2-ada-pytorch writes of a generator.

    Args:
        generator: whose architecture follows the official schedule of some `channel_base`, or a
            network that `pytorch_network` made of it.
        extras: what else is in the file, such as D; "G_ema" and "G" replace the generator.
    """
    network = pytorch_network(generator) if isinstance(generator, StyleGAN2) else generator
    saved = {"G": network, "D": None, "G_ema": network, "augment_pipe": None, **extras}
    with persistence():
        return pickle.dumps(saved)


def persistence() -> contextlib.AbstractContextManager[None]:
    """Let `pytorch_network`s be pickled, by whatever writes them."""
    function = ("torch_utils.persistence", "_reconstruct_persistent_obj")
    return named_class(*function, _reconstruct_persistent_obj)


def pytorch_network(ours: StyleGAN2) -> nn.Module:
    """The network of that file; it can only be pickled, with `pytorch_pickle`."""
    config = ours.config
    mapping, rows = ours.mapping, config.num_ws
    layers = {"num_layers": config.mapping_layers, "lr_multiplier": config.mapping_lr_multiplier}
    widths = config.block_channels
    clamp = {} if config.conv_clamp is None else {"conv_clamp": config.conv_clamp}
    options = {"channel_base": widths[config.resolution] * config.resolution}
    options |= {"channel_max": max(widths.values()), **clamp}
    sizes = {"z_dim": config.z_dim, "c_dim": config.c_dim, "w_dim": config.w_dim}
    picture = {"img_resolution": config.resolution, "img_channels": config.img_channels}
    parts: dict[str, Any] = {"w_avg": mapping.w_avg}
    dense = {"activation": "lrelu", "lr_multiplier": config.mapping_lr_multiplier}
    for name, layer in mapping.named_children():
        parts[name] = _dense(layer, **({} if name == "embed" else dense))
    rest = {"num_layers": config.mapping_layers, "w_avg_beta": 0.995}
    made = persistent(
        "MappingNetwork",
        {**sizes, "num_ws": rows, **rest},
        parts,
        {**sizes, "num_ws": rows, **layers},
    )
    whole = persistent("Generator", {**sizes, **picture}, {}, {})
    whole.add_module("synthesis", _synthesis(ours, {"w_dim": config.w_dim, **picture, **options}))
    vars(whole)["num_ws"] = rows
    whole.add_module("mapping", made)
    arguments = {**sizes, **picture, "mapping_kwargs": layers, "synthesis_kwargs": options}
    vars(whole)["_init_kwargs"] = arguments
    for late in ("_init_args", "_init_kwargs"):  # the constructor's end wrote them
        vars(whole)[late] = vars(whole).pop(late)
    return whole.eval().requires_grad_(False)


def _dense(layer: nn.Module, **kwargs: object) -> nn.Module:
    rows, columns = layer.weight.shape
    rate = kwargs.get("lr_multiplier", 1)
    gains = {"weight_gain": rate / np.sqrt(columns), "bias_gain": rate}
    activation = {"activation": kwargs.get("activation", "linear")}
    parts = {"weight": layer.weight, "bias": layer.bias}
    return persistent("FullyConnectedLayer", activation | gains, parts, kwargs, (columns, rows))


def _filter(config: StyleGAN2Config) -> torch.Tensor:
    taps = torch.tensor(config.resample_filter)
    square = taps.ger(taps)
    return square / square.sum()


def _synthesis(ours: StyleGAN2, kwargs: Mapping[str, Any]) -> nn.Module:
    config, blocks = ours.config, {}
    block_options = {k: v for k, v in kwargs.items() if k in ("resample_filter", "conv_clamp")}
    for _, block in ours.synthesis.blocks():
        size = block.conv1.resolution
        widths = (config.block_channels[size // 2] if size > 4 else 0, config.block_channels[size])
        is_last = size == config.resolution
        named = {"w_dim": config.w_dim, "resolution": size, "img_channels": config.img_channels}
        shape = {"in_channels": widths[0], **named, "is_last": is_last}
        state = {**shape, "architecture": "skip", "use_fp16": False, "channels_last": False}
        counts = {"num_conv": 1 + (size > 4), "num_torgb": 1}
        parts: dict[str, Any] = {"resample_filter": _filter(config)}
        parts |= {} if size > 4 else {"const": block.const}
        parts |= {
            name: _conv(getattr(block, name), config) for name in ("conv0", "conv1")[size == 4 :]
        }
        parts["torgb"] = _to_rgb(block.torgb, config)
        given = {**named, "is_last": is_last, "use_fp16": False, **block_options}
        blocks[f"b{size}"] = persistent("SynthesisBlock", state | counts, parts, given, widths)
    log2 = config.resolution.bit_length() - 1
    sizes = {"w_dim": config.w_dim, "img_resolution": config.resolution}
    sizes |= {"img_resolution_log2": log2, "img_channels": config.img_channels}
    sizes |= {"block_resolutions": config.resolutions, "num_ws": config.num_ws}
    return persistent("SynthesisNetwork", sizes, blocks, kwargs)


def _conv(layer: nn.Module, config: StyleGAN2Config) -> nn.Module:
    out, into = layer.weight.shape[:2]
    clamp = config.conv_clamp
    first = {"resolution": layer.resolution, "up": 1 + layer.up, "use_noise": True}
    state = {**first, "activation": "lrelu", "conv_clamp": clamp, "padding": 1}
    parts = {
        "resample_filter": _filter(config),
        "noise_const": layer.noise_const,
        "affine": _dense(layer.affine, bias_init=1),
        "weight": nn.Parameter(layer.weight.contiguous()),
        "noise_strength": layer.noise_strength,
        "bias": layer.bias,
    }
    taps = [int(tap) if tap == int(tap) else tap for tap in config.resample_filter]
    up = {"up": 2, "resample_filter": taps} if layer.up else {}
    given = {"w_dim": config.w_dim, "resolution": layer.resolution, **up}
    given |= {"conv_clamp": clamp, "channels_last": False}
    return persistent("SynthesisLayer", state | {"act_gain": GAIN}, parts, given, (into, out))


def _to_rgb(layer: nn.Module, config: StyleGAN2Config) -> nn.Module:
    out, into = layer.weight.shape[:2]
    parts = {"affine": _dense(layer.affine, bias_init=1), "weight": layer.weight}
    parts["bias"] = layer.bias
    state = {"conv_clamp": config.conv_clamp, "weight_gain": 1 / np.sqrt(into)}
    given = {"w_dim": config.w_dim, "conv_clamp": config.conv_clamp, "channels_last": False}
    return persistent("ToRGBLayer", state, parts, given, (into, out))


class _Network:
    """What a TensorFlow network pickles as."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self._state = state

    def __getstate__(self) -> Mapping[str, Any]:
        return self._state


def tensorflow_pickle(
    config: StyleGAN2Config,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    version: int = 4,
) -> bytes:
    """The file that stylegan2 and stylegan2-ada of TensorFlow write, with random variables.

    Args:
        config: the architecture; its `channels` are those of the variables.
        seed: of the variables.
        kwargs: further arguments of the generator, or others in the place of those of `config`.
        version: of the format.
    """
    networks = tensorflow_networks(config, seed, kwargs, version)
    with tensorflow():
        return pickle.dumps(networks, 4)


def tensorflow() -> contextlib.AbstractContextManager[None]:
    """Let `tensorflow_networks` be pickled."""
    return named_class("dnnlib.tflib.network", "Network", _Network)


def tensorflow_networks(
    config: StyleGAN2Config,
    seed: int = 0,
    kwargs: Mapping[str, Any] | None = None,
    version: int = 4,
) -> tuple[object, object, object]:
    """What `tensorflow_pickle` puts into a file: G, D and Gs."""
    draw = np.random.default_rng(seed)

    def random(*shape: int) -> np.ndarray[Any, Any]:
        return draw.standard_normal(shape).astype(np.float32)

    static = {
        **{"resolution": config.resolution, "num_channels": config.img_channels},
        **{"latent_size": config.z_dim, "dlatent_size": config.w_dim, "label_size": config.c_dim},
        **{"mapping_layers": config.mapping_layers, "mapping_fmaps": config.w_dim},
        **{"mapping_lrmul": config.mapping_lr_multiplier, "conv_clamp": config.conv_clamp},
        **{"resample_kernel": [int(tap) for tap in config.resample_filter]},
        **{"fmap_base": config.block_channels[config.resolution] * config.resolution // 2},
        **{"fmap_max": max(config.block_channels.values())},
        **(kwargs or {}),
    }
    parts = {"mapping": _tf_mapping(config, random), "synthesis": _tf_synthesis(config, random)}

    def network(kind: str) -> _Network:
        def state(name: str, variables: Mapping[str, Any], inner: Mapping[str, Any]) -> _Network:
            return _Network(
                {
                    **{
                        "version": version,
                        "name": name,
                        "static_kwargs": static,
                        "components": inner,
                    },
                    **{"build_module_src": SOURCE, "build_func_name": f"{name}_main"},
                    **{"variables": list(variables.items())},
                }
            )

        inner = {name: state(f"G_{name}", found, {}) for name, found in parts.items()}
        average = {"dlatent_avg": random(config.w_dim)}
        return state(kind, {"lod": np.float32(0), **average}, inner)

    return network("G"), network("D"), network("Gs")


_Random = Callable[..., "np.ndarray[Any, Any]"]


def _tf_mapping(config: StyleGAN2Config, random: _Random) -> dict[str, Any]:
    found, width = dict[str, Any](), config.z_dim
    if config.c_dim:
        found["LabelEmbed/weight"] = random(config.c_dim, config.w_dim)
        found["LabelEmbed/bias"] = random(config.w_dim)
        width += config.w_dim
    for i in range(config.mapping_layers):
        found[f"Dense{i}/weight"] = random(width, config.w_dim) / config.mapping_lr_multiplier
        found[f"Dense{i}/bias"] = random(config.w_dim)
        width = config.w_dim
    return found


def _tf_synthesis(config: StyleGAN2Config, random: _Random) -> dict[str, Any]:
    w, before = config.w_dim, config.block_channels[4]
    found: dict[str, Any] = {"4x4/Const/const": random(1, before, 4, 4)}
    number = 0
    for size in config.resolutions:
        width = config.block_channels[size]
        layers = (
            {"Conv": (before, 3)} if size == 4 else {"Conv0_up": (before, 3), "Conv1": (width, 3)}
        )
        for layer, (into, side) in [*layers.items(), ("ToRGB", (width, 1))]:
            place, out = f"{size}x{size}/{layer}", width if side == 3 else config.img_channels
            found[f"{place}/weight"] = random(side, side, into, out)
            found[f"{place}/mod_weight"] = random(w, into)
            found[f"{place}/mod_bias"] = random(into) * np.float32(0.1)
            found[f"{place}/bias"] = random(out)
            if side == 3:
                found[f"{place}/noise_strength"] = np.asarray(random(1)[0] * 0.1)
                found[f"noise{number}"] = random(1, 1, size, size)
                number += 1
        before = width
    return found
