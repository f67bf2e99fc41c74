"""Sources of images: a folder, a CSV file, a data set, a store."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.align.aligners import CentreBox, Frame
from genviews.align.table import read_geometry
from genviews.data.dataset_source import DatasetSource, load_dataset
from genviews.data.file_source import Alignment
from genviews.data.store_source import StoreSource
from genviews.identity import Identity
from genviews.load.images import images_spec, load_images
from genviews.store import ShardStore
from genviews.types import ImageSpec
from tests.stores import put_shard

SPEC = ImageSpec(channels=1, height=4, width=4)


def pixels(value, size=4):
    return np.full((size, size), value, np.uint8)


def put(folder, *names, value=0, size=4):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(value, size)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two images, a text file, a damaged image, one of another size, and hidden files."""
    here = tmp_path / "images"
    put(here, "b.png", value=255)
    put(here, "sub/a.png", ".hidden.png")
    put(here, "large.png", value=255, size=8)
    (here / "notes.txt").write_text("no image")
    (here / "broken.png").write_bytes((here / "b.png").read_bytes()[:50])
    return here


class TestFolder:
    def test_what_is_no_image_is_named(self, folder):
        source = load_images(folder, SPEC)
        assert source.ids == ("b.png", "broken.png", "large.png", "sub/a.png")
        assert source.skipped == (("notes.txt", "is not an image"),)
        batch = source.read(range(len(source)))
        assert batch.ids == ("b.png", "sub/a.png")
        assert batch.masks is None

    def test_rows_are_read_in_the_order_asked_for(self, folder):
        batch = load_images(folder, SPEC).read([3, 1, 0])
        assert batch.ids == ("sub/a.png", "b.png")
        assert batch.images[:, 0, 0, 0].tolist() == [-1, 1]
        assert [name for name, _ in batch.skipped] == ["broken.png"]

    def test_hash_is_of_the_bytes(self, folder):
        data = (folder / "b.png").read_bytes()
        wanted = hashlib.blake2b(data, digest_size=16).hexdigest()
        assert load_images(folder, SPEC).read([0]).hashes == (wanted,)

    def test_nothing_readable_is_an_empty_batch(self, folder):
        batch = load_images(folder, SPEC).read([1, 2])
        assert (len(batch), batch.images.shape, len(batch.skipped)) == (0, (0, 1, 4, 4), 2)

    def test_resize_and_convert(self, folder):
        Image.fromarray(np.stack([pixels(255), pixels(0), pixels(0)], 2)).save(folder / "red.png")
        source = load_images(folder, SPEC, resize=True, convert=True)
        assert {"large.png", "red.png"} <= set(source.read(range(len(source))).ids)

    def test_fingerprint_is_of_content_and_settings(self, folder, tmp_path):
        first = load_images(folder, SPEC).fingerprint()
        copy = tmp_path / "elsewhere"
        shutil.copytree(folder, copy)
        for path in copy.rglob("*"):
            os.utime(path, (1, 1))
        assert load_images(copy, SPEC).fingerprint() == first
        seen = {first, load_images(folder, SPEC, resize=True).fingerprint()}
        seen.add(load_images(folder, ImageSpec(channels=3, height=4, width=4)).fingerprint())
        put(copy, "b.png", value=254)
        seen.add(load_images(copy, SPEC).fingerprint())
        (copy / "b.png").rename(copy / "c.png")
        seen.add(load_images(copy, SPEC).fingerprint())
        assert len(seen) == 5

    def test_a_file_that_went_away_is_skipped(self, folder):
        source = load_images(folder, SPEC)
        (folder / "b.png").unlink()
        assert source.read([0]).skipped == (("b.png", "is no file, or a link to nothing"),)

    def test_no_folder_and_no_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="nothing of that name"):
            load_images(tmp_path / "none", SPEC)
        with pytest.raises(ValueError, match="expected image files, got no file"):
            load_images(tmp_path, SPEC)


