"""Every optimizer and every start against the inversion contract: a new one is a new row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from genviews.generators.toy import ToyGenerator
from genviews.invert import optimizer, start
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoder_training import EncoderTraining, train_encoder
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, Term
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam
from genviews.invert.samples import SampleStart
from genviews.invert.start import (
    ClassMeanStart,
    EncoderStart,
    GivenStart,
    MeanStart,
    Start,
    Starts,
    class_means,
)
from genviews.rng import Rng
from genviews.testing import INVERTER_CHECKS, check_inverter, images_to_invert
from tests.contracts.complete import leaves


class Slope(nn.Module):
    """The class of an image: brighter above or below."""

    def forward(self, images: Tensor) -> Tensor:
        slope = images[:, :, :4].mean((1, 2, 3)) - images[:, :, 4:].mean((1, 2, 3))
        return torch.stack([slope, -slope], 1)


@cache
def toy() -> ToyGenerator:
    return ToyGenerator().double()


@cache
def encoder() -> InversionEncoder:
    single = ToyGenerator()
    training = EncoderTraining(steps=20, batch=16, masked=0.5)
    trained = train_encoder(single, EncoderConfig.for_generator(single, widths=(8,)), training)
    return trained.double()


def near() -> Tensor:
    latents, _ = images_to_invert(toy())
    noise = Rng(1).streams(range(len(latents))).normal(1, latents.shape[1:])[:, 0]
    return latents + 0.5 * noise.double()


STARTS: dict[str, Callable[[], Start]] = {
    "mean": MeanStart,
    "encoder": lambda: EncoderStart(encoder(), passes=2),
    "class mean": lambda: ClassMeanStart(class_means(ToyGenerator(), 2, Slope(), num=200), Slope()),
    "given two": lambda: GivenStart(torch.stack([near(), -near()], 1)),
    "samples": lambda: SampleStart(samples=20, nearest=3, descents=2, trial=4),
    "best of": lambda: Starts((MeanStart(), EncoderStart(encoder()))),
}

# How far from the truth a latent may end after 60 steps, when every pixel is known.
OPTIMIZERS = {"lbfgs": (LBFGS(), 1e-3), "reference": (LBFGS.reference(), 0.05)}
OPTIMIZERS["adam"] = (Adam(lr=0.2), 2.0)

PAIRS = [("mean", name) for name in OPTIMIZERS] + [(name, "lbfgs") for name in STARTS]


def inverter(begin: str, method: str, **settings) -> Inverter:
    return Inverter(start=STARTS[begin](), optimizer=OPTIMIZERS[method][0], steps=25, **settings)


def test_the_table_is_complete() -> None:
    methods = {type(found) for found, _ in OPTIMIZERS.values()}
    assert leaves(optimizer.Optimizer) == methods
    assert leaves(start.Start) == {type(make()) for make in STARTS.values()}


@pytest.mark.parametrize(("begin", "method"), dict.fromkeys(PAIRS))
def test_inverter_contract(begin: str, method: str) -> None:
    check_inverter(inverter(begin, method), toy())


@pytest.mark.parametrize(("begin", "method"), [*PAIRS[:3], ("given two", "lbfgs")])
def test_it_recovers_toy_latents(begin: str, method: str) -> None:
    latents, images = images_to_invert(toy())
    both = replace(inverter(begin, method, objective=Objective((L1(), L2()))), steps=60)
    result = invert(toy(), images, inverter=both)
    assert float((result.latents - latents).abs().mean()) < OPTIMIZERS[method][1]


class Downhill(ToyGenerator):
    """A toy that breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        super().__init__()
        self.law, self.calls = law, 0

    def mean_latent(self, num: int = 200, seed: int = 0) -> Tensor:
        return super().mean_latent(num, seed)

    def synthesize(self, latents: Tensor, label: Tensor | None = None) -> Tensor:
        images = super().synthesize(latents)
        if self.law == "neighbours_do_not_matter":
            return images + 0.01 * images.mean(0)
        if self.law == "it_never_ends_worse_than_it_began":  # other images at each call
            self.calls += 1
            return images + 0.1 * (self.calls % 7)
        if self.law == "nothing_else_changes" and torch.is_grad_enabled():
            torch.rand(1)
        return images


@dataclass(frozen=True)
class BrokenStart(Start):
    """A start that breaks one law."""

    law: str

    def candidates(self, wanted) -> Tensor:
        images = wanted.images
        best = wanted.generator.mean_latent().to(images).expand(len(images), 1, -1, -1).clone()
        if self.law == "it_reproduces_images_of_the_generator":
            return best + 1e9
        if self.law == "a_bad_image_harms_nobody":
            return best + images.mean()
        return best

    def describe(self) -> dict[str, object]:
        return {}


class Forgetful(Inverter):
    def __describe__(self) -> dict[str, object]:
        return {}


@dataclass(frozen=True)
class Blind(Term):
    """An error of one column alone, whatever the mask."""

    def loss(self, target, kept, rendered, latents) -> Tensor:
        return (rendered[..., 1] - target.images[..., 1]).square().mean((1, 2))


class Restless(Adam):
    """An optimizer that counts a step more than it made."""

    def advance(self, state, loss, gradient, steps) -> None:
        super().advance(state, loss, gradient, steps)
        state.made = state.made + 1


def broken(law: str) -> tuple[Inverter, ToyGenerator]:
    generator = Downhill(law).double()
    settings = {"start": BrokenStart(law), "steps": 30}
    if law == "unknown_pixels_are_never_looked_at":
        settings["objective"] = Objective((Blind(1.0),))
    if law == "steps_and_status_agree":
        settings["optimizer"] = Restless(lr=0.2)
    kind = Forgetful if law == "it_is_described" else Inverter
    return kind(**settings), generator


@pytest.mark.parametrize("check", INVERTER_CHECKS, ids=lambda check: check.__name__)
def test_an_inverter_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises(AssertionError):
        check(*broken(check.__name__))
    check(*broken("none"))
