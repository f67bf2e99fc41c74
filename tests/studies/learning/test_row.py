"""A row is checked where it is written, and its folder is named after what it is."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from genviews.studies.learning.row import LearningRow

MIXED = LearningRow(name="mixed", data="mixed", share=0.5)

# Field -> another value than that of MIXED.
OTHER = {
    "data": "generated",
    "views": "gaussian_all_0.20",
    "space": "own",
    "pixels": True,
    "objective": "vicreg",
    "positives": 2,
    "pool": 3,
    "ratio": 0.5,
    "share": 0.25,
    "mix": "sampled",
    "updates": 2.0,
}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data": "reel"}, "data of row 'a': .* did you mean 'real'"),
        ({"space": "w"}, "space of row 'a': expected one of own, z, got 'w'"),
        ({"mix": "fixd", "data": "mixed", "share": 0.5}, "mix of row 'a': .* did you mean 'fixed'"),
        ({"objective": "simclr"}, "objective of row 'a': expected one of classifier, decoupled"),
        ({"positives": 0}, "positives of row 'a': expected an integer of at least 1, got 0"),
        ({"positives": 3, "pool": 2}, "pool of row 'a': expected an integer of at least 3, got 2"),
        ({"ratio": 0.0}, r"ratio of row 'a': expected a finite number above 0, got 0\.0; 1 is the"),
        ({"ratio": math.inf}, "ratio of row 'a': expected a finite number above 0, got inf"),
        ({"ratio": math.nan}, "ratio of row 'a': expected a finite number above 0, got nan"),
        ({"updates": -1.0}, r"updates of row 'a': .* above 0, got -1\.0; 1 is the base"),
        ({"data": "real", "views": "gaussian_all_0.20"}, "latent views of generated samples, got"),
        ({"data": "none", "views": "gaussian_all_0.20"}, "of none data; leave `views` out"),
        ({"share": 0.5}, r"row 'a': expected a share .* got share=0\.5, data='generated'"),
        ({"data": "mixed"}, "got share=None, data='mixed'; give both or neither"),
        ({"data": "mixed", "share": 1.01}, r"share of row 'a': expected a number in \[0, 1\]"),
    ],
)
def test_misuse_names_the_row(fields, message) -> None:
    # Without the runtime check of annotations, which knows the words before the row does.
    make = getattr(LearningRow.__init__, "__wrapped__", LearningRow.__init__)
    with pytest.raises(ValueError, match=message):
        make(LearningRow.__new__(LearningRow), name="a", **fields)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_ends_of_the_share(share) -> None:
    assert replace(MIXED, share=share).share == share


def test_folder_does_not_depend_on_the_name() -> None:
    assert replace(MIXED, name="Gaussian + $T_x$ / 2").slug == MIXED.slug


def test_folder_depends_on_everything_else() -> None:
    fields = {field for field in vars(MIXED) if field != "name"}
    assert fields == OTHER.keys()
    rows = [replace(MIXED, **{k: v}) for k, v in OTHER.items() if k != "data"]
    rows.append(replace(MIXED, data="generated", share=None))
    slugs = {row.slug for row in (MIXED, *rows)}
    assert len(slugs) == len(OTHER) + 1


def test_folder_is_readable_and_safe() -> None:
    row = LearningRow(name="a/b", views="steer-zoom@5.00_all_1.00", pixels=True)
    assert re.fullmatch(r"generated-steer-zoom@5\.00_all_1\.00-pixels-[0-9a-f]{8}", row.slug)
    assert re.fullmatch(r"real-[0-9a-f]{8}", LearningRow(name="a", data="real").slug)


def test_folder_is_the_same_in_every_version() -> None:
    """Results of older runs are found by it."""
    assert LearningRow(name="real + T_x", data="real", pixels=True).slug == "real-pixels-9c73954c"
