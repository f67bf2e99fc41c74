"""Every generator against the generator contract: a new generator is a new row of the table."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genviews.generators.base import Generator
from genviews.generators.biggan import BigGAN, BigGANConfig
from genviews.generators.biggan_deep import BigGANDeep, BigGANDeepConfig
from genviews.generators.callable import CallableGenerator
from genviews.generators.edm import EDM, EDMConfig
from genviews.generators.r3gan import R3GAN, R3GANConfig
from genviews.generators.stylegan1 import StyleGAN1, StyleGAN1Config
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.generators.stylegan3 import StyleGAN3, StyleGAN3Config
from genviews.generators.toy import ToyGenerator
from genviews.testing import GENERATOR_CHECKS, check_generator
from tests import pretended_diffusers

CHANNELS = {4: 12, 8: 8, 16: 8, 32: 4}


def stylegan2(resolution, img_channels, **options):
    config = StyleGAN2Config(
        resolution=resolution,
        img_channels=img_channels,
        z_dim=6,
        w_dim=8,
        mapping_layers=2,
        channels=CHANNELS,
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = StyleGAN2(config).eval()
        for name, parameter in generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.data.normal_(std=0.1)
            if name.endswith(
                "torgb.weight"
            ):  # untrained weights overshoot [-1, 1] more than a picture
                parameter.data.mul_(0.2)
        generator.mapping.w_avg.normal_(std=0.3)
    return generator


def stylegan3(**options):
    """Random latents on every row, images of some contrast."""
    small = {"resolution": 8, "z_dim": 6, "w_dim": 8, "channel_max": 4, "margin_size": 2}
    more = {"num_layers": 3, "filter_size": 4, "output_scale": 0.1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = StyleGAN3(StyleGAN3Config(**{**small, **more, **options})).eval()
        generator.synthesis.input.affine.weight.data.normal_()
        generator.mapping.w_avg.normal_(std=0.3)
    return generator


def r3gan(**options):
    small = {"widths": (8, 8, 4), "groups": (4, 2, 1), "blocks": (1, 2, 1), "z_dim": 6}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = R3GAN(R3GANConfig(**{**small, **options})).eval()
        for stage in generator.stages:
            for block in stage.blocks:
                block.conv3.weight.data.normal_(std=0.2)
        generator.to_image.weight.data.mul_(0.3)
    return generator


def edm(**options):
    """Images of some contrast: the last convolution adds little to what the noise picture gives."""
    small = {"resolution": 4, "model_channels": 4, "channel_mult": (1,), "num_blocks": 1}
    coarse = {"steps": 2, "sigma_min": 0.5, "sigma_max": 4.0, "sigma_data": 0.3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = EDM(EDMConfig(**{**small, **coarse, **options})).eval()
        generator.model.dec["4x4_aux_conv"].weight.data.mul_(0.3)
    return generator


def decode(z):
    """(B, 6) -> (B, 2, 3, 3), smooth and mixing."""
    return torch.sin(z @ torch.linspace(-1, 1, 6 * 18).reshape(6, 18)).reshape(-1, 2, 3, 3)


def decode_class(z, c):
    return decode(z) * 0.5 + 0.1 * (c @ torch.arange(3.0))[:, None, None, None]


def convolutional():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Linear(6, 32),
            nn.Unflatten(1, (8, 2, 2)),
            nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 3, 3, padding=1),
            nn.Tanh(),
        ).eval()


NARROW = {"z_dim": 6, "w_dim": 8, "hidden": 8, "mapping_layers": 2}


def settled(made):
    """Random statistics, and weights whose images stay in range."""
    noise = torch.Generator().manual_seed(0)
    for name, tensor in (*made.named_parameters(), *made.named_buffers()):
        if name.endswith("gamma"):
            tensor.data.fill_(0.5)
        elif "var" in name:
            tensor.data.uniform_(0.5, 1.5, generator=noise)
        elif tensor.ndim > 1:
            tensor.data.normal_(generator=noise)
            if not isinstance(made, StyleGAN1):
                tensor.data.div_(tensor[0].numel() ** 0.5)
            elif "to_image" in name:
                tensor.data.mul_(0.2)
        elif tensor.is_floating_point():
            tensor.data.normal_(std=0.1, generator=noise)
    return made.eval()


GENERATORS = {
    "toy": ToyGenerator,
    "toy one row": lambda: ToyGenerator(num_layers=1),
    "toy large": lambda: ToyGenerator(channels=3, size=16, num_layers=8, seed=3),
    "toy conditional": lambda: ToyGenerator(channels=4, size=5, num_classes=5),
    "callable function": lambda: CallableGenerator(decode, z_dim=6),
    "callable conditional": lambda: CallableGenerator(decode_class, z_dim=6, num_classes=3),
    "callable module": lambda: CallableGenerator(convolutional(), z_dim=6),
    "stylegan2 8px grey": lambda: stylegan2(8, 1),
    "stylegan2 8px conditional": lambda: stylegan2(8, 2, c_dim=4),
    "stylegan2 16px rgb": lambda: stylegan2(16, 3),
    "stylegan2 16px conditional": lambda: stylegan2(16, 4, c_dim=2),
    "stylegan2 32px grey": lambda: stylegan2(32, 1),
    "stylegan2 32px clamp": lambda: stylegan2(
        32, 3, conv_clamp=2.0, resample_filter=(1.0, 2.0, 1.0)
    ),
    "stylegan3 t": stylegan3,
    "stylegan3 r conditional": lambda: stylegan3(conv_kernel=1, use_radial_filters=True, c_dim=2),
    "stylegan-xl": lambda: stylegan3(
        resolution=16, heads=((3, 2),), c_dim=2, class_embedding=5, img_channels=1
    ),
    "stylegan1": lambda: settled(StyleGAN1(StyleGAN1Config(channels={4: 8, 8: 4}, **NARROW))),
    "stylegan1 a w for each row, conditional": lambda: settled(
        StyleGAN1(
            StyleGAN1Config(
                channels={4: 8, 8: 8, 16: 4}, c_dim=2, w_for_each_row=True, tanh=True, **NARROW
            )
        )
    ),
    "biggan-deep": lambda: settled(
        BigGANDeep(
            BigGANDeepConfig(
                blocks=((False, 16, 16), (True, 16, 8)),
                attention=1,
                z_dim=6,
                class_dim=4,
                num_classes=3,
                truncation=0.73,
            )
        )
    ),
    "bigbigan": lambda: settled(
        BigGAN(BigGANConfig(channels=(8, 8, 8), attention=(0,), z_dim=6, class_dim=3))
    ),
    "biggan": lambda: settled(
        BigGAN(BigGANConfig(channels=(8, 8), z_dim=6, class_dim=3, num_classes=4))
    ),
    "r3gan": r3gan,
    "r3gan conditional": lambda: r3gan(c_dim=3, class_width=4),
    "edm": lambda: edm(img_channels=1),
    "edm conditional": lambda: edm(
        c_dim=2, solver="euler", channel_mult=(1, 1), encoder="residual", attn_resolutions=(4,)
    ),
    "pipeline of classes": pretended_diffusers.pixels,
    "pipeline of prompts": pretended_diffusers.prompted,
    "autoencoder": pretended_diffusers.autoencoder,
}


@pytest.fixture(scope="module", params=GENERATORS)
def generator(request):
    return GENERATORS[request.param]()


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_generator_contract(generator, check):
    check(generator)


class Broken(ToyGenerator):
    """A toy that breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        super().__init__(num_classes=3 if "label" in law else 0)
        self.law = law

    def __describe__(self):
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    def sample(self, streams):
        if self.law == "streams_decide":
            return torch.ones(len(streams), self.z_dim)
        if self.law == "global_state_untouched":
            torch.randn(1)
        if self.law == "shapes":
            return super().sample(streams)[:, :-1]
        return super().sample(streams)

    def map(self, z, label=None, *, psi=1.0, cutoff=None):
        if self.law == "labels_are_checked":
            label = label.abs() if label is not None else None
        if self.law == "truncation":
            cutoff = None
        latents = super().map(z, label, psi=psi, cutoff=cutoff)
        if self.law == "mean_latent" and not torch.is_grad_enabled():
            latents = latents + torch.rand(())
        return latents

    def synthesize(self, latents, label=None):
        if self.law == "latents_are_checked":
            latents = latents[:, :4, :4]
        images = super().synthesize(latents)
        if self.law == "image_range":
            return (images + 1) * 127.5
        if self.law == "neighbours_do_not_matter":
            return images + 1e-4 * (images - images.mean(0))
        if self.law == "gradient_reaches_latent":
            return super().synthesize(torch.cat([latents[:, :2], latents[:, 2:].detach()], dim=1))
        return images

    def synthesize_views(self, latents, shared_rows=0, label=None):
        if self.law == "views_equal_flat":
            shared_rows = max(shared_rows, 1)
            latents = torch.cat(
                [
                    latents[:, :1, :shared_rows].expand_as(latents[:, :, :shared_rows]),
                    latents[:, :, shared_rows:],
                ],
                dim=2,
            )
        return super().synthesize_views(latents, shared_rows)


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__)
def test_a_generator_that_breaks_the_law_is_caught(check):
    generator = Broken(check.__name__)
    with pytest.raises((AssertionError, RuntimeError)):
        check(generator)


def test_check_generator_runs_every_check():
    with pytest.raises(AssertionError, match="values from"):
        check_generator(Broken("image_range"))
    assert isinstance(Broken("none"), Generator)
    check_generator(Broken("none"))
