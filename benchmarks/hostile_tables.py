"""Hostile spreadsheets, made here: labels, geometry and class names as people write them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.hostile_case import Case, Want
from benchmarks.hostile_images import GOOD, SPEC
from genviews.align.table import read_geometry
from genviews.data.source import ImageSource
from genviews.load.files import read_class_names
from genviews.load.images import load_images
from genviews.load.splits import load_splits

__all__ = ["table_cases"]

LABELS = ("cat", "dog", "cat", "dog")
PLAIN = "file,label\n" + "".join(f"{n}.png,{name}\n" for n, name in enumerate(LABELS))


def table_cases(folder: Path) -> Iterator[Case]:
    """All of them; files are made below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        (folder / f"{number}.png").write_bytes(GOOD[:-4] + bytes([number]) * 4)
    for number, (name, data, want) in enumerate(_tables(folder)):
        is_json = data.lstrip(b"\xef\xbb\xbf")[:1] in (b"{", b"[") or b"JSON" in data[:10]
        path = folder / f"{number:02d}.{'json' if is_json else 'csv'}"
        path.write_bytes(data)
        right = _is_right if want == "answer" else None
        read = partial(load_images, path, SPEC)
        yield Case(name=name, kind="table", open=read, want=want, right=right, names=path.name)
    path = folder / "sparse.csv"
    path.write_bytes(PLAIN.encode())
    os.truncate(path, 8 * 10**9)
    read = partial(load_images, path, SPEC)
    yield Case(name="8 GB of nothing", kind="table", open=read, want="refusal", names=path.name)
    yield from _others(folder)


def _is_right(source: ImageSource) -> bool:
    labels = source.labels
    named = None if labels is None else [source.class_names[i] for i in labels.tolist()]
    order = sorted(zip(source.ids, named or (), strict=True))
    return [name for _, name in order] == list(LABELS)


def _tables(folder: Path) -> Iterator[tuple[str, bytes, Want]]:
    text = PLAIN.encode()
    yield "plain", text, "answer"
    yield "a byte order mark", b"\xef\xbb\xbf" + text, "answer"
    yield "line ends of Windows", text.replace(b"\n", b"\r\n"), "answer"
    yield "line ends of old", text.replace(b"\n", b"\r"), "answer"
    yield "semicolons", text.replace(b",", b";"), "answer"
    yield "tabs", text.replace(b",", b"\t"), "answer"
    yield "spaces", text.replace(b",", b" , "), "answer"
    yield "quotes", text.replace(b"cat", b'"cat"'), "answer"
    yield "blank lines", text.replace(b"\n", b"\n\n"), "answer"
    yield "each line twice", text + text.partition(b"\n")[2], "answer"
    yield (
        "absolute paths",
        b"file,label\n"
        + b"".join(f"{folder / f'{n}.png'},{name}\n".encode() for n, name in enumerate(LABELS)),
        "answer",
    )
    yield "capitals", text.replace(b"file,label", b"File,Label"), "either"
    yield "UTF-16", PLAIN.encode("utf-16"), "refusal"
    yield "UTF-16 without a mark", PLAIN.encode("utf-16-le"), "refusal"
    yield "UTF-32", PLAIN.encode("utf-32"), "refusal"
    yield "Latin-1", text.replace(b"cat", "k\xe4tzchen".encode("latin-1")), "refusal"
    yield "nothing", b"", "refusal"
    yield "a line break", b"\n", "refusal"
    yield "columns alone", b"file,label\n", "refusal"
    yield "no column file", b"name,label\n0.png,cat\n", "refusal"
    yield "two columns label", b"file,label,label\n0.png,cat,dog\n", "refusal"
    yield "two columns file", b"file,file,label\n0.png,0.png,dog\n", "refusal"
    yield "a line too long", text + b"0.png,cat,dog\n", "refusal"
    yield "a line too short", text + b"1.png\n", "refusal"
    yield "no file name", text + b",cat\n", "refusal"
    yield "no label", text + b"3.png,\n", "refusal"
    yield "two answers", text + b"0.png,dog\n", "refusal"
    yield "unknown files", text + b"9.png,dog\n", "refusal"
    yield "a file above", text + b"../../etc/passwd,dog\n", "refusal"
    yield "a zero byte", text + b"a\0b.png,dog\n", "refusal"
    yield "zero bytes alone", bytes(1000), "refusal"
    yield "a name of 100 kB", text + b"x" * 100_000 + b".png,dog\n", "refusal"
    yield "a cell of 200 kB", text + b"0.png," + b"x" * 200_000 + b"\n", "refusal"
    yield "an open quote", text + b'"0.png,dog\n', "refusal"
    yield "10^6 columns", b"file,label," + b"c," * 10**6 + b"\n0.png,cat\n", "either"
    yield "a line of 10^6 cells", text + b"0.png,cat" + b",x" * 10**6 + b"\n", "refusal"
    yield (
        "10^5 unknown files",
        text + b"".join(b"%d.jpg,cat\n" % n for n in range(10**5)),
        "refusal",
    )
    yield (
        "formulas",
        b"file,label\n" + b"".join(b"%d.png,=HYPERLINK(%d)\n" % (n, n % 2) for n in range(4)),
        "either",
    )
    yield "escape sequences", text.replace(b"cat", b"\x1b[2Jcat"), "either"
    yield "an unknown split", b"file,label,split\n0.png,cat,holdout\n", "refusal"
    yield "a spreadsheet's own file", b"PK\3\4" + bytes(range(256)) * 10, "refusal"
    yield "a web page", b"<!DOCTYPE html><html>404</html>", "refusal"
    yield "a pointer of Git LFS", b"version https://git-lfs.github.com/spec/v1\n", "refusal"
    pairs = [[f"{n}.png", name] for n, name in enumerate(LABELS)]
    yield "JSON of pairs", json.dumps({"labels": pairs}).encode(), "answer"
    yield "JSON by name", json.dumps(dict(pairs)).encode(), "answer"
    yield "JSON with a mark", b"\xef\xbb\xbf" + json.dumps(dict(pairs)).encode(), "answer"
    for name, value in {
        "a list of lists": [[1], [2]],
        "labels that are objects": {"labels": [["0.png", {"a": 1}]]},
        "labels that are null": {"0.png": None},
        "labels that are true": {"0.png": True},
        "labels that are fractions": {"0.png": 0.5},
        "names that are numbers": {"labels": [[0, 1]]},
        "nothing": {},
        "a name with a zero byte": {"a\0b.png": 1},
        "half a letter": {"\ud800.png": 1},
    }.items():
        yield f"JSON: {name}", json.dumps(value).encode(), "refusal"
    yield "JSON: deep", b"[" * 100_000, "refusal"
    yield "JSON: breaks off", b'{"0.png": ', "refusal"
    yield "JSON: a number of 10,000 digits", b'{"0.png": ' + b"9" * 10_000 + b"}", "refusal"
    yield "JSON: UTF-16", b"{JSON" + json.dumps(dict(pairs)).encode("utf-16"), "refusal"


