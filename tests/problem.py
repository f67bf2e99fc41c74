"""A noisy toy task, with classifiers that make mistakes which generated views put right."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn

from genviews.classify.model import Classifier
from genviews.data.images import ImageSet
from genviews.generators.toy import ToyGenerator
from genviews.rng import Rng
from genviews.types import Inversion


@dataclass(frozen=True)
class Problem:
    """Noisy images of a toy generator, their inversions and two classifiers to be helped."""

    generator: ToyGenerator
    calibration: ImageSet
    test: ImageSet
    calibration_inversion: Inversion
    test_inversion: Inversion
    classifier: Classifier
    other: Classifier


def invert_exactly(generator: ToyGenerator, images: Tensor) -> Inversion:
    latents = generator.invert(images)
    reconstructions = generator.synthesize(latents)
    loss = (reconstructions - images).abs().mean((1, 2, 3))
    zeros = torch.zeros(len(images), dtype=torch.long)
    return Inversion(
        latents=latents,
        reconstructions=reconstructions,
        loss=loss,
        start_loss=loss + 1,
        status=zeros,
        steps=zeros,
        evaluations=zeros,
    )


def distracted_classifier(
    generator: ToyGenerator, images: Tensor, labels: Tensor, names: tuple[str, ...], seed: int
) -> Classifier:
    """Least squares, plus a strong interest in the fine rows, which say nothing of the class."""
    flat = torch.cat([images.flatten(1), torch.ones(len(images), 1)], 1)
    targets = nn.functional.one_hot(labels, len(names)).float() * 2 - 1
    ridge = flat.T @ flat + 5 * torch.eye(flat.shape[1])
    *weight, bias = torch.linalg.solve(ridge, flat.T @ targets)
    true = torch.stack(weight, 1)
    random = torch.Generator().manual_seed(seed)
    fine = nn.functional.normalize(generator._basis[8:].float(), dim=1)  # waves of rows 2 and 3
    false = torch.randn(len(names), len(fine), generator=random) @ fine
    linear = nn.Linear(flat.shape[1] - 1, len(names))
    with torch.no_grad():
        linear.weight.copy_(3 * (true + 12 * false * true.norm() / false.norm()))
        linear.bias.copy_(3 * bias)
    return Classifier(nn.Sequential(nn.Flatten(), linear), generator.image_spec, names)


@cache
def toy_problem() -> Problem:
    """The problem, made once."""
    generator = ToyGenerator()
    names = ("up", "down")
    ids = [f"toy-{i}" for i in range(220)]
    latents = generator.map(generator.sample(Rng(0).streams(ids)))
    labels = generator.classes(latents)
    noise = torch.randn(220, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    images = (generator.synthesize(latents) + 0.1 * noise).clamp(-1, 1)
    everything = ImageSet(images=images, ids=tuple(ids), labels=labels, class_names=names)
    train, calibration, test = (
        everything.select(slice(a, b)) for a, b in ((0, 40), (40, 100), (100, 220))
    )
    return Problem(
        generator=generator,
        calibration=calibration,
        test=test,
        calibration_inversion=invert_exactly(generator, calibration.images),
        test_inversion=invert_exactly(generator, test.images),
        classifier=distracted_classifier(generator, train.images, train.labels, names, 1),
        other=distracted_classifier(generator, train.images, train.labels, names, 2),
    )
