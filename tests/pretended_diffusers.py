"""Modules of the shapes that diffusers documents, to test generators where it is not installed."""

from __future__ import annotations

import torch
from torch import nn

from genviews.generators.autoencoder import AutoencoderGenerator
from genviews.generators.diffusion import PipelineGenerator, Prompts


class Network(nn.Module):
    """Called as `UNet2DModel` and `UNet2DConditionModel` are; keeps what it was asked last."""

    def __init__(self, channels=2, size=3, **config):
        super().__init__()
        self.config = {"in_channels": channels, "out_channels": channels, "sample_size": size}
        self.config |= config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.conv = nn.Conv2d(channels, channels, 3, padding=1)
            width = config.get("cross_attention_dim") or 1
            self.reads = nn.Linear(width, channels)
            self.classes = nn.Embedding(config.get("num_class_embeds") or 1, channels)
        self.asked = []

    def forward(
        self,
        sample,
        timestep,
        encoder_hidden_states=None,
        class_labels=None,
        timestep_cond=None,
        added_cond_kwargs=None,
        return_dict=True,
    ):
        self.asked.append((timestep_cond, added_cond_kwargs))
        out = self.conv(sample) + timestep / 10
        if encoder_hidden_states is not None:
            out = out + self.reads(encoder_hidden_states.mean(1))[:, :, None, None]
        if class_labels is not None:
            out = out + self.classes(class_labels)[:, :, None, None]
        assert not return_dict
        return (out.tanh(),)


class Scheduler:
    """Called as schedulers are; with a noise, it adds some after every step but the last."""

    def __init__(self, noise=0.0):
        self.config = {"noise": noise, "_version": "1"}
        self.init_noise_sigma = 0.5
        self.left = 0

    def set_timesteps(self, num_inference_steps, device=None):
        self.timesteps = torch.arange(num_inference_steps, 0, -1, device=device)
        self.left = num_inference_steps

    def scale_model_input(self, sample, timestep):
        return sample / (1 + timestep / 10)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        assert not return_dict
        self.left -= 1
        moved = 0.6 * sample + 0.3 * model_output
        if self.left and self.config["noise"]:
            drawn = [torch.randn(sample.shape[1:], generator=one) for one in generator]
            moved = moved + self.config["noise"] * torch.stack(drawn).to(moved)
        return (moved,)


class Autoencoder(nn.Module):
    """A linear one, (3, 2 h, 2 w) <-> (12, h, w), that is its own inverse on latents."""

    def __init__(self, **config):
        super().__init__()
        self.config = {"latent_channels": 12, "scaling_factor": 2.0, **config}
        self.gain = nn.Parameter(torch.tensor(0.4))

    def encode(self, images, return_dict=True):
        assert not return_dict
        return (nn.functional.pixel_unshuffle(images, 2) / self.gain,)

    def decode(self, latents, return_dict=True):
        assert not return_dict
        return (nn.functional.pixel_shuffle(latents, 2) * self.gain,)


def prompts(names=("cat", "dog"), width=4, pooled=None):
    rows = max(len(names), 1) + 1
    noise = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows, 3, width, generator=noise)
    beside = None if pooled is None else torch.randn(rows, pooled, generator=noise)
    return Prompts(names=names, hidden=hidden, pooled=beside)


def pixels(**settings):
    """A consistency model of three classes."""
    network = Network(num_class_embeds=3)
    return PipelineGenerator(network, Scheduler(), **settings).eval()


def prompted(noise=0.2, steps=3, guidance=2.0):
    """A latent diffusion model with two prompts, sampled with noise between the steps."""
    network = Network(12, 2, cross_attention_dim=4)
    how = {"steps": steps, "guidance": guidance}
    return PipelineGenerator(network, Scheduler(noise), Autoencoder(), prompts(), **how).eval()


def autoencoder(**config):
    return AutoencoderGenerator(Autoencoder(sample_size=6, **config)).eval()
