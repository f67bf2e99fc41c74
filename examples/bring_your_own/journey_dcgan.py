r"""First journey: a DCGAN, a small CNN and a folder of pictures. Do generated views help?

What you would type, and what you would see:

    cd examples/bring_your_own
    export DCGAN_WEIGHTS=dcgan.pt
    genviews ensemble --images pictures --generator dcgan:load_tanh \
        --classifier cnn:load --weights cnn.pt --out runs/mine

Run: python examples/bring_your_own/journey_dcgan.py
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import your_files

from genviews.cli import main as genviews

__all__ = ["QUICK", "ask", "main"]

QUICK = ("--steps", "5", "--num-views", "2", "--perturb", "isotropic_all_0.20")
QUICK += ("--augment", "fashion32/crop")


def ask(folder: Path, generator: str, *more: str) -> int:
    """Ask whether generated views help with the files of a folder; return the exit code."""
    os.environ["DCGAN_WEIGHTS"] = str(folder / "dcgan.pt")
    words = ["ensemble", "--images", str(folder / "pictures"), "--generator", generator]
    words += ["--classifier", "cnn:load", "--weights", str(folder / "cnn.pt")]
    words += ["--out", str(folder / "run"), *more]
    print("$ genviews", *words)
    return genviews(words)


def main(folder: Path, *, quick: bool = False) -> int:
    """Make the files, then ask; `quick` asks with few pictures and views."""
    your_files.make(folder, pictures=60 if quick else 600, steps=40 if quick else 1500)
    return ask(folder, "dcgan:load_tanh", *(QUICK if quick else ()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(Path(made)))
