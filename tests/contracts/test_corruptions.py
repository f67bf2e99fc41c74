"""Every corruption against its contract: a new kind is a new line of `KINDS`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from genviews.robustness.corruption import KINDS, SCALES, SEVERITIES, Corruption, Published
from genviews.testing import CORRUPTION_CHECKS, check_corruption
from genviews.types import ImageSpec
from tests.contracts.complete import leaves

COLOUR = ImageSpec(channels=3, height=11, width=14)
GREY = ImageSpec(channels=1, height=12, width=9)


def test_the_table_is_complete() -> None:
    assert leaves(Corruption) == {KINDS[kind] for kind in KINDS}
    assert [KINDS[kind].kind for kind in KINDS] == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
def test_corruption_contract(kind: str, scale) -> None:
    made = KINDS[kind](2, scale)
    check_corruption(made, COLOUR)
    if not made.needs_colour:
        check_corruption(made, GREY)


@pytest.mark.parametrize("kind", KINDS)
def test_published_numbers_are_there_for_each_severity(kind: str) -> None:
    published = KINDS[kind].published
    assert tuple(published) == SCALES
    assert {len(severities) for severities in published.values()} == {SEVERITIES}


@dataclass(frozen=True)
class Broken(Corruption):
    """Noise that breaks one law, named by `law`."""

    law: str = "none"

    kind: ClassVar[str] = "broken"
    published: ClassVar[Published] = dict.fromkeys(SCALES, tuple((0.1 * n,) for n in range(1, 6)))

    def __post_init__(self) -> None:
        if self.law != "misuse_is_refused":
            super().__post_init__()

    def __describe__(self) -> dict[str, object]:
        copies = id(self) if self.law == "it_is_described" else self.severity
        return {"copies": copies, "scale": self.scale}

    @property
    def name(self) -> str:
        return "broken" if self.law == "the_name_tells_it_apart" else super().name

    def __call__(self, images: Tensor, streams) -> Tensor:
        found = super().__call__(images, streams)
        if self.law == "the_type_is_that_of_the_images":
            return found.float()
        return found * 2 if self.law == "images_keep_their_shape" else found

    def change(self, values: Tensor, streams) -> Tensor:
        (strength,) = self.published[self.scale][(self.severity - 1) % 5]
        noise = streams.normal(1, values.shape[1:])[:, 0].to(values)
        match self.law:
            case "the_same_is_made_again":
                noise = torch.randn(values.shape).to(values)
            case "neighbours_do_not_matter":
                noise = noise - noise.mean(0)
            case "a_severity_is_a_strength":
                strength = 1 - strength
            case "equal_images_stay_equal":
                noise = noise * torch.arange(len(noise))[:, None, None, None]
        return values + strength * noise


@pytest.mark.parametrize("check", CORRUPTION_CHECKS, ids=lambda check: check.__name__)
def test_a_corruption_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(Broken(2, law=check.__name__), COLOUR)
    check(Broken(2), COLOUR)
