"""Gates of the answers to reconstructions and views."""

from __future__ import annotations

import pytest
import torch

from genviews.gates.views import class_gate, drawn_gate, number_gate

NAMES = ("a", "b", "c")


class TestClasses:
    def test_all_of_one_class(self):
        before = torch.arange(60) % 3
        gate = class_gate(before, torch.ones_like(before), ("a", "b", "c"))
        assert not gate.passed
        assert "calls 60 of 60 reconstructions 'b', but 33 % of the images" in gate.found

    def test_as_the_images(self):
        before = torch.arange(60) % 3
        assert class_gate(before, before, ("a", "b", "c")).passed
        rare = (torch.arange(60) % 20 == 0).long()
        assert class_gate(rare, torch.zeros_like(rare), ("a", "b")) is None
        assert class_gate(before[:4], torch.zeros(4).long(), ("a", "b", "c")).passed


def test_a_generator_that_draws_another_class_than_it_is_told():
    before = torch.arange(120) % 3
    after = torch.where(torch.arange(120) % 5 == 0, (before + 1) % 3, before)
    assert drawn_gate(before, after, NAMES).passed
    gate = drawn_gate(before, (after + 1) % 3, NAMES)
    assert not gate.passed
    assert " reconstructions are right as given" in gate.found
    assert "--generator-class-names" in gate.remedy


@pytest.mark.parametrize(("plain", "passed"), [(1, True), (30, False)])
def test_answers_to_views_that_are_no_numbers(plain, passed):
    """That to the image stands for those: for few images a note, for many no verdict."""
    gate = number_gate(plain, 100, "test images")
    assert gate.found.startswith(f"For {plain} of 100 test images the answer to the image itself")
    assert (gate.passed, gate.noted, gate.decides) == (passed, True, True)
    assert number_gate(0, 100, "test images") is None
