"""The benchmark of inversion without an encoder, and its generator, at a size for tests."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import dcgan, random_starts
from genviews.zoo import zoo_images

TINY = dcgan.QUICK


def photos():
    return zoo_images("fashion32", "val").images[:16]


def test_a_small_run_says_what_a_full_one_does():
    setting = random_starts.QUICK
    network = dcgan.train(setting.training, photos, say=str)
    images = dcgan.enlarged(photos()[: setting.images])
    generator = random_starts.generator_of(network, setting.training)
    found = random_starts.run(setting, generator, images)
    json.dumps(found, allow_nan=False)
    assert found["slope_at_zero"] == 0.0
    rows = found["rows"]
    assert list(rows) == [
        "mean latent",
        "1 random start",
        "default start",
        "nearest sample",
        random_starts.EQUAL,
    ]
    assert rows["mean latent"]["status_of_first_seed"] == {"START_KEPT": setting.images}
    assert rows["mean latent"]["evaluations_per_image"] == 1.0
    assert rows["default start"]["l1"] < rows["mean latent"]["l1"]
    for row in rows.values():
        assert row["l1_interval"][0] <= row["l1"] <= row["l1_interval"][1]
    assert found["difference_to_it"]["mean latent"]["interval"][1] < 0
    assert found["seed"] == setting.training.seed


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not(tmp_path):
    whole = dcgan.Trainer(TINY, photos())
    losses = [whole.step() for _ in range(4)]
    first = dcgan.Trainer(TINY, photos())
    assert [first.step() for _ in range(2)] == losses[:2]
    torch.save(first.state_dict(), tmp_path / "checkpoint.pt")
    second = dcgan.Trainer(TINY, photos())
    second.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert [second.step() for _ in range(2)] == losses[2:]


def test_a_finished_training_is_taken_as_it_is(tmp_path):
    made = dcgan.train(TINY, photos, tmp_path, say=str)
    taken = dcgan.train(TINY, lambda: pytest.fail("no photos are needed"), tmp_path)
    for name, tensor in made.state_dict().items():
        assert torch.equal(taken.state_dict()[name], tensor), name
    assert (tmp_path / "samples.png").exists()
    with pytest.raises(ValueError, match="another training"):
        dcgan.train(dcgan.Training(width=3, z_dim=8), photos, tmp_path)


def test_first_rectifiers_are_shut_at_zero_whatever_was_learnt():
    network = dcgan.generator_network(4, 2)
    with torch.no_grad():
        network[1].bias += torch.linspace(-1, 3, 16)
        network[1].running_mean += torch.linspace(2, -2, 16)
    dcgan.shut(network)
    network.eval().requires_grad_(False)
    inside = network[1](network[0](torch.zeros(1, 4, 1, 1)))
    assert float(inside.max()) <= dcgan.SHUT + 1e-6
    assert float(inside.min()) < dcgan.SHUT - 0.5  # what was shut stays as it was
