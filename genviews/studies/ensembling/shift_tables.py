"""The answer to where generated views pay: a sentence, tables and one figure of what was measured.

Stars and words follow one family: of each table all that is compared in it, corrected together.
"""

from __future__ import annotations

from collections.abc import Sequence

from genviews.ensemble.significance import GainReport
from genviews.studies.blocks import (
    BarColumn,
    Bars,
    Cell,
    Column,
    Estimate,
    Table,
    Tone,
)
from genviews.studies.ensembling.under_shift import (
    BEST,
    CLEAN,
    TOGETHER,
    Measured,
    Protocol,
    with_views,
)
from genviews.studies.statistics import Gap, Standing, accuracy_of, standing, tone_of, weigh

__all__ = [
    "answer",
    "gain_bars",
    "other_classifiers",
    "pay_table",
    "rival_table",
    "together_table",
    "weight_table",
]

VIEWS = "generated views"
FEW = 5  # names that a sentence holds
_SHOWN: tuple[tuple[str, str, str, str], ...] = (
    ("single image", "", "single image", "the classifier alone"),
    (BEST, "", BEST, "pixel views, a filter or another network, chosen under the shift"),
    ("restoration", "", "best restoration", "the restored image, chosen under the shift"),
    ("pixel views", "", "pixel views", "as many as generated ones, chosen under the shift"),
    ("reconstruction", "", "reconstruction", "alone"),
    (VIEWS, "known shift", VIEWS, "weighed against the image; weight fitted under the shift"),
    ("both", "known shift", "both", "half pixel views, half generated ones"),
    ("restored, then views", "known shift", "restored, then views", "the restored image inverted"),
    (
        VIEWS,
        "one weight",
        "not knowing the shift",
        "one weight, from clean and mildly shifted images",
    ),
    (VIEWS, "noticing", "noticing it", "a weight for each image, from more mild shifts"),
)
_PROTOCOLS: tuple[tuple[Protocol, str], ...] = (
    ("known shift", "under the shift"),
    ("unlabelled", "under the shift, without labels"),
    ("clean", "clean images alone"),
    ("one weight", "clean and a mild other shift"),
    ("noticing", "clean and all mild other shifts, a weight for each image"),
)


def _at(found: Sequence[Measured], shift: str, row: str, protocol: str) -> Measured | None:
    same = (one for one in found if (one.shift, one.row, one.protocol) == (shift, row, protocol))
    return next(same, None)


def _shifts(found: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(one.shift for one in found))


def pay_table(found: Sequence[Measured]) -> Table:
    """Accuracy under each shift; a star is a difference from the single image."""
    names = {(row, protocol) for row, protocol, *_ in _SHOWN[1:]}
    compared = [one for one in found if (one.row, one.protocol) in names]
    gaps = {id(o): g for o, g in zip(compared, weigh([Gap.of(o) for o in compared]), strict=True)}
    order = zip((0, 1, 4, 3, 4, 0, 5, 6, 2, 7), _SHOWN, strict=True)
    shown = [  # a column without a number says nothing
        (place, *column)
        for place, column in order
        if any(_at(found, shift, *column[:2]) for shift in _shifts(found))
    ]
    rows = []
    for shift in _shifts(found):
        cells: list[Cell] = [shift]
        for _, row, protocol, _, _ in shown:
            one = _at(found, shift, row, protocol)
            star = one is not None and id(one) in gaps and gaps[id(one)].differs
            cells.append(None if one is None else Estimate(one.accuracy, one.interval, star))
        rows.append(tuple(cells))
    return Table(
        title="Where do generated views pay?",
        columns=(
            Column(name="images", priority=0),
            *(
                Column(name=name, kind="percent", digits=1, help=told, priority=place)
                for place, _, _, name, told in shown
            ),
        ),
        rows=tuple(rows),
        breaks=tuple(
            place
            for place in range(1, len(rows))
            if str(rows[place][0]).partition(":")[0] != str(rows[place - 1][0]).partition(":")[0]
        ),
        caption="Accuracy on test images under each shift, with its Wilson interval. A star: other "
        "than that of the single image, all that is in the table corrected together (Holm).",
    )


