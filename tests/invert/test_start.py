"""Where inversions start: each start's own formula, and the best of several."""

import json
import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from genviews import Rng, ToyGenerator, load_generator
from genviews.generators.callable import CallableGenerator
from genviews.identity import describe
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, Objective, ToStart
from genviews.invert.optimize import invert
from genviews.invert.samples import SampleStart
from genviews.invert.start import (
    ClassMeanStart,
    EncoderStart,
    GivenStart,
    MeanStart,
    Start,
    Starts,
    ToInvert,
    class_means,
)
from genviews.types import Status
from genviews.zoo import zoo_images

COUNT = 12


@pytest.fixture(scope="module")
def case():
    toy = ToyGenerator()
    latents = toy.map(toy.sample(Rng(3).streams(range(COUNT))))
    return toy, latents, toy.synthesize(latents)


@pytest.fixture(scope="module")
def real():
    kit = load_generator("fashion32")
    images = zoo_images("fashion32", "val").images[:COUNT]
    masks = torch.ones_like(images[:, :1])
    masks[::2, :, :, 20:] = 0
    return kit.generator, kit.encoder, torch.where(masks == 0, 0.0, images), masks


def known(images):
    return torch.ones_like(images[:, :1])


def candidates(start, generator, images, masks=None, rows=None):
    masks = known(images) if masks is None else masks
    rows = torch.arange(len(images)) if rows is None else torch.tensor(rows)
    with torch.no_grad():
        wanted = ToInvert(generator=generator, images=images, masks=masks, rows=rows)
        return start.candidates(wanted)


class ByRule(nn.Module):
    """A classifier that knows the truth of the toy generator."""

    def __init__(self, toy, num_classes):
        super().__init__()
        self.toy, self.num_classes = toy, num_classes

    def forward(self, images):
        truth = self.toy.classes(self.toy.invert(images), self.num_classes)
        return nn.functional.one_hot(truth, self.num_classes).to(images.dtype)


class TestMeanStart:
    def test_every_image_starts_from_the_mean(self, case):
        toy, _, images = case
        found = candidates(MeanStart(), toy, images)
        assert found.shape == (COUNT, 1, 4, 4)
        assert torch.equal(found, toy.mean_latent().expand_as(found))
        torch.testing.assert_close(found[0, 0, 0], toy.mean.float(), atol=0.05, rtol=0)

    def test_it_is_in_the_dtype_of_the_images(self, case):
        toy, _, images = case
        assert candidates(MeanStart(), toy, images.double()).dtype == torch.float64


