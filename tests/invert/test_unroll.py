"""The gradient that `invert(unroll=...)` keeps is that of the latents, and it changes none."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genviews import CallableGenerator, Rng, ToyGenerator
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.features import Feature, FeatureDistance, ReEncode, ToEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam
from genviews.invert.samples import SampleStart
from genviews.invert.start import EncoderStart, MeanStart, Starts

TOY = ToyGenerator()
STEP = 1e-5  # of central differences


def an_encoder() -> InversionEncoder:
    """Untrained, so that its answers lie far enough from the optimum for steps to be made."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = EncoderConfig.for_generator(TOY, widths=(8,))
        return InversionEncoder(config, TOY.mean_latent()).double().eval()


ENCODER = an_encoder()
IMAGES = TOY.synthesize(TOY.map(TOY.sample(Rng(3).streams(range(4))))).double()
WAY = torch.randn(IMAGES.shape, generator=Rng(0).torch(), dtype=torch.float64)

OBJECTIVES = {
    "pixels": Objective((L2(0.2),)),
    "latents": Objective((L2(0.2), ToStart(0.1), ToEncoder(0.1, ENCODER), ReEncode(0.1, ENCODER))),
    "features": Objective((L2(0.2), Feature(0.1, FeatureDistance(ENCODER.features)))),
}
EXACT = Inverter(start=EncoderStart(ENCODER), steps=3, tolerance=0.0, smoothing=0.0)


def along(inverter: Inverter, unroll: int, where: Tensor = IMAGES[:2]) -> Tensor:
    """The derivative of each number of the latents in the direction `WAY`, by the gradient kept."""
    images = where.clone().requires_grad_()
    latents = invert(TOY, images, inverter=inverter, unroll=unroll).latents
    rows = [torch.autograd.grad(number, images, retain_graph=True)[0] for number in latents[0, 0]]
    return torch.stack([(row * WAY[: len(where)]).sum() for row in rows])


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("optimizer", [Adam(lr=0.01), LBFGS()], ids=["adam", "lbfgs"])
def test_the_gradient_is_that_of_the_latents(objective, optimizer):
    """Here a line search halves and doubles, so that its lengths do not change with the images."""
    inverter = replace(EXACT, objective=OBJECTIVES[objective], optimizer=optimizer)
    ends = [
        invert(TOY, IMAGES[:2] + sign * STEP * WAY[:2], inverter=inverter).latents[0, 0]
        for sign in (-1, 1)
    ]
    wanted = (ends[1] - ends[0]) / (2 * STEP)
    assert float(wanted.abs().max()) > 0.05
    torch.testing.assert_close(along(inverter, 3), wanted, rtol=1e-5, atol=1e-7)


STARTS = {
    "encoder twice": EncoderStart(ENCODER, 2),
    "samples": SampleStart(samples=32),
    "several": Starts((EncoderStart(ENCODER), MeanStart())),
}


@pytest.mark.parametrize(
    ("start", "optimizer"),
    [("encoder twice", Adam(lr=0.1)), ("several", LBFGS()), ("samples", LBFGS())],
    ids=["encoder twice", "several", "samples"],
)
def test_the_latents_are_those_of_the_ordinary_inversion(start, optimizer):
    """With masks, stages, early ends and several starts, whatever part is unrolled."""
    inverter = Inverter(
        start=STARTS[start],
        objective=Objective((L1(1.0), L2(1.0))),
        optimizer=optimizer,
        steps=12,
        patience=4,
        tolerance=0.02,
    )
    masks = torch.ones_like(IMAGES[:, :1])
    masks[:, :, :3] = 0
    wanted = invert(TOY, IMAGES, masks, inverter=inverter)
    for unroll in (0, 5):
        images = IMAGES.clone().requires_grad_()
        found = invert(TOY, images, masks, inverter=inverter, unroll=unroll)
        torch.testing.assert_close(found.latents.detach(), wanted.latents, rtol=0, atol=1e-9)
        assert torch.equal(found.steps, wanted.steps)
        assert torch.equal(found.status, wanted.status)
        if not found.latents.requires_grad:
            assert unroll == 0  # a start that does not look at the image's pixels
            continue
        (gradient,) = torch.autograd.grad(found.latents[0].sum(), images)
        assert gradient.isfinite().all()
        assert not gradient[1:].any()  # nothing comes from a neighbour
        assert not gradient[0, :, :3].any()  # nor from a pixel that is unknown


def test_later_steps_pass_on_what_they_are_given():
    """Their slope is held fixed: of the start's alone, what is left is the encoder's gradient."""
    inverter = replace(EXACT, objective=OBJECTIVES["pixels"], optimizer=Adam(lr=0.01))
    images = IMAGES[:2].clone().requires_grad_()
    seen = ENCODER(images)[0, 0]
    rows = [torch.autograd.grad(number, images, retain_graph=True)[0] for number in seen]
    wanted = torch.stack([(row * WAY[:2]).sum() for row in rows])
    torch.testing.assert_close(along(inverter, 0), wanted)
    assert not torch.allclose(along(inverter, 1), wanted)
    assert not torch.allclose(along(inverter, 1), along(inverter, 2))


def test_a_number_that_no_pixel_shows_has_no_gradient():
    """Adam divides by the size of a slope that is 0 for ever."""
    half = CallableGenerator(lambda z: z[:, :4].reshape(-1, 1, 2, 2), z_dim=8)
    images = torch.rand(2, 1, 2, 2, requires_grad=True)
    inverter = Inverter(
        start=MeanStart(), objective=Objective((L2(1.0),)), optimizer=Adam(), steps=4
    )
    latents = invert(half, images, inverter=inverter, unroll=4).latents
    (gradient,) = torch.autograd.grad(latents.sum(), images)
    assert gradient.isfinite().all()
    assert gradient.any()


def test_nobody_gets_a_gradient_who_did_not_ask():
    images = IMAGES.clone().requires_grad_()
    assert not invert(TOY, images, inverter=replace(EXACT, steps=1)).latents.requires_grad
