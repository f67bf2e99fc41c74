from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import genviews
from genviews.cli import main
from genviews.cli.app import explain

HELP = Path(__file__).parent / "help"
NAMES = ("demo", "ensemble", "invert", "learn", "probe")  # a study brings its own flags
VERBS = {"genviews": [], **{verb: [verb] for verb in NAMES}}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.mark.parametrize("name", VERBS)
def test_help_is_the_committed_text(name, capsys):
    assert main([*VERBS[name], "--help"]) == 0
    shown = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines()) + "\n"
    assert shown == (HELP / f"{name}.txt").read_text(encoding="utf-8"), (
        "the flags changed: if that is wanted, write the new text into tests/cli/help"
    )


def test_every_verb_has_its_text():
    assert {path.stem for path in HELP.glob("*.txt")} == set(VERBS)


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == genviews.__version__


@pytest.mark.parametrize("verb", ["ensemble", "invert", "learn"])
def test_help_loads_nothing_heavy(verb):
    code = (
        f"import sys; from genviews.cli import main; main(['{verb}', '--help']); "
        "print({'torch', 'numpy', 'matplotlib', 'sklearn', 'jinja2'} & set(sys.modules))"
    )
    root = Path(genviews.__file__).parents[1]
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert done.stdout.endswith("set()\n")
    after = os.times()
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    assert spent < 1.5  # seconds of CPU; loading torch alone takes more


REQUIRED = ["ensemble", "--images", ".", "--classifier", "a:b", "--generator", "fashion32"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dmo"], 'Unknown command "dmo". Did you mean "demo"?'),
        (["demo", "--view", "3"], "Unknown option: --view. Did you mean --views?"),
        (["demo", "--views", "many"], 'unable to convert "many" into int'),
        (["demo", "extra"], "Unused Tokens: ['extra']"),
        (["ensemble"], "requires an argument"),
        (["invert", "--images", "."], "requires an argument"),
        (["invert", "--images", ".", "--generator", "x", "--engine", "rya"], "rya"),
        ([*REQUIRED, "--average", "votes"], "votes"),
        (["study", "learning/tabel1"], "did you mean 'learning/table1'"),
        (["learn", "--objective", "nt-xnet"], 'Did you mean "nt-xent"?'),
        (["probe", "--data", "x"], "requires an argument"),
    ],
)
def test_wrong_usage_is_explained_with_code_2(words, message, capsys):
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert message in re.sub(r"[\s│]+", " ", error)
    assert out == ""


def test_nothing_to_do_shows_help(capsys):
    assert main([]) == 0
    assert "Commands" in capsys.readouterr().out


class TestFailures:
    @pytest.fixture
    def fail_with(self, monkeypatch, capsys):
        def run(error, *words):
            def broken(*_: object) -> int:
                raise error

            monkeypatch.setattr("genviews.cli.demo.run_demo", broken)
            code = main(["demo", *words])
            return code, capsys.readouterr().err

        return run

    def test_our_message_is_one_line_without_traceback(self, fail_with):
        assert fail_with(ValueError("views: expected 1,\n got 0.")) == (
            1,
            "genviews: views: expected 1, got 0.\n",
        )

    def test_disk_errors_too(self, fail_with):
        assert fail_with(OSError("no room")) == (1, "genviews: no room\n")

    def test_a_bug_names_its_type_and_the_way_to_see_more(self, fail_with):
        code, text = fail_with(KeyError("x"))
        assert code == 1
        assert text == "genviews: KeyError: 'x'; run again with --debug to see where\n"

    def test_debug_shows_the_traceback(self, fail_with):
        code, text = fail_with(ValueError("views: bad"), "--debug")
        assert code == 1
        assert "Traceback (most recent call last)" in text
        assert text.endswith("genviews: views: bad\n")

    def test_interrupt(self, fail_with):
        code, text = fail_with(KeyboardInterrupt())
        assert code == 1
        assert "stopped; the same command again continues" in text

    def test_markup_in_a_message_is_text(self, fail_with):
        assert fail_with(ValueError("folder [red]x[/red]"))[1] == "genviews: folder [red]x[/red]\n"

    def test_memory(self):
        assert "smaller --batch-size" in explain(MemoryError())
        error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried ...")
        assert "smaller --batch-size" in explain(error)

    def test_type_errors_of_users_and_of_ours(self):
        assert explain(TypeError("images: expected a tensor, got int.")).startswith("images:")
        assert explain(TypeError("f() takes 1 argument")).startswith("TypeError: f()")

    def test_an_empty_message(self):
        assert (
            explain(ValueError()) == "ValueError: no message; run again with --debug to see where"
        )


def test_dry_run_prints_the_config_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--dry-run", "--views", "7", "--seed", "3"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["verb"], config["views"], config["seed"]) == ("demo", 7, 3)
    assert config["out"] == "runs/demo"
    assert list(tmp_path.iterdir()) == []
