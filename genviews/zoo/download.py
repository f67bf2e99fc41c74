"""One file from a URL: whole, as it must be, or not at all.

    URL -> bytes, with a Range where some are here -> `.NAME.part` -> size and SHA-256 -> NAME

What came of a transfer that was cut off stays beside its place and is gone on with, unless the file
may have changed since. A web page, a pointer of Git LFS or a notice in the place of the file is
known by its first bytes, and told. Nothing here is called without being asked for.
"""

from __future__ import annotations

import http.client
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from genviews.checks import fail, stands_for
from genviews.claim import claim
from genviews.described import parse_object
from genviews.files import sha256_of, write_json

__all__ = ["check_sha256", "download"]

CHUNK = 2**16  # bytes read at once
PAGE = 200_000  # bytes of a web page that are looked at
MOST = 2**37  # bytes of a file whose length nobody says
AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may do better in a while
_PAGES = ("text/html", "text/xml", "application/xml", "application/json")

Told = Callable[[int, int | None], object]
"""Called with the bytes that are here, and those in all where that is known."""


def download(
    url: str,
    path: Path,
    *,
    size: int | None = None,
    sha256: str | None = None,
    stated_by: str = "the card",
    remedy: str = "try again later",
    progress: Told = lambda done, total: None,
    timeout: float = 30.0,
    attempts: int = 5,
    pause: float = 1.0,
) -> str:
    """Download a file to a path, going on with what an earlier call left.

    Args:
        url: http or https; others, also by a redirect, are refused, and so is one from https to
            http.
        path: where to; replaced in one step, when the file is whole.
        size: in bytes, if it is known.
        sha256: if it is known.
        stated_by: who says size and SHA-256, for messages.
        remedy: what a user can do where the server does not give the file.
        progress: called as bytes come.
        timeout: seconds without a byte after which a connection counts as cut.
        attempts: transfers, each going on where the last was cut.
        pause: seconds before the second one; doubled before each further one.

    Returns:
        The SHA-256 of the file.

    Raises:
        OSError: no connection, no such file there, another file than was stated, a page in its
            place, no room, or another process at the same download.
        ValueError: a URL of another kind.
    """
    if not re.match("https?://", url, re.IGNORECASE):
        fail("URL", expected="http:// or https://", got=url, remedy="correct it")
    job = _Transfer(url, path, size, sha256, remedy, progress, timeout)
    path.parent.mkdir(parents=True, exist_ok=True)
    with claim(path.with_name(f".{path.name}.lock")) as alone:
        if not alone:
            got = "another process that downloads it"
            _fail(path, "to be the only one", got, "wait for it, and run again")
        for attempt in range(attempts):
            if attempt:
                time.sleep(pause * 2 ** (attempt - 1))
            try:
                job.run()
                break
            except _CutError as cut:
                if attempt + 1 == attempts:
                    here = job.part.stat().st_size if job.part.exists() else 0
                    told = f"{cut}, after {attempts} attempts; {here:,} bytes are here"
                    _fail(path, "the whole file", told, f"run again to go on, or {remedy}")
        return job.keep(stated_by)


