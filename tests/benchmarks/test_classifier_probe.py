"""The probe of classifiers takes ordinary networks of every kind, and finds faults in them."""

from __future__ import annotations

from benchmarks import classifier_probe


def test_no_false_alarm_and_definite_faults_found(tmp_path):
    found = classifier_probe.main(quick=True, out=tmp_path / "none.json")
    assert found["networks"] > 30
    assert found["alarms"] == []
    assert max(found["largest_difference_of_allowed"].values()) < 0.1
    assert not [name for name in found["missed"] if not name.endswith("bfloat16")]
    assert not list(tmp_path.iterdir())
