"""Every study by name: one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genviews.checks import lookup
from genviews.studies.base import Study
from genviews.studies.ensembling.fig6 import STUDY as FIG6
from genviews.studies.ensembling.fig14 import STUDY as FIG14
from genviews.studies.ensembling.main import STUDY as MAIN
from genviews.studies.ensembling.table2 import STUDY as TABLE2
from genviews.studies.learning.table import STUDIES as LEARNING

__all__ = ["STUDIES", "find_study"]

STUDIES: Mapping[str, Study[Any]] = {
    study.name: study for study in (MAIN, FIG6, FIG14, TABLE2, *LEARNING)
}


def find_study(name: str) -> Study[Any]:
    """The study of this name.

    Raises:
        ValueError: unknown; the closest names are listed.
    """
    return lookup(name, STUDIES, "study")
