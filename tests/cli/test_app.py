from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import genviews
from genviews.cli import main
from genviews.cli.app import explain
from genviews.studies.registry import STUDIES

RUN = (
    "--out --work --device --batch-size --engine --workers --ray-address --dry-run --force --debug"
)
FUNCTION = (
    " --generator-z-shape --generator-classes --generator-class-names --generator-output "
    "--generator-axes --generator-range --generator-colours"
)
# A flag that goes or comes is seen here.
FLAGS = {
    "corrupt": "--images --resize --convert --corruption --size --seed",
    "demo": "--seed --num-views --shifts --steps --calibration --test",
    "ensemble": "--images --labels --label-column --class-names --calibration "
    "--calibration-labels --resize --convert --split-seed --seed --classifier "
    "--generator --weights --encoder --walks --domain --z-dim --num-classes "
    "--input-size --input-resize --interpolation --input-channels --input-range --mean --std "
    "--outputs --output-names --perturb --augment --steps --num-views --merge --choose-by "
    "--align --geometry --mask --photo-transform --render-transform --shift --fit-on" + FUNCTION,
    "generator views": "--generator --walks --z-dim --num-classes --samples --views --positives "
    "--space --psi --classes --per-class --layout --shard-size --seed" + FUNCTION,
    "invert": "--images --generator --encoder --z-dim --num-classes --root --align "
    "--geometry --mask --resize --convert --preset --steps --lpips-weights --start-from --png"
    + FUNCTION,
    "learn": "--generator --walks --z-dim --num-classes --real --data --label-column "
    "--split-seed --size --resize --convert --views --space --share --objective --positives "
    "--pool --seed --pixels --samples --updates --batch "
    "--backbone --stem --optimizer --lr --bfloat16 --stream" + FUNCTION,
    "predict": "--ensemble --images --labels --label-column --resize --convert --generator "
    "--classifier --weights --align --geometry --mask",
    "probe": "--encoder --data --label-column --split-seed --size --resize --convert",
}

# Of what is no run.
OTHERS = {
    "generator sample": "--out --count --seed --psi --classes --device --batch-size --force "
    "--z-dim --num-classes" + FUNCTION,
    "generator get": "--folder --file --timeout --list",
}


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")


def words(text):
    return sorted(word for word in re.split(r"[\s│╭╮╰╯─]+", text) if word)


# One study of each class of options: the flags of its inputs go with them.
SHOWN = {study.options: name for name, study in STUDIES.items()}.values()


