"""A classifier is tried before it is used: what would make its answers wrong is refused at once.

Six images, none of them blank, are shown together, in the other order, and two of them alone.

| fault | found by |
|---|---|
| not finite | NaN, or inf, in an answer |
| probabilities taken for logits | rows in [0, 1] that add up to 1, or a last sigmoid |
| logits taken for probabilities | a value outside [0, 1], a row that does not add up to 1 |
| blind | the six answers are equal, also for images up to 1e20 times as strong |
| depends on chance or on the batch | the same image's answers differ by more than `tolerance` |

What cannot be said of six images without labels (the order of the classes, the range that the
network was trained with) is asked of labelled ones, by the studies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import fail
from genviews.identity.answers import fixed_images, largest_difference
from genviews.modes import evaluating, undisturbed
from genviews.signature import checked
from genviews.types import ImageSpec
from genviews.user_code import GUIDE

if TYPE_CHECKING:
    from genviews.classify.model import Classifier

__all__ = ["probe_classifier", "probe_images", "tolerance"]

SAME = 1e-4  # of the largest output: round-off of a deep float32 network stays far below it
LAST_BITS = 8  # or so many units in the last place of the largest output, in shorter floats
TF32 = 2**-10  # of float32 off the CPU: short products, and other algorithms for other batches
SUM = 1e-3  # how far from 1 a row of probabilities may be, or half precision's tolerance
STRONGER = (1e3, 1e6, 1e20)  # times as strong: what is bounded, or blind, stays so

# Steps of a gradient that leave values as they are.
_SAME_VALUES = {"Alias", "Clone", "Expand", "Permute", "Reshape", "Select", "Slice", "Squeeze"}
_SAME_VALUES |= {"T", "ToCopy", "Transpose", "UnsafeView", "Unsqueeze", "View"}
_UNKNOWN = {"CompiledFunctionBackward", "DifferentiableGraphBackward"}


def probe_images(spec: ImageSpec) -> Float[Tensor, "6 C H W"]:
    """Return six images in [-1, 1]: noise from coarse to fine, and a dark and a light one."""
    noise = fixed_images(ImageSpec(channels=spec.channels, height=spec.height, width=spec.width), 4)
    return torch.cat([noise, 0.2 * noise[:1] - 0.8, 0.2 * noise[1:2] + 0.8])


def tolerance(found: Tensor) -> float:
    """Largest difference of equal answers, as a part of the largest output."""
    eps = torch.finfo(found.dtype).eps
    if found.dtype == torch.float32 and found.device.type != "cpu":
        eps = TF32
    return max(SAME, LAST_BITS * eps)


@checked
def probe_classifier(classifier: Classifier) -> None:
    """Raise for what would make a classifier's answers wrong; its mode and chance are left alone.

    Raises:
        TypeError: it does not answer with floats.
        ValueError: any of the faults of this module's table, or of `answers.rows_of`.
    """
    images = probe_images(classifier.image_spec).to(classifier.device)
    with evaluating(classifier), torch.no_grad(), undisturbed():
        found = classifier.answer(images)
        _check_finite(found)
        _check_kind(classifier, images, found)
        # In half precision, differences may be lost beside a large bias: stronger images show them.
        if _equal(found) and all(_equal(classifier.answer(images * many)) for many in STRONGER):
            _refuse(
                "answers that depend on the image",
                f"the same answer for {len(found)} different images",
                "give the trained network, and check what its forward does with the images",
            )
        _check_alone(classifier, images, found)


def _equal(found: Tensor) -> bool:
    """Whether answers without NaN and inf are the same; a masked class may have -inf."""
    known = found[~(found.isnan() | (found == torch.inf)).any(1)]
    return bool((known == known[:1]).all())


def _check_finite(found: Tensor) -> None:
    if bool((found.isnan() | (found == torch.inf)).any()):
        bad = int((~found.isfinite()).any(1).sum())
        remedy = "check its weights, and what it divides by"
        _refuse("finite answers", f"NaN or inf for {bad} of {len(found)} images", remedy)


def _check_kind(classifier: Classifier, images: Tensor, found: Tensor) -> None:
    """Find probabilities that are taken for logits, and the reverse."""
    kind, single = classifier.settings.outputs, found.shape[1] == 1
    inside = bool(((found >= 0) & (found <= 1)).all())
    sums = bool(((found.double().sum(1) - 1).abs() <= max(SUM, tolerance(found))).all())
    if kind == "logits" and inside:
        if sums and not single:
            _refuse(
                "logits",
                "probabilities: values in [0, 1], and every row adds up to 1",
                'say outputs="probs" (--outputs probs), or leave the softmax out',
            )
        if _ends_in_sigmoid(classifier, images, single):
            _refuse(
                "logits",
                "probabilities: values in [0, 1], from a sigmoid",
                'say outputs="sigmoids" (--outputs sigmoids), or leave the sigmoid out',
            )
    elif kind != "logits" and not inside:
        got = f"values from {float(found.min()):.3g} to {float(found.max()):.3g}"
        _refuse("probabilities", got, 'say outputs="logits" (--outputs logits)')
    elif kind == "probs" and not (single or sums):
        got = f"rows that add up to {float(found[0].sum()):.3g}, for example"
        remedy = 'say outputs="sigmoids" (--outputs sigmoids) for a probability of each output'
        _refuse("probabilities of all classes, which add up to 1", got, remedy)


def _ends_in_sigmoid(classifier: Classifier, images: Tensor, single: bool) -> bool:
    """Whether outputs in [0, 1] come from a sigmoid, as the graph of their gradient tells.

    A single output without such a graph is asked again for images a million times as strong: what
    stays in [0, 1] even then is bounded.
    """
    step = None
    try:
        with torch.enable_grad():
            found = classifier.answer(images[:1].clone().requires_grad_())
        step = found.grad_fn
        while step is not None and step.name().partition("Backward")[0] in _SAME_VALUES:
            step = step.next_functions[0][0]
    except (RuntimeError, ValueError):  # no gradient can be had of it
        pass
    if step is not None and step.name() not in _UNKNOWN:
        return step.name().startswith("SigmoidBackward")
    if not single:
        return False
    found = classifier.answer(images * STRONGER[1])
    return bool(((found >= 0) & (found <= 1)).all())


def _check_alone(classifier: Classifier, images: Tensor, found: Tensor) -> None:
    """Find answers that depend on the other images of a batch, on their order, or on chance."""
    largest = float(found[found.isfinite()].abs().max())
    allowed = tolerance(found) * largest
    turned = classifier.answer(images.flip(0)).flip(0)
    alone = torch.cat([classifier.answer(images[row : row + 1]) for row in (0, -1 % len(images))])
    apart = max(largest_difference(turned, found), largest_difference(alone, found[[0, -1]]))
    if apart <= allowed:
        return
    got = f"answers that differ by {apart:.2g} (largest output {largest:.2g})"
    again = largest_difference(classifier.answer(images), found)
    if again > allowed:
        _refuse(
            "the same answer for the same image",
            f"{got} from one call to the next, by chance",
            "use nn.Dropout, or F.dropout(..., training=self.training), and no random numbers",
        )
    _refuse(
        "an answer for an image that does not depend on the others of its batch",
        f"{got} alone, in a batch, or in another order",
        "use running statistics in batch norms, and no mean over the batch",
    )


def _refuse(expected: str, got: str, remedy: str) -> NoReturn:
    fail("classifier", expected=expected, got=got, remedy=f"{remedy}; see {GUIDE}")