class TestEncoderStart:
    def test_one_pass_is_the_encoder(self, real):
        generator, encoder, images, masks = real
        found = candidates(EncoderStart(encoder), generator, images, masks)
        with torch.no_grad():
            assert torch.equal(found[:, 0], encoder(images, masks))

    def test_passes_follow_the_formula_and_never_make_the_error_larger(self, real):
        generator, encoder, images, masks = real
        unknown = masks.expand_as(images) == 0

        def error(latents):
            e = (generator.synthesize(latents) - images).abs()
            return torch.stack([e[i][~unknown[i]].double().mean() for i in range(COUNT)])

        with torch.no_grad():
            seen = best = encoder(images, masks)
            kept, found = [], []
            for passes in range(1, 6):
                start = EncoderStart(encoder, passes)
                found.append(candidates(start, generator, images, masks)[:, 0])
                torch.testing.assert_close(found[-1], best, rtol=0, atol=1e-5)
                new = best + seen - encoder(generator.synthesize(best), masks)
                better = error(new) < error(best)
                kept.append(better)
                best = torch.where(better[:, None, None], new, best)
        assert kept[0].any()
        assert not torch.stack(kept).all()
        first, last = error(found[0]), error(found[-1])
        assert (last <= first).all()
        assert last.mean() < 0.97 * first.mean()

    def test_an_image_is_not_changed_by_its_neighbours(self, real):
        generator, encoder, images, masks = real
        whole = candidates(EncoderStart(encoder, 3), generator, images, masks)
        for i in (0, 5):
            alone = candidates(
                EncoderStart(encoder, 3), generator, images[i : i + 1], masks[i : i + 1]
            )
            torch.testing.assert_close(alone[0], whole[i], rtol=0, atol=1e-4)

    def test_an_encoder_in_training_is_called_in_eval_mode(self, case):
        toy, _, images = case
        encoder = InversionEncoder(EncoderConfig.for_generator(toy, widths=(8,)))
        assert encoder.training
        weights = {k: v.clone() for k, v in encoder.state_dict().items()}
        found = candidates(EncoderStart(encoder), toy, images)
        assert all(m.training for m in encoder.modules())
        assert all(torch.equal(v, weights[k]) for k, v in encoder.state_dict().items())
        assert torch.equal(found, candidates(EncoderStart(encoder.eval()), toy, images))

    def test_an_encoder_of_another_generator_is_refused(self, case):
        toy, _, images = case
        encoder = InversionEncoder(
            EncoderConfig(image_channels=1, size=8, num_layers=3, dim=4, widths=(8,), blocks=(1,))
        )
        with pytest.raises(ValueError, match="the encoder's latents: expected shape"):
            candidates(EncoderStart(encoder), toy, images)

    def test_passes_are_counted(self, real):
        with pytest.raises(ValueError, match="passes of the encoder: expected an integer of at"):
            EncoderStart(real[1], passes=0)


