"""Progress of the stages of a run: a live bar on a terminal, one line a stage anywhere else."""

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


class _RateColumn(ProgressColumn):
    """Items a second and time left, counted from the start of the stage."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def render(self, task: Task) -> Text:
        """The text of one bar."""
        elapsed = self._clock() - task.fields["began"]
        if not task.completed or not task.total or elapsed <= 0:
            return Text("")
        rate = task.completed / elapsed
        left = (task.total - task.completed) / rate
        parts = [_rate(task.description, rate), f"{duration(left)} left" if left else ""]
        return Text(", ".join(part for part in parts if part))


class Stages:
    """Takes `(stage, done, total)` calls and shows them; keeps the seconds of each stage.

    A stage begins where the one before it ended, and ends when done reaches total, when another
    stage begins, or with the run.

    Args:
        console: where to show; a bar if it is a terminal, else one line when a stage ends.
        clock: seconds; another clock in tests.

    Attributes:
        seconds: stage -> its duration.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds: dict[str, float] = {}
        self._console = console
        self._clock = clock
        self._began = clock()
        self._stage = ""
        self._done = 0
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

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Take note that `done` of `total` items of `stage` are ready."""
        if stage != self._stage:
            self._end()
            self._stage = stage
            self._task = self._bars.add_task(stage, total=total, began=self._began)
        self._done = done
        if self._task is not None:
            self._bars.update(self._task, completed=done, total=total)
        if done >= total:
            self._end()

    def of(self, stage: str) -> Callable[[int, int], None]:
        """A `(done, total)` callback for one stage."""
        return lambda done, total: self(stage, done, total)

    def note(self, stage: str) -> None:
        """End a stage that counted nothing, such as loading."""
        self._end()
        self._stage = stage
        self._end()

    def _end(self, *, finished: bool = True) -> None:
        if not self._stage:
            return
        now = self._clock()
        spent = now - self._began
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
        line = f"{self._stage}: "
        line += f"{self._done:,} in {duration(spent)}" if self._done else duration(spent)
        rate = _rate(self._stage, self._done / spent) if self._done and spent > 0 else ""
        line += (f", {rate}" if rate else "") + ("" if finished else ", not finished")
        logger.info(line)
        if not self._console.is_terminal:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._began, self._stage, self._done, self._task = now, "", 0, None


def _rate(stage: str, rate: float) -> str:
    """Images a second; nothing for the stages that count something else, such as rows."""
    if not stage.startswith(("invert", "views")):
        return ""
    return f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"


def duration(seconds: float) -> str:
    """Seconds as people say them: "4.2 s", "3 min 20 s", "2 h 05 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
