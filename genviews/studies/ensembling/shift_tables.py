"""The answer to where generated views pay: tables and one figure of what was measured.

Stars, dots and words about the single image follow one family, all that the first table compares
with it; those about rivals another, all that generated views are compared with (Holm).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Cell,
    Column,
    Estimate,
    Table,
)
from genviews.studies.ensembling.under_shift import (
    AT_ONCE,
    BEST,
    TOGETHER,
    Measured,
    Protocol,
    with_views,
)
from genviews.studies.statistics import Gap, accuracy_of, tone_of, weigh

__all__ = [
    "SHOWN",
    "VIEWS",
    "Shown",
    "accuracy_column",
    "found_at",
    "gain_bars",
    "over_rivals",
    "over_single",
    "other_classifiers",
    "pay_table",
    "rival_table",
    "shifts_of",
    "together_table",
    "weight_table",
]

VIEWS = "generated views"


class Shown(NamedTuple):
    """A column of the table of shifts.

    Args:
        row: see `Measured`.
        protocol: see `Measured`.
        name: of the column.
        told: what it is.
        priority: the column with the highest is the first to go where there is no room.
    """

    row: str
    protocol: str
    name: str
    told: str
    priority: int


SHOWN = (
    Shown("single image", "", "single image", "the classifier alone", 0),
    Shown(BEST, "", BEST, "pixel views, a filter or another network, chosen under the shift", 1),
    Shown(TOGETHER, "", TOGETHER, "of many test images at once, which nothing else looks at", 4),
    Shown("restoration", "", "best restoration", "the restored image, chosen under the shift", 4),
    Shown("pixel views", "", "pixel views", "as many as generated ones, chosen under the shift", 3),
    Shown("reconstruction", "", "reconstruction", "alone", 4),
    Shown(VIEWS, "known shift", VIEWS, "weighed against the image, fitted under the shift", 0),
    Shown("both", "known shift", "both", "half pixel views, half generated ones", 5),
    Shown(
        with_views("restoration"),
        "known shift",
        with_views("restoration"),
        "the restored image inverted",
        6,
    ),
    Shown(
        VIEWS,
        "one weight",
        "not knowing the shift",
        "one weight, from clean and mildly shifted images",
        2,
    ),
    Shown(VIEWS, "noticing", "noticing it", "a weight for each image, from more mild shifts", 7),
)
_PROTOCOLS: tuple[tuple[Protocol, str], ...] = (
    ("known shift", "under the shift"),
    ("unlabelled", "under the shift, without labels"),
    ("clean", "clean images alone"),
    ("one weight", "clean and a mild other shift"),
    ("noticing", "clean and all mild other shifts, a weight for each image"),
)


def found_at(found: Sequence[Measured], shift: str, row: str, protocol: str) -> Measured | None:
    """The first that was measured under a shift, of a row and a protocol."""
    same = (one for one in found if (one.shift, one.row, one.protocol) == (shift, row, protocol))
    return next(same, None)


def shifts_of(found: Sequence[Measured]) -> list[str]:
    """Names of the shifts, in order."""
    return list(dict.fromkeys(one.shift for one in found))


def pay_table(found: Sequence[Measured]) -> Table:
    """Accuracy under each shift; a star is a difference from the single image."""
    gaps = over_single(found)
    shown = [  # a column without a number says nothing
        column
        for column in SHOWN
        if any(found_at(found, shift, column.row, column.protocol) for shift in shifts_of(found))
    ]
    rows = []
    for shift in shifts_of(found):
        cells: list[Cell] = [shift]
        for column in shown:
            one = found_at(found, shift, column.row, column.protocol)
            star = (gap := gaps.get((shift, column.row, column.protocol))) and gap.differs
            cells.append(None if one is None else Estimate(one.accuracy, one.interval, bool(star)))
        rows.append(tuple(cells))
    return Table(
        title="Where do generated views pay?",
        columns=(
            Column(name="images", priority=0),
            *map(accuracy_column, shown),
        ),
        rows=tuple(rows),
        breaks=tuple(
            place
            for place in range(1, len(rows))
            if str(rows[place][0]).partition(":")[0] != str(rows[place - 1][0]).partition(":")[0]
        ),
        caption="Accuracy on test images under each shift, with its Wilson interval. A star: other "
        "than that of the single image, all that is in the table corrected together (Holm). Batch "
        f"statistics look at up to {AT_ONCE} test images at once, which nothing else may.",
    )


def over_single(found: Sequence[Measured]) -> dict[tuple[str, str, str], Gap]:
    """(shift, row, protocol) -> gain over the single image, corrected for the first table."""
    names = {(one.row, one.protocol) for one in SHOWN[1:]}
    own = [one for one in found if (one.row, one.protocol) in names]
    gaps = weigh([Gap.of(one) for one in own])
    return {(o.shift, o.row, o.protocol): gap for o, gap in zip(own, gaps, strict=True)}


def over_rivals(found: Sequence[Measured]) -> dict[tuple[str, str], Gap]:
    """(shift, rival) -> gain of generated views over it, corrected for all of these."""
    pairs = {
        (one.shift, rival): Gap.of(gain)
        for one in found
        if (one.row, one.protocol) == (VIEWS, "known shift")
        for rival, gain in one.against.items()
    }
    return dict(zip(pairs, weigh(list(pairs.values())), strict=True))


def accuracy_column(shown: Shown) -> Column:
    """A column of accuracies."""
    return Column(
        name=shown.name, kind="percent", digits=1, help=shown.told, priority=shown.priority
    )


def gain_bars(found: Sequence[Measured]) -> Bars:
    """What generated views and the best rival gain over the single image."""
    shifts, columns, gaps = shifts_of(found), [], over_single(found)
    for row, protocol, label in (
        (VIEWS, "known shift", "generated views"),
        (VIEWS, "one weight", "not knowing the shift"),
        (BEST, "", BEST),
    ):
        each = [gaps.get((shift, row, protocol)) for shift in shifts]
        if not any(each):
            continue
        columns.append(
            BarColumn(
                label=label,
                values=tuple(
                    None if gap is None else Estimate(gap.value, gap.interval) for gap in each
                ),
                kind="points",
                level=0.0,
                tones=tuple("" if gap is None else tone_of(gap) for gap in each),
            )
        )
    return Bars(
        title="Gain over the single image",
        names=tuple(shifts),
        columns=tuple(columns),
        caption="In percentage points of accuracy. A filled dot is significant, a hollow one not, "
        "as in the first table.",
    )


def weight_table(found: Sequence[Measured]) -> Table:
    """What it costs not to know the shift: generated views by what their weight was fitted on."""
    rows = []
    for shift in shifts_of(found):
        cells: list[Cell] = [shift]
        for protocol, _ in _PROTOCOLS:
            one = found_at(found, shift, VIEWS, protocol)
            cells += [None, None] if one is None else [accuracy_of(one), one.alpha]
        rows.append(tuple(cells))
    columns = [Column(name="images", priority=0)]
    for place, (protocol, told) in enumerate(_PROTOCOLS):
        columns += [
            Column(
                name=protocol, kind="percent", digits=1, help=f"fitted on: {told}", priority=place
            ),
            Column(name=f"weight, {protocol}", kind="number", digits=2, priority=5 + place),
        ]
    return Table(
        title="How the weight of generated views was found",
        columns=tuple(columns),
        rows=tuple(rows),
        caption="The mild shift is never of the kind that is measured.",
    )


def rival_table(found: Sequence[Measured]) -> Table:
    """Generated views against each rival on the same test images."""
    by_place = over_rivals(found)
    names = list(dict.fromkeys(name for _, name in by_place))
    chosen = {
        (one.shift, one.row): one.chosen
        for one in found
        if one.row in ("restoration", "pixel views")
    }
    return Table(
        title="Generated views against each rival",
        columns=(
            Column(name="images", priority=0),
            *(Column(name=f"over {name}", kind="points", digits=1) for name in names),
            Column(name="restoration chosen", priority=2),
            Column(name="pixel views chosen", priority=3),
        ),
        rows=tuple(
            (
                shift,
                *(
                    by_place[shift, name].estimate if (shift, name) in by_place else None
                    for name in names
                ),
                chosen.get((shift, "restoration"), ""),
                chosen.get((shift, "pixel views"), ""),
            )
            for shift in shifts_of(found)
        ),
        caption="Paired differences in points of accuracy; a star: significant, all of this table "
        "corrected together (Holm). Rivals were chosen on calibration images under the shift. "
        f"Batch statistics look at up to {AT_ONCE} test images at once, which nothing else may.",
    )


def together_table(found: Sequence[Measured]) -> list[Table]:
    """Each rival, and what generated views add to it; none where no rival has them."""
    pairs = {
        (one.shift, rival): gain
        for one in found
        for rival, gain in one.against.items()
        if one.row == with_views(rival)
    }
    if not pairs:
        return []
    gaps = dict(zip(pairs, weigh([Gap.of(gain) for gain in pairs.values()]), strict=True))
    rivals = list(dict.fromkeys(rival for _, rival in pairs))
    rows = []
    for shift in shifts_of(found):
        cells: list[Cell] = [shift]
        for rival in rivals:
            alone, gap = found_at(found, shift, rival, ""), gaps.get((shift, rival))
            cells.append(None if alone is None else accuracy_of(alone))
            cells.append(None if gap is None else gap.estimate)
        rows.append(tuple(cells))
    columns = [Column(name="images", priority=0)]
    for place, rival in enumerate(rivals):
        columns += [
            Column(name=rival, kind="percent", digits=1, priority=1 + place),
            Column(name=f"views add to {rival}", kind="points", digits=1, priority=place),
        ]
    return [
        Table(
            title="Each rival together with generated views",
            columns=tuple(columns),
            rows=tuple(rows),
            caption="Restored images are inverted, and weighed against their views; pixel views "
            "give half of their number to generated ones; batch statistics answer for the image, "
            "and the classifier as it is for the views. Weights are fitted under the shift. A "
            "star: significant, all of this table corrected together (Holm).",
        )
    ]


_ATTACKED = "Attacked images were made for {}."


def other_classifiers(
    found: Sequence[Measured],
    tasks: Mapping[str, str],
    *,
    attacked_each: bool = False,
) -> list[Table]:
    """Classifiers that were trained otherwise: alone, and with views; none where there is one.

    Args:
        found: of all tasks.
        tasks: name -> what its classifier is.
        attacked_each: whether each was attacked for itself, and not the first for all.
    """
    if len(tasks) < 2:
        return []
    pairs = [
        one for one in found if one.row == VIEWS and one.protocol in ("known shift", "one weight")
    ]
    gaps = {id(o): g for o, g in zip(pairs, weigh([Gap.of(o) for o in pairs]), strict=True)}
    rows = []
    for shift in shifts_of(found):
        cells: list[Cell] = [shift]
        for task in tasks:
            own = [one for one in found if one.task == task]
            alone = found_at(own, shift, "single image", "")
            cells.append(None if alone is None else accuracy_of(alone))
            for protocol in ("known shift", "one weight"):
                one = found_at(own, shift, VIEWS, protocol)
                star = one is not None and gaps[id(one)].differs
                cells.append(None if one is None else Estimate(one.accuracy, one.interval, star))
        rows.append(tuple(cells))
    columns = [Column(name="images", priority=0)]
    for task, about in tasks.items():
        columns += [
            Column(name=task, kind="percent", digits=1, help=about, priority=0),
            Column(name=f"{task}, with views", kind="percent", digits=1),
            Column(name=f"{task}, not knowing the shift", kind="percent", digits=1, priority=2),
        ]
    return [
        Table(
            title="Classifiers that were trained otherwise, alone and with generated views",
            columns=tuple(columns),
            rows=tuple(rows),
            caption="A star: other than the same classifier alone, corrected together (Holm). "
            + (
                "Each was attacked for itself."
                if attacked_each
                else _ATTACKED.format(next(iter(tasks)))
            ),
        )
    ]
