"""Hostile pictures and folders of them, made here: what they must end in.

A picture lies in a folder beside a good one. It must come out as the same picture does without what
is hostile about it, or be left out with a reason; the good one must come out right.
"""

from __future__ import annotations

import io
import json
import os
import random
import socket
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.hostile_case import Case, Want
from genviews.data.source import SourceBatch
from genviews.load.images import load_images
from genviews.load.splits import load_splits
from genviews.types import ImageSpec

__all__ = ["image_cases"]

SIZE = 16
SPEC = ImageSpec(channels=3, height=SIZE, width=SIZE)
PIXELS = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP", "PPM", "TGA", "JPEG2000", "AVIF", "ICO")


def encoded(kind: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    """A picture as a file of a format."""
    file = io.BytesIO()
    if kind == "ICO":
        options["sizes"] = [(SIZE, SIZE)]
    picture.save(file, kind, **options)
    return file.getvalue()


GOOD = encoded("PNG")
_POSTSCRIPT = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n(x) print showpage\n%%EOF\n"
)


def tensor(data: bytes) -> torch.Tensor:
    """What Pillow alone reads in a file, in [-1, 1]."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def image_cases(folder: Path) -> Iterator[Case]:
    """All of them; files are made below a folder."""
    pictures = [
        *_right(),
        *_damaged(),
        *_strangers(),
        *_bombs(),
        *_metadata(),
    ]
    for number, (name, data, want) in enumerate(pictures):
        place = folder / f"{number:03d}"
        place.mkdir(parents=True)
        (place / "good.png").write_bytes(GOOD)
        ending = "jpg" if data[:1] == b"\xff" else "png"
        hostile = place / f"hostile.{ending}"
        hostile.write_bytes(data)
        if want == "sparse":
            os.truncate(hostile, 8 * 10**9)
        options = {} if isinstance(want, torch.Tensor) else {"resize": True}
        yield Case(
            name=name,
            kind="image",
            open=partial(_read, place, **options),
            right=partial(_is_right, want),
            want="answer",
        )
    yield from _folders(folder)


def _read(folder: Path, resize: bool = False) -> SourceBatch:
    source = load_images(folder, SPEC, resize=resize)
    source.fingerprint()
    batch = source.read(range(len(source)))
    skipped = (*source.skipped, *batch.skipped)
    return SourceBatch(
        images=batch.images, ids=batch.ids, hashes=batch.hashes, skipped=tuple(skipped)
    )


def _is_right(want: object, batch: SourceBatch) -> bool:
    """Whether the good picture is right, and the other one the oracle, left out, or either."""
    images = dict(zip(batch.ids, batch.images, strict=True))
    good = torch.equal(images["good.png"], tensor(GOOD))
    other = next((one for name, one in images.items() if name != "good.png"), None)
    if isinstance(want, torch.Tensor):
        return good and other is not None and bool((other - want).abs().max() <= 1.01 / 127.5)
    if want in ("skip", "sparse"):
        return good and other is None and len(batch.skipped) == 1
    return good and (other is None or bool(other.isfinite().all() and other.abs().max() <= 1))


Picture = tuple[str, bytes, object]


def _right() -> Iterator[Picture]:
    """Pictures that are unusual and right, or right and not what is asked for."""
    for kind in FORMATS:
        data = encoded(kind)
        yield f"a {kind} file under another name", data, tensor(data)
    grey = PICTURE.convert("L")
    grey_alpha = grey.convert("LA")
    modes = {"1": grey.convert("1"), "L": grey, "P": PICTURE.quantize(8), "LA": grey_alpha}
    for mode, picture in modes.items():
        data = encoded("PNG", picture)
        yield f"a PNG of mode {mode}", data, tensor(data)
    for orientation in range(1, 9):
        data = encoded("JPEG", exif=_oriented(orientation))
        yield f"EXIF orientation {orientation}", data, tensor(data)
    for orientation in (0, 9, 65535):
        data = encoded("JPEG", exif=_oriented(orientation))
        yield f"EXIF orientation {orientation}", data, tensor(encoded("JPEG"))
    clear = PICTURE.convert("RGBA")
    clear.putalpha(100)
    yield "transparent pixels", encoded("PNG", clear), "skip"
    yield "CMYK", encoded("JPEG", PICTURE.convert("CMYK")), "skip"
    yield "floats of unknown range", encoded("TIFF", grey.convert("F")), "skip"
    other = Image.fromarray(255 - PIXELS)
    for kind in ("GIF", "WEBP", "PNG", "TIFF"):
        frames = encoded(kind, save_all=True, append_images=[other])
        yield f"two frames in a {kind}", frames, "skip"


def _oriented(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _damaged() -> Iterator[Picture]:
    rng = random.Random(0)
    for kind in FORMATS:
        data = encoded(kind)
        for part in (0.1, 0.5, 0.9, 0.99):
            yield f"{kind} cut at {part:.0%}", data[: int(len(data) * part)], "either"
        for turn in range(6):
            mutated = bytearray(data)
            for _ in range(1 + turn):
                mutated[rng.randrange(min(len(data), 200))] ^= 1 << rng.randrange(8)
            yield f"{kind} with {1 + turn} flipped bits", bytes(mutated), "either"


def _strangers() -> Iterator[Picture]:
    """Files that are no picture, and what would be run or fetched if they were taken for one."""
    size = len(_POSTSCRIPT)
    binary = b"\xc5\xd0\xd3\xc6" + struct.pack("<IIIIIIH", 30, size, 0, 0, 0, 0, 65535)
    strangers = {
        "no byte": b"",
        "a byte": b"\0",
        "a kilobyte of zeros": bytes(1024),
        "text": b"not a picture\n" * 20,
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\nsize 1\n",
        "a web page": b"<!DOCTYPE html><html><body>404</body></html>",
        "SVG that fetches": b'<?xml version="1.0"?><svg><image href="http://127.0.0.1/x"/></svg>',
        "PostScript": _POSTSCRIPT,
        "PostScript of Windows": binary + _POSTSCRIPT,
        "PDF": b"%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n",
        "FITS": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
        "a Windows metafile": b"\xd7\xcd\xc6\x9a\0\0" + bytes(64),
        "an enhanced metafile": struct.pack("<II", 1, 108) + bytes(32) + b" EMF" + bytes(64),
        "icons of Apple": b"icns" + struct.pack(">I", 2**31 - 1),
        "Photoshop": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30000, 30000, 8, 3),
        "MPEG": b"\0\0\1\xb3" + bytes(60),
        "MP4": b"\0\0\0\x20ftypisom" + bytes(60),
        "HEIC": b"\0\0\0\x20ftypheic" + bytes(60),
        "GRIB": b"GRIB\0\0\0\1" + bytes(60),
        "BUFR": b"BUFR" + bytes(60),
        "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(60),
        "XBM": b"#define x_width 99999\n#define x_height 99999\nstatic char x_bits[] = {\n",
        "XPM": b'/* XPM */\nstatic char *x[] = {"9999 9999 2 1"};',
        "a zip file": b"PK\3\4" + bytes(60),
        "a gzip file": b"\x1f\x8b\x08" + bytes(60),
        "a pickle": b"cos\nsystem\n(S'touch /tmp/executed'\ntR.",
        "a program": b"\x7fELF\2\1\1" + bytes(60),
        "a script": b"#!/bin/sh\ntouch executed\n",
        "sound": b"RIFF\xff\xff\xff\x7fWAVEfmt " + bytes(60),
        "film": b"RIFF\xff\xff\xff\x7fAVI LIST" + bytes(60),
    }
    for name, data in strangers.items():
        yield f"{name}, named as a picture", data, "skip"
    yield "8 GB of nothing, named as a picture", b"", "sparse"


def _bombs() -> Iterator[Picture]:
    """A header of few bytes that promises many pixels, or pixels of few bytes that are many."""
    for width, height in ((9400, 9400), (2**31 - 1, 1), (2**31 - 1, 2**31 - 1), (60_000, 60_000)):
        for colour in (0, 2, 6):
            head = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
            head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head)
            yield f"a PNG of {width}x{height}, type {colour}", head + chunk(b"IDAT", b""), "skip"
    zeros = zlib.compress(bytes(2**20), 9) * 200
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0))
    yield (
        "a PNG of few bytes with 900 million pixels",
        b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zeros),
        "skip",
    )
    size = struct.pack("<HH", 65535, 65535)
    frame = b"," + bytes(4) + size + b"\0\2\4\x84\x1d\0;"
    yield "a GIF of 65535x65535", b"GIF89a" + size + b"\xf0\0\0" + bytes(6) + frame, "skip"
    small = encoded("GIF")
    yield "a GIF whose canvas is 65535x65535", small[:6] + size + small[10:], "skip"
    jpeg = encoded("JPEG")
    place = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:place] + struct.pack(">HH", 65500, 65500) + jpeg[place + 4 :]
    yield "a JPEG of 65500x65500", huge, "skip"
    for side in (2**31 - 1, -(2**31), 0, -1):
        bmp = encoded("BMP")
        yield f"a BMP {side} wide", bmp[:18] + struct.pack("<i", side) + bmp[22:], "skip"
    for text in (b"P6 99999 99999 255\n", b"P6 0 0 255\n", b"P6 -1 5 255\n", b"P6 " + b"9" * 10**6):
        yield f"a PPM of {text[:14]!r}", text, "skip"
    yield "a PPM with a comment of a megabyte", b"P6 #" + b"x" * 10**6, "skip"
    tga = encoded("TGA")
    yield "a TGA of 65535x65535", tga[:12] + size + tga[16:], "skip"
    tiff = encoded("TIFF")
    for tag, value in ((256, 2**31), (257, 2**31), (258, 2**20), (273, 2**31), (277, 60_000)):
        place = tiff.index(struct.pack("<H", tag))
        changed = tiff[: place + 8] + struct.pack("<I", value) + tiff[place + 12 :]
        yield f"a TIFF whose tag {tag} is {value}", changed, "either"
    offset = struct.unpack("<I", tiff[4:8])[0]
    end = offset + 2 + 12 * struct.unpack("<H", tiff[offset : offset + 2])[0]
    loop = tiff[:end] + struct.pack("<I", offset) + tiff[end + 4 :]
    yield "a TIFF whose next page is its first", loop, "either"


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    size, crc = struct.pack(">I", len(data)), struct.pack(">I", zlib.crc32(name + data))
    return size + name + data + crc


def _metadata() -> Iterator[Picture]:
    entries = [(282, 5, 1, 50), (283, 5, 1, 50), (296, 3, 1, 2 << 16), (33434, 5, 1, 50)]
    table = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    exif = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, len(entries)) + table + bytes(12)
    loop = b"Exif\0\0MM\0*" + struct.pack(">IHHHII", 8, 1, 34665, 4, 1, 8) + struct.pack(">I", 8)
    many = b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 65535) + table
    endless = struct.pack(">HHII", 37500, 7, 2**32 - 1, 8)
    preview = b"MPF\0MM\0*" + struct.pack(">IH", 8, 1)
    segments = {
        "EXIF rationals of 0/0": (0xE1, exif),
        "EXIF that breaks off": (0xE1, exif[:24]),
        "EXIF that goes round": (0xE1, loop),
        "EXIF with 65535 entries": (0xE1, many),
        "EXIF with an entry of 4 GB": (0xE1, exif[:14] + struct.pack(">H", 1) + endless),
        "XMP that is none": (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation=>"),
        "a damaged profile": (0xE2, b"ICC_PROFILE\0" + b"x" * 60_000),
        "a profile numbered 0 of 0": (0xE2, b"ICC_PROFILE\0\0\0" + b"x"),
        "a preview with no entry": (0xE2, preview + struct.pack(">HHII", 45057, 4, 1, 2)),
        "a preview beyond the file": (0xE2, b"MPF\0MM\0*" + struct.pack(">IH", 8, 60_000)),
        "a block of Photoshop that breaks off": (0xED, b"Photoshop 3.0\0008BIM\4\xed\0\0"),
        "a block of Photoshop of 4 GB": (0xED, b"Photoshop 3.0\0008BIM\4\xed\0\0\xff\xff\xff\xff"),
        "a comment that is no text": (0xFE, bytes(range(256)) * 200),
    }
    jpeg = encoded("JPEG")
    for name, (marker, content) in segments.items():
        size = struct.pack(">H", len(content) + 2)
        yield name, jpeg[:2] + bytes([255, marker]) + size + content + jpeg[2:], tensor(jpeg)
    chunks = {
        "a bomb of text": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20), 9)),
        "80 MB of text": b"".join([chunk(b"tEXt", b"a\0" + b"b" * 2_000_000)] * 40),
        "text that is no UTF-8": chunk(b"iTXt", b"a\0\1\0\0\0" + b"\xff" * 40),
        "text without an end": chunk(b"tEXt", b"a" * 1000),
        "a bomb of a profile": chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 << 20), 9)),
        "a profile that is none": chunk(b"iCCP", b"p\0\0no zlib"),
        "a wrong checksum": chunk(b"tIME", bytes(7))[:-1] + b"?",
        "EXIF that is no TIFF": chunk(b"eXIf", b"no TIFF"),
        "EXIF as a profile of text": chunk(
            b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(b"x")
        ),
        "a resolution of 0": chunk(b"pHYs", bytes(9)),
        "gamma of 0": chunk(b"gAMA", bytes(4)),
    }
    for name, data in chunks.items():
        yield f"{name} in a PNG", GOOD[:33] + data + GOOD[33:], tensor(GOOD)
    yield "text behind the pixels", GOOD[:-12] + chunks["a bomb of text"] + GOOD[-12:], tensor(GOOD)
    phone = io.BytesIO()
    small = Image.new("RGB", (8, 8))
    PICTURE.save(phone, "MPO", save_all=True, append_images=[small])
    yield "a phone's JPEG with a preview", phone.getvalue(), tensor(jpeg)
    yield "a JPEG with a megabyte behind it", jpeg + bytes(2**20), tensor(jpeg)


def _skips_one(word: str) -> bool:
    """Whether one of two pictures is left out, and the other right."""
    batch = load_images(word, SPEC, resize=True).read([0, 1])
    return len(batch.skipped) == 1 and torch.equal(batch.images[0], tensor(GOOD))


def _folders(folder: Path) -> Iterator[Case]:
    """Folders that hold what is no file, under names that are no name."""

    def make(name: str) -> Path:
        place = folder / name
        place.mkdir(parents=True)
        (place / "good.png").write_bytes(GOOD)
        return place

    def case(name: str, place: Path, *, want: Want = "answer", splits: bool = False) -> Case:
        read = partial(load_splits, place, SPEC) if splits else partial(_read, place)
        right = partial(_is_right, "either") if want == "answer" and not splits else None
        return Case(name=name, kind="folder", open=read, right=right, want=want)

    place = make("pipe")
    os.mkfifo(place / "a.png")
    yield case("a named pipe", place)
    place = make("socket")
    with socket.socket(socket.AF_UNIX) as listener:
        before = Path.cwd()
        os.chdir(place)  # names of sockets are short
        listener.bind("a.png")
        os.chdir(before)
    yield case("a socket", place)
    links = {
        "a device without an end": "/dev/zero",
        "a device of chance": "/dev/random",
        "the standard input": "/dev/stdin",
        "a file of the system": "/proc/self/mem",
        "a folder of the system": "/proc/self/task",
        "a link to nothing": "nothing.png",
        "a link to itself": "a.png",
        "a link to the folder around it": ".",
        "a link to the folder above": "..",
    }
    for number, (name, target) in enumerate(links.items()):
        place = make(f"link{number}/in")
        (place / "a.png").symlink_to(target)
        yield case(name, place)
    place = make("two")
    (place / "a").symlink_to("b")
    (place / "b").symlink_to("a")
    yield case("two links to each other", place)
    place = make("directory")
    (place / "a.png").mkdir()
    yield case("a folder called a.png", place)
    place = make("deep")
    deep = place
    for _ in range(120):
        deep = deep / "down"
    deep.mkdir(parents=True)
    (deep / "a.png").write_bytes(GOOD)
    yield case("120 folders in each other", place)
    names = {
        "of 250 bytes": b"n" * 246 + b".png",
        "that is no UTF-8": b"\xff\xfe\x80.png",
        "with a line break": b"a\nb.png",
        "with a carriage return": b"a\rb.png",
        "that clears the screen": b"a\x1b[2J.png",
        "that sets the title": b"a\x1b]0;title\x07.png",
        "that is a formula": b"=1+1.png",
        "that is a command": b"@SUM(1).png",
        "with a plus": b"+1.png",
        "that looks like a flag": b"-rf.png",
        "that runs backwards": "a\u202egnp.png".encode(),
        "without width": "\u200b.png".encode(),
        "of an unknown plane": "\U0010ffff.png".encode(),
        "with quotes": b"a'b\"c`d.png",
        "with a percent sign": b"%s%n%(x)s.png",
        "in braces": b"{0.__class__}.png",
        "with markup": b"[red]a<b>.png",
        "with a backslash": b"a\\..\\b.png",
        "of a home": b"~root.png",
        "with spaces": b" a .png",
        "with a star": b"*.png",
    }
    for number, (name, raw) in enumerate(names.items()):
        place = make(f"name{number}")
        (Path(os.fsdecode(os.fsencode(place) + b"/" + raw))).write_bytes(GOOD)
        yield case(f"a name {name}", place)
        if name == "that is no UTF-8":
            place = make(f"class{number}")
            (place / "good.png").unlink()
            for at in (b"/ok", b"/" + raw):
                os.mkdir(os.fsencode(place) + at)
                for image in range(4):
                    file = os.fsencode(place) + at + f"/{image}.png".encode()
                    Path(os.fsdecode(file)).write_bytes(GOOD)
            yield case(f"a class {name}", place, want="refusal", splits=True)
    for name in (".DS_Store", "Thumbs.db", "__MACOSX/._a.png", "@eaDir/a.png", "desktop.ini"):
        place = make(f"left_{name.replace('/', '_')}")
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"\0\0\0\1Bud1")
        yield case(f"what a system leaves: {name}", place)
    for name, data in {
        "is a pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "is empty": b"",
        "is no JSON": b"{'labels': ",
        "names what is not there": json.dumps({"labels": [["b.png", 0]]}).encode(),
        "is deep": b"[" * 100_000,
        "has a number for a name": json.dumps({"labels": [[1, 0]]}).encode(),
        "has no label": json.dumps({"labels": None}).encode(),
    }.items():
        place = make(f"json_{name.replace(' ', '_')}")
        (place / "dataset.json").write_bytes(data)
        yield case(f"a dataset.json that {name}", place, want="refusal")
    place = make("empty")
    (place / "good.png").unlink()
    yield case("an empty folder", place, want="refusal")
    (place / "readme.txt").write_text("none")
    yield case("a folder of text", place, want="refusal")
    yield case("a folder without classes", make("flat"), want="refusal", splits=True)
    for name, word in {
        "a word that names nothing": "nowhere/at/all",
        "a word with a zero byte": "a\0b",
        "a word of 5,000 letters": "a" * 5000,
        "a picture in place of a folder": str(folder / "000" / "good.png"),
        "a URL of a cloud": "s3://bucket/run",
        "a URL of another cloud": "gs://bucket/run",
        "a protocol that nobody knows": "hxxp://host/run",
        "a torchvision data set that is not there": f"torchvision:CIFAR10:{folder}:test",
        "a torchvision data set that reads pickles": f"torchvision:LSUN:{folder}:test",
    }.items():
        read = partial(load_images, word, SPEC)
        yield Case(name=name, kind="folder", open=read, want="refusal")
    place = make("tv/class")
    (place / "a.png").write_bytes(_POSTSCRIPT)
    read = partial(_skips_one, f"torchvision:ImageFolder:{place.parent}")
    yield Case(
        name="PostScript in a torchvision data set",
        kind="folder",
        open=read,
        want="answer",
        right=bool,
    )
    for name, data in {
        "empty": b"",
        "text": b"text" * 100,
        "a pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "a header of 2^63 bytes": struct.pack("<Q", 2**63 - 1) + b"{}",
        "a header that is no JSON": struct.pack("<Q", 8) + b"{{{{{{{{",
        "a header that is a list": struct.pack("<Q", 8) + b"[1,2,3] ",
    }.items():
        place = folder / f"store_{name.replace(' ', '_')}"
        place.mkdir()
        (place / "00000.safetensors").write_bytes(data)
        read = partial(load_images, place, SPEC)
        yield Case(name=f"a store whose shard is {name}", kind="folder", open=read, want="refusal")
