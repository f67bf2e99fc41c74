"""Edits of pictures against a naive loop over pixels, torchvision, and their laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tvf
from scipy import stats

from genviews.perturb.warps import EDITS, StepRanges, directions_of, steering_loss, warp
from genviews.rng import Rng

RANGES = StepRanges()
NAMES = directions_of(3)


def pictures(batch: int = 1, channels: int = 3, height: int = 12, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    return torch.rand(batch, channels, height, width, generator=generator) * 2 - 1


def steps_of(channels: int = 3, **steps: float) -> torch.Tensor:
    names = directions_of(channels)
    return torch.tensor([[steps.get(name, 0.0) for name in names]])


def stages(
    steps: dict[str, float], ranges: StepRanges, height: int, width: int
) -> list[np.ndarray]:
    """The four warps as 3x3 matrices of offsets from the middle, first one first."""
    phi, theta = (math.radians(steps[n] * getattr(ranges, n)) for n in ("rot3d", "rot2d"))
    away = math.sqrt(height**2 + width**2)
    slide = -steps["rot3d"] * ranges.slide * width
    # A camera one diagonal away looks at the plane z = 0, which turns about the vertical axis.
    turn = np.array(
        [[math.cos(phi), 0, -math.sin(phi)], [0, 1, 0], [math.sin(phi), 0, math.cos(phi)]]
    )
    to_space = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 0]])
    shift = np.array([[0, 0, slide], [0, 0, 0], [0, 0, away]])
    camera = np.diag([away, away, 1.0])
    larger = 1 if ranges.zoom_law == "magnify" else -1
    cos, sin, scale = math.cos(theta), math.sin(theta), math.exp(larger * steps["zoom"])
    move = (steps["shiftx"] * ranges.shift * width, steps["shifty"] * ranges.shift * height)
    return [
        camera @ (turn @ to_space + shift),
        np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]),
        np.diag([scale, scale, 1.0]),
        np.array([[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1.0]]),
    ]


def naive(image: np.ndarray, steps: dict[str, float], ranges: StepRanges) -> tuple[np.ndarray, ...]:
    """Picture, whole mask and mask of zoom and shift, pixel by pixel in float64."""
    channels, height, width = image.shape
    inverses = [np.linalg.inv(m) for m in stages(steps, ranges, height, width)]
    out = np.zeros_like(image)
    whole, last = np.zeros((height, width)), np.zeros((height, width))
    half_x, half_y = (width - 1) / 2, (height - 1) / 2
    for i in range(height):
        for j in range(width):
            x, y, inside = j - half_x, i - half_y, []
            for inverse in reversed(inverses):
                a, b, c = inverse @ (x, y, 1.0)
                x, y = a / c, b / c
                inside.append(abs(x) <= half_x + 1e-9 and abs(y) <= half_y + 1e-9)
            whole[i, j], last[i, j] = all(inside), inside[0] and inside[1]
            if not all(inside):
                continue
            u, v = min(max(x + half_x, 0), width - 1), min(max(y + half_y, 0), height - 1)
            left, top = min(int(u), width - 2), min(int(v), height - 2)
            fx, fy = u - left, v - top
            for k in range(channels):
                plane = image[k] + steps.get(f"colour{k}", 0.0)
                upper = (1 - fx) * plane[top, left] + fx * plane[top, left + 1]
                lower = (1 - fx) * plane[top + 1, left] + fx * plane[top + 1, left + 1]
                out[k, i, j] = (1 - fy) * upper + fy * lower
    return out, whole, last


CASES = {
    "shift": {"shiftx": 0.5, "shifty": -0.3},
    "zoom in": {"zoom": math.log(0.41)},
    "zoom out": {"zoom": math.log(2.3)},
    "rot2d": {"rot2d": 0.83},
    "rot3d": {"rot3d": 0.9},
    "rot3d back": {"rot3d": -1.0},
    "colour": {"colour0": 0.3, "colour2": -0.45},
    "both rotations, zoomed out": {"rot2d": 1.0, "rot3d": 0.7, "zoom": math.log(2.0)},
    "all": dict(zip(NAMES, (0.4, -0.7, 0.3, 0.6, -0.8, 0.1, -0.2, 0.5), strict=True)),
    "all, far": dict(zip(NAMES, (-1.0, 1.0, 1.38, -1.0, 1.0, 0.5, 0.5, -0.5), strict=True)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("height", "width"), [(12, 12), (9, 14)])
def test_edits_are_those_of_a_loop_over_pixels(case: str, height: int, width: int) -> None:
    image = pictures(height=height, width=width)
    full = dict.fromkeys(NAMES, 0.0) | CASES[case]
    want, whole, last = naive(image[0].double().numpy(), full, RANGES)
    got, mask = warp(image, steps_of(**CASES[case]), RANGES)
    assert np.array_equal(mask[0, 0].numpy(), whole)
    np.testing.assert_allclose(got[0].numpy(), want, rtol=0, atol=3e-5)
    _, mask = warp(image, steps_of(**CASES[case]), RANGES, "published")
    assert np.array_equal(mask[0, 0].numpy(), last)


def test_no_step_is_the_identity() -> None:
    for height, width in ((16, 16), (9, 14)):
        images = pictures(2, height=height, width=width) * 1.2
        for masking in ("intersection", "published"):
            got, mask = warp(images, torch.zeros(2, 8), RANGES, masking)
            torch.testing.assert_close(got, images, rtol=0, atol=1e-5)
            assert mask.shape == (2, 1, height, width)
            assert (mask == 1).all()


@pytest.mark.parametrize(
    ("steps", "arguments"),
    [
        ({"shiftx": 0.5, "shifty": -0.25}, (0.0, [8, -4], 1.0)),
        ({"zoom": math.log(1.7)}, (0.0, [0, 0], 1 / 1.7)),
        ({"zoom": math.log(0.6)}, (0.0, [0, 0], 1 / 0.6)),
        ({"rot2d": 0.8}, (-24.0, [0, 0], 1.0)),  # torchvision's affine turns clockwise
    ],
)
def test_flat_edits_are_those_of_torchvision(steps, arguments) -> None:
    image = pictures(height=32, width=32)
    got, mask = warp(image, steps_of(**steps), StepRanges(shift=0.5))
    angle, translate, scale = arguments
    want = tvf.affine(
        image, angle, translate, scale, [0.0, 0.0], interpolation=tvf.InterpolationMode.BILINEAR
    )
    difference = ((got - want) * mask).abs().max().item()
    assert difference < 1e-4
    assert 0.2 < mask.mean() <= 1.0


@pytest.mark.parametrize("step", [0.5, -1.0])
def test_the_turn_in_depth_is_torchvisions_perspective(step: float) -> None:
    image = pictures(height=32, width=32)
    got, mask = warp(image, steps_of(rot3d=step), RANGES)
    matrix = stages(dict.fromkeys(NAMES, 0.0) | {"rot3d": step}, RANGES, 32, 32)[0]
    corners = [[0, 0], [32, 0], [32, 32], [0, 32]]  # its pixels, too, are squares of side 1
    ends = []
    for u, v in corners:
        a, b, c = matrix @ (u - 16, v - 16, 1.0)
        ends.append([a / c + 16, b / c + 16])
    # Its `perspective` takes whole numbers alone as corners; its solver takes any.
    coefficients = tvf._geometry._get_perspective_coeffs(corners, ends)
    want = tvf.perspective(
        image,
        None,
        None,
        interpolation=tvf.InterpolationMode.BILINEAR,
        coefficients=coefficients,
    )
    assert ((got - want) * mask).abs().max().item() < 1e-3
    assert 0.3 < mask.mean() < 0.9


def test_directions_of_the_edits() -> None:
    """Right, down, smaller, anticlockwise; the far side of a turn is smaller."""
    image = torch.full((1, 1, 17, 17), -1.0)
    image[..., 8, 12] = 1.0  # right of the middle

    def brightest(**steps: float) -> list[int]:
        got, mask = warp(image, steps_of(1, **steps), RANGES)
        row, column = divmod(int(torch.where(mask > 0, got, -2.0).argmax()), 17)
        return [row, column]

    assert brightest(shiftx=0.3) == [8, 14]
    assert brightest(shifty=0.3) == [10, 12]
    assert brightest(zoom=-math.log(1.5)) == [8, 14]
    assert brightest(rot2d=1.0)[0] < 8
    line = torch.full((1, 1, 33, 33), -1.0)
    line[..., 8:25, 4:29] = 1.0
    got, _ = warp(line, steps_of(1, rot3d=0.8), RANGES)
    heights = (got[0, 0] > 0).sum(0)
    columns = heights.nonzero().flatten()
    assert heights[columns[0] + 1] > heights[columns[-1] - 1]


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0])
def test_the_zoom_is_that_of_the_published_code(alpha: float) -> None:
    """Below 1 it crops to a share of the sides, above it pads to so many times; then it resizes."""
    image, size = pictures(height=16, width=16), int(alpha * 16)
    framed = tvf.center_crop(torch.nn.functional.pad(image, [32] * 4), [size, size])
    want = torch.nn.functional.interpolate(framed, (16, 16), mode="bilinear")
    got, mask = warp(image, steps_of(zoom=math.log(alpha)), RANGES)
    # A crop's outermost row is repeated there, and interpolated with its neighbour here.
    edge = math.ceil(0.5 / alpha) if alpha < 1 else 0
    inner = slice(edge, 16 - edge)
    difference = ((got - want) * mask)[..., inner, inner]
    assert difference.abs().max() < 1e-5
    assert int(mask[0, 0, 8].sum()) == {1.5: 10, 2.0: 8, 4.0: 4}.get(alpha, 16)


@pytest.mark.parametrize("step", [-0.7, 0.0, 0.9])
def test_the_other_law_of_the_zoom_is_its_inverse(step: float) -> None:
    image, ours = pictures(), StepRanges(zoom_law="magnify")
    got, mask = warp(image, steps_of(zoom=step), ours)
    want, other = warp(image, steps_of(zoom=-step), RANGES)
    assert torch.equal(got, want)
    assert torch.equal(mask, other)


def test_a_picture_ignores_its_neighbours() -> None:
    images, steps = pictures(4), RANGES.draw(Rng(0).streams(range(4)), 1, 3)[:, 0]
    whole, mask = warp(images, steps)
    for row in range(4):
        alone, mine = warp(images[row : row + 1], steps[row : row + 1])
        torch.testing.assert_close(alone[0], whole[row], rtol=0, atol=1e-6)
        assert torch.equal(mine[0], mask[row])


def test_gradients_reach_pictures_and_steps() -> None:
    images = pictures(height=7, width=8).double()
    steps = steps_of(**CASES["all"]).double() * 0.5

    def target(x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return warp(x, s)[0]

    leaves = (images.requires_grad_(), steps.requires_grad_())
    assert torch.autograd.gradcheck(target, leaves, eps=1e-7, atol=1e-4)


def test_far_steps_are_finite() -> None:
    steps = torch.tensor([[a, b, z, c, d, 0.0] for a in (-1, 1) for b in (-1, 1)
                          for z in (-1.386, 1.386) for c in (-1, 1) for d in (-1, 1)])  # fmt: skip
    images = pictures(1, 1, 16, 40).expand(len(steps), -1, -1, -1)
    leaf = steps.requires_grad_()
    got, mask = warp(images, leaf)
    got.sum().backward()
    assert got.isfinite().all()
    assert leaf.grad.isfinite().all()
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_steps_have_the_published_law() -> None:
    drawn = RANGES.draw(Rng(1).streams(range(4000)), 1, 2)[:, 0].double()
    for index, levels in ((0, 21), (1, 21), (3, 13), (4, 13)):
        grid = torch.linspace(-1, 1, levels, dtype=torch.float64)
        found = ((drawn[:, index, None] - grid).abs().argmin(1)).bincount(minlength=levels)
        assert (drawn[:, index, None] - grid).abs().min(1).values.max() < 1e-6
        assert stats.chisquare(found.numpy()).pvalue > 1e-3
    alpha = drawn[:, 2].exp()
    small, large = alpha[alpha < 1], alpha[alpha >= 1]
    assert abs(len(small) - 2000) < 4 * math.sqrt(1000)
    assert stats.kstest(small.numpy(), "uniform", args=(0.25, 0.75)).pvalue > 1e-3
    assert stats.kstest(large.numpy(), "uniform", args=(1.0, 3.0)).pvalue > 1e-3
    for index in (5, 6):
        assert stats.kstest(drawn[:, index].numpy(), "uniform", args=(-0.5, 1.0)).pvalue > 1e-3
    assert (torch.corrcoef(drawn.T) - torch.eye(7)).abs().max() < 4.5 / math.sqrt(4000)


def test_the_published_lengths_at_256_pixels() -> None:
    """100 pixels a shift, 60 / 5 = 12 pixels of slide; steps in units of the largest."""
    image = torch.zeros(1, 1, 256, 256)
    image[..., 128, 60] = 1.0
    got, _ = warp(image, steps_of(1, shiftx=1.0))
    assert got[0, 0, 128].argmax() == 160
    assert RANGES.slide * 256 == pytest.approx(60 / 5)
    assert (RANGES.zoom, RANGES.colour) == (4, 0.5)


def test_loss_is_the_mean_over_valid_values() -> None:
    a, b = pictures(3), pictures(3, height=12, width=12).flip(0)
    mask = (pictures(3, 1, 12, 12) > 0).float()
    total, count = 0.0, 0
    for i in range(3):
        for k in range(3):
            for r in range(12):
                for c in range(12):
                    if mask[i, 0, r, c]:
                        total += (float(a[i, k, r, c]) - float(b[i, k, r, c])) ** 2
                        count += 1
    assert steering_loss(a, b, mask).item() == pytest.approx(total / count, rel=1e-5)
    assert steering_loss(a, b, torch.zeros(3, 1, 12, 12)).item() == 0.0


def test_names() -> None:
    assert directions_of(1) == ("shiftx", "shifty", "zoom", "rot2d", "rot3d", "colour0")
    assert directions_of(3, ("colour",)) == ("colour0", "colour1", "colour2")
    assert len(EDITS) == 6


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepRanges(zoom=0.5), "zoom of the step ranges: .* of at least 1, got 0.5"),
        (
            lambda: StepRanges(rot3d=70.0),
            r"rot3d of the step ranges: .* at least 0 and of at most 60",
        ),
        (
            lambda: StepRanges(shift=-0.1),
            "shift of the step ranges: .* got -0.1; 0 leaves",
        ),
        (lambda: StepRanges(shift_levels=2), "shift_levels: expected an integer of at least 3"),
        (lambda: directions_of(3, ("zom",)), "edit of a walk: expected one of .* 'zoom'"),
        (
            lambda: warp(pictures(), torch.zeros(1, 6)),
            r"steps: expected shape \(B, 8\), of shiftx, .* got \(1, 6\)",
        ),
    ],
)
def test_misuse_is_explained(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
