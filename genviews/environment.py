"""Where a run computes, and what is kept of it: versions, processor, threads, command, date.

No path and no host name.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from genviews.checks import fail

if TYPE_CHECKING:
    import torch

__all__ = ["environment", "find_device", "versions"]

_PACKAGES = (
    "genviews",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "scikit-learn",
    "safetensors",
    "matplotlib",
)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return {"python": platform.python_version()} | {name: _installed(name) for name in _PACKAGES}


@cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        import genviews

        return genviews.__version__ if name == "genviews" else "not installed"


def environment(device: str = "cpu") -> dict[str, object]:
    """What a run's numbers and times may depend on beside its settings, as JSON values.

    Args:
        device: that computes, as torch names it.
    """
    import torch

    on_gpu = torch.device(device).type == "cuda"
    return {
        "python": platform.python_version(),
        "versions": versions(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "command": " ".join(Path(a).name if Path(a).is_absolute() else a for a in sys.argv),
        "date": time.strftime("%Y-%m-%d"),
    }


def find_device(name: str) -> torch.device:
    """The device that a word names.

    Args:
        name: "auto" (a GPU if there is one), or what torch calls it.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # What torch raises for a device that it has not, by kind of device.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        unknown = reason.startswith("Expected one of")  # all that torch has heard of
        fail(
            "device (--device)",
            expected="auto, cpu, or a device of this machine, such as cuda or cuda:1",
            got=repr(name) + ("" if unknown else f" ({reason})"),
            remedy="use --device cpu",
        )
    return device
