"""GenerativeTTA as people meet it: state, memory, one bad image, what is refused before work."""

from __future__ import annotations

import copy
import inspect
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from genviews import (
    PCA,
    CallableGenerator,
    Classifier,
    GenerativeTTA,
    GeneratorKit,
    Inverter,
    PCAStatistics,
    Rng,
    StyleMix,
    ToyGenerator,
    load_generator,
)
from genviews.align.aligners import CentreBox, Frame
from genviews.align.base import Box
from genviews.augment.geometry import CentreCrop, HorizontalFlip, RandomCrop
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.merge import MERGES
from genviews.ensemble.photos import Photos
from genviews.ensemble.rule import EnsembleRule
from genviews.ensemble.weigh import Ensemble
from genviews.invert.optimizer import Adam
from genviews.invert.start import GivenStart, MeanStart
from genviews.robustness.corruption import corruption
from tests.pretended_device import pretended_device

TOY = ToyGenerator()
IMAGES = TOY.synthesize(TOY.map(TOY.sample(Rng(0).streams(range(10)))))
UNIT = ((IMAGES - IMAGES.min()) / (IMAGES.max() - IMAGES.min())).repeat(2, 1, 1, 1)
LABELS = (IMAGES.mean((1, 2, 3)) > 0).long()
QUICK = Inverter(steps=2, optimizer=Adam(lr=0.2))


class Watched(nn.Module):
    """Logits from the mean; notes how many images come at once, and says nan of some."""

    def __init__(self, size=8):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen, self.silent = nn.Linear(size * size, 2), [], None

    def forward(self, images):
        self.seen.append(len(images))
        logits = self.layer(images.flatten(1))
        if self.silent is not None:
            logits = logits.masked_fill(self.silent(images)[:, None], torch.nan)
        return logits


