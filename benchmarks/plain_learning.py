"""The plain loop of contrastive learning: what the benchmark of learning compares with.

    8-bit pairs -> torchvision, one image at a time -> DataLoader -> encoder -> NT-Xent -> step

What one writes today with PyTorch and torchvision, and not carelessly: images lie in memory, so
that no file is decoded; a sample's two views travel as one tensor; the whole batch passes the
encoder at once; the loss is one cross-entropy. Nothing of ours but the encoder is used.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from genviews.augment.simclr import SimCLR
from genviews.generators.base import Generator
from genviews.represent.encoder import RepresentationEncoder

TEMPERATURE, BASE_TEMPERATURE = 0.1, 0.07
RATE, MOMENTUM, DECAY = 0.03, 0.9, 1e-4


def image_transform(views: SimCLR) -> transforms.Compose:
    """The transform of a grey PIL image to a tensor in [-1, 1], with the law of `views`."""
    jitter = transforms.ColorJitter(views.brightness, views.contrast)
    return transforms.Compose(
        [
            transforms.RandomResizedCrop(views.size, views.area, views.ratio),
            transforms.RandomHorizontalFlip(views.flip),
            transforms.RandomApply([jitter], views.jitter),
            transforms.ToTensor(),
            transforms.Normalize(0.5, 0.5),
        ]
    )


class Pairs(Dataset[Tensor]):
    """Anchor and neighbour of each sample, (2, 1, H, W), transformed anew at each visit.

    Args:
        pixels: (N, 2, H, W), 8 bits.
        transform: of one PIL image.
    """

    def __init__(self, pixels: np.ndarray, transform: transforms.Compose) -> None:
        self.pixels, self.transform = pixels, transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return torch.stack([self.transform(Image.fromarray(view)) for view in self.pixels[index]])


def load_pairs(pairs: Pairs, batch: int, workers: int) -> Iterator[Tensor]:
    """One epoch of (B, 2, 1, H, W) batches in random order; workers end with the iterator."""
    yield from DataLoader(
        pairs, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers
    )


def render_pairs(
    generator: Generator, transform: transforms.Compose, batch: int, *, std: float, chunk: int
) -> Iterator[Tensor]:
    """Endless (B, 2, 1, H, W) batches of new samples, each rendered when it is asked for.

    Args:
        generator: of grey images.
        transform: of one PIL image.
        batch: B.
        std: of the step in z from a sample to its neighbour, truncated at two deviations.
        chunk: images rendered at once.
    """
    while True:
        z = torch.randn(batch, generator.z_dim)
        step = nn.init.trunc_normal_(torch.empty_like(z), a=-2.0, b=2.0) * std
        pairs = torch.stack([z, z + step], dim=1).flatten(0, 1)
        with torch.no_grad():
            parts = [generator.synthesize(generator.map(part)) for part in pairs.split(chunk)]
        images = torch.cat(parts).clamp(-1, 1)
        pixels = ((images + 1) * 127.5).round().to(torch.uint8)[:, 0].numpy()
        views = torch.stack([transform(Image.fromarray(view)) for view in pixels])
        yield views.unflatten(0, (batch, 2))


def nt_xent(u: Tensor) -> Tensor:
    """The loss of (B, 2, P) projections of length 1: which other row is the view of my sample?"""
    rows = torch.cat([u[:, 0], u[:, 1]])
    logits = rows @ rows.T / TEMPERATURE
    logits.fill_diagonal_(-torch.inf)
    target = torch.arange(len(rows)).roll(len(u))
    return F.cross_entropy(logits, target) * (TEMPERATURE / BASE_TEMPERATURE)


class _TorchNorm(nn.BatchNorm2d):
    """torch's own batch norm, which our networks call as it is: `rectified_norm` knows its type."""


def layers_of_torch(encoder: RepresentationEncoder) -> RepresentationEncoder:
    """A copy with the same weights that norms, adds and rectifies by torch's operators."""
    encoder = copy.deepcopy(encoder)
    for module in encoder.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = _TorchNorm
    return encoder


def train(
    encoder: RepresentationEncoder,
    batches: Iterator[Tensor],
    steps: int,
    warmup: int,
    *,
    bfloat16: bool = False,
) -> tuple[RepresentationEncoder, dict[str, float]]:
    """Train a copy of the encoder by SGD, its rate falling as a cosine.

    Args:
        encoder: with its first weights.
        batches: (B, 2, C, H, W) views.
        steps: timed steps.
        warmup: steps before them, which are not timed.
        bfloat16: the encoder under torch's autocast.

    Returns:
        The copy, and seconds a step: "seconds" of all, "waiting" of these for `next(batches)`.
    """
    encoder, total = copy.deepcopy(encoder).train(), warmup + steps
    optimizer = torch.optim.SGD(
        encoder.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY
    )
    schedule: Any = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=total)
    began = waited = 0.0
    for step in range(total):
        asked = time.perf_counter()
        if step == warmup:
            began, waited = asked, 0.0
        views = next(batches)
        waited += time.perf_counter() - asked
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            u = encoder.project(encoder(views.flatten(0, 1))).unflatten(0, views.shape[:2])
        optimizer.zero_grad()
        loss = nt_xent(u)
        loss.backward()
        optimizer.step()
        schedule.step()
    spent = time.perf_counter() - began
    return encoder, {"seconds": spent / steps, "waiting": waited / steps}
