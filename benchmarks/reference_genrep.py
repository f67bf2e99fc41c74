"""The loss of the authors' GenRep code, from a checkout on this machine.

An oracle only: no line of it is here. Get the public `ali-design/GenRep` repository yourself and
name its folder in GENVIEWS_REFERENCE_GENREP.
"""

from __future__ import annotations

import importlib.util
import types
from pathlib import Path

from genviews.checks import fail

VARIABLE = "GENVIEWS_REFERENCE_GENREP"


def load_losses(checkout: Path) -> types.ModuleType:
    """Import `losses.py` of the checkout, under a name of its own.

    Raises:
        ValueError: `checkout` is no such checkout.
    """
    path = checkout / "losses.py"
    if not path.is_file():
        fail(
            f"reference checkout {checkout}",
            expected="a folder with losses.py",
            got="none there",
            remedy=f"name a GenRep checkout in {VARIABLE}",
        )
    spec = importlib.util.spec_from_file_location("reference_genrep_losses", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
