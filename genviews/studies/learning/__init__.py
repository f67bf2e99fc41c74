"""The learning arrow studied: rows, their setting, tables by name, and what they say.

Read `row` first, then `tables`, `run` and `study`.
"""

from genviews.studies.learning.compare import Difference, RowSummary, compare_answers, summarise
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import RowReport, RowResult, run_row, run_rows
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.study import LearningStudy, read_study, run_study
from genviews.studies.learning.tables import TABLES, Strengths, learning_table

__all__ = [
    "TABLES",
    "Difference",
    "LearningRow",
    "LearningSetting",
    "LearningStudy",
    "RowReport",
    "RowResult",
    "RowSummary",
    "Strengths",
    "compare_answers",
    "learning_table",
    "read_study",
    "run_row",
    "run_rows",
    "run_study",
    "summarise",
]
