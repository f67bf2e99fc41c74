"""The learning arrow studied: rows, their setting, tables by name, and what they say.

Read `row` first, then `tables`, `run` and `study`.
"""

from genviews.studies.learning.compare import (
    Difference,
    RowSummary,
    SeedMean,
    compare_answers,
    summarise,
)
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import RowReport, RowResult, run_row, run_rows
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import LearningStudy, read_study, run_study
from genviews.studies.learning.tables import PANELS, TABLES, Panel, Strengths, learning_table
from genviews.studies.learning.voc import VOCResult, judge_rows
from genviews.studies.learning.voc_task import VOCTask

__all__ = [
    "PANELS",
    "TABLES",
    "Difference",
    "LearningRow",
    "LearningSetting",
    "LearningStudy",
    "Panel",
    "RowReport",
    "RowResult",
    "RowSummary",
    "SeedMean",
    "Strengths",
    "VOCResult",
    "VOCTask",
    "compare_answers",
    "judge_rows",
    "learning_table",
    "read_study",
    "run_row",
    "run_rows",
    "run_study",
    "summarise",
]
