"""The embedded models: `load("fashion32")` gives a generator and all that belongs to it.

Nothing is downloaded: the parts are files of the package. Each is read when it is first asked for,
and its hash compared with the card's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genviews.checks import lookup
from genviews.zoo.card import ENTRIES, checked_file, read_card

if TYPE_CHECKING:  # torch is imported with the first part, not with this module
    from genviews.classify.model import Classifier
    from genviews.data.images import ImageSet
    from genviews.generators.stylegan2 import StyleGAN2, StyleGAN2Config
    from genviews.invert import Inverter, Optimizer, Term
    from genviews.invert.encoder import InversionEncoder
    from genviews.perturb.base import Perturbation
    from genviews.perturb.pca import PCAStatistics
    from genviews.perturb.walks import Walks
    from genviews.types import ImageSpec

__all__ = ["ZooEntry", "load", "names"]

GENERATOR = "generator.safetensors"
_CLASSIFIERS = {
    "images": "classifier.safetensors",
    "reconstructions": "classifier_reconstructions.safetensors",
    "views": "classifier_views.safetensors",
}


def names() -> list[str]:
    """Return the names of the embedded entries."""
    return sorted(card.parent.name for card in ENTRIES.glob("*/card.json"))


def load(name: str = "fashion32") -> ZooEntry:
    """Return an embedded entry by name; its parts are read when they are first used.

    Raises:
        ValueError: unknown name; the closest are listed.

    Example:
        >>> load("fashion32").generator.latent_spec.num_layers
        8
        >>> load("fashoin32")
        Traceback (most recent call last):
        ValueError: entry of the zoo: expected one of fashion32, fashion32-classes, got ...
    """
    return ZooEntry(lookup(name, {n: ENTRIES / n for n in names()}, "entry of the zoo"))


class ZooEntry:
    """A generator with its encoder, classifiers, statistics and sample images.

    Every network is in eval mode and frozen (`requires_grad_(False)`), on the CPU.

    Args:
        folder: where the card and the files are.

    Raises:
        FileNotFoundError: no card there; for a part, a file that the entry does not have.
        ValueError: a damaged card; for a part, a file that does not match the card.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card: dict[str, Any] = read_card(folder)

    def __repr__(self) -> str:
        return f"ZooEntry({self.folder.name!r})"

    @property
    def image_spec(self) -> ImageSpec:
        """The images that the generator makes and the classifiers take."""
        from genviews.types import ImageSpec

        image = self.card["image"]
        low, high = image["range"]
        return ImageSpec(
            channels=image["channels"],
            height=image["height"],
            width=image["width"],
            range=(float(low), float(high)),
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes that the classifiers tell apart."""
        return tuple(self.card["image"]["class_names"])

    @cached_property
    def generator(self) -> StyleGAN2:
        """The generator, with the named row ranges of the card."""
        from safetensors.torch import load_file

        from genviews.generators.stylegan2 import StyleGAN2

        generator = StyleGAN2(_generator_config(self.card))
        generator.load_weights(load_file(self._file(GENERATOR)))
        return generator.eval().requires_grad_(False)

    @cached_property
    def encoder(self) -> InversionEncoder:
        """The encoder that was trained for the generator."""
        from genviews.invert.encoder import InversionEncoder

        return InversionEncoder.load(self._file("encoder.safetensors"))

    @cached_property
    def pca(self) -> PCAStatistics:
        """The principal directions of the generator's latents."""
        from genviews.perturb.pca import PCAStatistics

        return PCAStatistics.load(self._file("pca.safetensors"))

    @cached_property
    def walks(self) -> Walks:
        """The latent walks that were learnt for the generator, in z."""
        from genviews.perturb.walks import Walks

        return Walks.load(self._file("walks.safetensors"))

    def classifiers(self) -> dict[str, Classifier]:
        """Return the classifiers by what they were trained on.

        The names are "images", "reconstructions" and "views"; an entry may lack some of them.
        """
        here = self.card.get("files", {})
        return {name: self._classifier(f) for name, f in _CLASSIFIERS.items() if f in here}

    @cached_property
    def classifier(self) -> Classifier:
        """The standard classifier, trained on images alone."""
        return self._classifier(_CLASSIFIERS["images"])

    def _classifier(self, file: str) -> Classifier:
        from genviews.classify.model import Classifier
        from genviews.classify.network import SmallResNet

        network = SmallResNet.load(self._file(file)).requires_grad_(False)
        return Classifier(network, self.image_spec, self.class_names)

    def inverter(self) -> Inverter:
        """Return an inverter with the card's settings.

        It starts from the entry's encoder; where there is none, from the mean latent.

        The card's `objective` maps terms to weights: "l1", "l2", "feature" (of the encoder, which
        has seen no label) and "latent" (distance to the start). Without one it is plain L1. Its
        `optimizer` holds the name of one ("adam", "lbfgs") and its settings.

        Raises:
            ValueError: an unknown term or optimizer; the closest are listed.
        """
        from genviews.invert import EncoderStart, Inverter, MeanStart, Objective, Start

        listed = self.card.get("inverter", {})
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in listed.items()
        }
        start: Start = MeanStart()
        if "encoder.safetensors" in self.card.get("files", {}):
            start = EncoderStart(self.encoder)
        weights: dict[str, float] = settings.pop("objective", {})
        objective = Objective(_terms(weights, self.encoder)) if weights else Objective()
        if "optimizer" in settings:
            settings["optimizer"] = _optimizer(settings["optimizer"])
        return Inverter(start=start, objective=objective, **settings)

    def perturbations(self) -> list[Perturbation]:
        """Return the card's perturbations: every kind, range of rows and strength to try."""
        from genviews.perturb.presets import from_card

        table = self.card.get("perturbations", {})
        directions = self.pca if any(kind.startswith("pca") for kind in table) else None
        return from_card(table, self.generator, directions)

    def samples(self, split: Literal["val", "test"]) -> ImageSet:
        """Return the real images that ship: the first of each class, in file order.

        Args:
            split: "val" (500 images, for calibration) or "test" (1,000).

        Returns:
            Images with the ids and labels that the whole data set gives them.

        Raises:
            ValueError: another split.
        """
        from safetensors import safe_open

        from genviews.data.fashion import pad_pixels
        from genviews.data.images import ImageSet

        with safe_open(str(self._file("samples.safetensors")), "pt") as file:
            ids: dict[str, list[str]] = json.loads(file.metadata()["ids"])
            lookup(split, ids, "split of the samples")
            pixels = file.get_tensor(f"{split}_pixels")
            labels = file.get_tensor(f"{split}_labels")
        return ImageSet(
            images=pad_pixels(pixels),
            ids=tuple(ids[split]),
            labels=labels.long(),
            class_names=self.class_names,
        )

    def _file(self, name: str) -> Path:
        return checked_file(self.folder, self.card, name)


