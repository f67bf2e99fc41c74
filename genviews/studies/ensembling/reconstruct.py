"""How good the test inversions are, and what the classifier makes of the reconstructions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.bank import PredictionBank
from genviews.studies.bench import Bench
from genviews.types import Status

__all__ = ["measure_reconstructions"]


def measure_reconstructions(bench: Bench, bank: PredictionBank) -> dict[str, float]:
    """Measure the inversions of the test images.

    Args:
        bench: generator, images and inversions.
        bank: predictions of one task on test.

    Returns:
        "l1", mean absolute pixel difference (images span -1 to 1), and "encoder_l1", that of the
        inversion encoder alone where there is one; "loss" and "start_loss", mean objective where it
        is finite; "failed", number of images without an inversion; "accuracy_on_images" and
        "accuracy_on_reconstructions".
    """
    found, images = bench.inversions("test"), bench.images("test").images
    right = bank.get("reconstruction")[:, 0].argmax(-1) == bank.known_labels()
    measures = {
        "l1": float((found.reconstructions.to(images.device) - images).abs().mean()),
        "loss": _finite_mean(found.loss),
        "start_loss": _finite_mean(found.start_loss),
        "failed": float((found.status == Status.FAILED).sum()),
        "accuracy_on_images": bank.accuracy(),
        "accuracy_on_reconstructions": float(right.double().mean()),
    }
    if bench.kit.inverter.encoder is not None:
        measures["encoder_l1"] = _encoder_error(bench, images)
    return measures


@torch.no_grad()
def _encoder_error(bench: Bench, images: Tensor) -> float:
    """Mean absolute pixel error of the encoder's latents, before any optimisation."""
    generator, encoder, errors = bench.kit.generator, bench.kit.inverter.encoder, []
    assert encoder is not None
    for part in images.split(bench.batch_size):
        given = part.to(generator.device)
        found = encoder(given, torch.ones_like(given[:, :1]))
        errors.append((generator.synthesize(found) - given).abs().flatten(1).mean(1).cpu())
    return float(torch.cat(errors).double().mean())


def _finite_mean(values: Float[Tensor, " N"]) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.double().mean()) if len(finite) else 0.0
