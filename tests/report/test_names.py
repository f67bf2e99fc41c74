"""Names of files for images: they stay in their folder, fit any system, and do not meet."""

from __future__ import annotations

import random
import re
import unicodedata

import pytest

from genviews.report.names import file_names


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a/b.png", "a/b.png"),
        ("b.jpg", "b.jpg.png"),
        ("../../b.PNG", "__/__/b.PNG"),
        ("/etc/passwd", "etc/passwd.png"),
        ("./a", "a.png"),
        ("", "_.png"),
        ("..", "__.png"),
        (".png", "_.png"),
        ("a\x1b[2J\n.png", "a_x1b[2J_x0a.png"),
        ("c:\\\\x|y?.png", "c___x_y_.png"),
    ],
)
def test_they_stay_in_their_folder(image: str, name: str) -> None:
    assert file_names([image], ".png") == {image: name}


MEETING = {
    "suffix": ["b", "b.png"],
    "case": ["B.png", "b.png", "b.PNG"],
    "above": ["../x.png", "__/x.png"],
    "the root": ["/x.png", "x.png", "./x.png"],
    "how letters are composed": ["\u00e9.png", "e\u0301.png"],
    "unsafe letters": ["a:b.png", "a_b.png", "a|b.png"],
    "a file that is a folder": ["a.png", "a.png/b.png"],
    "long names": ["n" * 246 + ".png", "n" * 247 + ".png", "n" * 5000],
    "a name that looks marked": ["b", "b.png", "b-ab6a6fc700000000.png"],
}


@pytest.mark.parametrize("images", MEETING.values(), ids=list(MEETING))
def test_no_two_meet(images: list[str]) -> None:
    found = file_names(images, ".png")
    seen = [unicodedata.normalize("NFC", name).casefold() for name in found.values()]
    assert len(set(seen)) == len(images)
    folders = {one.rpartition("/")[0] for one in seen}
    assert not folders & set(seen)
    assert all(len(part.encode()) <= 200 for name in found.values() for part in name.split("/"))
    assert all(name.lower().endswith(".png") for name in found.values())


def test_a_cut_name_has_one_hash() -> None:
    (name,) = file_names(["n" * 246 + ".png"], ".png").values()
    assert re.fullmatch("n{150}-[0-9a-f]{16}.png", name)


def test_their_order_is_nothing() -> None:
    images = [one for group in MEETING.values() for one in group]
    mixed = random.Random(0).sample(images, len(images))
    assert file_names(images, ".png") == file_names(mixed, ".png")


def test_one_that_took_the_marked_name_of_another_does_not_meet_it() -> None:
    marked = file_names(["b", "b.png"], ".png")["b"]
    found = file_names(["b", "b.png", marked], ".png")
    assert len(set(found.values())) == 3
