"""A pipeline of diffusers as a generator: a noise picture, a few steps, an image.

    z -> x = s_0 z -> for each time: x <- step(network(x, time), x) -> decoder, if any -> image

Nothing random comes in on the way: a sampler that adds noise between its steps is given the same
noise for every image, so that an image is a function of its own z, and has a gradient there. What a
pipeline does to its images afterwards (clamping, a filter of contents) is left out.

A class is a class of the network, or a prompt: prompts are a fixed list, encoded once. With a
guidance above 1 the network is asked twice at each time, the second time without the prompt:

    out = without + guidance (with - without)

Source: Song et al. 2021, arXiv 2010.02502 (DDIM); Ho and Salimans 2022, arXiv 2207.12598
(guidance); Luo et al. 2023, arXiv 2310.04378 (guidance as an input of the network);
github.com/huggingface/diffusers (Apache 2.0) for how its networks and samplers are called.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from genviews.checks import check_count, check_number, fail
from genviews.generators.autoencoder import decoded, decoder_of
from genviews.generators.modulation import is_ordinary
from genviews.generators.prior import PriorGenerator
from genviews.types import Images, ImageSpec, Label, Latents

__all__ = ["PipelineGenerator", "Prompts", "followed"]

# Of the noise that comes in between the steps of some samplers, the same for every image.
_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Prompts:
    """What a text encoder makes of a list of prompts.

    Args:
        names: of the prompts, as classes; () for one prompt that is no class.
        hidden: (P + 1, T, D), a row of tokens for each prompt; the last is what guidance turns
            away from.
        pooled: (P + 1, E) for networks that take a vector beside the tokens, or None.
    """

    names: tuple[str, ...]
    hidden: Tensor
    pooled: Tensor | None = None


class PipelineGenerator(PriorGenerator):
    """Network, sampler and decoder of a pipeline, in z space: z is the noise, in rows (C, H, W).

    Args:
        network: `UNet2DModel` or `UNet2DConditionModel` of diffusers, or a module that has their
            `config` and is called like them; in eval mode.
        scheduler: a scheduler of diffusers, or an object with `config`, `timesteps`,
            `init_noise_sigma`, `set_timesteps`, `scale_model_input` and `step`.
        autoencoder: decodes what the sampler ends with; None where that is the image.
        prompts: for a network that takes text.
        steps: evaluations of the network, or pairs of them with a guidance.
        guidance: towards the prompt; 1 is none.
        resolution: pixels of a side; None takes what the network was trained for.

    Attributes:
        evaluations: of the network for an image.

    Raises:
        ValueError: a network of other inputs or outputs; prompts that are missing or superfluous.

    Differs: single precision throughout, where pipelines are mostly run in half.
    """

    hidden: Tensor | None
    pooled: Tensor | None

    def __init__(
        self,
        network: Any,  # noqa: ANN401 (of an optional package)
        scheduler: Any,  # noqa: ANN401 (of the same package)
        autoencoder: Any = None,  # noqa: ANN401 (of the same package)
        prompts: Prompts | None = None,
        *,
        steps: int = 1,
        guidance: float = 1.0,
        resolution: int | None = None,
    ) -> None:
        """See the class docstring."""
        super().__init__()
        self.network, self.scheduler, self.autoencoder = network, scheduler, autoencoder
        self.steps = check_count(steps, "steps of the sampler")
        self.guidance = check_number(guidance, "guidance", least=1, remedy="1 is none")
        self._set_sizes(resolution)
        named = () if prompts is None else prompts.names
        classes = len(named) or int(network.config.get("num_class_embeds") or 0)
        self.set_prior(math.prod(self.cells), classes)
        self.class_names = named
        self.register_buffer("hidden", None if prompts is None else prompts.hidden)
        self.register_buffer("pooled", None if prompts is None else prompts.pooled)
        self._check_inputs()
        guided = f", guidance {self.guidance:g}" if prompts is not None else ""
        how_many = f"{self.steps} step" + "s" * (self.steps > 1)
        self.notes = (f"sampled in {how_many} of {type(scheduler).__name__}{guided}",)

    def _set_sizes(self, resolution: int | None) -> None:
        """The shapes of noise and image."""
        config = self.network.config
        channels, size = int(config["in_channels"]), config.get("sample_size")
        if self.autoencoder is None:
            self.cells = (channels, *_sides(size if resolution is None else resolution))
            _, height, width = self.cells
            self.image_spec = ImageSpec(channels=channels, height=height, width=width)
            return
        decoder = decoder_of(self.autoencoder)
        sides = _sides(size) if resolution is None else decoder.cells(resolution)[1:]
        self.cells = (channels, *sides)
        self.image_spec = decoder.images(self.cells)

    def _check_inputs(self) -> None:
        """Raise ValueError for a network that is asked for other things than are known."""
        config = self.network.config
        held = self.cells[0]
        if self.autoencoder is not None:
            held = int(self.autoencoder.config["latent_channels"])
        taken = (config["in_channels"], config["out_channels"])
        if taken != (held, held):
            expected = f"one from {held} channels to {held}"
            got = f"one from {taken[0]} to {taken[1]}"
            remedy = (
                "networks for inpainting, and those that predict their variance, are not opened"
            )
            fail("network of the pipeline", expected=expected, got=got, remedy=remedy)
        takes_text = config.get("cross_attention_dim") is not None
        if takes_text != (self.hidden is not None):
            expected, got = ("prompts", "none") if takes_text else ("no prompts", "some")
            remedy = "a network with `cross_attention_dim` takes prompts, others do not"
            fail("network of the pipeline", expected=expected, got=got, remedy=remedy)
        known = (None, "text_time") if takes_text else (None,)
        kinds = {"addition_embed_type": known, "class_embed_type": (None,)}
        kinds |= {"encoder_hid_dim_type": (None,)}
        for name, those in kinds.items():
            if (given := config.get(name)) not in those:
                expected = f"{name} {' or '.join(map(str, those))}"
                remedy = (
                    "write a function that calls the pipeline, and name it as package.module:name"
                )
                fail("network of the pipeline", expected=expected, got=repr(given), remedy=remedy)

    @property
    def evaluations(self) -> int:
        """See the class."""
        return self.steps * (1 + self._asks_twice)

    @property
    def _asks_twice(self) -> bool:
        embedded = bool(self.network.config.get("time_cond_proj_dim"))
        return self.hidden is not None and self.guidance > 1 and not embedded

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Follow z through the sampler, of a class or prompt where there are some."""
        self.latent_spec.check(latents, batch=True)
        label = self.check_label(label, len(latents))
        z = self.place(latents[:, 0].unflatten(1, self.cells))
        x = followed(self.scheduler, self.steps, z, partial(self._predicted, label=label))
        return x if self.autoencoder is None else decoded(self.autoencoder, x)

    def _predicted(self, x: Tensor, time: Tensor, label: Label | None) -> Tensor:
        """What the network says at a time; kept for the gradient is x alone."""
        one = self.evaluations == 1  # then nothing is saved by making it again
        if one or not x.requires_grad or not torch.is_grad_enabled() or not is_ordinary(x):
            return self._guided(x, time, label)
        again: Tensor = checkpoint(
            self._guided, x, time, label, use_reentrant=False, preserve_rng_state=False
        )
        return again

    def _guided(self, x: Tensor, time: Tensor, label: Label | None) -> Tensor:
        if self.hidden is None:
            given = {} if label is None else {"class_labels": label}
            out: Tensor = self.network(x, time, return_dict=False, **given)[0]
            return out
        prompted = torch.zeros(len(x), dtype=torch.long, device=x.device)
        towards = self._asked(x, time, prompted if label is None else label)
        if not self._asks_twice:
            return towards
        away = self._asked(x, time, prompted + len(self.hidden) - 1)
        return away + self.guidance * (towards - away)

    def _asked(self, x: Tensor, time: Tensor, rows: Tensor) -> Tensor:
        """The network's answer to some rows of the prompts."""
        assert self.hidden is not None
        given: dict[str, Any] = {"encoder_hidden_states": self.hidden[rows].to(x.dtype)}
        if width := self.network.config.get("time_cond_proj_dim"):
            embedding = _guidance_embedding(self.guidance - 1, int(width))
            given["timestep_cond"] = embedding.to(x).expand(len(x), -1)
        if self.pooled is not None:
            height, width = self.image_spec.height, self.image_spec.width
            sizes = x.new_tensor([height, width, 0, 0, height, width])  # whole, and not cut
            pooled = self.pooled[rows].to(x.dtype)
            given["added_cond_kwargs"] = {
                "text_embeds": pooled,
                "time_ids": sizes.expand(len(x), -1),
            }
        out: Tensor = self.network(x, time, return_dict=False, **given)[0]
        return out

    def __describe__(self) -> dict[str, object]:
        """See `Generator`; the sampler as well."""
        config = self.scheduler.config
        settings = {key: str(config[key]) for key in sorted(config) if not key.startswith("_")}
        sampler = {type(self.scheduler).__name__: settings}
        how = {"sampler": sampler, "steps": self.steps, "guidance": self.guidance}
        return {**super().__describe__(), **how}


