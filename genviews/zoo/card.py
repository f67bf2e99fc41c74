"""The card of an entry of the zoo: what it is, its licence, its files with hashes, its numbers.

A card is `card.json` in the entry's folder. Recipes and `GeneratorKit.save` write it, part by part.
Each file is listed with its SHA-256 and, where it was made with another file of the entry (an
encoder with a generator), with the SHA-256 that this one had: parts that do not belong together are
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from genviews.checks import check_file, fail, lookup
from genviews.files import read_json, save_tensors, sha256_of, write_json

__all__ = [
    "ENTRIES",
    "SECTIONS",
    "checked_file",
    "read_card",
    "record_file",
    "save_part",
    "start_card",
    "update_card",
]

ENTRIES = Path(__file__).parent

SECTIONS = (
    "about",
    "licence",
    "splits",
    "image",
    "generator",
    "ranges",
    "perturbations",
    "inverter",
    "training",
    "measured",
    "files",
)
"""What a card may hold, in its order."""


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card of an entry's folder.

    Raises:
        FileNotFoundError: no card there.
        ValueError: a damaged card.
    """
    path = folder / "card.json"
    remedy = "run the recipe that writes one, or name a folder that `GeneratorKit.save` wrote"
    what = f"kit in the folder {folder.name or '.'!r}"
    check_file(path, what, expected="a card.json", remedy=remedy)
    card = read_json(path)
    for section, (fits, expected) in _FORMS.items():
        if section in card and not fits(card[section]):
            got, remedy = repr(card[section]), "correct it, or write the card again"
            fail(f"{section} of the card {path}", expected=expected, got=got, remedy=remedy)
    return card


def _is_table(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(map(fits, value.values()))


def _are(values: object, *kinds: type) -> bool:
    """Whether this is a list of such values; true and false are no numbers."""
    return isinstance(values, list) and all(
        isinstance(one, kinds) and not isinstance(one, bool) for one in values
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_file(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("sha256"))
        and _is_table(value.get("made_with", {}), _is_text)
    )


_OBJECT = (lambda one: isinstance(one, dict), "a JSON object")
_FORMS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    **dict.fromkeys(SECTIONS, _OBJECT),
    "about": (
        lambda one: isinstance(one, dict) and isinstance(one.get("domain", ""), str),
        "a JSON object, whose domain is a name",
    ),
    "ranges": (
        lambda one: _is_table(
            one, lambda rows: isinstance(rows, list) and len(rows) == 2 and _are(rows, int)
        ),
        "names, each with the first row and the one behind the last",
    ),
    "perturbations": (
        lambda one: _is_table(one, lambda ranges: _is_table(ranges, lambda s: _are(s, int, float))),
        "kinds, each with ranges of rows, each with a list of numbers",
    ),
    "files": (lambda one: _is_table(one, _is_file), "names of files, each with its sha256"),
}
"""Section of a card -> whether a value has its form, and the form in words."""


def update_card(section: str, values: Mapping[str, object], folder: Path) -> dict[str, Any]:
    """Merge `values` into one section of a card, and write the card.

    Args:
        section: one of `SECTIONS`; made when the card lacks it.
        values: entries of the section, as JSON values; those of the same name are replaced.
        folder: the entry's folder.

    Returns:
        The new card.

    Raises:
        ValueError: an unknown section, or no JSON values.
    """
    lookup(section, dict.fromkeys(SECTIONS, True), "section of a card")
    card = read_card(folder)
    card[section] = {**card.get(section, {}), **values}
    ordered = {s: card[s] for s in SECTIONS if s in card}
    write_json(folder / "card.json", ordered)
    return ordered


def start_card(folder: Path, sections: Mapping[str, Mapping[str, object]]) -> None:
    """Write a new card with these sections; an existing one keeps its other sections."""
    path = folder / "card.json"
    if not path.exists():
        write_json(path, {})
    for section, values in sections.items():
        update_card(section, values, folder)


def save_part(
    folder: Path,
    file: str,
    tensors: Mapping[str, Tensor],
    *,
    what: str,
    metadata: Mapping[str, str] | None = None,
    made_with: Sequence[str] = (),
) -> None:
    """Write tensors as a file of the entry and list it on the card (see `record_file`)."""
    save_tensors(folder / file, tensors, metadata)
    record_file(folder, file, what=what, made_with=made_with)


def record_file(folder: Path, file: str, *, what: str, made_with: Sequence[str] = ()) -> None:
    """List a file of the entry on its card, with its hash and size.

    Args:
        folder: the entry's folder.
        file: name of the file in it.
        what: what it holds, in words.
        made_with: files of the entry that it was made with and that it is of no use without,
            e.g. ("generator.safetensors",) for an encoder.

    Raises:
        FileNotFoundError: one of the files is not there.
    """
    for name in (file, *made_with):
        check_file(folder / name, f"file {name!r} of {folder.name}")
    entry: dict[str, object] = {
        "what": what,
        "bytes": (folder / file).stat().st_size,
        "sha256": sha256_of(folder / file),
    }
    if made_with:
        entry["made_with"] = {name: sha256_of(folder / name) for name in made_with}
    update_card("files", {file: entry}, folder)


def checked_file(folder: Path, card: Mapping[str, Any], file: str) -> Path:
    """Return the path of a file of the entry whose content is the one on the card.

    Raises:
        FileNotFoundError: the entry has no such file.
        ValueError: the file's hash is not the card's, or a file that it was made with has changed.
    """
    listed, what = card.get("files", {}), f"{folder.name}: file {file!r}"
    if file not in listed or not (folder / file).is_file():
        fail(
            what,
            expected=f"one of {', '.join(sorted(listed)) or 'no files'}",
            got="not there" if file in listed else "not on the card",
            remedy="install the package again, or run the recipe that makes this part",
            error=FileNotFoundError,
        )
    found, wanted = sha256_of(folder / file), listed[file]["sha256"]
    if found != wanted:
        fail(
            what,
            expected=f"SHA-256 {wanted[:12]}...",
            got=f"{found[:12]}...",
            remedy="it is damaged or was changed: install the package again, or run its recipe",
        )
    for other, sha256 in listed[file].get("made_with", {}).items():
        if listed.get(other, {}).get("sha256") != sha256:
            fail(
                what,
                expected=f"the {other} that it was made with, SHA-256 {sha256[:12]}...",
                got="another one",
                remedy=f"run the recipe that makes {file} again",
            )
    return folder / file
