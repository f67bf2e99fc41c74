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

import argparse
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from genviews import GeneratorKit, load_classifier, load_generator
from genviews.classify import (
    LatentViewSource,
    SmallResNet,
    TrainConfig,
    predict_logits,
    train_classifier,
    training_preset,
)
from genviews.data.images import ImageSet
from genviews.ensemble.significance import accuracy_interval
from genviews.environment import environment
from genviews.files import write_json
from genviews.memory import keep_freed_memory
from genviews.perturb import Perturbation
from genviews.types import Inversion
from genviews.zoo.card import ENTRIES, record_file
from recipes.fashion32.invert import read

ENTRY = ENTRIES / "fashion32"
RESULT = Path("results/fashion32/train_on_views.json")
FINE_TUNING_EPOCHS, FINE_TUNING_RATE = 20, 4e-4
KINDS = ("stylemix",)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training: its name, the perturbation (None: reconstructions) and where it starts."""

    name: str
    kind: str
    perturbation: Perturbation | None
    fine_tuned: bool

    @property
    def file(self) -> str:
        """Name of its checkpoint."""
        return f"{self.name.replace(' ', '_')}{'_tuned' if self.fine_tuned else ''}.pt"


def plans(kit: GeneratorKit) -> list[Plan]:
    """Reconstructions, and the middle strength of fine style-mixing; from scratch and tuned."""
    found = [
        Plan(name="reconstructions", kind="reconstructions", perturbation=None, fine_tuned=t)
        for t in (True, False)
    ]
    for kind in KINDS:
        own = [p for p in kit.candidates if p.name.startswith(f"{kind}_fine")]
        middle = own[len(own) // 2]
        found += [
            Plan(name=middle.name, kind="views", perturbation=middle, fine_tuned=t)
            for t in (True, False)
        ]
    return found


def measure(module: nn.Module, images: ImageSet, inversion: Inversion) -> dict[str, object]:
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
    train_set: ImageSet,
    latents: Tensor,
    out: Path,
) -> SmallResNet:
    """Train one classifier; continues from its checkpoint."""
    assert train_set.labels is not None
    source = LatentViewSource(
        kit.generator, latents, plan.perturbation, seed=config.seed, ids=train_set.ids
    )
    module = SmallResNet(seed=config.seed)
    if plan.fine_tuned:
        module.load_state_dict(load_classifier("fashion32").module.state_dict())
        config = replace(config, epochs=FINE_TUNING_EPOCHS, learning_rate=FINE_TUNING_RATE)
    trained = train_classifier(
        module,
        train_set.images,
        train_set.labels,
        config,
        views=source,
        checkpoint=out / plan.file,
    )
    assert isinstance(trained.module, SmallResNet)
    return trained.module


def main(*, out: Path = Path("runs/fashion32/on_views")) -> dict[str, object]:
    """Train all, choose on val, ship and report."""
    out.mkdir(parents=True, exist_ok=True)
    kit = load_generator("fashion32")
    config = replace(training_preset("fashion32"), view_fraction=0.5)
    train_set, train_inversion = read("train")
    done = {}
    for plan in plans(kit):
        done[plan] = train(plan, kit, config, train_set, train_inversion.latents, out)
        print(f"trained: {plan.file}", flush=True)
    val, test = read("val"), read("test")
    rows: list[dict[str, object]] = [
        {
            "name": "images",
            "start": "scratch",
            "kind": "images",
            "val": measure(load_classifier("fashion32"), *val),
            "test": measure(load_classifier("fashion32"), *test),
        }
    ]
    best: dict[str, tuple[float, str, SmallResNet]] = {}
    for plan, classifier in done.items():
        start = "images classifier" if plan.fine_tuned else "scratch"
        on_val = measure(classifier, *val)
        row = {"name": plan.name, "start": start, "kind": plan.kind, "val": on_val}
        rows.append({**row, "test": measure(classifier, *test)})
        print(plan.name, start, on_val, flush=True)
        score = float(str(on_val["images"]))
        if plan.kind not in best or score > best[plan.kind][0]:
            best[plan.kind] = (score, f"{plan.name}, {start}", classifier)
    for kind, (_, what, classifier) in best.items():
        file = f"classifier_{kind}.safetensors"
        classifier.save(ENTRY / file)
        record_file(ENTRY, file, what=f"classifier trained half on {what}")
    shipped = {kind: what for kind, (_, what, _) in best.items()}
    result: dict[str, object] = {
        "recipe": "recipes.fashion32.train_on_views",
        "command": "python -m recipes.fashion32.train_on_views",
        "config": {"training": {**asdict(config), "augment": repr(config.augment)}},
        "fine_tuning": {"epochs": FINE_TUNING_EPOCHS, "learning_rate": FINE_TUNING_RATE},
        "seed": config.seed,
        "classifiers": rows,
        "shipped": shipped,
        "note": "Shipped, by accuracy on val images: "
        + "; ".join(f"{kind}: {what}" for kind, what in shipped.items())
        + ".",
        "environment": environment(),
    }
    write_json(RESULT, result)
    return result


if __name__ == "__main__":
    keep_freed_memory()
    argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None).parse_args()
    main()
