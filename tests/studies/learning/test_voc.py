"""Finished rows judged on VOC: kept beside the encoder, once, and refused before training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import average_precision_score

from genviews.data.images import ImageSet
from genviews.evaluate.detection import DetectionConfig
from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.svm import MultiLabelSVM
from genviews.evaluate.voc import decide_voc, protocol_splits, read_voc
from genviews.evaluate.voc_detection import detect_voc, detection_photos
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.train import TrainingRun
from genviews.studies.learning import voc
from genviews.studies.learning.judge import judge_rows
from genviews.studies.learning.result import table_result
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import StudyProgress, run_rows
from genviews.studies.learning.study import compare_rows
from genviews.studies.learning.voc import DetectionJudge, SVMJudge
from genviews.studies.result import Record
from tests.devkit import write_devkit, write_split
from tests.studies.learning.small import small, training

NAMES = ("a", "b", "c", "d")
GAUSSIAN = LearningRow(name="Gaussian", views="gaussian_all_0.20")
UNTRAINED = LearningRow(name="untrained", data="none")
SVM = (1.0,)  # costs: one, for speed; tests/evaluate has the choice


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """Four classes, each in a quarter of the photos; only read."""
    folder = tmp_path_factory.mktemp("voc")
    for i, split in enumerate(("train", "val")):
        write_split(folder / "VOCdevkit/VOC2007", split, 20, 100 * i, names=NAMES)
    return folder / "VOCdevkit"


@pytest.fixture
def task(devkit):
    return SVMJudge(path=devkit, size=16, svm=MultiLabelSVM(SVM), class_names=NAMES)


@pytest.fixture
def setting():
    return small()


class Killed(BaseException):
    """What stands for a kill."""


def state(folder):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def of_colour(**changes):
    """A setting of real colour images for a ResNet that detectors can be made of."""
    images = ImageSet(
        images=torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1,
        ids=tuple(str(i) for i in range(8)),
    )
    fields = {
        "generator": None,
        "real": images,
        "base": 8,
        "updates": 1,
        "batch": 4,
        "probe": None,
        "training": training,
        "encoder": RepresentationConfig(backbone="resnet18"),
    }
    return small(**{**fields, **changes})


def judge_one(result, judge, setting, **options):
    (found,) = judge_rows(judge, [result], setting, **options)
    return found


def decisions(result):
    """What the SVMs say of each photo, in the only file of it."""
    (file,) = result.folder.glob("voc-*.safetensors")
    return load_file(file)


class TestJudging:
    def test_numbers_are_those_of_the_protocol(self, task, setting, devkit, tmp_path):
        results = run_rows([GAUSSIAN, UNTRAINED], setting, [0, 1], tmp_path)
        found = judge_rows(task, results, setting)
        assert [(one.row.name, one.seed) for one in found] == [
            ("Gaussian", 0),
            ("Gaussian", 1),
            ("untrained", 0),
            ("untrained", 1),
        ]
        for one, result in list(zip(found, results, strict=True))[::3]:
            extract = FeatureExtractor(result.encoder(), allow_untrained=True)
            splits = [read_voc(devkit, split, class_names=NAMES) for split in ("train", "val")]
            svm = MultiLabelSVM(SVM)
            wanted = decide_voc(extract, *splits, svm=svm, size=16, channels=1).score
            said, kept = one.record["voc"], decisions(one)
            assert said["mean"] == one.measured["voc"].value == pytest.approx(wanted.mean, abs=1e-6)
            assert said["per_class"] == pytest.approx(list(wanted.per_class), abs=1e-6)
            assert said["splits"]["score"] == "val"
            assert kept["decisions"].shape == kept["labels"].shape == (20, 4)
            assert {k: one.record[k] for k in result.record} == result.record
        assert len({one.record["voc"]["mean"] for one in found}) > 1

    def test_what_is_there_is_read(self, task, setting, tmp_path):
        (result,) = run_rows([GAUSSIAN], setting, [0], tmp_path)
        before = state(result.folder)
        told = []
        first = judge_one(result, task, setting, report=told.append)
        assert [(r.stage, r.done, r.total) for r in told] == [
            *(("voc", i, 40) for i in (0, 20, 20, 40)),
            *(("svm", i, 4) for i in range(5)),
        ]
        after = state(result.folder)
        assert {k: v for k, v in after.items() if k in before} == before
        assert sorted(p.suffix for p in after.keys() - before.keys()) == [".json", ".safetensors"]
        told.clear()
        again = judge_one(result, task, setting, report=told.append)
        assert told == []
        assert again.record == first.record
        assert torch.equal(again.measured["voc"].parts, first.measured["voc"].parts)
        assert state(result.folder) == after

    def test_another_task_is_kept_beside_it(self, task, setting, devkit, tmp_path):
        (result,) = run_rows([GAUSSIAN], setting, [0], tmp_path)
        kinds = [
            task,
            replace(task, size=24),
            replace(task, svm=MultiLabelSVM(SVM, difficult="ignore")),
        ]
        found = [judge_one(result, kind, setting) for kind in kinds]
        assert len(list(result.folder.glob("voc-*.json"))) == 3
        assert len({one.measured["voc"].value for one in found}) == 3
        assert [one.record["voc"]["difficult"] for one in found] == [
            "positive",
            "positive",
            "ignore",
        ]
        changed = devkit / "VOC2007/JPEGImages/000003.jpg"
        before = changed.read_bytes()
        try:
            changed.write_bytes((devkit / "VOC2007/JPEGImages/000004.jpg").read_bytes())
            other = SVMJudge(path=devkit, size=16, svm=MultiLabelSVM(SVM), class_names=NAMES)
            judge_one(result, other, setting)
        finally:
            changed.write_bytes(before)
        assert len(list(result.folder.glob("voc-*.json"))) == 4

    def test_a_killed_one_goes_on(self, task, setting, tmp_path, monkeypatch):
        results = run_rows([GAUSSIAN, UNTRAINED], setting, [0], tmp_path)

        def dying(report):
            if (report.row, report.stage, report.done) == ("untrained", "svm", 2):
                raise Killed

        with pytest.raises(Killed):
            judge_rows(task, results, setting, report=dying)
        kept = [sorted(p.suffix for p in r.folder.glob("voc-*")) for r in results]
        assert kept == [[".json", ".safetensors"], [""]]  # features alone of the second
        calls = []
        network = FeatureExtractor.__call__
        monkeypatch.setattr(
            FeatureExtractor, "__call__", lambda *a: (calls.append(1), network(*a))[1]
        )
        told = []
        found = judge_rows(task, results, setting, report=lambda r: told.append((r.row, r.stage)))
        assert calls == []  # the features were there
        assert set(told) == {("untrained", "voc"), ("untrained", "svm")}
        assert not any(p.is_dir() for r in results for p in r.folder.glob("voc-*"))
        rows = run_rows([GAUSSIAN, UNTRAINED], setting, [0], tmp_path / "whole")
        whole = judge_rows(task, rows, setting)
        assert [one.record["voc"]["mean"] for one in found] == [
            one.record["voc"]["mean"] for one in whole
        ]


class TestDetection:
    CONFIG = DetectionConfig(
        num_classes=4, short_sides=(32,), long_side=48, batch=2, warmup=1, steps=2, regions=8
    )

    @pytest.fixture
    def task(self, tmp_path):
        root = tmp_path / "VOCdevkit"
        for split, first in (("train", 0), ("val", 100), ("trainval", 200), ("test", 300)):
            count = 2 if split == "test" else 12
            write_split(root / "VOC2007", split, count, first, names=NAMES)
        write_split(root / "VOC2012", "trainval", 4, 400, names=NAMES)
        return DetectionJudge(path=root, class_names=NAMES, config=self.CONFIG)

    def test_a_detector_is_fine_tuned_around_the_encoder(self, task, tmp_path):
        setting = of_colour(encoder=RepresentationConfig(backbone="resnet18", mean=(0.1,)))
        task.check(setting)
        (result,) = run_rows([UNTRAINED], setting, [3], tmp_path / "study")
        told = []
        one = judge_one(result, task, setting, report=told.append)
        assert [(r.done, r.total) for r in told] == [
            (0, 2),
            (1, 2),
            (2, 2),
        ]
        config = replace(self.CONFIG, seed=3, mean=(0.1,) * 3, std=(1.0,) * 3)
        wanted = detect_voc(
            result.encoder().backbone.state_dict(),
            *detection_photos(task.path, class_names=NAMES),
            config,
            architecture="resnet18",
        )
        assert one.record["detection"]["ap"] == wanted.ap
        assert one.measured["voc_detection_ap50"].value == wanted.ap50
        before = state(result.folder)
        told.clear()
        assert judge_one(result, task, setting, report=told.append).record == one.record
        assert told == []
        assert state(result.folder) == before

        def dying(report):
            raise Killed

        other = replace(task, config=replace(self.CONFIG, steps=1))
        with pytest.raises(Killed):  # it is begun, not read
            judge_one(result, other, setting, report=dying)

    def test_the_second_year_is_taken_where_it_is(self, task):
        assert task.boxes[0].split == "VOC2007 trainval + VOC2012 trainval"
        alone = replace(task, path=task.path / "VOC2007")
        assert alone.boxes[0].split == "VOC2007 trainval"
        assert alone.facts() == {
            "splits": ["VOC2007 trainval", "VOC2007 test"],
            "photos": [12, 2],
            "steps": 2,
        }

    @pytest.mark.parametrize(
        ("encoder", "got"),
        [
            ({"backbone": "compact"}, "compact"),
            ({"backbone": "resnet18", "stem": "small"}, "resnet18, 'small'"),
        ],
    )
    def test_what_is_no_plain_resnet_is_refused(self, task, encoder, got):
        with pytest.raises(ValueError, match=f"a ResNet with the stem 'imagenet'.* got {got}"):
            task.check(of_colour(encoder=RepresentationConfig(**encoder)))

    def test_so_are_grey_images(self, task):
        setting = small(encoder=RepresentationConfig(backbone="resnet18", channels=1))
        with pytest.raises(ValueError, match="got resnet18, 'imagenet', 1 channels"):
            task.check(setting)

    def test_so_are_missing_photos(self, task):
        setting = of_colour()
        (task.path / "VOC2012/JPEGImages/000401.jpg").unlink()
        with pytest.raises(FileNotFoundError, match=r"got 1 absent, e\.g\. '000401\.jpg' in"):
            task.check(setting)
        many = replace(task, config=replace(self.CONFIG, batch=17))
        with pytest.raises(ValueError, match="with an object: expected an integer of at least 17"):
            many.check(setting)


class TestEarlyRefusals:
    """All of them before the first update."""

    @pytest.fixture
    def refused(self, setting, tmp_path, monkeypatch):
        monkeypatch.setattr(TrainingRun, "advance", lambda run: pytest.fail("trained"))

        def run(task, error, match, setting=setting):
            with pytest.raises(error, match=match):
                compare_rows("toy", [GAUSSIAN], setting, [0], tmp_path / "study", judges=[task])
            assert not (tmp_path / "study" / "rows").exists()

        return run

    def test_a_missing_split(self, task, refused):
        wrong = replace(task, protocol="usual")
        refused(wrong, FileNotFoundError, r"the list of the split .trainval.")
        refused(replace(task, path=task.path / "no"), FileNotFoundError, r"train\.txt")

    def test_a_class_with_too_few_photos(self, task, refused, tmp_path):
        names = (*NAMES, "e")  # nobody has seen it
        refused(replace(task, class_names=names), ValueError, "images with class 4, .* at least 3")
        root = tmp_path / "few"
        write_split(root, "train", 20, 0, names=NAMES)
        write_split(root, "val", 2, 100, names=NAMES)
        refused(replace(task, path=root), ValueError, "of each class, got none of c, d")

    def test_a_missing_photo(self, task, refused, tmp_path):
        root = tmp_path / "photos"
        for i, split in enumerate(("train", "val")):
            write_split(root, split, 20, 100 * i, names=NAMES)
        (root / "JPEGImages/000105.jpg").unlink()
        refused(
            replace(task, path=root),
            FileNotFoundError,
            r"1 absent, e\.g\. '000105\.jpg' in .*JPEGImages",
        )

    def test_a_size_that_the_encoder_does_not_take(self, task, refused):
        refused(
            replace(task, size=30),
            ValueError,
            r"VOC photos of 30 pixels: expected a size that compact takes, got .*divisible by 8",
        )

    def test_unknown_words(self, devkit):
        with pytest.raises(ValueError, match="did you mean 'usual'"):
            protocol_splits("usaul")
        with pytest.raises(ValueError, match="size of the VOC photos: expected an integer of at"):
            SVMJudge(path=devkit, size=0)


class TestStudy:
    def test_voc_is_added_to_a_study_that_is_there(self, task, setting, tmp_path, monkeypatch):
        rows = [UNTRAINED, GAUSSIAN]
        plain = compare_rows("toy", rows, setting, [0, 1], tmp_path)
        before = state(tmp_path)
        monkeypatch.setattr(TrainingRun, "advance", lambda run: pytest.fail("trained"))
        found = compare_rows("toy", rows, setting, [0, 1], tmp_path, judges=[task])
        after = state(tmp_path)
        assert {k: v for k, v in after.items() if k in before} == before
        assert found.probes == ("linear", "knn", "voc")
        assert plain.probes == ("linear", "knn")
        for old, new in zip(plain.rows, found.rows, strict=True):
            assert old.accuracy == {k: v for k, v in new.accuracy.items() if k != "voc"}
            assert old.val == new.val
        assert found.verdict == plain.verdict
        assert set(found.weighed["voc"]) == {"untrained"}
        assert found.record()["voc"]["photos"] == [20, 20]
        assert "voc" not in plain.record()
        json.dumps(found.record(), allow_nan=False)
        table = table_result(found, record=Record()).answer
        place = [column.name for column in table.columns].index("VOC07 AP")
        *shown, floor = [row[place] for row in table.rows]
        assert [one.value for one in shown] == [row.accuracy["voc"].mean for row in found.rows]
        assert floor == frequency(task) == found.record()["floor"]["unseen"]["voc"]
        monkeypatch.setattr(voc, "decide_voc", lambda *a, **k: pytest.fail("judged again"))
        again = compare_rows("toy", rows, setting, [0, 1], tmp_path, judges=[task])
        assert again.record() == found.record()

    def test_its_floor_is_judged_where_no_row_is_untrained(self, task, setting, tmp_path):
        rows, judged = [GAUSSIAN], []
        report = StudyProgress(lambda *told: judged.append(told), rows, 1, setting)
        found = compare_rows("toy", rows, setting, [0], tmp_path, judges=[task], report=report)
        floor = found.record()["floor"]
        assert [row.name for row in found.rows] == [GAUSSIAN.name]
        beside = compare_rows(
            "toy",
            [GAUSSIAN, UNTRAINED],
            setting,
            [0],
            tmp_path,
            judges=[task],
            reference="Gaussian",
        )
        assert floor["untrained"] == {k: v.mean for k, v in beside.rows[1].accuracy.items()}
        assert {told[0] for told in judged} >= {"voc", "svm"}
        table = table_result(found, record=Record()).answer
        assert [row[0] for row in table.rows] == ["Gaussian", "untrained encoder", "no encoder"]
        low = {what: {**floor[what], "voc": 1.0} for what in ("untrained", "unseen")}
        told = replace(found, facts={**found.facts, "floor": {**floor, **low}})
        caption = table_result(told, record=Record()).answer.caption
        assert "Not surely above the floor by VOC07 AP: Gaussian." in caption


def frequency(task):
    """Average precision of scores that are all equal, by scikit-learn."""
    labels = task.splits[1].labels
    truth = [(one >= 0).numpy() for one in labels.T]  # difficult ones are positive, by default
    return pytest.approx(np.mean([average_precision_score(t, np.zeros(len(t))) for t in truth]))


def test_the_devkit_of_tests_is_one_of_twenty_classes(tmp_path):
    task = SVMJudge(path=write_devkit(tmp_path), size=16)
    task.check(small())
    assert [len(files) for files in task.splits] == [24, 24]
    assert [len(files) for files in replace(task, protocol="usual").splits] == [48, 24]
