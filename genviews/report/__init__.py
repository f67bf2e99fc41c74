"""What people look at: the table in the terminal, a CSV, and one self-contained HTML page.

The report reads a finished `StudyResult` and computes nothing: every number on the page is in
`results.json`.
"""

from __future__ import annotations

from genviews.report.html import render_report, write_report
from genviews.report.output import check_output_dir, write_atomic
from genviews.report.tables import csv_text, terminal_table

__all__ = [
    "check_output_dir",
    "csv_text",
    "render_report",
    "terminal_table",
    "write_atomic",
    "write_report",
]
