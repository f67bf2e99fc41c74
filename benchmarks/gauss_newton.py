"""A rival for the inversion benchmark: Levenberg-Marquardt with conjugate gradients.

The objective is that of the benchmark, w_1 |e| + w_2 e^2 + w_3 |w - w_0|^2 in means. The absolute
error is handled by iteratively reweighted least squares, with weights 1 / sqrt(e^2 + delta^2).
A product with the Gauss-Newton matrix J' W J costs one forward-mode and one backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad

from genviews.generators.base import Generator

__all__ = ["GaussNewton"]


@dataclass(frozen=True, kw_only=True)
class GaussNewton:
    """Settings; the weights are those of the terms."""

    l1: float
    l2: float
    pull: float
    outer: int
    inner: int
    delta: float = 0.02
    damping: float = 1e-3

    def run(self, generator: Generator, images: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and exact loss (B,) of each image."""
        pixels, elements = images[0].numel(), start[0].numel()
        decay = 2 * self.pull / elements
        w, damping = start.clone(), torch.full((len(images), 1, 1), self.damping)
        leaf, rendered = self._forward(generator, w)
        loss = self._loss(rendered.detach() - images, w - start)
        for _ in range(self.outer):
            error = rendered.detach() - images
            weight = (self.l1 / (error.square() + self.delta**2).sqrt() + 2 * self.l2) / pixels
            (gradient,) = torch.autograd.grad(rendered, leaf, weight * error, retain_graph=True)
            gradient = gradient + decay * (w - start)
            step = self._solve(generator, leaf, rendered, weight, gradient, decay + damping)
            new_leaf, new_rendered = self._forward(generator, w + step)
            new_loss = self._loss(new_rendered.detach() - images, w + step - start)
            better = new_loss < loss
            damping = torch.where(better[:, None, None], damping * 0.3, damping * 4).clamp_min(1e-6)
            w = torch.where(better[:, None, None], w + step, w)
            loss = torch.where(better, new_loss, loss)
            leaf, rendered = new_leaf, new_rendered
            if not bool(better.all()):
                leaf, rendered = self._forward(generator, w)
        return w, loss

    def _forward(self, generator: Generator, w: Tensor) -> tuple[Tensor, Tensor]:
        leaf = w.detach().requires_grad_(True)
        return leaf, generator.synthesize(leaf)

    def _loss(self, error: Tensor, moved: Tensor) -> Tensor:
        pixel = self.l1 * error.abs() + self.l2 * error.square()
        return pixel.mean((1, 2, 3)) + self.pull * moved.square().mean((1, 2))

    def _solve(
        self,
        generator: Generator,
        leaf: Tensor,
        rendered: Tensor,
        weight: Tensor,
        gradient: Tensor,
        shift: Tensor,
    ) -> Tensor:
        """(J' W J + shift) step = -gradient, `inner` steps of conjugate gradients."""
        step, residual = torch.zeros_like(gradient), -gradient
        direction, size = residual, _dot(residual, residual)
        for _ in range(self.inner):
            moved = weight * _forward_product(generator, leaf.detach(), direction)
            (product,) = torch.autograd.grad(rendered, leaf, moved, retain_graph=True)
            product = product + shift * direction
            length = size / _dot(direction, product).clamp_min(1e-30)
            step, residual = step + length * direction, residual - length * product
            new_size = _dot(residual, residual)
            direction = residual + new_size / size.clamp_min(1e-30) * direction
            size = new_size
        return step


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2), keepdim=True)


def _forward_product(generator: Generator, w: Tensor, direction: Tensor) -> Tensor:
    """J direction, in forward mode."""
    with forward_ad.dual_level():
        rendered = generator.synthesize(forward_ad.make_dual(w, direction))
        tangent = forward_ad.unpack_dual(rendered).tangent
    assert tangent is not None
    return tangent.detach()
