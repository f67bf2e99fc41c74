"""A table of the learning arrow, run and read: the answer to "generator against real data"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genviews.checks import fail, lookup
from genviews.engine import Engine
from genviews.studies.learning.claims import weigh_claims
from genviews.studies.learning.compare import RowSummary, summarise
from genviews.studies.learning.floor import floor_of, floor_words, is_above
from genviews.studies.learning.judge import KeptJudge, Report, RowResult, judge_rows
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import check_done, run_rows
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.tables import UNTRAINED
from genviews.studies.result import Claim
from genviews.studies.statistics import MARGIN, Gap, Standing, points, standing, weigh

__all__ = ["LearningStudy", "compare_rows", "read_study"]

_SAID: dict[Standing, str] = {
    "above": "{best}, the best on val, is above {reference}",
    "below": "{best}, the best on val, is below {reference}",
    "level": "{best}, the best on val, is level with {reference}, within "
    f"{100 * MARGIN:g} point",
    "no difference seen": "No difference seen between {best}, the best on val, and {reference}",
}


@dataclass(frozen=True, kw_only=True)
class LearningStudy:
    """What the rows of a table came to.

    Args:
        name: of the table.
        rows: in the table's order.
        reference: the row that others are compared with.
        test_images: N.
        seeds: of every row.
        facts: "definitions" of the rows by name, and what all rows share, for the record. The name
            of a judge says what encoders were judged on beside their own images; "floor" what
            probes say where nothing was learnt (`floor_of`); "failed" why rows are left out, by
            row and seed.
        claims: what the paper says of the rows, weighed.
    """

    name: str
    rows: tuple[RowSummary, ...]
    reference: str
    test_images: int
    seeds: tuple[int, ...]
    facts: dict[str, Any]
    claims: tuple[Claim, ...] = ()

    @property
    def probes(self) -> tuple[str, ...]:
        """What rows are compared by: "linear", "knn", and more where they were judged on VOC."""
        return tuple(self.rows[0].accuracy)

    @cached_property
    def weighed(self) -> dict[str, dict[str, Gap]]:
        """By probe and row: the difference to the reference, weighed with the probe's others."""
        found = {}
        for what in self.probes:
            family = {r.name: r.against[what].gap for r in self.rows if r.against is not None}
            found[what] = dict(zip(family, weigh(list(family.values())), strict=True))
        return found

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
        """Which row is best, how it stands to the reference and to the floor, and what failed.

        Which one is best is chosen on val; what is said of it is of test.
        """
        failed = [f"{who} ({why})" for who, why in self.facts.get("failed", {}).items()]
        said = [self._best_verdict()]
        if "floor" in self.facts:
            learnt = [row for row in self.rows if row.name == self.reference or row is self.best]
            found = {row.name: row.accuracy["linear"].estimate for row in learnt}
            said.append(floor_words(self.facts["floor"], found))
        said += [f"Left out, failed: {'; '.join(failed)}."] if failed else []
        return " ".join(said)

    def _best_verdict(self) -> str:
        best = self.best
        if best is None:
            return "There is no row to compare."
        assert best.against is not None
        gap, found = best.against["linear"], self.weighed["linear"][best.name]
        seeds = (
            "1 seed, whose luck is not in the interval" if gap.seeds == 1 else f"{gap.seeds} seeds"
        )
        p = "" if found.p_value is None else f", p = {found.p_value:.2g} (Holm)"
        said, accuracy = standing(found), best.accuracy["linear"].estimate
        words = _SAID[said].format(best=best.name, reference=self.reference)
        if said == "level" and not is_above(self.facts.get("floor"), accuracy):
            words = f"{best.name}, the best on val, is not told from what learnt nothing"
        return (
            f"{words}: linear probe {100 * best.accuracy['linear'].mean:.1f} %, "
            f"{points(found, digits=1)}{p}, {seeds}, {self.test_images:,} test images."
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
            "p_holm": {
                what: {name: one.p_value for name, one in found.items()}
                for what, found in self.weighed.items()
            },
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
    judges: Sequence[KeptJudge] = (),
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
        judges: who judges encoders as well, such as VOC; they can be added to a study that is
            there, and change nothing of it.

    Raises:
        ValueError: no row, no probe in the setting, an unknown reference, or what a judge's
            `check` refuses, all before the first row is run; or the reference row, or every row,
            failed.
        FileNotFoundError: a part of what a judge needs is missing.
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
    lookup(chosen, {row.name: row for row in rows}, "reference row")
    for judge in judges:
        judge.check(setting)
    results = []
    if all(row.data != "none" for row in rows):  # first: if even this cannot be probed, what can?
        results = run_rows([UNTRAINED], setting, seeds[:1], folder, engine=engine, report=None)
    results += run_rows(rows, setting, seeds, folder, engine=engine, report=report)
    for judge in judges:
        good = [one for one in results if not one.failed]
        judged = iter(judge_rows(judge, good, setting, engine=engine, report=report))
        results = [one if one.failed else next(judged) for one in results]
    failed = {f"{one.row.name}, seed {one.seed}": one.failed for one in results if one.failed}
    floor = [one.accuracies for one in results if one.row.data == "none" and one.measured]
    left = {one.row.name for one in results if one.failed and one.row in rows}
    if chosen in left or len(left) == len(rows):
        check_done(results)
    results = [one for one in results if one.row in rows and one.row.name not in left]
    known = floor_of(setting.probe, floor, judges) if floor else None
    study = read_study(name, results, setting, chosen, floor=known)
    facts = {**study.facts, **({"failed": failed} if failed else {})}
    for judge in judges:
        said = results[0].record[judge.name]
        # What could not be read is the same whatever the encoder.
        unread = {"skipped": said["skipped"]} if "skipped" in said else {}
        facts[judge.name] = {**judge.facts(), **unread}
    return replace(study, facts=facts)


def read_study(
    name: str,
    results: Sequence[RowResult],
    setting: LearningSetting,
    reference: str,
    *,
    floor: dict[str, Any] | None = None,
) -> LearningStudy:
    """Compare results that are there.

    Args:
        name: of the table.
        results: of every row and seed, judged.
        setting: that they were made with, with a probe.
        reference: name of the row to compare with.
        floor: what probes say where nothing was learnt (`floor_of`).

    Raises:
        ValueError: see `summarise`.
    """
    assert setting.probe is not None
    return LearningStudy(
        name=name,
        rows=tuple(summarise(results, reference=reference)),
        reference=reference,
        test_images=len(setting.probe.test),
        seeds=tuple(sorted({result.seed for result in results})),
        claims=weigh_claims(name, results, floor),
        facts={
            **({} if floor is None else {"floor": floor}),
            "definitions": {result.row.name: asdict(result.row) for result in results},
            **setting.facts(),
        },
    )


def _reference(rows: Sequence[LearningRow]) -> str:
    """The row to compare with: the first of real data, or else the first that is trained."""
    real = [row for row in rows if row.data == "real"]
    trained = [row for row in rows if row.data != "none"]
    return (real or trained or list(rows))[0].name
