"""What a network answers, in any of the usual forms, and how that becomes logits.

    tensor, object with .logits, dict, tuple -> one row of outputs an image -> logits (N, Y)

A single output o of a binary network becomes the logits (0, o); a probability p of it, (log(1 - p),
log p). `softmax` then gives sigmoid(o), or p, to the second class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import fail
from genviews.classify.settings import Outputs
from genviews.signature import checked
from genviews.user_code import GUIDE

__all__ = ["as_logits", "rows_of"]


def rows_of(answer: object, count: int, classes: int) -> Float[Tensor, "N O"]:
    """Return the outputs of a network, one row an image; O is `classes`, or 1 of a binary one.

    Args:
        answer: what the network returned: a float tensor; an object with `.logits`; a dict with
            "logits", or with one tensor that fits; a tuple with one tensor that fits. Axes of
            length 1 may be missing or too many, as after `squeeze()`.
        count: N, images that it was given.
        classes: Y.

    Raises:
        TypeError: none of these, or no floats.
        ValueError: another shape, or several tensors that fit.
    """
    if not isinstance(answer, Tensor):
        answer = _pick(answer, count, classes)
    if not answer.is_floating_point():
        _refuse("a tensor of floats", f"{answer.dtype}", "return its logits, before any argmax")
    if answer.layout != torch.strided or answer.is_nested or answer.is_meta:
        layout = f"{answer.layout} on {answer.device}"
        _refuse("a dense tensor", layout, "return its logits with `.to_dense()`")
    found = _fitted(answer, count, classes)
    if found is not None:
        return found
    if answer.ndim == 2 and len(answer) == count:
        fail(
            "class names",
            expected=f"one for each of the {answer.shape[1]} logits of the classifier",
            got=f"{classes} classes",
            remedy=f"the classifier returns {answer.shape[1]} logits, labels have {classes} "
            "classes: name every logit in order (output_names, --output-names), or take the "
            f"classifier of these classes; see {GUIDE}",
        )
    _refuse(
        f"logits of shape ({count}, {classes}) for {count} images",
        f"shape {tuple(answer.shape)}",
        "return one row of logits an image, averaged over any other axis",
        ValueError,
    )


@checked
def as_logits(outputs: Float[Tensor, "N O"], kind: Outputs) -> Float[Tensor, "N Y"]:
    """Return outputs as logits, at least two of them.

    A probability of 0 counts as the smallest number of its type, so that averages stay finite.
    """
    tiny = torch.finfo(outputs.dtype).tiny
    if kind != "logits":
        other = (1 - outputs).clamp_min(tiny).log()
        outputs = outputs.clamp_min(tiny).log()
        if outputs.shape[1] == 1:
            return torch.cat([other, outputs], dim=1)
        return outputs - other if kind == "sigmoids" else outputs
    if outputs.shape[1] == 1:
        outputs = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    floor = torch.full_like(outputs, tiny).log()
    return torch.where(outputs == -torch.inf, floor, outputs)


def _pick(answer: object, count: int, classes: int) -> Tensor:
    """The tensor of logits in an answer that is no tensor."""
    named = answer.get("logits") if isinstance(answer, Mapping) else None
    named = getattr(answer, "logits", None) if named is None else named
    if isinstance(named, Tensor):
        return named
    if isinstance(answer, Mapping):
        parts = dict(answer)
    elif isinstance(answer, tuple | list):
        parts = dict(enumerate(answer))
    elif isinstance(answer, nn.Module):
        remedy = "it makes networks: call it first, or write a function without arguments that does"
        _refuse("a tensor of logits", f"the network {type(answer).__name__}", remedy)
    else:
        _refuse("a tensor of logits", type(answer).__name__, "return its logits as a torch.Tensor")
    fit = {
        key: part
        for key, part in parts.items()
        if isinstance(part, Tensor)
        and part.is_floating_point()
        and _fitted(part, count, classes) is not None
    }
    if len(fit) != 1:
        told = ", ".join(f"{key!r}: {_shape(part)}" for key, part in list(parts.items())[:6])
        got = f"{type(answer).__name__} with {told or 'nothing'}"
        remedy = "wrap the module in one that returns its logits alone"
        _refuse(f"a tensor of logits, or one in a {type(answer).__name__}", got, remedy)
    return next(iter(fit.values()))


def _shape(part: object) -> str:
    return str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__


def _fitted(tensor: Tensor, count: int, classes: int) -> Tensor | None:
    """A tensor as (N, Y) or, of two classes, (N, 1), if it is that but for axes of length 1."""
    sides = [side for side in tensor.shape if side != 1]
    for width in (classes, 1) if classes == 2 else (classes,):
        if sides == [side for side in (count, width) if side != 1]:
            return tensor.reshape(count, width)
    return None


def _refuse(expected: str, got: str, remedy: str, error: type[Exception] = TypeError) -> NoReturn:
    fail("classifier", expected=expected, got=got, remedy=f"{remedy}; see {GUIDE}", error=error)
