"""Encoders of others out of their files: what they answer, and where an inversion starts."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from genviews.files import save_tensors
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoders import read_encoder
from genviews.invert.optimize import invert
from genviews.invert.start import EncoderStart, ToInvert
from genviews.load.generator import load_generator
from genviews.load.inversion_encoder import load_inversion_encoder
from genviews.rng import Rng
from tests.generators.naive_others import Weights
from tests.generators.test_other_families import SMALL, StyleGAN2Config, rosinality, stylegan2
from tests.load import naive_encoders as naive

DIM, WIDTHS, DEPTHS = 6, (4, 6, 8, 4), (1, 1, 2, 1)
WIDE = StyleGAN2Config(**{**vars(SMALL), "resolution": 32, "channels": {4: 8, 8: 6, 16: 4, 32: 4}})


@cache
def target():
    return stylegan2(WIDE)


def written(path, weights, opts, generator=None):
    """A file as pSp, e4e and ReStyle write it."""
    generator = target() if generator is None else generator
    state = OrderedDict({f"encoder.{name}": value for name, value in weights.items()})
    state |= {f"decoder.{name}": value for name, value in rosinality(generator).items()}
    rows = generator.latent_spec.num_layers
    average = torch.linspace(-1, 1, DIM).expand(rows, -1).clone()
    content = {"state_dict": state, "latent_avg": average, "opts": opts}
    torch.save(content, path)
    return path, average


def close(got, wanted):
    torch.testing.assert_close(got.double(), wanted, rtol=1e-3, atol=1e-3)


def pictures(side=32, seed=0):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


KINDS = {
    "GradualStyleEncoder": {"head": "pyramid", "squeeze": True},
    "Encoder4Editing": {"head": "pyramid", "deltas": True},
    "BackboneEncoderUsingLastLayerIntoW": {"head": "mean"},
    "BackboneEncoderUsingLastLayerIntoWPlus": {"head": "flat"},
    "BackboneEncoder": {"head": "last"},
    "ResNetProgressiveBackboneEncoder": {"head": "last", "deltas": True, "resnet": True},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_of_a_generators_file(kind, tmp_path):
    w, images = Weights(), F.interpolate(pictures(), size=(256, 256), mode="nearest")
    widths = (16, 20, 16, 18) if "squeeze" in KINDS[kind] else WIDTHS
    wanted = naive.style_encoder(w, images, 8, DIM, widths, DEPTHS, **KINDS[kind])
    path, average = written(tmp_path / "net.pt", w, Namespace(encoder_type=kind))
    kit = load_generator(path)
    assert kit.encoder is not None, kit.notes
    close(kit.encoder(pictures()), wanted + average)
    kit.encoder.save(tmp_path / "again.safetensors")
    assert torch.equal(read_encoder(tmp_path / "again.safetensors")(images), kit.encoder(images))


def test_restyle_looks_at_its_rendering(tmp_path):
    w, images = Weights(), pictures()
    large = F.interpolate(images, size=(256, 256), mode="nearest")
    opts = {"encoder_type": "BackboneEncoder", "input_nc": 6}
    naive.style_encoder(w, torch.cat([large, large], 1), 8, DIM, WIDTHS, DEPTHS, "last")
    path, average = written(tmp_path / "net.pt", w, opts)
    kit = load_generator(path)
    generator, encoder = kit.generator, kit.encoder
    assert kit.inverter.start == EncoderStart(encoder, passes=5)

    def step(latents):
        shown = F.interpolate(generator.synthesize(latents), size=(256, 256), mode="nearest")
        seen = torch.cat([large, shown], 1)
        answer = naive.style_encoder(w, seen, 8, DIM, WIDTHS, DEPTHS, "last")
        return (latents.double() + answer).float()

    first = step(average.expand(1, -1, -1))
    close(encoder(images), first.double())
    masks = torch.ones_like(images[:, :1])
    rendered = generator.synthesize(first)
    second = encoder.correct(first, first, images, rendered, masks)
    close(second, step(first).double())
    wanted = ToInvert(generator=generator, images=images, masks=masks, rows=torch.arange(1))
    assert EncoderStart(encoder, passes=2).candidates(wanted).shape == (1, 1, 8, DIM)


def test_cars_are_seen_without_their_bars(tmp_path):
    w = Weights()
    images = F.interpolate(pictures(), size=(256, 256), mode="nearest")
    seen = images[:, :, 32:224]
    wanted = naive.style_encoder(w, seen, 8, DIM, WIDTHS, DEPTHS, "pyramid")
    opts = Namespace(encoder_type="GradualStyleEncoder", dataset_type="cars_encode")
    path, average = written(tmp_path / "net.pt", w, opts)
    close(load_generator(path).encoder(pictures()), wanted + average)


def test_the_encoder_of_a_generators_file_as_safetensors(tmp_path):
    w = Weights()
    naive.style_encoder(w, torch.zeros(1, 3, 256, 256), 8, DIM, WIDTHS, DEPTHS, "mean")
    path, _ = written(tmp_path / "net.pt", w, {})
    content = torch.load(path, weights_only=True)
    flat = {**content["state_dict"], "latent_avg": content["latent_avg"]}
    save_tensors(tmp_path / "net.safetensors", flat)
    kits = [load_generator(one) for one in (path, tmp_path / "net.safetensors")]
    assert kits[1].notes == kits[0].notes
    first, again = (kit.encoder(pictures()) for kit in kits)
    assert torch.equal(first, again)


def test_another_encoder_is_built_in_place_of_the_one_that_ships(tmp_path):
    w = Weights()
    naive.style_encoder(w, torch.zeros(1, 3, 256, 256), 8, DIM, WIDTHS, DEPTHS, "pyramid")
    path, _ = written(tmp_path / "net.pt", w, {"encoder_type": "Another"})  # none that is known
    config = EncoderConfig(
        image_channels=3, num_layers=8, dim=DIM, size=8, widths=(8,), blocks=(1,)
    )
    ours = InversionEncoder(config)
    ours.save(tmp_path / "ours.safetensors")
    kit = load_generator(path, encoder=tmp_path / "ours.safetensors")
    assert isinstance(kit.encoder, InversionEncoder)
    assert [note for note in kit.notes if "encoder" in note] == []


@pytest.mark.parametrize("data", [b"", b"PK\3\4 and no more", b"version https://git-lfs", b"text"])
def test_a_damaged_file_is_named_as_an_encoder(data, tmp_path):
    (tmp_path / "net.pt").write_bytes(data)
    with pytest.raises(ValueError, match=r"^encoder( net\.pt)?: ") as error:
        load_inversion_encoder(tmp_path / "net.pt", target())
    assert "generator" not in str(error.value)


@pytest.mark.parametrize("opts", [Namespace(), {"encoder_type": "Another"}])
def test_an_encoder_of_no_known_type_is_left_out(opts, tmp_path):
    w = Weights()
    naive.style_encoder(w, torch.zeros(1, 3, 256, 256), 8, DIM, WIDTHS, DEPTHS, "pyramid")
    path, _ = written(tmp_path / "net.pt", w, opts)
    kit = load_generator(path)
    assert kit.encoder is None
    assert any(
        "its encoder was left out: encoder in net.pt: expected opts" in note for note in kit.notes
    )
    with pytest.raises(ValueError, match="opts whose encoder_type is"):
        load_inversion_encoder(path, kit.generator)


@pytest.mark.parametrize("channels", [4, 3])
def test_the_encoder_of_chai_et_al(channels, tmp_path):
    w, images = Weights(), pictures(256)
    masks = (pictures(256, 1)[:, :1] > 0).float()
    seen = torch.cat([images * masks, masks], 1)[:, :channels]
    if channels == 3:
        seen, masks = images, None
    wanted = naive.resnet_encoder(w, seen, 8, DIM, (8, 8, 12, 8), (2, 1, 1, 1))
    path = tmp_path / "encoder.pth.tar"
    torch.save({"state_dict": OrderedDict(w), "epoch": 3}, path)
    close(load_inversion_encoder(path, target())(images, masks), wanted)


@pytest.mark.parametrize("norms", [True, False])
def test_the_encoder_of_in_domain_inversion(norms, tmp_path):
    w, images = Weights(), pictures(32)
    wanted = naive.in_domain_encoder(w, images, DIM, (4, 8, 8, 6), norms)
    torch.save(OrderedDict(w), tmp_path / "encoder.pth")
    close(load_inversion_encoder(tmp_path / "encoder.pth", target())(images), wanted)


def test_what_is_no_encoder_for_the_generator(tmp_path):
    path = tmp_path / "encoder.pth"
    torch.save({"a.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ValueError, match=r"an encoder of pSp.*got other names: a\.weight"):
        load_inversion_encoder(path, target())
    w = Weights()
    naive.in_domain_encoder(w, pictures(16), DIM, (4, 8, 6))
    torch.save(OrderedDict(w), path)
    with pytest.raises(ValueError, match=r"latents of encoder encoder\.pth"):
        load_inversion_encoder(path, target())
    del w["block1.wscale2.bias"]
    torch.save(OrderedDict(w), path)
    with pytest.raises(ValueError, match="encoder"):
        load_inversion_encoder(path, target())


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"num_layers": 6}, "latents of encoder ours.safetensors: expected shape"),
        ({"dim": 5}, "latents of encoder ours.safetensors: expected shape"),
        ({"image_channels": 1}, "ours.safetensors: expected one that sees images of 3 channels"),
    ],
)
def test_one_of_ours_for_another_generator(sizes, told, tmp_path):
    fits = {"image_channels": 3, "num_layers": 8, "dim": DIM}
    config = EncoderConfig(**{**fits, **sizes}, size=8, widths=(8,), blocks=(1,))
    InversionEncoder(config).save(tmp_path / "ours.safetensors")
    with pytest.raises(ValueError, match=told):
        load_inversion_encoder(tmp_path / "ours.safetensors", target())


def test_an_inversion_starts_from_it(tmp_path):
    w = Weights()
    naive.style_encoder(w, torch.zeros(1, 3, 256, 256), 8, DIM, WIDTHS, DEPTHS, "mean")
    opts = Namespace(encoder_type="SingleStyleCodeEncoder", start_from_latent_avg=False)
    path, _ = written(tmp_path / "net.pt", w, opts)
    kit = load_generator(path, steps=1)
    images = kit.generator.synthesize(kit.generator.map(kit.generator.sample(Rng(0).streams([1]))))
    images = images.clamp(-1, 1)
    found = invert(kit.generator, images, inverter=kit.inverter)
    assert found.latents.shape == (1, 8, DIM)
    kit.save(tmp_path / "kit")
    again = load_generator(tmp_path / "kit")
    assert torch.equal(again.encoder(images), kit.encoder(images))
