"""Any classifier that a user could write: a right answer, or one sentence that says why not."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from genviews.classify.config import TrainConfig
from genviews.classify.model import Classifier, predict_logits
from genviews.classify.train import train_classifier
from genviews.invert.features import Predictions
from genviews.types import ImageSpec

SENTENCE = re.compile(r"^[^:\n]+: expected .+, got .+; .+\.$")
QUICK = settings(
    max_examples=60,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


pytestmark = pytest.mark.as_installed


class Network(nn.Module):
    """Two layers, and whatever its answer is turned into."""

    def __init__(self, pixels: int, outputs: int, seed: int, turn: Callable) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(pixels, 6, generator=random) / pixels**0.5)
        self.second = nn.Parameter(torch.randn(6, outputs, generator=random))
        self.turn = turn

    def forward(self, images: Tensor) -> object:
        return self.turn((images.flatten(1) @ self.first).relu() @ self.second)


RIGHT: dict[str, Callable] = {
    "tensor": lambda out: out,
    "squeezed": lambda out: out.squeeze(),
    "maps": lambda out: out[..., None, None],
    "dict": lambda out: {"logits": out},
    "tuple": lambda out: (None, out),
    "strided": lambda out: out.T.contiguous().T,
    "log-softmax": lambda out: out.log_softmax(1) if out.shape[1] > 1 else out,
    "double": lambda out: out.double(),
}


def raising(error: BaseException) -> Callable:
    def turn(out: Tensor) -> Tensor:
        raise error

    return turn


WRONG: dict[str, Callable] = {
    "softmax": lambda out: out.softmax(1) if out.shape[1] > 1 else out.sigmoid(),
    "dropout": nn.functional.dropout,
    "over the batch": lambda out: out - out.mean(0),
    "other width": lambda out: torch.cat([out] * 7, 1),
    "one row": lambda out: out[:1],
    "one row more": lambda out: torch.cat([out, out[:1]]),
    "turned": lambda out: torch.cat([out] * 7, 1).T,
    "numbers": lambda out: out.argmax(1),
    "complex": lambda out: out.to(torch.complex64),
    "list": lambda out: out.tolist(),
    "nothing": lambda out: None,
    "empty": lambda out: out[:0],
    "sum": lambda out: out.sum() * torch.ones(()),
    "NaN": lambda out: out * torch.nan,
    "constant": lambda out: out * 0,
    "index": lambda out: out[99],
    "runtime": raising(RuntimeError("CUDA error: device-side assert\nat line 3")),
    "key": raising(KeyError("x")),
    "assert": raising(AssertionError()),
    "not implemented": raising(NotImplementedError()),
    "exit": raising(SystemExit(2)),
    "stop": raising(StopIteration()),
}

WAYS = ["make", "plain", "objective", "train"]
SPECS = st.builds(
    ImageSpec, channels=st.sampled_from([1, 3]), height=st.integers(2, 6), width=st.integers(2, 6)
)
DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16])


@st.composite
def users_classifiers(draw: st.DrawFn, turns: dict[str, Callable]) -> tuple:
    """(network, spec, names, settings) of a user's."""
    spec, classes = draw(SPECS), draw(st.integers(2, 5))
    outputs = draw(st.sampled_from([1, 2])) if classes == 2 else classes
    given: dict[str, object] = {"input_channels": draw(st.sampled_from([None, 1, 3]))}
    given["input_size"] = draw(st.sampled_from([(), 3, (4, 5)]))
    given["input_range"] = draw(st.sampled_from([None, "0..1", "0..255"]))
    size = given["input_size"] or (spec.height, spec.width)
    height, width = (size, size) if isinstance(size, int) else size
    pixels = (given["input_channels"] or spec.channels) * height * width
    turn = turns[draw(st.sampled_from(sorted(turns)))]
    network = Network(pixels, outputs, draw(st.integers(0, 99)), turn).to(draw(DTYPES))
    return network, spec, [f"class {i}" for i in range(classes)], given


def images_of(spec: ImageSpec, count: int, seed: int) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, *spec.shape, generator=random) * 2 - 1


def close(found: Tensor, wanted: Tensor, scale: float = 1.0) -> None:
    half = found.dtype == torch.bfloat16
    torch.testing.assert_close(found, wanted, rtol=0, atol=scale * (0.1 if half else 1e-4))