@pytest.mark.parametrize(
    "name",
    ["", *FLAGS, *OTHERS, "study", *(f"study {name}" for name in SHOWN)],
    ids=lambda n: n or "all",
)
def test_help_fits_into_80_columns_without_a_broken_word(name, capsys, monkeypatch):
    assert main([*name.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    if name in {**FLAGS, **OTHERS}:
        flags = re.findall(r"(?m)^│ (?:\*  |   )?(--[a-z0-9-]+)", shown)
        known = [*FLAGS[name].split(), *RUN.split()] if name in FLAGS else OTHERS[name].split()
        assert set(flags) == set(known)
    monkeypatch.setenv("COLUMNS", "400")
    assert main([*name.split(), "--help"]) == 0
    assert words(shown) == words(capsys.readouterr().out)
    assert "[default: False]" not in shown
    assert "[default: None]" not in shown
    if not name.startswith("study "):
        assert len(shown) > 300


def test_the_list_of_studies_fits_into_80_columns(capsys):
    assert main(["study", "--list"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    seen = words(shown)
    for study in STUDIES.values():
        assert {study.name, *study.source.split(), f"{study.minutes:.4g}"} <= set(seen)


def test_help_says_what_exit_codes_mean(capsys):
    assert main(["--help"]) == 0
    shown = " ".join(re.sub("[│╭╰─╮╯]", " ", capsys.readouterr().out).split())
    assert "3 done, but a check failed and the result is not to be trusted" in shown


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == genviews.__version__


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from genviews.cli import main\n"
        "for verb in ('ensemble', 'invert', 'learn'): main([verb, '--help'])\n"
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
        (["demo", "--num-view", "3"], "Unknown option: --num-view. Did you mean --num-views?"),
        (["demo", "--num-views", "many"], 'unable to convert "many" into int'),
        (["demo", "--num-views", "1.5"], '--num-views: unable to convert "1.5" into int'),
        (["demo", "--seed", "nan"], '--seed: unable to convert "nan" into int'),
        (["demo", "--steps", "-1"], "--steps: expected an integer of at least 0, got -1"),
        (["demo", "--device", "gpu"], "(--device): expected auto, cpu, or a device of this"),
        (["demo", "extra"], "Unused Tokens: ['extra']"),
        (["ensemble"], "requires an argument"),
        (["invert", "--images", "."], "requires an argument"),
        (["invert", "--images", ".", "--generator", "x", "--engine", "rya"], "rya"),
        ([*REQUIRED, "--merge", "votes"], "votes"),
        (["learn", "--objective", "nt-xnet"], "did you mean 'nt-xent'"),
        (["study", "learning/tabel1"], "did you mean 'learning/table1'"),
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
            def broken(*_: object, **__: object) -> int:
                raise error

            monkeypatch.setattr("genviews.cli.verbs.run_verb", broken)
            code = main(["demo", *words])
            return code, capsys.readouterr().err

        return run

    def test_our_message_is_one_line_without_traceback(self, fail_with):
        assert fail_with(ValueError("views: expected 1,\n got 0.")) == (
            2,
            "genviews: views: expected 1, got 0.\n",
        )

    def test_a_file_that_went_away_is_no_wrong_usage(self, fail_with):
        assert fail_with(FileNotFoundError(2, "No such file", "a.png"))[0] == 1

    def test_disk_errors_too(self, fail_with):
        assert fail_with(OSError("no room")) == (1, "genviews: no room\n")

    def test_a_bug_names_its_type_and_the_way_to_see_more(self, fail_with):
        code, text = fail_with(KeyError("x"))
        assert code == 1
        assert text == "genviews: KeyError: 'x'; run again with --debug to see where\n"

    def test_debug_shows_the_traceback(self, fail_with):
        code, text = fail_with(ValueError("views: bad"), "--debug")
        assert code == 2
        assert "Traceback (most recent call last)" in text
        assert text.endswith("genviews: views: bad\n")

    def test_interrupt(self, fail_with):
        code, text = fail_with(KeyboardInterrupt())
        assert code == 130
        assert "stopped; the same command again continues" in text

    @pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
    @pytest.mark.parametrize("ignored", [False, True])  # as `nohup` and `&` do
    def test_signals_say_the_same(self, monkeypatch, capsys, name, code, ignored):
        def ended(*_: object, **__: object) -> int:
            os.kill(os.getpid(), number)
            return 0

        number = signal.Signals[name]
        before = signal.SIG_IGN if ignored else signal.SIG_DFL
        outside = signal.signal(number, before)
        try:
            monkeypatch.setattr("genviews.cli.verbs.run_verb", ended)
            assert main(["demo"]) == (0 if ignored else code)
            said = "stopped; the same command again continues" in capsys.readouterr().err
            assert said is not ignored
            assert signal.getsignal(number) is before
        finally:
            signal.signal(number, outside)

    def test_nothing_in_a_message_steers_the_terminal(self, fail_with):
        code, text = fail_with(ValueError("file 'a\x1b[2J\u202eb\udcff.png': bad"))
        assert code == 2
        assert text == "genviews: file 'a\\x1b[2J\\u202eb\\udcff.png': bad\n"

    def test_markup_in_a_message_is_text(self, fail_with):
        assert fail_with(ValueError("folder [red]x[/red]"))[1] == "genviews: folder [red]x[/red]\n"

    def test_memory(self):
        assert "smaller --batch-size" in explain(MemoryError())
        error = type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried ...")
        assert "smaller --batch-size" in explain(error)

    def test_type_errors_of_users_and_of_ours(self):
        for kind in (TypeError, ModuleNotFoundError, RuntimeError):
            assert explain(kind("timm: expected a tensor, got int.")).startswith("timm: expected")
        assert explain(TypeError("f() takes 1 argument")).startswith("TypeError: f()")

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (OSError(28, "No space left on device"), "a file could not be .*: no space left on"),
            (
                PermissionError(13, "Permission denied", "a.png"),
                "file 'a.png' could .*: permission",
            ),
            (FileNotFoundError("walks: expected a file, got none; add it."), "walks: expected a"),
        ],
    )
    def test_errors_of_the_system_name_the_file(self, error, text):
        assert re.match(text, explain(error))
        assert "Errno" not in explain(error)

    def test_an_empty_message(self):
        assert (
            explain(ValueError()) == "ValueError: no message; run again with --debug to see where"
        )


def test_dry_run_prints_the_config_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--dry-run", "--num-views", "7", "--seed", "3"]) == 0
    config = json.loads(capsys.readouterr().out)
    assert (config["verb"], config["num_views"], config["seed"]) == ("demo", 7, 3)
    assert config["out"] == "runs/demo"
    assert list(tmp_path.iterdir()) == []


def test_a_value_may_end_with_an_equals_sign(capsys):
    assert main(["demo", "--dry-run", "--out=a="]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == "a="


def test_a_width_of_nothing_is_no_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "0")
    assert main(["--help"]) == 0
    assert "ensemble" in capsys.readouterr().out
