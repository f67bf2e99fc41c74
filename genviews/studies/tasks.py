"""Do two ways of inverting help the same tasks? Gains task by task, and their correlation.

Source: Chai et al. 2021, Fig. 15: gains of two inversions over 40 face attributes, r = 0.69.
Differs: without attributes a task is one class against the rest. The authors' notebook pools the
methods and counts the average as one more task; here each method has its own r, the pooled one
stands beside it, and an average is no task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from genviews.checks import fail
from genviews.ensemble.significance import GainReport, gain_report

__all__ = ["Correlation", "TaskGain", "correlate", "task_gains"]


@dataclass(frozen=True, kw_only=True)
class TaskGain:
    """What a method gains in telling one class from the rest."""

    task: str
    gain: GainReport


@dataclass(frozen=True, kw_only=True)
class Correlation:
    """Pearson's r with its 95 % interval (Fisher's z) and p-value over `count` pairs."""

    r: float
    interval: tuple[float, float]
    p_value: float
    count: int


def task_gains(
    single: Float[Tensor, "N Y"],
    method: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    class_names: Sequence[str],
) -> tuple[TaskGain, ...]:
    """Return the gain of each one-against-the-rest task: "is it a NAME" where p(NAME) > 0.5.

    Args:
        single: probabilities from the single image.
        method: probabilities of the method, for the same images.
        labels: true classes.
        class_names: Y names.
    """
    found = []
    for index, name in enumerate(class_names):
        truth = labels == index
        right, before = ((p[:, index] > 0.5) == truth for p in (method, single))
        found.append(TaskGain(task=name, gain=gain_report(right, before)))
    return tuple(found)


def correlate(
    first: Mapping[str, Sequence[TaskGain]], second: Mapping[str, Sequence[TaskGain]]
) -> dict[str, Correlation | None]:
    """Correlate the gains of two inversions over tasks, for each method and "pooled" over all.

    Where the gains of one do not vary, as when alpha is 0, there is no correlation but None.

    Args:
        first: method -> gains of one inversion.
        second: the same methods and tasks of the other.

    Raises:
        ValueError: other methods or tasks, or fewer than 4 tasks.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for name, gains in first.items():
        others = second.get(name, ())
        if [g.task for g in gains] != [g.task for g in others]:
            fail(
                "task gains",
                expected=f"the same tasks of both inversions for {name!r}",
                got=f"{len(gains)} and {len(others)}",
                remedy="compute both on the same images and classes",
            )
        pairs[name] = [(a.gain.gain, b.gain.gain) for a, b in zip(gains, others, strict=True)]
    pairs["pooled"] = [pair for name in first for pair in pairs[name]]
    return {name: _pearson(name, values) for name, values in pairs.items()}


def _pearson(name: str, pairs: Sequence[tuple[float, float]]) -> Correlation | None:
    x, y = [a for a, _ in pairs], [b for _, b in pairs]
    if len(pairs) < 4:
        fail(
            f"correlation of {name!r}",
            expected="at least 4 tasks",
            got=len(pairs),
            remedy="an interval of r needs more",
        )
    if len(set(x)) == 1 or len(set(y)) == 1:
        return None
    found = stats.pearsonr(x, y)
    low, high = found.confidence_interval(0.95)
    return Correlation(
        r=float(found.statistic),
        interval=(float(low), float(high)),
        p_value=float(found.pvalue),
        count=len(pairs),
    )
