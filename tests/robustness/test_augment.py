"""Corruptions as augmentation: how often, which, and each image by its own draw."""

import pytest
import torch
from torch import nn

from genviews.augment.base import Compose, Identity
from genviews.classify.config import TrainConfig
from genviews.classify.train import train_classifier
from genviews.rng import Rng
from genviews.robustness.augment import RandomCorruption
from genviews.robustness.corruption import corruption

NAMES = ["noise:3", "brightness:2", "blur:5@imagenet-c"]


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_each_view_is_one_of_them_or_the_image(share):
    images = Rng(1).streams(range(300)).uniform(1, (1, 8, 8))[:, 0] - 0.5
    streams = Rng(2).streams(range(300))
    views = RandomCorruption(NAMES, share=share)(images, 2, streams)
    seen = torch.zeros(2, len(NAMES) + 1)
    for view in range(2):
        own = streams.from_view(view)
        made = [corruption(name)(images, own) for name in NAMES]
        for place, expected in enumerate([*made, images]):
            seen[view, place] = (views[:, view] == expected).flatten(1).all(1).sum()
    assert seen.sum(1).tolist() == [300, 300]  # each is one of them, and none is two
    expected = torch.tensor([*[share / len(NAMES)] * len(NAMES), 1 - share]) * 600
    assert ((seen.sum(0) - expected).abs() <= 4 * expected.sqrt() + 1e-3).all()
    assert (views[:, 0] != views[:, 1]).flatten(1).any(1).any()


class Recording(nn.Linear):
    """A classifier that keeps what it is shown in training, in the list that it was given."""

    def __init__(self, shown):
        super().__init__(64, 2)
        self.shown = shown

    def forward(self, images):
        self.shown.append(images)
        return super().forward(images.flatten(1))

    def __deepcopy__(self, memo):
        return Recording(self.shown)


def test_a_training_draws_anew_for_each_image_and_epoch():
    shown, images = [], torch.linspace(-1, 0.5, 40)[:, None, None, None].expand(-1, 1, 8, 8)
    lighter = RandomCorruption(["brightness:2@imagenet-c"])
    config = TrainConfig(epochs=3, batch_size=40, augment=Compose(Identity(), lighter))
    train_classifier(Recording(shown), images, torch.arange(40) % 2, config)
    epochs = [torch.sort(one[:, 0, 0, 0]).values for one in shown]
    assert len(epochs) == 3
    for one in epochs:
        # Either the image, or one lighter by 0.4, and each about half of the time.
        apart = (one[:, None] - images[None, :, 0, 0, 0]).abs()
        assert ((apart < 1e-4) | ((apart - 0.4).abs() < 1e-4)).any(1).all()
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"corruptions": []}, "corruptions of a training: expected at least one"),
        ({"corruptions": ["nose:3"]}, "did you mean 'noise'"),
        ({"corruptions": NAMES, "share": 1.5}, "share of corrupted views: expected"),
    ],
)
def test_misuse_is_named(given, message):
    with pytest.raises(ValueError, match=message):
        RandomCorruption(**given)


def test_one_name_is_no_list_of_letters():
    assert RandomCorruption("noise:3").corruptions == (corruption("noise:3"),)
