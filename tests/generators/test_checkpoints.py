"""Other people's files: StyleGAN2 of NVIDIA's releases, and files that nobody opens."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import generators
from benchmarks.nvidia_files import (
    named_class,
    persistence,
    pytorch_network,
    pytorch_pickle,
    tensorflow_pickle,
)
from genviews.generators.families import save_generator
from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from genviews.kit import GeneratorKit
from genviews.load.generator import check_generator, load_generator
from genviews.rng import Rng

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results/generators"

CONFIGS = {
    "unconditional": StyleGAN2Config(
        resolution=16,
        img_channels=3,
        z_dim=6,
        w_dim=8,
        mapping_layers=2,
        channels={4: 8, 8: 8, 16: 4},
    ),
    "conditional, clamped": StyleGAN2Config(
        resolution=8,
        img_channels=1,
        z_dim=6,
        w_dim=8,
        c_dim=3,
        mapping_layers=2,
        channels={4: 8, 8: 4},
        conv_clamp=1.5,
        resample_filter=(1.0, 2.0, 1.0),
    ),
}


@pytest.fixture(params=CONFIGS)
def config(request):
    return CONFIGS[request.param]


@pytest.fixture
def generator(config):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = StyleGAN2(config).eval()
        for parameter in made.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
        made.mapping.w_avg.normal_()
    return made


def same_images(ours, theirs) -> None:
    z = ours.sample(Rng(0).streams(range(2)))
    label = ours.labels_in_turn(range(2))
    latents = theirs.map(z, label, psi=0.7)
    torch.testing.assert_close(ours.map(z, label, psi=0.7), latents, rtol=0, atol=1e-5)
    with torch.no_grad():
        wanted = theirs.synthesize(latents)
        torch.testing.assert_close(ours.synthesize(latents), wanted, rtol=1e-5, atol=1e-5)


class TestPyTorch:
    def test_the_averaged_generator_is_taken(self, generator, tmp_path):
        path = tmp_path / "net.bin"
        path.write_bytes(pytorch_pickle(generator, D=nn.Linear(2, 2)))
        check_generator(path)
        kit = load_generator(path)
        same_images(kit.generator, generator)
        assert kit.name == "net"
        assert "also holds G, D, which was left out" in kit.notes[0]
        assert "holds code (source of its classes), of which nothing was run" in kit.notes[1]
        assert "Nvidia Source Code License" in kit.card["licence"]["weights"]

    def test_a_generator_alone_and_one_that_torch_saved(self, generator, tmp_path):
        network = pytorch_network(generator)
        with persistence():
            (tmp_path / "alone.pkl").write_bytes(pickle.dumps(network))
            torch.save({"G": network, "G_ema": None}, tmp_path / "saved.pt")
        for name in ("alone.pkl", "saved.pt"):
            same_images(load_generator(tmp_path / name).generator, generator)

    @pytest.mark.parametrize("config", [CONFIGS["conditional, clamped"]])
    def test_it_becomes_a_kit_and_a_file_of_our_own(self, generator, tmp_path):
        (tmp_path / "net.pkl").write_bytes(pytorch_pickle(generator))
        kit = load_generator(tmp_path / "net.pkl", domain="face")
        kit.save(tmp_path / "kit")
        again = GeneratorKit.load(tmp_path / "kit")
        assert again.card["licence"] == kit.card["licence"]
        save_generator(tmp_path / "net.safetensors", kit.generator)
        for one in (again.generator, load_generator(tmp_path / "net.safetensors").generator):
            same_images(one, generator)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("architecture", "resnet", "expected architecture 'skip', got 'resnet'"),
            ("architecture", "orig", "expected architecture 'skip', got 'orig'"),
            ("activation", "relu", "expected activation 'lrelu', got 'relu'"),
        ],
    )
    def test_what_is_not_built_is_named(self, name, value, message, tmp_path):
        network = pytorch_network(StyleGAN2(CONFIGS["unconditional"]))
        for part in network.modules():
            if name in vars(part) and vars(part)[name] in ("skip", "lrelu"):
                vars(part)[name] = value
        (tmp_path / "net.pkl").write_bytes(pytorch_pickle(network))
        with pytest.raises(ValueError, match=rf"generator net.pkl: {message}"):
            load_generator(tmp_path / "net.pkl")

    def test_no_noise_inputs(self, generator, tmp_path):
        network = pytorch_network(generator)
        for part in network.modules():
            if vars(part).get("use_noise"):
                vars(part)["use_noise"] = False
                del (
                    vars(part)["_buffers"]["noise_const"],
                    vars(part)["_parameters"]["noise_strength"],
                )
        (tmp_path / "net.pkl").write_bytes(pytorch_pickle(network))
        ours = load_generator(tmp_path / "net.pkl").generator
        w = torch.randn(2, *ours.latent_spec.shape)
        with torch.no_grad():
            wanted = generator.synthesis(w, noise="none")
            torch.testing.assert_close(ours.synthesize(w), wanted, rtol=1e-5, atol=1e-5)


class TestTensorFlow:
    """The variables by their places, as the source of NVIDIA's release names them."""

    @pytest.fixture
    def variables(self, config, tmp_path):
        """All arrays of Gs, and ours."""
        (tmp_path / "net.pkl").write_bytes(tensorflow_pickle(config, seed=1))

        class Network:
            pass

        with named_class("dnnlib.tflib.network", "Network", Network):
            state = vars(pickle.loads((tmp_path / "net.pkl").read_bytes())[2])
        found = dict(state["variables"])
        for name, part in state["components"].items():
            found |= {f"{name}/{place}": value for place, value in part.variables}
        return found, load_generator(tmp_path / "net.pkl").generator

    def test_convolutions(self, variables, config):
        arrays, ours = variables
        for size in config.resolutions[1:]:
            block, place = ours.synthesis.get_submodule(f"b{size}"), f"synthesis/{size}x{size}"
            plain, flipped = arrays[f"{place}/Conv1/weight"], arrays[f"{place}/Conv0_up/weight"]
            for out, into, row, column in [(0, 1, 0, 2), (1, 0, 2, 1), (3, 2, 1, 0)]:
                assert block.conv1.weight[out, into, row, column] == plain[row, column, into, out]
                turned = flipped[2 - row, 2 - column, into, out]
                assert block.conv0.weight[out, into, row, column] == turned
            bias = arrays[f"{place}/ToRGB/mod_bias"]
            torch.testing.assert_close(block.torgb.affine.bias, torch.from_numpy(bias) + 1)

    def test_noise_and_mapping(self, variables, config):
        arrays, ours = variables
        fields = [ours.synthesis.b4.conv1.noise_const]
        for size in config.resolutions[1:]:
            block = ours.synthesis.get_submodule(f"b{size}")
            fields += [block.conv0.noise_const, block.conv1.noise_const]
        for number, field in enumerate(fields):
            assert torch.equal(field, torch.from_numpy(arrays[f"synthesis/noise{number}"][0, 0]))
        assert torch.equal(ours.mapping.w_avg, torch.from_numpy(arrays["dlatent_avg"]))
        dense = torch.from_numpy(arrays["mapping/Dense1/weight"])
        assert torch.equal(ours.mapping.fc1.weight, dense.t())
        assert ours.num_classes == config.c_dim

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"randomize_noise": True}, "arguments that StyleGAN2 has, got randomize_noise"),
            ({"architecture": "orig"}, "architecture 'skip', got 'orig'"),
            ({"mapping_fmaps": 16}, "mapping_fmaps as wide as w, 8, got 16"),
        ],
    )
    def test_what_is_not_built_is_named(self, change, message, tmp_path):
        file = tensorflow_pickle(CONFIGS["unconditional"], kwargs=change)
        (tmp_path / "net.pkl").write_bytes(file)
        with pytest.raises(ValueError, match=rf"generator net.pkl: expected {message}"):
            load_generator(tmp_path / "net.pkl")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x89HDF\r\n\x1a\n", r"a file of Keras or TensorFlow \(HDF5\)"),
        (b"\x81\xa6params\x80", r"weights of Flax \(msgpack\)"),
        (b"\x1f\x8b\x08", "a gzip archive; unpack it"),
        (b"<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b"hello", "a file that begins with b'hello'"),
        (b"", "an empty file"),
        ({"time_embed.0.weight": 0, "input_blocks.0.0.weight": 0}, "of ADM's layout"),
        ({"model": {"x_embedder.proj.weight": 0, "t_embedder.mlp.0.weight": 0}}, r"\(DiT\)"),
        ({"a": 1}, "a torch.save of 1 entries: a"),
        (nn.Linear(2, 2), "a network of class Linear in a torch.save"),
    ],
)
def test_a_stranger_is_named_whatever_its_ending(data, message, tmp_path):
    path = tmp_path / "net.pt"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        torch.save(data, path)
    with pytest.raises(ValueError, match=rf"generator net.pt: expected .*{message}"):
        load_generator(path)


