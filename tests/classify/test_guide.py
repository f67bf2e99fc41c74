"""The classifier that docs/bring_your_own.md shows works as it stands, and its command is one."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from genviews.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring_your_own.md"
SECTION = re.search(r"(?ms)^## A classifier$(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"))
BLOCKS = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", SECTION[1] if SECTION else "")
CODE = [text for kind, text in BLOCKS if kind == "python"]


def test_its_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(CODE)
    exec(compile(code, str(PAGE), "exec"), {"__name__": "page"})
    told = capsys.readouterr().out.splitlines()
    wanted = re.findall(r"(?m)^print.*?  # (.*)$", code)
    assert told == [wanted[0].replace("(4, 2)", "torch.Size([4, 2])"), wanted[1]]


def test_its_command_is_taken(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("my_models.py").write_text(
        f"{CODE[0]}\n\ngan = lambda z: z.tanh()[:, :, None, None].repeat(1, 1, 64, 64)\n"
    )
    for index in range(8):
        path = Path("faces", ("neutral", "smiling")[index % 2], f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (index, 0, 0)).save(path)
    space: dict[str, object] = {}
    exec(CODE[0], space)
    torch.save(space["build"]().state_dict(), "smile.pth")
    (command,) = [text for kind, text in BLOCKS if kind == ""]
    words = shlex.split(command.replace("\\\n", " "))
    assert words[0] == "genviews"
    assert main([*words[1:], "--z-dim", "3", "--dry-run"]) == 0
    flags = json.loads(capsys.readouterr().out)
    assert flags["input_range"] == "0..1"
    assert flags["mean"] == [0.485, 0.456, 0.406]
    sys.modules.pop("my_models", None)


def test_every_setting_has_its_place_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for flag in ("size", "resize", "channels", "range"):
        assert f"--input-{flag}" in page
    for flag in ("mean", "std", "outputs", "output-names", "class-names", "weights"):
        assert f"`--{flag}" in page
