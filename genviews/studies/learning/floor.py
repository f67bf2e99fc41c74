"""The floor under a probe: what it says of an encoder that learnt nothing, and with no encoder.

A linear probe of random features is often right, and so is whoever always names the most frequent
class. An accuracy says something of learning where it is above both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from genviews.evaluate.encoders import ProbeData, majority_score
from genviews.studies.blocks import Estimate

__all__ = ["floor_of", "floor_words", "is_above"]

Json = Mapping[str, Any]


def floor_of(data: ProbeData, untrained: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Return the floor of a task, as JSON values for a record.

    Args:
        data: the labelled splits.
        untrained: accuracy by probe of encoders with their first weights, one a seed.

    Returns:
        "majority", the score on test of the most frequent class of train, and its name, "class";
        and "untrained", the mean accuracy by probe.
    """
    score, name = majority_score(data)
    means = {
        probe: sum(one[probe] for one in untrained) / len(untrained) for probe in ("linear", "knn")
    }
    return {"majority": asdict(score), "class": name, "untrained": means}


def is_above(floor: Json | None, found: Estimate) -> bool:
    """Whether an accuracy of the linear probe is surely above the floor; True where it is unknown.

    Args:
        floor: of `floor_of`.
        found: the accuracy; surely is by its interval.
    """
    if floor is None:
        return True
    least = found.interval[0] if found.interval else found.value
    return bool(least > max(floor["untrained"]["linear"], floor["majority"]["accuracy"]))


def floor_words(floor: Json, found: Mapping[str, Estimate]) -> str:
    """The floor in a sentence, and what is not surely above it.

    Args:
        floor: of `floor_of`.
        found: accuracy of the linear probe, by the name of what was learnt.

    Example:
        >>> floor = {"majority": {"accuracy": 0.5}, "class": "a", "untrained": {"linear": 0.7}}
        >>> floor_words(floor, {"Gaussian": Estimate(0.72, (0.68, 0.76))})
        'The floor: an untrained encoder 70.0 %, the most frequent class (a) 50.0 %. Not surely
        above it, so that nothing learnt can be seen: Gaussian.'
    """
    untrained, most = floor["untrained"]["linear"], floor["majority"]["accuracy"]
    low = [name for name, one in found.items() if not is_above(floor, one)]
    said = (
        f"The floor: an untrained encoder {100 * untrained:.1f} %, the most frequent class "
        f"({floor['class']}) {100 * most:.1f} %."
    )
    if low:
        said += f" Not surely above it, so that nothing learnt can be seen: {', '.join(low)}."
    return said
