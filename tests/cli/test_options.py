from __future__ import annotations

import shlex
from pathlib import Path

from genviews.cli.app import app
from genviews.cli.options import (
    DemoOptions,
    InputOptions,
    InvertInputs,
    InvertOptions,
    StudyOptions,
    command,
    plain,
)

INPUTS = InputOptions(
    images="my images",
    classifier="a:b",
    generator="c:d",
    z_dim=8,
    resize=True,
)
STUDY = StudyOptions(out=Path("x"), perturb=("p", "q"), average="logits")


def test_plain_is_json_without_the_folder():
    found = plain(INPUTS, STUDY)
    assert "out" not in found
    assert found["images"] == "my images"
    assert found["perturb"] == ["p", "q"]
    assert (found["z_dim"], found["resize"], found["weights"]) == (8, True, None)


def test_command_of_defaults_names_folder_and_seed():
    assert command("demo", DemoOptions()) == "genviews demo --out runs/demo --seed 0"


def test_command_gives_the_same_options_back():
    words = shlex.split(command("ensemble", INPUTS, STUDY))
    _, bound, _ = app.parse_args(words[1:])
    assert bound.arguments["inputs"] == INPUTS
    assert bound.arguments["study"] == STUDY


def test_command_of_an_inversion():
    inputs = InvertInputs(images="my images", generator="a:b", geometry=Path("x.csv"), align="cat")
    options = InvertOptions(out=Path("y"), preset="paper", start_from="z")
    words = shlex.split(command("invert", inputs, options))
    _, bound, _ = app.parse_args(words[1:])
    assert bound.arguments["inputs"] == inputs
    assert bound.arguments["inversion"] == options