class Counted(ToyGenerator):
    """Notes how many images are rendered at once."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def synthesize(self, latents, label=None):
        self.seen.append(len(latents))
        return super().synthesize(latents, label)

    def synthesize_views(self, latents, shared_rows=0, label=None):
        self.seen.append(latents.shape[0] * latents.shape[1])
        return super().synthesize_views(latents, shared_rows, label)


def tta(generator=TOY, spec=TOY.image_spec, **options):
    classifier = Classifier(Watched(spec.height), spec, ("dark", "bright"))
    settings = {"inverter": QUICK, "num_views": 3, "alpha": 0.5, "batch_size": 16}
    return GenerativeTTA(classifier, generator, **{**settings, **options})


class TestState:
    def test_round_trip_makes_a_fresh_one_fitted(self):
        fitted, fresh = tta(alpha=None).fit(IMAGES, LABELS), tta(alpha=None)
        with pytest.raises(ValueError, match="`fit` first"):
            fresh.predict(IMAGES)
        fresh.load_state_dict(fitted.state_dict())
        assert torch.equal(fresh.predict_proba(IMAGES), fitted.predict_proba(IMAGES))

    def test_a_perturbations_tensors_are_part_of_it(self):
        some, others = (PCAStatistics.measure(TOY, num_samples=n) for n in (50, 5000))
        one, two = (
            tta(perturbation=PCA("all", 1.0, some)),
            tta(perturbation=PCA("all", 1.0, others)),
        )
        assert not torch.equal(one.predict_proba(IMAGES), two.predict_proba(IMAGES))
        two.load_state_dict(one.state_dict())
        assert torch.equal(one.predict_proba(IMAGES), two.predict_proba(IMAGES))

    @pytest.mark.parametrize(
        ("named", "settings"),
        [
            ("merge", {"merge": "gmean"}),
            ("views", {"num_views": 4}),
            ("views", {"perturbation": "isotropic_all_0.20"}),
            ("views", {"pixel_views": HorizontalFlip()}),
            ("transforms", {"render_transform": HorizontalFlip()}),
            ("choose_by", {"choose_by": "log-loss"}),
            ("seed", {"seed": 1}),
            ("steps", {"inverter": Inverter(steps=3, optimizer=Adam(lr=0.2))}),
            ("steps", {"inverter": Inverter(steps=2, optimizer=Adam(lr=0.1))}),
            ("start", {"inverter": Inverter(start=MeanStart(), steps=2, optimizer=Adam(lr=0.2))}),
        ],
    )
    def test_alpha_is_refused_where_it_was_not_chosen(self, named, settings):
        other = tta(alpha=0.25, **settings)
        for whole in (other, nn.ModuleList([other])):
            state = type(whole).state_dict(tta() if whole is other else nn.ModuleList([tta()]))
            with pytest.raises(ValueError, match=f"state of a GenerativeTTA: .*{named}"):
                whole.load_state_dict(state)
        assert other.ensemble_.alpha_ == 0.25

    @pytest.mark.parametrize("kept", [torch.zeros(4, dtype=torch.uint8), {"alpha": 1.0}, "text"])
    def test_a_damaged_state_is_refused_in_a_sentence(self, kept):
        made = tta()
        damaged = {
            name: kept if name.endswith("_extra_state") else value
            for name, value in made.state_dict().items()
        }
        with pytest.raises(
            ValueError, match=r"state of a GenerativeTTA: expected (what state_dict|a JSON)"
        ):
            made.load_state_dict(damaged)

    def test_how_it_is_run_is_no_setting(self):
        other = tta(batch_size=3).half()
        other.load_state_dict(load(save(tta(alpha=0.75).state_dict())))
        assert other.ensemble_.alpha_ == 0.75

    @pytest.mark.parametrize("change", [copy.deepcopy, lambda made: made.half().float()])
    def test_a_copy_and_a_rounded_one_keep_alpha(self, change):
        made = tta(alpha=0.35)
        assert change(made).ensemble_.alpha_ == 0.35

    def test_double_is_double_throughout(self):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Unflatten(1, (1, 8, 8)))
        made = tta(CallableGenerator(network, 4), perturbation="isotropic_all_0.30").double()
        wide = made.predict_proba(IMAGES.double())
        torch.testing.assert_close(made.predict_proba(IMAGES), wide, atol=1e-6, rtol=0)

    def test_networks_of_the_inverter_are_submodules(self):
        kit = load_generator("fashion32", steps=1)
        spec = kit.generator.image_spec
        made = tta(kit, spec, inverter=None)
        assert any(part is kit.inverter.encoder for part in made.modules())

    def test_runs_on_another_device_with_masks(self):
        made = tta(alpha=None, pixel_views=HorizontalFlip())
        with pretended_device() as device:
            made.to(device).fit(IMAGES, LABELS, masks=torch.ones(10, 1, 8, 8))
            assert made.predict(IMAGES.to(device)).device.type == "cpu"


class TestNeighbours:
    def test_a_class_to_render_depends_on_the_image_alone(self):
        """Where its photo goes through chance, that is the image's own."""
        generator = CallableGenerator(
            lambda z, c: (
                (z[:, :1, None, None] + c[:, 1, None, None, None]).tanh().expand(-1, 1, 8, 8)
            ),
            z_dim=2,
            num_classes=2,
        )
        settings = {"perturbation": "isotropic_all_0.10", "photo_transform": RandomCrop(padding=3)}
        whole = tta(generator, **settings).predict_proba(IMAGES)
        alone = torch.cat([tta(generator, **settings).predict_proba(one[None]) for one in IMAGES])
        torch.testing.assert_close(whole, alone, atol=1e-6, rtol=0)


class TestMemory:
    @pytest.mark.parametrize("size", [2, 5])
    @pytest.mark.parametrize(
        "options",
        [{}, {"pixel_views": HorizontalFlip()}, {"perturbation": "reconstruction"}],
        ids=["views", "pixel views", "reconstruction"],
    )
    def test_no_more_than_a_batch_is_rendered_or_classified_at_once(self, size, options):
        generator = Counted()
        made = tta(generator, batch_size=size, num_views=7, alpha=None, **options)
        made.classifier.module.seen.clear()
        generator.seen.clear()
        made.fit(IMAGES[:5], LABELS[:5]).predict(IMAGES[:5])
        assert max(generator.seen) <= size
        assert max(made.classifier.module.seen) <= size

    def test_a_conditional_generator_is_told_the_class_within_the_bound(self):
        generator = CallableGenerator(
            lambda z, c: (
                (z[:, :1, None, None] + c[:, 1, None, None, None]).tanh().expand(-1, 1, 8, 8)
            ),
            z_dim=2,
            num_classes=2,
        )
        made = tta(generator, perturbation="isotropic_all_0.10", batch_size=2)
        made.classifier.module.seen.clear()
        made.predict(IMAGES[:5])
        assert max(made.classifier.module.seen) <= 2


