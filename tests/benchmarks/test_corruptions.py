"""The benchmark of corruptions runs, and compares with functions of a file, draw for draw."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import corruptions
from genviews.robustness.corruption import KINDS

FILE = """
import nothing_of_that_name

print("work that is not done")
raise SystemExit("nor is this")


def gaussian_noise(x, severity=1):
    c = [.04, .06, .08, .09, .10][severity - 1]
    x = np.array(x) / 255.
    return np.clip(x + np.random.normal(size=x.shape, scale=c), 0, 1) * 255


def impulse_noise(x, severity=1):
    return np.array(x) * np.float_(0.9)


def contrast(x, severity=1):
    return np.array(x) * 0.5
"""


def test_report(tmp_path, capsys):
    for name in corruptions.FILES.values():
        (tmp_path / name).write_text(FILE)
    out = tmp_path / "new" / "corruptions.json"
    words = ["--original", str(tmp_path), "--batch", "2", "--count", "2", "--seconds", "0"]
    slowest = corruptions.main(**vars(corruptions.arguments([*words, "--out", str(out)])))
    assert "work that is not done" not in capsys.readouterr().out
    report = json.loads(out.read_text())
    rates = report["images_per_processor_second"]
    assert {name.partition(":")[0] for name in rates} == set(KINDS)
    assert "grey" not in rates["saturate:3"]
    assert min(min(one.values()) for one in rates.values()) == slowest > 0
    found = report["beside_the_original"]
    assert found["gaussian_noise:3"]["largest difference"] < 1e-6
    assert found["contrast:3"]["largest difference"] > 0.1
    assert set(found["impulse_noise:5"]) == {
        "mean absolute change, ours",
        "mean absolute change, theirs",
    }


@pytest.mark.parametrize("kind", ["fog", "glass_blur", "elastic_transform", "speckle_noise"])
def test_draws_come_in_their_order_and_number(kind: str):
    """As many as the published functions ask for, on an image of 8 pixels."""
    draws = list(corruptions.draws_of(KINDS[kind](5), 0, (8, 8, 3)))
    shapes = [draw.shape for draw in draws]
    wanted = {
        "fog": [(1, 1)] * 3 + [(2, 2)] * 3 + [(4, 4)] * 3,
        "glass_blur": [(2,)] * 2 * 6 * 6,
        "elastic_transform": [(3, 2), (8, 8), (8, 8)],
        "speckle_noise": [(8, 8, 3)],
    }
    assert shapes == wanted[kind]
    assert all(np.isfinite(draw).all() for draw in draws)
