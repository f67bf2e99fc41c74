"""Where an inversion starts: one or several latents for each image.

With several, the best result is kept (`invert` does that, and ends what is outdone); a start is
only asked for its candidates. Where nothing is known of an image, `genviews.invert.samples` has
the start to take.

Source: Chai et al. 2021, Sec. 3.1 (encoder), Sec. 8.5 (mean latent of the predicted class); Alaluf
et al. 2021, ReStyle, arXiv 2104.02699 (iterated feedback).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.checks import check_count, fail, finite_rows
from genviews.generators.base import Generator
from genviews.invert.batch import ALIKE
from genviews.invert.encoder import LatentEncoder
from genviews.invert.objective import masked_mean
from genviews.modes import evaluating
from genviews.rng import Rng
from genviews.signature import checked
from genviews.types import Images, Label, Masks, check_shape, check_tensor
from genviews.user_code import user_code

__all__ = [
    "ClassMeanStart",
    "EncoderStart",
    "GivenStart",
    "MeanStart",
    "Start",
    "Starts",
    "ToInvert",
    "class_means",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ToInvert:
    """Images that a start is wanted for.

    Args:
        generator: that the latents belong to.
        images: on its device; unknown pixels are 0 where candidates are asked for, and may be
            anything before.
        masks: 1 where a pixel is known.
        rows: positions of these images among those given to `invert`.
        label: of each image, where the generator renders it.
        size: images to render or compare at once, see `genviews.invert.batch.in_parts`.
    """

    generator: Generator
    images: Images
    masks: Masks
    rows: Int[Tensor, " B"]
    label: Label | None = None
    size: int = ALIKE

    def __len__(self) -> int:
        return len(self.images)


class Start(ABC):
    """Candidate latents for images; leaves are frozen dataclasses."""

    @abstractmethod
    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B S L D"]:
        """S candidates for each image, on the images' device.

        Called without gradients, unless the inversion is unrolled.
        """

    @property
    def count(self) -> int:
        """S."""
        return 1

    @property
    def schedule(self) -> tuple[int, ...]:
        """How many candidates of an image go on after each evaluation; the last number stays.

        Those with the lowest losses do. As it stands all go on to their end.
        """
        return (self.count,)

    def for_images(self, every: ToInvert) -> Start:
        """The start to ask for candidates of these images; itself, unless something serves all.

        `invert` calls it once, with all its images, whose `rows` are positions in a larger set; the
        `rows` that it asks the answer for are then positions among these. Without gradients.
        """
        return self

    @property
    def encoder(self) -> LatentEncoder | None:
        """The inversion encoder of the start, if it has one."""
        return next((m for m in self.modules() if isinstance(m, LatentEncoder)), None)

    def modules(self) -> list[nn.Module]:
        """Networks that must be where the images are."""
        return [value for value in vars(self).values() if isinstance(value, nn.Module)]


@dataclass(frozen=True)
class MeanStart(Start):
    """The generator's mean latent, measured on 10,000 samples."""

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B 1 L D"]:
        """See `Start`."""
        mean = wanted.generator.mean_latent().to(wanted.images)
        return mean.expand(len(wanted), 1, -1, -1).clone()


@dataclass(frozen=True)
class EncoderStart(Start):
    """What the encoder sees; with more passes, corrected by what it sees in the result.

        w_1 = E(x, m),    w_{k+1} = w_k + E(x, m) - E(G(w_k), m)

    or, of an encoder that was trained for pairs,  w_{k+1} = w_k + E(x, G(w_k)).

    A pass that makes an image's L1 error larger is not kept for that image.

    Args:
        network: the inversion encoder, called in eval mode.
        passes: times that the encoder looks; 1 is the plain encoder.

    Source: Alaluf et al. 2021 (ReStyle), Sec. 3, the idea of feeding the reconstruction back.
    Differs: ReStyle trains an encoder for the pair of images; one that was not sees each alone.
    """

    network: LatentEncoder
    passes: int = 1

    def __post_init__(self) -> None:
        check_count(self.passes, "passes of the encoder")

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B 1 L D"]:
        """See `Start`."""
        with evaluating(self.network):
            seen: Tensor = self.network(wanted.images, wanted.masks)
            wanted.generator.latent_spec.check(seen, "the encoder's latents")
            best = seen
            if self.passes > 1:
                error, rendered = _error(wanted, seen)
            for _ in range(self.passes - 1):
                latents = self.network.correct(best, seen, wanted.images, rendered, wanted.masks)
                new_error, new_rendered = _error(wanted, latents)
                better = new_error < error
                best = torch.where(better[:, None, None], latents, best)
                error = torch.where(better, new_error, error)
                rendered = torch.where(better[:, None, None, None], new_rendered, rendered)
        return best[:, None]


@checked
@dataclass(frozen=True, eq=False)
class ClassMeanStart(Start):
    """The mean latent of the class that a classifier sees in the image.

    Args:
        means: (Y, L, D), see `class_means`.
        classifier: images -> logits (B, Y), called in eval mode.

    Source: Chai et al. 2021, Sec. 8.5 (CIFAR10).
    """

    means: Float[Tensor, "Y L D"]
    classifier: nn.Module

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B 1 L D"]:
        """See `Start`."""
        remedy = "take those of this generator"
        check_shape(self.means, ("Y", *wanted.generator.latent_spec.shape), "class means", remedy)
        predicted = _classes(self.classifier, wanted.images)
        remedy = "make them with `class_means` for this classifier"
        _check_enough(self.means, int(predicted.max()), "class means", "class", remedy)
        return self.means.to(wanted.images)[predicted][:, None]


