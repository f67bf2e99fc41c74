"""The verdict is about the row chosen on calibration, and says plainly what is no difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genviews.ensemble.result import Comparison, Row
from genviews.ensemble.verdict import best_on_calibration, verdict

SINGLE = Row(
    name="single image", classifier="images", group="image", views=(), num_views=0, alpha=None,
    oracle_alpha=None, oracle_accuracy=None, calibration_accuracy=0.8, accuracy=0.82,
    interval=(0.8, 0.84), gain=0.0, gain_interval=(0.0, 0.0), fixed=0, broke=0, p_value=1.0,
    p_holm=1.0,
)  # fmt: skip
GOOD = replace(
    SINGLE, name="stylemix fine", group="latent", alpha=0.35, calibration_accuracy=0.85,
    accuracy=0.84, gain=0.02, gain_interval=(0.005, 0.035), p_value=0.004,
)  # fmt: skip
LUCKY = replace(GOOD, name="lucky", calibration_accuracy=0.81, accuracy=0.99, p_value=1e-9)


def say(*rows: Row, comparisons: tuple[Comparison, ...] = ()) -> str:
    return verdict(rows, comparisons, reference="images", num_test=1234)


def test_significant():
    assert say(SINGLE, GOOD) == (
        "Significantly better: 'stylemix fine' (alpha 0.35), chosen on calibration, has 84.00 % "
        "against 82.00 % with the single image on 1,234 test images: +2.00 points (95 % interval "
        "+0.50 to +3.50, exact McNemar p = 0.004)."
    )


def test_the_best_row_on_test_is_not_chosen():
    assert "'stylemix fine'" in say(SINGLE, LUCKY, GOOD)


def test_no_difference_and_worse():
    assert say(SINGLE, replace(GOOD, p_value=0.05)).startswith("No significant difference: 'style")
    worse = replace(GOOD, gain=-0.02, gain_interval=(-0.03, -0.01), p_value=1e-5)
    assert say(SINGLE, worse).startswith("Significantly worse:")
    assert "p < 0.001" in say(SINGLE, worse)


def test_nothing_beats_the_single_image_on_calibration():
    tied = replace(GOOD, calibration_accuracy=0.8)
    assert best_on_calibration([SINGLE, tied]) is SINGLE
    assert say(SINGLE, tied) == (
        "On the calibration images no ensemble did better than the single image, "
        "which has a test accuracy of 82.00 %."
    )


def test_rows_of_other_classifiers_are_left_to_the_table():
    other = replace(GOOD, classifier="views", calibration_accuracy=0.99, name="other")
    assert "'other'" not in say(SINGLE, GOOD, other)


@pytest.mark.parametrize(
    ("gain", "p_value", "words"),
    [
        (0.01, 0.2, "no significant difference, +1.00 points"),
        (0.01, 0.01, "significantly better"),
        (-0.01, 0.01, "significantly worse"),
    ],
)
def test_beyond_pixel_views(gain, p_value, words):
    found = Comparison(
        classifier="images", row="combined", against="crop", gain=gain, interval=(-0.01, 0.02),
        fixed=3, broke=1, p_value=p_value,
    )  # fmt: skip
    text = say(SINGLE, GOOD, comparisons=(replace(found, classifier="views", row="no"), found))
    assert "Adding generated views to the pixel views ('combined' against 'crop'): " + words in text
    assert "'no'" not in text
