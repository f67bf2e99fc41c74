"""The inversion contract: what `invert` does, whatever start, objective and optimizer it has.

A start or an optimizer of one's own is checked inside an inverter. Use float64, in which a long
descent does not magnify round-off: `generator.double()` and an encoder in float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.rng import Rng
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    run_laws,
    same,
    with_another_weight,
)
from genviews.types import Inversion, Status

__all__ = ["INVERTER_CHECKS", "check_inverter", "images_to_invert"]

COUNT = 5
FEW = 5  # steps of the checks that need no good result
FALLS_TO = 0.6  # the largest part of the loss at the start that may be left
CLOSE = 1e-6


def check_inverter(inverter: Inverter, generator: Generator) -> None:
    """Run every check of the contract on one inverter.

    Args:
        inverter: with steps enough to come near an image of the generator, say 40. A start that
            knows its images (`GivenStart`) gets those of `images_to_invert`.
        generator: in eval mode, in float64; left as it was.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import Inverter, ToyGenerator
        >>> check_inverter(Inverter(steps=30), ToyGenerator().double())
    """
    run_laws(INVERTER_CHECKS, inverter, generator)


@torch.no_grad()
def images_to_invert(generator: Generator) -> tuple[Tensor, Tensor]:
    """The five latents (B, L, D) that the checks invert images of, and these images."""
    dtype = next(t.dtype for t in generator.state_dict().values() if t.is_floating_point())
    labels = generator.labels_in_turn(range(COUNT))
    z = generator.sample(Rng(3, "inverter contract").streams(range(COUNT)))
    latents = generator.map(z.to(dtype), labels)
    return latents, generator.synthesize(latents)


def it_reproduces_images_of_the_generator(inverter: Inverter, generator: Generator) -> None:
    """With all its steps, the loss of each image falls well below that of its start."""
    _, images = images_to_invert(generator)
    result = invert(generator, images, inverter=inverter)
    left = float((result.loss / result.start_loss).max())
    expect(left < FALLS_TO, f"{left:.2f} of the loss at the start is left, not {FALLS_TO}")


def it_never_ends_worse_than_it_began(inverter: Inverter, generator: Generator) -> None:
    """No loss is above that of the start, and each is that of the latents returned."""
    _, images = images_to_invert(generator)
    before = invert(generator, images, inverter=replace(inverter, steps=0))
    after = invert(generator, images, inverter=_few(inverter))
    expect(bool((after.loss <= before.loss + 1e-12).all()), "more steps gave a larger loss")
    expect(bool((after.loss <= after.start_loss).all()), "a loss is above that of its start")
    with torch.no_grad():
        rendered = generator.synthesize(after.latents)
        masks = torch.ones_like(images[:, :1])
        target = inverter.objective.target(images, masks, before.latents)
        same(after.reconstructions, rendered, "reconstructions and renderings", CLOSE)
        same(after.loss, inverter.objective(target, rendered, after.latents), "losses", CLOSE)


def unknown_pixels_are_never_looked_at(inverter: Inverter, generator: Generator) -> None:
    """Where the mask is 0 anything may stand, NaN too; a mask makes a difference."""
    _, images = images_to_invert(generator)
    masks = _masks(images)
    clean = invert(generator, images, masks, inverter=_few(inverter))
    garbage = torch.full_like(images, torch.nan)
    garbage[:, :, ::2] = 1e6
    damaged = torch.where(masks == 0, garbage, images)
    _equal(invert(generator, damaged, masks, inverter=_few(inverter)), clean, tolerance=0.0)
    whole = invert(generator, images, inverter=_few(inverter))
    expect(not torch.allclose(whole.latents, clean.latents), "the mask changes nothing")


def neighbours_do_not_matter(inverter: Inverter, generator: Generator) -> None:
    """An image alone, in another order or in a smaller batch ends at the same place."""
    _, images = images_to_invert(generator)
    masks, few = _masks(images), _few(inverter)
    whole = invert(generator, images, masks, inverter=few)
    for rows in ([3], [4, 1]):
        part = invert(generator, images[rows], masks[rows], inverter=few, rows=rows)
        _equal(part, whole, rows)
    _equal(invert(generator, images, masks, inverter=few, batch_size=2), whole)


def a_bad_image_harms_nobody(inverter: Inverter, generator: Generator) -> None:
    """Pixels that are not finite, or none known: FAILED, the mean latent, the rest goes on."""
    _, images = images_to_invert(generator)
    masks = _masks(images)
    whole = invert(generator, images, masks, inverter=_few(inverter))
    damaged = images.clone()
    damaged[2] = torch.nan
    masks[4] = 0
    result = invert(generator, damaged, masks, inverter=_few(inverter))
    expect(result.failed() == [2, 4], f"images 2 and 4 are bad, but {result.failed()} failed")
    mean = generator.mean_latent().to(images)
    same(result.latents[[2, 4]], mean.expand(2, -1, -1), "latents of failed images", CLOSE)
    good = [0, 1, 3]
    _equal(_rows(result, good), whole, good)


def steps_and_status_agree(inverter: Inverter, generator: Generator) -> None:
    """No image takes more steps than allowed; one that took fewer says why it ended."""
    _, images = images_to_invert(generator)
    few = _few(inverter)
    result = invert(generator, images, inverter=few)
    expect(bool((result.steps <= few.steps).all()), f"{result.steps.tolist()} steps were made")
    limit = result.status == Status.STEP_LIMIT
    expect(not limit[result.steps < few.steps].any(), "STEP_LIMIT before the limit")
    enough = result.evaluations >= result.steps + inverter.start.count
    expect(bool(enough.all()), "steps without an evaluation")


def nothing_else_changes(inverter: Inverter, generator: Generator) -> None:
    """Weights, images and global state stay, the grad mode of the caller does not matter."""
    _, images = images_to_invert(generator)
    modules = [generator, *inverter.modules()]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in modules]
    trainable = [[p.requires_grad for p in m.parameters()] for m in modules]
    pixels = images.clone()
    with leaves_no_trace():
        result = invert(generator, images, inverter=_few(inverter))
    with torch.no_grad(), leaves_no_trace():
        _equal(invert(generator, images, inverter=_few(inverter)), result, tolerance=0.0)
    expect(torch.equal(images, pixels), "the images were written to")
    expect(not result.latents.requires_grad, "the latents carry a gradient")
    for module, state, wanted in zip(modules, before, trainable, strict=True):
        name = type(module).__name__
        for key, value in module.state_dict().items():
            expect(torch.equal(value, state[key]), f"{key} of {name} was changed")
        found = [p.requires_grad for p in module.parameters()]
        expect(found == wanted, f"{name} was frozen and not put back")


def it_is_described(inverter: Inverter, generator: Generator) -> None:
    """A copy has the same key for stored results, other steps or weights have another."""
    others: dict[str, object] = {"number of steps": replace(inverter, steps=inverter.steps + 1)}
    changed = with_another_weight(inverter, Inverter.modules)
    described_apart(inverter, **others, **({} if changed is None else {"weight": changed}))


INVERTER_CHECKS = laws_of(globals())


def _few(inverter: Inverter) -> Inverter:
    return replace(inverter, steps=min(inverter.steps, FEW))


def _masks(images: Tensor) -> Tensor:
    """The right third is unknown, of the first image also one pixel at the upper left."""
    masks = torch.ones_like(images[:, :1])
    masks[..., 2 * images.shape[-1] // 3 :] = 0
    masks[0, 0, 0, 0] = 0
    return masks


def _rows(result: Inversion, rows: Sequence[int]) -> Inversion:
    chosen = torch.as_tensor(rows)
    found: dict[str, Any] = {k: v if v is None else v[chosen] for k, v in vars(result).items()}
    return Inversion(**found)


def _equal(
    part: Inversion, whole: Inversion, rows: Sequence[int] | None = None, tolerance: float = CLOSE
) -> None:
    """All that two inversions say is the same, of the given rows of the whole."""
    wanted = whole if rows is None else _rows(whole, rows)
    for name, value in vars(part).items():
        if value is not None:
            what = f"{name} of the images {'all' if rows is None else list(rows)}"
            same(value, getattr(wanted, name), what, tolerance)
