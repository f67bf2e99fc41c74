"""A folder of diffusers' layout as a generator: a pipeline, or an autoencoder alone.

    model_index.json   names the parts: unet/, scheduler/, vae/, text_encoder/, tokenizer/
    config.json        one network, whose class it names

A folder is one on this machine, or `owner/name` of the Hugging Face hub that was downloaded before:
nothing is fetched, and no code or pickle of a folder is run or read
(`genviews.load.pipeline_folder`).

Source: the layout of github.com/huggingface/diffusers (Apache 2.0), 0.42.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genviews.checks import check_count, expanded, fail, is_there
from genviews.described import described_by
from genviews.files import read_json
from genviews.generators.autoencoder import AutoencoderGenerator
from genviews.generators.base import Generator
from genviews.generators.callable import named_classes
from genviews.generators.diffusion import PipelineGenerator, followed
from genviews.load.pipeline_folder import (
    FETCH,
    PipelineFolder,
    downloaded,
    is_pipeline,
    known_class,
    may_be_on_hub,
)
from genviews.load.prompts import encode_prompts
from genviews.zoo.published import named_weights

__all__ = ["load_pipeline"]

# The guidance that a pipeline has by default, where its sampler takes several steps.
_PIPELINES = {
    "ConsistencyModelPipeline": 1.0,
    "DDIMPipeline": 1.0,
    "DDPMPipeline": 1.0,
    "PNDMPipeline": 1.0,
    "LatentConsistencyModelPipeline": 8.5,
    "StableDiffusionPipeline": 7.5,
    "StableDiffusionXLPipeline": 5.0,
}
_AUTOENCODERS = ("AutoencoderKL", "AutoencoderTiny")
_NETWORKS = ("UNet2DModel", "UNet2DConditionModel")


# Those of the left are sampled with those of the right: the random steps of one, and the running
# start of the other, are no function of z in a few steps.
_SCHEDULERS = {
    "DDIMScheduler": "DDIMScheduler",
    "DDPMScheduler": "DDIMScheduler",
    "PNDMScheduler": "DDIMScheduler",
    "DPMSolverMultistepScheduler": "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler": "UniPCMultistepScheduler",
    "EulerDiscreteScheduler": "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler": "EulerAncestralDiscreteScheduler",
    "LCMScheduler": "LCMScheduler",
    "CMStochasticIterativeScheduler": "CMStochasticIterativeScheduler",
}
# Chosen by us, for samplers of many steps; LCM's is that of its pipeline.
_STEPS, _LCM_STEPS = 10, 4
_MOST_TIMES = 100_000
_CHANGE = "change what is asked of it, or fetch it again"


def load_pipeline(
    word: str | Path,
    *,
    class_names: Sequence[str] | Mapping[str, str] = (),
    steps: int | None = None,
    guidance: float | None = None,
    resolution: int | None = None,
) -> Generator:
    """Return the generator of a folder of diffusers, in eval mode, frozen, in single precision.

    Args:
        word: a folder, or `owner/name` of the hub or a name of published weights, such as
            "sd-turbo", that was downloaded before.
        class_names: prompts of a pipeline that takes text, or name -> prompt; names of the classes
            of one that has classes.
        steps: of the sampler; None takes 1 for samplers made for that, 4 for latent consistency
            models, else 10.
        guidance: towards the prompt, 1 is none; None takes 1 for samplers of one step, else what
            the pipeline has by default.
        resolution: pixels of a side; None takes what the config says.

    Raises:
        FileNotFoundError: no such folder, or a part of it is missing.
        ModuleNotFoundError: diffusers, or transformers for prompts, is not installed.
        ValueError: a part of a kind that is not opened, or damaged.

    Example:
        >>> load_pipeline("stabilityai/sd-turbo",
        ...     class_names={"cat": "a photo of a cat"})  # doctest: +SKIP
    """
    if steps is not None:
        check_count(steps, "steps of the sampler", most=_MOST_TIMES)
    place = named_weights(word, f"pipeline {str(word)!r}") or expanded(word)
    if not is_there(place, folders=True) and may_be_on_hub(str(word)):
        place = downloaded(str(word))
    if not (is_there(place, folders=True) and is_pipeline(place)):
        fail(
            f"pipeline {str(word)!r}",
            expected="a folder with a model_index.json, or with the config.json of an autoencoder",
            got="none of that name",
            remedy="name the folder itself",
            error=FileNotFoundError,
        )
    folder = PipelineFolder(place, Path(word).name)
    if not folder.index:
        kind = read_json(place / "config.json").get("_class_name")
        if kind in _NETWORKS:
            remedy = "name the folder of the whole pipeline, with its model_index.json"
            got = f"one network of a pipeline ({kind})"
            fail(folder.what, expected="a generator", got=got, remedy=remedy)
        kind = known_class(kind, _AUTOENCODERS, folder.what, "autoencoder")
        network = folder.network(place, kind)
        with described_by(folder.what, "an autoencoder of such images", _CHANGE):
            made: Generator = AutoencoderGenerator(network, resolution)
    else:
        made = _pipeline(folder, class_names, steps, guidance, resolution)
    if not made.class_names:
        made.class_names = named_classes(tuple(class_names), made.num_classes)
    return made.eval().requires_grad_(False)


def _pipeline(
    folder: PipelineFolder,
    class_names: Sequence[str] | Mapping[str, str],
    steps: int | None,
    guidance: float | None,
    resolution: int | None,
) -> PipelineGenerator:
    """The generator of a folder with an index."""
    pipeline = known_class(
        folder.index.get("_class_name"), tuple(_PIPELINES), folder.what, "pipeline"
    )
    kinds = {
        "unet": folder.kind("unet", "diffusers", _NETWORKS),
        "vae": folder.kind("vae", "diffusers", _AUTOENCODERS),
        "scheduler": folder.kind("scheduler", "diffusers", tuple(_SCHEDULERS)),
    }
    for part in ("unet", "scheduler"):
        if kinds[part] is None:
            fail(folder.what, expected=f"a {part}", got="none in its index", remedy=FETCH)
    scheduler, steps, notes = _sampler(folder, str(kinds["scheduler"]), steps)
    prompts = None
    if folder.has("text_encoder") or folder.has("text_encoder_2"):
        prompts, told = encode_prompts(folder, class_names)
        notes += told
    vae = kinds["vae"]
    network = folder.network(folder.place("unet"), str(kinds["unet"]))
    if guidance is None:
        embedded = network.config.get("time_cond_proj_dim")
        few = steps == 1 or kinds["scheduler"] == "LCMScheduler"
        guidance = 1.0 if few and not embedded else _PIPELINES[pipeline]
    autoencoder = None if vae is None else folder.network(folder.place("vae"), vae)
    how: dict[str, Any] = {"steps": steps, "guidance": guidance, "resolution": resolution}
    with described_by(folder.what, "parts that go together", _CHANGE):
        made = PipelineGenerator(network, scheduler, autoencoder, prompts, **how)
    made.notes += notes
    return made


def _sampler(
    folder: PipelineFolder, kind: str, steps: int | None
) -> tuple[Any, int, tuple[str, ...]]:  # a scheduler, its steps, and what is to be said of it
    config = read_json(folder.place("scheduler") / "scheduler_config.json")
    what = f"scheduler of {folder.what}"
    for name in ("num_train_timesteps", "original_inference_steps"):
        if name in config:
            check_count(config[name], f"{name} of the {what}", most=_MOST_TIMES)
    name = _SCHEDULERS[kind]
    made_by = getattr(folder.diffusers(), name)
    trailing = config.get("timestep_spacing") == "trailing"
    if steps is None:
        one = kind.startswith("CM") or (kind.startswith("Euler") and trailing)
        steps = 1 if one else _LCM_STEPS if kind == "LCMScheduler" else _STEPS
    notes: tuple[str, ...] = ()
    if name != kind:
        notes += (f"sampled by {name} in place of {kind}, whose steps are no function of z alone",)
    with described_by(what, "what `save_pretrained` writes"):
        made = made_by.from_config(config)
        own = made.config.get("timestep_spacing", "trailing")
        if steps == 1 and own != "trailing" and kind != "LCMScheduler":
            made = made_by.from_config(config, timestep_spacing="trailing")
            notes += ("timestep_spacing is trailing, so that one step begins at pure noise",)
        followed(made, steps, torch.zeros(1, 1, 2, 2), lambda x, time: torch.zeros_like(x))
    return made, steps, notes
