from __future__ import annotations

import numpy as np
import pytest

from genviews.align.warp import Affine

FIRST = Affine(0.5, -1.25, 3.0, 2.0, 0.75, -4.0)
SECOND = Affine(-1.5, 0.25, 1.0, 0.5, 2.0, 7.0)


def matrix(a):
    return np.array([[a.xx, a.xy, a.x0], [a.yx, a.yy, a.y0], [0, 0, 1]])


def test_composition_and_inverse_are_those_of_matrices():
    np.testing.assert_allclose(matrix(SECOND.after(FIRST)), matrix(SECOND) @ matrix(FIRST))
    np.testing.assert_allclose(matrix(FIRST.inverse()), np.linalg.inv(matrix(FIRST)))
    assert FIRST.determinant == pytest.approx(np.linalg.det(matrix(FIRST)))
    assert FIRST.scale == pytest.approx(np.linalg.det(matrix(FIRST)) ** 0.5)


def test_pixel_centres_are_at_halves():
    x, y = FIRST.of_pixels((2, 3))
    assert x.shape == y.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            wanted = matrix(FIRST) @ [j + 0.5, i + 0.5, 1]
            np.testing.assert_allclose([x[i, j], y[i, j]], wanted[:2])
            np.testing.assert_allclose(FIRST.at(j + 0.5, i + 0.5), wanted[:2])


def test_named_maps():
    assert Affine.scaling(2.0, 3.0).at(1.0, 1.0) == (2.0, 3.0)
    assert Affine.shift(2.0, 3.0).at(1.0, 1.0) == (3.0, 4.0)
