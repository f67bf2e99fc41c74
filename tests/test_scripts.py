"""Every script around the package can be read, imported and asked how it is used."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted(
    str(path.relative_to(ROOT))
    for folder in ("recipes", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_is_imported_and_says_how_it_is_used(script, tmp_path, monkeypatch, capsys):
    text = (ROOT / script).read_text(encoding="utf-8")
    flags = "run(main)" in text or "parse_args" in text
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    monkeypatch.syspath_prepend((ROOT / script).parent)  # as Python does for a script
    status = None
    try:
        runpy.run_path(str(ROOT / script), run_name="__main__" if flags else "imported")
    except SystemExit as end:
        status = end.code
    assert not status
    assert ("usage" in capsys.readouterr().out.lower()) == flags
    assert list(tmp_path.iterdir()) == []
