"""RepresentationEncoder: a backbone, whose features h are what is learnt, and a projection head.

    views in [-1, 1] -> BACKBONE -> h (probed, kept) -> HEAD -> u (in the loss, thrown away)

Backbone and stem are part of the config that a file keeps, so training and evaluation cannot differ
in them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, fail, lookup
from genviews.files import load_network, save_network, save_tensors
from genviews.modes import evaluating, own_dropout
from genviews.represent.backbones import Stem, make_backbone
from genviews.rng import Rng
from genviews.types import check_shape

__all__ = ["RepresentationConfig", "RepresentationEncoder"]

_KIND = "RepresentationEncoder"


@dataclass(frozen=True, kw_only=True)
class RepresentationConfig:
    """The architecture of a `RepresentationEncoder`.

    Args:
        backbone: a name that `make_backbone` knows, or "custom" for a module of your own.
        channels: image channels C.
        stem: "imagenet" or "small"; of a ResNet, see `make_backbone`.
        image_size: in pixels, of a network of timm alone.
        features: E of a custom backbone; the others know theirs.
        head: "mlp" is Linear(E, E), ReLU, Linear(E, P); "linear" is Linear(E, P).
        projection: P; 128 is the paper's.
        normalize: whether u is divided by its length, as contrastive objectives need; VICReg and
            those that predict want False.
        mean: subtracted from images in [-1, 1] before the backbone; one number, or one a channel.
            `genviews.classify.from_unit_range` converts torchvision's.
        std: divides them then.

    Raises:
        ValueError: an unknown word, a number out of its range, or `features` without "custom".
    """

    backbone: str = "compact"
    channels: int = 3
    stem: Stem = "imagenet"
    image_size: int | None = None
    features: int | None = None
    head: Literal["mlp", "linear"] = "mlp"
    projection: int = 128
    normalize: bool = True
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        check_count(self.channels, "channels")
        check_count(self.projection, "projection")
        lookup(self.head, dict.fromkeys(("mlp", "linear")), "head")
        lookup(self.stem, dict.fromkeys(("imagenet", "small")), "stem")
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

    def forward(self, images: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch E"]:
        """Return the features h of images in [-1, 1], with any leading axes.

        Raises:
            ValueError: another number of channels, or a backbone that gives other than (N, E).
        """
        channels = self.config.channels
        remedy = "convert them, or use an encoder with this number of channels"
        check_shape(images, ("...", channels, "H", "W"), "images", remedy)
        flat = images.reshape(-1, *images.shape[-3:])
        h: Tensor = self.backbone((flat - self.mean) / self.std)
        remedy = "let the module pool and flatten, or correct `features`"
        check_shape(h, (len(flat), self.features_dim), "features of the backbone", remedy)
        return h.reshape(*images.shape[:-3], self.features_dim)

    def project(self, h: Float[Tensor, "*batch E"]) -> Float[Tensor, "*batch P"]:
        """Return the projections u of features, of length 1 where the config normalises."""
        u: Tensor = self.head(h)
        if not self.config.normalize:
            return u
        # In float32 also under autocast: bfloat16 rows have lengths of 1 only to some 4e-3.
        with torch.autocast(u.device.type, enabled=False):
            return F.normalize(u.to(torch.promote_types(u.dtype, torch.float32)), dim=-1)

    def features(
        self, images: Float[Tensor, "N C H W"], batch_size: int = 512
    ) -> Float[Tensor, "N E"]:
        """Return h in eval mode and without gradients, `batch_size` images at a time, on the CPU.

        Images may be on another device than the encoder. Each part is put back in its mode.
        """
        with torch.no_grad(), evaluating(self):
            parts = [self(part.to(self.mean.device)).cpu() for part in images.split(batch_size)]
        return torch.cat(parts)

    def __describe__(self) -> dict[str, object]:
        """Its architecture."""
        return {"config": self.config}

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
