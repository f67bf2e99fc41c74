"""Progress of the stages of a run: a live bar on a terminal, lines of text anywhere else.

Text goes to the log as well: one line when a stage ends, and one every half minute of a long one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from genviews.cli.stop import check_stopped

__all__ = ["Stages", "duration"]

logger = logging.getLogger("genviews.cli")

EVERY = 30.0  # seconds between the lines of a stage that goes on (chosen by us)


class Stages:
    """Takes the calls of a `Progress` and shows them; keeps the seconds of each stage.

    A stage begins where the one before it ended, and ends when done reaches total, when another
    stage begins, or with the run.

    Args:
        console: where to show; a bar if it is a terminal, else a line now and then and when a stage
            ends.
        clock: seconds; another clock in tests.

    Attributes:
        seconds: stage -> its duration.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._console = console
        self._clock = clock
        self._began = clock()
        self._stage, self._unit = "", ""
        self._done, self._earlier, self._note = 0, 0, ""
        self._said = self._began
        self._task: TaskID | None = None
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TextColumn("{task.fields[pace]}"),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )

    def __enter__(self) -> Stages:
        self._began = self._clock()
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(finished=kind is None)
        self._bars.stop()

    def __call__(self, stage: str, unit: str, done: int, total: int, note: str = "") -> None:
        """Take note that `done` of `total` items of `stage` are ready.

        What the first call of a stage says was done before it, and counts for no rate. A signal
        that other code swallowed ends the run here.

        Args:
            stage: its name.
            unit: of the items, in the plural.
            done: items that are ready.
            total: items in all.
            note: shown beside the rate, such as "mean loss 0.02".
        """
        check_stopped()
        if stage != self._stage:
            self._end()
            self._stage, self._unit, self._earlier, self._said = stage, unit, done, self._clock()
            self._task = self._bars.add_task(stage, total=total, pace="")
        self._done, self._note = done, note
        now, pace = self._clock(), self._pace(total - done)
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, pace=pace)
        if done >= total:
            self._end()
        elif now - self._said >= EVERY:
            self._said = now
            self._say(f"{done:,} of {total:,}" + (f", {pace}" if pace else ""), stage)

    def note(self, stage: str) -> None:
        """End a stage that counted nothing, such as loading."""
        check_stopped()
        self._end()
        self._stage = stage
        self._end()

    def _end(self, *, finished: bool = True) -> None:
        if not self._stage:
            return
        now = self._clock()
        spent = now - self._began
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
        line = f"{self._done:,} in {duration(spent)}" if self._done else duration(spent)
        before = f"{self._earlier:,} of them done before" if self._earlier else ""
        end = "" if finished else "not finished"
        told = ", ".join(part for part in (line, before, self._pace(0), end) if part)
        stage, self._stage = self._stage, ""  # a signal from here on tells no stage twice
        self._say(told, stage)
        self._began, self._task = now, None
        self._done, self._earlier, self._note = 0, 0, ""

    def _say(self, text: str, stage: str) -> None:
        line = f"{stage}: {text}"
        logger.info(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _pace(self, left: int) -> str:
        """Items a second, time left for so many, and note, as far as there are any."""
        spent = self._clock() - self._began
        rate = (self._done - self._earlier) / spent if spent > 0 else 0.0
        # Few, slow items make a rate that says little.
        shown = bool(rate) and self._unit not in ("rows", "classes", "updates", "encoders")
        many = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        parts = (
            f"{many} {self._unit}/s" if shown else "",
            f"{duration(left / rate)} left" if rate and left else "",
            self._note,
        )
        return ", ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Seconds as people say them: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
