"""One self-contained HTML page for any result: no script, and no request to anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template
from markupsafe import Markup

from genviews.report.draw import bars_svg, chart_svg
from genviews.report.pictures import Sheet, make_sheet
from genviews.report.text import claims_table
from genviews.report.words import (
    DASH,
    Shown,
    cell_words,
    duration,
    header,
    printable,
)
from genviews.studies.blocks import Bars, Block, Column, Curves, Images, Note, Picture, Table, Tone
from genviews.studies.result import Result

__all__ = ["render_page"]

_BADGES: dict[Tone, str] = {
    "better": "Significantly better",
    "worse": "Significantly worse",
    "": "No significant difference",
}
_MARKS = {"right": "\N{CHECK MARK}", "wrong": "\N{MULTIPLICATION X}"}
_KINDS = {Table: "table", Bars: "figures", Curves: "figures", Images: "images", Note: "note"}
_WEIGHTY = 2  # least weight (highest priority) of a number in large type
_GRIDS = 6  # of a block that are shown at once; the rest on demand


@dataclass(frozen=True, kw_only=True)
class _Row:
    cells: tuple[Shown, ...]
    tone: Tone
    highlight: bool
    breaks: bool


@dataclass(frozen=True, kw_only=True)
class _Tile:
    style: str
    alt: str
    caption: str
    tone: Tone
    mark: str


@dataclass(frozen=True, kw_only=True)
class _GridView:
    title: str
    text: str
    heads: tuple[tuple[str, int], ...]  # (words, columns that they span)
    rows: tuple[tuple[str, tuple[_Tile, ...]], ...]  # (name, tiles)
    width: int


@dataclass(frozen=True, kw_only=True)
class _Section:
    """A block, ready for the template; which fields are filled depends on its kind."""

    kind: str
    anchor: str
    title: str
    caption: str = ""
    folded: bool = False
    columns: tuple[Column, ...] = ()
    rows: tuple[_Row, ...] = ()
    starred: bool = False
    figures: tuple[tuple[str, Markup, Markup], ...] = ()  # (title, for a wide, a narrow screen)
    sheet: Sheet | None = None
    grids: tuple[_GridView, ...] = ()
    paragraphs: tuple[str, ...] = ()


def render_page(result: Result) -> str:
    """The page of a result as text: the answer first, then the evidence, then how it was made."""
    answer, record = result.answer, result.record
    sections = [_section(block, place) for place, block in enumerate(result.blocks)]
    if result.claims:
        first = next((i for i, block in enumerate(result.blocks) if block is answer), -1)
        sections.insert(first + 1, _section(claims_table(result.claims), len(sections)))
    chosen = None if answer is None else answer.highlight
    tone: Tone = ""
    if answer is not None and chosen is not None and answer.tones:
        tone = answer.tones[chosen]
    return _template().render(
        style=Markup(_read("style.css")),
        title=result.title,
        verdict=result.verdict,
        tone=tone,
        badge=_BADGES.get(tone, "") if answer and answer.tones and chosen is not None else "",
        gates=result.gates,
        facts=_facts(answer),
        sections=sections,
        first_grids=_GRIDS,
        dash=DASH,
        header=header,
        skipped=record.skipped,
        seed=record.seed,
        command=record.command,
        seconds=[(name, f"{value:,.1f}") for name, value in record.seconds.items()],
        total=duration(sum(record.seconds.values())) if record.seconds else "",
        versions=sorted(record.versions.items()),
        config=json.dumps(dict(record.config), indent=2, default=str) if record.config else "",
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
    """What the template prints: text of strangers without what draws nothing."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(printable(line) for line in value.split("\n"))
    return value


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


def _section(block: Block, place: int) -> _Section:
    own = _Section(
        kind=_KINDS[type(block)],
        anchor=f"part-{place}",
        title=block.title,
        caption="" if isinstance(block, Note) else block.caption,
        folded=block.folded,
    )
    if isinstance(block, Note):
        return replace(own, paragraphs=tuple(block.text.splitlines()))
    if isinstance(block, Table):
        rows = _rows(block)
        starred = any(cell.star for row in rows for cell in row.cells)
        return replace(own, columns=block.columns, rows=rows, starred=starred)
    if isinstance(block, Images):
        sheet = make_sheet([one for grid in block.grids for row in grid.pictures for one in row])
        return replace(own, sheet=sheet, grids=_grids(block, sheet))
    return replace(own, figures=_figures(block))


def _figures(block: Bars | Curves) -> tuple[tuple[str, Markup, Markup], ...]:
    if isinstance(block, Bars):
        narrow = bars_svg(block, narrow=True)
        return (("", Markup(bars_svg(block)), Markup(narrow)),)
    large = len(block.charts) == 1
    return tuple(
        (chart.title, Markup(chart_svg(chart, large=large)), Markup("")) for chart in block.charts
    )


def _rows(table: Table) -> tuple[_Row, ...]:
    return tuple(
        _Row(
            cells=tuple(
                cell_words(c, column) for c, column in zip(row, table.columns, strict=True)
            ),
            tone=table.tones[place] if table.tones else "",
            highlight=place == table.highlight,
            breaks=place in table.breaks,
        )
        for place, row in enumerate(table.rows)
    )


def _grids(block: Images, sheet: Sheet | None) -> tuple[_GridView, ...]:
    found, place = [], 0
    for grid in block.grids:
        rows = []
        for name, pictures in zip(
            grid.rows or ("",) * len(grid.pictures), grid.pictures, strict=True
        ):
            tiles = []
            for at, picture in enumerate(pictures):
                head = grid.columns[at] if at < len(grid.columns) else "picture"
                alt = ", ".join(filter(None, (grid.title, name, head, picture.caption)))
                tiles.append(_tile(picture, alt, "" if sheet is None else sheet.style(place)))
                place += 1
            rows.append((name, tuple(tiles)))
        found.append(
            _GridView(
                title=grid.title,
                text=grid.text,
                heads=_spans(grid.columns),
                rows=tuple(rows),
                width=max((len(tiles) for _, tiles in rows), default=1),
            )
        )
    return tuple(found)


def _tile(picture: Picture, alt: str, style: str) -> _Tile:
    tone = picture.tone
    mark = _MARKS.get(tone, "")
    return _Tile(style=style, alt=alt, caption=picture.caption, tone=tone, mark=mark)


def _spans(names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Equal neighbours once, with their number."""
    found: list[tuple[str, int]] = []
    for name in names:
        if found and found[-1][0] == name:
            found[-1] = (name, found[-1][1] + 1)
        else:
            found.append((name, 1))
    return tuple(found)


def _read(name: str) -> str:
    return files("genviews.report").joinpath(name).read_text(encoding="utf-8")
