"""The benchmark of adaptive attacks, at a size for tests."""

from __future__ import annotations

import json

from benchmarks import adaptive


def test_what_is_measured_is_written(tmp_path):
    report = adaptive.main(quick=True, out=tmp_path / "adaptive.json")
    assert json.loads((tmp_path / "adaptive.json").read_text())["config"] == report["config"]
    costs = report["seconds_an_image"]
    assert list(costs)[:2] == ["classifier", "views, 0 steps"]
    assert costs["views, 1 steps"]["gradient"] > costs["classifier"]["gradient"]
    naive, known = report["hidden_gradient"].values()
    assert known["accuracy"][1] <= naive["accuracy"][1]
