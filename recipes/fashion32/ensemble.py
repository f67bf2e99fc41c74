"""The main result: do generated views help a classifier of clothes, how much, how surely?

Claim: Chai et al. 2021, Sec. 4: averaging an image with generated views of it raises accuracy a
little; training on views raises it more.
Command: python -m recipes.fashion32.ensemble   (after invert.py and train_on_views.py)
Time: about 25 minutes on 2 cores; banks are saved shard by shard, a re-run continues.
Split: scales, combinations and alpha on all 5,000 `val` images, figures on 4,000 `test` images (the
first 400 of each class). Classifiers saw 1,200 labelled `train` images.
Expected: accuracy on reconstructions within 3 points of accuracy on images; no promise of a gain.
Writes: results/fashion32/ensemble.json, runs/fashion32/ensemble/report.html.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from genviews import GeneratorKit, load_generator
from genviews.augment import pixel_views
from genviews.classify import Task
from genviews.ensemble.study import StudySettings, run_study
from genviews.environment import environment
from genviews.invert import InversionEncoder
from genviews.memory import keep_freed_memory
from genviews.render import render
from genviews.report import write_report
from genviews.zoo import zoo_classifiers, zoo_images
from genviews.zoo.card import update_card
from recipes.fashion32.invert import read

RESULT = Path("results/fashion32/ensemble.json")
SETTINGS = StudySettings(num_views=10, scale_views=8, scale_images=1000, gallery_images=32)
PIXELS = ("flip", "crop", "jitter", "flip+crop")


def encoder_l1(kit: GeneratorKit, encoder: InversionEncoder, images: Tensor) -> float:
    """Mean absolute error of the encoder's latents, before any optimisation."""
    with torch.no_grad():
        latents = torch.cat([encoder(part) for part in images.split(256)])
    return float((render(kit.generator, latents) - images).abs().mean())


def main(*, out: Path = Path("runs/fashion32/ensemble"), quick: bool = False) -> dict[str, object]:
    """Run the study and write its result; `quick` takes sample images, few steps and views."""
    out = out.with_name(f"{out.name}-quick") if quick else out
    out.mkdir(parents=True, exist_ok=True)
    kit = load_generator("fashion32")
    if quick:
        from dataclasses import replace

        from genviews.invert import invert

        inverter = replace(kit.inverter, steps=5)
        val, test = (
            zoo_images("fashion32", s).select(list(range(0, 500, 10))) for s in ("val", "test")
        )
        val_inversion, test_inversion = (
            invert(kit.generator, s.images, inverter=inverter) for s in (val, test)
        )
        settings = StudySettings(num_views=4, scale_views=2, gallery_images=4)
    else:
        (val, val_inversion), (test, test_inversion), settings = read("val"), read("test"), SETTINGS

    def progress(stage: str, unit: str, done: int, total: int) -> None:
        if done == total or (total >= 1000 and done % 1000 == 0):
            print(f"{stage}: {done} of {total}", flush=True)

    result = run_study(
        [Task(name=name, classifier=c) for name, c in zoo_classifiers("fashion32").items()],
        kit.generator,
        val,
        test,
        val_inversion,
        test_inversion,
        kit.candidates,
        [pixel_views(f"fashion32/{name}") for name in PIXELS],
        settings=settings,
        title="fashion32: test-time ensembling with generated views",
        command="python -m recipes.fashion32.ensemble",
        measures={"encoder_l1": encoder_l1(kit, kit.encoder, test.images)},
        progress=progress,
        keep=None if quick else out / "banks",
    )
    write_report(result, out / "report.html")
    if not quick:
        result.save_json(RESULT)
        update_card("measured", {"ensemble": {"verdict": result.verdict, **result.reconstruction}})
    print(result.verdict)
    return {"verdict": result.verdict, "environment": environment()}


if __name__ == "__main__":
    keep_freed_memory()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true")
    main(quick=parser.parse_args().quick)
