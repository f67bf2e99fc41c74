"""Specs of images and latents: what they accept, what they resolve, what their errors say."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest
import torch

from genviews.style_rows import LayerRange, Layers
from genviews.types import ImageSpec, Inversion, LatentSpec, Status

IMAGES = ImageSpec(channels=3, height=4, width=6)
LATENTS = LatentSpec(
    space="w+",
    num_layers=8,
    dim=5,
    ranges=(
        LayerRange(name="coarse", start=0, stop=3),
        LayerRange(name="middle", start=3, stop=5),
        LayerRange(name="fine", start=5, stop=8),
    ),
)


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        IMAGES.channels = 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 0}, "channels of images: expected an integer of at least 1 and at most 4"),
        ({"channels": 5}, "channels of images: .* got 5; images are"),
        ({"height": -2}, "height of images: .* got -2"),
        ({"width": 0}, "width of images"),
        ({"range": (1.0, 0.0)}, "range of images: expected two finite numbers, the lower first"),
        ({"range": (0.0, float("nan"))}, "range of images"),
    ],
)
def test_a_spec_of_no_images_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(IMAGES, **changes)


@pytest.mark.parametrize("lead", [(), (2,), (2, 7), (0,)])
def test_image_spec_accepts_any_leading_axes(lead: tuple[int, ...]) -> None:
    assert IMAGES.shape == (3, 4, 6)
    IMAGES.check(torch.zeros(*lead, 3, 4, 6))
    IMAGES.check(torch.zeros(*lead, 3, 4, 6, dtype=torch.float16))


@pytest.mark.parametrize("shape", [(1, 4, 6), (3, 6, 4), (4, 6), (2, 3, 4, 7)])
def test_image_spec_names_the_shape_it_expects(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"photos: expected shape \(\.\.\., 3, 4, 6\), got \("):
        IMAGES.check(torch.zeros(shape), "photos")


def test_image_spec_says_how_to_convert_bytes() -> None:
    with pytest.raises(TypeError, match=r"got torch.uint8; convert uint8 with `x.float\(\) / 127"):
        IMAGES.check(torch.zeros(3, 4, 6, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("name", "start", "stop"),
    [
        ("coarse", 0, 3),
        ("fine", 5, 8),
        ("all", 0, 8),
        ("5-7", 5, 8),
        ("6", 6, 7),
        ("0-7", 0, 8),
        ((2, 3), 2, 4),
        ([3, 2], 2, 4),
        (range(5, 8), 5, 8),
        (slice(5, 8), 5, 8),
        (6, 6, 7),
        ((6,), 6, 7),
        (np.array([2, 3]), 2, 4),
        (torch.tensor([2, 3]), 2, 4),
        ({2, 3}, 2, 4),
        ((row for row in (3, 2)), 2, 4),
        (LayerRange(name="mine", start=1, stop=2), 1, 2),
    ],
)
def test_layers_resolve(name: Layers, start: int, stop: int) -> None:
    found = LATENTS.layers(name)
    assert found.indices == tuple(range(start, stop))
    assert found.rows == slice(start, stop)
    assert len(found) == stop - start


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ((2, 3, 4), "2-4"),
        ((2, 5), "2,5"),
        ([7, 0, 1, 2], "0-2,7"),
        (range(0, 8, 2), "0,2,4,6"),
        ("1,5-6", "1,5-6"),
        ("5,4", "4-5"),
    ],
)
def test_any_rows_are_named_by_their_bands(rows: Layers, name: str) -> None:
    found = LATENTS.layers(rows)
    assert found.name == name
    assert LATENTS.layers(name) == found
    assert torch.equal(torch.arange(8)[found.rows], torch.tensor(found.indices))


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ((), ValueError, "expected rows from 0 on, got none"),
        ((-1,), ValueError, r"rows from 0 on, got \(-1,\); name a range such as 'fine', or give"),
        (-1, ValueError, "rows from 0 on"),
        ((2, 2), ValueError, "all different, got 2 more than once; name each row once"),
        ("2,1-3", ValueError, "name each row once"),
        ((2, 9), ValueError, r"expected rows within 0-7, got rows 2,9"),
        (slice(5, None), ValueError, "a slice with both ends"),
        (slice(2, 2), ValueError, "rows from 0 on, got none"),
        ((2.0, 3.0), TypeError, "layers: expected rows, got"),
        (("coarse", "fine"), TypeError, "layers: expected rows, got"),
        (torch.tensor([False, True]), TypeError, "layers: expected rows"),
        (None, TypeError, "layers: expected rows, got None"),
        (True, TypeError, "layers: expected rows, got True"),
    ],
)
def test_rows_that_are_none_are_one_sentence(rows: Layers, error: type, message: str) -> None:
    layers = inspect.unwrap(LatentSpec.layers)  # without the type check of the tests
    with pytest.raises(error, match=message):
        layers(LATENTS, rows)


@pytest.mark.parametrize("name", ["8", "7-9", range(9), LayerRange(name="far", start=7, stop=11)])
def test_rows_past_the_last_are_refused(name: Layers) -> None:
    with pytest.raises(ValueError, match=r"expected rows within 0-7, got rows \d(-\d+)?;"):
        LATENTS.layers(name)


@pytest.mark.parametrize("name", ["fien", "", "-5", "5-", "1-2-3", "²"])
def test_unknown_names_list_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match="expected one of all, coarse, fine, middle, got"):
        LATENTS.layers(name)


def test_a_close_name_is_offered() -> None:
    with pytest.raises(ValueError, match="did you mean 'fine'"):
        LATENTS.layers("fien")


@pytest.mark.parametrize(("start", "stop"), [(3, 3), (4, 2), (-1, 2)])
def test_empty_or_negative_ranges_are_refused(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match=r"expected 0 <= start < stop, got start="):
        LayerRange(name="bad", start=start, stop=stop)


def test_a_range_that_runs_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layer range '7-5'"):
        LATENTS.layers("7-5")


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_latent_spec_accepts_any_leading_axes(lead: tuple[int, ...]) -> None:
    assert LATENTS.shape == (8, 5)
    LATENTS.check(torch.zeros(*lead, 8, 5))


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 8, 4), (8, 5, 1)])
def test_latent_spec_names_shape_and_space(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected shape \(\.\.\., 8, 5\) in w\+ space, got \("):
        LATENTS.check(torch.zeros(shape))


def test_inversion_lists_the_failed_images() -> None:
    status = torch.tensor([Status.CONVERGED, Status.FAILED, Status.STEP_LIMIT, Status.FAILED])
    inversion = Inversion(
        latents=torch.zeros(4, 8, 5),
        reconstructions=torch.zeros(4, 3, 4, 6),
        loss=torch.zeros(4),
        start_loss=torch.ones(4),
        status=status,
        steps=torch.zeros(4, dtype=torch.long),
        evaluations=torch.ones(4, dtype=torch.long),
    )
    assert len(inversion) == 4
    assert inversion.failed() == [1, 3]