class TestClassMeanStart:
    @pytest.mark.parametrize("classes", [2, 5])
    def test_means_of_a_conditional_generator_are_its_centres(self, classes):
        toy = ToyGenerator(num_classes=classes)
        means = class_means(toy, classes)
        assert means.dtype == torch.float32
        # Within a class w is Gaussian around mean + centre, the same in each row.
        truth = (toy.mean + toy._centres)[:, None].expand(-1, 4, -1)
        error = 5 * float(toy.stddev.max()) / math.sqrt(10_000 / classes)
        torch.testing.assert_close(means.double(), truth, rtol=0, atol=error)
        assert torch.equal(toy.classes(means), torch.arange(classes))
        few = class_means(toy, classes, num=20 * classes)
        assert (few.double() - truth).abs().mean() > 2 * (means.double() - truth).abs().mean()

    def test_means_equal_a_naive_loop(self):
        toy = ToyGenerator(num_classes=3)
        means = class_means(toy, 3, num=10, seed=4, batch_size=4)
        z = toy.sample(Rng(4, "class means").streams(range(10)))
        for label in range(3):
            own = [toy.map(z[i : i + 1], torch.tensor([label])) for i in range(label, 10, 3)]
            torch.testing.assert_close(means[label], torch.cat(own).mean(0))
        assert not torch.equal(means, class_means(toy, 3, num=10, seed=5))

    def test_the_size_of_the_batch_does_not_matter(self):
        toy = ToyGenerator(num_classes=3)
        whole = class_means(toy, 3, num=50)
        torch.testing.assert_close(class_means(toy, 3, num=50, batch_size=7), whole)

    def test_a_classifier_sorts_the_samples_of_an_unconditional_generator(self):
        toy = ToyGenerator()
        classifier = ByRule(toy, 4)
        means = class_means(toy, 4, classifier, num=400)
        latents = toy.map(toy.sample(Rng(0, "class means").streams(range(400))))
        truth = toy.classes(latents, 4)
        for label in range(4):
            torch.testing.assert_close(means[label], latents[truth == label].mean(0))

    def test_samples_that_are_no_numbers_are_left_out(self):
        class Spoilt(ToyGenerator):
            def map(self, z, label=None, **settings):
                latents = super().map(z, label, **settings)
                return torch.where(z[:, :1, None] > 1, torch.nan, latents)

        means = class_means(Spoilt(num_classes=3), 3, num=60)
        assert means.isfinite().all()
        assert Spoilt().mean_latent(60).isfinite().all()

    def test_a_classifier_of_more_classes_is_refused(self):
        toy = ToyGenerator()
        with pytest.raises(ValueError, match="class means: expected classes below 2, got class"):
            class_means(toy, 2, ByRule(toy, 5), num=50)

    @pytest.mark.parametrize("number", [2, 4])
    def test_other_classes_than_the_generators_are_refused(self, number):
        """Whoever they are given to would take one's numbers for the other's."""
        with pytest.raises(ValueError, match="expected 3, those of the generator, got"):
            class_means(ToyGenerator(num_classes=3), number, num=50)

    def test_each_image_starts_from_the_mean_of_its_class(self, case):
        toy, latents, images = case
        means = torch.arange(3.0)[:, None, None].expand(3, 4, 4)
        found = candidates(ClassMeanStart(means, ByRule(toy, 3)), toy, images)
        truth = toy.classes(latents, 3)
        assert len(truth.unique()) == 3
        assert torch.equal(found[:, 0, 0, 0], truth.float())

    def test_it_starts_nearer_than_the_mean_of_all(self):
        toy = ToyGenerator(num_classes=5)
        labels = torch.arange(40) % 5
        images = toy.synthesize(toy.map(toy.sample(Rng(1).streams(range(40))), labels))
        start = ClassMeanStart(class_means(toy, 5), ByRule(toy, 5))
        losses = [
            invert(toy, images, inverter=Inverter(start=s, steps=0)).loss.mean()
            for s in (start, MeanStart())
        ]
        assert losses[0] < 0.6 * losses[1]

    def test_a_classifier_in_training_is_called_in_eval_mode(self, case):
        toy, _, images = case
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
        start = ClassMeanStart(torch.arange(3.0)[:, None, None].expand(3, 4, 4), net)
        found = candidates(start, toy, images)
        made = class_means(toy, 2, net, num=200)
        assert net.training
        assert int(net[2].num_batches_tracked) == 0
        net.eval()
        assert torch.equal(found, candidates(start, toy, images))
        assert torch.equal(made, class_means(toy, 2, net, num=200))

    def test_misuse_is_named(self, case):
        toy, _, images = case
        with pytest.raises(ValueError, match="class means: expected a source of classes"):
            class_means(toy, 3)
        with pytest.raises(ValueError, match=r"samples of every class, got none of class \[3, 4\]"):
            class_means(toy, 5, ByRule(toy, 3), num=64)
        start = ClassMeanStart(torch.zeros(2, 4, 4), ByRule(toy, 3))
        with pytest.raises(ValueError, match="means: expected at least 3, one for each class"):
            candidates(start, toy, images)


class TestGivenStart:
    def test_one_for_each_image(self, case):
        toy, latents, images = case
        found = candidates(GivenStart(latents), toy, images)
        assert torch.equal(found, latents[:, None])
        result = invert(toy, images, inverter=Inverter(start=GivenStart(latents), steps=0))
        assert (result.loss < 1e-6).all()
        torch.testing.assert_close(result.latents, latents)

    def test_rows_are_positions_in_the_whole_set(self, case):
        toy, latents, images = case
        start = GivenStart(latents)
        assert torch.equal(
            candidates(start, toy, images[:3], rows=[5, 0, 11])[:, 0], latents[[5, 0, 11]]
        )
        inverter = Inverter(start=start, steps=0)
        part = invert(toy, images[[7, 2]], inverter=inverter, rows=[7, 2])
        assert (part.loss < 1e-6).all()
        wrong = invert(toy, images[[7, 2]], inverter=inverter)
        assert (wrong.loss > 0.05).all()

    def test_rows_stay_with_their_images_when_the_batch_is_refilled(self, case):
        toy, latents, images = case
        images = images.clone()
        images[3] = math.nan
        inverter = Inverter(start=GivenStart(latents), steps=1)
        result = invert(toy, images, inverter=inverter, batch_size=2)
        good = [i for i in range(COUNT) if i != 3]
        assert (result.start_loss[good] < 1e-6).all()

    def test_of_several_the_best_is_kept(self, case):
        toy, latents, images = case
        rng = torch.Generator().manual_seed(0)
        several = latents[:, None] + torch.randn(COUNT, 3, 4, 4, generator=rng)
        several[torch.arange(COUNT), torch.arange(COUNT) % 3] = latents
        start = GivenStart(several)
        assert start.count == 3
        assert torch.equal(candidates(start, toy, images), several)
        result = invert(toy, images, inverter=Inverter(start=start, steps=0))
        torch.testing.assert_close(result.latents, latents)
        assert (result.evaluations == 3).all()

    def test_misuse_is_named(self, case):
        toy, latents, images = case
        with pytest.raises(ValueError, match=r"given latents: .*, one for each image, got 5"):
            candidates(GivenStart(latents[:5]), toy, images)
        with pytest.raises(ValueError, match="given latents: expected shape"):
            candidates(GivenStart(latents[:, :3]), toy, images)


