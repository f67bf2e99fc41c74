"""The benchmark of the pixel views runs, says how it was made, and stops on another transform."""

from __future__ import annotations

import json
import re

import pytest
import torch

from benchmarks import augment
from genviews.augment.presets import pixel_views


def test_report(tmp_path, capsys):
    path = tmp_path / "new" / "augment.json"
    options = augment.arguments(["--batch", "3", "--repeats", "2", "--out", str(path)])
    ratio = augment.main(**vars(options))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"ratio {ratio:.2f} against torchvision v2, one image at a time"
    report = json.loads(path.read_text())
    assert report["config"] == {"batch": 3, "repeats": 2, "threads": torch.get_num_threads()}
    assert set(report["views_per_second"]) == {"genrep/train", "fashion32/simclr"}
    for rates in report["views_per_second"].values():
        assert {augment.OURS, augment.LOOP} <= set(rates)
        assert all(len(values) == 2 and min(values) > 0 for values in rates.values())
    assert max(report["largest_difference"].values()) < 1e-4
    assert all(re.match(r"(genrep|fashion32)/", found["what"]) for found in report["ratios"])
    assert report["environment"]["device"] == "cpu"


def test_another_transform_stops_the_run(monkeypatch):
    views = pixel_views("fashion32/simclr")
    monkeypatch.setattr(augment.tvf, "adjust_brightness", lambda image, amount: image)
    with pytest.raises(SystemExit, match="our views differ from torchvision's by"):
        augment.check_equal(views, torch.rand(8, 1, 32, 32))


@pytest.mark.parametrize("option", ["--batch", "--repeats"])
def test_counts_are_checked(option, capsys):
    with pytest.raises(SystemExit):
        augment.arguments([option, "0"])
    assert "are at least 1" in capsys.readouterr().err
