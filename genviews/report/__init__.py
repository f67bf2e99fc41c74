"""What people look at: any result as a page, in the terminal, as CSV and as Markdown.

    Result -> write_result -> RUN FOLDER        Result -> show -> TERMINAL

A report shows a finished `Result` and computes nothing: every number on the page is in
`results.json`.
"""

from __future__ import annotations

from genviews.report.output import PAGE, check_output_dir, write_atomic, write_result
from genviews.report.terminal import show, show_alarm

__all__ = [
    "PAGE",
    "check_output_dir",
    "show",
    "show_alarm",
    "write_atomic",
    "write_result",
]