def _others(folder: Path) -> Iterator[Case]:
    """Geometry, names of classes, and tables that are cut into splits."""
    place = folder / "others"
    place.mkdir()
    box = "file,x0,y0,x1,y1\n"
    readers: dict[str, Callable[[Path], object]] = {
        "geometry": read_geometry,
        "class names": read_class_names,
        "splits": partial(load_splits, spec=SPEC),
    }
    cases: list[tuple[str, str, bytes, Want]] = [
        ("geometry", "plain", (box + "a.png,0,0,9,9\n").encode(), "answer"),
        ("geometry", "NaN", (box + "a.png,nan,0,9,9\n").encode(), "refusal"),
        ("geometry", "infinite", (box + "a.png,1e999,0,9,9\n").encode(), "refusal"),
        ("geometry", "decimal commas", (box + "a.png,0,5,0,5,9,5,9,5\n").encode(), "refusal"),
        ("geometry", "text", (box + "a.png,a,b,c,d\n").encode(), "refusal"),
        ("geometry", "UTF-16", box.encode("utf-16"), "refusal"),
        ("geometry", "no box", b"file\na.png\n", "refusal"),
        (
            "geometry",
            "10^5 landmarks",
            b"file," + b",".join(b"lm%d_x" % n for n in range(10**5)) + b"\n",
            "refusal",
        ),
        (
            "geometry",
            "a landmark of 10^5 digits",
            b"file,lm" + b"9" * 10**5 + b"_x\na,1\n",
            "refusal",
        ),
        ("geometry", "nothing", b"", "refusal"),
        ("class names", "plain", b"cat\ndog\n", "answer"),
        ("class names", "UTF-16", "cat\ndog\n".encode("utf-16"), "refusal"),
        ("class names", "nothing", b"\n \n", "refusal"),
        ("class names", "one twice", b"cat\ncat\n", "either"),
        ("class names", "zero bytes", b"cat\0\n\0\n", "either"),
        ("splits", "one class", b"file,label\n../0.png,cat\n../1.png,cat\n", "refusal"),
        ("splits", "one image", b"file,label\n../0.png,cat\n", "refusal"),
        (
            "splits",
            "test alone",
            b"file,label,split\n../0.png,cat,test\n../1.png,dog,test\n",
            "refusal",
        ),
    ]
    for number, (kind, name, data, want) in enumerate(cases):
        path = place / f"{number:02d}.csv"
        path.write_bytes(data)
        yield Case(
            name=f"{kind}: {name}",
            kind="table",
            open=partial(readers[kind], path),
            want=want,
            names=path.name if kind != "splits" else "",
        )
