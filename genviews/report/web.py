"""One self-contained HTML page for any result: no script, and no request to anywhere."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from genviews.report.draw import bars_svg, chart_svg
from genviews.report.pictures import PICTURES, Sheet, make_sheet
from genviews.report.text import claims_table
from genviews.report.words import (
    DASH,
    Shown,
    cell_words,
    duration,
    header,
    table_words,
    unbroken,
)
from genviews.studies.blocks import Bars, Block, Curves, Images, Picture, Table, Tone
from genviews.studies.result import Result
from genviews.text import printable

__all__ = ["render_page"]

_BADGES: dict[Tone, str] = {
    "better": "Significantly better",
    "worse": "Significantly worse",
    "level": "No difference that matters",
    "": "No difference seen",
}
_WEIGHTY = 2  # least weight (highest priority) of a number in large type
_FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]*")
_GRIDS = 6  # of a block that are shown at once; the rest on demand


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A block with what the template cannot make of it.

    Args:
        kind: of the block, in lower case.
        anchor: id of the section.
        block: what is shown.
        rows: of a table, its cells as text.
        figures: of bars and curves, (title, figure).
        sheet: of images, the file that holds them all.
    """

    kind: str
    anchor: str
    block: Block
    rows: list[list[Shown]]
    figures: tuple[tuple[str, Markup], ...]
    sheet: Sheet | None


def render_page(result: Result) -> str:
    """The page of a result as text: the answer first, then the evidence, then how it was made."""
    answer, record, blocks = result.answer, result.record, list(result.blocks)
    if result.claims:
        first = next((i for i, block in enumerate(blocks) if block is answer), -1)
        blocks.insert(first + 1, claims_table(result.claims))
    share = PICTURES / max(1, sum(len(_pictures(block)) for block in blocks))
    return _template().render(
        style=Markup(_read("style.css")),
        result=result,
        record=record,
        tone="worse" if result.is_withheld else result.tone or "",
        badge="" if result.tone is None else _BADGES.get(result.tone, ""),
        facts=_facts(answer),
        sections=[_section(block, place, share) for place, block in enumerate(blocks)],
        first_grids=_GRIDS,
        dash=DASH,
        header=header,
        flags=_flags,
        spans=_spans,
        marks={"right": "\N{CHECK MARK}", "wrong": "\N{MULTIPLICATION X}"},
        total=duration(sum(record.seconds.values())) if record.seconds else "",
        # They may be copied: their spaces stay.
        command=_flags(Markup(escape(printable(record.command)))),
        config=escape(json.dumps(dict(record.config), indent=2, default=str))
        if record.config
        else "",
    )


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        loader=FunctionLoader(_read),
        finalize=_clean,
    )
    return environment.get_template("result.html")


def _clean(value: object) -> object:
    """What the template prints: text of strangers without what draws nothing, units held."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(unbroken(printable(line)) for line in value.split("\n"))
    return value


def _flags(text: str) -> Markup:
    """A sentence, or a command, whose flags no line parts behind their hyphens."""
    return Markup(_FLAG.sub(r'<span class="flag">\g<0></span>', str(escape(_clean(text)))))


def _facts(answer: Table | None) -> list[tuple[str, Shown]]:
    """The highlighted row in large type: its name and its weightier numbers, by column."""
    if answer is None or answer.highlight is None:
        return []
    row = zip(answer.columns, answer.rows[answer.highlight], strict=True)
    shown = [
        (header(column), cell_words(cell, column))
        for place, (column, cell) in enumerate(row)
        if place == 0 or (column.kind != "text" and column.priority <= _WEIGHTY)
    ]
    return [(name, cell) for name, cell in shown if cell.text]


def _section(block: Block, place: int, share: float) -> _Section:
    """A section; each of its pictures may take `share` bytes."""
    rows: list[list[Shown]] = []
    figures: tuple[tuple[str, str], ...] = ()
    sheet = None
    if isinstance(block, Table):
        rows = table_words(block)
    elif isinstance(block, Bars):
        figures = tuple(("", bars_svg(block, column)) for column in block.columns)
    elif isinstance(block, Curves):
        figures = tuple((chart.title, chart_svg(chart)) for chart in block.charts)
    elif isinstance(block, Images):
        pictures = _pictures(block)
        sheet = make_sheet(pictures, budget=round(share * len(pictures)))
    return _Section(
        kind=type(block).__name__.lower(),
        anchor=f"part-{place}",
        block=block,
        rows=rows,
        figures=tuple((title, Markup(svg)) for title, svg in figures),
        sheet=sheet,
    )


def _pictures(block: Block) -> list[Picture]:
    """The pictures of a block, in the order of their places on its sheet."""
    grids = block.grids if isinstance(block, Images) else ()
    return [one for grid in grids for row in grid.pictures for one in row]


def _spans(names: Sequence[str]) -> list[tuple[str, int]]:
    """Equal neighbours once, with their number."""
    return [(name, len(list(same))) for name, same in itertools.groupby(names)]


def _read(name: str) -> str:
    return files("genviews.report").joinpath(name).read_text(encoding="utf-8")
