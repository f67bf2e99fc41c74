"""What the verbs that run a study leave in their folder and show."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from genviews.cli.run import Output, say_skipped

if TYPE_CHECKING:  # these load torch, which the flags alone do not need
    from genviews.ensemble.result import StudyResult

__all__ = ["StudyOutput"]


class StudyOutput(Output["StudyResult"]):
    """Page, table and JSON of a study."""

    files = ("report.html", "results.csv", "results.json")

    def verdict(self, result: StudyResult) -> str:
        """See `Output`."""
        return result.verdict

    def save(self, result: StudyResult, folder: Path) -> None:
        """See `Output`."""
        from genviews.report import csv_text, write_atomic, write_report

        # The figures first: whatever befalls the page, no hour of work is lost. `results.json`,
        # which marks a finished run, is last.
        write_atomic(folder / "results.csv", csv_text(result.rows))
        write_report(result, folder / "report.html")
        result.save_json(folder / "results.json")

    def show(self, result: StudyResult, console: Console) -> None:
        """See `Output`."""
        from genviews.report import terminal_table
        from genviews.report.tables import classifiers

        for name in classifiers(result.rows):
            console.print()
            console.print(terminal_table(result, name, console.width))
        console.print()
        console.print(result.verdict, markup=False, highlight=False)
        say_skipped(console, result.skipped)
