"""A conditional generator: it takes z and a class, and its classes have names.

A classifier with two of its five classes, in another order, is told which ones by their names. What
is rendered for an image is of the class that the classifier predicts.

Run: python examples/bring_your_own/conditional.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genviews import CallableGenerator, Classifier, GenerativeTTA, Inverter, Isotropic

CLASSES = ("bag", "coat", "dress", "shirt", "shoe")


class ConditionalGenerator(nn.Module):
    """z (N, 8) and class indices (N,) to pictures (N, 1, 8, 8): a bright row for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.classes = nn.Embedding(len(CLASSES), 8)
        with torch.no_grad():
            self.classes.weight.copy_(4 * torch.eye(len(CLASSES), 8))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Images in [-1, 1]."""
        rows = self.classes(label) + z - 1
        return rows.tanh()[:, None, :, None].expand(-1, 1, 8, 8)


def main() -> list[int]:
    """Classify a shoe and a bag; return what is predicted, 0 for shoes and 1 for bags."""
    generator = CallableGenerator(
        ConditionalGenerator(), z_dim=8, num_classes=len(CLASSES), class_names=CLASSES
    )
    network = nn.Sequential(nn.AvgPool2d((1, 8)), nn.Flatten(), nn.Linear(8, 2, bias=False))
    with torch.no_grad():
        network[2].weight.copy_(torch.eye(8)[[4, 0]])
    classifier = Classifier(network, generator.image_spec, ("shoe", "bag"))
    images = generator.synthesize(torch.zeros(2, 1, 8), torch.tensor([4, 0]))
    tta = GenerativeTTA(
        classifier,
        generator,
        inverter=Inverter(steps=10),
        perturbation=Isotropic("all", 0.1),
        num_views=4,
        alpha=0.5,
    )
    predicted: list[int] = tta.predict(images).tolist()
    names = [classifier.class_names[i] for i in predicted]
    print(*generator.notes, f"predicted: {', '.join(names)}", sep="\n")
    return predicted


if __name__ == "__main__":
    main()
