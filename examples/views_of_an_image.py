"""Invert real images and save a grid: image, reconstruction, and views of each perturbation.

Run: python examples/views_of_an_image.py views.png
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch
from torchvision.utils import save_image

from genviews import Rng, invert, load_generator, load_images, render

NAMES = ("isotropic_fine_0.20", "pca_fine_1.00", "stylemix_fine", "stylemix_coarse_0.30")


def main(path: Path = Path("views.png"), images: int = 6, steps: int = 60) -> torch.Tensor:
    """Write the grid, return its rows (images, 1 + 1 + 2 x perturbations, C, H, W)."""
    kit = load_generator("fashion32")
    source = load_images("fashion32/sample/test", kit.generator.image_spec)
    samples = source.select(range(images)).load()
    inversion = invert(kit.generator, samples.images, inverter=replace(kit.inverter, steps=steps))
    columns = [samples.images[:, None], inversion.reconstructions[:, None]]
    for name in NAMES:
        chosen = kit.perturbation(name)
        streams = Rng(0).streams(samples.ids)
        views = chosen(kit.generator, inversion.latents, 2, streams)
        columns.append(render(kit.generator, views))
    rows = torch.cat(columns, dim=1)
    save_image(rows.flatten(0, 1), path, nrow=rows.shape[1], normalize=True, value_range=(-1, 1))
    print(f"{path}: image, reconstruction, then two views each of {', '.join(NAMES)}")
    return rows


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("views.png"))
