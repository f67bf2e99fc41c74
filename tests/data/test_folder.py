from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.data import load_folder
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)


def put(folder, *names, value=0):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def csv(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


class TestUnlabelled:
    def test_images_in_the_folder_itself(self, tmp_path):
        put(tmp_path, "b.png", value=255)
        put(tmp_path, "a.bmp", "B.png")
        images = load_folder(tmp_path, SPEC)
        assert images.ids == ("B.png", "a.bmp", "b.png")
        assert images.labels is None
        assert images.class_names == ()
        assert images.images[:, 0, 0, 0].tolist() == [-1, -1, 1]

    def test_class_names_may_be_given(self, tmp_path):
        put(tmp_path, "a.png")
        assert load_folder(tmp_path, SPEC, class_names=["x", "y"]).class_names == ("x", "y")

    def test_hidden_files_and_folders_are_ignored(self, tmp_path):
        put(tmp_path, "a.png", ".b.png", ".hidden/c.png")
        (tmp_path / ".DS_Store").write_bytes(b"x")
        images = load_folder(tmp_path, SPEC)
        assert (images.ids, images.skipped) == (("a.png",), ())


class TestSubfolders:
    def test_first_subfolder_is_the_class(self, tmp_path):
        put(tmp_path, "dog/1.png", "cat/x/2.png", "cat/1.png")
        images = load_folder(tmp_path, SPEC)
        assert images.ids == ("cat/1.png", "cat/x/2.png", "dog/1.png")
        assert images.class_names == ("cat", "dog")
        assert images.labels.tolist() == [0, 0, 1]

    def test_given_class_names_set_the_order(self, tmp_path):
        put(tmp_path, "dog/1.png", "cat/1.png")
        images = load_folder(tmp_path, SPEC, class_names=("dog", "bird", "cat"))
        assert images.labels.tolist() == [2, 0]
        assert images.class_names == ("dog", "bird", "cat")

    def test_numbers_sort_by_value(self, tmp_path):
        put(tmp_path, *(f"{n}/a.png" for n in (10, 9, 2)))
        assert load_folder(tmp_path, SPEC).class_names == ("2", "9", "10")

    def test_unknown_class(self, tmp_path):
        put(tmp_path, "dgo/1.png")
        with pytest.raises(
            ValueError, match=r"class of the images: .* got 'dgo'; did you mean 'dog'"
        ):
            load_folder(tmp_path, SPEC, class_names=("dog", "cat"))

    def test_an_image_beside_the_subfolders_has_no_label(self, tmp_path):
        put(tmp_path, "dog/1.png", "stray.png")
        with pytest.raises(
            ValueError, match=r"every readable image in a class subfolder, got 1 .*stray"
        ):
            load_folder(tmp_path, SPEC)

    def test_a_text_file_beside_the_subfolders_is_skipped(self, tmp_path):
        put(tmp_path, "dog/1.png")
        (tmp_path / "README.txt").write_text("hello")
        images = load_folder(tmp_path, SPEC)
        assert images.skipped == (("README.txt", "is not an image"),)

    def test_a_class_whose_images_are_all_damaged_keeps_its_index(self, tmp_path):
        put(tmp_path, "a/1.png", "c/1.png")
        (tmp_path / "b").mkdir()
        (tmp_path / "b/1.png").write_bytes(b"damaged")
        images = load_folder(tmp_path, SPEC)
        assert images.class_names == ("a", "b", "c")
        assert images.labels.tolist() == [0, 2]

    def test_linked_folders_are_followed_and_loops_are_not(self, tmp_path):
        put(tmp_path / "data", "a/1.png")
        put(tmp_path / "elsewhere", "1.png")
        (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
        (tmp_path / "data/a/loop").symlink_to(tmp_path / "data")
        assert load_folder(tmp_path / "data", SPEC).ids == ("a/1.png", "b/1.png")


class TestCsv:
    def test_labels_by_file(self, tmp_path):
        put(tmp_path, "a.png", "sub/b.png", "c.png")
        table = csv(tmp_path, "extra,label,file\n1,dog,c.png\n2,cat,./sub/b.png\n3, dog ,a.png\n")
        images = load_folder(tmp_path, SPEC, table)
        assert images.ids == ("a.png", "c.png", "sub/b.png")
        assert images.labels.tolist() == [1, 1, 0]
        assert images.class_names == ("cat", "dog")
        assert images.skipped == ()

    def test_table_elsewhere_with_byte_order_mark(self, tmp_path):
        put(tmp_path / "images", "a.png")
        (tmp_path / "l.csv").write_bytes("\ufefffile,label\r\na.png,dög\r\n".encode())
        images = load_folder(tmp_path / "images", SPEC, str(tmp_path / "l.csv"))
        assert images.class_names == ("dög",)

    def test_damaged_file_may_be_labelled(self, tmp_path):
        put(tmp_path, "a.png")
        (tmp_path / "b.png").write_bytes(b"damaged")
        images = load_folder(tmp_path, SPEC, csv(tmp_path, "file,label\na.png,x\nb.png,y\n"))
        assert images.ids == ("a.png",)
        assert images.class_names == ("x", "y")

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "file,label\na.png,x\n",
                "every readable image named in .*labels.csv, got 1 .*'b.png'",
            ),
            (
                "file,label\na.png,x\nb.png,y\nd.png,x\n",
                "files that are in the folder, got 1 .*'d.png'",
            ),
            ("file,label\na.png,x\n../b.png,y\n", r"got 1 absent, e.g. '../b.png'"),
            ("file,label\na.png,x\nb.png,\n", "line 3: .* got no label for 'b.png'"),
            ("file,label\na.png,x\nb.png\n", "line 3: .* got no label for 'b.png'"),
            (
                "file,label\na.png,x\nb.png,x\na.png,y\n",
                "line 4: .* got a second label for 'a.png'",
            ),
            ("name,class\na.png,x\n", r"got columns \['name', 'class'\]"),
            ("file,label\n", "and 0 lines"),
            ("", r"got columns \[\] and 0 lines"),
        ],
    )
    def test_mistakes_are_explained(self, tmp_path, text, message):
        put(tmp_path, "a.png", "b.png")
        with pytest.raises(ValueError, match=message):
            load_folder(tmp_path, SPEC, csv(tmp_path, text))

    def test_the_same_label_twice_is_no_mistake(self, tmp_path):
        put(tmp_path, "a.png")
        table = csv(tmp_path, "file,label\na.png,x\n./a.png,x\n")
        assert load_folder(tmp_path, SPEC, table).labels.tolist() == [0]

    def test_text_in_another_encoding(self, tmp_path):
        put(tmp_path, "a.png")
        (tmp_path / "l.csv").write_bytes("file,label\na.png,d\u00f6g\n".encode("latin-1"))
        with pytest.raises(ValueError, match="unreadable text"):
            load_folder(tmp_path, SPEC, tmp_path / "l.csv")

    def test_no_such_table(self, tmp_path):
        put(tmp_path, "a.png")
        with pytest.raises(FileNotFoundError, match=r"labels .*absent.csv: .* got no such file"):
            load_folder(tmp_path, SPEC, tmp_path / "absent.csv")


