"""Gates of a classifier that is tried in more than one way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genviews.classify.model import Classifier, predict_logits
from genviews.gates.models import FORMS, batch_gate, chance_gate, form_gate
from genviews.types import ImageSpec

IMAGES = torch.rand(200, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Levels(nn.Module):
    """Knows the sign of a sharp function of red, in the form that it was trained with."""

    def __init__(self, low: float, high: float, channel: int = 0) -> None:
        super().__init__()
        self.low, self.high, self.channel = low, high, channel

    def forward(self, images):
        middle = (self.low + self.high) / 2
        mean = images[:, self.channel].mean((1, 2)) - middle
        return torch.stack([-mean, mean], 1) / (self.high - self.low)


class Negative(Levels):
    """Was shown negatives of the images."""

    def __init__(self) -> None:
        super().__init__(-1, 1)

    def forward(self, images):
        return super().forward(-images)


class Rows(nn.Module):
    """Knows the first column of red, but for its corner: the first row in its training."""

    def forward(self, images):
        mean = 4 * images[:, 0, 0, 1:].mean(1)
        return torch.stack([-mean, mean], 1)


class Bottom(nn.Module):
    """Knows the first row of red, which was the last in its training."""

    def forward(self, images):
        mean = 4 * images[:, 0, -1].mean(1)
        return torch.stack([-mean, mean], 1)


def labels_of(images, module=None):
    known = {Rows: images[:, 0, 1:, 0], Bottom: images[:, 0, 0]}
    red = known.get(type(module), images[:, 0].flatten(1))
    return (red.mean(1) > 0).long()


def classifier(module, **settings):
    return Classifier(
        module, ImageSpec(channels=3, height=4, width=4), ("dark", "light"), **settings
    )


def asked(found):
    labels = labels_of(IMAGES, found.module)
    return form_gate(found, IMAGES, labels, predict_logits(found, IMAGES))


class TestForm:
    @pytest.mark.parametrize(
        ("module", "words"),
        [
            (Levels(0, 1), "in [0, 1]"),
            (Levels(0, 255), "in [0, 255]"),
            (Levels(-1, 1, channel=2), "with blue first"),
            (Bottom(), "upside down"),
            (Rows(), "with rows and columns exchanged"),
            (Negative(), "with dark and light exchanged"),
            (Levels(-1, 1), None),
        ],
    )
    def test_the_form_that_fits(self, module, words):
        gate = asked(classifier(module))
        if words is None:
            assert gate is None or gate.passed
        else:
            assert not gate.passed
            assert f" {words}." in gate.found
            form = next(form for form in FORMS if form.words == words)
            assert gate.remedy.startswith(form.remedy)

    @pytest.mark.parametrize(
        ("module", "words"),
        [
            (Levels(-1, 1), "in [-1, 1]"),
            (Levels(-2.12, 2.25), "with ImageNet's mean and std"),
        ],
    )
    def test_told_the_wrong_form(self, module, words):
        gate = asked(classifier(module, input_range="0..255"))
        assert f" {words}." in gate.found
        assert not gate.passed

    def test_a_form_that_is_better_than_one_that_is_not_poor_is_noted(self):
        """Two in three are right as given: it may be weak, and better turned by accident."""
        gate = asked(classifier(Levels(-2.12, 2.25)))
        assert "with ImageNet's mean and std." in gate.found
        assert (gate.passed, gate.noted) == (True, True)

    @pytest.mark.parametrize("count", [3, 8, 200])
    def test_sound_classifiers_of_few_images_are_not_even_noted(self, count):
        for seed in range(20):
            random = torch.Generator().manual_seed(seed)
            module = Levels(-1, 1)
            images = torch.rand(count, 3, 4, 4, generator=random) * 2 - 1
            labels = labels_of(images)
            wrong = torch.rand(count, generator=random) < 0.25
            found = classifier(module)
            gate = form_gate(found, images, labels ^ wrong.long(), predict_logits(found, images))
            assert gate is None or (gate.passed and not gate.noted)

    def test_one_answer_for_all_is_no_form(self):
        """In [0, 255] it always says "light": more often right than this one, and tells nothing."""
        gate = asked(classifier(Levels(-1, 1.6)))
        assert " in [0, 255]." not in gate.found or gate.passed

    def test_the_remedy_mends_it(self):
        assert asked(classifier(Levels(0, 255), input_range="0..255")) is None


class Unsteady(nn.Module):
    """Answers by chance, or by the other images, once more than so many are asked about."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, images):
        mean = 4 * images.flatten(1).mean(1)
        if self.kind == "chance" and len(images) > 6:
            mean = mean + torch.randn(len(images))
        if self.kind == "batch" and len(images) > 6:
            mean = mean - mean.max()
        return torch.stack([-mean, mean], 1)


@pytest.mark.parametrize("kind", ["chance", "batch", "steady"])
def test_what_six_images_do_not_tell(kind):
    """The probe at loading shows six; real images come in more."""
    found, state = classifier(Unsteady(kind)), torch.get_rng_state()
    chance, batch = chance_gate(found, IMAGES[:16]), batch_gate(found, IMAGES[:16])
    assert (chance.passed, batch.passed) == (kind != "chance", kind == "steady")
    assert torch.equal(torch.get_rng_state(), state)
    assert batch_gate(found, IMAGES[:1]) is None
