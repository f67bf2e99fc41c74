"""Every restoration against its contract: a new kind is a new line of `KINDS`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from genviews.robustness.restore import (
    KINDS,
    NON_LOCAL,
    RESTORATIONS,
    Restoration,
    restoration,
)
from genviews.testing import RESTORATION_CHECKS, check_restoration
from genviews.types import ImageSpec
from tests.contracts.complete import leaves

COLOUR = ImageSpec(channels=3, height=11, width=14)
GREY = ImageSpec(channels=1, height=12, width=9)

NEEDS_EXTRA = pytest.mark.skipif(find_spec("skimage") is None, reason="needs scikit-image")
ALL = [*RESTORATIONS, *(pytest.param(name, marks=NEEDS_EXTRA) for name in NON_LOCAL[:1])]


def test_the_table_is_complete() -> None:
    assert leaves(Restoration) == {KINDS[kind] for kind in KINDS}
    assert [KINDS[kind].kind for kind in KINDS] == list(KINDS)
    listed = {name.partition(":")[0] for name in (*RESTORATIONS, *NON_LOCAL)}
    assert listed == set(KINDS)


@pytest.mark.parametrize("name", ALL)
def test_restoration_contract(name: str) -> None:
    made = restoration(name)
    assert made.name == name
    check_restoration(made, COLOUR)
    check_restoration(made, GREY)


@dataclass(frozen=True)
class Broken(Restoration):
    """The negative's negative, which breaks one law, named by `law`."""

    law: str = "none"

    kind: ClassVar[str] = "broken"

    def __describe__(self) -> dict[str, object]:
        return {"copies": id(self) if self.law == "it_is_described" else 0}

    @property
    def name(self) -> str:
        return "other" if self.law == "the_name_tells_it_apart" else super().name

    def __call__(self, images: Tensor) -> Tensor:
        if self.law == "misuse_is_refused":
            images = images.nan_to_num()
        found = super().__call__(images)
        if self.law == "the_type_is_that_of_the_images":
            return found.float()
        return found * 2 if self.law == "images_keep_their_shape" else found

    def change(self, values: Tensor) -> Tensor:
        match self.law:
            case "the_same_is_made_again":
                return torch.rand(values.shape).to(values)
            case "neighbours_do_not_matter":
                return values - values.mean()
            case "images_of_one_value_stay":
                return values / 2
        return 1 - (1 - values)


@pytest.mark.parametrize("check", RESTORATION_CHECKS, ids=lambda check: check.__name__)
def test_a_restoration_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(Broken(law=check.__name__), COLOUR)
    check(Broken(), COLOUR)
