"""The inversion encoder: shapes, masks, strict files; training that helps and resumes exactly."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from genviews import CallableGenerator, Rng, ToyGenerator
from genviews.data.decode import UnfitImageError
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.generators.callable import z_space
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoder_training import EncoderTraining, random_masks, train_encoder
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
        EncoderTraining(steps=100, batch=32, masked=0.0),
        report=lambda step, parts: losses.append(parts["pixel"]),
    )
    images = toy.synthesize(toy.map(toy.sample(Rng(9).streams(range(64)))))
    mean = invert(toy, images, inverter=Inverter(steps=0)).loss.mean()
    ours = invert(toy, images, inverter=Inverter(start=EncoderStart(encoder), steps=0)).loss.mean()
    assert ours < 0.7 * mean
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def far_images(count=24):
    """Images that the toy can render, all of them away from its samples in one direction."""
    toy = ToyGenerator()
    latents = toy.map(toy.sample(Rng(5).streams(range(count))))
    away = toy.map(toy.sample(Rng(77).streams([0])))
    images = toy.synthesize(latents + 1.5 * away).detach().clamp(-1, 1)
    return ImageSet(images=images, ids=tuple(map(str, range(count))))


def test_real_images_are_learned_without_labels():
    toy, real = ToyGenerator(), far_images(48)
    shape = EncoderConfig.for_generator(toy, widths=(8,))
    config = EncoderTraining(steps=60, batch=16, masked=0.0, lr=3e-3)
    seen, held = real.select(range(32)), real.select(range(32, 48)).images
    errors = [
        (toy.synthesize(train_encoder(toy, shape, config, real=given)(held)) - held).abs().mean()
        for given in (seen, None)
    ]
    assert errors[0] < 0.7 * errors[1]


class Partly(MemorySource):
    """Every third image cannot be read, and none is known on the right."""

    def row(self, row):
        if row % 3 == 0:
            raise UnfitImageError("broken")
        return super().row(row)


@pytest.mark.parametrize("fraction", [0.0, 0.4, 1.0])
def test_images_that_cannot_be_read_or_are_known_in_part_spoil_nothing(fraction):
    toy, images, losses = ToyGenerator(), far_images(6), []
    masks = torch.ones_like(images.images[:, :1])
    masks[..., masks.shape[-1] // 2 :] = 0
    config = EncoderTraining(steps=3, batch=4, real_fraction=fraction)
    shape = EncoderConfig.for_generator(toy, widths=(8,))

    def trained(pixels):
        real = Partly(replace(images, images=pixels), masks)
        return train_encoder(toy, shape, config, real=real, report=lambda _, at: losses.append(at))

    hidden = torch.where(masks.bool(), images.images, torch.rand_like(images.images))
    weights, others = trained(images.images).state_dict(), trained(hidden).state_dict()
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    assert all(math.isfinite(value) for one in losses for value in one.values())


@pytest.mark.parametrize("real", [None, far_images()], ids=["samples alone", "real images"])
def test_resumes_bit_for_bit(real, tmp_path):
    toy = ToyGenerator()
    architecture = EncoderConfig.for_generator(toy, widths=(8,))
    config = EncoderTraining(steps=8, batch=4)
    train = partial(train_encoder, toy, architecture, config, real=real)
    whole = train()

    class Killed(Exception):
        pass

    def kill(step: int, parts: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    path = tmp_path / "c.pt"
    with pytest.raises(Killed):
        train(checkpoint=path, checkpoint_every=2, report=kill)
    assert path.exists()
    resumed = train(checkpoint=path, checkpoint_every=2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


class Drawn(nn.Module):
    """A picture for each class, moved by z; in training mode it is another."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor([-0.5, 0.0, 0.5]))
        self.frozen = nn.Parameter(torch.zeros(()), requires_grad=False)

    def forward(self, z, one_hot):
        level = (one_hot @ self.level)[:, None] + self.training
        return (level + 0.2 * z.repeat(1, 16)).clamp(-1, 1).reshape(-1, 1, 8, 8)


CONDITIONAL = {
    "the class is rendered": lambda: CallableGenerator(Drawn().eval(), z_dim=4, num_classes=3),
    "the class is in the latent": lambda: ToyGenerator(num_classes=3),
    "a mapping is rendered": lambda: z_space(ToyGenerator(num_classes=3)),
}


def drawn_with_labels(generator, count=6):
    """Samples as real images, with their classes."""
    label = torch.arange(count) % 3
    z = generator.sample(Rng(2).streams(range(count)))
    rendered = label if generator.renders_label else None
    images = generator.synthesize(generator.map(z, label), rendered).detach().clamp(-1, 1)
    ids = tuple(map(str, range(count)))
    return ImageSet(images=images, ids=ids, labels=label, class_names=("a", "b", "c"))


@pytest.mark.parametrize("make", CONDITIONAL.values(), ids=CONDITIONAL)
def test_of_a_conditional_generator(make):
    generator, losses = make(), []
    config = EncoderTraining(steps=30, batch=8, masked=0.0, lr=3e-3, real_fraction=0.25)
    encoder = train_encoder(
        generator,
        EncoderConfig.for_generator(generator, widths=(8,)),
        config,
        real=drawn_with_labels(generator),
        report=lambda step, parts: losses.append(parts["pixel"]),
    )
    assert sum(losses[-5:]) < sum(losses[:5])
    label = torch.tensor([0, 2])
    rendered = label if generator.renders_label else None
    z = generator.sample(Rng(1).streams(range(2)))
    images = generator.synthesize(generator.map(z, label), rendered).detach()
    inverter = Inverter(start=EncoderStart(encoder, passes=2), steps=2)
    assert invert(generator, images, inverter=inverter, label=rendered).failed() == []


