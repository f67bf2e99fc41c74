"""What a user could give: tensors, networks, generators and other things, right and odd.

The tables are read by hypothesis in `test_public_calls.py`; a new kind of oddity is a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from genviews import CallableGenerator, Classifier, ImageSpec, ToyGenerator


def _one(x: Tensor, value: float, place: int) -> Tensor:
    x = (x if x.is_floating_point() else x.float()).clone()
    x.view(-1)[place % max(1, x.numel())] = value
    return x


TENSORS: dict[str, Callable[[Tensor, int], object]] = {
    "list": lambda x, n: x.tolist(),
    "array": lambda x, n: x.numpy(),
    "objects": lambda x, n: np.array([object()]),
    "none": lambda x, n: None,
    "word": lambda x, n: "images",
    "number": lambda x, n: n,
    "empty": lambda x, n: x[:0],
    "one": lambda x, n: x[n % len(x)],
    "no axes": lambda x, n: x.sum(),
    "more axes": lambda x, n: x[None],
    "flat": lambda x, n: x.flatten(),
    "narrow": lambda x, n: x[..., :-1],
    "wide": lambda x, n: torch.cat([x, x], -1),
    "no width": lambda x, n: x[..., :0],
    "fewer": lambda x, n: x[: n % len(x)],
    "turned": lambda x, n: x.movedim(0, -1),
    "bytes": lambda x, n: x.to(torch.uint8),
    "integers": lambda x, n: x.long(),
    "int32": lambda x, n: x.int(),
    "bool": lambda x, n: x > 0,
    "complex": lambda x, n: x.to(torch.complex64),
    "half": lambda x, n: x.half(),
    "bfloat16": lambda x, n: x.bfloat16(),
    "double": lambda x, n: x.double(),
    "float8": lambda x, n: x.to(torch.float8_e4m3fn),
    "NaN": lambda x, n: x * torch.nan,
    "one NaN": lambda x, n: _one(x, torch.nan, n),
    "one infinite": lambda x, n: _one(x, -torch.inf, n),
    "infinite": lambda x, n: x.float() + torch.inf,
    "large": lambda x, n: x * 10**6 + n,
    "below zero": lambda x, n: ~x if x.dtype == torch.bool else -x - 1,
    "constant": lambda x, n: x * 0,
    "elsewhere": lambda x, n: x.to("meta"),
    "sparse": lambda x, n: x.to_sparse(),
    "quantized": lambda x, n: torch.quantize_per_tensor(x.float(), 0.1, 0, torch.quint8),
    "nested": lambda x, n: torch.nested.nested_tensor([x.float(), x.float()[:1]]),
    "strided": lambda x, n: x.repeat_interleave(2, -1)[..., ::2],
    "expanded": lambda x, n: x[:1].expand_as(x),
    "gradient": lambda x, n: x.float().requires_grad_(),
}

THINGS: dict[str, Callable[[object], object]] = {
    "none": lambda right: None,
    "word": lambda right: "fashion31",
    "number": lambda right: 3,
    "object": lambda right: object(),
    "list": lambda right: [],
    "tensor": lambda right: torch.zeros(2, 3),
    "module": lambda right: nn.Linear(2, 2),
    "class": type,
    "function": lambda right: lambda *given: None,
}


def _raising(error: BaseException) -> Callable[[Tensor], Tensor]:
    def turn(out: Tensor) -> Tensor:
        raise error

    return turn


ANSWERS: dict[str, Callable[[Tensor], object]] = {
    "right": lambda out: out,
    "NaN": lambda out: out * torch.nan,
    "infinite": lambda out: out + torch.inf,
    "tuple": lambda out: (out, 1),
    "dict": lambda out: {"logits": out},
    "none": lambda out: None,
    "list": lambda out: out.tolist(),
    "array": lambda out: out.detach().numpy(),
    "one row": lambda out: out[:1],
    "more rows": lambda out: torch.cat([out, out]),
    "empty": lambda out: out[:0],
    "flat": lambda out: out.flatten(),
    "sum": lambda out: out.sum(),
    "wide": lambda out: torch.cat([out, out], -1),
    "integers": lambda out: out.long(),
    "complex": lambda out: out.to(torch.complex64),
    "double": lambda out: out.double(),
    "half": lambda out: out.half(),
    "elsewhere": lambda out: out.to("meta"),
    "sparse": lambda out: out.to_sparse(),
    "detached": lambda out: out.detach(),
    "chance": lambda out: out + torch.rand_like(out.float()),
    "over the batch": lambda out: out - out.mean(0),
    "constant": lambda out: out * 0,
    "large": lambda out: out * 1e30,
    "key": _raising(KeyError("x")),
    "runtime": _raising(RuntimeError("CUDA error: device-side assert\nat line 3")),
    "exit": _raising(SystemExit(2)),
    "stop": _raising(StopIteration()),
    "assert": _raising(AssertionError()),
}


class Turned(nn.Module):
    """A network whose answer is turned into something else."""

    def __init__(self, network: nn.Module, turn: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.network, self.turn = network, turn

    def forward(self, *given: Tensor) -> object:
        return self.turn(self.network(*given))


class Own(ToyGenerator):
    """A generator class of the user's own."""

    def __init__(self, turn: Callable, part: str, **settings: object) -> None:
        super().__init__(**settings)
        self.turn, self.part = turn, part

    def map(self, *given, **settings):
        latents = super().map(*given, **settings)
        return self.turn(latents) if self.part == "map" else latents

    def synthesize(self, latents, label=None):
        images = super().synthesize(latents, label)
        return self.turn(images) if self.part == "synthesize" else images


def _classifiers(right: Classifier, turn: Callable) -> Classifier:
    """One that was sound when it was made."""
    module = Turned(right.module, ANSWERS["right"])
    made = Classifier(module, right.image_spec, right.class_names)
    module.turn = turn
    return made


def _other_classifier(right: Classifier) -> Classifier:
    network = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    return Classifier(network, ImageSpec(channels=3, height=4, width=4), ("a", "b", "c"))


def every(right: object) -> Iterator[tuple[str, object]]:
    """(kind, something odd) of every kind for the place of what is right."""
    if isinstance(right, Tensor):
        yield from ((kind, turn(right.detach(), 1)) for kind, turn in TENSORS.items())
        return
    yield from ((kind, make(right)) for kind, make in THINGS.items())
    if isinstance(right, ToyGenerator):
        yield "another", CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), 16)
        for part in ("map", "synthesize"):
            for kind, turn in ANSWERS.items():
                yield f"{kind} of {part}", Own(turn, part, num_classes=right.num_classes)
    elif isinstance(right, Classifier):
        yield "another", _other_classifier(right)
        yield from ((f"answer {kind}", _classifiers(right, t)) for kind, t in ANSWERS.items())
    elif isinstance(right, nn.Module):
        yield from ((f"answer {kind}", Turned(right, turn)) for kind, turn in ANSWERS.items())


@st.composite
def odd(draw: st.DrawFn, right: object) -> tuple[str, object]:
    """(kind, something odd of that kind) for the place of what is right."""
    if isinstance(right, Tensor):
        kind = draw(st.sampled_from(list(TENSORS)))
        return kind, TENSORS[kind](right.detach(), draw(st.integers(0, 100)))
    return draw(st.sampled_from(list(every(right))))
