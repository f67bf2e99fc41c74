"""The benchmark of inversion runs through, and compares equal work."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import inversion
from benchmarks.gauss_newton import GaussNewton
from genviews.invert.optimize import invert


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def briefly(*given, inverter, **settings):
    """Our side in a few steps, whatever the benchmark asks for."""
    inverter = replace(inverter, steps=min(inverter.steps, 2))
    return invert(*given, inverter=inverter, **settings)


def gauss_newton_briefly(**settings):
    """The rival with one step of two."""
    return GaussNewton(**{**settings, "outer": 1, "inner": 2})


def test_every_part_is_measured(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(inversion, "STEPS", 3)
    monkeypatch.setattr(inversion, "LIMITS", (1, 2))
    monkeypatch.setattr(inversion, "invert", briefly)
    monkeypatch.setattr(inversion, "GaussNewton", gauss_newton_briefly)
    out = tmp_path / "inversion.json"
    ratio = inversion.main(images=2, many=3, repeats=1, threads=1, out=out)
    assert ratio > 0
    record = json.loads(out.read_text())
    assert record["baselines"][inversion.FAITHFUL]["evaluations"] >= 4  # the start and 3 steps
    assert record["batch_against_alone"] < 1e-4
    assert record["bounds"]["gflop_per_evaluation"] > 0
    assert record["bounds"]["operators_per_evaluation"] > 10
    assert [row["steps"] for row in record["at_equal_time"]] == [1, 2]
    assert {
        "L-BFGS without smoothing",
        "L-BFGS, one smoothing of 0.02",
        "Levenberg-Marquardt, 6 x 12 CG steps",
    } <= set(record["rivals"])
    assert [row["what"].split(",")[:-1] for row in record["ratios"]] == [
        ["inversion"],
        ["inversion", " stopped sooner"],
    ]
    assert record["ours_shorter"]["inverter"]["patience"] < record["config"]["inverter"]["patience"]
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"ratio {ratio:.2f} against ")


def test_a_curve_knows_its_loss_at_a_time():
    curve = inversion.Curve([3.0, 2.0, 1.0], [0.1, 0.2, 0.4], 5)
    assert [curve.at(t) for t in (0.0, 0.1, 0.39, 1.0)] == [3.0, 3.0, 2.0, 1.0]
