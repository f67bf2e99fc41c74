"""The verdict is about generated views, chosen on calibration, and says what could be seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from genviews.ensemble.combine import Comparison, Row, best_on_calibration
from genviews.ensemble.significance import counted_report
from genviews.studies.ensembling.evidence import (
    answer,
    difference,
    differences,
    row_table,
    weight_words,
)

SINGLE = Row(
    name="single image", task="images", group="image", views=(), num_views=0, alpha=None,
    oracle_alpha=None, oracle_accuracy=None, calibration_accuracy=0.8, accuracy=0.82,
    interval=(0.8, 0.84), gain=0.0, gain_interval=(0.0, 0.0), fixed=0, broke=0, p_value=1.0,
    p_holm=1.0,
)  # fmt: skip
GOOD = replace(
    SINGLE, name="stylemix fine", group="latent", views=("stylemix_fine",), alpha=0.35,
    calibration_accuracy=0.85, accuracy=0.84, gain=0.02, gain_interval=(0.005, 0.035),
    p_value=0.004,
)  # fmt: skip
LUCKY = replace(GOOD, name="lucky", calibration_accuracy=0.81, accuracy=0.99, p_value=1e-9)
CONTROL = replace(
    GOOD, name="image + reconstruction", views=("reconstruction",), calibration_accuracy=0.99
)
CROP = replace(SINGLE, name="crop", group="pixel", views=("crop",), calibration_accuracy=0.95)


def say(*rows: Row, comparisons: tuple[Comparison, ...] = ()) -> str:
    return answer(rows, comparisons, num_test=1234)[0]


def test_significant():
    assert say(SINGLE, GOOD) == (
        "Generated views helped: 'stylemix fine' with weight 0.35 has 84.00 % against 82.00 % of "
        "the single image on 1,234 test images, +2.00 points [+0.50, +3.50] (exact McNemar "
        "p = 0.004)."
    )


def test_the_best_row_on_test_is_not_chosen():
    assert "'stylemix fine'" in say(SINGLE, LUCKY, GOOD)
    assert answer((SINGLE, LUCKY, GOOD), (), num_test=9)[1] is GOOD


def test_neither_a_reconstruction_nor_pixel_views_are_generated_views():
    text = say(SINGLE, CROP, CONTROL, GOOD)
    assert text.startswith("Generated views helped: 'stylemix fine'")
    assert say(SINGLE, CROP, CONTROL) == "No generated views were compared."


def test_no_difference_says_what_could_have_been_seen():
    text = say(SINGLE, replace(GOOD, p_value=0.05, fixed=30, broke=6))
    assert text.startswith("No help from generated views was seen: 'stylemix fine' with weight")
    assert text.endswith(
        "; 1,234 test images show a gain of 1.5 points or more four times in five, "
        "if 2.9 % of the answers change."
    )
    assert "four times in five" not in say(SINGLE, GOOD)


def test_level():
    text = say(SINGLE, replace(GOOD, gain=0.0, accuracy=0.82, p_value=1.0, p_level=0.001))
    assert text.startswith("Generated views made less than 1 point of difference: 'stylemix fine'")
    assert "four times in five" in text


def test_worse():
    worse = replace(GOOD, gain=-0.02, gain_interval=(-0.03, -0.01), p_value=1e-5)
    assert say(SINGLE, worse).startswith("Generated views did harm:")
    assert "p < 0.001" in say(SINGLE, worse)


def test_no_weight():
    text = say(SINGLE, replace(GOOD, alpha=0.0, gain=0.0, accuracy=0.82, p_value=1.0))
    assert text.startswith(
        "Generated views did not help: on the calibration images they earned no weight (alpha 0), "
        "so none is chosen and the answer is that of the single image, 82.00 %; 1,234 test images "
        "show a gain of 0.6 points or more four times in five, if 0.6 % of the answers change."
    )
    assert text.count(". ") == 0


@pytest.mark.parametrize(("alpha", "place"), [(0.35, 1), (None, 1), (0.0, None)])
def test_a_row_is_marked_unless_its_views_have_no_weight(alpha, place):
    row = replace(GOOD, alpha=alpha)
    assert row_table((SINGLE, row), title="", chosen=row).highlight == place


def test_no_weight_beside_fewer_pixel_views():
    """Without weight, what is combined is not the pixel views alone: it has half of them."""
    combined = replace(GOOD, name="combined", alpha=0.0, accuracy=0.81, calibration_accuracy=0.97)
    facts = {"gain": -0.01, "gain_interval": (-0.03, 0.01), "p_value": 0.4, "accuracy": 0.81}
    known = {name: getattr(combined, name) for name in ("interval", "fixed", "broke")}
    paired = Comparison(**{**known, **facts}, row="combined", against="crop", task="images")
    text = say(SINGLE, combined, comparisons=(paired,))
    assert (
        "earned no weight (alpha 0), so none is chosen. Without them 'combined', which has fewer"
        in text
    )
    assert "has 81.00 % against 82.00 % of 'crop' alone on 1,234 test images, -1.00" in text


def test_very_few_images():
    row = replace(GOOD, p_value=1.0)
    assert (
        "; 5 test images cannot show any gain, however large." in answer((row,), (), num_test=5)[0]
    )


@pytest.mark.parametrize(
    ("gain", "p_value", "words"),
    [
        (0.01, 0.2, "No help from generated views was seen"),
        (0.01, 0.01, "Generated views helped"),
        (-0.01, 0.01, "Generated views did harm"),
    ],
)
def test_combined_views_are_compared_with_their_pixel_views(gain, p_value, words):
    both = replace(
        GOOD, name="combined", group="combined", views=("crop", "crop+mix"),
        calibration_accuracy=0.9, p_value=1e-6,
    )  # fmt: skip
    found = Comparison(
        task="images", row="combined", against="crop", accuracy=0.84, interval=(0.82, 0.86),
        gain=gain, gain_interval=(-0.01, 0.02),
        fixed=3, broke=1, p_value=p_value,
    )  # fmt: skip
    text = say(SINGLE, CROP, GOOD, both, comparisons=(found,))
    assert text.startswith(f"{words}: 'combined' with weight 0.35 has 84.00 % against ")
    assert f"{100 * (0.84 - gain):.2f} % of 'crop' alone" in text


def test_ties_go_to_the_simpler_row():
    tied = replace(GOOD, calibration_accuracy=0.8)
    assert best_on_calibration([SINGLE, tied]) is SINGLE


@pytest.mark.parametrize(
    ("gain", "p_value", "tone"), [(0.01, 0.001, "better"), (0.01, 0.3, ""), (-0.01, 0.001, "worse")]
)
def test_the_tone_is_that_of_the_answer_and_not_of_the_row(gain, p_value, tone):
    """The row is far above the single image, by its pixel views; what counts is beyond them."""
    row = replace(GOOD, name="combined", group="combined", views=("crop", "stylemix"))
    report = {f: getattr(GOOD, f) for f in ("accuracy", "interval", "gain_interval", "p_level")}
    pair = Comparison(
        **report, gain=gain, fixed=9, broke=1, p_value=p_value,
        task=row.task, row="combined", against="crop",
    )  # fmt: skip
    assert answer((SINGLE, row), (pair,), num_test=1234)[2] == tone
    unused = replace(row, alpha=0.0)
    assert answer((SINGLE, unused), (pair,), num_test=1234)[2] == ""


def test_what_is_told_together_is_corrected_for_its_number():
    found = counted_report(300, 9, 1, 400)
    assert found.p_value < 0.05 / 2 < 3 * found.p_value
    assert difference(found).startswith("significantly better, ")
    (alone,), three = differences([found]), differences([found] * 3)
    assert alone == difference(found)
    assert all(words.startswith("no difference seen, ") for words in three)
    assert f"(exact McNemar p = {3 * found.p_value:.3f}, Holm)" in three[0]


def test_words_of_a_weight():
    assert weight_words(0.3) == "weight 0.30"
    assert weight_words(0.0) == "weight 0: on calibration they earned none"
