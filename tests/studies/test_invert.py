from __future__ import annotations

import csv
import math

import pytest
import torch

from genviews.invert.quality import ImageQuality
from genviews.report.web import render_page
from genviews.studies.blocks import Curves
from genviews.studies.inverted import Inverted, images_csv, inversion_result, pictures
from genviews.studies.result import Record
from genviews.types import Status

SKIPPED = (("x,y.txt", 'is "no" image'),)


def quality(name, error, status=Status.CONVERGED):
    return ImageQuality(
        id=name,
        status=status,
        loss=error,
        start_loss=2 * error,
        steps=3,
        errors={"l1": error},
        source_hash="00",
    )


SOME = [quality("a", 1.0), quality("b", 3.0), quality("c", math.nan, Status.FAILED)]


def made(qualities=SOME, earlier=2, shown=()):
    return inversion_result(
        "t",
        qualities,
        record=Record(command="genviews invert", skipped=SKIPPED),
        earlier=earlier,
        seconds=2.0,
        shown=shown,
    )


def inverted(place, *, masked=False, channels=1):
    mask = torch.ones(1, 4, 4)
    mask[:, 0] = 0
    return Inverted(
        quality=quality(f"<{place}>.png", 0.01),
        image=torch.full((channels, 4, 4), -1.0),
        mask=mask if masked else None,
        reconstruction=torch.full((channels, 4, 4), -0.5),
    )


class TestResult:
    def test_numbers(self):
        result = made()
        found = result.record.data
        assert (found["images"], found["inverted"]) == (4, 3)
        assert found["status"] == {"CONVERGED": 2, "FAILED": 1}
        assert found["loss"] == {"mean": 2.0, "median": 2.0, "p90": pytest.approx(2.8)}
        assert found["start_loss"]["mean"] == 4.0
        assert (found["l1"]["mean"], found["steps_mean"]) == (2.0, 3.0)
        assert found["images_per_second"] == 1.0
        assert result.verdict == (
            "Inverted 2 of 4 images; the mean loss fell from 4 at the start to 2; "
            "2 of 3 converged; 1 of 3 failed."
        )
        assert result.answer.rows[1][:2] == ("Inversion loss", 2.0)

    def test_nothing_made_in_this_run_has_no_rate(self):
        assert made(earlier=4).record.data["images_per_second"] is None

    def test_most_that_failed_or_did_not_move_are_a_warning(self):
        assert all(gate.passed for gate in made().gates)
        kept = made([quality("a", 1.0, Status.START_KEPT), quality("b", 1.0, Status.START_KEPT)])
        assert [gate.found.split(":")[0] for gate in kept.shut] == [
            "2 of 2 inversions of images kept their start"
        ]
        failed = made([quality("a", math.nan, Status.FAILED)])
        assert [gate.found.split(":")[0] for gate in failed.shut] == [
            "1 of 1 inversions of images failed"
        ]
        assert failed.verdict.startswith("No verdict: ")
        assert failed.record.data["verdict_withheld"] == "No image was inverted: 1 of 2 failed."
        assert not any(isinstance(block, Curves) for block in failed.blocks)

    def test_histogram_counts_every_image_twice(self):
        (chart,) = next(b for b in made().blocks if isinstance(b, Curves)).charts
        assert [sum(series.y) for series in chart.series] == [2, 2]

    def test_is_a_page(self):
        page = render_page(made(shown=[pictures("Best", [inverted(0), inverted(1)], "l1")]))
        assert "&lt;0&gt;.png" in page
        assert "is &#34;no&#34; image" in page
        assert "are grey in the image" not in page


class TestPictures:
    def three(self, one):
        images = pictures("Best", [one], "l1")
        return images, [picture.pixels for picture in images.grids[0].pictures[0]]

    def test_image_reconstruction_and_difference(self):
        _, pictures = self.three(inverted(0))
        # the difference is 0.5 of 1, as white is 1
        assert [float(p[0, 2, 2]) for p in pictures] == [-1.0, -0.5, 0.0]

    def test_unknown_pixels_count_for_nothing(self):
        images, pictures = self.three(inverted(0, masked=True, channels=3))
        assert "are grey in the image" in images.caption
        assert [float(p[0, 0, 0]) for p in pictures] == [0.0, -0.5, -1.0]


def test_csv_reads_back():
    rows = list(csv.DictReader(images_csv(SOME, SKIPPED).splitlines()))
    assert [row["id"] for row in rows] == ["a", "b", "c", "x,y.txt"]
    assert [row["loss"] for row in rows] == ["1.0", "3.0", "", ""]
    assert rows[-1]["reason"] == 'is "no" image'
    assert rows[2]["status"] == "FAILED"


def test_csv_of_ids_that_look_like_formulas():
    text = images_csv([quality("=cmd()", 1.0), quality("a\rb", 1.0)], ())
    assert [line.split(",")[0] for line in text.splitlines()[1:]] == ["'=cmd()", "a\\x0db"]
