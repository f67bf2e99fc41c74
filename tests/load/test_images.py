from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.data.images import ImageSet
from genviews.load.files import class_order, read_class_names
from genviews.load.images import images_spec, kind_of, load_images
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)


def put(folder, *names, value=0):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value, np.uint8)).save(path)


def load_folder(folder, spec, labels=None, class_names=None, **how) -> ImageSet:
    return load_images(folder, spec, labels=labels, class_names=class_names, **how).load()


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
        found = load_images(tmp_path, SPEC, ask_order=False)
        assert found.class_names == ("2", "9", "10")

    def test_unknown_class(self, tmp_path):
        put(tmp_path, "dgo/1.png")
        with pytest.raises(ValueError, match=r"class of .* got 'dgo'; did you mean 'dog'"):
            load_folder(tmp_path, SPEC, class_names=("dog", "cat"))

    def test_an_image_beside_the_subfolders_has_no_label(self, tmp_path):
        put(tmp_path, "dog/1.png", "stray.png")
        with pytest.raises(ValueError, match=r"every image in a subfolder, .* got 1 of 2 .*stray"):
            load_folder(tmp_path, SPEC, "subfolders")
        assert load_folder(tmp_path, SPEC).labels is None

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
        found = load_folder(tmp_path / "data", SPEC)
        assert found.ids == ("a/1.png", "b/1.png")
        assert found.skipped == (("a/loop", "is a link to a folder around it"),)

    def test_two_links_to_one_folder_are_both_read(self, tmp_path):
        put(tmp_path / "elsewhere", "1.png")
        (tmp_path / "data").mkdir()
        for name in ("a", "b", "c"):
            (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere")
        found = load_folder(tmp_path / "data", SPEC)
        assert found.class_names == ("a", "b", "c")
        assert found.labels.tolist() == [0, 1, 2]

    @pytest.mark.parametrize("stray", ["__MACOSX/._1.png", "Thumbs.db", "@eaDir/1.png", "n/x.txt"])
    def test_what_is_no_image_makes_no_class(self, tmp_path, stray):
        put(tmp_path, "a/1.png", "b/1.png")
        (tmp_path / stray).parent.mkdir(exist_ok=True)
        (tmp_path / stray).write_bytes(b"something")
        (tmp_path / "empty").mkdir()
        found = load_folder(tmp_path, SPEC, "subfolders")
        assert (found.class_names, found.labels.tolist()) == (("a", "b"), [0, 1])


class TestListing:
    def test_the_order_in_which_the_system_lists_is_nothing(self, tmp_path, monkeypatch):
        put(tmp_path, *(f"{name}/{i}.png" for name in ("b", "a", "C", "x") for i in (2, 10, 1)))
        (tmp_path / "a/notes.txt").write_text("no image")
        (tmp_path / "c").symlink_to("nothing")
        plain, listed = load_images(tmp_path, SPEC), os.scandir
        assert plain.class_names == ("C", "a", "b", "x")

        class Entries(list):
            def __enter__(self):
                return iter(self)

            def __exit__(self, *error):
                """Nothing is open."""

        for backwards in (False, True):

            def scandir(place, backwards=backwards):
                return Entries(sorted(listed(place), key=lambda e: e.name, reverse=backwards))

            monkeypatch.setattr(os, "scandir", scandir)
            again = load_images(tmp_path, SPEC)
            assert (again.ids, again.skipped) == (plain.ids, plain.skipped)
            assert (again.class_names, again.labels.tolist()) == (
                plain.class_names,
                plain.labels.tolist(),
            )

    def test_what_was_added_is_seen_and_nothing_is_left_beside_images(self, tmp_path):
        put(tmp_path, "a/1.png", "b/1.png")
        load_folder(tmp_path, SPEC)
        put(tmp_path, "a/0.png", "c/1.png")
        (tmp_path / "b/1.png").unlink()
        found = load_folder(tmp_path, SPEC)
        assert (found.ids, found.class_names) == (("a/0.png", "a/1.png", "c/1.png"), ("a", "c"))
        assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"0.png", "1.png"}
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


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
                "file,label\na.png,x\nb.png,y\nd.png,x\n",
                "line 4: .*files that are in the folder .* got 1 .*'d.png'",
            ),
            ("file,label\na.png,x\n../b.png,y\n", r"got 1 absent, e.g. '../b.png'"),
            ("file,label\na.png,x\nb.png,\n", "line 3: .* got no label for 'b.png'"),
            ("file,label\na.png,x\nb.png\n", "line 3: .* got no label for 'b.png'"),
            (
                "file,label\na.png,x\nb.png,x\na.png,y\n",
                "line 4: .* got a second answer for 'a.png', other than line 2",
            ),
            ("file,label,label\na.png,x,x\n", "got 2 columns 'label'"),
            ("file,label\na.png,x,y\n", "line 2: .* more cells than columns"),
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
        with pytest.raises(
            ValueError, match=r"l.csv: .* as UTF-8 text, got another encoding, such as Latin-1"
        ):
            load_folder(tmp_path, SPEC, tmp_path / "l.csv")

    def test_wide_text(self, tmp_path):
        put(tmp_path, "a.png")
        (tmp_path / "l.csv").write_bytes("file,label\na.png,x\n".encode("utf-16"))
        with pytest.raises(ValueError, match=r"l.csv: .* got UTF-16; save it as UTF-8"):
            load_folder(tmp_path, SPEC, tmp_path / "l.csv")

    @pytest.mark.parametrize(
        "text",
        [
            "file;label\na.png;dog, big\nb.png;cat\n",
            "file\tlabel\na.png\tdog, big\nb.png\tcat\n",
            'file, label\na.png, "dog, big"\nb.png, cat\n',
            "file ; label\r\na.png ; dog, big\r\nb.png ; cat\r\n",
        ],
    )
    def test_what_spreadsheets_write(self, tmp_path, text):
        put(tmp_path, "a.png", "b.png")
        found = load_folder(tmp_path, SPEC, csv(tmp_path, text))
        assert (found.class_names, found.labels.tolist()) == (("cat", "dog, big"), [1, 0])

    def test_absolute_paths(self, tmp_path):
        put(tmp_path, "in/a.png", "in/b.png")
        text = f"file,label\n{tmp_path}/in/a.png,x\n{tmp_path}/in/b.png,y\n"
        found = load_folder(tmp_path / "in", SPEC, csv(tmp_path, text))
        assert (found.ids, found.labels.tolist()) == (("a.png", "b.png"), [0, 1])
        listed = load_images(csv(tmp_path, text), SPEC)
        assert listed.ids == ("in/a.png", "in/b.png")
        assert len(listed.load()) == 2

    def test_what_has_no_label_is_left_out_and_said(self, tmp_path):
        put(tmp_path, "a.png", "b.png", "c.png")
        found = load_images(tmp_path, SPEC, labels=csv(tmp_path, "file,label\na.png,x\n"))
        assert found.ids == ("a.png",)
        assert found.skipped == tuple(
            (name, "has no label in labels.csv") for name in ("b.png", "c.png")
        )
        assert found.notes == ("2 images without a label in labels.csv are left out",)

    def test_many_columns(self, tmp_path):
        put(tmp_path, "a.png", "b.png")
        table = csv(tmp_path, "file,Smiling,Male,note\nb.png,1,-1,x\na.png,0,1,y\n")
        found = load_images(tmp_path, SPEC, labels=table, columns=("Male", "Smiling"))
        assert list(found.columns) == ["Male", "Smiling"]
        assert found.columns["Smiling"].values.tolist() == [0, 1]
        assert found.columns["Male"].class_names == ("-1", "1")
        assert torch.equal(found.labels, torch.tensor([1, 0]))
        assert list(load_images(tmp_path, SPEC, labels=table, columns=()).columns) == [
            "Smiling",
            "Male",
            "note",
        ]
        with pytest.raises(ValueError, match=r"column of labels.csv: .* did you mean 'Smiling'"):
            load_images(tmp_path, SPEC, labels=table, columns=("Smilin",))

    def test_no_such_table(self, tmp_path):
        put(tmp_path, "a.png")
        with pytest.raises(FileNotFoundError, match=r"labels .*absent.csv: .* got no file"):
            load_folder(tmp_path, SPEC, tmp_path / "absent.csv")


