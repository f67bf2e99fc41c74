"""Without an encoder an inversion starts at the nearest of many samples, and leaves dead ones."""

import numpy as np
import pytest
import torch
from torch import nn

from genviews import (
    CallableGenerator,
    Inverter,
    Rng,
    StyleGAN2,
    ToyGenerator,
    invert,
)
from genviews.generators.callable import z_space
from genviews.identity import describe
from genviews.invert.card import inverter_from, inverter_settings
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.objective import L2, Objective
from genviews.invert.samples import SampleStart
from genviews.invert.start import EncoderStart, GivenStart, MeanStart, Starts, ToInvert
from genviews.types import ImageSpec, Status
from tests.networks import small_stylegan2

SPEC = ImageSpec(channels=1, height=4, width=4)
FEW = SampleStart(samples=30, nearest=3, descents=2, trial=4)


class Rectified(nn.Module):
    """Hidden units that are shut near z = 0, as in a DCGAN: no gradient there."""

    def __init__(self, width=24, dead=0.3):
        super().__init__()
        rng = Rng(5, "rectified").torch()
        self.enter, self.leave = (torch.randn(*s, generator=rng) for s in ((6, width), (width, 16)))
        self.dead, self.rows = dead, []

    def forward(self, z):
        self.rows.append((len(z), torch.is_grad_enabled()))
        hidden = (z @ self.enter - self.dead).relu()
        ground = torch.linspace(-0.5, 0.5, 16).to(z)
        return (0.3 * hidden @ self.leave + ground).tanh().reshape(-1, 1, 4, 4)


def rectified(**settings):
    return CallableGenerator(Rectified(**settings), z_dim=6, image_spec=SPEC)


def samples_of(generator, seed, count):
    z = torch.from_numpy(Rng(seed, "mine").numpy().standard_normal((count, 6))).float()
    return generator.synthesize(z[:, None])


class Drawn(nn.Module):
    """Another picture for each class, whatever else z says."""

    def forward(self, z, one_hot):
        level = one_hot @ torch.tensor([-0.8, 0.0, 0.8]).to(z)
        return (level[:, None] + 0.1 * z[:, :1]).expand(-1, 16).reshape(-1, 1, 4, 4)


def ask(start, generator, images, masks=None, label=None):
    masks = torch.ones_like(images[:, :1]) if masks is None else masks
    with torch.no_grad():
        rows = torch.arange(len(images))
        return start.candidates(
            ToInvert(generator=generator, images=images, masks=masks, rows=rows, label=label)
        )


