"""Where an inversion starts when there is no encoder: at the nearest of many samples.

    z_1 ... z_M -> map -> w_1 ... w_M -> render, once for all images -> the nearest of each image

The mean latent alone is no start for every generator: where the rectifiers of a network are shut at
z = 0, the gradient there is exactly 0 and no optimizer moves. So the mean competes with samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count
from genviews.invert.batch import in_parts
from genviews.invert.objective import blank
from genviews.invert.start import GivenStart, Start, ToInvert
from genviews.rng import Rng

__all__ = ["SampleStart"]


@dataclass(frozen=True, kw_only=True)
class SampleStart(Start):
    """The mean latent, and those of many samples whose renderings are nearest to the image.

    Near is the squared error of known pixels. The objective is evaluated at each candidate; then
    the best that can move descend, and after a trial the best of them alone. An image costs
    `nearest` + 1 evaluations, `descents` times `trial`, and the steps of one descent. The `samples`
    renderings, without gradients, serve all images of a call of `invert`; a generator that renders
    its class needs them for each class.

    Args:
        samples: M, drawn from the prior, of all classes in turn.
        nearest: how many of them are candidates, beside the mean latent.
        descents: candidates that are descended from.
        trial: evaluations after which only one of them goes on.
        seed: of the samples, which are the same for every image.

    Raises:
        ValueError: a count below 1, or more `nearest` than `samples`.

    Differs: Chai et al. start without an encoder from the mean latent; numbers chosen by us on
        `val`, so that all but the one descent costs little (benchmarks/random_starts.py).
    """

    samples: int = 128
    nearest: int = 3
    descents: int = 2
    trial: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.samples, "samples of the start")
        check_count(self.nearest, "nearest samples of the start", most=self.samples)
        check_count(self.descents, "descents of the start")
        check_count(self.trial, "trial of the start")

    @property
    def count(self) -> int:
        """See `Start`."""
        return self.nearest + 1

    @property
    def schedule(self) -> tuple[int, ...]:
        """See `Start`."""
        return (*(min(self.descents, self.count),) * (self.trial - 1), 1)

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B S L D"]:
        """See `Start`; the samples are rendered for these images alone."""
        found, rows = self.for_images(wanted), torch.arange(len(wanted))
        return found.candidates(replace(wanted, rows=rows))

    def for_images(self, every: ToInvert) -> Start:
        """Find the candidates of all images, with the samples rendered once."""
        generator, images, label = every.generator, every.images, every.label
        z = generator.sample(Rng(self.seed, "starts").streams(range(self.samples)))
        apart = max(generator.num_classes // self.samples, 1)  # of more classes, some from all over
        classes = generator.labels_in_turn(range(0, apart * self.samples, apart))
        latents = generator.latents_of(z, classes).to(images)
        error = images.new_empty(len(images), self.samples)
        if label is None:
            error = _errors(every, latents)
        else:
            for one in label.unique():
                rows = label == one
                some = replace(every, images=images[rows], masks=every.masks[rows], label=one)
                error[rows] = _errors(some, latents)
        near = error.nan_to_num(torch.inf).argsort(dim=1, stable=True)[:, : self.nearest]
        mean = generator.mean_latent().to(images).expand(len(images), 1, -1, -1)
        return GivenStart(torch.cat([mean, latents[near]], 1))


def _errors(of: ToInvert, latents: Float[Tensor, "M L D"]) -> Float[Tensor, "B M"]:
    """Squared error of known pixels, less what it would be for a black picture, of each pair.

    The images are of one class, which is their only label, or of none.
    """
    images, masks, label = of.images, of.masks, of.label

    def of_samples(part: Tensor) -> tuple[Tensor]:
        own = None if label is None else label.expand(len(part))
        rendered = of.generator.images_of(latents[part], own)
        flat, energy = rendered.flatten(1).T, rendered.square().sum(1).flatten(1).T

        def of_images(rows: Tensor) -> tuple[Tensor]:
            known = masks[rows]
            seen = blank(images[rows], known) * known
            return (known.flatten(1) @ energy - 2 * seen.flatten(1) @ flat,)

        return (in_parts(of_images, len(images), images.device, of.size)[0].T,)

    return in_parts(of_samples, len(latents), images.device, of.size)[0].T
