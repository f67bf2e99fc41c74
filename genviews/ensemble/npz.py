"""The reference code's evaluation files: read its predictions, write ours for its notebooks.

One `.npz` holds probabilities: `original` (N, 1, Y), `reconstructed` (N, 1, Y), `label` (N, 1),
`random_seed`, and one (N, K, Y) array for each setting such as `isotropic_fine_0.30`. Binary tasks
have no class axis there: the one number is the probability that the attribute is present, class 1
here.

Source: Chai et al. 2021, code `scripts/eval_ensemble`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genviews.checks import fail
from genviews.data.split import SplitName
from genviews.ensemble.bank import PredictionBank
from genviews.files import atomic_write_bytes, load_arrays
from genviews.signature import checked
from genviews.types import check_shape

__all__ = ["export_npz", "import_npz"]

RENAMED = {"original": "image", "reconstructed": "reconstruction"}
SMALLEST = 1e-38  # a probability of 0 has no finite logit; this is the least that float32 holds


@checked
def export_npz(
    bank: PredictionBank, path: str | Path, *, binary: bool = False, random_seed: int | None = None
) -> None:
    """Write a bank as the reference code writes its evaluations; the logits are lost.

    Args:
        bank: labelled predictions.
        path: the file, ending in ".npz".
        binary: of a bank of two classes, write the probability of class 1 without a class axis.
        random_seed: None takes the bank's own seed.

    Raises:
        ValueError: no labels, or `binary` for another number of classes.
    """
    if binary and len(bank.class_names) != 2:
        fail(
            "binary export",
            expected="2 classes",
            got=len(bank.class_names),
            remedy="set binary=False",
        )
    seed = bank.meta.get("seed", 0) if random_seed is None else random_seed
    names = {key: name for name, key in RENAMED.items()}
    arrays: dict[str, Any] = {
        names.get(key, key): (probs[..., 1] if binary else probs).float().numpy()
        for key, probs in ((key, bank.probs(key)) for key in bank.logits)
    }
    arrays["label"] = bank.known_labels()[:, None].numpy()
    arrays["random_seed"] = np.array(seed)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    atomic_write_bytes(path, buffer.getvalue())


def import_npz(
    path: str | Path,
    *,
    class_names: Sequence[str],
    split: SplitName,
    ids: Sequence[str] | None = None,
) -> PredictionBank:
    """Read an evaluation file of the reference code.

    Args:
        path: the file; nothing in it is executed.
        class_names: Y names; two for a binary task, the second of an attribute that is present.
        split: what the images may be used for, "test" if results are reported on them.
        ids: of the images; None numbers them in the file's order.

    Returns:
        A bank with logits log p; their softmax is the file's probabilities.

    Raises:
        ValueError: an array that is missing or misshapen, or numbers that are not probabilities.
    """
    what, remedy = (
        f"file {Path(path).name}",
        "give one that the reference's evaluation scripts wrote",
    )
    arrays = load_arrays(Path(path), what, remedy)
    if "original" not in arrays:
        got = ", ".join(sorted(arrays))
        fail(what, expected="an array 'original'", got=got, remedy=remedy)
    labels, seed = arrays.pop("label", None), arrays.pop("random_seed", torch.empty(0))
    number = len(arrays["original"]) if arrays["original"].ndim else 0
    logits = {
        RENAMED.get(key, key): _logits(key, array, number, len(class_names))
        for key, array in arrays.items()
    }
    return PredictionBank(
        ids=tuple(ids) if ids is not None else tuple(str(i) for i in range(number)),
        labels=None if labels is None else _whole(labels.flatten()),
        class_names=tuple(class_names),
        split=split,
        logits=logits,
        meta={"seed": int(seed.flatten()[0])} if seed.numel() else {},
    )


def _whole(labels: Tensor) -> Tensor:
    """Labels as integers, where they are."""
    whole = labels.long()
    return whole if torch.equal(whole.to(labels.dtype), labels) else labels


def _logits(key: str, array: Tensor, number: int, num_classes: int) -> Tensor:
    probs = array.double()
    if probs.ndim == 2 and num_classes == 2:
        probs = torch.stack([1.0 - probs, probs], -1)
    note = f", or ({number}, K) for a binary task"
    shape = (number, "K", num_classes)
    check_shape(probs, shape, f"array {key!r}", "check the class names", note=note)
    off = (probs.sum(-1) - 1).abs().max().item()
    if not (float(probs.min()) >= 0 and off < 1e-3):
        fail(
            f"array {key!r}",
            expected="probabilities that add up to 1",
            got=f"a least value of {float(probs.min()):.3g}, sums off by {off:.3g}",
            remedy="apply the softmax before writing",
        )
    return probs.clamp(min=SMALLEST).log().float()