class TestSkipped:
    def test_bad_files_are_listed_and_the_rest_goes_on(self, tmp_path):
        put(tmp_path, "good.png")
        (tmp_path / "empty.png").touch()
        (tmp_path / "text.png").write_text("no image")
        (tmp_path / "notes.txt").write_text("no image")
        (tmp_path / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
        (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe.png")
        whole = tmp_path / "good.png"
        (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:42])
        Image.fromarray(np.full((4, 4, 3), [1, 2, 3], np.uint8)).save(tmp_path / "colour.png")
        Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "small.png")
        images = load_folder(tmp_path, SPEC)
        assert images.ids == ("good.png",)
        reasons = dict(images.skipped)
        assert reasons["gone.png"] == "is a link to nothing"
        assert reasons["notes.txt"] == "is not an image"
        assert reasons["lfs.png"].startswith("is a pointer of Git LFS")
        assert reasons.get("pipe.png", "a named pipe").count("a named pipe")
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
        with pytest.raises(FileNotFoundError, match=r"images .*absent': .* got nothing"):
            load_folder(tmp_path / "absent", SPEC)

    def test_a_file(self, tmp_path):
        put(tmp_path, "a.png")
        with pytest.raises(ValueError, match=r"got a file that is no .csv, .tsv or .json file"):
            load_folder(tmp_path / "a.png", SPEC)

    def test_other_channel_counts(self, tmp_path):
        with pytest.raises(ValueError, match=r"expected 1 \(grey\) or 3 \(RGB\) channels, got 4"):
            load_folder(tmp_path, ImageSpec(channels=4, height=4, width=4))


