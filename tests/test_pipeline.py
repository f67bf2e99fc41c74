"""GenerativeTTA on the toy generator: what it inverts, what it averages, and its neighbours.

The classifier reads the slope of the brightness, which is the class, and a checkerboard, which the
generator cannot draw. On clean images it makes no mistake, so alpha is 0; a checkerboard added to
the images misleads it, but not on reconstructions and views, so alpha is above 0.
"""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch
from torch import nn

from genviews.augment.geometry import HorizontalFlip
from genviews.classify.model import Classifier
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L2, Objective
from genviews.invert.optimizer import Adam
from genviews.perturb.noise import Isotropic
from genviews.perturb.stylemix import StyleMix
from genviews.pipeline import GenerativeTTA
from genviews.rng import Rng

ROW = torch.arange(8.0)
CHECKERBOARD = (-1.0) ** (ROW[:, None] + ROW)
INVERTER = Inverter(steps=15, optimizer=Adam(lr=0.2), objective=Objective((L2(),)))


def slope(images):
    return images[:, 0, :4].mean((1, 2)) - images[:, 0, 4:].mean((1, 2))


class Misled(nn.Module):
    """Logits from the slope, with a weakness for checkerboards."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def forward(self, images):
        board = (images[:, 0] * CHECKERBOARD).mean((1, 2))
        logit = self.scale * (4 * slope(images) + 8 * board)
        return torch.stack([-logit, logit], dim=1)


TOY = ToyGenerator()
VIEWS = StyleMix("fine").name  # the default
CLASSIFIER = Classifier(Misled(), TOY.image_spec, ("down", "up"))


@pytest.fixture(scope="module")
def clean():
    """(images, labels) that the classifier knows for certain."""
    images = TOY.synthesize(TOY.map(TOY.sample(Rng(0).streams(range(60)))))
    images = images[slope(images).abs() > 0.1][:24]
    return images, (slope(images) > 0).long()


@pytest.fixture(scope="module")
def noisy(clean):
    """The same images with a checkerboard whose sign says nothing of the class."""
    images, labels = clean
    sign = torch.where(torch.arange(len(images)) % 2 == 0, 1.0, -1.0)
    return images + 0.5 * sign[:, None, None, None] * CHECKERBOARD, labels


def tta(classifier=CLASSIFIER, generator=TOY, **options):
    settings = {"inverter": INVERTER, "num_views": 3, "batch_size": 16}
    return GenerativeTTA(classifier, generator, **{**settings, **options})


@pytest.fixture(scope="module")
def weighed(noisy):
    """Fitted where views help."""
    made = tta().fit(*noisy)
    assert made.ensemble_.alpha_ > 0
    return made


class Rendered(ToyGenerator):
    """Notes what is rendered, which every inversion does."""

    def __init__(self):
        super().__init__()
        self.times = 0

    def synthesize(self, latents, label=None):
        self.times += 1
        return super().synthesize(latents, label)


class TestFit:
    def test_the_smallest_alpha_wins_a_tie(self, clean):
        ensemble = tta().fit(*clean).ensemble_
        assert (ensemble.curve_ == 1.0).sum() > 1
        assert ensemble.alpha_ == 0.0

    def test_views_are_used_where_they_help(self, weighed, noisy):
        images, labels = noisy
        alone = (CLASSIFIER(images).argmax(-1) == labels).float().mean()
        curve = weighed.ensemble_.curve_
        assert float(alone) == pytest.approx(float(curve[0]))
        assert weighed.ensemble_.accuracy_ > alone + 0.2
        assert (weighed.predict(images) == labels).float().mean() > alone + 0.2
        best = int((curve == curve.max()).nonzero()[0])
        assert weighed.ensemble_.alpha_ == pytest.approx(best / 20)

    def test_returns_itself(self, clean):
        made = tta()
        assert made.fit(*clean) is made

    @pytest.mark.parametrize("call", ["predict_proba", "predict", "forward"])
    def test_comes_first(self, clean, call):
        with pytest.raises(ValueError, match="expected `fit` first, got predict_proba before fit"):
            getattr(tta(), call)(clean[0])


class TestAlphaZero:
    def test_is_the_plain_classifier_and_inverts_nothing(self, clean, noisy):
        generator = Rendered()
        made = tta(generator=generator).fit(*clean)
        before = generator.times
        assert before
        wanted = CLASSIFIER(noisy[0]).double().softmax(-1)
        torch.testing.assert_close(made.predict_proba(noisy[0]), wanted)
        assert torch.equal(made.predict(noisy[0]), wanted.argmax(-1))
        assert generator.times == before

    @pytest.mark.parametrize("merge", ["mean", "gmean"])
    def test_with_pixel_views_is_their_average(self, clean, noisy, merge):
        generator = Rendered()
        options = {"pixel_views": HorizontalFlip(), "merge": merge}
        made = tta(generator=generator, **options).fit(*clean)
        before = generator.times
        assert before
        bank = made.bank(noisy[0], split="predict", generate=False)
        assert {key: logits.shape[1] for key, logits in bank.logits.items()} == {
            "image": 1,
            "flip": 3,
        }
        logits = torch.cat([bank.logits["image"], bank.logits["flip"]], dim=1).double()
        assert (logits[:, 0] - logits[:, 1:].mean(1)).abs().max() > 0.1
        mean = logits.softmax(-1).mean(1) if merge == "mean" else logits.mean(1).softmax(-1)
        torch.testing.assert_close(made.predict_proba(noisy[0]), mean)
        assert generator.times == before


class TestViews:
    def test_probabilities_are_those_of_equation_7(self, weighed, noisy):
        bank = weighed.bank(noisy[0][:5], split="predict")
        assert set(bank.logits) == {"image", "reconstruction", VIEWS}
        probs = {key: logits.double().softmax(-1) for key, logits in bank.logits.items()}
        views = torch.cat([probs["reconstruction"], probs[VIEWS]], dim=1)
        alpha = weighed.ensemble_.alpha_
        wanted = (1 - alpha) * probs["image"][:, 0] + alpha * views.mean(1)
        torch.testing.assert_close(weighed.predict_proba(noisy[0][:5]), wanted)

    def test_pixel_views_go_on_images_and_on_generated_views(self, noisy):
        made = tta(pixel_views=HorizontalFlip()).fit(*noisy)
        bank = made.bank(noisy[0][:2], split="predict")
        assert set(bank.logits) == {"image", "flip", "reconstruction", f"flip+{VIEWS}"}
        assert made.ensemble_.image_views == ("flip",)
        assert made.ensemble_.views == (f"flip+{VIEWS}",)

    def test_an_image_gets_the_same_alone_in_a_batch_and_twice(self, weighed, noisy):
        images = noisy[0][:5]
        whole = weighed.predict_proba(images)
        alone = torch.cat([weighed.predict_proba(image[None]) for image in images])
        torch.testing.assert_close(alone, whole, atol=1e-4, rtol=0)
        twice = weighed.predict_proba(images[[3, 0, 3]])
        assert torch.equal(twice[0], twice[2])
        torch.testing.assert_close(twice, whole[[3, 0, 3]], atol=1e-4, rtol=0)

    def test_batch_size_changes_nothing(self, weighed, noisy):
        small = tta(batch_size=2, alpha=weighed.ensemble_.alpha_)
        images = noisy[0][:5]
        wanted = weighed.predict_proba(images)
        torch.testing.assert_close(small.predict_proba(images), wanted, atol=1e-4, rtol=0)

    def test_seed_and_ids_decide_the_views(self, weighed, noisy):
        images = noisy[0][:2]
        views = weighed.bank(images, split="predict").logits[VIEWS]
        assert (views[:, 0] - views[:, 1]).abs().max() > 1e-3
        other = tta(seed=1).bank(images, split="predict").logits[VIEWS]
        assert (views - other).abs().max() > 1e-3
        named = weighed.bank(images, split="predict", ids=["a", "b"]).logits[VIEWS]
        assert (views - named).abs().max() > 1e-3


class Flaky(MemorySource):
    """Row 3 cannot be read; notes how many rows are asked for at once."""

    def __init__(self, images):
        super().__init__(images)
        self.asked = []

    def read(self, rows):
        self.asked.append(len(rows))
        batch = super().read([row for row in rows if row != 3])
        return replace(batch, skipped=tuple((self.ids[row], "torn") for row in rows if row == 3))


class TestSource:
    def test_is_read_in_parts_and_answers_as_its_images_do(self, weighed, noisy):
        images, ids = noisy[0][:7].clamp(-1, 1), tuple("abcdefg")
        source = Flaky(ImageSet(images=images, ids=ids))
        made, told = tta(batch_size=2, alpha=weighed.ensemble_.alpha_), []
        found = made.predict_proba(source, progress=lambda *of: told.append(of))
        assert source.asked == [2, 2, 2, 1]
        wanted = weighed.predict_proba(images, ids=ids)
        good = [0, 1, 2, 4, 5, 6]
        torch.testing.assert_close(found[good], wanted[good], atol=1e-4, rtol=0)
        assert found[3].isnan().all()
        assert (told[0], told[-1]) == (("predict", "images", 0, 7), ("predict", "images", 7, 7))
        assert [of[2] for of in told] == sorted(of[2] for of in told)

    def test_fits_as_its_images_do(self, noisy):
        images, labels = noisy[0][:8].clamp(-1, 1), noisy[1][:8]
        ids = tuple(f"i{i}" for i in range(len(images)))
        source = MemorySource(ImageSet(images=images, ids=ids))
        one, other = tta(batch_size=3), tta()
        one.fit(source, labels)
        other.fit(images, labels, ids=ids)
        assert one.ensemble_.alpha_ == other.ensemble_.alpha_
        whole = ImageSet(images=images, ids=ids)
        assert torch.equal(one.predict(whole), one.predict(source))
        with pytest.raises(TypeError, match=r"images: expected a tensor .* got str"):
            one.predict("photos/")
        torch.testing.assert_close(one.ensemble_.curve_, other.ensemble_.curve_)

    def test_no_more_than_a_batch_is_rendered_or_classified_at_once(self, noisy):
        seen = []

        class Counting(Misled):
            def forward(self, images):
                seen.append(len(images))
                return super().forward(images)

        counting = Classifier(Counting(), TOY.image_spec, ("down", "up"))
        seen.clear()  # that looked at the classifier, not at images
        tta(counting, batch_size=4, num_views=3).fit(noisy[0][:9], noisy[1][:9])
        assert max(seen) <= 4


class TestForward:
    def test_is_the_logarithm_of_the_probabilities(self, weighed, noisy):
        logits = weighed(noisy[0][:4])
        assert logits.dtype == torch.float32
        wanted = weighed.predict_proba(noisy[0][:4]).log().float()
        torch.testing.assert_close(logits, wanted, atol=1e-4, rtol=1e-4)

    def test_is_finite_where_a_probability_is_zero(self, clean):
        certain = Classifier(Misled(1e4), TOY.image_spec, ("down", "up"))
        made = tta(certain).fit(*clean)
        assert (made.predict_proba(clean[0]) == 0).any()
        assert made(clean[0]).isfinite().all()


class TestMistakes:
    def test_a_bare_network(self):
        unchecked = inspect.unwrap(GenerativeTTA.__init__)  # without the type check of the tests
        with pytest.raises(TypeError, match=r"expected a genviews\.Classifier, got Misled"):
            unchecked(GenerativeTTA.__new__(GenerativeTTA), Misled(), TOY)

    def test_another_size(self):
        with pytest.raises(ValueError, match=r"one shape, got \(1, 8, 8\) and \(1, 16, 16\)"):
            GenerativeTTA(CLASSIFIER, ToyGenerator(size=16))
        with pytest.raises(ValueError, match=r"images: expected shape \(\.\.\., 1, 8, 8\)"):
            tta().fit(torch.zeros(2, 1, 16, 16), torch.tensor([0, 1]))

    @pytest.mark.parametrize("what", ["num_views", "batch_size"])
    def test_counts(self, what):
        with pytest.raises(ValueError, match=f"{what}: expected an integer of at least 1, got 0"):
            tta(**{what: 0})


def test_views_that_suit_a_generator_without_fine_rows():
    generator = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 8, 8).cumsum(-1) / 8, z_dim=64)
    made = GenerativeTTA(CLASSIFIER, generator, inverter=INVERTER).perturbation
    assert isinstance(made, Isotropic)
    assert made.layers == "all"
    assert GenerativeTTA(CLASSIFIER, TOY).perturbation == StyleMix("fine")


def test_a_generator_that_is_told_the_class_gets_the_predicted_one():
    """The class is no part of the latent: inversion and views are of the class that is seen."""

    def decode(z, c):
        shift = 2 * (c * torch.arange(2).to(c)).sum(1, keepdim=True) - 1
        return (0.3 * z + shift).tanh().reshape(-1, 1, 2, 3)

    class Mean(torch.nn.Module):
        def forward(self, images):
            mean = images.mean((1, 2, 3))
            return torch.stack([-mean, mean], 1)

    generator = CallableGenerator(decode, z_dim=6, num_classes=2)
    label = torch.arange(8) % 2
    images = generator.synthesize(generator.sample(Rng(0).streams(range(8)))[:, None], label)
    classifier = Classifier(Mean(), generator.image_spec, ("dark", "bright"))
    tta = GenerativeTTA(
        classifier,
        generator,
        inverter=Inverter(steps=20),
        perturbation=Isotropic("all", 0.2),
        num_views=3,
    )
    bank = tta.bank(images, labels=label, split="calibration")
    assert bank.accuracy() == 1.0
    said = bank.get(bank.view_keys[0]).argmax(-1)
    assert torch.equal(said, label[:, None].expand(-1, 3))
