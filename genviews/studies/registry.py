"""Every study by name: one line for each file of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genviews.checks import lookup
from genviews.named import find_named
from genviews.studies.base import Study

__all__ = ["ADDRESSES", "STUDIES", "find_study"]

ADDRESSES = (
    "genviews.studies.ensembling.main:STUDY",
    "genviews.studies.ensembling.fig6:STUDY",
    "genviews.studies.ensembling.fig14:STUDY",
    "genviews.studies.ensembling.table2:STUDY",
    "genviews.studies.ensembling.inverters:STUDY",
    "genviews.studies.ensembling.shifts:STUDY",
    "genviews.studies.ensembling.fig7:STUDY",
    "genviews.studies.ensembling.few_labels:STUDY",
    "genviews.studies.ensembling.adaptive:STUDY",
    "genviews.studies.learning.table:STUDIES",
)
"""Where each study is, or a tuple of studies, in the order that lists show."""


def _studies(address: str) -> tuple[Study[Any], ...]:
    found = find_named(address, "address of a study")
    return found if isinstance(found, tuple) else (found,)


STUDIES: Mapping[str, Study[Any]] = {
    study.name: study for address in ADDRESSES for study in _studies(address)
}


def find_study(name: str) -> Study[Any]:
    """The study of this name.

    Raises:
        ValueError: unknown; the closest names are listed.
    """
    return lookup(name, STUDIES, "study")
