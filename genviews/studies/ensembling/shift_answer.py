"""The answer to where generated views pay, in a sentence.

Gains over the single image are one family, as in the figure; those over rivals another.
"""

from __future__ import annotations

from collections.abc import Sequence

from genviews.studies.blocks import Tone
from genviews.studies.ensembling.shift_tables import VIEWS, found_at, shifts_of
from genviews.studies.ensembling.under_shift import CLEAN, TOGETHER, Measured
from genviews.studies.statistics import Gap, Standing, standing, weigh

__all__ = ["answer"]

FEW = 5  # names that a sentence holds


def answer(found: Sequence[Measured]) -> tuple[str, Tone]:
    """Where generated views helped, and the tone of the whole."""
    own = {s: one for s in shifts_of(found) if (one := found_at(found, s, VIEWS, "known shift"))}
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
