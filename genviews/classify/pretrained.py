"""Classifiers of torchvision and timm: the network, and the settings that its weights state.

Both say size, cut, interpolation, mean and std (of [0, 1]) of their test images, and torchvision
the names of the classes; timm knows those of ImageNet. Neither is asked for more than that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from torch import nn

from genviews.checks import check_type, fail, lookup
from genviews.classify.settings import Interpolation
from genviews.named import find_package
from genviews.types import ImageSpec
from genviews.user_code import GUIDE, user_code

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

__all__ = ["timm_parts", "torchvision_parts"]

_FETCH = (
    "fetch the weights where there is a network (they are kept on disk), or give {} that you made"
)


def torchvision_parts(
    weights: WeightsEnum | str,
    image_spec: ImageSpec | None,
    class_names: Sequence[str],
    module: nn.Module | None,
) -> dict[str, Any]:
    """The arguments of `Classifier` for a network of torchvision; see its `from_torchvision`."""
    found = _weights(weights)
    preset, names = found.transforms(), _different(found.meta.get("categories", ()))
    shown = ("crop_size", "resize_size", "interpolation", "mean", "std")
    known: dict[str, Any] = {n: getattr(preset, n) for n in shown if getattr(preset, n, None)}
    if not names or len(known) < len(shown):
        fail(
            f"weights {found}",
            expected="those of a classifier of images, with its categories and transforms",
            got=f"{type(preset).__name__}, {len(names)} categories",
            remedy="see `torchvision.models.list_models(module=torchvision.models)`",
        )
    if module is not None and not set(class_names) & set(names):
        names = [] if class_names else names  # another head: its classes are those that are named
    return _parts(
        _built(found) if module is None else module,
        image_spec,
        class_names,
        names,
        size=(*known["crop_size"], *known["crop_size"])[:2],
        resize=known["resize_size"][0],
        interpolation=known["interpolation"].value,
        mean=known["mean"],
        std=known["std"],
    )


def _weights(weights: WeightsEnum | str) -> WeightsEnum:
    from torchvision import models

    if not isinstance(weights, str):
        expected, remedy = "weights of torchvision", "e.g. ResNet50_Weights.DEFAULT, or 'resnet50'"
        return check_type(weights, models.WeightsEnum, "weights", expected, remedy)
    if "." in weights:
        with user_code(f"weights {weights!r}", remedy="name them as ResNet50_Weights.DEFAULT"):
            return models.get_weight(weights)
    names = models.list_models(module=models)
    lookup(weights, dict.fromkeys(names), "model of torchvision")
    return models.get_model_weights(weights)["DEFAULT"]


def _built(weights: WeightsEnum) -> nn.Module:
    """The network of some weights, which torchvision downloads where they are not there."""
    from torchvision import models

    fit = (n for n in models.list_models() if type(weights) is models.get_model_weights(n))
    with user_code(f"weights {weights}", remedy=_FETCH.format("the network as module")):
        network: nn.Module = models.get_model(next(fit), weights=weights)
    return network.eval()


def timm_parts(
    name_or_model: str | nn.Module, image_spec: ImageSpec | None, class_names: Sequence[str]
) -> dict[str, Any]:
    """The arguments of `Classifier` for a network of timm; see its `from_timm`."""
    timm = find_package("timm", "hub", "Classifier.from_timm", ", or wrap the network yourself")
    data = find_package("timm.data", "hub", "Classifier.from_timm")
    model = name_or_model
    if isinstance(model, str):
        if ":" not in model:  # others are places, such as hf-hub:timm/resnet18.a1_in1k
            tagged = timm.list_models(pretrained=True)
            known = [*tagged, *(name.partition(".")[0] for name in tagged)]
            lookup(model, dict.fromkeys(known), "model of timm with weights")
        remedy = _FETCH.format("a model")
        with user_code(f"timm.create_model({model!r}, pretrained=True)", remedy=remedy):
            model = timm.create_model(model, pretrained=True)
    expected, remedy = "a name, or a model of timm", "use timm.create_model(name, pretrained=True)"
    network = check_type(model, nn.Module, "model", expected, remedy).eval()
    with user_code("timm.data.resolve_model_data_config"):
        config: Mapping[str, Any] = data.resolve_model_data_config(network)
    (_, height, width), mode = config["input_size"], config.get("crop_mode", "center")
    mean, std = config["mean"], config["std"]
    if _channels(network) == 1:  # timm has no values for grey
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
    images = image_spec or ImageSpec(channels=len(mean), height=height, width=width)
    if mode != "center" and not (images.height == images.width and height == width):
        remedy = "give square images, or wrap the network in `Classifier` with settings of your own"
        got = f"crop mode {mode!r}, images of {images.height}x{images.width}"
        fail("timm model", expected="crop mode 'center' for images", got=got, remedy=remedy)
    names = _timm_names(data, network)
    return _parts(
        network,
        images,
        class_names,
        names,
        size=(height, width),
        resize=math.floor(min(height, width) / config.get("crop_pct", 1.0)),
        interpolation=config.get("interpolation", "bicubic"),
        mean=mean,
        std=std,
    )


def _channels(model: nn.Module) -> int | None:
    """What the first convolution takes, where timm says which that is: `in_chans` may change it."""
    first = _timm_config(model).get("first_conv")
    first = first if isinstance(first, str) or not first else first[0]
    count = getattr(dict(model.named_modules()).get(first or ""), "in_channels", None)
    return count if isinstance(count, int) else None


def _timm_config(model: nn.Module) -> Mapping[str, Any]:
    known = getattr(model, "pretrained_cfg", None) or {}
    return known if isinstance(known, Mapping) else vars(known)


def _timm_names(data: Any, model: nn.Module) -> list[str]:  # noqa: ANN401  (an optional package)
    """The names of the classes, as far as timm knows them."""
    known = _timm_config(model)
    count = getattr(model, "num_classes", None)
    names, told = known.get("label_names"), known.get("label_descriptions") or {}
    if names:
        found = [str(told.get(name, name)) for name in names]
    else:
        subset = data.infer_imagenet_subset(model)
        told = data.ImageNetInfo(subset).label_descriptions() if subset else []
        found = [name.partition(",")[0] for name in told]  # of synonyms the first, as torchvision
    return _different(found) if count in (None, len(found)) else []


def _parts(
    module: nn.Module,
    image_spec: ImageSpec | None,
    class_names: Sequence[str],
    names: Sequence[str],
    *,
    size: tuple[int, int],
    resize: int,
    interpolation: str,
    mean: Sequence[float],
    std: Sequence[float],
) -> dict[str, Any]:
    if not (names or class_names):
        got, remedy = "none known of this model", f"pass class_names, in order; see {GUIDE}"
        fail("class names", expected="one for each output", got=got, remedy=remedy)
    height, width = size
    known = {word: word for word in get_args(Interpolation)}
    return {
        "module": module,
        "image_spec": image_spec or ImageSpec(channels=len(mean), height=height, width=width),
        "class_names": class_names or names,
        "mean": tuple(mean),
        "std": tuple(std),
        "input_size": size,
        "input_resize": resize,
        "interpolation": lookup(interpolation, known, "interpolation of the weights"),
        "input_channels": len(mean),
        "input_range": "0..1",
        "output_names": names,
    }


def _different(names: Sequence[str]) -> list[str]:
    """Names made different: ImageNet has two cranes, of which each gets its number."""
    counts = Counter(names)
    return [name if counts[name] == 1 else f"{name} ({i})" for i, name in enumerate(names)]
