"""The user's classifier with the images it takes and the classes it knows.

    image -> invert -> latents -> perturb -> render -> CLASSIFY -> weigh -> prediction

`Classifier` wraps any `nn.Module` so that images in [-1, 1] of any leading shape give logits with a
class axis. What happens to an image before the module sees it is in `classify.convert`, how its
answer is read in `classify.answers`. What cannot be checked later is checked when a classifier is
made: `classify.probe` tries it on a few images.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, check_pixels, check_type, fail, lookup
from genviews.classify.answers import as_logits, rows_of
from genviews.classify.convert import in_signed_range, input_spec, reshaped
from genviews.classify.pretrained import timm_parts, torchvision_parts
from genviews.classify.probe import probe_classifier
from genviews.classify.settings import ClassifierSettings, InputRange, Interpolation, Outputs
from genviews.identity.answers import fixed_images
from genviews.modes import evaluating, place_of
from genviews.signature import checked
from genviews.types import ImageSpec, Progress, check_floats, check_shape, check_tensor, silent
from genviews.user_code import GUIDE, user_code
from genviews.weights import check_filled

if TYPE_CHECKING:
    from torchvision.models import WeightsEnum

CACHED, FEWEST = 1 << 16, 16
"""Numbers of the images that a CPU is asked about at once, and the fewest images: a small network
is twice as slow where its feature maps leave the caches (chosen by us)."""

__all__ = ["Classifier", "as_module", "call_module", "needed_arguments", "predict_logits"]

PerChannel = float | Sequence[float]


class Classifier(nn.Module):
    """Logits (..., Y) of images (..., C, H, W) in [-1, 1], from any module of (N, c, h, w) images.

    A binary module with a single logit l, shaped (N, 1) or (N,), becomes the two logits (0, l):
    `softmax` then gives sigmoid(l) to the second class name and 1 - sigmoid(l) to the first.

    The wrapped module stays the user's: it is moved by `.to`, trained and saved as ever, and
    `predict_logits` puts every part of it back in the mode in which it was.

    Args:
        module: gives logits, unless `outputs` says otherwise; see `genviews.classify.answers` for
            the forms that its answer may have. A function of images will do.
        image_spec: C, H and W of the images that the classifier is given.
        class_names: the Y names in the order of the logits; two for a single logit.
        mean: subtracted from the values in `input_range`; a number, or one a channel.
        std: divides them then.
        input_size: h and w that `module` takes, one number for squares; () for those of the images.
        input_resize: short side to which images are resized before the middle is cut out of them;
            None resizes whole images to `input_size`.
        interpolation: how images are resized, with antialias.
        input_channels: c that `module` takes; None for that of the images. Grey is repeated three
            times, colour replaced by its luma.
        input_range: "0..1" or "0..255", values that `module` takes, and no others; None is
            [-1, 1], as images come.
        outputs: "logits", "probs" or "sigmoids" (a probability of its own for each output).
        output_names: names of the outputs of `module` in their order, where it is not that of
            `class_names`, or where there are more.

    Raises:
        TypeError: not a module, or it does not return a tensor.
        ValueError: it does not take these images, does not give a logit for each class name, or
            fails the probe: see `genviews.classify.probe`.

    Differs: the authors' code tells binary from multi-class by the rank of the output, and sharpens
        a single logit to sigmoid(2 l) of a net trained on 1 - label. For that, give a module that
        returns `torch.cat([l, -l], 1)`.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        >>> spec = ImageSpec(channels=1, height=8, width=8)
        >>> classifier = Classifier(net, spec, ("cat", "dog", "bird"))
        >>> classifier(torch.zeros(5, 4, 1, 8, 8)).shape
        torch.Size([5, 4, 3])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        module: nn.Module | Callable[[Tensor], object],
        image_spec: ImageSpec,
        class_names: Sequence[str],
        mean: PerChannel = 0.0,
        std: PerChannel = 1.0,
        *,
        input_size: int | Sequence[int] = (),
        input_resize: int | None = None,
        interpolation: Interpolation = "bilinear",
        input_channels: int | None = None,
        input_range: InputRange | None = None,
        outputs: Outputs = "logits",
        output_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.module = as_module(module)
        check_filled(self.module, "classifier")
        self.image_spec = image_spec
        self.class_names = _check_names(class_names)
        self.settings = ClassifierSettings(
            input_size=(input_size,) if isinstance(input_size, int) else tuple(input_size),
            input_resize=input_resize,
            interpolation=interpolation,
            input_channels=input_channels,
            input_range=input_range,
            mean=_listed(mean, "mean"),
            std=_listed(std, "std"),
            outputs=outputs,
            output_names=_check_names(output_names) if output_names else (),
        )
        self.input_spec = input_spec(image_spec, self.settings)
        self.training = self.module.training
        known = {name: i for i, name in enumerate(self.settings.output_names or self.class_names)}
        columns = [lookup(name, known, "output of the classifier") for name in self.class_names]
        self._columns = None if columns == list(known.values()) else columns
        self._set_scale()
        probe_classifier(self)

    def _set_scale(self) -> None:
        """Mean and std for images in [-1, 1], in the type of the module."""
        spec, settings = self.input_spec, self.settings
        mean = _per_channel(settings.mean, "mean", spec)
        std = _per_channel(settings.std, "std", spec)
        device, dtype = place_of(self.module)
        for name, values in zip(
            ("mean", "std"), in_signed_range(mean, std, settings.input_range), strict=True
        ):
            with torch.inference_mode(False):  # which would forbid gradients for ever
                buffer = torch.tensor(values, dtype=dtype, device=device).reshape(-1, 1, 1)
            self.register_buffer(name, buffer, persistent=False)

    @classmethod
    def from_torchvision(
        cls,
        weights: WeightsEnum | str,
        image_spec: ImageSpec | None = None,
        class_names: Sequence[str] = (),
        *,
        module: nn.Module | None = None,
    ) -> Classifier:
        """Wrap a classifier of torchvision, with the settings that its weights state.

        Args:
            weights: such as `ResNet50_Weights.IMAGENET1K_V2`, that in words, or "resnet50" for its
                default weights. torchvision may download them.
            image_spec: images that the classifier is given; None for those that the network takes.
            class_names: those of its categories that are asked for; () for all.
            module: the network, where it is there already, with these weights or with others.

        Raises:
            ValueError: weights of no classifier, or a name that is none of its categories.
        """
        return cls(**torchvision_parts(weights, image_spec, class_names, module))

    @classmethod
    def from_timm(
        cls,
        name_or_model: str | nn.Module,
        image_spec: ImageSpec | None = None,
        class_names: Sequence[str] = (),
    ) -> Classifier:
        """Wrap a classifier of timm, with the settings of its `pretrained_cfg`.

        Args:
            name_or_model: name, which timm may download, or a model that `timm.create_model` made.
            image_spec: images that the classifier is given; None for those that the network takes.
            class_names: those of its classes that are asked for, or all in order where timm does
                not know their names; () for all that it knows.

        Raises:
            ModuleNotFoundError: timm is not installed.
            ValueError: names that are missing or unknown.
        """
        return cls(**timm_parts(name_or_model, image_spec, class_names))

    @property
    def num_classes(self) -> int:
        """Y."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where images are moved to, and the logits of `forward` are."""
        return self.mean.device

    def forward(self, images: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch Y"]:
        """Return the logits of images, or of the views of images.

        Args:
            images: in [-1, 1]; (N, C, H, W), or (B, K, C, H, W) for K views of each of B images.

        Raises:
            ValueError: images of another size or number of channels, or of 0 to 255; an exception
                of the module's, with its own line.
        """
        self.image_spec.check(images, "images for the classifier")
        check_pixels(images, "images for the classifier")
        flat = images.reshape(-1, *self.image_spec.shape)
        if not len(flat):
            return self.mean.new_zeros(*images.shape[:-3], self.num_classes)
        logits = as_logits(self.answer(flat), self.settings.outputs)
        logits = logits if self._columns is None else logits[:, self._columns]
        return logits.reshape(*images.shape[:-3], self.num_classes)

    @checked
    def answer(self, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N O"]:
        """What the module itself says of images in [-1, 1], one row an image."""
        self.image_spec.check(images, "images for the classifier")
        if self.settings.input_range is not None:  # generators overshoot -1 and 1
            images = images.clamp(-1, 1)
        given = reshaped(images, self.settings, self.input_spec).to(self.mean)
        given = (given - self.mean) / self.std
        with user_code("classifier", given, remedy=_remedy(self.input_spec)):
            answer = self.module(given)
        return rows_of(answer, len(images), len(self.settings.output_names) or self.num_classes)

    def __describe__(self) -> dict[str, object]:
        """What its results depend on besides its tensors."""
        known = {"images": self.image_spec, "class_names": self.class_names}
        return {**known, **self.settings.changed()}

    def __answers__(self) -> Float[Tensor, "N Y"]:
        """Its logits for fixed images, none of them blank."""
        logits: Tensor = self(fixed_images(self.image_spec).to(self.device))
        return logits

    def extra_repr(self) -> str:
        """Image size and classes, for `repr`."""
        return f"images={self.image_spec.shape}, classes={self.num_classes}"


def predict_logits(
    classifier: nn.Module,
    images: Float[Tensor, "*batch C H W"],
    batch_size: int = 256,
    progress: Progress | None = None,
) -> Float[Tensor, "*batch Y"]:
    """Return the logits of many images, in chunks, in eval mode and without gradients.

    Args:
        classifier: a `Classifier`, or any module that gives (N, Y) logits for (N, C, H, W) images.
        images: in [-1, 1], on any device; a chunk at a time is moved to the classifier.
        batch_size: images or views at once, or fewer on a CPU, whose caches hold no more; bounds
            memory, changes results by round-off only.
        progress: called with ("classify", "images", done, all), after each chunk.

    Returns:
        Logits on the device of `images`. The classifier's mode is as it was before.

    Raises:
        ValueError: no image, batch_size < 1, or images of another range; an exception of the
            module's, with its own line.
    """
    check_count(batch_size, "batch_size")
    if check_floats(images, "images to classify").ndim < 3 or images.numel() == 0:
        expected, got = "at least one (C, H, W)", f"shape {tuple(images.shape)}"
        fail("images to classify", expected=expected, got=got, remedy="check the split")
    if isinstance(classifier, Classifier) and images.ndim == 4:
        check_pixels(images, "images to classify", as_set=True)
    flat = images.reshape(-1, *images.shape[-3:])
    device, parts = place_of(classifier)[0], []
    tell = partial(progress or silent, "classify", "images")
    size = batch_size
    if device.type == "cpu":
        size = min(batch_size, max(FEWEST, CACHED // flat[0].numel()))
    tell(0, len(flat))
    with evaluating(classifier), torch.no_grad():
        for start in range(0, len(flat), size):
            chunk = flat[start : start + size].to(device)
            parts.append(call_module(classifier, chunk).to(images.device))
            tell(start + len(chunk), len(flat))
    logits = torch.cat(parts)
    return logits.reshape(*images.shape[:-3], logits.shape[-1])


def _check_names(class_names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(class_names)
    unique = len(set(names)) == len(names) >= 2
    if isinstance(class_names, str) or not unique or not all(isinstance(n, str) for n in names):
        fail(
            "class names",
            expected="at least two different names",
            got=repr(class_names),
            remedy="give a list of strings in the order of the logits",
        )
    return names


def _per_channel(numbers: Sequence[float], what: str, spec: ImageSpec) -> tuple[float, ...]:
    """One number for each channel of what the network is given."""
    if len(numbers) not in (1, spec.channels):
        fail(
            what,
            expected=f"one number, or one for each of {spec.channels} channels",
            got=f"{len(numbers)} numbers",
            remedy="a grey image has one channel, a colour image three",
        )
    return tuple(numbers) * (spec.channels // len(numbers))


def _listed(value: PerChannel, what: str) -> tuple[float, ...]:
    try:
        return tuple(torch.as_tensor(value, dtype=torch.float64).flatten().tolist())
    except (TypeError, ValueError, RuntimeError):
        fail(what, expected="numbers", got=repr(value), remedy="give one, or one a channel")


@checked
def call_module(module: nn.Module, images: Float[Tensor, "N C H W"]) -> Float[Tensor, "N Y"]:
    """Return the logits of a `Classifier`, or of any module that gives logits alone.

    Raises:
        TypeError: it answers with something else.
        ValueError: another shape; an exception of the module's, with its own line.
    """
    with user_code("classifier", images):
        answer = module(images)
    what, remedy = (
        "output of the classifier",
        "wrap it: Classifier(module, image_spec, class_names)",
    )
    logits = check_type(answer, Tensor, what, "a tensor of logits", f"{remedy}; see {GUIDE}")
    check_shape(check_tensor(logits, what, floats=True), (len(images), "Y"), what, remedy)
    return logits


def _remedy(spec: ImageSpec) -> str:
    size = f"({spec.channels}, {spec.height}, {spec.width})"
    return (
        f"say what it takes where it is not {size} in [-1, 1]: input_size, input_channels, "
        f"input_range (--input-size ...); see {GUIDE}"
    )


def as_module(found: object, what: str = "classifier") -> nn.Module:
    """Return a module, or a function of images as one.

    Raises:
        TypeError: anything else; it says what to do.
    """
    if isinstance(found, nn.Module):
        return found
    needed = needed_arguments(found)
    if callable(found) and not isinstance(found, type) and needed == 1:
        return _Function(found)
    remedy = f"return, or give, the network itself; see {GUIDE}"
    if callable(found):
        remedy = f"call it first, and give the network that it makes; see {GUIDE}"
        if needed not in (None, 0, 1):
            remedy = f"write a function of images alone, which calls it; see {GUIDE}"
    name = getattr(found, "__qualname__", None)
    got = f"{type(found).__name__} {name}" if callable(found) and name else type(found).__name__
    fail(what, expected="a torch.nn.Module", got=got, remedy=remedy, error=TypeError)


def needed_arguments(found: object) -> int | None:
    """How many arguments a function cannot do without; None if that cannot be known."""
    if not callable(found):
        return None
    try:
        given = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # nothing of Python's
        return None
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return sum(p.default is p.empty and p.kind not in kinds for p in given)


class _Function(nn.Module):
    """A function of images."""

    def __init__(self, function: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.function = function
        self.eval()

    def forward(self, images: Tensor) -> object:
        """Call it."""
        return self.function(images)
