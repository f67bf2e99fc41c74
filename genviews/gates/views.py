"""What the answers to reconstructions and views tell of inversion and generator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Int
from torch import Tensor

from genviews.ensemble.bank import PredictionBank
from genviews.gates.answers import order_gate, prediction_gates
from genviews.gates.chance import check_answers, is_informed, is_one_answer
from genviews.gates.gate import LEVEL, MOST, Gate, few_gate
from genviews.signature import checked

__all__ = ["bank_gates", "class_gate", "drawn_gate", "number_gate"]


@checked
def bank_gates(bank: PredictionBank) -> list[Gate]:
    """The gates of a bank with labels, and of the reconstructions in it."""
    logits, names = bank.get("image")[:, 0], bank.class_names
    found = prediction_gates(logits, bank.known_labels(), names)
    if "reconstruction" in bank.logits:
        before, after = logits.argmax(-1), bank.get("reconstruction")[:, 0].argmax(-1)
        kept = class_gate(before, after, names)
        found += [] if kept is None else [kept]
    return found


@checked
def class_gate(
    before: Int[Tensor, " n"],
    after: Int[Tensor, " n"],
    class_names: Sequence[str],
    *,
    level: float = LEVEL,
) -> Gate | None:
    """Whether reconstructions keep any difference of class that the classifier sees in images.

    Args:
        before: classes that it gives images.
        after: those of their reconstructions.
        class_names: Y names.
        level: of the test.
    """
    check_answers(before, after, len(class_names))
    count = len(after)
    counts = after.bincount(minlength=len(class_names))
    top = int(counts.argmax())
    share, many = float((before == top).double().mean()), int(counts[top])
    if share > 0.9:
        return None
    return Gate(
        name="classes of the reconstructions",
        found=f"The classifier calls {many:,} of {count:,} reconstructions {class_names[top]!r}, "
        f"but {100 * share:.0f} % of the images.",
        threshold=f"below {100 * MOST:.0f} %, or no more than a weak classifier's (exact test, "
        f"p < {level:.2g}), or closer to those of the images than by chance",
        remedy="The views say nothing of the class: invert for more steps (--steps), from an "
        "encoder (--encoder), or take a generator of these images.",
        passed=is_informed(after, before) or not is_one_answer(many, share, count, level),
    )


def drawn_gate(
    before: Int[Tensor, " n"],
    after: Int[Tensor, " n"],
    class_names: Sequence[str],
    *,
    level: float = LEVEL,
) -> Gate:
    """Whether a generator that is told a class draws that class: `order_gate` of its pictures.

    Args:
        before: classes that the classifier gives images.
        after: those of their reconstructions.
        class_names: Y names.
        level: of the test.
    """
    found = order_gate(after, before, class_names, what="reconstructions", level=level)
    return replace(
        found,
        name="order of the generator's classes",
        remedy=found.remedy
        and "Name the generator's classes in its own order, class_names (--generator-class-names).",
    )


def number_gate(plain: int, count: int, what: str) -> Gate | None:
    """Whether the answers to views are numbers, but for a few images; None where all are.

    Args:
        plain: images that have the answer to the image alone, for want of one to a view.
        count: of the images.
        what: they are, for messages.
    """
    if not plain:
        return None
    return few_gate(
        plain,
        count,
        name="answers that are numbers",
        found=f"For {plain:,} of {count:,} {what} the answer to the image itself stands for those "
        "to its views: one of them is not a finite number, or the inversion failed.",
        remedy="Run classifier and generator in float32, or look at the answer to such a view.",
        noted=True,
    )