class TestClassOrder:
    @pytest.mark.parametrize(
        ("names", "order"),
        [
            (("0.0", "10.0", "2.0"), ("0.0", "2.0", "10.0")),
            (("-1", "-10", "0", "1"), ("-10", "-1", "0", "1")),
            (("10", "9", "2"), ("2", "9", "10")),
            (("1", "01", "2"), ("01", "1", "2")),
            (("10", "9", "x"), ("10", "9", "x")),
            (("nan", "inf", "1"), ("1", "inf", "nan")),
        ],
    )
    def test_numbers_by_value(self, names, order):
        assert class_order(names, None, "images", ask=False) == order
        assert class_order(names, "value", "images", ask=True) == order
        assert class_order(names, "text", "images", ask=True) == tuple(sorted(names))

    def test_where_tools_disagree_the_user_is_asked(self, tmp_path):
        """torchvision's ImageFolder sorts as text: index 1 would be another class."""
        put(tmp_path, "2/a.png", "10/a.png")
        wanted = (
            r"got 2, 10 by value, or 10, 2 as text.*torchvision.*'value' or 'text'.*class-names"
        )
        with pytest.raises(ValueError, match=wanted):
            load_images(tmp_path, SPEC)
        from torchvision.datasets import ImageFolder

        same = load_images(tmp_path, SPEC, class_names="text")
        assert list(same.class_names) == ImageFolder(str(tmp_path)).classes
        assert load_images(tmp_path, SPEC, class_names=("2", "10")).class_names == ("2", "10")

    def test_numbers_in_a_table_are_indices(self, tmp_path):
        put(tmp_path, "a.png", "b.png")
        found = load_images(tmp_path, SPEC, labels=csv(tmp_path, "file,label\na.png,2\nb.png,10\n"))
        assert found.class_names == ("2", "10")

    def test_names_in_a_file(self, tmp_path):
        (tmp_path / "names.txt").write_bytes("\ufeffdog\r\n\r\n cat \r\n".encode())
        assert read_class_names(tmp_path / "names.txt") == ("dog", "cat")
        assert (read_class_names("value"), read_class_names("text")) == ("value", "text")
        (tmp_path / "names.txt").write_bytes("d\u00f6g".encode("latin-1"))
        with pytest.raises(ValueError, match=r"class names .*names.txt: .* UTF-8"):
            read_class_names(tmp_path / "names.txt")


