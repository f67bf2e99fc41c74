"""A sheet of samples: what a generator makes, with the numbers that make each picture again.

Picture i of a seed is anchor i of the views of that seed (`genviews.represent.views.LatentViews`)
and of its class.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

import genviews
from genviews.checks import check_count
from genviews.kit import GeneratorKit
from genviews.report.pictures import tile_size, to_picture
from genviews.represent.prior import prior_of
from genviews.represent.views import LatentViews
from genviews.text import printable

__all__ = ["class_word", "sample_sheet"]

_GAP, _WORDS = 4, 16  # pixels between tiles, and of a line of words


def sample_sheet(
    kit: GeneratorKit,
    *,
    count: int = 16,
    seed: int = 0,
    psi: float = 1.0,
    classes: Sequence[str] = (),
    batch_size: int = 64,
) -> bytes:
    """Return a PNG with samples of a generator, each with its number, and its class if it has one.

    Its text `genviews` says, as JSON, how the pictures were made.

    Args:
        kit: its generator is sampled.
        count: pictures; samples 0 to `count` - 1. Those of a conditional generator go round the
            classes.
        seed: of all.
        psi: see `prior_of`.
        classes: names or numbers; () for all.
        batch_size: pictures rendered at once.

    Raises:
        ValueError: a count below 1, a class or a truncation that the generator does not have.

    Example:
        >>> from genviews import ToyGenerator
        >>> sample_sheet(GeneratorKit(ToyGenerator(), name="toy"), count=4)[1:4]
        b'PNG'
    """
    check_count(count, "count (--count)")
    generator = kit.generator
    round_all = 1 if generator.num_classes else None
    prior = prior_of(generator, psi=psi, classes=classes, per_class=round_all)
    views = LatentViews(generator, None, prior, seed=seed, batch_size=batch_size)
    names, pictures = [], []
    for start in range(0, count, batch_size):
        batch = views(range(start, min(start + batch_size, count)))
        pictures += [to_picture(image) for image in batch.images[:, 0]]
        labels = [None] * len(batch) if batch.labels is None else batch.labels.tolist()
        names += [
            str(number)
            if label is None
            else f"{number}: {class_word(generator.class_names, label)}"
            for number, label in zip(batch.ids, labels, strict=True)
        ]
    title = f"{kit.name}   seed {seed}   psi {psi:g}"
    made = {"generator": kit.name, "seed": seed, "psi": psi, "samples": names}
    return _sheet(pictures, names, title, {**made, "genviews": genviews.__version__})


def class_word(names: Sequence[str], label: int) -> str:
    """What a class is called: its name, or else its number."""
    return names[label] if label < len(names) else f"class {label}"


def _sheet(
    pictures: Sequence[Image.Image], names: Sequence[str], title: str, made: dict[str, object]
) -> bytes:
    """The pictures in a square, each above its words, below a title."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    tile = tile_size(*pictures[0].size)
    wide, high = tile[0] + _GAP, tile[1] + _WORDS
    sheet = Image.new(
        "RGB", (max(columns * wide + _GAP, 240), rows * high + _WORDS + _GAP), "white"
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_WORDS - 5)
    draw.text((_GAP, 1), printable(title), fill="black", font=font)
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        left, top = _GAP + place % columns * wide, _WORDS + place // columns * high
        method = Image.Resampling.BOX if picture.width > tile[0] else Image.Resampling.NEAREST
        sheet.paste(picture.convert("RGB").resize(tile, method), (left, top))
        text = printable(name)
        while text and draw.textlength(text, font) > tile[0]:
            text = text[:-1]
        draw.text((left, top + tile[1] + 1), text, fill="black", font=font)
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_text("genviews", json.dumps(made))
    sheet.save(out, "PNG", pnginfo=info)
    return out.getvalue()
