"""Anchors have the stated law on every kind of generator, and come from (seed, id) alone."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.stylegan2 import StyleGAN2
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Normal
from genviews.represent.prior import Prior
from genviews.rng import Rng
from tests.networks import small_stylegan2

TOY = ToyGenerator()
CONDITIONAL = ToyGenerator(num_classes=4)
BLACK_BOX = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)


def stylegan2() -> StyleGAN2:
    generator = StyleGAN2(small_stylegan2()).eval()
    generator.mapping.w_avg.normal_(std=0.3)
    return generator


def ids(count: int, seed: int = 0):
    return Rng(seed).streams(range(count))


@pytest.mark.parametrize(
    ("prior", "law"),
    [
        (Prior(), stats.norm()),
        (Prior(noise=Normal.fixed_bound(2.0)), stats.truncnorm(-2, 2)),
        (Prior(noise=Normal.fixed_bound(0.9)), stats.truncnorm(-0.9, 0.9)),
        (Prior(noise=Normal.scaled_bound(0.4)), stats.truncnorm(-2, 2, scale=0.4)),
    ],
)
@pytest.mark.parametrize("generator", [TOY, BLACK_BOX], ids=["toy", "black box"])
def test_z_has_the_law_of_its_reading(prior, law, generator) -> None:
    z = prior.sample(generator, ids(1500)).z.double().flatten().numpy()
    assert stats.kstest(z, law.cdf).pvalue > 0.01
    assert z.std() == pytest.approx(law.std(), rel=0.03)
    assert abs(z).max() <= law.support()[1] + 1e-6


def test_the_plain_prior_is_the_generators_own_samples() -> None:
    for generator in (TOY, BLACK_BOX, stylegan2()):
        anchors = Prior().sample(generator, ids(5))
        z = generator.sample(ids(5))
        assert torch.equal(anchors.z, z)
        assert torch.equal(anchors.latents, generator.map(z))
        assert anchors.labels is None
        assert not anchors.latents.requires_grad


def test_truncation_in_w_is_the_line_to_the_mean() -> None:
    """The paper's "normal truncated at 0.9" is psi = 0.9 in its code."""
    generator = stylegan2()
    full = Prior().sample(generator, ids(6)).latents
    cut = Prior(psi=0.9, cutoff=3).sample(generator, ids(6))
    mean = generator.mapping.w_avg
    torch.testing.assert_close(cut.latents[:, :3], mean + 0.9 * (full[:, :3] - mean))
    assert torch.equal(cut.latents[:, 3:], full[:, 3:])
    assert torch.equal(cut.z, generator.sample(ids(6)))  # z itself is not truncated


def test_classes_are_uniform_or_as_given() -> None:
    counts = Prior().sample(CONDITIONAL, ids(4000)).labels.bincount(minlength=4).numpy()
    assert stats.chisquare(counts).pvalue > 0.01
    some = Prior(classes=(1, 3)).sample(CONDITIONAL, ids(200)).labels
    assert set(some.tolist()) == {1, 3}
    given = torch.tensor([2, 2, 0])
    anchors = Prior().sample(CONDITIONAL, ids(3), given)
    assert torch.equal(anchors.labels, given)
    torch.testing.assert_close(
        anchors.latents, CONDITIONAL.map(CONDITIONAL.sample(ids(3)), given), rtol=0, atol=0
    )


def test_drawn_classes_do_not_follow_z() -> None:
    anchors = Prior().sample(CONDITIONAL, ids(3000))
    means = torch.stack([anchors.z[anchors.labels == c].mean(0) for c in range(4)])
    assert means.abs().max() < 4.5 / 700**0.5


def test_blocks_count_each_class_exactly() -> None:
    labels = Prior(per_class=7).sample(CONDITIONAL, ids(28)).labels
    assert labels.tolist() == [c for c in range(4) for _ in range(7)]
    turns = Prior(per_class=1, classes=(3, 0)).sample(CONDITIONAL, ids(5)).labels
    assert turns.tolist() == [3, 0, 3, 0, 3]


def test_pseudo_classes_number_the_shards_of_an_unconditional_generator() -> None:
    anchors = Prior(per_class=3, pseudo_classes=2).sample(BLACK_BOX, ids(8))
    assert anchors.pseudo_labels.tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert anchors.labels is None  # nothing to train on
    assert torch.equal(anchors.latents, Prior().sample(BLACK_BOX, ids(8)).latents)


@pytest.mark.parametrize("prior", [Prior(), Prior(noise=Normal.fixed_bound(1.0), per_class=2)])
def test_a_sample_ignores_its_batch_mates(prior) -> None:
    whole = prior.sample(CONDITIONAL, ids(6))
    part = prior.sample(CONDITIONAL, Rng(0).streams([4, 1]))
    for name in ("z", "latents", "labels"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[[4, 1]])
    other = prior.sample(CONDITIONAL, ids(6, seed=1))
    assert not (other.z == whole.z).any()


def test_the_independent_view_has_the_prior_of_the_anchors() -> None:
    prior = Prior(noise=Normal.fixed_bound(0.5), psi=0.8, cutoff=2)
    streams = ids(100)
    anchors = prior.sample(TOY, streams)
    views = prior.independent()(TOY, anchors.latents, 1, streams)[:, 0]
    for column in range(4):
        drawn = stats.ks_2samp(views[:, 0, column].numpy(), anchors.latents[:, 0, column].numpy())
        assert drawn.pvalue > 0.001


@pytest.mark.parametrize(
    ("make", "generator", "message"),
    [
        (lambda: Prior(psi=0.9), BLACK_BOX, "psi of Prior: expected 1, for a generator in z"),
        (lambda: Prior(psi=0.9), z_space(TOY), "psi of Prior: expected 1, for a generator in z"),
        (lambda: Prior(classes=(0,)), TOY, "classes of Prior: expected None"),
        (lambda: Prior(classes=(0, 4)), CONDITIONAL, r"classes of Prior: .*\[0, 4\), got \[4\]"),
        (lambda: Prior(per_class=3), TOY, "per_class of Prior: expected classes, or pseudo"),
        (
            lambda: Prior(per_class=3, pseudo_classes=2),
            CONDITIONAL,
            "pseudo_classes of Prior: expected 0",
        ),
        (lambda: Prior(pseudo_classes=2), TOY, "pseudo_classes of Prior: expected per_class"),
        (
            lambda: Prior(classes=()),
            CONDITIONAL,
            "number of classes of Prior: .* at least 1",
        ),
        (
            lambda: Prior(classes=(1, 1)),
            CONDITIONAL,
            "classes of Prior: expected all different",
        ),
        (lambda: Prior(per_class=0), CONDITIONAL, "per_class of Prior: expected an integer"),
    ],
)
def test_misuse_is_named(make, generator, message) -> None:
    with pytest.raises(ValueError, match=message):
        make().sample(generator, ids(3))


def test_blocks_need_numbers() -> None:
    with pytest.raises(ValueError, match="sample ids: expected integers from 0, got 'a', 'b'"):
        Prior(per_class=2).sample(CONDITIONAL, Rng(0).streams(["a", "b"]))
