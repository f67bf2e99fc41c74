"""The benchmark of gates, at a size for tests."""

from __future__ import annotations

from benchmarks import gates
from benchmarks.gates_set_ups import make
from genviews.files import read_json

SURE = {
    "one answer for all images",
    "dropout that always acts",
    "answers that depend on the batch",
    "test images of one class",
    "no class in common",
    "a generator with NaN for two in five latents",
    "a generator of one picture, without a gradient",
    "a generator in [0, 1]",
}


def test_counts_alarms_and_faults(tmp_path):
    """Two sound set-ups: no alarm, and what cannot be missed is found."""
    found = gates.main((31, 34), planted=2, out=tmp_path / "gates.json")
    assert (found["sound"]["set_ups"], found["sound"]["told"]) == (2, [])
    rates = found["sound"]["gates"]
    assert rates["any"] == {"closed": 0, "asked": 2, "rate": 0.0, "interval": [0.0, 0.84189]}
    assert len(rates) > 12
    missed = {name for name, one in found["faults"].items() if one["found"] < one["planted"]}
    assert not missed & SURE
    assert read_json(tmp_path / "gates.json")["cpu_seconds"] > 0


def test_a_set_up_is_a_function_of_its_number():
    first, again = (make(31) for _ in range(2))
    assert first.facts == again.facts
    assert bool((first.calibration[0] == again.calibration[0]).all())
