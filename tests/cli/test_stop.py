"""A signal at any instant: one line, the code that shells know, and the same results afterwards."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.kill import hear_signals
from benchmarks.signals import CODES, FIRST, SAID, differences, left_over, result, stop
from genviews.cli import main
from genviews.cli.console import Terminal
from genviews.cli.progress import Stages
from genviews.cli.stop import Stopping
from tests import processes

SIGNALS = pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
RUN = ["invert", "--images", "images", "--generator", "mine:decode", "--z-dim", "8"]
RUN += ["--steps", "4", "--batch-size", "8"]


@pytest.fixture
def heard():
    """Nothing is ignored, as it is where the tests were begun by `nohup` or `&`."""
    before = {number: signal.getsignal(number) for number in CODES}
    hear_signals()
    yield
    for number, one in before.items():
        signal.signal(number, one)


def test_while_modules_are_loaded(tmp_path):
    """The last of them, the user's, takes long: a slow machine sends its signal in time as well.

    One signal stands for all, which are heard in one place: each start of torch takes long.
    """
    number = signal.SIGTERM
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "images").mkdir()
    words = ["invert", "--images", "images", "--generator", "slow:decode", "--z-dim", "8"]
    where, wrong = stop(words, tmp_path, tmp_path / "out", FIRST, [], 0.0, number, twice=False)
    assert (where, wrong) == (FIRST, [])
    assert not (tmp_path / "out").exists()


def invert(folder: str, out: str) -> None:
    """Run `invert` in a process of its own."""
    hear_signals()
    os.chdir(folder)
    sys.path.insert(0, folder)
    raise SystemExit(main([*RUN, "--out", out]))


def begun(log: Path, times: int) -> bool:
    """Whether a run has been begun so often."""
    return log.exists() and log.read_text().count(" started: ") == times


def test_while_shards_are_written(image_folder, user_module, here):
    """Twice from another process, then to the end; as a run that nobody stopped."""
    log = here / "stopped" / "log.txt"
    for times, number in enumerate((signal.SIGINT, signal.SIGTERM), 1):
        shown = here / "shown.txt"
        process = processes.start(invert, str(here), "stopped", printed=shown)
        processes.wait_until(partial(begun, log, times), alive=process)
        os.kill(process.pid, number)
        process.join(processes.LONG)
        assert process.exitcode == CODES[number]
        text = shown.read_text()
        assert text.splitlines()[-1] == SAID
        assert "Traceback" not in text
        assert left_over(here / "stopped", here / "none") == []
        assert log.read_text().count(" INFO stopped\n") == times
    for out in ("stopped", "whole"):
        process = processes.start(invert, str(here), out, printed=here / "shown.txt")
        process.join(processes.LONG)
        assert process.exitcode == 0
    assert differences(result(here / "stopped"), result(here / "whole")) == []


class Sends(logging.Handler):
    """Sends a signal to this process while a line is written to the log."""

    def __init__(self, text, number):
        super().__init__()
        self.text, self.number = text, number

    def emit(self, record):
        if record.getMessage().startswith(self.text):
            os.kill(os.getpid(), self.number)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("text", ["started", "stopped"])
@pytest.mark.parametrize("name", ["genviews", None], ids=["before-the-file", "after-it"])
def test_while_the_log_is_written(image_folder, user_module, here, capsys, name, text):
    """Each line stands in it once; the file is closed, and so not written to by a later run."""
    log = logging.getLogger("genviews")
    before, handlers = log.level, list(log.handlers)
    for times in (1, 2):
        sends = [Sends(text, signal.SIGTERM)]
        sends += [Sends("started", signal.SIGINT)] if text == "stopped" else []
        for one in sends:
            logging.getLogger(name).addHandler(one)
        try:
            code = main([*RUN, "--out", "out"])
        finally:
            for one in sends:
                logging.getLogger(name).removeHandler(one)
        assert code == CODES[signal.SIGINT if text == "stopped" else signal.SIGTERM]
        assert capsys.readouterr().err.splitlines()[-1] == SAID
        lines = [line.split(" ", 3)[3] for line in (here / "out/log.txt").read_text().splitlines()]
        assert [line.partition(":")[0] for line in lines] == ["started", "stopped"] * times
    assert (log.level, log.handlers) == (before, handlers)


@pytest.mark.usefixtures("heard")
class TestWhatOthersMakeOfIt:
    @pytest.fixture
    def stopped(self, monkeypatch, capsys):
        """A function (number, verb) that runs a stand-in for a verb; returns code and text."""

        def run(verb):
            monkeypatch.setattr("genviews.cli.verbs.run_verb", lambda *_, **__: verb())
            code = main(["demo"])
            return code, capsys.readouterr().err

        return run

    @SIGNALS
    def test_a_second_one_does_not_cut_the_cleaning_short(self, stopped, number):
        cleaned = []

        def verb():
            try:
                os.kill(os.getpid(), number)
            finally:
                os.kill(os.getpid(), number)
                os.kill(os.getpid(), signal.SIGINT)
                cleaned.append(True)

        assert stopped(verb) == (CODES[number], SAID + "\n")
        assert cleaned == [True]

    @SIGNALS
    def test_swallowed_it_comes_back_with_the_next_step(self, stopped, number):
        def verb():
            stages = Stages(Console(file=io.StringIO()))
            try:
                os.kill(os.getpid(), number)
            except BaseException:
                stages("invert", "images", 1, 9)
            return 0

        assert stopped(verb) == (CODES[number], SAID + "\n")

    @SIGNALS
    def test_turned_into_another_error(self, stopped, number):
        def verb():
            try:
                os.kill(os.getpid(), number)
            except BaseException as error:
                raise ImportError("half a module") from error

        assert stopped(verb) == (CODES[number], SAID + "\n")

    def test_nothing_stays_of_it(self, stopped):
        def verb():
            Stages(Console(file=io.StringIO()))("invert", "images", 1, 9)
            return 0

        before = [signal.getsignal(number) for number in CODES]
        assert stopped(lambda: os.kill(os.getpid(), signal.SIGINT))[0] == 130
        assert stopped(verb) == (0, "")
        assert [signal.getsignal(number) for number in CODES] == before


@SIGNALS
def test_taken_by_c_before_python_began(tmp_path, number):
    """As in a program that Python is a part of, which keeps it."""
    processes.call(kept_by_c, int(number), printed=tmp_path / "printed")


def kept_by_c(number: int) -> None:
    """Let a function of C take a signal, then Python look at who takes which, as it begins."""
    c = ctypes.CDLL(None)
    c.signal.restype, c.signal.argtypes = ctypes.c_void_p, (ctypes.c_int, ctypes.c_void_p)
    taker = ctypes.cast(c.abs, ctypes.c_void_p).value  # takes a number, and does nothing
    c.signal(number, taker)
    again = importlib.util.find_spec("_signal")
    again.loader.exec_module(importlib.util.module_from_spec(again))
    assert signal.getsignal(number) is None
    with Stopping() as stopping:
        os.kill(os.getpid(), number)
    assert stopping.number == 0
    assert c.signal(number, taker) == taker


@pytest.mark.parametrize("code", [0, 3, 7])
def test_the_code_of_code_that_ends_the_process_is_kept(monkeypatch, code):
    def verb(*_: object, **__: object) -> int:
        raise SystemExit(code)

    monkeypatch.setattr("genviews.cli.verbs.run_verb", verb)
    with pytest.raises(SystemExit) as ended:
        main(["demo"])
    assert ended.value.code == code


def test_a_reader_who_leaves_ends_nothing():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file:
        os.close(reading)
        console = Terminal(file=file)
        for _ in range(3):
            console.print("a line")
        print("and one that is not ours", file=file)


def test_files_that_are_half_there_are_seen(tmp_path: Path):
    """The check itself: each kind of file that a run may leave."""
    (tmp_path / "a.json").write_text('{"a": ')
    (tmp_path / "b.safetensors").write_bytes(b"12")
    (tmp_path / ".c.json.0123456789ab.tmp").write_bytes(b"")
    (tmp_path / ".run.lock").write_bytes(b"")
    assert len(left_over(tmp_path, tmp_path / "none")) == 4
