"""Red lines in every verb that gives a verdict: terminal, page, record and exit code."""

from __future__ import annotations

import json

import pytest

from genviews.cli import main

HOLES = ("--generator", "mine:holes", "--z-dim", "8", "--out", "run")
IMAGES = ("--images", "images", "--steps", "2")
CLASSIFIED = (*IMAGES, "--classifier", "mine:network", "--perturb", "isotropic_all_0.20")
LEARNING = ("--samples", "8", "--batch", "8", "--updates", "2", "--data", "data")


@pytest.mark.parametrize(
    "words",
    [
        ("ensemble", *CLASSIFIED, "--num-views", "2"),
        ("invert", *IMAGES),
        ("learn", *LEARNING),
        (
            *("study", "learning/table1", *LEARNING, "--seeds", "1", "--real", "images"),
            *("--rows", "real + T_x", "--rows", "Gaussian + T_x"),
        ),
    ],
    ids=lambda words: " ".join(words[: 1 + (words[0] == "study")]),
)
def test_a_generator_that_is_not_finite(
    words, here, user_module, image_folder, readable_data, capsys
):
    """Of two in five latents it draws no numbers: no verdict, whatever rests on its pictures."""
    assert main([*words, *HOLES]) == 3
    told = " ".join(capsys.readouterr().out.split())
    assert "Not to be trusted: " in told
    assert " samples of the generator have pixels that are not finite. To do: " in told
    assert "No verdict: what it would rest on failed the checks above." in told
    record = json.loads((here / "run" / "results.json").read_text())
    shut = [gate for gate in record["gates"] if not gate["passed"]]
    assert "numbers of samples of the generator" in {gate["name"] for gate in shut}
    assert record["verdict"].startswith("No verdict: ")
    page = (here / "run" / "report.html").read_text()
    assert page.index("Not to be trusted: ") < page.index("No verdict: ")
