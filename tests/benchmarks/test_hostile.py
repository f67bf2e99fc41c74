"""A sample of the files of `benchmarks.hostile`, and that the benchmark finds what is bad."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import hostile
from benchmarks.hostile_case import Case
from genviews.checks import fail

Cases = dict[str, list[Case]]
MAKERS: dict[str, Callable[[Path], Iterator[Case]]] = {
    "models": hostile.model_cases,
    "images": hostile.image_cases,
    "tables": hostile.table_cases,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    folder = tmp_path_factory.mktemp("hostile")
    return {name: list(make(folder / name)) for name, make in MAKERS.items()}


@pytest.mark.parametrize(("kind", "step"), [("models", 16), ("images", 8), ("tables", 4)])
def test_a_sample_ends_in_an_answer_or_a_sentence(cases: Cases, kind: str, step: int) -> None:
    bad = [one for one in map(hostile.try_case, cases[kind][::step]) if not one.good]
    # Time is what the benchmark measures; a busy machine must not fail a test.
    assert [one for one in bad if one.ended != "TOO SLOW"] == []


def test_nothing_is_run_or_fetched(cases: Cases) -> None:
    """Every case that would be, if its file were believed."""
    words = ("PostScript", "pickle", "runs", "hf-hub", "URL", "fetches", "program", "metafile")
    every = [case for kind in cases.values() for case in kind]
    chosen = [case for case in every if any(word in case.name for word in words)]
    assert len(chosen) > 20
    bad = [one for one in map(hostile.try_case, chosen) if not one.good]
    assert [one for one in bad if one.ended != "TOO SLOW"] == []


def test_there_are_as_many_as_are_promised(cases: Cases) -> None:
    assert len(cases["models"]) >= 40
    assert len(cases["images"]) >= 200
    assert len(cases["tables"]) >= 30


def connect() -> None:
    with socket.socket() as one:
        one.connect(("127.0.0.1", 9))


def swallowing() -> None:
    """What a decoder that catches everything would do."""
    try:
        subprocess.run(["true"], check=False)
    except BaseException:
        fail("file", expected="a file", got="none", remedy="try again")


def refuse(name: str = "a.png") -> None:
    fail(name, expected="a file", got="another", remedy="try again")


def take() -> str:
    return "answer"


def large() -> int:
    return len(bytearray(b"\1") * 350_000_000)


BAD: dict[str, tuple[str, Case]] = {
    "raw": ("RAW ERROR", Case(name="raw", kind="model", want="refusal", open=partial(int, "x"))),
    "network": ("FORBIDDEN", Case(name="n", kind="image", want="refusal", open=connect)),
    "process": ("FORBIDDEN", Case(name="p", kind="image", want="refusal", open=swallowing)),
    "nameless": (
        "NAMELESS",
        Case(name="x", kind="model", want="refusal", open=partial(refuse, "it"), names="a.png"),
    ),
    "refused": ("REFUSED", Case(name="x", kind="table", want="answer", open=refuse)),
    "taken": ("TAKEN", Case(name="x", kind="table", want="refusal", open=take)),
    "wrong": (
        "WRONG ANSWER",
        Case(name="x", kind="table", want="answer", open=take, right=lambda found: found == "b"),
    ),
    "large": ("TOO LARGE", Case(name="x", kind="table", want="answer", open=large)),
}


@pytest.mark.parametrize(("ended", "case"), BAD.values(), ids=list(BAD))
def test_what_is_bad_is_found(ended: str, case: Case) -> None:
    outcome = hostile.try_case(case)
    if ended == "TOO LARGE" and outcome.megabytes is None:
        pytest.skip("this system does not tell the peak of memory")
    assert outcome.ended == ended


def test_results_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [Case(name="one", kind="table", want="refusal", open=refuse)]
    outcomes = hostile.main(cases, out=tmp_path / "hostile.json")
    assert [one.ended for one in outcomes] == ["sentence"]
    assert json.loads((tmp_path / "hostile.json").read_text())["cases"]["table"] == {"sentence": 1}
    assert "table: 1 cases: 1 sentence" in capsys.readouterr().out


def test_pillow_alone_would_start_a_program(cases: Cases) -> None:
    """The cases of PostScript are such as Pillow hands to Ghostscript: they are worth having."""
    case = next(one for one in cases["images"] if "PostScript" in one.name)
    folder = case.open.args[0]
    with Image.open(folder / "hostile.png") as picture:
        assert picture.format == "EPS"
