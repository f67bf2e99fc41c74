"""`genviews study` on toys: whole tables, killed, grown and shared ones, and mistakes."""

from __future__ import annotations

import csv
import json
from itertools import product

import pytest
from safetensors.torch import load_file

from genviews.cli import main
from genviews.studies.learning.tables import PANELS, TABLES
from genviews.studies.registry import STUDIES
from tests.folders import findings, names
from tests.pages import read_page

FILES = {"identity.json", "identity.safetensors", "log.txt", "pixels", "work", "figures"}
FILES |= {"hashes.json"}
FILES |= {"pictures", "report.html", "results.csv", "results.json"}
ROWS = ("--rows", "real + T_x", "--rows", "Gaussian + T_x")
WORDS = [
    *("--generator", "mine:decode", "--z-dim", "8", "--real", "images", "--data", "data"),
    *("--samples", "16", "--batch", "8", "--updates", "2", "--out", "run"),
]


@pytest.fixture
def go(user_module, readable_images, readable_data, with_flags):
    """A function (table, further flags) that runs rows with one seed, in two updates."""

    def run(table, *more):
        # `with_flags` keeps one flag of a name, and these are repeated.
        rows = [word for word in more if word.startswith("rows=")]
        more = [word for word in more if word not in rows]
        flags = with_flags(["study", *WORDS, "--seeds", "1"], more)
        chosen = [word for row in rows for word in ("--rows", row.removeprefix("rows="))]
        return main(["study", f"learning/{table}", *flags[1:], *chosen])

    return run


REAL, GAUSSIAN = "rows=real + T_x", "rows=Gaussian + T_x"


class TestRun:
    def test_folder_terminal_and_second_call(self, go, here, capsys, trained):
        assert go("table1", REAL, GAUSSIAN) == 0
        run = here / "run"
        assert names(run) == FILES
        assert len(trained) == 4
        results = findings(run)
        assert [row["name"] for row in results["rows"]] == ["real + T_x", "Gaussian + T_x"]
        assert (results["reference"], results["seeds"]) == ("real + T_x", [0])
        assert results["config"]["options"]["updates"] == 2
        assert results["command"].startswith("genviews study learning/table1 --z-dim 8 --gen")
        assert "--rows 'real + T_x' --rows 'Gaussian + T_x'" in results["command"]
        assert {"load", "render views", "train", "probe"} <= set(results["seconds"])
        assert results["left_out"] == []  # nobody asked for the others

        answers = {
            row["name"]: load_file(
                next((run / "work" / "rows").glob(f"{kind}-*")) / "seed0" / "answers.safetensors"
            )
            for row, kind in zip(results["rows"], ("real", "generated"), strict=True)
        }
        truth = [
            int(path.parent.name == "light") for path in sorted((here / "data/test").rglob("*.png"))
        ]
        with (run / "results.csv").open(encoding="utf-8", newline="") as text:
            table = {row["learnt_from"]: row for row in csv.DictReader(text)}
        columns = {"linear": "linear_probe", "knn": "neighbours"}
        for row, probe in product(answers, columns):
            right = [a == t for a, t in zip(answers[row][probe].tolist(), truth, strict=True)]
            assert float(table[row][columns[probe]]) == pytest.approx(sum(right) / 32)
        page = read_page(run)
        assert results["verdict"] in page
        assert "<script" not in page
        assert page.count("data:image/") == 1  # the sheet of views
        figure = (run / "figures" / "rows-against-the-reference-linear-probe.svg").read_text()
        assert figure.startswith("<?xml")
        assert "var(--" not in figure

        out, error = capsys.readouterr()
        assert results["verdict"] in " ".join(out.split())
        assert "Gaussian + T_x" in out
        assert "Report: run/report.html" in out
        lines = [line for line in error.splitlines() if line.startswith("train:")]
        assert "real + T_x, seed 0 (1 of 2)" in lines[0]
        assert "images/s" in lines[1]
        assert "loss " in lines[1]
        assert "all rows in 0.0 s" in lines[1]

        before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.name != "log.txt"}
        assert go("table1", REAL, GAUSSIAN) == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.name != "log.txt"} == before

    def test_rows_and_seeds_can_be_added_and_nothing_else(self, go, here, capsys, trained):
        assert go("table1", REAL) == 0
        assert len(trained) == 2
        assert go("table1", REAL, GAUSSIAN, "--seeds", "2") == 0
        assert len(trained) == 8
        assert findings(here / "run")["seeds"] == [0, 1]
        assert go("table1", REAL, GAUSSIAN, "--updates", "3") == 2
        error = capsys.readouterr().err
        assert "folder 'run': expected what it was made from, got options.updates: 2" in error
        assert go("table1", REAL, GAUSSIAN, "--force", "--updates", "1") == 0
        assert len(trained) == 10

    def test_tables_share_encoders(self, go, here, trained):
        work = ("--work", "work")
        assert go("table1", *work, "--out", "a", "rows=real + T_x", "rows=generated + T_x") == 0
        assert len(trained) == 4
        ends = ("rows=0 % generated", "rows=100 % generated")
        assert go("figure9", *work, "--out", "b", *ends) == 0
        assert len(trained) == 4  # they are rows of table1 by other names
        assert names(here / "work") == {"pixels", "rows", "views"}
        assert "work" not in names(here / "b")
        assert findings(here / "b")["reference"] == "0 % generated"
        sweep = here / "b" / "figures" / "along-the-sweep.svg"
        assert "share of generated samples" in sweep.read_text()
        assert go("figure9", *work, "--out", "b", *ends, "--force") == 0
        assert len(trained) == 4  # what lies elsewhere belongs to others as well

    def test_what_a_generator_lacks_is_left_out_and_said(self, go, here, capsys):
        assert go("table1", "--updates", "1") == 0
        assert [row["name"] for row in findings(here / "run")["rows"]] == [
            "untrained",
            "real + T_x",
            "generated + T_x",
            "Gaussian",
            "Gaussian + T_x",
            "inverter",
        ]
        notes = findings(here / "run")["left_out"]
        assert [note.split(",")[0] for note in notes] == ["steered views", "style-mixing"]
        out, error = capsys.readouterr()
        assert "\nleft out: steered views, which need latent walks" in error
        assert "Left out: style-mixing" in out
        assert "Left out: style-mixing" in (here / "run" / "report.html").read_text()


