"""Learn the walks of fashion32: what it can do of shift, zoom, rotation and colour; and ship them.

Claim: latent walks imitate edits of the picture (Jahanian et al. 2022, Sec. 3.3.2, App. B).
Command: python -m recipes.fashion32.train_walks [--entry fashion32-classes]
Time: about 4 minutes on one core; a checkpoint every 500 steps, a re-run continues.
Split: none is read; the generator's samples alone.
Expected: what the training images vary in (brightness, width) can be steered; they are all upright
and centred, so shifts and rotations hardly can. The shipped walks were learnt under the zoom law
"magnify" of `StepRanges`; learnt again they follow the published one.
Writes: genviews/zoo/ENTRY/walks.safetensors and results/fashion32/walks.json, for another entry
than fashion32 walks_ENTRY.json.

The walks live in z, as in the paper. Ranges are smaller than its, whose pictures are of cluttered
scenes: a garment fills its frame, and a shift by 40 % would leave half of it. Set beforehand.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from genviews import load_generator
from genviews.generators.callable import z_space
from genviews.perturb.train_steer import SteerTraining, measure_walks, train_walks
from genviews.perturb.warps import StepRanges
from genviews.zoo.card import ENTRIES, record_file
from recipes.recipe import finish, folder_of, run

FILE = "walks.safetensors"
RESULTS = Path("results/fashion32")
RANGES = StepRanges(shift=4 / 32, zoom=1.5, rot2d=15.0, rot3d=40.0, slide=1 / 32, colour=0.3)
CONFIG = SteerTraining(ranges=RANGES)  # 160,000 samples at a rate of 1e-3, as published


def main(
    *, entry: str = "fashion32", out: Path = Path("runs/fashion32/walks"), quick: bool = False
) -> dict[str, object]:
    """Learn (or continue), measure and ship; `quick` learns briefly and ships nothing."""
    place = folder_of(out if quick else out / entry, quick=quick)
    generator = z_space(load_generator(entry).generator)
    config = replace(CONFIG, samples=128) if quick else CONFIG

    def report(step: int, losses: dict[str, float]) -> None:
        if step % 100 == 0:
            print(step, round(losses["loss"], 4), flush=True)

    walks = train_walks(
        generator,
        config,
        checkpoint=place / "checkpoint.pt",
        checkpoint_every=500,
        report=report,
    )
    found = {
        "seed": config.seed,
        "config": {**asdict(config), "space": "z"},
        "measured": measure_walks(generator, walks, config, samples=16 if quick else 1024),
        "note": "measured: loss of each walk alone on fresh samples, beside that of not moving",
    }
    result = None
    if not quick:
        walks.save(ENTRIES / entry / FILE)
        what = "latent walks in z: shiftx, shifty, zoom, rot2d, rot3d, colour"
        what += f"; zoom law {walks.ranges.zoom_law!r}"
        record_file(ENTRIES / entry, FILE, what=what, made_with=("generator.safetensors",))
        name = "walks.json" if entry == "fashion32" else f"walks_{entry}.json"
        result = RESULTS / name
    return finish("train_walks", found, result, f"--entry {entry}")


if __name__ == "__main__":
    run(main)
