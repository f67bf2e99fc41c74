"""What the test-time study returns: a table, curves, pictures, and what they mean in words.

Plain frozen dataclasses, written by `study` and read by the report, the command line and the
recipes. All but the pictures go to JSON, from which every quoted number can be traced to a seed, a
config and a command.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import fail
from genviews.files import read_json, write_json

__all__ = ["AlphaCurve", "Comparison", "Gallery", "Row", "StudyResult"]

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: a method with a classifier. Accuracies and gains are in [0, 1].

    Args:
        name: e.g. "single image", "crop", "reconstruction only", "stylemix fine", "combined".
        classifier: by what it was trained on, e.g. "images", "reconstructions", "views".
        group: "image", "pixel", "latent" or "combined".
        views: bank keys used; () for the single image.
        num_views: predictions used beside that of the image.
        alpha: weight of the views, chosen on calibration; None where nothing is chosen.
        oracle_alpha: the best alpha on test; reported beside, never used.
        oracle_accuracy: test accuracy at that alpha.
        calibration_accuracy: accuracy on calibration; at `alpha`, so slightly optimistic.
        accuracy: accuracy on test.
        interval: its 95 % Wilson interval.
        gain: test accuracy minus that of the same classifier's single image.
        gain_interval: 95 %, paired bootstrap over test images.
        fixed: test images that this row gets right and the single image wrong.
        broke: the reverse.
        p_value: exact McNemar test, two-sided.
        p_holm: adjusted for all rows of the table that are compared with a baseline.
        reference_gain: test accuracy minus that of the reference classifier's single image; None
            for the reference classifier itself.
        reference_gain_interval: its 95 % interval.
        reference_p_value: its exact McNemar test.
    """

    name: str
    classifier: str
    group: str
    views: tuple[str, ...]
    num_views: int
    alpha: float | None
    oracle_alpha: float | None
    oracle_accuracy: float | None
    calibration_accuracy: float
    accuracy: float
    interval: Interval
    gain: float
    gain_interval: Interval
    fixed: int
    broke: int
    p_value: float
    p_holm: float
    reference_gain: float | None = None
    reference_gain_interval: Interval | None = None
    reference_p_value: float | None = None


