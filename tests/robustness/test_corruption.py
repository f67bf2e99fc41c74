"""Corruptions by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genviews.robustness.corruption import KINDS, SCALES, Published, corruption

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("noise:2", "gaussian_noise:2"),
        ("blur:5@imagenet-c", "gaussian_blur:5@imagenet-c"),
        ("jpeg_compression:1@cifar-c", "jpeg:1"),
    ],
)
def test_a_name_stands_for_a_corruption(word: str, name: str) -> None:
    assert corruption(word).name == name
    assert corruption(name) == corruption(word)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("nois:2", "did you mean 'noise'"),
        ("brightnes:2", "did you mean 'brightness'"),
        ("noise", "severity from 1 to 5 behind a colon, got none; write noise:3"),
        ("noise:", "got ''"),
        ("noise:two", "got 'two'"),
        ("noise:-1", "got '-1'"),
        ("noise:2.5", "got '2.5'"),
        ("noise:0", "at least 1 and at most 5, got 0"),
        ("noise:6@imagenet-c", "at most 5, got 6"),
        ("noise:2@", "scale of a corruption"),
        ("noise:2@cifar", "did you mean 'cifar-c'"),
        ("", "kind of corruption"),
    ],
)
def test_a_word_that_is_none_is_told(word: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        corruption(word)


def told(numbers: Published, scale: str) -> str:
    """The numbers of five severities, as the page has them."""
    words = [[f"{number:.3g}" for number in one] for one in numbers[scale]]
    return ", ".join(one[0] if len(one) == 1 else f"({', '.join(one)})" for one in words)


def test_the_page_has_each_kind_with_its_numbers() -> None:
    page = (ROOT / "docs/robustness.md").read_text(encoding="utf-8")
    for kind in KINDS:
        (line,) = re.findall(rf"^\| `{kind}` \|.*$", page, re.MULTILINE)
        cells = [cell.strip() for cell in line.split("|")]
        assert cells[3:5] == [told(KINDS[kind].published, scale) for scale in SCALES]
