from __future__ import annotations

import math

import pytest
import torch

from genviews import Inverter, Rng, invert
from genviews.generators.autoencoder import AutoencoderGenerator
from genviews.generators.diffusion import PipelineGenerator
from genviews.invert.autoencoder import own_encoder
from genviews.invert.start import EncoderStart
from genviews.kit import GeneratorKit
from tests.pretended_diffusers import (
    Autoencoder,
    Network,
    Scheduler,
    autoencoder,
    pixels,
    prompted,
    prompts,
)


def sampled(generator, count=3):
    z = generator.sample(Rng(0).streams(range(count)))
    label = generator.labels_in_turn(range(count))
    return generator.map(z, label), label


def by_hand(generator, z, label):
    """The sampler and the guidance, written out for one image."""
    x = z.reshape(1, *generator.cells) * 0.5
    noise = torch.Generator().manual_seed(0)
    rows = generator.hidden
    for time in range(generator.steps, 0, -1):
        given = x / (1 + time / 10)
        here, away = (
            generator.network(
                given, torch.tensor(time), encoder_hidden_states=rows[i, None], return_dict=False
            )[0]
            for i in (label, -1)
        )
        out = (1 - generator.guidance) * away + generator.guidance * here
        x = 0.6 * x + 0.3 * out
        if time > 1:
            x = x + generator.scheduler.config["noise"] * torch.randn(x.shape, generator=noise)
    latents = x / 2.0
    return torch.nn.functional.pixel_shuffle(latents, 2) * 0.4


def test_the_sampler_and_the_guidance_are_followed():
    generator = prompted()
    latents, label = sampled(generator)
    images = generator.synthesize(latents, label)
    for i in range(3):
        expected = by_hand(generator, latents[i], label[i])
        torch.testing.assert_close(images[i, None], expected, rtol=1e-5, atol=1e-6)
    assert generator.evaluations == 6
    assert generator.class_names == ("cat", "dog")
    assert "3 steps of Scheduler, guidance 2" in generator.notes[0]


def test_the_gradient_is_that_of_all_steps():
    generator = prompted().double()
    latents, label = sampled(generator)
    latents = latents.double().requires_grad_()
    (gradient,) = torch.autograd.grad(generator.synthesize(latents, label).sum(), latents)
    step = torch.zeros_like(latents)
    step[1, 0, 5] = 1e-5
    with torch.no_grad():
        ends = [generator.synthesize(latents + sign * step, label).sum() for sign in (1, -1)]
    assert gradient[1, 0, 5].item() == pytest.approx((ends[0] - ends[1]).item() / 2e-5, rel=1e-5)


def test_without_names_images_are_of_the_one_prompt():
    network = Network(12, 2, cross_attention_dim=4)
    generator = PipelineGenerator(network, Scheduler(), Autoencoder(), prompts(names=())).eval()
    assert (generator.num_classes, generator.evaluations) == (0, 1)
    assert generator.synthesize(*sampled(generator)).shape == (3, 3, 4, 4)


def test_sizes_and_a_vector_go_to_networks_that_take_them():
    network = Network(12, 2, cross_attention_dim=4, addition_embed_type="text_time")
    given = prompts(pooled=5)
    generator = PipelineGenerator(network, Scheduler(), Autoencoder(), given).eval()
    latents, label = sampled(generator)
    generator.synthesize(latents, label)
    beside = network.asked[-1][1]
    torch.testing.assert_close(beside["text_embeds"], given.pooled[label])
    assert beside["time_ids"].tolist() == [[4, 4, 0, 0, 4, 4]] * 3


