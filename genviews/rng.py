"""Randomness: an independent stream for each (seed, purpose, sample id, view index).

The only module that makes random numbers for views. A stream depends on nothing else: batch size,
order, chunking, worker count and device leave the draws of a sample unchanged (architecture, law
1). Each stream is NumPy's counter-based Philox: the key is (hash of seed and purpose, sample id),
the counter holds the view.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox).
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor

from genviews.checks import check_count, check_each, fail

__all__ = ["Rng", "Streams"]

SampleId = int | str
DTYPE = np.float32


def _hash64(*parts: object) -> int:
    text = "\x1f".join(f"{type(p).__name__}:{p}" for p in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


@lru_cache(maxsize=2**15, typed=True)  # the same samples are drawn again and again
def _hash_id(sample: SampleId) -> int:
    """`_hash64` of one part, in half the time: this is most of what a first draw costs."""
    text = f"{type(sample).__name__}:{sample}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _plain(sample: object) -> SampleId:
    """The id as Python's own type: a NumPy integer or string names the same sample."""
    if type(sample) is int:  # most are, and to ask the protocol below takes fifty times longer
        return sample
    if isinstance(sample, str):
        return str(sample)
    return _whole(sample, "sample id", "an integer or text", "pass row numbers or file names")


def _whole(value: object, what: str, expected: str, remedy: str) -> int:
    """An integer of any library as Python's own."""
    truth = isinstance(value, bool) or (isinstance(value, Tensor) and value.dtype == torch.bool)
    if isinstance(value, SupportsIndex) and not truth:
        return int(operator.index(value))
    fail(what, expected=expected, got=repr(value), remedy=remedy, error=TypeError)


@dataclass(frozen=True)
class Rng:
    """A seed with a purpose. Split it by purpose with `child`, by sample with `streams`.

    Example:
        >>> rng = Rng(0)
        >>> both = rng.streams([7, 8]).normal(2, (3,))
        >>> alone = rng.streams([8]).normal(2, (3,))
        >>> bool((both[1] == alone[0]).all())
        True
    """

    seed: int
    purpose: str = ""

    def __post_init__(self) -> None:
        if type(self.seed) is not int:  # a seed of NumPy names the same draws
            object.__setattr__(self, "seed", _whole(self.seed, "seed", "an integer", "pass one"))

    def child(self, purpose: str) -> Rng:
        """An independent Rng for a sub-purpose, e.g. `rng.child("crop")`."""
        return Rng(self.seed, f"{self.purpose}/{purpose}")

    def streams(self, ids: Iterable[SupportsIndex | str]) -> Streams:
        """One stream for each sample id (an int, or a string such as a file name).

        Raises:
            TypeError: an id that is neither an integer, of any library, nor a string.
        """
        return Streams(self, tuple(_plain(i) for i in ids))

    def torch(self) -> torch.Generator:
        """A CPU torch generator for this seed and purpose, for loops that have no sample ids."""
        return torch.Generator().manual_seed(_hash64(self.seed, self.purpose) >> 1)

    def numpy(self) -> np.random.Generator:
        """A NumPy generator for this seed and purpose."""
        return np.random.Generator(np.random.Philox(key=_hash64(self.seed, self.purpose)))


@dataclass(frozen=True)
class Streams:
    """The random streams of B samples; draws have shape (B, K, *shape), float32, on the CPU.

    Args:
        rng: seed and purpose.
        ids: B sample ids. Equal ids get equal draws.
        first_view: index of the first view drawn; views 8-15 are the same drawn alone or with 0-7.
    """

    rng: Rng
    ids: tuple[SampleId, ...]
    first_view: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice | Sequence[int] | np.ndarray | Tensor) -> Streams:
        """The streams of some of the samples: a slice, numbers, or a mask of all."""
        if not isinstance(rows, slice) and (mask := torch.as_tensor(rows)).dtype == torch.bool:
            check_each(mask, len(self), "mask of streams", "sample")
            rows = mask.nonzero().flatten()
        ids = self.ids[rows] if isinstance(rows, slice) else tuple(self.ids[i] for i in rows)
        return Streams(self.rng, ids, self.first_view)

    def child(self, purpose: str) -> Streams:
        """The same samples' streams for a sub-purpose, independent of these."""
        return Streams(self.rng.child(purpose), self.ids, self.first_view)

    def from_view(self, index: int) -> Streams:
        """The same streams, starting at view `index`."""
        return Streams(self.rng, self.ids, check_count(index, "first view", least=0))

    def normal(self, num_views: int, shape: Sequence[int]) -> Tensor:
        """Standard normal draws."""
        return self._draw(num_views, shape, np.random.Generator.standard_normal)

    def uniform(self, num_views: int, shape: Sequence[int]) -> Tensor:
        """Draws uniform on [0, 1)."""
        return self._draw(num_views, shape, np.random.Generator.random)

    def poisson(self, rates: Tensor) -> Tensor:
        """Poisson draws, in float64.

        Args:
            rates: (B, K, ...) means of at least 0, on any device.
        """
        means = rates.detach().to("cpu", torch.float64).numpy()
        check_each(means, len(self), "rates", "sample")
        count = means.shape[1]
        drawn = np.empty((len(self) * count, math.prod(means.shape[2:])))
        rows = means.reshape(drawn.shape)
        for number, generator in enumerate(self._generators(count)):
            drawn[number] = generator.poisson(rows[number])
        return torch.from_numpy(drawn.reshape(means.shape))

    def _draw(self, num_views: int, shape: Sequence[int], fill: Callable[..., object]) -> Tensor:
        out = np.empty((len(self.ids) * num_views, math.prod(shape)), dtype=DTYPE)
        for row, generator in zip(out, self._generators(num_views), strict=True):
            fill(generator, dtype=DTYPE, out=row)
        return torch.from_numpy(out.reshape(len(self.ids), num_views, *shape))

    def _generators(self, num_views: int) -> Iterator[np.random.Generator]:
        """One object, at the start of the stream of each view of each sample in turn."""
        # Making a Philox costs ten times more than moving one to another stream, so one serves all.
        philox = np.random.Philox(key=0)
        generator = np.random.Generator(philox)
        counter, key = [0, 0, 0, 0], [_hash64(self.rng.seed, self.rng.purpose), 0]
        start: Any = {
            "bit_generator": "Philox",
            "state": {"counter": counter, "key": key},
            "buffer": [0, 0, 0, 0],
            "buffer_pos": 4,  # the buffer is used up: the first draw computes a new block
            "has_uint32": 0,
            "uinteger": 0,
        }
        views = range(self.first_view, self.first_view + num_views)
        for sample in self.ids:
            key[1] = _hash_id(sample)
            for view in views:
                counter[1] = view
                philox.state = start
                yield generator
