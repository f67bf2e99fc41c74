"""The laws of an inversion, for every optimizer from every start: a new one is a new row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from genviews.generators.toy import ToyGenerator
from genviews.invert import (
    L1,
    L2,
    LBFGS,
    Adam,
    ClassMeanStart,
    EncoderConfig,
    EncoderStart,
    EncoderTraining,
    GivenStart,
    InversionEncoder,
    Inverter,
    MeanStart,
    Objective,
    Optimizer,
    Start,
    Starts,
    class_means,
    invert,
    optimizer,
    start,
    train_encoder,
)
from genviews.rng import Rng
from genviews.types import Inversion, Status

COUNT = 10

# How far from the truth a latent may end after 60 steps, when every pixel is known.
OPTIMIZERS: dict[str, tuple[Optimizer, float]] = {
    "lbfgs": (LBFGS(), 1e-3),
    "reference": (LBFGS.reference(), 0.05),
    "adam": (Adam(lr=0.2), 2.0),
}


class Slope(nn.Module):
    """The class of an image: brighter above or below."""

    def forward(self, images: Tensor) -> Tensor:
        slope = images[:, :, :4].mean((1, 2, 3)) - images[:, :, 4:].mean((1, 2, 3))
        return torch.stack([slope, -slope], 1)


@cache
def truth() -> tuple[ToyGenerator, Tensor, Tensor]:
    toy = ToyGenerator().double()
    latents = toy.map(toy.sample(Rng(3).streams(range(COUNT))).double())
    return toy, latents, toy.synthesize(latents)


@cache
def encoder() -> InversionEncoder:
    toy = ToyGenerator()
    training = EncoderTraining(steps=40, batch=16, masked=0.5)
    trained = train_encoder(toy, EncoderConfig.for_generator(toy, widths=(8,)), training)
    return trained.double()


def near() -> Tensor:
    latents = truth()[1]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
    return latents + 0.5 * noise.double()


STARTS: dict[str, Callable[[], Start]] = {
    "mean": MeanStart,
    "encoder": lambda: EncoderStart(encoder()),
    "encoder, 2 passes": lambda: EncoderStart(encoder(), passes=2),
    "class mean": lambda: ClassMeanStart(class_means(ToyGenerator(), 2, Slope(), num=500), Slope()),
    "given": lambda: GivenStart(near()),
    "given two": lambda: GivenStart(torch.stack([near(), -near()], 1)),
    "best of": lambda: Starts((MeanStart(), EncoderStart(encoder()))),
}


@cache
def build(name: str) -> Start:
    return STARTS[name]()


@pytest.fixture(params=list(STARTS))
def begin(request: pytest.FixtureRequest) -> Start:
    return build(request.param)


@pytest.fixture(params=list(OPTIMIZERS))
def method(request: pytest.FixtureRequest) -> tuple[Optimizer, float]:
    return OPTIMIZERS[request.param]


def few(begin: Start, method: tuple[Optimizer, float], steps: int = 8) -> Inverter:
    return Inverter(start=begin, optimizer=method[0], steps=steps)


def masks() -> Tensor:
    masks = torch.ones(COUNT, 1, 8, 8).double()
    masks[:, :, :, 5:] = 0
    masks[0, 0, 0, 0] = 0
    return masks


def leaves(base: type) -> set[type]:
    found = set(base.__subclasses__())
    return {c for c in found.union(*map(leaves, found)) if c.__module__.startswith("genviews.")}


def test_the_table_is_complete() -> None:
    assert leaves(optimizer.Optimizer) == {type(found) for found, _ in OPTIMIZERS.values()}
    assert leaves(start.Start) == {type(build(name)) for name in STARTS}


def test_it_recovers_toy_latents(begin, method) -> None:
    toy, latents, images = truth()
    optimizer, reach = method
    objective = Objective((L1(), L2()))
    inverter = Inverter(start=begin, optimizer=optimizer, steps=60, objective=objective)
    result = invert(toy, images, inverter=inverter)
    assert float((result.latents - latents).abs().mean()) < reach
    assert (result.loss < 0.6 * result.start_loss).all()


def test_it_never_ends_worse_than_it_began(begin, method) -> None:
    toy, _, images = truth()
    before = invert(toy, images, inverter=few(begin, method, steps=0))
    after = invert(toy, images, inverter=few(begin, method))
    assert (after.loss <= before.loss + 1e-12).all()
    assert (after.loss <= after.start_loss).all()
    error = (toy.synthesize(after.latents) - images).abs().mean((1, 2, 3))
    torch.testing.assert_close(after.loss, error)
    torch.testing.assert_close(after.reconstructions, toy.synthesize(after.latents))


def test_unknown_pixels_are_never_looked_at(begin, method) -> None:
    toy, _, images = truth()
    inverter = few(begin, method, steps=5)
    clean = invert(toy, images, masks(), inverter=inverter)
    for garbage in (torch.nan, 1e6):
        damaged = torch.where(masks() == 0, garbage, images)
        equal(invert(toy, damaged, masks(), inverter=inverter), clean, tolerance=0.0)
    everywhere = invert(toy, images, inverter=inverter)
    assert not torch.allclose(everywhere.latents, clean.latents)


def test_an_image_is_inverted_as_if_alone(begin, method) -> None:
    toy, _, images = truth()
    inverter = few(begin, method)
    whole = invert(toy, images, masks(), inverter=inverter)
    for rows in ([7], [4, 1, 8]):
        part = invert(toy, images[rows], masks()[rows], inverter=inverter, rows=rows)
        equal(part, whole, rows)
    equal(invert(toy, images, masks(), inverter=inverter, batch_size=3), whole)


def test_a_bad_neighbour_harms_nobody(begin, method) -> None:
    toy, _, images = truth()
    inverter = few(begin, method, steps=5)
    damaged = images.clone()
    damaged[3, 0, 2, 2] = torch.nan
    result = invert(toy, damaged, inverter=inverter)
    assert result.failed() == [3]
    good = [i for i in range(COUNT) if i != 3]
    whole = invert(toy, images, inverter=inverter)
    equal(Inversion(**{k: v[good] for k, v in vars(result).items() if v is not None}), whole, good)


def test_steps_status_and_evaluations_agree(begin, method) -> None:
    toy, _, images = truth()
    result = invert(toy, images, inverter=few(begin, method))
    assert (result.steps <= 8).all()
    assert (result.status[result.steps < 8] != Status.STEP_LIMIT).all()
    assert (result.evaluations >= result.steps + begin.count).all()


def equal(
    part: Inversion, whole: Inversion, rows: list[int] | None = None, tolerance: float = 1e-6
) -> None:
    for name, value in vars(part).items():
        wanted = getattr(whole, name)
        if value is not None:
            wanted = wanted if rows is None else wanted[rows]
            torch.testing.assert_close(
                value, wanted, rtol=0, atol=tolerance if value.is_floating_point() else 0
            )
