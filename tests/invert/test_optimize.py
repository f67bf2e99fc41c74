"""Inversion recovers toy latents, each image as if alone, and never ends worse than it began."""

import math

import jaxtyping
import pytest
import torch

from genviews import Rng, ToyGenerator
from genviews.invert import L2, Inverter, Objective, invert
from genviews.types import Status


@pytest.fixture
def case():
    toy = ToyGenerator()
    latents = toy.map(toy.sample(Rng(3).streams(range(20))))
    return toy, latents, toy.synthesize(latents)


def test_recovers_toy_latents(case):
    toy, latents, images = case
    inverter = Inverter(steps=800, lr=0.1, objective=Objective((L2(),)), tolerance=0.0)
    result = invert(toy, images, inverter=inverter)
    assert float((result.latents - latents).abs().max()) < 0.02
    torch.testing.assert_close(result.reconstructions, images, atol=0.02, rtol=0)
    assert (result.status == Status.STEP_LIMIT).all()
    assert (result.steps == 800).all()


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_a_batch_gives_each_image_what_it_gets_alone(case, batch_size):
    toy, _, images = case
    inverter = Inverter(steps=40, lr=0.1)
    whole = invert(toy, images, inverter=inverter, batch_size=batch_size)
    for i in (0, 7, 19):
        alone = invert(toy, images[i : i + 1], inverter=inverter)
        assert float(alone.loss[0]) == pytest.approx(float(whole.loss[i]), abs=1e-4)
        assert alone.steps[0] == whole.steps[i]
        torch.testing.assert_close(alone.latents[0], whole.latents[i], atol=1e-3, rtol=0)


def test_order_changes_nothing(case):
    toy, _, images = case
    inverter = Inverter(steps=30, lr=0.1)
    forward = invert(toy, images, inverter=inverter, batch_size=6)
    backward = invert(toy, images.flip(0), inverter=inverter, batch_size=6)
    torch.testing.assert_close(forward.loss, backward.loss.flip(0), atol=1e-4, rtol=0)


def test_never_ends_worse_and_the_loss_is_that_of_the_latents(case):
    toy, _, images = case
    # A rate so large that steps leave the good start.
    inverter = Inverter(steps=10, lr=50.0)
    result = invert(toy, images, inverter=inverter)
    assert (result.loss <= result.start_loss).all()
    l1 = (toy.synthesize(result.latents) - images).abs().mean((1, 2, 3))
    torch.testing.assert_close(result.loss, l1)
    mean = toy.mean_latent()
    kept = result.status == Status.START_KEPT
    assert kept.any()
    torch.testing.assert_close(result.latents[kept], mean.expand_as(result.latents[kept]))


def test_zero_steps_keep_the_start(case):
    toy, _, images = case
    result = invert(toy, images, inverter=Inverter(steps=0))
    torch.testing.assert_close(result.latents, toy.mean_latent().expand_as(result.latents))
    torch.testing.assert_close(result.loss, result.start_loss)
    assert (result.steps == 0).all()


def test_stops_early_per_image(case):
    toy, _, images = case
    images = images.clone()
    images[4] = toy.synthesize(toy.mean_latent()[None])[0]  # already inverted
    inverter = Inverter(steps=300, lr=0.05, patience=10)
    result = invert(toy, images, inverter=inverter)
    assert result.steps[4] == 10
    assert result.status[4] == Status.START_KEPT
    assert result.steps.max() > 50


def test_masked_pixels_do_not_matter(case):
    toy, _, images = case
    masks = torch.ones_like(images[:, :1])
    masks[:, :, 3:5, 2:6] = 0
    inverter = Inverter(steps=25, lr=0.1)
    one = invert(toy, images, masks, inverter=inverter)
    damaged = torch.where(masks.bool(), images, torch.full_like(images, math.nan))
    other = invert(toy, damaged, masks, inverter=inverter)
    assert torch.equal(one.latents, other.latents)
    assert (other.status != Status.FAILED).all()


def test_a_bad_image_fails_alone(case):
    toy, _, images = case
    damaged = images.clone()
    damaged[2, 0, 1, 1] = math.nan
    masks = torch.ones_like(images[:, :1])
    masks[5] = 0
    inverter = Inverter(steps=15, lr=0.1)
    result = invert(toy, damaged, masks, inverter=inverter)
    good = invert(toy, images, inverter=inverter)
    assert result.failed() == [2, 5]
    assert result.loss[[2, 5]].isnan().all()
    torch.testing.assert_close(result.latents[2], toy.mean_latent())
    rest = [i for i in range(20) if i not in (2, 5)]
    torch.testing.assert_close(result.loss[rest], good.loss[rest], atol=1e-4, rtol=0)


def test_gradients_and_modes_are_left_as_they_were(case):
    toy, _, images = case
    weights = {k: v.clone() for k, v in toy.state_dict().items()}
    flags = [p.requires_grad for p in toy.parameters()]
    with torch.no_grad():
        invert(toy, images[:2], inverter=Inverter(steps=3))
        assert not torch.is_grad_enabled()
    assert flags == [p.requires_grad for p in toy.parameters()]
    assert all(torch.equal(v, weights[k]) for k, v in toy.state_dict().items())


def test_wrong_input_is_refused(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    toy, _, images = case
    with pytest.raises(ValueError, match=r"images: expected shape \(..., 1, 8, 8\)"):
        invert(toy, images[:, :, :4], inverter=Inverter())
    with pytest.raises(ValueError, match="masks: expected shape"):
        invert(toy, images, torch.ones(20, 2, 8, 8), inverter=Inverter())
    with pytest.raises(ValueError, match="steps: expected an integer"):
        Inverter(steps=-1)
    with pytest.raises(ValueError, match="lr: expected a positive number"):
        Inverter(lr=0.0)
