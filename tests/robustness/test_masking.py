"""A defence that hides its gradient is told from one that is robust, and from one that is not."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from genviews import Classifier, ImageSpec, Rng
from genviews.robustness.adaptive import AdaptiveAttack, view_streams
from genviews.robustness.defence import Preprocessed, Undefended, straight_through
from genviews.robustness.gradient import FGSM, PGD
from genviews.robustness.masking import check_masking

SPEC = ImageSpec(channels=1, height=6, width=6)
IDS = tuple(f"{i}.png" for i in range(40))


def a_classifier() -> Classifier:
    """Of random images, by a fixed direction and a bend."""
    weights = Rng(0, "masking").streams(range(3)).normal(1, (36,))[:, 0].double()

    def network(images: Tensor) -> Tensor:
        return (images.flatten(1) @ weights.T.to(images)).asinh()

    return Classifier(network, SPEC, ("one", "two", "three"))


CLASSIFIER = a_classifier()
IMAGES = Rng(1).streams(IDS).uniform(1, SPEC.shape)[:, 0].double() * 1.6 - 0.8
LABELS = CLASSIFIER(IMAGES).argmax(1)
check = partial(
    check_masking, images=IMAGES, labels=LABELS, streams=view_streams(IDS), budgets=(0.05, 0.3)
)
ATTACK = AdaptiveAttack(attack=PGD(0.15, steps=6))


def rounded(images: Tensor) -> Tensor:
    return (images * 5).round() / 5


def test_a_plain_classifier_breaks_and_hides_nothing() -> None:
    found = check(Undefended(model=CLASSIFIER), attack=ATTACK)
    assert found.believable
    assert found.budgets == (0.05, 0.15, 0.3, 1.0)
    assert found.accuracy[-1] == 0
    assert list(found.accuracy) == sorted(found.accuracy, reverse=True)
    assert list(found.margin) == sorted(found.margin)
    assert found.worst <= found.accuracy[1] <= found.random <= found.clean == 1.0
    assert found.words.startswith("No sign of a masked gradient: at a budget of 0.15")


def test_rounding_is_seen_through() -> None:
    """The attack that takes its gradient of 0 finds nothing; what needs no gradient finds more."""
    plain = Undefended(model=CLASSIFIER)
    masked = Preprocessed(model=CLASSIFIER, process=rounded, through="own")
    naive = check(masked, attack=ATTACK, transfer_from=plain)
    assert not naive.believable
    assert naive.transfer < naive.accuracy[1] - 0.2
    assert naive.random < naive.accuracy[1] - 0.1
    assert "made for another model" in naive.words
    assert "random search" in naive.words
    assert naive.words.startswith("Not to be believed as robustness.")
    open_ = Preprocessed(model=CLASSIFIER, process=rounded)
    adaptive = check(open_, attack=ATTACK, transfer_from=plain)
    assert adaptive.believable
    assert adaptive.accuracy[1] < naive.accuracy[1] - 0.2


def test_a_gradient_that_points_the_wrong_way_is_no_robustness() -> None:

    class Backwards(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            logits = CLASSIFIER(images)
            return 2 * logits.detach() - logits

    found = check(Preprocessed(model=Backwards(), process=rounded), attack=ATTACK)
    assert found.accuracy[-1] > 0.9
    assert "which leaves nothing of an image" in found.words


def test_smaller_budgets_and_single_steps_that_find_more_are_told() -> None:
    """A defence that errs near an image and is right again farther off, and points back to it."""
    nearest = IMAGES.flatten(1)

    def defence(images: Tensor, streams) -> Tensor:
        flat = images.flatten(1)
        places = torch.cdist(flat.detach(), nearest, p=float("inf")).min(1)
        away = flat - nearest[places.indices]
        # At the image itself everything leads away; elsewhere everything leads back.
        path = torch.where(places.values > 0, -away.abs().sum(1), flat.sum(1))
        err = (places.values > 0) & (places.values < 0.1) | (places.values > 0.149)
        other = straight_through(torch.where(err, 2.0, -2.0).to(path), path)
        label = nn.functional.one_hot(LABELS[places.indices], 3).to(path)
        return label + other[:, None] * (1 - label)

    found = check(defence, attack=AdaptiveAttack(attack=PGD(0.15, steps=6, stride=0.02)))
    assert found.worst == 0
    assert "of one step" in found.words
    smaller = check(
        lambda images, streams: defence(images * 1, streams),
        attack=AdaptiveAttack(attack=PGD(0.12, steps=6, stride=1.0)),
        budgets=(0.05,),
    )
    assert smaller.worst == 0
    assert "the smaller one of 0.05" in smaller.words


@pytest.mark.parametrize("size", [6, 24])
def test_nothing_is_left_of_an_image_whatever_its_size(size) -> None:
    spec = ImageSpec(channels=3, height=size, width=size)
    weights = Rng(0, "l2").streams(range(2)).normal(1, (3 * size * size,))[:, 0].double()
    classifier = Classifier(lambda x: x.flatten(1) @ weights.T.to(x), spec, ("one", "two"))
    images = Rng(2).streams(range(10)).uniform(1, spec.shape)[:, 0].double() * 0.2 + 0.7
    labels = classifier(images).argmax(1)
    found = check_masking(
        Undefended(model=classifier), images, labels, view_streams(IDS[:10]),
        AdaptiveAttack(attack=PGD(0.1, steps=3, norm="l2", loss="margin")),
    )  # fmt: skip
    assert found.believable
    assert found.accuracy[-1] == 0


def test_only_pgd_is_checked() -> None:
    with pytest.raises(ValueError, match="attack to be checked: expected PGD"):
        check(Undefended(model=CLASSIFIER), attack=AdaptiveAttack(attack=FGSM(0.1)))
    with pytest.raises(ValueError, match="budgets: expected ascending"):
        check(Undefended(model=CLASSIFIER), attack=ATTACK, budgets=(0.3, 0.1))
