"""The user's classifier with the images it takes and the classes it knows.

    image -> invert -> latents -> perturb -> render -> CLASSIFY -> weigh -> prediction

`Classifier` wraps any `nn.Module` so that images in [-1, 1] of any leading shape give logits with a
class axis. It is one of the two borders where mean/std normalisation happens. What it cannot check
later it checks when it is made: the module is tried once on two blank images.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, check_type, fail
from genviews.identity.answers import fixed_images
from genviews.modes import evaluating
from genviews.types import ImageSpec, Progress, silent

__all__ = ["Classifier", "GreyToRGB", "from_unit_range", "predict_logits"]

PerChannel = float | Sequence[float]


class Classifier(nn.Module):
    """Logits (..., Y) of images (..., C, H, W) in [-1, 1], from any module of (N, C, H, W) images.

    A binary module with a single logit l, shaped (N, 1) or (N,), becomes the two logits (0, l):
    `softmax` then gives sigmoid(l) to the second class name and 1 - sigmoid(l) to the first.

    The wrapped module stays the user's: it is moved by `.to`, trained and saved as ever, and
    `predict_logits` puts every part of it back in the mode in which it was.

    Args:
        module: gives logits, not probabilities.
        image_spec: C, H and W of the images that `module` takes.
        class_names: the Y names in the order of the logits; two for a single logit.
        mean: subtracted from images in [-1, 1]; a number, or one a channel. For the mean and std
            that torchvision states for [0, 1] images see `from_unit_range`.
        std: divides them then.

    Raises:
        TypeError: not a module, or it does not return a tensor.
        ValueError: it does not take these images, or does not give a logit for each class name.

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
        module: nn.Module,
        image_spec: ImageSpec,
        class_names: Sequence[str],
        mean: PerChannel = 0.0,
        std: PerChannel = 1.0,
    ) -> None:
        super().__init__()
        remedy = "wrap a function in a module whose `forward` calls it"
        check_type(module, nn.Module, "classifier", "a torch.nn.Module", remedy)
        self.module = module
        self.image_spec = image_spec
        self.class_names = _check_names(class_names)
        device, dtype = _place(module)
        self.register_buffer("mean", _per_channel(mean, "mean", image_spec, device, dtype), False)
        self.register_buffer("std", _per_channel(std, "std", image_spec, device, dtype), False)
        if not bool((self.std > 0).all()):
            fail("std", expected="numbers above 0", got=std, remedy="use 1 for no scaling")
        self.training = module.training
        self._probe()

    @property
    def num_classes(self) -> int:
        """Y."""
        return len(self.class_names)

    @property
    def device(self) -> torch.device:
        """Where images must be for `forward`; `predict_logits` takes them from anywhere."""
        return self.mean.device

    def forward(self, images: Float[Tensor, "*batch C H W"]) -> Float[Tensor, "*batch Y"]:
        """Return the logits of images, or of the views of images.

        Args:
            images: in [-1, 1]; (N, C, H, W), or (B, K, C, H, W) for K views of each of B images.

        Raises:
            ValueError: images of another size or number of channels.
        """
        self.image_spec.check(images, "images for the classifier")
        flat = images.reshape(-1, *self.image_spec.shape).to(self.mean.dtype)
        logits = self._logits((flat - self.mean) / self.std)
        return logits.reshape(*images.shape[:-3], self.num_classes)

    def _logits(self, images: Tensor) -> Tensor:
        remedy = "wrap the module in one that returns its logits alone"
        out = check_type(self.module(images), Tensor, "classifier", "a tensor of logits", remedy)
        count, classes = images.shape[0], self.num_classes
        if classes == 2 and out.shape in ((count,), (count, 1)):
            single = out.reshape(count, 1)
            return torch.cat([torch.zeros_like(single), single], dim=1)
        if out.ndim != 2 or out.shape[0] != count:
            fail(
                "classifier",
                expected=f"logits of shape ({count}, {classes}) for {count} images",
                got=f"shape {tuple(out.shape)}",
                remedy="return one row of logits an image, averaged over any other axis",
            )
        if out.shape[1] != classes:
            fail(
                "class names",
                expected=f"one for each of the {out.shape[1]} logits of the classifier",
                got=f"{classes} classes",
                remedy=f"the classifier returns {out.shape[1]} logits, labels have {classes} "
                "classes: name every logit in order, or take the classifier of these classes",
            )
        return out

    def _probe(self) -> None:
        """Try the module on two blank images; tell a wrong module from wrong class names."""
        blank = self.mean.new_zeros(2, *self.image_spec.shape)
        with evaluating(self.module), torch.no_grad():
            try:
                self.module(blank)
            except Exception as error:
                raise ValueError(_explain(error, self.image_spec)) from error
            self._logits(blank)

    def __describe__(self) -> dict[str, object]:
        """What its results depend on besides its tensors."""
        return {"images": self.image_spec, "class_names": self.class_names}

    def __answers__(self) -> Float[Tensor, "N Y"]:
        """Its logits for fixed images, none of them blank."""
        logits: Tensor = self(fixed_images(self.image_spec).to(self.device))
        return logits

    def extra_repr(self) -> str:
        """Image size and classes, for `repr`."""
        return f"images={self.image_spec.shape}, classes={self.num_classes}"


