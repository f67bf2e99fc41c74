"""Files of rosinality's StyleGAN2, StyleGAN of 2019, BigGAN-deep and BigGAN: what they render.

Each file is written here as its own code writes it, and rendered by an oracle in float64.
"""

from __future__ import annotations

import argparse
import math
from collections import OrderedDict
from functools import partial

import pytest
import torch
from torch import nn

from genviews.files import save_tensors
from genviews.generators.biggan_deep import BigGANDeep
from genviews.generators.biggan_layers import spectral
from genviews.generators.checkpoints.biggans import biggan_deep_generator, biggan_generator
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.load.generator import load_generator
from genviews.rng import Rng
from tests.generators import naive_others as naive


def streams(count=2):
    return Rng(0).streams(range(count))


def close(got, wanted):
    torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-4)


def written(path, content):
    torch.save(content, path)
    return path


def state_dict(tensors):
    """As `nn.Module.state_dict` gives it, whose attribute is saved with it."""
    state = OrderedDict(tensors)
    state._metadata = OrderedDict({"": {"version": 1}})
    return state


# ---- StyleGAN2 of rosinality's port -------------------------------------------------------------

SMALL = StyleGAN2Config(
    resolution=16, z_dim=6, w_dim=6, mapping_layers=2, channels={4: 8, 8: 6, 16: 4}
)


def stylegan2(config=SMALL):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = StyleGAN2(config).eval()
        for name, tensor in made.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                tensor.data.normal_(std=0.2)
        made.mapping.w_avg.normal_(std=0.3)
    return made


def rosinality(generator):
    """The port's names for a generator's weights; its own scale is 1 / sqrt(fan-in)."""
    own, config = generator.state_dict(), generator.config
    state = {}
    for i in range(config.mapping_layers):
        for part in ("weight", "bias"):
            state[f"style.{i + 1}.{part}"] = own[f"mapping.fc{i}.{part}"]
    state["input.input"] = own["synthesis.b4.const"][None]
    convs, taps = [("conv1", "b4.conv1")], torch.tensor(config.resample_filter)
    images = [("to_rgb1", "b4.torgb")]
    kernel = torch.outer(taps, taps) / taps.sum() ** 2 * 4
    for i, r in enumerate(config.resolutions[1:]):
        convs += [(f"convs.{2 * i}", f"b{r}.conv0"), (f"convs.{2 * i + 1}", f"b{r}.conv1")]
        images.append((f"to_rgbs.{i}", f"b{r}.torgb"))
        state[f"convs.{2 * i}.conv.blur.kernel"] = kernel
        state[f"to_rgbs.{i}.upsample.kernel"] = kernel
    for i, (name, ours) in enumerate(convs):
        weight = own[f"synthesis.{ours}.weight"]
        state[f"{name}.conv.weight"] = (weight * math.sqrt(weight[0].numel()))[None].contiguous()
        state[f"{name}.noise.weight"] = own[f"synthesis.{ours}.noise_strength"][None]
        state[f"{name}.activate.bias"] = own[f"synthesis.{ours}.bias"]
        state[f"noises.noise_{i}"] = own[f"synthesis.{ours}.noise_const"][None, None]
    for name, ours in images:
        state[f"{name}.conv.weight"] = own[f"synthesis.{ours}.weight"][None]
        state[f"{name}.bias"] = own[f"synthesis.{ours}.bias"].reshape(1, -1, 1, 1)
    for name, ours in [*convs, *images]:
        for part in ("weight", "bias"):
            state[f"{name}.conv.modulation.{part}"] = own[f"synthesis.{ours}.affine.{part}"]
    return state


def images_of(generator, psi=1.0):
    return generator.synthesize(generator.map(generator.sample(streams()), psi=psi))


def test_a_converted_file_renders_as_its_generator(tmp_path):
    ours = stylegan2()
    mean = ours.mapping.w_avg.clone()
    path = written(tmp_path / "net.pt", {"g_ema": state_dict(rosinality(ours)), "latent_avg": mean})
    kit = load_generator(path)
    assert kit.generator.config == SMALL
    assert kit.notes == []
    for psi in (1.0, 0.5):
        torch.testing.assert_close(images_of(kit.generator, psi), images_of(ours, psi))


def test_a_converted_file_as_safetensors(tmp_path):
    ours = stylegan2()
    state = {f"decoder.{name}": value for name, value in state_dict(rosinality(ours)).items()}
    save_tensors(tmp_path / "net.safetensors", {**state, "latent_avg": ours.mapping.w_avg})
    kit = load_generator(tmp_path / "net.safetensors")
    assert kit.notes == []
    torch.testing.assert_close(images_of(kit.generator, 0.5), images_of(ours, 0.5))


