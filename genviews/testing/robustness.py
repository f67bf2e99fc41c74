"""The contract of what happens to images before they are classified: each `Corruption`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genviews.rng import Rng
from genviews.robustness.corruption import SEVERITIES, Corruption, Scale
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

__all__ = ["CORRUPTION_CHECKS", "check_corruption"]

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
    return "imagenet-c" if scale == "cifar-c" else "cifar-c"


class CorruptionLaws(Batched[Corruption]):
    """Four soft images, one of them grey."""

    def __init__(self, corruption: Corruption, image_spec: ImageSpec) -> None:
        super().__init__(corruption)
        self.samples, self.streams = pictures(image_spec), Rng(3).streams(IDS)

    def _corrupted(self, rows: Sequence[int] | slice = slice(None)) -> Tensor:
        return self.subject(self.samples[rows], self.streams[rows])

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return {"images": self._corrupted(rows)}

    def _others(self) -> dict[str, object]:
        own = self.subject
        severity, scale = own.severity % SEVERITIES + 1, other_scale(own.scale)
        return {"severity": replace(own, severity=severity), "scale": replace(own, scale=scale)}

    def images_keep_their_kind(self) -> None:
        """Images of any size, in [-1, 1], become ones of the same shape and type in [-1, 1]."""
        for severity in range(1, SEVERITIES + 1):
            self.subject = replace(self.subject, severity=severity)
            for scale in (1.0, 1.2, 0.0):  # a generator overshoots; and images all alike
                images = self.samples * scale
                sound(
                    self.subject(images, self.streams),
                    f"severity {severity} of images times {scale}",
                    images.shape,
                    dtype=images.dtype,
                    most=1.0,
                )
        sound(self._corrupted([]), "no image", self.samples[:0].shape)

    def the_type_is_that_of_the_images(self) -> None:
        """Images in float64 and float16 come back so."""
        for dtype in (torch.float64, torch.float16):
            found = self.subject(self.samples.to(dtype), self.streams)
            sound(found, f"images in {dtype}", self.samples.shape, dtype=dtype, most=1.0)

    def streams_decide(self) -> None:
        """Equal streams give equal images, bit for bit; no global number is drawn or input kept."""
        with leaves_no_trace(self.samples):
            first = self._corrupted()
        equal(self._corrupted(), first, "images of the same streams")
        with leaves_no_trace(self.samples):
            first.zero_()

    def a_severity_is_a_strength(self) -> None:
        """Severity 5 is further from the image than severity 1, where the kind says so."""
        far = []
        for severity in (1, SEVERITIES):
            self.subject = replace(self.subject, severity=severity)
            far.append(float((self._corrupted() - self.samples).abs().mean()))
        expect(min(far) > 0, "an image was left as it is")
        expect(far[0] < far[1] or not self.subject.rises, f"severities 1 and 5 are {far} away")

    def equal_images_stay_equal(self) -> None:
        """The same image with the same stream twice in a batch becomes the same twice."""
        self.samples = self.samples[[0, 0]]
        self.streams = self.streams[[0, 0]]
        found = self._corrupted()
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
        """No such severity or scale, a stream too few, bytes, and what is not finite are errors."""
        for severity in (0, SEVERITIES + 1):
            refuses(partial(replace, self.subject, severity=severity), f"severity {severity}")
        unknown: Any = "no-scale"
        refuses(lambda: replace(self.subject, scale=unknown), "an unknown scale")
        refuses(lambda: self.subject(self.samples, self.streams[:2]), "a stream too few")
        refuses(lambda: self.subject(self.samples[0], self.streams), "images without a batch axis")
        refuses(lambda: self.subject(self.samples * 127 + 127, self.streams), "images of 0 to 255")
        refuses(lambda: self.subject(self.samples[:, [0, 0]], self.streams), "images of 2 channels")
        if self.subject.needs_colour:
            refuses(lambda: self.subject(self.samples[:, :1], self.streams), "grey images")
        self.samples[2, 0, 0, 0] = torch.nan
        refuses(self._corrupted, "an image that is not finite")


CORRUPTION_CHECKS = CorruptionLaws.checks()