class TestOneBadImage:
    @pytest.mark.parametrize(
        ("alpha", "value"),
        [(0.0, torch.nan), (0.5, torch.nan), (1.0, torch.nan), (0.5, torch.inf)],
    )
    def test_of_a_pixel_has_no_answer_and_harms_nobody(self, alpha, value):
        made, images = tta(alpha=alpha), IMAGES.clone()
        images[3, 0, 2, 2] = value
        whole, found = made.predict_proba(IMAGES), made.predict_proba(images)
        rest = [row for row in range(10) if row != 3]
        assert torch.equal(found[rest], whole[rest])
        assert bool(found[3].isnan().all())
        assert made.predict(images)[3] == -1

    def test_in_an_unknown_pixel_is_none(self):
        made, images, masks = tta(), IMAGES.clone(), torch.ones(10, 1, 8, 8)
        images[3, 0, 2, 2], masks[3, 0, 2, 2] = torch.nan, 0.0
        assert bool(made.predict_proba(images, masks=masks).isfinite().all())

    def test_without_a_logit_has_no_answer(self):
        made = tta()
        whole = made.predict_proba(IMAGES)
        made.classifier.module.silent = lambda x: (x == IMAGES[4]).flatten(1).all(1)
        found = made.predict_proba(IMAGES)
        rest = [row for row in range(10) if row != 4]
        assert torch.equal(found[rest], whole[rest])
        assert bool(found[4].isnan().all())

    def test_without_a_views_logit_has_the_plain_answer(self):
        made = tta()
        plain = made.classifier(IMAGES).double().softmax(-1)
        known = [tuple(image.flatten().tolist()) for image in IMAGES]
        made.classifier.module.silent = lambda x: torch.tensor(
            [tuple(image.flatten().tolist()) not in known for image in x]
        )
        torch.testing.assert_close(made.predict_proba(IMAGES), plain.detach())

    def test_whose_inversion_fails_has_the_plain_answer(self):
        made, masks = tta(), torch.ones(10, 1, 8, 8)
        whole = made.predict_proba(IMAGES, masks=masks)
        masks[2] = 0.0
        found = made.predict_proba(IMAGES, masks=masks)
        plain = made.classifier(IMAGES).detach().double().softmax(-1)
        torch.testing.assert_close(found[2], plain[2])
        photos = Photos(IMAGES, TOY.image_spec, masks=masks)
        (notes,) = [answer.notes for answer, _ in made.answers(photos)]
        assert list(notes) == [photos.ids[2]]
        assert notes[photos.ids[2]].startswith("could not be inverted")
        rest = [row for row in range(10) if row != 2]
        assert torch.equal(found[rest], whole[rest])

    def test_is_answered_as_it_is_aligned_where_views_have_no_weight(self):
        """Else the plain classifier would see another crop than its views show."""
        frame = Frame(height=8, width=8, content_height=8, content_width=8)
        made = tta(aligner=CentreBox(frame), alpha=0.0)
        photos = [torch.rand(1, 20, 30, generator=Rng(row).torch()) for row in range(2)]
        boxes = [Box(5, 5, 25, 15), Box(2, 1, 9, 20)]
        seen = torch.stack(
            [made.aligner.align(*each).image for each in zip(photos, boxes, strict=True)]
        )
        plain = made.classifier(seen).detach().double().softmax(-1)
        torch.testing.assert_close(made.predict_proba(photos, geometry=boxes), plain)

    def test_that_cannot_be_aligned_has_no_answer(self):
        frame = Frame(height=8, width=8, content_height=8, content_width=8)
        made = tta(aligner=CentreBox(frame))
        photos = [torch.rand(1, 20, 30, generator=Rng(row).torch()) for row in range(3)]
        geometry = [Box(5, 5, 25, 15), Box(0, 0, 30, 20), Box(500, 500, 600, 600)]
        found = made.predict_proba(photos, geometry=geometry)
        assert found.isnan().any(1).tolist() == [False, False, True]


