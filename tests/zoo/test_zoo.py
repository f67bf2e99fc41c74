"""The embedded entry as it ships, and a small entry made here with every part."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from genviews import StyleGAN2, StyleGAN2Config, load_zoo
from genviews.classify.network import SmallResNet
from genviews.data import fashion_mnist, labelled_subset
from genviews.invert import (
    LBFGS,
    Adam,
    EncoderConfig,
    InversionEncoder,
    Objective,
    invert,
)
from genviews.perturb.pca import PCAStatistics
from genviews.rng import Rng
from genviews.zoo import ZooEntry, load, names
from genviews.zoo.card import record_file, save_part, start_card, update_card

REAL = Path("/usr/share/datasets/fashion-mnist")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def shipped():
    return load("fashion32")


class TestFashion32:
    def test_names(self):
        assert names() == ["fashion32", "fashion32-classes"]
        assert load_zoo is load
        with pytest.raises(ValueError, match=r"entry of the zoo: .* did you mean 'fashion32'"):
            load("fashion-32")

    def test_generator_makes_the_images_of_another_implementation(self, shipped):
        known = load_file(shipped.folder / "generator_check.safetensors")
        generator = shipped.generator
        images = generator.synthesize(generator.map(known["z"]))
        torch.testing.assert_close(images, known["image"], atol=1e-4, rtol=0)
        assert float(images.std()) > 0.1

    def test_classes_are_a_condition(self):
        """Each class has images of its own: the classifier, which never saw one, names most."""
        generator = load("fashion32-classes").generator
        known = load_file(load("fashion32-classes").folder / "generator_check.safetensors")
        images = generator.synthesize(generator.map(known["z"], torch.arange(4)))
        torch.testing.assert_close(images, known["image"], atol=1e-4, rtol=0)
        label = torch.arange(200) % 10
        z = generator.sample(Rng(1).streams(range(200)))
        with torch.no_grad():
            images = generator.synthesize(generator.map(z, label)).clamp(-1, 1)
            said = load("fashion32").classifier(images).argmax(-1)
        assert generator.num_classes == 10
        assert float((said == label).float().mean()) > 0.6

    def test_generator_is_frozen_and_its_ranges_are_those_of_the_card(self, shipped):
        generator = shipped.generator
        assert not generator.training
        assert not any(p.requires_grad for p in generator.parameters())
        assert generator is shipped.generator
        ranges = {r.name: [r.start, r.stop] for r in generator.latent_spec.ranges}
        assert ranges == shipped.card["ranges"]
        assert generator.image_spec == shipped.image_spec
        assert generator.latent_spec.shape == (8, 64)

    @pytest.mark.parametrize(("split", "per_class"), [("val", 50), ("test", 100)])
    def test_samples(self, shipped, split, per_class):
        images = shipped.samples(split)
        assert images.labels.bincount().tolist() == [per_class] * 10
        assert all(name.startswith(f"{split}-") for name in images.ids)
        assert list(images.ids) == sorted(images.ids)
        assert images.image_spec == shipped.image_spec
        assert images.class_names == shipped.class_names
        assert float(images.images[..., :2].max()) == -1
        assert float(images.images.max()) == 1

    @pytest.mark.skipif(not REAL.exists(), reason="the data set is not installed")
    def test_samples_are_the_first_of_each_class(self, shipped):
        whole = labelled_subset(fashion_mnist("val"), 50)
        assert shipped.samples("val").fingerprint() == whole.fingerprint()

    def test_unknown_split(self, shipped):
        unchecked = ZooEntry.samples.__wrapped__
        with pytest.raises(ValueError, match=r"split of the samples: expected one of test, val"):
            unchecked(shipped, "train")

    def test_each_part_can_be_made(self, shipped):
        """What the card says of inversion and perturbations fits the generator, encoder and PCA."""
        assert shipped.inverter().encoder.config.num_layers == 8
        assert len({p.name for p in shipped.perturbations()}) == len(shipped.perturbations()) > 0
        for classifier in shipped.classifiers().values():
            assert classifier.class_names == shipped.samples("val").class_names

    def test_every_file_is_on_the_card_and_right(self, shipped):
        files = {p.name for p in shipped.folder.iterdir()} - {"card.json"}
        assert files == set(shipped.card["files"])
        for name in files:
            shipped._file(name)
        assert (shipped.folder / "samples.safetensors").stat().st_size < 1.5 * MEGABYTE

    def test_card(self, shipped):
        assert shipped.card["licence"]["weights"] == "MIT"
        assert "MIT" in shipped.card["licence"]["data"]
        assert "no labels" in shipped.card["generator"]["training"]["data"]
        assert repr(shipped) == "ZooEntry('fashion32')"


@pytest.fixture
def small(tmp_path) -> Path:
    """An entry of 8x8 images with every part but samples."""
    config = StyleGAN2Config(
        resolution=8,
        img_channels=1,
        z_dim=4,
        w_dim=4,
        mapping_layers=1,
        channels={4: 4, 8: 4},
        resample_filter=(1.0, 3.0, 3.0, 1.0),
    )
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
        entry = ZooEntry(small)
        found = entry.classifiers()
        assert list(found) == ["images", "views"]
        for classifier in found.values():
            assert classifier.class_names == ("a", "b")
            assert not any(m.training for m in classifier.modules())
            assert not any(p.requires_grad for p in classifier.parameters())
        images = torch.rand(2, 1, 8, 8)
        assert torch.equal(found["images"](images), entry.classifier(images))
        assert not torch.equal(found["images"](images), found["views"](images))

    def test_perturbations_of_the_card(self, small):
        found = ZooEntry(small).perturbations()
        assert [p.name for p in found] == [
            "isotropic_fine_0.10",
            "isotropic_fine_0.20",
            "pca_coarse_1.00",
        ]
        assert torch.equal(found[2].statistics.components, ZooEntry(small).pca.components)

    def test_no_statistics_are_read_when_none_are_needed(self, small):
        (small / "pca.safetensors").unlink()
        card = json.loads((small / "card.json").read_text())
        del card["perturbations"]["pca"]
        (small / "card.json").write_text(json.dumps(card))
        assert len(ZooEntry(small).perturbations()) == 2

    def test_inverter_of_the_card(self, small):
        objective = {"l1": 0.5, "feature": 0.1}
        optimizer = {"name": "adam", "lr": 0.03, "betas": [0.7, 0.9]}
        update_card("inverter", {"steps": 3, "optimizer": optimizer, "objective": objective}, small)
        entry = ZooEntry(small)
        inverter = entry.inverter()
        terms = [(term.name, term.weight) for term in inverter.objective.terms]
        assert (inverter.steps, terms) == (3, [("l1", 0.5), ("feature", 0.1)])
        assert inverter.optimizer == Adam(lr=0.03, betas=(0.7, 0.9))
        assert inverter.encoder is entry.encoder
        images = entry.generator.synthesize(
            entry.generator.map(entry.generator.sample(Rng(0).streams(range(2))))
        )
        assert invert(entry.generator, images, inverter=inverter).latents.shape == (2, 4, 4)

    def test_inverter_without_settings(self, small):
        assert ZooEntry(small).inverter().objective == Objective()

    def test_unknown_term_in_the_card(self, small):
        update_card("inverter", {"objective": {"l1": 1.0, "featrue": 0.1}}, small)
        with pytest.raises(ValueError, match=r"term of the card's objective: .* mean 'feature'"):
            ZooEntry(small).inverter()

    def test_unknown_optimizer_in_the_card(self, small):
        update_card("inverter", {"optimizer": {"name": "adamw", "lr": 0.1}}, small)
        with pytest.raises(ValueError, match=r"optimizer of the card: .* mean 'adam'"):
            ZooEntry(small).inverter()

    def test_lbfgs_in_the_card(self, small):
        update_card("inverter", {"optimizer": {"name": "lbfgs", "history": 7}}, small)
        assert ZooEntry(small).inverter().optimizer == LBFGS(history=7)

    def test_part_made_with_another_generator(self, small):
        weights = load_file(small / "generator.safetensors")
        weights["mapping.fc0.bias"] += 1
        save_part(small, "generator.safetensors", weights, what="generator")
        entry = ZooEntry(small)
        assert entry.generator is not None
        with pytest.raises(ValueError, match=r"'encoder.safetensors': expected the generator"):
            entry.encoder  # noqa: B018 (reading it raises)

    def test_part_that_is_not_there(self, small):
        with pytest.raises(
            FileNotFoundError, match=r"file 'samples.safetensors': .* not on the card"
        ):
            ZooEntry(small).samples("val")

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
            ZooEntry(small).generator  # noqa: B018 (reading it raises)
