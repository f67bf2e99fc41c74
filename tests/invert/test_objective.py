"""The objective equals naive float64 loops, and unknown pixels never reach it."""

import numpy as np
import pytest
import torch

from genviews.invert import FeatureDistance, Objective

SHAPE = (3, 2, 5, 4)


def _case(seed: int = 0):
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(SHAPE, generator=rng) * 2 - 1
    rendered = torch.rand(SHAPE, generator=rng) * 2 - 1
    masks = (torch.rand(3, 1, 5, 4, generator=rng) < 0.6).float()
    latents, start = torch.randn(2, 3, 4, 6, generator=rng)
    return images, rendered, masks, latents, start


def _naive(images, rendered, masks, latents, start, l1, l2, latent):
    out = []
    for i in range(len(images)):
        total, squares, known = 0.0, 0.0, 0
        for c in range(SHAPE[1]):
            for y in range(SHAPE[2]):
                for x in range(SHAPE[3]):
                    if masks[i, 0, y, x]:
                        d = float(images[i, c, y, x]) - float(rendered[i, c, y, x])
                        total, squares, known = total + abs(d), squares + d * d, known + 1
        pull = np.mean((latents[i].double().numpy() - start[i].double().numpy()) ** 2)
        out.append(l1 * total / known + l2 * squares / known + latent * pull)
    return np.array(out)


@pytest.mark.parametrize("weights", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.5, 2.0, 0.25)])
def test_equals_a_naive_loop(weights):
    images, rendered, masks, latents, start = _case()
    l1, l2, latent = weights
    objective = Objective(l1=l1, l2=l2, latent=latent)
    got = objective(objective.target(images, masks, start), rendered, latents)
    expected = _naive(images, rendered, masks, latents, start, l1, l2, latent)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5)


def _extract(images: torch.Tensor) -> list[torch.Tensor]:
    """Two feature maps: the pixels, and sums over a 3x3 neighbourhood (leaks past a mask)."""
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    return [images, torch.cat([blurred, blurred.abs()], 1)[:, :, ::2, ::2]]


def _unit(vector):
    return vector / np.linalg.norm(vector)


def test_feature_distance_equals_a_naive_loop():
    images, rendered, masks, latents, start = _case()
    masks = torch.ones_like(masks)
    objective = Objective(l1=0.0, feature=1.0, features=FeatureDistance(_extract))
    got = objective(objective.target(images, masks, start), rendered, latents)
    for i in range(3):
        layers = []
        for a, b in zip(_extract(images), _extract(rendered), strict=True):
            a, b = a[i].double().numpy(), b[i].double().numpy()
            squared = [
                np.sum((_unit(a[:, y, x]) - _unit(b[:, y, x])) ** 2)
                for y in range(a.shape[1])
                for x in range(a.shape[2])
            ]
            layers.append(np.mean(squared))
        assert float(got[i]) == pytest.approx(np.mean(layers), rel=1e-5)


def test_unknown_pixels_never_reach_the_loss():
    images, rendered, masks, latents, start = _case()
    objective = Objective(l1=1.0, l2=1.0, feature=1.0, features=FeatureDistance(_extract))
    one = objective(objective.target(images, masks, start), rendered, latents)
    elsewhere = torch.where(masks.bool(), images, torch.rand(SHAPE))
    other = objective(objective.target(elsewhere, masks, start), rendered, latents)
    assert torch.equal(one, other)
    known = torch.where(masks.bool(), images + 0.1, images)
    assert not torch.equal(one, objective(objective.target(known, masks, start), rendered, latents))


def test_selecting_and_joining_targets_keeps_rows():
    images, rendered, masks, latents, start = _case()
    objective = Objective(feature=1.0, features=FeatureDistance(_extract))
    whole = objective.target(images, masks, start)
    mixed = whole.select(torch.tensor([2])).join(whole.select(torch.tensor([0, 1])))
    order = torch.tensor([2, 0, 1])
    expected = objective(whole, rendered, latents)[order]
    torch.testing.assert_close(objective(mixed, rendered[order], latents[order]), expected)


def test_bad_weights_are_refused():
    with pytest.raises(ValueError, match="objective weights: expected non-negative"):
        Objective(l1=0.0)
    with pytest.raises(ValueError, match="objective weights"):
        Objective(latent=-1.0)
    with pytest.raises(ValueError, match="expected `features`"):
        Objective(feature=1.0)