def test_settings_of_a_function_are_refused(tmp_path):
    (tmp_path / "net.pkl").write_bytes(b"N.")
    with pytest.raises(ValueError, match=r"z_dim \(--z-dim\): expected none: .* is no function"):
        load_generator(tmp_path / "net.pkl", z_dim=8)


def test_an_original_that_is_absent_is_said(tmp_path, capsys):
    assert generators.main(["stylegan2_ada", "--originals", str(tmp_path)])
    assert (
        "stylegan2_ada: not compared: no checkout stylegan2-ada-pytorch" in capsys.readouterr().out
    )


@pytest.mark.parametrize("name", [path.stem for path in RESULTS.glob("*.json")])
def test_a_kept_result_agrees_and_the_docs_quote_it(name):
    kept = json.loads((RESULTS / f"{name}.json").read_text())
    assert max(kept["largest"].values()) <= generators.TOLERANCE
    assert kept["original"]["repository"] == generators.FAMILIES[name].repository
    rows = (ROOT / "docs/generators.md").read_text().splitlines()
    (row,) = (row for row in rows if f"results/generators/{name}.json" in row)
    quoted = [cell.strip() for cell in row.split("|")][-4:-2]  # before where it is measured
    assert quoted == [str(len(kept["cases"])), f"{max(kept['largest'].values()):.1e}"]


def test_the_docs_say_how_many_hostile_files_were_tried():
    kept = json.loads((ROOT / "results/benchmarks/hostile.json").read_text())
    tried = [name for name in kept["outcomes"]["model"] if name.startswith("checkpoint")]
    assert f"\n{len(tried)} files, from every opcode" in (ROOT / "docs/generators.md").read_text()
