"""Off the CPU without a GPU: on a pretended device nothing mixes tensors of two devices."""

from __future__ import annotations

import pytest
import torch

from genviews import (
    CallableGenerator,
    Classifier,
    Inverter,
    Rng,
    StyleMix,
    ToyGenerator,
    invert,
)
from genviews.augment.geometry import HorizontalFlip
from genviews.evaluate.extractor import FeatureExtractor, extract_features
from genviews.evaluate.fidelity import GeneratedSource, measure_fidelity
from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.probe import KNNProbe
from genviews.evaluate.sgd import SGDConfig, SGDProbe
from genviews.evaluate.svm import MultiLabelSVM
from genviews.generators.callable import z_space
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.encoder_training import EncoderTraining, train_encoder
from genviews.invert.features import Feature, FeatureDistance, ReEncode
from genviews.invert.objective import L1, Objective
from genviews.invert.optimizer import Adam
from genviews.invert.start import EncoderStart, GivenStart, MeanStart, Starts
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.pipeline import GenerativeTTA
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses import OBJECTIVES, choose_objective
from genviews.represent.plan import SamplePlan
from genviews.represent.schedule import StepCosine
from genviews.represent.stream import StreamedBatches
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews
from genviews.robustness.corruption import KINDS as CORRUPTIONS
from genviews.robustness.corruption import shift_streams
from genviews.robustness.restore import KINDS, RESTORATIONS, restoration
from genviews.studies.base import run_study
from genviews.studies.bench import Bench
from genviews.studies.learning.row import LearningRow
from genviews.studies.learning.study import compare_rows
from genviews.studies.learning.voc import SVMJudge
from genviews.studies.registry import STUDIES
from genviews.testing.studies import toy_inputs
from tests.devkit import write_split
from tests.pretended_device import pretended_device
from tests.studies.learning.small import small

IMAGES = ToyGenerator().synthesize(torch.randn(6, 4, 4, generator=Rng(0).torch()))
LABELS = (IMAGES.mean((1, 2, 3)) > 0).long()
MASKS = torch.ones(6, 1, 8, 8)
MASKS[:, :, :2] = 0


def encoder():
    config = EncoderConfig(
        image_channels=1, size=8, num_layers=4, dim=4, widths=(8,), blocks=(1,), neck=8
    )
    return InversionEncoder(config).eval()


def with_networks():
    """An inverter with a network in its start and in two terms."""
    network = encoder()
    start = Starts((EncoderStart(network), MeanStart(), GivenStart(torch.zeros(6, 4, 4))))
    terms = (L1(), Feature(1.0, FeatureDistance(network.features)), ReEncode(0.5, network))
    return Inverter(start=start, steps=2, optimizer=Adam(), objective=Objective(terms))


class TestTheTool:
    def test_refuses_what_a_gpu_refuses(self):
        with pretended_device() as device:
            here, there = torch.ones(3), torch.ones(3, device=device)
            assert (here.device.type, there.device) == ("cpu", device)
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                here + there
            with pytest.raises(RuntimeError, match="expected all tensors on one device"):
                here[there.long()]
            with pytest.raises(TypeError, match="numpy"):
                there.numpy()
            with pytest.raises(RuntimeError, match="rand: a generator of the CPU draws for"):
                torch.rand(3, device=device, generator=torch.Generator(device="cpu"))

    def test_allows_what_a_gpu_allows(self):
        with pretended_device() as device:
            layer = torch.nn.Linear(3, 2).to(device)
            there = torch.ones(3).to(device)
            answer = layer(there * torch.tensor(2.0))[torch.tensor([1, 0])]
            answer.sum().backward()
            assert layer.weight.grad.device == device
            assert answer.cpu().device.type == "cpu"
            assert (answer.cpu() + torch.ones(2)).device.type == "cpu"

    def test_a_gradient_goes_back_to_where_its_tensor_is(self):
        with pretended_device() as device:
            leaf = torch.ones(3, requires_grad=True)
            (leaf.to(device) * torch.ones(3, device=device)).sum().backward()
            assert (leaf.grad + torch.ones(3)).device.type == "cpu"


