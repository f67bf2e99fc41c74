"""Panels show the views that training sees, of the same anchors in every row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews import GeneratorKit
from genviews.augment.presets import pixel_views
from genviews.augment.simclr import SimCLR
from genviews.generators.toy import ToyGenerator
from genviews.represent.config import RepresentationTraining
from genviews.represent.plan import SamplePlan
from genviews.represent.prior import Prior
from genviews.represent.schedule import StepCosine
from genviews.studies.bench import Bench
from genviews.studies.inputs import Inputs
from genviews.studies.learning.data import latent_views, row_batches
from genviews.studies.learning.options import PanelOptions
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.setting import LearningSetting
from genviews.studies.learning.table import run_panel, view_images

ROWS = [
    LearningRow(name="Gaussian", views="gaussian_all_0.30", space="z"),
    LearningRow(name="mixed styles", views="stylemix_fine", space="own"),
    LearningRow(name="other samples", views="independent_all", space="z", pool=3),
]
SAMPLES = 5


@pytest.fixture
def setting():
    return LearningSetting(
        training=lambda n: RepresentationTraining(schedule=StepCosine(steps=n, peak=0.03)),
        updates=1,
        base=SAMPLES,
        batch=SAMPLES,
        generator=ToyGenerator(num_classes=3),
        prior=Prior(psi=0.7, per_class=2),
        pixels=pixel_views("fashion32/crop"),
        stored=False,
        prefetch=0,
    )


def columns_of(rows, setting, **options):
    """Name and images of each column, in their order."""
    (grid,) = view_images(rows, setting, **options).grids
    shown = zip(*grid.pictures, strict=True)
    return [
        (name, torch.stack([one.pixels for one in column]))
        for name, column in zip(grid.columns, shown, strict=True)
    ]


def images_of(columns, group, view=1):
    """Of the view of a row that stands so far to the right."""
    return [images for name, images in columns if name == group][view - 1]


class TestColumns:
    def test_order_and_titles(self, setting):
        found = [name for name, _ in columns_of(ROWS, setting, samples=SAMPLES)]
        names = ["anchor", "Gaussian", "mixed styles", "other samples"]
        assert found == [title for name in names for title in (name, "T_x")]
        two = [name for name, _ in columns_of(ROWS[:1], setting, samples=2, views=2)]
        assert two == ["anchor", "T_x", "Gaussian", "T_x", "Gaussian", "T_x"]

    @pytest.mark.parametrize("psi", [1.0, 0.7])
    def test_rows_of_every_space_have_the_same_anchors(self, setting, psi):
        setting = replace(setting, prior=Prior(psi=psi, per_class=2))
        anchors = [latent_views(row, setting)(range(SAMPLES)).images[:, 0] for row in ROWS]
        assert torch.equal(anchors[0], anchors[2])
        torch.testing.assert_close(anchors[0], anchors[1], rtol=0, atol=1e-5)
        apart = (anchors[0][:, None] - anchors[0]).abs().mean((2, 3, 4))
        assert float(apart[~torch.eye(SAMPLES, dtype=torch.bool)].min()) > 0.02
        shown = columns_of(ROWS, setting, samples=SAMPLES)[0][1]
        assert torch.equal(shown, anchors[0])

    def test_views_are_those_of_the_row(self, setting):
        columns = columns_of(ROWS, setting, samples=SAMPLES)
        for row in ROWS[:2]:
            wanted = latent_views(row, setting)(range(SAMPLES)).images[:, 1]
            assert torch.equal(images_of(columns, row.name), wanted)

    def test_more_views_begin_with_the_same(self, setting):
        one = columns_of(ROWS[2:], setting, samples=3)
        three = columns_of(ROWS[2:], setting, samples=3, views=3)
        assert [len(one), len(three)] == [4, 8]
        for a, b in zip(one, three, strict=False):
            torch.testing.assert_close(a[1], b[1], rtol=0, atol=1e-5)
        pool = latent_views(replace(ROWS[2], positives=3), setting)(range(3)).images
        for view in (1, 2, 3):
            shown = images_of(three, "other samples", view)
            torch.testing.assert_close(shown, pool[:, view], rtol=0, atol=1e-5)

    @pytest.mark.parametrize("seed", [0, 3])
    def test_pixel_views_are_those_of_a_training(self, setting, seed, tmp_path):
        columns = columns_of(ROWS[:2], setting, samples=SAMPLES, seed=seed)
        ids, _ = SamplePlan.of_ratio(1.0, SAMPLES, batch_size=SAMPLES, seed=seed).batch(0)
        assert sorted(ids) == list(range(SAMPLES))
        first = 2  # column of the first row's view
        for number, row in enumerate(ROWS[:2]):
            batches = row_batches(replace(row, pixels=True), setting, seed, tmp_path)
            seen = batches.batch(0)["views"]
            batches.close()
            pair = [columns[1][1], columns[first + 2 * number + 1][1]]
            for view, shown in enumerate(pair):
                torch.testing.assert_close(shown[list(ids)], seen[:, view], rtol=0, atol=1e-5)

    def test_another_seed_changes_pixel_views_alone(self, setting):
        a, b = (columns_of(ROWS, setting, samples=SAMPLES, seed=s) for s in (0, 1))
        same = [torch.equal(x[1], y[1]) for x, y in zip(a, b, strict=True)]
        assert same == [True, False] * 4

    def test_samples_by_their_ids(self, setting):
        every = columns_of(ROWS, setting, samples=8)
        chosen = columns_of(ROWS, setting, samples=(7, 2))
        for a, b in zip(every, chosen, strict=True):
            torch.testing.assert_close(b[1], a[1][[7, 2]], rtol=0, atol=1e-5)

    def test_without_pixel_views(self, setting):
        columns = columns_of(ROWS, replace(setting, pixels=None), samples=2)
        names = [row.name for row in ROWS]
        assert [name for name, _ in columns] == ["anchor", *names]

    def test_refusals(self, setting):
        for row in (LearningRow(name="plain"), LearningRow(name="plain", data="real")):
            with pytest.raises(ValueError, match="row 'plain': expected latent views, got"):
                columns_of([ROWS[0], row], setting)
        for fields in ({"samples": 0}, {"samples": ()}, {"views": 0}):
            with pytest.raises(ValueError, match="expected an integer of at least 1"):
                columns_of(ROWS, setting, **fields)
        with pytest.raises(ValueError, match="number of rows"):
            columns_of([], setting)


class TestImages:
    def test_a_line_a_sample_and_a_column_a_kind(self, setting):
        (grid,) = view_images(ROWS[:2], setting, samples=3).grids
        assert grid.columns == ("anchor", "T_x", "Gaussian", "T_x", "mixed styles", "T_x")
        assert grid.rows == ("sample 0", "sample 1", "sample 2")

    def test_several_views_stand_under_one_name(self, setting):
        images = view_images(ROWS[:1], replace(setting, pixels=None), samples=(4,), views=3)
        assert images.grids[0].columns == ("anchor", "Gaussian", "Gaussian", "Gaussian")
        assert images.grids[0].rows == ("sample 4",)
        assert "then 3 views of each kind. An encoder" in images.caption

    @pytest.mark.parametrize("named", ["fashion32/crop", None])
    def test_as_a_result(self, named):
        """Pixel views are named in words; all their numbers are in the record."""
        bench = Bench(Inputs(kit=GeneratorKit(ToyGenerator(), name="toy")))
        options = PanelOptions(rows=("Gaussian",), pixels=named, show=(0, 1))
        found = run_panel("figure4", bench, options)
        assert found.verdict == (
            "2 samples of toy and their views (Gaussian), with pixel views T_x beside each image."
        )
        made = SimCLR(8, saturation=0.0, hue=0.0, grey=0.0)
        made = pixel_views(named) if named else made
        assert found.record.data["pixels"] == repr(made)
        assert found.answer.rows == (
            ("Gaussian", "gaussian_all_0.20", "z"),
            ("T_x", named or "simclr", "pixels"),
        )