@dataclass(frozen=True, kw_only=True)
class AlphaCurve:
    """Accuracy against alpha on both splits, for one row.

    Args:
        row: name of the row.
        classifier: of the row.
        alphas: the grid.
        calibration: accuracy at each alpha on calibration, where alpha is chosen.
        test: the same on test, to look at only.
    """

    row: str
    classifier: str
    alphas: tuple[float, ...]
    calibration: tuple[float, ...]
    test: tuple[float, ...]

    @property
    def oracle(self) -> tuple[float, float]:
        """(alpha, accuracy) of the smallest alpha that is best on test."""
        accuracy = max(self.test)
        return self.alphas[self.test.index(accuracy)], accuracy


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A paired test between two rows of the same classifier, beyond the table's baseline.

    Args:
        classifier: of both rows.
        row: the method, e.g. "combined".
        against: what it is compared with, e.g. "crop".
        gain: test accuracy of `row` minus that of `against`.
        interval: 95 %, paired bootstrap.
        fixed: test images right with `row` and wrong with `against`.
        broke: the reverse.
        p_value: exact McNemar test, two-sided.
    """

    classifier: str
    row: str
    against: str
    gain: float
    interval: Interval
    fixed: int
    broke: int
    p_value: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """M test images with reconstructions, a few views and what the classifier says of them.

    Args:
        ids: of the images.
        images: in [-1, 1].
        reconstructions: the generator's image at the inverted latent.
        views: for each view set of the table, the first k views.
        image_probs: class probabilities of the image.
        reconstruction_probs: of the reconstruction.
        view_probs: of the views shown.
        ensemble_probs: of the ensemble named by `ensemble`.
        labels: true classes.
        kind: why each is shown: "fixed", "broke", "best reconstruction", "worst reconstruction",
            "typical".
        loss: inversion loss.
        ensemble: name of the row that "fixed" and "broke" are about.
    """

    ids: tuple[str, ...]
    images: Float[Tensor, "M C H W"]
    reconstructions: Float[Tensor, "M C H W"]
    views: dict[str, Float[Tensor, "M _ C H W"]]
    image_probs: Float[Tensor, "M Y"]
    reconstruction_probs: Float[Tensor, "M Y"]
    view_probs: dict[str, Float[Tensor, "M _ Y"]]
    ensemble_probs: Float[Tensor, "M Y"]
    labels: Int[Tensor, " M"] | None
    kind: tuple[str, ...]
    loss: Float[Tensor, " M"]
    ensemble: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResult:
    """The whole outcome of a test-time study.

    Args:
        title: of the study.
        class_names: Y names.
        rows: the table.
        curves: one for each row with an alpha.
        gallery: pictures, or None; not part of the JSON.
        reconstruction: how good the inversions are: mean absolute error "l1", accuracies, ...
        num_calibration: images on which alpha and scales were chosen.
        num_test: images on which results are reported.
        skipped: (file, reason) of images that were left out.
        config: settings of the study.
        versions: of Python, the package and its main dependencies.
        command: that made it.
        seconds: time of each stage.
        seed: of the views.
        verdict: what the table means, in plain words.
        comparisons: paired tests between rows, e.g. combined against pixel views alone.
    """

    title: str
    class_names: tuple[str, ...]
    rows: tuple[Row, ...]
    curves: tuple[AlphaCurve, ...]
    gallery: Gallery | None
    reconstruction: dict[str, float]
    num_calibration: int
    num_test: int
    skipped: tuple[tuple[str, str], ...]
    config: dict[str, Any]
    versions: dict[str, str]
    command: str
    seconds: dict[str, float]
    seed: int
    verdict: str
    comparisons: tuple[Comparison, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the gallery as plain values that `json.dumps` takes.

        Raises:
            ValueError: a number that is NaN or infinite; its place is named.
            TypeError: a value that JSON does not know, such as a tensor.
        """
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "gallery"}
        plain: dict[str, Any] = _plain(kept, "")
        return plain

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> StudyResult:
        """Rebuild a result, without its gallery, from what `to_json` returned."""
        parts = {"rows": Row, "curves": AlphaCurve, "comparisons": Comparison}
        found: dict[str, Any] = {**data, "gallery": None}
        for key in ("class_names", "skipped"):
            found[key] = _tuples(data[key])
        for key, kind in parts.items():
            found[key] = tuple(kind(**_tuples(part)) for part in data[key])
        return StudyResult(**found)

    def save_json(self, path: str | Path) -> None:
        """Write `to_json` to a file, atomically.

        Raises:
            ValueError, TypeError: as for `to_json`; an existing file is left as it was.
        """
        write_json(path, self.to_json())

    @staticmethod
    def load_json(path: str | Path) -> StudyResult:
        """Read what `save_json` wrote."""
        return StudyResult.from_json(read_json(path))


def _plain(value: object, where: str) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """The value in JSON's own types; `where` is its path, for messages."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(part, f"{where}.{key}".lstrip(".")) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        fail(
            f"result, {where}",
            expected="a finite number",
            got=value,
            remedy="find the image or setting it comes from; JSON has no NaN",
        )
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    fail(
        f"result, {where}",
        expected="text, numbers, lists and dictionaries",
        got=type(value).__name__,
        remedy="convert tensors with `.tolist()`",
        error=TypeError,
    )


def _tuples(value: Any) -> Any:  # noqa: ANN401 (JSON has no narrower type)
    """Lists as tuples, at any depth."""
    if isinstance(value, list):
        return tuple(_tuples(part) for part in value)
    if isinstance(value, dict):
        return {key: _tuples(part) for key, part in value.items()}
    return value
