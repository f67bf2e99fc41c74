"""Whatever a user gives to a public call: an answer, or one sentence of ours that says why not.

A few odd things a call in the suite; `pytest --slow tests/test_public_calls.py` tries them all.
"""

from __future__ import annotations

import importlib
import inspect
import re
import traceback
import zlib

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import genviews
from genviews.align.base import UnalignableError
from tests.public_calls import CALLS, Inputs, get
from tests.strategies import every, odd

pytestmark = [pytest.mark.as_installed, pytest.mark.filterwarnings("ignore")]

EXAMPLES = 3
SLOW = {"perturb.train_steer train_walks", "evaluate.svm MultiLabelSVM.fit"}
SENTENCE = re.compile(r"[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+\.$")
LOOKED_AT = re.compile(
    r"\b(Float|Int|Bool|Tensor|Images|Latents|Draws|Label|Given|Generator|GeneratorKit|Classifier|"
    r"Module|PredictionBank|Perturbation|PixelViews|ImageSource|ImageSet|RepresentationEncoder)\b"
)


def refused(name: str, **instead: object) -> str | None:
    """Why a call was refused; None where it answered."""
    try:
        CALLS[name](Inputs(**instead))
    except UnalignableError as error:  # says what an image has, not what was given
        return str(error)
    except (ValueError, TypeError) as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__} {str(error)[:200]}, {last.filename[-40:]}:{last.lineno}"
        assert last.filename.endswith("checks.py"), text
        assert SENTENCE.match(str(error)), text  # noqa: PT017 (an answer is as good)
        return str(error)
    return None


@pytest.mark.parametrize("name", CALLS)
def test_an_odd_thing_is_answered_or_refused_in_one_sentence(name: str) -> None:
    inputs = Inputs()
    CALLS[name](inputs)

    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=1 if name in SLOW else EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def tried(data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(inputs.read))
        _, thing = data.draw(odd(get(slot)))
        refused(name, **{slot.replace(" ", "_"): thing})

    tried()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CALLS if name not in SLOW])
def test_every_odd_thing_is_answered_or_refused_in_one_sentence(name: str) -> None:
    inputs = Inputs()
    CALLS[name](inputs)
    for slot in inputs.read:
        for _, thing in every(get(slot)):
            refused(name, **{slot.replace(" ", "_"): thing})


def test_every_public_name_has_its_line() -> None:
    """Of each: how it is made, and each of its methods that takes what is looked at here."""
    called = {word for name in CALLS for word in re.findall(r"\w+", name)}
    missing = []
    for name in genviews.__all__:
        found = getattr(importlib.import_module(genviews._PUBLIC[name]), name)
        takes = [found] if inspect.isfunction(found) else [found.__init__, *_methods(found)]
        if name not in called and any(map(_looks_at, takes)):
            missing.append(name)
    assert missing == [], "add a line to tests/public_calls.py"


def _methods(kind: type) -> list[object]:
    return [part for name, part in vars(kind).items() if not name.startswith("_")]


def _looks_at(function: object) -> bool:
    if not inspect.isfunction(function):
        return False
    taken = inspect.signature(function).parameters.values()
    return any(LOOKED_AT.search(str(one.annotation)) for one in taken)
