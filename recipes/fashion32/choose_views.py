"""Measure which rows and strengths of fashion32 keep the class of an image; fill in the card.

Claim: coarse rows decide the class, fine rows do not (Chai et al. 2021, Sec. 3.3, for faces).
Command: python -m recipes.fashion32.choose_views
Time: about 4 minutes on one core.
Split: latents and predictions of 300 `val` images (every 16th); no label is read: a view keeps the
class when the standard classifier gives it the class of the reconstruction.
Writes: genviews/zoo/fashion32/pca.safetensors, `ranges` and `perturbations` on the card,
results/fashion32/choose_views.json.

Rules. `fine` is the longest run of last rows whose full style-mix keeps the class of at least 85 %
of the views (at 90 %, the first threshold tried, row 7 alone remains, and a view could change no
more than the overall tone); `coarse` is the rows of the 4x4 and 8x8 layers, or what lies before
`fine` if that is shorter; `middle` is what lies between. The strengths of a kind are those of a
grid whose share of kept classes lies nearest to 98, 95 and 90 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from genviews import load_classifier, load_generator
from genviews.classify.model import predict_logits
from genviews.data.fashion import fashion_mnist
from genviews.invert.optimize import invert
from genviews.perturb.base import Perturbation
from genviews.perturb.noise import Isotropic
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import StyleMix
from genviews.render import render
from genviews.rng import Rng
from genviews.zoo.card import ENTRIES, record_file, update_card
from recipes.recipe import finish, run

ENTRY = ENTRIES / "fashion32"
RESULT = Path("results/fashion32/choose_views.json")
KEEP_FINE = 0.85
LAST_COARSE_ROW = 3
TARGETS = (0.98, 0.95, 0.9)
VIEWS = 4
GRIDS: Mapping[str, Sequence[float]] = {
    "isotropic": (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0),
    "pca": (0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0),
    "stylemix": (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0),
}


def make(kind: str, layers: range, strength: float, pca: PCAStatistics) -> Perturbation:
    """A perturbation of the grid."""
    if kind == "isotropic":
        return Isotropic(layers, strength)
    return PCA(layers, strength, pca) if kind == "pca" else StyleMix(layers, strength)


def nearest(shares: Mapping[float, float]) -> list[float]:
    """The strengths whose shares lie nearest to the targets, each once, the mildest first."""
    chosen = {min(shares, key=lambda s: (abs(shares[s] - target), s)) for target in TARGETS}
    return sorted(chosen)


def main(*, quick: bool = False) -> dict[str, object]:
    """Measure, choose and write; `quick` takes 3 images, ends of the grids, and writes nothing."""
    kit = load_generator("fashion32")
    generator, classifier = kit.generator, load_classifier("fashion32")
    pca = PCAStatistics.measure(generator, 200 if quick else 100_000)
    images = fashion_mnist("val").select(list(range(0, 48 if quick else 4800, 16)))
    inverter = replace(kit.inverter, steps=0) if quick else kit.inverter
    latents = invert(generator, images.images, inverter=inverter).latents
    own = predict_logits(classifier, render(generator, latents)).argmax(-1)
    rows = generator.latent_spec.num_layers

    def share(kind: str, layers: tuple[int, int], strength: float) -> float:
        """Share of views with the reconstruction's predicted class."""
        chosen = make(kind, range(*layers), strength, pca)
        views = chosen(generator, latents, VIEWS, Rng(0).streams(images.ids))
        said = predict_logits(classifier, render(generator, views).flatten(0, 1)).argmax(-1)
        value = float((said.unflatten(0, (-1, VIEWS)) == own[:, None]).float().mean())
        print(f"{chosen.name}: {value:.3f}", flush=True)
        return value

    single = {row: share("stylemix", (row, row + 1), 1.0) for row in range(rows)}
    suffix = {first: share("stylemix", (first, rows), 1.0) for first in range(rows)}
    first_fine = min((f for f in suffix if suffix[f] >= KEEP_FINE), default=rows - 1)
    coarse = (0, min(LAST_COARSE_ROW, first_fine))
    ranges = {"coarse": coarse, "middle": (coarse[1], first_fine), "fine": (first_fine, rows)}
    ranges = {name: (start, stop) for name, (start, stop) in ranges.items() if start < stop}
    shares = {
        kind: {
            name: {
                strength: share(kind, layers, strength) for strength in grid[:: 6 if quick else 1]
            }
            for name, layers in ranges.items()
            if name != "middle"  # the paper never perturbs it
        }
        for kind, grid in GRIDS.items()
    }
    chosen = {
        kind: {name: nearest(values) for name, values in found.items()}
        for kind, found in shares.items()
    }
    if not quick:
        pca.save(ENTRY / "pca.safetensors")
        made_with = ("generator.safetensors",)
        record_file(ENTRY, "pca.safetensors", what="principal directions of w", made_with=made_with)
        update_card("ranges", {name: list(rows) for name, rows in ranges.items()}, ENTRY)
        update_card("perturbations", chosen, ENTRY)
    found = {
        "seed": 0,
        "images": len(images),
        "views": VIEWS,
        "kept_by_style_mixing_one_row": single,
        "kept_by_style_mixing_the_last_rows_from": suffix,
        "ranges": ranges,
        "kept": shares,
        "perturbations": chosen,
    }
    return finish("choose_views", found, None if quick else RESULT)


if __name__ == "__main__":
    run(main)
