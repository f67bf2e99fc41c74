"""How good the test inversions are, and what the classifier makes of the reconstructions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.ensemble.bank import PredictionBank
from genviews.invert.job import InversionStore
from genviews.invert.objective import L1, Objective, Term
from genviews.render import render
from genviews.studies.bench import Bench
from genviews.types import Status

__all__ = ["distances", "measure_reconstructions", "stored"]

Draw = Callable[[Sequence[int], Sequence[str], Float[Tensor, "n C H W"]], Float[Tensor, "n C H W"]]
"""(rows of the source, ids, images) -> what is compared with the images."""


@torch.no_grad()
def distances(
    bench: Bench, ids: Sequence[str], draw: Draw, terms: Sequence[Term]
) -> dict[str, float]:
    """Mean distances of some test images to what is drawn of them, by the names of the terms."""
    source, generator, objective = (
        bench.images("test"),
        bench.kit.generator,
        Objective(tuple(terms)),
    )
    every = source.rows_of(ids)
    parts = []
    for start in range(0, len(ids), bench.batch_size):
        names = ids[start : start + bench.batch_size]
        rows = every[start : start + bench.batch_size]
        images = source.read(rows).images.to(generator.device)
        anywhere = generator.mean_latent().expand(len(rows), -1, -1)  # no term looks at latents
        target = objective.target(images, torch.ones_like(images[:, :1]), anywhere)
        found = objective.parts(target, draw(rows, names, images), anywhere)
        parts.append({name: values.cpu() for name, values in found.items()})
    return {name: float(torch.cat([p[name] for p in parts]).double().mean()) for name in parts[0]}


def stored(bench: Bench, store: InversionStore, snapshot: int | None = None) -> Draw:
    """Draws the reconstructions of a store, or those of one of its snapshots."""

    def draw(rows: Sequence[int], ids: Sequence[str], images: Tensor) -> Tensor:
        kept = {name: value.to(images.device) for name, value in store.select(rows, ids).items()}
        latents = kept["latents"] if snapshot is None else kept["snapshots"][:, snapshot]
        label, size = kept.get("label"), bench.batch_size
        return render(bench.kit.generator, latents, label=label, batch_size=size)

    return draw


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
    found, kit = bench.inversions("test"), bench.kit
    kept = found.columns("loss", "start_loss", "status")
    measured = {
        **distances(bench, bank.ids, stored(bench, found), (L1(),)),
        "loss": _finite_mean(kept["loss"]),
        "start_loss": _finite_mean(kept["start_loss"]),
        "failed": float((kept["status"] == Status.FAILED).sum()),
        "accuracy_on_images": bank.accuracy(),
        "accuracy_on_reconstructions": float(bank.correct("reconstruction").double().mean()),
    }
    encoder = kit.inverter.encoder
    if encoder is not None:

        def encoded(rows: Sequence[int], ids: Sequence[str], images: Tensor) -> Tensor:
            return kit.generator.synthesize(encoder(images, torch.ones_like(images[:, :1])))

        measured["encoder_l1"] = distances(bench, bank.ids, encoded, (L1(),))["l1"]
    return measured


def _finite_mean(values: Float[Tensor, " N"]) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.double().mean()) if len(finite) else 0.0
