"""Examples and journeys of docs/bring_your_own.md run as they stand, and the page shows them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "examples" / "bring_your_own"
PAGE = (ROOT / "docs" / "bring_your_own.md").read_text(encoding="utf-8")
USED = {"cnn", "your_files", "dcgan", "conditional"}


@pytest.fixture
def load(monkeypatch):
    """Imports a file of the folder as a user in it would."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setenv("DCGAN_WEIGHTS", "")
    return importlib.import_module


def test_every_file_is_tested() -> None:
    journeys = {"journey_dcgan", "journey_timm", "journey_mistakes"}
    assert {path.stem for path in FOLDER.glob("*.py")} == USED | journeys


def test_the_page_shows_the_files_as_they_are() -> None:
    shown = re.findall(r"<!-- (\S+) -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(shown) == 2
    for name, code in shown:
        assert code == (ROOT / name).read_text(encoding="utf-8"), f"copy {name} to the page again"


def test_the_page_names_every_flag_of_a_function() -> None:
    from genviews.cli.command import flag_of
    from genviews.cli.flags import FunctionFlags

    for name in FunctionFlags.__dataclass_fields__:
        assert flag_of(name) in PAGE


def test_dcgan(load) -> None:
    notes = load("dcgan").main()
    assert sum("(N, 16, 1, 1)" in note for note in notes) == 2
    assert sum("are taken for [0, 1] and scaled to [-1, 1]" in note for note in notes) == 1


def test_conditional(load) -> None:
    assert load("conditional").main() == [0, 1]


def test_a_dcgan_and_a_cnn(load, tmp_path, capsys) -> None:
    assert load("journey_dcgan").main(tmp_path, quick=True) == 0
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert "z is given as (N, 16, 1, 1)" in said
    assert "ot to be trusted" not in said
    assert "single image" in said


def test_a_classifier_as_timm_has_them(load, capsys) -> None:
    single, _ = load("journey_timm").main(calibration=30, test=20, steps=3, training=60)
    assert single > 0.5
    assert "with views" in capsys.readouterr().out


def test_mistakes_end_in_a_red_line_and_mended_in_a_verdict(load, tmp_path, capsys) -> None:
    assert load("journey_mistakes").main(tmp_path, quick=True) == (3, 0)
    shown = capsys.readouterr()
    said = shown.out + shown.err
    assert "taken for [0, 1] and scaled to [-1, 1]" in said
    assert "Not to be trusted" in said
    assert "the answers fit the order ring, bar, disk" in " ".join(said.split())
    assert said.count("No verdict") == 1
