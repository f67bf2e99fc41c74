from __future__ import annotations

import pytest

from genviews.report.words import (
    cell_words,
    duration,
    printable,
    short_range,
    table_words,
    unbroken,
    value_words,
)
from genviews.studies.blocks import Column, Estimate, Table


@pytest.mark.parametrize(
    ("value", "kind", "digits", "text"),
    [
        (0.91239, "percent", None, "91.2"),
        (0.91239, "percent", 2, "91.24"),
        (0.019, "points", None, "+1.9"),
        (-0.00004, "points", 1, "+0.0"),
        (1234567, "count", None, "1,234,567"),
        (0.000123456, "number", None, "0.0001235"),
        (0.35, "number", 2, "0.35"),
        (0.0004, "p", None, "<0.001"),
        (0.9999, "p", None, "1"),
        (0.049962, "p", None, "0.04996"),
        (0.0503, "p", None, "0.050"),
        (7200.0, "seconds", None, "2.0 h"),
    ],
)
def test_numbers(value, kind, digits, text):
    assert value_words(value, kind, digits) == text


def test_interval_and_empty_cells():
    column = Column(name="gain", kind="points", digits=2)
    shown = cell_words(Estimate(0.019, (-0.001, 0.03)), column)
    assert (shown.text, shown.interval) == ("+1.90", "-0.10 to +3.00")
    assert cell_words(None, column).text == ""
    assert cell_words(Estimate(0.1), column).interval == ""


def test_words_in_a_sentence():
    assert short_range(Estimate(0.5, (0.4, 0.6)), "percent") == "50.0 % [40.0, 60.0]"
    assert short_range(Estimate(2.5), "number") == "2.5"


def test_never_minus_nothing():
    assert value_words(-1e-9, "points") == "+0.0"
    assert value_words(0.05, "p") == "0.050"
    assert duration(0.0) == "0.0 s"


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[31mred",
        "a\x1b]8;;http://x\x07y",
        "a\rb",
        "a\nb",
        "a\x9bb",
        "a\u202eb",
        "a\udc80b",
        "\x00",
    ],
)
def test_nothing_that_steers_a_terminal_is_left(text):
    shown = printable(text)
    assert shown.isprintable()
    assert shown.encode()
    assert "\\" in shown


def test_plain_names_stay():
    assert printable("Größe 画像 ü (1).png") == "Größe 画像 ü (1).png"


@pytest.mark.parametrize(
    "held",
    ["90.8 %", "+0.7 points", "12 min", "2.5 GiB", "0.3 s", "[-5.2, +6.6]", "p < 0.001", "p = 1"],
)
def test_no_line_ends_within_a_quantity(held):
    assert " " not in unbroken(held)
    assert unbroken(f"has {held} of 3 sizes, 5 steps").count(" ") == 6


def test_what_is_no_quantity_stays():
    for text in ("5 seconds", "IMG 7 sat.png", "map 3", "of 2,000 images, 400 of them"):
        assert unbroken(text) == text


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ((0.2154, 0.223, 0.04663), ("0.2154", "0.2230", "0.0466")),
        ((12.25, 0.5), ("12.25", "0.50")),
        ((1, None, 30), ("1", "", "30")),
        ((-0.5, 0.25), ("-0.50", "0.25")),
        ((0.857, 0.0, 0.0484), ("0.857", "0", "0.0484")),  # a count among measures
        ((1e-6, 0.5), ("1e-06", "0.5")),  # none would be left of the first
        ((3.25, 1234.5), ("3.25", "1234")),
    ],
)
def test_points_of_numbers_stand_below_each_other(values, texts):
    column = Column(name="a", kind="number")
    table = Table(title="", columns=(column,), rows=tuple((value,) for value in values))
    assert [row[0].text for row in table_words(table)] == list(texts)