@QUICK
@given(users_classifiers(RIGHT), st.integers(1, 7), st.integers(1, 8), st.randoms())
def test_an_answer_depends_on_its_image_alone(parts, count, chunk, random) -> None:
    network, spec, names, given = parts
    try:
        classifier = Classifier(network, spec, names, **given)
    except ValueError as error:  # all rectifiers of a random network may be shut
        assert "the same answer for 6 different images" in str(error)  # noqa: PT017 (an answer is as good)
        return
    images = images_of(spec, count, 1)
    found = predict_logits(classifier, images, chunk)
    assert found.shape == (count, len(names))
    order = list(range(count))
    random.shuffle(order)
    scale = max(1.0, float(found.abs().max()))
    close(predict_logits(classifier, images[order], 1 + chunk // 2), found[order], scale)
    close(predict_logits(classifier, images[:1]), found[:1], scale)
    close(predict_logits(classifier, images[:, None], chunk)[:, 0], found, scale)
    # What is wrong with one image is that image's.
    bad = order[0]
    spoilt = images.clone()
    place = tuple(random.randrange(side) for side in spec.shape)
    spoilt[bad][place] = random.choice([torch.nan, torch.inf, -torch.inf])
    again = predict_logits(classifier, spoilt, chunk)
    others = [row for row in range(count) if row != bad]
    close(again[others], found[others], scale)


@QUICK
@given(users_classifiers(WRONG), st.integers(1, 6), st.sampled_from(WAYS))
def test_a_wrong_classifier_is_told_in_one_sentence(parts, count, way) -> None:
    network, spec, names, given = parts
    images = images_of(spec, count + 1, 2)
    labels = torch.arange(count + 1) % len(names)
    config = TrainConfig(epochs=1, batch_size=2, warmup=0.0)
    try:
        if way == "make":
            Classifier(network, spec, names, **given)
        elif way == "plain":  # where what cannot be asked of a plain module is not asked
            predict_logits(network, images)
        elif way == "objective":
            Predictions(1.0, network).keep(
                images, torch.ones(count + 1, 1, *spec.shape[1:]), images
            )
        else:
            train_classifier(network, images, labels, config)
    except (ValueError, TypeError) as error:
        assert SENTENCE.match(str(error)), str(error)  # noqa: PT017 (an answer is as good)
    else:
        assert way != "make"


@QUICK
@given(
    users_classifiers({"tensor": RIGHT["tensor"]}),
    st.lists(st.integers(0, 5), max_size=5),
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.uint8, torch.int64]),
)
def test_any_images_are_answered_or_refused_in_one_sentence(parts, shape, dtype) -> None:
    network, spec, names, given = parts
    try:
        classifier = Classifier(network, spec, names, **given)
    except ValueError:
        return
    for images in (torch.zeros(shape, dtype=dtype), torch.zeros(*shape, *spec.shape, dtype=dtype)):
        for ask in (classifier, lambda x: predict_logits(classifier, x, 2)):
            try:
                found = ask(images)
            except (ValueError, TypeError) as error:
                assert SENTENCE.match(str(error)), str(error)  # noqa: PT017 (an answer is as good)
            else:
                assert found.shape == (*images.shape[:-3], len(names))


LABELS = {
    "right": (lambda labels: labels, None),
    "int32": (lambda labels: labels.int(), None),
    "floats": (lambda labels: labels.float(), "training labels: expected integers"),
    "bool": (lambda labels: labels > 0, "training labels: expected integers"),
    "one-hot": (lambda labels: torch.eye(3).long()[labels], r"training labels: expected shape"),
    "too few": (
        lambda labels: labels[:-1],
        "training labels: expected 6, one for each image, got 5",
    ),
    "below 0": (lambda labels: labels - 1, "classes from 0 to 2, got labels from -1 to 1"),
    "from 1": (lambda labels: labels + 1, "classes from 0 to 2, got labels from 1 to 3"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_are_no_classes_are_told_before_a_step(kind: str) -> None:
    turn, message = LABELS[kind]
    spec = ImageSpec(channels=1, height=3, width=3)
    network = Network(9, 3, 0, RIGHT["tensor"])
    images, labels = images_of(spec, 6, 3), torch.arange(6) % 3
    config = TrainConfig(epochs=1, batch_size=3, warmup=0.0)
    if message is None:
        assert len(train_classifier(network, images, turn(labels), config).history) == 1
        return
    with pytest.raises(ValueError, match=message):
        train_classifier(network, images, turn(labels), config)
    with pytest.raises((ValueError, TypeError), match=r"training images: expected .*, got .*; "):
        train_classifier(network, images[:, 0] if kind < "f" else images.byte(), labels, config)
