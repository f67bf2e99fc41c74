"""What an attack asks of a model: its answers, a loss of them, and the gradient by the images.

Images are asked about a part at a time, always so many rows on a CPU, so that the answer to one is
the same bit for bit whatever its neighbours: the sign of a gradient makes much of round-off.

    cross-entropy   -log p_y
    margin          max over k != y of z_k, less z_y: above 0 where the model errs; it does not
                    saturate where a model is sure of itself

Source: the margin is f_6 of Carlini and Wagner 2017, arXiv 1608.04644, without its bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Bool
from torch import Tensor
from torch.nn import functional as F

from genviews.invert.batch import ALIKE, in_parts
from genviews.types import Images, Label, Values, check_classes, check_shape, check_tensor

__all__ = ["Answer", "Ask", "LossName", "loss_of", "margin_of", "right_of"]

Answer = Callable[[Tensor, Tensor, int], Tensor]
"""(some images, their rows, which draw of what is random) -> logits."""

LossName = Literal["cross-entropy", "margin"]


def margin_of(logits: Tensor, labels: Label) -> Values:
    """By how much the best of the other classes is above the label; above 0 is an error."""
    own = logits.gather(1, labels[:, None])[:, 0]
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - own


def right_of(logits: Tensor, labels: Label) -> Bool[Tensor, " B"]:
    """Whether the label has the largest logit of finite ones; equal to another's it has not."""
    return (margin_of(logits, labels) < 0) & logits.isfinite().all(-1)


def loss_of(logits: Tensor, labels: Label, name: LossName) -> Values:
    """The loss of each image that an attack raises, see the module."""
    if name == "margin":
        return margin_of(logits, labels)
    return F.cross_entropy(logits, labels, reduction="none")


class Ask:
    """What answers, and the labels of the images that it is asked about.

    Args:
        answer: see `Answer`; a draw of -1 is what the model says when it counts, the others are
            draws of an attacker's own.
        labels: true classes.
        samples: draws that a gradient is the mean over.
        rows: of the images among all that are attacked; None for all.
    """

    def __init__(
        self, answer: Answer, labels: Label, *, samples: int = 1, rows: Tensor | None = None
    ) -> None:
        self.answer, self.samples = answer, samples
        self.rows = torch.arange(len(labels), device=labels.device) if rows is None else rows
        self.labels, self._checked = labels.long(), False

    def of(self, rows: Tensor) -> Ask:
        """The same, of some of the images."""
        rows = rows.to(self.labels.device)
        return Ask(self.answer, self.labels[rows], samples=self.samples, rows=self.rows[rows])

    def asked(self, images: Images, rows: Tensor, draw: int) -> Tensor:
        """What is answered; the first time it is checked.

        Raises:
            TypeError, ValueError: it gives no logits, or of other classes than those of the labels.
        """
        logits = self.answer(images, rows, draw)
        if not self._checked:
            remedy = "give a model that returns logits, such as a `Classifier`"
            check_tensor(logits, "logits", floats=True)
            check_shape(logits, (len(images), "Y"), "logits", remedy)
            check_classes(self.labels, logits.shape[1], "labels")
            self._checked = True
        return logits

    def logits(self, images: Images, draw: int = -1) -> Tensor:
        """(B, Y), with a gradient where one is recorded."""

        def part(rows: Tensor) -> tuple[Tensor]:
            return (self.asked(images[rows], self.rows[rows.to(self.rows.device)], draw),)

        return in_parts(part, len(images), images.device, ALIKE)[0]

    def guess(self, images: Images) -> Tensor:
        """(B, Y) as far as an attacker knows them: the mean over draws of his own, see `logits`."""
        return torch.stack([self.logits(images, draw) for draw in range(self.samples)]).mean(0)

    def margins(self, images: Images, *, guessed: bool = False) -> Values:
        """`margin_of` what the model says when it counts, or of a `guess`.

        Infinite where an answer is not finite: there it errs.
        """
        with torch.no_grad():
            logits = self.guess(images) if guessed else self.logits(images)
            found = margin_of(logits, self.labels.to(images.device))
            return found.where(logits.isfinite().all(-1), torch.inf)

    def slope(self, images: Images, loss: LossName, step: int) -> Images:
        """The gradient of each image's loss; 0 for an image of which it is not finite.

        Args:
            images: where.
            loss: of which.
            step: another step, other draws.
        """
        labels = self.labels.to(images.device)

        def part(rows: Tensor) -> tuple[Tensor]:
            leaf, total = images[rows].detach().requires_grad_(), torch.zeros_like(images[rows])
            own = self.rows[rows.to(self.rows.device)]
            for sample in range(self.samples):
                logits = self.asked(leaf, own, step * self.samples + sample)
                value = loss_of(logits, labels[rows], loss).sum()
                if value.requires_grad:  # else it does not depend on the images
                    total += torch.autograd.grad(value, leaf, materialize_grads=True)[0]
            return (total,)

        found = in_parts(part, len(images), images.device, ALIKE)[0]
        return torch.where(found.isfinite().flatten(1).all(1)[:, None, None, None], found, 0.0)
