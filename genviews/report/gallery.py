"""The report's pictures: images, reconstructions and views, each with what was predicted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from genviews.ensemble.result import Gallery
from genviews.report.images import png_data_uri

__all__ = ["Group", "MARKS", "Sample", "Tile", "TileSet", "gallery_groups"]

MARKS = {"right": "\N{CHECK MARK}", "wrong": "\N{MULTIPLICATION X}", "plain": ""}

# Kind -> heading, and the sentence for a gallery without such an image.
_KINDS = {
    "fixed": ("Fixed by the ensemble", "The ensemble put no wrong prediction right."),
    "broke": ("Broken by the ensemble", "The ensemble put no right prediction wrong."),
    "best reconstruction": ("Best reconstructions", ""),
    "worst reconstruction": ("Worst reconstructions", ""),
    "typical": ("Typical images", ""),
}


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture with its prediction."""

    uri: str
    alt: str
    tone: str  # "right", "wrong", or "plain" without labels
    mark: str
    name: str
    confidence: str


@dataclass(frozen=True, kw_only=True)
class TileSet:
    """Pictures of one origin, e.g. the views of one perturbation."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A prediction in words, in parts, so that the answer can be set in bold."""

    text: str
    answer: str
    tone: str
    end: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image with everything made from it."""

    title: str
    sentences: tuple[Sentence, ...]
    note: str
    sources: tuple[TileSet, ...]  # the image and its reconstruction
    sets: tuple[TileSet, ...]
    more: tuple[TileSet, ...]  # pixel views: shown on demand, the page is about generated ones


@dataclass(frozen=True, kw_only=True)
class Group:
    """The images of one kind."""

    title: str
    empty: str
    samples: tuple[Sample, ...]


def gallery_groups(
    gallery: Gallery | None, class_names: Sequence[str], pixel_keys: Collection[str] = ()
) -> tuple[Group, ...]:
    """Sort the gallery by kind, in the order of the report.

    "Fixed" and "broken" are listed even when empty, if there are labels: that nothing was broken is
    news too.

    Args:
        gallery: the pictures, or None.
        class_names: names of the classes.
        pixel_keys: view sets made without the generator; they are folded away.
    """
    if gallery is None or not gallery.ids:
        return ()
    groups = []
    for kind in dict.fromkeys((*_KINDS, *gallery.kind)):
        title, empty = _KINDS.get(kind, (kind.capitalize(), ""))
        places = [i for i, k in enumerate(gallery.kind) if k == kind]
        if places or (empty and gallery.labels is not None):
            samples = tuple(_sample(gallery, i, class_names, pixel_keys) for i in places)
            groups.append(Group(title=title, empty=empty, samples=samples))
    return tuple(groups)


def _sample(
    gallery: Gallery, place: int, class_names: Sequence[str], pixel_keys: Collection[str]
) -> Sample:
    label = None if gallery.labels is None else int(gallery.labels[place])
    caption = _Caption(gallery.ids[place], label, class_names)
    single, ensemble = gallery.image_probs[place], gallery.ensemble_probs[place]
    inverted = gallery.reconstructions[place], gallery.reconstruction_probs[place]
    both = (
        TileSet(title="image", tiles=(caption.tile(gallery.images[place], single, "image"),)),
        TileSet(title="reconstruction", tiles=(caption.tile(*inverted, "reconstruction"),)),
    )
    views = {
        name: TileSet(
            title=name.replace("_", " "),
            tiles=tuple(
                caption.tile(view, probs, f"view {k + 1} by {name}")
                for k, (view, probs) in enumerate(
                    zip(shown[place], gallery.view_probs[name][place], strict=True)
                )
            ),
        )
        for name, shown in gallery.views.items()
    }
    by = f" ({gallery.ensemble})" if gallery.ensemble else ""
    return Sample(
        title=f"Image {gallery.ids[place]}" + ("" if label is None else f": {class_names[label]}"),
        sentences=(
            caption.sentence("Single image:", single),
            caption.sentence(f"Ensemble{by}:", ensemble),
        ),
        note=f"Reconstruction loss {float(gallery.loss[place]):.4g}.",
        sources=both,
        sets=tuple(part for name, part in views.items() if name not in pixel_keys),
        more=tuple(part for name, part in views.items() if name in pixel_keys),
    )


@dataclass(frozen=True)
class _Caption:
    """Words for the predictions on one image and what was made from it."""

    image_id: str
    label: int | None
    class_names: Sequence[str]

    def read(self, probs: Tensor) -> tuple[str, str, str]:
        """Predicted class, confidence as text, and tone."""
        values = np.asarray(probs.detach().cpu(), dtype=np.float64)
        guess = int(values.argmax())
        tone = "plain" if self.label is None else ("right" if guess == self.label else "wrong")
        return self.class_names[guess], _confidence(float(values[guess])), tone

    def tile(self, image: Tensor, probs: Tensor, origin: str) -> Tile:
        """One picture with its prediction."""
        name, confidence, tone = self.read(probs)
        verdict = "" if tone == "plain" else f", {tone}"
        alt = f"{origin} of image {self.image_id}: {name}, {confidence}{verdict}"
        return Tile(
            uri=png_data_uri(image),
            alt=alt,
            tone=tone,
            mark=MARKS[tone],
            name=name,
            confidence=confidence,
        )

    def sentence(self, text: str, probs: Tensor) -> Sentence:
        """One prediction in words."""
        name, confidence, tone = self.read(probs)
        verdict = "" if tone == "plain" else f", {tone}"
        return Sentence(text=text, answer=name, tone=tone, end=f" ({confidence}{verdict}).")


def _confidence(value: float) -> str:
    """A probability in whole percent; never "100 %" for less than certainty."""
    return ">99 %" if 0.995 <= value < 1.0 else f"{100 * value:.0f} %"