class TestInvert:
    @pytest.mark.parametrize("made", [with_networks, lambda: Inverter(steps=2)])
    def test_images_masks_and_networks_follow_the_generator(self, made):
        plain = invert(ToyGenerator(), IMAGES, MASKS, inverter=made())
        torch.manual_seed(0)
        with pretended_device() as device:
            found = invert(ToyGenerator().to(device), IMAGES, MASKS, inverter=made())
            assert found.latents.device == found.reconstructions.device == device
        assert found.latents.shape == plain.latents.shape

    def test_images_take_the_type_of_the_generators_weights(self):
        network = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh())
        network.append(torch.nn.Unflatten(1, (1, 4, 4)))
        generator = CallableGenerator(network, z_dim=4).double()
        images = torch.rand(2, 1, 4, 4) - 0.5
        found = invert(generator, images, inverter=Inverter(steps=2))
        assert found.latents.dtype == found.reconstructions.dtype == torch.float64
        assert bool((found.loss < found.start_loss).all())


class TestShifts:
    """Where images are: draws come from the CPU, and torch's default device is asked nothing."""

    COLOUR = IMAGES[:3].expand(-1, 3, -1, -1) * torch.tensor([1.0, 0.8, 0.5])[:, None, None]

    def same_there(self, change):
        plain = change(self.COLOUR)
        with torch.device("meta"):
            assert torch.equal(change(self.COLOUR), plain)
        with pretended_device() as device:
            found = change(self.COLOUR.to(device))
            assert found.device == device
            torch.testing.assert_close(found.cpu(), plain)

    @pytest.mark.parametrize("kind", CORRUPTIONS)
    def test_corruptions(self, kind):
        made, streams = CORRUPTIONS[kind](3), shift_streams(0, range(3))
        self.same_there(lambda images: made(images, streams))

    @pytest.mark.parametrize("kind", sorted(set(KINDS) - {"nlm"}))
    def test_restorations(self, kind):
        name = next(name for name in RESTORATIONS if name.startswith(kind))
        self.same_there(restoration(name))


class TestGenerativeTTA:
    @pytest.mark.parametrize("made", [with_networks, lambda: Inverter(steps=2)])
    def test_runs_whole(self, made):
        toy = ToyGenerator()
        network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
        classifier = Classifier(network, toy.image_spec, ("dark", "bright"))
        tta = GenerativeTTA(
            classifier,
            toy,
            inverter=made(),
            perturbation=StyleMix("fine"),
            pixel_views=HorizontalFlip(),
            num_views=3,
        )
        with pretended_device() as device:
            tta.to(device).fit(IMAGES, LABELS)
            assert tta.predict_proba(IMAGES).shape == (6, 2)


