"""Uses of `benchmarks.devices` pass here, and one that mixes devices is found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks import devices, devices_cases
from tests.pretended_device import pretended_device


def test_nothing_is_found() -> None:
    uses = {name: use for name, use in devices_cases.cases().items() if "encoder start" in name}
    ends = devices_cases.try_all(uses, pretended_device)
    assert len(ends) == 7
    assert set(ends.values()) == {"passes"}


def test_what_mixes_devices_is_found() -> None:
    uses = {"mixed": lambda device: torch.ones(2, device=device) + torch.ones(2)}
    (end,) = devices_cases.try_all(uses, pretended_device).values()
    assert end.startswith("RuntimeError: aten::add: expected all tensors on one device")


def test_checkouts_are_tried_and_kept_by_commit(tmp_path: Path, monkeypatch) -> None:
    """A checkout whose program says what it found; another commit's findings stay."""
    said = {"a use": "passes", "another": "RuntimeError: no"}
    program = tmp_path / "program.py"
    program.write_text(f"print({json.dumps(said)!r})")
    monkeypatch.setattr(devices_cases, "__file__", str(program))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "a"], check=True)
    out = tmp_path / "devices.json"
    out.write_text(json.dumps({"commits": {"efc38a2": {}}}))
    (failed,) = devices.main([tmp_path], out=out).values()
    assert failed == ["another"]
    record = json.loads(out.read_text())
    assert list(record["commits"].values()) == [{}, said]
    assert sys.version.startswith(record["environment"]["python"])
