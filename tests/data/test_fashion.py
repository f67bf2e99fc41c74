"""Fashion-MNIST from idx files written here byte by byte, and from the real ones if present."""

from __future__ import annotations

import gzip
import inspect
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from genviews.data import fashion
from genviews.data.fashion import fashion_mnist, labelled_subset, pad_pixels, read_idx
from genviews.data.images import ImageSet

REAL = Path("/usr/share/datasets/fashion-mnist")


def idx(array: np.ndarray) -> bytes:
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return header + array.astype(np.uint8).tobytes()


def pictures(count: int) -> np.ndarray:
    """Pictures whose first two pixels are their index; the last pixel is 255."""
    x = np.zeros((count, 28, 28), np.uint8)
    x[:, 0, 0], x[:, 0, 1] = np.arange(count) // 256, np.arange(count) % 256
    x[:, 27, 27] = 255
    return x


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Both pairs of files: the training pair plain, the test pair gzipped."""
    folder = tmp_path_factory.mktemp("fashion")
    (folder / "train-images-idx3-ubyte").write_bytes(idx(pictures(60_000)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(np.arange(60_000) % 10))
    for name, array in (
        ("images-idx3", pictures(10_000)),
        ("labels-idx1", np.arange(10_000) // 1000),
    ):
        data = gzip.compress(idx(array), compresslevel=1)
        (folder / f"t10k-{name}-ubyte.gz").write_bytes(data)
    return folder


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data on the system, no variable, no network."""

    def no_download(root, *, train, download):
        raise RuntimeError("no network")

    monkeypatch.delenv("GENVIEWS_DATA", raising=False)
    monkeypatch.setattr(fashion, "_SYSTEM_FOLDER", tmp_path / "absent")
    monkeypatch.setattr("torchvision.datasets.FashionMNIST", no_download)


