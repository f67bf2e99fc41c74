"""The contract of attacks: the laws that each `Attack` keeps, as checks that anyone can run."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from genviews.rng import Rng
from genviews.robustness.ask import margin_of
from genviews.robustness.attack import ATTACKS, Attack, attack, size_of
from genviews.testing.laws import Batched, equal, expect, leaves_no_trace, refuses, sound

__all__ = ["ATTACK_CHECKS", "check_attack"]

IDS: tuple[int | str, ...] = ("a.png", 3, "b.png", 2**40)
SHAPE = (1, 6, 6)
ROUND_OFF = 1e-5  # that a budget may be passed by


def check_attack(subject: Attack) -> None:
    """Run every check of the contract on one attack, against small networks of its own.

    Args:
        subject: with a budget above 0.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.robustness.attack import attack
        >>> check_attack(attack("fgsm:0.1"))
    """
    AttackLaws.check(subject)


class _Small(nn.Module):
    """A network of fixed weights, with dropout, which must not act."""

    def __init__(self) -> None:
        super().__init__()
        values = Rng(0, "attack contract").streams(["first", "second"]).normal(1, (36, 36))[:, 0]
        self.first = nn.Parameter(values[0] / 6)
        self.second = nn.Parameter(values[1, :3] / 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.dropout((images.flatten(1) @ self.first).tanh()) @ self.second.T
        return logits


class AttackLaws(Batched[Attack]):
    """Four images that the network is right about, at first."""

    def __init__(self, subject: Attack) -> None:
        super().__init__(subject)
        self.model = _Small().train()
        drawn = Rng(1, "attack contract").streams(IDS).uniform(1, SHAPE)[:, 0]
        self.images, self.streams = drawn * 1.8 - 0.9, Rng(2).streams(IDS)
        self.classes = self._logits(self.images).argmax(1)

    def _logits(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            return (images.flatten(1) @ self.model.first).tanh() @ self.model.second.T

    def _attacked(self, subject: Attack | None = None, rows: list[int] | None = None) -> Tensor:
        chosen = list(range(len(IDS))) if rows is None else rows
        return (subject or self.subject)(
            self.model, self.images[chosen], self.classes[chosen], self.streams[chosen]
        )

    def _of(self, rows: list[int]) -> dict[str, Tensor]:
        return {"attacked images": self._attacked(rows=rows)}

    def _others(self) -> dict[str, object]:
        return {"budget": replace(self.subject, budget=0.5 * min(self.subject.budget, 1.0))}

    def budget_and_range_are_held(self) -> None:
        """Images stay in [-1, 1], finite, and change by the budget at most; black and white too."""
        for what, images in (("images", self.images), ("black and white", self.images.sign())):
            self.images = images
            found = self._attacked()
            sound(found, f"attacked {what}", images.shape, dtype=images.dtype, most=1.0)
            expect(not found.requires_grad, "they carry a gradient")
            size = size_of(found - images, self.subject.norm)
            allowed = self.subject.budget * (1 + ROUND_OFF) + 1e-6
            expect(size <= allowed, f"{what} change by up to {float(size.max()):.6g}")

    def no_budget_is_the_identity(self) -> None:
        """With a budget of 0 each image comes back as it is, bit for bit."""
        equal(self._attacked(replace(self.subject, budget=0.0)), self.images, "images")

    def it_attacks(self) -> None:
        """The margin of another class over the label grows, for each image that is changed."""
        before = margin_of(self._logits(self.images), self.classes)
        found = self._attacked()
        after = margin_of(self._logits(found), self.classes)
        changed = (found != self.images).flatten(1).any(1)
        expect(changed.any(), "no image is changed")
        expect(after[changed] > before[changed], "a changed image is further from an error")

    def more_budget_is_no_worse(self) -> None:
        """Ten times the budget gives a larger mean margin."""
        smaller = replace(self.subject, budget=0.1 * min(self.subject.budget, 1.0))
        margins = [
            margin_of(self._logits(self._attacked(one)), self.classes).mean()
            for one in (smaller, self.subject)
        ]
        expect(margins[1] > margins[0], "the margin is smaller")

    def streams_decide(self) -> None:
        """Equal streams give equal images, bit for bit, and nothing else is changed by the call."""
        with leaves_no_trace(self.model, self.images):
            found = self._attacked()
        equal(self._attacked(), found, "images of the same streams")
        with torch.inference_mode():
            equal(self._attacked(), found, "images under inference mode")

    def a_bad_image_harms_no_other(self) -> None:
        """One that is not finite comes back as it is; so does one without a finite gradient."""
        wanted, model = self._attacked(), self.model

        class Broken(_Small):
            def forward(self, images: Tensor) -> Tensor:
                good = (images[:, 0, 0, 0] < 0.99).to(images)[:, None]
                return super().forward(images) / good

        self.images = self.images.clone()
        self.images[1], self.images[2, 0, 0, 0] = torch.nan, 1.0
        for self.model in (model, Broken()):
            found = self._attacked()
            equal(found[[0, 3]], wanted[[0, 3]], "the images beside")
            expect(found[1].isnan(), "an image that is not finite is changed")
            expect(found[2].isfinite(), "an image became one that is not finite")

    def misuse_is_refused(self) -> None:
        """A label or stream too few, one that is no class, and images beyond [-1, 1] are errors."""
        attack_ = partial(self.subject, self.model)
        images, classes, streams = self.images, self.classes, self.streams
        refuses(lambda: attack_(images, classes[:2], streams), "two labels for four images")
        refuses(lambda: attack_(images, classes + 3, streams), "labels that are no classes")
        refuses(lambda: attack_(images, classes, streams[:2]), "two streams for four images")
        refuses(lambda: attack_(images * 127, classes, streams), "images of 0 to 255")
        equal(attack_(images[:0], classes[:0], streams[:0]), images[:0], "no image")

    def the_name_tells_it_apart(self) -> None:
        """Another budget has another name; that of an attack of the table makes it again."""
        other = replace(self.subject, budget=0.125)
        expect(other.name != self.subject.name, f"two budgets are called {other.name!r}")
        expect(other.name.startswith(self.subject.kind), f"{other.name!r} hides its kind")
        if self.subject.kind in ATTACKS:
            usual = self.subject.of_kind(self.subject.label, self.subject.budget)
            expect(attack(usual.name) == usual, f"{usual.name!r} is another attack")


ATTACK_CHECKS = AttackLaws.checks()
