"""What suits a kind of image: strengths of views, pixel baselines, alignment, presets; by ONE key.

    face, car, cat, cifar10     as published
    fashion32                   of the embedded default, chosen by us

Nothing of one domain is ever applied to another. A generator of no known domain gets what is
measured on it: strengths that change its pictures by a stated part of what two of its samples
differ by, and pixel views whose shift is a part of the image's size.
"""

from __future__ import annotations

import math
import statistics as stats
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from genviews.augment.base import Compose, PixelViews
from genviews.augment.colour import ColorJitter
from genviews.augment.geometry import CentreCrop, HorizontalFlip, RandomCrop
from genviews.augment.presets import GENREP_SIDE, GENREP_SIZE, pixel_views
from genviews.augment.simclr import SimCLR
from genviews.checks import check_number, finite_rows, lookup
from genviews.perturb.base import KINDS, Parts, Perturbation, ScaleTable, perturbations
from genviews.perturb.redraw import finite_views
from genviews.render import render
from genviews.rng import Rng
from genviews.types import ImageSpec

__all__ = [
    "DOMAINS",
    "TARGETS",
    "Domain",
    "find_domain",
    "learning_pixels",
    "measure_scales",
    "plain_views",
    "sized_baselines",
]

TARGETS = (0.1, 0.2, 0.4)
"""Parts of the difference between two samples by which measured strengths change a picture.

Chosen by us: from hardly visible to another thing of the same kind.
"""

SHIFT = 1 / 16  # of the shorter side, for shifted crops (2 of 32 pixels); chosen by us
SAMPLES, VIEWS = 16, 2  # that a change is the mean of; chosen by us, as 1024 pixels take their time
HALVINGS = 7  # of the largest strength, where changes are measured

