"""Files of other people's generators: one reader a format, and none runs what a file holds.

    file -> first bytes -> Contents (decoded, nothing run) -> the reader that knows it -> generator

A format is a module with a `READER` and its line in `READERS`. `knows` looks at what is decoded,
never at the name of the file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from genviews.checks import fail
from genviews.described import described_by
from genviews.generators.checkpoints import (
    biggans,
    edm,
    idinvert,
    r3gan,
    rosinality,
    stylegan2_ada,
    stylegan2_tf,
    stylegan3,
)
from genviews.generators.checkpoints.contents import MOST_KEYS, Contents, open_contents
from genviews.generators.checkpoints.reader import Opened, Reader
from genviews.generators.checkpoints.records import REMEDY
from genviews.generators.checkpoints.strangers import SCRIPT, WRITE, stranger_of_keys
from genviews.generators.checkpoints.tensors import as_dict, told

__all__ = ["READERS", "generator_in", "is_known"]

READERS: tuple[Reader, ...] = (
    stylegan2_ada.READER,
    stylegan2_tf.READER,
    stylegan3.READER,
    r3gan.READER,
    edm.READER,
    rosinality.READER,
    idinvert.READER,
    biggans.DEEP,
    biggans.CHUNKED,
)
"""Asked in this order whether they know a file."""


def is_known(path: Path) -> bool:
    """Whether one of the readers knows a file; reads no tensor.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged file, or of a kind that is not opened.
    """
    contents = open_contents(path)
    with described_by(contents.what, "a file of weights", REMEDY):
        return any(one.knows(contents) for one in READERS)


def generator_in(contents: Contents) -> Opened:
    """Return the generator of a decoded file, in eval mode and frozen; no code of it is run.

    What was left out, and that the file holds code, is said in the generator's `notes`.

    Raises:
        ValueError: a damaged file, or one of a format that is not opened, which is named.
    """
    with described_by(contents.what, "a file of weights", REMEDY):
        reader = next((one for one in READERS if one.knows(contents)), None)
        if reader is None:
            _refuse(contents)
        opened = reader.read(contents)
    generator = opened.generator.eval().requires_grad_(False)
    notes = []
    if opened.skipped:
        notes.append(f"the file also holds {', '.join(opened.skipped)}, which was left out")
    if contents.code:
        some = ", ".join(contents.code[:5]) + " ..." * (len(contents.code) > 5)
        notes.append(f"the file holds code ({some}), of which nothing was run")
    generator.notes = (*generator.notes, *notes)
    return replace(opened, generator=generator)


def _refuse(contents: Contents) -> NoReturn:
    """Raise ValueError that says what a file is that nobody knows."""
    held = contents.keys()
    for table in (held, *(as_dict(value) or {} for value in list(held.values())[:MOST_KEYS])):
        if (known := stranger_of_keys(table)) is not None:
            known.refuse(contents.what)
    network = contents.network("G_ema", "G", "ema")
    if network is not None:
        got = f"a network of class {network.kind} in a {contents.form}"
    elif "_is_full_backward_hook" in held:
        SCRIPT.refuse(contents.what)
    elif held:
        some = ", ".join(sorted(map(str, held))[:5]) + " ..." * (len(held) > 5)
        got = f"a {contents.form} of {len(held)} entries: {some}"
    else:
        got = f"{told(contents.root)} in a {contents.form}"
    expected = "a format that is opened (docs/generators.md lists them)"
    fail(contents.what, expected=expected, got=got, remedy=WRITE)
