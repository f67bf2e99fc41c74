"""What a corruption is: an image to what a poor camera, a network or the weather makes of it.

    image -> CORRUPT -> (restore) -> invert -> latent -> perturb -> render -> classify

A corruption has a kind, and one of five severities on one of two published scales, that of
CIFAR-10-C or the stronger one of ImageNet-C. It is an object made from these, then called on
images; it prints as its constructor call, and its `name` ("gaussian_noise:3", or
"gaussian_noise:2@imagenet-c") keys stored results. What it leaves to chance comes from the stream
of each image; equal streams give two severities of a kind the same draws (but of shot_noise, whose
numbers are counts).

To add one: a frozen dataclass in a file of its own with `kind`, `published` and `change`, and a
line in `KINDS` below.

Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
    Perturbations", ICLR 2019, arXiv 1903.12261; the numbers are those of the files that made their
    sets, make_cifar_c.py and make_imagenet_c.py. Each class gives its formula and what differs.
Differs: pictures are floats, before and after; theirs are cut to 8 bits, which darkens them by
    half a step of 1/255 on average. Lengths are pixels, as published, whatever the size of the
    image, but for elastic_transform, whose lengths are fractions of it. Images need not be square.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, SupportsIndex, get_args

import torch
from torch import Tensor

from genviews.checks import check_count, check_each, check_finite, check_pixels, fail, lookup
from genviews.named import Registry
from genviews.rng import Rng, Streams
from genviews.types import Images, ImageSpec, check_floats, check_shape

__all__ = [
    "KINDS",
    "SCALES",
    "SEVERITIES",
    "SHORT",
    "Corruption",
    "Published",
    "Scale",
    "as_images",
    "as_values",
    "corruption",
    "shift_streams",
]

Scale = Literal["cifar-c", "imagenet-c"]
SCALES: tuple[str, ...] = get_args(Scale)
SEVERITIES = 5

Published = Mapping[str, tuple[tuple[float, ...], ...]]
"""Scale -> the numbers of severities 1 to 5, as many as the formula has."""


@dataclass(frozen=True)
class Corruption(ABC):
    """Abstract corruption of images.

    Args:
        severity: 1 to 5.
        scale: whose five severities; those of "imagenet-c" are the stronger ones.
    """

    severity: int
    scale: Scale = "cifar-c"

    kind: ClassVar[str]
    """First word of `name`, and the purpose of this kind's random streams."""

    published: ClassVar[Published]
    """What the formula is given at each severity."""

    needs_colour: ClassVar[bool] = False
    """Whether it means nothing for grey images."""

    rises: ClassVar[bool] = True
    """Whether severity 5 is further from the image than severity 1, on both scales."""

    def __post_init__(self) -> None:
        remedy = f"write {self.kind}:3, for example"
        check_count(self.severity, f"severity of {self.kind}", most=SEVERITIES, remedy=remedy)
        lookup(self.scale, dict.fromkeys(SCALES), f"scale of {self.kind}")

    @property
    def name(self) -> str:
        """Kind and severity, and the scale where it is not CIFAR-C's: "fog:2@imagenet-c"."""
        tail = "" if self.scale == SCALES[0] else f"@{self.scale}"
        return f"{self.kind}:{self.severity}{tail}"

    @property
    def numbers(self) -> tuple[float, ...]:
        """What the formula is given at this severity."""
        return self.published[self.scale][self.severity - 1]

    @abstractmethod
    def change(self, values: Tensor, streams: Streams) -> Tensor:
        """Corrupt checked images.

        Args:
            values: (B, C, H, W) in [0, 1], as the published formulas have them; not to be written
                to.
            streams: of this kind, one for each image.

        Returns:
            The images; values beyond [0, 1] are cut off afterwards.
        """

    def check(self, image_spec: ImageSpec) -> None:
        """Raise ValueError unless it can be done to images of a spec: once, before the work."""
        if image_spec.channels not in (1, 3):
            remedy = "convert them"
            fail(self.name, expected="1 or 3 channels", got=image_spec.channels, remedy=remedy)
        if self.needs_colour and image_spec.channels == 1:
            remedy = "take another kind: there is no colour to change"
            fail(self.name, expected="colour images", got="grey ones", remedy=remedy)

    def __call__(self, images: Images, streams: Streams) -> Images:
        """Corrupted images.

        Args:
            images: values in [-1, 1]; those beyond are cut off. Images in [0, 1] are taken for
                bright ones.
            streams: one random stream for each image, `Rng(seed).streams(ids)`. An image's
                corruption depends on it and its stream alone.

        Returns:
            Images of the same shape, type and device, in [-1, 1].

        Raises:
            ValueError: images that are not (B, C, H, W), of 0 to 255, not finite, or of a number of
                channels that this kind does not take; another number of streams.

        Example:
            >>> noise = corruption("noise:3")
            >>> images = torch.zeros(2, 3, 8, 8)
            >>> noise, noise(images, shift_streams(0, ["a.png", "b.png"])).shape
            (GaussianNoise(severity=3, scale='cifar-c'), torch.Size([2, 3, 8, 8]))
        """
        values = as_values(images, "images to corrupt", streams.ids)
        channels, height, width = images.shape[1:]
        self.check(ImageSpec(channels=channels, height=height, width=width))
        return as_images(self.change(values, streams.child(self.kind)), images)


