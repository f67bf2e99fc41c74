from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from genviews.report.terminal import show, terminal_table
from genviews.studies.blocks import Column, Table
from genviews.studies.result import Record
from tests.studies.results import TABLE, result

WORDS = re.compile(r"\w+")


def printed(what, width=80, **options):
    console = Console(file=io.StringIO(), width=width, **options)
    what(console)
    return console.file.getvalue()


def table_text(width, table=TABLE):
    return printed(lambda console: console.print(terminal_table(table, width)), width)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_word_is_broken_and_no_line_is_too_long(width):
    text = table_text(width)
    assert max(map(len, text.splitlines())) <= width
    assert {"generated", "combined", "single", "image"} <= set(WORDS.findall(text))
    assert "+1.9" in text  # the gain is always there


def test_the_least_important_goes_first():
    assert "time" not in table_text(80)
    wide = table_text(160)
    for word in ("88.00 to 90.12", "+0.9 to +2.9", "<0.001", "1,234", "0.35", "3 min", "alpha"):
        assert word in wide
    assert "Holm p" in table_text(80)
    assert "Holm p" not in table_text(40)


def test_a_star_marks_what_chance_does_not_explain():
    text = table_text(80)
    assert text.count(" *") == 2  # the row, and what the star means
    assert "* significant." in text


def test_a_name_that_fits_nowhere_is_folded():
    table = Table(
        title="t",
        columns=(Column(name="a"), Column(name="b", kind="count")),
        rows=(("x" * 100, 3),),
    )
    assert max(map(len, table_text(30, table).splitlines())) <= 30


def test_long_heads_wrap_before_a_column_goes():
    names = ("accuracy on reconstructions", "accuracy of the ensemble")
    numbers = (Column(name=name, kind="percent", priority=0) for name in names)
    table = Table(
        title="t", columns=(Column(name="steps", kind="count"), *numbers), rows=((25, 0.5, 0.6),)
    )
    whole, narrow = (table_text(width, table) for width in (80, 50))
    assert "accuracy on reconstructions, %" in whole
    assert re.search(r"steps +reconstructions, % +ensemble, %\n25 +50.0 +60.0\n", narrow)
    assert "\N{HORIZONTAL ELLIPSIS}" not in narrow


class TestShow:
    def text(self, found, width=80):
        return printed(lambda console: show(found, console), width)

    def test_gates_then_the_answer(self):
        lines = self.text(result()).splitlines()
        assert lines[:4] == [
            "Beware: 1 of 2 checks failed",
            "1. Most reconstructions are one picture.",
            "   To do: Start elsewhere.",
            "",
        ]
        assert lines[4].startswith("Significantly better: 'combined' gains")
        assert "chance" not in "\n".join(lines)  # a gate that holds is on the page alone

    def test_what_to_do_is_indented_where_it_wraps(self):
        long = replace(result().gates[1], remedy="word " * 30)
        lines = self.text(result(gates=(long,)), width=40).splitlines()
        assert [line.startswith("   ") for line in lines[1:7]] == [
            False,
            True,
            True,
            True,
            True,
            True,
        ]
        assert max(map(len, lines[:6])) <= 40

    @pytest.mark.parametrize("width", range(30, 90, 7))
    def test_no_number_is_parted_from_its_unit(self, width):
        said = "It has 90.8 % against 89.1 %, +1.7 points [+0.9, +2.5], p < 0.001, in 12 min."
        text = printed(lambda console: show(result(verdict=said), console), width)
        lines = text.split("\n\n")[1].splitlines()  # behind the gates, before the table
        assert " ".join(lines).startswith("It has")
        assert not [line for line in lines if re.match(r"%|points|\+2.5\]|<|0.001|min", line)]
        assert {"\N{NO-BREAK SPACE}", "\ue000"}.isdisjoint(text)

    def test_one_table_and_the_claims(self):
        text = self.text(result())
        assert "What each kind of view gains" in text
        assert "holds" in text
        assert "neighbours" not in text

    def test_what_was_left_out(self):
        assert "1 file (bad.png)" in self.text(result())
        many = tuple((f"{i}.png", "x") for i in range(5))
        text = self.text(result(record=Record(skipped=many)))
        assert "5 files (0.png, 1.png, 2.png and 2 more)" in text

    def test_nothing_of_a_name_reaches_the_terminal_raw(self):
        evil = "a\x1b]0;owned\x07\x1b[2J[red]b"
        found = result(
            title=evil,
            verdict=evil,
            blocks=(
                Table(title=evil, columns=(Column(name=evil),), rows=((evil,),), caption=evil),
            ),
            record=Record(skipped=((evil, evil),)),
        )
        text = self.text(found)
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[red]" in text  # no markup either
