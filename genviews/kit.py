"""A generator and all that belongs to it: what serves both arrows, in one object.

    word -> load_generator -> KIT -> invert -> latent -> kit.perturbation("stylemix_fine") -> views

A kit on disk is a folder with a card (`genviews.zoo.card`) and a file for each part; those that
ship are `genviews/zoo/NAME`. `GeneratorKit.load` reads one, `kit.save` writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.augment.presets import pixel_views_apart
from genviews.checks import expanded, fail
from genviews.described import described_by
from genviews.domains import TARGETS, find_domain, measure_scales, sized_baselines
from genviews.files import load_tensors
from genviews.generators.base import Generator
from genviews.generators.callable import named_classes
from genviews.generators.card import generator_description, generator_from
from genviews.generators.families import FAMILIES
from genviews.invert.card import inverter_from, inverter_settings
from genviews.invert.encoder import LatentEncoder
from genviews.invert.encoders import read_encoder
from genviews.invert.inverter import Inverter
from genviews.perturb.base import (
    Parts,
    Perturbation,
    ScaleTable,
    lacks_strength,
    perturbation,
    perturbations,
)
from genviews.perturb.pca import PCAStatistics
from genviews.perturb.walks import Walks
from genviews.signature import checked
from genviews.zoo.card import checked_file, read_card, record_file, save_part, start_card

__all__ = ["GeneratorKit", "read_generator"]

GENERATOR = "generator.safetensors"
ENCODER = "encoder.safetensors"
PCA = "pca.safetensors"
WALKS = "walks.safetensors"
MEANS = "class_means.safetensors"

Part = TypeVar("Part")


class GeneratorKit(Parts):
    """A generator with its inverter, directions, walks, class means and perturbations to try.

    Parts of a folder are read, and compared with its card, when they are first used.

    Args:
        generator: the generator.
        name: short, for titles.
        inverter: start, objective and schedule; None for what the card says, or the default.
        encoder: for the inverter of the card, which starts there; None takes the folder's.
        steps: most optimisation steps of the inverter; None takes its own.
        directions: principal directions; None measures them when they are first asked for.
        walks: learnt walks, or None.
        class_means: (Y, L, D) mean latent of each class, or None.
        scales: kind of perturbation -> range of rows -> strengths to try; None for the card's, or
            the domain's, or such as are measured on the generator.
        domain: the kind of its images, a key of `genviews.domains.DOMAINS`; None for what the card
            says, or nothing known.
        card: what is known of it: licence, training, numbers; JSON values.
        folder: of the files that the card lists, or None.

    Attributes:
        generator: see `Args`.
        name: see `Args`.
        card: see `Args`.
        folder: see `Args`.
        domain: the `Domain` of its images, or None.
        notes: what was taken or measured for want of a setting, in sentences.

    Example:
        >>> from genviews import ToyGenerator
        >>> kit = GeneratorKit(ToyGenerator(), name="toy")
        >>> kit.perturbation("isotropic_fine_0.30")
        Isotropic(layers='fine', sigma=0.3)
    """

    @checked
    def __init__(
        self,
        generator: Generator,
        *,
        name: str = "generator",
        inverter: Inverter | None = None,
        encoder: LatentEncoder | None = None,
        steps: int | None = None,
        directions: PCAStatistics | None = None,
        walks: Walks | None = None,
        class_means: Float[Tensor, "Y L D"] | None = None,
        scales: ScaleTable | None = None,
        domain: str | None = None,
        card: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.generator, self.name, self.folder = generator, name, folder
        self.card: Mapping[str, Any] = {} if card is None else card
        self._inverter, self._encoder, self._steps = inverter, encoder, steps
        self._directions, self._walks, self._class_means = directions, walks, class_means
        self._scales = scales
        self.domain = find_domain(domain or self.card.get("about", {}).get("domain"))
        self.notes: list[str] = []

    def __repr__(self) -> str:
        return f"GeneratorKit({self.name!r}, {type(self.generator).__name__})"

    @cached_property
    def encoder(self) -> LatentEncoder | None:
        """The inversion encoder that was trained for the generator, or None."""
        if self._inverter is not None:
            return self._inverter.encoder
        return self._encoder or self._read(ENCODER, read_encoder)

    @cached_property
    def inverter(self) -> Inverter:
        """How its images are inverted, from its encoder where there is one.

        Raises:
            ValueError: settings on the card that nobody knows.
        """
        found = self._inverter
        if found is None:
            with self._said("inverter", "settings that its card can hold"):
                settings = dict(self.card.get("inverter", {}))
                if (
                    self._encoder is not None
                ):  # it was asked for: it, and no other start of the card
                    settings.pop("start", None)
                found = inverter_from(settings, self.encoder)
        return found if self._steps is None else replace(found, steps=self._steps)

    @cached_property
    def directions(self) -> PCAStatistics | None:
        """The principal directions of its latents; None in z space, where all are alike."""
        found = self._directions or self._read(PCA, PCAStatistics.load)
        if found is not None:
            with self._said("directions", "those of its generator"):
                found.check(self.generator)  # once for all perturbations along them
        elif self.generator.latent_spec.space != "z":
            found = PCAStatistics.measure(self.generator)
        return found

    @cached_property
    def walks(self) -> Walks | None:
        """The walks that were learnt for it, or None."""
        return self._walks or self._read(WALKS, Walks.load)

    @cached_property
    def class_means(self) -> Float[Tensor, "Y L D"] | None:
        """The mean latent of each class, where inversion may start; None where nobody took it."""
        if self._class_means is not None:
            return self._class_means
        return self._read(MEANS, lambda path: load_tensors(path)[0]["class_means"])

    @cached_property
    def candidates(self) -> tuple[Perturbation, ...]:
        """Perturbations to try where the user names none: every kind, range and strength."""
        table = self._table()
        with self._said("perturbations", "kinds, rows and strengths that suit its generator"):
            return tuple(perturbations(table, self))

    @cached_property
    def baselines(self) -> tuple[PixelViews, ...]:
        """Pixel views that an ensemble is compared with where the user names none."""
        if self.domain is not None and self.domain.baselines:
            self.notes.append(f"pixel views: those of the domain {self.domain.name}")
            return pixel_views_apart(self.domain.baselines)
        self.notes.append("pixel views: flip, shifts by up to 1/16 of the size, both, colour")
        return sized_baselines(self.generator.image_spec)

    def _table(self) -> ScaleTable:
        """The strengths to try, and a note of where they are from."""
        given = self._scales or self.card.get("perturbations")
        if given:
            self.notes.append(f"strengths of views: those of {self.name}")
            return given
        if self.domain is not None and self.domain.scales and self._has_rows(self.domain.scales):
            self.notes.append(f"strengths of views: published for the domain {self.domain.name}")
            return self.domain.scales
        found = measure_scales(self)
        told = ", ".join(str(target) for target in TARGETS)
        why = "whose domain is not known"
        if self.domain is not None and self.domain.scales:
            why = f"which lacks the rows of the domain {self.domain.name}"
        self.notes.append(
            f"strengths of views: measured on {self.name}, {why}; they change "
            f"a picture by {told} of what two samples differ by"
        )
        return found

    def _said(self, part: str, expected: str) -> AbstractContextManager[None]:
        """Name the kit in whatever is wrong with what it, or its card, says of a part."""
        remedy = "correct its card, or what was given in its place"
        return described_by(f"{part} of kit {self.name!r}", expected, remedy)

    def _has_rows(self, scales: ScaleTable) -> bool:
        """Whether the generator has the ranges of rows that a table is for."""
        try:
            for rows in {name for ranges in scales.values() for name in ranges}:
                self.generator.latent_spec.layers(rows)
        except ValueError:
            return False
        return True

    @checked
    def perturbation(self, name: str | Perturbation) -> Perturbation:
        """Return a perturbation by its name, such as "stylemix_fine" or "steer-zoom_all_1.00".

        A name without the strength that its kind needs takes the middle one of `candidates`. A
        perturbation is returned, if the generator has its rows.

        Raises:
            ValueError: an unknown kind or range (the closest are listed), a strength out of range,
                or walks that the kit does not have or that move other latents.
        """
        if isinstance(name, Perturbation):
            name.check(self.generator)
            return name
        if lacks_strength(name):
            own = [one for one in self.candidates if one.name.rpartition("_")[0] == name]
            if own:
                return own[len(own) // 2]
        return perturbation(name, self)

    def perturbations(self, names: Sequence[str] | None = None) -> tuple[Perturbation, ...]:
        """Return the named perturbations, or the candidates where none is named.

        Raises:
            ValueError: as `perturbation`.
        """
        return tuple(map(self.perturbation, names)) if names else self.candidates

    def to(self, device: torch.device | str) -> GeneratorKit:
        """Move the generator, and the networks of the inverter, to a device; returns self."""
        self.generator.to(device)
        self.inverter.follow(self.generator)
        return self

    def save(self, folder: str | Path) -> None:
        """Write the kit as a folder, from which `load` makes it again.

        Args:
            folder: made if missing; must hold no kit yet.

        Raises:
            ValueError: a generator or an inverter that a card cannot hold, or a folder with a card.
        """
        place = expanded(folder)
        if (place / "card.json").exists():
            fail(
                f"folder {place.name!r} of a kit",
                expected="none yet",
                got="a folder with a card.json",
                remedy="choose another folder, or remove this one",
            )
        sections = self._sections()
        place.mkdir(parents=True, exist_ok=True)
        start_card(place, sections)
        made_with: tuple[str, ...] = ()
        if sections["generator"].get("family", "stylegan2") in FAMILIES:
            save_part(place, GENERATOR, self.generator.state_dict(), what="the generator")
            made_with = (GENERATOR,)
        parts = {
            ENCODER: (self.encoder, "its inversion encoder"),
            PCA: (self.directions, "its principal directions"),
            WALKS: (self.walks, "its learnt walks"),
        }
        for file, (part, what) in parts.items():
            if part is not None:
                part.save(place / file)
                record_file(place, file, what=what, made_with=made_with)
        if self.class_means is not None:
            means = {"class_means": self.class_means}
            save_part(place, MEANS, means, what="mean latent of each class", made_with=made_with)

    @classmethod
    def load(cls, folder: str | Path) -> GeneratorKit:
        """Read a kit that `save` wrote; the generator is in eval mode, frozen, on the CPU.

        A generator that is a function is imported, which runs code of its module.

        Raises:
            FileNotFoundError: no card there, or a file that is on the card but not there.
            ValueError: a damaged card, or a file that is not the card's.
        """
        generator, card = read_generator(folder)
        place = expanded(folder)
        return cls(generator, name=place.name, card=card, folder=place)

    def _sections(self) -> dict[str, Mapping[str, Any]]:
        """What the card says of this kit."""
        spec, ranges = self.generator.image_spec, self.generator.latent_spec.ranges
        image: dict[str, Any] = {"channels": spec.channels, "height": spec.height}
        image |= {"width": spec.width}
        if self.generator.class_names:
            image["class_names"] = list(self.generator.class_names)
        return {
            **{name: self.card[name] for name in ("licence",) if name in self.card},
            "about": {
                **self.card.get("about", {}),
                **({} if self.domain is None else {"domain": self.domain.name}),
            },
            "image": {**self.card.get("image", {}), **image},
            "generator": self.card.get("generator") or generator_description(self.generator),
            "ranges": {layers.name: [layers.start, layers.stop] for layers in ranges},
            "perturbations": self._scales or self.card.get("perturbations", {}),
            "inverter": inverter_settings(self.inverter),
        }

    def _read(self, file: str, read: Callable[[Path], Part]) -> Part | None:
        """A part of the folder, or None where the card lists none."""
        if self.folder is None or file not in self.card.get("files", {}):
            return None
        return read(checked_file(self.folder, self.card, file))


def read_generator(folder: str | Path) -> tuple[Generator, dict[str, Any]]:
    """Return the generator of a kit's folder and the card, without the other parts.

    Raises:
        FileNotFoundError: no card there, or no weights.
        ValueError: a damaged card, or weights that are not the card's.
    """
    place = expanded(folder)
    card = read_card(place)
    ranges = {name: (start, stop) for name, (start, stop) in card.get("ranges", {}).items()}
    weights = partial(checked_file, place, card, GENERATOR)
    with described_by(f"generator on the card of {place.name!r}", "what `kit.save` writes"):
        generator = generator_from(card.get("generator", {}), weights, ranges)
        if generator.num_classes:
            names = card.get("image", {}).get("class_names", ())
            generator.class_names = named_classes(names, generator.num_classes)
    return generator, card
