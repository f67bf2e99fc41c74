"""Classes that a conditional generator is told: integers of any width, and nothing else."""

from __future__ import annotations

import pytest
import torch

from genviews import Rng, ToyGenerator, render
from genviews.generators.callable import CallableGenerator, z_space

CONDITIONAL = ToyGenerator(num_classes=3)
GENERATORS = {
    "toy": CONDITIONAL,
    "in z space": z_space(CONDITIONAL),
    "callable": CallableGenerator(
        lambda z, c: (z + c.sum(1, keepdim=True)).tanh().reshape(-1, 1, 2, 2), 4, num_classes=3
    ),
}
WHOLE = torch.tensor([2, 0, 1])


pytestmark = pytest.mark.as_installed


@pytest.fixture(params=GENERATORS)
def generator(request):
    return GENERATORS[request.param]


def images(generator, label):
    latents = generator.map(generator.sample(Rng(0).streams(range(3))), label)
    return generator.synthesize(latents, label)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.int8, torch.uint8])
def test_any_integers_are_the_same_classes(generator, dtype):
    assert torch.equal(images(generator, WHOLE.to(dtype)), images(generator, WHOLE))


@pytest.mark.parametrize("label", [[2, 0, 1], WHOLE.bool(), WHOLE[:2], WHOLE.repeat(2)])
def test_rendering_takes_one_for_each_image(generator, label):
    latents = generator.map(generator.sample(Rng(0).streams(range(3))), WHOLE)
    with pytest.raises(ValueError, match="label: expected 3 class indices"):
        render(generator, latents, label=label)


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (None, "got none"),
        ([2, 0, 1], "got a list"),
        (WHOLE.bool(), r"got \(3,\) in \[False, True\] of bool"),
        (WHOLE.float(), "of float32"),
        (WHOLE * float("nan"), r"in \[nan, nan\] of float32"),
        (WHOLE[:2], r"got \(2,\)"),
        (WHOLE[:, None], r"got \(3, 1\)"),
        (WHOLE[:0], r"got \(0,\) of int64"),
        (WHOLE + 1, r"in \[1, 3\]"),
        (WHOLE - 1, r"in \[-1, 1\]"),
    ],
)
def test_anything_else_is_one_sentence(generator, label, got):
    with pytest.raises(ValueError, match=rf"label: expected 3 class indices in \[0, 3\), .*{got}"):
        images(generator, label)
