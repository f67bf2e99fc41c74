"""The whole study on the noisy toy task: rows, choices, leakage, gallery, JSON."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from genviews.augment import HorizontalFlip, RandomCrop
from genviews.classify import Task
from genviews.data.images import ImageSet
from genviews.ensemble.result import StudyResult
from genviews.ensemble.settings import StudySettings
from genviews.ensemble.significance import gain_report, holm
from genviews.ensemble.study import run_study
from genviews.ensemble.views import ViewSet, make_views
from genviews.perturb import Isotropic, StyleMix
from genviews.types import Inversion

CANDIDATES = (Isotropic("fine", 0.1), Isotropic("fine", 0.6), StyleMix("fine"), StyleMix("coarse"))
SETTINGS = StudySettings(
    num_views=4, scale_views=2, scale_images=30, gallery_images=12, gallery_views=2, seed=3
)


def study(task, **options) -> StudyResult:
    arguments = {
        "tasks": [
            Task(name="images", classifier=task.classifier),
            Task(name="views", classifier=task.other),
        ],
        "generator": task.generator,
        "calibration": task.calibration,
        "test": task.test,
        "calibration_inversion": task.calibration_inversion,
        "test_inversion": task.test_inversion,
        "perturbations": CANDIDATES,
        "pixel_views": (HorizontalFlip(1.0), RandomCrop(padding=1)),
        "settings": SETTINGS,
        "measures": {"encoder_l1": 0.5},
        "command": "genviews demo",
    }
    return run_study(**{**arguments, **options})


@pytest.fixture(scope="module")
def result(task) -> StudyResult:
    return study(task)


def rows_of(result: StudyResult, classifier: str):
    return {row.name: row for row in result.rows if row.classifier == classifier}


def test_rows(result, task):
    names = [
        "single image", "flip", "crop", "reconstruction only", "image + reconstruction",
        "isotropic fine", "stylemix fine", "stylemix coarse", "combined",
    ]  # fmt: skip
    for classifier in ("images", "views"):
        assert list(rows_of(result, classifier)) == names
    rows = rows_of(result, "images")
    correct = task.classifier(task.test.images).argmax(-1) == task.test.labels
    assert rows["single image"].accuracy == pytest.approx(float(correct.float().mean()))
    assert rows["flip"].num_views == 1  # a sure flip has one view
    assert rows["crop"].num_views == 4
    assert rows["stylemix fine"].num_views == 5
    assert rows["isotropic fine"].views[0] in ("isotropic_fine_0.10", "isotropic_fine_0.60")
    assert {row.alpha is None for row in rows.values() if row.group == "pixel"} == {True}
    assert (result.num_calibration, result.num_test) == (60, 120)
    assert len(result.curves) == 2 * 5


def test_gains_are_against_the_right_baselines(result, task):
    with torch.no_grad():
        one, two = (
            c(task.test.images).argmax(-1) == task.test.labels
            for c in (task.classifier, task.other)
        )
    for row in rows_of(result, "images").values():
        assert row.reference_gain is None
        assert row.gain == pytest.approx(row.accuracy - float(one.double().mean()))
    for row in rows_of(result, "views").values():
        assert row.gain == pytest.approx(row.accuracy - float(two.double().mean()))
        assert row.reference_gain == pytest.approx(row.accuracy - float(one.double().mean()))
    found = rows_of(result, "views")["single image"]
    assert found.reference_p_value == gain_report(two, one).p_value


def test_holm_is_over_the_whole_table(result):
    tested = [row for row in result.rows if row.group != "image"]
    assert [row.p_holm for row in tested] == pytest.approx(holm([r.p_value for r in tested]))


def test_views_help_a_classifier_that_looks_at_what_they_change(result):
    row = rows_of(result, "images")["stylemix fine"]
    assert row.alpha > 0
    assert row.gain > 0


def test_combined_is_compared_with_its_own_pixel_views(result):
    found = result.comparisons[0]
    rows = rows_of(result, "images")
    assert (found.classifier, found.row) == ("images", "combined")
    assert found.against == rows["combined"].views[0]
    assert found.gain == pytest.approx(rows["combined"].accuracy - rows[found.against].accuracy)
    assert rows["combined"].views[1].startswith(f"{found.against}+")
    best = max(("flip", "crop"), key=lambda n: rows[n].calibration_accuracy)
    assert found.against == best
    assert "Adding generated views to the pixel views" in result.verdict


def test_scales_are_chosen_on_calibration_by_the_reference(result):
    scores = result.config["scale_accuracies"]
    assert list(scores) == ["images"]
    assert list(scores["images"]) == ["isotropic_fine_0.10", "isotropic_fine_0.60"]
    best = max(scores["images"], key=scores["images"].get)
    for classifier in ("images", "views"):
        assert rows_of(result, classifier)["isotropic fine"].views == (best,)


def test_nothing_is_chosen_on_test(result, task):
    permuted = task.test.labels[torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    other = study(task, test=replace(task.test, labels=permuted))
    assert result.config["scale_accuracies"] == other.config["scale_accuracies"]
    for one, two in zip(result.rows, other.rows, strict=True):
        assert (one.name, one.views, one.alpha) == (two.name, two.views, two.alpha)
        assert one.calibration_accuracy == two.calibration_accuracy
    assert [r.accuracy for r in result.rows] != [r.accuracy for r in other.rows]


def test_batch_size_and_order_change_nothing(result, task):
    order = torch.randperm(120, generator=torch.Generator().manual_seed(2))
    found = {f.name: getattr(task.test_inversion, f.name) for f in fields(Inversion)}
    inversion = {name: value[order] for name, value in found.items() if value is not None}
    other = study(
        task,
        test=task.test.select(order),
        test_inversion=Inversion(**inversion),
        settings=replace(SETTINGS, batch_size=50),
    )
    for one, two in zip(result.rows, other.rows, strict=True):
        assert one == two


def test_gallery_shows_what_was_classified(result, task):
    gallery = result.gallery
    assert len(gallery.ids) == 12
    where = [task.test.ids.index(i) for i in gallery.ids]
    assert torch.equal(gallery.images, task.test.images[where])
    assert torch.equal(gallery.labels, task.test.labels[where])
    torch.testing.assert_close(gallery.reconstructions, task.test_inversion.reconstructions[where])
    single = gallery.image_probs.argmax(1) == gallery.labels
    ensemble = gallery.ensemble_probs.argmax(1) == gallery.labels
    for i, kind in enumerate(gallery.kind):
        if kind in ("fixed", "broke"):
            assert bool(ensemble[i]) is (kind == "fixed")
            assert bool(single[i]) is (kind == "broke")
    with torch.no_grad():
        for key, views in gallery.views.items():
            assert views.shape[1] == (1 if key == "flip" else 2)
            torch.testing.assert_close(
                gallery.view_probs[key], task.classifier(views).softmax(-1), atol=1e-5, rtol=1e-4
            )
    mix = ViewSet(perturbation=StyleMix("fine"))
    expected = make_views(
        task.generator,
        gallery.images,
        gallery.ids,
        task.test_inversion.latents[where],
        [mix],
        num_views=2,
        seed=3,
    )
    torch.testing.assert_close(gallery.views[mix.name], expected[mix.name])
    rows = rows_of(result, "images")
    alphas = [row for row in rows.values() if row.alpha is not None]
    assert gallery.ensemble == max(alphas, key=lambda r: r.calibration_accuracy).name


def test_record(result, task):
    assert result.seed == 3
    assert result.command == "genviews demo"
    assert result.config["num_views"] == 4
    assert result.config["reference"] == "images"
    assert list(result.seconds) == [
        "choose scales", "calibration views", "test views", "evaluate", "gallery",
    ]  # fmt: skip
    assert {"genviews", "python", "torch", "numpy"} <= set(result.versions)
    measures = result.reconstruction
    assert measures["encoder_l1"] == 0.5
    assert measures["l1"] == pytest.approx(float(task.test_inversion.loss.mean()), rel=1e-5)
    assert measures["failed"] == 0
    rows = rows_of(result, "images")
    assert measures["accuracy_on_images"] == rows["single image"].accuracy
    assert measures["accuracy_on_reconstructions"] == rows["reconstruction only"].accuracy
    assert StudyResult.from_json(result.to_json()).to_json() == result.to_json()


def test_progress_and_own_scales(task):
    calls: list[tuple[str, str, int, int]] = []
    found = study(
        task,
        settings=replace(SETTINGS, scale_per_task=True, gallery_images=0, reference="views"),
        progress=lambda *call: calls.append(call),
    )
    assert found.gallery is None
    assert list(found.config["scale_accuracies"]) == ["images", "views"]
    for classifier, scores in found.config["scale_accuracies"].items():
        best = max(scores, key=scores.get)
        assert rows_of(found, classifier)["isotropic fine"].views == (best,)
    assert rows_of(found, "views")["single image"].reference_gain is None
    assert rows_of(found, "images")["single image"].reference_gain is not None
    assert {stage for stage, _, _, _ in calls} == {
        "views of calibration",
        "views of test",
        "evaluate",
    }
    assert calls[-1] == ("evaluate", "rows", 18, 18)


def test_without_pixel_views_or_perturbations(task):
    latent_only = study(task, pixel_views=(), perturbations=CANDIDATES[2:3])
    assert "combined" not in rows_of(latent_only, "images")
    assert latent_only.comparisons == ()
    assert latent_only.config["scale_accuracies"] == {}
    pixel_only = study(task, perturbations=())
    assert "combined" not in rows_of(pixel_only, "images")


def renamed(images: ImageSet) -> ImageSet:
    return replace(images, class_names=("down", "up"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"tasks": ()}, "tasks: expected at least one"),
        (lambda t: {"settings": replace(SETTINGS, reference="image")}, "did you mean 'images'"),
        (lambda t: {"test": replace(t.test, labels=None)}, "test images: expected labels"),
        (lambda t: {"calibration": renamed(t.calibration)}, "class names of the calibration"),
        (
            lambda t: {"test_inversion": t.calibration_inversion},
            "test inversion: expected 120 latents, one an image, got 60",
        ),
        (
            lambda t: {"test": t.calibration, "test_inversion": t.calibration_inversion},
            "images of calibration and test: .* got 60 with the same content in both",
        ),
    ],
)
def test_misuse(task, change, message):
    with pytest.raises(ValueError, match=message):
        study(task, **change(task))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="num_views: expected an integer of at least 1, got 0"):
        StudySettings(num_views=0)
    with pytest.raises(ValueError, match="scale_images"):
        StudySettings(scale_images=0)


def test_a_gallery_never_shows_more_views_than_were_classified(task):
    result = study(task, settings=replace(SETTINGS, num_views=3, gallery_views=6))
    for name, views in result.gallery.views.items():
        assert views.shape[:2] == result.gallery.view_probs[name].shape[:2], name
        assert views.shape[1] <= 3
