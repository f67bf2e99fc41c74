"""The forms in which networks answer, and logits from each."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from genviews.classify.model import Classifier, predict_logits
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)
NAMES = ("cat", "dog", "bird")
X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Aux(NamedTuple):
    logits: Tensor
    aux_logits: Tensor


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


def three(x: Tensor) -> Tensor:
    return 9 * x.flatten(1)[:, :3] - 3


def one(x: Tensor) -> Tensor:
    return 9 * x.flatten(1)[:, 0]


@pytest.mark.parametrize(
    "answer",
    [
        lambda x: Output(three(x), x),
        lambda x: Aux(three(x), three(x) + 1),
        lambda x: SimpleNamespace(loss=None, logits=three(x)),
        lambda x: {"logits": three(x), "aux": three(x)},
        lambda x: {"out": three(x)},
        lambda x: {"features": x, "scores": three(x), "name": "net"},
        lambda x: (three(x),),
        lambda x: [x, three(x)],
        lambda x: (None, three(x), x.flatten(1)),
        lambda x: three(x)[..., None, None],
        lambda x: three(x).squeeze(),
        lambda x: three(x).double(),
        lambda x: three(x).log_softmax(1),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_any_usual_form_gives_the_logits(answer, size: int) -> None:
    found = predict_logits(Classifier(answer, SPEC, NAMES), X, size)
    assert found.shape == (5, 3)
    torch.testing.assert_close(found.softmax(1), three(X).softmax(1), check_dtype=False)


@pytest.mark.parametrize(
    "answer",
    [one, lambda x: one(x)[:, None], lambda x: one(x)[:, None].squeeze(), lambda x: {"y": one(x)}],
)
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])  # the last chunk has 1 image, for 1, 2 and 4
def test_a_single_logit_is_the_second_class_in_any_chunk(answer, size: int) -> None:
    found = predict_logits(Classifier(answer, SPEC, ("no", "yes")), X, size)
    torch.testing.assert_close(found, torch.stack([torch.zeros(5), one(X)], 1))


def test_two_logits_that_one_image_squeezes_are_two() -> None:
    classifier = Classifier(lambda x: three(x)[:, :2].squeeze(), SPEC, ("no", "yes"))
    torch.testing.assert_close(predict_logits(classifier, X, 4), three(X)[:, :2])


def test_probabilities_become_logits_that_give_them_back() -> None:
    probs = three(X).softmax(1)
    found = Classifier(lambda x: three(x).softmax(1), SPEC, NAMES, outputs="probs")(X)
    torch.testing.assert_close(found.softmax(1), probs)
    for kind in ("probs", "sigmoids"):
        single = Classifier(lambda x: one(x).sigmoid(), SPEC, ("no", "yes"), outputs=kind)
        torch.testing.assert_close(single(X).softmax(1)[:, 1], one(X).sigmoid())
    many = Classifier(lambda x: three(x).sigmoid(), SPEC, NAMES, outputs="sigmoids")
    torch.testing.assert_close(many(X).sigmoid(), three(X).sigmoid())


@pytest.mark.parametrize("outputs", ["logits", "probs"])
def test_a_probability_of_zero_stays_finite(outputs: str) -> None:
    def certain(x: Tensor) -> Tensor:
        probs = nn.functional.one_hot(three(x).argmax(1), 3).to(x)
        return probs.log() if outputs == "logits" else probs

    found = Classifier(certain, SPEC, NAMES, outputs=outputs)(X)
    assert bool(found.isfinite().all())
    torch.testing.assert_close(
        found.softmax(1), certain(X).softmax(1) if outputs == "logits" else certain(X)
    )


def test_outputs_are_matched_to_classes_by_name() -> None:
    classifier = Classifier(three, SPEC, ("bird", "cat"), output_names=NAMES)
    assert torch.equal(classifier(X), three(X)[:, [2, 0]])
    assert torch.equal(Classifier(three, SPEC, NAMES, output_names=NAMES)(X), three(X))
    turned = Classifier(one, SPEC, ("yes", "no"), output_names=("no", "yes"))
    torch.testing.assert_close(turned(X), torch.stack([one(X), torch.zeros(5)], 1))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda x: (three(x), three(x)), r"got tuple with 0: \(6, 3\), 1: \(6, 3\); wrap the"),
        (lambda x: {"a": three(x), "b": three(x)}, r"got dict with 'a': \(6, 3\), 'b'"),
        (lambda x: {}, "got dict with nothing"),
        (lambda x: {"x": x}, r"'x': \(6, 1, 4, 4\)"),
        (lambda x: three(x).argmax(1), "a tensor of floats, got torch.int64; .*before any argmax"),
        (lambda x: three(x).numpy(), "a tensor of logits, got ndarray"),
        (lambda x: three(x).to_sparse(), r"a dense tensor, got torch.sparse_coo"),
        (lambda x: None, "got NoneType"),
        (lambda x: 3.0, "got float"),
        (lambda x: x, r"shape \(6, 3\) for 6 images, got shape \(6, 1, 4, 4\)"),
        (lambda x: three(x).mean(0), r"got shape \(3,\)"),
        (lambda x: three(x).T, r"got shape \(3, 6\)"),
        (lambda x: three(x)[:, :2], "returns 2 logits, labels have 3 classes.*--output-names"),
    ],
)
def test_anything_else_is_told_with_the_page_that_helps(answer, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"(?s){message}.*docs/bring_your_own.md"):
        Classifier(answer, SPEC, NAMES)


def test_no_images_have_no_logits() -> None:
    assert Classifier(three, SPEC, NAMES)(X[:0]).shape == (0, 3)
