from __future__ import annotations

import cmath
import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from genviews.align.aligners import CAT_FACE, FaceQuad, Similarity
from genviews.align.base import Box, UnalignableError
from genviews.identity import describe

UPRIGHT = [(40.0, 50.0), (70.0, 50.0), (55.0, 66.0), (44.0, 82.0), (66.0, 82.0)]


def noise(height, width, channels=3):
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(channels, height, width, generator=generator) * 2 - 1


def face(turn=0.0, scale=1.0, shift=0j):
    """The five landmarks of a face, turned by degrees around (55, 60), scaled and shifted."""
    factor = cmath.rect(scale, math.radians(turn))
    points = [(complex(*p) - (55 + 60j)) * factor + (55 + 60j) + shift for p in UPRIGHT]
    return torch.tensor([(p.real, p.imag) for p in points], dtype=torch.float64)


def sixty_eight(five):
    """68 landmarks with the same eye centres and mouth corners; noise in those not used."""
    points = torch.rand(68, 2, generator=torch.Generator().manual_seed(3)).double() * 100
    for start, centre in ((36, five[0]), (42, five[1])):
        ring = torch.randn(6, 2, generator=torch.Generator().manual_seed(start)).double()
        points[start : start + 6] = centre + ring - ring.mean(0)
    points[48], points[54] = five[3], five[4]
    return points


def complex_quad(five):
    """FFHQ's corners with the plane as complex numbers, in which rot90 is a factor i."""
    left, right, _, mouth_left, mouth_right = (complex(*p) for p in five.tolist())
    e, m = right - left, (mouth_left + mouth_right - left - right) / 2
    x = e - 1j * m
    x *= max(2.0 * abs(e), 1.8 * abs(m)) / abs(x)
    y, c = 1j * x, (left + right) / 2 + 0.1 * m
    return np.array([(z.real, z.imag) for z in (c - x - y, c - x + y, c + x + y, c + x - y)])


FACES = [face(), face(25, 0.8, 5 - 3j), face(-70, 1.3), face(180, 0.5, 20j), face(100, 0.3)]


class TestQuad:
    @pytest.mark.parametrize("five", FACES)
    def test_equals_the_formula_in_complex_numbers(self, five):
        np.testing.assert_allclose(FaceQuad(8).quad(five).numpy(), complex_quad(five), atol=1e-9)
        np.testing.assert_allclose(
            FaceQuad(8).quad(sixty_eight(five)).numpy(), complex_quad(five), atol=1e-9
        )

    def test_upright_face_by_hand(self):
        """e = (30, 0), m = (0, 32): x = (62, 0) scaled to max(60, 57.6); c = (55, 53.2)."""
        wanted = [(-5, -6.8), (-5, 113.2), (115, 113.2), (115, -6.8)]
        np.testing.assert_allclose(FaceQuad(8).quad(face()).numpy(), wanted, atol=1e-9)

    def test_the_mouth_sets_the_size_of_long_faces(self):
        five = face()
        five[3:, 1] += 30  # |m| = 62
        quad = FaceQuad(8).quad(five)
        assert (quad[3] - quad[0]).norm() == pytest.approx(2 * 1.8 * 62)

    @pytest.mark.parametrize("five", FACES)
    def test_turning_the_face_turns_the_square(self, five):
        """In the frame, a face that was turned and scaled lies where the upright one lies."""
        size = 64
        got = FaceQuad(size).align(noise(120, 110), five).to_source.inverse()
        upright = FaceQuad(size).align(noise(120, 110), face()).to_source.inverse()
        for there, here in zip(five.tolist(), UPRIGHT, strict=True):
            at = got.at(there[0] + 0.5, there[1] + 0.5)
            np.testing.assert_allclose(at, upright.at(here[0] + 0.5, here[1] + 0.5), atol=1e-9)