class TestSplits:
    @pytest.mark.parametrize(
        ("split", "first", "count"),
        [("train", 0, 55_000), ("val", 55_000, 5_000), ("test", 0, 10_000)],
    )
    def test_rows_of_the_files(self, root, split, first, count):
        images = fashion_mnist(split, root)
        assert images.images.shape == (count, 1, 32, 32)
        numbers = ((images.images[:, 0, 2, 2:4] + 1) * 127.5).round().long()
        rows = torch.arange(first, first + count)
        assert torch.equal(numbers[:, 0] * 256 + numbers[:, 1], rows)
        wanted = rows // 1000 if split == "test" else rows % 10
        assert torch.equal(images.labels, wanted)
        assert images.ids[0] == f"{split}-00000"
        assert images.ids[-1] == f"{split}-{count - 1:05d}"
        assert (len(images.class_names), images.class_names[9]) == (10, "Ankle boot")

    def test_unknown_split(self, root):
        unchecked = inspect.unwrap(fashion_mnist)  # without the tests' runtime type checks
        with pytest.raises(ValueError, match=r"Fashion-MNIST split: .* did you mean 'train'"):
            unchecked("trian", root)

    @pytest.mark.skipif(not REAL.exists(), reason="the data set is not installed")
    def test_real_files_agree_with_a_plain_reading(self, monkeypatch):
        monkeypatch.delenv("GENVIEWS_DATA", raising=False)
        images = fashion_mnist("test")
        raw = gzip.decompress((REAL / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
        pixels = np.frombuffer(raw, np.uint8).reshape(-1, 28, 28)[::100].astype(np.float64)
        wanted = np.full((100, 32, 32), -1.0)
        wanted[:, 2:30, 2:30] = pixels / 127.5 - 1
        np.testing.assert_allclose(images.images[::100, 0].double().numpy(), wanted, atol=1e-7)
        assert images.labels.bincount().tolist() == [1000] * 10
        shoes = [images.class_names[i] for i in images.labels[:3].tolist()]
        assert shoes == ["Ankle boot", "Pullover", "Trouser"]


class TestWhereItIsFound:
    def test_variable(self, root, nowhere, monkeypatch):
        monkeypatch.setenv("GENVIEWS_DATA", str(root))
        assert len(fashion_mnist("test")) == 10_000

    @pytest.mark.parametrize("below", ["fashion-mnist", "FashionMNIST/raw"])
    def test_subfolders(self, root, nowhere, tmp_path, below):
        (tmp_path / below).parent.mkdir(exist_ok=True)
        (tmp_path / below).symlink_to(root)
        assert len(fashion_mnist("test", tmp_path)) == 10_000

    def test_system_folder(self, root, nowhere, monkeypatch):
        monkeypatch.setattr(fashion, "_SYSTEM_FOLDER", root)
        assert len(fashion_mnist("test")) == 10_000

    def test_a_given_root_is_the_only_place(self, root, nowhere, monkeypatch, tmp_path):
        monkeypatch.setenv("GENVIEWS_DATA", str(root))
        with pytest.raises(
            FileNotFoundError, match=f"its files, got {tmp_path}; install the Debian"
        ):
            fashion_mnist("test", tmp_path)

    def test_nowhere_says_what_to_install(self, nowhere):
        with pytest.raises(
            FileNotFoundError, match="dataset-fashion-mnist, or point `root`"
        ) as error:
            fashion_mnist("val")
        assert "download failed (RuntimeError: no network)" in str(error.value)

    @pytest.mark.parametrize("keep", [True, False])
    def test_download(self, root, nowhere, monkeypatch, tmp_path, keep):
        folders = []

        def download(folder, *, train, download):
            assert (train, download) == (False, True)
            folders.append(Path(folder))
            (Path(folder) / "FashionMNIST").mkdir(parents=True)
            (Path(folder) / "FashionMNIST/raw").symlink_to(root)

        monkeypatch.setattr("torchvision.datasets.FashionMNIST", download)
        if keep:
            monkeypatch.setenv("GENVIEWS_DATA", str(tmp_path / "kept"))
        assert len(fashion_mnist("test")) == 10_000
        assert folders[0].exists() == keep
        assert (folders[0] == tmp_path / "kept") == keep

    def test_download_that_brings_nothing(self, nowhere, monkeypatch):
        monkeypatch.setattr("torchvision.datasets.FashionMNIST", lambda *a, **k: None)
        with pytest.raises(FileNotFoundError, match="nothing after a download"):
            fashion_mnist("val")


class TestReadIdx:
    @pytest.mark.parametrize("shape", [(3,), (2, 4, 5), (1, 2, 3, 4), (0,)])
    @pytest.mark.parametrize("end", ["", ".gz"])
    def test_array(self, tmp_path, shape, end):
        array = np.random.default_rng(0).integers(0, 256, shape)
        path = tmp_path / f"array{end}"
        path.write_bytes(gzip.compress(idx(array)) if end else idx(array))
        found = read_idx(path, shape)
        assert found.dtype == torch.uint8
        np.testing.assert_array_equal(found, array)

    GOOD = idx(np.arange(12).reshape(3, 4))

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "got 0 bytes"),
            (GOOD[:7], "got 7 bytes"),
            (GOOD[:-1], r"expected 24 bytes, .* of shape \(3, 4\), got 23 bytes"),
            (GOOD + b"x", "got 25 bytes"),
            (b"\x00\x00\x0d" + GOOD[3:], r"got 24 bytes that begin with b'\\x00\\x00\\r"),  # floats
            (b"<html>not found</html>", "that begin with b'<html"),
        ],
    )
    def test_corrupt(self, tmp_path, data, message):
        for name, content in (("plain", data), ("packed.gz", gzip.compress(data))):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(ValueError, match=f"{name}: .*{message}.*; the file is truncated"):
                read_idx(tmp_path / name, (3, 4))

    def test_every_truncation_of_a_gzip_file(self, tmp_path):
        whole = gzip.compress(idx(np.arange(200) % 7))
        path = tmp_path / "cut.gz"
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            with pytest.raises(ValueError, match="truncated or corrupt"):
                read_idx(path, (200,))

    def test_flipped_byte_of_a_gzip_file(self, tmp_path):
        whole = bytearray(gzip.compress(idx(np.arange(200) % 7)))
        whole[len(whole) // 2] ^= 0xFF
        (tmp_path / "bad.gz").write_bytes(whole)
        with pytest.raises(ValueError, match="a complete gzip file"):
            read_idx(tmp_path / "bad.gz", (200,))

    @pytest.mark.parametrize(
        ("name", "array", "message"),
        [
            ("images-idx3", pictures(99), r"t10k-images.* of shape \(10000, 28, 28\)"),
            ("labels-idx1", np.zeros(99), r"t10k-labels.* of shape \(10000,\)"),
            ("labels-idx1", np.full(10_000, 10), "t10k-labels.*up to 10"),
        ],
    )
    def test_files_of_another_data_set(self, root, tmp_path, name, array, message):
        for kind in ("images-idx3", "labels-idx1"):
            (tmp_path / f"t10k-{kind}-ubyte.gz").symlink_to(root / f"t10k-{kind}-ubyte.gz")
        (tmp_path / f"t10k-{name}-ubyte.gz").unlink()
        (tmp_path / f"t10k-{name}-ubyte").write_bytes(idx(np.asarray(array)))
        with pytest.raises(ValueError, match=message):
            fashion_mnist("test", tmp_path)


def test_pad_pixels():
    pixels = torch.arange(256).repeat(4)[:784].reshape(1, 28, 28).byte()
    padded = pad_pixels(pixels)
    assert padded.shape == (1, 1, 32, 32)
    assert torch.equal(padded[0, 0, 2:30, 2:30], pixels[0].float() / 127.5 - 1)
    assert float(padded.sum()) == pytest.approx(float((pixels / 127.5 - 1).sum()) - (1024 - 784))


class TestLabelledSubset:
    def images(self, labels):
        n = len(labels)
        ids = tuple(f"i{k}" for k in range(n))
        return ImageSet(
            images=torch.zeros(n, 1, 1, 1),
            ids=ids,
            labels=torch.tensor(labels),
            class_names=("a", "b"),
        )

    def test_first_of_each_class_in_file_order(self):
        chosen = labelled_subset(self.images([1, 1, 0, 1, 0, 0, 1]), per_class=2)
        assert chosen.ids == ("i0", "i1", "i2", "i4")

    def test_a_class_with_too_few(self):
        with pytest.raises(ValueError, match="at least 2 images of each class, got 1 of 'b'"):
            labelled_subset(self.images([0, 0, 1]), per_class=2)

    def test_without_labels(self):
        with pytest.raises(ValueError, match="image set: expected labels, got none"):
            labelled_subset(ImageSet(images=torch.zeros(1, 1, 1, 1), ids=("a",)))

    def test_no_images(self):
        with pytest.raises(ValueError, match="images per class: expected an integer of at least 1"):
            labelled_subset(self.images([0, 1]), per_class=0)
