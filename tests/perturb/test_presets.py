"""Published scales as published, cards and names to perturbations, and errors that help."""

from __future__ import annotations

import pytest
import torch

from genviews.generators.callable import z_space
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.base import (
    perturbations,
)
from genviews.perturb.noise import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import StyleMix

TOY = ToyGenerator()
STATISTICS = PCAStatistics(torch.eye(4), torch.ones(4))


def test_a_card_keeps_its_order() -> None:
    card = {"stylemix": {"fine": [1.0, 0.5]}, "pca": {"0": [2.0]}, "isotropic": {"all": [0.1]}}
    assert perturbations(card, GeneratorKit(TOY, directions=STATISTICS)) == [
        StyleMix("fine"),
        StyleMix("fine", 0.5),
        PCA("0", 2.0, STATISTICS),
        Isotropic("all", 0.1),
    ]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"stylmix": {"fine": [1.0]}}, "kind of perturbation: .* did you mean 'stylemix'"),
        ({"stylemix": {"fien": [1.0]}}, "layer range: .* did you mean 'fine'"),
        ({"isotropic": {"fien": []}}, "layer range: .* did you mean 'fine'"),
        ({"isotropic": {"fine": [-1.0]}}, "sigma of Isotropic"),
        ({"pca": {"all": [1.0]}}, r"pca perturbation: .* in z space all are alike: take isotropic"),
    ],
)
def test_a_wrong_card_is_named(card: dict[str, dict[str, list[float]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        perturbations(card, GeneratorKit(z_space(TOY) if "pca" in card else TOY))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("isotropic_fine_0.30", Isotropic("fine", 0.3)),
        ("isotropic_2-3_1e-05", Isotropic("2-3", 1e-5)),
        ("isotropic_2_0", Isotropic("2", 0.0)),
        ("stylemix_fine", StyleMix("fine")),
        ("stylemix_fine_0.50", StyleMix("fine", 0.5)),
        ("stylemix_fine_1.00", StyleMix("fine")),
        ("stylemix_3", StyleMix("3")),
        ("pca_coarse_2.00", PCA("coarse", 2.0, STATISTICS)),
        ("pca-none_coarse_2", PCA("coarse", 2.0, STATISTICS, "none")),
    ],
)
def test_names_read(name: str, expected: Isotropic | PCA | StyleMix) -> None:
    assert GeneratorKit(TOY, directions=STATISTICS).perturbation(name) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stylmix_fine", "kind of perturbation: .* got 'stylmix'; did you mean 'stylemix'"),
        ("", "kind of perturbation: expected one of .*, isotropic, pca, .* got ''"),
        ("stylemix", "layer range: expected one of all, coarse, fine, middle, got ''"),
        ("stylemix_fien", "layer range: .* got 'fien'; did you mean 'fine'"),
        ("stylemix_9", "layer range '9': expected rows within 0-3, got rows 9;"),
        ("isotropic_3", r"expected a strength at the end, got none; write isotropic_3_0\.30"),
        ("isotropic_fine_nan", "sigma of Isotropic: expected a finite number"),
        ("stylemix_fine_2", "strength of StyleMix"),
        (
            "pca_all_1.00",
            "pca perturbation: .* directions, got none; .* isotropic",
        ),
    ],
)
def test_names_that_cannot_be_read_are_explained(name: str, message: str) -> None:
    kit = GeneratorKit(TOY, directions=STATISTICS)
    if name.startswith("pca"):
        kit = GeneratorKit(z_space(TOY))
    with pytest.raises(ValueError, match=message):
        kit.perturbation(name)
