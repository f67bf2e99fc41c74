"""The answer to where generated views pay, in a few sentences.

What is said of the single image has the family of the first table; what is said of rivals that of
the table of rivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from genviews.studies.blocks import Estimate, Tone
from genviews.studies.ensembling.shift_tables import VIEWS, found_at, over_rivals, over_single
from genviews.studies.ensembling.under_shift import CLEAN, TOGETHER, Measured
from genviews.studies.result import Claim
from genviews.studies.statistics import Gap, Standing, standing

__all__ = ["answer", "count_claim"]

FEW = 5  # names that a sentence holds


def answer(found: Sequence[Measured], attacks: Sequence[str] = ()) -> tuple[str, Tone]:
    """Where generated views helped, and the tone of the whole.

    Args:
        found: of the first task, and of others that it is compared with.
        attacks: which of the shifts are attacks.
    """
    trained = {one.task for one in found} - {found[0].task}
    own = [one for one in found if one.task == found[0].task]
    over, rivals = over_single(own), over_rivals(own)
    views = {
        shift: found_at(own, shift, VIEWS, "known shift")
        for shift, row, protocol in over
        if (row, protocol) == (VIEWS, "known shift")
    }
    said = {shift: standing(over[shift, VIEWS, "known shift"]) for shift in views}
    parts = list[str]()
    if (clean := views.pop(CLEAN, None)) is not None:
        parts.append(f"On clean images {_CLEAN[said.pop(CLEAN)]} ({100 * clean.gain:+.1f} points)")
    best = {shift: one for shift, one in views.items() if one is not None}
    if len(best) == 1:
        ((shift, one),) = best.items()
        parts.append(_of_one(one, said[shift]) + _beyond_all(shift, said, rivals, trained))
    elif best:
        parts.append(_of_many(best, said, over, attacks))
        parts += _beyond(said, rivals, trained)
    helped, harmed = ("above" in said.values()), ("below" in said.values())
    tone: Tone = "better" if helped and not harmed else "worse" if harmed and not helped else ""
    return "; ".join(parts) + ".", tone


def count_claim(found: Sequence[Measured], corruptions: Sequence[str]) -> tuple[Claim, ...]:
    """The paper's count of corruptions under which views add to the image; none of no corruption.

    It holds where they do under some and not under all, by the family of the first table.
    """
    own = [one for one in found if one.task == found[0].task]
    over = over_single(own)
    gaps = [over[key] for shift in corruptions if (key := (shift, VIEWS, "known shift")) in over]
    if not gaps:
        return ()
    helped = sum(standing(gap) == "above" for gap in gaps)
    return (
        Claim(
            text="Views add to the image under some of the corruptions and not under all "
            f"(here {helped} of {len(gaps)}).",
            said="6 of 12",
            measured=Estimate(helped / len(gaps)),
            kind="percent",
            outcome="holds" if 0 < helped < len(gaps) else "contradicted",
            source="Chai et al. 2021, Fig. 19",
        ),
    )


def _of_many(
    views: Mapping[str, Measured],
    said: Mapping[str, Standing],
    over: Mapping[tuple[str, str, str], Gap],
    attacks: Sequence[str],
) -> str:
    """Counts over corruptions and attacks, with a weight fitted under the shift and without."""
    corruptions = [shift for shift in views if shift not in attacks]
    kinds = [
        ("corruptions", corruptions),
        ("attacks on the classifier alone", [shift for shift in views if shift in attacks]),
    ]

    def counts(protocol: str) -> dict[str, str]:
        found = dict[str, str]()
        for kind, shifts in kinds:
            known = [over[s, VIEWS, protocol] for s in shifts if (s, VIEWS, protocol) in over]
            helped = sum(standing(gap) == "above" for gap in known)
            found |= {kind: f"{helped} of {len(known)}"} if known else {}
        return found

    told = {kind: f"{count} {kind}" for kind, count in counts("known shift").items()}
    if helped := [shift for shift in corruptions if said[shift] == "above"]:
        most = max(helped, key=lambda shift: views[shift].gain)
        told["corruptions"] += f" (by up to {100 * views[most].gain:.0f} points, {most})"
    text = "weighed under the shift they raised accuracy significantly under "
    text += " and ".join(told.values())
    if harmed := [shift for shift in views if said[shift] == "below"]:
        text += f", and lowered it under {len(harmed)}"
    if unknown := counts("one weight"):
        text += f"; with one weight, not knowing the shift, under {' and '.join(unknown.values())}"
    return text


def _beyond(
    said: Mapping[str, Standing], rivals: Mapping[tuple[str, str], Gap], trained: set[str]
) -> list[str]:
    """How often they were beyond every rival, by what a rival may do."""
    helped = [shift for shift in said if said[shift] == "above"]
    if not helped or not rivals:
        return []
    known = {rival for _, rival in rivals}

    above = {pair for pair, gap in rivals.items() if standing(gap) == "above"}

    def beyond(those: set[str], shifts: Sequence[str]) -> list[str]:
        """Beyond a rival that was not there nothing is said to be."""
        return [shift for shift in shifts if all((shift, one) in above for one in those)]

    plain = beyond(known - trained - {TOGETHER}, helped)
    text = f"under {len(plain)}{_named(plain)} they were beyond every rival{_alone(known, trained)}"
    for these, words in (({TOGETHER} & known, TOGETHER), (trained & known, _TRAINED)):
        if these:
            text += f", under {len(beyond(these, plain))} of these also beyond {words}"
    return [text]


def _beyond_all(
    shift: str,
    said: Mapping[str, Standing],
    rivals: Mapping[tuple[str, str], Gap],
    trained: set[str],
) -> str:
    """What is added of a single shift, where no ordinary rival is as good."""
    known = {rival for other, rival in rivals if other == shift}
    above = {rival for rival in known if standing(rivals[shift, rival]) == "above"}
    if said[shift] != "above" or known - trained - {TOGETHER} - above:
        return ""
    text = f", beyond every rival{_alone(known, trained)}"
    for these, words in (({TOGETHER} & known, TOGETHER), (trained & known, _TRAINED)):
        if these:
            text += f"{', but not' if these - above else ' and'} beyond {words}"
    return text


_TRAINED = "classifiers that were trained otherwise"


def _alone(known: set[str], trained: set[str]) -> str:
    """What the ordinary rivals have in common, where there are others."""
    text = " that sees one image at a time" if TOGETHER in known else ""
    if trained & known:
        text += f"{' and' if text else ' that'} leaves the classifier as it is"
    return text


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