class TestCandidates:
    @pytest.mark.parametrize("masked", [False, True])
    def test_are_the_mean_and_the_nearest_of_a_plain_search(self, masked):
        generator, images = rectified(), samples_of(rectified(), 1, 5)
        masks = torch.ones(5, 1, 4, 4)
        if masked:
            masks[:, :, :2] = 0
            masks[3, 0, 3] = 0.25  # a weight
        found = ask(FEW, generator, images, masks)
        z = generator.sample(Rng(0, "starts").streams(range(30)))
        drawn = generator.synthesize(z[:, None]).double().numpy()
        for i, image in enumerate(images.double().numpy()):
            errors = [(masks[i].numpy() * (image - one) ** 2).sum() for one in drawn]
            wanted = z[np.argsort(errors)[:3].copy()][:, None]
            assert torch.equal(found[i], torch.cat([generator.mean_latent()[None], wanted]))

    def test_of_a_class_that_is_rendered(self):
        generator = CallableGenerator(Drawn(), z_dim=6, image_spec=SPEC, num_classes=3)
        label = torch.tensor([2, 0, 1, 0])
        images = generator.synthesize(torch.full((4, 1, 6), 1.5), label)
        found = ask(FEW, generator, images, label=label)
        near = found[:, 1, 0, 0]  # of that class, the sample whose first number is nearest to 1.5
        assert torch.equal(near, near[:1].expand(4))
        assert float((near - 1.5).abs().max()) < 0.5
        result = invert(generator, images, inverter=Inverter(start=FEW, steps=20), label=label)
        assert float(result.loss.max()) < 1e-3

    def test_what_is_no_number_is_no_neighbour(self):
        whole = rectified()
        broken = CallableGenerator(
            lambda z: torch.where(
                z[:, :1, None, None] > 0, torch.nan, whole.synthesize(z[:, None])
            ),
            z_dim=6,
            image_spec=SPEC,
        )
        found = ask(FEW, broken, samples_of(whole, 1, 4))
        assert bool((found[:, 1:, 0, 0] <= 0).all())

    def test_are_drawn_once_for_all_images(self):
        counts = []
        for number in (1, 40):
            network = Rectified()
            generator = CallableGenerator(network, z_dim=6, image_spec=SPEC)
            images = samples_of(generator, 1, number)
            network.rows.clear()
            invert(generator, images, inverter=Inverter(start=FEW, steps=0))
            counts.append(sum(rows for rows, slopes in network.rows if not slopes) - number)
        assert counts[0] == counts[1]

    def test_of_many_classes_come_from_all_over(self):
        class Noted(ToyGenerator):
            def map(self, z, label=None, **settings):
                noted.append(label)
                return super().map(z, label, **settings)

        noted, toy = [], Noted(num_classes=100)
        ask(FEW, toy, torch.zeros(1, 1, 8, 8))
        assert noted[0].tolist() == list(range(0, 90, 3))

    def test_settings_are_checked(self):
        for wrong in ({"samples": 0}, {"nearest": 200}, {"descents": 0}, {"trial": 0}):
            with pytest.raises(ValueError, match="of the start: expected an integer"):
                SampleStart(**wrong)


class TestDeadMean:
    """A network whose gradient at the mean latent is exactly 0."""

    def test_the_mean_alone_stays_and_costs_one_evaluation(self):
        generator, images = rectified(), samples_of(rectified(), 1, 6)
        result = invert(generator, images, inverter=Inverter(start=MeanStart()))
        assert (result.status == Status.START_KEPT).all()
        assert (result.evaluations == 1).all()
        assert torch.equal(result.loss, result.start_loss)

    def test_the_default_leaves_it(self):
        generator, images = rectified(), samples_of(rectified(), 1, 12)
        result = invert(generator, images, inverter=Inverter(steps=40))
        mean = invert(generator, images, inverter=Inverter(start=MeanStart(), steps=0))
        assert (result.status != Status.START_KEPT).all()
        assert float(result.loss.mean()) < 0.05 * float(mean.loss.mean())

    @pytest.mark.parametrize("start", [FEW, Starts((MeanStart(), FEW))])
    def test_a_batch_gives_each_image_what_it_gets_alone(self, start):
        generator, images = rectified(), samples_of(rectified(), 1, 9)
        inverter = Inverter(start=start, steps=6)
        whole = invert(generator, images, inverter=inverter)
        parts = [invert(generator, images[i : i + 3], inverter=inverter) for i in (0, 3, 6)]
        few = invert(generator, images.flip(0), inverter=inverter, batch_size=8)
        for name in ("latents", "loss", "start_loss", "status", "steps", "evaluations"):
            value = getattr(whole, name)
            assert torch.equal(value, torch.cat([getattr(part, name) for part in parts])), name
            assert torch.equal(value, getattr(few, name).flip(0)), name

    def test_where_nothing_moves_the_best_is_kept(self):
        generator, images = rectified(), samples_of(rectified(), 1, 3)
        dead = GivenStart(torch.zeros(3, 4, 1, 6))
        result = invert(generator, images, inverter=Inverter(start=dead))
        assert (result.status == Status.START_KEPT).all()
        assert (result.evaluations == 4).all()
        assert (result.steps == 0).all()


def stylegan2():
    return StyleGAN2(small_stylegan2(8)).eval()


