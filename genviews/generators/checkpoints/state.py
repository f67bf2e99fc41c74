"""The tensors of a file by their names in it: each is taken, and what is left is an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from genviews.checks import fail
from genviews.described import at_most, described_by
from genviews.generators.base import Generator
from genviews.generators.families import filled
from genviews.weights import bare_names, load_strictly

__all__ = ["State", "built", "family_generator", "loaded", "part_of"]

Network = TypeVar("Network", bound=nn.Module)


def part_of(table: Mapping[Any, object], prefix: str) -> dict[str, Any]:
    """The entries whose names begin with a prefix, without it."""
    bare = bare_names(table)
    return {k.removeprefix(prefix): v for k, v in bare.items() if k.startswith(prefix)}


class State:
    """The tensors of one network in a file.

    Args:
        tensors: by name, also as DataParallel and torch.compile save them.
        what: they are, for messages.

    Example:
        >>> import torch
        >>> state = State({"module.fc.weight": torch.ones(2, 3)}, "generator net.pt")
        >>> state.take("fc.weight").shape, state.left()
        (torch.Size([2, 3]), [])
    """

    def __init__(self, tensors: Mapping[str, Tensor], what: str) -> None:
        self.tensors = tensors
        self._tensors: dict[str, Tensor] = bare_names(tensors)
        self._taken: set[str] = set()
        self.what = what

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def take(self, name: str, axes: int | None = None) -> Tensor:
        """Return a tensor; ValueError where there is none of the name, or of so many axes."""
        if name not in self._tensors:
            got = ", ".join(self.left()[:4]) or "nothing else"
            fail(
                self.what,
                expected=f"a tensor {name!r}",
                got=f"none ({got}, ...)",
                remedy="name a whole file of this kind of network",
            )
        self._taken.add(name)
        found = self._tensors[name]
        if axes is not None and found.ndim != axes:
            fail(
                f"{name} of {self.what}",
                expected=f"{axes} axes",
                got=f"shape {tuple(found.shape)}",
                remedy="name a whole file of this kind of network",
            )
        return found

    def count(self, pattern: str) -> int:
        """How many names there are of a pattern such as "convs.{}.bias", from 0 on."""
        found = 0
        while pattern.format(found) in self._tensors:
            found += 1
        return found

    def names(self, pattern: str) -> list[str]:
        """Names that a regular expression matches as a whole."""
        return [name for name in self._tensors if re.fullmatch(pattern, name)]

    def ignore(self, *patterns: str) -> None:
        """Take what is not needed: names that a regular expression matches as a whole."""
        for pattern in patterns:
            self._taken.update(self.names(pattern))

    def left(self) -> list[str]:
        """Names that nobody took."""
        return [name for name in self._tensors if name not in self._taken]

    def done(self) -> None:
        """Raise ValueError where a tensor was not taken."""
        if left := self.left():
            some = ", ".join(left[:4]) + ", ..." * (len(left) > 4)
            fail(
                self.what,
                expected="the tensors of this kind of network alone",
                got=f"unused {some}",
                remedy="the network was changed; keep its code, and name it as "
                "package.module:function",
            )

    def renamed(self, pairs: Mapping[str, str]) -> dict[str, Tensor]:
        """Take tensors under other names, old -> new; a tensor that ends in "." is a prefix."""
        found: dict[str, Tensor] = {}
        for old, new in pairs.items():
            if old.endswith("."):
                for name in self.names(re.escape(old) + ".*"):
                    found[new + name.removeprefix(old)] = self.take(name)
            else:
                found[new] = self.take(old)
        return found


def built(state: State, make: Callable[[], Network]) -> Network:
    """Return a network whose sizes were read off tensors, if it is no larger than they are.

    Raises:
        ValueError: a far larger one, or sizes that its config refuses; names what they are.
    """
    with described_by(state.what, "a network of the sizes of its tensors"), at_most(state.tensors):
        return make()


def loaded(state: State, network: Network, weights: Mapping[str, Tensor]) -> Network:
    """Return the network with weights, in eval mode and frozen; ValueError where any is left."""
    state.done()
    load_strictly(network, weights, state.what)
    return network.eval().requires_grad_(False)


def family_generator(
    state: State, name: str, config: object, weights: Mapping[str, Tensor]
) -> Generator:
    """Return the generator of a family with weights; ValueError where any is left or missing."""
    state.done()
    return filled(name, config, weights, lambda: weights, state.what)
