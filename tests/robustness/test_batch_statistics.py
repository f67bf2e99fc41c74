"""Batch norms with the statistics of the test batch, against torch's own training mode."""

import copy

import pytest
import torch
from torch import nn

from genviews import load_classifier
from genviews.classify.model import predict_logits
from genviews.classify.network import SmallResNet
from genviews.rng import Rng
from genviews.robustness.batch_statistics import with_batch_statistics


def dark(count=12):
    return Rng(0).streams(range(count)).uniform(1, (1, 16, 16))[:, 0] * 0.4 - 1


def plain():
    """A network of torch alone, dropout included."""
    conv, norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
    return nn.Sequential(conv, norm, nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(784, 3))


def test_an_image_that_is_not_finite_would_spoil_all_and_is_named():
    images = dark()
    images[3, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="row 3"):
        with_batch_statistics(plain().eval(), images)


@pytest.mark.parametrize("make", [plain, lambda: SmallResNet(width=8, num_classes=3)])
def test_the_batch_is_normed_by_itself(make):
    torch.manual_seed(0)
    net, images = make().eval(), dark()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = with_batch_statistics(net, images)
    oracle = copy.deepcopy(net)
    for module in oracle.modules():
        module.training = isinstance(module, nn.BatchNorm2d)
    assert torch.allclose(predict_logits(found, images), oracle(images), atol=0.02)
    assert not torch.allclose(net(images), oracle(images), atol=0.1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert not any(module.training for module in found.modules())
    # An answer no longer depends on what else is asked in the same call, only on what it was given.
    assert torch.allclose(found(images[:1]), found(images)[:1], atol=1e-5)
    assert not torch.allclose(with_batch_statistics(net, images[:6])(images[:1]), found(images[:1]))


def test_it_is_a_classifier_as_it_was():
    classifier = load_classifier("fashion32")
    images = Rng(0).streams(range(4)).uniform(1, (1, 32, 32))[:, 0]
    found = with_batch_statistics(classifier, images)
    assert found.class_names == classifier.class_names
    assert next(m.momentum for m in found.modules() if isinstance(m, nn.BatchNorm2d)) == 0.1


def test_what_has_no_statistics_is_refused():
    with pytest.raises(ValueError, match="expected batch norms with statistics, got none"):
        with_batch_statistics(nn.Sequential(nn.Flatten(), nn.Linear(256, 2)), dark())
    with pytest.raises(ValueError, match="images that give the statistics"):
        with_batch_statistics(plain(), dark(1))