class TestFacePixels:
    @pytest.mark.parametrize("five", FACES)
    def test_equals_pillows_quad_where_nothing_shrinks(self, five):
        """Float pictures, so that the two differ by float32 round-off only."""
        image, size = noise(120, 110), 160
        quad = complex_quad(five)
        if np.linalg.norm(quad[0] - quad[1]) > size:
            pytest.skip("shrinks")
        got = FaceQuad(size).align(image, five)
        for channel, ours in zip(image, got.image, strict=True):
            theirs = Image.fromarray(channel.numpy() + 3).transform(
                (size, size),
                Image.Transform.QUAD,
                tuple((quad + 0.5).flatten()),
                Image.Resampling.BILINEAR,
            )
            known = np.asarray(theirs) != 0  # the picture itself is in [2, 4]
            np.testing.assert_array_equal(got.mask[0].numpy() > 0, known)
            wanted = np.where(known, np.asarray(theirs) - 3, 0)
            np.testing.assert_allclose(ours.numpy(), wanted, atol=2e-4)

    def test_shrinking_a_smooth_photo_equals_its_values_there(self):
        """A ramp stays a ramp under a symmetric filter, but for the edges, where that is cut off.

        The tolerance is 1/100 of a pixel's step down the ramp: the filter's centre is rounded.
        """
        grid = torch.arange(400, dtype=torch.float64)
        ramp = ((grid[None, :] + 2 * grid[:, None]) / 600 - 1)[None]
        five = face(30, 2.0, 150 + 140j)
        got = FaceQuad(32).align(ramp, five)
        assert got.to_source.scale > 6
        x, y = got.to_source.of_pixels((32, 32))
        inner = (x > 20) & (x < 380) & (y > 20) & (y < 380)
        assert inner.sum() > 700
        wanted = (x - 0.5 + 2 * (y - 0.5)) / 600 - 1
        assert (got.image[0] - wanted)[inner].abs().max() < 0.01 * 2 / 600


def least_squares(p, q):
    """a, b, tx, ty of q = (a -b; b a) p + t, by numpy's solver on the stacked equations."""
    rows, right = [], []
    for (x, y), (u, v) in zip(p, q, strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        right += [u, v]
    return np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]


def umeyama(p, q):
    """The method of the paper, by singular values: scale s, rotation R, shift t."""
    pm, qm = p - p.mean(0), q - q.mean(0)
    u, d, vt = np.linalg.svd(qm.T @ pm)
    sign = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = np.trace(np.diag(d) @ sign) / (pm**2).sum()
    return scale, rotation, q.mean(0) - scale * rotation @ p.mean(0)


class TestSimilarity:
    @pytest.mark.parametrize("count", [2, 3, 9])
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_least_squares(self, count, seed):
        rng = np.random.default_rng(seed)
        places = rng.uniform(0.1, 0.9, (count, 2))
        turn, scale = rng.uniform(0, 6), rng.uniform(0.5, 3)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        p = (places - 0.5) @ rotation.T * 40 * scale + 60 + rng.normal(0, 2, (count, 2))
        aligner = Similarity(tuple(map(tuple, places.tolist())), 48)
        got = aligner.align(noise(120, 110), torch.from_numpy(p)).to_source.inverse()
        a, b, tx, ty = least_squares(p + 0.5, places * 48)
        np.testing.assert_allclose(
            [got.xx, got.xy, got.x0, got.yx, got.yy, got.y0], [a, -b, tx, b, a, ty], atol=1e-8
        )
        s, r, t = umeyama(p + 0.5, places * 48)
        np.testing.assert_allclose([got.xx, got.xy, got.yx, got.yy], (s * r).flatten(), atol=1e-8)
        np.testing.assert_allclose([got.x0, got.y0], t, atol=1e-8)

    def test_landmarks_at_their_places_leave_the_image_as_it_is(self):
        image = noise(64, 64)
        places = torch.tensor(CAT_FACE, dtype=torch.float64) * 64 - 0.5
        got = Similarity(CAT_FACE, 64).align(image, places)
        assert (got.image - image).abs().max() < 1e-5
        assert got.mask.min() == 1

    def test_cat_faces_fit_the_frame(self):
        (left, level), (right, level_too), (middle, mouth) = CAT_FACE
        assert level == level_too
        assert left + right == 2 * middle == 1
        assert 0 < left < right < 1
        assert level < mouth < 1

    def test_flat_places_are_refused(self):
        for places in [((0.1, 0.1),), ((0.1, 0.1), (0.5, 0.5), (0.9, 0.9)), ((0.2, 0.3),) * 2]:
            with pytest.raises(ValueError, match="canonical places of landmarks"):
                Similarity(places, 32)

    def test_number_of_landmarks(self):
        with pytest.raises(ValueError, match=r"landmarks of Similarity: expected 3, .* got 5"):
            Similarity(CAT_FACE, 32).align(noise(120, 110), face())


