"""What suits a kind of image, and what is measured where nothing is known of it."""

from __future__ import annotations

import inspect
from dataclasses import replace

import pytest
import torch

from genviews import CallableGenerator, GeneratorKit, PCAStatistics, StyleMix, ToyGenerator
from genviews.align.aligners import ALIGNERS
from genviews.augment.base import Compose
from genviews.augment.geometry import CentreCrop
from genviews.augment.presets import pixel_views
from genviews.classify.config import training_preset
from genviews.domains import (
    DOMAINS,
    TARGETS,
    find_domain,
    learning_pixels,
    measure_scales,
    plain_views,
    sized_baselines,
)
from genviews.generators.callable import z_space
from genviews.invert.inverter import PRESETS
from genviews.render import render
from genviews.rng import Rng
from genviews.types import ImageSpec

TOY = ToyGenerator()
KIT = GeneratorKit(TOY, directions=PCAStatistics(torch.eye(4), torch.ones(4)))


def names(domain: str, **kwargs: bool) -> list[str]:
    return [p.name for p in DOMAINS[domain].perturbations(KIT, **kwargs)]


class TestPublished:
    def test_strengths_of_cars(self):
        assert names("car") == [
            *(f"isotropic_coarse_{s}" for s in ("1.00", "1.50", "2.00")),
            *(f"isotropic_fine_{s}" for s in ("0.30", "0.50", "0.70")),
            *(f"pca_coarse_{s}" for s in ("1.00", "2.00", "3.00")),
            *(f"pca_fine_{s}" for s in ("1.00", "2.00", "3.00")),
            "stylemix_coarse",
            "stylemix_fine",
        ]

    @pytest.mark.parametrize(
        ("domain", "isotropic_coarse", "isotropic_fine", "pca"),
        [
            ("face", "0.20", "0.20", "2.00"),
            ("car", "1.00", "0.30", "2.00"),
            ("cat", "0.50", "0.10", "0.70"),
        ],
    )
    def test_training_strengths(self, domain, isotropic_coarse, isotropic_fine, pca):
        assert names(domain, training=True) == [
            f"isotropic_coarse_{isotropic_coarse}",
            f"isotropic_fine_{isotropic_fine}",
            f"pca_coarse_{pca}",
            f"pca_fine_{pca}",
            "stylemix_coarse",
            "stylemix_fine",
        ]

    def test_cifar10_mixes_its_last_row_without_directions(self):
        kit = GeneratorKit(ToyGenerator(num_layers=8, num_classes=10))
        for training in (False, True):
            found = DOMAINS["cifar10"].perturbations(kit, training=training)
            assert found == [StyleMix("7")]

    @pytest.mark.parametrize("name", DOMAINS)
    def test_every_preset_that_a_domain_names_exists(self, name):
        domain = DOMAINS[name]
        assert domain.name == name
        for views in (*domain.baselines, *filter(None, [domain.pixels])):
            pixel_views(views)
        training_preset(domain.classifier)
        assert domain.inverter in PRESETS
        assert domain.aligner in {None, *ALIGNERS}
        assert set(domain.training) <= set(domain.scales)

    @pytest.mark.parametrize("size", [(32, 32), (64, 96)])
    def test_views_of_unknown_images_have_no_black_edges(self, size):
        spec = ImageSpec(channels=3, height=size[0], width=size[1])
        white = torch.ones(2, *spec.shape)
        for views in sized_baselines(spec):
            made = views(white, 8, Rng(0).streams(["a", "b"]))
            assert float(made.min()) > 0, views.name  # jitter may darken

    def test_an_unknown_domain_lists_the_known(self):
        with pytest.raises(ValueError, match=r"domain: expected one of .*; did you mean 'face'"):
            find_domain("faces")
        assert find_domain(None) is None


