"""The geometry of many images from one CSV file: a box or landmarks for each.

    file,x0,y0,x1,y1                        file,lm0_x,lm0_y,lm1_x,lm1_y,...
    car/1.jpg,40,31,519,300                 cat/1.png,81.5,90,140,92.5,...

Positions are in pixels of the source image, which may be fractions and may lie beyond it; (0, 0) is
its top left pixel. A line whose positions are all empty says that nothing was found in that image.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from genviews.align.base import Box, Geometry, UnalignableError
from genviews.checks import expanded, fail
from genviews.text import read_csv

__all__ = ["GeometryTable", "read_geometry"]

_BOX = ("x0", "y0", "x1", "y1")
_WANTED = "the columns file,x0,y0,x1,y1 or file,lm0_x,lm0_y,lm1_x,lm1_y,..."


@dataclass(frozen=True)
class GeometryTable:
    """Box or landmarks of each image of a CSV file.

    Args:
        path: where the table was read.
        columns: the columns that hold the positions, which say what kind they are.
        rows: file -> geometry, or None where the line says that nothing was found.
    """

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, Geometry | None]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, file: str) -> Geometry:
        """Return the geometry of one image, named as in the table (with "/").

        Raises:
            UnalignableError: the table has no line for this file, or one without positions.
        """
        if file not in self.rows:
            raise UnalignableError(f"has no line in {self.path}")
        found = self.rows[file]
        if found is None:
            raise UnalignableError(f"has no position in its line of {self.path}")
        return found


def read_geometry(path: str | Path) -> GeometryTable:
    """Read a CSV file of boxes or landmarks.

    Args:
        path: UTF-8 text with a first line of column names: `file` (path of the image relative to
            its folder, with "/") and either `x0`, `y0`, `x1`, `y1` or `lm0_x`, `lm0_y`, `lm1_x`,
            ... Further columns are ignored.

    Returns:
        The geometry of each file. Whether it fits its image is seen when it is aligned.

    Raises:
        FileNotFoundError: no such file.
        ValueError: other columns, no line, a file that is named twice, or a position that is
            missing or no finite number; the message names the line.
    """
    table = expanded(path)
    columns, lines = read_csv(table, "geometry", _WANTED)
    if "file" not in columns or not lines:
        _refuse_columns(table, f"columns {columns} and {len(lines)} lines")
    wanted = _position_columns(table, columns)
    rows: dict[str, Geometry | None] = {}
    for number, line in lines:
        file = PurePosixPath((line.get("file") or "").strip()).as_posix()
        if file in rows or file == ".":
            fail(
                f"geometry {table}, line {number}",
                expected="one line for each file",
                got=f"another line for {file!r}" if file in rows else "no file name",
                remedy="correct the line",
            )
        rows[file] = _geometry(table, number, line, wanted)
    return GeometryTable(table, wanted, rows)


def _position_columns(table: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of the box or of the landmarks, in their order."""
    box = set(_BOX) & set(columns)
    marks = {column for column in columns if re.fullmatch(r"lm\d+_[xy]", column)}
    in_order = tuple(f"lm{i}_{axis}" for i in range(len(marks) // 2) for axis in "xy")
    if len(set(columns)) < len(columns):
        _refuse_columns(table, f"repeated names in {list(columns)}")
    if box and marks:
        _refuse_columns(table, "boxes and landmarks")
    if len(box) == 4:
        return _BOX
    if not marks or marks != set(in_order):
        _refuse_columns(table, f"columns {list(columns)}")
    return in_order


def _refuse_columns(table: Path, got: str) -> None:
    fail(
        f"geometry {table}",
        expected=f"CSV text with {_WANTED} and at least one line",
        got=got,
        remedy="number landmarks from 0, each with x and y, and give either boxes or landmarks",
    )


def _geometry(
    table: Path, number: int, line: Mapping[str | None, Any], columns: tuple[str, ...]
) -> Geometry | None:
    cells = [(line[column] or "").strip() for column in columns]
    values = [_number(cell) for cell in cells]
    # csv puts what goes beyond the columns under None: most often decimal commas.
    surplus = None in line
    if not surplus and not any(cells):
        return None
    wrong = [
        f"{c} {cell!r}" for c, cell, v in zip(columns, cells, values, strict=True) if v is None
    ]
    numbers = [value for value in values if value is not None]
    if surplus or wrong:
        fail(
            f"geometry {table}, line {number}",
            expected=f"a finite number in each of {len(columns)} columns, or in none of them",
            got="more cells than columns" if surplus else ", ".join(wrong[:4]),
            remedy="correct the line (decimals take a point)",
        )
    return Box(*numbers) if columns == _BOX else torch.tensor(numbers).double().reshape(-1, 2)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
