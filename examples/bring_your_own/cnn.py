"""Somebody's small classifier: pictures in [-1, 1] to a logit for each class."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CNN(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, classes: int = 3, channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 8, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, 2, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.head = nn.Linear(256, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3)."""
        return self.head(self.features(images))


def load() -> CNN:
    """What --classifier cnn:load names; its weights come from --weights."""
    return CNN()


def train(images: Tensor, labels: Tensor, steps: int) -> CNN:
    """A CNN that was trained on pictures for some steps."""
    torch.manual_seed(0)
    module = CNN(int(labels.max()) + 1, images.shape[1])
    adam = torch.optim.Adam(module.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = torch.randint(len(images), (64,))
        loss = nn.functional.cross_entropy(module(images[rows]), labels[rows])
        adam.zero_grad()
        loss.backward()
        adam.step()
    return module.eval()
