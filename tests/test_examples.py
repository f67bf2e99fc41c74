"""Every script under examples/ runs as it stands, with small arguments, and gives what it says."""

import importlib.util
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def _load(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_tested():
    tested = {"quickstart", "views_of_an_image", "any_generator", "invert_images"}
    tested |= {"learn_from_a_generator", "attack_a_defence"}
    assert {p.stem for p in EXAMPLES.glob("*.py")} == tested


def test_quickstart(capsys):
    accuracy = _load("quickstart").main(calibration=20, test=10, steps=3)
    assert 0.5 <= accuracy <= 1.0
    assert "weight of the views" in capsys.readouterr().out


def test_views_of_an_image(tmp_path):
    rows = _load("views_of_an_image").main(tmp_path / "views.png", images=2, steps=3)
    assert rows.shape == (2, 10, 1, 32, 32)
    assert (tmp_path / "views.png").stat().st_size > 1000
    assert not torch.equal(rows[0, 2], rows[0, 3])  # two views of one image differ


def test_any_generator():
    assert _load("any_generator").main(images=24) == pytest.approx(1.0, abs=0.1)


def test_invert_images(capsys):
    hidden = _load("invert_images").main(images=4, steps=5)
    assert 0.0 < hidden < 0.5  # grey would be about 0.8 off
    assert "where known" in capsys.readouterr().out


def test_learn_from_a_generator(capsys):
    accuracy = _load("learn_from_a_generator").main(updates=20, batch=16)
    assert 0.5 < accuracy < 1.0  # chance is 0.1
    said = capsys.readouterr().out
    assert "20 updates: loss" in said
    assert "linear probe" in said


def test_attack_a_defence(capsys):
    naive, adaptive = _load("attack_a_defence").main(images=20, steps=4).values()
    assert not naive.believable
    assert adaptive.accuracy[0] < naive.accuracy[0]
    assert "Not to be believed as robustness." in capsys.readouterr().out
