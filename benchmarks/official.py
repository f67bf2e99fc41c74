"""The official StyleGAN2 network from a checkout on this machine, with the weights of one of ours.

An oracle and a speed baseline only: its licence is non-commercial, and no line of it is here. Get
the public `stylegan2-ada-pytorch` repository yourself and name its folder with `--official` or in
GENVIEWS_OFFICIAL_STYLEGAN2.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from pathlib import Path
from typing import Any

from torch import nn

from genviews.checks import fail
from genviews.generators.stylegan2 import StyleGAN2

VARIABLE = "GENVIEWS_OFFICIAL_STYLEGAN2"


def load_networks(checkout: Path) -> types.ModuleType:
    """Import `training.networks` of the checkout.

    Raises:
        ValueError: `checkout` is no such checkout.
    """
    if not (checkout / "training" / "networks.py").is_file():
        fail(
            f"official checkout {checkout}",
            expected="a folder with training/networks.py",
            got="none there",
            remedy=f"name a stylegan2-ada-pytorch checkout with --official or in {VARIABLE}",
        )
    _stand_in_for_absent_modules()
    sys.path.insert(0, str(checkout))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it announces that it is older than this torch
            return importlib.import_module("training.networks")
    finally:
        sys.path.remove(str(checkout))


def official_twin(networks: types.ModuleType, ours: StyleGAN2) -> nn.Module:
    """The official generator of the same architecture and weights, in eval mode.

    In eval mode its default is one grouped convolution with a weight for each sample.
    """
    config = ours.config
    shared = {"resample_filter": list(config.resample_filter), "conv_clamp": config.conv_clamp}
    mapping = {
        "num_layers": config.mapping_layers,
        "lr_multiplier": config.mapping_lr_multiplier,
    }
    twin = networks.Generator(
        config.z_dim,
        config.c_dim,
        config.w_dim,
        config.resolution,
        config.img_channels,
        mapping_kwargs=mapping,
        synthesis_kwargs=shared,
    )
    # The official channel schedule has two parameters, ours is any: make the blocks one by one.
    channels = config.block_channels
    for resolution in twin.synthesis.block_resolutions:
        block = networks.SynthesisBlock(
            channels[resolution // 2] if resolution > 4 else 0,
            channels[resolution],
            w_dim=config.w_dim,
            resolution=resolution,
            img_channels=config.img_channels,
            is_last=resolution == config.resolution,
            **shared,
        )
        setattr(twin.synthesis, f"b{resolution}", block)
    filters = {k: v for k, v in twin.state_dict().items() if k.endswith("resample_filter")}
    twin.load_state_dict({**filters, **ours.state_dict()})
    return twin.eval().requires_grad_(False)  # type: ignore[no-any-return]  # it has no types


def _stand_in_for_absent_modules() -> None:
    """Give its download helpers, which are not used here, the modules that they import."""
    stand_ins: dict[str, Any] = {
        "requests": {},
        "distutils": {},
        "distutils.util": {"strtobool": bool},
    }
    for name, content in stand_ins.items():
        if name not in sys.modules and importlib.util.find_spec(name) is None:
            module = types.ModuleType(name)
            vars(module).update(content)
            sys.modules[name] = module
