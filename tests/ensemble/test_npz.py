"""The reference's evaluation files: read, written, and refused when they do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genviews.ensemble.npz import export_npz, import_npz
from genviews.ensemble.weigh import Ensemble

NAMES = ("class 0", "class 1", "class 2")


def reference_file(path, **changes):
    """A file as the reference code writes it: 5 images, 3 classes, 4 views."""
    rng = np.random.default_rng(0)
    probs = {
        k: rng.dirichlet(np.ones(3), (5, n)) for k, n in (("original", 1), ("reconstructed", 1))
    }
    arrays = {
        **probs,
        "isotropic_fine_0.30": rng.dirichlet(np.ones(3), (5, 4)).astype(np.float32),
        "label": np.array([[0], [1], [2], [0], [1]]),
        "random_seed": np.array(2),
    }
    np.savez(path, **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    return arrays


def test_reading_gives_back_the_probabilities(tmp_path):
    arrays = reference_file(tmp_path / "a.npz")
    bank = import_npz(tmp_path / "a.npz", class_names=NAMES, split="val")
    assert set(bank.logits) == {"image", "reconstruction", "isotropic_fine_0.30"}
    assert bank.labels.tolist() == [0, 1, 2, 0, 1]
    assert bank.ids == ("0", "1", "2", "3", "4")
    assert bank.meta == {"seed": 2}
    for key, name in (("image", "original"), ("reconstruction", "reconstructed")):
        np.testing.assert_allclose(bank.probs(key).numpy(), arrays[name], atol=1e-6)
    np.testing.assert_allclose(
        bank.probs("isotropic_fine_0.30").numpy(), arrays["isotropic_fine_0.30"], atol=1e-6
    )
    Ensemble("isotropic_fine_0.30").fit(bank)


def test_a_probability_of_zero_stays_zero(tmp_path):
    sure = np.array([[[1.0, 0.0, 0.0]]] * 5)
    reference_file(tmp_path / "a.npz", original=sure)
    bank = import_npz(tmp_path / "a.npz", class_names=NAMES, split="val")
    np.testing.assert_allclose(bank.probs("image").numpy(), sure, atol=1e-30)


def test_round_trip(make_bank, tmp_path):
    bank = make_bank()
    export_npz(bank, tmp_path / "b.npz", random_seed=7)
    with np.load(tmp_path / "b.npz") as file:
        assert set(file.files) == {"original", "reconstructed", "fine", "label", "random_seed"}
        assert file["original"].shape == (40, 1, 3)
        assert file["fine"].shape == (40, 5, 3)
        assert file["label"].shape == (40, 1)
        assert int(file["random_seed"]) == 7
    back = import_npz(tmp_path / "b.npz", class_names=bank.class_names, split="val", ids=bank.ids)
    assert torch.equal(back.labels, bank.labels)
    for key in bank.logits:
        torch.testing.assert_close(back.probs(key), bank.probs(key), atol=1e-6, rtol=1e-5)


def test_binary_files_have_no_class_axis(make_bank, tmp_path):
    bank = make_bank(classes=2)
    export_npz(bank, tmp_path / "b.npz", binary=True)
    with np.load(tmp_path / "b.npz") as file:
        assert file["fine"].shape == (40, 5)
        present = torch.sigmoid(bank.logits["fine"][..., 1] - bank.logits["fine"][..., 0])
        np.testing.assert_allclose(file["fine"], present.numpy(), atol=1e-6)
    back = import_npz(tmp_path / "b.npz", class_names=("no", "yes"), split="val")
    torch.testing.assert_close(back.probs("fine"), bank.probs("fine"), atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="binary export: expected 2 classes, got 3"):
        export_npz(make_bank(), tmp_path / "c.npz", binary=True)


@pytest.mark.parametrize("images", [2, 40])
def test_two_classes_with_an_axis_of_their_own_stay_two(make_bank, tmp_path, images):
    """Whether a file is binary is said by its axes and its classes, for any number of images."""
    bank = make_bank(classes=2).select(slice(images))
    export_npz(bank, tmp_path / "b.npz")
    back = import_npz(tmp_path / "b.npz", class_names=("no", "yes"), split="val")
    for key in bank.logits:
        torch.testing.assert_close(back.probs(key), bank.probs(key), atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match=r"'original'.*shape"):
        import_npz(tmp_path / "b.npz", class_names=("a", "b", "c"), split="val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"original": None}, "expected an array 'original'"),
        ({"original": np.ones((5, 1, 4)) / 4}, r"'original'.*shape \(5, K, 3\)"),
        ({"original": np.ones((5, 1, 3))}, "probabilities that add up to 1"),
        ({"original": np.array([[[1.5, -0.5, 0.0]]] * 5)}, "a least value of -0.5"),
        ({"original": np.full((5, 1, 3), np.nan)}, "a least value of nan"),
        ({"reconstructed": np.ones((4, 1, 3)) / 3}, r"'reconstructed'.*shape \(5, K, 3\)"),
    ],
)
def test_other_files_are_refused(tmp_path, changes, message):
    reference_file(tmp_path / "a.npz", **changes)
    with pytest.raises(ValueError, match=message):
        import_npz(tmp_path / "a.npz", class_names=NAMES, split="val")