class TestStarts:
    def test_candidates_are_those_of_each(self, case):
        toy, latents, images = case
        two = torch.stack([latents, -latents], 1)
        start = Starts((MeanStart(), GivenStart(two)))
        assert start.count == 3
        expected = torch.cat([candidates(MeanStart(), toy, images), two], 1)
        assert torch.equal(candidates(start, toy, images), expected)

    def test_the_result_is_the_best_of_separate_runs(self):
        toy = ToyGenerator().double()
        streams = Rng(3).streams(range(COUNT))
        latents = toy.map(toy.sample(streams).double())
        images = toy.synthesize(latents)
        noise = torch.randn(
            COUNT, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64
        )
        starts = (MeanStart(), GivenStart(latents + noise), GivenStart(latents - noise))
        settings = {"steps": 6, "optimizer": LBFGS()}
        single = [
            invert(toy, images, inverter=Inverter(start=start, **settings)) for start in starts
        ]
        losses = torch.stack([run.loss for run in single])
        winner = losses.argmin(0)
        assert len(winner.unique()) == 3
        for batch_size in (1, 5, 64):
            inverter = Inverter(start=Starts(starts), **settings)
            best = invert(toy, images, inverter=inverter, batch_size=batch_size)
            torch.testing.assert_close(best.loss, losses.min(0).values, rtol=0, atol=1e-9)
            for name in ("latents", "start_loss", "steps", "status", "reconstructions"):
                every = torch.stack([getattr(run, name) for run in single])
                expected = every[winner, torch.arange(COUNT)]
                torch.testing.assert_close(getattr(best, name), expected, rtol=0, atol=1e-6)
            assert torch.equal(best.evaluations, sum(run.evaluations for run in single))

    def test_networks_and_encoder(self, case):
        toy, *_ = case
        encoder = InversionEncoder(EncoderConfig.for_generator(toy, widths=(8,)))
        classes = ClassMeanStart(torch.zeros(2, 4, 4), ByRule(toy, 2))
        start = Starts((MeanStart(), classes, EncoderStart(encoder)))
        assert start.encoder is encoder
        assert start.modules() == [classes.classifier, encoder]
        assert Starts((MeanStart(), classes)).encoder is None

    def test_none_is_refused(self):
        with pytest.raises(ValueError, match="starts: expected at least one"):
            Starts(())


@dataclass(frozen=True)
class Fixed(Start):
    """The same latents, whatever the image."""

    latents: torch.Tensor

    def candidates(self, wanted):
        return self.latents[wanted.rows][:, None]


