"""`genviews study --voc` on a tiny devkit: beside a study that is there, killed, and mistaken."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from genviews.cli import main
from genviews.evaluate.svm import MultiLabelSVM
from tests.devkit import write_devkit
from tests.folders import findings

ROWS = ("real + T_x", "Gaussian + T_x")
WORDS = [
    *("study", "learning/table1", "--generator", "mine:decode", "--z-dim", "8", "--real", "images"),
    *("--data", "data", "--samples", "16", "--batch", "8", "--updates", "2", "--seeds", "1"),
    *("--out", "run", *(word for row in ROWS for word in ("--rows", row))),
]
VOC = ("--voc", "VOCdevkit", "--voc-size", "16")


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """The folder VOCdevkit, which no test may change."""
    return write_devkit(tmp_path_factory.mktemp("photos"), 12)


@pytest.fixture
def own_photos(here, devkit):
    """A copy of its photos in the place of it."""
    return Path(shutil.copytree(devkit, here / "VOCdevkit")) / "VOC2007/JPEGImages"


@pytest.fixture
def go(here, user_module, readable_images, readable_data, devkit, monkeypatch):
    """A function that runs the study with further flags."""
    if not (here / "VOCdevkit").exists():
        (here / "VOCdevkit").symlink_to(devkit)
    whole = MultiLabelSVM.__init__

    def quickly(self, costs=(1.0,), folds=2, **more):
        """One cost, not the authors' 26 to choose from."""
        whole(self, costs, folds=folds, **more)

    monkeypatch.setattr(MultiLabelSVM, "__init__", quickly)
    return lambda *more: main([*WORDS, *more])


def test_voc_is_added_to_a_study_that_is_there(go, here, trained, capsys):
    assert go() == 0
    assert len(trained) == 4
    plain = findings(here / "run")
    assert "voc" not in plain["config"]
    capsys.readouterr()
    assert go(*VOC) == 0
    assert len(trained) == 4
    out, error = capsys.readouterr()
    found = findings(here / "run")
    for old, new in zip(plain["rows"], found["rows"], strict=True):
        assert new["accuracy"]["linear"] == old["accuracy"]["linear"]
    assert found["verdict"] == plain["verdict"]
    assert "--voc VOCdevkit --voc-size 16" in found["command"]

    assert found["voc"]["photos"] == [12, 12]

    with (here / "run" / "results.csv").open(newline="") as text:
        lines = {line["learnt_from"]: line for line in csv.DictReader(text)}
    told = float(lines[ROWS[1]]["VOC07_AP"])
    assert told == pytest.approx(found["rows"][1]["accuracy"]["voc"]["mean"])
    page = (here / "run" / "report.html").read_text()
    assert "VOC07 AP" in page
    assert "VOC07 AP" in out
    assert "svm" in error

    assert go(*VOC) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert go() == 0  # and it can be left out again
    assert "voc" not in findings(here / "run")["rows"][0]["accuracy"]
    assert len(trained) == 4


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--detection",), "--detection: expected --voc, the folder of the photos"),
        (("--voc-size", "32"), "--voc-size: expected --voc"),
        (("--voc", "nowhere"), "--voc: expected the folder VOCdevkit"),
        (("--voc", "VOCdevkit", "--voc-size", "0"), "--voc-size: expected an integer of at least"),
        ((*VOC, "--detection-steps", "3"), "--detection-steps: expected --detection"),
        ((*VOC, "--detection"), "encoders to fine-tune detectors around: expected a ResNet"),
        (("--voc", "VOCdevkit", "--voc-size", "30"), "VOC photos of 30 pixels"),
        (("--voc", "VOCdevkit", "--out", "VOCdevkit/run"), "expected a folder apart from --voc"),
        (("--voc", "data"), "data"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(
    go, says_in_one_line, trained, flags, message
):
    words = list(flags)
    if "--out" in words:
        place = words.index("--out")
        out = words[place : place + 2]
        del words[place : place + 2]
        start = WORDS.index("--out")
        code = main([*WORDS[:start], *out, *WORDS[start + 2 :], *words])
    else:
        code = go(*words)
    assert code == 2
    says_in_one_line(message)
    assert trained == []


def test_a_photo_that_cannot_be_read_is_named(own_photos, go, here, capsys):
    photo = own_photos / "000103.jpg"
    photo.write_bytes(photo.read_bytes()[:200])
    assert go(*VOC) == 0
    assert "1 file (JPEGImages/000103.jpg)" in capsys.readouterr().out
    found = findings(here / "run")
    assert [name for name, _ in found["skipped"]] == ["JPEGImages/000103.jpg"]
    assert found["voc"]["skipped"] == found["skipped"]
    assert "000103.jpg" in (here / "run" / "report.html").read_text()


def test_a_missing_photo_is_found_before_anything_is_trained(own_photos, go, capsys, trained):
    (own_photos / "000103.jpg").unlink()
    assert go(*VOC) == 2
    assert "000103" in capsys.readouterr().err
    assert trained == []
