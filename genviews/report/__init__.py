"""What people look at: the table in the terminal, a CSV, and one self-contained HTML page.

A report reads a finished `StudyResult` or `InversionResult` and computes nothing: every number on
the page is in `results.json`, or in `summary.json` and `summary.csv`.
"""

from __future__ import annotations

from genviews.report.html import render_report, write_report
from genviews.report.inversion import (
    contact_sheet,
    inversion_measures,
    render_inversion_report,
    write_inversion_report,
)
from genviews.report.output import check_output_dir, write_atomic
from genviews.report.tables import csv_text, terminal_table

__all__ = [
    "check_output_dir",
    "contact_sheet",
    "csv_text",
    "inversion_measures",
    "render_inversion_report",
    "render_report",
    "terminal_table",
    "write_atomic",
    "write_inversion_report",
    "write_report",
]