class TestBadStarts:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_latents_that_are_no_numbers_give_way_to_the_mean(self, case, bad):
        toy, latents, images = case
        broken = latents.clone()
        broken[4, 2, 1] = bad
        settings = {"steps": 5}
        result = invert(toy, images, inverter=Inverter(start=Fixed(broken), **settings))
        mean = invert(toy, images, inverter=Inverter(start=MeanStart(), **settings))
        good = invert(toy, images, inverter=Inverter(start=Fixed(latents), **settings))
        assert result.failed() == []
        torch.testing.assert_close(result.latents[4], mean.latents[4], rtol=0, atol=1e-4)
        torch.testing.assert_close(result.start_loss[4], mean.start_loss[4])
        others = [i for i in range(COUNT) if i != 4]
        torch.testing.assert_close(result.loss[others], good.loss[others], rtol=0, atol=1e-5)

    def test_a_start_whose_rendering_is_no_number_fails_the_image_alone(self):
        generator = CallableGenerator(lambda z: (1 / z).reshape(-1, 1, 1, 2) * 0.1, z_dim=2)
        images = torch.full((3, 1, 1, 2), 0.2)
        latents = torch.tensor([[1.0, 2.0], [0.0, 1.0], [0.7, 0.3]])[:, None]
        result = invert(generator, images, inverter=Inverter(start=GivenStart(latents), steps=5))
        assert result.failed() == [1]
        assert torch.equal(result.latents[1], generator.mean_latent())
        both = GivenStart(torch.stack([latents, latents.flip(0)], 1))
        assert invert(generator, images, inverter=Inverter(start=both, steps=5)).failed() == [1]
        rescue = Starts((GivenStart(latents), MeanStart()))
        saved = invert(generator, images, inverter=Inverter(start=rescue, steps=5))
        assert (saved.status != Status.FAILED).all()


class TestDescriptions:
    def starts(self):
        toy = ToyGenerator()
        torch.manual_seed(0)
        encoder = InversionEncoder(EncoderConfig.for_generator(toy, widths=(8,)))
        return {
            "mean": MeanStart(),
            "encoder": EncoderStart(encoder),
            "passes": EncoderStart(encoder, passes=2),
            "class": ClassMeanStart(torch.zeros(2, 4, 4), nn.Linear(2, 2)),
            "given": GivenStart(torch.zeros(2, 4, 4)),
            "other": GivenStart(torch.ones(2, 4, 4)),
            "best": Starts((MeanStart(), EncoderStart(encoder))),
            "one": Starts((MeanStart(),)),
            "samples": SampleStart(),
            "fewer": SampleStart(samples=64),
            "others": SampleStart(seed=1),
        }

    def test_each_is_json_and_tells_it_from_the_others(self):
        found = {name: describe(start) for name, start in self.starts().items()}
        assert json.loads(json.dumps(found, allow_nan=False)) == found
        assert len({json.dumps(value) for value in found.values()}) == len(found)
        assert {name: describe(start) for name, start in self.starts().items()} == found

    def test_each_follows_its_weights(self):
        for start in self.starts().values():
            before = describe(start)
            with torch.no_grad():
                for module in start.modules():
                    next(module.parameters()).view(-1)[0] += 1
                for name in ("means", "latents"):
                    if name in vars(start):
                        vars(start)[name].view(-1)[0] += 1
            changed = start.modules() or isinstance(start, GivenStart)
            assert (describe(start) != before) == bool(changed)

    def test_means_and_classifier_both_count(self):
        net = nn.Linear(2, 2)
        one, two = torch.zeros(2, 4, 4), torch.ones(2, 4, 4)
        assert describe(ClassMeanStart(one, net)) != describe(ClassMeanStart(two, net))
        assert describe(ClassMeanStart(one, net)) != describe(ClassMeanStart(one, nn.Linear(2, 2)))


def test_the_objective_is_that_of_each_candidate(case):
    """`ToStart` pulls each candidate to its own start, not to that of another."""
    toy, latents, images = case
    start = GivenStart(torch.stack([latents + 1.0, latents], 1))
    # What moves ends later than what is at its goal, so some are joined by others on the way.
    inverter = Inverter(start=start, objective=Objective((L1(), ToStart(10.0))), patience=1)
    result = invert(toy, images, inverter=inverter, batch_size=4)
    assert (result.evaluations > 4).all()
    assert (result.loss < 1e-5).all()
