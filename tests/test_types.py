"""Specs of images and latents: what they accept, what they resolve, what their errors say."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from genviews.types import ImageSpec, Inversion, LatentSpec, LayerRange, Status

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
        ((2, 4), 2, 4),
        (LayerRange(name="mine", start=1, stop=2), 1, 2),
    ],
)
def test_layers_resolve(name: str | tuple[int, int] | LayerRange, start: int, stop: int) -> None:
    found = LATENTS.layers(name)
    assert (found.start, found.stop) == (start, stop)
    assert found.rows == slice(start, stop)
    assert len(found) == stop - start


def test_a_pair_is_named_by_its_first_and_last_row() -> None:
    assert LATENTS.layers((2, 5)).name == "2-4"
    assert LATENTS.layers(LATENTS.layers((2, 5)).name) == LATENTS.layers((2, 5))


@pytest.mark.parametrize("name", ["8", "7-9", (0, 9), LayerRange(name="far", start=7, stop=11)])
def test_rows_past_the_last_are_refused(name: str | tuple[int, int] | LayerRange) -> None:
    with pytest.raises(ValueError, match=r"expected rows within 0-7, got rows \d-\d+"):
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