SET = ImageSet(images=IMAGES, ids=tuple("abcdefghij"))


class TestBeforeAnyWork:
    CASES = (
        ({"labels": LABELS.float()}, ValueError, "labels: expected integers"),
        ({"labels": LABELS[:9]}, ValueError, r"labels: expected shape \(10,\)"),
        ({"labels": LABELS + 1}, ValueError, r"classes 0 to 1 \(0 'dark', 1 'bright'\), got 2 for"),
        ({"labels": LABELS - 1}, ValueError, "got -1 for image"),
        ({"images": IMAGES * 127.5 + 127.5}, ValueError, "image 0: expected values in"),
        ({"images": UNIT, "labels": LABELS.repeat(2)}, ValueError, r"20 images in \[0, 1\], none"),
        ({"images": (IMAGES * 127).to(torch.uint8)}, TypeError, "expected a float tensor"),
        ({"images": IMAGES[:, :, :7]}, ValueError, "expected shape"),
        ({"images": IMAGES[0]}, ValueError, "add the batch axis"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, ValueError, "number of images"),
        (
            {"images": IMAGES.index_fill(0, torch.tensor([3]), torch.nan)},
            ValueError,
            r"others in 3 \(",
        ),
        ({"ids": ["a"] * 10}, ValueError, "'a' for images 0 and 1, whose pixels differ"),
        ({"ids": ["a"]}, ValueError, "ids: expected 10"),
        ({"masks": torch.ones(10, 1, 8, 7)}, ValueError, "masks: expected shape"),
        ({"masks": 255 * torch.ones(10, 1, 8, 8)}, ValueError, "divide masks of 0 and 255"),
        ({"images": IMAGES[[0] * 10]}, ValueError, "one class for one image"),
        ({"geometry": [Box(0, 0, 8, 8)] * 10}, ValueError, "geometry alone"),
        ({"images": SET, "labels": None}, ValueError, "labels: expected one for each image, got"),
        ({"images": replace(SET, split="test")}, ValueError, "choose alpha on: .* got 'test'"),
        ({"images": MemorySource(SET).as_split("predict")}, ValueError, "got 'predict'"),
    )

    @pytest.mark.parametrize(("given", "error", "message"), CASES)
    def test_fit_refuses(self, given, error, message):
        generator = Counted()
        made = tta(generator, alpha=None)
        made.classifier.module.seen.clear()
        generator.seen.clear()
        labels = given.pop("labels", torch.arange(10) % 2)
        with pytest.raises(error, match=message):
            made.fit(given.pop("images", IMAGES), labels, **given)
        assert generator.seen == made.classifier.module.seen == []

    def test_a_source_brings_its_labels(self):
        labelled = replace(SET, labels=LABELS, class_names=("dark", "bright"), split="val")
        fits = [(labelled,), (MemorySource(labelled),), (SET, LABELS)]
        curves = [tta(alpha=None).fit(*given).ensemble_.curve_ for given in fits]
        assert torch.equal(curves[0], curves[1])
        assert torch.equal(curves[0], curves[2])

    def test_predict_refuses_equal_ids_of_different_images(self):
        with pytest.raises(ValueError, match="whose pixels differ"):
            tta().predict_proba(IMAGES[:2], ids=["a", "a"])
        same = tta().predict_proba(IMAGES[[0, 0, 1]], ids=["a", "a", "b"])
        assert torch.equal(same[0], same[1])

    def test_the_line_of_a_copy_has_no_name_that_another_image_has(self):
        bank = tta().bank(IMAGES[[0, 0, 1]], split="predict", ids=["a", "a", "a#1"], generate=False)
        assert bank.ids[::2] == ("a", "a#1")
        assert len(set(bank.ids)) == 3

    def test_sources_too(self):
        source = MemorySource(ImageSet(images=IMAGES[:, :, :6].clone(), ids=tuple("abcdefghij")))
        with pytest.raises(ValueError, match="what the generator makes"):
            tta().predict(source)
        source = MemorySource(ImageSet(images=IMAGES, ids=tuple("abcdefghij")))
        with pytest.raises(ValueError, match="all different"):
            tta().predict(source, ids=["a"] * 10)

    def test_a_copy_of_an_image_counts_twice(self):
        rows = [*range(10), 0, 0, 0]
        made = tta(alpha=None).fit(IMAGES[rows], LABELS[rows])
        wrong = LABELS.clone()
        wrong[0] = 1 - wrong[0]
        assert made.bank(IMAGES[rows], split="calibration").logits["image"].shape[0] == 13

    def test_a_given_alpha_is_not_fitted(self):
        with pytest.raises(ValueError, match="leave out alpha"):
            tta().fit(IMAGES, LABELS)
        with pytest.raises(ValueError, match="alpha: expected a number"):
            tta(alpha=2.0)


