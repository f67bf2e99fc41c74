"""Backbones by name: residual networks of torchvision, a compact one, and any network of timm.

A backbone gives features h, (N, E), of images (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import fail, lookup
from genviews.classify.network import SmallResNet
from genviews.classify.norm import rectified_norm
from genviews.named import find_package

__all__ = ["CompactBackbone", "make_backbone"]

Stem = Literal["imagenet", "small"]

_COMPACT_WIDTH, _COMPACT_FEATURES = 20, 128


class CompactBackbone(nn.Module):
    """A backbone for 32x32 images on two CPU cores: 94,976 parameters for one channel.

    The trunk of `SmallResNet` with 20, 40 and 60 channels, then a 1x1 convolution to 128 features,
    so that a linear probe has something to work with, rectified and averaged over the image. Sizes
    chosen by us; the first weights are drawn from torch's global random numbers.

    Args:
        channels: image channels C, any number.

    Raises:
        ValueError: images whose height or width is not a multiple of 8.

    Example:
        >>> CompactBackbone(1)(torch.zeros(2, 1, 32, 32)).shape
        torch.Size([2, 128])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        seed = int(torch.randint(2**31, ()))  # it has a seed of its own, the rest here has not
        self.trunk = SmallResNet(channels, 2, _COMPACT_WIDTH, seed)
        del self.trunk.head  # the features do not pass it, and DDP wants every weight to be used
        self.expand = nn.Conv2d(3 * _COMPACT_WIDTH, _COMPACT_FEATURES, 1, bias=False)
        self.norm = nn.BatchNorm2d(_COMPACT_FEATURES)
        nn.init.kaiming_normal_(self.expand.weight, nonlinearity="relu")

    def forward(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
        """Return the features, not negative."""
        if images.shape[-2] % 8 or images.shape[-1] % 8:
            fail(
                "images of the compact backbone",
                expected="height and width divisible by 8",
                got=tuple(images.shape[-2:]),
                remedy="crop the views to such a size",
            )
        maps = self.trunk.features(images)[-1]
        # Pooled, not averaged: the gradient of a mean is a view that torch's rectifier is slow on.
        return F.adaptive_avg_pool2d(rectified_norm(self.norm, self.expand(maps)), 1).flatten(1)


def make_backbone(
    name: str, *, channels: int, stem: Stem = "imagenet", image_size: int | None = None
) -> tuple[nn.Module, int]:
    """Return a backbone with fresh weights and its number of features E.

    The weights are drawn from torch's global random numbers; `RepresentationEncoder` gives them a
    seed.

    Args:
        name: resnet18, resnet34, resnet50, resnet101, compact, or timm:NAME for a network of timm,
            such as timm:vit_small_patch16_224.
        channels: image channels C.
        stem: of a ResNet: "imagenet" is the 7x7 convolution of stride 2 with a max pool, "small" a
            3x3 convolution of stride 1 without, for images of some 32 pixels.
        image_size: pixels, for a network of timm whose position embedding depends on it; None is
            the network's own.

    Raises:
        ValueError: unknown; the closest names are listed.
        ImportError: a network of timm where timm is not installed.

    Source: He et al. 2016, arXiv:1512.03385; stem and initial weights as in the authors' code
        (networks/resnet_big.py of GenRep).

    Differs: the authors' code takes the small stem when, and only when, the image size is 32, and
        so trains and evaluates with different stems where a crop is not. Here it is a setting.
    """
    if name.startswith("timm:"):
        return _from_timm(name.removeprefix("timm:"), channels, image_size)
    if image_size is not None:
        fail(
            "image_size",
            expected="none: this backbone takes images of any size",
            got=image_size,
            remedy="leave it out, or use a network of timm",
        )
    lookup(stem, dict.fromkeys(("imagenet", "small")), "stem")
    table: dict[str, Callable[[], tuple[nn.Module, int]]] = {
        name: partial(_resnet, name, channels, stem)
        for name in ("resnet18", "resnet34", "resnet50", "resnet101")
    }
    table["compact"] = lambda: (CompactBackbone(channels), _COMPACT_FEATURES)
    return lookup(name, table, "backbone (or timm:NAME)")()


def _resnet(name: str, channels: int, stem: Stem) -> tuple[nn.Module, int]:
    import torchvision

    network = getattr(torchvision.models, name)(weights=None)
    width = int(network.fc.in_features)
    network.fc = nn.Identity()
    if stem == "small":
        network.conv1 = _stem(channels, kernel=3, stride=1)
        network.maxpool = nn.Identity()
    elif channels != 3:
        network.conv1 = _stem(channels, kernel=7, stride=2)
    return network, width


def _stem(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, 64, kernel, stride, kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _from_timm(name: str, channels: int, image_size: int | None) -> tuple[nn.Module, int]:
    timm = find_package("timm", "hub", f"backbone timm:{name}")
    size = {} if image_size is None else {"img_size": image_size}
    try:
        network = timm.create_model(name, num_classes=0, in_chans=channels, **size)
    except (RuntimeError, TypeError) as error:
        fail(
            f"backbone timm:{name}",
            expected="a network of timm that takes these arguments",
            got=str(error),
            remedy="see timm.list_models(); a network without position embedding has no image_size",
        )
    return network, int(network.num_features)
