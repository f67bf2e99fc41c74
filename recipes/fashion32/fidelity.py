"""How good the generators of fashion32 are: FID, KID, precision and recall, beside what they teach.

Claim: none of a paper; `learn` says what each generator teaches, this how close its images are.
Command: python -m recipes.fashion32.fidelity
Time: two minutes on a core.
Split: the 5,000 `val` images against 5,000 samples; as a floor against 5,000 images of `train`. The
features are the classifier's last block, averaged over space: the figures compare generators
with each other, not with FIDs of Inception features.
Writes: results/fashion32/fidelity.json.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from genviews import load_classifier, load_generator, load_images
from genviews.environment import environment
from genviews.evaluate.extractor import FeatureExtractor, extract_features
from genviews.evaluate.fidelity import GeneratedSource, measure_fidelity
from genviews.files import write_json
from genviews.studies.blocks import Column, Table
from genviews.studies.result import Record, Result
from recipes.recipe import run

RESULT = Path("results/fashion32/fidelity.json")
GENERATORS = ("fashion32", "fashion32-classes")
COUNT, SEED = 5_000, 0
FEATURES = "classifier, last block, averaged"


def last_block() -> FeatureExtractor:
    """The features that fidelity is measured in: the classifier's last block, averaged."""
    classifier = load_classifier("fashion32").module

    def averaged(images: Tensor) -> Tensor:
        # The entry's module is a SmallResNet, typed as any module.
        maps: Tensor = classifier.features(images)[-1]  # type: ignore[operator]
        return maps.mean((2, 3))

    return FeatureExtractor(averaged)


@torch.no_grad()
def main(*, quick: bool = False) -> Result:
    """Measure; `quick` takes the few images that ship, and writes nothing."""
    extract, count = last_block(), 200 if quick else COUNT
    words = ("sample/val", "sample/test") if quick else ("val", "train")
    spec = load_classifier("fashion32").image_spec
    val, other = (load_images(f"fashion32/{word}", spec).load().images for word in words)
    real, features = extract(val[:count]), {}
    for name in GENERATORS:
        made = GeneratedSource(load_generator(name).generator, count, seed=SEED)
        features[name] = extract_features(extract, made).h
    features["images of train"] = extract(other[:count])
    measured = {name: measure_fidelity(real, h, seed=SEED) for name, h in features.items()}
    table = Table(
        title="Fidelity",
        columns=(
            Column(name="samples of", priority=0),
            Column(name="FID", kind="number", digits=2, priority=0),
            Column(name="KID", kind="number", digits=4),
            Column(name="precision", kind="percent"),
            Column(name="recall", kind="percent"),
        ),
        rows=tuple((name, s.fid, s.kid, s.precision, s.recall) for name, s in measured.items()),
        caption=f"{count:,} samples against as many images of `val`; features: {FEATURES}. "
        "Not to be compared with FIDs of Inception features.",
    )
    config = {"count": count, "split": "val", "features": FEATURES, "environment": environment()}
    result = Result(
        title="How good the generators are",
        verdict="; ".join(f"{name}: FID {s.fid:.2f}" for name, s in measured.items()) + ".",
        blocks=(table,),
        record=Record(
            command="python -m recipes.fashion32.fidelity",
            seed=SEED,
            config=config,
            data={name: asdict(score) for name, score in measured.items()},
        ),
    )
    if not quick:
        write_json(RESULT, result.to_json())
    return result


if __name__ == "__main__":
    run(main)
