"""Progress of the stages of a run: a live bar on a terminal, lines of text anywhere else.

Text goes to the log as well: one line when a stage ends, and one every half minute of a long one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

__all__ = ["Stages", "duration"]

logger = logging.getLogger("genviews.cli")

EVERY = 30.0  # seconds between the lines of a stage that goes on (chosen by us)


class _RateColumn(ProgressColumn):
    """Items a second, time left and what else the stage says."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        if not task.total:
            return Text("")
        fresh = task.completed - task.fields["earlier"]
        spent = self._clock() - task.fields["began"]
        left = task.total - task.completed
        return Text(_pace(task.fields["unit"], fresh, left, spent, task.fields["note"]))


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
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            _RateColumn(clock),
        )
        self._bars = Progress(
            *columns, console=console, disable=not console.is_terminal, expand=True
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

        What the first call of a stage says was done before it, and counts for no rate.

        Args:
            stage: its name.
            unit: of the items, in the plural.
            done: items that are ready.
            total: items in all.
            note: shown beside the rate, such as "mean loss 0.02".
        """
        if stage != self._stage:
            self._begin(stage, unit, done, total)
        self._done, self._note = done, note
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=note)
        if done >= total:
            self._end()
        elif self._clock() - self._said >= EVERY:
            self._say_pace(total)

    def note(self, stage: str) -> None:
        """End a stage that counted nothing, such as loading."""
        self._end()
        self._stage = stage
        self._end()

    def _begin(self, stage: str, unit: str, earlier: int, total: int) -> None:
        self._end()
        self._stage, self._unit, self._earlier, self._said = stage, unit, earlier, self._clock()
        self._task = self._bars.add_task(
            stage, total=total, unit=unit, began=self._began, earlier=earlier, note=""
        )

    def _end(self, *, finished: bool = True) -> None:
        if not self._stage:
            return
        now = self._clock()
        spent = now - self._began
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
        line = f"{self._done:,} in {duration(spent)}" if self._done else duration(spent)
        pace = _pace(self._unit, self._done - self._earlier, 0, spent, self._note)
        before = f"{self._earlier:,} of them done before" if self._earlier else ""
        end = "" if finished else "not finished"
        self._say(", ".join(part for part in (line, before, pace, end) if part))
        self._began, self._stage, self._task = now, "", None
        self._done, self._earlier, self._note = 0, 0, ""

    def _say_pace(self, total: int) -> None:
        self._said = now = self._clock()
        fresh, left = self._done - self._earlier, total - self._done
        pace = _pace(self._unit, fresh, left, now - self._began, self._note)
        self._say(f"{self._done:,} of {total:,}" + (f", {pace}" if pace else ""))

    def _say(self, text: str) -> None:
        line = f"{self._stage}: {text}"
        logger.info(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _pace(unit: str, fresh: float, left: float, spent: float, note: str) -> str:
    """Rate, time left and note, as far as there are any.

    Args:
        unit: of the items.
        fresh: items made in this run.
        left: items to make.
        spent: seconds since the stage began.
        note: what else to say.
    """
    rate = fresh / spent if spent > 0 else 0.0
    parts = (_rate(unit, rate), f"{duration(left / rate)} left" if rate and left else "", note)
    return ", ".join(part for part in parts if part)


def _rate(unit: str, rate: float) -> str:
    """Items a second; nothing where few, slow items make it say little."""
    if not rate or unit in ("rows", "classes", "updates", "encoders"):
        return ""
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"


def duration(seconds: float) -> str:
    """Seconds as people say them: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