@checked
@dataclass(frozen=True, eq=False)
class GivenStart(Start):
    """Latents that the user has, one or several for each image given to `invert`.

    Args:
        latents: (N, L, D) or (N, S, L, D), in the order of the images.
    """

    latents: Float[Tensor, "N *S L D"]

    @property
    def count(self) -> int:
        """See `Start`."""
        return self.latents.shape[1] if self.latents.ndim == 4 else 1

    def for_images(self, every: ToInvert) -> Start:
        """Those of these images."""
        return GivenStart(self._chosen(every))

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B S L D"]:
        """See `Start`."""
        chosen = self._chosen(wanted).to(wanted.images)
        return chosen if chosen.ndim == 4 else chosen[:, None]

    def _chosen(self, of: ToInvert) -> Tensor:
        of.generator.latent_spec.check(self.latents, "given latents")
        remedy = "pass the latents of these images, in their order"
        last = int(of.rows.max()) if len(of.rows) else -1
        _check_enough(self.latents, last, "given latents", "image", remedy)
        return self.latents[of.rows.to(self.latents.device)]


@dataclass(frozen=True)
class Starts(Start):
    """Several starts; the inversion is run from each and the best result of each image kept."""

    starts: Sequence[Start]

    def __post_init__(self) -> None:
        if not self.starts:
            fail("starts", expected="at least one", got="none", remedy="pass MeanStart()")

    @property
    def count(self) -> int:
        """See `Start`."""
        return sum(start.count for start in self.starts)

    def candidates(self, wanted: ToInvert) -> Float[Tensor, "B S L D"]:
        """See `Start`."""
        return torch.cat([start.candidates(wanted) for start in self.starts], 1)

    @property
    def schedule(self) -> tuple[int, ...]:
        """As many as go on of all, whichever they come from."""
        length = max(len(start.schedule) for start in self.starts)
        each = [(*s.schedule, *s.schedule[-1:] * (length - len(s.schedule))) for s in self.starts]
        return tuple(map(sum, zip(*each, strict=True)))

    def for_images(self, every: ToInvert) -> Start:
        """See `Start`."""
        return Starts(tuple(start.for_images(every) for start in self.starts))

    def modules(self) -> list[nn.Module]:
        """See `Start`."""
        return [module for start in self.starts for module in start.modules()]


@torch.no_grad()
@checked
def class_means(
    generator: Generator,
    num_classes: int,
    classifier: nn.Module | None = None,
    *,
    num: int = 10_000,
    seed: int = 0,
    batch_size: int = 256,
) -> Float[Tensor, "Y L D"]:
    """The mean latent of each class.

    Args:
        generator: a conditional one gives the classes itself.
        num_classes: Y.
        classifier: sorts the samples of an unconditional generator, by its predicted class; called
            in eval mode.
        num: samples in all; how many Chai et al. used is not stated.
        seed: of the samples.
        batch_size: samples at once.

    Raises:
        ValueError: an unconditional generator without a classifier, a class without samples, a
            classifier of more classes, or other classes than a conditional generator's.
    """
    streams = Rng(seed, "class means").streams(range(num))
    shape = (num_classes, *generator.latent_spec.shape)
    total, count = torch.zeros(shape, dtype=torch.float64), torch.zeros(num_classes)
    if not generator.num_classes and classifier is None:
        got = "an unconditional generator alone"
        fail("class means", expected="a source of classes", got=got, remedy="pass a classifier")
    if generator.num_classes not in (0, num_classes):
        expected = f"{generator.num_classes}, those of the generator"
        remedy = "class means of a conditional generator are of its own classes, all of them"
        fail("number of classes", expected=expected, got=num_classes, remedy=remedy)
    for begin in range(0, num, batch_size):
        z = generator.sample(streams[begin : begin + batch_size])
        if generator.num_classes:
            label = (torch.arange(len(z)) + begin) % num_classes
            latents = generator.latents_of(z, label.to(z.device))
        else:
            assert classifier is not None
            latents = generator.latents_of(z)
            label = _classes(classifier, generator.images_of(latents)).cpu()
            _check_most(label, num_classes)
        good = finite_rows(latents).cpu()
        total.index_add_(0, label[good], latents.double().cpu()[good])
        count += torch.bincount(label[good], minlength=num_classes)
    if missing := torch.nonzero(count == 0).flatten().tolist():
        got, remedy = f"none of class {missing}", "draw more samples, or use another start"
        fail("class means", expected="samples of every class", got=got, remedy=remedy)
    return (total / count[:, None, None]).float().to(generator.device)


def _classes(classifier: nn.Module, images: Tensor) -> Tensor:
    """The class that a user's network sees in each image."""
    with evaluating(classifier), user_code("classifier", images):
        answer = classifier(images)
    what, remedy = "logits of the classifier", "wrap it in `Classifier`"
    check_shape(check_tensor(answer, what, floats=True), (len(images), "Y"), what, remedy)
    said: Tensor = answer.argmax(1)
    return said


def _check_most(label: Tensor, num_classes: int) -> None:
    if (most := int(label.max())) >= num_classes:
        got, remedy = f"class {most} from the classifier", "pass the number of its classes"
        fail("class means", expected=f"classes below {num_classes}", got=got, remedy=remedy)


def _check_enough(rows: Tensor, last: int, what: str, each: str, remedy: str) -> None:
    if last >= len(rows):
        expected = f"at least {last + 1}, one for each {each}"
        fail(what, expected=expected, got=len(rows), remedy=remedy)


def _error(wanted: ToInvert, latents: Tensor) -> tuple[Tensor, Tensor]:
    rendered = wanted.generator.images_of(latents, wanted.label)
    return masked_mean((rendered - wanted.images).abs(), wanted.masks), rendered
