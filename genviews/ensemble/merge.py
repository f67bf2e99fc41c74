"""How the predictions for the views of an image become one: by name, from one table.

    logits of M views -> values -> JOIN -> (mix with alpha) -> probabilities

    mean        mean of the probabilities; the reference code, and what its numbers need
    gmean       mean of the logits, the paper's formula: the geometric mean of the probabilities
    tsharpen    mean of the square roots of the probabilities, which gives sure views less say
    max         the largest probability of each class

Equation 7 mixes the joined values of the image and of the views; then they are made to sum to 1.
A further merge is a line of `MERGES` and a word of `MergeName`.

Source: Chai et al. 2021, section 3.2 and its code (gmean, mean); the names and the other two are
those of the ttach library.

Differs: ttach's gmean is a root of a product, of whatever it is given; here the softmax of the mean
of the logits, which is the same for probabilities, and has no zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from genviews.checks import lookup

__all__ = ["MERGES", "Merge", "find_merge"]


@dataclass(frozen=True, kw_only=True)
class Merge:
    """One way to put predictions together, in three steps.

    Args:
        values: logits -> what is joined and mixed, of the same shape.
        join: values (N, M, Y) of M members -> (N, Y).
        probs: mixed values (N, Y) -> probabilities, with the same order of classes.
    """

    values: Callable[[Tensor], Tensor]
    join: Callable[[Tensor], Tensor]
    probs: Callable[[Tensor], Tensor]


def _softmax(logits: Float[Tensor, "*N Y"]) -> Float[Tensor, "*N Y"]:
    return logits.softmax(-1)


def _mean(values: Float[Tensor, "N M Y"]) -> Float[Tensor, "N Y"]:
    return values.mean(1)


def _as_it_is(values: Tensor) -> Tensor:
    return values


def _shared(values: Float[Tensor, "N Y"]) -> Float[Tensor, "N Y"]:
    return values / values.sum(-1, keepdim=True)


MERGES: dict[str, Merge] = {
    "mean": Merge(values=_softmax, join=_mean, probs=_as_it_is),
    "gmean": Merge(values=_as_it_is, join=_mean, probs=_softmax),
    "tsharpen": Merge(values=lambda logits: _softmax(logits).sqrt(), join=_mean, probs=_shared),
    "max": Merge(values=_softmax, join=lambda values: values.amax(1), probs=_shared),
}
"""Every merge by its name."""


def find_merge(name: str) -> Merge:
    """Return a merge by its name.

    Raises:
        ValueError: unknown; the closest names are listed.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 0.0], [3.0, 0.0]]])
        >>> merge = find_merge("gmean")
        >>> merge.probs(merge.join(merge.values(logits))).argmax(-1)
        tensor([0])
    """
    return lookup(name, MERGES, "merge")
