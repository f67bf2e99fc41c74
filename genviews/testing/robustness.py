"""The contracts of what is done to images: each `Corruption`, and each `Restoration` after it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from genviews.rng import Rng
from genviews.robustness.corruption import SEVERITIES, Corruption, Scale
from genviews.robustness.restore import Restoration
from genviews.testing.laws import (
    Batched,
    close,
    equal,
    expect,
    leaves_no_trace,
    refuses,
    sound,
)
from genviews.types import ImageSpec

__all__ = [
    "CORRUPTION_CHECKS",
    "RESTORATION_CHECKS",
    "check_corruption",
    "check_restoration",
]

T = TypeVar("T")

IDS: tuple[int | str, ...] = ("a.png", 3, "b.png", 2**40)


def check_corruption(corruption: Corruption, image_spec: ImageSpec) -> None:
    """Run every check of the contract on one corruption.

    Args:
        corruption: called at each of its severities on four images of the spec.
        image_spec: of images that it takes; small ones are quick.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.robustness.corruption import corruption
        >>> check_corruption(corruption("blur:3"), ImageSpec(channels=3, height=8, width=6))
    """
    CorruptionLaws.check(corruption, image_spec)


def check_restoration(restoration: Restoration, image_spec: ImageSpec) -> None:
    """Run every check of the contract on one restoration.

    Args:
        restoration: called on four images of the spec.
        image_spec: of images that it takes; small ones are quick.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.robustness.restore import restoration
        >>> check_restoration(restoration("stretch"), ImageSpec(channels=3, height=8, width=6))
    """
    RestorationLaws.check(restoration, image_spec)


def pictures(image_spec: ImageSpec) -> Tensor:
    """Four images of soft shapes with some grain, the second without colour; in [-1, 1]."""
    channels, height, width = image_spec.shape
    streams = Rng(1, "corruption contract").streams(IDS)
    coarse = streams.uniform(1, (channels, 4, 4))[:, 0]
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images = 0.9 * soft + 0.1 * streams.child("grain").uniform(1, image_spec.shape)[:, 0]
    images[1] = images[1, :1]
    return images * 2 - 1


def other_scale(scale: Scale) -> Scale:
    """The scale that this one is not."""
    return "imagenet-c" if scale == "cifar-c" else "cifar-c"


class Changed(Batched[T]):
    """What makes an image of each image: four soft ones, one of them grey."""

    samples: Tensor

    @abstractmethod
    def _changed(self, images: Tensor, rows: Sequence[int] | slice = slice(None)) -> Tensor:
        """What becomes of images, which are the samples of these rows."""

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return {"images": self._changed(self.samples[rows], rows)}

    def images_keep_their_shape(self) -> None:
        """Images in [-1, 1], black and white too, become ones of the same shape in [-1, 1]."""
        for scale in (1.0, 1.2, 0.0):  # a generator overshoots; and images of one value
            images = self.samples * scale
            found = self._changed(images)
            sound(found, f"images times {scale}", images.shape, dtype=images.dtype, most=1.0)
        sound(self._changed(self.samples[:0], []), "no image", self.samples[:0].shape)

    def the_type_is_that_of_the_images(self) -> None:
        """Images in float64 and float16 come back so."""
        for dtype in (torch.float64, torch.float16):
            found = self._changed(self.samples.to(dtype))
            sound(found, f"images in {dtype}", self.samples.shape, dtype=dtype, most=1.0)

    def the_same_is_made_again(self) -> None:
        """Equal calls give equal images, bit for bit; no global number is drawn or input kept."""
        with leaves_no_trace(self.samples):
            first = self._changed(self.samples)
        equal(self._changed(self.samples), first, "images of the same call")
        with leaves_no_trace(self.samples):
            first.zero_()

    def misuse_is_refused(self) -> None:
        """Images without a batch axis, of 0 to 255 and what is not finite are errors."""
        refuses(lambda: self._changed(self.samples[0]), "images without a batch axis")
        refuses(lambda: self._changed(self.samples * 127 + 127), "images of 0 to 255")
        self.samples[2, 0, 0, 0] = torch.nan
        refuses(lambda: self._changed(self.samples), "an image that is not finite")


class CorruptionLaws(Changed[Corruption]):
    """Each image has a stream of its own."""

    def __init__(self, corruption: Corruption, image_spec: ImageSpec) -> None:
        super().__init__(corruption)
        self.samples, self.streams = pictures(image_spec), Rng(3).streams(IDS)

    def _changed(self, images: Tensor, rows: Sequence[int] | slice = slice(None)) -> Tensor:
        return self.subject(images, self.streams[rows])

    def _others(self) -> dict[str, object]:
        own = self.subject
        severity, scale = own.severity % SEVERITIES + 1, other_scale(own.scale)
        return {"severity": replace(own, severity=severity), "scale": replace(own, scale=scale)}

    def images_keep_their_shape(self) -> None:
        """At each severity, images in [-1, 1] become ones of the same shape in [-1, 1]."""
        for severity in range(1, SEVERITIES + 1):
            self.subject = replace(self.subject, severity=severity)
            super().images_keep_their_shape()

    def a_severity_is_a_strength(self) -> None:
        """Severity 5 is further from the image than severity 1, where the kind says so."""
        far = []
        for severity in (1, SEVERITIES):
            self.subject = replace(self.subject, severity=severity)
            far.append(float((self._changed(self.samples) - self.samples).abs().mean()))
        expect(min(far) > 0, "an image was left as it is")
        expect(far[0] < far[1] or not self.subject.rises, f"severities 1 and 5 are {far} away")

    def equal_images_stay_equal(self) -> None:
        """The same image with the same stream twice in a batch becomes the same twice."""
        found = self._changed(self.samples[[0, 0]], [0, 0])
        close(found[1], found[0], "an image twice")

    def the_name_tells_it_apart(self) -> None:
        """Equal corruptions have one name and one hash; other severities and scales have others."""
        one, twin = self.subject, replace(self.subject)
        expect(one.name.startswith(one.kind), f"{one.name!r} does not begin with its kind")
        expect(twin == one and hash(twin) == hash(one), "two equal ones differ")
        for what, other in self._others().items():
            name = getattr(other, "name", None)
            expect(name != one.name, f"two of another {what} are called {one.name!r}")

    def misuse_is_refused(self) -> None:
        """No such severity or scale, a stream too few, and other channels are errors too."""
        for severity in (0, SEVERITIES + 1):
            refuses(partial(replace, self.subject, severity=severity), f"severity {severity}")
        unknown: Any = "no-scale"
        refuses(lambda: replace(self.subject, scale=unknown), "an unknown scale")
        refuses(lambda: self._changed(self.samples, [0, 1]), "a stream too few")
        refuses(lambda: self._changed(self.samples[:, [0, 0]]), "images of 2 channels")
        if self.subject.needs_colour:
            refuses(lambda: self._changed(self.samples[:, :1]), "grey images")
        super().misuse_is_refused()


class RestorationLaws(Changed[Restoration]):
    """Nothing is left to chance."""

    def __init__(self, restoration: Restoration, image_spec: ImageSpec) -> None:
        super().__init__(restoration)
        self.samples = pictures(image_spec)

    def _changed(self, images: Tensor, rows: Sequence[int] | slice = slice(None)) -> Tensor:
        return self.subject(images)

    def images_of_one_value_stay(self) -> None:
        """There is no noise in them, and no contrast."""
        flat = torch.full_like(self.samples, 0.25)
        close(self._changed(flat), flat, "an image of one value")

    def the_name_tells_it_apart(self) -> None:
        """The name begins with the kind."""
        name, kind = self.subject.name, self.subject.kind
        expect(name.startswith(kind), f"{name!r} does not begin with its kind")


CORRUPTION_CHECKS = CorruptionLaws.checks()
RESTORATION_CHECKS = RestorationLaws.checks()