def gain_bars(found: Sequence[Measured]) -> Bars:
    """What generated views and the best rival gain over the single image."""
    shifts, columns = _shifts(found), []
    for row, protocol, label in (
        (VIEWS, "known shift", "generated views"),
        (VIEWS, "one weight", "not knowing the shift"),
        (BEST, "", BEST),
    ):
        own = [_at(found, shift, row, protocol) for shift in shifts]
        if not any(own):
            continue
        family = weigh([Gap.of(one) for one in own if one is not None])
        gaps = iter(family)
        each = [None if one is None else next(gaps) for one in own]
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
        caption="In percentage points of accuracy. A filled dot is significant, a hollow one not.",
    )


def weight_table(found: Sequence[Measured]) -> Table:
    """What it costs not to know the shift: generated views by what their weight was fitted on."""
    rows = []
    for shift in _shifts(found):
        cells: list[Cell] = [shift]
        for protocol, _ in _PROTOCOLS:
            one = _at(found, shift, VIEWS, protocol)
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
        caption="Fitted on: " + "; ".join(f"{name}: {told}" for name, told in _PROTOCOLS) + ". The "
        "mild shift is never of the kind that is measured.",
    )


def rival_table(found: Sequence[Measured]) -> Table:
    """Generated views against each rival on the same test images."""
    pairs: list[tuple[str, str, GainReport]] = []
    for shift in _shifts(found):
        one = _at(found, shift, VIEWS, "known shift")
        pairs += (
            []
            if one is None
            else [
                (shift, "single image", one),
                *((shift, name, gain) for name, gain in one.against.items()),
            ]
        )
    weighed = weigh([Gap.of(gain) for _, _, gain in pairs])
    by_place = {(shift, name): gap for (shift, name, _), gap in zip(pairs, weighed, strict=True)}
    names = list(dict.fromkeys(name for _, name, _ in pairs))
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
            for shift in _shifts(found)
        ),
        caption="Paired differences in points of accuracy; a star: significant, all of this table "
        "corrected together (Holm). Rivals were chosen on calibration images under the shift. "
        "Batch statistics look at all test images of a shift at once, which nothing else may.",
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
    for shift in _shifts(found):
        cells: list[Cell] = [shift]
        for rival in rivals:
            alone, gap = _at(found, shift, rival, ""), gaps.get((shift, rival))
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


def other_classifiers(found: Sequence[Measured], tasks: Sequence[str]) -> list[Table]:
    """Classifiers that were trained otherwise: alone, and with views; none where there is one."""
    if len(tasks) < 2:
        return []
    pairs = [
        one for one in found if one.row == VIEWS and one.protocol in ("known shift", "one weight")
    ]
    gaps = {id(o): g for o, g in zip(pairs, weigh([Gap.of(o) for o in pairs]), strict=True)}
    rows = []
    for shift in _shifts(found):
        cells: list[Cell] = [shift]
        for task in tasks:
            own = [one for one in found if one.task == task]
            alone = _at(own, shift, "single image", "")
            cells.append(None if alone is None else accuracy_of(alone))
            for protocol in ("known shift", "one weight"):
                one = _at(own, shift, VIEWS, protocol)
                star = one is not None and gaps[id(one)].differs
                cells.append(None if one is None else Estimate(one.accuracy, one.interval, star))
        rows.append(tuple(cells))
    columns = [Column(name="images", priority=0)]
    for task in tasks:
        columns += [
            Column(name=task, kind="percent", digits=1, priority=0),
            Column(name=f"{task}, with views", kind="percent", digits=1),
            Column(name=f"{task}, not knowing the shift", kind="percent", digits=1, priority=2),
        ]
    return [
        Table(
            title="Classifiers that were trained otherwise, alone and with generated views",
            columns=tuple(columns),
            rows=tuple(rows),
            caption="A star: other than the same classifier alone, corrected together (Holm). "
            f"Attacked images were made for {tasks[0]}.",
        )
    ]


