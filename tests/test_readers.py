"""Files of other people's formats that hold something else: one sentence that names the file."""

from __future__ import annotations

import io
import json
import pickle

import numpy as np
import pytest

from genviews import PCAStatistics, ToyGenerator
from genviews.ensemble.npz import import_npz
from genviews.evaluate.transfer import stanford_cars
from genviews.evaluate.voc import read_voc
from genviews.represent.stored import recreate_views


def saved(write, *given, **arrays):
    write(buffer := io.BytesIO(), *given, **arrays)
    return buffer.getvalue()


WORDS = saved(np.savez, original=np.array(["a", "b"]), label=np.array(["a", "b"]))
KINDS = {
    "nothing": b"",
    "noise": bytes(range(256)),
    "half a file": WORDS[:40],
    "another kind": saved(np.save, np.zeros(3)),
    "a pickle": pickle.dumps({"original": 1}),
    "objects": saved(np.savez, original=np.array([{}, 1], dtype=object)),
    "words": WORDS,
    "another manifest": json.dumps({"format": "genviews-views-1", "key": {"views": 3}}).encode(),
}


def cars(place):
    (place.parent / "cars_train_annos.mat").write_bytes(place.read_bytes())
    stanford_cars(place.parent, split="train")


def list_of_voc(place):
    (place.parent / "ImageSets/Main").mkdir(parents=True)
    (place.parent / "ImageSets/Main/train.txt").write_bytes(place.read_bytes())
    read_voc(place.parent, split="train")


def annotation_of_voc(place):
    (place.parent / "ImageSets/Main").mkdir(parents=True)
    (place.parent / "ImageSets/Main/train.txt").write_text("000001\n")
    (place.parent / "Annotations").mkdir()
    (place.parent / "Annotations/000001.xml").write_bytes(place.read_bytes())
    read_voc(place.parent, split="train")


READERS = {
    "predictions": (lambda p: import_npz(p, class_names=("a", "b"), split="val"), r"given\.npz"),
    "statistics": (PCAStatistics.load, r"given\.npz"),
    "cars": (cars, r"cars_train_annos\.mat"),
    "list of VOC": (list_of_voc, "train|000001|VOC"),
    "annotation of VOC": (annotation_of_voc, r"annotation .*000001\.xml"),
    "manifest": (lambda p: recreate_views(p, ToyGenerator(), p.parent / "out"), "manifest"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_what_it_is_not_is_one_sentence_and_nothing_is_run(reader, kind, tmp_path):
    read, named = READERS[reader]
    (tmp_path / "given.npz").write_bytes(KINDS[kind])
    with pytest.raises((ValueError, FileNotFoundError), match=f"{named}.*expected") as told:
        read(tmp_path / "given.npz")
    assert "allow_pickle" not in str(told.value)
    assert "\n" not in str(told.value)
