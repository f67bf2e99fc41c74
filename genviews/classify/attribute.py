"""The attribute classifier of StyleGAN and of Chai et al. 2021: a discriminator with one output.

    image at 256 pixels -> blocks that halve the size -> one number l

**Sign.** The network was trained on 1 - label: a negative l says that the attribute is present.

**Probability.** The published code takes the softmax of (l, -l), so that P(present) is
sigmoid(-2 l), twice as sharp as the sigmoid(-l) that was trained. `AttributeNetwork` gives these
two logits, first absent, then present.

Source: Karras et al. 2019, arXiv:1812.04948, App. C (separability; 40 networks on CelebA-HQ); Chai
et al. 2021, arXiv:2104.14551, supplement 7.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.checks import check_count, fail
from genviews.generators.checkpoints.state import State, built, loaded
from genviews.generators.modulation import GAIN, SLOPE
from genviews.types import Images, check_shape
from genviews.weights import load_network, save_network

__all__ = ["AttributeConfig", "AttributeNetwork", "attribute_network", "looks_like_attribute"]

_KIND = "AttributeNetwork"
LAST = 4  # pixels of the last map


@dataclass(frozen=True, kw_only=True)
class AttributeConfig:
    """The architecture of an `AttributeNetwork`.

    Args:
        widths: channels of the maps, from the image's size down to 4 pixels, each half the size.
        head: channels of the convolution at 4 pixels.
        hidden: width of the linear layer before the last.
        image_channels: of the image.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512, 512, 512, 512)
    head: int = 512
    hidden: int = 512
    image_channels: int = 3

    def __post_init__(self) -> None:
        for width in (*self.widths, self.head, self.hidden, self.image_channels):
            check_count(width, "widths of the attribute network")
        if len(self.widths) < 2:
            got, remedy = self.widths, "add those of the halved maps"
            fail("widths", expected="those of two maps at least", got=got, remedy=remedy)

    @property
    def size(self) -> int:
        """Height and width in pixels of what the network sees."""
        return LAST << (len(self.widths) - 1)


