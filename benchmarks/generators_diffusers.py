"""Folders of diffusers against the pipelines of the installed package: see `benchmarks.generators`.

Parts are tiny, of the shapes of published ones, with random weights. The package saves the folder
and runs its own pipeline on the same z; noise between the steps of a sampler is that of one seed.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.agreement import Comparison, Section, difference, gradient_difference
from genviews.generators.autoencoder import AutoencoderGenerator, encoded
from genviews.load.pipelines import load_pipeline
from genviews.rng import Rng

__all__ = ["CASES", "CODED", "PIXELS", "SECTIONS", "Case", "compared", "made", "pipeline_of"]

SEED = 0
PROMPTS = {"first": "a b", "second": "c"}
_SMALL = {"sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1}
_SMALL |= {"norm_num_groups": 4}
PIXELS: dict[str, Any] = {**_SMALL, "in_channels": 3, "out_channels": 3, "attention_head_dim": 4}
PIXELS |= {"down_block_types": ("DownBlock2D", "AttnDownBlock2D")}
PIXELS |= {"up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
"""A `UNet2DModel` of images of 8 pixels."""
_CROSSED: dict[str, Any] = {**_SMALL, "attention_head_dim": 2, "cross_attention_dim": 8}
_CROSSED |= {"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")}
_CROSSED |= {"up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D")}
_WIDE = {"cross_attention_dim": 16, "addition_embed_type": "text_time"}
_WIDE |= {"addition_time_embed_dim": 4, "projection_class_embeddings_input_dim": 6 * 4 + 6}
CODED: dict[str, Any] = {"block_out_channels": (8, 8), "norm_num_groups": 4, "sample_size": 16}
CODED |= {"down_block_types": ("DownEncoderBlock2D",) * 2, "latent_channels": 4}
CODED |= {"up_block_types": ("UpDecoderBlock2D",) * 2}
"""An `AutoencoderKL` that halves images of 16 pixels once."""
_TINY = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
_TINY |= {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
_TEXT = {"vocab_size": 12, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 3}
_TEXT |= {"num_attention_heads": 2, "max_position_embeddings": 9, "projection_dim": 6}
_TEXT |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A pipeline, or an autoencoder alone.

    Args:
        kind: class of it.
        network: arguments of its network, beside those of a small one.
        scheduler: class of its sampler.
        settings: arguments of that.
        steps: of the sampler.
        guidance: towards the prompt.
    """

    kind: str
    network: dict[str, Any] = field(default_factory=dict)
    scheduler: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 1
    guidance: float = 1.0


_STABLE, _XL = "StableDiffusionPipeline", "StableDiffusionXLPipeline"
_SCALED = {"beta_schedule": "scaled_linear", "steps_offset": 1}
_TRAILING = {**_SCALED, "timestep_spacing": "trailing"}
_EULER = {"scheduler": "EulerDiscreteScheduler", "settings": _TRAILING}
_ANCESTRAL = {"scheduler": "EulerAncestralDiscreteScheduler", "settings": _TRAILING}
_DDIM = {"scheduler": "DDIMScheduler", "settings": {"clip_sample": False, "steps_offset": 1}}
_LCM = {"scheduler": "LCMScheduler", "settings": _SCALED}
_SOLVER = {"scheduler": "DPMSolverMultistepScheduler", "settings": _SCALED}
_UNIPC = {"scheduler": "UniPCMultistepScheduler", "settings": _SCALED}
_DISTILLED: dict[str, Any] = {"network": {"time_cond_proj_dim": 6}, "guidance": 8.5, **_LCM}
_CONSISTENT: dict[str, Any] = {"scheduler": "CMStochasticIterativeScheduler"}
_CONSISTENT |= {"kind": "ConsistencyModelPipeline"}
CASES: dict[str, Case] = {
    "sd-turbo, 1 step": Case(kind=_STABLE, **_EULER),
    "sdxl-turbo, 1 step": Case(kind=_XL, network=_WIDE, **_ANCESTRAL),
    "sdxl-turbo, 3 steps": Case(kind=_XL, network=_WIDE, steps=3, **_ANCESTRAL),
    "LCM, 1 step": Case(kind="LatentConsistencyModelPipeline", **_DISTILLED),
    "LCM, 4 steps": Case(kind="LatentConsistencyModelPipeline", steps=4, **_DISTILLED),
    "LCM without guidance, 2 steps": Case(kind=_STABLE, steps=2, **_LCM),
    "consistency model, classes, 1 step": Case(network={"num_class_embeds": 3}, **_CONSISTENT),
    "consistency model, 2 steps": Case(steps=2, **_CONSISTENT),
    "DDIM in pixels, 3 steps": Case(kind="DDIMPipeline", scheduler="DDIMScheduler", steps=3),
    "DDIM, 3 steps, guided": Case(kind=_STABLE, steps=3, guidance=3.0, **_DDIM),
    "SDXL, DDIM, 2 steps, guided": Case(kind=_XL, network=_WIDE, steps=2, guidance=3.0, **_DDIM),
    "Euler, 3 steps, guided": Case(kind=_STABLE, steps=3, guidance=7.5, **_EULER),
    "DPM-Solver++, 4 steps": Case(kind=_STABLE, steps=4, **_SOLVER),
    "UniPC, 4 steps": Case(kind=_STABLE, steps=4, **_UNIPC),
    "AutoencoderKL": Case(kind="AutoencoderKL", network=CODED),
    "AutoencoderKL with a shift": Case(
        kind="AutoencoderKL",
        network={**CODED, "latent_channels": 6, "scaling_factor": 1.5305, "shift_factor": 0.0609},
    ),
    "TAESD": Case(kind="AutoencoderTiny", network=_TINY),
}


