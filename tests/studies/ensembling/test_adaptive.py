"""What the study of adaptive attacks says of what it has seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.ensemble.significance import GainReport, gain_report
from genviews.robustness.adaptive import AdaptiveAttack, attack_defence
from genviews.robustness.defence import Undefended
from genviews.robustness.gradient import PGD
from genviews.robustness.masking import MaskingReport
from genviews.robustness.restore import restoration
from genviews.studies.ensembling.adaptive import Adaptive, run
from genviews.studies.ensembling.adaptive_tables import (
    CLEAN,
    NAIVE,
    WORST,
    Row,
    shown,
    with_signs,
)
from genviews.studies.result import Record
from tests.studies.ensembling.benches import toy_bench


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


def test_no_star_where_a_gradient_may_be_masked() -> None:
    masked = replace(SEEN, signs=("Of the attack 60 % are right, of random search 20 %.",))
    found = shown(ROWS, {"classifier": ("margin", SEEN), "views": ("encoder", masked)}, Record())
    assert not any(line[-1].significant for line in found.blocks[0].rows[2:])


@pytest.mark.parametrize(
    ("exact", "naive", "poor"), [(120, 90, True), (90, 120, False), (95, 90, False), (98, 90, True)]
)
def test_a_gradient_that_finds_less_than_the_classifiers_is_a_poor_guide(exact, naive, poor):
    reports = {NAIVE: naive, "cross-entropy": exact + 10, "margin": exact, "pixels": 0, WORST: 0}
    own = {way: report(hits, 180) for way, hits in reports.items()}
    rows = [replace(row("views", budget, 0, 0), reports=own) for budget in (0.05, 0.1)]
    masking = {"classifier": ("margin", SEEN), "views": ("pixels", SEEN)}
    found = with_signs(rows, masking, 200)
    assert found["classifier"] == masking["classifier"]
    assert len(found["views"][1].signs) == (2 if poor else 0)
    if poor:
        told = f"leave {exact / 200:.1%} right, those on the classifier alone {naive / 200:.1%}"
        assert told in found["views"][1].signs[1]
        assert found["views"][1].signs[0].startswith("At a budget of 0.05")


class TestStudy:
    """Every defence meets every attack, and what withstands all of them counts."""

    OPTIONS = Adaptive(
        perturbation="stylemix_fine", num_views=2, budgets=(0.2, 0.4), steps=1, repeats=1,
        optimizer_steps=(0, 1), unroll=1, gradient_views=1, fit_on="gaussian_blur:1",
        calibration_images=8, test_images=10, masking_images=4,
    )  # fmt: skip

    @pytest.fixture(scope="class")
    @classmethod
    def measured(cls):
        bench = toy_bench(restorations=(restoration("gaussian:0.75"),))
        return bench, run(bench, cls.OPTIONS)

    def test_each_defence_is_attacked_by_all_that_fits_it(self, measured) -> None:
        rows = measured[1].record.data["rows"]
        attacks = {row["defence"]: set(row["reports"]) for row in rows}
        plain = {"clean", "not knowing", "cross-entropy", "margin", "worst"}
        steps, chance = {"encoder", "instant mode"}, {"known draws"}
        assert attacks == {
            "classifier": plain,
            "gaussian:0.75": plain | {"pixels"},
            "reconstruction, 0 steps": plain | {"pixels"},
            "views alone, 0 steps": plain | chance | {"pixels"},
            "a weight for each image, 0 steps": plain | chance | {"pixels"},
            "image and views, 0 steps": plain | chance | {"pixels"},
            "reconstruction, 1 steps": plain | {"pixels"} | steps,
            "views alone, 1 steps": plain | chance | {"pixels"} | steps,
            "image and views, 1 steps": plain | chance | {"pixels"} | steps,
        }
        assert set(measured[1].record.data["masking"]) == set(attacks)

    def test_what_withstands_all_of_them_counts(self, measured) -> None:
        bench, result = measured
        images = bench.images("test")
        batch = images.read(bench.drawn(images, 10))
        labels = images.columns[bench.tasks[0].labels].values[images.rows_of(batch.ids)]
        plain, right = Undefended(model=bench.tasks[0].classifier), []
        for loss in ("cross-entropy", "margin"):
            attack = AdaptiveAttack(attack=PGD(0.4, steps=1, loss=loss))
            found = attack_defence(plain, batch.images, labels, batch.ids, attack, seed=bench.seed)
            right += [found.clean_right, found.right]
        row = result.record.data["rows"][1]
        assert (row["defence"], row["budget"]) == ("classifier", 0.4)
        expected = float(torch.stack(right).all(0).double().mean())
        assert row["reports"]["worst"]["accuracy"] == pytest.approx(expected)
        for one in result.record.data["rows"]:
            each = [report["accuracy"] for report in one["reports"].values()]
            assert one["reports"]["worst"]["accuracy"] <= min(each)
