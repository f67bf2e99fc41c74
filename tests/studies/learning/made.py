"""Studies made of numbers, to look at their results without learning anything."""

from __future__ import annotations

from dataclasses import asdict, replace

from genviews.represent.encoder import RepresentationConfig
from genviews.studies.learning.compare import Difference, RowSummary
from genviews.studies.learning.study import LearningStudy
from genviews.studies.learning.tables import learning_table

REFERENCE = "real + T_x"


def difference(mean, half=0.01, p_value=0.5):
    interval = (mean - half, mean + half)
    return Difference(
        mean=mean, interval=interval, p_value=p_value, seeds=3, per_seed=(mean,) * 3, p_level=1.0
    )


def make_study(table="table1", reference=REFERENCE, **changes):
    """Accuracies of 60 % for what is untrained, else 80 % and half a point more each row."""
    rows, summaries = learning_table(table), []
    for place, row in enumerate(rows):
        mean = 0.60 if row.data == "none" else 0.80 + 0.005 * place
        against = None
        if row.name != reference:
            raw = 1e-5 if place % 3 == 0 else 0.4
            against = {p: difference(mean - 0.805) for p in ("linear", "knn")}
            against["linear"] = difference(mean - 0.805, p_value=raw)
        summaries.append(
            RowSummary(
                name=row.name,
                accuracy={"linear": difference(mean), "knn": difference(mean - 0.03)},
                against=against,
                val={"linear": mean, "knn": mean},
                samples_per_second=None if row.data == "none" else 1234.5,
                waiting_for_views=None if row.data == "none" else 0.034,
            )
        )
    fields = {
        "name": table,
        "rows": tuple(summaries),
        "reference": reference,
        "test_images": 10_000,
        "seeds": (0, 1, 2),
        "facts": {
            "definitions": {row.name: asdict(row) for row in rows},
            "updates": 350,
            "batch": 256,
            "base": 55_000,
            "encoder": asdict(RepresentationConfig(channels=1)),
        },
    }
    return LearningStudy(**{**fields, **changes})


FACTS = {
    "protocol": "authors",
    "splits": ["train", "val"],
    "photos": [2501, 2510],
    "size": 224,
    "difficult": "positive",
    "skipped": [],
}
DETECTORS = {"splits": ["trainval", "test"], "photos": [100, 50], "steps": 24_000}


def seed_mean(mean, *, one_seed=False):
    return Difference(
        mean=mean,
        interval=None if one_seed else (mean - 0.02, mean + 0.02),
        p_value=None if one_seed else 0.2,
        seeds=1 if one_seed else 3,
        per_seed=(mean,) * (1 if one_seed else 3),
    )


def with_voc(*, detection=False, one_seed=False):
    """`make_study` with a VOC AP of 40 % and a point more each row, of which the fifth is sure."""
    study = make_study()
    rows = []
    for place, row in enumerate(study.rows):
        mean = 0.40 + 0.01 * place
        names = [f"voc_detection_{n}" for n in ("ap", "ap50", "ap75")] if detection else []
        measures = {n: seed_mean(mean / 2, one_seed=one_seed) for n in names}
        gaps = {n: seed_mean(0.01 * place, one_seed=one_seed) for n in names}
        gaps["voc"] = difference(mean - 0.41, p_value=1e-5 if place == 4 else 0.5)
        rows.append(
            replace(
                row,
                accuracy={**row.accuracy, "voc": difference(mean), **measures},
                against=row.against and {**row.against, **gaps},
            )
        )
    return replace(
        study,
        rows=tuple(rows),
        seeds=(0,) if one_seed else study.seeds,
        facts={**study.facts, "voc": FACTS, **({"detection": DETECTORS} if detection else {})},
    )
