"""The floor under a judge: what it says of an encoder that learnt nothing, and with no encoder.

A linear probe of random features is often right, and so is whoever always names the most frequent
class. A number says something of learning where it is above both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genviews.evaluate.encoders import ProbeData, majority_score
from genviews.studies.blocks import Estimate
from genviews.studies.learning.judge import Judge, ProbeJudge

__all__ = ["floor_of", "floor_words", "is_above"]

Json = Mapping[str, Any]


def floor_of(
    data: ProbeData, untrained: Sequence[Mapping[str, float]], judges: Sequence[Judge] = ()
) -> dict[str, Any]:
    """Return the floor of a task, as JSON values for a record.

    Args:
        data: the labelled splits.
        untrained: numbers by name of encoders with their first weights, one a seed.
        judges: who judged them beside the probes.

    Returns:
        "majority", the score on test of the most frequent class of train, and its name, "class";
        "untrained", the mean by number, of the seeds that have it; and "unseen", the number of who
        does not look at the images (`Judge.unseen`).
    """
    score, name = majority_score(data)
    unseen: dict[str, float] = {}
    for judge in (ProbeJudge(data), *judges):
        unseen |= judge.unseen()
    found = {what: [one[what] for one in untrained if what in one] for what in unseen}
    return {
        "majority": asdict(score),
        "class": name,
        "untrained": {what: sum(own) / len(own) for what, own in found.items() if own},
        "unseen": unseen,
    }


def is_above(floor: Json | None, found: Estimate, what: str = "linear") -> bool:
    """Whether a number is surely above the floor; True where it is unknown.

    Args:
        floor: of `floor_of`.
        found: the number; surely is by its interval.
        what: its name.
    """
    if floor is None:
        return True
    least = found.interval[0] if found.interval else found.value
    return bool(least > max(floor["untrained"].get(what, 0.0), floor["unseen"][what]))


def floor_words(floor: Json, found: Mapping[str, Estimate]) -> str:
    """The floor of the linear probe in a sentence, and what is not surely above it.

    Args:
        floor: of `floor_of`.
        found: accuracy of the linear probe, by the name of what was learnt.

    Example:
        >>> floor = {"unseen": {"linear": 0.5}, "class": "a", "untrained": {"linear": 0.7}}
        >>> floor_words(floor, {"Gaussian": Estimate(0.72, (0.68, 0.76))})
        'The floor: an untrained encoder 70.0 %, the most frequent class (a) 50.0 %. Not surely
        above it, so that nothing learnt can be seen: Gaussian.'
    """
    untrained, most = floor["untrained"]["linear"], floor["unseen"]["linear"]
    low = [name for name, one in found.items() if not is_above(floor, one)]
    said = (
        f"The floor: an untrained encoder {100 * untrained:.1f} %, the most frequent class "
        f"({floor['class']}) {100 * most:.1f} %."
    )
    if low:
        said += f" Not surely above it, so that nothing learnt can be seen: {', '.join(low)}."
    return said