class _Scaled(nn.Module):
    """A convolution or linear layer whose weight is scaled by gain / sqrt(fan-in) at run time."""

    def __init__(self, *shape: int, gain: float = GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.gain = gain / math.sqrt(self.weight[0].numel())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.gain
        if weight.ndim == 2:
            return F.linear(x, weight, self.bias)
        return F.conv2d(x, weight, self.bias, padding=weight.shape[-1] // 2)


class _Block(nn.Module):
    """Two 3x3 convolutions; the second is averaged to half the size before its leaky ReLU."""

    def __init__(self, inside: int, out: int) -> None:
        super().__init__()
        self.conv0 = _Scaled(inside, inside, 3, 3)
        self.conv1 = _Scaled(out, inside, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.conv0(x), SLOPE)
        return F.leaky_relu(F.avg_pool2d(self.conv1(x), 2), SLOPE)


class AttributeNetwork(nn.Module):
    """Logits of an attribute of a face: (l, -l), absent and present; see the module.

    Args:
        config: the architecture.

    Example:
        >>> network = AttributeNetwork(AttributeConfig(widths=(4, 8), head=4, hidden=4))
        >>> logits = network(torch.zeros(2, 3, 8, 8))
        >>> logits.shape, bool((logits.sum(1) == 0).all())
        (torch.Size([2, 2]), True)
    """

    def __init__(self, config: AttributeConfig) -> None:
        super().__init__()
        self.config = c = config
        self.stem = _Scaled(c.widths[0], c.image_channels, 1, 1)
        pairs = zip(c.widths[:-1], c.widths[1:], strict=True)
        self.blocks = nn.ModuleList([_Block(a, b) for a, b in pairs])
        self.conv = _Scaled(c.head, c.widths[-1], 3, 3)
        self.dense0 = _Scaled(c.hidden, c.head * LAST**2)
        self.dense1 = _Scaled(1, c.hidden, gain=1.0)

    def forward(self, images: Images) -> Float[Tensor, "N 2"]:
        """Return the logits of images in [-1, 1], which are averaged down to the config's size."""
        c = self.config
        remedy = "use the classifier on images of this many channels"
        check_shape(images, ("N", c.image_channels, "H", "W"), "images", remedy)
        x = images
        if x.shape[-2:] != (c.size, c.size):
            x = F.interpolate(x, size=(c.size, c.size), mode="area")
        x = F.leaky_relu(self.stem(x), SLOPE)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(self.conv(x), SLOPE).flatten(1)
        number = self.dense1(F.leaky_relu(self.dense0(x), SLOPE))
        return torch.cat([number, -number], dim=1)

    def save(self, path: str | Path, metadata: dict[str, str] | None = None) -> None:
        """Write weights and sizes to one safetensors file that `load` reads."""
        save_network(path, self, _KIND, asdict(self.config), metadata)

    @classmethod
    def load(cls, path: str | Path) -> AttributeNetwork:
        """Read a network that `save` wrote, in eval mode; no code of the file is run.

        Raises:
            FileNotFoundError: no such file.
            ValueError: another file, or missing, unused or misshapen weights.
        """

        def make(given: dict[str, object]) -> AttributeNetwork:
            return cls(AttributeConfig(**given))  # type: ignore[arg-type]  # from JSON

        return load_network(path, _KIND, make)


def looks_like_attribute(names: Mapping[str, object]) -> bool:
    """Whether names of tensors are those of the published attribute classifiers."""
    return "fromrgb_lod0.conv.conv.weight" in names and "4x4.dense1.linear.weight" in names


def attribute_network(tensors: Mapping[str, Tensor], what: str) -> AttributeNetwork:
    """Return the network of a published file's `state_dict`, in eval mode and frozen.

    Args:
        tensors: of the file.
        what: the file is, for messages.

    Raises:
        ValueError: a tensor is missing, left over or of another shape; a network that is still
            growing, or one that compares the images of a batch.

    Source: the published layout, github.com/chail/gan-ensembling (MIT),
        `networks/classifiers/attribute_classifier.py`.
    """
    state = State(tensors, what)
    found = state.names(r"(\d+)x\1\.conv0\.conv\.weight")
    sizes = sorted((int(name.partition("x")[0]) for name in found), reverse=True)
    mixed = state.take("4x4.conv.conv.weight", 4).shape[1]
    last = len(state.take(f"{sizes[-1]}x{sizes[-1]}.conv1.wscale.b", 1)) if sizes else mixed
    if mixed == last + 1:
        fail(
            what,
            expected="a classifier of each image by itself",
            got="a discriminator, which compares the images of a batch",
            remedy="name the file of an attribute classifier",
        )
    if "lod_in" in state and float(state.take("lod_in")) != 0.0:
        remedy = "name the last checkpoint of its training"
        fail(what, expected="a finished network", got="one that is still growing", remedy=remedy)

    def make() -> AttributeNetwork:
        first = state.take("fromrgb_lod0.conv.conv.weight", 4)
        widths = [len(state.take(f"{size}x{size}.conv0.wscale.b", 1)) for size in sizes]
        config = AttributeConfig(
            widths=(*widths, last),
            head=len(state.take("4x4.conv.wscale.b", 1)),
            hidden=len(state.take("4x4.dense0.wscale.b", 1)),
            image_channels=first.shape[1],
        )
        return AttributeNetwork(config)

    network = built(state, make)
    layers = {"fromrgb_lod0.conv": "stem", "4x4.conv": "conv"}
    for i, size in enumerate(sizes):
        layers |= {f"{size}x{size}.{conv}": f"blocks.{i}.{conv}" for conv in ("conv0", "conv1")}
    names = {f"{old}.conv.weight": f"{new}.weight" for old, new in layers.items()}
    dense = {f"4x4.dense{i}": f"dense{i}" for i in (0, 1)}
    names |= {f"{old}.linear.weight": f"{new}.weight" for old, new in dense.items()}
    names |= {f"{old}.wscale.b": f"{new}.bias" for old, new in (layers | dense).items()}
    state.ignore(r"fromrgb_lod[1-9]\d*\..*")  # of the sizes it grew through
    return loaded(state, network, state.renamed(names))
