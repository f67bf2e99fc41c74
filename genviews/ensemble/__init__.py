"""Predictions of many views, weighed into one: banks, rules, significance."""

from genviews.ensemble.bank import PredictionBank, ViewBank
from genviews.ensemble.choose import group_candidates
from genviews.ensemble.combine import (
    AlphaCurve,
    Comparison,
    Evaluation,
    Method,
    Row,
    ScaleChoice,
    choose_scale,
    evaluate,
)
from genviews.ensemble.fill import fill_bank, fill_from_source
from genviews.ensemble.npz import export_npz, import_npz
from genviews.ensemble.resample import (
    ensemble_size_study,
    pixel_size_study,
    resample_members,
    resample_pixels,
)
from genviews.ensemble.significance import (
    GainReport,
    accuracy_interval,
    detectable_gain,
    gain_report,
    holm,
    mcnemar_exact,
    paired_bootstrap,
)
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.ensemble.weigh import (
    Ensemble,
    cutoff_grid,
    cutoff_proba,
    cutoff_thresholds,
    pixel_average,
)

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
    "ViewPlan",
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
    "fill_from_source",
    "gain_report",
    "group_candidates",
    "holm",
    "import_npz",
    "mcnemar_exact",
    "paired_bootstrap",
    "pixel_average",
    "pixel_size_study",
    "resample_members",
    "resample_pixels",
]
