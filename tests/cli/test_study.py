"""`genviews study` on toys: whole tables, killed, grown and shared ones, and mistakes."""

from __future__ import annotations

import csv
import json
from typing import get_args

import pytest
from safetensors.torch import load_file

from genviews import GeneratorKit, load_generator
from genviews.cli import main
from genviews.cli.learn_options import TableName, TableOptions
from genviews.cli.learning_job import choose_rows, strengths
from genviews.cli.learning_study import LearningOutput
from genviews.generators import ToyGenerator
from genviews.studies.learning import PANELS, TABLES, learning_table, run_study
from tests.folders import RUN, names, read

FILES = RUN | {"pixels", "rows", "views"}
FILES |= set(LearningOutput.files)
ROWS = ("--rows", "real + T_x", "--rows", "Gaussian + T_x")
WORDS = [
    *("--generator", "mine:decode", "--z-dim", "8", "--real", "images", "--data", "data"),
    *("--samples", "16", "--batch", "8", "--updates", "2", "--out", "run"),
]


@pytest.fixture
def go(user_module, image_folder, labelled_data, with_flags):
    """A function (table, further flags) that runs rows with one seed, in two updates."""
    (image_folder / "dark" / "broken.png").unlink()

    def run(table, *more):
        # `with_flags` keeps one flag of a name, and these are repeated.
        rows = [word for word in more if word.startswith("rows=")]
        more = [word for word in more if word not in rows]
        flags = with_flags(["study", *WORDS, "--seeds", "1"], more)
        chosen = [word for row in rows for word in ("--rows", row.removeprefix("rows="))]
        return main(["study", table, *flags[1:], *chosen])

    return run


REAL, GAUSSIAN = "rows=real + T_x", "rows=Gaussian + T_x"


class TestRun:
    def test_folder_terminal_and_second_call(self, go, here, capsys, trained):
        assert go("table1", REAL, GAUSSIAN) == 0
        run = here / "run"
        assert names(run) == FILES
        assert len(trained) == 4
        results = read(run / "results.json")
        assert [row["name"] for row in results["rows"]] == ["real + T_x", "Gaussian + T_x"]
        assert (results["reference"], results["seeds"]) == ("real + T_x", [0])
        assert results["config"] == read(run / "config.json")
        assert results["command"].startswith("genviews study table1 --generator mine:decode")
        assert "--rows 'real + T_x' --rows 'Gaussian + T_x'" in results["command"]
        stages = {"load", "render views", "train", "probe", "compare"}
        assert stages <= set(results["seconds"])
        assert results["left_out"] == []  # nobody asked for the others

        answers = {
            row["name"]: load_file(
                next((run / "rows").glob(f"{kind}-*")) / "seed0" / "answers.safetensors"
            )
            for row, kind in zip(results["rows"], ("real", "generated"), strict=True)
        }
        truth = [
            int(path.parent.name == "light") for path in sorted((here / "data/test").rglob("*.png"))
        ]
        with (run / "results.csv").open(encoding="utf-8", newline="") as text:
            table = {(row["row"], row["probe"]): row for row in csv.DictReader(text)}
        for (row, probe), line in table.items():
            right = [a == t for a, t in zip(answers[row][probe].tolist(), truth, strict=True)]
            assert float(line["accuracy"]) == pytest.approx(sum(right) / 32)
        page = (run / "report.html").read_text(encoding="utf-8")
        assert results["verdict"] in page.replace("&#39;", "'")
        assert "<script" not in page
        assert page.count("data:image/png") == 1  # the panel of views
        assert (run / "figure.svg").read_text().startswith("<?xml")
        assert "var(--" not in (run / "figure.svg").read_text()

        out, error = capsys.readouterr()
        assert results["verdict"] in " ".join(out.split())
        assert "Gaussian + T_x" in out
        assert "Report: run/report.html" in out
        lines = [line for line in error.splitlines() if line.startswith("train:")]
        assert "real + T_x, seed 0 (1 of 2)" in lines[0]
        assert "images/s" in lines[1]
        assert "loss " in lines[1]
        assert "all rows in 0.0 s" in lines[1]

        before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
        assert go("table1", REAL, GAUSSIAN) == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before

    def test_rows_and_seeds_can_be_added_and_nothing_else(self, go, here, capsys, trained):
        assert go("table1", REAL) == 0
        assert len(trained) == 2
        assert go("table1", REAL, GAUSSIAN) == 0
        assert len(trained) == 4
        assert go("table1", REAL, GAUSSIAN, "--seeds", "2") == 0
        assert len(trained) == 8
        assert read(here / "run" / "results.json")["seeds"] == [0, 1]
        assert go("table1", REAL, GAUSSIAN, "--updates", "3") == 1
        error = capsys.readouterr().err
        assert "expected what it was made from" in error
        assert "settings.updates: 2 in the store, 3 asked" in error
        assert go("table1", REAL, GAUSSIAN, "--force", "--updates", "1") == 0
        assert len(trained) == 10

    def test_a_killed_table_goes_on(self, go, here, killed_after, trained, capsys):
        with killed_after(3):
            assert go("table1", REAL, GAUSSIAN) == 1
        assert "results.json" not in names(here / "run")
        assert go("table1", REAL, GAUSSIAN, "--updates", "3") == 1
        assert "settings.updates: 2 in the store, 3 asked" in capsys.readouterr().err
        trained.clear()
        assert go("table1", REAL, GAUSSIAN) == 0
        assert trained == [1]  # the second update of the second row
        assert go("table1", REAL, GAUSSIAN, "--out", "whole") == 0
        ours, theirs = (read(here / n / "results.json") for n in ("run", "whole"))
        assert [r["accuracy"] for r in ours["rows"]] == [r["accuracy"] for r in theirs["rows"]]

    def test_tables_share_encoders(self, go, here, trained):
        work = ("--work", "work")
        assert go("table1", *work, "--out", "a", "rows=real + T_x", "rows=generated + T_x") == 0
        assert len(trained) == 4
        ends = ("rows=0 % generated", "rows=100 % generated")
        assert go("figure9", *work, "--out", "b", *ends) == 0
        assert len(trained) == 4  # they are rows of table1 by other names
        assert names(here / "work") == {"pixels", "rows", "views"}
        assert not names(here / "b") & {"rows", "views"}
        assert read(here / "b" / "results.json")["reference"] == "0 % generated"
        assert "share of generated samples" in (here / "b" / "figure.svg").read_text()
        assert go("figure9", *work, "--out", "b", *ends, "--force") == 0
        assert len(trained) == 8

    def test_what_a_generator_lacks_is_left_out_and_said(self, go, here, capsys, monkeypatch):
        asked = []

        def run_some(name, rows, *more, **options):
            asked.extend(row.name for row in rows)
            return run_study(name, rows[:2], *more, **options)

        monkeypatch.setattr("genviews.cli.learning_job.run_study", run_some)
        assert go("table1", "--updates", "1") == 0
        assert asked == [
            "untrained",
            "real + T_x",
            "generated + T_x",
            "Gaussian",
            "Gaussian + T_x",
            "inverter",
        ]
        notes = read(here / "run" / "results.json")["left_out"]
        assert [note.split(",")[0] for note in notes] == ["steered views", "style-mixing"]
        out, error = capsys.readouterr()
        assert error.startswith("left out: steered views, which need latent walks")
        assert "Left out: style-mixing" in out
        assert "Left out: style-mixing" in (here / "run" / "report.html").read_text()