def as_values(images: Tensor, what: str, names: Sequence[object]) -> Tensor:
    """Images in [-1, 1], checked, as values in [0, 1] in float32 or float64.

    Args:
        images: (B, C, H, W); values beyond [-1, 1] are cut off.
        what: they are.
        names: B names for messages, such as their ids.

    Raises:
        TypeError: no floats.
        ValueError: another shape or number of images, values of 0 to 255, or not finite.
    """
    remedy = "add the batch axis"
    check_shape(check_floats(images, what), ("B", "C", "H", "W"), what, remedy)
    check_each(names, len(images), "streams", remedy="make them with `Rng(seed).streams(ids)`")
    check_finite(images, what, names, "leave them out")
    check_pixels(images, what)
    wide = images if images.dtype == torch.float64 else images.float()
    return (wide.clamp(-1, 1) + 1) / 2


def as_images(values: Tensor, like: Tensor) -> Tensor:
    """Values as images in [-1, 1] of the type and device of others; those beyond are cut off."""
    return (values.clamp(0, 1) * 2 - 1).to(like)


def corruption(name: str) -> Corruption:
    """Return the corruption of a name: kind, severity and, behind "@", the scale.

    Args:
        name: such as "fog:2" or "fog:2@imagenet-c"; "noise" and "blur" are the Gaussian ones.

    Raises:
        ValueError: an unknown kind or scale (the closest are listed), or a severity that is none.

    Example:
        >>> corruption("blur:4@imagenet-c").name
        'gaussian_blur:4@imagenet-c'
        >>> corruption("fogg:2")
        Traceback (most recent call last):
        ValueError: kind of corruption: expected one of ..., got 'fogg'; did you mean 'fog'?.
    """
    kind, colon, rest = name.partition(":")
    made = KINDS[lookup(kind, {one: one for one in KINDS} | SHORT, "kind of corruption")]
    severity, at, scale = rest.partition("@")
    if not (severity.isascii() and severity.isdecimal()):
        fail(
            f"corruption {name!r}",
            expected="a severity from 1 to 5 behind a colon",
            got=repr(severity) if colon else "none",
            remedy=f"write {kind}:3, or {kind}:3@imagenet-c",
        )
    return made(int(severity), _scale(scale)) if at else made(int(severity))


def _scale(word: str) -> Scale:
    known: dict[str, Scale] = {one: one for one in get_args(Scale)}
    return lookup(word, known, "scale of a corruption")


def shift_streams(seed: int, ids: Iterable[SupportsIndex | str]) -> Streams:
    """The streams of images by which `genviews corrupt` and studies shift them: the same for both.

    Args:
        seed: of the shift.
        ids: of the images.
    """
    return Rng(seed, "shift").streams(ids)


SHORT = {"noise": "gaussian_noise", "blur": "gaussian_blur", "jpeg_compression": "jpeg"}
"""Other words for a kind."""

KINDS: Registry[type[Corruption]] = Registry(
    {
        "gaussian_noise": "genviews.robustness.noise:GaussianNoise",
        "shot_noise": "genviews.robustness.noise:ShotNoise",
        "impulse_noise": "genviews.robustness.noise:ImpulseNoise",
        "speckle_noise": "genviews.robustness.noise:SpeckleNoise",
        "gaussian_blur": "genviews.robustness.blur:GaussianBlur",
        "defocus_blur": "genviews.robustness.blur:DefocusBlur",
        "motion_blur": "genviews.robustness.blur:MotionBlur",
        "zoom_blur": "genviews.robustness.blur:ZoomBlur",
        "glass_blur": "genviews.robustness.blur:GlassBlur",
        "brightness": "genviews.robustness.colour:Brightness",
        "contrast": "genviews.robustness.colour:Contrast",
        "saturate": "genviews.robustness.colour:Saturate",
        "fog": "genviews.robustness.weather:Fog",
        "snow": "genviews.robustness.weather:Snow",
        "elastic_transform": "genviews.robustness.digital:ElasticTransform",
        "pixelate": "genviews.robustness.digital:Pixelate",
        "jpeg": "genviews.robustness.digital:JPEG",
    }
)
"""Kind -> corruption, for the command line and studies; a new one is a line here."""