class TestSkipped:
    def test_bad_files_are_listed_and_the_rest_goes_on(self, tmp_path):
        put(tmp_path, "good.png")
        (tmp_path / "empty.png").touch()
        (tmp_path / "text.png").write_text("no image")
        whole = tmp_path / "good.png"
        (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:42])
        Image.fromarray(np.full((4, 4, 3), [1, 2, 3], np.uint8)).save(tmp_path / "colour.png")
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "small.png")
        images = load_folder(tmp_path, SPEC)
        assert images.ids == ("good.png",)
        reasons = dict(images.skipped)
        assert list(reasons) == ["colour.png", "cut.png", "empty.png", "small.png", "text.png"]
        assert reasons["colour.png"].startswith("is in colour")
        assert reasons["cut.png"].startswith("is damaged")
        assert reasons["empty.png"] == "is an empty file"
        assert reasons["small.png"].startswith("is 4x3 pixels, not 4x4")
        assert reasons["text.png"] == "is not an image"

    def test_options_reach_the_decoder(self, tmp_path):
        Image.fromarray(np.full((9, 9, 3), [1, 2, 3], np.uint8)).save(tmp_path / "a.png")
        assert load_folder(tmp_path, SPEC, resize=True, convert=True).skipped == ()

    @pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux alone")
    def test_name_that_is_no_text(self, tmp_path):
        put(tmp_path, "a.png")
        (tmp_path / os.fsdecode(b"b\xff.png")).write_bytes((tmp_path / "a.png").read_bytes())
        images = load_folder(tmp_path, SPEC)
        assert images.ids == ("a.png",)
        assert images.skipped == (("b?.png", "has a name that is no text"),)

    def test_result_does_not_depend_on_the_others(self, tmp_path):
        put(tmp_path, "a.png", "c.png", value=9)
        alone = load_folder(tmp_path, SPEC)
        (tmp_path / "b.png").write_text("bad")
        beside = load_folder(tmp_path, SPEC)
        assert alone.ids == beside.ids
        assert torch.equal(alone.images, beside.images)


class TestNothing:
    def test_empty_folder(self, tmp_path):
        with pytest.raises(ValueError, match="expected image files, got no file; put images"):
            load_folder(tmp_path, SPEC)

    def test_no_readable_image(self, tmp_path):
        (tmp_path / "a.png").write_text("x")
        (tmp_path / "b.png").touch()
        with pytest.raises(
            ValueError, match=r"got none of 2 files: a.png is not an image; b.png is an"
        ):
            load_folder(tmp_path, SPEC)

    def test_absent_folder(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match="expected a folder of images, got nothing there"
        ):
            load_folder(tmp_path / "absent", SPEC)

    def test_a_file(self, tmp_path):
        put(tmp_path, "a.png")
        with pytest.raises(NotADirectoryError, match="expected a folder of images, got a file"):
            load_folder(tmp_path / "a.png", SPEC)

    def test_other_channel_counts(self, tmp_path):
        with pytest.raises(ValueError, match=r"expected 1 \(grey\) or 3 \(RGB\) channels, got 4"):
            load_folder(tmp_path, ImageSpec(channels=4, height=4, width=4))