@pytest.mark.parametrize("training", [True, False])
def test_the_generator_is_left_as_it_was(training):
    network = Drawn().eval()
    generator = CallableGenerator(network, z_dim=4, num_classes=3)
    generator.train(training)

    def kill(step, parts):
        assert not network.training
        if step == 2:
            raise KeyboardInterrupt

    shape = EncoderConfig.for_generator(generator, widths=(8,))
    with pytest.raises(KeyboardInterrupt):
        train_encoder(generator, shape, EncoderTraining(steps=3, batch=2), report=kill)
    assert (generator.training, network.training) == (training, training)
    assert (network.level.requires_grad, network.frozen.requires_grad) == (True, False)
    assert network.level.grad is None


@pytest.mark.parametrize("change", ["generator", "seed", "learning rate", "architecture", "real"])
def test_a_checkpoint_of_something_else_is_refused(change, tmp_path):
    toy, path = ToyGenerator(), tmp_path / "c.pt"
    shape, config = EncoderConfig.for_generator(toy, widths=(8,)), EncoderTraining(steps=1, batch=2)
    train_encoder(toy, shape, config, checkpoint=path, checkpoint_every=1)
    before = path.read_bytes()
    given = {
        "generator": (ToyGenerator(seed=1), shape, config),
        "seed": (toy, shape, replace(config, seed=1)),
        "learning rate": (toy, shape, replace(config, lr=0.1)),
        "architecture": (toy, replace(shape, neck=8), config),
        "real": (toy, shape, config),
    }[change]
    real = far_images() if change == "real" else None
    with pytest.raises(ValueError, match=r"c\.pt"):
        train_encoder(*given, real=real, checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["in the image", "in the latent"])
def test_samples_that_are_no_numbers_spoil_nothing(where):
    class Spoilt(ToyGenerator):
        def map(self, z, label=None, **settings):
            latents = super().map(z, label, **settings)
            bad = (z[:, 0] > 0.5)[:, None, None] & (where == "in the latent")
            return torch.where(bad, torch.nan, latents)

        def synthesize(self, latents, label=None):
            bad = (latents[:, 0, 0] > self.mean[0] + 0.5)[:, None, None, None]
            bad = bad & (where == "in the image")
            return torch.where(bad, torch.nan, super().synthesize(latents))

    generator, seen = Spoilt(), []
    shape = EncoderConfig.for_generator(generator, widths=(8,))
    config = EncoderTraining(steps=12, batch=16)
    encoder = train_encoder(generator, shape, config, report=lambda step, parts: seen.append(parts))
    assert all(value.isfinite().all() for value in encoder.state_dict().values())
    assert len(seen) == 12


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps of the training: expected an integer of at least 1"),
        ({"batch": 0}, "batch of the training: expected an integer of at least 1"),
        ({"lr": 0.0}, "lr: expected a finite number above 0"),
        ({"latent_weight": -1.0}, "latent_weight: expected a finite number of at least 0"),
        ({"real_fraction": 1.5}, "real_fraction: expected a number in"),
    ],
)
def test_training_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        EncoderTraining(**{"steps": 1, **change})


def test_what_cannot_be_trained_is_said_at_once():
    toy, config = ToyGenerator(), EncoderTraining(steps=1, batch=2)
    for other in (ToyGenerator(num_layers=2), ToyGenerator(channels=3)):
        with pytest.raises(ValueError, match=r"encoder config: expected \(image_channels"):
            train_encoder(toy, EncoderConfig.for_generator(other, widths=(8,)), config)
    flat = CallableGenerator(lambda z: z.detach().tanh().reshape(-1, 1, 8, 8), z_dim=64)
    with pytest.raises(ValueError, match="generator of the training of an encoder"):
        train_encoder(flat, EncoderConfig.for_generator(flat, widths=(8,)), config)

    class Empty(ToyGenerator):
        def synthesize(self, latents, label=None):
            return super().synthesize(latents) * torch.nan

    with pytest.raises(ValueError, match="expected finite images of some samples, got none in 1"):
        train_encoder(Empty(), EncoderConfig.for_generator(toy, widths=(8,)), config)


def test_real_images_must_suit_the_generator():
    config, shown = EncoderTraining(steps=1, batch=2), CONDITIONAL["the class is rendered"]()
    blank = ImageSet(images=torch.zeros(2, 1, 8, 8), ids=("0", "1"))
    fourth = replace(blank, labels=torch.tensor([0, 3]), class_names=("a", "b", "c", "d"))
    for generator, real, message in (
        (ToyGenerator(channels=3), blank, r"real images: expected \(3, "),
        (shown, blank, "real images: expected the class of each"),
        (shown, fourth, "labels of the real images: expected classes from 0 to 2"),
    ):
        shape = EncoderConfig.for_generator(generator, widths=(8,))
        with pytest.raises(ValueError, match=message):
            train_encoder(generator, shape, config, real=real)
