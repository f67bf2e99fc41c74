"""The whole study on the noisy toy task: rows, choices, leakage, pictures, record."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch

from genviews.augment.base import Renamed
from genviews.augment.geometry import RandomCrop
from genviews.augment.presets import pixel_views
from genviews.classify.model import Classifier
from genviews.classify.task import Task, attribute_tasks
from genviews.data.source import LabelColumn, MemorySource
from genviews.ensemble.combine import Row
from genviews.ensemble.significance import gain_report, holm
from genviews.ensemble.views import ViewPlan, ViewSet
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import StyleMix
from genviews.studies import predict
from genviews.studies.base import run_study
from genviews.studies.bench import Bench
from genviews.studies.blocks import Curves, Images, Table
from genviews.studies.ensembling import main, table2
from genviews.studies.ensembling.main import STUDY, MainStudy
from genviews.studies.ensembling.saved import SavedEnsemble
from genviews.studies.result import Result
from tests.problem import toy_problem
from tests.studies.ensembling.benches import CANDIDATES, toy_bench, toy_inputs

OPTIONS = MainStudy(num_views=4, scale_views=2, scale_images=30, gallery_images=12, gallery_views=2)


def study(options: MainStudy = OPTIONS, **changes) -> Result:
    return STUDY.run(toy_bench(**changes), options)


@pytest.fixture(scope="module")
def result() -> Result:
    return study()


def rows_of(result: Result) -> list[Row]:
    return [Row(**row) for row in result.record.data["rows"]]


def named(result: Result, task: str) -> dict[str, Row]:
    return {row.name: row for row in rows_of(result) if row.task == task}


def correct(classifier) -> torch.Tensor:
    test = toy_problem().test
    with torch.no_grad():
        return classifier(test.images).argmax(-1) == test.labels


def test_rows(result):
    names = [
        "single image", "flip", "crop", "reconstruction only", "image + reconstruction",
        "isotropic fine", "stylemix fine", "stylemix coarse", "combined",
    ]  # fmt: skip
    for task in ("images", "views"):
        assert list(named(result, task)) == names
    rows = named(result, "images")
    right = correct(toy_problem().classifier)
    assert rows["single image"].accuracy == pytest.approx(float(right.float().mean()))
    assert rows["flip"].num_views == 1  # a sure flip has one view
    assert rows["crop"].num_views == 4
    assert rows["stylemix fine"].num_views == 5
    assert rows["isotropic fine"].views[0] in ("isotropic_fine_0.10", "isotropic_fine_0.60")
    assert {row.alpha is None for row in rows.values() if row.group == "pixel"} == {True}
    charts = [len(block.charts) for block in result.blocks if isinstance(block, Curves)]
    assert charts == [5, 5]


def test_the_answer_is_the_first_table_and_about_generated_views(result):
    table = result.answer
    assert [row[0] for row in table.rows] == list(named(result, "images"))
    chosen = table.rows[table.highlight][0]
    assert chosen in ("isotropic fine", "stylemix fine", "stylemix coarse", "combined")
    assert repr(chosen) in result.verdict
    assert f"weight {named(result, 'images')[chosen].alpha:.2f}" in result.verdict


def test_gains_are_against_the_right_baselines(result):
    one, two = correct(toy_problem().classifier), correct(toy_problem().other)
    for row in named(result, "images").values():
        assert row.reference_gain is None
        assert row.gain == pytest.approx(row.accuracy - float(one.double().mean()))
    for row in named(result, "views").values():
        assert row.gain == pytest.approx(row.accuracy - float(two.double().mean()))
        assert row.reference_gain == pytest.approx(row.accuracy - float(one.double().mean()))
    found = named(result, "views")["single image"]
    assert found.reference_p_value == gain_report(two, one).p_value


def test_holm_is_over_the_whole_table(result):
    tested = [row for row in rows_of(result) if row.group != "image"]
    assert [row.p_holm for row in tested] == pytest.approx(holm([r.p_value for r in tested]))


def test_views_help_a_classifier_that_looks_at_what_they_change(result):
    row = named(result, "images")["stylemix fine"]
    assert row.alpha > 0
    assert row.gain > 0


def test_combined_is_compared_with_its_own_pixel_views(result):
    found = result.record.data["comparisons"][0]
    rows = named(result, "images")
    assert (found["task"], found["row"]) == ("images", "combined")
    against = found["against"]
    assert against == rows["combined"].views[0]
    assert found["gain"] == pytest.approx(rows["combined"].accuracy - rows[against].accuracy)
    assert rows["combined"].views[1].startswith(f"{against}+")
    assert against == max(("flip", "crop"), key=lambda n: rows[n].calibration_accuracy)
    assert "Do generated views add to pixel views?" in [block.title for block in result.blocks]
    # K = 4 and the image, in all: half of the pixel ensemble, half generated.
    assert rows["combined"].num_views <= 4


def test_scales_are_chosen_on_calibration_by_the_reference(result):
    scores = result.record.data["scale_accuracies"]
    assert list(scores) == ["images"]
    assert list(scores["images"]) == ["isotropic_fine_0.10", "isotropic_fine_0.60"]
    best = max(scores["images"], key=scores["images"].get)
    for task in ("images", "views"):
        assert named(result, task)["isotropic fine"].views == (best,)


def test_each_task_may_choose_its_own_scales():
    options = replace(OPTIONS, scale_per_task=True, gallery_images=0, reference="views")
    found = study(options)
    assert not [block for block in found.blocks if isinstance(block, Images)]
    scores = found.record.data["scale_accuracies"]
    assert list(scores) == ["images", "views"]
    for task, own in scores.items():
        assert named(found, task)["isotropic fine"].views == (max(own, key=own.get),)
    assert named(found, "views")["single image"].reference_gain is None
    assert named(found, "images")["single image"].reference_gain is not None
    with pytest.raises(ValueError, match="did you mean 'images'"):
        study(replace(OPTIONS, reference="image"))


def test_nothing_is_chosen_on_test(result):
    test = toy_problem().test
    permuted = test.labels[torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    splits = {**toy_inputs().splits, "test": MemorySource(replace(test, labels=permuted))}
    other = study(splits=splits)
    assert result.record.data["scale_accuracies"] == other.record.data["scale_accuracies"]
    for one, two in zip(rows_of(result), rows_of(other), strict=True):
        assert (one.name, one.views, one.alpha) == (two.name, two.views, two.alpha)
        assert one.calibration_accuracy == two.calibration_accuracy
    assert [r.accuracy for r in rows_of(result)] != [r.accuracy for r in rows_of(other)]


def test_batch_size_and_order_change_nothing(result):
    order = torch.randperm(120, generator=torch.Generator().manual_seed(2))
    splits = {**toy_inputs().splits, "test": MemorySource(toy_problem().test.select(order))}
    other = study(splits=splits, batch_size=50)
    for one, two in zip(rows_of(result), rows_of(other), strict=True):
        assert one == two


@pytest.fixture(scope="module")
def blocks(result) -> dict[str, Images]:
    return {block.title: block for block in result.blocks if isinstance(block, Images)}


class TestPictures:
    def best(self, result) -> Row:
        rows = [
            r
            for n, r in named(result, "images").items()
            if n not in ("single image", "reconstruction only")
        ]
        return max(rows, key=lambda row: row.calibration_accuracy)

    def test_fixed_and_broken_images_show_the_views_that_have_weight(self, result, blocks):
        best = self.best(result)
        weighted = {"image", "reconstruction", *(key.replace("_", " ") for key in best.views)}
        if best.alpha == 1:
            weighted -= {"image"}
        for title in ("Fixed by the ensemble", "Broken by the ensemble"):
            for grid in blocks[title].grids:
                assert set(grid.rows) - {"image"} <= weighted
                assert f"Ensemble ({best.name})" in grid.text
        assert blocks["Fixed by the ensemble"].grids
        assert len(blocks["Typical images"].grids[0].rows) == 2 + 2 + 4  # every view set

    def test_they_are_what_was_classified(self, blocks):
        problem = toy_problem()
        bench = toy_bench()
        grid = blocks["Typical images"].grids[0]
        place = problem.test.ids.index(grid.title.split(":")[0].removeprefix("Image "))
        image = problem.test.images[place : place + 1]
        mix = ViewSet(perturbation=StyleMix("fine"))
        ids = problem.test.ids[place : place + 1]
        latents = bench.inversions("test").select([place], ids)["latents"]
        plan = ViewPlan(view_sets=[mix], generator=problem.generator, num_views=2, seed=3)
        views = dict(plan.views(image, ids, latents))
        shown = grid.pictures[grid.rows.index("stylemix fine")]
        assert torch.equal(grid.pictures[0][0].pixels, image[0])
        with torch.no_grad():
            said = problem.classifier(views[mix.name][0]).softmax(-1)
        for picture, view, probs in zip(shown, views[mix.name][0], said, strict=True):
            torch.testing.assert_close(picture.pixels, view)
            assert picture.caption.startswith(problem.test.class_names[int(probs.argmax())])
            right = int(probs.argmax()) == int(problem.test.labels[place])
            assert picture.tone == ("right" if right else "wrong")

    def test_fixed_was_wrong_alone_and_is_right_together(self, blocks):
        for title, before in (("Fixed", "wrong"), ("Broken", "right")):
            for grid in blocks[f"{title} by the ensemble"].grids:
                assert grid.pictures[0][0].tone == before
                truth = grid.title.split(": ")[1]
                together = grid.text.split("Ensemble (")[1].split("): ")[1]
                assert together.startswith(truth) is (title == "Fixed")

    def test_no_more_views_than_were_classified(self):
        found = study(replace(OPTIONS, num_views=3, gallery_views=6))
        for block in found.blocks:
            if isinstance(block, Images):
                assert all(len(row) <= 3 for grid in block.grids for row in grid.pictures)


def test_record(result):
    assert result.record.seed == 3
    assert result.record.config["num_views"] == 4
    measures = result.record.data["reconstruction"]
    assert measures["failed"] == 0
    rows = named(result, "images")
    assert measures["accuracy_on_images"] == rows["single image"].accuracy
    assert measures["accuracy_on_reconstructions"] == rows["reconstruction only"].accuracy
    assert Result.from_json(result.to_json()).to_json() == result.to_json()


def test_a_folder_is_not_of_another_rule(tmp_path):
    bench = toy_bench(perturbations=CANDIDATES[:1], pixel_views=())
    options = replace(OPTIONS, num_views=2, gallery_images=0)
    run_study(STUDY, bench, options, tmp_path)
    for change in ({"merge": "max"}, {"choose_by": "log-loss"}):
        other = replace(options, **change)
        with pytest.raises(ValueError, match=next(iter(change))):
            run_study(STUDY, bench, other, tmp_path)
    again = run_study(STUDY, bench, other, tmp_path, force=True).record
    assert again.config["options"].items() >= change.items()
    assert again.data["ensemble"].items() >= change.items()


def test_without_pixel_views_or_perturbations():
    latent_only = study(pixel_views=(), perturbations=CANDIDATES[2:3])
    assert "combined" not in named(latent_only, "images")
    assert latent_only.record.data["comparisons"] == []
    assert latent_only.record.data["scale_accuracies"] == {}
    pixel_only = study(perturbations=())
    assert "combined" not in named(pixel_only, "images")
    assert pixel_only.verdict == "No generated views were compared."
    assert isinstance(pixel_only.answer, Table)


@pytest.mark.parametrize("change", [{"num_views": 0}, {"scale_images": 0}, {"gallery_images": -1}])
def test_options_are_checked(change):
    flag = f"--{next(iter(change)).replace('_', '-')}"
    with pytest.raises(ValueError, match=f"{flag}: expected an integer of at least"):
        replace(OPTIONS, **change).check()


def test_memory_holds_neither_images_nor_reconstructions():
    """Images are read a shard at a time, and never all at once."""

    class Watched(MemorySource):
        most = 0

        def read(self, rows):
            Watched.most = max(Watched.most, len(rows))
            return super().read(rows)

    splits = {
        "calibration": Watched(toy_problem().calibration),
        "test": Watched(toy_problem().test),
    }
    options = replace(OPTIONS, gallery_images=2)
    study(options, splits=splits, batch_size=16, perturbations=CANDIDATES[2:3], pixel_views=())
    assert 0 < Watched.most <= 250


def test_labels_and_splits_are_checked_before_the_work():
    problem, inputs = toy_problem(), toy_inputs()
    both = {**inputs.splits, "test": MemorySource(problem.calibration)}
    with pytest.raises(ValueError, match="got 60 with the same content in both"):
        toy_bench(splits=both).check(STUDY)
    renamed = MemorySource(replace(problem.calibration, class_names=("down", "up")))
    with pytest.raises(ValueError, match="class names of the calibration images"):
        toy_bench(splits={**inputs.splits, "calibration": renamed}).check(STUDY)
    unlabelled = MemorySource(replace(problem.test, labels=None))
    with pytest.raises(ValueError, match="labels of the test images for task 'images'"):
        toy_bench(splits={**inputs.splits, "test": unlabelled}).check(STUDY)
    reported = MemorySource(replace(problem.calibration, split="test"))
    with pytest.raises(ValueError, match=r"split to choose on: .*got 'test'"):
        toy_bench(splits={**inputs.splits, "calibration": reported}).check(STUDY)
    with pytest.raises(ValueError, match="study ensembling/main"):
        toy_bench(tasks=()).check(STUDY)


def test_attributes_of_one_network_are_tasks_of_one_study():
    """Two columns of labels, two logits: each has its rows, and they are not compared."""
    problem = toy_problem()
    network = Classifier(problem.classifier.module, problem.generator.image_spec, ("up", "down"))
    splits = {}
    for name, images in (("calibration", problem.calibration), ("test", problem.test)):
        source = MemorySource(images)
        source.columns = {
            "up": LabelColumn(values=1 - images.labels, class_names=("no", "yes")),
            "down": LabelColumn(values=images.labels, class_names=("no", "yes")),
        }
        splits[name] = source
    found = study(
        replace(OPTIONS, gallery_images=0),
        splits=splits,
        tasks=attribute_tasks(network),
        perturbations=CANDIDATES[2:3],
    )
    both = {name: named(found, name) for name in ("up", "down")}
    for name, rows in both.items():
        assert rows["single image"].reference_gain is None
        with torch.no_grad():
            logit = network(problem.test.images)[:, ("up", "down").index(name)]
        truth = splits["test"].columns[name].values == 1
        right = ((logit > 0) == truth).double().mean()
        assert rows["single image"].accuracy == pytest.approx(float(right))
    assert list(both["up"]) == list(both["down"])


@pytest.mark.parametrize(
    ("field", "two", "message"),
    [
        (
            "pixel_views",
            (RandomCrop(padding=1), RandomCrop(padding=2)),
            "pixel views: .* got 'crop' more than once; give one of them a name of its own",
        ),
        (
            "pixel_views",
            (pixel_views("car/train"), pixel_views("cat/train")),
            "pixel views: .* got 'train' more than once",
        ),
        (
            "perturbations",
            tuple(PCA("fine", 1.0, PCAStatistics(torch.eye(4), n * torch.ones(4))) for n in (1, 2)),
            "perturbations: .* got 'pca_fine_1.00' more than once; list each once",
        ),
    ],
)
def test_two_kinds_of_views_of_one_name_are_refused_before_any_work(field, two, message):
    with pytest.raises(ValueError, match=message):
        toy_bench(**{field: two})
    renamed = (two[0], Renamed(two[1], "other")) if field == "pixel_views" else two[:1]
    assert getattr(toy_bench(**{field: renamed}).inputs, field) == renamed


class _Silent(torch.nn.Module):
    """Says nan of one image of each split and, once told so, of views that are light."""

    def __init__(self) -> None:
        super().__init__()
        self.known, self.of_views = toy_problem().classifier.module, False

    def forward(self, images):
        logits, problem = self.known(images), toy_problem()
        own = torch.cat([problem.calibration.images, problem.test.images])
        same = (images[:, None] == own).flatten(2).all(2)
        chosen = same[:, 2] | same[:, len(problem.calibration) + 3]
        if self.of_views:
            chosen |= ~same.any(1) & (images.mean((1, 2, 3)) > 0.12)
        return logits.masked_fill(chosen[:, None], torch.nan)


@pytest.mark.parametrize("module", [main, table2], ids=lambda m: m.__name__[-6:])
def test_an_image_without_an_answer_is_left_out_and_told(module, tmp_path):
    problem, network = toy_problem(), _Silent()
    classifier = Classifier(network, problem.generator.image_spec, problem.calibration.class_names)
    tasks = (Task(name="images", classifier=classifier),)
    network.of_views = module is main
    study, bench = module.STUDY, toy_bench(tasks=tasks, perturbations=(StyleMix("fine"),))
    found = run_study(study, bench, study.options().quick(), tmp_path / "run")
    left_out = {problem.calibration.ids[2], problem.test.ids[3]}
    assert {name for name, _ in found.record.skipped} == left_out
    told = [gate.found for gate in found.shut if gate.name == "answers that are numbers"]
    assert bool(told) == (module is main)
    if module is main:
        assert found.record.data["num_test"] == len(problem.test) - 1
        assert all("the answer to the image itself stands for" in text for text in told)


def test_answers_without_a_view_are_counted_and_noted(tmp_path):
    problem, network = toy_problem(), _Silent()
    classifier = Classifier(network, problem.generator.image_spec, problem.calibration.class_names)
    network.of_views = True
    inputs = replace(
        toy_inputs(),
        tasks=(Task(name="images", classifier=classifier),),
        images=MemorySource(problem.test.select(range(12))),
    )
    options = SavedEnsemble(
        class_names=problem.test.class_names, perturbation="stylemix_fine", alpha=0.5, num_views=3
    )
    place = tmp_path / "run"
    found = run_study(predict.STUDY, Bench(inputs), options, place)
    with (place / "predictions.csv").open() as file:
        notes = {line["id"]: line["note"] for line in csv.DictReader(file)}
    plain = sum(note.startswith("a view has no answer") for note in notes.values())
    assert plain
    assert notes[problem.test.ids[3]] == "has no answer that is a number"
    assert f"; {plain} have the plain answer" in found.verdict
    assert found.verdict.endswith("; no answer for 1.")
