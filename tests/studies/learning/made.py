"""Studies made of numbers, to look at their results without learning anything."""

from __future__ import annotations

from dataclasses import asdict, replace

from genviews.represent.encoder import RepresentationConfig
from genviews.studies.learning.compare import Difference, RowSummary
from genviews.studies.learning.study import LearningStudy
from genviews.studies.learning.tables import learning_table

REFERENCE = "real + T_x"


def difference(mean, half=0.01):
    return Difference(
        mean=mean, interval=(mean - half, mean + half), p_value=0.5, seeds=3, per_seed=(mean,) * 3
    )


def make_study(table="table1", reference=REFERENCE, **changes):
    """Accuracies of 60 % for what is untrained, else 80 % and half a point more each row."""
    rows, p_values = learning_table(table), {}
    summaries = []
    for place, row in enumerate(rows):
        mean = 0.60 if row.data == "none" else 0.80 + 0.005 * place
        against = None
        if row.name != reference:
            against = {p: difference(mean - 0.805) for p in ("linear", "knn")}
            p_values[row.name] = 0.001 if place % 3 == 0 else 0.4
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
        "p_holm": {"linear": p_values, "knn": dict.fromkeys(p_values, 1.0)},
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
        rows.append(
            replace(
                row,
                accuracy={**row.accuracy, "voc": difference(mean), **measures},
                against=row.against and {**row.against, "voc": difference(mean - 0.41), **gaps},
            )
        )
    p = {row.name: 0.001 if place == 4 else 0.5 for place, row in enumerate(rows)}
    return replace(
        study,
        rows=tuple(rows),
        seeds=(0,) if one_seed else study.seeds,
        p_holm={**study.p_holm, "voc": {n: v for n, v in p.items() if n != REFERENCE}},
        facts={**study.facts, "voc": FACTS, **({"detection": DETECTORS} if detection else {})},
    )
