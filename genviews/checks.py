"""User-facing argument checks with one message format: what, expected, got, remedy.

`assert` is for our own invariants; everything that a user can get wrong goes through here.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, suppress
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Literal,
    NoReturn,
    SupportsFloat,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:  # messages are wanted where torch is not
    from torch import Tensor

__all__ = [
    "check_ascending",
    "check_count",
    "check_different",
    "check_each",
    "check_file",
    "check_finite",
    "check_fraction",
    "check_given",
    "check_type",
    "check_number",
    "check_pixels",
    "check_words",
    "expanded",
    "fail",
    "finite_rows",
    "first_reasons",
    "for_flag",
    "is_there",
    "is_url",
    "lookup",
    "option",
    "stands_for",
]

T = TypeVar("T")

MOST_LISTED = 100  # names in a message; ImageNet has a thousand
LARGEST_PIXEL = 10.0  # beyond +-10 an image does not overshoot [-1, 1] but is in another range
ENOUGH_IMAGES = 16  # so many without a dark pixel are no accident
BLACK = 0.05  # a set in [0, 1] has a black pixel, which is at 0 there
LONGEST = 500  # letters of what is shown of a name or value in a message


def is_url(path: object) -> bool:
    """Whether this is a URL, such as s3://bucket/run, also as a `Path` writes it.

    Example:
        >>> is_url("s3://bucket/run"), is_url(Path("gs://bucket/run")), is_url("runs/a")
        (True, True, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)) is not None


def expanded(path: str | Path) -> Path:
    """A path with `~` as the home folder; as it is where that is nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_there(path: Path, *, folders: bool = False) -> bool:
    """Whether a file is there, or a folder where that will do; False for what can be no path."""
    try:
        found: bool = path.is_file() or (folders and path.exists())
    except (OSError, ValueError):  # a name too long, a link to itself, a zero byte
        return False
    return found


def fail(
    what: str,
    *,
    expected: object,
    got: object,
    remedy: str,
    error: type[Exception] = ValueError,
) -> NoReturn:
    """Raise `error` with the message "what: expected ..., got ...; remedy."."""
    raise error(f"{_cut(what)}: expected {expected}, got {_cut(str(got))}; {remedy}.")


def _cut(text: str) -> str:
    """Text that a file or a user gave, on one line, without the middle where it is too long."""
    text = " ".join(line.strip() for line in text.splitlines()) if "\n" in text else text
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"


def lookup(name: str, table: Mapping[str, T], kind: str) -> T:
    """Return `table[name]`, or raise ValueError that lists the closest known names.

    Example:
        >>> lookup("fnie", {"fine": 1, "coarse": 2}, "layer range")
        Traceback (most recent call last):
        ValueError: layer range: expected one of coarse, fine, got 'fnie'; did you mean 'fine'?.
    """
    text = isinstance(name, str)
    if text and name in table:
        return table[name]
    close = difflib.get_close_matches(name, table, n=3, cutoff=0.4) if text else []
    hint = f"did you mean {' or '.join(repr(c) for c in close)}?" if close else "none is close"
    if len(table) == 1:  # one that is not close is still the only one
        hint = f"write {next(iter(table))!r}"
    known = sorted(table)
    told = known if len(known) <= MOST_LISTED else [*known[:3], f"... ({len(known)} in all)"]
    fail(kind, expected=f"one of {', '.join(told)}", got=repr(name), remedy=hint)


@contextmanager
def for_flag(flag: str) -> Iterator[None]:
    """Put a flag before a message about what it named, where that does not name it.

    Example:
        >>> with for_flag("--views"):
        ...     lookup("fnie", {"fine": 1}, "layer range")
        Traceback (most recent call last):
        ValueError: --views: layer range: expected one of fine, got 'fnie'; write 'fine'.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if flag in str(error):
            raise
        # Not its own class: such as UnicodeDecodeError is not made of a text.
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{flag}: {error}") from error


def option(name: str) -> str:
    """Return an argument by its name in Python and on the command line, for a remedy.

    Example:
        >>> option("z_dim")
        'z_dim (--z-dim)'
    """
    return f"{name} (--{name.replace('_', '-')})"


