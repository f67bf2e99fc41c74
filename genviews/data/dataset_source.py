"""A map-style data set, such as torchvision's, as a source.

    DATA SET -> align -> invert -> latents

An item is a picture, a sequence whose first element is one, or a dict with one in it. Labels are
those that the data set carries as `targets`, where it does. A picture is a PIL image, a uint8
tensor (C, H, W) or a uint8 array (H, W, C), as OpenCV reads it: what a data set gives without a
transform. The range of floats cannot be seen, so they are refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from genviews.checks import check_count, check_each, check_type, expanded, fail, lookup
from genviews.data.content import content_hash
from genviews.data.decode import UnfitImageError, decode_image, no_programs
from genviews.data.source import LabelColumn, Row, RowSource
from genviews.named import find_named
from genviews.types import ImageSpec
from genviews.user_code import user_code

__all__ = ["DatasetSource", "load_dataset", "picture_at"]

_FORM = "torchvision:NAME:FOLDER:SPLIT or package.module:function"


@runtime_checkable
class MapDataset(Protocol):
    """What is asked of a data set."""

    def __len__(self) -> int:
        """The number of items."""

    def __getitem__(self, index: int, /) -> Any:  # noqa: ANN401 (whatever it holds)
        """The item at an index."""


class DatasetSource(RowSource):
    """The items of a data set; the id of item 123 is "000123".

    Args:
        dataset: read by index, from any process it is sent to.
        image_spec: channels (1 or 3), height and width of the images.
        resize: crop and resize images of another size (see `decode_image`); else they are skipped.
        convert: convert colours and transparency (see `decode_image`); else they are skipped.

    Raises:
        TypeError: in `read` and `fingerprint`, items that are no pictures.
        ValueError: an empty data set.

    Example:
        >>> pictures = [(torch.full((1, 2, 2), 255, dtype=torch.uint8), "label")]
        >>> source = DatasetSource(pictures, ImageSpec(channels=1, height=2, width=2))
        >>> source.read([0]).images.flatten()
        tensor([1., 1., 1., 1.])
    """

    def __init__(
        self,
        dataset: MapDataset,
        image_spec: ImageSpec,
        *,
        resize: bool = False,
        convert: bool = False,
    ) -> None:
        self.image_spec, self._dataset = image_spec, dataset
        self.name = type(dataset).__name__
        self._resize, self._convert = resize, convert
        with user_code(f"length of {type(dataset).__name__}"):
            count = len(dataset)
        self.ids = tuple(f"{i:06d}" for i in range(check_count(count, "items")))
        labels = _labels_of(dataset, len(self.ids))
        self.columns = {} if labels is None else {"label": labels}

    def row(self, row: int) -> Row:
        """Read an item; the hash is that of its pixels."""
        image = self._image(row)
        return image, content_hash(image), None

    def _image(self, row: int) -> Tensor:
        picture, spec = picture_at(self._dataset, row), self.image_spec
        if isinstance(picture, Image.Image):
            return decode_image(picture, spec, resize=self._resize, convert=self._convert)
        whole = isinstance(picture, Tensor) and picture.ndim == 3 and picture.dtype == torch.uint8
        if not isinstance(picture, Tensor) or not whole:
            kind = type(picture).__name__
            if isinstance(picture, Tensor):
                kind = f"a tensor of {picture.dtype} {tuple(picture.shape)}"
            fail(
                f"items of {type(self._dataset).__name__}",
                expected="a PIL image or a uint8 tensor (C, H, W), alone, in a tuple or in a dict",
                got=kind,
                remedy="leave out the data set's transform: the range of floats cannot be seen",
                error=TypeError,
            )
        if picture.shape[0] != spec.channels:
            raise UnfitImageError(f"has {picture.shape[0]} channels, not {spec.channels}")
        if picture.shape == spec.shape:
            return picture.cpu().float() / 127.5 - 1
        if spec.channels not in (1, 3):
            raise UnfitImageError(f"has shape {tuple(picture.shape)}, not {spec.shape}")
        values = picture.cpu().permute(1, 2, 0).contiguous().numpy()
        held = Image.fromarray(values if spec.channels == 3 else values[..., 0])
        return decode_image(held, spec, resize=self._resize)


def picture_at(dataset: MapDataset, index: int) -> object:
    """Return the picture of an item: the item, the first of a sequence, or the one in a dict.

    Raises:
        UnfitImageError: the data set raised, as it may on a damaged file; its own line is told.
        TypeError: a dict with no picture, or with several.
    """
    what = f"items of {type(dataset).__name__}"
    try:
        with user_code(what), no_programs():
            item = dataset[index]
    except ValueError as error:
        raise UnfitImageError(f"cannot be read ({error})") from None
    if isinstance(item, Mapping):
        found = {key: value for key, value in item.items() if _is_picture(value)}
        if len(found) != 1:
            fail(
                what,
                expected="one picture in a dict",
                got=f"{len(found)} under {', '.join(map(str, found or item)) or 'no key'}",
                remedy="let the item be the picture, or a tuple that begins with it",
                error=TypeError,
            )
        item = next(iter(found.values()))
    item = item[0] if isinstance(item, (tuple, list)) and item else item
    if isinstance(item, np.ndarray) and item.dtype == np.uint8 and item.ndim in (2, 3):
        array = torch.from_numpy(item)
        item = array[None] if item.ndim == 2 else array.movedim(-1, 0)
    return item


def _is_picture(value: object) -> bool:
    return isinstance(value, Image.Image) or (
        isinstance(value, Tensor | np.ndarray) and value.ndim in (2, 3)
    )


def _labels_of(dataset: object, items: int) -> LabelColumn | None:
    """The labels that data sets of torchvision carry as `targets`, with `classes`."""
    targets, names = getattr(dataset, "targets", None), getattr(dataset, "classes", None)
    try:
        values = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):  # none, words, or rows of several lengths
        return None
    if values.ndim != 1 or values.is_floating_point() or not len(values):
        return None
    check_each(values, items, f"targets of {type(dataset).__name__}", "item")
    count = int(values.max()) + 1
    known = names if isinstance(names, list | tuple) and len(names) >= count else range(count)
    return LabelColumn(values=values.long(), class_names=tuple(map(str, known)))


def load_dataset(spec: str) -> MapDataset:
    """Return the data set that a text names; nothing is downloaded.

    Args:
        spec: "torchvision:FashionMNIST:data:train" (class, folder, and split where the class has
            splits), or "package.module:function", a function without arguments that returns a data
            set. Importing runs code: name only what you trust.

    Raises:
        FileNotFoundError: the folder does not hold the data set.
        TypeError: a function that returns something else.
        ValueError: another form; no such class (the closest are listed), split, module or function.
    """
    if spec.startswith("torchvision:"):
        return _of_torchvision(spec, spec.partition(":")[2])
    what = f"data set {spec!r}"
    make = find_named(spec, what, _FORM, calls="a function that returns a data set")
    with user_code(what):
        found = make()
    expected = "a map-style data set, with a length and items by index"
    remedy = "wrap it in one, or write its images to a folder"
    return check_type(found, MapDataset, what, expected, remedy)


def _of_torchvision(spec: str, rest: str) -> MapDataset:
    from torchvision import datasets

    name, _, place = rest.partition(":")
    found = ((n, getattr(datasets, n)) for n in datasets.__all__)
    # LSUN keeps a pickle in its folder, which may run code when it is read.
    kinds: dict[str, Any] = {n: c for n, c in found if inspect.isclass(c) and "LSUN" not in n}
    kind = lookup(name, kinds, "data set of torchvision")
    if not place:
        fail(f"data set {spec!r}", expected=_FORM, got="no folder", remedy="add it after a colon")
    root, colon, split = place.rpartition(":")
    root, split = (root, split) if colon else (place, "")
    options = _split_options(spec, kind, split) if split else {}
    try:
        dataset: MapDataset = kind(str(expanded(root)), **options)
    except Exception as error:  # of what is no such data set torchvision raises nearly anything
        absent = isinstance(error, RuntimeError | OSError)  # its "not found" is a RuntimeError
        fail(
            f"data set {spec!r}",
            expected=f"{name} in the folder {root}",
            got=" ".join(str(error).split()),
            remedy="correct the folder or the split; nothing is downloaded",
            error=FileNotFoundError if absent else ValueError,
        )
    return dataset


def _split_options(spec: str, kind: type, split: str) -> dict[str, object]:
    """How a class of torchvision is told its split."""
    known = inspect.signature(kind).parameters
    argument = next((n for n in ("split", "image_set", "train") if n in known), None)
    if argument is None:
        fail(
            f"data set {spec!r}",
            expected=f"no split: {kind.__name__} has none",
            got=repr(split),
            remedy="leave it out",
        )
    if argument == "train":
        return {"train": lookup(split, {"train": True, "test": False}, f"split of {spec}")}
    return {argument: split}
