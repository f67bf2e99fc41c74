"""What `genviews.memory.keep_freed_memory` gives: views rendered and classified a second.

Command: python -m benchmarks.memory
Each measurement is a process of its own, in turns; medians are quoted. Baseline: the same work with
the C library's default of giving freed memory back.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from genviews.environment import environment
from genviews.files import write_json

RESULT = Path("results/benchmarks/memory.json")
WORK = """
import sys, time, torch
torch.set_num_threads({threads})
if {keep}:
    from genviews.memory import keep_freed_memory
    assert keep_freed_memory()
from genviews import Isotropic, Rng, load_classifier, load_generator, render
from genviews.classify.model import predict_logits
kit = load_generator("fashion32")
streams = Rng(0).streams(range({images}))
latents = kit.generator.map(kit.generator.sample(streams))
views = Isotropic("fine", 0.1)(kit.generator, latents, 16, streams)
def work():
    images = render(kit.generator, views, batch_size=128)
    predict_logits(load_classifier("fashion32"), images)
work()
began = time.perf_counter()
work()
print({images} * 16 / (time.perf_counter() - began))
"""


def measure(*, keep: bool, threads: int, images: int) -> float:
    """Views a second of one process."""
    code = WORK.format(keep=keep, threads=threads, images=images)
    environ = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environ
    )
    return float(done.stdout.split()[-1])


def main(*, threads: int = 2, repeats: int = 5, images: int = 64, out: Path = RESULT) -> float:
    """Measure in turns, write the JSON, print the ratio."""
    rates: dict[str, list[float]] = {"kept": [], "given back": []}
    for _ in range(repeats):
        for name, values in rates.items():
            values.append(measure(keep=name == "kept", threads=threads, images=images))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    ratio = medians["kept"] / medians["given back"]
    what = "rendering and classifying views with freed memory kept"
    baseline = "the same work with the C library's default"
    write_json(
        out,
        {
            "benchmark": "memory",
            "command": "python -m benchmarks.memory",
            "seed": 0,
            "config": {"threads": threads, "repeats": repeats, "images": images, "views": 16},
            "views_per_second": rates,
            "ratios": [{"what": what, "ratio": ratio, "baseline": baseline}],
            "environment": environment(),
        },
    )
    print(f"ratio {ratio:.2f} against {baseline}")
    return ratio


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    main(threads=given.threads, repeats=given.repeats)
