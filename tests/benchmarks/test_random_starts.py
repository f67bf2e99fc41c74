"""The benchmark of inversion without an encoder, at a size for tests."""

from __future__ import annotations

import json

import torch

from benchmarks import random_starts
from genviews.zoo import zoo_images


def test_a_small_run_says_what_a_full_one_does():
    images = zoo_images("fashion32", "val").images
    setting = random_starts.QUICK
    found = random_starts.run(setting, images[: setting.photos], images[-setting.images :])
    assert json.loads(json.dumps(found)) == found
    assert found["slope_at_zero"] == 0.0
    rows = found["rows"]
    assert rows["mean latent"]["status"] == {"START_KEPT": setting.images}
    assert rows["mean latent"]["evaluations_per_image"] == 1.0
    assert rows["default start"]["l1"] < rows["mean latent"]["l1"]
    assert found["seed"] == setting.seed


def test_first_rectifiers_are_shut_at_zero_whatever_was_learnt():
    network = random_starts.decoder(4, 2)
    with torch.no_grad():
        network[1].bias += torch.linspace(-1, 3, 16)
        network[1].running_mean += torch.linspace(2, -2, 16)
    random_starts.shut(network)
    network.eval().requires_grad_(False)
    inside = network[1](network[0](torch.zeros(1, 4, 1, 1)))
    assert float(inside.max()) <= random_starts.SHUT + 1e-6
    assert float(inside.min()) < random_starts.SHUT - 0.5  # what was shut stays as it was