def _optimizer(settings: dict[str, Any]) -> Optimizer[Any]:
    from genviews.invert import LBFGS, Adam

    own = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items() if k != "name"}
    table: dict[str, Callable[..., Optimizer[Any]]] = {"adam": Adam, "lbfgs": LBFGS}
    return lookup(settings.get("name", ""), table, "optimizer of the card")(**own)


def _terms(weights: dict[str, float], encoder: InversionEncoder) -> tuple[Term, ...]:
    from genviews.invert import L1, L2, Feature, FeatureDistance, ToStart

    table: dict[str, Callable[[float], Term]] = {
        "l1": L1,
        "l2": L2,
        "feature": lambda weight: Feature(weight, FeatureDistance(encoder.features)),
        "latent": ToStart,
    }
    return tuple(
        lookup(name, table, "term of the card's objective")(w) for name, w in weights.items()
    )


def _generator_config(card: dict[str, Any]) -> StyleGAN2Config:
    from genviews.generators.stylegan2 import StyleGAN2Config

    fields = dict(card["generator"]["config"])
    fields["channels"] = {int(r): width for r, width in fields["channels"].items()}
    fields["resample_filter"] = tuple(map(float, fields["resample_filter"]))
    ranges = {name: (start, stop) for name, (start, stop) in card["ranges"].items()}
    return StyleGAN2Config(**fields, ranges=ranges)
