"""The encoders that ship with StyleGAN2, and the encoders and classifiers of Chai et al. 2021.

The published classes have their widths in them: these are the real networks, of few style rows.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from benchmarks.originals import apart, imported, settled
from genviews.classify.attribute import attribute_network
from genviews.load.encoders import psp_encoder, resnet_encoder

ROWS, SIZE = 8, 32  # style rows of a generator of 32 pixels: all three parts of a pyramid


def _difference(
    theirs: nn.Module, opts: dict[str, str], what: str, channels: int = 3
) -> dict[str, float]:
    side = (192, 256) if opts.get("dataset_type") == "cars_encode" else (256, 256)
    images = torch.rand(2, channels, *side) * 2 - 1
    settled(theirs, images)
    for name, tensor in theirs.named_parameters():
        if name.startswith("styles") and tensor.ndim == 4:
            tensor.data *= 6**0.5  # torch's first weights would make a row's answer next to nothing
    wanted = theirs(images)
    wanted = wanted[:, None].expand(-1, ROWS, -1) if wanted.ndim == 2 else wanted
    ours = psp_encoder(theirs.state_dict(), opts, None, ROWS, what)
    return apart(ours.answer(images), wanted)


@torch.no_grad()
def e4e(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """Encoder and largest difference of the latents, of encoder4editing."""
    with imported(checkout, "models.encoders.psp_encoders") as (module,):
        size = Namespace(stylegan_size=SIZE)
        kinds = {
            "Encoder4Editing": module.Encoder4Editing,
            "GradualStyleEncoder": module.GradualStyleEncoder,
            "SingleStyleCodeEncoder": module.BackboneEncoderUsingLastLayerIntoW,
        }
        for kind, network in kinds.items():
            for mode in ("ir_se", "ir") if kind == "Encoder4Editing" else ("ir_se",):
                torch.manual_seed(0)
                name = f"e4e {kind}, {mode}"
                yield name, _difference(network(50, mode, size), {"encoder_type": kind}, name)
        torch.manual_seed(0)
        opts = {"encoder_type": "Encoder4Editing", "dataset_type": "cars_encode"}
        cars = module.Encoder4Editing(50, "ir_se", size)
        yield "e4e Encoder4Editing, cars", _difference(cars, opts, "cars")


@torch.no_grad()
def psp(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The same of pixel2style2pixel."""
    with imported(checkout, "models.encoders.psp_encoders") as (module,):
        for kind in (
            "GradualStyleEncoder",
            "BackboneEncoderUsingLastLayerIntoW",
            "BackboneEncoderUsingLastLayerIntoWPlus",
        ):
            torch.manual_seed(0)
            given = Namespace(input_nc=3, n_styles=ROWS)
            theirs = getattr(module, kind)(50, "ir_se", given)
            yield f"pSp {kind}", _difference(theirs, {"encoder_type": kind}, kind)


@torch.no_grad()
def restyle(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The same of ReStyle: image and rendering in, six channels."""
    names = ("fpn_encoders", "restyle_psp_encoders", "restyle_e4e_encoders")
    with imported(checkout, *(f"models.encoders.{name}" for name in names)) as modules:
        kinds = {
            "GradualStyleEncoder": modules[0],
            "ResNetGradualStyleEncoder": modules[0],
            "BackboneEncoder": modules[1],
            "ResNetBackboneEncoder": modules[1],
            "ProgressiveBackboneEncoder": modules[2],
            "ResNetProgressiveBackboneEncoder": modules[2],
        }
        for kind, module in kinds.items():
            torch.manual_seed(0)
            given = Namespace(input_nc=6)
            sizes = () if kind.startswith("ResNet") else (50, "ir_se")
            theirs = getattr(module, kind)(*sizes, n_styles=ROWS, opts=given)
            name = f"ReStyle {kind}"
            yield name, _difference(theirs, {"encoder_type": kind}, name, channels=6)


@torch.no_grad()
def chai(checkout: Path) -> Iterator[tuple[str, dict[str, float]]]:
    """The encoders of image and mask, and the attribute classifiers, of Chai et al. 2021."""
    with imported(checkout, "networks.stylegan2.stylegan2_networks") as (module,):
        for depth, channels in ((34, 4), (34, 3), (18, 4)):
            torch.manual_seed(0)
            theirs = module.get_stylegan_encoder(
                ndim_z=512 * 3, resnet_depth=depth, halfsize=False, channels_in=channels
            )
            seen = torch.rand(2, channels, 320, 320) * 2 - 1
            seen[:, 3:] = (seen[:, 3:] > 0).float()
            seen[:, :3] *= seen[:, 3:] if channels == 4 else 1.0
            settled(theirs, seen)
            name = f"Chai et al. ResNet-{depth}, {channels} channels"
            ours = resnet_encoder(theirs.state_dict(), 512, name)
            masks = seen[:, 3:] if channels == 4 else None
            yield name, apart(ours(seen[:, :3], masks), theirs(seen))
    with imported(checkout, "networks.classifiers.attribute_utils") as (utils,):
        classifier = utils.attribute_classifier
        for fixed, size, side in ((True, 256, 256), (True, 256, 512), (False, 32, 32)):
            torch.manual_seed(0)
            theirs = classifier.D(
                resolution=size, fixed_size=fixed, use_mbstd=False, fmap_base=2048, fmap_max=64
            ).eval()
            images = torch.rand(3, 3, side, side) * 2 - 1
            ours = attribute_network(theirs.state_dict(), "classifier")
            name = f"attribute classifier, {size} pixels, images of {side}"
            name += "" if fixed else ", layers of growth"
            if size == 256:
                number, present = utils.get_softmaxed(theirs, images)
            else:
                number = theirs(images)[:, 0]
                present = torch.sigmoid(-2 * number)
            logits = ours(images)
            yield f"{name}, l", apart(logits[:, 0], number)
            yield f"{name}, P(present)", apart(logits.softmax(1)[:, 1], present)
