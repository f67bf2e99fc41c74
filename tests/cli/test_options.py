from __future__ import annotations

import shlex
from dataclasses import is_dataclass
from pathlib import Path
from typing import get_type_hints

from genviews.classify.settings import ClassifierSettings
from genviews.cli import flags, learning_flags
from genviews.cli.app import app
from genviews.cli.command import command, plain
from genviews.cli.flags import DemoFlags, EnsembleFlags, InvertFlags, ModelFlags

MODELS = ModelFlags(
    images="my images",
    resize=True,
    classifier="a:b",
    generator="c:d",
    z_dim=8,
    perturb=("p", "q"),
    settings=ClassifierSettings(
        input_size=(64,), mean=(0.5, -0.25, 0.125), input_range="0..1", output_names=("b", "a c")
    ),
)
FLAGS = EnsembleFlags(merge="gmean")


def test_fields_that_a_group_inherits_can_be_looked_up_in_its_module():
    for module in (flags, learning_flags):
        groups = [one for one in vars(module).values() if isinstance(one, type)]
        for group in filter(is_dataclass, groups):
            assert get_type_hints(group.__init__, include_extras=True)["return"] is type(None)


def test_plain_is_json():
    found = plain(MODELS, FLAGS)
    assert found["images"] == "my images"
    assert found["perturb"] == ["p", "q"]
    assert (found["z_dim"], found["resize"], found["weights"]) == (8, True, None)
    assert (found["mean"], found["std"]) == ([0.5, -0.25, 0.125], [])


def test_command_of_defaults_names_folder_and_seed():
    found = command("demo", Path("runs/demo"), DemoFlags())
    assert found == "genviews demo --seed 0 --out runs/demo"


def test_command_gives_the_same_options_back():
    words = shlex.split(command("ensemble", Path("x"), MODELS, FLAGS))
    _, bound, _ = app.parse_args(words[1:])
    assert bound.arguments["models"] == MODELS
    assert bound.arguments["flags"] == FLAGS
    assert bound.arguments["run"].out == Path("x")


def test_command_of_an_inversion():
    flags = InvertFlags(
        images="my images",
        generator="a:b",
        geometry=Path("x.csv"),
        align="cat",
        preset="paper",
        start_from="z",
    )
    words = shlex.split(command("invert", Path("y"), flags))
    _, bound, _ = app.parse_args(words[1:])
    assert bound.arguments["flags"] == flags


def test_the_home_folder_in_a_path_that_a_shell_leaves_as_it_is():
    words = ["probe", "--encoder=~/a", "--data=~/b", "--work=~/c", "--out", "~nobody-here/d"]
    _, bound, _ = app.parse_args(words)
    found, run = bound.arguments["flags"], bound.arguments["run"]
    assert (found.encoder, run.work) == (Path.home() / "a", Path.home() / "c")
    assert run.out == Path("~nobody-here/d")  # told to be nobody's home, and not made
    assert found.data == "~/b"  # a word, which may be a path