class TestMask:
    @pytest.mark.parametrize("five", [*FACES, face(40, 3.0, 30), face(-15, 1.0, -50 + 40j)])
    def test_equals_half_planes(self, five):
        """In the frame, the photo is a quadrilateral: a pixel is on the inner side of its edges."""
        size, (height, width) = 40, (120, 110)
        got = FaceQuad(size).align(noise(height, width), five)
        back = got.to_source.inverse()
        corners = [back.at(*xy) for xy in ((0, 0), (width, 0), (width, height), (0, height))]
        for row in range(size):
            for column in range(size):
                sides = []
                for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
                    sides.append((bx - ax) * (row + 0.5 - ay) - (by - ay) * (column + 0.5 - ax))
                assert bool(got.mask[0, row, column]) == (min(sides) >= 0)

    @pytest.mark.parametrize("value", [-1.0, 0.0, 0.01, 1.0])
    def test_colour_does_not_change_it(self, value):
        five = face(40, 2.0)
        mask = FaceQuad(40).align(noise(120, 110), five).mask
        flat = FaceQuad(40).align(torch.full((3, 120, 110), value), five)
        assert torch.equal(flat.mask, mask)
        assert 0.1 < mask.mean() < 0.9
        assert set(mask.unique().tolist()) == {0.0, 1.0}

    def test_unknown_pixels_are_zero(self):
        got = FaceQuad(40).align(torch.ones(3, 120, 110), face(40, 2.0))
        unknown = got.mask[0] == 0
        assert (got.image[:, unknown] == 0).all()
        assert (got.image[:, ~unknown] - 1).abs().max() < 1e-6


class TestUnalignable:
    @pytest.mark.parametrize(
        ("landmarks", "reason"),
        [
            (torch.ones(5, 2).double() * 50, "has eyes and mouth on one line"),
            (torch.arange(10.0).reshape(5, 2) + 50, "has eyes and mouth on one line"),
            (face()[[1, 0, 2, 4, 3]], "has mirrored landmarks"),
            (face() * torch.nan, "has landmarks that are no finite number"),
            (face(shift=900), "has landmarks outside its 110x120 pixels"),
            (face() / 110, "has landmarks less than a pixel apart"),
        ],
    )
    def test_faces(self, landmarks, reason):
        if reason.startswith("has landmarks less"):
            landmarks = landmarks / 2
        with pytest.raises(UnalignableError, match=f"^{reason}"):
            FaceQuad(32).align(noise(120, 110), landmarks)

    @pytest.mark.parametrize(
        ("landmarks", "reason"),
        [
            ([(50, 50), (50, 50), (50, 50)], "has landmarks that coincide or are on one line"),
            ([(10, 10), (20, 20), (30.1, 30)], "has landmarks that coincide or are on one line"),
            ([(70, 40), (40, 40), (55, 70)], "has mirrored landmarks"),
            ([(40, 40), (70, math.inf), (55, 70)], "has landmarks that are no finite number"),
            ([(-940, 40), (-910, 40), (-925, 70)], "has landmarks outside its 110x120 pixels"),
            ([(0.4, 0.4), (0.7, 0.4), (0.55, 0.7)], "has landmarks less than a pixel apart"),
        ],
    )
    def test_cats(self, landmarks, reason):
        points = torch.tensor(landmarks, dtype=torch.float64)
        with pytest.raises(UnalignableError, match=f"^{reason}"):
            Similarity(CAT_FACE, 32).align(noise(120, 110), points)

    def test_two_landmarks_that_coincide(self):
        aligner = Similarity(CAT_FACE[:2], 32)
        with pytest.raises(UnalignableError, match=r"^has landmarks that coincide"):
            aligner.align(noise(120, 110), torch.full((2, 2), 9.0))

    def test_a_caller_can_list_them(self):
        skipped = []
        for name, landmarks in (("a.png", face()), ("b.png", face() * 0)):
            try:
                FaceQuad(32).align(noise(120, 110), landmarks)
            except UnalignableError as reason:
                skipped.append((name, str(reason)))
        assert skipped == [("b.png", "has eyes and mouth on one line")]


