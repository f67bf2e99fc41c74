"""What a network is given in the place of an image in [-1, 1], and what its answers are.

    image in [-1, 1] -> channels -> resize -> cut -> range -> (x - mean) / std -> network -> logits

Nothing heavy is imported: the same fields are the flags of each verb that takes a classifier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from genviews.checks import check_count, check_number, check_words, fail, option

__all__ = ["ClassifierSettings", "InputRange", "Interpolation", "Outputs"]

InputRange = Literal["0..1", "0..255"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]
Outputs = Literal["logits", "probs", "sigmoids"]


@dataclass(frozen=True, kw_only=True)
class ClassifierSettings:
    """How a network is asked and its answers are read; the defaults change nothing.

    Args:
        input_size: Height and width of the images that the classifier takes, in pixels; one number
            for squares. Without it: those of the images.
        input_resize: Short side to which images are resized before the middle of --input-size is
            cut out. Without it: whole images are resized to --input-size.
        interpolation: How images are resized.
        input_channels: Channels that the classifier takes: 1 (grey) or 3. Without it: those of the
            images.
        input_range: Values that the classifier takes, before --mean and --std. Without it: from -1
            to 1.
        mean: Subtracted from the values, one number or one a channel. Without it: 0.
        std: Divides them then, one number or one a channel. Without it: 1.
        outputs: What the classifier returns: logits; probs (of all classes, or one: that of the
            second class), as after a softmax; sigmoids (a probability of its own for each output).
        output_names: Names of the outputs in their order, where it is not the order of the classes
            or there are more outputs than classes.

    Raises:
        ValueError: a number out of its range, or an unknown word.
    """

    input_size: tuple[int, ...] = ()
    input_resize: int | None = None
    interpolation: Interpolation = "bilinear"
    input_channels: int | None = None
    input_range: InputRange | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: Outputs = "logits"
    output_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_words(self, option)
        for name in ("input_size", "mean", "std"):
            numbers, most = getattr(self, name), 2 if name == "input_size" else 3
            if len(numbers) > most:
                remedy = "give one, or one for each side" if most == 2 else "give one a channel"
                expected = f"at most {most} numbers"
                fail(option(name), expected=expected, got=len(numbers), remedy=remedy)
            for number in numbers:
                if name == "input_size":
                    check_count(number, option(name))
                else:
                    above = 0 if name == "std" else -math.inf
                    check_number(number, option(name), above=above, remedy="use 1 for no scaling")
        self._check_scale()
        if self.input_channels not in (None, 1, 3):
            got, remedy = self.input_channels, "1 is grey, 3 is red, green and blue"
            fail(option("input_channels"), expected="1 or 3", got=got, remedy=remedy)
        if self.input_resize is not None:
            size, remedy = option("input_size"), "resize to at least what is cut out"
            if not self.input_size:
                fail(
                    size, expected=f"given with {option('input_resize')}", got="none", remedy=remedy
                )
            least = min(self.input_size)
            check_count(self.input_resize, option("input_resize"), least=least, remedy=remedy)

    def _check_scale(self) -> None:
        """Refuse mean and std of another range than the values have: of 0..255 for 0..1, say."""
        low, high = {None: (-1, 1), "0..1": (0, 1), "0..255": (0, 255)}[self.input_range]
        wide = high - low
        for name, least, most in (
            ("mean", low - wide, high + wide),
            ("std", wide / 256, 10 * wide),
        ):
            if any(not least <= number <= most for number in getattr(self, name)):
                fail(
                    option(name),
                    expected=f"numbers for values from {low} to {high}",
                    got=", ".join(f"{number:g}" for number in getattr(self, name)),
                    remedy=f"say which values the network takes with {option('input_range')}",
                )

    def changed(self) -> dict[str, Any]:
        """The fields that do not have their defaults."""
        given = {f.name: getattr(self, f.name) for f in fields(ClassifierSettings)}
        return {n: v for n, v in given.items() if v != getattr(ClassifierSettings, n)}
