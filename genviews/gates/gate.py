"""A gate: what was looked at, what was found, what must hold, and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from scipy import stats

__all__ = [
    "GUESSING",
    "LEVEL",
    "MOST",
    "MOST_OF",
    "Gate",
    "GateWarning",
    "few_gate",
    "percent",
    "sign_test",
    "warn_of",
]

LEVEL = 0.001
"""Of each exact, one-sided test: some ten gates close on fewer than 1 % of sound set-ups."""

GUESSING = 0.05
"""Level at which answers count as better than guessing: they then pass, however weak."""

MOST = 0.98
"""Share of images with one and the same answer that is too many."""

FAILED, MOST_OF = 0.1, 0.5
"""Largest share of images, or views, that may fail one by one; and what most are."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """Something that must hold before a verdict means anything.

    Args:
        name: what is looked at, in a few words.
        found: what was seen, with its numbers, as a sentence.
        threshold: what must hold, with its numbers.
        remedy: what to do where it does not, as a sentence.
        passed: whether it holds. A gate that does not is shown above the result.
        decides: whether the verdict rests on it, and is not given where it does not hold.
        noted: whether what was seen is worth a note below the result where it holds.
    """

    name: str
    found: str
    threshold: str
    remedy: str
    passed: bool
    decides: bool = True
    noted: bool = False

    @property
    def text(self) -> str:
        """What was seen and, where it is no good, what to do."""
        return self.found if self.passed else f"{self.found} {self.remedy}"


class GateWarning(UserWarning):
    """A gate does not hold; what is fitted or measured all the same means little."""


def warn_of(gates: Iterable[Gate]) -> None:
    """Warn of each gate that does not hold, at the line that called the caller.

    For whoever has no result to show it above.
    """
    for gate in gates:
        if not gate.passed:
            warnings.warn(f"not to be trusted: {gate.text}", GateWarning, stacklevel=3)


def sign_test(better: int, worse: int) -> float:
    """One-sided p-value that one of two readings is better, where they differ."""
    return float(stats.binom.sf(better - 1, better + worse, 0.5)) if better + worse else 1.0


def few_gate(
    failed: int, count: int, *, name: str, found: str, remedy: str, noted: bool = False
) -> Gate:
    """Whether no more fail than single images or latents explain.

    Args:
        failed: how many did.
        count: of all.
        name: see `Gate`, as the rest.
        found: what was seen.
        remedy: what to do.
        noted: whether it is worth a note where it holds.
    """
    certain = bool(stats.binom.sf(failed - 1, count, FAILED) < LEVEL)
    return Gate(
        name=name,
        found=found,
        threshold=f"at most half, and not certainly more than {100 * FAILED:.0f} % (exact test, "
        f"p < {LEVEL})",
        remedy=remedy,
        passed=failed <= MOST_OF * count and not certain,
        noted=noted,
    )


def percent(hits: int, count: int) -> str:
    """A share of images in words: "27.5 %"."""
    return f"{100 * hits / count:.1f} %"
