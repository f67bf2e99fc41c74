"""Filters along axes, at every border, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from genviews.robustness.filters import along_axes, at_places, beyond, gaussian


@pytest.mark.parametrize("border", ["reflect", "mirror", "nearest"])
def test_borders_are_those_of_scipy(border) -> None:
    line = np.random.default_rng(0).random((4, 6))
    found = gaussian(torch.from_numpy(line), 3.0, border=border)
    wanted = ndimage.gaussian_filter(line, 3.0, mode=border, truncate=4.0)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)
    assert beyond(np.arange(-9, 9), 1, border).tolist() == [0] * 18


def test_matrices_act_along_their_axes() -> None:
    images, rows, columns = torch.rand(2, 3, 4, 5), torch.rand(6, 4), torch.rand(7, 5)
    naive = torch.zeros(2, 3, 6, 7)
    for k, m, i, j in np.ndindex(6, 7, 4, 5):
        naive[:, :, k, m] += rows[k, i] * columns[m, j] * images[:, :, i, j]
    torch.testing.assert_close(along_axes(images, rows, columns), naive)


@pytest.mark.parametrize("border", ["reflect", "mirror"])
@pytest.mark.parametrize("size", [(4, 5), (1, 3)])
def test_places_between_pixels_are_those_of_scipy(border, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image, places = rng.random(size), rng.uniform(-9, 12, (2, 6, 7))
    given = torch.from_numpy(places[::-1].copy()).movedim(0, -1)[None]
    found = at_places(torch.from_numpy(image)[None, None], given, border)[0, 0]
    wanted = ndimage.map_coordinates(image, places, order=1, mode=border)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)
