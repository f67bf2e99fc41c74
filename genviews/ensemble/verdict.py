"""The study in plain words: is the best row, as chosen on calibration, better on test or not.

A row picked because it looks best on test proves nothing. So the row is picked by its calibration
accuracy, and its one comparison on test is then tested as it stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from genviews.ensemble.result import Comparison, Row

__all__ = ["SIGNIFICANCE", "best_on_calibration", "verdict"]

SIGNIFICANCE = 0.05


def best_on_calibration(rows: Sequence[Row]) -> Row:
    """The row with the highest calibration accuracy; among equals the first, simpler one."""
    return max(rows, key=lambda row: row.calibration_accuracy)


def verdict(
    rows: Sequence[Row], comparisons: Sequence[Comparison], *, reference: str, num_test: int
) -> str:
    """One sentence on the reference classifier's best row, one on generated beyond pixel views.

    Args:
        rows: the whole table.
        comparisons: paired tests; the reference classifier's is reported.
        reference: name of the classifier that the verdict is about.
        num_test: number of test images.

    Returns:
        Sentences with the row, its gain in percentage points, the 95 % interval and the p-value.
        They say "no significant difference" where p is 0.05 or more.
    """
    own = [row for row in rows if row.classifier == reference]
    sentences = [_against_single(best_on_calibration(own), num_test)]
    sentences += [_beyond(c) for c in comparisons if c.classifier == reference]
    return " ".join(sentences)


def _against_single(row: Row, num_test: int) -> str:
    if row.group == "image":
        return (
            "On the calibration images no ensemble did better than the single image, "
            f"which has a test accuracy of {_percent(row.accuracy)}."
        )
    weight = "" if row.alpha is None else f" (alpha {row.alpha:.2f})"
    facts = (
        f"'{row.name}'{weight}, chosen on calibration, has {_percent(row.accuracy)} against "
        f"{_percent(row.accuracy - row.gain)} with the single image on {num_test:,} test images: "
        f"{_points(row.gain, row.gain_interval, row.p_value)}"
    )
    return f"{_judged(row.gain, row.p_value)}: {facts}."


def _beyond(found: Comparison) -> str:
    facts = _points(found.gain, found.interval, found.p_value)
    return (
        f"Adding generated views to the pixel views ('{found.row}' against '{found.against}'): "
        f"{_judged(found.gain, found.p_value).lower()}, {facts}."
    )


def _judged(gain: float, p_value: float) -> str:
    if p_value >= SIGNIFICANCE:
        return "No significant difference"
    return "Significantly better" if gain > 0 else "Significantly worse"


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def _points(gain: float, interval: tuple[float, float], p_value: float) -> str:
    low, high = interval
    p = "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
    return (
        f"{100 * gain:+.2f} points (95 % interval {100 * low:+.2f} to {100 * high:+.2f}, "
        f"exact McNemar {p})"
    )
