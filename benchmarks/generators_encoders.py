"""The encoders that ship with generators, and the networks of Chai et al. 2021, against their code.

The published classes have their widths in them: these are the real networks, of few style rows. See
`benchmarks.generators`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.agreement import Comparison, Section, difference
from benchmarks.generators_ports import taking
from benchmarks.settled import imported, settled
from genviews.classify.attribute import attribute_network
from genviews.load.generator import load_generator
from genviews.load.inversion_encoder import load_inversion_encoder

__all__ = ["SECTIONS"]

SEED, ROWS, SIZE = 0, 8, 32  # a generator of 32 pixels: all three parts of a pyramid
E4E = ("Encoder4Editing", "GradualStyleEncoder", "SingleStyleCodeEncoder")
PSP = ("GradualStyleEncoder", "BackboneEncoderUsingLastLayerIntoW")
PSP += ("BackboneEncoderUsingLastLayerIntoWPlus",)
RESTYLE = {
    "GradualStyleEncoder": "fpn_encoders",
    "ResNetGradualStyleEncoder": "fpn_encoders",
    "BackboneEncoder": "restyle_psp_encoders",
    "ResNetBackboneEncoder": "restyle_psp_encoders",
    "ProgressiveBackboneEncoder": "restyle_e4e_encoders",
    "ResNetProgressiveBackboneEncoder": "restyle_e4e_encoders",
}


def _compared(
    name: str, theirs: nn.Module, decoder: nn.Module, opts: dict[str, Any], folder: Path
) -> Comparison:
    """An encoder with its decoder in a file as each of these repositories writes it."""
    restyle = opts.get("input_nc") == 6
    height = 192 if opts.get("dataset_type") == "cars_encode" else 256
    count = 1 if restyle else 2  # a pass costs a rendering and two looks of the whole network
    images = torch.rand(count, 3, 256, 256) * 2 - 1
    frame = images[:, :, (256 - height) // 2 :][:, :, :height]
    seen = torch.cat([frame, frame.flip(3)], 1) if restyle else frame
    settled(theirs, seen)
    average = 0.3 * torch.randn(ROWS, 512)
    parts = {"encoder": theirs, "decoder": settled(decoder)}
    state = {f"{k}.{n}": v for k, part in parts.items() for n, v in part.state_dict().items()}
    content = {"state_dict": state, "latent_avg": average, "opts": Namespace(**opts)}
    torch.save(content, folder / "net.pt")
    kit = load_generator(folder / "net.pt")
    ours, generator = kit.encoder, kit.generator
    assert ours is not None, kit.notes

    def answer(x: Tensor) -> Tensor:
        found: Tensor = theirs(x)
        return found[:, None].expand(-1, ROWS, -1) if found.ndim == 2 else found

    if not restyle:
        found = {"latents": difference(ours(images), answer(frame) + average)}
    else:
        # An inversion has image and rendering at the generator's size.
        whole, ones = F.adaptive_avg_pool2d(images, SIZE), images.new_ones(1, 1, 1, 1)
        images, found = F.interpolate(whole, size=(256, 256), mode="area"), {}
        shown = F.adaptive_avg_pool2d(generator.synthesize(average[None]), 256)
        wanted = average + answer(torch.cat([images, shown], 1))
        latents = first = ours(whole)
        found["latents"] = difference(latents, wanted)
        rendered = generator.synthesize(latents)
        masks = ones.expand(-1, -1, *rendered.shape[2:])
        latents = ours.correct(latents, first, whole, rendered, masks)
        pooled = F.adaptive_avg_pool2d(generator.synthesize(wanted), 256)
        wanted = wanted + answer(torch.cat([images, pooled], 1))
        found["latents of pass 2"] = difference(latents, wanted)
    return Comparison(case=name, config=opts, seed=SEED, differences=found)


def _e4e(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    names = ("models.encoders.psp_encoders", "models.stylegan2.model")
    with imported(checkout, *names) as (module, model):
        given = Namespace(stylegan_size=SIZE)
        cases = [(kind, "ir_se", {}) for kind in E4E]
        cases += [("Encoder4Editing", "ir", {})]
        cases += [("Encoder4Editing", "ir_se", {"dataset_type": "cars_encode"})]
        for kind, mode, more in cases[: 1 if quick else None]:
            torch.manual_seed(SEED)
            own = "BackboneEncoderUsingLastLayerIntoW" if kind == E4E[2] else kind
            theirs = getattr(module, own)(50, mode, given)
            opts = {"encoder_type": kind, "start_from_latent_avg": True, **more}
            yield _compared(
                f"{kind}, {mode}, {more}", theirs, model.Generator(SIZE, 512, 8), opts, folder
            )


def _psp(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    names = ("models.encoders.psp_encoders", "models.stylegan2.model")
    with imported(checkout, *names) as (module, model):
        for kind in PSP[: 1 if quick else None]:
            torch.manual_seed(SEED)
            theirs = getattr(module, kind)(50, "ir_se", Namespace(input_nc=3, n_styles=ROWS))
            opts = {"encoder_type": kind, "start_from_latent_avg": True, "input_nc": 3}
            yield _compared(kind, theirs, model.Generator(SIZE, 512, 8), opts, folder)


def _restyle(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    for kind, place in list(RESTYLE.items())[: 1 if quick else None]:
        names = (f"models.encoders.{place}", "models.stylegan2.model")
        with imported(checkout, *names) as (module, model):
            torch.manual_seed(SEED)
            sizes = () if kind.startswith("ResNet") else (50, "ir_se")
            opts = {"encoder_type": kind, "input_nc": 6, "n_iters_per_batch": 5}
            theirs = getattr(module, kind)(*sizes, n_styles=ROWS, opts=Namespace(input_nc=6))
            yield _compared(kind, theirs, model.Generator(SIZE, 512, 8), opts, folder)


def _chai(checkout: Path, folder: Path, quick: bool) -> Iterator[Comparison]:
    """Encoders of image and mask, and attribute classifiers: the number and the probability."""
    target = taking(4, 512)
    with imported(checkout, "networks.stylegan2.stylegan2_networks") as (module,):
        for depth, channels in ((34, 4), (34, 3), (18, 4))[: 1 if quick else None]:
            torch.manual_seed(SEED)
            config = {"ndim_z": 512 * 4, "resnet_depth": depth, "channels_in": channels}
            theirs = module.get_stylegan_encoder(halfsize=False, **config)
            seen = torch.rand(2, channels, 320, 320) * 2 - 1
            if channels == 4:
                seen[:, 3:] = (seen[:, 3:] > 0).float()
                seen[:, :3] *= seen[:, 3:]
            settled(theirs, seen)
            torch.save({"state_dict": theirs.state_dict(), "epoch": 1}, folder / "encoder.pth.tar")
            ours = load_inversion_encoder(folder / "encoder.pth.tar", target)
            found = ours(seen[:, :3], seen[:, 3:] if channels == 4 else None)
            yield Comparison(
                case=f"encoder, ResNet-{depth}, {channels} channels",
                config=config,
                seed=SEED,
                differences={"latents": difference(found, theirs(seen))},
            )
    with imported(checkout, "networks.classifiers.attribute_utils") as (utils,):
        for fixed, size, side in ((True, 256, 512), (True, 256, 256), (False, 32, 32)):
            torch.manual_seed(SEED)
            config = {"resolution": size, "fixed_size": fixed, "use_mbstd": False}
            config |= {"fmap_base": 2048, "fmap_max": 64}
            theirs = utils.attribute_classifier.D(**config).eval()
            images = torch.rand(3, 3, side, side) * 2 - 1
            logits = attribute_network(theirs.state_dict(), "classifier")(images)
            if size == 256:
                number, present = utils.get_softmaxed(theirs, images)
            else:
                number = theirs(images)[:, 0]
                present = torch.stack([number, -number], 1).softmax(1)[:, 1]
            yield Comparison(
                case=f"attribute classifier, {size} pixels, images of {side}",
                config=config,
                seed=SEED,
                differences={
                    "numbers": difference(logits[:, 0], number),
                    "probabilities": difference(logits.softmax(1)[:, 1], present),
                },
            )


_SECTION = {
    "encoders_e4e": ("omertov/encoder4editing", _e4e),
    "encoders_psp": ("eladrich/pixel2style2pixel", _psp),
    "encoders_restyle": ("yuval-alaluf/restyle-encoder", _restyle),
    "chai": ("chail/gan-ensembling", _chai),
}
SECTIONS: dict[str, Section] = {
    name: Section(repository=place, compare=compare) for name, (place, compare) in _SECTION.items()
}
