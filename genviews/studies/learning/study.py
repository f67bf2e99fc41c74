"""A table of the learning arrow, run and read: the answer to "generator against real data"."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.ensemble.significance import holm
from genviews.ensemble.verdict import SIGNIFICANCE
from genviews.studies.learning.compare import Difference, RowSummary, summarise
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import Report, RowResult, run_rows
from genviews.studies.learning.setting import LearningSetting

__all__ = ["LearningStudy", "read_study", "run_study"]

COLUMNS = (
    "row",
    "probe",
    "accuracy",
    "low",
    "high",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
    "val",
    "seeds",
    "samples_per_second",
    "waiting_for_views",
)


@dataclass(frozen=True, kw_only=True)
class LearningStudy:
    """What the rows of a table came to.

    Args:
        name: of the table.
        rows: in the table's order.
        reference: the row that others are compared with.
        test_images: N.
        seeds: of every row.
        p_holm: by probe and row, p-values of the differences corrected for their number (Holm).
        facts: "definitions" of the rows by name, and what all rows share, for the record.
    """

    name: str
    rows: tuple[RowSummary, ...]
    reference: str
    test_images: int
    seeds: tuple[int, ...]
    p_holm: dict[str, dict[str, float]]
    facts: dict[str, Any]

    @property
    def best(self) -> RowSummary | None:
        """The compared row that does best on val, by the linear probe; None where there is none.

        What is untrained is a control, not a way to learn.
        """
        kinds = {name: row["data"] for name, row in self.facts["definitions"].items()}
        made = [row for row in self.rows if row.against is not None and kinds[row.name] != "none"]
        return max(made, key=lambda row: row.val["linear"], default=None)

    @property
    def verdict(self) -> str:
        """One sentence: which row is best of those compared, and how it stands to the reference.

        Which one is best is chosen on val; what is said of it is of test.
        """
        best = self.best
        if best is None:
            return "There is no row to compare."
        assert best.against is not None
        gap, p = best.against["linear"], self.p_holm["linear"][best.name]
        low, high = (100 * v for v in gap.interval)
        word = "level with" if p >= SIGNIFICANCE else "above" if gap.mean > 0 else "below"
        seeds = (
            "1 seed, whose luck is not in the interval" if gap.seeds == 1 else f"{gap.seeds} seeds"
        )
        return (
            f"{best.name}, the best on val, is {word} {self.reference}: linear probe "
            f"{100 * best.accuracy['linear'].mean:.1f} %, {100 * gap.mean:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}], p = {p:.2g} (Holm), {seeds}, "
            f"{self.test_images:,} test images."
        )

    def csv_text(self) -> str:
        """A line for each row and probe; what a row does not have is empty."""
        file = io.StringIO()
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(COLUMNS)
        for row in self.rows:
            for probe, found in row.accuracy.items():
                against = row.against[probe] if row.against else None
                lines.writerow(
                    [row.name, probe, found.mean, *found.interval]
                    + ([""] * 4 if against is None else _difference(against))
                    + [self.p_holm[probe].get(row.name, ""), row.val[probe], found.seeds]
                    + [
                        "" if v is None else v
                        for v in (row.samples_per_second, row.waiting_for_views)
                    ]
                )
        return file.getvalue()

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "table": self.name,
            "verdict": self.verdict,
            "reference": self.reference,
            "test_images": self.test_images,
            "seeds": list(self.seeds),
            "rows": [asdict(row) for row in self.rows],
            "p_holm": self.p_holm,
            **self.facts,
        }


def run_study(
    name: str,
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    seeds: Sequence[int],
    folder: str | Path,
    *,
    reference: str | None = None,
    report: Report | None = None,
) -> LearningStudy:
    """Run the rows that are not done yet, and compare them.

    Args:
        name: of the table.
        rows: of it.
        setting: with a probe.
        seeds: of every row.
        folder: of the study; tables may share it, and then share rows.
        reference: name of the row to compare with; None: the first of real data, or else the first
            that is trained.
        report: see `run_rows`.

    Raises:
        ValueError: no row, no probe in the setting, or an unknown reference.
    """
    if not rows:
        fail("rows of a study", expected="at least one", got="none", remedy="name some")
    if setting.probe is None:
        fail(
            "study",
            expected="labelled splits to judge encoders on",
            got="none",
            remedy="give the setting a `probe`",
        )
    chosen = _reference(rows) if reference is None else reference
    if chosen not in [row.name for row in rows]:
        names = ", ".join(row.name for row in rows)
        fail("reference row", expected=f"one of {names}", got=chosen, remedy="name one of them")
    results = run_rows(rows, setting, seeds, folder, report=report)
    return read_study(name, results, setting, chosen)


def read_study(
    name: str, results: Sequence[RowResult], setting: LearningSetting, reference: str
) -> LearningStudy:
    """Compare results that are there.

    Args:
        name: of the table.
        results: of every row and seed.
        setting: that they were made with, with a probe.
        reference: name of the row to compare with.

    Raises:
        ValueError: see `summarise`.
    """
    assert setting.probe is not None
    assert setting.probe.test.labels is not None  # checked by ProbeData
    truth = setting.probe.test.labels
    rows = summarise(results, truth, reference=reference)
    first = results[0]
    return LearningStudy(
        name=name,
        rows=tuple(rows),
        reference=reference,
        test_images=len(truth),
        seeds=tuple(sorted({result.seed for result in results})),
        p_holm={probe: _corrected(rows, probe) for probe in first.answers},
        facts={
            "definitions": {result.row.name: asdict(result.row) for result in results},
            "updates": setting.updates,
            "batch": setting.batch,
            "base": setting.base,
            "encoder": asdict(setting.encoder),
            "training": setting.training(setting.updates).fingerprint(),
            "pixels": repr(setting.pixels),
        },
    )


def _reference(rows: Sequence[LearningRow]) -> str:
    real = [row for row in rows if row.data == "real"]
    trained = [row for row in rows if row.data != "none"]
    return (real or trained or list(rows))[0].name


def _corrected(rows: Sequence[RowSummary], probe: str) -> dict[str, float]:
    compared = [row for row in rows if row.against is not None]
    p_values = [row.against[probe].p_value for row in compared if row.against is not None]
    return dict(zip([row.name for row in compared], holm(p_values), strict=True))


def _difference(found: Difference) -> list[float]:
    return [found.mean, *found.interval, found.p_value]
