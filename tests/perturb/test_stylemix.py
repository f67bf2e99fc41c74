"""Style-mix takes its rows from random samples of the generator, of the right class."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.perturb.stylemix import StyleMix
from genviews.rng import Rng

TOY = ToyGenerator()
CONDITIONAL = ToyGenerator(num_classes=3)


def test_rows_are_those_of_a_mapped_sample() -> None:
    streams = Rng(2).streams(["a", "b"])
    latents = TOY.map(TOY.sample(streams))
    z = Rng(2).child("stylemix").streams(["a", "b"]).normal(3, (8,))
    mapped = TOY.map(z.flatten(0, 1)).unflatten(0, (2, 3))
    views = StyleMix("1-2")(TOY, latents, 3, streams)
    assert torch.equal(views[:, :, 1:3], mapped[:, :, 1:3])


def test_one_sample_fills_every_row_and_is_not_truncated() -> None:
    streams = Rng(0).streams(range(100))
    views = StyleMix("all")(TOY, torch.zeros(100, 4, 4), 20, streams)
    assert torch.equal(views, views[:, :, :1].expand_as(views))
    along = (views[:, :, 0].double() - TOY.mean.double()) @ TOY.axes.double().T
    for column in (along / TOY.stddev.double()).flatten(0, 1).T:
        assert stats.kstest(column.numpy(), "norm").pvalue > 0.01


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_strength_interpolates(strength: float) -> None:
    streams = Rng(0).streams(range(2))
    latents = TOY.map(TOY.sample(streams))
    full = StyleMix("fine")(TOY, latents, 3, streams)
    part = StyleMix("fine", strength)(TOY, latents, 3, streams)
    start = latents[:, None]
    torch.testing.assert_close(part, start + strength * (full - start), rtol=0.0, atol=1e-5)


def test_the_label_given_is_the_class_mixed_in() -> None:
    labels = torch.arange(60) % 3
    streams = Rng(0).streams(range(60))
    views = StyleMix("all")(CONDITIONAL, torch.zeros(60, 4, 4), 16, streams, labels)
    classes = CONDITIONAL.classes(views.flatten(0, 1)).unflatten(0, (60, 16))
    assert (classes == labels[:, None]).double().mean() > 0.95
    z = streams.child("stylemix").normal(16, (8,))
    expected = CONDITIONAL.map(z[4], labels[4].repeat(16))
    torch.testing.assert_close(views[4], expected, rtol=0.0, atol=1e-6)


def test_a_conditional_generator_needs_labels() -> None:
    with pytest.raises(ValueError, match=r"label of StyleMix: expected a class for each of the 2"):
        StyleMix("fine")(CONDITIONAL, torch.zeros(2, 4, 4), 1, Rng(0).streams([0, 1]))


def test_an_unconditional_generator_takes_none() -> None:
    with pytest.raises(ValueError, match="label: expected none"):
        StyleMix("fine")(
            TOY, torch.zeros(2, 4, 4), 1, Rng(0).streams([0, 1]), torch.zeros(2, dtype=torch.long)
        )


def test_in_z_space_z_is_drawn_anew() -> None:
    generator = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
    streams = Rng(0).streams(range(3))
    views = StyleMix("all")(generator, torch.zeros(3, 1, 16), 2, streams)
    assert torch.equal(views[:, :, 0], streams.child("stylemix").normal(2, (16,)))


@pytest.mark.parametrize("strength", [-0.1, 1.5, float("nan")])
def test_strength_is_a_fraction(strength: float) -> None:
    wanted = "strength of StyleMix: expected a finite number of at least 0 and of at most 1, got"
    with pytest.raises(ValueError, match=wanted):
        StyleMix("fine", strength)


def test_names() -> None:
    assert StyleMix("fine").name == "stylemix_fine"
    assert StyleMix("fine", 0.5).name == "stylemix_fine_0.50"
    assert repr(StyleMix("fine")) == "StyleMix(layers='fine', strength=1.0)"