def check_file(
    path: str | Path,
    what: str,
    *,
    expected: str = "a file that exists",
    remedy: str = "correct the path; relative ones start in the current folder",
    folders: bool = False,
) -> None:
    """Raise FileNotFoundError unless a file is there, or a folder where that will do.

    A file that was never fetched (see `stands_for`) is a ValueError.
    """
    found = expanded(path)
    if is_there(found, folders=folders):
        if found.is_file():
            with suppress(PermissionError), found.open("rb") as file:
                check_fetched(file.read(64), what)
        return
    got = f"no file {str(path)!r}"
    if is_url(path):
        expected, got = "a file of this machine", f"{str(path)!r}, a URL"
        remedy = "copy it to this machine first"
    elif not is_there(found, folders=True):
        pass
    elif found.is_dir():
        got += ", but a folder"
    else:
        got += ", but a named pipe, a socket or a device"
    fail(what, expected=expected, got=got, remedy=remedy, error=FileNotFoundError)


def stands_for(start: bytes) -> str | None:
    """What a file is, by its first bytes, that stands for one that was never fetched; else None."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS"
    return "a web page" if text.startswith((b"<!doctype html", b"<html")) else None


def check_fetched(start: bytes, what: str) -> None:
    """Raise ValueError where the first bytes of a file say that it stands for another."""
    if (told := stands_for(start)) is not None:
        remedy = "fetch the file itself, such as with `git lfs pull`"
        fail(what, expected="the file itself", got=told, remedy=remedy)


def check_given(value: T | None, what: str, expected: str, remedy: str) -> T:
    """Return `value`, or raise ValueError where there is none."""
    if value is None:
        fail(what, expected=expected, got="none", remedy=remedy)
    return value


def check_count(
    value: int, what: str, *, least: int = 1, most: float = math.inf, remedy: str = "change it"
) -> int:
    """Return `value`, an integer of at least `least` and at most `most`, or raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = "" if most == math.inf else f" and at most {most}"
        wanted = str(least) if least == most else f"an integer of at least {least}{limit}"
        fail(what, expected=wanted, got=repr(value), remedy=remedy)
    return value


