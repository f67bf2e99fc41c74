"""Tables of the learning arrow as text: the rows of a study, and the probes of one encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from genviews.ensemble.significance import SIGNIFICANCE
from genviews.report.tables import p_text, percent, percent_range, points, text_table
from genviews.studies.learning.compare import Difference, RowSummary
from genviews.studies.learning.result import EncoderResult, probe_name
from genviews.studies.learning.study import LearningStudy

__all__ = [
    "StudyCells",
    "probe_cells",
    "probe_table",
    "row_verdict",
    "row_words",
    "study_cells",
    "study_table",
    "voc_words",
]


@dataclass(frozen=True, kw_only=True)
class StudyCells:
    """One row as the strings that terminal and page show; empty where there is nothing to say."""

    name: str
    what: str  # the row in words
    linear: str
    linear_interval: str
    difference: str
    difference_interval: str
    p_holm: str
    knn: str
    knn_interval: str
    rate: str
    waiting: str
    verdict: str  # "better", "worse", "not significant" or "reference"
    voc: str = ""  # mean average precision, and what follows of it
    voc_interval: str = ""
    voc_difference: str = ""
    voc_difference_interval: str = ""
    voc_p_holm: str = ""
    voc_verdict: str = ""
    detection: tuple[tuple[str, str], ...] = ()  # AP, AP50, AP75 with their intervals

    @property
    def detection_words(self) -> str:
        """The three measures in a cell: "46.8/74.9/49.7"."""
        return "/".join(value for value, _ in self.detection)


def study_cells(study: LearningStudy) -> list[StudyCells]:
    """The rows of a study in its order."""
    return [_cells(study, row) for row in study.rows]


def _cells(study: LearningStudy, row: RowSummary) -> StudyCells:
    gap = row.against["linear"] if row.against else None
    return StudyCells(
        name=row.name,
        what=row_words(study.facts["definitions"][row.name]),
        linear=percent(row.accuracy["linear"].mean, 1),
        linear_interval=percent_range(row.accuracy["linear"].interval),
        difference="" if gap is None else signed(gap.mean),
        difference_interval="" if gap is None else _signed_interval(gap),
        p_holm="" if gap is None else p_text(study.p_holm["linear"][row.name]),
        knn=percent(row.accuracy["knn"].mean, 1),
        knn_interval=percent_range(row.accuracy["knn"].interval),
        rate="" if row.samples_per_second is None else f"{row.samples_per_second:,.0f}",
        waiting="" if row.waiting_for_views is None else f"{100 * row.waiting_for_views:.0f} %",
        verdict=row_verdict(study, row, "linear"),
        **_voc_cells(study, row),
        detection=tuple(
            (percent(one.mean, 1), "" if one.interval is None else percent_range(one.interval))
            for one in row.detection.values()
        ),
    )


def _voc_cells(study: LearningStudy, row: RowSummary) -> dict[str, str]:
    """The fields of VOC07 classification; none where nobody judged it."""
    if "voc" not in row.accuracy:
        return {}
    gap, found = row.against["voc"] if row.against else None, row.accuracy["voc"]
    return {
        "voc": percent(found.mean, 1),
        "voc_interval": percent_range(found.interval),
        "voc_difference": "" if gap is None else signed(gap.mean),
        "voc_difference_interval": "" if gap is None else _signed_interval(gap),
        "voc_p_holm": "" if gap is None else p_text(study.p_holm["voc"][row.name]),
        "voc_verdict": row_verdict(study, row, "voc"),
    }


def row_verdict(study: LearningStudy, row: RowSummary, probe: str) -> str:
    """How a row stands to the reference: better, worse, not significant, or reference itself."""
    if row.against is None:
        return "reference"
    if study.p_holm[probe][row.name] >= SIGNIFICANCE:
        return "not significant"
    return "better" if row.against[probe].mean > 0 else "worse"


def row_words(row: dict[str, Any]) -> str:
    """What a row is, whatever it is called: "generated, gaussian_all_0.20 in z, T_x, nt-xent"."""
    if row["data"] == "none":
        return "first weights"
    data = row["data"]
    if row["share"] is not None:
        data = f"{100 * row['share']:g} % generated, the rest real"
    parts = [data]
    if row["views"]:
        parts.append(f"{row['views']} in {'z' if row['space'] == 'z' else 'its own latents'}")
    if row["positives"] > 1:
        parts.append(f"{row['positives']} positives")
    if row["pool"]:
        parts.append(f"of {row['pool']} views")
    parts += ["T_x"] if row["pixels"] else []
    parts.append(row["objective"])
    parts += [f"{row['ratio']:g} times the samples"] if row["ratio"] != 1 else []
    parts += [f"{row['updates']:g} of the updates"] if row["updates"] != 1 else []
    return ", ".join(parts)


def signed(value: float) -> str:
    """A difference of fractions in percentage points: 0.0123 -> "+1.2"."""
    return points(value, 1)


def voc_words(study: LearningStudy) -> str:
    """What the columns of VOC are of: "VOC AP: VOC07, SVMs on train, 2,510 photos of val"."""
    known = study.facts.get("voc")
    if known is None:
        return ""
    fit, score = known["splits"]
    words = f"VOC AP: VOC07, SVMs on {fit}, {known['photos'][1]:,} photos of {score}"
    detection = known["detection"]
    if detection is None:
        return words
    learnt, scored = detection["splits"]
    return f"{words}; detectors: {detection['steps']:,} steps on {learnt}, scored on {scored}" + (
        ", one seed" if len(study.seeds) == 1 else ""
    )


def _signed_interval(gap: Difference) -> str:
    low, high = gap.interval
    return f"{signed(low)} to {signed(high)}"


# Columns of the terminal table: the least terminal width that shows it, its header, its field.
_TERMINAL = (
    (0, "row", "name"),
    (0, "linear %", "linear"),
    (92, "95 % interval", "linear_interval"),
    (0, "difference", "difference"),
    (74, "95 % interval", "difference_interval"),
    (44, "Holm p", "p_holm"),
    (0, "kNN %", "knn"),
    (130, "95 % interval", "knn_interval"),
    (108, "images/s", "rate"),
    (118, "waiting", "waiting"),
)
# Those of VOC, where encoders were judged on it, and the room that each takes from the others.
_VOC_TERMINAL = (
    (48, "VOC AP %", "voc", 10),
    (104, "AP difference", "voc_difference", 15),
    (96, "det. AP/50/75", "detection_words", 16),
)
_STYLES = {"better": "green", "worse": "red", "not significant": "", "reference": "bold"}


def study_table(study: LearningStudy, width: int = 80) -> Table:
    """The table of a study, with only the columns that `width` has room for.

    Args:
        study: the rows.
        width: the terminal's width in characters; a narrow one loses columns, never digits.

    Returns:
        A rich table. Differences are percentage points; a star marks a significant one, whatever
        the colours.
    """
    seeds = "1 seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"
    return text_table(
        _columns(study, width),
        [
            (
                cells,
                _STYLES[cells.verdict],
                {"difference": cells.verdict, "voc": cells.voc_verdict},
            )
            for cells in study_cells(study)
        ],
        title=f"{study.name}: {study.test_images:,} test images, {seeds}",
        caption=f"difference to {study.reference}, points of the linear probe; "
        "* significant (Holm p < 0.05)" + (f"\n{note}" if (note := voc_words(study)) else ""),
        width=width,
    )


def _columns(study: LearningStudy, width: int) -> list[tuple[int, str, str]]:
    """The columns of the terminal table: those of VOC, and of the others what these leave."""
    first, known = study.rows[0], "voc" in study.rows[0].accuracy
    extra = [
        column
        for column in _VOC_TERMINAL
        if known and width >= column[0] and (column[2] != "detection_words" or first.detection)
    ]
    left = width - sum(room for *_, room in extra)
    shown = [column for column in _TERMINAL if not column[0] or left >= column[0]]
    place = next(i for i, column in enumerate(shown) if column[2] == "knn") + 1
    return shown[:place] + [(least, name, field) for least, name, field, _ in extra] + shown[place:]


def probe_cells(result: EncoderResult) -> list[tuple[str, ...]]:
    """The probes of an encoder: name, accuracy, interval, accuracy on val, by class, setting."""
    if result.scores is None:
        return []
    return [
        (
            probe_name(name),
            percent(score.accuracy, 1),
            percent_range(score.interval),
            percent(score.mean_class_accuracy, 1),
            percent(result.scores.val[name], 1),
            ", ".join(f"{key} {value:g}" for key, value in score.setting.items()),
        )
        for name, score in result.probes().items()
    ]


def probe_table(result: EncoderResult) -> Table:
    """The probes of an encoder for the terminal."""
    table = Table("probe", box=None, padding=(0, 2, 0, 0))
    for header in ("test %", "95 % interval", "by class", "val %", "setting"):
        table.add_column(header, justify="right", no_wrap=True)
    for line in probe_cells(result):
        table.add_row(*(Text(value) for value in line))
    return table
