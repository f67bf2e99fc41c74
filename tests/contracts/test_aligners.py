"""Every aligner against the contract of alignment: a new one is a new row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from genviews.align.aligners import CAT_FACE, CentreBox, FaceQuad, Frame, Similarity
from genviews.align.base import Aligned, Aligner, Box, Geometry
from genviews.testing import ALIGNER_CHECKS, check_aligner
from tests.contracts.complete import leaves

FRAME = Frame(height=32, width=32, content_height=24, content_width=32)
WHOLE = Frame(height=50, width=50, content_height=44, content_width=50)  # nothing is resampled
FACE = torch.tensor([(18, 14), (32, 15), (25, 22), (20, 29), (30, 30)], dtype=torch.float64)

ALIGNERS: list[tuple[Aligner, Geometry]] = [
    (CentreBox(FRAME), Box(8, 6, 36, 30)),
    (
        CentreBox(Frame(height=50, width=50, content_height=44, content_width=50)),
        Box(20, 5, 45, 39),
    ),
    (FaceQuad(48), FACE),
    (Similarity(CAT_FACE, 32), FACE[[0, 1, 4]]),
]


def test_the_table_is_complete() -> None:
    assert leaves(Aligner) == {type(aligner) for aligner, _ in ALIGNERS}


@pytest.mark.parametrize(("aligner", "geometry"), ALIGNERS, ids=lambda value: repr(value)[:60])
def test_aligner_contract(aligner: Aligner, geometry: Geometry) -> None:
    check_aligner(aligner, geometry)


@dataclass(frozen=True)
class Broken(Aligner):
    """Centring by a box that breaks one law, named by `law`."""

    law: str

    def __describe__(self) -> dict[str, object]:
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    def align(self, image: Tensor, geometry: Geometry) -> Aligned:
        if self.law == "images_that_cannot_be_aligned_are_told_apart":
            image = image.nan_to_num(0.0)
        if self.law == "it_depends_on_its_arguments_alone":
            image.mul_(0.5)
        found = CentreBox(FRAME).align(image, geometry)
        if self.law == "image_and_mask_agree":
            return replace(found, image=found.image + 0.1)
        if self.law == "to_source_tells_where_pixels_came_from":
            return replace(found, image=found.image.roll(2, -1) * found.mask)
        if self.law == "pasting_back_touches_its_place_alone":
            return Careless(**vars(found))
        return found


class Careless(Aligned):
    def paste_back(self, edited: Tensor, source: Tensor) -> Tensor:
        return super().paste_back(edited, source) * 0.5


@pytest.mark.parametrize("check", ALIGNER_CHECKS, ids=lambda check: check.__name__)
def test_an_aligner_that_breaks_the_law_is_caught(check) -> None:
    box = Box(8, 6, 36, 30)
    with pytest.raises(AssertionError):
        check(Broken(check.__name__), box)
    check(Broken("none"), box)
