"""Predictions of many views, weighed into one: banks, rules, significance."""

from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.choose import group_candidates
from genviews.ensemble.combine import Evaluation, Method, ScaleChoice, choose_scale, evaluate
from genviews.ensemble.cutoff import cutoff_grid, cutoff_proba, cutoff_thresholds
from genviews.ensemble.fill import fill_bank
from genviews.ensemble.npz import export_npz, import_npz
from genviews.ensemble.resample import (
    ensemble_size_study,
    pixel_size_study,
    resample_members,
    resample_pixels,
)
from genviews.ensemble.rows import AlphaCurve, Comparison, Row
from genviews.ensemble.significance import (
    GainReport,
    accuracy_interval,
    detectable_gain,
    gain_report,
    holm,
    mcnemar_exact,
    paired_bootstrap,
    pearson,
)
from genviews.ensemble.view_bank import ViewBank
from genviews.ensemble.views import ViewSet, make_views
from genviews.ensemble.weigh import Ensemble, pixel_average

__all__ = [
    "AlphaCurve",
    "Comparison",
    "Ensemble",
    "Evaluation",
    "GainReport",
    "Method",
    "PredictionBank",
    "Row",
    "ScaleChoice",
    "ViewBank",
    "ViewSet",
    "accuracy_interval",
    "choose_scale",
    "cutoff_grid",
    "cutoff_proba",
    "cutoff_thresholds",
    "detectable_gain",
    "ensemble_size_study",
    "evaluate",
    "export_npz",
    "fill_bank",
    "gain_report",
    "group_candidates",
    "holm",
    "import_npz",
    "make_views",
    "mcnemar_exact",
    "paired_bootstrap",
    "pearson",
    "pixel_average",
    "pixel_size_study",
    "resample_members",
    "resample_pixels",
]
