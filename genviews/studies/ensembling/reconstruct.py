"""How good the test inversions are, and what the classifier makes of the reconstructions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.bank import PredictionBank
from genviews.invert import InversionStore
from genviews.render import render
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
    found = bench.inversions("test")
    kept = found.columns("loss", "start_loss", "status")
    right = bank.get("reconstruction")[:, 0].argmax(-1) == bank.known_labels()
    return {
        "l1": _error(bench, found, bank.ids),
        "loss": _finite_mean(kept["loss"]),
        "start_loss": _finite_mean(kept["start_loss"]),
        "failed": float((kept["status"] == Status.FAILED).sum()),
        "accuracy_on_images": bank.accuracy(),
        "accuracy_on_reconstructions": float(right.double().mean()),
        **_encoder_error(bench, bank.ids),
    }


@torch.no_grad()
def _error(bench: Bench, found: InversionStore, ids: Sequence[str]) -> float:
    """Mean absolute pixel error of the reconstructions."""
    generator, errors = bench.kit.generator, []
    for rows, names, images in _parts(bench, ids):
        kept = {k: v.to(images.device) for k, v in found.select(rows, names).items()}
        made = render(
            generator, kept["latents"], label=kept.get("label"), batch_size=bench.batch_size
        )
        errors.append((made - images).abs().flatten(1).mean(1).cpu())
    return float(torch.cat(errors).double().mean())


@torch.no_grad()
def _encoder_error(bench: Bench, ids: Sequence[str]) -> dict[str, float]:
    """Mean absolute pixel error of the encoder's latents, before any optimisation."""
    generator, encoder, errors = bench.kit.generator, bench.kit.inverter.encoder, []
    if encoder is None:
        return {}
    for _, _, images in _parts(bench, ids):
        made = generator.synthesize(encoder(images, torch.ones_like(images[:, :1])))
        errors.append((made - images).abs().flatten(1).mean(1).cpu())
    return {"encoder_l1": float(torch.cat(errors).double().mean())}


def _parts(
    bench: Bench, ids: Sequence[str]
) -> Iterator[tuple[list[int], Sequence[str], Float[Tensor, "n C H W"]]]:
    """Rows, ids and pixels of some test images at a time, on the generator's device."""
    source = bench.images("test")
    places = {name: row for row, name in enumerate(source.ids)}
    for start in range(0, len(ids), bench.batch_size):
        names = ids[start : start + bench.batch_size]
        rows = [places[name] for name in names]
        yield rows, names, source.read(rows).images.to(bench.kit.generator.device)


def _finite_mean(values: Float[Tensor, " N"]) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.double().mean()) if len(finite) else 0.0
