"""The batches of a row: whose images they are, in which order, with which pixel views."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.augment.geometry import CentreCrop
from genviews.evaluate.extractor import centre_view
from genviews.generators.toy import ToyGenerator
from genviews.identity import key
from genviews.perturb.noise import Normal
from genviews.perturb.stylemix import Independent
from genviews.represent.batches import Batches, PartBatches
from genviews.represent.plan import SamplePlan
from genviews.represent.prior import Prior
from genviews.represent.views import LatentViews
from genviews.rng import Rng
from genviews.studies.learning.data import check_row, latent_views, row_batches
from genviews.studies.learning.judge import RowResult
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.run import new_encoder
from genviews.types import ImageSpec
from tests.studies.learning.small import CLASSES, PIXELS, TOY, images, small, training

REAL = LearningRow(name="real", data="real")
PLAIN = LearningRow(name="generated")
GAUSSIAN = LearningRow(name="Gaussian", views="gaussian_all_0.20")
MIXES = LearningRow(name="style-mix", views="stylemix_fine", space="own")
POOL = LearningRow(name="pool", views="independent_all", positives=2, pool=4, objective="vicreg")
MIXED = LearningRow(name="mixed", data="mixed", share=0.5, views="gaussian_all_0.20")
INVERTER = LearningRow(name="inverter", objective="inverter")
CLASSIFIER = LearningRow(name="classifier", objective="classifier", pixels=True)
HALF_A_LEVEL = 1 / 255 + 1e-6  # of 8 bits over [-1, 1]


def batches_of(row, folder, steps=range(3), seed=0, **changes):
    """Batches of these steps."""
    setting = small(**{"updates": max(steps) + 1, **changes})
    batches = row_batches(row, setting, seed, folder)
    found = [batches.batch(step) for step in steps]
    batches.close()
    return found


def plan(unique=24, seed=0):
    return SamplePlan(batch_size=8, num_unique=unique, seed=seed)


class TestReal:
    def test_images_labels_and_order(self, tmp_path) -> None:
        for step, batch in enumerate(batches_of(REAL, tmp_path, range(5), seed=4)):
            ids, _ = plan(seed=4).batch(step)
            assert batch["ids"].tolist() == list(ids)
            for view in (0, 1):
                assert torch.equal(batch["views"][:, view], images("real").images[list(ids)])
            assert torch.equal(batch["labels"], images("real").labels[list(ids)])
            assert batch["z"] is None
        assert not (tmp_path / "views").exists()

    def test_pixel_views_are_drawn_by_the_seed_of_the_row(self, tmp_path) -> None:
        row = replace(REAL, pixels=True)
        for step, batch in enumerate(batches_of(row, tmp_path, range(5), seed=4)):
            ids, visit = plan(seed=4).batch(step)
            plain = images("real").images[list(ids)][:, None].expand(-1, 2, -1, -1, -1)
            streams = Rng(4, "pixel views").streams([f"{i}/{visit}/0" for i in ids])
            assert torch.equal(batch["views"], PIXELS.augment(plain, streams))

    def test_fewer_than_all_are_drawn_at_random_and_nested(self, tmp_path) -> None:
        shown = {}
        for ratio in (1 / 3, 2 / 3, 1.0):
            row = replace(REAL, ratio=ratio)
            for batch in batches_of(row, tmp_path, range(6)):
                for image, label, i in zip(
                    batch["views"][:, 0], batch["labels"], batch["ids"], strict=True
                ):
                    (place,) = (images("real").images == image).flatten(1).all(1).nonzero()
                    assert label == images("real").labels[place]
                    shown.setdefault(ratio, {})[int(i)] = int(place)
        third, more, whole = shown.values()
        assert [len(third), len(more), len(whole)] == [8, 16, 24]
        assert third.items() <= more.items()
        assert sorted(third.values()) != list(range(8))  # files are often sorted by class
        assert whole == {i: i for i in range(24)}


class TestGenerated:
    @pytest.mark.parametrize("stored", [True, False], ids=["stored", "streamed"])
    @pytest.mark.parametrize("row", [PLAIN, GAUSSIAN, MIXES, POOL], ids=lambda r: r.name)
    def test_views_are_those_of_the_latents(self, row, stored, tmp_path) -> None:
        within = HALF_A_LEVEL if stored else 1e-5
        views = latent_views(row, small())
        for step, batch in enumerate(batches_of(row, tmp_path, range(7), stored=stored)):
            ids, visit = plan().batch(step)
            wanted = views(ids, visit)
            assert batch["ids"].tolist() == list(ids)
            torch.testing.assert_close(batch["views"], wanted.images, rtol=0, atol=within)
            anchors = TOY.synthesize(TOY.map(wanted.z)).clamp(-1, 1)
            torch.testing.assert_close(batch["views"][:, 0], anchors, rtol=0, atol=within)
            apart = (batch["views"][:, 1:] - batch["views"][:, :1]).abs().flatten(2).amax(2)
            moved = float(apart.mean())
            assert (moved == 0) if row is PLAIN else (moved > 0.05)

    @pytest.mark.parametrize("row", [PLAIN, GAUSSIAN, MIXES, POOL, MIXED], ids=lambda r: r.name)
    def test_stored_and_streamed_agree_up_to_8_bits(self, row, tmp_path) -> None:
        """Over three visits of each sample, so a pool shows others of its positives."""
        stored = batches_of(row, tmp_path, range(9))
        streamed = batches_of(row, tmp_path, range(9), stored=False)
        seen = 0
        for a, b in zip(stored, streamed, strict=True):
            assert torch.equal(a["ids"], b["ids"])
            gap = (a["views"] - b["views"]).abs().max()
            assert gap <= HALF_A_LEVEL
            seen += int(gap > 0)
            if b["z"] is None:
                assert a["z"] is None
            else:
                torch.testing.assert_close(a["z"], b["z"], rtol=0, atol=1e-6)
        assert seen  # rounding shows, so they were read from a store

    def test_positives_of_a_pool_change_with_the_visit(self, tmp_path) -> None:
        first, later = batches_of(POOL, tmp_path, (0, 3))
        ids = sorted(set(first["ids"].tolist()) & set(later["ids"].tolist()))
        assert ids
        changed = 0
        for i in ids:
            a, b = (found["views"][found["ids"] == i][0] for found in (first, later))
            assert torch.equal(a[0], b[0])
            changed += not torch.equal(a[1:], b[1:])
        assert changed

    def test_seeds_read_one_store(self, tmp_path) -> None:
        seen: dict[int, list[int]] = {0: [], 1: []}
        for seed, told in seen.items():
            batches = row_batches(
                GAUSSIAN,
                small(),
                seed,
                tmp_path,
                progress=lambda *at, told=told: told.append(at[2]),
            )
            batches.close()
        assert seen == {0: [0, 24], 1: [24]}  # the second seed finds all 24 samples made
        assert len(list((tmp_path / "views").iterdir())) == 1

    @pytest.mark.parametrize("prior", [Prior(psi=0.7), Prior(noise=Normal.fixed_bound(2.0))])
    @pytest.mark.parametrize("space", ["z", "own"])
    def test_independent_views_are_of_the_same_prior(self, prior, space) -> None:
        row = LearningRow(name="a", views="independent_all_0.50", space=space)
        found = latent_views(row, small(prior=prior)).perturbation
        assert isinstance(found, Independent)
        assert (found.layers, found.strength) == ("all", 0.5)
        assert found.noise == prior.noise
        assert found.psi == (prior.psi if space == "own" else 1.0)

    @pytest.mark.parametrize("ratio", [1 / 3, 0.5, 1.0, 2.0])
    def test_ratio(self, ratio, tmp_path) -> None:
        row, unique = replace(GAUSSIAN, ratio=ratio), round(24 * ratio)
        found = batches_of(row, tmp_path, range(2 * unique // 8))
        shown = [int(i) for batch in found for i in batch["ids"]]
        assert set(shown) <= set(range(unique))
        whole = unique // 8 * 8  # an epoch has whole batches
        assert len(set(shown[:whole])) == whole
        batches_of(replace(row, ratio=1.0), tmp_path)
        assert len(list((tmp_path / "views").iterdir())) == (1 if ratio <= 1 else 2)


class TestMixed:
    def test_real_or_generated_by_the_same_id(self, tmp_path) -> None:
        row = replace(MIXED, share=0.25, views=None)
        generator, prior = small().generator_of(row)
        made = LatentViews(generator, None, prior)(range(24)).images[:, 0]
        count = {"real": set(), "made": set()}
        for batch in batches_of(row, tmp_path, range(6), stored=False):
            for i, views in zip(batch["ids"].tolist(), batch["views"], strict=True):
                kind = "real" if torch.equal(views[0], images("real").images[i]) else "made"
                if kind == "made":
                    torch.testing.assert_close(views[0], made[i], rtol=0, atol=1e-5)
                count[kind].add(i)
        assert len(count["made"]) == 6
        assert len(count["real"]) == 18

    def test_labels_of_both(self, tmp_path) -> None:
        row = replace(MIXED, objective="supcon")
        for batch in batches_of(row, tmp_path, generator=CLASSES):
            assert batch["labels"].shape == (8,)


class TestSingleView:
    @pytest.mark.parametrize("stored", [True, False], ids=["stored", "streamed"])
    @pytest.mark.parametrize("generator", [TOY, CLASSES], ids=repr)
    def test_inverter_sees_one_view_with_its_own_z(self, generator, stored, tmp_path) -> None:
        for batch in batches_of(INVERTER, tmp_path, generator=generator, stored=stored):
            assert batch["views"].shape == (8, 1, 1, 8, 8)
            assert batch["z"].shape == (8, 1, 8)
            again = generator.synthesize(generator.map(batch["z"][:, 0], batch["labels"]))
            within = HALF_A_LEVEL if stored else 1e-5
            gap = (again.clamp(-1, 1) - batch["views"][:, 0]).abs().max()
            assert gap <= within

    def test_classifier_sees_the_first_of_two_views(self, tmp_path) -> None:
        two = batches_of(replace(CLASSIFIER, objective="supcon"), tmp_path, generator=CLASSES)
        one = batches_of(CLASSIFIER, tmp_path, generator=CLASSES)
        for a, b in zip(one, two, strict=True):
            assert a["views"].shape == (8, 1, 1, 8, 8)
            torch.testing.assert_close(a["views"], b["views"][:, :1], rtol=0, atol=1e-6)
            assert torch.equal(a["labels"], b["labels"])

    def test_the_second_view_is_not_made(self, tmp_path, monkeypatch) -> None:
        made = []
        augment = type(PIXELS).augment
        monkeypatch.setattr(
            type(PIXELS), "augment", lambda s, v, t: made.append(v.shape[1]) or augment(s, v, t)
        )
        batches_of(CLASSIFIER, tmp_path, generator=CLASSES)
        assert set(made) == {1}


class TestBatches:
    def test_they_are_what_a_training_asks_for(self, tmp_path) -> None:
        batches = row_batches(GAUSSIAN, small(), 0, tmp_path)
        assert isinstance(batches, Batches)
        assert isinstance(batches, PartBatches)
        whole = batches.batch(1)
        parts = [batches.part(1, r, 3) for r in range(3)]
        assert torch.equal(torch.cat([p["views"] for p in parts]), whole["views"])
        assert batches.stats.steps == 4
        batches.close()

    def test_description(self, tmp_path) -> None:
        def text(row, seed=0, **changes):
            return key(row_batches(row, small(**changes), seed, tmp_path))

        found = [
            text(GAUSSIAN),
            text(GAUSSIAN, seed=1),
            text(replace(GAUSSIAN, pixels=True)),
            text(replace(GAUSSIAN, ratio=0.5)),
            text(PLAIN),
            text(INVERTER),
            text(REAL),
            text(MIXED),
        ]
        assert len(set(found)) == len(found)
        assert text(replace(GAUSSIAN, name="b"), prefetch=1) == found[0]

    def test_beyond_the_updates_there_is_nothing(self, tmp_path) -> None:
        batches = row_batches(REAL, small(), 0, tmp_path)
        with pytest.raises(
            ValueError, match="step: expected an integer of at least 0 and at most 2"
        ):
            batches.batch(3)


def one_more(updates):
    return replace(training(updates), schedule=training(updates + 1).schedule)


# Row, changes of the setting, what is said.
REFUSED = {
    "no generator": (GAUSSIAN, {"generator": None}, "row 'Gaussian': expected a generator, got no"),
    "no generator to mix": (MIXED, {"generator": None}, "row 'mixed': expected a generator"),
    "no real images": (REAL, {"real": None}, "row 'real': expected at least 24 real images, got 0"),
    "few real images": (
        replace(MIXED, ratio=1.5),
        {},
        "row 'mixed': expected at least 36 real images, got 24; add some",
    ),
    "no pixels": (
        replace(REAL, pixels=True),
        {"pixels": None},
        "row 'real': expected pixel views in the setting, got none",
    ),
    "fewer samples than a batch": (
        replace(GAUSSIAN, ratio=0.25),
        {},
        r"row 'Gaussian': expected at least 8 samples, .* got 6, 0\.25 times the base size",
    ),
    "unknown views": (
        LearningRow(name="a", views="gausian_all_0.20"),
        {},
        "kind of perturbation: .* did you mean 'gaussian'",
    ),
    "no strength": (LearningRow(name="a", views="gaussian_all"), {}, "a strength at the end"),
    "rows that z does not have": (
        LearningRow(name="a", views="stylemix_fine"),
        {},
        "layer range|layers",
    ),
    "no walks": (
        LearningRow(name="a", views="steer_all_1.00"),
        {},
        "steer perturbation: expected learnt walks of",
    ),
    "directions of a space where all are alike": (
        LearningRow(name="a", views="pca_all_1.00"),
        {},
        "pca perturbation: expected a generator with principal directions",
    ),
    "no classes": (
        replace(GAUSSIAN, objective="supcon"),
        {},
        "objective 'supcon': expected data with two classes or more, got none",
    ),
    "no labels": (
        replace(REAL, objective="classifier"),
        {"real": images("real", labelled=False)},
        "objective 'classifier': expected data with two classes or more, got none",
    ),
    "no latents": (
        replace(REAL, objective="inverter"),
        {},
        "objective 'inverter': expected generated data, whose latents are known",
    ),
    "views of an inverter": (
        replace(GAUSSIAN, objective="inverter"),
        {},
        "row 'Gaussian': expected no latent views: 'inverter' looks at anchors alone, got 'gauss",
    ),
    "views of a classifier": (
        replace(MIXES, objective="classifier"),
        {"generator": CLASSES},
        "'classifier' looks at anchors alone, got 'stylemix_fine'",
    ),
    "positives of nt-xent": (
        replace(GAUSSIAN, positives=2),
        {},
        "expected positives=1, for the objective 'nt-xent', got 2; take the objective 'multi-posi",
    ),
    "another number of updates": (
        REAL,
        {"training": one_more},
        "row 'real': expected a training of 3 updates, as it was asked for, got 4",
    ),
}


class TestCheck:
    @pytest.mark.parametrize("case", REFUSED)
    def test_what_a_row_lacks_is_named(self, case) -> None:
        row, changes, message = REFUSED[case]
        with pytest.raises(ValueError, match=message):
            check_row(row, small(**changes))

    @pytest.mark.parametrize(
        ("row", "changes"),
        [
            (REAL, {}),
            (REAL, {"generator": None, "probe": None}),
            (replace(REAL, objective="supcon", pixels=True), {}),
            (GAUSSIAN, {"real": None, "pixels": None}),
            (replace(GAUSSIAN, ratio=10.0), {}),
            (MIXES, {}),
            (POOL, {}),
            (MIXED, {}),
            (replace(MIXED, objective="supcon"), {"generator": CLASSES}),
            (INVERTER, {}),
            (CLASSIFIER, {"generator": CLASSES}),
            (replace(GAUSSIAN, objective="multi-positive", positives=3), {}),
            (LearningRow(name="untrained", data="none"), {"generator": None, "real": None}),
            (LearningRow(name="untrained", data="none", objective="supcon"), {}),
        ],
    )
    def test_it_renders_and_augments_nothing(self, row, changes, monkeypatch) -> None:
        def never(*arguments, **options):
            raise AssertionError("costly")

        for kind in (ToyGenerator, LatentViews):
            for name in ("synthesize", "synthesize_views", "rendered"):
                if name in vars(kind):
                    monkeypatch.setattr(kind, name, never)
        monkeypatch.setattr(type(PIXELS), "augment", never)
        check_row(row, small(**changes))


class TestWithoutPixelViews:
    """Rows without T_x see the middle of a view, as large as what T_x gives."""

    @pytest.mark.parametrize("row", [REAL, GAUSSIAN, MIXED, INVERTER, POOL], ids=lambda r: r.name)
    @pytest.mark.parametrize("stored", [True, False])
    def test_they_see_the_middle(self, row, stored, tmp_path) -> None:
        (whole,) = batches_of(row, tmp_path, [0], stored=stored)
        (cut,) = batches_of(row, tmp_path, [0], stored=stored, plain=CentreCrop(6))
        assert torch.equal(cut["views"], whole["views"][..., 1:-1, 1:-1])
        assert torch.equal(cut["ids"], whole["ids"])

    def test_rows_with_pixel_views_do_not(self, tmp_path) -> None:
        row = replace(GAUSSIAN, pixels=True)
        (cut,) = batches_of(row, tmp_path, [0], plain=CentreCrop(6))
        assert cut["views"].shape[-2:] == (8, 8)

    def test_judges_see_images_as_they_do(self, tmp_path) -> None:
        setting = small(plain=CentreCrop(6))
        assert (small().input_size, setting.input_size) == (None, 6)
        keys = {small(plain=views).identity(REAL, 0).digest for views in (None, setting.plain)}
        assert len(keys) == 2
        new_encoder(small(plain=CentreCrop(8)), 0).save(tmp_path / "encoder.safetensors")
        row = LearningRow(name="untrained", data="none")
        result, large = RowResult(row=row, seed=0, folder=tmp_path), torch.rand(5, 1, 16, 20)
        assert result.encoder().config.input_size == 8  # its file says it, for `genviews probe`
        judge = result.extractor(setting, spec=ImageSpec(channels=1, height=16, width=20))
        wanted = result.encoder().features(centre_view(large, 8, 9))
        torch.testing.assert_close(judge(large), wanted)
        square = large[..., :16]
        whole = result.encoder().features(square)
        torch.testing.assert_close(result.extractor(setting)(square), whole)
