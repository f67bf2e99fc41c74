"""Invert half-hidden images with an objective of your own, into a store that survives a kill.

Run: python examples/invert_images.py        (a few seconds on a CPU)
"""

from __future__ import annotations

import tempfile

import torch

from genviews import load_classifier, load_generator, load_images
from genviews.data.source import MemorySource
from genviews.invert.features import Predictions
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.objective import L1, L2, Objective
from genviews.invert.start import MeanStart, Starts


def main(images: int = 16, steps: int = 40) -> float:
    """Return the mean absolute error over the hidden pixels, which the loss never saw."""
    kit = load_generator("fashion32")
    source = load_images("fashion32/sample/test", kit.generator.image_spec)
    chosen = source.select(range(images)).load()
    known = torch.ones(images, 1, 32, 32)
    known[:, :, :, 20:] = 0.0  # the right third is unknown
    inverter = Inverter(
        # From both starts; the better result of each image is kept.
        start=Starts((kit.inverter.start, MeanStart())),
        # Pixels, and what the classifier says: a term is a few lines: genviews.invert.objective.
        objective=Objective((L1(), L2(), Predictions(0.1, load_classifier("fashion32")))),
        steps=steps,
    )
    with tempfile.TemporaryDirectory() as folder:
        source = MemorySource(chosen, masks=known)
        store = invert_source(source, kit.generator, inverter, folder, shard_size=8)
        found = store.inversion(kit.generator)
        print(store.summary()["status"])
    error = (found.reconstructions - chosen.images).abs()
    hidden = float((error * (1 - known)).sum() / (1 - known).sum())
    seen = float((error * known).sum() / known.sum())
    print(f"mean absolute error {seen:.3f} where known, {hidden:.3f} where hidden")
    return hidden


if __name__ == "__main__":
    main()
