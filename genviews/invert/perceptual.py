"""LPIPS as a term: the distance of deep features whose channels were weighted by human judgements.

The `lpips` package gives the network and the learnt channel weights, which ship in it. The
ImageNet weights of the backbone do not: they are a file that the user has, or that torchvision has
already downloaded. Nothing is downloaded here.

Source: Zhang et al. 2018, arXiv 1801.03924; `lpips` 0.1.4, version 0.1 of the weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_file, fail, lookup
from genviews.files import read_tensors
from genviews.invert.features import hide
from genviews.invert.objective import Kept, Target, Term
from genviews.modes import evaluating
from genviews.named import find_package
from genviews.types import Images, Latents, Masks, Values
from genviews.weights import load_strictly

__all__ = ["LPIPS"]

# Least height and width in pixels: below it the last pooling of the backbone has nothing to pool.
_LEAST = {"alex": 31, "vgg": 16}


@dataclass(frozen=True)
class LPIPS(Term):
    """Masked LPIPS: the mean over known pixels of the spatial LPIPS map.

        sum(m * lpips(m G(w), m x)) / sum(m)

    Grey images are repeated to three channels. The features of the image are computed once.

    Args:
        weight: factor of the term; 1 in the paper's objective, 0.5 in its code.
        net: backbone, "alex" (as in Chai et al.) or "vgg"; images of at least 31 and 16 pixels.
        weights: file of the backbone's ImageNet weights with torchvision's names (.pth or
            .safetensors). None: the file that torchvision keeps in `torch.hub.get_dir()`.
        leak: False hides unknown pixels from the network. True shows it both images whole and
            masks the map alone, as the reference does; unknown pixels near known ones then count.

    Raises:
        ImportError: the package `lpips` is not installed.
        FileNotFoundError: no weights of the backbone.
        ValueError: another `net`; weights that do not fit; in `keep`, images that are too small,
            or have neither one nor three channels.

    Source: Zhang et al. 2018, arXiv 1801.03924, Eq. 1; masked as in `losses.Masked_LPIPS_Loss` of
        Chai et al. 2021.
    Differs: both images are multiplied by the mask before the network (`leak=True`: not).
    """

    weight: float = 1.0
    net: Literal["alex", "vgg"] = "alex"
    # Two copies of the file are one network, which is what counts.
    weights: str | Path | None = field(default=None, metadata={"identity": False})
    leak: bool = False
    network: nn.Module = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", _load(self.net, self.weights))

    @property
    def name(self) -> str:
        """See `Term`."""
        return f"lpips_{self.net}"

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The features of the images."""
        least = _LEAST[self.net]
        if min(images.shape[2:]) < least or images.shape[1] not in (1, 3):
            fail(
                f"images for LPIPS with {self.net}",
                expected=f"1 or 3 channels, height and width of at least {least} pixels",
                got=tuple(images.shape[1:]),
                remedy="leave the term out, or use `Feature` with a network for small images",
            )
        return self._maps(images, masks)

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        masks, size = target.masks, rendered.shape[2:]
        lins: Any = self.network.lins
        total = torch.zeros_like(masks)
        with evaluating(self.network):  # which has dropout
            for ours, theirs, lin in zip(self._maps(rendered, masks), kept, lins, strict=True):
                distance = lin((ours - theirs).square())
                total = total + F.interpolate(distance, size, mode="bilinear", align_corners=False)
        return (total * masks).sum(dim=(1, 2, 3)) / masks.sum(dim=(1, 2, 3))

    def _maps(self, images: Tensor, masks: Tensor) -> list[Tensor]:
        """Features of each layer, of unit length at each position."""
        network: Any = self.network
        seen = images if self.leak else hide(images, masks)
        seen = seen.to(network.lin0.model[-1].weight.dtype).expand(-1, 3, -1, -1)
        maps: Sequence[Tensor] = network.net(network.scaling_layer(seen))
        # 1e-10 as in `lpips.normalize_tensor`, so that the numbers are the package's.
        return [m / (torch.linalg.vector_norm(m, dim=1, keepdim=True) + 1e-10) for m in maps]


def _load(net: str, weights: str | Path | None) -> nn.Module:
    """The network of `lpips.LPIPS(net)` with spatial maps, in eval mode and frozen."""
    lookup(net, _LEAST, "LPIPS net")
    lpips = find_package("lpips", "perceptual", "LPIPS", ", or use `Feature`")
    path = _backbone_file(net, weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package calls torchvision the old way
        # Without storage: else half a gigabyte of random weights is drawn, from the global stream.
        with torch.device("meta"):
            network: nn.Module = lpips.LPIPS(
                net=net, spatial=True, pretrained=False, pnet_rand=True, verbose=False
            )
    heads = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{net}.pth"
    state = {k: v for k, v in network.state_dict().items() if k.startswith("scaling_layer.")}
    state |= _backbone(net, network, path)
    for name, value in read_tensors(heads, f"heads of lpips {net}").items():
        # The learnt channel weights have two names in the package.
        state |= {name: value, name.replace("lin", "lins.", 1): value}
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def _backbone_file(net: str, weights: str | Path | None) -> Path:
    from torchvision.models import AlexNet_Weights, VGG16_Weights

    listed: Any = {"alex": AlexNet_Weights, "vgg": VGG16_Weights}[net].IMAGENET1K_V1
    url = str(listed.url)
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    path = cached if weights is None else Path(weights)
    check_file(
        path,
        f"backbone of LPIPS {net}",
        expected="a file of its ImageNet weights",
        remedy=f"download {url} to there, or name a file of torchvision's weights with "
        "`weights=` (on the command line --lpips-weights)",
    )
    return path


def _backbone(net: str, network: nn.Module, path: Path) -> dict[str, Tensor]:
    """The file's tensors under the package's names: features.3.bias -> net.slice2.3.bias."""
    from torchvision import models

    what = f"backbone weights {path.name}"
    # torchvision's files also hold the layers that classify, which LPIPS does not use.
    found = read_tensors(path, "backbone weights")
    given = {k: v for k, v in found.items() if not k.startswith("classifier.")}
    with torch.device("meta"):
        trunk = {"alex": models.alexnet, "vgg": models.vgg16}[net]()
    del trunk.classifier
    load_strictly(trunk, given, what, "take the file of this `net` from torchvision", assign=True)
    weights = trunk.state_dict()
    ours = [name for name in network.state_dict() if name.startswith("net.")]
    return {name: weights["features." + name.split(".", 2)[2]].float() for name in ours}
