"""Image tensors as pictures, many of them on one sheet, so that a page needs no other file.

A page of hundreds of pictures would weigh megabytes as files of their own. A sheet holds the
pictures of one block, exactly where that is small, or as JPEG, and shrinks them until it fits. The
fewer there are on a page, the larger each may be.
"""

from __future__ import annotations

import base64
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from genviews.studies.blocks import Images, Picture
from genviews.text import printable

__all__ = ["Sheet", "contact_sheet", "make_sheet", "png_bytes", "tile_size", "to_picture"]

_SMALL = 96  # pixels up to which small tiles are enlarged, see `tile_size`
# Longest side of a tile and quality of a JPEG, from the best to the smallest.
_TRIES = (
    *((256, 88), (192, 88), (160, 85), (128, 85), (128, 75)),
    *((96, 80), (80, 75), (64, 70), (64, 50), (48, 40)),
)
PICTURES = 1_100_000
"""Bytes of all pictures of a page, which is then below 2 MB in all (chosen by us)."""
_EXACT = 60_000  # bytes up to which a sheet stays exact
_BLOCK = 8  # pixels of a JPEG's block: tiles begin at one, or they would bleed into each other
_GAP, _WORDS = 4, 18  # pixels between the tiles of a contact sheet, and of a line of words


def to_picture(image: Float[Tensor, "C H W"]) -> Image.Image:
    """Return the picture with 8 bits a channel of an image in [-1, 1].

    Values outside are clamped, what is not a number becomes mid-grey. One channel is grey, two grey
    with alpha, three RGB, four RGBA.
    """
    array = image.detach().cpu().float().nan_to_num(0.0).clamp(-1.0, 1.0).numpy()
    pixels = np.rint((array + 1.0) * 127.5).astype(np.uint8).transpose(1, 2, 0)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def tile_size(width: int, height: int, *, largest: int = 256) -> tuple[int, int]:
    """Return width and height at which a picture of this size is shown.

    A small picture is enlarged by a whole number, to 96 pixels at most, so that its pixels stay
    squares; a large one is reduced (both chosen by us).

    Example:
        >>> tile_size(32, 32), tile_size(100, 80), tile_size(1024, 512)
        ((96, 96), (100, 80), (256, 128))
    """
    longest = max(width, height)
    scale = min(max(1, _SMALL // longest), largest / longest)
    return max(1, round(scale * width)), max(1, round(scale * height))


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """The pictures of a block in one file.

    Args:
        uri: `data:image/...;base64,...`.
        shown: width and height of a tile on the page, in pixels of the screen.
        cell: width and height of a tile's place on the sheet.
        tile: width and height of the tile in it.
        columns: places in a row.
        rows: rows of places.
        sharp: whether pixels are to stay squares.
    """

    uri: str
    shown: tuple[int, int]
    cell: tuple[int, int]
    tile: tuple[int, int]
    columns: int
    rows: int
    sharp: bool

    def style(self, place: int) -> str:
        """CSS that shows the picture of this place alone."""
        offsets = (place % self.columns, place // self.columns)
        counts = (self.columns, self.rows)
        parts = []
        for at, count, cell, tile in zip(offsets, counts, self.cell, self.tile, strict=True):
            room = count * cell - tile
            parts.append(f"{100 * at * cell / room:.4f}%" if room else "0")
        return f"background-position:{' '.join(parts)}"

    @property
    def size(self) -> str:
        """CSS: how large the sheet is against a tile."""
        wide, high = (
            100 * count * cell / tile
            for count, cell, tile in zip(
                (self.columns, self.rows), self.cell, self.tile, strict=True
            )
        )
        return f"{wide:.4f}% {high:.4f}%"


def make_sheet(pictures: Sequence[Picture], *, budget: int = PICTURES) -> Sheet | None:
    """Put pictures on one sheet; None where none has pixels.

    Args:
        pictures: of one block; those that differ in shape from the first are fitted to it. One
            without pixels gets a grey place.
        budget: bytes that it may take; the smallest that there is may be more.
    """
    drawn = [_drawn(picture) for picture in pictures]
    first = next((one for one in drawn if one is not None), None)
    if first is None:
        return None
    columns = math.ceil(math.sqrt(len(drawn)))
    rows = math.ceil(len(drawn) / columns)
    mode = "L" if all(one is None or one.mode == "L" for one in drawn) else "RGB"
    places = [*drawn, *[None] * (columns * rows - len(drawn))]
    longest = max(first.size)
    # Every side above that of the pictures is their own: tried once.
    for side, quality in dict.fromkeys((min(side, longest), q) for side, q in _TRIES):
        scale = side / longest
        tile = (max(1, round(scale * first.width)), max(1, round(scale * first.height)))
        wide, high = (math.ceil(length / _BLOCK) * _BLOCK for length in tile)
        cells = np.stack([_cell(one, mode, tile, (wide, high)) for one in places])
        lines = cells.reshape(rows, columns, high, wide, -1).swapaxes(1, 2)
        sheet = lines.reshape(rows * high, columns * wide, -1)
        data, kind = _encoded(Image.fromarray(sheet[..., 0] if mode == "L" else sheet), quality)
        if len(data) <= budget:
            break
    return Sheet(
        uri=f"data:image/{kind};base64,{base64.b64encode(data).decode()}",
        shown=tile_size(*tile),
        cell=(wide, high),
        tile=tile,
        columns=columns,
        rows=rows,
        sharp=max(tile) <= _SMALL,
    )


def _drawn(picture: Picture) -> Image.Image | None:
    found = picture.pixels() if callable(picture.pixels) else picture.pixels
    return None if found is None else to_picture(found)


def _cell(
    picture: Image.Image | None, mode: str, tile: tuple[int, int], cell: tuple[int, int]
) -> np.ndarray:
    """A tile whose edges are repeated up to the end of its place, so that JPEG has no seam."""
    if picture is None:
        return np.asarray(Image.new(mode, cell, "grey"))
    picture = picture.convert(mode)
    array = np.asarray(picture.resize(tile, Image.Resampling.BOX))
    more = [(0, cell[1] - tile[1]), (0, cell[0] - tile[0])] + [(0, 0)] * (array.ndim - 2)
    return np.pad(array, more, mode="edge")


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as a PNG file."""
    out = io.BytesIO()
    picture.save(out, "PNG")  # trying every filter takes five times as long for 3 % fewer bytes
    return out.getvalue()


def _encoded(sheet: Image.Image, quality: int) -> tuple[bytes, str]:
    """A sheet as PNG where that is small, else as JPEG."""
    exact, photo = png_bytes(sheet), io.BytesIO()
    if len(exact) <= _EXACT:
        return exact, "png"
    sheet.save(photo, "JPEG", quality=quality, subsampling=0)
    smaller = photo.tell() < len(exact)
    return (photo.getvalue(), "jpeg") if smaller else (exact, "png")


def contact_sheet(images: Images) -> bytes | None:
    """The pictures of a block as one PNG, grid below grid; None where none has pixels.

    Columns are named; what else is said of them stands on the page. The file is for slides and
    papers.
    """
    grids = [[list(map(_drawn, row)) for row in grid.pictures] for grid in images.grids]
    lines = [row for grid in grids for row in grid]
    first = next((one for row in lines for one in row if one is not None), None)
    if first is None:
        return None
    width, height = (length + _GAP for length in tile_size(*first.size))
    named = sum(bool(grid.columns) for grid in images.grids)
    size = (max(map(len, lines)) * width - _GAP, len(lines) * height + named * _WORDS - _GAP)
    sheet, top = Image.new("RGB", size, "white"), 0
    for grid, rows in zip(images.grids, grids, strict=True):
        if grid.columns:
            _draw_names(sheet, grid.columns, top, width)
            top += _WORDS
        for row in rows:
            for column, one in enumerate(row):
                if one is not None:
                    method = Image.Resampling.BOX if one.width > width else Image.Resampling.NEAREST
                    tile = one.convert("RGB").resize((width - _GAP, height - _GAP), method)
                    sheet.paste(tile, (column * width, top))
            top += height
    return png_bytes(sheet)


def _draw_names(sheet: Image.Image, names: Sequence[str], top: int, width: int) -> None:
    """Words above columns; equal neighbours share them."""
    draw, font, start = ImageDraw.Draw(sheet), ImageFont.load_default(_WORDS - 7), 0
    for name, same in itertools.groupby(names):
        count, text = len(list(same)), printable(name)
        while text and draw.textlength(text, font) > count * width - _GAP:
            text = text[:-1]
        draw.text((start * width, top + 2), text, fill="black", font=font)
        start += count
