"""A device that is not there: its tensors may not be mixed with those of the CPU.

    with pretended_device() as device:
        tta.to(device).fit(images, labels)     # RuntimeError where two devices meet

Everything is computed on the CPU. Memory that was moved to the device, or comes from what is there,
is tagged; an operator that gets tagged and other tensors raises, with the exceptions that CUDA has:
numbers (tensors without an axis), indices, `copy_`. Nor does NumPy see what is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("maia")  # a name that torch knows and that no machine here has
ARRAYS = (Tensor.numpy, Tensor.__array__)
INDEXED = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Pretend for the length of a block; yields the device."""
    there = _There()
    with _Operators(there), _Calls(there):
        yield DEVICE


class _There:
    """Which memory is on the device."""

    def __init__(self):
        self._memory = set()  # weak, so that an address that is used again is another entry

    def has(self, tensor):
        return StorageWeakRef(tensor.untyped_storage()) in self._memory

    def put(self, tensor, there=True):
        change = self._memory.add if there else self._memory.discard
        change(StorageWeakRef(tensor.untyped_storage()))
        return tensor


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, there, to):
        ctx.there, ctx.to = there, to
        return there.put(tensor.clone(), to)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.there.put(gradient.clone(), not ctx.to), None, None


def _is_device(value):
    return isinstance(value, (str, torch.device))


class _Calls(TorchFunctionMode):
    """What names a device in Python: `x.device`, `x.to(...)`, `torch.zeros(..., device=...)`."""

    def __init__(self, there):
        super().__init__()
        self.there = there

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func == Tensor.device.__get__ and self.there.has(args[0]):
            return DEVICE
        if func in ARRAYS and self.there.has(args[0]):
            raise TypeError("can't convert a tensor of the pretended device to numpy")
        if func is Tensor.cpu:
            return self._to(args[0], (torch.device("cpu"),), {})
        if func is Tensor.to:
            return self._to(args[0], args[1:], kwargs)
        if getattr(func, "__name__", "") == "one_hot" and self.there.has(args[0]):
            # Made in C++ from zeros that no operator gives a device to.
            made = func(self._moved(args[0], False), *args[1:], **kwargs)
            return self._moved(made, True)
        device = kwargs.get("device")
        if device is not None:
            there = torch.device(device) == DEVICE
            if there and kwargs.get("generator") is not None:
                raise RuntimeError(f"{func.__name__}: a generator of the CPU draws for {DEVICE}")
            made = func(*args, **{**kwargs, "device": "cpu"} if there else kwargs)
            return self._moved(made, there)
        made = func(*args, **kwargs)
        copied = func is Tensor.__deepcopy__ or getattr(func, "__name__", "") == "new_tensor"
        if copied and self.there.has(args[0]):
            self.there.put(made)
        return made

    def _moved(self, tensor, to):
        return tensor if self.there.has(tensor) == to else _Move.apply(tensor, self.there, to)

    def _to(self, tensor, args, kwargs):
        to, dtype = self.there.has(tensor), kwargs.pop("dtype", None)
        for value in (*args, kwargs.pop("device", None), kwargs.pop("other", None)):
            if _is_device(value):
                to = torch.device(value) == DEVICE
            elif isinstance(value, torch.dtype):
                dtype = value
            elif isinstance(value, Tensor):
                to, dtype = self.there.has(value), value.dtype
        kwargs.pop("non_blocking", None)
        return self._moved(tensor.to(dtype=dtype or tensor.dtype, **kwargs), to)


class _Operators(TorchDispatchMode):
    """Every operator, those of the backward pass included."""

    def __init__(self, there):
        super().__init__()
        self.there = there

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        tagged = [self.there.has(x) for x in given]
        if any(tagged):
            self._check(func, args, kwargs, given, tagged)
        made = func(*args, **kwargs)
        if any(tagged):
            known = {StorageWeakRef(x.untyped_storage()) for x in given}
            for x in tree_leaves(made):
                if isinstance(x, Tensor) and StorageWeakRef(x.untyped_storage()) not in known:
                    self.there.put(x)
        return made

    def _check(self, func, args, kwargs, given, tagged):
        name = func._schema.name
        if name == "aten::copy_":
            return
        if name in INDEXED and self.there.has(args[0]):
            given = [args[0], *(x for x in args[2:] if isinstance(x, Tensor))]
            tagged = [self.there.has(x) for x in given]
        other = [x for x, on in zip(given, tagged, strict=True) if not on and x.ndim]
        if other:
            got = f"{[tuple(x.shape) for x in other]} on the CPU among {len(given)}"
            raise RuntimeError(f"{name}: expected all tensors on one device, got {got}")
        if kwargs.get("generator") is not None:
            raise RuntimeError(f"{name}: a generator of the CPU draws for the pretended device")
