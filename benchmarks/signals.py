"""Stop every verb by a signal in each of its stages, and compare what it ends with.

Command: python -m benchmarks.signals
Claim: SIGINT, SIGTERM and SIGHUP at any instant end a run with 130, 143 or 129 and with one line
that says how to go on; no half-written or temporary file is left, and the same command then gives
the results of a run that nobody stopped. Signals go to all processes of a run, as from a terminal,
at an instant drawn over the first four fifths of a stage; every third comes twice. A stage begins
when the one before it has told its end: the first is the loading of Python's modules, the last what
is written. An instant that comes too late falls into the next stage, or finds the run done: such a
folder is compared, and another one begun. Toys throughout; but for the first and the last stage a
run is a copy of a process that has loaded all modules.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors import safe_open

from benchmarks.kill import (
    GENERATOR,
    finish,
    hear_signals,
    start,
    without_times,
    write_inputs,
)
from genviews.cli import main as genviews_main
from genviews.environment import environment
from genviews.files import write_json

RESULT = Path("results/benchmarks/signals.json")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SAID = "genviews: stopped; the same command again continues where it was"
FIRST, LAST = "start", "write"
TIMED = ("images a second", "waiting", "samples per second", "waiting for views")
"""Columns of tables that differ from run to run."""

IMAGES = ("--images", "images", "--classifier", "mine:network", *GENERATOR, "--steps", "20")
DATA = (*GENERATOR, "--data", "data", "--batch", "32")
VERBS: dict[str, tuple[str, ...]] = {
    "ensemble": ("ensemble", *IMAGES, "--num-views", "4"),
    "predict": ("predict", "--ensemble", "whole/ensemble", "--images", "images"),
    "invert": ("invert", "--images", "images", *GENERATOR, "--steps", "20", "--png"),
    "learn": ("learn", *DATA, "--samples", "1500", "--updates", "60"),
    "probe": ("probe", "--encoder", "whole/learn/encoder.safetensors", "--data", "data"),
    "study ensembling": ("study", "ensembling/fig6", *IMAGES),
    "study learning": (
        *("study", "learning/pool", *DATA),
        *("--samples", "600", "--updates", "20", "--seeds", "1"),
    ),
    "demo": (*("demo", "--calibration", "24", "--test", "24", "--steps", "4", "--num-views", "3"),),
}
LOADED = ("genviews.cli.inputs", "genviews.report", "genviews.studies.registry", "sklearn.svm")
"""Modules that a `Copy` need not load."""

NEEDS = {"predict": "ensemble", "probe": "learn"}


def result(out: Path) -> Any:  # noqa: ANN401  (JSON)
    """What `results.json` holds, but for times; cells of tables that are times are left out."""
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    for block in (found.get("answer"), *found.get("blocks", ())):
        columns = (block or {}).get("columns", ())
        timed = [i for i, one in enumerate(columns) if one.get("name") in TIMED]
        for row in (block or {}).get("rows", ()) if timed else ():
            for place in timed:
                row[place] = None
    return without_times(found)


def differences(one: object, other: object, place: str = "") -> list[str]:
    """Where two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted({*one, *other})
        return [d for k in keys for d in differences(one.get(k), other.get(k), f"{place}/{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{place}/{i}")]
    return [] if one == other else [f"{place}: {str(one)[:60]} and {str(other)[:60]}"]


def stages_of(out: Path, began: float, ended: float) -> dict[str, float]:
    """Seconds of each stage of a finished run, as its log told them.

    Args:
        out: of the run.
        began: when its process began, in seconds since 1970.
        ended: when it ended.
    """
    lines = (out / "log.txt").read_text(encoding="utf-8").splitlines()
    said = [(moment(line), line.partition(" INFO ")[2].partition(": ")[0]) for line in lines]
    record = json.loads((out / "results.json").read_text(encoding="utf-8"))["record"]
    told = [(when, name) for when, name in said if name in record["seconds"]]
    own = {name: record["seconds"][name] for _, name in told}
    return {FIRST: said[0][0] - began, **own, LAST: ended - told[-1][0]}


def moment(line: str) -> float:
    """The time of a line of a log."""
    return datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()


