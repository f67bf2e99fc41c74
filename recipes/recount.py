"""Intervals and tests of published gains, made again from their counts by the rules of today.

Nothing is measured: how many images a method put right and put wrong stands in the results, and
every interval, test, star and verdict of a gain follows from that. For when a rule has changed and
the measurement need not be repeated.
Command: python -m recipes.recount
Time: seconds.
Writes: results/fashion32/ensemble.json and inversion.json, and the verdict on the card of
fashion32. Then `python -m recipes.write_docs`.
What it leaves: gains over a reference task in ensemble.json, whose counts are not there; their
intervals are those of the run (a bootstrap, of a hundred changed images and more).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.ensemble.combine import Comparison, Row, adjust
from genviews.ensemble.significance import GainReport, counted_report
from genviews.files import write_json
from genviews.studies.blocks import Bars, Block, Cell, Table
from genviews.studies.ensembling.evidence import (
    HOW_TO_READ,
    answer,
    gain_bars,
    gain_table,
    row_table,
)
from genviews.studies.result import Result
from genviews.studies.statistics import Gap, weigh
from genviews.zoo.card import ENTRIES, update_card
from recipes.recipe import run

FOLDER = Path("results/fashion32")
COMMAND = "python -m recipes.recount"
ADDED = "Do generated views add to pixel views?"
Json = Mapping[str, Any]


def again(kept: Json, total: int) -> GainReport:
    """The report of stored counts.

    Raises:
        ValueError: counts of another number of images.
    """
    hits = round(kept["accuracy"] * total)
    found = counted_report(hits, kept["fixed"], kept["broke"], total)
    if abs(found.accuracy - kept["accuracy"]) + abs(found.gain - kept["gain"]) > 1e-9:
        fail("counts", expected=f"those of {total} images", got=kept["gain"], remedy="look there")
    return found


def ensemble(result: Result) -> Result:
    """The main result: rows, figures, the comparisons at the end, and the verdict."""
    data = result.record.data
    total = data["num_test"]
    stored = [
        {name: tuple(part) if isinstance(part, list) else part for name, part in kept.items()}
        for kept in data["rows"]
    ]
    rows = adjust([Row(**{**kept, **vars(again(kept, total))}) for kept in stored])
    right = {(row.task, row.name): row.accuracy for row in rows}
    compared = [
        Comparison(**{**kept, **vars(again({**kept, "accuracy": right[at]}, total))})
        for kept in data["comparisons"]
        for at in [(kept["task"], kept["row"])]
    ]
    first = rows[0].task
    said, chosen, tone = answer(
        [row for row in rows if row.task == first],
        [one for one in compared if one.task == first],
        num_test=total,
    )
    both, pixels = (
        next(row for row in rows if row.name == name)
        for name in (compared[0].row, compared[0].against)
    )
    unequal = (
        f"Not at equal budgets: {both.name} has {both.num_views} predictions beside that of the "
        f"image, {pixels.name} {pixels.num_views}."
    )
    named = {f"{c.row} against {c.against} ({c.task})": c for c in compared}
    shown: list[Block] = []
    tasks = iter(dict.fromkeys(row.task for row in rows))
    for block in result.blocks:
        if isinstance(block, Table) and block.title == ADDED:
            said_of_it = unequal if both.num_views > pixels.num_views else block.caption
            shown.append(gain_table(ADDED, named, caption=said_of_it))
        elif isinstance(block, Table) and block.tones:
            task = next(tasks)
            own = [row for row in rows if row.task == task]
            table = row_table(own, title=block.title, chosen=chosen, caption=block.caption)
            shown.append(table)
        elif isinstance(block, Bars):
            shown.append(gain_bars(own, title=block.title))
        else:
            shown.append(HOW_TO_READ if block.title == HOW_TO_READ.title else block)
    kept = {
        "rows": [asdict(row) for row in rows],
        "comparisons": [asdict(one) for one in compared],
        "recounted": COMMAND,
    }
    record = replace(result.record, data={**data, **kept})
    return replace(result, verdict=said, tone=tone, blocks=tuple(shown), record=record)


def with_gains(
    table: Table, gains: Mapping[str, Sequence[GainReport]], tests: Mapping[str, str]
) -> Table:
    """A table with columns of gains made again, each corrected for its rows.

    Args:
        table: as it was.
        gains: column -> its gains.
        tests: column of p-values -> that of their gains.
    """
    weighed = {name: weigh([Gap.of(one) for one in own]) for name, own in gains.items()}
    made: list[list[Cell]] = []
    for place, column in enumerate(table.columns):
        name = column.name.replace("Holm p", "p")
        if name in weighed:
            made.append([gap.estimate for gap in weighed[name]])
        elif name in tests:
            made.append([gap.p_value for gap in weighed[tests[name]]])
        else:
            made.append([row[place] for row in table.rows])
    columns = tuple(
        replace(column, name=column.name.replace(", p", ", Holm p")) for column in table.columns
    )
    return replace(table, columns=columns, rows=tuple(zip(*made, strict=True)))


def inversion(result: Result) -> Result:
    """The comparison of inversions: the tables that hold gains, and all that the record has."""
    data = result.record.data
    rows = data["inversions"]
    total, few = (pairs_of(part) for part in (rows[0]["reconstructions"], data["table_2"]))
    gains = {
        "Reconstructions": {
            "against images": [again(row["reconstructions"], total) for row in rows],
            "judge against images": [again(row["judge"], total) for row in rows],
        },
        "Ensembles with views": {
            f"{name}, gain": [again(row["ensembles"][name], total) for row in rows]
            for name in rows[0]["ensembles"]
        },
        "Steps (Table 2 of the paper)": {
            "against images": [again(row["accuracy"], few) for row in data["table_2"]["rows"]]
        },
    }
    tests = {f"{name}, p": f"{name}, gain" for name in rows[0]["ensembles"]}
    blocks = tuple(
        with_gains(block, gains[block.title], tests)
        if isinstance(block, Table) and block.title in gains
        else block
        for block in result.blocks
    )
    kept = {name: _again(part, few if name == "table_2" else total) for name, part in data.items()}
    record = replace(result.record, data={**kept, "recounted": COMMAND})
    return replace(result, blocks=blocks, record=record)


def pairs_of(part: Any) -> int:  # noqa: ANN401 (JSON)
    """The number of images that counts below are of: of the first that changed unequally."""
    if isinstance(part, Mapping) and "fixed" in part:
        return round((part["fixed"] - part["broke"]) / part["gain"]) if part["gain"] else 0
    inside = part.values() if isinstance(part, Mapping) else part if isinstance(part, list) else ()
    return next((found for one in inside if (found := pairs_of(one))), 0)


def _again(part: Any, total: int) -> Any:  # noqa: ANN401 (JSON)
    """The same JSON values, with every report of a gain made again."""
    if isinstance(part, Mapping):
        own = {name: _again(value, total) for name, value in part.items()}
        return {**own, **asdict(again(part, total))} if "gain_interval" in part else own
    return [_again(one, total) for one in part] if isinstance(part, list | tuple) else part


def main(*, folder: Path = FOLDER) -> str:
    """Make the gains of both results again; returns the verdict of the main one."""
    found = ensemble(Result.load(folder / "ensemble.json"))
    write_json(folder / "ensemble.json", found.to_json())
    path = folder / "inversion.json"
    write_json(path, inversion(Result.load(path)).to_json())
    if folder == FOLDER:
        measured = found.record.data["reconstruction"]
        told = {"ensemble": {"verdict": found.verdict, **measured}}
        update_card("measured", told, ENTRIES / "fashion32")
    return found.verdict


if __name__ == "__main__":
    run(main)