def answer(found: Sequence[Measured]) -> tuple[str, Tone]:
    """Where generated views helped, in one sentence, and the tone of the whole.

    Gains over the single image are one family, as in the figure; those over rivals another.
    """
    own = {s: one for s in _shifts(found) if (one := _at(found, s, VIEWS, "known shift"))}
    over = dict(zip(own, weigh([Gap.of(one) for one in own.values()]), strict=True))
    against = {(s, rival): g for s, one in own.items() for rival, g in one.against.items()}
    pairs, weighed = list(against), weigh([Gap.of(gain) for gain in against.values()])
    lost = [
        (shift, rival)
        for (shift, rival), gap in zip(pairs, weighed, strict=True)
        if standing(gap) != "above"
    ]
    alike = {shift for shift, rival in lost if rival != TOGETHER}
    batch = {shift for shift, rival in lost if rival == TOGETHER}
    said, shifts = list[str](), [shift for shift in own if shift != CLEAN]
    if CLEAN in own:
        gain = 100 * own[CLEAN].gain
        said.append(f"On clean images {_CLEAN[standing(over[CLEAN])]} ({gain:+.1f} points)")
    helped = [shift for shift in shifts if standing(over[shift]) == "above"]
    harmed = [shift for shift in shifts if standing(over[shift]) == "below"]
    beyond = [shift for shift in helped if shift not in alike]
    apart = any(TOGETHER in one.against for one in own.values())
    also = [shift for shift in beyond if shift not in batch]
    alone = " that sees one image at a time" if apart else ""
    if len(shifts) == 1:
        said.append(_of_one(own[shifts[0]], standing(over[shifts[0]])))
        if beyond:
            said[-1] += f", beyond every rival{alone}"
            said[-1] += "" if not apart else f"{' and' if also else ', but not'} beyond {TOGETHER}"
    elif shifts:
        text = f"under {len(helped)} of {len(shifts)} shifts they raised accuracy significantly"
        if helped:
            best = max(helped, key=lambda shift: own[shift].gain)
            text += f", by up to {100 * own[best].gain:.0f} points ({best}), under {len(beyond)}"
            text += f"{_named(beyond)} beyond every rival{alone}"
            text += f", under {len(also)} also beyond {TOGETHER}" if apart else ""
        if harmed:
            text += f", and under {len(harmed)} they lowered it"
        said.append(text)
    tone: Tone = "better" if helped and not harmed else "worse" if harmed and not helped else ""
    return "; ".join(said) + ".", tone


def _of_one(found: Measured, said: Standing) -> str:
    """What generated views did under a single shift."""
    after, before = 100 * found.accuracy, 100 * found.accuracy - 100 * found.gain
    before = round(before, 6)  # 19.75 is told as in the table, and not as 19.7499999
    if said not in _DID:
        return f"under {found.shift} no difference was seen ({100 * found.gain:+.1f} points)"
    return f"under {found.shift} they {_DID[said]}, from {before:.1f} to {after:.1f} %"


_DID: dict[Standing, str] = {
    "above": "raised accuracy significantly",
    "below": "lowered accuracy significantly",
    "level": "changed accuracy by less than matters",
}


def _named(shifts: Sequence[str]) -> str:
    """Their names in brackets, where they are few."""
    return f" ({', '.join(shifts)})" if 0 < len(shifts) < FEW else ""


_CLEAN: dict[Standing, str] = {
    "above": "generated views helped",
    "below": "generated views did harm",
    "level": "generated views made no difference that matters",
    "no difference seen": "no help from generated views was seen",
}
