"""Hostile model files, pictures, folders and spreadsheets: a right answer, or a sentence why not.

Command: python -m benchmarks.hostile
Claim: each of the cases ends in the right answer or in one sentence that names the file, within 2
CPU-seconds and 300 MB of memory, in one process; nothing of a file is run, no process is started,
no network is asked.

The files are made here, and opened through the public loading functions. The peak of memory is the
kernel's, reset before each case (Linux); the process may not take more than `LIMIT` beyond what it
has at the start, so that what asks for more fails instead of filling the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.hostile_case import Case
from benchmarks.hostile_images import image_cases
from benchmarks.hostile_models import ExecutedError, model_cases
from benchmarks.hostile_tables import table_cases
from genviews import checks
from genviews.environment import environment
from genviews.files import write_json
from genviews.text import printable

__all__ = ["Outcome", "every_case", "main", "try_case"]

RESULT = Path("results/benchmarks/hostile.json")
SECONDS, MEGABYTES, LIMIT = 2.0, 300.0, 1500 * 2**20
PATIENCE = 30  # seconds after which a case hangs

_FORBIDDEN = (
    *("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "subprocess.Popen"),
    *(
        "os.exec",
        "os.posix_spawn",
        "os.system",
        "os.fork",
        "os.forkpty",
        "pty.spawn",
        "os.startfile",
    ),
)


class ForbiddenError(BaseException):
    """A process was to be started, or a network asked."""


class HangsError(BaseException):
    """A case that does not end."""


class _Watch:
    """Refuses and notes what no file may cause, while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, list[str]()
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments!r}"[:200])
            raise ForbiddenError(event)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a case ended.

    Args:
        name: of the case.
        kind: of it.
        ended: "answer" or "sentence" where it did as it should; else what is wrong.
        text: the sentence.
        seconds: of the processor.
        megabytes: peak of memory over that before the case; None where nobody measures it.
    """

    name: str
    kind: str
    ended: str
    text: str
    seconds: float
    megabytes: float | None

    @property
    def good(self) -> bool:
        """Whether it ended as it should."""
        return self.ended in ("answer", "sentence")


def every_case(folder: Path) -> Iterator[Case]:
    """All cases; their files are made below a folder."""
    yield from model_cases(folder / "models")
    yield from image_cases(folder / "images")
    yield from table_cases(folder / "tables")


def try_case(case: Case, watch: _Watch | None = None) -> Outcome:
    """Open a case's file, and judge what came of it."""
    watch = watch or _WATCH
    base = _reset_peak()
    watch.seen.clear()
    before, watch.on = time.process_time(), True
    try:
        with _patience():
            found = case.open()
            ended, text = _judge_answer(case, found), ""
    except (Exception, ForbiddenError, ExecutedError, HangsError) as error:
        ended, text = _judge_error(case, error)
    finally:
        watch.on = False
    seconds = time.process_time() - before
    peak = _peak()
    megabytes = None if base is None or peak is None else max(peak - base, 0.0)
    if watch.seen:
        ended, text = "FORBIDDEN", "; ".join(watch.seen)
    elif seconds > SECONDS and ended in ("answer", "sentence"):
        ended = "TOO SLOW"
    elif megabytes is not None and megabytes > MEGABYTES and ended in ("answer", "sentence"):
        ended = "TOO LARGE"
    return Outcome(
        name=case.name,
        kind=case.kind,
        ended=ended,
        text=printable(text),
        seconds=round(seconds, 3),
        megabytes=None if megabytes is None else round(megabytes, 1),
    )


def _judge_answer(case: Case, found: object) -> str:
    if case.want == "refusal":
        return "TAKEN"
    return "answer" if case.right is None or case.right(found) else "WRONG ANSWER"