class TestAlignment:
    @pytest.fixture
    def alignment(self, tmp_path):
        table = tmp_path / "boxes.csv"
        table.write_text("file,x0,y0,x1,y1\nb.png,0,0,2,4\nsub/a.png,,,,\n")
        frame = Frame(height=4, width=4, content_height=4, content_width=4)
        return Alignment(CentreBox(frame), read_geometry(table))

    def test_mask_says_what_is_known(self, folder, alignment):
        batch = load_images(folder, SPEC, alignment=alignment).read([0])
        # The box's middle, 1 pixel from the left, moves to the middle: a column comes from outside.
        assert batch.masks[0, 0].tolist() == [[0, 1, 1, 1]] * 4
        assert batch.images[0, 0].tolist() == [[0, 1, 1, 1]] * 4

    def test_what_cannot_be_aligned_is_skipped(self, folder, alignment):
        batch = load_images(folder, SPEC, alignment=alignment).read(range(4))
        reasons = dict(batch.skipped)
        assert batch.ids == ("b.png",)
        assert "no position" in reasons["sub/a.png"]
        assert "no line" in reasons["large.png"]

    def test_fingerprint_sees_the_geometry(self, folder, alignment, tmp_path):
        first = load_images(folder, SPEC, alignment=alignment).fingerprint()
        table = alignment.geometry.path
        table.write_text(table.read_text().replace("0,0,2,4", "0,0,3,4"))
        moved = Alignment(alignment.aligner, read_geometry(table))
        assert load_images(folder, SPEC, alignment=moved).fingerprint() != first
        assert load_images(folder, SPEC).fingerprint() != first

    def test_a_table_in_the_folder_is_no_image(self, folder, alignment):
        inside = folder / "boxes.csv"
        shutil.copy(alignment.geometry.path, inside)
        there = Alignment(alignment.aligner, read_geometry(inside))
        assert "boxes.csv" not in load_images(folder, SPEC, alignment=there).ids

    def test_another_frame_than_the_generators(self, folder, alignment):
        spec = ImageSpec(channels=1, height=6, width=6)
        with pytest.raises(ValueError, match=r"expected shape \(1, 6, 6\)"):
            load_images(folder, spec, alignment=alignment).read([0])


def test_fingerprint_of_a_table_is_that_of_the_folder_with_the_same_files(folder, tmp_path):
    source = load_images(folder, SPEC)
    table = tmp_path / "list.csv"
    table.write_text("file\n" + "\n".join(source.ids))
    assert load_images(table, SPEC, root=folder).fingerprint() == source.fingerprint()


