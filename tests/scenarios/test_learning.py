"""By command line: an encoder, its features and its judgement are of what they were made from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from genviews import GeneratorKit, StyleGAN2, StyleGAN2Config
from genviews.cli import main
from genviews.perturb.pca import PCAStatistics
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder

SMALL = ("--samples", "8", "--batch", "4", "--updates", "1")


@pytest.fixture
def pictures(write, tmp_path):
    """Forty grey images of 8x8 pixels in two classes."""
    for i in range(40):
        pixels = np.random.default_rng(i).integers(0, 90, (8, 8)) + 150 * (i % 2)
        place = tmp_path / "pictures" / ("dark", "light")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place / f"{i}.png")
    return tmp_path / "pictures"


def learn(*more, name="one", out="run"):
    generator = ("--generator", f"mine:{name}", "--z-dim", "4")
    return main(["learn", *generator, *SMALL, "--out", out, *more])


def weights(out="run"):
    return load_file(Path(out, "encoder.safetensors"))


def equal(one, other):
    return one.keys() == other.keys() and all(bool((one[k] == other[k]).all()) for k in one)


def record(out="run"):
    return json.loads(Path(out, "results.json").read_text())["record"]["data"]


class TestLearn:
    def test_another_function_and_code_edited_behind_a_name(self, write, capsys):
        write(size=8)
        assert learn() == 0
        before = weights()
        assert learn(name="two") == 2
        error = capsys.readouterr().err
        assert '"mine:one" in the store' in error
        assert "--force" in error
        write(-1.0, size=8)
        assert learn() == 2
        assert "it now renders other images" in capsys.readouterr().err
        assert equal(weights(), before)
        assert learn("--force") == 0
        assert not equal(weights(), before)

    def test_another_generator_in_a_folder_of_work(self, write, capsys):
        """It is refused by name, and what lies there stays the first one's."""
        write(size=8)
        assert learn("--work", "work", out="first") == 0
        kept = weights("first")
        assert learn("--work", "work", name="two", out="beside") == 2
        assert '"mine:one" in the store, "mine:two" asked' in capsys.readouterr().err
        assert not Path("beside", "encoder.safetensors").exists()
        assert learn("--work", "work", out="again") == 0
        assert equal(weights("again"), kept)

    def test_another_encoder_behind_a_name_is_judged_anew(self, pictures, capsys):
        words = [
            "probe",
            "--encoder",
            "encoder.safetensors",
            "--data",
            "pictures",
            "--work",
            "work",
        ]

        def judged(seed: int, *more: str, out: str = "run") -> int:
            encoder = RepresentationEncoder(RepresentationConfig(channels=1), seed=seed).train()
            with torch.no_grad():
                encoder(torch.linspace(-1, 1, 512).view(8, 1, 8, 8))
            encoder.eval().save("encoder.safetensors", {"images": "1x8x8"})
            return main([*words, "--out", out, *more])

        assert judged(0) == 0
        assert judged(0) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert judged(1) == 2
        assert "expected what it was made from" in capsys.readouterr().err
        assert judged(1, "--force") == 0
        again = record()["probes"]
        assert judged(1, out="alone") == 0
        assert record("alone")["probes"] == again


class TestDirections:
    def test_measured_again_behind_a_name(self, write, pictures, capsys):
        """Principal directions of a kit that are not what a run took."""
        write()
        torch.manual_seed(0)
        generator = StyleGAN2(
            StyleGAN2Config(resolution=8, channels={4: 8, 8: 8}, z_dim=4, w_dim=4, img_channels=1)
        ).eval()
        words = ("--perturb", "pca_all_1.00", "--classifier", "mine:network", "--num-views", "2")
        told = ("--generator", "kit", "--images", "pictures", "--steps", "1", "--out", "run")

        def run(samples: int) -> int:
            directions = PCAStatistics.measure(generator, num_samples=samples)
            for file in Path("kit").glob("*"):
                file.unlink()
            GeneratorKit(generator, directions=directions).save("kit")
            return main(["ensemble", *told, *words])

        assert run(100) == 3  # one step says nothing of an image, which closes a gate
        assert run(100) == 3
        assert "nothing to do" in capsys.readouterr().out
        assert run(200) == 2
        error = capsys.readouterr().err
        assert "expected what it was made from" in error
        assert "pca" in error or "statistics" in error
