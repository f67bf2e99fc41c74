"""A PNG or JPEG file without what is not pixels: text, colour profiles, thumbnails, camera data.

Decoders read metadata first, and refuse a file for metadata that is damaged or unusually large.
Without it the pixels are the same. How the picture is turned stays where it can be found.
"""

from __future__ import annotations

import io

__all__ = ["OpenFile", "without_metadata"]

OpenFile = io.BytesIO | io.BufferedReader
"""A file that is open for reading bytes, or bytes as one."""

_PNG = b"\x89PNG\r\n\x1a\n"
_KEPT_CHUNKS = (b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT")  # the last three show an animation
_SCAN, _COMMENT = 0xDA, 0xFE


def without_metadata(file: OpenFile) -> io.BytesIO | None:
    """Return a PNG or JPEG file's pixels as a file; None for one of another format.

    A file that breaks off is returned as far as it goes.
    """
    file.seek(0)
    start = file.read(8)
    if start == _PNG:
        return io.BytesIO(_png(file))
    if start[:3] == b"\xff\xd8\xff":
        return io.BytesIO(_jpeg(file))
    return None


def _png(file: OpenFile) -> bytes:
    """Chunks that are critical (their name starts with a capital), and the few kept ones."""
    kept = [_PNG]
    file.seek(len(_PNG))
    while len(head := file.read(8)) == 8:
        size, name = int.from_bytes(head[:4], "big"), head[4:]
        if name[:1].isupper() or name in _KEPT_CHUNKS:
            kept += [head, file.read(size + 4)]
        else:
            file.seek(size + 4, io.SEEK_CUR)
    return b"".join(kept)


def _jpeg(file: OpenFile) -> bytes:
    """Segments but for comments and those of applications; the colour transform (14) is kept."""
    kept = [b"\xff\xd8"]
    file.seek(2)
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != _SCAN:
        size = int.from_bytes(head[2:], "big") - 2
        if head[1] == _COMMENT or (0xE1 <= head[1] <= 0xEF and head[1] != 0xEE):
            file.seek(max(size, 0), io.SEEK_CUR)
        else:
            kept += [head, file.read(max(size, 0))]
    return b"".join([*kept, head, file.read()])
