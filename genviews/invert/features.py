"""Terms through any network: feature maps, a classifier's predictions, the inversion encoder.

`Feature` compares feature maps, e.g. of the inversion encoder or, by `ModuleFeatures`, of the
user's own classifier. `Predictions` asks that the classifier say the same of the rendering.
`ToEncoder` and `ReEncode` hold latents where the encoder's answers lie: both papers say "regularise
towards the encoder" and mean different things.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genviews.augment.base import PixelViews
from genviews.checks import check_number, fail, option
from genviews.invert.objective import Kept, Target, Term, blank, masked_mean
from genviews.modes import evaluating
from genviews.rng import Rng
from genviews.signature import checked
from genviews.types import Images, Latents, Masks, Values, check_shape, check_tensor
from genviews.user_code import user_code

__all__ = [
    "Feature",
    "FeatureDistance",
    "ModuleFeatures",
    "Predictions",
    "ReEncode",
    "ToEncoder",
]

Extract = Callable[[Tensor], Sequence[Tensor]]


def hide(images: Tensor, masks: Tensor) -> Tensor:
    """The images times their masks: unknown pixels are 0 (mid-grey) for every network here.

    Done on both sides of a comparison; else unknown pixels leak through receptive fields.
    """
    return blank(images, masks) * masks


class ModuleFeatures(nn.Module):
    """Feature maps of named submodules of any module: images -> one map a name.

    Args:
        module: called on the images in eval mode; e.g. a `Classifier`, which normalises them first.
        layers: names as in `module.named_modules()`, e.g. ("layer2", "layer3") of a torchvision
            ResNet, ("module.layer2",) of a `Classifier` around one.

    Raises:
        ValueError: no layer, an unknown one (close names are listed), one that does not give
            (B, C, H, W) maps, or one that is not called exactly once.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
        >>> [tuple(m.shape) for m in ModuleFeatures(net, ("0", "1"))(torch.zeros(2, 1, 8, 8))]
        [(2, 4, 6, 6), (2, 4, 6, 6)]
    """

    @checked
    def __init__(self, module: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.layers = (layers,) if isinstance(layers, str) else tuple(layers)
        named = dict(module.named_modules())
        for layer in self.layers:
            if layer not in named:
                _unknown_layer(layer, [name for name in named if name])
        if not self.layers:
            fail("feature layers", expected="at least one", got="none", remedy="name a submodule")

    def extra_repr(self) -> str:
        """The layers, for `repr` and for the identity of results."""
        return f"layers={self.layers}"

    def forward(self, images: Images) -> list[Tensor]:
        """Return the maps (B, C_l, H_l, W_l) in the order of `layers`."""
        seen: dict[str, list[object]] = {layer: [] for layer in self.layers}

        def watch(layer: str) -> Callable[[nn.Module, object, object], None]:
            def hook(module: nn.Module, inputs: object, output: object) -> None:
                # A copy: what comes next may work in place.
                seen[layer].append(output.clone() if isinstance(output, Tensor) else output)

            return hook

        handles = [
            self.module.get_submodule(layer).register_forward_hook(watch(layer))
            for layer in dict.fromkeys(self.layers)
        ]
        try:
            with evaluating(self.module), user_code("network of the features", images):
                self.module(images)
        finally:
            for handle in handles:
                handle.remove()
        return [_only_map(layer, seen[layer], len(images)) for layer in self.layers]


def _unknown_layer(layer: str, names: list[str]) -> None:
    close = difflib.get_close_matches(layer, names, n=3, cutoff=0.4)
    close += [n for n in names if n.endswith(f".{layer}") and n not in close][:3]
    hint = f"did you mean {' or '.join(repr(c) for c in close)}?" if close else "none is close"
    some = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    fail("feature layer", expected=f"one of {some}", got=repr(layer), remedy=hint)


def _only_map(layer: str, outputs: list[object], count: int) -> Tensor:
    what, remedy = f"feature layer {layer!r}", "choose another submodule"
    if len(outputs) != 1:
        fail(what, expected="one call", got=f"{len(outputs)} calls", remedy=remedy)
    output = outputs[0]
    if not isinstance(output, Tensor):
        fail(what, expected="maps (B, C, H, W)", got=type(output).__name__, remedy=remedy)
    check_shape(output, (count, "C", "H", "W"), what, remedy)
    return output


class FeatureDistance:
    """Distance of two images in the feature maps of a network.

        d(x, y) = mean over layers of the masked mean over positions of |f(x) - f(y)|^2

    With `normalise`, each position's feature vector is first scaled to unit length and |.|^2 sums
    over channels, as in LPIPS without its learnt channel weights. Without, |.|^2 is the mean over
    channels, the plain MSE of the features.

    Args:
        extract: images (B, C, H, W) -> feature maps (B, C_l, H_l, W_l), e.g. `ModuleFeatures`,
            `encoder.features` or any torchvision trunk. Must not mix the images of a batch.
        normalise: see above.
        module: the network behind `extract`, which is called in eval mode. None finds it where
            `extract` is a module or a method of one.

    Source: Zhang et al. 2018, arXiv 1801.03924, Eq. 1; plain: Zhu et al. 2020, arXiv 2004.00049.
    Differs: the mean is over known positions (mask averaged down to the map's size), both papers
        know no mask; no learnt weights of channels.
    """

    def __init__(
        self, extract: Extract, *, normalise: bool = True, module: nn.Module | None = None
    ) -> None:
        """See the class docstring."""
        self.extract, self.normalise = extract, normalise
        owner = extract.__self__ if inspect.ismethod(extract) else extract
        self.module = owner if module is None and isinstance(owner, nn.Module) else module

    def maps(self, images: Tensor) -> list[Tensor]:
        """Feature maps, with unit vectors at each position where `normalise` is set."""
        with nullcontext() if self.module is None else evaluating(self.module):
            found = self.extract(images)
        return [F.normalize(m, dim=1, eps=1e-8) for m in found] if self.normalise else list(found)

    def distance(self, maps: Kept, others: Kept, mask: Tensor) -> Tensor:
        """(B,) distance of two lists of `maps`; the mask is averaged down to each map's size."""
        total = torch.zeros(mask.shape[0], dtype=mask.dtype, device=mask.device)
        for a, b in zip(maps, others, strict=True):
            known = F.interpolate(mask, size=a.shape[2:], mode="area")
            squared = (a - b).square()
            if self.normalise:
                squared = squared.sum(1, keepdim=True)
            total = total + masked_mean(squared, known)
        return total / len(maps)

    def __describe__(self) -> dict[str, object]:
        """All that the distance depends on."""
        return {"extract": self.extract, "normalise": self.normalise, "module": self.module}


@dataclass(frozen=True)
class Feature(Term):
    """Distance of known pixels in the feature maps of a network; see `FeatureDistance`.

    Args:
        weight: factor of the term.
        distance: the network, and how its maps are compared.
        label: the term's name, to be changed where an objective has two of them.
    """

    distance: FeatureDistance
    label: str = "feature"

    @property
    def name(self) -> str:
        """See `Term`."""
        return self.label

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The features of the images."""
        return self.distance.maps(hide(images, masks))

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        maps = self.distance.maps(hide(rendered, target.masks))
        return self.distance.distance(maps, kept, target.masks)

    def modules(self) -> list[nn.Module]:
        """See `Term`."""
        return [] if self.distance.module is None else [self.distance.module]


@checked
@dataclass(frozen=True)
class Predictions(Term):
    """Divergence of a classifier's predictions for the rendering from those for the image, in nats.

        KL( softmax(C(m x) / T) || softmax(C(m G(w)) / T) )

    The views are there to be classified: this keeps what the classifier sees, where pixel terms
    spend the latent's freedom on what it does not. Labels are not read.

    Args:
        weight: factor of the term.
        classifier: a `Classifier`, or any module of images in [-1, 1] that gives (B, Y) logits; it
            is called in eval mode.
        temperature: T above 0; higher gives small probabilities more say. 1: as predicted.
        label: the term's name, to be changed where an objective has two of them.
        photo_transform: how the classifier is shown an image, as in `ViewPlan`, such as a crop to
            its size; None shows it as it is.
        render_transform: how it is shown the rendering.

    Raises:
        ValueError: a temperature of 0 or below, or a transform that leaves something to chance: the
            loss would be another one at each step.

    Source: chosen by us; the divergence is that of Hinton et al. 2015, arXiv 1503.02531, Sec. 2.
    Differs: not multiplied by T^2.
    """

    classifier: nn.Module
    temperature: float = 1.0
    label: str = "predictions"
    photo_transform: PixelViews | None = None
    render_transform: PixelViews | None = None

    def __post_init__(self) -> None:
        check_number(self.temperature, "temperature", above=0, remedy="try 1.0")
        for name in ("photo_transform", "render_transform"):
            transform = getattr(self, name)
            if transform is not None and transform.is_random:
                fail(
                    f"{option(name)} of the predictions term",
                    expected="one that leaves nothing to chance",
                    got=repr(transform.name),
                    remedy="take one of plain evaluation, such as 'car/val'",
                )

    @property
    def name(self) -> str:
        """See `Term`."""
        return self.label

    @checked
    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The log-probabilities of the images."""
        return [self._log_probs(hide(images, masks), self.photo_transform)]

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        log_probs = self._log_probs(hide(rendered, target.masks), self.render_transform)
        return F.kl_div(log_probs, kept[0], reduction="none", log_target=True).sum(1)

    def _log_probs(self, images: Tensor, transform: PixelViews | None) -> Tensor:
        if transform is not None:  # a sure one, which reads no stream
            images = transform.augment(images[:, None], Rng(0).streams(range(len(images))))[:, 0]
        what, remedy = "logits of the predictions term", "wrap the classifier in `Classifier`"
        with evaluating(self.classifier), user_code("classifier", images):
            answer = self.classifier(images)
        logits = check_tensor(answer, what, floats=True)
        check_shape(logits, (len(images), "Y"), what, remedy)
        if logits.shape[1] < 2:
            fail(what, expected="2 classes or more", got=logits.shape[1], remedy=remedy)
        return F.log_softmax(logits / self.temperature, dim=1)


def _encode(encoder: nn.Module, images: Tensor, masks: Tensor) -> Tensor:
    with evaluating(encoder):
        latents: Tensor = encoder(blank(images, masks), masks)
    return latents


@dataclass(frozen=True)
class ToEncoder(Term):
    """Mean squared distance of the latents to the encoder's estimate.

        mean over rows and dimensions of (w - E(x, m))^2

    Equal to `ToStart` where the inversion starts from the same encoder.

    Args:
        weight: factor of the term; the paper's is 0.5 beside image terms of 1.
        encoder: (images, masks) -> latents, called in eval mode.

    Source: Chai et al. 2021, Eq. 4.
    Differs: E sees unknown pixels as 0; their code does not hide them.
    """

    encoder: nn.Module

    of_images: ClassVar[bool] = False

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The encoder's latents."""
        return [_encode(self.encoder, images, masks)]

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        return (latents - kept[0]).square().mean(dim=(1, 2))


@dataclass(frozen=True)
class ReEncode(Term):
    """Mean squared distance of the re-encoded rendering to the first code, or to the latents.

        to="encoder":  mean (E(x, m) - E(G(w), m))^2
        to="latents":  mean (w - E(G(w)))^2

    The first compares image and rendering as E sees them. The second, the domain regulariser, asks
    for latents that E gives back: it looks at all of G(w), for none of its pixels is unknown.

    Args:
        weight: factor of the term; 0.25 in Chai's code (beside image terms of 0.5), 2 in In-Domain.
        encoder: (images, masks) -> latents, called in eval mode.
        to: see above.

    Raises:
        ValueError: another `to`.

    Source: "encoder": Chai et al. 2021, code (`inversions.invert_lbfgs`; the paper's Eq. 4 is
        `ToEncoder`). "latents": Zhu et al. 2020, arXiv 2004.00049, domain-regularised
        optimisation; `StyleGANInverter.invert` of their code.
    Differs: "encoder": E sees unknown pixels as 0; their code does not hide them.
    """

    encoder: nn.Module
    to: Literal["encoder", "latents"] = "encoder"

    of_images: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.to not in ("encoder", "latents"):
            fail("to", expected="'encoder' or 'latents'", got=repr(self.to), remedy="change it")

    @property
    def name(self) -> str:
        """See `Term`."""
        return f"re_encode_{self.to}"

    def keep(self, images: Images, masks: Masks, start: Latents) -> list[Tensor]:
        """The encoder's latents, where they are what the rendering's are compared with."""
        return [_encode(self.encoder, images, masks)] if self.to == "encoder" else []

    def loss(self, target: Target, kept: Kept, rendered: Images, latents: Latents) -> Values:
        """See the class docstring."""
        if self.to == "encoder":
            difference = _encode(self.encoder, rendered, target.masks) - kept[0]
        else:
            whole = torch.ones_like(target.masks)
            difference = _encode(self.encoder, rendered, whole) - latents
        return difference.square().mean(dim=(1, 2))
