"""What the answers to labelled images tell of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import torch
from jaxtyping import Float, Int
from scipy import stats
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from genviews.checks import check_count
from genviews.gates.chance import (
    USEFUL,
    check_answers,
    guessing,
    is_informed,
    is_one_answer,
    part_of_the_way,
)
from genviews.gates.gate import LEVEL, MOST, Gate, percent, sign_test
from genviews.signature import checked

__all__ = [
    "accuracy_gate",
    "answers_gate",
    "classes_gate",
    "order_gate",
    "prediction_gates",
    "probability_gate",
]


@checked
def prediction_gates(
    logits: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    class_names: Sequence[str],
    *,
    what: str = "calibration images",
    level: float = LEVEL,
) -> list[Gate]:
    """What the answers to labelled images tell of a classifier: first the order of its classes.

    Args:
        logits: of images as they are, not deliberately corrupted.
        labels: their true classes.
        class_names: Y names.
        what: the images are, for messages.
        level: of each test; divided among the tasks of a study.
    """
    said = logits.argmax(-1)
    order = order_gate(said, labels, class_names, what=what, level=level)
    found = [
        order,
        answers_gate(said, labels, class_names, what=what, level=level),
        probability_gate(logits, labels, what=what, level=level),
    ]
    if order.passed:  # else it has told the accuracy, and why it is low
        found.insert(1, accuracy_gate(said, labels, len(class_names), what=what, level=level))
    return [gate for gate in found if gate is not None]


@checked
def order_gate(
    said: Int[Tensor, " N"],
    labels: Int[Tensor, " N"],
    class_names: Sequence[str],
    *,
    what: str = "calibration images",
    level: float = LEVEL,
) -> Gate:
    """Whether another order of the class names fits the answers much better.

    The best order is found on one half of each class and tried on the other, and the other way
    round, so that choosing among all orders proves nothing by itself. Much better: among the
    classes that it moves, half of the errors, at least, are gone. Source: the assignment is
    that of Kuhn 1955; the test, McNemar 1947.
    """
    check_answers(said, labels, len(class_names))
    halves = _halves(labels)
    better = worse = errors = 0
    for fit in (halves, ~halves):
        meaning = _best_order(said[fit], labels[fit], len(class_names))
        other, given = meaning[said[~fit]] == labels[~fit], said[~fit] == labels[~fit]
        better += int((other & ~given).sum())
        worse += int((given & ~other).sum())
        errors += int((~given & (meaning != torch.arange(len(meaning)))[labels[~fit]]).sum())
    wrong = 2 * (better - worse) >= errors and sign_test(better, worse) < level
    found = f"No other order of the classes fits the answers to {len(labels):,} {what} better."
    remedy = ""
    if wrong:
        meaning = _best_order(said, labels, len(class_names))
        as_given, as_other = (int((row == labels).sum()) for row in (said, meaning[said]))
        moved = [place for place, index in enumerate(meaning.tolist()) if place != index]
        names = [f"{class_names[p]!r} is {class_names[int(meaning[p])]!r}" for p in moved[:3]]
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        found = (
            f"The classes seem to be in another order: {percent(as_given, len(labels))} of "
            f"{len(labels):,} {what} are right as given, {percent(as_other, len(labels))} where "
            f"the answer {', '.join(names)}{more}."
        )
        order = ", ".join(class_names[index] for index in meaning.tolist())
        shown = order if len(order) <= 120 else f"{order[:120]}..."
        remedy = (
            "Name the classifier's outputs in their order, output_names (--output-names); the "
            f"answers fit the order {shown}."
        )
    return Gate(
        name="order of the classes",
        found=found,
        threshold="no other order, found on one half of the images, has half as many errors on the "
        f"other half among the classes that it moves (and exact test, p < {level:.2g})",
        remedy=remedy,
        passed=not wrong,
    )


@checked
def answers_gate(
    said: Int[Tensor, " N"],
    labels: Int[Tensor, " N"],
    class_names: Sequence[str],
    *,
    what: str = "calibration images",
    level: float = LEVEL,
) -> Gate | None:
    """Whether the classifier tells any classes apart; None where the images are of one class."""
    check_answers(said, labels, len(class_names))
    count, shares = len(labels), labels.bincount(minlength=len(class_names)).double() / len(labels)
    if float(shares.max()) > MOST:
        return None
    counts = said.bincount(minlength=len(class_names))
    top = int(counts.argmax())
    many, share = int(counts[top]), float(shares[top])
    return Gate(
        name="answers to different images",
        found=f"The classifier calls {many:,} of {count:,} {what} {class_names[top]!r}; "
        f"{100 * share:.1f} % are.",
        threshold=f"below {100 * MOST:.0f} %, or no more than a weak classifier's (exact test, "
        f"p < {level:.2g}), or better than guessing",
        remedy="Check that the classifier has its weights, and that it gets images as in its "
        "training: size, channels, mean and std.",
        passed=is_informed(said, labels) or not is_one_answer(many, share, count, level),
    )


@checked
def classes_gate(
    calibration: Int[Tensor, " N"], test: Int[Tensor, " M"], class_names: Sequence[str]
) -> Gate:
    """Whether calibration and test can have been drawn from the same classes, more than one.

    Of one class alone, whatever drifts towards it seems to help, and a classifier that always
    names it seems perfect. Splits that share no class, and a split of one class, count where the
    same images, dealt out anew, would hardly end so.
    """
    first, second = (set(row.tolist()) for row in (calibration, test))
    every, (count, others) = first | second, (len(calibration), len(test))
    found = "Calibration and test share classes, and each has more than one."
    chance = 1.0
    deals = comb(count + others, count)
    if len(every) == 1:
        found, chance = f"All images are {class_names[every.pop()]!r}.", 0.0
    elif not first & second:
        found, chance = "No class of the test images is among calibration.", 2 ** len(every) / deals
    else:
        for what, own, other in (("calibration", calibration, test), ("test", test, calibration)):
            if len(set(own.tolist())) == 1:
                name, same = class_names[int(own[0])], int((other == own[0]).sum())
                found = f"All {len(own):,} {what} images are {name!r}."
                chance = comb(len(own) + same, same) / deals
    return Gate(
        name="classes of calibration and test",
        found=found,
        threshold="both have more than one class, and one in common, or too few images to tell "
        f"(exact test, p < {LEVEL})",
        remedy="Take images of every class, in both splits.",
        passed=chance >= LEVEL,
    )


@checked
def accuracy_gate(
    said: Int[Tensor, " N"],
    labels: Int[Tensor, " N"],
    num_classes: int,
    *,
    what: str = "calibration images",
    level: float = LEVEL,
) -> Gate:
    """Whether the single image is told better than by guessing, and than by one constant answer.

    Guessing is right as often as the same answers, given to the images in any other order. A
    classifier fails where it is not told from guessing and certainly less than `USEFUL` above it,
    or where always naming the most frequent class would certainly be right more often: a method
    that drifts towards that class would then seem to help.
    """
    count, hits = len(labels), int((said == labels).sum())
    guess = guessing(said, labels)
    most = float(labels.bincount().max()) / count
    useful = part_of_the_way(USEFUL, guess)
    weak = not is_informed(said, labels) and stats.binom.cdf(hits, count, useful) < level
    frequent, right = labels == labels.bincount().argmax(), said == labels
    below = sign_test(int((frequent & ~right).sum()), int((right & ~frequent).sum())) < level
    return Gate(
        name="accuracy of the single image",
        found=f"The classifier is right for {percent(hits, count)} of {count:,} {what}; guessing "
        f"is right for {100 * guess:.1f} %, always naming the most frequent class for "
        f"{100 * most:.1f} %.",
        threshold=f"above guessing, or not certainly below {100 * useful:.1f} %, and not certainly "
        f"below the most frequent class (exact tests, p < {level:.2g})",
        remedy="Check that classifier, labels and class names belong together, and that the "
        "classifier gets images as in its training: size, channels, mean and std.",
        passed=not (weak or below),
    )


@checked
def probability_gate(
    logits: Float[Tensor, "N Y"],
    labels: Int[Tensor, " N"],
    *,
    what: str = "calibration images",
    level: float = LEVEL,
) -> Gate | None:
    """Whether the numbers can be logits: probabilities would be softened a second time."""
    values, (count, classes) = logits.double(), logits.shape
    check_count(count, "number of images")
    single = classes == 2 and bool((values[:, 0] == 0).all())  # the logit of a binary network
    own = values[:, 1:] if single else values
    low, high, total = float(own.min()), float(own.max()), values.sum(1)
    sums = [whole for whole in (1, 100) if bool(((total / whole - 1).abs() < 1e-3).all())]
    scaled = low >= 0 and not single and bool(sums)
    within = low >= 0 and high <= 1
    if single:
        probabilities = within and int((labels == 0).sum()) >= 5
    else:
        hits, sure = (
            int((values.argmax(1) == labels).sum()),
            float(values.softmax(1).max(1)[0].mean()),
        )
        flat = hits / count > sure + 0.2 and stats.binom.sf(hits - 1, count, sure) < level
        probabilities = count > 1 and (scaled or (within and flat))
    return Gate(
        name="logits, not probabilities",
        found=f"The classifier's numbers for {count:,} {what} lie in [{low:.3g}, {high:.3g}]"
        + (f" and those of an image sum to {sums[0]}" if scaled else "")
        + (": they look like probabilities." if probabilities else "."),
        threshold="logits: some below 0, or sums that differ from image to image",
        remedy='Say outputs="probs" or "sigmoids" (--outputs), or leave the softmax out.',
        passed=not probabilities,
    )


def _halves(labels: Tensor) -> Tensor:
    """Every second image of each class, so that both halves have all classes."""
    half = torch.zeros(len(labels), dtype=torch.bool)
    for index in labels.unique().tolist():
        half[torch.nonzero(labels == index).flatten()[::2]] = True
    return half


def _best_order(said: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """(Y,) the class that each answer stands for, where most are right; as given among equals."""
    pairs = (labels * num_classes + said).bincount(minlength=num_classes**2)
    table = pairs.reshape(num_classes, num_classes).double() + 0.5 * torch.eye(num_classes)
    truth, answer = linear_sum_assignment(table.numpy(), maximize=True)
    meaning = torch.empty(num_classes, dtype=torch.long)
    meaning[torch.from_numpy(answer)] = torch.from_numpy(truth)
    return meaning
