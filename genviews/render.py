"""Rendering: latents of views to images, in chunks, with the rows that views share computed once.

    image -> invert -> latents -> perturb -> RENDER -> classify -> weigh -> prediction

The views of an image often differ in their fine rows only. All layers before the first row that
differs give the same features for each of its views; `render` finds that row and the generator
computes them once an image.

The module may be called as its function: `genviews.render(generator, latents)`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from inspect import signature
from types import ModuleType

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator, check_is_generator
from genviews.types import Progress, silent
from genviews.user_code import user_code

__all__ = ["render"]


def render(
    generator: Generator,
    latents: Float[Tensor, "*batch L D"],
    *,
    label: Int[Tensor, " B"] | None = None,
    batch_size: int = 64,
    out_device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "*batch C H W"]:
    """Render latents to images without gradients; for gradients call `generator.synthesize`.

    An image rendered alone, as a view of strength 0 or in another chunk is the same up to float
    round-off.

    Args:
        generator: the generator that the latents belong to; it is used as it is, on its own device.
        latents: (B, L, D), or (B, K, L, D) for K views of each image; moved to the generator a
            chunk at a time.
        label: (B,) class of each image; needed where `generator.renders_label`.
        batch_size: images rendered at once, which bounds the memory in use beside the result; K may
            be larger. 64 was chosen by us.
        out_device: where the images are put; None is the generator's device. "cpu" keeps a large
            result out of GPU memory.
        progress: called with ("render", "images", done, all), after each chunk.

    Returns:
        Images (B, C, H, W) or (B, K, C, H, W), in the dtype of the latents, not clamped.

    Raises:
        ValueError: latents of another shape, batch_size < 1, or a label that is missing or is
            no class of each image.

    Example:
        >>> from genviews import Rng, StyleMix, ToyGenerator, render
        >>> generator, streams = ToyGenerator(), Rng(0).streams(range(3))
        >>> latents = generator.map(generator.sample(streams))
        >>> render(generator, StyleMix("fine")(generator, latents, 5, streams)).shape
        torch.Size([3, 5, 1, 8, 8])
        >>> render(generator, latents).shape
        torch.Size([3, 1, 8, 8])
    """
    check_is_generator(generator)
    spec = generator.latent_spec
    check_count(batch_size, "batch_size")
    spec.check(latents)
    if latents.ndim not in (3, 4):
        fail(
            "latents",
            expected=f"shape (B, L, D) or (B, K, L, D) with L, D = {spec.num_layers}, {spec.dim}",
            got=tuple(latents.shape),
            remedy="add or flatten the batch axis",
        )
    if label is not None and generator.num_classes:
        label = generator.check_label(label, len(latents))
    views = latents if latents.ndim == 4 else latents[:, None]
    total = views.shape[0] * views.shape[1]
    device = generator.device if out_device is None else out_device
    shape = (*views.shape[:2], *generator.image_spec.shape)
    images = torch.empty(shape, dtype=latents.dtype, device=device)
    done, tell = 0, partial(progress or silent, "render", "images")
    tell(0, total)
    with torch.no_grad():
        for chunk in _chunks(views.shape[0], views.shape[1], batch_size):
            part = views[chunk]
            of = None if label is None else label[chunk[0]].to(generator.device)
            shown = part.to(generator.device)
            with user_code(f"output of {type(generator).__name__}", shown):
                images[chunk] = _synthesize(generator, shown, of).to(device)
            done += part.shape[0] * part.shape[1]
            tell(done, total)
    return images if latents.ndim == 4 else images[:, 0]


def _chunks(batch: int, num_views: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of at most `size` images: whole images with all views, or some views of one image."""
    rows = max(1, size // max(1, num_views))
    columns = max(1, min(size, num_views))
    for i in range(0, batch, rows):
        for k in range(0, num_views, columns):
            yield slice(i, i + rows), slice(k, k + columns)


def _synthesize(
    generator: Generator, latents: Float[Tensor, "B K L D"], label: Tensor | None
) -> Float[Tensor, "B K C H W"]:
    shared = _shared_rows(latents)
    if shared == latents.shape[2]:  # one view each, or K equal ones
        images = generator.images_of(latents[:, 0], label)
        return images[:, None].expand(-1, latents.shape[1], -1, -1, -1)
    return generator.synthesize_views(latents, shared, label)


def _shared_rows(latents: Float[Tensor, "B K L D"]) -> int:
    """The largest r such that rows [0, r) are equal for the K views of every image."""
    equal = (latents == latents[:, :1]).all(-1).all(1).all(0)
    return int(equal.long().cumprod(0).sum())


class _Callable(ModuleType):
    """This module as the function that it is named after."""

    __call__ = staticmethod(render)


__signature__ = signature(render)  # else its first argument would be taken for the module
sys.modules[__name__].__class__ = _Callable
