"""Every study of the registry keeps the contract."""

from __future__ import annotations

from dataclasses import fields

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


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_switch_is_off_unless_its_flag_is_given(study):
    """A flag without a value can only turn on."""
    for one in fields(study.options):
        assert one.default is not True, one.name


def test_unknown_names_list_close_ones():
    with pytest.raises(ValueError, match="did you mean 'learning/table1'"):
        find_study("table1")