def followed(
    scheduler: Any,  # noqa: ANN401 (of an optional package)
    steps: int,
    z: Tensor,
    predict: Callable[[Tensor, Tensor], Tensor],
) -> Tensor:
    """Return what a sampler makes of noise.

    Args:
        scheduler: see `PipelineGenerator`; it is left as it is.
        steps: of it.
        z: (B, C, H, W), unit noise.
        predict: what the network says of x at a time.
    """
    sampler = copy.deepcopy(scheduler)  # it counts its steps
    sampler.set_timesteps(steps, device=z.device)
    x: Tensor = z * sampler.init_noise_sigma
    noise = {}
    if "generator" in inspect.signature(sampler.step).parameters:
        noise = {"generator": [torch.Generator().manual_seed(_SEED) for _ in z]}
    for time in sampler.timesteps:
        out = predict(sampler.scale_model_input(x, time), time)
        x = sampler.step(out, time, x, return_dict=False, **noise)[0].to(x.dtype)
    return x


def _sides(size: int | Sequence[int] | None) -> tuple[int, int]:
    """Height and width as a config says them."""
    if size is None:
        remedy = "say the resolution in pixels: load_pipeline(folder, resolution=512)"
        expected = "a `sample_size` in its config"
        fail("network of the pipeline", expected=expected, got="none", remedy=remedy)
    height, width = (size, size) if isinstance(size, int) else size
    return check_count(height, "height of the noise"), check_count(width, "width of the noise")


def _guidance_embedding(scale: float, width: int) -> Tensor:
    """(D,), waves of 1000 times the guidance, as a network takes it in that was distilled with it.

    Source: Meng et al. 2023, arXiv 2210.03142, Sec. 3.1 (the guidance as an input);
        github.com/google-research/vdm, `model_vdm.py` (the waves).
    """
    half = width // 2
    frequencies = torch.exp(-math.log(10_000) * torch.arange(half) / (half - 1))
    waves = 1000 * scale * frequencies
    return torch.nn.functional.pad(torch.cat([waves.sin(), waves.cos()]), (0, width % 2))
