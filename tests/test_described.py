"""What a file says of itself: JSON, and networks that are built from it."""

from __future__ import annotations

import json
from typing import ClassVar

import pytest
import torch
from torch import nn

from genviews.checks import fail
from genviews.described import at_most, described_by, parse_json, parse_object


class TestJSON:
    def test_a_value(self):
        assert parse_json('{"a": [1, 2.5, null]}', "x") == {"a": [1, 2.5, None]}

    @pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' * 100_000, b"\xff\xfe"])
    def test_anything_else_is_refused_by_name(self, text):
        with pytest.raises(ValueError, match="header of a: expected JSON"):
            parse_json(text, "header of a")

    @pytest.mark.parametrize("value", [[], 1, None, "x", True])
    def test_an_object_is_one(self, value):
        with pytest.raises(ValueError, match="card: expected a JSON object, got a "):
            parse_object(json.dumps(value), "card")


@pytest.mark.parametrize(
    "error",
    [
        KeyError("a"),
        TypeError("b"),
        RuntimeError("c\nstack of C++"),
        IndexError(),
        OverflowError("d"),
    ],
)
def test_whatever_is_raised_over_a_description_names_its_file(error):
    message = r"config in a\.json: expected sizes, got another one \([^\n]*\); it is damaged"
    with pytest.raises(ValueError, match=message), described_by("config in a.json", "sizes"):
        raise error


def test_a_package_that_is_absent_stays_such_an_error():
    with pytest.raises(ImportError, match="config"), described_by("config", "sizes"):
        raise ModuleNotFoundError("no timm")


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError])
def test_messages_stay(kind):
    with pytest.raises(kind, match="z_dim: expected 3"), described_by("config", "sizes"):
        raise kind("z_dim: expected 3.")


class TestAtMost:
    weights: ClassVar = dict(nn.Linear(64, 64).state_dict())

    def test_a_network_of_its_size_is_built(self):
        with at_most(self.weights):
            made = nn.Linear(64, 64)
        made.load_state_dict(self.weights)

    @pytest.mark.parametrize(
        "build",
        [
            lambda: nn.Linear(10**6, 10**6),  # 4 TB: nothing may be allocated first
            lambda: nn.Sequential(*(nn.Linear(2, 2) for _ in range(10**6))),
            lambda: nn.Conv2d(8000, 8000, 3, device="meta").to_empty(device="cpu"),
            lambda: torch.randn(10**12),
            lambda: torch.full((10**6, 10**6), 1.0),
        ],
    )
    def test_one_that_is_far_larger_is_not(self, build):
        with pytest.raises(ValueError, match="a far larger one"), at_most(self.weights):
            build()


def test_a_sentence_of_the_same_thing_stays_as_it_is():
    with (
        pytest.raises(ValueError, match=r"^a.json: expected 1, got 2; change it\.$"),
        described_by("a.json", "a config"),
    ):
        fail("a.json", expected=1, got=2, remedy="change it")
