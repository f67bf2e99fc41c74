"""The benchmark of gates, at a size for tests."""

from __future__ import annotations

from benchmarks import gates
from genviews.files import read_json


def test_counts_alarms_and_faults(tmp_path, monkeypatch):
    """Four sound set-ups: no alarm, and what cannot be missed is found."""
    monkeypatch.setattr(gates, "POPULATION", 500)
    monkeypatch.setattr(gates, "PLANTED", 4)
    some = [
        gates.Setting(seed=0, count=80, classes=2 + place % 2, target=0.9, skew=1.0, channels=1)
        for place in range(gates.PLANTED)
    ]
    found = gates.main(some, out=tmp_path / "gates.json")
    assert (found["sound"]["set_ups"], found["sound"]["told"]) == (4, [])
    assert found["faults"].keys() == gates.FAULTS.keys()
    missed = {name for name, one in found["faults"].items() if one["found"] < one["planted"]}
    # A linear network hardly minds the form, and of two classes guessing is right for half.
    assert missed <= {"a classifier of another form of images", "an untrained classifier"}
    assert read_json(tmp_path / "gates.json")["seconds"] > 0
