"""What a classifier tells when it is tried on real images, in more than one way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call

from genviews.classify.convert import in_signed_range
from genviews.classify.model import Classifier, predict_logits
from genviews.classify.settings import InputRange
from genviews.gates.chance import guessing, part_of_the_way
from genviews.gates.gate import LEVEL, Gate, percent, sign_test
from genviews.modes import evaluating, undisturbed
from genviews.signature import checked
from genviews.user_code import GUIDE

__all__ = ["FORMS", "Form", "batch_gate", "chance_gate", "form_gate"]

STEADY = 0.05
"""Largest difference of two answers to one image, in probability; half precision stays below."""

POOR, GOOD = 1 / 3, 1 / 2
"""Parts of the way from guessing to certainty: a network that sees its images in another form goes
less far than the first, as a rule, and in its own form further than the second (chosen by us)."""

COLOUR, TURNED = "with blue first", "with rows and columns exchanged"


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form in which a classifier may have been given the images of its training.

    Args:
        words: where images are so.
        remedy: what to say of the classifier then.
        values: range of the values, before mean and std; None is [-1, 1].
        mean: of each channel.
        std: of each channel.
        change: of the images; None where values alone differ.
    """

    words: str
    remedy: str
    values: InputRange | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    change: Callable[[Tensor], Tensor] | None = None

    def suits(self, classifier: Classifier) -> bool:
        """Whether its network and images can have this form."""
        if self.words == COLOUR or len(self.mean) > 1:
            return classifier.input_spec.channels == classifier.image_spec.channels == 3
        return self.words != TURNED or classifier.image_spec.height == classifier.image_spec.width

    def asked(self, classifier: Classifier, images: Tensor) -> Tensor:
        """The answers of a classifier that gets the images so."""
        if self.change is not None:
            answers: Tensor = classifier(self.change(images))
            return answers
        scale = in_signed_range(self.mean, self.std, self.values)
        own = {
            name: torch.tensor(one).to(classifier.mean).reshape(-1, 1, 1)
            for name, one in zip(("mean", "std"), scale, strict=True)
        }
        answers = functional_call(classifier, own, (images,))
        return answers


FORMS = (
    Form(words="in [-1, 1]", remedy="Leave out input_range, mean and std (--input-range ...)."),
    Form(words="in [0, 1]", remedy='Say input_range="0..1" (--input-range 0..1).', values="0..1"),
    Form(
        words="in [0, 255]",
        remedy='Say input_range="0..255" (--input-range 0..255).',
        values="0..255",
    ),
    Form(
        words="with ImageNet's mean and std",
        remedy='Say input_range="0..1" (--input-range 0..1), with mean and std (--mean, --std) '
        "0.485 0.456 0.406 and 0.229 0.224 0.225.",
        values="0..1",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    ),
    Form(
        words=COLOUR,
        remedy="Exchange the channels first: wrap it in a module that takes x.flip(1).",
        change=lambda images: images.flip(-3),
    ),
    Form(
        words="with dark and light exchanged",
        remedy="Exchange them first: wrap it in a module that takes -x.",
        change=torch.neg,
    ),
    Form(
        words="upside down",
        remedy="Turn them first: wrap it in a module that takes x.flip(2).",
        change=lambda images: images.flip(-2),
    ),
    Form(
        words=TURNED,
        remedy="Exchange them first: wrap it in a module that takes x.transpose(2, 3).",
        change=lambda images: images.transpose(-2, -1),
    ),
)
"""Those that are tried, where networks have the channels and images the shape."""


@checked
def chance_gate(classifier: nn.Module, images: Float[Tensor, "n C H W"]) -> Gate:
    """Whether the same images in the same batch get the same answer a second time."""
    moved = _apart(classifier, images, len(images), len(images))
    return Gate(
        name="the same answer twice",
        found=f"Asked twice about the same {len(images)} images, the classifier's probabilities "
        f"differ by up to {moved:.3f}.",
        threshold=f"at most {STEADY}",
        remedy="It answers by chance: let its dropout and its random transforms act in training "
        "alone, as in F.dropout(x, training=self.training).",
        passed=moved <= STEADY,
    )


@checked
def batch_gate(classifier: nn.Module, images: Float[Tensor, "n C H W"]) -> Gate | None:
    """Whether an image gets the same answer alone and among others; None of a single image."""
    if len(images) < 2:
        return None
    moved = _apart(classifier, images, 1, len(images))
    return Gate(
        name="answers alone and in a batch",
        found=f"Asked about {len(images)} images one by one and together, the classifier's "
        f"probabilities differ by up to {moved:.3f}.",
        threshold=f"at most {STEADY}",
        remedy="Its answer to an image depends on the others: normalise by stored statistics, as "
        "batch norms do in eval mode, not by those of the batch.",
        passed=moved <= STEADY,
    )


@checked
def form_gate(
    classifier: Classifier,
    images: Float[Tensor, "n C H W"],
    labels: Int[Tensor, " n"],
    logits: Float[Tensor, "n Y"],
    *,
    level: float = LEVEL,
) -> Gate | None:
    """Whether a classifier that is poor as the images are is a good one in another form.

    Another form is better where half of the errors, at least, are gone, and its answers are better
    than guessing: guessing is better than a wrong order of the classes. That alone is only noted. A
    network is better by some accident in one of so many forms, if it is weak; one that was trained
    in the other form is a good one there, and hardly knows what it is shown here. None where it is
    right so often that no other form could be told to be better.
    """
    right, given = logits.argmax(-1) == labels, guessing(logits.argmax(-1), labels)
    forms = [form for form in FORMS if form.suits(classifier)]
    level = level / len(forms)
    if 0.5 ** int((~right).sum()) >= level:
        return None
    seen, found, guesses = images.to(classifier.device), list[tuple[int, int]](), list[float]()
    with evaluating(classifier), torch.no_grad(), undisturbed():
        for form in forms:
            said = form.asked(classifier, seen).argmax(-1).cpu()
            other = said == labels
            found.append((int((other & ~right).sum()), int((right & ~other).sum())))
            guesses.append(guessing(said, labels))
    place = max(range(len(forms)), key=lambda at: found[at][0] - found[at][1])
    better, worse = found[place]
    count, hits = len(labels), int(right.sum())
    others = hits + better - worse
    informed = stats.binom.sf(others - 1, count, guesses[place]) < level
    halved = 2 * (better - worse) >= count - hits
    fits = informed and halved and sign_test(better, worse) < level
    third, half = part_of_the_way(POOR, given), part_of_the_way(GOOD, guesses[place])
    poor = hits < third * count and others >= half * count
    return Gate(
        name="form of the classifier's images",
        found=f"Of {count:,} calibration images {percent(hits, count)} are right as the classifier "
        f"gets them, {percent(others, count)} {forms[place].words}.",
        threshold=f"at least {100 * third:.1f} %, or no other form in which {100 * half:.1f} % or "
        f"more are right and half of the errors are gone (exact tests, p < {level:.2g})",
        remedy=f"{forms[place].remedy} See {GUIDE}.",
        passed=not (fits and poor),
        noted=fits,
    )


def _apart(classifier: nn.Module, images: Tensor, *sizes: int) -> float:
    """How far probabilities differ where images are asked about in batches of two sizes."""
    with undisturbed():
        first, second = (
            predict_logits(classifier, images, batch_size=size).double().softmax(-1)
            for size in sizes
        )
    return float((first - second).abs().max())
