"""Every study of the registry keeps the contract."""

from __future__ import annotations

import pytest

from genviews.studies.registry import STUDIES, find_study
from genviews.testing import check_study


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """What studies ask for is made once for all of them."""
    return tmp_path_factory.mktemp("work")


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_contract(study, work):
    check_study(study, work)


def test_unknown_names_list_close_ones():
    with pytest.raises(ValueError, match="did you mean 'learning/table1'"):
        find_study("table1")