def made(kind: str, **config: object) -> nn.Module:
    """A network of diffusers, with the same random weights each time, in eval mode and frozen."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network: nn.Module = getattr(importlib.import_module("diffusers"), kind)(**config)
    return network.eval().requires_grad_(False)


def _text(end: str, folder: Path) -> dict[str, Any]:
    """A text encoder and its tokenizer, whose words are letters, by the names of their parts."""
    transformers = importlib.import_module("transformers")
    words = ["<|startoftext|>", "<|endoftext|>", *(f"{c}</w>" for c in "abcde"), *"abcde"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    kind = "CLIPTextModelWithProjection" if end else "CLIPTextModel"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(end))
        encoder = getattr(transformers, kind)(transformers.CLIPTextConfig(**_TEXT)).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, model_max_length=9)
    return {f"text_encoder{end}": encoder, f"tokenizer{end}": tokenizer}


def pipeline_of(case: Case, folder: Path) -> Any:  # noqa: ANN401 (a class of diffusers)
    """The pipeline of a case; files on the way to it lie below a folder."""
    diffusers = importlib.import_module("diffusers")
    parts = {"scheduler": getattr(diffusers, case.scheduler)(**case.settings)}
    if "Stable" in case.kind or "Latent" in case.kind:
        parts["unet"] = made("UNet2DConditionModel", **{**_CROSSED, **case.network})
        parts["vae"] = made("AutoencoderKL", **CODED)
        parts["vae"].decoder.conv_out.weight.mul_(0.3)  # images that nothing clamps
        parts |= _text("", folder / "words")
        if case.kind == _XL:
            parts |= _text("_2", folder / "words_2")
        else:
            parts |= {"safety_checker": None, "feature_extractor": None}
            parts |= {"requires_safety_checker": False}
    else:
        parts["unet"] = made("UNet2DModel", **PIXELS, **case.network)
    pipeline = getattr(diffusers, case.kind)(**parts)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def compared(name: str, folder: Path) -> Comparison:
    """Images and gradients of a case beside those of the package; below a folder, which is made."""
    case = CASES[name]
    compare = _pipeline if case.scheduler else _autoencoder
    config = asdict(case)
    return Comparison(case=name, config=config, seed=SEED, differences=compare(case, folder))


def _pipeline(case: Case, folder: Path) -> dict[str, float]:
    pipeline = pipeline_of(case, folder)
    pipeline.save_pretrained(folder / "net")
    prompts = PROMPTS if "tokenizer" in pipeline.components else {}
    how = {"steps": case.steps, "guidance": case.guidance}
    ours = load_pipeline(folder / "net", class_names=prompts, **how)
    label = ours.labels_in_turn(range(2))
    given: dict[str, Any] = {"num_inference_steps": case.steps}
    if case.kind == "DDIMPipeline":  # it takes no noise, and draws it
        z = torch.randn(2, ours.z_dim, generator=_seeded())
        given |= {"batch_size": 2, "generator": _seeded(), "output_type": "np"}
        wanted = torch.from_numpy(pipeline(**given).images).permute(0, 3, 1, 2) * 2 - 1
        images = ours.synthesize(ours.map(z, label), label)
        return {"images": difference(images.clamp(-1, 1), wanted)}
    if prompts:
        given |= {"prompt": list(prompts.values()), "guidance_scale": case.guidance}
    else:
        given |= {"batch_size": 2, "class_labels": label}
    run: Callable[..., Any] = type(pipeline).__call__.__wrapped__  # with a gradient

    def theirs(z: Tensor) -> Tensor:
        noise = {"generator": [_seeded() for _ in z], "output_type": "pt"}
        latents = z.unflatten(1, ours.cells)
        images: Tensor = run(pipeline, latents=latents, **given, **noise).images * 2 - 1
        return images

    return _both(ours, theirs, label)


def _autoencoder(case: Case, folder: Path) -> dict[str, float]:
    network: Any = made(case.kind, **case.network)
    network.save_pretrained(folder)
    ours = load_pipeline(folder, resolution=16)
    assert isinstance(ours, AutoencoderGenerator)
    scale, shift = network.config["scaling_factor"], network.config.get("shift_factor") or 0.0

    def theirs(z: Tensor) -> Tensor:
        images: Tensor = network.decode(z.unflatten(1, ours.cells) / scale + shift).sample
        return images

    found = _both(ours, theirs, None)
    pictures = torch.rand(2, *ours.image_spec.shape, generator=_seeded()) * 2 - 1
    answer = network.encode(pictures)
    latents = answer.latent_dist.mean if case.kind == "AutoencoderKL" else answer.latents
    wanted = (latents - shift) * scale
    return found | {"latents": difference(encoded(ours.autoencoder, pictures), wanted)}


def _both(ours: Any, theirs: Callable[[Tensor], Tensor], label: Tensor | None) -> dict[str, float]:  # noqa: ANN401 (a generator with cells)
    z = ours.sample(Rng(SEED).streams(range(2)))

    def render(z: Tensor) -> Tensor:
        images: Tensor = ours.synthesize(ours.map(z, label), label)
        return images

    with torch.no_grad():
        images = difference(render(z), theirs(z))
    return {"images": images, "gradients": gradient_difference(render, theirs, z)}


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def _compare(_: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    for number, name in enumerate(list(CASES)[: 1 if quick else None]):
        yield compared(name, folder / str(number))


SECTIONS: dict[str, Section] = {
    "diffusers": Section(repository="huggingface/diffusers", package="diffusers", compare=_compare),
}
