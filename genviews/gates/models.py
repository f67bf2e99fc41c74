"""What a classifier tells when it is tried on real images, in more than one way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call

from genviews.classify.model import Classifier, predict_logits
from genviews.gates.gate import LEVEL, TWICE, Gate, percent, sign_test
from genviews.modes import evaluating, undisturbed

__all__ = ["batch_gate", "chance_gate", "reading_gate"]

STEADY = 0.05
"""Largest difference of two answers to one image, in probability; half precision stays below."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and std of images in [0, 1]

Reading = Callable[[Classifier, Float[Tensor, "n C H W"]], Float[Tensor, "n Y"]]
"""Answers of a classifier that gets images in another form."""


def chance_gate(classifier: nn.Module, images: Float[Tensor, "n C H W"]) -> Gate:
    """Whether the same images in the same batch get the same answer a second time."""
    with undisturbed():
        first, second = (_probs(classifier, images, len(images)) for _ in range(2))
    moved = float((first - second).abs().max())
    return Gate(
        name="the same answer twice",
        found=f"Asked twice about the same {len(images)} images, the classifier's probabilities "
        f"differ by up to {moved:.3f}.",
        threshold=f"at most {STEADY}",
        remedy="It answers by chance: let its dropout and its random transforms act in training "
        "alone, as in F.dropout(x, training=self.training).",
        passed=moved <= STEADY,
    )


def batch_gate(classifier: nn.Module, images: Float[Tensor, "n C H W"]) -> Gate | None:
    """Whether an image gets the same answer alone and among others; None of a single image."""
    if len(images) < 2:
        return None
    with undisturbed():
        alone, among = (_probs(classifier, images, size) for size in (1, len(images)))
    moved = float((alone - among).abs().max())
    return Gate(
        name="answers alone and in a batch",
        found=f"Asked about {len(images)} images one by one and together, the classifier's "
        f"probabilities differ by up to {moved:.3f}.",
        threshold=f"at most {STEADY}",
        remedy="Its answer to an image depends on the others: normalise by stored statistics, as "
        "batch norms do in eval mode, not by those of the batch.",
        passed=moved <= STEADY,
    )


def reading_gate(
    classifier: Classifier,
    images: Float[Tensor, "n C H W"],
    labels: Int[Tensor, " n"],
    logits: Float[Tensor, "n Y"],
    *,
    level: float = LEVEL,
) -> Gate | None:
    """Whether the classifier is right much more often when it gets the images in another form.

    In [0, 1], in [0, 255], normalised as for ImageNet, or with channels in the order blue, green,
    red. None where it is right so often that no other form could be told to be better.
    """
    right = logits.argmax(-1) == labels
    others = _READINGS if images.shape[-3] == 3 else dict(list(_READINGS.items())[:2])
    level = level / len(others)
    if 0.5 ** int((~right).sum()) >= level:
        return None
    found = dict[str, tuple[int, int]]()
    given = images.to(classifier.device)
    with evaluating(classifier), torch.no_grad(), undisturbed():
        for name, reading in others.items():
            other = reading(classifier, given).argmax(-1).cpu() == labels
            found[name] = (int((other & ~right).sum()), int((right & ~other).sum()))
    name, (better, worse) = max(found.items(), key=lambda item: item[1][0] - item[1][1])
    wrong = better >= TWICE * worse and sign_test(better, worse) < level
    count, hits = len(labels), int(right.sum())
    return Gate(
        name="form of the classifier's images",
        found=f"Of {count:,} calibration images {percent(hits, count)} are right as the classifier "
        f"gets them, {percent(hits + better - worse, count)} {name}.",
        threshold=f"no other form is right {TWICE} times as often where the two differ (exact "
        f"test, p < {level:.2g})",
        remedy="Images are in [-1, 1], red first: give the classifier the mean and std of its "
        "training, see docs/bring_your_own.md.",
        passed=not wrong,
    )


def _reread(scale: float, mean: Sequence[float], std: Sequence[float]) -> Reading:
    """Give a classifier (scale (x + 1) / 2 - mean) / std for x, before what it does itself."""

    def read(classifier: Classifier, images: Tensor) -> Tensor:
        # (a x + b - m) / s is (x - (m - b) / a) / (s / a), with the classifier's own m and s.
        shape = (-1, 1, 1)
        deviation = torch.tensor(std).reshape(shape).to(images)
        a = scale / 2 / deviation
        b = a - torch.tensor(mean).reshape(shape).to(images) / deviation
        own = {"mean": (classifier.mean - b) / a, "std": classifier.std / a}
        found: Tensor = functional_call(classifier, own, (images,))
        return found

    return read


def _flipped(classifier: Classifier, images: Tensor) -> Tensor:
    found: Tensor = classifier(images.flip(-3))
    return found


_READINGS: Mapping[str, Reading] = {
    "in [0, 1]": _reread(1, (0,), (1,)),
    "in [0, 255]": _reread(255, (0,), (1,)),
    "with ImageNet's mean and std": _reread(1, *IMAGENET),
    "with channels in the order blue, green, red": _flipped,
}
"""Forms in which a classifier may have been trained; the first two are known of any channels."""


def _probs(classifier: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    return predict_logits(classifier, images, batch_size=batch_size).double().softmax(-1)
