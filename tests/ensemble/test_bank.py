"""The bank keeps logits whole: schema, selection, joining, files."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.ensemble.bank import PredictionBank


def test_probs_are_the_softmax_in_float64(make_bank):
    bank = make_bank()
    expected = torch.exp(bank.logits["fine"].double())
    expected = expected / expected.sum(-1, keepdim=True)
    assert bank.probs("fine").dtype == torch.float64
    torch.testing.assert_close(bank.probs("fine"), expected)


def test_accuracy_is_that_of_the_images(make_bank):
    bank = make_bank()
    right = [
        int(torch.argmax(bank.logits["image"][i, 0])) == int(bank.labels[i]) for i in range(40)
    ]
    assert bank.accuracy() == sum(right) / 40
    assert bank.view_keys == ("fine",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a", "a")}, r"ids: expected all different, got 'a' more than once"),
        ({"ids": ("a", "b", "c")}, r"labels: expected 3 integers"),
        ({"labels": torch.tensor([0, 2])}, "expected classes from 0 to 1, got labels from 0 to 2"),
        ({"logits": {"fine": torch.zeros(2, 3, 2)}}, "expected 'image' among them"),
        ({"logits": {"image": torch.zeros(2, 2, 2)}}, r"'image'.*shape \(2, 1, 2\)"),
        ({"logits": {"image": torch.zeros(2, 1, 3)}}, r"shape \(2, 1, 2\).*\(2, 1, 3\)"),
        (
            {"labels": None, "logits": {"image": torch.zeros(3, 1, 2)}},
            r"shape \(2, 1, 2\).*\(3, 1, 2\)",
        ),
        (
            {"logits": {"image": torch.tensor([[[0.0, 1.0]], [[torch.nan, 0.0]]])}},
            r"finite numbers, got others in b;",
        ),
    ],
)
def test_schema(change, message):
    good = {
        "ids": ("a", "b"),
        "labels": torch.tensor([0, 1]),
        "class_names": ("cat", "dog"),
        "split": "val",
        "logits": {"image": torch.zeros(2, 1, 2)},
    }
    PredictionBank(**good)
    with pytest.raises(ValueError, match=message):
        PredictionBank(**{**good, **change})


def test_no_images_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        PredictionBank(
            ids=(),
            labels=None,
            class_names=("a", "b"),
            split="val",
            logits={"image": torch.zeros(0, 1, 2)},
        )


def test_unknown_key_lists_close_ones(make_bank):
    with pytest.raises(ValueError, match="did you mean 'fine'"):
        make_bank().get("fnie")


def test_unlabelled_bank_has_no_accuracy(make_bank):
    with pytest.raises(ValueError, match="need labelled images"):
        replace(make_bank(), labels=None).accuracy()


def test_select_takes_a_mask(make_bank):
    bank = make_bank()
    mask = torch.zeros(len(bank), dtype=torch.bool)
    mask[[1, 5]] = True
    for chosen in (mask, mask.tolist(), mask.numpy()):
        some = bank.select(chosen)
        assert some.ids == ("calibration-1", "calibration-5")
        assert torch.equal(some.logits["fine"], bank.logits["fine"][[1, 5]])
    for wrong in (mask[:-1], [len(bank)], [-1], []):
        with pytest.raises(ValueError, match="indices: expected"):
            bank.select(wrong)


@pytest.mark.parametrize("rows", [[3, 1, 7], torch.tensor([3, 1, 7])])
def test_select_keeps_everything_aligned(make_bank, rows):
    bank = make_bank()
    some = bank.select(rows)
    assert some.ids == ("calibration-3", "calibration-1", "calibration-7")
    assert some.labels.tolist() == [0, 1, 1]
    assert torch.equal(some.logits["fine"], bank.logits["fine"][[3, 1, 7]])


def test_shards_join_to_the_whole(make_bank):
    bank = make_bank()
    joined = PredictionBank.concatenate([bank.select(slice(0, 15)), bank.select(slice(15, None))])
    assert joined.ids == bank.ids
    assert torch.equal(joined.labels, bank.labels)
    assert all(torch.equal(joined.logits[k], bank.logits[k]) for k in bank.logits)


def test_shards_must_agree(make_bank):
    with pytest.raises(ValueError, match="the same classes, split and keys"):
        PredictionBank.concatenate([make_bank(), make_bank(split="test")])
    with pytest.raises(ValueError, match="at least one"):
        PredictionBank.concatenate([])


@pytest.mark.parametrize("labelled", [True, False])
def test_file_round_trip(make_bank, tmp_path, labelled):
    bank = replace(make_bank(), meta={"seed": 3, "note": "x"})
    if not labelled:
        bank = replace(bank, labels=None)
    bank.save(tmp_path / "new" / "bank.safetensors")
    back = PredictionBank.load(tmp_path / "new" / "bank.safetensors")
    assert (back.ids, back.class_names, back.split) == (bank.ids, bank.class_names, bank.split)
    assert back.meta == bank.meta
    assert list(back.logits) == list(bank.logits)
    assert all(torch.equal(back.logits[k], bank.logits[k]) for k in bank.logits)
    assert back.labels is None if not labelled else torch.equal(back.labels, bank.labels)


def test_failed_save_leaves_the_old_file(make_bank, tmp_path):
    path = tmp_path / "bank.safetensors"
    bank = make_bank()
    bank.save(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        replace(bank, meta={"x": float("nan")}).save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bank.safetensors"]


@pytest.mark.parametrize("content", [b"not a bank at all", None])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "other.safetensors"
    if content is None:
        from safetensors.torch import save_file

        save_file({"w": torch.zeros(2)}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"file other.safetensors: expected (genviews.PredictionBa|a safetensors)"
    ):
        PredictionBank.load(path)
