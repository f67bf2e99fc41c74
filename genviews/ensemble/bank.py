"""The prediction bank: what one classifier said about every image, reconstruction and view.

In the test-time arrow the bank stands between classify and weigh. Rendering and classifying are the
costly steps, so they are done once and their logits kept; every ensemble, weight, scale and error
bar is then computed from the bank in seconds. Logits are kept, not probabilities, so that both ways
of averaging (the paper's logits, the reference code's probabilities) stay possible.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor

from genviews.checks import fail, lookup
from genviews.data.split import SplitName, check_split
from genviews.files import load_tensors, save_tensors

__all__ = ["PredictionBank"]

FORMAT = "genviews.PredictionBank/1"
Plain = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class PredictionBank:
    """The logits of one classifier for N images and their views.

    Args:
        ids: N different sample ids; a sample's random streams come from its id.
        labels: (N,) class indices, or None when the classes are not known.
        class_names: Y names; index y of a logit is class_names[y].
        split: what the images may be used for, see `genviews.data.split`; nothing is fitted on
            "test".
        logits: one (N, K, Y) tensor per key. "image" is required and has K = 1, "reconstruction"
            has K = 1, any other key is a view set such as "stylemix_fine_1.00" or
            "crop+stylemix_fine_1.00".
        meta: plain values to keep with the file, such as the seed.

    Raises:
        ValueError: a shape, id or label that does not fit, a missing "image", or a logit that is
            not finite.

    Example:
        >>> bank = PredictionBank(
        ...     ids=("a", "b"), labels=torch.tensor([0, 1]), class_names=("cat", "dog"),
        ...     split="calibration", logits={"image": torch.tensor([[[2.0, 0.0]], [[1.0, 0.0]]])},
        ... )
        >>> len(bank), bank.accuracy()
        (2, 0.5)
    """

    ids: tuple[str, ...]
    labels: Int[Tensor, " N"] | None
    class_names: tuple[str, ...]
    split: SplitName
    logits: Mapping[str, Float[Tensor, "N _ Y"]]
    meta: Mapping[str, Plain] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_split(self.split, "split of a prediction bank")
        _check_ids(self.ids)
        _check_labels(self.labels, len(self.ids), len(self.class_names))
        if "image" not in self.logits:
            _refuse(
                "keys",
                "'image' among them",
                sorted(self.logits),
                "classify the images themselves too",
            )
        for key, logits in self.logits.items():
            _check_logits(key, logits, len(self.ids), len(self.class_names))

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def view_keys(self) -> tuple[str, ...]:
        """The keys of the view sets: all but "image" and "reconstruction"."""
        return tuple(k for k in self.logits if k not in ("image", "reconstruction"))

    def get(self, key: str) -> Float[Tensor, "N K Y"]:
        """The logits of one key.

        Raises:
            ValueError: no such key; the closest ones are listed.
        """
        return lookup(key, self.logits, f"views in the {self.split!r} bank")

    def probs(self, key: str) -> Float[Tensor, "N K Y"]:
        """Softmax of the logits of one key, in float64."""
        return self.get(key).double().softmax(-1)

    def known_labels(self) -> Int[Tensor, " N"]:
        """The labels.

        Raises:
            ValueError: the bank has none.
        """
        if self.labels is None:
            _refuse(
                "labels",
                "a class for each image",
                "none",
                "accuracy and alpha need labelled images",
            )
        return self.labels

    def accuracy(self) -> float:
        """Accuracy of the plain classifier on the images, in [0, 1]."""
        return float((self.get("image")[:, 0].argmax(-1) == self.known_labels()).double().mean())

    def select(self, indices: Sequence[int] | Int[Tensor, " M"] | slice) -> PredictionBank:
        """The bank of some of the images, in the given order."""
        every = torch.arange(len(self))
        rows = (
            every[indices] if isinstance(indices, slice) else every[torch.as_tensor(indices).long()]
        )
        return replace(
            self,
            ids=tuple(self.ids[i] for i in rows.tolist()),
            labels=None if self.labels is None else self.labels[rows],
            logits={key: logits[rows] for key, logits in self.logits.items()},
        )

    def merge(self, other: PredictionBank) -> PredictionBank:
        """Add the view sets that `other` has for the same images; keys known here are kept.

        Raises:
            ValueError: other images, classes or split.
        """
        mine, theirs = (
            (self.ids, self.class_names, self.split),
            (other.ids, other.class_names, other.split),
        )
        if mine != theirs:
            _refuse(
                "merge",
                "the same ids, classes and split",
                "others",
                "use `concatenate` to add images",
            )
        return replace(self, logits={**other.logits, **self.logits})

    @staticmethod
    def concatenate(banks: Sequence[PredictionBank]) -> PredictionBank:
        """Join banks of different images; shards filled apart equal one bank filled at once.

        Raises:
            ValueError: no bank, or banks that differ in classes, split or keys.
        """
        if not banks:
            _refuse("banks", "at least one", "none", "fill a bank first")
        first = banks[0]
        for bank in banks[1:]:
            same = (bank.class_names, bank.split) == (first.class_names, first.split)
            if not same or set(bank.logits) != set(first.logits):
                _refuse(
                    "banks", "the same classes, split and keys", "others", "fill them the same way"
                )
        labels = [bank.labels for bank in banks if bank.labels is not None]
        return replace(
            first,
            ids=tuple(i for bank in banks for i in bank.ids),
            labels=torch.cat(labels) if len(labels) == len(banks) else None,
            logits={key: torch.cat([bank.logits[key] for bank in banks]) for key in first.logits},
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, atomically; ids, names and meta are in its header as JSON."""
        tensors = {f"logits/{key}": logits for key, logits in self.logits.items()}
        if self.labels is not None:
            tensors["labels"] = self.labels
        header = {
            "format": FORMAT,
            "ids": json.dumps(self.ids),
            "class_names": json.dumps(self.class_names),
            "split": self.split,
            "keys": json.dumps(list(self.logits)),
            "meta": json.dumps(dict(self.meta), allow_nan=False),
        }
        save_tensors(path, tensors, header)

    @staticmethod
    def load(path: str | Path) -> PredictionBank:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not a prediction bank.
        """
        try:
            tensors, header = load_tensors(path)
        except SafetensorError as error:
            tensors, header = {}, {"format": str(error)}
        if header.get("format") != FORMAT:
            got = header.get("format", "a file without that mark")
            _refuse(f"file {Path(path).name}", FORMAT, got, "write it with `PredictionBank.save`")
        return PredictionBank(
            ids=tuple(json.loads(header["ids"])),
            labels=tensors.get("labels"),
            class_names=tuple(json.loads(header["class_names"])),
            split=check_split(header["split"]),
            logits={key: tensors[f"logits/{key}"] for key in json.loads(header["keys"])},
            meta=json.loads(header["meta"]),
        )


def _refuse(what: str, expected: object, got: object, remedy: str) -> NoReturn:
    fail(f"prediction bank: {what}", expected=expected, got=got, remedy=remedy)


def _check_ids(ids: tuple[str, ...]) -> None:
    if not ids:
        _refuse("ids", "at least one image", "none", "give the images to classify")
    if len(set(ids)) != len(ids):
        twice = sorted(i for i, n in Counter(ids).items() if n > 1)[:3]
        _refuse("ids", "all different", f"{twice} more than once", "give each image its own id")


def _check_labels(labels: Tensor | None, num_images: int, num_classes: int) -> None:
    if labels is None:
        return
    if tuple(labels.shape) != (num_images,) or labels.is_floating_point():
        got = f"{labels.dtype} of shape {tuple(labels.shape)}"
        _refuse("labels", f"{num_images} integers", got, "give one class index for each image")
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        got = f"{int(labels.min())} to {int(labels.max())}"
        _refuse(
            "labels", f"classes 0 to {num_classes - 1}", got, "check the order of the class names"
        )


def _check_logits(key: str, logits: Tensor, num_images: int, num_classes: int) -> None:
    shape = tuple(logits.shape)
    single = key in ("image", "reconstruction")
    views = "1" if single else "K"
    fits = len(shape) == 3 and shape[0] == num_images and shape[2] == num_classes and shape[1] > 0
    if not fits or (single and shape[1] != 1):
        expected = f"shape ({num_images}, {views}, {num_classes})"
        _refuse(f"logits {key!r}", expected, shape, "images x views x classes is the order")
    if not bool(torch.isfinite(logits).all()):
        bad = torch.nonzero(~torch.isfinite(logits).flatten(1).all(1)).flatten().tolist()
        _refuse(
            f"logits {key!r}",
            "finite numbers",
            f"others for the images at {bad[:5]}",
            "look at these images and their latents",
        )
