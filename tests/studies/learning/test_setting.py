"""What rows share, and the key that tells a result of one setting from another's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews import GeneratorKit
from genviews.augment.geometry import HorizontalFlip
from genviews.evaluate.encoders import ProbeData
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.walks import Walks
from genviews.represent.encoder import RepresentationConfig
from genviews.represent.losses import ClassPrediction, LatentPrediction, NTXent, SupCon
from genviews.represent.prior import Prior
from genviews.represent.views import LatentViews
from genviews.studies.bench import Bench
from genviews.studies.inputs import Inputs
from genviews.studies.learning.options import LearningOptions
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.training import learning_setting
from tests.studies.learning.small import CLASSES, TOY, images, probe, small, training

REAL = LearningRow(name="real", data="real")
MADE = LearningRow(name="generated", views="gaussian_all_0.20")
MIXED = LearningRow(name="mixed", data="mixed", share=0.5)


def walks(seed):
    directions = torch.randn(2, 1, 8, generator=torch.Generator().manual_seed(seed))
    return Walks(directions=directions, names=("shiftx", "zoom"))


class TestChecks:
    @pytest.mark.parametrize("name", ["updates", "base", "batch", "render_batch"])
    def test_counts(self, name) -> None:
        with pytest.raises(ValueError, match=f"{name}: expected an integer of at least 1, got 0"):
            small(**{name: 0})

    def test_prefetch_is_0_on_a_processor_unless_it_is_named(self) -> None:
        assert small(prefetch=None).batches_ahead == 0
        assert [small(prefetch=n).batches_ahead for n in (0, 3)] == [0, 3]
        with pytest.raises(ValueError, match="prefetch: expected an integer of at least 0, got -1"):
            small(prefetch=-1)

    @pytest.mark.parametrize(
        "changes", [{"generator": ToyGenerator(size=16)}, {"generator": ToyGenerator(channels=3)}]
    )
    def test_images_of_two_shapes(self, changes) -> None:
        with pytest.raises(ValueError, match=r"images of the study: expected one shape .*\(1, 8, "):
            small(**changes)

    @pytest.mark.parametrize("split", ["val", "test"])
    def test_images_that_encoders_are_judged_on(self, split) -> None:
        copies = images(split, 30 if split == "val" else 45).select(range(20, 30))
        renamed = replace(copies, ids=tuple(f"real/{i}" for i in range(10)))
        with pytest.raises(ValueError, match=f"real and {split}: .* 10 with the same content"):
            small(real=renamed)

    def test_nothing_to_learn_from(self) -> None:
        with pytest.raises(ValueError, match="got neither generator nor images"):
            small(generator=None, real=None, probe=None)


class TestParts:
    @pytest.mark.parametrize(
        "changes", [{}, {"generator": None}, {"real": None, "probe": None}, {"probe": None}]
    )
    def test_image_spec(self, changes) -> None:
        assert small(**changes).image_spec.shape == (1, 8, 8)

    def test_encoders_are_trained_where_the_images_are_made(self) -> None:
        assert small().device == TOY.device
        assert small(generator=None).device == images("real").images.device
        assert small(generator=ToyGenerator().to("meta"), real=None).device.type == "meta"

    @pytest.mark.parametrize(
        ("share", "wanted"), [(1.0, 350), (0.25, 88), (0.5, 175), (1e-6, 1), (2.0, 700)]
    )
    def test_updates(self, share, wanted) -> None:
        row = replace(REAL, updates=share)
        assert small(updates=350).updates_of(row) == wanted

    @pytest.mark.parametrize(("ratio", "wanted"), [(0.1, 24), (0.5, 120), (1.0, 240), (2.0, 480)])
    def test_ratio_changes_samples_and_not_updates(self, ratio, wanted) -> None:
        setting, row = small(base=240), replace(MADE, ratio=ratio)
        assert setting.samples_of(row) == wanted
        assert setting.updates_of(row) == setting.updates_of(MADE) == 3


class TestOptions:
    def test_pixel_views_that_do_not_fit_are_refused_by_their_flag(self) -> None:
        bench = Bench(Inputs(kit=GeneratorKit(TOY, name="toy")))
        with pytest.raises(ValueError, match=r"--pixels\): .* 8x8 .* got stylegan-car \(crop size"):
            learning_setting(bench, LearningOptions(pixels="stylegan-car"), [MADE])
        assert learning_setting(bench, LearningOptions(pixels="genrep/train"), [MADE]).plain is None

    def test_directions_are_measured_where_a_row_has_views_along_them(self) -> None:
        kit = GeneratorKit(ToyGenerator(), name="toy")
        bench = Bench(Inputs(kit=kit))
        assert learning_setting(bench, LearningOptions(), [REAL, MADE]).statistics is None
        assert "directions" not in vars(kit)  # nothing was measured
        along = LearningRow(name="pca", views="pca_fine_1.00", space="own")
        kit = GeneratorKit(TOY, directions=PCAStatistics.measure(TOY, num_samples=50))
        found = learning_setting(Bench(Inputs(kit=kit)), LearningOptions(), [MADE, along])
        assert found.statistics is kit.directions


class TestGenerator:
    def test_none(self) -> None:
        with pytest.raises(ValueError, match="row 'generated': expected a generator, got none"):
            small(generator=None).generator_of(MADE)

    @pytest.mark.parametrize("prior", [Prior(), Prior(psi=0.7), Prior(psi=0.7, cutoff=2)])
    def test_samples_are_the_same_in_either_space(self, prior) -> None:
        setting = small(prior=prior)
        found = {}
        for space in ("z", "own"):
            generator, moved = setting.generator_of(replace(MADE, space=space))
            assert generator.latent_spec.space == {"z": "z", "own": "w+"}[space]
            found[space] = LatentViews(generator, None, moved)(range(6)).images
        torch.testing.assert_close(found["z"], found["own"], rtol=0, atol=1e-5)
        plain = LatentViews(TOY, None)(range(6)).images
        assert torch.allclose(found["z"], plain, atol=1e-5) == (prior == Prior())

    @pytest.mark.parametrize("space", ["z", "own"])
    def test_one_in_z_space_is_taken_as_it_is(self, space) -> None:
        black_box = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 8, 8), z_dim=64)
        setting = small(generator=black_box)
        generator, prior = setting.generator_of(replace(MADE, space=space))
        assert generator is black_box
        assert prior is setting.prior


class TestObjective:
    @pytest.mark.parametrize(
        ("row", "changes", "wanted"),
        [
            (REAL, {}, 3),
            (REAL, {"real": images("real", labelled=False)}, 0),
            (REAL, {"real": None}, 0),
            (MADE, {}, 0),
            (MADE, {"generator": CLASSES}, 3),
            (MIXED, {}, 0),
            (replace(MIXED, objective="supcon"), {"generator": CLASSES}, 3),
        ],
    )
    def test_number_of_classes(self, row, changes, wanted) -> None:
        assert small(**changes).num_classes(row) == wanted

    @pytest.mark.parametrize("objective", ["supcon", "classifier"])
    @pytest.mark.parametrize(
        ("changes", "got"),
        [({}, "3 and 0"), ({"generator": ToyGenerator(num_classes=4)}, "3 and 4")],
    )
    def test_labels_and_conditions_of_other_classes_are_not_mixed(
        self, objective, changes, got
    ) -> None:
        row = replace(MIXED, objective=objective)
        with pytest.raises(ValueError, match=f"row 'mixed': expected labelled .* got {got} classe"):
            small(**changes).num_classes(row)

    @pytest.mark.parametrize(
        ("row", "generator", "wanted", "width"),
        [
            (MADE, TOY, NTXent(), None),
            (replace(REAL, objective="supcon"), TOY, SupCon(), None),
            (replace(REAL, objective="classifier"), None, ClassPrediction(num_classes=3), 3),
            (replace(MADE, objective="inverter"), TOY, LatentPrediction(z_dim=8), 8),
            (
                replace(MADE, objective="inverter"),
                CLASSES,
                LatentPrediction(z_dim=8, num_classes=3),
                11,
            ),
        ],
    )
    def test_objective_and_head(self, row, generator, wanted, width) -> None:
        objective, head = small(generator=generator).objective_of(row)
        assert objective == wanted
        assert head.get("projection") == width

    @pytest.mark.parametrize(
        ("row", "message"),
        [
            (replace(MADE, objective="supcon"), "'supcon': expected data with two classes"),
            (replace(MADE, objective="classifier"), "'classifier': expected data with two classes"),
            (replace(REAL, objective="inverter"), "'inverter': expected generated data"),
            (replace(MIXED, objective="inverter"), "'inverter': expected generated data"),
        ],
    )
    def test_what_the_data_do_not_have(self, row, message) -> None:
        with pytest.raises(ValueError, match=message):
            small().objective_of(row)


def brighter(set_):
    pixels = set_.images.clone()
    pixels[2, 0, 3, 3] *= 0.5
    return replace(set_, images=pixels)


def relabelled(set_):
    return replace(set_, labels=set_.labels.flip(0))


# What changes a result, and of which of ROWS.
ROWS = {
    "real": REAL,
    "generated": MADE,
    "mixed": MIXED,
    "pixels": replace(REAL, name="pixels", pixels=True),
    "steer": LearningRow(name="steer", views="steer_all_1.00"),
    "pca": LearningRow(name="pca", views="pca_fine_1.00", space="own"),
    "untrained": LearningRow(name="untrained", data="none"),
}
MAKING = {"generated", "mixed", "steer", "pca"}
CHANGES = {
    "generator": ({"generator": ToyGenerator(seed=1)}, MAKING),
    "prior": ({"prior": Prior(psi=0.9)}, MAKING),
    "views seed": ({"views_seed": 1}, MAKING),
    "stored": ({"stored": False}, MAKING),
    "real": ({"real": brighter(images("real"))}, {"real", "mixed", "pixels"}),
    "labels": ({"real": relabelled(images("real"))}, {"real", "mixed", "pixels"}),
    "pixels": ({"pixels": HorizontalFlip()}, {"pixels"}),
    "walks": ({"walks": walks(1)}, {"steer"}),
    "statistics": ({"statistics": PCAStatistics.measure(TOY, num_samples=50)}, {"pca"}),
    "updates": ({"updates": 4}, set(ROWS)),
    "base": ({"base": 23}, set(ROWS)),
    "batch": ({"batch": 7}, set(ROWS)),
    "encoder": ({"encoder": RepresentationConfig(channels=1, projection=8)}, set(ROWS)),
    "rate": (
        {"training": lambda updates: replace(training(updates), weight_decay=0.1)},
        set(ROWS),
    ),
    "probe": (
        {"probe": ProbeData(train=probe().train, val=relabelled(probe().val), test=probe().test)},
        set(ROWS),
    ),
}


class TestKey:
    def keys(self, seed=0, **changes):
        setting = small(**{"walks": walks(0), **changes})
        return {name: setting.identity(row, seed).digest for name, row in ROWS.items()}

    @pytest.mark.parametrize("change", CHANGES)
    def test_it_changes_where_the_row_uses_what_changed(self, change) -> None:
        changes, wanted = CHANGES[change]
        before, after = self.keys(), self.keys(**changes)
        assert {name for name in ROWS if before[name] != after[name]} == wanted

    def test_how_to_run_does_not_change_it(self) -> None:
        def seen(updates):
            return replace(training(updates), log_every=2, checkpoint_every=1)

        assert self.keys(training=seen, render_batch=5, prefetch=2) == self.keys()

    def test_equal_parts_of_other_objects_do_not_change_it(self) -> None:
        changes = {
            "generator": ToyGenerator(),
            "real": replace(images("real"), images=images("real").images.clone()),
            "encoder": RepresentationConfig(channels=1, projection=16),
        }
        assert self.keys(**changes) == self.keys()

    def test_seeds_and_rows_have_their_own(self) -> None:
        keys = [*self.keys().values(), *self.keys(seed=1).values()]
        assert len(set(keys)) == len(keys)

    def test_the_name_is_not_part_of_it(self) -> None:
        setting = small()
        renamed = setting.identity(replace(MADE, name="b"), 0)
        assert renamed.exact == setting.identity(MADE, 0).exact
