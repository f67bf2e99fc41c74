from __future__ import annotations

import pytest

from genviews.claim import claim
from genviews.cli import main
from genviews.data.source import MemorySource
from genviews.generators.toy import ToyGenerator
from genviews.identity import identify
from genviews.kit import GeneratorKit
from genviews.studies import invert
from genviews.studies.base import run_study
from genviews.studies.bench import Bench
from genviews.studies.inputs import Inputs
from genviews.studies.run_folder import RunFolder
from tests.folders import names
from tests.studies.learning import small

ONE, OTHER = identify(of="one"), identify(of="another")
IDENTITY = {"identity.json", "identity.safetensors"}


@pytest.fixture
def place(tmp_path):
    """A finished run, and a file that no run made."""
    with RunFolder(tmp_path).claimed(ONE):
        (tmp_path / "work").mkdir()
        (tmp_path / "work" / "shard").write_text("old")
        (tmp_path / "results.json").write_text("old")
    (tmp_path / "photo.png").write_text("precious")
    return tmp_path


def test_the_same_run_goes_on_and_another_is_refused(place):
    with RunFolder(place).claimed(ONE):
        assert RunFolder(place).is_complete
        assert not RunFolder(place, ["encoder"]).is_complete
    with (
        pytest.raises(ValueError, match=r'of: "one" in the store, "another" asked; .* --force'),
        RunFolder(place).claimed(OTHER),
    ):
        pass
    assert names(place) == IDENTITY | {"work", "results.json", "photo.png"}


def test_anew_moves_what_runs_left_and_deletes_it_last(place):
    with RunFolder(place).claimed(OTHER, anew=True):
        assert names(place) - {".run.lock"} == IDENTITY | {"before-1", "photo.png"}
        (place / "results.json").write_text("new")
    assert names(place) == IDENTITY | {"results.json", "photo.png"}


def test_a_failure_before_any_work_puts_all_back(place):
    with pytest.raises(KeyError), RunFolder(place).claimed(OTHER, anew=True):
        raise KeyError
    assert names(place) == IDENTITY | {"work", "results.json", "photo.png"}
    with RunFolder(place).claimed(ONE):
        assert (place / "work" / "shard").read_text() == "old"


def _make_and_fail(work):
    work.mkdir()
    raise FileExistsError


def test_a_failure_after_some_work_keeps_both(place):
    with pytest.raises(FileExistsError), RunFolder(place).claimed(OTHER, anew=True):
        _make_and_fail(place / "work")
    assert (place / "before-1" / "results.json").read_text() == "old"
    with RunFolder(place).claimed(OTHER):
        (place / "results.json").write_text("new")
    assert "before-1" not in names(place)


def test_nobody_begins_anew_under_a_run(place):
    with (
        claim(place / ".run.lock"),
        pytest.raises(ValueError, match="expected no other run, got one that is at work there"),
        RunFolder(place).claimed(ONE, anew=True),
    ):
        pass


def test_what_a_killed_process_was_writing_is_removed(place):
    names = (".hashes.json.0123456789ab.tmp", "tables/.rows.csv.0123456789ab.tmp", ".mine.tmp")
    (place / "tables").mkdir(parents=True)
    for name in names:
        (place / name).write_bytes(b"half")
    with RunFolder(place).claimed(ONE):
        assert [(place / name).exists() for name in names] == [False, False, True]


def test_a_run_that_kept_nothing_stands_in_nobodys_way(tmp_path):
    with pytest.raises(KeyError), RunFolder(tmp_path).claimed(ONE):
        raise KeyError
    with RunFolder(tmp_path).claimed(OTHER):
        pass


class Watched(MemorySource):
    """Two images of the toy, with a count of the times that they were asked for."""

    def __init__(self):
        super().__init__(small.images("test", 2))
        self.asked = 0

    def row(self, row):
        self.asked += 1
        return super().row(row)

    def hashes(self):
        self.asked += 1
        return super().hashes()


def inverted(folder, images, *, steps=1, seed=0, classes=0):
    kit = GeneratorKit(ToyGenerator(num_classes=classes), steps=steps)
    bench = Bench(Inputs(kit=kit, images=images), seed=seed)
    return run_study(invert.STUDY, bench, invert.InvertOptions(), folder)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"steps": 2}, "inputs.inverter.steps: 1 in the store, 2 asked"),
        ({"seed": 1}, "inputs.seed: 0 in the store, 1 asked"),
        ({"classes": 3}, "inputs.generator.*: 0 in the store, 3 asked"),
    ],
)
def test_another_run_is_refused_before_images_are_read(tmp_path, other, said):
    inverted(tmp_path, Watched())
    images = Watched()
    with pytest.raises(ValueError, match=said):
        inverted(tmp_path, images, **other)
    assert images.asked == 0
    inverted(tmp_path, images)
    assert images.asked


def test_another_verb_is_refused_before_anything_is_loaded(tmp_path, capsys):
    inverted(tmp_path, Watched())
    before = names(tmp_path)
    assert main(["demo", "--out", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert 'study: "invert" in the store, "ensembling/demo" asked' in error
    assert names(tmp_path) == before  # nor is it written to its log
