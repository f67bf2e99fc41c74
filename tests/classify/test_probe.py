"""What is refused when a classifier is made, and what is not."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.classify.model import Classifier
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=8, width=8)
NAMES = ("cat", "dog", "bird")
WEIGHT = torch.randn(64, 3, generator=torch.Generator().manual_seed(0)) / 8


def linear(x: Tensor) -> Tensor:
    return x.flatten(1) @ WEIGHT


def single(x: Tensor) -> Tensor:
    return linear(x)[:, 0]


@torch.no_grad()
def without_gradient(x: Tensor) -> Tensor:
    return single(x).sigmoid()


class InPlaceChance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return linear(x + 0.1 * torch.randn_like(x))


class BatchNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.norm(x))


class Counting(nn.Module):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return linear(x) * self.calls


PROBABILITIES = "expected logits, got probabilities.*say outputs="
BATCH = "does not depend on the others of its batch"
CHANCE = "from one call to the next, by chance; use nn.Dropout"


@pytest.mark.parametrize(
    ("module", "names", "message"),
    [
        # Probabilities that are taken for logits.
        (lambda x: linear(x).softmax(1), NAMES, PROBABILITIES),
        (lambda x: linear(x).softmax(1).bfloat16(), NAMES, PROBABILITIES),
        (lambda x: linear(x)[:, :2].softmax(1), NAMES[:2], PROBABILITIES),
        (
            lambda x: torch.stack([1 - single(x).sigmoid(), single(x).sigmoid()], 1),
            NAMES[:2],
            PROBABILITIES,
        ),
        (lambda x: F.one_hot(linear(x).argmax(1), 3).float(), NAMES, PROBABILITIES),
        (lambda x: single(x).sigmoid(), NAMES[:2], "from a sigmoid"),
        (lambda x: single(x).sigmoid()[:, None].double().squeeze(), NAMES[:2], "from a sigmoid"),
        (without_gradient, NAMES[:2], "from a sigmoid"),
        (lambda x: linear(x).sigmoid(), NAMES, 'say outputs="sigmoids"'),
        # Answers that depend on the batch.
        (BatchNorm(), NAMES, BATCH),
        (lambda x: linear(x) - linear(x).mean(0), NAMES, BATCH),
        (lambda x: linear(x) / linear(x).abs().max(), NAMES, BATCH),
        (lambda x: linear(x).cumsum(0), NAMES, BATCH),
        (lambda x: linear(x).sort(0).values, NAMES, BATCH),
        (lambda x: linear(x) + 0.01 * len(x), NAMES, BATCH),
        # On chance, or on how often it was asked.
        (lambda x: F.dropout(linear(x)), NAMES, CHANCE),
        (lambda x: linear(x) + 0.05 * torch.rand(3), NAMES, CHANCE),
        (InPlaceChance(), NAMES, CHANCE),
        (Counting(), NAMES, CHANCE),
        # Blind.
        (lambda x: linear(x * 0), NAMES, "the same answer for 6 different images"),
        (lambda x: torch.full((len(x), 3), -torch.inf), NAMES, "the same answer for 6 different"),
        (lambda x: torch.ones(len(x), 3), NAMES, "the same answer for 6 different images"),
        # Not finite.
        (lambda x: linear(x) / 0, NAMES, "expected finite answers, got NaN or inf for 6 of 6"),
        (lambda x: linear(x).log(), NAMES, "NaN or inf"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3).requires_grad_(False)), NAMES, None),
    ],
)
def test_a_fault_is_refused_in_one_sentence(module, names, message) -> None:
    if message is None:
        Classifier(module, SPEC, names)
        return
    with pytest.raises(ValueError, match=message) as caught:
        Classifier(module, SPEC, names)
    text = str(caught.value)
    assert text.startswith("classifier: expected ")
    assert text.endswith("see docs/bring_your_own.md.")
    assert "\n" not in text


@pytest.mark.parametrize("outputs", ["probs", "sigmoids"])
@pytest.mark.parametrize("module", [linear, lambda x: 2 * linear(x).softmax(1)])
def test_logits_are_not_taken_for_probabilities(module, outputs: str) -> None:
    with pytest.raises(ValueError, match=r'expected probabilities.*say outputs="logits"|sigmoids'):
        Classifier(module, SPEC, NAMES, outputs=outputs)


def test_sigmoids_are_not_taken_for_probabilities_of_all_classes() -> None:
    with pytest.raises(ValueError, match=r'add up to 1.*say outputs="sigmoids"'):
        Classifier(lambda x: linear(x).sigmoid(), SPEC, NAMES, outputs="probs")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        (lambda x: linear(x).log_softmax(1), NAMES),
        (lambda x: F.logsigmoid(linear(x)), NAMES),
        (lambda x: 0.5 + 0.1 * torch.tanh(linear(x)), NAMES),  # in [0, 1], and no probabilities
        (lambda x: 0.5 + 0.1 * torch.tanh(single(x)), NAMES[:2]),
        (lambda x: linear(x).relu() + 0.3, NAMES),
        (
            lambda x: linear(
                (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)
            ),
            NAMES,
        ),
        (lambda x: 1e6 + linear(x).double(), NAMES),
        (lambda x: 1e-6 * linear(x), NAMES),
        (lambda x: linear(x).masked_fill(torch.arange(3) == 1, -torch.inf), NAMES),
    ],
)
def test_what_is_only_unusual_is_taken(module, names) -> None:
    Classifier(module, SPEC, names)


def faint(depth: int = 30) -> nn.Module:
    """Layers that shrink what they are given, and a bias beside which half precision loses it."""
    layers: list[nn.Module] = [nn.Flatten()]
    for _ in range(depth):
        layers += [nn.Linear(64, 64, bias=False), nn.ReLU()]
        nn.init.constant_(layers[-2].weight, 0.3 / 64)
        with torch.no_grad():
            layers[-2].weight[0] *= 2
    return nn.Sequential(*layers, nn.Linear(64, 3)).bfloat16()


def test_a_network_that_hardly_sees_is_not_blind() -> None:
    network = faint()
    network[-1].bias.data.fill_(1.0)
    network[-1].weight.data.normal_(generator=torch.Generator().manual_seed(0))
    Classifier(network, SPEC, NAMES)
    network[-1].weight.data.zero_()  # the head of an untrained vision transformer
    with pytest.raises(ValueError, match="the same answer for 6 different images"):
        Classifier(network, SPEC, NAMES)


def test_chance_and_modes_are_left_alone() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(64, 3))
    network[1].eval()
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="by chance"):
        Classifier(InPlaceChance(), SPEC, NAMES)
    Classifier(network, SPEC, NAMES)
    assert torch.equal(torch.get_rng_state(), before)
    assert [part.training for part in network] == [True, False, True]
    assert torch.is_grad_enabled()
