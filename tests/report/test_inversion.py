from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.invert.quality import ImageQuality
from genviews.invert.result import InversionResult, Picture
from genviews.report import contact_sheet, render_inversion_report, write_inversion_report
from genviews.types import Status


def quality(place, status=Status.STEP_LIMIT):
    return ImageQuality(
        id=f"<{place}>.png",
        status=status,
        loss=0.1 * (place + 1),
        start_loss=0.3 * (place + 1),
        steps=5,
        errors={"l1": 0.01 * place, "l2": 0.001 * place},
        source_hash="ab",
    )


def picture(place, *, masked=False, channels=1):
    mask = torch.ones(1, 4, 4)
    mask[:, 0] = 0
    return Picture(
        quality=quality(place),
        image=torch.full((channels, 4, 4), -1.0),
        mask=mask if masked else None,
        reconstruction=torch.full((channels, 4, 4), -0.5),
    )


@pytest.fixture
def result():
    return InversionResult(
        title="Inversion of <pics> with toy",
        command="genviews invert --images pics",
        config={"steps": 5},
        qualities=[quality(i) for i in range(20)],
        ranked_by="l1",
        best=[picture(0), picture(1)],
        worst=[picture(19)],
        skipped=(("notes.txt", "is not an image"),),
        seconds={"invert": 3.0},
        versions={"torch": "2.6"},
    )


def test_page(result, tmp_path):
    write_inversion_report(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page == render_inversion_report(result)
    assert page.startswith("<!DOCTYPE html>") or page.lstrip().startswith("<!DOCTYPE html>")
    assert "Inversion of &lt;pics&gt; with toy" in page
    assert "<pics>" not in page
    assert "Inverted 20 of 21 images" in page
    assert "is not an image" in page
    assert page.count("data:image/png") == 9
    assert "mean 1.05 at the end, 3.15 at the start" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_masks_are_explained_where_there_are_any(result):
    assert "are grey in the image" not in render_inversion_report(result)
    masked = replace(result, worst=[picture(19, masked=True)])
    assert "are grey in the image" in render_inversion_report(masked)


def test_empty_and_failed(result):
    failed = [quality(0, Status.FAILED)]
    page = render_inversion_report(replace(result, qualities=failed, best=[], worst=[]))
    assert "1 failed" in page
    assert "<svg" not in page


def test_contact_sheet_holds_image_reconstruction_and_difference(result):
    with Image.open(io.BytesIO(contact_sheet(result))) as sheet:
        pixels = np.asarray(sheet)
    side = 96  # 4 pixels, each 24 wide
    assert pixels.shape == (3 * side + 4, 3 * side + 2 + 10, 3)
    rows = [pixels[side // 2 + row * (side + 2), side // 2].tolist() for row in range(3)]
    assert rows == [[0] * 3, [64] * 3, [128] * 3]  # 0.5 of 1, as white is 1


def test_unknown_pixels_count_for_nothing_in_the_sheet(result):
    masked = replace(result, best=[picture(0, masked=True, channels=3)], worst=[])
    with Image.open(io.BytesIO(contact_sheet(masked))) as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape == (292, 96, 3)
    assert pixels[2, 2].tolist() == [128] * 3
    assert pixels[196 + 2, 2].tolist() == [0] * 3


def test_no_picture_is_a_sheet_too(result):
    with Image.open(io.BytesIO(contact_sheet(replace(result, best=[], worst=[])))) as sheet:
        assert min(sheet.size) >= 1