class Broken:
    """A data set of a PIL image, a uint8 tensor alone, and an item that raises."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        if index == 2:
            raise OSError("truncated")
        one = Image.fromarray(pixels(255)), 7
        return one if index == 0 else torch.zeros(1, 4, 4, dtype=torch.uint8)


class TestDataset:
    def test_items(self):
        source = DatasetSource(Broken(), SPEC)
        batch = source.read([0, 1, 2])
        assert (source.ids, batch.ids) == (("000000", "000001", "000002"), ("000000", "000001"))
        assert batch.images[:, 0, 0, 0].tolist() == [1, -1]
        ((name, reason),) = batch.skipped
        assert name == "000002"
        wanted = r"^cannot be read \(items of Broken: .*OSError: truncated, in .*, line \d+: raise"
        assert re.match(wanted, reason)
        wanted = hashlib.blake2b(batch.images[0].numpy().tobytes(), digest_size=16).hexdigest()
        assert batch.hashes[0] == wanted

    def test_fingerprint_is_of_pixels(self):
        white, black = (Image.fromarray(pixels(value)) for value in (255, 0))
        both = [DatasetSource([(white, label)], SPEC).fingerprint() for label in (0, 1)]
        assert both[0] == both[1]
        assert DatasetSource([(black, 0)], SPEC).fingerprint() != both[0]

    def test_the_range_of_floats_cannot_be_seen(self):
        data = [(torch.full((1, 4, 4), 0.5), 0)]
        with pytest.raises(TypeError, match=r"got a tensor of torch.float32 .*'s transform: the"):
            DatasetSource(data, SPEC).read([0])

    @pytest.mark.parametrize("item", ["text", torch.zeros(4, 4, dtype=torch.uint8), None])
    def test_no_picture(self, item):
        with pytest.raises(TypeError, match="expected a PIL image or a uint8 tensor"):
            DatasetSource([(item, 0)], SPEC).read([0])

    @pytest.mark.parametrize(
        "item",
        [
            {"image": Image.new("L", (4, 4), 255), "label": 3},
            {"pixels": torch.full((1, 4, 4), 255, dtype=torch.uint8)},
            (np.full((4, 4, 1), 255, dtype=np.uint8), 3),
            np.full((4, 4), 255, dtype=np.uint8),
        ],
    )
    def test_pictures_in_a_dict_and_arrays(self, item):
        assert DatasetSource([item], SPEC).read([0]).images.unique().tolist() == [1]

    @pytest.mark.parametrize(
        "item", [{"label": 3}, {}, {"a": Image.new("L", (4, 4)), "b": Image.new("L", (4, 4))}]
    )
    def test_a_dict_without_one_picture(self, item):
        with pytest.raises(TypeError, match="items of list: expected one picture in a dict, got"):
            DatasetSource([item], SPEC).read([0])

    def test_targets_that_are_words_are_no_labels(self):
        data = Broken()
        data.targets = ["cat", "dog", "cat"]
        assert DatasetSource(data, SPEC).columns == {}

    @pytest.mark.parametrize("targets", [3, "cat", lambda: [0, 1, 0], [], [[0], [1], [0]]])
    def test_targets_of_another_kind_are_no_labels(self, targets):
        data = Broken()
        data.targets = targets
        assert DatasetSource(data, SPEC).columns == {}

    def test_classes_of_another_kind_name_none(self):
        data = Broken()
        data.targets, data.classes = [0, 1, 0], lambda: 2
        assert DatasetSource(data, SPEC).class_names == ("0", "1")

    def test_targets_of_other_items_are_refused(self):
        data = Broken()
        data.targets = [0, 1, 0, 1]
        with pytest.raises(ValueError, match="targets of Broken: expected 3, one for each item"):
            DatasetSource(data, SPEC)

    def test_sizes(self):
        large = [(Image.fromarray(pixels(0, 8)), 0)]
        assert "8x8 pixels" in DatasetSource(large, SPEC).read([0]).skipped[0][1]
        assert len(DatasetSource(large, SPEC, resize=True).read([0])) == 1
        with pytest.raises(ValueError, match="items: expected an integer of at least 1"):
            DatasetSource([], SPEC)


class TestLoadDataset:
    @pytest.fixture
    def module(self, tmp_path, monkeypatch):
        (tmp_path / "users_data.py").write_text(
            "def make():\n    return [(None, 0)]\n\n"
            "def stream():\n    return iter(())\n\nsize = 3\n"
            "def broken():\n    raise OSError('no disk')\n"
            "class Bad(list):\n    def __getitem__(self, at):\n        return {'img': 3}['image']\n"
            "def bad():\n    return Bad([1, 2])\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        yield "users_data"
        sys.modules.pop("users_data", None)

    def test_function(self, module):
        assert load_dataset(f"{module}:make") == [(None, 0)]

    def test_an_item_that_raises_is_told_where_its_size_is_asked(self, module):
        with pytest.raises(ValueError, match=r"KeyError: 'image', in .*users_data.py, line \d+"):
            images_spec(f"{module}:bad", size=None, convert=False)

    def test_torchvision_reads_what_is_there(self, tmp_path):
        fake = tmp_path / "fmnist" / "FashionMNIST" / "raw"
        fake.mkdir(parents=True)
        header = (2051).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (2, 28, 28))
        for stem in ("train", "t10k"):
            (fake / f"{stem}-images-idx3-ubyte").write_bytes(header + bytes(2 * 28 * 28))
            labels = (2049).to_bytes(4, "big") + (2).to_bytes(4, "big") + b"\0\1"
            (fake / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
        for split, train in (("train", True), ("test", False)):
            data = load_dataset(f"torchvision:FashionMNIST:{tmp_path / 'fmnist'}:{split}")
            assert (len(data), data.train) == (2, train)
        source = DatasetSource(data, ImageSpec(channels=1, height=28, width=28))
        assert source.read([1]).images.unique().tolist() == [-1]

    @pytest.mark.parametrize(
        ("spec", "error", "message"),
        [
            ("torchvision:FashionMNST:x:train", ValueError, "did you mean .*'FashionMNIST'"),
            ("torchvision:FashionMNIST", ValueError, "got no folder"),
            ("torchvision:FashionMNIST:x:trian", ValueError, "did you mean 'train'"),
            ("torchvision:FashionMNIST:no/where:train", FileNotFoundError, "not found"),
            ("torchvision:SVHN:no/where:trian", ValueError, "split"),
            ("torchvision:Caltech101:no/where:train", ValueError, "Caltech101 has none"),
            ("torchvision:UCF101:no/where:train", ValueError, "UCF101 in the folder .*annotation"),
            ("torchvision:DatasetFolder:no/where", ValueError, "missing 1 .* 'loader'"),
            ("users_data:mak", ValueError, r"it has .*make"),
            ("users_data:size", ValueError, "expected a function that returns a data set, got int"),
            ("users_data:stream", TypeError, "expected a map-style data set"),
            (
                "users_data:broken",
                ValueError,
                r"OSError: no disk, in .*users_data.py, line",
            ),
            ("users_data", ValueError, "with a colon between"),
        ],
    )
    def test_mistakes(self, module, spec, error, message):
        with pytest.raises(error, match=message):
            load_dataset(spec)


class TestStore:
    def fill(self, folder, **changes):
        store = ShardStore(folder, Identity({"made": "here"}))
        images = torch.linspace(-1, 1, 5)[:, None, None, None].expand(5, 1, 4, 4)
        tensors = {"images": images, **changes}
        put_shard(store, 0, {k: v[:3] for k, v in tensors.items()}, ("a", "b", "c"))
        put_shard(store, 2, {k: v[3:] for k, v in tensors.items()}, ("d", "e"))
        return images

    def test_images(self, tmp_path):
        images = self.fill(tmp_path)
        source = StoreSource(tmp_path, SPEC)
        assert source.ids == ("a", "b", "c", "d", "e")
        batch = pickle.loads(pickle.dumps(source)).read([4, 0, 3])
        assert batch.ids == ("e", "a", "d")
        assert torch.equal(batch.images, images[[4, 0, 3]])
        assert batch.masks is None

    def test_url(self):
        self.fill("memory://sources")
        assert len(StoreSource("memory://sources", SPEC).read(range(5))) == 5

    def test_masks(self, tmp_path):
        self.fill(tmp_path, masks=torch.ones(5, 1, 4, 4, dtype=torch.uint8))
        assert StoreSource(tmp_path, SPEC).read([3, 1]).masks.shape == (2, 1, 4, 4)

    def test_reconstructions_are_clamped_and_images_are_not(self, tmp_path):
        wide = torch.full((5, 1, 4, 4), 1.25)
        self.fill(tmp_path / "a", images=wide)
        assert "from 1.25 to 1.25" in StoreSource(tmp_path / "a", SPEC).read([0]).skipped[0][1]
        store = ShardStore(tmp_path / "b", Identity({}))
        put_shard(store, 0, {"reconstructions": wide, "loss": torch.zeros(5)}, tuple("abcde"))
        assert StoreSource(tmp_path / "b", SPEC).read([0]).images.unique().tolist() == [1]

    def test_bytes_and_nan(self, tmp_path):
        self.fill(tmp_path / "a", images=torch.full((5, 1, 4, 4), 255, dtype=torch.uint8))
        assert StoreSource(tmp_path / "a", SPEC).read([0]).images.unique().tolist() == [1]
        self.fill(tmp_path / "b", images=torch.full((5, 1, 4, 4), torch.nan))
        assert "no finite number" in StoreSource(tmp_path / "b", SPEC).read([0]).skipped[0][1]

    def test_fingerprint_is_of_content_not_of_shards(self, tmp_path):
        images = self.fill(tmp_path / "a")
        put_shard(ShardStore(tmp_path / "b", Identity({})), 0, {"images": images}, tuple("abcde"))
        first = StoreSource(tmp_path / "a", SPEC).fingerprint()
        assert StoreSource(tmp_path / "b", SPEC).fingerprint() == first
        self.fill(tmp_path / "c", images=images * 0.5)
        assert StoreSource(tmp_path / "c", SPEC).fingerprint() != first

    def test_what_it_cannot_read(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="at least one whole shard"):
            StoreSource(tmp_path, SPEC)
        latents = ShardStore(tmp_path / "a", Identity({}))
        put_shard(latents, 0, {"latents": torch.zeros(1, 2)}, ("a",))
        with pytest.raises(ValueError, match="`images` or `reconstructions`, got latents"):
            StoreSource(tmp_path / "a", SPEC)
        self.fill(tmp_path / "b")
        with pytest.raises(ValueError, match=r"expected shape \(3, 4, 4\)"):
            StoreSource(tmp_path / "b", ImageSpec(channels=3, height=4, width=4))
