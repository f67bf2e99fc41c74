"""What the study of adaptive attacks says of what it has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.ensemble.significance import GainReport, gain_report
from genviews.robustness.masking import MaskingReport
from genviews.studies.ensembling.adaptive import STUDY, Adaptive
from genviews.studies.ensembling.adaptive_tables import CLEAN, NAIVE, WORST, Row, shown
from genviews.studies.result import Record


def report(hits: int, against: int) -> GainReport:
    right = torch.arange(200) < hits
    return gain_report(right, torch.arange(200) < against)


def row(defence: str, budget: float, naive: int, worst: int, alpha: float | None = None) -> Row:
    reports = {CLEAN: 180, NAIVE: naive, "margin": worst + 5, WORST: worst}
    return Row(
        defence=defence,
        budget=budget,
        alpha=alpha,
        reports={name: report(hits, 180) for name, hits in reports.items()},
        against=report(worst, 60 if budget == 0.05 else 10),
    )


SEEN = MaskingReport(
    images=48,
    clean=0.9,
    budgets=(0.05, 1.0),
    accuracy=(0.6, 0.0),
    margin=(0.1, 5.0),
    at=0.05,
    one_step=0.7,
    random=0.8,
    transfer=0.7,
    worst=0.6,
)
ROWS = [
    row("classifier", 0.05, 60, 60),
    row("classifier", 0.1, 10, 10),
    row("views", 0.05, 160, 120, 0.6),
    row("views", 0.1, 150, 20, 0.6),
]


def test_the_verdict_is_of_what_withstands_all() -> None:
    found = shown(ROWS, {"classifier": ("margin", SEEN), "views": ("encoder", SEEN)}, Record())
    assert found.verdict.startswith("At a budget of 0.05, 60.0 % of the images withstand every")
    assert "30.0 % those on the classifier alone: significantly better" in found.verdict
    assert found.verdict.endswith("does not know of the views 80.0 % withstand.")
    assert found.tone == "better"
    assert [claim.outcome for claim in found.claims] == ["holds"]
    assert found.blocks[0].rows[2][-1].significant


def test_a_masked_gradient_is_no_robustness() -> None:
    masked = replace(SEEN, signs=("Of the attack 60 % are right, of random search 20 %.",))
    found = shown(ROWS, {"classifier": ("margin", SEEN), "views": ("encoder", masked)}, Record())
    assert found.verdict.endswith("of random search 20 %. That is no robustness.")
    assert (found.tone, found.claims) == (None, ())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"fit_on": "noize:2"}, "kind of corruption: expected one of"),
        ({"budgets": (0.0, 0.1)}, "--budgets: expected a finite number above 0"),
        ({"budgets": (0.2, 0.1)}, "--budgets"),
        ({"test_images": 0}, "--test-images"),
    ],
)
def test_options_are_refused_before_anything_is_loaded(change, told) -> None:
    with pytest.raises(ValueError, match=told):
        replace(Adaptive(), **change).check()
    assert STUDY.options is Adaptive