class TestByName:
    def test_a_perturbation_is_that_of_its_name(self):
        named, made = tta(perturbation="stylemix_fine"), tta(perturbation=StyleMix("fine"))
        assert torch.equal(named.predict_proba(IMAGES), made.predict_proba(IMAGES))
        with pytest.raises(ValueError, match="stylemix"):
            tta(perturbation="stylemx_fine")

    def test_a_strength_that_is_left_out_is_the_middle_one_of_the_kit(self):
        kit = GeneratorKit(TOY, scales={"isotropic": {"fine": [0.1, 0.2, 0.9]}})
        assert tta(kit, perturbation="isotropic_fine").perturbation.sigma == 0.2

    @pytest.mark.parametrize("merge", MERGES)
    def test_every_merge(self, merge):
        found = tta(merge=merge).predict_proba(IMAGES)
        torch.testing.assert_close(found.sum(1), torch.ones(10, dtype=torch.float64))

    @pytest.mark.parametrize(
        "options", [{"merge": "men"}, {"perturbation": "stylmix_fine"}, {"pixel_views": "car/crp"}]
    )
    def test_an_unknown_one_is_told_with_its_neighbours(self, options):
        tta()  # signatures are checked at the first call in a test, and here it is words that count
        with pytest.raises(ValueError, match="did you mean"):
            tta(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": lambda z: z}, "generator: expected a genviews.Generator, got function"),
        ({"perturbation": 3}, "perturbation: expected a Perturbation or its name, got int"),
        ({"pixel_views": 3}, "pixel views: expected PixelViews or a name, got int"),
        ({"inverter": 3}, "inverter: expected an Inverter, got int"),
    ],
)
def test_an_argument_of_another_type_is_told_with_a_way_out(options, message):
    with pytest.raises(TypeError, match=message):
        inspect.unwrap(GenerativeTTA.__init__)(
            GenerativeTTA.__new__(GenerativeTTA),
            Classifier(Watched(), TOY.image_spec, ("dark", "bright")),
            **{"generator": TOY, **options},
        )


class TestTransforms:
    SMALL = CentreCrop(6)

    def test_photo_and_renders_may_go_their_own_ways_to_the_classifiers_size(self):
        spec = type(TOY.image_spec)(channels=1, height=6, width=6)
        with pytest.raises(ValueError, match="photo_transform"):
            tta(TOY, spec)
        made = tta(
            TOY,
            spec,
            alpha=0.0,
            photo_transform=self.SMALL,
            render_transform=self.SMALL,
            pixel_views=RandomCrop(size=6),
        )
        bank = made.bank(IMAGES, split="predict")
        cut = IMAGES[:, :, 1:7, 1:7]
        torch.testing.assert_close(bank.logits["image"][:, 0], made.classifier(cut).detach())
        assert bank.view_keys == ("crop", "crop+stylemix_fine")

    @pytest.mark.parametrize("kind", ["car", "cat"])
    def test_published_transforms_that_change_the_size_make_an_ensemble(self, kind):
        size, side = (256, 512) if kind == "car" else (224, 256)
        generator = CallableGenerator(
            lambda z: z[:, :3, None, None].tanh().expand(-1, 3, side, side).contiguous(), z_dim=4
        )
        spec = type(TOY.image_spec)(channels=3, height=size, width=size)
        net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        made = GenerativeTTA(
            Classifier(net, spec, ("dark", "bright")),
            generator,
            inverter=Inverter(steps=0, start=GivenStart(torch.zeros(1, 1, 4))),
            perturbation="isotropic_all_0.10",
            pixel_views=f"{kind}/crop",
            photo_transform=f"{kind}/val",
            render_transform=f"{kind}/gan-base",
            num_views=1,
            alpha=0.5,
        )
        bank = made.bank(torch.zeros(1, 3, side, side), split="predict")
        assert bank.view_keys == ("crop", "mixed+isotropic_all_0.10")

    def test_the_photo_may_stay_plain_while_renders_are_transformed(self):
        made = tta(render_views=HorizontalFlip(1.0))
        bank = made.bank(IMAGES, split="predict")
        assert set(bank.logits) == {"image", "reconstruction", "flip+stylemix_fine"}
        assert made.ensemble_.image_views == ()
        plain = tta().bank(IMAGES, split="predict").logits["stylemix_fine"]
        assert not torch.allclose(bank.logits["flip+stylemix_fine"], plain)