def check_number(
    value: float,
    what: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    remedy: str = "change it",
) -> float:
    """Return `value`, a finite number within the bounds, or raise ValueError.

    Example:
        >>> check_number(1.5, "tolerance", least=0, below=1, remedy="try 0.001")
        Traceback (most recent call last):
        ValueError: tolerance: expected a finite number of at least 0 and below 1, got 1.5; ...
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    finite = number and abs(value) <= sys.float_info.max  # also of an integer too long for floats
    if not (finite and least <= value <= most and above < value < below):
        bounds = {"of at least": least, "above": above, "of at most": most, "below": below}
        told = [f"{word} {bound:g}" for word, bound in bounds.items() if math.isfinite(bound)]
        expected = f"a finite number {' and '.join(told)}".strip()
        fail(what, expected=expected, got=repr(value), remedy=remedy)
    return float(value)


def check_fraction(value: float, what: str) -> float:
    """Return `value`, a number in [0, 1] of any library, or raise."""
    number = math.nan
    if isinstance(value, SupportsFloat) and not isinstance(value, bool):
        # Arrays of several numbers, and integers too long for floats.
        with suppress(TypeError, ValueError, RuntimeError, OverflowError):
            number = float(value)
    if not 0.0 <= number <= 1.0:
        fail(what, expected="a number in [0, 1]", got=repr(value), remedy="change it")
    return number


def check_ascending(values: Sequence[float], what: str) -> None:
    """Raise ValueError unless there are values, each above the one before, from 0 on."""
    rising = all(one < other for one, other in pairwise(values))
    if not values or not rising or values[0] < 0:
        fail(
            what,
            expected="ascending numbers of at least 0",
            got=", ".join(map(str, values)) or "none",
            remedy="list each once, the smallest first",
        )


def check_different(names: Iterable[object], what: str, remedy: str) -> None:
    """Raise ValueError where a name stands twice.

    Example:
        >>> check_different(["a", "b", "a"], "ids", "name each image once")
        Traceback (most recent call last):
        ValueError: ids: expected all different, got 'a' more than once; name each image once.
    """
    twice = sorted(repr(name) for name, count in Counter(names).items() if count > 1)
    if twice:
        got = f"{', '.join(twice[:3])} more than once"
        fail(what, expected="all different", got=got, remedy=remedy)


def check_each(
    given: Sized, count: int, what: str, each: str = "image", remedy: str = "match them by row"
) -> None:
    """Raise ValueError unless there is one of `given` for each of so many images."""
    if len(given) != count:
        expected = f"{count}, one for each {each}"
        fail(what, expected=expected, got=len(given), remedy=remedy)


def finite_rows(values: Tensor) -> Tensor:
    """Return (N,), which of N rows of numbers, images or latents are finite throughout."""
    return values.isfinite().flatten(1).all(1)


def check_finite(rows: Tensor, what: str, names: Sequence[object], remedy: str) -> None:
    """Raise ValueError that names the rows with a number that is not finite.

    Args:
        rows: (N, ...) numbers.
        what: they are.
        names: of the N rows, such as ids of images.
        remedy: see `fail`.
    """
    bad = (~finite_rows(rows)).nonzero().flatten().tolist()
    if bad:
        got = f"others in {', '.join(str(names[row]) for row in bad[:5])}"
        fail(what, expected="finite numbers", got=got, remedy=remedy)


def check_pixels(images: Tensor, what: str, *, as_set: bool = False) -> None:
    """Raise ValueError where images are plainly not in [-1, 1].

    Values beyond +-10 are of 0 to 255. Of a few images without a negative pixel nothing can be
    said: they may be light. Of a set of 16 with a black pixel at 0 it can: they are in [0, 1].

    Args:
        images: (..., C, H, W); those with a number that is not finite are not judged here.
        what: they are.
        as_set: they are different images, of which the set can be judged; views of one are not.
    """
    if not images.numel():
        return
    rows = images.detach().reshape(-1, *images.shape[-3:]).flatten(1)
    low, high = (part.float() for part in rows.aminmax(dim=1))
    known = low.isfinite() & high.isfinite()
    if not known.any():
        return
    low, high = low[known], high[known]
    if (largest := float(low.abs().maximum(high.abs()).max())) > LARGEST_PIXEL:
        got, remedy = f"values up to {largest:.4g}", "scale 0 to 255 with `x / 127.5 - 1`"
        remedy += "; of views that overshoot so far, lower the strength"
        fail(what, expected="values in [-1, 1]", got=got, remedy=remedy)
    darkest, lightest = float(low.min()), float(high.max())
    if as_set and len(low) >= ENOUGH_IMAGES and 0 <= darkest < BLACK and 0.5 < lightest <= 1:
        fail(
            what,
            expected="values in [-1, 1]",
            got=f"{len(low)} images in [{darkest:.3g}, {lightest:.3g}], none with a negative pixel",
            remedy="scale 0 to 1 with `x * 2 - 1`; if 0 is your grey and nothing is darker, give "
            f"fewer than {ENOUGH_IMAGES} images at once",
        )


def check_words(settings: object, called: Callable[[str], str] = str) -> None:
    """Raise ValueError where a field that takes one of some words has another.

    Args:
        settings: an object whose class annotates such fields as a `Literal`, or as that or None.
        called: what messages call a field, of its name.

    Example:
        >>> class Photo:
        ...     size: Literal["small", "large"] = "samll"
        >>> check_words(Photo())
        Traceback (most recent call last):
        ValueError: size: expected one of large, small, got 'samll'; did you mean 'small'?.
    """
    for name, hint in get_type_hints(type(settings)).items():
        words = [one for one in (hint, *get_args(hint)) if get_origin(one) is Literal]
        if words and not (getattr(settings, name) is None and type(None) in get_args(hint)):
            lookup(getattr(settings, name), dict.fromkeys(get_args(words[0])), called(name))


def first_reasons(skipped: Iterable[tuple[str, str]]) -> str:
    """The first of some (file, reason), for a message."""
    return "; ".join(f"{name} {reason}" for name, reason in list(skipped)[:5])


def check_type(
    value: object, kind: type[T] | tuple[type[T], ...], what: str, expected: str, remedy: str
) -> T:
    """Return `value`, which is of a kind or one of several, or raise TypeError."""
    if not isinstance(value, kind):
        got = type(value).__name__
        fail(what, expected=expected, got=got, remedy=remedy, error=TypeError)
    return value