class TestEverySpace:
    @pytest.mark.parametrize(
        "make",
        [
            stylegan2,
            lambda: ToyGenerator(num_classes=3),
            lambda: z_space(stylegan2()),
            lambda: z_space(ToyGenerator(num_classes=3)),
        ],
        ids=["w+", "w+ with classes", "z", "z with classes"],
    )
    def test_the_default_beats_the_mean_at_its_start(self, make):
        generator, count = make(), 5
        z = generator.sample(Rng(7).streams(range(count)))
        label = generator.labels_in_turn(range(count))
        rendered = label if generator.renders_label else None
        images = generator.synthesize(generator.map(z, label), rendered).detach()
        ours, mean = (
            invert(generator, images, inverter=Inverter(start=s, steps=0), label=rendered)
            for s in (SampleStart(), MeanStart())
        )
        assert (ours.loss <= mean.loss).all()
        assert float(ours.loss.mean()) < 0.9 * float(mean.loss.mean())
        given = {} if rendered is None else {"label": rendered[3:]}
        alone = invert(generator, images[3:], inverter=Inverter(steps=4), **given)
        whole = invert(generator, images, inverter=Inverter(steps=4), label=rendered)
        torch.testing.assert_close(alone.latents, whole.latents[3:], rtol=0, atol=1e-5)


class TestDescents:
    def test_end_where_others_are_better(self):
        """Four at first, two for a trial of four, one to the end."""
        toy = ToyGenerator()
        images = toy.synthesize(toy.map(toy.sample(Rng(3).streams(range(4)))))
        inverter = Inverter(steps=25, tolerance=0.0, objective=Objective((L2(),)))
        result = invert(toy, images, inverter=inverter)
        assert (result.evaluations >= 4 + 2 * 3 + 25 - 4).all()
        assert (result.evaluations < 4 + 2 * 3 + 2 * 25).all()
        assert float(result.loss.max()) < 1e-6

    def test_never_end_worse_than_their_start(self):
        generator, images = rectified(), samples_of(rectified(), 1, 8)
        before = invert(generator, images, inverter=Inverter(start=FEW, steps=0))
        for steps in (1, 3, 6):
            after = invert(generator, images, inverter=Inverter(start=FEW, steps=steps))
            assert (after.loss <= before.loss).all()

    def test_several_starts_keep_as_many_as_each_would(self):
        assert FEW.schedule == (2, 2, 2, 1)
        assert Starts((MeanStart(), FEW, GivenStart(torch.zeros(1, 2, 1, 6)))).schedule == (
            *(5, 5, 5, 4),
        )


class TestOnACard:
    @pytest.mark.parametrize("start", [SampleStart(), FEW, MeanStart()], ids=repr)
    def test_a_start_comes_back(self, start):
        inverter = Inverter(start=start, steps=3)
        again = inverter_from(inverter_settings(inverter), None)
        assert again.start == start
        assert describe(again) == describe(inverter)

    def test_without_a_word_it_is_the_best_that_there_is(self):
        assert inverter_from({}, None).start == SampleStart()
        assert isinstance(Inverter().start, SampleStart)

    def test_an_unknown_one_is_refused(self):
        with pytest.raises(ValueError, match=r"start of the card: .* did you mean 'mean'"):
            inverter_from({"start": {"name": "meen"}}, None)
        with pytest.raises(ValueError, match=r"setting of samples on the card"):
            inverter_from({"start": {"name": "samples", "smaples": 3}}, None)


def test_a_start_that_feeds_back_knows_the_class():
    """A generator that renders its class is drawn with it, where a start draws."""
    generator = CallableGenerator(Drawn(), z_dim=6, image_spec=SPEC, num_classes=3)

    shape = {"image_channels": 1, "size": 4, "num_layers": 1, "dim": 6}
    encoder = InversionEncoder(EncoderConfig(**shape, widths=(8,), blocks=(1,), neck=4))
    images = samples_of(rectified(), 1, 3)
    label = torch.tensor([0, 1, 2])
    found = ask(EncoderStart(encoder, passes=2), generator, images, label=label)
    assert found.shape == (3, 1, 1, 6)
