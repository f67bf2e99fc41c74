"""The kits that ship, a small one made here with every part, and kits that are saved and read."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from genviews import (
    CallableGenerator,
    GeneratorKit,
    Inverter,
    StyleGAN2,
    ToyGenerator,
    load_classifier,
    load_generator,
    z_space,
)
from genviews.classify.network import SmallResNet
from genviews.data.fashion import fashion_mnist, labelled_subset
from genviews.identity import describe
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.features import Feature, FeatureDistance
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, Objective, ToStart
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam
from genviews.invert.start import EncoderStart
from genviews.kit import read_generator
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.walks import Steer, Walks
from genviews.perturb.warps import directions_of
from genviews.rng import Rng
from genviews.zoo import entry_folder, names, zoo_classifier, zoo_classifiers, zoo_images
from genviews.zoo.card import checked_file, record_file, save_part, start_card, update_card
from tests.networks import small_stylegan2

REAL = Path("/usr/share/datasets/fashion-mnist")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shipped():
    return load_generator("fashion32")


class TestFashion32:
    def test_names(self):
        assert names() == ["fashion32", "fashion32-classes"]
        for find in (entry_folder, load_generator):
            with pytest.raises(ValueError, match=r"did you mean 'fashion32'"):
                find("fashion-32")

    def test_generator_makes_the_images_of_another_implementation(self, shipped):
        known = load_file(shipped.folder / "generator_check.safetensors")
        generator = shipped.generator
        images = generator.synthesize(generator.map(known["z"]))
        torch.testing.assert_close(images, known["image"], atol=1e-4, rtol=0)
        assert float(images.std()) > 0.1

    def test_classes_are_a_condition(self):
        """Each class has images of its own: the classifier, which never saw one, names most."""
        kit = load_generator("fashion32-classes")
        generator = kit.generator
        known = load_file(kit.folder / "generator_check.safetensors")
        images = generator.synthesize(generator.map(known["z"], torch.arange(4)))
        torch.testing.assert_close(images, known["image"], atol=1e-4, rtol=0)
        label = torch.arange(200) % 10
        z = generator.sample(Rng(1).streams(range(200)))
        with torch.no_grad():
            images = generator.synthesize(generator.map(z, label)).clamp(-1, 1)
            said = load_classifier("fashion32")(images).argmax(-1)
        assert generator.num_classes == 10
        assert float((said == label).float().mean()) > 0.6

    def test_generator_is_frozen_and_its_ranges_are_those_of_the_card(self, shipped):
        generator = shipped.generator
        assert not generator.training
        assert not any(p.requires_grad for p in generator.parameters())
        ranges = {r.name: [r.start, r.stop] for r in generator.latent_spec.ranges}
        assert ranges == shipped.card["ranges"]
        assert generator.image_spec == zoo_classifier("fashion32").image_spec
        assert generator.latent_spec.shape == (8, 64)

    @pytest.mark.parametrize(("split", "per_class"), [("val", 50), ("test", 100)])
    def test_samples(self, shipped, split, per_class):
        images = zoo_images("fashion32", split)
        assert images.labels.bincount().tolist() == [per_class] * 10
        assert all(name.startswith(f"{split}-") for name in images.ids)
        assert list(images.ids) == sorted(images.ids)
        assert images.image_spec == shipped.generator.image_spec
        assert images.class_names == tuple(shipped.card["image"]["class_names"])
        assert float(images.images[..., :2].max()) == -1
        assert float(images.images.max()) == 1

    @pytest.mark.skipif(not REAL.exists(), reason="the data set is not installed")
    def test_samples_are_the_first_of_each_class(self, shipped):
        whole = labelled_subset(fashion_mnist("val"), 50)
        assert zoo_images("fashion32", "val").fingerprint() == whole.fingerprint()

    def test_unknown_split(self):
        unchecked = zoo_images.__wrapped__
        with pytest.raises(ValueError, match=r"split of the samples: expected one of test, val"):
            unchecked("fashion32", "train")

    def test_each_part_can_be_made(self, shipped):
        """What the card says of inversion and perturbations fits the generator, encoder and PCA."""
        assert shipped.inverter.encoder.config.num_layers == 8
        assert len({p.name for p in shipped.candidates}) == len(shipped.candidates) > 0
        assert shipped.perturbations(()) == shipped.candidates
        images = zoo_images("fashion32", "val")
        for kind, classifier in zoo_classifiers("fashion32").items():
            assert classifier.class_names == images.class_names
            same = load_classifier(f"fashion32/{kind}")
            assert torch.equal(same(images.images[:4]), classifier(images.images[:4]))

    def test_unknown_classifier(self):
        with pytest.raises(ValueError, match=r"classifier of fashion32: .* did you mean 'views'"):
            load_classifier("fashion32/view")

    def test_every_file_is_on_the_card_and_right(self, shipped):
        files = {p.name for p in shipped.folder.iterdir()} - {"card.json"}
        assert files == set(shipped.card["files"])
        for name in files:
            checked_file(shipped.folder, shipped.card, name)
        assert (shipped.folder / "samples.safetensors").stat().st_size < 1.5 * MEGABYTE

    def test_card(self, shipped):
        assert shipped.card["licence"]["weights"] == "MIT"
        assert "MIT" in shipped.card["licence"]["data"]
        assert "no labels" in shipped.card["generator"]["training"]["data"]
        assert repr(shipped) == "GeneratorKit('fashion32', StyleGAN2)"


@pytest.fixture
def small(tmp_path) -> Path:
    """An entry of 8x8 images with every part but samples."""
    config = small_stylegan2(img_channels=1, z_dim=4, w_dim=4, mapping_layers=1)
    generator = StyleGAN2(config)
    fields = asdict(config) | {"channels": {"4": 4, "8": 4}}
    fields.pop("ranges")
    image = {"channels": 1, "height": 8, "width": 8, "range": [-1, 1], "class_names": ["a", "b"]}
    sections = {
        "image": image,
        "generator": {"config": fields},
        "ranges": {"coarse": [0, 1], "fine": [2, 4]},
        "perturbations": {"isotropic": {"fine": [0.1, 0.2]}, "pca": {"coarse": [1.0]}},
    }
    start_card(tmp_path, sections)
    save_part(tmp_path, "generator.safetensors", generator.state_dict(), what="generator")
    made_with = ["generator.safetensors"]
    InversionEncoder(EncoderConfig.for_generator(generator)).save(tmp_path / "encoder.safetensors")
    record_file(tmp_path, "encoder.safetensors", what="encoder", made_with=made_with)
    statistics = PCAStatistics.measure(generator, 100, 3)
    statistics.save(tmp_path / "pca.safetensors")
    record_file(tmp_path, "pca.safetensors", what="directions", made_with=made_with)
    for name in ("classifier", "classifier_views"):
        network = SmallResNet(num_classes=2, width=4, seed=len(name))
        network.save(tmp_path / f"{name}.safetensors")
        record_file(tmp_path, f"{name}.safetensors", what=name)
    return tmp_path


class TestParts:
    def test_classifiers_are_those_that_exist(self, small):
        found = zoo_classifiers(small)
        assert list(found) == ["images", "views"]
        for classifier in found.values():
            assert classifier.class_names == ("a", "b")
            assert not any(m.training for m in classifier.modules())
            assert not any(p.requires_grad for p in classifier.parameters())
        images = torch.rand(2, 1, 8, 8)
        assert torch.equal(found["images"](images), zoo_classifier(small)(images))
        assert not torch.equal(found["images"](images), found["views"](images))

    def test_perturbations_of_the_card(self, small):
        found = GeneratorKit.load(small).candidates
        assert [p.name for p in found] == [
            "isotropic_fine_0.10",
            "isotropic_fine_0.20",
            "pca_coarse_1.00",
        ]
        assert torch.equal(
            found[2].statistics.components, GeneratorKit.load(small).directions.components
        )

    def test_no_statistics_are_read_when_none_are_needed(self, small):
        (small / "pca.safetensors").unlink()
        card = json.loads((small / "card.json").read_text())
        del card["perturbations"]["pca"]
        (small / "card.json").write_text(json.dumps(card))
        assert len(GeneratorKit.load(small).candidates) == 2

    def test_inverter_of_the_card(self, small):
        objective = {"l1": 0.5, "feature": 0.1}
        optimizer = {"name": "adam", "lr": 0.03, "betas": [0.7, 0.9]}
        update_card("inverter", {"steps": 3, "optimizer": optimizer, "objective": objective}, small)
        kit = GeneratorKit.load(small)
        inverter = kit.inverter
        terms = [(term.name, term.weight) for term in inverter.objective.terms]
        assert (inverter.steps, terms) == (3, [("l1", 0.5), ("feature", 0.1)])
        assert inverter.optimizer == Adam(lr=0.03, betas=(0.7, 0.9))
        assert inverter.encoder is kit.encoder
        images = kit.generator.synthesize(
            kit.generator.map(kit.generator.sample(Rng(0).streams(range(2))))
        )
        assert invert(kit.generator, images, inverter=inverter).latents.shape == (2, 4, 4)

    def test_inverter_without_settings(self, small):
        assert GeneratorKit.load(small).inverter.objective == Objective()

    def test_an_encoder_that_is_asked_for_is_the_start(self, tmp_path):
        """Whatever the card says: this one starts from samples."""
        toy = ToyGenerator()
        GeneratorKit(toy, directions=PCAStatistics.measure(toy, 100)).save(tmp_path / "kit")
        InversionEncoder(EncoderConfig.for_generator(toy)).save(tmp_path / "encoder.safetensors")
        kit = load_generator(tmp_path / "kit", encoder=tmp_path / "encoder.safetensors", steps=4)
        assert isinstance(kit.inverter.start, EncoderStart)
        assert kit.inverter.encoder is kit.encoder
        assert kit.inverter.steps == 4

    def test_unknown_term_in_the_card(self, small):
        update_card("inverter", {"objective": {"l1": 1.0, "featrue": 0.1}}, small)
        with pytest.raises(ValueError, match=r"term of the card's objective: .* mean 'feature'"):
            _ = GeneratorKit.load(small).inverter

    def test_unknown_optimizer_in_the_card(self, small):
        update_card("inverter", {"optimizer": {"name": "adamw", "lr": 0.1}}, small)
        with pytest.raises(ValueError, match=r"optimizer of the card: .* mean 'adam'"):
            _ = GeneratorKit.load(small).inverter

    def test_lbfgs_in_the_card(self, small):
        update_card("inverter", {"optimizer": {"name": "lbfgs", "history": 7}}, small)
        assert GeneratorKit.load(small).inverter.optimizer == LBFGS(history=7)

    def test_part_made_with_another_generator(self, small):
        weights = load_file(small / "generator.safetensors")
        weights["mapping.fc0.bias"] += 1
        save_part(small, "generator.safetensors", weights, what="generator")
        kit = GeneratorKit.load(small)
        assert kit.generator is not None
        with pytest.raises(ValueError, match=r"'encoder.safetensors': expected the generator"):
            kit.encoder  # noqa: B018 (reading it raises)

    def test_part_that_is_not_there(self, small):
        with pytest.raises(
            FileNotFoundError, match=r"file 'samples.safetensors': .* not on the card"
        ):
            zoo_images(small, "val")

    def test_weights_of_another_architecture(self, small):
        update_card(
            "generator",
            {
                "config": json.loads(
                    json.dumps(
                        {
                            "resolution": 8,
                            "img_channels": 1,
                            "z_dim": 4,
                            "w_dim": 8,
                            "mapping_layers": 1,
                            "channels": {"4": 4, "8": 4},
                            "resample_filter": [1, 3, 3, 1],
                        }
                    )
                )
            },
            small,
        )
        with pytest.raises(ValueError, match=r"StyleGAN2 weights: .* has shape"):
            read_generator(small)


class Plain(nn.Module):
    def forward(self, z):
        return z.tanh().reshape(-1, 1, 4, 4)


def decode(z):
    return z.tanh().reshape(-1, 1, 4, 4)


def some_walks(generator: ToyGenerator) -> Walks:
    every = directions_of(generator.image_spec.channels)
    directions = torch.ones(len(every), *generator.latent_spec.shape) / 10
    return Walks(directions=directions, names=every)


def whole_toy() -> GeneratorKit:
    """A kit with every part that can be kept."""
    toy = ToyGenerator(num_classes=3)
    encoder = InversionEncoder(EncoderConfig.for_generator(toy, widths=(8,))).eval()
    feature = Feature(0.5, FeatureDistance(encoder.features))
    return GeneratorKit(
        toy,
        name="whole",
        inverter=Inverter(
            start=EncoderStart(encoder),
            objective=Objective((L1(0.3), feature, ToStart(0.1))),
            optimizer=Adam(lr=0.02),
            steps=7,
            smoothing=(0.1, 0.01),
        ),
        directions=PCAStatistics(torch.eye(4), torch.ones(4)),
        walks=some_walks(toy),
        class_means=torch.rand(3, 4, 4),
        scales={"isotropic": {"fine": (0.2, 0.4)}, "steer-zoom": {"all": (0.5,)}},
        card={"licence": {"weights": "MIT"}, "about": {"text": "analytic"}},
    )


class TestSaved:
    def test_everything_comes_back(self, tmp_path):
        kit = whole_toy()
        kit.save(tmp_path / "whole")
        again = GeneratorKit.load(tmp_path / "whole")
        assert again.name == "whole"
        assert repr(again.generator) == repr(kit.generator)
        assert describe(again.inverter) == describe(kit.inverter)
        assert [p.name for p in again.candidates] == [
            "isotropic_fine_0.20",
            "isotropic_fine_0.40",
            "steer-zoom_all_0.50",
        ]
        assert torch.equal(again.directions.components, torch.eye(4))
        assert torch.equal(again.class_means, kit.class_means)
        assert torch.equal(again.walks.directions, kit.walks.directions)
        assert again.card["licence"] == {"weights": "MIT"}
        assert again.card["about"] == {"text": "analytic"}
        again.save(tmp_path / "third")
        files = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
        assert files == {p.name: p.read_bytes() for p in (tmp_path / "third").iterdir()}

    def test_shipped_kit(self, shipped, tmp_path):
        shipped.save(tmp_path / "copy")
        again = load_generator(tmp_path / "copy")
        z = again.generator.sample(Rng(0).streams(range(2)))
        images = again.generator.synthesize(again.generator.map(z))
        assert torch.equal(images, shipped.generator.synthesize(shipped.generator.map(z)))
        assert describe(again.inverter) == describe(shipped.inverter)
        assert [p.name for p in again.candidates] == [p.name for p in shipped.candidates]
        assert again.walks is not None

    def test_function_by_its_name(self, tmp_path):
        GeneratorKit(CallableGenerator(decode, z_dim=16)).save(tmp_path / "mine")
        again = GeneratorKit.load(tmp_path / "mine")
        assert again.generator.function is decode
        assert not [path for path in (tmp_path / "mine").iterdir() if path.name != "card.json"]

    @pytest.mark.parametrize(
        ("generator", "message"),
        [
            (CallableGenerator(lambda z: decode(z), z_dim=16), "imported by its name"),
            (CallableGenerator(Plain(), z_dim=16), "imported by its name"),
            (z_space(ToyGenerator()), "imported by its name"),
        ],
    )
    def test_what_has_no_name_is_refused_and_leaves_nothing(self, generator, message, tmp_path):
        with pytest.raises(ValueError, match=message):
            GeneratorKit(generator).save(tmp_path / "mine")
        assert not (tmp_path / "mine").exists()

    @pytest.mark.parametrize(
        "inverter",
        [
            Inverter(objective=Objective((L1(smoothing=0.1),))),
            Inverter(start=EncoderStart(whole_toy().encoder, passes=2)),
        ],
        ids=["smoothed term", "two passes"],
    )
    def test_an_inverter_that_a_card_cannot_hold(self, inverter, tmp_path):
        with pytest.raises(ValueError, match="inverter on a card"):
            GeneratorKit(ToyGenerator(), inverter=inverter).save(tmp_path / "mine")

    def test_a_folder_with_a_kit_is_left_alone(self, tmp_path):
        whole_toy().save(tmp_path)
        before = (tmp_path / "card.json").read_bytes()
        with pytest.raises(ValueError, match=r"expected none yet, got a folder with a card.json"):
            GeneratorKit(ToyGenerator(seed=1)).save(tmp_path)
        assert (tmp_path / "card.json").read_bytes() == before


class TestPerturbations:
    def test_steered_views_of_the_kit_s_walks(self):
        kit = whole_toy()
        steer = kit.perturbation("steer-zoom_all_0.50")
        assert steer == Steer("all", kit.walks, 0.5, (("zoom", 1.0),))
        streams = Rng(0).streams(range(2))
        latents = kit.generator.map(kit.generator.sample(streams), torch.tensor([0, 1]))
        views = steer(kit.generator, latents, 3, streams)
        assert not torch.equal(views, latents[:, None].expand_as(views))

    def test_walks_of_another_latent_are_refused(self, shipped):
        """Those that ship act in z, before the mapping; an inverted latent is behind it."""
        with pytest.raises(ValueError, match=r"walks: expected shape \(J, 8, 64\)"):
            shipped.perturbation("steer_all_1.00")

    def test_directions_are_measured_when_they_are_asked_for(self):
        kit = GeneratorKit(ToyGenerator())
        assert kit.perturbation("pca_all_1.00").statistics is kit.directions
        assert kit.directions.components.shape == (4, 4)

    def test_moved_with_its_inverter(self):
        kit = whole_toy()
        assert kit.to("meta") is kit
        assert kit.generator.device.type == "meta"
        assert {p.device.type for p in kit.encoder.parameters()} == {"meta"}