class TestJSON:
    @pytest.mark.parametrize(
        "text",
        [
            '{"labels": [["00/a.png", 1], ["00/b.png", 0]]}',
            '{"00/a.png": 1, "00/b.png": 0}',
            '\ufeff{"00/a.png": "1", "./00/b.png": "0"}',
        ],
    )
    def test_labels(self, tmp_path, text):
        put(tmp_path, "00/a.png", "00/b.png")
        (tmp_path / "l.json").write_text(text, encoding="utf-8")
        found = load_images(tmp_path, SPEC, labels=tmp_path / "l.json")
        assert (found.class_names, found.labels.tolist()) == (("0", "1"), [1, 0])
        assert load_images(tmp_path / "l.json", SPEC).ids == ("00/a.png", "00/b.png")

    def test_dataset_of_stylegan_decides(self, tmp_path):
        """Its subfolders are no classes."""
        put(tmp_path, "00000/a.png", "00001/b.png")
        text = '{"labels": [["00000/a.png", 3], ["00001/b.png", 3]]}'
        (tmp_path / "dataset.json").write_text(text)
        found = load_images(tmp_path, SPEC)
        assert (found.class_names, found.labels.tolist()) == (("3",), [0, 0])
        assert found.notes == ("labels are those of dataset.json, not of subfolders",)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "no JSON"),
            ('{"labels": null}', "something else"),
            ("[1]", "something else"),
            (
                '{"labels": [["a.png", 1], ["./a.png", 2]]}',
                "a second answer for 'a.png', other than entry 1",
            ),
        ],
    )
    def test_mistakes(self, tmp_path, text, message):
        put(tmp_path, "a.png")
        (tmp_path / "l.json").write_text(text)
        with pytest.raises(ValueError, match=rf"labels .*l.json.*: .*{message}"):
            load_images(tmp_path, SPEC, labels=tmp_path / "l.json")


class TestTable:
    def test_order_and_ids_are_those_of_the_table(self, tmp_path):
        put(tmp_path, "b.png", "sub/a.png")
        table = csv(tmp_path, "label,file\nx,sub/a.png\ny,./b.png\n")
        source = load_images(table, SPEC)
        assert source.ids == source.read([0, 1]).ids == ("sub/a.png", "b.png")
        assert source.labels.tolist() == [0, 1]
        assert load_images(csv(tmp_path, "file\nb.png\n"), SPEC).labels is None

    def test_root_and_home(self, tmp_path, monkeypatch):
        put(tmp_path / "images", "b.png")
        monkeypatch.setenv("HOME", str(tmp_path))
        csv(tmp_path, "file\nb.png\n")
        assert load_images("~/labels.csv", SPEC, root="~/images").ids == ("b.png",)
        assert load_images("~/images", SPEC).ids == ("b.png",)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file\nb.png\nnone.png\n", r"line 3: .* got 1 absent, e.g. 'none.png'"),
            ("file,x\n,1\n", r"line 2: .* got no file name"),
            ("name\nb.png\n", r"got columns \['name'\]"),
            ("file\n", r"and 0 lines"),
            ("file,label\nb.png,\n", r"line 2: .* got no label for 'b.png'"),
        ],
    )
    def test_mistakes_name_the_line(self, tmp_path, text, message):
        put(tmp_path, "b.png")
        with pytest.raises(ValueError, match=message):
            load_images(csv(tmp_path, text), SPEC)