def test_a_file_of_training_holds_no_mean(tmp_path):
    ours, arguments = stylegan2(), argparse.Namespace(size=16, path="data", r1=10.0)
    whole = {"g": rosinality(stylegan2()), "d": {"final_linear.1.bias": torch.zeros(1)}}
    whole |= {"g_ema": rosinality(ours), "g_optim": {"state": {}}, "args": arguments}
    found = load_generator(written(tmp_path / "100000.pt", whole)).generator
    torch.testing.assert_close(images_of(found), images_of(ours))
    z = ours.sample(Rng(1).streams(range(4000)))
    torch.testing.assert_close(found.mapping.w_avg, ours.mapping(z).mean(0), atol=0.06, rtol=0)
    assert any("no mean w" in note for note in found.notes)


def test_other_taps_and_names_of_data_parallel(tmp_path):
    ours = stylegan2(StyleGAN2Config(**{**vars(SMALL), "resample_filter": (1.0, 2.0, 1.0)}))
    state = {f"module.{name}": value for name, value in rosinality(ours).items()}
    mean = ours.mapping.w_avg.expand(6, -1).clone()
    path = written(tmp_path / "net.pt", {"g_ema": state, "latent_avg": mean})
    torch.testing.assert_close(images_of(load_generator(path).generator), images_of(ours))


def test_a_file_without_noise_and_kernels(tmp_path):
    ours = stylegan2()
    state = {k: v for k, v in rosinality(ours).items() if "noises" not in k and "kernel" not in k}
    path = written(tmp_path / "old.pt", {"g_ema": state, "latent_avg": ours.mapping.w_avg})
    first, again = (load_generator(path).generator for _ in range(2))
    assert torch.equal(images_of(first), images_of(again))
    assert "the file holds no noise: it was drawn once, from seed 0" in first.notes


BROKEN = {
    "a tensor 'convs.1.conv.weight'": lambda s: s.pop("convs.1.conv.weight"),
    "unused extra.weight": lambda s: s.update({"extra.weight": torch.zeros(2)}),
    "one low-pass filter": lambda s: s["to_rgbs.0.upsample.kernel"].mul_(torch.eye(4)),
    "not finite": lambda s: s["conv1.conv.weight"].fill_(math.nan),
    "5 axes": lambda s: s.update({"conv1.conv.weight": torch.zeros(3)}),
    "has shape": lambda s: s.update({"style.2.weight": torch.zeros(6, 5)}),
}


@pytest.mark.parametrize("told", BROKEN)
def test_a_broken_file_is_refused(told, tmp_path):
    state = {name: value.clone() for name, value in rosinality(stylegan2()).items()}
    BROKEN[told](state)
    with pytest.raises(ValueError, match=told):
        load_generator(written(tmp_path / "net.pt", {"g_ema": state}))


def test_a_small_file_of_a_huge_network_is_refused(tmp_path):
    state = {k: v for k, v in rosinality(stylegan2()).items() if "noises" not in k}
    tiny = {k: v for k, v in state.items() if k.startswith(("convs.2.", "convs.3.", "to_rgbs.1"))}
    for i in range(2, 11):
        for name, value in tiny.items():
            part, number, *rest = name.split(".")
            more = int(number) % 2 + 2 * i if part == "convs" else i
            state[".".join((part, str(more), *rest))] = value
    with pytest.raises(ValueError, match=r"far smaller network|has shape"):
        load_generator(written(tmp_path / "net.pt", {"g_ema": state}))


# ---- StyleGAN of 2019 ---------------------------------------------------------------------------


def stylegan1(w, z, every=True, fused_from=128, labels=0, label=None, psi=1.0):
    channels = {4: 8, 8: 8, 16: 4}
    rows, w_dim = 2 * len(channels), 6
    out = w_dim * (rows if every else 1)
    ws = naive.stylegan1_mapping(w, z, 3, 10, out, labels, label)
    ws = ws.view(len(z), -1, w_dim).expand(-1, rows, -1)
    mean = w("truncation.w_avg", w_dim, deviation=0.3)
    w["truncation.truncation"] = torch.full((1, rows, 1), 0.7)
    cut = mean + psi * (ws - mean)
    ws = torch.cat([cut[:, :4], ws[:, 4:]], 1)
    return naive.stylegan1_synthesis(w, ws, channels, fused_from, tanh=every)


@pytest.mark.parametrize(
    "case",
    [{}, {"fused_from": 8}, {"every": False}, {"labels": 3}],
    ids=["in-domain", "transposed", "one w", "classes"],
)
def test_stylegan1_is_the_oracle(case, tmp_path):
    w, classes = naive.Weights(), case.get("labels", 0)
    z = streams().child("z").normal(1, (5,))[:, 0]
    label = torch.tensor([0, 2]) if classes else None
    stylegan1(w, z, label=label, **case)
    ours = load_generator(written(tmp_path / "net.pth", state_dict(w))).generator
    assert ours.latent_spec.shape == (6, 6)
    for psi in (1.0, 0.7):
        got = ours.synthesize(ours.map(z, label, psi=psi, cutoff=4))
        close(got, stylegan1(w, z, label=label, psi=psi, **case))


