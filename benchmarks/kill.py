"""Kill `ensemble`, `learn` and `study` at random instants, and compare what they end with.

Command: python -m benchmarks.kill
Claim: a killed job loses at most the shard in flight, and the same command again ends with the
numbers of a run that nobody killed. Each verb is killed ten times with SIGKILL, at instants drawn
over the length of a whole run; a run that ends before its instant is compared, and another folder
begun. Shards, rows and encoders that a killed run left are never made again: their files stay as
they are. Toys throughout, so that a run takes seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from genviews.environment import environment
from genviews.files import write_json
from genviews.generators.toy import ToyGenerator
from genviews.rng import Rng

RESULT = Path("results/benchmarks/kill.json")

MODULE = """
import torch
from torch import nn
from genviews.generators.toy import ToyGenerator

toy = ToyGenerator()


def decode(z):
    return toy.synthesize(toy.map(z))


class Mean(nn.Module):
    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def network():
    return Mean()
"""
GENERATOR = ("--generator", "mine:decode", "--z-dim", "8")
TRAINING = ("--data", "data", "--samples", "2500", "--updates", "60", "--batch", "32")
VERBS: dict[str, tuple[str, ...]] = {
    "ensemble": (
        *("ensemble", "--images", "images", "--classifier", "mine:network", *GENERATOR),
        *("--steps", "10", "--num-views", "4"),
    ),
    "learn": ("learn", *GENERATOR, *TRAINING),
    "study": ("study", "learning/pool", *GENERATOR, *TRAINING, "--seeds", "1"),
}
TIMES = {
    *("seconds", "samples_per_second", "images_per_second", "inverted_by_earlier_runs"),
    *("waiting_for_views", "views_seconds", "data_share"),
    *("versions", "command", "environment", "speed", "created"),
}


def write_inputs(folder: Path, *, images: int = 1500) -> None:
    """Write images in two classes, labelled splits and the user's module."""
    (folder / "mine.py").write_text(MODULE)
    for place, count in (
        ("images", images),
        ("data/train", 60),
        ("data/val", 40),
        ("data/test", 40),
    ):
        toy = ToyGenerator()
        drawn = toy.synthesize(toy.map(toy.sample(Rng(0, place).streams(range(count)))))
        bright = drawn.detach().mean((1, 2, 3))
        for number, (image, mean) in enumerate(zip(drawn.detach(), bright, strict=True)):
            target = folder / place / ("light" if mean > bright.median() else "dark")
            target.mkdir(parents=True, exist_ok=True)
            pixels = ((image[0].clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
            Image.fromarray(pixels).save(target / f"{number:05d}.png")


def hear_signals() -> None:
    """Ignore none of the signals that stop a run, as what was begun by `nohup` or `&` does."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def start(
    words: Sequence[str],
    folder: Path,
    out: Path,
    *,
    errors: int | IO[bytes] = subprocess.PIPE,
    temporary: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command of genviews in a folder, as the first of a group of processes.

    Args:
        words: of the command.
        folder: where it runs.
        out: its run folder.
        errors: takes what it says.
        temporary: folder of its temporary files; None is the system's.
    """
    root = str(Path(__file__).resolve().parents[1])
    more = {} if temporary is None else {"TMPDIR": str(temporary)}
    threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "genviews.cli", *words, "--out", str(out), "--device", "cpu"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": root, **threads, **more},
        stdout=subprocess.DEVNULL,
        stderr=errors,
        start_new_session=True,
        preexec_fn=hear_signals,
    )


def kept(out: Path) -> dict[str, int]:
    """What a killed run must not lose: finished shards and rows, with the time of their writing."""
    found = [*out.rglob("[0-9]*.safetensors"), *out.rglob("row.json")]
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in found}


def made_again(out: Path, before: dict[str, int], after: dict[str, int]) -> int:
    """How many that were there are gone or another; a finished `learn` removes all, as a whole."""
    there = {name: stamp for name, stamp in before.items() if (out / name).parent.exists()}
    return sum(after.get(name) != stamp for name, stamp in there.items())


def stamps(out: Path) -> dict[str, int]:
    """When each file was written; the log is, by any run."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "log.txt")
    return {str(path): path.stat().st_mtime_ns for path in files}


def numbers(out: Path) -> Any:  # noqa: ANN401  (JSON)
    """The results, but for times."""
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    if "record" in found:  # tables hold times beside numbers
        found = {"verdict": found["verdict"], "data": found["record"]["data"]}
    return without_times(found)


def without_times(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """JSON without what differs from run to run."""
    if isinstance(value, dict):
        return {k: without_times(v) for k, v in value.items() if k not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def finish(words: Sequence[str], folder: Path, out: Path) -> float:
    """Run to the end; returns the seconds it took.

    Raises:
        RuntimeError: it failed.
    """
    began, process = time.perf_counter(), start(words, folder, out)
    _, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} failed:\n{errors.decode()}")
    return time.perf_counter() - began


def kill_often(words: Sequence[str], folder: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill a command until it was killed so often; returns what was found."""
    seconds = finish(words, folder, folder / "whole")
    wanted, random = numbers(folder / "whole"), np.random.default_rng(seed)
    done, runs, lost, shards = 0, 0, 0, 0
    differing: list[str] = []
    while done < kills:
        out, before, alive = folder / f"killed{runs}", {}, True
        runs += 1
        while alive and done < kills:
            process = start(words, folder, out)
            try:
                _, errors = process.communicate(timeout=float(random.uniform(0.1, 1.0)) * seconds)
                if process.returncode:
                    raise RuntimeError(errors.decode())
                alive = False
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                done += 1
            after = kept(out)
            lost += made_again(out, before, after)
            before = after
        finish(words, folder, out)
        after = kept(out)
        lost += made_again(out, before, after)
        shards = max(shards, len(before), len(after))
        stays = stamps(out)
        finish(words, folder, out)  # a finished run is not run again
        now = stamps(out)
        if numbers(out) != wanted:
            differing.append(f"{out.name}: other numbers")
        if stays != now:
            differing.append(f"{out.name}: written again")
        differing += [f"{path.name} left" for path in out.rglob(".*.tmp")]
    return {
        "kills": done,
        "folders": runs,
        "shards": shards,
        "shards_made_again": lost,
        "differing": differing,
        "seconds_of_a_whole_run": round(seconds, 1),
    }


def main(*, kills: int = 10, seed: int = 0, out: Path = RESULT) -> bool:
    """Kill each verb, write the JSON; returns whether nothing was lost."""
    found = {}
    for verb, words in VERBS.items():
        with tempfile.TemporaryDirectory() as name:
            write_inputs(Path(name))
            found[verb] = kill_often(words, Path(name), kills=kills, seed=seed)
        print(f"{verb}: {found[verb]}", flush=True)
    write_json(
        out,
        {
            "benchmark": "kill",
            "command": "python -m benchmarks.kill",
            "seed": seed,
            "config": {"kills": kills, "signal": "SIGKILL"},
            "verbs": found,
            "environment": environment(),
        },
    )
    return not any(one["shards_made_again"] or one["differing"] for one in found.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.exit(0 if main(kills=given.kills, seed=given.seed) else 1)
