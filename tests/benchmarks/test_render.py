"""The baselines of the render benchmark render what we render; its report says how it was made."""

from __future__ import annotations

import json
import re

import pytest
import torch

from benchmarks import render, render_families
from benchmarks.naive_modconv import NaiveSynthesis
from genviews.rng import Rng
from tests.generators.test_stylegan2 import CASES, random_generator


@pytest.mark.parametrize("name", CASES)
def test_grouped_convolution_renders_the_same_images_and_gradients(name):
    generator = random_generator(**CASES[name])
    naive = NaiveSynthesis(generator)
    latents = Rng(0).streams(range(3)).normal(1, generator.latent_spec.shape)[:, 0]
    torch.testing.assert_close(naive(latents), generator.synthesize(latents), rtol=0, atol=1e-4)
    got, wanted = (render.backward(path, latents) for path in (naive, generator.synthesize))
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_report(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv(render.VARIABLE, raising=False)
    path = tmp_path / "new" / "render.json"
    render.main(["--batch", "3", "--repeats", "2", "--seed", "4", "--output", str(path)])
    lines = capsys.readouterr().out.splitlines()
    assert "official network, plain operators: absent; name a checkout" in lines[0]
    assert re.fullmatch(r"ratio \d+\.\d\d against naive grouped convolution", lines[-1])
    report = json.loads(path.read_text())
    assert report["seed"] == 4
    assert "--batch 3 --repeats 2" in report["command"]
    assert str(tmp_path) not in path.read_text()
    assert report["versions"]["torch"] == torch.__version__
    assert set(report["images_per_second"]) == {"forward", "backward"}
    for speeds in report["images_per_second"].values():
        assert set(speeds) == {"genviews", "naive grouped convolution"}
        assert min(speeds.values()) > 0
    assert max(report["relative_difference"].values()) < 1e-4


def test_a_path_that_renders_something_else_stops_the_run():
    latents = torch.ones(2, 3)
    renders = {render.OURS: lambda w: w * 2, "other": lambda w: w * 2.01}
    with pytest.raises(SystemExit, match=r"other: images differ from ours by 0\.005"):
        render.check_equal(renders, latents)


@pytest.mark.parametrize("option", ["--batch", "--repeats"])
def test_counts_are_checked(option, capsys):
    with pytest.raises(SystemExit):
        render.arguments([option, "0"])
    assert "are at least 1" in capsys.readouterr().err


def test_the_environment_names_the_checkout(monkeypatch):
    monkeypatch.setenv(render.VARIABLE, "somewhere")
    assert str(render.arguments([]).official) == "somewhere"
    assert str(render.arguments(["--official", "elsewhere"]).official) == "elsewhere"


def test_the_docs_quote_the_speeds_beside_the_originals():
    kept = json.loads((render.ROOT / "results/benchmarks/render_families.json").read_text())
    rows = (render.ROOT / "docs/generators.md").read_text().splitlines()
    families = {name.rpartition(", ")[0] for name in kept["families"]}
    assert families == set(render_families.FAMILIES)
    for name, found in kept["families"].items():
        ratios = " | ".join(f"{found['ratios'][step]:.1f}" for step in ("forward", "backward"))
        family = name.rpartition(", ")[0]
        assert f"| {family} | {found['batch']} | {ratios} |" in rows, name
