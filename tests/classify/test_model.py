"""The classifier wrapper: shapes, normalisation, single logits, modes and its error messages."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from genviews.classify.convert import from_unit_range
from genviews.classify.model import Classifier, predict_logits
from genviews.identity import identify
from genviews.types import ImageSpec

GREY = ImageSpec(channels=1, height=4, width=6)
RGB = ImageSpec(channels=3, height=4, width=6)
NAMES = ("cat", "dog", "bird")


class Linear(nn.Module):
    """Logits w.x, with dropout and a batch norm to make the mode visible."""

    def __init__(self, spec: ImageSpec = RGB, out: int = 3) -> None:
        super().__init__()
        size = spec.channels * spec.height * spec.width
        self.norm = nn.BatchNorm1d(size)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(size, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.norm(x.flatten(1))))


class Returns(nn.Module):
    """Returns what a function makes of the images."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def images(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_views_give_a_class_axis() -> None:
    classifier = Classifier(Linear().eval(), RGB, NAMES)
    views = images(2, 5, 3, 4, 6)
    logits = classifier(views)
    assert logits.shape == (2, 5, 3)
    for b in range(2):
        torch.testing.assert_close(logits[b], classifier(views[b]))
    assert classifier(views[0, 0]).shape == (3,)
    assert classifier.num_classes == 3
    assert classifier.class_names == NAMES


def test_mean_and_std_are_per_channel_in_the_range_of_the_images() -> None:
    module = Returns(lambda x: x.sum((2, 3)))
    mean, std = [0.1, -0.2, 0.3], [0.5, 2.0, 0.25]
    classifier = Classifier(module, RGB, NAMES, mean, std)
    x = images(4, 3, 4, 6)
    want = torch.stack([((x[:, c] - mean[c]) / std[c]).sum((1, 2)) for c in range(3)], dim=1)
    torch.testing.assert_close(classifier(x), want)
    single = Classifier(module, RGB, NAMES, 0.5, 0.1)
    torch.testing.assert_close(single(x), ((x - 0.5) / 0.1).sum((2, 3)))


def test_from_unit_range_normalises_alike() -> None:
    m, s = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    unit = (images(2, 3, 4, 6) + 1) / 2
    mean, std = from_unit_range(m, s)
    for c in range(3):
        ours = (unit[:, c] * 2 - 1 - mean[c]) / std[c]
        torch.testing.assert_close(ours, (unit[:, c] - m[c]) / s[c])


def test_no_normalisation_changes_no_bit() -> None:
    module = Returns(lambda x: x.flatten(1)[:, :3])
    x = images(4, 3, 4, 6)
    assert torch.equal(Classifier(module, RGB, NAMES)(x), x.flatten(1)[:, :3])


@pytest.mark.parametrize("keep", [True, False])
def test_a_single_logit_is_the_second_class(keep: bool) -> None:
    module = Returns(
        lambda x: x.mean((1, 2, 3), keepdim=False)[:, None] if keep else x.mean((1, 2, 3))
    )
    classifier = Classifier(module, GREY, ("no", "yes"))
    x = images(7, 1, 4, 6)
    logit = x.mean((1, 2, 3))
    logits = classifier(x)
    assert logits.shape == (7, 2)
    assert torch.equal(logits, torch.stack([torch.zeros(7), logit], dim=1))
    torch.testing.assert_close(logits.softmax(-1)[:, 1], logit.sigmoid())
    assert classifier(x[:2].view(1, 2, 1, 4, 6)).shape == (1, 2, 2)


def test_two_images_with_two_logits_are_not_a_single_logit() -> None:
    classifier = Classifier(Returns(lambda x: x.flatten(1)[:, :2]), GREY, ("no", "yes"))
    x = images(2, 1, 4, 6)
    assert torch.equal(classifier(x), x.flatten(1)[:, :2])
    assert torch.equal(classifier(x[:1]), x[:1].flatten(1)[:, :2])


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_predict_logits_equals_one_image_at_a_time(batch_size: int) -> None:
    module = Linear().eval()
    x = images(3, 3, 3, 4, 6)
    done: list[tuple[int, int]] = []
    found = predict_logits(
        Classifier(module, RGB, NAMES), x, batch_size, progress=lambda *told: done.append(told[2:])
    )
    assert found.shape == (3, 3, 3)
    assert not found.requires_grad
    for b in range(3):
        for k in range(3):
            torch.testing.assert_close(found[b, k], module(x[b, k][None])[0])
    assert done[-1] == (9, 9)
    assert [a for a, _ in done] == [min(n, 9) for n in range(0, 9 + batch_size, batch_size)]


def test_predict_logits_takes_any_module() -> None:
    module = Linear()
    x = images(5, 3, 4, 6)
    found = predict_logits(module, x)
    assert torch.equal(found, copy.deepcopy(module).eval()(x).detach())