class TestMistakes:
    def test_dry_run(self, go, here, capsys):
        assert go("figure5", "--dry-run", "--work", "w") == 0
        config = json.loads(capsys.readouterr().out)
        assert (config["verb"], config["std"]) == ("study learning/figure5", 0.2)
        assert "device" not in config
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("table", "more", "message"),
        [
            ("table3", [], "expected data with two classes or more, got none; take labelled"),
            ("table6", [], "or a conditional generator, such as fashion32-classes"),
            (
                "figure8",
                ["--samples", "100"],
                "or a conditional generator, such as fashion32-classes",
            ),
            ("table1", ["rows=Gausian"], "did you mean 'Gaussian'"),
            ("table1", ["rows=steered"], "--rows: expected one of"),
            ("table1", ["--mix", "fine"], "layer range: expected one of all, got 'fine'"),
            ("table1", ["--std", "0.001"], "--std and --sweep: expected at least 0.01"),
            ("table1", ["--std", "0.123"], "with at most two decimals"),
            (
                "table1",
                ["--steer", "-1"],
                "--steer: expected at least 0, with at most two decimals",
            ),
            ("table1", ["--seeds", "0"], "--seeds: expected an integer of at least 1"),
            ("table1", ["--samples", "50"], "expected at least 50 real images, got 40"),
            ("figure6", ["--samples", "16"], "expected at least 8 samples, which make a batch"),
            ("table1", ["--data", "nowhere"], "images 'nowhere': expected a folder"),
            ("table1", ["--out", "data/run"], "--out: expected a folder apart from --data"),
            ("table1", ["--pixels", "none"], "expected pixel views in the setting"),
        ],
    )
    def test_each_is_one_clear_line_and_nothing_is_trained(
        self, go, here, says_in_one_line, trained, table, more, message
    ):
        assert go(table, *more) == 2
        says_in_one_line(message)
        assert trained == []

    def test_rows_are_known_before_an_image_is_read(self, go, here, says_in_one_line):
        assert go("table1", "rows=Gausian") == 2
        says_in_one_line("did you mean 'Gaussian'")
        assert not (here / "run" / "pixels").exists()
        assert not (here / "run" / "work" / "rows").exists()

    def test_what_is_missing_is_named(self, user_module, image_folder, readable_data, capsys):
        generator = ("--generator", "mine:decode", "--z-dim", "8")
        real = ("study", "learning/table1", "--data", "data", "--real", "images")
        assert main(["study", "learning/table1", *generator]) == 2
        assert "expected --data, labelled images in train" in capsys.readouterr().err
        assert main(["study", "learning/table1", "--data", "data"]) == 2
        assert "expected --generator, --real or both, got neither" in capsys.readouterr().err
        assert main(["study", "learning/table1", "--data", "data", *generator]) == 2
        assert (
            "row 'real + T_x': expected at least 20000 real images, got 0; add some (--real)"
            in capsys.readouterr().err
        )
        assert main([*real, "--batch", "8"]) == 2
        assert (
            "expected a generator, got none; add one (--generator), or choose"
            in capsys.readouterr().err
        )


class TestNames:
    def test_list(self, capsys):
        assert main(["study", "--list"]) == 0
        out = capsys.readouterr().out
        assert main(["study"]) == 0
        assert capsys.readouterr().out == out
        for name in (*TABLES, *PANELS):
            assert f"learning/{name}" in out

    def test_help_says_source_time_and_the_flags_of_its_needs(self, capsys):
        assert main(["study", "learning/table1", "--help"]) == 0
        table = capsys.readouterr().out
        assert "Source: Jahanian et al. 2022, Table 1. About 30 minutes" in table
        assert main(["study", "learning/figure10", "--help"]) == 0
        panel = capsys.readouterr().out
        for flag in ("--generator", "--walks", "--rows", "--std", "--out", "--device"):
            assert flag in table
            assert flag in panel
        for flag in ("--real", "--data", "--voc", "--updates", "--seeds", "--pixels"):
            assert flag in table
            assert flag not in panel

    def test_an_unknown_name_is_wrong_usage(self, capsys):
        assert main(["study", "learning/table9"]) == 2

    def test_every_table_and_panel_is_a_study(self):
        learning = {name for name in STUDIES if name.startswith("learning/")}
        assert learning == {f"learning/{name}" for name in (*TABLES, *PANELS)}
        assert not set(TABLES) & set(PANELS)
