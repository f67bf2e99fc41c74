"""One rule for what is said of a difference: how often it is wrong, and that its words agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from genviews.ensemble.significance import (
    counted_report,
    detectable_gain,
    holm,
    mcnemar_exact,
)
from genviews.studies.ensembling.evidence import difference
from genviews.studies.statistics import (
    MARGIN,
    Gap,
    could_be_seen,
    gains_of,
    lasting,
    outcome_of,
    points,
    standing,
    tone_of,
    weigh,
)


def drawn(total, better, worse, families, size):
    """Families of paired comparisons, each of its own test images."""
    shares = [better, worse, 1 - better - worse]
    counts = np.random.default_rng(0).multinomial(total, shares, size=(families, size))
    known = {}
    for fixed, broke, _ in counts.reshape(-1, 3):
        pair = int(fixed), int(broke)
        known.setdefault(pair, Gap.of(counted_report(total // 2, *pair, total)))
    return [[known[int(f), int(b)] for f, b, _ in family] for family in counts]


@pytest.mark.parametrize("size", [1, 12])
class TestFamilies:
    def test_equal_methods_are_seldom_told_apart(self, size):
        found = drawn(200, 0.03, 0.03, 400, size)
        wrong = sum(any(one.differs for one in weigh(family)) for family in found)
        assert wrong / 400 <= 0.07  # of 0.05, with 400 families

    def test_methods_that_differ_by_the_margin_are_seldom_level(self, size):
        found = drawn(4000, 0.005 + MARGIN, 0.005, 400, size)
        wrong = sum(any(one.is_level for one in weigh(family)) for family in found)
        assert wrong / 400 <= 0.05

    def test_equal_methods_are_called_level_where_there_are_many_images(self, size):
        said = [
            standing(one) for family in drawn(5000, 0.01, 0.01, 20, size) for one in weigh(family)
        ]
        assert said.count("level") >= 0.9 * len(said)


def test_corrections_are_holms_and_what_is_unknown_does_not_count():
    family = [
        Gap(value=0.1, interval=(0.0, 0.2), p_value=0.01, p_level=0.5),
        Gap(value=0.1, interval=None, p_value=None, p_level=None),
        Gap(value=0.0, interval=(-0.1, 0.1), p_value=0.04, p_level=0.02),
    ]
    found = weigh(family)
    assert [found[0].p_value, found[2].p_value] == holm([0.01, 0.04])
    assert [found[0].p_level, found[2].p_level] == holm([0.5, 0.02])
    assert standing(found[1]) == "no difference seen"
    assert (found[1].p_value, weigh([])) == (None, [])


@pytest.mark.parametrize(
    ("fixed", "broke", "total"), [*itertools.product((0, 3, 9), (0, 4), (60, 5000))]
)
def test_words_stars_colours_and_claims_say_the_same(fixed, broke, total):
    report = counted_report(total // 2, fixed, broke, total)
    gap = Gap.of(report)
    said, differs = standing(gap), mcnemar_exact(fixed, broke) < 0.05
    assert (said in ("above", "below")) == differs
    assert gains_of([report])[0].significant == differs
    tones = {"above": "better", "below": "worse", "level": "level"}
    assert tone_of(gap) == tones.get(said, "")
    assert (outcome_of("above", gap) == "not seen") == (not differs)
    low, high = report.gain_interval
    assert (low > 0 or high < 0) == differs
    assert gap.is_level == (max(-low, high) < MARGIN)
    assert (outcome_of("level", gap) == "holds") == gap.is_level
    word = {
        "above": "significantly better",
        "below": "significantly worse",
        "level": "level within",
    }
    assert difference(report).startswith(word.get(said, said))
    assert points(gap) in difference(report)


def test_a_sure_difference_that_is_too_small_to_matter():
    gap = Gap.of(counted_report(90_000, 500, 100, 100_000))
    assert standing(gap) == "above"
    assert (outcome_of("above", gap), outcome_of("level", gap)) == ("holds", "holds")


def test_what_could_be_seen_is_the_detectable_gain():
    least = detectable_gain(300, 12 / 300)
    assert could_be_seen(300, 12).startswith(
        f"300 test images show a gain of {100 * least:.1f} points or more four times in five"
    )
    assert could_be_seen(300, 12).endswith("if 4.0 % of the answers change")
    share = could_be_seen(300, 0).rpartition("if ")[2]  # at least so many must, for such a gain
    assert share == f"{100 * detectable_gain(300):.1f} % of the answers change"


@pytest.mark.parametrize("total", [1, 10, 10_000, 10_000_000])
def test_an_interval_in_words_is_never_a_point(total):
    text = points(Gap.of(counted_report(1, 0, 0, total)))
    low, high = text.partition("[")[2].strip("]").split(", ")
    assert float(low) < 0 < float(high)


@pytest.mark.parametrize(("fixed", "broke", "total"), [(8, 1, 1000), (2, 10, 4000)])
def test_an_interval_without_0_is_shown_without_it(fixed, broke, total):
    """Beside p = 0.039 stands no "[+0.00, +1.40]"."""
    found = counted_report(total // 2, fixed, broke, total)
    assert found.p_value < 0.05
    ends = points(Gap.of(found)).partition("[")[2].rstrip("]").split(", ")
    assert all(float(end) * found.gain > 0 for end in ends)


@pytest.mark.parametrize(
    ("held", "place"),
    [([True, True], 0), ([True, False, True], 2), ([False] * 3, 2), ([False, True], 1)],
)
def test_what_is_said_from_a_place_on_holds_from_there_on(held, place):
    assert lasting(held) == place


def test_of_no_image_nothing_could_be_seen():
    with pytest.raises(ValueError, match="number of images"):
        could_be_seen(0, 0)