def test_the_users_mode_and_weights_are_left_alone() -> None:
    module = Linear()
    module.norm.eval()  # a part that the user froze
    module.drop.train()
    before = copy.deepcopy(module.state_dict())
    modes = [part.training for part in module.modules()]
    classifier = Classifier(module, RGB, NAMES)
    assert classifier.training
    predict_logits(classifier, images(5, 3, 4, 6))
    assert [part.training for part in module.modules()] == modes
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None and p.requires_grad for p in module.parameters())


def test_the_mode_comes_back_after_an_error() -> None:
    module = Linear()
    classifier = Classifier(module, RGB, NAMES)
    with pytest.raises(ValueError, match="images for the classifier"):
        predict_logits(classifier, images(2, 3, 5, 6))
    assert all(part.training for part in classifier.modules())


def test_forward_keeps_gradients_and_mode() -> None:
    module = Linear().eval()
    x = images(2, 3, 4, 6).requires_grad_()
    Classifier(module, RGB, NAMES)(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    training = Linear().train()
    logits = Classifier(training, RGB, NAMES)(images(64, 3, 4, 6))
    assert not torch.equal(logits, training.eval()(images(64, 3, 4, 6)))


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_one_made_without_gradients_gives_them_later(mode) -> None:
    module = Linear().eval()
    with mode():
        classifier = Classifier(module, RGB, NAMES, 0.5, 0.25)
        predict_logits(classifier, images(2, 3, 4, 6))
    x = images(2, 3, 4, 6).requires_grad_()
    classifier(x).sum().backward()
    assert bool(x.grad.abs().sum() > 0)


def test_no_random_number_is_drawn() -> None:
    state = torch.get_rng_state()
    predict_logits(Classifier(Linear().eval(), RGB, NAMES), images(3, 3, 4, 6))
    drawn = torch.get_rng_state()
    torch.set_rng_state(state)
    Linear()
    assert torch.equal(drawn, torch.get_rng_state())


def test_a_grey_generator_with_a_colour_classifier_is_said_not_guessed() -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(ValueError, match=r"an answer to \(6, 1, 4, 6\) of float32.*input_channels"):
        Classifier(module, GREY, NAMES)
    x = images(5, 1, 4, 6)
    found = Classifier(module, GREY, NAMES, input_channels=3)(x)
    torch.testing.assert_close(found, module(x.repeat(1, 3, 1, 1)))
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 3, 4, 6\), got \(5, 1, 4, 6\)"):
        Classifier(module, RGB, NAMES)(x)


def test_half_precision_modules_take_float_images() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(24, 3)).to(torch.bfloat16)
    classifier = Classifier(module, GREY, NAMES)
    assert classifier(images(2, 1, 4, 6)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("module", "names", "error", "message"),
    [
        (Linear(RGB, 12), NAMES, ValueError, "classifier returns 12 logits, labels have 3 classes"),
        (Linear(RGB, 1), NAMES, ValueError, "classifier returns 1 logits, labels have 3 classes"),
        (Returns(lambda x: x.mean((1, 2, 3))), NAMES, ValueError, r"shape \(6, 3\).*shape \(6,\)"),
        (Returns(lambda x: x), NAMES, ValueError, r"one row of logits an image"),
        (Linear(), ("a", "a", "b"), ValueError, "at least two different names"),
        (Linear(), ("a",), ValueError, "at least two different names"),
        (Linear(), "abc", ValueError, "a list of strings"),
    ],
)
def test_a_wrong_output_is_explained_at_construction(module, names, error, message) -> None:
    with pytest.raises(error, match=message):
        Classifier(module, RGB, list(names) if isinstance(names, tuple) else names)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        (
            [0.0, 0.0],
            1.0,
            "mean: expected one number, or one for each of 3 channels, got 2 numbers",
        ),
        (0.0, [1.0, 1.0], "std: expected one number, or one for each of 3 channels"),
        (0.0, [1.0, 0.0, 1.0], "std .--std.: expected a finite number above 0, got 0.0"),
    ],
)
def test_wrong_normalisation_is_explained(mean, std, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(Linear(), RGB, NAMES, mean, std)


def test_misuse_of_predict_logits_is_explained() -> None:
    classifier = Classifier(Linear(), RGB, NAMES)
    with pytest.raises(ValueError, match="images to classify: expected at least one"):
        predict_logits(classifier, torch.zeros(0, 3, 4, 6))
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1"):
        predict_logits(classifier, images(2, 3, 4, 6), 0)


@pytest.mark.as_installed
def test_uint8_images_are_refused() -> None:
    with pytest.raises(TypeError, match="convert uint8"):
        Classifier(Linear(), RGB, NAMES)(torch.zeros(2, 3, 4, 6, dtype=torch.uint8))


@pytest.mark.parametrize("name", ["mean", "std"])
def test_work_with_another_normalisation_is_refused_by_name(name: str) -> None:
    spec = ImageSpec(channels=1, height=4, width=4)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    ours, theirs = (
        identify(classifier=Classifier(network, spec, ("a", "b"), **{name: value}))
        for value in (0.5, 0.25)
    )
    with pytest.raises(ValueError, match=rf"classifier\.{name}.*0\.25.* in the store"):
        ours.check(theirs, "predictions")
