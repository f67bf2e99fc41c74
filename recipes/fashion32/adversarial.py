"""The formulas that `train_generator` steps through: losses, penalties, averages, style mixing.

With D the discriminator's logit, x a real image and G(z) a made one, the non-saturating loss judges
each image by itself, the relativistic one a made image against the real one of the same place in
the batch, so that no real image may be left behind:

    non-saturating  L_G = E[ softplus(-D(G(z))) ]
                    L_D = E[ softplus(D(G(z))) ] + E[ softplus(-D(x)) ]
    relativistic    L_G = E[ softplus(D(x) - D(G(z))) ]
                    L_D = E[ softplus(D(G(z)) - D(x)) ]
    penalties       R_1 = gamma / 2  E[ |grad_x D(x)|^2 ]        both losses
                    R_2 = gamma / 2  E[ |grad_x D(G(z))|^2 ]     the relativistic one as well

Penalties are lazy: due each `interval` steps, `interval` times as strong.

Source: Goodfellow et al. 2014, arXiv 1406.2661 (non-saturating loss); Jolicoeur-Martineau 2019,
arXiv 1807.00734 and Huang et al. 2025, "The GAN is dead; long live the GAN!" (R3GAN), arXiv
2501.05441, section 2 (relativistic pairing loss with R1 and R2); Mescheder et al. 2018, arXiv
1801.04406, eq. 9 (R1, R2); Karras et al. 2020, arXiv 1912.04958, section 3.1 and appendix B (lazy
penalty, Adam's correction); Karras et al. 2019, arXiv 1812.04948, section 3.1 (style mixing);
Karras et al. 2020, arXiv 2006.06676, appendix B (average's ramp).
Differs: R3GAN's penalties are due at every step, with a weight that falls during the training.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.rng import Streams

__all__ = [
    "average_beta",
    "discriminator_loss",
    "draw_crossover",
    "generator_loss",
    "gradient_penalty",
    "lazy_adam",
    "mix_styles",
    "relativistic_loss",
    "update_average",
]


def generator_loss(fake_logits: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """Mean of softplus(-D(G(z)))."""
    return F.softplus(-fake_logits).mean()


def discriminator_loss(
    fake_logits: Float[Tensor, " B"], real_logits: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Mean of softplus(D(G(z))) plus mean of softplus(-D(x))."""
    return F.softplus(fake_logits).mean() + F.softplus(-real_logits).mean()


def relativistic_loss(
    raised: Float[Tensor, " B"], lowered: Float[Tensor, " B"]
) -> Float[Tensor, ""]:
    """Mean of softplus(lowered - raised) over pairs: the generator's loss raises its own logits.

    Args:
        raised: logits that the loss wants above the others; the made images' for the generator,
            the real ones' for the discriminator.
        lowered: the other logits; entry i is paired with entry i.
    """
    return F.softplus(lowered - raised).mean()


def gradient_penalty(
    discriminator: nn.Module,
    images: Float[Tensor, "B C H W"],
    label: Int[Tensor, " B"] | None = None,
) -> Float[Tensor, ""]:
    """Mean over images of |grad_x D(x)|^2, not times gamma / 2; differentiable in the weights.

    R1 on real images, R2 on made ones; no gradient reaches the generator.
    """
    images = images.detach().requires_grad_()
    logits = discriminator(images, label)
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def lazy_adam(
    module: nn.Module, *, lr: float, betas: tuple[float, float], interval: int | None = None
) -> torch.optim.Adam:
    """Adam for `module`, corrected for a penalty that is a step of its own each `interval` steps.

    One penalty step for `interval` others makes interval + 1 steps of what would be `interval`: the
    rate is multiplied by c = interval / (interval + 1) and each beta is raised to the power c.
    """
    c = 1.0 if interval is None else interval / (interval + 1)
    return torch.optim.Adam(
        module.parameters(), lr=lr * c, betas=(betas[0] ** c, betas[1] ** c), eps=1e-8, foreach=True
    )


def average_beta(*, batch: int, images_shown: int, half_life: float, ramp: float | None) -> float:
    """Weight of the old average: 0.5 ** (batch / half-life); the half-life grows at first.

    Args:
        batch: images in this step.
        images_shown: images shown before this step.
        half_life: in images, after the ramp.
        ramp: the half-life is at most `ramp` times the images shown; None is no ramp.

    Returns:
        A number in [0, 1]; 0 at the very first step of a ramp.
    """
    if ramp is not None:
        half_life = min(half_life, images_shown * ramp)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, beta: float) -> None:
    """Move the average's parameters to beta old + (1 - beta) current; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1.0 - beta)
    for old, new in zip(average.buffers(), current.buffers(), strict=True):
        old.copy_(new)


def draw_crossover(streams: Streams, num_layers: int, probability: float) -> Int[Tensor, " B"]:
    """The row where each sample's second latent begins: uniform on [1, L), or L for no mixing."""
    where, whether = streams.child("crossover").uniform(1, (2,))[:, 0].unbind(1)
    crossover = 1 + (where * (num_layers - 1)).long().clamp(max=num_layers - 2)
    return torch.where(whether < probability, crossover, num_layers)


def mix_styles(
    first: Float[Tensor, "B L D"], second: Float[Tensor, "B L D"], crossover: Int[Tensor, " B"]
) -> Float[Tensor, "B L D"]:
    """Rows [0, crossover) of `first` and the rest of `second`, for each sample.

    Differs: the reference code draws one crossover for the whole batch, here each sample has its
    own.
    """
    rows = torch.arange(first.shape[1], device=first.device)
    return torch.where(rows[None, :, None] < crossover[:, None, None], first, second)
