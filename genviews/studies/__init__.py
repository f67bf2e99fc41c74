"""The papers' figures and tables by name, from stored inversions and banked predictions.

A study computes rows; recipes choose data and settings, store the rows as JSON and draw them.
"""

from genviews.studies.fidelity import Fidelity, class_fidelity
from genviews.studies.steps import StepRow, quality_by_steps
from genviews.studies.tasks import Correlation, TaskGain, correlate, task_gains

__all__ = [
    "Correlation",
    "Fidelity",
    "StepRow",
    "TaskGain",
    "class_fidelity",
    "correlate",
    "quality_by_steps",
    "task_gains",
]