def test_a_network_distilled_with_its_guidance_is_asked_once():
    network = Network(12, 2, cross_attention_dim=4, time_cond_proj_dim=7)
    parts = (network, Scheduler(), Autoencoder(), prompts())
    generator = PipelineGenerator(*parts, guidance=8.5).eval()
    generator.synthesize(*sampled(generator))
    (waves, _), *others = network.asked
    assert others == []
    assert waves.shape == (3, 7)
    angles = [7.5 * 1000 * 10_000 ** (-i / 2) for i in range(3)]
    expected = [*map(math.sin, angles), *map(math.cos, angles), 0.0]
    torch.testing.assert_close(waves[0], torch.tensor(expected), rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("config", "with_prompts", "told"),
    [
        ({"out_channels": 24}, False, "from 12 to 24"),
        ({"in_channels": 9}, False, "from 9 to 12"),
        ({"cross_attention_dim": 4}, False, "expected prompts, got none"),
        ({}, True, "expected no prompts"),
        ({"cross_attention_dim": 4, "addition_embed_type": "image"}, True, "got 'image'"),
        ({"class_embed_type": "timestep"}, False, "class_embed_type None, got 'timestep'"),
        ({"sample_size": None}, False, "sample_size"),
        ({"cross_attention_dim": 4, "encoder_hid_dim_type": "ip"}, True, "got 'ip'"),
    ],
)
def test_networks_of_other_inputs_are_refused(config, with_prompts, told):
    network = Network(12, 2, **config)
    with pytest.raises(ValueError, match=f"network of the pipeline: .*{told}"):
        PipelineGenerator(network, Scheduler(), Autoencoder(), prompts() if with_prompts else None)


def test_settings_out_of_range_are_refused():
    for settings, told in (({"steps": 0}, "steps"), ({"guidance": 0.5}, "guidance")):
        with pytest.raises(ValueError, match=told):
            pixels(**settings)
    assert pixels(resolution=5).image_spec.shape == (2, 5, 5)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"scaling_factor": 0.3611, "shift_factor": 0.1159},
        {"latents_mean": [0.1] * 12, "latents_std": [1.5] * 12, "scaling_factor": 0.5},
    ],
)
def test_an_autoencoder_is_inverted_by_its_own_encoder(config):
    generator = autoencoder(**config)
    latents, _ = sampled(generator)
    images = generator.synthesize(latents)
    encoder = own_encoder(generator)
    torch.testing.assert_close(encoder(images), latents, rtol=1e-4, atol=1e-5)
    found = invert(generator, images, inverter=Inverter(start=EncoderStart(encoder), steps=0))
    torch.testing.assert_close(found.latents, latents, rtol=1e-4, atol=1e-5)
    masks = torch.ones(3, 1, 6, 6)
    masks[..., 3:] = 0
    unknown = images.clone()
    unknown[..., 3:] = 9.0
    torch.testing.assert_close(encoder(unknown, masks), encoder(images * masks))
    assert own_encoder(pixels()) is None


def test_the_scale_of_latents_is_that_of_the_config():
    generator = autoencoder(scaling_factor=0.5, shift_factor=0.1)
    latents, _ = sampled(generator)
    inner = latents[:, 0].reshape(3, 12, 3, 3) / 0.5 + 0.1
    expected = torch.nn.functional.pixel_shuffle(inner, 2) * 0.4
    torch.testing.assert_close(generator.synthesize(latents), expected)


def test_sizes_of_an_autoencoder():
    assert AutoencoderGenerator(Autoencoder()).image_spec.shape == (3, 512, 512)
    assert AutoencoderGenerator(Autoencoder(), 10).latent_spec.shape == (1, 12 * 25)
    with pytest.raises(ValueError, match=r"a multiple of 2.*got 7; take 6"):
        AutoencoderGenerator(Autoencoder(), 7)


@pytest.mark.parametrize("make", [pixels, prompted, autoencoder], ids=lambda make: make.__name__)
def test_views_of_what_the_spec_allows(make):
    kit = GeneratorKit(make())
    latents, label = sampled(kit.generator)
    moved = kit.perturbation("isotropic_all_0.30")(
        kit.generator, latents, 2, Rng(1).streams(range(3))
    )
    views = kit.generator.synthesize_views(moved, label=label)
    assert views.shape == (3, 2, *kit.generator.image_spec.shape)
    for other in ("pca_all_0.50", "stylemix_fine"):
        with pytest.raises(ValueError, match="expected"):
            kit.perturbation(other)
