"""Each objective by its name fits the encoder that its config makes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses import (
    OBJECTIVES,
    ClassPrediction,
    Decoupled,
    LatentPrediction,
    MultiPositive,
    NTXent,
    SupCon,
    VICReg,
    choose_objective,
)

# Name -> the objective for z of width 8 and three classes, and the width of a linear head.
WANTED = {
    "nt-xent": (NTXent(), None),
    "supcon": (SupCon(), None),
    "multi-positive": (MultiPositive(), None),
    "decoupled": (Decoupled(), None),
    "vicreg": (VICReg(), None),
    "inverter": (LatentPrediction(z_dim=8, num_classes=3), 11),
    "classifier": (ClassPrediction(num_classes=3), 3),
}


def test_all_are_here() -> None:
    assert WANTED.keys() <= OBJECTIVES.keys()


@pytest.mark.parametrize("name", WANTED)
def test_objective_and_config(name) -> None:
    wanted, width = WANTED[name]
    objective, config = choose_objective(name, z_dim=8, num_classes=3)
    assert objective == wanted
    head = {} if width is None else {"head": "linear", "projection": width}
    assert config == {"normalize": wanted.unit, **head}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_encoder_of_the_config_can_be_trained(name) -> None:
    objective, config = choose_objective(name, z_dim=8, num_classes=3)
    encoder = RepresentationEncoder(RepresentationConfig(channels=1, **config))
    width = objective.width
    if width is not None:
        assert isinstance(encoder.head, nn.Linear)
        assert encoder.head.weight.shape == (width, encoder.features_dim)
    u = encoder.project(encoder(torch.randn(6, 2, 1, 8, 8)))
    loss = objective(u, torch.arange(6) % 3, torch.randn(6, 2, 8))
    loss.backward()
    assert bool(loss.isfinite())
    slopes = [p.grad for p in encoder.parameters()]
    assert all(slope is not None and bool(slope.isfinite().all()) for slope in slopes)
    assert float(slopes[0].abs().max()) > 0


def test_inverter_of_an_unconditional_generator() -> None:
    objective, config = choose_objective("inverter", z_dim=8)
    assert objective == LatentPrediction(z_dim=8)
    assert config["projection"] == 8


@pytest.mark.parametrize("name", ["nt-xent", "multi-positive", "decoupled", "vicreg"])
def test_views_alone_are_enough_for_these(name) -> None:
    assert choose_objective(name)[0].needs == ()


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("supcon", {"z_dim": 8}, "'supcon': expected data with two classes or more, got none; ta"),
        ("classifier", {"num_classes": 1}, "'classifier': expected data with two classes .*got 1"),
        ("inverter", {"num_classes": 3}, "'inverter': expected generated data, whose latents are"),
        ("nt-xnet", {}, "objective: .* did you mean 'nt-xent'"),
    ],
)
def test_what_is_missing_is_named(name, known, message) -> None:
    with pytest.raises(ValueError, match=message):
        choose_objective(name, **known)
