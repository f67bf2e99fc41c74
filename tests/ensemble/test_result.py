"""Results go to JSON and back, whole and finite."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from genviews.ensemble.result import AlphaCurve, Comparison, Gallery, Row, StudyResult

ROW = Row(
    name="stylemix fine",
    classifier="images",
    group="latent",
    views=("stylemix_fine",),
    num_views=33,
    alpha=0.35,
    oracle_alpha=0.4,
    oracle_accuracy=0.91,
    calibration_accuracy=0.9,
    accuracy=0.9,
    interval=(0.88, 0.92),
    gain=0.01,
    gain_interval=(-0.01, 0.02),
    fixed=12,
    broke=2,
    p_value=0.01,
    p_holm=0.05,
    reference_gain=0.02,
    reference_gain_interval=(0.0, 0.03),
    reference_p_value=0.4,
)
CURVE = AlphaCurve(
    row="x", classifier="images", alphas=(0.0, 0.5, 1.0), calibration=(0.1, 0.2, 0.1),
    test=(0.3, 0.5, 0.5),
)  # fmt: skip
GALLERY = Gallery(
    ids=("a",),
    images=torch.zeros(1, 1, 2, 2),
    reconstructions=torch.zeros(1, 1, 2, 2),
    views={},
    image_probs=torch.zeros(1, 2),
    reconstruction_probs=torch.zeros(1, 2),
    view_probs={},
    ensemble_probs=torch.zeros(1, 2),
    labels=None,
    kind=("fixed",),
    loss=torch.zeros(1),
)


@pytest.fixture
def result() -> StudyResult:
    return StudyResult(
        title="A study",
        class_names=("cat", "dög"),
        rows=(ROW, replace(ROW, alpha=None, reference_gain_interval=None)),
        curves=(CURVE,),
        gallery=GALLERY,
        reconstruction={"l1": 0.1},
        num_calibration=10,
        num_test=20,
        skipped=(("broken.png", "not an image"),),
        config={"views": ["crop"], "seed": 1, "none": None},
        versions={"torch": "2"},
        command="genviews demo",
        seconds={"evaluate": np.float64(1.5)},
        seed=1,
        verdict="No significant difference.",
        comparisons=(
            Comparison(
                classifier="images", row="combined", against="crop", gain=0.0,
                interval=(0.0, 0.0), fixed=0, broke=0, p_value=1.0,
            ),
        ),
    )  # fmt: skip


def test_round_trip_through_a_file(result, tmp_path):
    result.save_json(tmp_path / "new" / "result.json")
    back = StudyResult.load_json(tmp_path / "new" / "result.json")
    assert back.rows == result.rows
    assert back.curves == result.curves
    assert back.comparisons == result.comparisons
    assert back.class_names == ("cat", "dög")
    assert back.skipped == (("broken.png", "not an image"),)
    assert back.gallery is None
    assert back.to_json() == result.to_json()
    assert "gallery" not in json.loads((tmp_path / "new" / "result.json").read_text("utf-8"))


def test_json_is_plain(result):
    assert json.loads(json.dumps(result.to_json(), allow_nan=False)) == result.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reconstruction": {"l1": float("nan")}}, r"result, reconstruction.l1: expected a finite"),
        ({"rows": (ROW, replace(ROW, gain=float("inf")))}, r"rows\[1\].gain: expected a finite"),
        ({"seconds": {"x": np.float64("nan")}}, "seconds.x"),
    ],
)
def test_numbers_that_json_lacks_are_named(result, tmp_path, change, message):
    path = tmp_path / "result.json"
    result.save_json(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        replace(result, **change).save_json(path)
    assert path.read_bytes() == before


def test_tensors_are_refused(result):
    with pytest.raises(TypeError, match=r"config.x\[0\].*got Tensor"):
        replace(result, config={"x": [torch.zeros(1)]}).to_json()


def test_oracle_takes_the_smallest_best_alpha():
    assert CURVE.oracle == (0.5, 0.5)