def test_a_stylegan1_that_still_grows_is_refused(tmp_path):
    w = naive.Weights()
    stylegan1(w, torch.randn(2, 5))
    w["synthesis.lod"] = torch.tensor(1.5)
    with pytest.raises(ValueError, match=r"lod 1\.5"):
        load_generator(written(tmp_path / "net.pth", state_dict(w)))


# ---- BigGAN-deep and BigGAN ---------------------------------------------------------------------

BLOCKS = ((False, 16, 16), (True, 16, 8), (False, 8, 8), (True, 8, 8))
deep = partial(naive.biggan_deep, blocks=BLOCKS, attention=2, class_dim=4, classes=3)


def test_biggan_deep_is_the_oracle(tmp_path):
    w, label = naive.Weights(), torch.tensor([0, 2])
    z = streams().child("z").normal(1, (4,))[:, 0]
    wanted = deep(w, z, label)
    ours = load_generator(written(tmp_path / "pytorch_model.bin", state_dict(w))).generator
    assert isinstance(ours, BigGANDeep)
    assert (ours.image_spec.shape, ours.num_classes) == ((3, 16, 16), 3)
    close(ours.synthesize(ours.map(z, label), label), wanted)


@pytest.mark.parametrize("truncation", [1.0, 0.4, 0.58, 0.505, 0.013])
def test_statistics_of_a_truncation(truncation):
    w, label = naive.Weights(), torch.tensor([1, 2])
    z = streams().child("z").normal(1, (4,))[:, 0]
    wanted = deep(w, z, label, truncation=truncation)
    ours = biggan_deep_generator(w, "file", truncation)
    close(ours.synthesize(ours.map(z, label), label), wanted)


def test_spectral_norm_is_that_of_torch():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.utils.spectral_norm(nn.Conv2d(3, 4, 3, bias=False), eps=1e-4)
    layer(torch.zeros(1, 3, 3, 3))  # a step from where it began: far from the end
    trained = {name: value.clone() for name, value in layer.state_dict().items()}
    weight, left, right = (trained[f"weight_{part}"] for part in ("orig", "u", "v"))
    w = naive.Weights()
    w |= {f"a.{name}": value for name, value in trained.items()}
    x = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = layer.eval()(x).double()
        a_step_later = layer.train()(x).double()
    close(nn.functional.conv2d(x.double(), naive._spectral(w, "a", 4, 3, 3, 3)), wanted)
    close(nn.functional.conv2d(x, spectral(weight, left, right)), wanted)
    close(nn.functional.conv2d(x, spectral(weight, left, eps=1e-4)), a_step_later)
    assert (wanted - a_step_later).abs().max() > 1e-3


chunked = partial(naive.biggan, channels=(8, 8, 16), attention=(1,), chunk=2, class_dim=3)


@pytest.mark.parametrize("classes", [1, 3])
def test_biggan_is_the_oracle(classes, tmp_path):
    w = naive.Weights()
    z = streams().child("z").normal(1, (6,))[:, 0]
    label = torch.tensor([0, 2]) if classes > 1 else torch.tensor([0, 0])
    wanted = chunked(w, z, label, classes=classes)
    ours = load_generator(written(tmp_path / "BigBiGAN_x1.pth", state_dict(w))).generator
    given = label if classes > 1 else None
    assert ours.num_classes == (classes if classes > 1 else 0)
    close(ours.synthesize(ours.map(z, given), given), wanted)


def test_bigbigan_renders_its_first_class():
    w = naive.Weights()
    z = streams().child("z").normal(1, (6,))[:, 0]
    wanted = chunked(w, z, torch.tensor([0, 0]), classes=3)
    ours = biggan_generator(w, "file", conditional=False)
    close(ours.synthesize(ours.map(z)), wanted)
    assert "the first is that of every image" in ours.notes[0]


FORMS = {
    "rosinality": lambda: {"g_ema": rosinality(stylegan2())},
    "stylegan1": lambda: drawn(lambda w: stylegan1(w, torch.ones(1, 5))),
    "biggan-deep": lambda: drawn(lambda w: deep(w, torch.ones(1, 4), torch.tensor([0]))),
    "biggan": lambda: drawn(lambda w: chunked(w, torch.ones(1, 6), torch.tensor([0]), classes=3)),
}


def drawn(run):
    w = naive.Weights()
    run(w)
    return dict(w)