class TestNothingIsTakenFromAnother:
    """A generator of no known domain got the strengths of faces and the crops of fashion32."""

    def test_a_kit_says_what_it_took(self):
        kit = GeneratorKit(TOY, name="mine", directions=KIT.directions)
        assert kit.domain is None
        kinds = {p.name.partition("_")[0] for p in kit.candidates}
        assert kinds == {"isotropic", "pca", "stylemix"}
        assert [views.name for views in kit.baselines] == ["flip", "crop", "flip+crop", "jitter"]
        assert kit.notes[0].startswith("strengths of views: measured on mine, whose domain is not")
        assert kit.notes[1].startswith("pixel views: flip, shifts by up to 1/16 of the size")

    def test_a_domain_is_taken_when_it_is_named(self):
        kit = GeneratorKit(TOY, directions=KIT.directions, domain="car")
        assert [p.name for p in kit.candidates] == names("car")
        assert kit.notes == ["strengths of views: published for the domain car"]

    def test_strengths_of_rows_that_are_not_there_are_measured(self):
        kit = GeneratorKit(z_space(TOY), name="mine", domain="face")
        assert {one.name.rpartition("_")[0] for one in kit.candidates} == {"isotropic_all"}
        assert kit.notes[0].startswith(
            "strengths of views: measured on mine, which lacks the rows of the domain face; they"
        )
        assert len(kit.baselines) == 3  # of faces

    def test_the_card_comes_first(self):
        from genviews import load_generator

        kit = load_generator("fashion32")
        assert kit.domain is DOMAINS["fashion32"]
        assert len(kit.candidates) == sum(
            len(strengths)
            for ranges in kit.card["perturbations"].values()
            for strengths in ranges.values()
        )
        assert kit.notes == ["strengths of views: those of fashion32"]
        assert [views.name for views in kit.baselines] == [
            views.name for views in sized_baselines(kit.generator.image_spec)
        ]

    @pytest.mark.parametrize(("size", "shift"), [(8, 1), (32, 2), (64, 4), (1024, 64)])
    def test_shifts_are_a_part_of_the_size(self, size, shift):
        spec = ImageSpec(channels=3, height=size, width=2 * size)
        assert sized_baselines(spec)[1].padding == shift

    def test_views_of_learning(self):
        spec = ImageSpec(channels=1, height=32, width=32)
        assert repr(learning_pixels(spec)) == repr(pixel_views("fashion32/simclr"))
        car = learning_pixels(ImageSpec(channels=3, height=512, width=512), DOMAINS["car"])
        assert repr(car) == repr(pixel_views("stylegan-car"))

    @pytest.mark.parametrize(
        ("shape", "pixels", "domain", "wanted"),
        [
            ((1, 32, 32), None, "fashion32", None),
            ((3, 64, 64), None, None, None),
            ((3, 128, 128), None, None, CentreCrop(112)),  # as published, and so is 256
            ((3, 256, 256), None, None, CentreCrop(112)),
            ((3, 48, 64), None, None, CentreCrop(48)),
            ((3, 64, 64), "fashion32/simclr", None, CentreCrop(32)),
            ((3, 64, 64), "genrep/train", None, None),  # which enlarges; the middle is all of it
            ((3, 512, 512), None, "car", pixel_views("stylegan-car/centre")),
        ],
    )
    def test_views_without_pixel_views_are_cut_to_their_size(self, shape, pixels, domain, wanted):
        channels, height, width = shape
        spec = ImageSpec(channels=channels, height=height, width=width)
        given = None if pixels is None else pixel_views(pixels)
        found = plain_views(spec, find_domain(domain), given)
        assert repr(found) == repr(wanted)

    def test_the_bars_of_a_car_are_in_no_view(self):
        """The frame has 512 rows, its content 384: T_x and its middle show content alone."""
        car = torch.full((1, 3, 512, 512), -1.0)
        car[:, :, 64:448] = 1.0
        spec, streams = ImageSpec(channels=3, height=512, width=512), Rng(0).streams(["car"])
        plain = plain_views(spec, DOMAINS["car"])(car, 1, streams)
        assert plain.shape == (1, 1, 3, 112, 112)
        assert (plain == 1).all()
        crops = replace(pixel_views("stylegan-car").parts[1], jitter=0.0)
        seen = Compose(pixel_views("stylegan-car").parts[0], crops)(car, 8, streams)
        assert seen.min() > 0.999

    def test_a_frame_that_is_too_small_for_its_domain_is_refused(self):
        spec = ImageSpec(channels=3, height=256, width=256)
        with pytest.raises(ValueError, match="384"):
            plain_views(spec, DOMAINS["car"])


def blobs(z: torch.Tensor) -> torch.Tensor:
    return z.tanh().reshape(-1, 1, 4, 4)


class TestMeasured:
    def change(self, generator, perturbation) -> float:
        """By what part of the difference of two samples the pictures change; counted anew."""
        streams = Rng(7).streams(range(200))
        label = None
        if generator.num_classes:
            label = torch.zeros(200, dtype=torch.long)
        latents = generator.map(generator.sample(streams), label)
        images = render(generator, latents)
        moved = render(generator, perturbation(generator, latents, 1, streams, label))[:, 0]
        unit = (images[1:] - images[:-1]).abs().mean()
        return float((moved - images).abs().mean() / unit)

    @pytest.mark.parametrize(
        "generator",
        [
            TOY,
            ToyGenerator(channels=3, size=16, seed=3),
            ToyGenerator(num_classes=3),
            CallableGenerator(blobs, z_dim=16),
        ],
        ids=["toy", "colour", "conditional", "black box"],
    )
    def test_strengths_do_what_they_are_measured_for(self, generator):
        few = None
        if generator.latent_spec.space != "z":
            few = PCAStatistics.measure(generator, 2000)
        kit = GeneratorKit(generator, directions=few)
        table = measure_scales(kit)
        assert table["isotropic"]
        for kind, ranges in table.items():
            for rows, strengths in ranges.items():
                assert list(strengths) == sorted(strengths)
                if len(strengths) == len(TARGETS):
                    for strength, target in zip(strengths, TARGETS, strict=True):
                        made = kit.perturbation(f"{kind}_{rows}_{strength}")
                        assert self.change(generator, made) == pytest.approx(target, rel=0.5)

    def test_a_generator_of_other_units_gets_other_strengths(self):
        """Latents ten times as large: the strengths too, so that pictures change alike."""
        wide = CallableGenerator(lambda z: blobs(z / 10), z_dim=16)
        near = measure_scales(GeneratorKit(CallableGenerator(blobs, z_dim=16)))["isotropic"]["all"]
        far = measure_scales(GeneratorKit(wide))["isotropic"]["all"]
        assert near != far

    def test_in_z_space_samples_are_not_mixed(self):
        assert list(measure_scales(GeneratorKit(CallableGenerator(blobs, z_dim=16)))) == [
            "isotropic"
        ]

    def test_targets_and_seed(self):
        assert "targets" in inspect.signature(measure_scales).parameters
        one = measure_scales(KIT, targets=(0.3,))
        assert all(len(found) == 1 for ranges in one.values() for found in ranges.values())
        assert one == measure_scales(KIT, targets=(0.3,))
