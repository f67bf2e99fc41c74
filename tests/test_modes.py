"""What needs gradients makes them, whatever mode the caller is in."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genviews import (
    CallableGenerator,
    Classifier,
    GenerativeTTA,
    Inverter,
    Rng,
    ToyGenerator,
    invert,
)
from genviews.classify.config import TrainConfig
from genviews.classify.train import train_classifier
from genviews.evaluate.detection import DetectionConfig, detection_optimizer, detection_step
from genviews.invert.encoder import EncoderConfig
from genviews.invert.encoder_training import EncoderTraining, train_encoder
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses.contrastive import NTXent
from genviews.represent.plan import SamplePlan
from genviews.represent.schedule import StepCosine
from genviews.represent.stream import StreamedBatches
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews


def network():
    layers = nn.Linear(4, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4))
    torch.manual_seed(0)
    return nn.Sequential(*layers)


def inversion():
    found = invert(CallableGenerator(network(), 4), torch.zeros(2, 1, 4, 4), inverter=Inverter())
    return found.loss.tolist()


def classifier():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    images, labels = torch.rand(6, 1, 4, 4), torch.tensor([0, 1] * 3)
    return train_classifier(net, images, labels, TrainConfig(epochs=1)).history[0].loss


def encoder_of_latents():
    toy = ToyGenerator()
    architecture = EncoderConfig(
        image_channels=1, size=8, num_layers=4, dim=4, widths=(8,), blocks=(1,), neck=8
    )
    seen = []
    config = EncoderTraining(steps=1, batch=2)
    train_encoder(toy, architecture, config, report=lambda step, losses: seen.append(losses))
    return seen[0]["pixel"]


def walks():
    config = SteerTraining(samples=8, batch=4, edits=("shiftx",))
    return train_walks(ToyGenerator(), config).directions.tolist()


def representation():
    torch.manual_seed(0)
    batches = StreamedBatches(LatentViews(ToyGenerator()), SamplePlan(batch_size=4), prefetch=0)
    config = RepresentationTraining(schedule=StepCosine(steps=1), log_every=1)
    made = RepresentationEncoder(RepresentationConfig(channels=1))
    return train_representation(made, batches, NTXent(), config).history[0].loss


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1)

    def forward(self, images, targets):
        return {"loss": F.mse_loss(self.layer(torch.stack(images)).mean(), targets[0]["boxes"])}


def detection():
    torch.manual_seed(0)
    detector, config = Detector(), DetectionConfig()
    optimizer = detection_optimizer(detector, config)
    images, targets = [torch.ones(3, 2, 2)], [{"boxes": torch.tensor(1.0)}]
    return detection_step(detector, optimizer, images, targets, step=0, config=config)


@pytest.mark.parametrize(
    "train", [inversion, classifier, encoder_of_latents, walks, representation]
)
def test_inference_mode_changes_nothing(train):
    wanted = train()
    with torch.inference_mode():
        assert train() == wanted
    with torch.no_grad():
        assert train() == wanted


def test_a_step_of_detection():
    wanted = detection()
    with torch.no_grad():
        assert detection() == wanted


def test_the_whole_arrow_fits_in_inference_mode_and_after_it():
    streams, layers = Rng(0).streams(range(4)), (nn.Flatten(), nn.Linear(64, 2))
    with torch.inference_mode():
        toy = ToyGenerator()
        images = toy.synthesize(toy.map(toy.sample(streams)))
        classifier = Classifier(nn.Sequential(*layers), toy.image_spec, ("dark", "bright"))
        tta = GenerativeTTA(classifier, toy, inverter=Inverter(steps=1), num_views=2)
        wanted = tta.fit(images, [0, 1, 0, 1]).predict_proba(images)
    assert torch.equal(tta.fit(images, [0, 1, 0, 1]).predict_proba(images), wanted)


def test_a_generator_and_encoder_made_in_inference_mode_invert():
    streams = Rng(0).streams(range(2))
    with torch.inference_mode():
        toy = ToyGenerator()
        images = toy.synthesize(toy.map(toy.sample(streams)))
        found = invert(toy, images, inverter=Inverter(steps=5))
    assert bool((found.loss < found.start_loss).all())
