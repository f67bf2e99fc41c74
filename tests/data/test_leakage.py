"""Copies in two splits: the same pixels are refused, and what looks like a copy is told."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate

from benchmarks import near_copies
from genviews.data.images import ImageSet
from genviews.data.leakage import check_leakage
from genviews.data.source import MemorySource
from genviews.studies.gates import gates_of_copies


def pictures(count, *, side=96, seed=0, channels=3):
    """Soft noise: pictures with coarse and fine structure, 8 bits of it."""
    random = torch.Generator().manual_seed(seed)
    found = torch.zeros(count, channels, side, side)
    for cells in (4, 12, 36):
        noise = torch.randn(count, channels, cells, cells, generator=random)
        found += interpolate(noise, size=(side, side), mode="bicubic") / cells**0.5
    return ((found / 3).clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1


def saved_again(images, quality=75):
    made = []
    for image in images:
        eight = ((image + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(eight).save(file, "JPEG", quality=quality)
        made.append(torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) / 127.5 - 1)
    return torch.stack(made)


def halved(images):
    small = interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    return interpolate(small, size=images.shape[2:], mode="bilinear").clamp(-1, 1)


def source(images, name):
    ids = tuple(f"{name}/{place}.png" for place in range(len(images)))
    return MemorySource(ImageSet(images=images, ids=ids))


@pytest.mark.parametrize("copy", [saved_again, halved, lambda x: 0.8 * x + 0.1])
def test_copies_with_other_pixels_are_told_by_name_and_not_refused(copy):
    first, second = pictures(12), pictures(9, seed=1)
    second[4], second[7] = copy(first[10:11])[0], copy(first[3:4])[0]
    parts = {"one": source(first, "a"), "two": source(second, "b")}
    copies, told = check_leakage(parts, pixels=True)
    assert copies == {"one": (0, 12), "two": (0, 9)}
    assert told.startswith(
        "2 pictures of two are as alike to one of one as a copy that was saved or resized again: "
        "'b/4.png' and 'a/10.png', 'b/7.png' and 'a/3.png'. Look at these pairs"
    )
    *_, gate = gates_of_copies(parts)
    assert (gate.found, gate.passed, gate.noted) == (told, True, True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pictures(30), pictures(30, seed=1)),
        (pictures(2, side=32), saved_again(pictures(2, side=32))),  # too small to tell
        (torch.full((1, 3, 64, 64), -0.5), torch.full((1, 3, 64, 64), 0.5)),  # no contrast
        (pictures(3), torch.full((1, 3, 96, 96), 0.5)),
    ],
    ids=["others", "small", "flat", "one flat"],
)
def test_others_are_not_told(first, second):
    parts = {"one": source(first, "a"), "two": source(second, "b")}
    assert check_leakage(parts, pixels=True)[1] == check_leakage(parts)[1] == ""
    assert not any(gate.name.startswith("pictures of two") for gate in gates_of_copies(parts))


def test_the_benchmark(tmp_path, capsys):
    found = near_copies.main(quick=True, out=tmp_path / "found.json")
    assert found["taken_for_copies"]["clothes, 64x64"] == 0
    assert min(found["copies_found"]["clothes, 64x64"].values()) > 0.95


def test_reading_a_large_set_says_how_far_it_is():
    parts = {"one": source(pictures(1100, side=4), "a"), "two": source(pictures(3, side=4), "b")}
    told = []
    check_leakage(parts, pixels=True, progress=lambda *step: told.append(step))
    assert {step[:2] for step in told} == {("look for copies", "images")}
    assert [step[2:] for step in told] == [
        (done, 1103) for done in (0, 512, 1024, 1100, 1100, 1103)
    ]