def _judge_error(case: Case, error: BaseException) -> tuple[str, str]:
    """A sentence of ours says what it expected, and is raised by `genviews.checks.fail`."""
    text = str(error)
    if isinstance(error, (ForbiddenError, ExecutedError, HangsError)):
        return type(error).__name__.removesuffix("Error").upper(), text
    frames = traceback.extract_tb(error.__traceback__)
    where = frames[-1] if frames else None
    if where is None or where.filename != checks.__file__ or where.name != "fail":
        place = "" if where is None else f" at {Path(where.filename).name}:{where.lineno}"
        return "RAW ERROR", f"{type(error).__name__}{place}: {text[:300]}"
    if case.want == "answer":
        return "REFUSED", text
    if case.names and case.names not in text:
        return "NAMELESS", text
    if len(text) > 2000:
        return "TOO LONG", text[:1000]
    return "sentence", text


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    def end(number: int, frame: object) -> None:
        raise HangsError

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _reset_peak() -> float | None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # what earlier cases left in the heap would hide this one
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _peak()


def _peak() -> float | None:
    """The most memory that was resident, in MB."""
    return _status("VmHWM")


def _status(name: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(name)), None)
    return None if found is None else int(found) * 1024 / 1e6


_WATCH = _Watch()


def _bound() -> None:
    """Let the process take no more than `LIMIT` beyond what it has."""
    size = _status("VmSize")
    if size is not None:
        resource.setrlimit(resource.RLIMIT_AS, (int(size * 1e6) + LIMIT, resource.RLIM_INFINITY))


def _show(outcomes: Sequence[Outcome], console: Console, *, all_of_them: bool) -> None:
    table = Table(title="Hostile files", title_justify="left")
    for column in ("kind", "case", "ended", "s", "MB", "text"):
        table.add_column(column, justify="right" if column in ("s", "MB") else "left")
    for one in outcomes:
        if all_of_them or not one.good:
            memory = "" if one.megabytes is None else f"{one.megabytes:.0f}"
            style = "" if one.good else "bold red"
            cells = (one.kind, one.name, one.ended, f"{one.seconds:.2f}", memory, one.text[:160])
            table.add_row(*(Text(printable(cell)) for cell in cells), style=style)
    if table.rows:
        console.print(table)


def main(
    cases: Iterable[Case] | None = None, *, out: Path | None = RESULT, all_of_them: bool = True
) -> list[Outcome]:
    """Try cases, all where none are given, and write what came of them.

    Args:
        cases: to try.
        out: JSON file; None writes none.
        all_of_them: show every case, or those alone that ended wrong.
    """
    import torch

    torch.set_num_threads(1)
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        chosen = list(every_case(Path(folder)) if cases is None else cases)
        outcomes = [try_case(case) for case in chosen]
    _show(outcomes, console, all_of_them=all_of_them)
    counts = {
        kind: dict(Counter(one.ended for one in outcomes if one.kind == kind))
        for kind in ("model", "image", "folder", "table")
    }
    for kind, ended in counts.items():
        told = ", ".join(f"{count} {name}" for name, count in sorted(ended.items()))
        console.print(f"{kind}: {sum(ended.values())} cases: {told or 'none'}")
    if out is not None:
        slowest = max(one.seconds for one in outcomes)
        largest = max((one.megabytes or 0.0) for one in outcomes)
        write_json(
            out,
            {
                "command": "python -m benchmarks.hostile",
                "config": {"seconds": SECONDS, "megabytes": MEGABYTES, "seed": 0},
                "cases": counts,
                "most_seconds": slowest,
                "most_megabytes": largest,
                # Without the sentences, which name a folder of this machine.
                "outcomes": {
                    kind: {
                        one.name: f"{one.ended}, {one.seconds:.2f} s, {one.megabytes or 0:.0f} MB"
                        for one in outcomes
                        if one.kind == kind
                    }
                    for kind in counts
                },
                "environment": environment(),
            },
        )
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bad", action="store_true", help="show those alone that ended wrong")
    parser.add_argument("--only", default="", help="cases whose kind or name has this in it")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    _bound()
    with tempfile.TemporaryDirectory() as place:
        made = every_case(Path(place))
        chosen = [one for one in made if given.only in f"{one.kind} {one.name}"]
        result = None if given.only else given.out
        ended = main(chosen, out=result, all_of_them=not given.bad)
    sys.exit(0 if all(one.good for one in ended) else 1)
