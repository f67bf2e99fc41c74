"""A perturbation as a module: its tensors are buffers, moved, saved and loaded with the rest.

Directions and walks are tensors within frozen dataclasses. Here they are seen by `.to` and
`state_dict`; the perturbation is made anew from what the buffers hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor, nn

from genviews.perturb.base import Perturbation

__all__ = ["HeldPerturbation"]


class HeldPerturbation(nn.Module):
    """Holds a perturbation.

    Args:
        perturbation: a frozen dataclass, whose tensors may lie in dataclasses within it; or None.

    Example:
        >>> from genviews import PCA, PCAStatistics, ToyGenerator
        >>> pca = PCA("fine", 1.0, PCAStatistics.measure(ToyGenerator(), num_samples=100))
        >>> sorted(HeldPerturbation(pca).state_dict())
        ['statistics__components', 'statistics__stddev']
    """

    def __init__(self, perturbation: Perturbation | None) -> None:
        super().__init__()
        self._perturbation = perturbation
        for name, tensor in _tensors(perturbation):
            self.register_buffer(name, tensor)

    @property
    def perturbation(self) -> Perturbation | None:
        """The perturbation with the tensors that the buffers hold."""
        found: Perturbation | None = _with(self._perturbation, dict(self.named_buffers()))
        return found

    def extra_repr(self) -> str:
        """The perturbation, for `repr`."""
        return repr(self._perturbation)


def _parts(value: object) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass."""
    if is_dataclass(value) and not isinstance(value, type):
        yield from ((f.name, getattr(value, f.name)) for f in fields(value) if f.init)


def _tensors(value: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors of nested dataclasses by their path; modules and mappings are not looked into."""
    for name, part in _parts(value):
        if isinstance(part, Tensor):
            yield prefix + name, part
        else:
            yield from _tensors(part, f"{prefix}{name}__")


def _with(value: Any, tensors: dict[str, Tensor], prefix: str = "") -> Any:  # noqa: ANN401 (as given)
    """The same with other tensors; itself where none is another."""
    changed: dict[str, Any] = {}
    for name, part in _parts(value):
        path = prefix + name
        found = tensors.get(path) if isinstance(part, Tensor) else _with(part, tensors, f"{path}__")
        if found is not None and found is not part:
            changed[name] = found
    return replace(value, **changed) if changed else value
