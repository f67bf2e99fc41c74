"""Benches under a shift or an attack: what is changed, what is kept, what is fitted on what."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.source import MemorySource
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.perturb.stylemix import StyleMix
from genviews.rng import Rng
from genviews.robustness.attack import attack
from genviews.robustness.batch_statistics import with_batch_statistics
from genviews.robustness.corruption import corruption
from genviews.robustness.restore import restoration
from genviews.robustness.shifted import Restored, ShiftedImages
from genviews.studies.blocks import Table
from genviews.studies.ensembling.fig7 import Defence
from genviews.studies.ensembling.fig7 import run as defence
from genviews.studies.ensembling.main import MainStudy
from genviews.studies.ensembling.main import run as main_study
from genviews.studies.ensembling.shifts import Shifts
from genviews.studies.ensembling.shifts import run as shifts
from genviews.studies.ensembling.under_shift import with_views
from genviews.studies.under import under, under_attack
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench

NOISE = corruption("noise:5@imagenet-c")
FINE = StyleMix("fine", 1.0)


def pixels(bench, split):
    return bench.images(split).load().images


def test_both_splits_are_shifted_and_the_clean_ones_stay():
    clean = toy_bench()
    shifted = under(clean, NOISE)
    for split in ("calibration", "test"):
        expected = ShiftedImages(clean.images(split), NOISE, clean.seed).load().images
        assert torch.equal(pixels(shifted, split), expected)
        assert not torch.equal(pixels(clean, split), expected)


def test_no_shift_is_the_same_images():
    clean = toy_bench()
    assert torch.equal(pixels(under(clean, None), "test"), pixels(clean, "test"))


def test_calibration_on_mild_shifts_keeps_the_clean_images_too():
    clean, mild = toy_bench(), corruption("noise:1")
    found = under(clean, NOISE, fit_on=[mild])
    count = len(clean.images("calibration"))
    assert len(found.images("calibration")) == 2 * count
    assert torch.equal(pixels(found, "calibration")[:count], pixels(clean, "calibration"))
    assert torch.equal(
        pixels(found, "calibration")[count:], pixels(under(clean, mild), "calibration")
    )
    assert torch.equal(pixels(found, "test"), pixels(under(clean, NOISE), "test"))


def test_some_images_are_drawn_by_their_ids_and_the_seed():
    clean = toy_bench()
    few = under(clean, None, counts={"test": 7})
    assert len(few.images("test")) == 7
    assert few.images("test").ids == under(clean, NOISE, counts={"test": 7}).images("test").ids
    assert len(few.images("calibration")) == len(clean.images("calibration"))
    other = under(replace(clean, seed=5), None, counts={"test": 7})
    assert other.images("test").ids != few.images("test").ids


class TestAttacked:
    def test_is_the_attack_on_the_classifier_with_the_true_classes(self):
        clean, pgd = toy_bench(), attack("pgd:0.1")
        task, images = clean.tasks[0], toy_problem().test
        found = under_attack(clean, pgd, task, counts={"test": 8, "calibration": 4}).images("test")
        rows = [images.ids.index(name) for name in found.ids]
        streams = Rng(clean.seed, "attack").streams(found.ids)
        expected = pgd(task.classifier, images.images[rows], images.labels[rows], streams)
        assert torch.allclose(found.load().images, expected, atol=1e-6)
        assert torch.equal(found.columns[task.labels].values, images.labels[rows])

    def test_is_made_once(self, tmp_path):
        bench = replace(toy_bench(), folder=tmp_path)
        counts = {"test": 4, "calibration": 4}
        under_attack(bench, attack("fgsm:0.1"), bench.tasks[0], counts=counts)
        shards = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
        assert shards
        under_attack(bench, attack("fgsm:0.1"), bench.tasks[0], counts=counts)
        assert shards == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}

    def test_it_lowers_accuracy(self):
        clean = toy_bench()
        hit = under_attack(clean, attack("pgd:0.3"), clean.tasks[0], counts={"calibration": 4})
        before, after = (
            bench.bank("test", [], num_views=1, tasks=clean.tasks[:1])[clean.tasks[0].name]
            for bench in (clean, hit)
        )
        assert after.accuracy() < before.accuracy() - 0.2


class TestMain:
    OPTIONS = MainStudy(num_views=3, scale_views=2, gallery_images=0)

    def answers(self, options):
        bench = toy_bench(perturbations=(FINE,), pixel_views=())
        return bench, main_study(bench, options).record.data["rows"]

    def test_under_a_shift_all_is_measured_under_it(self):
        bench, rows = self.answers(replace(self.OPTIONS, shift="noise:5@imagenet-c"))
        bank = under(bench, NOISE).bank("test", [], num_views=1)[bench.tasks[0].name]
        assert rows[0]["accuracy"] == pytest.approx(bank.accuracy())

    def test_fitted_on_mild_shifts_alpha_is_that_of_both_by_log_loss(self):
        bench, rows = self.answers(replace(self.OPTIONS, fit_on=("noise:2",)))
        own = under(bench, None, fit_on=[corruption("noise:2")])
        bank = own.bank("calibration", [ViewSet(perturbation=FINE)], num_views=3)
        rule = replace(MainStudy().rule, choose_by="log-loss")
        expected = Ensemble(FINE.name, rule=rule).fit(bank[bench.tasks[0].name]).alpha_
        assert next(r for r in rows if r["name"] == "stylemix fine")["alpha"] == expected

    def test_what_was_fitted_on_is_never_of_the_kind_that_is_tested(self):
        named = replace(self.OPTIONS, shift="noise:5@imagenet-c", fit_on=("blur:1", "noise:1"))
        with pytest.raises(ValueError, match=r"--fit-on: expected other kinds.*gaussian_noise"):
            named.check()
        replace(named, fit_on=("blur:1",)).check()

    def test_pictures_show_the_image_before_and_after(self):
        bench = toy_bench(perturbations=(FINE,), pixel_views=())
        options = replace(self.OPTIONS, shift="noise:5@imagenet-c", gallery_images=2)
        strip = main_study(bench, options).blocks
        (found,) = (
            one for one in strip if one.title == "What becomes of images: noise:5@imagenet-c"
        )
        grid = found.grids[0]
        assert grid.columns[:3] == ("clean", "as shifted", "reconstruction")
        (image,) = (i for i in toy_problem().test.ids if grid.title.startswith(f"{i}:"))
        row = toy_problem().test.ids.index(image)
        shown = grid.pictures[0][0].pixels
        assert torch.allclose(shown, toy_problem().test.images[row])

    @pytest.mark.parametrize("options", [{"shift": "fogg:3"}, {"fit_on": ("noise:9",)}])
    def test_unknown_shifts_are_told_before_anything_is_loaded(self, options):
        with pytest.raises(ValueError, match=r"did you mean|at most 5"):
            replace(self.OPTIONS, **options).check()


def test_each_classifier_may_meet_attacks_of_its_own():
    bench = toy_bench(perturbations=(FINE,), pixel_views=())
    one = replace(
        Shifts().quick(), shifts=(), headlines=(), gallery_images=0, attacks=("fgsm:0.3",)
    )
    own = {
        each: {
            row["task"]: row["accuracy"]
            for row in shifts(bench, replace(one, attack_each=each)).record.data["rows"]
            if row["shift"] == "fgsm:0.3" and row["row"] == "single image"
        }
        for each in (False, True)
    }
    assert own[False]["images"] == own[True]["images"]
    assert own[True]["views"] < own[False]["views"]  # what was made for another does less


def with_norm(problem) -> Classifier:
    """A classifier with a batch norm in it."""
    channels, height, width = problem.test.images.shape[1:]
    names = problem.test.class_names
    network = nn.Sequential(
        nn.BatchNorm2d(channels), nn.Flatten(), nn.Linear(channels * height * width, len(names))
    )
    return Classifier(network, problem.generator.image_spec, names)


class TestEachRivalTogetherWithViews:
    NAME = "gaussian_noise:5@imagenet-c"

    @pytest.fixture(scope="class")
    @classmethod
    def measured(cls):
        problem, smooth = toy_problem(), restoration("gaussian:0.75")
        task = Task(name="images", classifier=with_norm(problem).eval())
        bench = toy_bench(perturbations=(FINE,), tasks=(task,), restorations=(smooth,))
        options = replace(
            Shifts().quick(), shifts=(cls.NAME,), headlines=(), attacks=(), gallery_images=0,
            calibration_images=40, test_images=60, num_views=4,
        )  # fmt: skip
        return bench, options, shifts(bench, options)

    def row(self, measured, name):
        rows = measured[2].record.data["rows"]
        (found,) = (one for one in rows if (one["shift"], one["row"]) == (self.NAME, name))
        return found

    def views(self, bench, split, options):
        """Probabilities of the reconstruction and the views, and the images under the shift."""
        found = bench.bank(split, [ViewSet(perturbation=FINE)], num_views=options.num_views)
        bank = found["images"]
        probs = torch.cat([bank.probs("reconstruction"), bank.probs(FINE.name)], 1)
        images = bench.images(split).load()
        assert images.ids == bank.ids
        return probs.double().mean(1), images

    def test_batch_statistics_answer_for_the_image(self, measured):
        bench, options, _ = measured
        own = under(bench, corruption(self.NAME), counts=options.few)
        views, images = self.views(own, "test", options)
        classifier = bench.tasks[0].classifier
        adapted = with_batch_statistics(classifier, images.images)
        alone = adapted(images.images[:, None])[:, 0].double().softmax(-1)
        row = self.row(measured, "batch statistics and views")
        together = (1 - row["alpha"]) * alone + row["alpha"] * views
        right = (together.argmax(-1) == images.labels).double().mean()
        assert row["accuracy"] == pytest.approx(float(right))
        assert row["against"]["batch statistics"]["gain"] == pytest.approx(
            float(right - (alone.argmax(-1) == images.labels).double().mean())
        )

    @pytest.mark.parametrize("rival", ["gaussian:0.75", "restoration"])
    def test_restored_images_are_inverted_and_weighed_against_their_views(self, measured, rival):
        bench, options, _ = measured
        name = "restored, then views" if rival == "restoration" else f"{rival}, then views"
        row = self.row(measured, name)
        chosen = row["chosen"] or rival
        shifted = under(bench, corruption(self.NAME), counts=options.few)
        views, images = self.views(under(shifted, Restored(restoration(chosen))), "test", options)
        alone = bench.tasks[0].classifier(images.images[:, None])[:, 0].double().softmax(-1)
        together = (1 - row["alpha"]) * alone + row["alpha"] * views
        right = (together.argmax(-1) == images.labels).double().mean()
        assert row["accuracy"] == pytest.approx(float(right))

    def test_both_kinds_of_views_are_as_many_as_pixel_views_alone(self, measured):
        bench, options, _ = measured
        own = under(bench, corruption(self.NAME), counts=options.few)
        row = self.row(measured, "both")
        (pixels,) = (one for one in bench.pixel_views if one.name == row["chosen"])
        sets = [ViewSet(perturbation=FINE), ViewSet(pixels=pixels)]
        bank = own.bank("test", sets, num_views=options.num_views)["images"]
        beside = bank.probs(pixels.name)[:, :2]  # 5 predictions: 3 of the image, 2 generated
        image = torch.cat([bank.probs("image"), beside], 1).mean(1)
        made = torch.cat([bank.probs("reconstruction"), bank.probs(FINE.name)[:, :1]], 1).mean(1)
        together = (1 - row["alpha"]) * image + row["alpha"] * made
        right = (together.argmax(-1) == bank.labels).double().mean()
        assert row["accuracy"] == pytest.approx(float(right))

    def test_the_table_shows_what_views_add_to_each(self, measured):
        tables = {block.title: block for block in measured[2].blocks if isinstance(block, Table)}
        found = tables["Each rival together with generated views"]
        names = [column.name for column in found.columns]
        line = next(line for line in found.rows if line[0] == self.NAME)
        rivals = {"pixel views", "restoration", "gaussian:0.75", "batch statistics"}
        assert {name for name in names if f"views add to {name}" in names} == rivals
        for rival in rivals:
            together = self.row(measured, with_views(rival))
            added = line[names.index(f"views add to {rival}")]
            assert added.value == pytest.approx(together["against"][rival]["gain"])


def test_images_that_a_shift_has_left_no_pixel_darker_than_grey_are_no_error():
    problem = toy_problem()
    black = {}
    for split in ("calibration", "test"):
        images = getattr(problem, split)
        pixels = images.images.clone()
        pixels[:, :, 0, 0] = -1  # grey, once it is as bright as that
        black[split] = MemorySource(replace(images, images=pixels))
    task = Task(name="images", classifier=with_norm(problem))
    bench = toy_bench(perturbations=(FINE,), pixel_views=(), splits=black, tasks=(task,))
    bright = "brightness:5@imagenet-c"
    options = replace(Shifts().quick(), shifts=(bright,), headlines=(), attacks=(), test_images=20)
    rows = shifts(bench, options).record.data["rows"]
    assert "batch statistics" in {row["row"] for row in rows if row["shift"] == bright}


def test_the_claims_of_figure_7_are_corrected_together():
    bench = toy_bench(perturbations=(FINE,), pixel_views=())
    options = replace(Defence(num_views=2), corruptions=("gaussian_noise:5",), attacks=("pgd:0.3",))
    found = defence(bench, replace(options, calibration_images=8, test_images=None))
    texts = [claim.text.partition(" under ")[0] for claim in found.claims]
    assert texts == 2 * [  # of each task
        "Views add to the image",
        "The image is more accurate than its reconstruction",
    ] + 2 * [
        "The reconstruction alone is more accurate than the image",
        "Views add to the reconstruction",
    ]
    rows = {(row["under"], row["task"], row["name"]): row for row in found.record.data["rows"]}
    told, plain = {claim.text: claim.p_value for claim in found.claims}, {}
    for task in ("images", "views"):
        text = (
            f"The reconstruction alone is more accurate than the image under pgd:0.3, task {task}."
        )
        plain[text] = rows["pgd:0.3", task, "reconstruction"]["p_value"]
        assert text in told
    least = min(plain, key=plain.__getitem__)
    assert plain[least] < told[least] <= min(1, len(told) * plain[least])  # Holm