def left_over(out: Path, temporary: Path) -> list[str]:
    """Files that a stopped run should not have left: half-written, claims, or of no content."""
    there = [p for p in temporary.rglob("*") if not p.name.startswith("torchinductor")]  # of torch
    found = [f"{path.name} in {path.parent.name}" for path in there]
    for path in out.rglob("*") if out.is_dir() else ():
        if path.name.endswith((".tmp", ".lock")):
            found.append(f"{path.name} left")
        elif path.suffix == ".json":
            try:
                json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                found.append(f"{path.name} is half a file")
        elif path.suffix == ".safetensors":
            try:
                with safe_open(str(path), framework="pt"):
                    pass
            except Exception:  # of what is no such file several are raised
                found.append(f"{path.name} is half a file")
    return found


class Copy:
    """A run in a copy of this process, which has loaded all modules; seconds of CPU less.

    Args:
        words: of the verb.
        folder: where it runs.
        out: the run folder.
        errors: file for what it says.
        temporary: folder of its temporary files.
    """

    def __init__(
        self, words: Sequence[str], folder: Path, out: Path, errors: IO[bytes], temporary: Path
    ) -> None:
        self.pid, self._code = os.fork(), None
        if not self.pid:
            code = 1
            try:
                os.setsid()
                hear_signals()
                os.chdir(folder)
                os.dup2(errors.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                tempfile.tempdir = str(temporary)
                torch.set_num_threads(1)
                sys.argv = ["genviews", *words, "--out", str(out), "--device", "cpu"]
                code = genviews_main()
            finally:
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> int | None:
        """Its exit code, once it has ended."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self, timeout: float) -> int:
        """Its exit code.

        Raises:
            TimeoutError: it lives longer.
        """
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise TimeoutError(f"process {self.pid} does not end")
            time.sleep(0.01)
        return code


def wait_until(true: Callable[[], bool], process: Copy | subprocess.Popen[bytes]) -> bool:
    """Look again and again while a process lives; returns whether it came true."""
    while process.poll() is None:
        if true():
            return True
        time.sleep(0.002)
    return False


def listens(process: Copy | subprocess.Popen[bytes]) -> bool:
    """Whether a process catches SIGTERM, which Python alone does not: ours has begun."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    except OSError:
        return True
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def stop(
    words: Sequence[str],
    folder: Path,
    out: Path,
    stage: str,
    before: Sequence[str],
    delay: float,
    number: signal.Signals,
    *,
    twice: bool,
) -> tuple[str, list[str]]:
    """Start a run and signal it in a stage.

    Args:
        words: of the verb.
        folder: where it runs.
        out: the run folder.
        stage: in which the signal comes.
        before: the stages before it, of which each may have been finished by an earlier run.
        delay: seconds after its beginning.
        number: of the signal.
        twice: whether another one follows at once.

    Returns:
        Where it stopped, and what was wrong; ("done", []) where it was over before the signal.
    """
    shown, temporary = folder / "shown.txt", folder / "temporary"
    temporary.mkdir(exist_ok=True)
    with shown.open("wb") as errors:
        process: Copy | subprocess.Popen[bytes]
        if stage in (FIRST, LAST):
            process = start(words, folder, out, errors=errors, temporary=temporary)
        else:
            process = Copy(words, folder, out, errors, temporary)

    def told() -> str:
        return shown.read_text(encoding="utf-8", errors="replace")

    def begun() -> bool:
        return listens(process) if stage == FIRST else f"\n{before[-1]}: " in f"\n{told()}"

    if wait_until(begun, process):
        time.sleep(delay)
    for place in range(1 + twice):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if place < twice:
            time.sleep(0.05)
    code = process.wait(timeout=120)
    text, wrong = told(), left_over(out, temporary)
    lines = [line for line in text.splitlines() if line]
    where = next((line.split(":")[0] for line in lines if line.endswith("not finished")), "")
    if code in (0, 3):
        return "done", wrong
    if code != CODES[number]:
        wrong.append(f"exit code {code}")
    if text.count(SAID) != 1 or not lines or lines[-1] != SAID:
        wrong.append(f"last line: {lines[-1][:100] if lines else 'none'}")
    if "Traceback" in text or "ignored" in text:
        wrong.append("a traceback")
    return where or (lines[-2].split(":")[0] if len(lines) > 1 else FIRST), wrong


def signal_often(
    verb: str,
    words: Sequence[str],
    folder: Path,
    seconds: Mapping[str, float],
    *,
    seed: int,
    each: int = len(CODES),
) -> dict[str, Any]:
    """Signal a verb in each stage by each signal; returns what was found.

    Args:
        verb: its name here.
        words: of its command.
        folder: with the inputs, and `whole/VERB`, a finished run.
        seconds: of each stage, see `stages_of`.
        seed: of the instants.
        each: signals in a stage, in turn where they are not all.
    """
    whole, random = folder / "whole" / verb, np.random.default_rng([seed, len(verb)])
    names, wanted, runs = list(seconds), result(whole), 0
    wrong: list[str] = []
    stopped: Counter[str] = Counter()
    out = folder / "stopped" / f"{verb}{runs}"

    def compare() -> None:
        with (folder / "shown.txt").open("wb") as errors:
            code = Copy(words, folder, out, errors, folder / "temporary").wait(600)
        if code not in (0, 3):
            raise RuntimeError((folder / "shown.txt").read_text(encoding="utf-8"))
        wrong.extend(f"{out.name}: {d}" for d in differences(wanted, result(out)))
        wrong.extend(f"{out.name}: {left}" for left in left_over(out, folder / "temporary"))

    for place, stage in enumerate(names):
        turn = [*CODES, *CODES][place % len(CODES) :]
        for number in turn[:each]:
            delay = float(random.uniform(0, 0.8)) * seconds[stage]
            twice = bool(random.uniform() < 1 / 3)
            where, bad = stop(words, folder, out, stage, names[:place], delay, number, twice=twice)
            stopped[where] += 1
            told = f"{number.name}{' twice' if twice else ''} {delay:.2f} s into {stage!r}"
            wrong += [f"{told}, stopped in {where!r}: {one}" for one in bad]
            if where == "done":
                compare()
                runs += 1
                out = folder / "stopped" / f"{verb}{runs}"
    compare()
    return {
        "stages": names,
        "signals": sum(stopped.values()),
        "stopped_in": dict(stopped),
        "folders": runs + 1,
        "wrong": wrong,
    }


def main(
    *,
    verbs: Mapping[str, Sequence[str]] = VERBS,
    seed: int = 0,
    each: int = len(CODES),
    out: Path = RESULT,
) -> bool:
    """Stop each verb, write the JSON; returns whether nothing was wrong.

    What the JSON says of verbs that are not asked for, by the same seed, stays.
    """
    found: dict[str, Any] = {}
    seconds: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.set_num_threads(1)  # of copies, which have none of its threads
        write_inputs(folder, images=240)
        for verb in dict.fromkeys((*(NEEDS[v] for v in verbs if v in NEEDS), *verbs)):
            place, began = folder / "whole" / verb, time.time()
            finish(VERBS[verb], folder, place)
            seconds[verb] = stages_of(place, began, time.time())
        for name in LOADED:
            importlib.import_module(name)
        for verb, words in verbs.items():
            found[verb] = signal_often(verb, words, folder, seconds[verb], seed=seed, each=each)
            print(f"{verb}: {json.dumps(found[verb], indent=2)}", flush=True)
    wrong = sum(len(one["wrong"]) for one in found.values())
    before = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"seed": None}
    found = {**(before["verbs"] if before["seed"] == seed else {}), **found}
    counts = {key: sum(one[key] for one in found.values()) for key in ("signals", "folders")}
    write_json(
        out,
        {
            "benchmark": "signals",
            "command": f"python -m benchmarks.signals --each {each}",
            "seed": seed,
            "config": {"signals": [one.name for one in CODES], "each": each, "verbs": VERBS},
            "sum": {**counts, "wrong": sum(len(one["wrong"]) for one in found.values())},
            "verbs": found,
            "environment": environment(),
        },
    )
    return not wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--each", type=int, default=len(CODES), help="signals in a stage")
    parser.add_argument("--verbs", nargs="*", default=list(VERBS), choices=list(VERBS))
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    chosen = {verb: VERBS[verb] for verb in given.verbs}
    sys.exit(0 if main(verbs=chosen, seed=given.seed, each=given.each, out=given.out) else 1)
