"""Every term of an inversion's objective against its contract: a new term is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from genviews.generators.toy import ToyGenerator
from genviews.invert.features import (
    Feature,
    FeatureDistance,
    ModuleFeatures,
    Predictions,
    ReEncode,
    ToEncoder,
)
from genviews.invert.objective import L1, L2, Objective, Term, ToStart
from genviews.invert.perceptual import LPIPS
from genviews.testing import OBJECTIVE_CHECKS, check_objective
from tests.contracts.complete import leaves


class Net(nn.Module):
    """A classifier whose batch norm would mix neighbours, and whose activations are in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3, 1, 1)
        self.norm = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 4, 3, 2, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.first(x)))
        return self.head(torch.tanh(self.second(x)).mean((2, 3)))


class Encoder(nn.Module):
    """Latents of a toy of 4 rows from an image and its mask."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * 64, 16)
        self.norm = nn.BatchNorm1d(16)

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        seen = torch.cat([images * masks, masks], 1).flatten(1)
        return self.norm(self.linear(seen)).unflatten(1, (4, 4))


@cache
def made(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(3)
    return kind()


def distance(normalise: bool) -> FeatureDistance:
    return FeatureDistance(ModuleFeatures(made(Net), ("norm", "second")), normalise=normalise)


TERMS: dict[str, Callable[[], Term]] = {
    "l1": L1,
    "l1 smooth": lambda: L1(smoothing=0.1),
    "l2": lambda: L2(2.0),
    "feature": lambda: Feature(0.7, distance(normalise=True)),
    "feature plain": lambda: Feature(0.3, distance(normalise=False), label="plain"),
    "predictions": lambda: Predictions(3.0, made(Net), temperature=0.2),
    "to start": lambda: ToStart(0.25),
    "to encoder": lambda: ToEncoder(0.4, made(Encoder)),
    "re-encode": lambda: ReEncode(0.6, made(Encoder)),
    "re-encode to latents": lambda: ReEncode(0.8, made(Encoder), to="latents"),
}


def test_the_table_is_complete() -> None:
    in_its_own_tests = {LPIPS}  # which needs weights and larger images
    assert leaves(Term) == {type(make()) for make in TERMS.values()} | in_its_own_tests


@pytest.mark.parametrize("name", TERMS)
def test_objective_contract(name: str) -> None:
    check_objective(TERMS[name](), ToyGenerator())


def test_an_objective_of_all_terms_keeps_the_contract() -> None:
    terms = tuple(make() for name, make in TERMS.items() if name != "l1 smooth")
    check_objective(Objective(terms), ToyGenerator())


@dataclass(frozen=True)
class Broken(Term):
    """An absolute error that breaks one law, named by `law`."""

    law: str
    network: nn.Module

    of_images: ClassVar[bool] = True

    def __describe__(self) -> dict[str, object]:
        told = {"weight": self.weight, "network": self.network}
        return {} if self.law == "it_is_described" else told

    def keep(self, images: Tensor, masks: Tensor, start: Tensor) -> list[Tensor]:
        return [images.nan_to_num(0.5, 0.5).mean((1, 2, 3))]

    def loss(self, target, kept, rendered: Tensor, latents: Tensor) -> Tensor:
        known = target.masks.sum((1, 2, 3))
        error = torch.where(target.masks == 0, 0.0, rendered - target.images)
        value = error.abs().sum((1, 2, 3)) / known
        match self.law:
            case "each_image_has_one_finite_loss":
                return value * torch.nan
            case "neighbours_do_not_matter":
                return value + 0.01 * value.mean()
            case "unknown_pixels_are_never_looked_at":
                return value + kept[0] + 2
            case "known_pixels_count":
                return (rendered - 2.0).abs().mean((1, 2, 3))
            case "gradients_stay_with_their_image":
                return value + 0.0 * rendered.mean((1, 2, 3)).sqrt()
            case "gradients_are_those_of_the_numbers":
                return value.detach() + 2 * (value - value.detach())
            case "networks_are_left_as_they_were":
                self.network(rendered)
        return value


@pytest.mark.parametrize("check", OBJECTIVE_CHECKS, ids=lambda check: check.__name__)
def test_a_term_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(Objective((Broken(1.0, check.__name__, Net()),)), ToyGenerator())
    check(Objective((Broken(1.0, "none", Net()),)), ToyGenerator())
