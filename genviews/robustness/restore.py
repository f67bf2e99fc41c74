"""What a restoration is: a corrupted image to what it may have been, without a model of images.

    image -> corrupt -> RESTORE -> classify

Filters against noise, and normalisations of contrast: the cheap rivals of views. A restoration is
an object made from its kind and its strength, then called on images; it prints as its constructor
call, and its `name` ("median:3", "stretch") keys stored results. An image's restoration depends on
that image alone, and nothing of it is left to chance.

To add one: a frozen dataclass in a file of its own with `kind` and `change`, a line in `KINDS`
below, and its names in `RESTORATIONS`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from genviews.checks import check_number, fail, lookup
from genviews.named import Registry
from genviews.robustness.corruption import as_images, as_values
from genviews.types import Images, check_tensor

__all__ = ["KINDS", "NON_LOCAL", "RESTORATIONS", "Denoiser", "Restoration", "restoration"]


@dataclass(frozen=True)
class Restoration(ABC):
    """Abstract restoration of images."""

    kind: ClassVar[str]
    """First word of `name`."""

    @property
    def name(self) -> str:
        """Its kind, and its strength where it has one."""
        return self.kind

    @abstractmethod
    def change(self, values: Tensor) -> Tensor:
        """Restore (B, C, H, W) checked images in [0, 1], which are not to be written to."""

    def __call__(self, images: Images) -> Images:
        """Restored images.

        Args:
            images: values in [-1, 1]; those beyond are cut off.

        Returns:
            Images of the same shape, type and device, in [-1, 1].

        Raises:
            ValueError: images that are not (B, C, H, W), of 0 to 255, or not finite.

        Example:
            >>> import torch
            >>> speck = torch.full((1, 1, 5, 5), -0.5)
            >>> speck[0, 0, 2, 2] = 1.0
            >>> restoration("median:3")(speck).unique().tolist()
            [-0.5]
        """
        check_tensor(images, "images to restore", floats=True)
        names = [f"row {row}" for row in range(images.shape[0] if images.ndim else 0)]
        return as_images(self.change(as_values(images, "images to restore", names)), images)


@dataclass(frozen=True)
class Denoiser(Restoration):
    """Abstract filter of a strength.

    Args:
        strength: above 0, in the unit that its kind says.
    """

    strength: float

    def __post_init__(self) -> None:
        what, remedy = f"strength of {self.kind}", f"write {self.kind}:1, for example"
        check_number(self.strength, what, above=0, remedy=remedy)

    @property
    def name(self) -> str:
        """Kind and strength, as in "tv:0.1"."""
        return f"{self.kind}:{self.strength:g}"


def restoration(name: str) -> Restoration:
    """Return the restoration of a name such as "median:3", "tv:0.1" or "stretch".

    Raises:
        ValueError: an unknown kind (the closest are listed), or a strength that it does not take.
        ModuleNotFoundError: it needs a package that is not installed.

    Example:
        >>> restoration("tv:0.1")
        TotalVariation(strength=0.1)
    """
    kind, colon, rest = name.partition(":")
    made = lookup(kind, KINDS, "kind of restoration")
    if not issubclass(made, Denoiser):
        if colon:
            fail(f"restoration {name!r}", expected="no strength", got=rest, remedy=f"write {kind}")
        return made()
    try:
        strength = float(rest)
    except ValueError:
        expected, got = "a strength behind a colon", repr(rest) if colon else "none"
        fail(f"restoration {name!r}", expected=expected, got=got, remedy=f"write {kind}:3")
    return made(strength)


RESTORATIONS = (
    *("median:3", "median:5", "median:7"),
    *("gaussian:0.5", "gaussian:0.75", "gaussian:1", "gaussian:1.5"),
    *("tv:0.05", "tv:0.1", "tv:0.2", "tv:0.4"),
    *("stretch", "equalise"),
)
"""Names of those to choose from, on calibration images; they need no extra."""

NON_LOCAL = ("nlm:0.05", "nlm:0.1", "nlm:0.2", "nlm:0.4")
"""Names of those that need the extra "robustness"."""

KINDS: Registry[type[Restoration]] = Registry(
    {
        "median": "genviews.robustness.denoise:Median",
        "gaussian": "genviews.robustness.denoise:Gaussian",
        "tv": "genviews.robustness.denoise:TotalVariation",
        "nlm": "genviews.robustness.denoise:NonLocalMeans",
        "stretch": "genviews.robustness.normalise:Stretch",
        "equalise": "genviews.robustness.normalise:Equalise",
    }
)
"""Kind -> restoration; a new one is a line here."""
