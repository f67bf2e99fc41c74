"""What a GPU would refuse, found without one in any checkout of genviews.

Command: python -m benchmarks.devices [CHECKOUT ...]
Claim: a `GenerativeTTA` that was moved by `.to(device)`, inversions by a generator that was moved,
and `genviews demo --device` mix no tensors of two devices. At commit efc38a2 the first two did: the
encoder of an inversion was no submodule and stayed behind, as did images and masks. Each checkout
is tried in a process of its own, with the uses of `benchmarks.devices_cases` and the pretended
device of the tests as they are here; what the JSON says of other commits stays.

    git worktree add ../first efc38a2
    python -m benchmarks.devices . ../first
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import devices_cases
from genviews.environment import environment
from genviews.files import write_json

RESULT = Path("results/benchmarks/devices.json")
HERE = Path(__file__).resolve().parents[1]


def try_checkout(checkout: Path) -> tuple[str, dict[str, str]]:
    """Try all uses in a checkout.

    Returns:
        Its commit, and what each use ended in; see `devices_cases.try_all`.

    Raises:
        RuntimeError: no use could be tried.
    """
    git = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    environ = {**os.environ, "PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", devices_cases.__file__]  # -P: not its folder before ours
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return commit, json.loads(done.stdout.splitlines()[-1])


def main(checkouts: Sequence[Path] = (HERE,), *, out: Path = RESULT) -> dict[str, list[str]]:
    """Try checkouts, write the JSON; returns the uses that failed, by commit."""
    before = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"commits": {}}
    found = dict(map(try_checkout, checkouts))
    write_json(
        out,
        {
            "benchmark": "devices",
            "command": f"python -m benchmarks.devices{' CHECKOUT' * len(checkouts)}",
            "seed": 0,
            "config": {"device": "pretended", "commits": list(found)},
            "commits": {**before["commits"], **found},
            "environment": environment(),
        },
    )
    for commit, ends in found.items():
        print(commit)
        for name, end in ends.items():
            print(f"  {name}: {end}")
    return {k: [name for name, end in v.items() if end != "passes"] for k, v in found.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[HERE])
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    last = main(given.checkouts, out=given.out)
    sys.exit(1 if any(last.values()) else 0)
