"""A VOCdevkit of tiny photos that tests write: what a photo shows is its colour, under noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from genviews.evaluate.voc import VOC_CLASSES

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult><bndbox><xmin>{}</xmin><ymin>{}</ymin>"
    "<xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
KINDS = 4  # photos i and i + KINDS show the same classes
TINTS = ((90, 0, 0), (0, 70, 0), (0, 0, 50), (30, 30, 30))


def write_split(root: Path, split: str, count: int, first: int, *, names=VOC_CLASSES) -> list[str]:
    """Write photos of which each shows a quarter of the classes, and some a difficult one."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    ids = [f"{i:06d}" for i in range(first, first + count)]
    for i, name in enumerate(ids, first):
        pixels = np.random.default_rng(i).integers(0, 140, (30, 40, 3))
        pixels += np.array(TINTS[i % KINDS])
        photo = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
        photo.save(root / f"JPEGImages/{name}.jpg", quality=95)
        shown = [(names[c], 0) for c in range(i % KINDS, len(names), KINDS)]
        shown += [(names[(i + 1) % len(names)], 1)] if i % 5 == 0 else []
        boxes = [
            OBJECT.format(kind, difficult, 1 + place, 1 + place, 20 + place, 15 + place)
            for place, (kind, difficult) in enumerate(shown)
        ]
        text = f"<annotation>{''.join(boxes)}</annotation>"
        (root / f"Annotations/{name}.xml").write_text(text)
    (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(ids) + "\n")
    return ids


def write_devkit(folder: Path, count: int = 24) -> Path:
    """Write both years; returns the folder VOCdevkit."""
    root = folder / "VOCdevkit"
    year = root / "VOC2007"
    ids = [write_split(year, split, count, i * 100) for i, split in enumerate(("train", "val"))]
    (year / "ImageSets/Main/trainval.txt").write_text("\n".join(ids[0] + ids[1]) + "\n")
    write_split(year, "test", count, 200)
    write_split(root / "VOC2012", "trainval", 4, 300)
    return root
