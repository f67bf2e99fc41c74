from __future__ import annotations

import io
import logging

import pytest
from rich.console import Console

from genviews.cli.progress import Stages, duration


def stages(clock, *, terminal=False):
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100, color_system=None)
    return Stages(console, clock), file


def test_one_line_a_stage_when_not_a_terminal(clock):
    tell, file = stages(clock)
    with tell:
        tell("views of test", "images", 0, 200)
        clock.now = 3.0
        tell("views of test", "images", 120, 200)
        clock.now = 5.0
        tell("views of test", "images", 200, 200)
        tell("evaluate", "rows", 0, 3)
        clock.now = 7.0
        tell("evaluate", "rows", 1, 3)
    assert file.getvalue().splitlines() == [
        "views of test: 200 in 5.0 s, 40 images/s",
        "evaluate: 1 in 2.0 s",
    ]


def test_seconds_of_stages_add_up_to_the_run(clock):
    tell, _ = stages(clock)
    with tell:
        clock.now = 2.0
        tell.note("load")
        clock.now = 10.0
        tell("invert", "images", 4, 4)
        clock.now = 11.0
        tell("invert again", "images", 1, 4)
        clock.now = 15.0
    assert tell.seconds == {"load": 2.0, "invert": 8.0, "invert again": 5.0}


def test_a_stage_that_comes_back_goes_on(clock):
    tell, _ = stages(clock)
    with tell:
        for name in ("a", "b", "a"):
            clock.now += 1.0
            tell(name, "images", 2, 2)
    assert tell.seconds == {"a": 2.0, "b": 1.0}


def test_a_failure_is_said(clock):
    tell, file = stages(clock)

    def broken() -> None:
        with tell:
            tell("invert", "images", 0, 4)
            tell("invert", "images", 1, 4)
            clock.now = 2.0
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        broken()
    assert file.getvalue() == "invert: 1 in 2.0 s, 0.5 images/s, not finished\n"


def test_the_rate_is_of_the_unit_and_slow_items_have_none(clock):
    tell, file = stages(clock)
    with tell:
        for stage, unit in (("draw", "samples"), ("evaluate", "rows")):
            tell(stage, unit, 0, 30)
            clock.now += 2.0
            tell(stage, unit, 30, 30)
    assert file.getvalue().splitlines() == [
        "draw: 30 in 2.0 s, 15 samples/s",
        "evaluate: 30 in 2.0 s",
    ]


def test_terminal_shows_rate_and_time_left(clock):
    tell, file = stages(clock, terminal=True)
    with tell:
        tell("invert", "images", 0, 400)
        clock.now = 10.0
        tell("invert", "images", 100, 400)
        tell._bars.refresh()
    shown = file.getvalue()
    assert "invert" in shown
    assert "100 of 400" in shown
    assert "10 images/s, 30 s left" in shown


@pytest.fixture
def logged():
    """The lines of the package's log; pytest's own costs every test more than these two."""
    lines, log = [], logging.getLogger("genviews")
    keep = logging.Handler(logging.INFO)
    keep.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(keep)
    log.setLevel(logging.INFO)
    yield lines
    log.setLevel(logging.NOTSET)
    log.removeHandler(keep)


def test_a_long_stage_says_now_and_then_how_far_it_is(clock, logged):
    tell, file = stages(clock)
    with tell:
        for second in range(0, 90, 10):
            clock.now = float(second)
            tell("invert", "images", 10 * second, 1000, note="mean loss 0.02")
        clock.now = 100.0
        tell("invert", "images", 1000, 1000, note="mean loss 0.01")
    assert file.getvalue().splitlines() == [
        "invert: 300 of 1,000, 10 images/s, 1 min 10 s left, mean loss 0.02",
        "invert: 600 of 1,000, 10 images/s, 40 s left, mean loss 0.02",
        "invert: 1,000 in 1 min 40 s, 10 images/s, mean loss 0.01",
    ]
    assert logged == file.getvalue().splitlines()


def test_what_an_earlier_run_made_counts_for_no_rate(clock):
    tell, file = stages(clock)
    with tell:
        tell("invert", "images", 900, 1000)
        clock.now = 31.0
        tell("invert", "images", 962, 1000)
        clock.now = 50.0
        tell("invert", "images", 1000, 1000)
        tell("invert again", "images", 5, 5)
    assert file.getvalue().splitlines() == [
        "invert: 962 of 1,000, 2 images/s, 19 s left",
        "invert: 1,000 in 50 s, 900 of them done before, 2 images/s",
        "invert again: 5 in 0.0 s, 5 of them done before",
    ]


def test_terminal_shows_the_note(clock):
    tell, file = stages(clock, terminal=True)
    with tell:
        tell("invert", "images", 0, 400)
        clock.now = 10.0
        tell("invert", "images", 100, 400, note="mean loss 0.03")
        tell._bars.refresh()
    assert "10 images/s, 30 s left, mean loss 0.03" in file.getvalue()


def test_lines_go_to_the_log(clock, logged):
    tell, _ = stages(clock)
    with tell:
        tell("invert", "images", 0, 10)
        clock.now = 1.0
        tell("invert", "images", 10, 10)
    assert logged == ["invert: 10 in 1.0 s, 10 images/s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (4.25, "4.2 s"),
        (42.4, "42 s"),
        (60, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7509, "2 h 05 min"),
    ],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