class TestWords:
    def test_kinds(self, tmp_path):
        put(tmp_path, "a/1.png")
        (tmp_path / "store").mkdir()
        (tmp_path / "store" / "00000.safetensors").touch()
        csv(tmp_path, "file\n")
        kinds = [kind_of(tmp_path / name) for name in ("a", "store", "labels.csv")]
        assert kinds == ["folder", "store", "table"]
        assert kind_of("s3://bucket/run") == "store"
        assert kind_of("torchvision:MNIST:data") == kind_of("mine:data") == "dataset"
        assert kind_of("fashion32/sample/val") == "fashion32"

    @pytest.mark.parametrize(
        ("word", "options", "message"),
        [
            (
                "s3://run",
                {"resize": True},
                r"resize \(--resize\) of the images 's3://run': .* a st",
            ),
            (
                "a",
                {"root": "b"},
                r"root \(--root\) of the images .*: expected a table, got a folder",
            ),
            ("a", {"columns": ["b"]}, r"label_column .*: expected a table of labels, got a folder"),
            ("mine:data", {"columns": ["b"]}, "label_column .*: expected a table, got a dataset"),
            ("labels.csv", {"labels": "b"}, r"labels \(--labels\) .* got a table; write them into"),
            (
                "mine:data",
                {"labels": "b"},
                r"labels \(--labels\) .*expected a folder, got a dataset",
            ),
        ],
    )
    def test_options_that_a_word_does_not_have(self, tmp_path, monkeypatch, word, options, message):
        monkeypatch.chdir(tmp_path)
        put(tmp_path, "a/1.png")
        csv(tmp_path, "file\n")
        with pytest.raises(ValueError, match=message):
            load_images(word, SPEC, **options)

    def test_a_store_does_not_say_the_size(self):
        with pytest.raises(ValueError, match="got a store; name the generator that the images"):
            images_spec("s3://run")

    def test_what_ships(self):
        spec = ImageSpec(channels=1, height=32, width=32)
        found = load_images("fashion32/sample/test", spec)
        assert (len(found), found.split, len(found.class_names)) == (1000, "test", 10)
        with pytest.raises(ValueError, match=r"part of fashion32: .* did you mean 'sample/val'"):
            load_images("fashion32/sample/va", spec)
        with pytest.raises(ValueError, match="32x32 grey images"):
            load_images("fashion32/sample/val", SPEC)

    def test_labels_of_a_data_set(self, tmp_path, monkeypatch):
        (tmp_path / "sets.py").write_text(
            "import torch\n"
            "class Set(list):\n"
            "    targets, classes = [1, 0, 1], ['cat', 'dog']\n"
            "def pictures():\n"
            "    return Set((torch.full((1, 4, 4), i, dtype=torch.uint8), i) for i in range(3))\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        found = load_images("sets:pictures", SPEC, split="train")
        assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [1, 0, 1])
        assert found.load().split == "train"
        turned = load_images("sets:pictures", SPEC, class_names=("dog", "cow", "cat"))
        assert (turned.class_names[2], turned.labels.tolist()) == ("cat", [0, 2, 0])
        with pytest.raises(ValueError, match="class of sets:pictures: expected one of cow, dog"):
            load_images("sets:pictures", SPEC, class_names=("dog", "cow"))
        assert images_spec("sets:pictures").shape == (1, 4, 4)

    def test_the_first_that_can_be_read_says_the_size(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "b.png")
        assert images_spec(tmp_path) == ImageSpec(channels=1, height=6, width=8)
        assert images_spec(tmp_path, size=4) == ImageSpec(channels=1, height=4, width=4)
        red = np.zeros((6, 6, 3), np.uint8)
        red[..., 0] = 200
        Image.fromarray(red).save(tmp_path / "c.png")
        assert images_spec(tmp_path).channels == images_spec(tmp_path, convert=True).channels == 3

    def test_no_size_without_a_readable_image(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"no image")
        with pytest.raises(ValueError, match="none among the first 16"):
            images_spec(tmp_path)


def test_a_part_keeps_labels_and_says_its_split(tmp_path):
    put(tmp_path, "a/1.png", "b/1.png")
    put(tmp_path, "b/2.png", value=255)
    part = load_images(tmp_path, SPEC).select([2, 0], split="test")
    found = part.load()
    assert (found.ids, found.labels.tolist(), found.split) == (
        ("b/2.png", "a/1.png"),
        [1, 0],
        "test",
    )
    assert part.hashes() == part.read([0, 1]).hashes
    assert len(set(load_images(tmp_path, SPEC).hashes())) == 2


class TestLinks:
    @pytest.mark.parametrize("target", ["/proc", "/dev", "/proc/self/task", "/", "..", "."])
    def test_folders_that_have_no_end_are_left_alone(self, tmp_path, target):
        folder = tmp_path / "images" / "in"
        folder.mkdir(parents=True)
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / "good.png")
        (folder / "away").symlink_to(target)
        source = load_images(folder, ImageSpec(channels=1, height=6, width=8))
        assert source.ids == ("good.png",)
        ((name, reason),) = source.skipped
        assert name == "away"
        assert reason in ("is a folder of the system", "is a link to a folder around it")

    def test_links_to_each_other(self, tmp_path):
        Image.fromarray(np.zeros((6, 8), np.uint8)).save(tmp_path / "good.png")
        (tmp_path / "a.png").symlink_to("b.png")
        (tmp_path / "b.png").symlink_to("a.png")
        source = load_images(tmp_path, ImageSpec(channels=1, height=6, width=8))
        assert source.ids == ("good.png",)
        assert [name for name, _ in source.skipped] == ["a.png", "b.png"]


def test_a_folder_that_is_gone_is_no_damaged_image(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / "a.png")
    source = load_images(folder, ImageSpec(channels=1, height=6, width=8))
    (folder / "a.png").unlink()
    assert source.read([0]).skipped == (("a.png", "is no file, or a link to nothing"),)
    folder.rmdir()
    with pytest.raises(FileNotFoundError, match=r"folder .*images: expected a folder of images"):
        source.read([0])
