"""The full-batch L-BFGS of Chai et al.'s code, from a checkout on this machine.

An oracle and a baseline only; no line of it is here. Get the public `gan-ensembling` repository
(github.com/chail/gan-ensembling) yourself and name its folder in GENVIEWS_REFERENCE_ENSEMBLING.
"""

from __future__ import annotations

import re
import types
from pathlib import Path

from genviews.checks import fail

VARIABLE = "GENVIEWS_REFERENCE_ENSEMBLING"

# What newer PyTorch and NumPy have removed: x.add_(scalar, tensor), and np.Inf.
_REMOVED = (
    (re.compile(r"\.add_\(([^,()]+), (.+)\)$", re.MULTILINE), r".add_(\2, alpha=\1)"),
    (re.compile(r"\bnp\.Inf\b"), "np.inf"),
)


def load_lbfgs(checkout: Path) -> types.ModuleType:
    """Read `utils/LBFGS.py` of the checkout, with the calls that PyTorch has removed respelt.

    Raises:
        ValueError: `checkout` is no such checkout.
    """
    path = checkout / "utils" / "LBFGS.py"
    source = path.read_text(encoding="utf-8") if path.is_file() else ""
    if "class FullBatchLBFGS" not in source:
        fail(
            f"reference checkout {checkout}",
            expected="a folder with utils/LBFGS.py",
            got="none there",
            remedy=f"name a gan-ensembling checkout in {VARIABLE}",
        )
    for removed, spelling in _REMOVED:
        source = removed.sub(spelling, source)
    module = types.ModuleType("reference_lbfgs")
    exec(compile(source, str(path), "exec"), vars(module))
    return module