class TestMistakes:
    @pytest.mark.parametrize("aligner", [FaceQuad(8), Similarity(CAT_FACE, 8)])
    def test_a_box_is_no_landmarks(self, aligner):
        with pytest.raises(TypeError, match=r"expected landmarks, .* got Box; use CentreBox"):
            aligner.align(noise(20, 20), Box(0, 0, 5, 5))

    def test_number_of_landmarks(self):
        with pytest.raises(ValueError, match=r"expected 68 \(iBUG 300-W\) or 5 .* got 9"):
            FaceQuad(8).align(noise(20, 20), torch.rand(9, 2))

    def test_size(self):
        with pytest.raises(ValueError, match="size of the aligned image: expected an integer"):
            FaceQuad(0)

    @pytest.mark.as_installed
    def test_shapes_without_the_type_checks_of_these_tests(self):
        good, five = torch.zeros(3, 9, 9), torch.zeros(5, 2)
        told = []
        for image, points in [
            (torch.zeros(3, 9, 9, dtype=torch.uint8), five),
            (good[None], five),
            (good[:, :0], five),
            ("x", five),
            (good, torch.zeros(2, 5, 2)),
            (good, [1, 2]),
        ]:
            with pytest.raises((TypeError, ValueError)) as error:
                FaceQuad(8).align(image, points)
            told.append(f"{error.type.__name__} {error.value}")
        image = "source image: expected"
        floats, convert = "a float tensor with values in [-1, 1]", "convert uint8 with `x.float() /"
        assert told == [
            f"TypeError {image} {floats}, got torch.uint8; {convert} 127.5 - 1`.",
            f"ValueError {image} shape (C, H, W), got (1, 3, 9, 9); give one image at a time.",
            f"ValueError {image} pixels, got (3, 0, 9); leave it out.",
            f"TypeError {image} {floats}, got str; {convert} 127.5 - 1`.",
            "ValueError landmarks of FaceQuad: expected shape (N, 2), x and y of each, "
            "got (2, 5, 2); align one image at a time.",
            "TypeError geometry of FaceQuad: expected landmarks, a tensor (N, 2) of x and y, "
            "got list; use CentreBox for boxes.",
        ]


class TestObject:
    @pytest.mark.parametrize("aligner", [FaceQuad(size=64), Similarity(CAT_FACE, 64)])
    def test_prints_and_describes_itself(self, aligner):
        assert eval(repr(aligner)) == aligner
        described = describe(aligner)
        assert json.loads(json.dumps(described)) == described
        assert described["type"] == f"genviews:{type(aligner).__name__}"
        assert described["size"] == 64

    def test_description_holds_the_places(self):
        described = describe(Similarity(((0.25, 0.5), (0.75, 0.5)), 8))
        assert described["canonical"] == [[0.25, 0.5], [0.75, 0.5]]
