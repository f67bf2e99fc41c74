"""Tensors, arrays and plain values out of a decoded pickle: what its records of calls mean.

    Call(torch._utils._rebuild_tensor_v2, (storage, offset, size, stride, ...))    -> Tensor
    Call(numpy.core.multiarray._reconstruct, ..., state=(1, shape, dtype, order, bytes)) -> Tensor
    Call(numpy.core.multiarray.scalar, (dtype, bytes))                             -> number

Only what is asked for is read. A tensor is a copy of as many numbers as its storage has at most,
and all tensors of a file together are bounded by `FACTOR` times its size, so that a small file
cannot ask for much memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genviews.checks import fail
from genviews.generators.checkpoints.records import REMEDY, Call, Name, Persistent

__all__ = [
    "Numbers",
    "Storage",
    "as_bytes",
    "as_dict",
    "is_tensor",
    "plain",
    "shape_of",
    "storage_type",
    "told",
]

FACTOR, SPARE = 4, 2**24
_MOST_AXES = 16

_DTYPES: dict[str, torch.dtype] = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_STORAGES = {f"{name}Storage": dtype for name, dtype in _DTYPES.items()}
_NAMED = {str(dtype).removeprefix("torch."): dtype for dtype in _DTYPES.values()}
_ARRAYS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}

_TENSOR, _OLD_TENSOR, _NEW_TENSOR = "_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_tensor_v3"
_PARAMETERS = ("_rebuild_parameter", "_rebuild_parameter_with_state")
_OF_TYPE = "_rebuild_from_type_v2"
_TORCH = (_TENSOR, _OLD_TENSOR, _NEW_TENSOR, *_PARAMETERS, _OF_TYPE)
_NUMPY = ("_reconstruct", "_frombuffer")
_DICTS = ("OrderedDict", "EasyDict", "defaultdict", "dict")

Storage = Callable[[Persistent | Call], tuple[memoryview, torch.dtype | None]]
"""Gives the bytes of a storage and the type of its numbers, where it says one."""


def is_tensor(value: object) -> bool:
    """Whether a decoded value is a tensor or an array."""
    if not isinstance(value, Call) or not isinstance(value.of, Name):
        return False
    module, name = value.of
    return (module.startswith("torch") and name in _TORCH) or (
        module.startswith("numpy") and name in _NUMPY
    )


def shape_of(value: object) -> tuple[int, ...]:
    """Return the shape of a tensor or array without reading it.

    Raises:
        ValueError: no tensor.
    """
    if isinstance(value, Tensor):
        return tuple(value.shape)
    value = _inner(value)
    if value.of.module.startswith("torch"):
        return _sizes(_argument(value, 2))
    if value.of.name == "_frombuffer":
        return _sizes(_argument(value, 2))
    if not isinstance(value.state, tuple) or len(value.state) != 5:
        raise ValueError("an array without its state")
    return _sizes(value.state[1])


def _inner(value: object) -> Call:
    """The tensor in a parameter."""
    for _ in range(4):
        if not isinstance(value, Call) or not is_tensor(value):
            break
        if value.of.name in _PARAMETERS:
            value = _argument(value, 0)
        elif value.of.name == _OF_TYPE:
            value = Call(_argument(value, 0), _argument(value, 2))
        else:
            return value
    raise ValueError(f"{told(value)} where a tensor should be")


class Numbers:
    """Reads the tensors of one file.

    Args:
        storage: gives the bytes of a storage.
        size: of the file in bytes.
        what: the file is, for messages.
    """

    def __init__(self, storage: Storage, size: int, what: str) -> None:
        self._storage, self._what = storage, what
        self._left = FACTOR * size + SPARE

    def tensor(self, value: object) -> Tensor:
        """Return a tensor or array as a tensor of its own, on the CPU.

        Raises:
            ValueError: no tensor, or one that its storage does not hold.
        """
        try:
            inner = _inner(value)
            return self._array(inner) if inner.of.name in _NUMPY else self._view(inner)
        except (TypeError, ValueError, IndexError, KeyError, OverflowError, RuntimeError) as error:
            got = str(error).splitlines()[0] if str(error) else type(error).__name__
            fail(self._what, expected="whole tensors", got=got, remedy=REMEDY)

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ValueError(f"tensors of more than {FACTOR} times the bytes of the file")

    def _view(self, value: Call) -> Tensor:
        storage, offset, shape, stride = (_argument(value, i) for i in range(4))
        data, dtype = self._storage(storage)
        if value.of.name == _NEW_TENSOR:
            dtype = _NAMED[_argument(value, 6).name]
        if dtype is None:
            raise ValueError("a storage of no type")
        shape, stride = _sizes(shape), _sizes(stride)
        if len(shape) != len(stride) or type(offset) is not int or offset < 0:
            raise ValueError("a tensor whose sizes and strides do not match")
        count, held = math.prod(shape), len(data) // dtype.itemsize
        last = offset + sum((one - 1) * step for one, step in zip(shape, stride, strict=True))
        if count and (last >= held or count > held):
            raise ValueError(f"a tensor of {count:,} numbers in a storage of {held:,}")
        self._take(max(count, 1) * dtype.itemsize)
        if not count:
            return torch.empty(shape, dtype=dtype)
        part = data[offset * dtype.itemsize : (last + 1) * dtype.itemsize]
        self._take(len(part))
        whole = torch.frombuffer(bytearray(part), dtype=dtype)
        return whole.as_strided(shape, stride).clone(memory_format=torch.contiguous_format)

    def _array(self, value: Call) -> Tensor:
        if value.of.name == "_frombuffer":
            data, dtype, shape, order = (_argument(value, i) for i in range(4))
            in_columns = order == "F"
        else:
            if not isinstance(value.state, tuple) or len(value.state) != 5:
                raise ValueError("an array without its state")
            _, shape, dtype, in_columns, data = value.state
        kind, data, shape = _dtype(dtype), as_bytes(data), _sizes(shape)
        count = math.prod(shape)
        if count * kind.itemsize != len(data):
            raise ValueError(f"an array of {count:,} numbers in {len(data):,} bytes")
        self._take(2 * len(data))
        array = np.frombuffer(bytearray(data), dtype=kind)
        array = array.reshape(shape, order="F" if in_columns else "C")
        native = np.ascontiguousarray(array, dtype=kind.newbyteorder("="))
        return torch.from_numpy(native.reshape(shape))


def plain(value: Any) -> Any:  # noqa: ANN401 (of a file)
    """Return a decoded value, a number of numpy as one of Python; others stay as they are."""
    if isinstance(value, Call) and isinstance(value.of, Name):
        module, name = value.of
        if module.startswith("numpy") and name == "scalar" and len(value.args) == 2:
            try:
                kind, data = _dtype(value.args[0]), as_bytes(value.args[1])
                return np.frombuffer(bytes(data[: kind.itemsize]), kind)[0].item()
            except (TypeError, ValueError, IndexError):
                return value
    return value


def as_dict(value: object) -> dict[Any, Any] | None:
    """Return a decoded dict, of whatever class, with keys that cost nothing; else None.

    A record of `argparse.Namespace` or a like object is the dict of its state.
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, Call) or not isinstance(value.of, Name):
        return None
    found: dict[Any, Any] = {}
    # What a dict bears beside its entries is not among them: torch's `_metadata` of a state dict.
    for source in (None if value.of.name in _DICTS else value.state, value.pairs):
        if isinstance(source, dict):
            found.update(source)
        elif isinstance(source, list):
            found.update((k, v) for k, v in source if isinstance(k, str | int | float))
    if value.of.name in _DICTS and isinstance(value.args, tuple):
        for one in value.args:
            pairs = one.items() if isinstance(one, dict) else one if isinstance(one, list) else ()
            each = (pair for pair in pairs if isinstance(pair, tuple | list) and len(pair) == 2)
            found.update((k, v) for k, v in each if isinstance(k, str | int | float))
    return found