Choice = Callable[[Sequence[float]], float]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What suits one kind of image.

    Args:
        name: its key.
        scales: kind of perturbation -> range of rows -> strengths to try at test time.
        training: kind -> which of the strengths classifiers are trained with; the largest of
            the others.
        baselines: pixel views (`pixel_views`) to compare an ensemble with; () takes
            `sized_baselines`.
        pixels: pixel views T_x of the learning arrow, or None for SimCLR's (`learning_pixels`).
        plain: what the learning arrow cuts from a view without T_x, or None for its middle
            (`plain_views`).
        aligner: how photos come to the frame (`genviews.align.aligners`), or None.
        classifier: how its classifier is trained (`training_preset`).
        inverter: how its images are inverted (`inverter_preset`).
    """

    name: str
    scales: ScaleTable
    training: Mapping[str, Choice] = field(default_factory=dict)
    baselines: tuple[str, ...] = ()
    pixels: str | None = None
    plain: str | None = None
    aligner: str | None = None
    classifier: str
    inverter: str = "reference"

    def perturbations(self, parts: Parts, *, training: bool = False) -> list[Perturbation]:
        """Return its perturbations: every strength, or those that classifiers are trained with.

        Args:
            parts: a kit; its generator must have the row ranges.
            training: one strength for each kind and range.

        Raises:
            ValueError: a range that the generator lacks, or directions missing.

        Source:
            Chai et al. 2021, arXiv:2104.14551, supplement Table 1; training scales from the
            published code.
        """
        if not training:
            return perturbations(self.scales, parts)
        chosen = {
            kind: {rows: (self.training.get(kind, max)(found),) for rows, found in ranges.items()}
            for kind, ranges in self.scales.items()
        }
        return perturbations(chosen, parts)


def _published(
    coarse: Sequence[float], fine: Sequence[float], components: Sequence[float]
) -> ScaleTable:
    """Strengths of isotropic views of coarse and of fine rows, and of principal components."""
    return {
        "isotropic": {"coarse": coarse, "fine": fine},
        "pca": {"coarse": components, "fine": components},
        "stylemix": {"coarse": (1.0,), "fine": (1.0,)},
    }


DOMAINS: dict[str, Domain] = {
    "face": Domain(
        name="face",
        scales=_published((0.1, 0.2, 0.3), (0.1, 0.2, 0.3), (1.0, 2.0, 3.0)),
        training={"isotropic": stats.median, "pca": stats.median},
        baselines=("celebahq/train", "celebahq/crop", "celebahq/color"),
        aligner="ffhq",
        classifier="attribute",
    ),
    "car": Domain(
        name="car",
        scales=_published((1.0, 1.5, 2.0), (0.3, 0.5, 0.7), (1.0, 2.0, 3.0)),
        training={"isotropic": min, "pca": stats.median},
        pixels="stylegan-car",
        plain="stylegan-car/centre",
        aligner="cars",
        classifier="car",
    ),
    "cat": Domain(
        name="cat",
        scales=_published((0.5, 0.7, 1.0), (0.1, 0.2, 0.3), (0.5, 0.7, 1.0)),
        training={"isotropic": min, "pca": stats.median},
        aligner="cat",
        classifier="cat",
    ),
    # Class-conditional: needs labels. The paper also mixes row 6; the published code only row 7.
    "cifar10": Domain(
        name="cifar10",
        scales={"stylemix": {"7": (1.0,)}},
        baselines=("cifar10/train",),
        classifier="cifar10",
    ),
    # Its strengths stand on the card of the generator: a recipe measured them on val.
    "fashion32": Domain(
        name="fashion32",
        scales={},
        baselines=("fashion32/flip", "fashion32/crop", "fashion32/flip+crop", "fashion32/jitter"),
        pixels="fashion32/simclr",
        classifier="fashion32",
        inverter="default",
    ),
}
"""Every known domain. Those with a source: Chai et al. 2021, arXiv:2104.14551, supplement."""


def find_domain(name: str | None) -> Domain | None:
    """Return a domain by its key; None for None.

    Raises:
        ValueError: unknown; the closest are listed.
    """
    return None if name is None else lookup(name, DOMAINS, "domain")


def sized_baselines(spec: ImageSpec) -> tuple[PixelViews, ...]:
    """Return the pixel views that any image may be compared with: flip, shifts, both, and colour.

    What a shift uncovers is filled with the nearest pixels: no classifier of unknown images need
    have seen a black edge.

    Args:
        spec: of the images; shifts are up to a sixteenth of the shorter side.

    Example:
        >>> [views.name for views in sized_baselines(ImageSpec(channels=1, height=64, width=64))]
        ['flip', 'crop', 'flip+crop', 'jitter']
    """
    shift = max(1, round(SHIFT * min(spec.height, spec.width)))
    return (
        HorizontalFlip(1.0),
        RandomCrop(padding=shift, fill="nearest"),
        Compose(HorizontalFlip(), RandomCrop(padding=shift, fill="nearest")),
        ColorJitter(0.2, 0.2),
    )


def learning_pixels(spec: ImageSpec, domain: Domain | None = None) -> PixelViews:
    """Return the pixel views T_x of the learning arrow: the domain's, or SimCLR's.

    These cut 112 pixels, as published, from images of at least 128, and keep the size of others.
    """
    if domain is not None and domain.pixels is not None:
        return pixel_views(domain.pixels)
    size = min(spec.height, spec.width)
    size = GENREP_SIZE if size >= GENREP_SIDE else size
    if spec.channels == 3:
        return SimCLR(size)
    return SimCLR(size, saturation=0.0, hue=0.0, grey=0.0)


def plain_views(
    spec: ImageSpec, domain: Domain | None = None, pixels: PixelViews | None = None
) -> PixelViews | None:
    """Return what the learning arrow cuts from views without T_x; None where that is all of them.

    It is the central square, as large as what T_x gives, so that rows with and without T_x see one
    resolution; of a rendered car, without its black bars.

    Args:
        spec: of the views.
        domain: of the generator, or None.
        pixels: T_x; None takes the size of `learning_pixels`.

    Raises:
        ValueError: pixel views that such images are too small for.

    Source: Jahanian et al. 2022, arXiv:2106.05258, appendix A and code (`--removeimtf`): 112 pixels
        from the generator's own resolution.
    """
    pixels = learning_pixels(spec, domain) if pixels is None else pixels
    made = pixels(torch.zeros(1, *spec.shape), 1, Rng(0).streams(["blank"]))
    if domain is not None and domain.plain is not None:
        return pixel_views(domain.plain)
    size = min(*made.shape[-2:], spec.height, spec.width)
    return None if (size, size) == spec.shape[1:] else CentreCrop(size)


def measure_scales(
    parts: Parts, *, targets: Sequence[float] = TARGETS, seed: int = 0
) -> dict[str, dict[str, tuple[float, ...]]]:
    """Return strengths that change the pictures of a generator by stated amounts.

    The change of a picture is its mean absolute difference to the picture before; the unit is the
    same between two samples of the generator (of one class, where it has classes). What no strength
    reaches is left out. Behind a mapping the kinds are
    isotropic, pca and stylemix on each named range, or on all rows where none is named; in z space
    isotropic alone, since style-mixing there is another sample.

    Args:
        parts: a kit.
        targets: the changes, in that unit.
        seed: of the samples.

    Example:
        >>> from genviews import GeneratorKit, ToyGenerator
        >>> sorted(measure_scales(GeneratorKit(ToyGenerator())))
        ['isotropic', 'pca', 'stylemix']
    """
    generator, rng = parts.generator, Rng(seed, "strengths")
    label = None
    if generator.num_classes:
        label = torch.zeros(SAMPLES, dtype=torch.long, device=generator.device)
    with torch.no_grad():
        latents = generator.latents_of(generator.sample(rng.streams(range(SAMPLES))), label)
    images = render(generator, latents, label=label)
    good = finite_views(images[:, None])[:, 0] & finite_rows(latents)
    check_number(int(good.sum()), "finite samples of the generator", least=2, remedy="mend it")
    latents, images = latents[good], images[good]
    label = None if label is None else label[good]
    unit = float((images - images.roll(1, 0)).abs().mean())

    def change(kind: str, rows: str, strength: float) -> float:
        """By how many units a strength changes the pictures."""
        made = KINDS[kind].of_kind(kind, rows, strength, parts)
        moved = made(generator, latents, VIEWS, rng.streams(range(len(images))), label)
        apart = render(generator, moved, label=label) - images[:, None]
        known = apart[finite_views(apart)].abs()
        return float(known.mean()) / unit if unit > 0 and len(known) else math.inf

    # The largest strengths: two deviations of the latents, four of a component, all of it.
    most = {"isotropic": 2.0 * float(latents.std(0).mean()), "pca": 4.0, "stylemix": 1.0}
    ranges = [layers.name for layers in generator.latent_spec.ranges] or ["all"]
    if generator.latent_spec.space == "z":
        most, ranges = {"isotropic": most["isotropic"]}, ["all"]
    found: dict[str, dict[str, tuple[float, ...]]] = {}
    for kind, largest in most.items():
        at = [largest / 2**halving for halving in reversed(range(HALVINGS))]
        for rows in ranges:
            strengths = _reached(at, [change(kind, rows, one) for one in at], targets)
            if strengths:
                found.setdefault(kind, {})[rows] = strengths
    return found


def _reached(
    at: Sequence[float], by: Sequence[float], targets: Sequence[float]
) -> tuple[float, ...]:
    """The strengths that change pictures by each target, to two digits; of the reachable.

    Read off a broken line through the changes `by` which the strengths `at` make.
    """
    rising = np.maximum.accumulate([0.0, *by])  # chance aside, more strength is more change
    reached = [target for target in targets if target <= rising[-1]]
    found = np.interp(reached, rising, [0.0, *at])
    return tuple(dict.fromkeys(float(f"{strength:.2g}") for strength in found))