class GreyToRGB(nn.Module):
    """A module for RGB images, made to take grey ones by repeating their channel three times.

    Never done silently: wrap a classifier for RGB photos in this to use it with a grey generator,
    `Classifier(GreyToRGB(net), grey_spec, names)`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Float[Tensor, "N 1 H W"]) -> Tensor:
        """Return what the module returns for the repeated channel."""
        out: Tensor = self.module(images.expand(-1, 3, -1, -1))
        return out


def from_unit_range(mean: Sequence[float], std: Sequence[float]) -> tuple[list[float], list[float]]:
    """Convert mean and std of images in [0, 1] to those of images in [-1, 1].

        (u - m) / s = (x - (2 m - 1)) / (2 s)    for x = 2 u - 1

    Args:
        mean: one a channel, e.g. (0.485, 0.456, 0.406) of ImageNet.
        std: one a channel, e.g. (0.229, 0.224, 0.225).

    Example:
        >>> from_unit_range([0.5], [0.25])
        ([0.0], [0.5])
    """
    return [2 * m - 1 for m in mean], [2 * s for s in std]


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
        batch_size: images or views at once; bounds memory, changes results by round-off only.
        progress: called with ("classify", "images", done, all), after each chunk.

    Returns:
        Logits on the device of `images`. The classifier's mode is as it was before.

    Raises:
        ValueError: no image, or batch_size < 1.
    """
    check_count(batch_size, "batch_size")
    flat = images.reshape(-1, *images.shape[-3:])
    if len(flat) == 0:
        fail("images to classify", expected="at least one", got="none", remedy="check the split")
    device, parts = _place(classifier)[0], []
    tell = partial(progress or silent, "classify", "images")
    tell(0, len(flat))
    with evaluating(classifier), torch.no_grad():
        for start in range(0, len(flat), batch_size):
            chunk = flat[start : start + batch_size]
            parts.append(classifier(chunk.to(device)).to(images.device))
            tell(start + len(chunk), len(flat))
    logits = torch.cat(parts)
    return logits.reshape(*images.shape[:-3], logits.shape[-1])


def _place(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating dtype of a module; the CPU and float32 for one without weights."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


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


def _per_channel(
    value: PerChannel, what: str, spec: ImageSpec, device: torch.device, dtype: torch.dtype
) -> Tensor:
    numbers = torch.as_tensor(value, dtype=dtype, device=device).flatten()
    if numbers.numel() not in (1, spec.channels):
        fail(
            what,
            expected=f"one number, or one for each of {spec.channels} channels",
            got=f"{numbers.numel()} numbers",
            remedy="a grey image has one channel, a colour image three",
        )
    return numbers.expand(spec.channels).reshape(spec.channels, 1, 1).clone()


def _explain(error: Exception, spec: ImageSpec) -> str:
    remedy = "check the image size and channels that it was trained on"
    if spec.channels == 1:
        remedy = "if it was made for RGB images, wrap it in `GreyToRGB`; else check the image size"
    return (
        f"classifier: expected a module that takes images (N, {spec.channels}, {spec.height}, "
        f"{spec.width}), got {type(error).__name__}: {error}; {remedy}."
    )
