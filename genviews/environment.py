"""Where a result was made: versions, processor, threads, command, date; no path, no host name."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["environment", "versions"]

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
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            import genviews

            found[name] = genviews.__version__ if name == "genviews" else "not installed"
    return found


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
