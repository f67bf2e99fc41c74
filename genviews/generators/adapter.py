"""How a user's function is called, and how what it returns is read.

    z (N, Z) -> as it takes z -> FUNCTION -> pick -> axes -> range -> (N, C, H, W) in [-1, 1]

A generator of the user's takes z as rows or as 1 x 1 images, and gives images of some range, with
channels first or last, perhaps within a tuple. `Adapter` says which; what it does not say is found
out by `genviews.generators.probe`, and said in a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from genviews.checks import check_words, fail
from genviews.types import ImageSpec, luma
from genviews.user_code import GUIDE, user_code

__all__ = ["CONTRACT", "Adapter", "is_plain", "parts_of", "refuse"]

ZShape = Literal["rows", "pixels"]
Classes = Literal["one-hot", "index"]
Axes = Literal["channels-first", "channels-last", "no-channels", "flat"]
ImageRange = Literal["-1..1", "0..1", "0..255"]
Colours = Literal["as-made", "grey", "rgb"]

_SCALES = {"-1..1": (1.0, 0.0), "0..1": (2.0, -1.0), "0..255": (1 / 127.5, -1.0)}


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a function is called and its answer read; None is found out by calling it.

    Args:
        z_shape: how it takes z: "rows" (N, Z), or "pixels" (N, Z, 1, 1), as a tutorial DCGAN does.
        classes: how it takes the class: "one-hot" (N, Y), which has the shape of z, or "index" (N,)
            of integers.
        output: where the images are in what it returns: a position, key or attribute.
        axes: of the images: "channels-first" (N, C, H, W), "channels-last" (N, H, W, C),
            "no-channels" (N, H, W), or "flat" (N, C*H*W), for which their size must be given.
        range: lowest and highest value of the images: "-1..1", "0..1" or "0..255".
        colours: what to make of the images: "as-made", "grey" or "rgb".

    Raises:
        ValueError: an unknown word; the closest are listed.
    """

    z_shape: ZShape | None = None
    classes: Classes | None = None
    output: str | None = None
    axes: Axes | None = None
    range: ImageRange | None = None
    colours: Colours = "as-made"

    def __post_init__(self) -> None:
        check_words(self)

    def stated(self) -> dict[str, str]:
        """The fields that say something else than the contract: what a card must hold."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v for k, v in values.items() if v is not None and v != getattr(CONTRACT, k)}

    def given(self, z: Tensor, label: Tensor | None, num_classes: int) -> tuple[Tensor, ...]:
        """What the function is called with: z, and the class where there is one."""
        pixels = self.z_shape == "pixels"
        shaped = z[:, :, None, None].clone() if pixels else z.clone()  # it may write to its z
        if label is None:
            return (shaped,)
        label = label.to(z.device).long()
        if self.classes == "index":
            return shaped, label
        one_hot = nn.functional.one_hot(label, num_classes).to(z.dtype)
        return shaped, one_hot[:, :, None, None] if pixels else one_hot

    def call(
        self,
        function: Callable[..., Any],
        z: Tensor,
        label: Tensor | None,
        num_classes: int,
        what: str,
        remedy: str | None = None,
    ) -> Any:  # noqa: ANN401 (whatever the user's function returns)
        """Call the function, in the precision of its own weights."""
        own = None
        if isinstance(function, nn.Module):
            own = next((p.dtype for p in function.parameters() if p.is_floating_point()), None)
        given = self.given(z if own is None else z.to(own), label, num_classes)
        with user_code(what, *given, **({} if remedy is None else {"remedy": remedy})):
            return function(*given)

    def read(self, answer: object, what: str, like: Tensor, spec: ImageSpec | None) -> Tensor:
        """The images of an answer: (N, C, H, W) in [-1, 1], in the type of `like`."""
        images = self.arrange(self.pick(answer, what), what, len(like), spec)
        scale, shift = _SCALES[self.range or "-1..1"]
        scaled = images.to(like.dtype)
        if (scale, shift) != (1.0, 0.0):
            scaled = scaled * scale + shift
        # Of `torch.inference_mode`: without this no training could look at it.
        return self.coloured(scaled.clone() if scaled.is_inference() else scaled, what)

    def pick(self, answer: object, what: str) -> Tensor:
        """The tensor of images in an answer."""
        found = answer
        if self.output is not None:
            parts = parts_of(answer)
            if isinstance(answer, list | tuple):
                parts |= {str(place): value for place, value in enumerate(answer, -len(answer))}
                parts |= {str(place): value for place, value in enumerate(answer)}
            if self.output not in parts:
                refuse(
                    what,
                    expected=f"a part {self.output!r}, as output says",
                    got=", ".join(parts_of(answer)) or type(answer).__name__,
                    remedy="name the part that holds the images",
                )
            found = parts[self.output]
        if isinstance(found, np.ndarray):
            found = torch.as_tensor(found)
        if not isinstance(found, Tensor) or not is_plain(found) or found.dtype == torch.bool:
            got = str(found.dtype) if isinstance(found, Tensor) else type(found).__name__
            if isinstance(found, Tensor) and found.layout != torch.strided:
                got = str(found.layout)
            if isinstance(found, nn.Module) or callable(found):
                remedy = "this is a function that makes a generator: name what it returns, or let "
                remedy += "it take no argument"
            else:
                remedy = "return the tensor of images"
            refuse(what, expected="a tensor of images", got=got, remedy=remedy, error=TypeError)
        return found

    def arrange(self, images: Tensor, what: str, batch: int, spec: ImageSpec | None) -> Tensor:
        """Bring the axes to (N, C, H, W), or raise."""
        axes = self.axes or "channels-first"
        arranged: Tensor | None = None
        if batch == 1 and axes != "flat" and images.ndim == (2 if axes == "no-channels" else 3):
            images = images[None]  # after `squeeze()`
        if axes == "channels-first" and images.ndim == 4:
            arranged = images
        elif axes == "channels-last" and images.ndim == 4:
            arranged = images.movedim(-1, 1)
        elif axes == "no-channels" and images.ndim == 3:
            arranged = images[:, None]
        elif axes == "flat" and spec is not None and images.ndim == 2:
            size = spec.channels * spec.height * spec.width
            arranged = images.reshape(-1, *spec.shape) if images.shape[1] == size else None
        if arranged is None or not _is_images(arranged, batch, spec):
            wanted = "C, H, W" if spec is None else ", ".join(map(str, spec.shape))
            refuse(
                what,
                expected=f"shape ({batch}, {wanted}), one image for each of the {batch} rows of z, "
                "of 1 to 4 channels",
                got=tuple(images.shape),
                remedy="keep the batch dimension and return channels before height and width"
                if images.ndim != 2
                else "reshape inside the function, or give the size of the images",
            )
        return arranged

    def coloured(self, images: Tensor, what: str) -> Tensor:
        """The images in the colours that are asked for."""
        channels = images.shape[1]
        if self.colours == "as-made" or channels == {"grey": 1, "rgb": 3}[self.colours]:
            return images
        if self.colours == "rgb" and channels == 1:
            return images.expand(-1, 3, -1, -1)
        if self.colours == "grey" and channels == 3:
            return luma(images)
        refuse(
            what,
            expected="1 or 3 channels, which can be made grey or rgb",
            got=channels,
            remedy="convert them inside the function",
        )


CONTRACT = Adapter(
    z_shape="rows", classes="one-hot", axes="channels-first", range="-1..1", output=None
)
"""What a function is taken for where nothing else is said or found."""


def _is_images(found: Tensor, batch: int, spec: ImageSpec | None) -> bool:
    if spec is not None:
        return found.shape == (batch, *spec.shape)
    return len(found) == batch and 1 <= found.shape[1] <= 4 and found.numel() > 0


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and real: neither sparse, nested, quantized nor complex."""
    dense = tensor.layout == torch.strided and not (tensor.is_nested or tensor.is_meta)
    return dense and not tensor.is_quantized and not tensor.is_complex()


def parts_of(answer: object) -> dict[str, object]:
    """The parts of an answer that is no tensor, by key, name or position."""
    if isinstance(answer, Mapping):
        return {str(key): value for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        names = getattr(answer, "_fields", range(len(answer)))  # of a named tuple
        return {str(name): value for name, value in zip(names, answer, strict=True)}
    if is_dataclass(answer) and not isinstance(answer, type):
        return {field.name: getattr(answer, field.name) for field in fields(answer)}
    return dict(getattr(answer, "__dict__", {}))


def refuse(
    what: str,
    *,
    expected: object,
    got: object,
    remedy: str,
    error: type[Exception] = ValueError,
) -> NoReturn:
    """Fail, with the page that says what is asked of a generator."""
    fail(what, expected=expected, got=got, remedy=f"{remedy} ({GUIDE} shows how)", error=error)
