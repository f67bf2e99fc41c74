"""The benchmarks of kills and of memory, at a size for tests: what they find and write."""

from __future__ import annotations

import json

from benchmarks import kill, memory_flat


def test_times_are_no_numbers():
    value = {"rows": [{"accuracy": 0.5, "seconds": 3}], "seconds": {"load": 1}, "versions": {}}
    assert kill.without_times(value) == {"rows": [{"accuracy": 0.5}]}


def test_memory_of_more_images_is_that_of_few(tmp_path):
    """120 more images of 3x128x128 are 24 MB of float32."""
    path = tmp_path / "memory.json"
    growth = memory_flat.main(cases=["predict_proba"], counts=(40, 160), size=128, out=path)
    report = json.loads(path.read_text())
    few, many = (report["peak_mebibytes"]["predict_proba"][n] for n in ("40", "160"))
    assert many - few < 12
    assert growth == {"predict_proba": round(many / few, 3)}
