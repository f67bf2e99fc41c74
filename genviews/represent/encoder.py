"""RepresentationEncoder: a backbone, whose features h are what is learnt, and a projection head.

    views in [-1, 1] -> BACKBONE -> h (probed, kept) -> HEAD -> u (in the loss, thrown away)

Backbones have names: residual networks of torchvision, a compact one, and any network of timm.
Backbone and stem are part of the config that a file keeps, so training and evaluation cannot differ
in them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, check_pixels, check_type, check_words, fail, lookup
from genviews.classify.network import SmallResNet
from genviews.classify.norm import rectified_norm
from genviews.files import save_tensors
from genviews.modes import evaluating, own_dropout
from genviews.named import find_package
from genviews.rng import Rng
from genviews.signature import checked
from genviews.types import check_shape
from genviews.user_code import user_code
from genviews.weights import load_network, save_network

__all__ = ["CompactBackbone", "RepresentationConfig", "RepresentationEncoder", "make_backbone"]

_KIND = "RepresentationEncoder"
Stem = Literal["imagenet", "small"]

_COMPACT_WIDTH, _COMPACT_FEATURES = 20, 128


@dataclass(frozen=True, kw_only=True)
class RepresentationConfig:
    """The architecture of a `RepresentationEncoder`.

    Args:
        backbone: a name that `make_backbone` knows, or "custom" for a module of your own.
        channels: image channels C.
        stem: "imagenet" or "small"; of a ResNet, see `make_backbone`.
        image_size: in pixels, of a network of timm alone.
        input_size: side of the central square of an image that it learnt to see, which probes show
            it as well; None: all of the image. It changes nothing of the network.
        features: E of a custom backbone; the others know theirs.
        head: "mlp" is Linear(E, E), ReLU, Linear(E, P); "linear" is Linear(E, P).
        projection: P; 128 is the paper's.
        normalize: whether u is divided by its length, as contrastive objectives need; VICReg and
            those that predict want False.
        mean: subtracted from images in [-1, 1] before the backbone; one number, or one a channel.
            `genviews.classify.convert.from_unit_range` converts torchvision's.
        std: divides them then.

    Raises:
        ValueError: an unknown word, a number out of its range, or `features` without "custom".
    """

    backbone: str = "compact"
    channels: int = 3
    stem: Stem = "imagenet"
    image_size: int | None = None
    input_size: int | None = field(default=None, metadata={"identity": False})
    features: int | None = None
    head: Literal["mlp", "linear"] = "mlp"
    projection: int = 128
    normalize: bool = True
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        check_count(self.channels, "channels")
        check_count(self.projection, "projection")
        if self.input_size is not None:
            check_count(self.input_size, "input_size")
        check_type(self.backbone, str, "backbone", "a name", "see `make_backbone`")
        check_type(self.normalize, bool, "normalize", "true or false", "change it")
        check_words(self)
        if (self.features is None) == (self.backbone == "custom"):
            fail(
                "features",
                expected='a number for backbone="custom", and for no other',
                got=f"{self.features} for {self.backbone!r}",
                remedy="say how many features your module gives",
            )
        for name in ("mean", "std"):
            values = getattr(self, name)
            finite = all(math.isfinite(v) and (v > 0 or name == "mean") for v in values)
            if len(values) not in (1, self.channels) or not finite:
                fail(
                    name,
                    expected=f"one finite number or {self.channels}, std above 0",
                    got=values,
                    remedy="give one a channel",
                )


class RepresentationEncoder(nn.Module):
    """Features h of images, and projections u of features.

    Args:
        config: the architecture.
        backbone: the module of a "custom" config: (N, C, H, W) images to (N, E) features.
        seed: of the first weights, which do not touch torch's global random numbers; a custom
            backbone keeps its own.

    Raises:
        ValueError: a custom config without module or the other way round, or an unknown backbone.
        ImportError: a backbone of timm where timm is not installed.

    Source: Jahanian et al. 2022, arXiv:2106.05258, section 4 (ResNet-50, head 2048-2048-128);
        the authors' networks/resnet_big.py.

    Example:
        >>> encoder = RepresentationEncoder(RepresentationConfig(channels=1))
        >>> h = encoder(torch.zeros(4, 2, 1, 32, 32))
        >>> h.shape, encoder.project(h).shape
        (torch.Size([4, 2, 128]), torch.Size([4, 2, 128]))
    """

    mean: Tensor
    std: Tensor

    @checked
    def __init__(
        self, config: RepresentationConfig, backbone: nn.Module | None = None, *, seed: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        if (backbone is None) == (config.backbone == "custom"):
            fail(
                "backbone",
                expected='a module for backbone="custom", and for no other',
                got=f"{'none' if backbone is None else 'a module'} for {config.backbone!r}",
                remedy="pass the module, or name a known backbone",
            )
        with own_dropout(Rng(seed, _KIND), torch.device("cpu")):
            if backbone is None:
                network, features = make_backbone(
                    config.backbone,
                    channels=config.channels,
                    stem=config.stem,
                    image_size=config.image_size,
                )
                self.backbone = network.to(memory_format=torch.channels_last)
            else:
                assert config.features is not None
                self.backbone, features = backbone, config.features
            self.head = _head(config.head, features, config.projection)
        self.features_dim = features
        for name in ("mean", "std"):
            value = torch.tensor(getattr(config, name)).view(-1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    @checked
    def forward(self, images: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch E"]:
        """Return the features h of images in [-1, 1], with any leading axes and of any float type.

        Raises:
            ValueError: another number of channels, or a backbone that gives other than (N, E).
        """
        channels = self.config.channels
        remedy = "convert them, or use an encoder with this number of channels"
        check_shape(images, ("...", channels, "H", "W"), "images", remedy)
        flat = images.reshape(-1, *images.shape[-3:]).to(self.mean.dtype)
        with user_code("backbone of the encoder", flat):
            h: Tensor = self.backbone((flat - self.mean) / self.std)
        remedy = "let the module pool and flatten, or correct `features`"
        check_shape(h, (len(flat), self.features_dim), "features of the backbone", remedy)
        return h.reshape(*images.shape[:-3], self.features_dim)

    @checked
    def project(self, h: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch P"]:
        """Return the projections u of features, of length 1 where the config normalises."""
        remedy = "give what this encoder gives"
        check_shape(h, ("...", self.features_dim), "features to project", remedy)
        u: Tensor = self.head(h.to(self.mean.dtype))
        if not self.config.normalize:
            return u
        # In float32 also under autocast: bfloat16 rows have lengths of 1 only to some 4e-3.
        with torch.autocast(u.device.type, enabled=False):
            return F.normalize(u.to(torch.promote_types(u.dtype, torch.float32)), dim=-1)

    @checked
    def features(
        self, images: Float[Tensor, "N C H W"], batch_size: int = 512
    ) -> Float[Tensor, "N E"]:
        """Return h in eval mode and without gradients, `batch_size` images at a time, on the CPU.

        Images may be on another device than the encoder. Each part is put back in its mode.
        """
        check_pixels(images, "images of the encoder")
        with torch.no_grad(), evaluating(self):
            parts = [self(part.to(self.mean.device)).cpu() for part in images.split(batch_size)]
        return torch.cat(parts)

    def __describe__(self) -> dict[str, object]:
        """Its architecture."""
        own = {"backbone": self.backbone} if self.config.backbone == "custom" else {}
        return {"config": self.config, **own}

    def save(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write weights and config to one safetensors file that `load` reads.

        Args:
            path: of the file, replaced as a whole.
            metadata: further text of the header, such as the generator and the licence.
        """
        save_network(path, self, _KIND, asdict(self.config), metadata)

    @classmethod
    def load(cls, path: str | Path, backbone: nn.Module | None = None) -> RepresentationEncoder:
        """Read an encoder that `save` wrote, in eval mode; no code of the file is run.

        Args:
            path: of the file.
            backbone: the module of a "custom" config, whose weights are replaced.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, or missing, unused or misshapen weights, which are named.
        """

        def make(fields: dict[str, Any]) -> RepresentationEncoder:
            fields |= {name: tuple(fields[name]) for name in ("mean", "std")}
            return cls(RepresentationConfig(**fields), backbone)

        return load_network(path, _KIND, make)

    def export_backbone(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write the backbone alone, with the key names of torchvision or timm, as safetensors.

        A ResNet's file loads strictly into `torchvision.models.resnet50()` once its `fc` is an
        `nn.Identity()`: there is no `fc` in it. With the "small" stem, or other than 3 channels,
        `conv1` has to be replaced likewise, and `maxpool` be an identity. A network of timm loads
        with `num_classes=0`. The header says all that, and what images the backbone takes.
        """
        c = self.config
        header = {
            "architecture": c.backbone,
            "channels": str(c.channels),
            "stem": c.stem,
            "features": str(self.features_dim),
            "input": f"(image in [-1, 1] - {list(c.mean)}) / {list(c.std)}",
            **(metadata or {}),
        }
        save_tensors(path, self.backbone.state_dict(), header)


def _head(kind: str, features: int, projection: int) -> nn.Module:
    last = nn.Linear(features, projection)
    if kind == "linear":
        return last
    return nn.Sequential(nn.Linear(features, features), nn.ReLU(inplace=True), last)


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
    if not re.fullmatch(r"[\w.-]+", name):  # timm takes a colon for a repository to download from
        fail(
            f"backbone timm:{name}",
            expected="the name of a network of timm",
            got="another address",
            remedy="nothing is downloaded: see timm.list_models()",
        )
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
