"""Any function z -> images as a generator, and any module as a classifier; no layers needed.

Run: python examples/any_generator.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genviews import CallableGenerator, Classifier, GenerativeTTA, Inverter, Isotropic


def blobs(z: Tensor) -> Tensor:
    """A toy generator: 16x16 grey blobs whose place and width are the numbers of z."""
    axis = torch.linspace(-1, 1, 16, device=z.device, dtype=z.dtype)
    x, y = z[:, 0, None, None].tanh(), z[:, 1, None, None].tanh()
    width = 0.1 + 0.4 * z[:, 2, None, None].sigmoid()
    squared = (axis[None, None] - x) ** 2 + (axis[None, :, None] - y) ** 2
    return (2 * torch.exp(-squared / width) - 1)[:, None]


def main(images: int = 64) -> float:
    """Classify blobs by the half that they lie in; return the accuracy on fresh ones."""
    generator = CallableGenerator(blobs, z_dim=3)
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(2 * images, 3, generator=rng)
    data, labels = blobs(z), (z[:, 0] > 0).long()
    network = nn.Sequential(nn.Flatten(), nn.Linear(256, 2))
    with torch.no_grad():
        weight = torch.linspace(-1, 1, 16).repeat(16)
        network[1].weight.copy_(torch.stack([-weight, weight]))
        network[1].bias.zero_()
    classifier = Classifier(network, generator.image_spec, ("left", "right"))
    tta = GenerativeTTA(
        classifier,
        generator,
        inverter=Inverter(steps=60),
        perturbation=Isotropic("all", 0.1),
        num_views=8,
    )
    tta.fit(data[:images], labels[:images])
    accuracy = float((tta.predict(data[images:]) == labels[images:]).float().mean())
    print(f"weight of the views {tta.ensemble_.alpha_:.2f}, accuracy {accuracy:.2f}")
    return accuracy


if __name__ == "__main__":
    main()
