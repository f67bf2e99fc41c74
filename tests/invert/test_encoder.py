"""The inversion encoder: shapes, masks, strict files; training that helps and resumes exactly."""

import pytest
import torch

from genviews import Rng, ToyGenerator
from genviews.invert.encoder import (
    EncoderConfig,
    EncoderTraining,
    InversionEncoder,
    random_masks,
    train_encoder,
)
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.invert.start import EncoderStart

SMALL = EncoderConfig(
    image_channels=1, size=8, num_layers=4, dim=4, widths=(8, 16), blocks=(1, 1), neck=8
)


@pytest.mark.parametrize("rows", [14, 16, 18])
def test_answers_with_every_row(rows):
    config = EncoderConfig(image_channels=3, size=32, num_layers=rows, dim=16)
    assert InversionEncoder(config)(torch.randn(2, 3, 48, 40)).shape == (2, rows, 16)


def test_config_fits_a_generator():
    toy = ToyGenerator()
    encoder = InversionEncoder(EncoderConfig.for_generator(toy), toy.mean_latent()).eval()
    images = toy.synthesize(toy.map(toy.sample(Rng(0).streams(range(3)))))
    assert encoder(images).shape == (3, *toy.latent_spec.shape)


def test_unknown_pixels_do_not_reach_it():
    encoder = InversionEncoder(SMALL).eval()
    images, masks = torch.randn(2, 1, 8, 8), torch.ones(2, 1, 8, 8)
    masks[:, :, 2:5] = 0
    other = torch.where(masks.bool(), images, torch.randn(2, 1, 8, 8))
    assert torch.equal(encoder(images, masks), encoder(other, masks))
    assert not torch.equal(encoder(images, masks), encoder(images))


def test_file_round_trip_and_strictness(tmp_path):
    encoder = InversionEncoder(SMALL, torch.randn(4, 4)).eval()
    encoder.save(tmp_path / "e.safetensors")
    again = InversionEncoder.load(tmp_path / "e.safetensors")
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(again(images), encoder(images))
    assert again.config == SMALL
    (tmp_path / "no.safetensors").write_bytes(b"not a file of tensors")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        InversionEncoder.load(tmp_path / "no.safetensors")


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"images: expected shape \(B, 1, H, W\)"):
        InversionEncoder(SMALL)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="divisible"):
        EncoderConfig(image_channels=1, size=10, num_layers=4, dim=4)


def test_masks_are_smooth_and_cover_the_stated_range():
    masks = random_masks(400, (32, 32), Rng(0).torch())
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    share = masks.mean((1, 2, 3))
    assert share.min() < 0.3
    assert share.max() > 0.95
    flips = (masks[:, :, :, 1:] != masks[:, :, :, :-1]).float().mean()
    assert flips < 0.1  # noise of single pixels would flip at half of them


def test_training_gives_a_better_start_than_the_mean_latent():
    toy = ToyGenerator()
    architecture = EncoderConfig.for_generator(toy, widths=(16,))
    losses = []
    encoder = train_encoder(
        toy,
        architecture,
        EncoderTraining(steps=150, batch=32, masked=0.0),
        report=lambda step, parts: losses.append(parts["pixel"]),
    )
    images = toy.synthesize(toy.map(toy.sample(Rng(9).streams(range(64)))))
    mean = invert(toy, images, inverter=Inverter(steps=0)).loss.mean()
    ours = invert(toy, images, inverter=Inverter(start=EncoderStart(encoder), steps=0)).loss.mean()
    assert ours < 0.7 * mean
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_resumes_bit_for_bit(tmp_path):
    toy = ToyGenerator()
    architecture = EncoderConfig.for_generator(toy, widths=(8,))
    config = EncoderTraining(steps=8, batch=4)
    whole = train_encoder(toy, architecture, config)

    class Killed(Exception):
        pass

    def kill(step: int, parts: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        train_encoder(toy, architecture, config, checkpoint=path, checkpoint_every=2, report=kill)
    assert path.exists()
    resumed = train_encoder(toy, architecture, config, checkpoint=path, checkpoint_every=2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
