"""One encoder as a result, from scores and a history made of numbers."""

from __future__ import annotations

import csv
from dataclasses import asdict

import torch

from genviews.ensemble.significance import accuracy_interval
from genviews.evaluate.encoders import EncoderScores
from genviews.evaluate.probe import ProbeScore, mean_class_accuracy
from genviews.report.text import table_csv
from genviews.report.web import render_page
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.train import StepRecord
from genviews.studies.blocks import Curves, Table
from genviews.studies.learning.one import encoder_result
from genviews.studies.result import Record
from tests.pages import shown


def scores():
    labels = torch.arange(20) % 2
    right = torch.where(torch.arange(20) < 15, labels, 1 - labels)
    splits = {"fit": "train", "select": "val", "score": "test"}

    def score(found, **setting):
        hits = int((found == labels).sum())
        return ProbeScore(
            accuracy=hits / 20,
            interval=accuracy_interval(hits, 20),
            hits=hits,
            total=20,
            mean_class_accuracy=mean_class_accuracy(found, labels),
            setting=setting,
            splits=splits,
        )

    linear, knn = score(right, cost=0.1), score(labels, neighbours=10.0)
    answers = {"linear": right, "knn": labels}
    return EncoderScores(linear=linear, knn=knn, val={"linear": 0.7, "knn": 0.9}, answers=answers)


def history(count=12):
    return tuple(
        StepRecord(
            step=10 * (i + 1),
            loss=5.0 / (i + 1),
            terms={"contrast": 5.0 / (i + 1)},
            learning_rate=0.03,
            samples_per_second=100.0 + i,
            data_share=0.02,
            monitors={"rankme": 30.0 + i, "knn": 0.5} if i % 2 else {},
        )
        for i in range(count)
    )


def training():
    return {"threads": 3, "history": [asdict(record) for record in history()]}


def made(**changes):
    fields = {
        "judged": {**scores().record(), "training": training()},
        "facts": {"row": {"objective": "nt-xent"}, "batch": 16, "samples": 64},
    }
    return encoder_result(
        "An encoder",
        RepresentationEncoder(RepresentationConfig(channels=1)),
        record=Record(seconds={"train": 3.0}, skipped=(("a.png", "is not an image"),)),
        **{**fields, **changes},
    )


class TestBlocks:
    def test_probes_charts_and_facts(self):
        found = made()
        page = shown(render_page(found))
        assert found.verdict in page
        assert "linear probe 75.0 % [53.1, 88.8]" in page  # Wilson's, of 15 of 20
        assert page.count("<svg") == 3  # loss, rank and neighbours
        assert "is not an image" in page
        assert "gives 128 features" in page
        assert "takes 1 channel" in page
        lines = table_csv(found.answer).splitlines()
        assert lines[1].startswith("Linear probe,0.75,0.531")
        assert lines[1].endswith(",0.75,0.7,cost 0.1")

    def test_the_floor(self):
        most = asdict(scores().linear) | {"accuracy": 0.5, "interval": (0.3, 0.7)}
        floor = {"majority": most, "class": "a", "untrained": {"linear": 0.6, "knn": 0.7}}
        floor["unseen"] = dict.fromkeys(("linear", "knn"), 0.5)
        found = made(floor=floor)
        words = "The floor: an untrained encoder 60.0 %, the most frequent class (a) 50.0 %."
        assert words in found.verdict  # 75.0 % [53.1, 88.8] may be that of untrained ones
        assert "Not surely above it, so that nothing learnt can be seen: this" in found.verdict
        lines = csv.reader(table_csv(found.answer).splitlines())
        assert [line[:2] for line in lines][3:] == [
            ["Linear probe, untrained encoder", "0.6"],
            ["Nearest neighbours, untrained encoder", "0.7"],
            ["Most frequent class", "0.5"],
        ]
        charts = next(block for block in found.blocks if isinstance(block, Curves)).charts
        levels = {chart.title: chart.level for chart in charts if chart.level is not None}
        assert levels == {"nearest neighbours on val, accuracy": 0.5}
        assert found.record.data["floor"] == floor
        low = {**floor, "untrained": {"linear": 0.5, "knn": 0.7}}
        assert "Not surely above" not in made(floor=low).verdict

    def test_without_labels(self):
        found = made(judged={"training": training()})
        assert "were not judged" in found.verdict
        assert "add --data to the command" in shown(render_page(found))

    def test_of_what_was_only_judged(self):
        found = made(judged=scores().record(), facts=None)
        assert found.verdict.startswith("Right answers on 20 test images: linear probe 75.0 %")
        assert found.record.data["training"] is None
        assert len(found.blocks) == 1

    def test_a_chart_for_the_loss_and_each_monitor(self):
        charts = next(block for block in made().blocks if isinstance(block, Curves)).charts
        assert charts[0].title == "loss"
        assert [chart.kind for chart in charts] == ["number", "percent", "number"]
        assert charts[0].series[0].x[:2] == (10.0, 20.0)
        assert "Learnt with 3 threads of torch: another number" in shown(render_page(made()))

    def test_history_leaves_empty_what_was_not_looked_at(self):
        table = next(b for b in made().blocks if isinstance(b, Table) and b.title == "Training")
        lines = table_csv(table).splitlines()
        assert lines[0] == (
            "step,loss,loss_contrast,learning_rate,samples_per_second,waiting_for_views,rankme,knn"
        )
        assert lines[1] == "10,5.0,5.0,0.03,100.0,0.02,,"
        assert lines[2].endswith(",31.0,0.5")

    def test_the_record_holds_facts_and_scores(self):
        data = made().record.data
        assert data["training"]["last"]["step"] == 120
        assert data["training"]["samples"] == 64
        assert data["probes"]["linear"]["val"] == 0.7
        assert data["encoder"]["channels"] == 1