def as_bytes(value: object) -> memoryview:
    """Return decoded bytes, as each protocol of pickle writes them.

    Raises:
        TypeError: no bytes.
    """
    if isinstance(value, Call) and value.of == Name("_codecs", "encode"):
        value = value.args[0] if isinstance(value.args, tuple) and value.args else None
    if isinstance(value, Call) and isinstance(value.of, Name) and value.of.name == "bytearray":
        return as_bytes(_argument(value, 0))
    if isinstance(value, str):
        value = value.encode("latin-1")
    if not isinstance(value, bytes | memoryview):
        raise TypeError(f"{told(value)} where bytes should be")
    return memoryview(value)


def told(value: object) -> str:
    """What a decoded value is, in words."""
    if isinstance(value, Call):
        return f"a call of {value.of}" if isinstance(value.of, Name) else "a call"
    return f"a {type(value).__name__.lower()}"


def _argument(call: Call, place: int) -> Any:  # noqa: ANN401 (of a file)
    if not isinstance(call.args, tuple) or place >= len(call.args):
        raise ValueError(f"{told(call)} without its argument {place}")
    return call.args[place]


def _sizes(value: object) -> tuple[int, ...]:
    """The shape or strides of a tensor."""
    if isinstance(value, Call) and isinstance(value.of, Name) and value.of.name == "Size":
        value = _argument(value, 0)
    if isinstance(value, list):
        value = tuple(value)
    if not isinstance(value, tuple) or len(value) > _MOST_AXES:
        raise ValueError(f"{told(value)} where sizes should be")
    if not all(type(one) is int and 0 <= one < 2**40 for one in value):
        raise ValueError(f"the sizes {value!r}"[:200])
    return value


def _dtype(value: object) -> np.dtype[Any]:
    """The type of an array: numbers and truth values of either order of bytes."""
    if not isinstance(value, Call) or not isinstance(value.of, Name) or value.of.name != "dtype":
        raise ValueError(f"{told(value)} where the type of an array should be")
    code, state = _argument(value, 0), value.state
    if not isinstance(code, str) or code not in _ARRAYS:
        raise ValueError(f"an array of {str(code)[:50]!r}")
    swapped = isinstance(state, tuple) and len(state) > 1 and state[1] == ">"
    return np.dtype(code).newbyteorder(">" if swapped else "<")


def storage_type(name: object) -> torch.dtype | None:
    """The type of numbers of a storage's class; None for one of plain bytes.

    Raises:
        ValueError: a class of no numbers known here.
    """
    if not isinstance(name, Name) or not name.module.startswith("torch"):
        raise ValueError(f"{told(name)} where a storage's class should be")
    if name.name == "UntypedStorage":
        return None
    if name.name not in _STORAGES:
        raise ValueError(f"a storage of {name}")
    return _STORAGES[name.name]
