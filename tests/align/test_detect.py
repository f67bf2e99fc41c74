from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.align.aligners import FaceQuad
from genviews.align.detect import Detector, DlibLandmarks


@pytest.fixture(scope="module")
def photo():
    """The portrait that matplotlib ships: one face, near the middle of 512x600 pixels."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)


def box_of(dlib, photo):
    pixels = ((photo + 1) * 127.5).round().byte().permute(1, 2, 0).contiguous().numpy()
    (box,) = dlib.get_frontal_face_detector()(pixels, 0)
    return pixels, box


def places(box, count):
    """Landmarks in the proportions of a face for the box, in iBUG's order as far as FaceQuad reads.

    The others lie on a grid.
    """
    at = [(0.1 + 0.8 * (i % 9) / 8, 0.1 + 0.8 * (i // 9) / 7) for i in range(count)]
    if count == 68:
        at[36:42], at[42:48] = [(0.3, 0.35)] * 6, [(0.7, 0.35)] * 6
        at[48], at[54] = (0.36, 0.75), (0.64, 0.75)
    return [
        (round(box.left() + x * box.width()), round(box.top() + y * box.height())) for x, y in at
    ]


@pytest.fixture(scope="module")
def train(tmp_path_factory, photo):
    """Train a tiny shape predictor on the one portrait, which it then knows by heart."""
    dlib = pytest.importorskip("dlib")

    @cache
    def train(count):
        pixels, box = box_of(dlib, photo)
        options = dlib.shape_predictor_training_options()
        options.tree_depth = options.cascade_depth = options.num_test_splits = 2
        options.num_trees_per_cascade_level = options.oversampling_amount = 2
        options.feature_pool_size = 20
        options.num_threads = 1
        points = [dlib.point(*p) for p in places(box, count)]
        shape = dlib.full_object_detection(box, points)
        path = tmp_path_factory.mktemp("dlib") / f"{count}.dat"
        dlib.train_shape_predictor([pixels], [[shape]], options).save(str(path))
        return path, torch.tensor([(p.x, p.y) for p in points], dtype=torch.float64)

    return train


class TestDlib:
    def test_finds_the_landmarks_it_was_trained_on(self, train, photo):
        path, wanted = train(68)
        detector: Detector = DlibLandmarks(path, upsample=0)
        found = detector(photo)
        assert found.dtype == torch.float64
        assert torch.equal(found, wanted)
        aligned = FaceQuad(64).align(photo, found)
        assert aligned.mask.mean() == 1
        eye = aligned.to_source.inverse().at(*(wanted[36] + 0.5).tolist())
        assert 16 < eye[0] < 32
        assert 16 < eye[1] < 36

    def test_the_largest_face(self, train, photo):
        path, wanted = train(68)
        small = torch.nn.functional.interpolate(photo[None], scale_factor=0.6, mode="bilinear")[0]
        both = torch.full((3, 600, 512 + small.shape[2]), -1.0)
        both[:, : small.shape[1], : small.shape[2]] = small
        both[:, :, small.shape[2] :] = photo
        found = DlibLandmarks(path, upsample=0)(both)
        assert (found - wanted - torch.tensor([small.shape[2], 0])).abs().max() < 20

    def test_grey(self, train, photo):
        path, wanted = train(68)
        found = DlibLandmarks(path, upsample=0)(photo.mean(0, keepdim=True))
        assert (found - wanted).abs().max() < 20

    def test_dlib_sees_the_bytes_of_the_file(self, train, photo, monkeypatch):
        (path, _), seen = train(68), []

        def see(pixels, upsample):
            seen.append(pixels)

        monkeypatch.setattr("dlib.get_frontal_face_detector", lambda: see)
        for loud in (1.0, 1.3):  # beyond the range nothing wraps around
            assert DlibLandmarks(path)(loud * photo) is None
            wanted = (loud * photo).permute(1, 2, 0).double().numpy() * 127.5 + 127.5
            assert seen[-1].dtype == np.uint8
            assert np.abs(seen[-1] - wanted.clip(0, 255)).max() < (0.01 if loud == 1 else 0.51)

    def test_no_face(self, train):
        path, _ = train(68)
        assert DlibLandmarks(path)(torch.zeros(3, 90, 90)) is None

    def test_other_predictors_are_refused(self, train, photo):
        path, _ = train(5)
        with pytest.raises(ValueError, match=r"5\.dat: expected 68, one for each place .*, got 5"):
            DlibLandmarks(path, upsample=0)(photo)

    def test_channels(self, train):
        path, _ = train(68)
        with pytest.raises(ValueError, match="expected 1 or 3 channels, got 4"):
            DlibLandmarks(path)(torch.zeros(4, 9, 9))

    def test_prints_as_its_call(self, train):
        path, _ = train(68)
        assert repr(DlibLandmarks(path)) == f"DlibLandmarks({str(path)!r}, upsample=1)"

    def test_no_predictor(self, tmp_path):
        pytest.importorskip("dlib")
        with pytest.raises(FileNotFoundError, match=r"shape predictor .*68\.dat: .* no file"):
            DlibLandmarks(tmp_path / "68.dat")

    def test_another_file(self, tmp_path):
        pytest.importorskip("dlib")
        path = tmp_path / "68.dat.bz2"
        path.write_bytes(b"BZh9 and so on")
        with pytest.raises(ValueError, match=r"got another kind of file .*unpack the \.bz2"):
            DlibLandmarks(path)


class TestWithoutDlib:
    def test_the_extra_is_named(self, monkeypatch, tmp_path):
        monkeypatch.setitem(sys.modules, "dlib", None)
        with pytest.raises(
            ModuleNotFoundError, match=r"install it with `pip install 'genviews\[al"
        ):
            DlibLandmarks(tmp_path / "68.dat")

    def test_any_callable_is_a_detector(self):
        def middle(image):
            return torch.tensor([[image.shape[2] / 2, image.shape[1] / 2]])

        detector: Detector = middle
        assert detector(torch.zeros(3, 4, 6)).tolist() == [[3, 2]]
