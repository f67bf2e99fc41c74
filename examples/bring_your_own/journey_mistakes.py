r"""Third journey: a generator in [0, 1], and a classifier whose classes are in another order.

The range is found out and said. The order cannot be mended by guessing: the answer is a red line
above the result and exit code 3, no verdict. The last command says the order and ends with 0.

    genviews ensemble --images pictures --generator dcgan:load_sigmoid \
        --classifier cnn:load --weights cnn.pt --out runs/mine
    genviews ensemble ... --class-names order.txt

Run: python examples/bring_your_own/journey_mistakes.py
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import your_files
from journey_dcgan import QUICK, ask
from torch import nn

ORDER = ("ring", "bar", "disk")


def main(folder: Path, *, quick: bool = False) -> tuple[int, int]:
    """Make the files, ask with the mistake and without; return both exit codes."""
    pictures, steps = (60, 40) if quick else (600, 1500)
    your_files.make(folder, pictures=pictures, steps=steps, last=nn.Sigmoid, order=ORDER)
    more = QUICK if quick else ()
    wrong = ask(folder, "dcgan:load_sigmoid", *more)
    print(f"exit code {wrong}")
    names = folder / "order.txt"
    names.write_text("\n".join(ORDER))
    more = (*more, "--class-names", str(names), "--force")
    return wrong, ask(folder, "dcgan:load_sigmoid", *more)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(Path(made))[1])
