"""How good the test inversions are, and what the classifier makes of the reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genviews.ensemble.bank import PredictionBank
from genviews.invert.objective import L1, Objective, Term
from genviews.invert.store import InversionStore
from genviews.render import render
from genviews.studies.bench import Bench
from genviews.types import Status

__all__ = ["distances", "measure_reconstructions"]


@torch.no_grad()
def distances(
    bench: Bench,
    store: InversionStore,
    ids: Sequence[str],
    terms: Sequence[Term],
    *,
    encoder: nn.Module | None = None,
) -> dict[str, float]:
    """Mean distances of test images to their reconstructions, by the names of the terms.

    Unknown pixels, and images whose inversion failed, count for nothing; {} where each one failed.

    Args:
        bench: generator and images.
        store: the inversions of the test images.
        ids: of the images.
        terms: none that looks at latents.
        encoder: of images and masks; its latents take the place of those in the store.
    """
    source, generator, size = bench.images("test"), bench.kit.generator, bench.batch_size
    objective, parts = Objective(tuple(terms)), list[dict[str, Tensor]]()
    every = source.rows_of(ids)
    for start in range(0, len(ids), size):
        rows, names = every[start : start + size], ids[start : start + size]
        batch, kept = source.read(rows), store.select(rows, names)
        good = kept["status"] != Status.FAILED
        if not bool(good.any()):
            continue
        kept = {name: value[good].to(generator.device) for name, value in kept.items()}
        images = batch.images[good].to(generator.device)
        masks = torch.ones_like(images[:, :1])
        if batch.masks is not None:
            masks = batch.masks[good].to(images)
        latents = kept["latents"] if encoder is None else encoder(images, masks)
        rendered = render(generator, latents, label=kept.get("label"), batch_size=size)
        found = objective.parts(objective.target(images, masks, latents), rendered, latents)
        parts.append({name: values.double().cpu() for name, values in found.items()})
    names = [term.name for term in objective.active] if parts else []
    return {name: float(torch.cat([part[name] for part in parts]).mean()) for name in names}


def measure_reconstructions(bench: Bench, bank: PredictionBank) -> dict[str, float]:
    """Measure the inversions of the test images.

    Args:
        bench: generator, images and inversions.
        bank: predictions of one task on test.

    Returns:
        "l1", mean absolute pixel difference (images span -1 to 1), and "encoder_l1", that of the
        inversion encoder alone where there is one, see `distances`; "loss" and "start_loss", mean
        objective where it is finite; "failed", number of images without an inversion;
        "accuracy_on_images" and "accuracy_on_reconstructions". What no image has is left out.
    """
    found, encoder = bench.inversions("test"), bench.kit.inverter.encoder
    kept = found.columns("loss", "start_loss", "status")
    losses = {name: kept[name][kept[name].isfinite()] for name in ("loss", "start_loss")}
    measured = {
        **distances(bench, found, bank.ids, (L1(),)),
        **{name: float(loss.double().mean()) for name, loss in losses.items() if len(loss)},
        "failed": float((kept["status"] == Status.FAILED).sum()),
        "accuracy_on_images": bank.accuracy(),
        "accuracy_on_reconstructions": float(bank.correct("reconstruction").double().mean()),
    }
    if encoder is not None:
        alone = distances(bench, found, bank.ids, (L1(),), encoder=encoder)
        measured |= {f"encoder_{name}": value for name, value in alone.items()}
    return measured
