"""Numbers as text, of the learning studies."""

from __future__ import annotations

import pytest

from genviews.report.tables import p_text, percent, points


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0123, "+1.23"), (-0.004, "-0.40"), (0.0, "+0.00"), (-0.00001, "+0.00"), (0.1, "+10.00")],
)
def test_points(value, text):
    assert points(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.0123, "0.012"), (0.9949, "0.995"), (1.0, "1")],
)
def test_p_text(value, text):
    assert p_text(value) == text


def test_percent():
    assert percent(0.91236) == "91.24"
    assert percent(0.91236, 1) == "91.2"
