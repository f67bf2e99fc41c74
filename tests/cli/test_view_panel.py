"""`genviews study figure4` and its like: pictures of views that are those of the library."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from PIL import Image

from genviews import GeneratorKit, load_generator
from genviews.cli import main
from genviews.generators.callable import z_space
from genviews.represent.train import TrainingRun
from genviews.represent.views import LatentViews
from genviews.studies.learning.options import RowOptions
from genviews.studies.learning.tables import PANELS
from tests.folders import findings

SIDE, HEAD, GAP = 96, 18, 4  # of the picture, in pixels
FILES = {"identity.json", "identity.safetensors", "log.txt", "pictures"}
FILES |= {"report.html", "results.csv", "results.json"}
PICTURE = "run/pictures/what-an-encoder-is-shown.png"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TrainingRun, "advance", lambda run: pytest.fail("trained"))
    return tmp_path


def draw(figure, *flags, generator="fashion32"):
    return main(["study", f"learning/{figure}", "--generator", generator, "--out", "run", *flags])


def tile(line, column):
    """Grey values of a tile."""
    left, top = column * (SIDE + GAP), HEAD + line * (SIDE + GAP)
    picture = np.asarray(Image.open(PICTURE).convert("L"), dtype=float)
    # The middle of each pixel of the image: three by three pixels of the picture.
    return picture[top : top + SIDE, left : left + SIDE][1::3, 1::3]


def grey(image):
    return ((image[0].clamp(-1, 1) + 1) * 127.5).numpy()


class TestPictures:
    def test_neighbours_are_those_of_the_library(self):
        assert draw("figure10", "--show", "3", "--show", "7", "--std", "0.4") == 0
        kit = load_generator("fashion32")
        space = z_space(kit.generator)
        for group, name in enumerate(("gaussian_all_0.40", "steer_all_1.00")):
            steps = GeneratorKit(space, walks=kit.walks).perturbation(name)
            views = LatentViews(space, steps, positives=3)([3, 7]).images
            for line, view in product(range(2), range(4)):
                column = 0 if view == 0 else 3 * group + view
                shown = tile(line, column)
                np.testing.assert_allclose(shown, grey(views[line, view]), atol=2)

    def test_pixel_views_stand_beside_their_images(self):
        flags = ("--rows", "Gaussian", "--show", "5", "--pixels", "fashion32/flip")
        assert draw("figure4", *flags) == 0
        space = z_space(load_generator("fashion32").generator)
        steps = GeneratorKit(space).perturbation("gaussian_all_0.20")
        views = LatentViews(space, steps)([5]).images[0]
        for view in range(2):
            plain, seen = (tile(0, 2 * view + column) for column in range(2))
            np.testing.assert_allclose(plain, grey(views[view]), atol=2)
            np.testing.assert_allclose(seen, plain[:, ::-1], atol=2)
            assert not np.allclose(seen, plain, atol=2)

    def test_a_conditional_generator(self, here):
        flags = ("--show", "2", "--rows", "independent", "--rows", "style-mix")
        assert draw("figure7", *flags, generator="fashion32-classes") == 0
        found = findings(here / "run")
        assert [row["name"] for row in found["rows"]] == ["independent", "style-mix"]
        assert found["samples"] == [2]

    def test_columns_are_the_papers(self):
        told = {
            name: [row.name for row in p.rows(RowOptions(mix="fine"))] for name, p in PANELS.items()
        }
        assert told == {
            "figure4": ["Gaussian", "steered", "style-mix"],
            "figure7": ["Gaussian", "steered", "independent", "style-mix"],
            "figure10": ["Gaussian", "steered"],
            "figure11": ["Gaussian", "steered"],
        }
        assert [p.classes for p in PANELS.values()] == [False, True, False, True]
        assert [(p.views, p.pixels) for p in PANELS.values()] == [(1, True)] * 2 + [(3, False)] * 2


class TestFolder:
    def test_files_say_what_is_shown(self, here, capsys):
        assert draw("figure4", "--show", "1", "--show", "3") == 0
        assert {path.name for path in (here / "run").iterdir()} == FILES
        results = findings(here / "run")
        assert results["samples"] == [1, 3]
        assert [row["views"] for row in results["rows"]] == [
            "gaussian_all_0.20",
            "steer_all_1.00",
            "stylemix_fine",
        ]
        assert results["command"] == (
            "genviews study learning/figure4 --generator fashion32 --show 1 --show 3 --out run"
        )
        assert results["versions"]["torch"]
        assert results["seed"] == 0
        page = (here / "run" / "report.html").read_text()
        assert page.count("data:image/") == 1
        assert results["verdict"] in page
        assert results["verdict"] == (
            "2 samples of fashion32 and their views (Gaussian, steered, style-mix), "
            "with pixel views T_x beside each image."
        )
        assert results["verdict"] in " ".join(capsys.readouterr().out.split())
        assert "Files left out" not in page  # it reads none

        before = (here / PICTURE).read_bytes()
        assert draw("figure4", "--show", "1", "--show", "3") == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert draw("figure4", "--show", "1", "--show", "3", "--force") == 0
        assert (here / PICTURE).read_bytes() == before
        assert draw("figure4", "--show", "2") == 0
        assert draw("figure4", "--show", "1", "--std", "0.3") == 2
        assert "expected what it was made from, got options.std" in capsys.readouterr().err

    def test_dry_run(self, here, capsys):
        assert draw("figure11", "--dry-run") == 2  # what the run itself would be refused for
        assert "class-conditional" in capsys.readouterr().err
        assert draw("figure11", "--dry-run", generator="fashion32-classes") == 0
        config = json.loads(capsys.readouterr().out)
        assert config["verb"] == "study learning/figure11"
        assert (config["std"], config["show"]) == (0.2, None)
        assert not {"updates", "seeds", "data", "voc"} & set(config)
        assert list(here.iterdir()) == []

    def test_what_a_generator_lacks_is_left_out_and_said(self, here, user_module, capsys):
        assert draw("figure4", "--z-dim", "8", generator="mine:decode") == 0
        found = findings(here / "run")
        assert [row["name"] for row in found["rows"]] == ["Gaussian"]
        assert [note.split(",")[0] for note in found["left_out"]] == [
            "steered views",
            "style-mixing",
        ]
        out, error = capsys.readouterr()
        assert "left out: steered views" in error
        assert "Left out: style-mixing" in out
        assert "Left out: style-mixing" in (here / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("figure", "flags", "message"),
    [
        ("figure7", (), "expected a class-conditional one, got fashion32, which has no classes"),
        ("figure11", (), "name one, such as fashion32-classes"),
        ("figure4", ("--show", "-1"), "--show: expected an integer of at least 0, got -1"),
        ("figure4", ("--std", "0.123"), "with at most two decimals"),
        ("figure4", ("--rows", "steerd"), "did you mean 'steered'"),
        ("figure4", ("--walks", "none.safetensors"), "--walks: expected a file that exists"),
    ],
)
def test_mistakes_are_one_clear_line(here, capsys, figure, flags, message):
    assert draw(figure, *flags) == 2
    error = capsys.readouterr().err.splitlines()
    assert message in error[-1]
    assert error[-1].startswith("genviews: ")
    assert not (here / PICTURE).exists()


def test_a_generator_is_needed(here, capsys):
    assert main(["study", "learning/figure4"]) == 2
    assert (
        "study learning/figure4: expected --generator, a generator, got none"
        in capsys.readouterr().err
    )
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("figure", "flag"),
    [
        ("figure4", "--seeds"),
        ("figure4", "--data"),
        ("figure4", "--voc-size"),
        ("figure10", "--pixels"),
    ],
)
def test_flags_that_would_change_nothing_are_wrong_usage(here, capsys, figure, flag):
    assert draw(figure, flag, "2") == 2
    assert flag in capsys.readouterr().err
    assert list(here.iterdir()) == []
