"""Where a run computes."""

from __future__ import annotations

import torch

from genviews.checks import fail

__all__ = ["find_device"]


def find_device(name: str) -> torch.device:
    """The device that `--device` names.

    Raises:
        ValueError: no such device, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        fail(
            "device",
            expected="auto, cpu, or a device of this machine",
            got=f"{name!r} ({str(error).splitlines()[0]})",
            remedy="use --device cpu",
        )
    return device
