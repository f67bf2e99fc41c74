"""Checkpoints of trainings, beside what killed ones left."""

from __future__ import annotations

import pytest
import torch

from genviews.identity import identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint


def test_the_next_write_removes_what_killed_ones_left(tmp_path):
    for name in (".c.pt.0123456789ab.tmp", ".c.pt.ba9876543210.tmp", ".mine.tmp"):
        (tmp_path / name).write_bytes(b"half")
    write_checkpoint(tmp_path / "c.pt", identify(lr=0.1), {"weights": torch.arange(3)})
    assert {path.name for path in tmp_path.iterdir()} == {".mine.tmp", "c.pt"}


def test_another_training_is_named(tmp_path):
    write_checkpoint(tmp_path / "c.pt", identify(lr=0.1), {"step": 3})
    assert read_checkpoint(tmp_path / "c.pt", identify(lr=0.1))["step"] == 3
    with pytest.raises(ValueError, match=r"checkpoint c\.pt: .*0\.1 in the store, 0\.2 asked"):
        read_checkpoint(tmp_path / "c.pt", identify(lr=0.2))
