"""Attribute classifiers of Chai et al. 2021: the number, its sign, and the probability."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

from genviews.classify.attribute import AttributeNetwork, attribute_network
from genviews.load.classifier import load_classifier
from genviews.types import ImageSpec
from tests.generators.naive_others import Weights
from tests.load import naive_encoders as naive

SIZES = {"widths": (6, 8, 4), "head": 5, "hidden": 7}


def images(side=16):
    return torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("growth", [False, True])
def test_numbers_and_probabilities(growth, tmp_path):
    w = Weights()
    number = naive.attribute(w, images(), **SIZES, prefix_growth=growth)
    network = attribute_network(OrderedDict(w), "classifier net_best.pth")
    logits = network(images()).double()
    torch.testing.assert_close(logits, torch.stack([number, -number], 1), rtol=1e-4, atol=1e-4)
    # A negative number says that the attribute is there, as sure as sigmoid(-2 l).
    present = 1 / (1 + torch.exp(2 * number))
    torch.testing.assert_close(logits.softmax(1)[:, 1], present, rtol=1e-4, atol=1e-4)
    network.save(tmp_path / "net.safetensors")
    assert torch.equal(
        AttributeNetwork.load(tmp_path / "net.safetensors")(images()).double(), logits
    )


def test_larger_images_are_averaged():
    w = Weights()
    naive.attribute(w, images(), **SIZES)
    network = attribute_network(w, "classifier")
    large = images(32)
    small = large.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean((3, 5))
    torch.testing.assert_close(network(large), network(small))


def test_a_published_file_is_a_classifier(tmp_path):
    w, path = Weights(), tmp_path / "net_best.pth"
    number = naive.attribute(w, images(), **SIZES)
    torch.save({"state_dict": OrderedDict(w), "epoch": 4, "valacc": 0.9}, path)
    spec = ImageSpec(channels=3, height=16, width=16)
    classifier = load_classifier(path, spec, ("not smiling", "smiling"))
    logits = classifier(images()).double()
    torch.testing.assert_close(logits[:, 1], -number, rtol=1e-4, atol=1e-4)
    classifier.module.save(tmp_path / "net.safetensors")
    again = load_classifier(tmp_path / "net.safetensors", spec, ("not smiling", "smiling"))
    assert torch.equal(again(images()).double(), logits)


def test_another_file_is_none(tmp_path):
    path = tmp_path / "net.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    spec = ImageSpec(channels=3, height=16, width=16)
    with pytest.raises(ValueError, match="a pickle file; it may run code"):
        load_classifier(path, spec, ("a", "b"))


BROKEN = {
    "still growing": lambda w: w["lod_in"].fill_(1.0),
    "compares the images of a batch": lambda w: w.update(
        {"4x4.conv.conv.weight": torch.zeros(5, 5, 3, 3)}
    ),
    "a tensor '4x4.dense1.wscale.b'": lambda w: w.pop("4x4.dense1.wscale.b"),
    "unused more": lambda w: w.update(more=torch.zeros(1)),
}


@pytest.mark.parametrize("told", BROKEN)
def test_a_file_of_another_network_is_refused(told):
    w = Weights()
    naive.attribute(w, images(), **SIZES)
    BROKEN[told](w)
    with pytest.raises(ValueError, match=told):
        attribute_network(w, "classifier net_best.pth")