class TestLearning:
    """Batches are made ahead by a thread, as they are on a GPU."""

    @pytest.mark.parametrize(
        ("name", "default"),
        [*((name, False) for name in OBJECTIVES), ("nt-xent", True), ("classifier", True)],
    )
    def test_train_representation(self, name, default, tmp_path):
        config = RepresentationTraining(
            schedule=StepCosine(steps=4), log_every=1, monitor_every=2, checkpoint_every=2
        )
        with pretended_device() as device, torch.device(device if default else "cpu"):
            toy = ToyGenerator(num_classes=3).to(device)
            objective, head = choose_objective(name, z_dim=toy.z_dim, num_classes=3)
            encoder = RepresentationEncoder(RepresentationConfig(channels=1, **head)).to(device)
            positives = 3 if name == "multi-positive" else 1
            one = None if OBJECTIVES[name].single_view else StyleMix("fine")
            views = LatentViews(toy, one, positives=positives)
            batches = StreamedBatches(views, SamplePlan(batch_size=4), reuse=2, buffer=2)
            trained = train_representation(
                encoder, batches, objective, config, checkpoint=tmp_path / "c.pt"
            )
            batches.close()
        assert [record.step for record in trained.history] == [1, 2, 3, 4]

    @pytest.mark.parametrize("stored", [True, False])
    def test_rows_of_a_table_and_their_judges(self, stored, tmp_path):
        of = {"data": "mixed", "share": 0.5, "views": "gaussian_all_0.20", "pixels": True}
        rows = [LearningRow(name="mixed", **of)]
        for start, split in ((0, "train"), (100, "val")):
            write_split(tmp_path / "VOC2007", split, 8, start, names=("a", "b"))
        svm = MultiLabelSVM((0.1,), folds=2)
        judge = SVMJudge(path=tmp_path, size=16, svm=svm, class_names=("a", "b"))
        with pretended_device() as device:
            setting = small(
                generator=ToyGenerator().to(device), prefetch=2, updates=2, stored=stored
            )
            found = compare_rows("toy", rows, setting, [0], tmp_path, judges=[judge])
        assert [row.name for row in found.rows] == ["mixed"]
        assert set(found.facts["floor"]["untrained"]) == {"linear", "knn", "voc"}

    @pytest.mark.parametrize("default", [False, True])
    def test_inversion_encoders_and_walks(self, default):
        with pretended_device() as device, torch.device(device if default else "cpu"):
            toy = ToyGenerator(num_classes=3).to(device)
            found = train_encoder(toy, encoder().config, EncoderTraining(steps=1, batch=4))
            assert found(toy.images_of(toy.mean_latent()[None])).device == device
            assert train_walks(ToyGenerator().to(device), SteerTraining(samples=4, batch=4))

    def test_how_close_images_are(self):
        with pretended_device() as device:
            extractor = FeatureExtractor(torch.nn.Flatten())
            toy = ToyGenerator().to(device)
            real, made = (
                extract_features(extractor, GeneratedSource(toy, 20, seed=seed)).h.to(device)
                for seed in (0, 1)
            )
            assert measure_fidelity(real, made, neighbours=3, subsets=2, subset_size=10).fid > 0

    def test_features_stay_where_they_are_whatever_the_default(self):
        h = torch.randn(60, 6, generator=Rng(0).torch())
        labels = torch.arange(60) % 3
        columns = torch.where(h[:, :2] > 0, 1, -1)  # of VOC: there, or not
        probes = (LinearProbe((0.1,)), KNNProbe((5,)), SGDProbe(SGDConfig(epochs=1)))
        alone = [probe.fit(h, labels).predict(h) for probe in probes]
        with pretended_device() as device, torch.device(device):
            for probe, wanted in zip(probes, alone, strict=True):
                assert torch.equal(probe.fit(h, labels).predict(h), wanted)
            svm = MultiLabelSVM((0.1,), folds=2).fit(h, columns)
            assert svm.score(h, columns).mean > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_study(study, tmp_path):
    with pretended_device() as device:
        bench = Bench(toy_inputs().to(device), folder=tmp_path / "work", device=device)
        run_study(study, bench, study.options().quick(), tmp_path / "run", command="toy")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_networks_keep_their_type_whatever_the_generators_is(dtype):
    network = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh())
    network.append(torch.nn.Unflatten(1, (1, 8, 8)))
    generator = CallableGenerator(network.to(dtype), z_dim=4)
    batches = StreamedBatches(LatentViews(generator), SamplePlan(batch_size=4), prefetch=0)
    assert batches.batch(0)["views"].dtype == torch.float32  # as stored ones
    learnt = RepresentationEncoder(RepresentationConfig(channels=1)).eval()
    assert learnt(generator.images_of(generator.mean_latent()[None])).dtype == torch.float32
    assert learnt.double()(torch.zeros(1, 1, 8, 8)).dtype == torch.float64
    shape = EncoderConfig(
        image_channels=1, size=8, num_layers=1, dim=4, widths=(8,), blocks=(1,), neck=8
    )
    inverting = train_encoder(generator, shape, EncoderTraining(steps=1, batch=4))
    assert {value.dtype for value in inverting.parameters()} == {torch.float32}


def test_a_generator_is_where_most_of_it_is():
    with pretended_device() as device:
        toy = ToyGenerator(num_classes=2).to(device)
        outer = z_space(toy)  # with numbers of its own, which were made on the CPU
        assert outer.device == device
        latents = outer.map(outer.sample(Rng(0).streams([0])), torch.zeros(1, device=device).long())
        assert outer.synthesize(latents, torch.zeros(1, device=device).long()).device == device