class _CutError(Exception):
    """A transfer that may be gone on with; says why it ended."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but none that leaves https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: Any,  # noqa: ANN401 (urllib's)
        code: int,
        msg: str,
        headers: Any,  # noqa: ANN401 (urllib's)
        newurl: str,
    ) -> urllib.request.Request | None:
        """The request to follow a redirect with."""
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise urllib.error.HTTPError(newurl, code, "a redirect from https", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Transfer:
    """The bytes that are here of a file, and how more are asked for."""

    def __init__(
        self,
        url: str,
        path: Path,
        size: int | None,
        sha256: str | None,
        remedy: str,
        progress: Told,
        timeout: float,
    ) -> None:
        self.url, self.path, self.size, self.sha256 = url, path, size, sha256
        self.remedy, self.progress, self.timeout = remedy, progress, timeout
        self.part = path.with_name(f".{path.name}.part")
        self.note = path.with_name(f".{path.name}.part.json")

    def run(self) -> None:
        """Ask for what is missing, and write it.

        Raises:
            _CutError: the transfer ended too early.
            OSError: it cannot come to the file.
        """
        begun, validator = self._begun()
        headers = {"User-Agent": "genviews", "Accept-Encoding": "identity"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
            headers |= {"If-Range": validator} if validator else {}
        request = urllib.request.Request(self.url, headers=headers)
        try:
            opener = urllib.request.build_opener(_Redirects)
            reply = opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                whole = re.match(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
                if error.code == 416 and begun and whole is not None and int(whole[1]) == begun:
                    return  # all of it is here: it was ended before it could be kept
                self._refused(error, begun)
        except (OSError, http.client.HTTPException) as error:
            self._unreached(error)
        with reply:
            self._receive(reply, begun)

    def keep(self, stated_by: str) -> str:
        """Compare what came with what was stated, and move it to its place.

        Raises:
            OSError: another file; it is removed.
        """
        digest = sha256_of(self.part)
        try:
            check_sha256(digest, self.sha256, f"download of {self.path.name}", stated_by)
        except OSError:
            self._forget()
            raise
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(self.part, self.path)
        self._forget()
        return digest

    def _begun(self) -> tuple[int, str]:
        """How many bytes are here to go on from, and by what the server knows the same file."""
        if not (self.part.exists() and self.note.exists()):
            return 0, ""
        try:
            note = parse_object(self.note.read_bytes(), f"note of {self.path.name}")
        except ValueError:  # torn by a crash
            return 0, ""
        validator = str(note.get("validator") or "")
        # Without either, bytes of two files might be put together, and nobody would see it.
        same = note.get("url") == self.url and (validator or self.sha256)
        return (self.part.stat().st_size, validator) if same else (0, "")

    def _receive(self, reply: Any, begun: int) -> None:  # noqa: ANN401 (urllib's reply)
        """Write the bytes of a reply behind those that are here, or in their place."""
        there = re.match(r"bytes (\d+)-", reply.headers.get("Content-Range", ""))
        resumed = reply.status == 206 and there is not None and int(there[1]) == begun
        begun = begun if resumed else 0
        length = reply.headers.get("Content-Length", "")
        total = begun + int(length) if length.isdecimal() else None
        first = self._read(reply)
        if not begun:
            self._check_file(first, reply, total)
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and total - begun > free:
            room = f"{(total - begun) / 1e6:,.0f} MB of room in {self.path.parent}"
            _fail(self.path, room, f"{free / 1e6:,.0f} MB", "make room, or choose another folder")
        tag = reply.headers.get("ETag", "")
        strong = "" if tag.startswith("W/") else tag
        validator = strong or reply.headers.get("Last-Modified", "")
        if not resumed:
            self.part.unlink(missing_ok=True)  # else it might be taken for one of this note
            write_json(self.note, {"url": self.url, "validator": validator})
        done, data = begun, first
        with self.part.open("ab") as file:
            while data:
                file.write(data)
                done += len(data)
                if done > (total or self.size or MOST):
                    self._forget()
                    expected = f"at most {total or self.size or MOST:,} bytes"
                    _fail(self.path, expected, "more", self.remedy)
                self.progress(done, total or self.size)
                data = self._read(reply)
        wanted = self.size if total is None else total
        if wanted is not None and done < wanted:
            raise _CutError(f"{done:,} of {wanted:,} bytes")

    def _read(self, reply: Any) -> bytes:  # noqa: ANN401 (urllib's reply)
        try:
            data: bytes = reply.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _CutError(self._reason(error)) from error
        return data

    def _check_file(
        self,
        start: bytes,
        reply: Any,  # noqa: ANN401 (urllib's reply)
        total: int | None,
    ) -> None:
        """Refuse what is plainly not the file, before any byte of it is kept."""
        told = stands_for(start)
        kind = reply.headers.get_content_type()
        if told is None and kind in _PAGES:
            told = f"a text ({kind})"
        if told is not None:
            page = start
            while len(page) < PAGE and (more := self._read(reply)):
                page += more
            _fail(self.path, "the file itself", _notice(page.lower(), told), self.remedy)
        if self.size is not None and total not in (None, self.size):
            expected = f"{self.size:,} bytes"
            _fail(self.path, expected, f"a file of {total:,}", self.remedy)

    def _refused(self, error: urllib.error.HTTPError, begun: int) -> NoReturn:
        """Say what a server answered instead of the file."""
        if error.code == 416 and begun:  # the file there is no longer than what is here
            self._forget()
            raise _CutError("a file that has changed there")
        page = error.read(PAGE).lower() if error.fp is not None else b""
        if b"quota" in page:
            _fail(self.path, "the file itself", _notice(page, "a web page"), self.remedy)
        if error.code in AGAIN:
            raise _CutError(f"the server's answer {error.code} ({error.reason})")
        if 300 <= error.code < 400:
            loop = "infinite loop" in str(error.reason)
            got = "redirects that never end" if loop else f"{error.reason} to {error.url}"
        elif error.code in (404, 410):
            got = f"no such file there ({error.code})"
        elif error.code in (401, 403):
            got = f"no permission to have it ({error.code})"
        else:
            got = f"the server's answer {error.code} ({error.reason})"
        _fail(self.path, f"the file of {self.url}", got, self.remedy)

    def _unreached(self, error: Exception) -> NoReturn:
        """Say why there is no connection; what may pass is tried again."""
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        if isinstance(cause, socket.gaierror | ssl.SSLCertVerificationError):
            got = self._reason(cause)
            _fail(self.path, f"a connection to {self.url}", got, "connect to a network")
        raise _CutError(self._reason(cause)) from error

    def _reason(self, error: object) -> str:
        if isinstance(error, TimeoutError):
            return f"no byte for {self.timeout:g} s"
        if isinstance(error, socket.gaierror):
            return "no such host, or no network"
        text = error.strerror if isinstance(error, OSError) else None
        return (text or str(error) or type(error).__name__).lower()

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def check_sha256(digest: str, expected: str | None, what: str, stated_by: str) -> None:
    """Raise OSError where a file is not the one that was stated.

    Args:
        digest: its SHA-256.
        expected: the one that was stated; None for none.
        what: the file is, for messages.
        stated_by: who states it.
    """
    if expected is not None and digest != expected:
        fail(
            what,
            expected=f"SHA-256 {expected} (stated by {stated_by})",
            got=digest,
            remedy="it is damaged, or has been replaced; compare with its page, and if it is the "
            "one that you want, name the file itself in the place of this card",
            error=OSError,
        )


def _notice(page: bytes, told: str) -> str:
    """What a page says that came in the place of a file, in lower case."""
    if b"quota" in page or b"too many users" in page:
        return f"{told}: so many have downloaded it today that the quota is used up"
    if b"virus" in page and b"confirm" in page:
        return f"{told} that asks to confirm the download"
    title = re.search(rb"<title[^>]*>\s*([^<]{1,80})", page)
    return f"{told}: {title[1].decode(errors='replace').strip()}" if title else told


def _fail(path: Path, expected: str, got: str, remedy: str) -> NoReturn:
    fail(f"download of {path.name}", expected=expected, got=got, remedy=remedy, error=OSError)
