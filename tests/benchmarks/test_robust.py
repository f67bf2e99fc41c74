"""The benchmarks of kills and of memory, at a size for tests: what they find and write."""

from __future__ import annotations

import json

import pytest

from benchmarks import kill, memory_flat


def test_times_are_no_numbers():
    value = {"rows": [{"accuracy": 0.5, "seconds": 3}], "seconds": {"load": 1}, "versions": {}}
    assert kill.without_times(value) == {"rows": [{"accuracy": 0.5}]}


def test_the_peak_of_a_process_is_measured(tmp_path, monkeypatch):
    """Of one that keeps every image in memory, in processes that load no torch."""
    keep = "kept = [bytes([1]) * 200_000 for _ in pathlib.Path('images').rglob('*.png')]"
    monkeypatch.setitem(memory_flat.CASES, "keeping", ("-c", f"import pathlib; {keep}"))
    path = tmp_path / "memory.json"
    growth = memory_flat.main(cases=["keeping"], counts=(5, 205), size=8, out=path)
    few, many = json.loads(path.read_text())["peak_mebibytes"]["keeping"].values()
    assert 36 < many - few < 44  # 200 x 200 kB are 38 MiB
    assert growth == {"keeping": round(many / few, 3)}


@pytest.mark.slow  # processes that load torch; tests/test_pipeline.py counts the rows read at once
def test_memory_of_more_images_is_that_of_few(tmp_path):
    """120 more images of 3x128x128 are 24 MB of float32."""
    path = tmp_path / "memory.json"
    growth = memory_flat.main(cases=["predict_proba"], counts=(40, 160), size=128, out=path)
    report = json.loads(path.read_text())
    few, many = (report["peak_mebibytes"]["predict_proba"][n] for n in ("40", "160"))
    assert many - few < 12
    assert growth == {"predict_proba": round(many / few, 3)}
