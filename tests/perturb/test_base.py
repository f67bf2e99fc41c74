"""Names, checks and the frame that every perturbation shares."""

from __future__ import annotations

import dataclasses
import inspect

import pytest
import torch
from torch import nn

from genviews import Classifier, GenerativeTTA
from genviews.classify.views import LatentViewSource
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.base import Perturbation, format_strength, identity_of, perturbation
from genviews.perturb.noise import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import StyleMix
from genviews.perturb.walks import Steer, Walks
from genviews.perturb.warps import directions_of
from genviews.represent.views import LatentViews
from genviews.rng import Rng
from genviews.style_rows import LayerRange, Layers


def test_a_perturbation_without_edit_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Perturbation("fine")


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ("fine", "isotropic_fine_0.30"),
        ("5-7", "isotropic_5-7_0.30"),
        ((5, 6, 7), "isotropic_5-7_0.30"),
        ([7, 2, 3], "isotropic_2-3,7_0.30"),
        (LayerRange(name="top", start=5, stop=8), "isotropic_top_0.30"),
    ],
)
def test_layers_in_names(layers: Layers, name: str) -> None:
    assert Isotropic(layers, 0.3).name == name


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.3, "0.30"), (2.0, "2.00"), (0.125, "0.125"), (1e-5, "1e-05")],
)
def test_strengths_in_names_lose_no_digit(value: float, text: str) -> None:
    assert format_strength(value) == text
    assert float(text) == value


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_strength_must_be_finite_and_not_negative(value: float) -> None:
    wanted = "sigma of Isotropic: expected a finite number of at least 0, got .*; 0 leaves the"
    with pytest.raises(ValueError, match=wanted):
        Isotropic("fine", value)


def test_perturbations_are_frozen_values() -> None:
    assert Isotropic("fine", 0.3) == Isotropic("fine", 0.3)
    assert len({Isotropic("fine", 0.3), Isotropic("fine", 0.3), Isotropic("fine", 0.2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Isotropic("fine", 0.3).sigma = 1.0


def test_all_ways_to_name_rows_select_the_same() -> None:
    toy, streams = ToyGenerator(), Rng(0).streams([1])
    latents = toy.map(toy.sample(streams))
    ways = [
        "fine",
        "2-3",
        (2, 3),
        [3, 2],
        range(2, 4),
        slice(2, 4),
        LayerRange(name="x", start=2, stop=4),
    ]
    views = [Isotropic(layers, 0.3)(toy, latents, 2, streams) for layers in ways]
    assert all(torch.equal(view, views[0]) for view in views)


def test_rows_that_do_not_adjoin_are_edited_and_no_other() -> None:
    toy, streams = ToyGenerator(), Rng(0).streams([1, 2])
    latents = toy.map(toy.sample(streams))
    for layers in ((0, 2, 3), "0,2-3"):
        moved = (StyleMix(layers)(toy, latents, 3, streams) != latents[:, None]).any(-1)
        assert moved.all(0).all(0).tolist() == [True, False, True, True]
        assert not moved[:, :, 1].any()
    name = StyleMix((0, 2, 3)).name
    assert name == "stylemix_0,2-3"
    assert perturbation(name, GeneratorKit(toy)).name == name


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4)])
def test_latents_must_have_one_batch_axis(shape: tuple[int, ...]) -> None:
    call = inspect.unwrap(Perturbation.__call__)  # without the type check of the tests
    streams = Rng(0).streams(range(shape[0]))
    with pytest.raises(ValueError, match=r"expected shape \(B, 4, 4\), one latent for each image"):
        call(Isotropic("fine", 0.3), ToyGenerator(), torch.zeros(shape), 1, streams)


def test_latents_of_another_generator_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 4, 4\) in w\+ space"):
        Isotropic("all", 0.3)(ToyGenerator(), torch.zeros(1, 3, 4), 1, Rng(0).streams([0]))


def test_misuse_is_named() -> None:
    toy, streams = ToyGenerator(), Rng(0).streams(range(5))
    latents, perturb = toy.map(toy.sample(streams)), Isotropic("all", 0.3)
    for count in (0, -1):
        with pytest.raises(ValueError, match="num_views: expected an integer of at least 1"):
            perturb(toy, latents, count, streams)
    with pytest.raises(ValueError, match=r"streams: expected 5, .* got 2; make them with"):
        perturb(toy, latents, 1, streams[:2])
    with pytest.raises(ValueError, match="layer range: expected one of all"):
        Isotropic("alll", 0.3)(toy, latents, 1, streams)
    with pytest.raises(ValueError, match="label: expected none"):
        perturb(toy, latents, 1, streams, torch.tensor([0, 1, 2, 0, 0]))
    several = ToyGenerator(num_classes=3)
    with pytest.raises(ValueError, match="label: expected 5 class indices"):
        perturb(several, latents, 1, streams, torch.tensor([0, 1, 2, 0, 3]))


def test_a_perturbation_is_scaled_by_its_strength() -> None:
    assert Isotropic("fine", 0.25).scaled(2.0) == Isotropic("fine", 0.5)
    with pytest.raises(ValueError, match="sigma of Isotropic: expected a finite number"):
        Isotropic("fine", 0.25).scaled(-1.0)


def _enter(way: str, made: Perturbation, generator: ToyGenerator) -> object:
    """Give a perturbation to what makes views of `generator`."""
    if way == "kit":
        return GeneratorKit(generator).perturbation(made)
    if way == "samples":
        return LatentViews(generator, made)
    if way == "training":
        return LatentViewSource(generator, torch.zeros(2, 4, 4), made)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    classifier = Classifier(net, generator.image_spec, ("a", "b"))
    return GenerativeTTA(classifier, generator, perturbation=made)


@pytest.mark.parametrize("way", ["kit", "samples", "training", "TTA"])
@pytest.mark.parametrize("kind", ["pca", "steer"])
def test_what_was_learnt_of_another_generator_is_refused(kind: str, way: str) -> None:
    """Of the same shapes, which would move its latents along directions that mean nothing."""
    own, other = ToyGenerator(), ToyGenerator(seed=1)
    names = directions_of(1)
    walks = Walks(directions=torch.ones(len(names), 4, 4), names=names, generator=identity_of(own))
    statistics = PCAStatistics.measure(own, num_samples=20)
    made = PCA("all", 1.0, statistics) if kind == "pca" else Steer("all", walks)
    _enter(way, made, own)
    with pytest.raises(ValueError, match=r"it now renders other images.*this generator with"):
        _enter(way, made, other)