class TestMistakes:
    def test_dry_run(self, go, here, capsys):
        assert go("figure5", "--dry-run", "--work", "w") == 0
        config = json.loads(capsys.readouterr().out)
        assert (config["verb"], config["table"], config["std"]) == ("study", "figure5", 0.2)
        assert not {"work", "device"} & set(config)
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("table", "more", "message"),
        [
            ("table3", [], "expected a class-conditional generator, got mine:decode"),
            ("table6", [], "expected a class-conditional generator"),
            ("figure8", [], "expected a class-conditional generator"),
            ("table1", ["rows=Gausian"], "did you mean 'Gaussian'"),
            ("table1", ["rows=steered"], "--rows: expected one of"),
            ("table1", ["--mix", "fine"], "layer range: expected one of all, got 'fine'"),
            ("table1", ["--std", "0.001"], "--std and --sweep: expected at least 0.01"),
            ("table1", ["--std", "0.123"], "with at most two decimals"),
            ("table1", ["--steer", "-1"], "--steer: expected a strength of at least 0"),
            ("table1", ["--seeds", "0"], "--seeds: expected an integer of at least 1"),
            ("table1", ["--samples", "50"], "expected at least 50 real images, got 40"),
            ("figure6", ["--samples", "16"], "expected at least 8 samples, which make a batch"),
            ("table1", ["--data", "nowhere"], "--data: expected fashion32, or a folder"),
            ("table1", ["--data", "images"], "got no train, val, test"),
            ("table1", ["--out", "data/run"], "--out: expected a folder apart from --data"),
            ("table1", ["--pixels", "none"], "expected pixel views in the setting"),
        ],
    )
    def test_each_is_one_clear_line_and_nothing_is_trained(
        self, go, here, says_in_one_line, trained, table, more, message
    ):
        assert go(table, *more) == 1
        says_in_one_line(message)
        assert trained == []
        assert not (here / "run" / "rows").exists()

    def test_what_is_missing_is_named(self, user_module, image_folder, labelled_data, capsys):
        generator = ("--generator", "mine:decode", "--z-dim", "8")
        assert main(["study", "table1", *generator]) == 1
        assert "--data: expected labelled images" in capsys.readouterr().err
        assert main(["study", "table1", "--data", "data"]) == 1
        assert "expected --generator, --real or both, got neither" in capsys.readouterr().err
        assert main(["study", "table1", "--data", "data", *generator]) == 1
        assert "rows real + T_x of table1: expected --real" in capsys.readouterr().err
        assert main(["study", "table1", "--data", "data", "--real", "images"]) == 1
        assert "of table1: expected --generator, got none" in capsys.readouterr().err


def test_flags_know_every_table():
    assert set(get_args(TableName)) == {*TABLES, *PANELS}
    assert not set(TABLES) & set(PANELS)


class TestChoices:
    def test_style_rows_where_the_generator_has_them(self):
        found, lacking = strengths(TableOptions(), GeneratorKit(ToyGenerator()))
        assert (found.mix, found.steer) == ("fine", 0.0)
        assert list(lacking) == ["steer"]
        found, lacking = strengths(TableOptions(steer=0.0, mix="none"), None)
        assert (found.mix, found.steer, lacking) == ("", 0.0, {})

    def test_strengths_are_those_of_the_flags(self):
        options = TableOptions(std=0.5, sweep=(0.1, 2.0), steer=0.7, mix="coarse")
        walks = load_generator("fashion32").walks
        found, lacking = strengths(options, GeneratorKit(ToyGenerator(), walks=walks))
        assert (found.std, found.sweep, found.steer, found.mix) == (0.5, (0.1, 2.0), 0.7, "coarse")
        assert lacking == {}

    def test_rows_keep_the_order_of_the_table(self):
        rows = learning_table("table1")
        found = choose_rows(rows, ("Gaussian", "real + T_x"))
        assert [row.name for row in found] == ["real + T_x", "Gaussian"]
        assert choose_rows(rows, None) == rows