@pytest.mark.parametrize("kind", [MemorySource, lambda images: images], ids=["source", "set"])
@pytest.mark.parametrize("split", ["test", "predict", "val", None])
def test_alpha_is_not_chosen_on_images_that_are_for_the_report(kind, split):
    names, labels = ("dark", "bright"), LABELS
    images = ImageSet(
        images=IMAGES, ids=tuple(map(str, range(10))), labels=labels, class_names=names, split=split
    )
    if split in ("test", "predict"):
        with pytest.raises(ValueError, match=f"split to choose alpha on: .*got '{split}'"):
            tta(alpha=None).fit(kind(images), labels)
    else:
        assert 0 <= tta(alpha=None).fit(kind(images), labels).ensemble_.alpha_ <= 1


class TestFittedOnMildShifts:
    """Alpha from clean images and copies of them under a corruption."""

    def calibration(self):
        return 0.9 * UNIT - 0.5 + 0.001 * torch.arange(20.0)[:, None, None, None], LABELS.repeat(2)

    def test_alpha_is_the_best_by_log_loss_on_both(self):
        images, labels = self.calibration()
        one = tta(alpha=None, choose_by="accuracy")
        one.fit(images, labels, ids=[str(i) for i in range(20)], fit_on=("noise:4",))
        noise = corruption("noise:4")
        ids = [str(i) for i in range(20)]
        noisy = noise(images, Rng(0, "shift").streams(ids))
        other = tta(alpha=None)
        banks = [
            other.bank(part, split="calibration", labels=labels, ids=ids)
            for part in (images, noisy)
        ]
        banks[1] = replace(banks[1], ids=tuple(f"{name} again" for name in ids))
        both = PredictionBank.concatenate(banks)
        views = one.plan.view_sets[-1].name
        expected = Ensemble(views, rule=EnsembleRule(choose_by="log-loss")).fit(both)
        assert one.ensemble_.alpha_ == expected.alpha_
        assert torch.allclose(one.ensemble_.curve_, expected.curve_)

    def test_a_source_and_a_tensor_with_its_ids_are_the_same(self):
        images, labels = self.calibration()
        ids = tuple(str(i) for i in range(20))
        source = MemorySource(
            ImageSet(images=images, ids=ids, labels=labels, class_names=("dark", "bright"))
        )
        from_source = tta(alpha=None).fit(source, fit_on=("noise:4",))
        from_tensor = tta(alpha=None).fit(images, labels, ids=ids, fit_on=("noise:4",))
        assert torch.equal(from_source.ensemble_.curve_, from_tensor.ensemble_.curve_)

    @pytest.mark.parametrize(
        ("word", "told"), [("fogg:3", "did you mean 'fog'"), ("saturate:2", "colour images")]
    )
    def test_what_the_images_cannot_have_is_told_before_any_work(self, word, told):
        one = tta(alpha=None)
        before = list(one.classifier.module.seen)  # it is asked what it is when it is made
        with pytest.raises(ValueError, match=told):
            one.fit(UNIT, LABELS.repeat(2), fit_on=(word,))
        assert one.classifier.module.seen == before
