"""Readers against torchvision's, on folders written by the test; probes of photos of a colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision.datasets import Caltech101, ImageFolder, StanfordCars
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from genviews.evaluate.extractor import FeatureExtractor
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.photos import LabelledFiles, PhotoSource
from genviews.evaluate.probe import KNNProbe
from genviews.evaluate.transfer import (
    caltech101,
    caltech_probe,
    labelled_folder,
    probe_files,
    stanford_cars,
)

MEAN_COLOUR = FeatureExtractor(lambda x: x.mean((2, 3)))


@pytest.fixture
def classes(tmp_path, write_photo):
    """Three classes of 12 photos, each with its own red."""
    root = tmp_path / "photos"
    for label, name in enumerate(("ant", "bee", "crab")):
        for i in range(12):
            write_photo(root / name / f"{i:02d}.jpg", 70 * label, size=(30 + i, 40 - i), seed=i)
    return root


class TestPhotoSource:
    @pytest.mark.parametrize(("size", "short"), [(16, None), (16, 20), (50, None)])
    def test_pixels_are_torchvisions(self, classes, size, short):
        source = PhotoSource(classes, ["bee/03.jpg"], size=size, resize_to=short)
        picture = functional.pil_to_tensor(ImageFolder(str(classes))[15][0]).float()
        crop = v2.Compose([v2.Resize(short or size, antialias=True), v2.CenterCrop(size)])
        wanted = crop(picture[None]) / 127.5 - 1
        torch.testing.assert_close(source.read([0]).images, wanted, atol=1e-4, rtol=0)

    def test_refusals(self, classes):
        with pytest.raises(FileNotFoundError, match=r"1 absent, e\.g\. '99\.jpg' in .*bee"):
            PhotoSource(classes, ["bee/00.jpg", "bee/99.jpg"], size=8)
        with pytest.raises(ValueError, match=r"all different, got 'bee/00\.jpg' more than once"):
            PhotoSource(classes, ["bee/00.jpg"] * 2, size=8)


class TestLabelledFolder:
    def test_is_torchvisions_image_folder(self, classes):
        ours, oracle = labelled_folder(classes, split="train"), ImageFolder(str(classes))
        assert [str(ours.root / f) for f in ours.files] == [path for path, _ in oracle.samples]
        assert ours.labels.tolist() == oracle.targets
        assert list(ours.class_names) == oracle.classes

    def test_given_names_order_the_labels(self, classes):
        names = ("crab", "ant", "bee")
        files = labelled_folder(classes, split="train", class_names=names)
        assert all(f.startswith(names[y]) for f, y in zip(files.files, files.labels, strict=True))

    def test_stray_files_and_folders_are_no_classes(self, classes, write_photo):
        (classes / "list.txt").write_text("ant")  # no image
        with pytest.raises(ValueError, match=r"unknown folders \['crab'\]"):
            labelled_folder(classes, split="train", class_names=("ant", "bee"))
        with pytest.raises(ValueError, match=r"empty classes \['dodo'\]"):
            labelled_folder(classes, split="train", class_names=("ant", "bee", "crab", "dodo"))
        assert len(labelled_folder(classes, split="train", ignore=("crab",)).class_names) == 2
        write_photo(classes / "loose.png", 1)
        with pytest.raises(ValueError, match=r"loose files \['loose.png'\]"):
            labelled_folder(classes, split="train")

    def test_split_depends_on_seed_and_names_alone(self, classes):
        files = labelled_folder(classes, split="all")
        train, test = files.split_per_class(5, seed=1)
        assert torch.bincount(train.labels).tolist() == [5, 5, 5]
        assert sorted(train.files + test.files) == sorted(files.files)
        assert (train.split, test.split) == ("train", "test")
        mixed = files.select(torch.randperm(36, generator=torch.Generator().manual_seed(0)))
        assert set(mixed.split_per_class(5, seed=1)[0].files) == set(train.files)
        assert set(files.split_per_class(5, seed=2)[0].files) != set(train.files)
        with pytest.raises(
            ValueError, match="files of class 'ant': expected an integer of at least 13"
        ):
            files.split_per_class(12)

    def test_labels_are_checked(self, tmp_path):
        with pytest.raises(ValueError, match=r"each with labels from 0 to 0, got"):
            LabelledFiles(
                root=tmp_path, files=("a",), labels=torch.tensor([1]), class_names=("x",), split=""
            )


class TestCaltech101:
    @pytest.fixture
    def root(self, classes, tmp_path, write_photo):
        write_photo(classes / "BACKGROUND_Google" / "0.jpg", 0)
        base = tmp_path / "caltech101"
        base.mkdir()
        classes.rename(base / "101_ObjectCategories")
        return base / "101_ObjectCategories"

    def test_thirty_a_class(self, root):
        train, test = caltech101(root, per_class=7, num_classes=3)
        assert torch.bincount(train.labels).tolist() == [7, 7, 7]
        assert torch.bincount(test.labels).tolist() == [5, 5, 5]
        assert train.class_names == ("ant", "bee", "crab")
        (root.parent / "Annotations").mkdir()
        oracle = Caltech101(str(root.parent.parent), target_type="category")
        assert tuple(oracle.categories) == train.class_names

    def test_number_of_classes_is_checked(self, root):
        with pytest.raises(ValueError, match="expected 101, got 3"):
            caltech101(root)

    def test_protocol(self, root):
        train, test = caltech101(root, per_class=9, num_classes=3)
        unit = FeatureExtractor(lambda x: x.mean((2, 3)) + 1, normalise=True)
        score = probe_files(unit, train, test, probe=caltech_probe(), size=16)
        assert score.mean_class_accuracy == 1.0
        assert score.splits == {"fit": "train", "select": "3 folds of train", "score": "test"}


class TestStanfordCars:
    @pytest.fixture
    def root(self, tmp_path, write_photo):
        base = tmp_path / "stanford_cars"
        kind = [("fname", object), ("class", object), ("bbox_x1", object)]
        (base / "devkit").mkdir(parents=True)
        for split, count in (("train", 8), ("test", 6)):
            rows = np.empty(count, dtype=kind)
            for i in range(count):
                rows[i] = (f"{i + 1:05d}.jpg", i % 2 + 1, 3)
                write_photo(base / f"cars_{split}" / f"{i + 1:05d}.jpg", 120 * (i % 2), seed=i)
            name = "cars_train_annos.mat" if split == "train" else "cars_test_annos_withlabels.mat"
            folder = base / "devkit" if split == "train" else base
            savemat(folder / name, {"annotations": rows})
        names = np.array(["AM General Hummer SUV 2000", "Audi TT RS Coupe 2012"], dtype=object)
        savemat(base / "devkit" / "cars_meta.mat", {"class_names": names})
        return base

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_is_torchvisions(self, root, split):
        ours = stanford_cars(root, split)
        oracle = StanfordCars(str(root.parent), split=split)
        wanted = [(path, label) for path, label in oracle._samples]
        found = zip([str(ours.root / f) for f in ours.files], ours.labels.tolist(), strict=True)
        assert list(found) == wanted
        assert list(ours.class_names) == list(oracle.classes)

    def test_probe(self, root):
        train, test = stanford_cars(root, "train"), stanford_cars(root, "test")
        score = probe_files(MEAN_COLOUR, train, test, probe=LinearProbe((1.0,)), size=16)
        assert (score.hits, score.total) == (6, 6)

    def test_refusals(self, root, tmp_path):
        with pytest.raises(ValueError, match="split of Stanford Cars: expected one of test, train"):
            stanford_cars(root, "val")
        with pytest.raises(FileNotFoundError, match=r"cars_train_annos\.mat in .* or its devkit"):
            stanford_cars(tmp_path, "train")
        bare = np.array([("00001.jpg", 3)], dtype=[("fname", object), ("bbox_x1", object)])
        savemat(root / "cars_test_annos_withlabels.mat", {"annotations": bare})
        with pytest.raises(ValueError, match="use the test annotations with labels"):
            stanford_cars(root, "test")


class TestSubsetOfImageNet:
    def test_only_listed_classes_in_the_order_of_the_list(self, tmp_path, write_photo):
        for wnid in ("n00000001", "n00000002", "n00000003"):
            for i in range(2):
                write_photo(tmp_path / wnid / f"{i}.JPEG.jpg", 0)
        files = labelled_folder(
            tmp_path,
            split="train",
            class_names=("n00000003", "n00000001"),
            ignore=("n00000002",),
        )
        pairs = zip(files.files, files.labels.tolist(), strict=True)
        found = {(name.split("/")[0], label) for name, label in pairs}
        assert found == {("n00000003", 0), ("n00000001", 1)}


class TestProbeFiles:
    def test_validation_split_chooses(self, classes):
        train, rest = labelled_folder(classes, split="all").split_per_class(6)
        val, test = rest.split_per_class(3, splits=("val", "test"))
        score = probe_files(
            MEAN_COLOUR, train, test, val=val, probe=KNNProbe((1, 5)), size=16, resize_to=18
        )
        assert score.accuracy == 1.0
        assert score.splits == {"fit": "train", "select": "val", "score": "test"}

    def test_features_are_kept(self, classes, tmp_path):
        train, test = labelled_folder(classes, split="all").split_per_class(6)
        folder = tmp_path / "features"
        scores = [
            probe_files(MEAN_COLOUR, train, test, probe=LinearProbe((1.0,)), size=16, folder=folder)
            for _ in range(2)
        ]
        assert scores[0] == scores[1]
        assert len(list(folder.iterdir())) == 2

    def test_unreadable_photo_loses_its_label_too(self, classes):
        train, test = labelled_folder(classes, split="all").split_per_class(6)
        (classes / train.files[3]).write_bytes(b"damaged")
        (classes / test.files[0]).write_bytes(b"damaged")
        probe = LinearProbe((1e3,), standardise=False)
        score = probe_files(MEAN_COLOUR, train, test, probe=probe, size=16)
        assert (score.hits, score.total) == (17, 17)

    def test_splits_must_differ(self, classes):
        train, test = labelled_folder(classes, split="all").split_per_class(6)
        with pytest.raises(ValueError, match="18 files twice"):
            probe_files(MEAN_COLOUR, train, train.select(range(18), "test"))
        with pytest.raises(ValueError, match="expected different names"):
            probe_files(MEAN_COLOUR, train, test.select(range(18), "train"))
