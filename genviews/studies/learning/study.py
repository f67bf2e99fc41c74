"""A table of the learning arrow, run and read: the answer to "generator against real data"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from genviews.checks import fail
from genviews.engine import Engine
from genviews.ensemble.significance import holm
from genviews.identity import describe
from genviews.studies.blocks import Estimate
from genviews.studies.learning.claims import weigh_claims
from genviews.studies.learning.compare import RowSummary, summarise
from genviews.studies.learning.compare_voc import DETECTION, with_voc
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import Report, RowResult, check_done, run_rows
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.voc import VOCResult, judge_rows
from genviews.studies.learning.voc_task import VOCTask
from genviews.studies.result import Claim
from genviews.studies.statistics import SIGNIFICANCE, standing

__all__ = ["LearningStudy", "compare_rows", "read_study"]

VOC_DETECTION = "voc_detection_"  # and the measure: a name among the probes


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
        facts: "definitions" of the rows by name, and what all rows share, for the record. "voc"
            says what encoders were judged on beside their own images, where they were; "failed" why
            rows are left out, by row and seed.
        claims: what the paper says of the rows, weighed.
    """

    name: str
    rows: tuple[RowSummary, ...]
    reference: str
    test_images: int
    seeds: tuple[int, ...]
    p_holm: dict[str, dict[str, float]]
    facts: dict[str, Any]
    claims: tuple[Claim, ...] = ()

    @property
    def probes(self) -> tuple[str, ...]:
        """What rows are compared by: "linear", "knn", and "voc" where they were judged on VOC."""
        return tuple(self.rows[0].accuracy)

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
        """Which row is best of those compared, how it stands to the reference, and what failed.

        Which one is best is chosen on val; what is said of it is of test.
        """
        failed = [f"{who} ({why})" for who, why in self.facts.get("failed", {}).items()]
        return self._best_verdict() + (f" Left out, failed: {'; '.join(failed)}." if failed else "")

    def _best_verdict(self) -> str:
        best = self.best
        if best is None:
            return "There is no row to compare."
        assert best.against is not None
        gap, p = best.against["linear"], self.p_holm["linear"][best.name]
        low, high = (100 * v for v in gap.interval)
        found = standing(Estimate(gap.mean, gap.interval), p)
        word = f"{found} {'with' if found == 'level' else 'from'}" if p >= SIGNIFICANCE else found
        seeds = (
            "1 seed, whose luck is not in the interval" if gap.seeds == 1 else f"{gap.seeds} seeds"
        )
        return (
            f"{best.name}, the best on val, is {word} {self.reference}: linear probe "
            f"{100 * best.accuracy['linear'].mean:.1f} %, {100 * gap.mean:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}], p = {p:.2g} (Holm), {seeds}, "
            f"{self.test_images:,} test images."
        )

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


def compare_rows(
    name: str,
    rows: Sequence[LearningRow],
    setting: LearningSetting,
    seeds: Sequence[int],
    folder: str | Path,
    *,
    reference: str | None = None,
    engine: str | Engine = "local",
    report: Report | None = None,
    voc: VOCTask | None = None,
) -> LearningStudy:
    """Run the rows that are not done yet, and compare them.

    A row with a seed that failed is left out, and named in the facts and the verdict.

    Args:
        name: of the table.
        rows: of it.
        setting: with a probe.
        seeds: of every row.
        folder: of the study; tables may share it, and then share rows.
        reference: name of the row to compare with; None: the first of real data, or else the first
            that is trained.
        engine: see `run_rows`.
        report: see `run_rows`.
        voc: what encoders are judged on as well; None leaves VOC out. It can be added to a study
            that is there, and changes nothing of it.

    Raises:
        ValueError: no row, no probe in the setting, an unknown reference, or what
            `VOCTask.check` refuses, all before the first row is run; or the reference row, or every
            row, failed.
        FileNotFoundError: a part of VOC is missing.
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
    if voc is not None:
        voc.check(setting)
    results = run_rows(rows, setting, seeds, folder, engine=engine, report=report)
    good = [result for result in results if not result.failed]
    judged = [] if voc is None else judge_rows(good, voc, setting, engine=engine, report=report)
    every: list[RowResult | VOCResult] = [*results, *judged]
    failed = {f"{one.row.name}, seed {one.seed}": one.failed for one in every if one.failed}
    left = {one.row.name for one in every if one.failed}
    if chosen in left or len(left) == len(rows):
        check_done(every)
    good = [result for result in good if result.row.name not in left]
    judged = [one for one in judged if one.row.name not in left]
    study = read_study(name, good, setting, chosen, judged)
    facts = {**study.facts, **({"failed": failed} if failed else {})}
    if voc is not None:
        skipped = judged[0].record["skipped"]  # the same photos whatever the encoder
        facts["voc"] = {**voc.facts(), "skipped": skipped}
    return replace(study, facts=facts)


def read_study(
    name: str,
    results: Sequence[RowResult],
    setting: LearningSetting,
    reference: str,
    judged: Sequence[VOCResult] = (),
) -> LearningStudy:
    """Compare results that are there.

    Args:
        name: of the table.
        results: of every row and seed.
        setting: that they were made with, with a probe.
        reference: name of the row to compare with.
        judged: what the same rows and seeds came to on VOC; empty leaves it out.

    Raises:
        ValueError: see `summarise`.
    """
    assert setting.probe is not None
    assert setting.probe.test.labels is not None  # checked by ProbeData
    truth = setting.probe.test.labels
    rows = summarise(results, truth, reference=reference)
    if judged:
        rows = with_voc(rows, judged, reference=reference)
    return LearningStudy(
        name=name,
        rows=tuple(rows),
        reference=reference,
        test_images=len(truth),
        seeds=tuple(sorted({result.seed for result in results})),
        p_holm={probe: _corrected(rows, probe) for probe in rows[0].accuracy}
        | {f"{VOC_DETECTION}{name}": _corrected_seeds(rows, name) for name in _detected(rows)},
        claims=weigh_claims(name, results, truth),
        facts={
            "definitions": {result.row.name: asdict(result.row) for result in results},
            "updates": setting.updates,
            "batch": setting.batch,
            "base": setting.base,
            "encoder": asdict(setting.encoder),
            "training": describe(setting.training(setting.updates)),
            "pixels": repr(setting.pixels),
        },
    )


def _reference(rows: Sequence[LearningRow]) -> str:
    """The row to compare with: the first of real data, or else the first that is trained."""
    real = [row for row in rows if row.data == "real"]
    trained = [row for row in rows if row.data != "none"]
    return (real or trained or list(rows))[0].name


def _corrected(rows: Sequence[RowSummary], probe: str) -> dict[str, float]:
    compared = [row for row in rows if row.against is not None]
    p_values = [row.against[probe].p_value for row in compared if row.against is not None]
    return dict(zip([row.name for row in compared], holm(p_values), strict=True))


def _detected(rows: Sequence[RowSummary]) -> tuple[str, ...]:
    """Measures of detection whose differences have p-values."""
    known = rows[0].detection and all(len(r.detection["ap"].per_seed) > 1 for r in rows)
    return DETECTION if known else ()


def _corrected_seeds(rows: Sequence[RowSummary], measure: str) -> dict[str, float]:
    found = {
        row.name: row.detection_against[measure].p_value
        for row in rows
        if row.detection_against is not None
    }
    p_values = [p for p in found.values() if p is not None]
    return dict(zip(found, holm(p_values), strict=True))
