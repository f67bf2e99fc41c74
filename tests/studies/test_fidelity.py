"""Shares of kept, copied and corrected answers, counted by hand."""

import inspect

import pytest
import torch

from genviews.studies.fidelity import class_fidelity


def naive(before, after, truth):
    pairs = list(zip(before, after, truth, strict=True))
    right = [p for p in pairs if p[0] == p[2]]
    wrong = [p for p in pairs if p[0] != p[2]]
    return {
        "agreement": (sum(b == a for b, a, _ in pairs), len(pairs)),
        "kept": (sum(b == a for b, a, _ in right), len(right)),
        "copied": (sum(b == a for b, a, _ in wrong), len(wrong)),
        "corrected": (sum(a == t for _, a, t in wrong), len(wrong)),
    }


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_a_plain_loop(seed):
    rng = torch.Generator().manual_seed(seed)
    before, after, truth = torch.randint(3, (3, 40), generator=rng)
    found = class_fidelity(before, after, truth)
    for name, (count, total) in naive(before.tolist(), after.tolist(), truth.tolist()).items():
        share = getattr(found, name)
        assert (share.count, share.total) == (count, total)
        assert share.share == count / total
        assert share.interval[0] <= share.share <= share.interval[1]


def test_a_perfect_classifier_has_no_mistakes_to_copy():
    truth = torch.tensor([0, 1, 2])
    found = class_fidelity(truth, truth, truth)
    assert (found.copied.total, found.copied.share, found.copied.interval) == (0, 0.0, (0.0, 1.0))
    assert found.kept.share == 1.0


def test_different_lengths_are_refused():
    unchecked = inspect.unwrap(class_fidelity)  # without the tests' runtime type checks
    with pytest.raises(ValueError, match="expected one for each label, got 2 and 3 for 3"):
        unchecked(torch.zeros(2).long(), torch.zeros(3).long(), torch.zeros(3).long())
