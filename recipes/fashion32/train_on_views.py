"""Train classifiers on views of the 1,200 labelled images (Eq. 8), and ship the best of each kind.

Claim: a classifier that has seen reconstructions or perturbed views gains more from the ensemble
(Chai et al. 2021, Sec. 4.2-4.3 and Fig. 8 and 16).
Command: python -m recipes.fashion32.train_on_views   (after invert.py and train_classifier.py)
Time: about 10 minutes on 2 cores; each finished classifier is kept, a re-run continues.
Split: trained on 1,200 `train` images and views of them; which one ships is chosen by accuracy on
`val` images; `test` (4,000) is only reported.
Writes: genviews/zoo/fashion32/classifier_{reconstructions,views}.safetensors,
results/fashion32/train_on_views.json.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from genviews import GeneratorKit, load_classifier, load_generator
from genviews.classify.config import TrainConfig, training_preset
from genviews.classify.model import predict_logits
from genviews.classify.network import SmallResNet
from genviews.classify.train import train_classifier
from genviews.classify.views import LatentViewSource
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.perturb.base import Perturbation
from genviews.types import Inversion
from genviews.zoo.card import ENTRIES, record_file
from recipes.fashion32.invert import read
from recipes.recipe import finish, folder_of, run

ENTRY = ENTRIES / "fashion32"
RESULT = Path("results/fashion32/train_on_views.json")
TUNING = {"epochs": 20, "learning_rate": 4e-4}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training: what it sees (None: reconstructions), where it starts, and its checkpoint."""

    perturbation: Perturbation | None
    fine_tuned: bool

    @property
    def row(self) -> dict[str, Any]:
        """What it is, for the record."""
        seen, start = self.perturbation, "images classifier" if self.fine_tuned else "scratch"
        name, kind = ("reconstructions",) * 2 if seen is None else (seen.name, "views")
        return {"name": name, "start": start, "kind": kind}

    @property
    def file(self) -> str:
        """Name of its checkpoint."""
        return f"{self.row['name']}{'_tuned' if self.fine_tuned else ''}.pt"


def plans(kit: GeneratorKit) -> list[Plan]:
    """Reconstructions, and the middle strength of fine style-mixing; from scratch and tuned."""
    mixes = [p for p in kit.candidates if p.name.startswith("stylemix_fine")]
    return [
        Plan(perturbation=seen, fine_tuned=tuned)
        for seen in (None, mixes[len(mixes) // 2])
        for tuned in (True, False)
    ]


def measure(module: nn.Module, images: ImageSet, inversion: Inversion) -> dict[str, Any]:
    """Accuracy on images and on their reconstructions."""
    assert images.labels is not None
    right = predict_logits(module, images.images).argmax(-1) == images.labels
    again = predict_logits(module, inversion.reconstructions).argmax(-1) == images.labels
    return {
        "images": float(right.float().mean()),
        "interval": accuracy_interval(int(right.sum()), len(right)),
        "reconstructions": float(again.float().mean()),
    }


def train(
    plan: Plan,
    kit: GeneratorKit,
    config: TrainConfig,
    seen: tuple[ImageSet, Inversion],
    checkpoint: Path,
) -> SmallResNet:
    """Train one classifier on images and views of them; continues from its checkpoint."""
    images, inversion = seen
    assert images.labels is not None
    source = LatentViewSource(
        kit.generator, inversion.latents, plan.perturbation, seed=config.seed, ids=images.ids
    )
    module = SmallResNet(seed=config.seed)
    if plan.fine_tuned:
        module.load_state_dict(load_classifier("fashion32").module.state_dict())
        config = replace(config, **TUNING)
    trained = train_classifier(
        module, images.images, images.labels, config, views=source, checkpoint=checkpoint
    )
    assert isinstance(trained.module, SmallResNet)
    return trained.module


def main(*, out: Path = Path("runs/fashion32/on_views")) -> dict[str, object]:
    """Train all, choose on val, ship and report."""
    place, kit = folder_of(out, quick=False), load_generator("fashion32")
    config = replace(training_preset("fashion32"), view_fraction=0.5)
    seen, splits = read("train"), {name: read(name) for name in ("val", "test")}
    rows, best = list[dict[str, Any]](), dict[str, tuple[float, str, SmallResNet]]()

    def add(row: dict[str, Any], module: nn.Module) -> dict[str, Any]:
        rows.append(row | {name: measure(module, *split) for name, split in splits.items()})
        print(rows[-1], flush=True)
        return rows[-1]

    add({"name": "images", "start": "scratch", "kind": "images"}, load_classifier("fashion32"))
    for plan in plans(kit):
        module = train(plan, kit, config, seen, place / plan.file)
        row = add(plan.row, module)
        score, known = row["val"]["images"], best.get(row["kind"])
        if known is None or score > known[0]:
            best[row["kind"]] = (score, f"{row['name']}, {row['start']}", module)
    for kind, (_, what, module) in best.items():
        file = f"classifier_{kind}.safetensors"
        module.save(ENTRY / file)
        record_file(ENTRY, file, what=f"classifier trained half on {what}")
    shipped = {kind: what for kind, (_, what, _) in best.items()}
    told = "; ".join(f"{kind}: {what}" for kind, what in shipped.items())
    found = {
        "config": {"training": {**asdict(config), "augment": repr(config.augment)}},
        "fine_tuning": TUNING,
        "seed": config.seed,
        "classifiers": rows,
        "shipped": shipped,
        "note": f"Shipped, by accuracy on val images: {told}.",
    }
    return finish("train_on_views", found, RESULT)


if __name__ == "__main__":
    run(main)
