"""`genviews invert` on toys: whole runs, resumed, refused and mistaken ones."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import genviews
from genviews.cli import main
from genviews.cli.check import check_apart
from genviews.generators.toy import ToyGenerator
from genviews.identity import describe
from genviews.invert import job
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.inverter import inverter_preset
from genviews.invert.store import InversionStore
from genviews.memory import images_in_shard
from genviews.store import ShardStore
from genviews.types import ImageSpec
from tests.folders import names

FILES = {"identity.json", "identity.safetensors", "log.txt", "latents", "reconstructions"}
FILES |= {"hashes.json"}
FILES |= {"report.html", "figures", "images.csv", "pictures", "results.csv", "results.json"}
SPEC = ImageSpec(channels=1, height=8, width=8)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(job, "SHARD", 16)


@pytest.fixture
def go(image_folder, user_module, with_flags):
    """Run on 40 images, a file that is no image and a text file: three shards.

    A function of further flags, which go before the usual ones; returns the exit code.
    """
    (image_folder / "notes.txt").write_text("text")
    words = [
        *("invert", "--images", "images", "--generator", "mine:decode", "--z-dim", "8"),
        *("--steps", "3", "--out", "run"),
    ]
    return lambda *more: main(with_flags(words, more))


def summary(folder):
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {**found["record"], **found["record"]["data"], "verdict": found["verdict"]}


def table(folder):
    with (folder / "images.csv").open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


@pytest.fixture
def done(go, here, begin_with):
    """A finished run: its folder and what the terminal showed."""

    def run():
        assert go() == 0

    shown = begin_with(run)
    return here / "run", shown


class TestFolder:
    def test_run_folder(self, done):
        folder, _ = done
        assert names(folder) == FILES
        found = summary(folder)
        assert (found["images"], found["inverted"]) == (42, 40)
        assert sum(found["status"].values()) == 40
        assert {name for name, _ in found["skipped"]} == {"dark/broken.png", "notes.txt"}
        assert 0 < found["loss"]["mean"] <= found["start_loss"]["mean"]
        assert found["config"]["study"] == "invert"
        assert found["command"].startswith("genviews invert --z-dim 8 --images images")
        assert {"load", "invert", "render reconstructions"} <= set(found["seconds"])
        assert found["images_per_second"] > 0
        assert "torch" in found["versions"]
        assert "done in" in (folder / "log.txt").read_text()

    def test_rows_are_what_the_store_holds(self, done):
        """Errors compared with a loop over pixels of the files."""
        folder, _ = done
        rows = {row["id"]: row for row in table(folder)}
        assert len(rows) == 42
        assert rows["notes.txt"]["status"] == "SKIPPED"
        assert rows["notes.txt"]["reason"] == "is not an image"
        shard = InversionStore(folder / "latents").read_all()
        toy = ToyGenerator()
        rendered = toy.synthesize(toy.map(shard.tensors["latents"][:, 0])).double()
        for place, name in enumerate(shard.ids):
            pixels = np.asarray(Image.open(folder.parent / "images" / name)) / 127.5 - 1
            difference = rendered[place, 0].numpy() - pixels
            row = rows[name]
            assert float(row["l1"]) == pytest.approx(np.abs(difference).mean(), abs=1e-5)
            assert float(row["l2"]) == pytest.approx((difference**2).mean(), abs=1e-5)
            assert float(row["loss"]) <= float(row["start_loss"])
            assert row["steps"] == str(int(shard.tensors["steps"][place]))
        good = [float(row["l1"]) for row in rows.values() if row["l1"]]
        assert summary(folder)["l1"]["mean"] == pytest.approx(np.mean(good), rel=1e-5)

    def test_page_shows_best_and_worst(self, done):
        folder, _ = done
        ranked = sorted((r for r in table(folder) if r["l1"]), key=lambda r: float(r["l1"]))
        page = (folder / "report.html").read_text(encoding="utf-8")
        titles = [part.split("</h4>")[0] for part in page.split("<h4>")[1:]]
        assert titles[:8] == [row["id"] for row in ranked[:8]]
        assert titles[8:] == [row["id"] for row in ranked[:-9:-1]]
        assert page.count("data:image/") == 2  # a sheet of each
        assert page.count('<div class="picture"') == 3 * 16
        assert "notes.txt" in page
        assert "<script" not in page
        with Image.open(folder / "pictures" / "best-reconstructions.png") as sheet:
            assert sheet.height > sheet.width > 3 * 8

    def test_terminal_shows_rate_and_mean_loss(self, done):
        folder, (out, error) = done
        mean = summary(folder)["loss"]["mean"]
        (line,) = [line for line in error.splitlines() if line.startswith("invert:")]
        assert "images/s" in line
        assert f"mean loss {mean:.4g}" in line
        assert "Inverted 40 of 42 images" in out
        assert "Left out, with reasons in the report: 2 files" in out
        assert "Report: run/report.html" in out

    def test_same_run_again_does_nothing(self, done, go, capsys):
        folder, _ = done
        before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
        assert go() == 0
        assert "nothing to do (--force runs it again)" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before

    def test_other_settings_are_refused(self, done, go, capsys):
        assert go("--steps", "4") == 2
        error = capsys.readouterr().err
        assert "inputs.inverter.steps: 3 in the store, 4 asked" in error
        assert "choose another folder with --out, or begin anew with --force" in error

    def test_changed_images_are_refused(self, done, go, here, capsys):
        (here / "images" / "dark" / "broken.png").write_text("other text")
        assert go() == 2
        assert "inputs.images.images: " in capsys.readouterr().err

    def test_force_begins_anew(self, done, go, counted):
        folder, _ = done
        first = table(folder)
        assert go("--force") == 0
        assert sum(counted) == 40
        assert table(folder) == first

    def test_png_on_demand(self, done, go, counted):
        folder, _ = done
        assert go("--png") == 0
        assert counted == []
        paths = [p for p in (folder / "png").rglob("*.png")]
        assert len(paths) == 40
        store = ShardStore(folder / "reconstructions")
        shard = store.read_all()
        wanted = shard.tensors["reconstructions"][0, 0].clamp(-1, 1).add(1).mul(127.5).round()
        assert np.array_equal(np.asarray(Image.open(folder / "png" / shard.ids[0])), wanted)


class TestResume:
    def kill(self, monkeypatch, after):
        """Let the run die when it begins the shard after `after`."""
        calls = []
        invert = job.invert

        def dying(*args, **options):
            calls.append(1)
            if len(calls) > after:
                raise KeyboardInterrupt
            return invert(*args, **options)

        monkeypatch.setattr(job, "invert", dying)

    def test_a_killed_run_goes_on(self, go, here, monkeypatch, counted, capsys):
        with monkeypatch.context() as patch:
            self.kill(patch, 1)
            assert go() == 130
        assert "the same command again continues" in capsys.readouterr().err
        assert "results.json" not in names(here / "run")
        made = counted.copy()
        assert go() == 0
        assert sum(counted) == 40
        assert counted[: len(made)] == made
        found = summary(here / "run")
        assert found["inverted_by_earlier_runs"] == 16
        assert "16 of them done before" in capsys.readouterr().err
        assert go("--out", "whole") == 0
        assert table(here / "run") == table(here / "whole")

    def test_another_run_in_its_folder_is_refused(self, go, here, monkeypatch, capsys):
        self.kill(monkeypatch, 1)
        assert go() == 130
        identity = (here / "run" / "identity.json").read_text()
        assert go("--steps", "9") == 2
        assert "inverter.steps: 3 in the store, 9 asked" in capsys.readouterr().err
        assert (here / "run" / "identity.json").read_text() == identity

    def test_touched_files_go_on_and_changed_ones_do_not(
        self, go, here, monkeypatch, capsys, counted
    ):
        with monkeypatch.context() as patch:
            self.kill(patch, 1)
            assert go() == 130
        path = here / "images" / "dark" / "broken.png"
        path.write_text("changed")
        assert go() == 2
        assert "inputs.images.images: " in capsys.readouterr().err
        path.write_text("no image")
        (here / "images" / "notes.txt").write_text("a text is no image, and no difference")
        assert go() == 0
        assert sum(counted) == 40

    def test_a_failure_after_the_inversion_loses_no_latents(self, go, here, monkeypatch, counted):
        with monkeypatch.context() as patch:
            patch.setattr("genviews.studies.invert.reconstruct", lambda *a, **k: 1 / 0)
            assert go() == 1
        assert go() == 0
        assert sum(counted) == 40
        assert names(here / "run") == FILES


class TestOtherInputs:
    def test_csv(self, go, here):
        (here / "images" / "list.csv").write_text("file\nlight/nothing.png\n")
        assert go("--images", "images/list.csv") == 2
        listed = sorted(p.relative_to(here / "images") for p in (here / "images").rglob("0*.png"))
        text = "".join(f"{path.as_posix()}\n" for path in listed)
        (here / "list.csv").write_text("file\n" + text)
        assert go("--images", "list.csv", "--root", "images") == 0
        assert [row["id"] for row in table(here / "run")] == text.split()

    def test_a_changed_image_of_a_csv_is_another_run(self, go, here, capsys):
        (here / "images" / "list.csv").write_text("file\nnotes.txt\ndark/00.png\nlight/00.png\n")
        there = [p for p in ("dark/00.png", "light/00.png") if (here / "images" / p).exists()]
        (here / "images" / "list.csv").write_text("file\n" + "\n".join(there))
        assert go("--images", "images/list.csv") == 0
        (here / "images" / there[0]).write_bytes(b"changed")
        assert go("--images", "images/list.csv") == 2
        assert "inputs.images.images: " in capsys.readouterr().err

    def test_dataset(self, go, here):
        with (here / "mine.py").open("a") as module:
            module.write(
                "\n\ndef pictures():\n"
                "    values = torch.arange(5, dtype=torch.uint8)[:, None, None, None]\n"
                "    return [(v.expand(1, 8, 8), 0) for v in values]\n"
            )
        assert go("--images", "mine:pictures") == 0
        assert [row["id"] for row in table(here / "run")] == [f"{i:06d}" for i in range(5)]

    def test_store(self, done, go, here):
        assert go("--images", "run/reconstructions", "--out", "again") == 0
        first, second = summary(here / "run"), summary(here / "again")
        assert second["inverted"] == 40
        assert second["loss"]["mean"] < first["start_loss"]["mean"]

    def test_start_from(self, done, go, here, capsys):
        assert go("--start-from", "run", "--out", "more") == 0
        ends = {row["id"]: float(row["loss"]) for row in table(here / "run") if row["loss"]}
        starts = {row["id"]: row["start_loss"] for row in table(here / "more") if row["loss"]}
        assert {k: float(v) for k, v in starts.items()} == pytest.approx(ends, rel=1e-4)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(here / "images" / "new.png")
        assert go("--start-from", "run", "--out", "third") == 2
        assert "got none for 1 of 42, e.g. 'new.png'" in capsys.readouterr().err

    def test_alignment_masks(self, go, here):
        light = sorted((here / "images" / "light").glob("*.png"))[:3]
        lines = [f"light/{p.name},0,0,4,8" for p in light]
        (here / "boxes.csv").write_text("file,x0,y0,x1,y1\n" + "\n".join(lines))
        assert go("--align", "centre", "--geometry", "boxes.csv") == 0
        found = summary(here / "run")
        assert (found["inverted"], len(found["skipped"])) == (3, 39)
        shard = InversionStore(here / "run" / "latents").read_all()
        toy = ToyGenerator()
        rendered = toy.synthesize(toy.map(shard.tensors["latents"][:, 0])).double()
        rows = {row["id"]: row for row in table(here / "run")}
        for place, name in enumerate(shard.ids):
            pixels = np.asarray(Image.open(here / "images" / name)) / 127.5 - 1
            # The box's middle moves from column 2 to column 4: the first two are not known.
            known = rendered[place, 0, :, 2:].numpy() - pixels[:, :6]
            assert float(rows[name]["l1"]) == pytest.approx(np.abs(known).mean(), abs=1e-5)
        assert "are grey in the image" in (here / "run" / "report.html").read_text()

    def test_lpips_is_measured_where_weights_are_given(self, go, here, capsys):
        pytest.importorskip("lpips")
        (here / "alex.pth").write_bytes(b"no weights")
        assert go("--lpips-weights", "alex.pth") == 2
        assert "backbone weights alex.pth" in capsys.readouterr().err
        assert "latents" not in names(here / "run")

    def test_preset(self, go, here):
        config = EncoderConfig(
            image_channels=1, size=8, num_layers=1, dim=8, widths=(8,), blocks=(1,)
        )
        InversionEncoder(config).save(here / "encoder.safetensors")
        encoder = ("--encoder", "encoder.safetensors")
        assert go(*encoder, "--preset", "in-domain", "--out", "a") == 0
        network = InversionEncoder.load(here / "encoder.safetensors")
        wanted = inverter_preset("in-domain", network, steps=3)
        assert InversionStore(here / "a" / "latents").identity.exact["inverter"] == describe(wanted)
        assert go(*encoder, "--out", "b") == 0
        start = InversionStore(here / "b" / "latents").identity.exact["inverter"]["start"]
        assert start["type"] == "genviews:EncoderStart"

    def test_zoo_name(self, here, toy_entry, image_folder):
        assert main(["invert", "--images", "images", "--generator", "fashion32"]) == 0
        assert summary(here / "runs" / "invert")["inverted"] == 40


class TestMistakes:
    def test_dry_run(self, go, here, capsys):
        assert go("--dry-run", "--engine", "ray") == 0
        config = json.loads(capsys.readouterr().out)
        assert (config["verb"], config["preset"], config["steps"]) == ("invert", "default", 3)
        assert not {"engine", "workers", "batch_size"} & set(config)
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (
                ["--images", "imagse"],
                "images 'imagse': expected a folder, a .csv",
            ),
            (["--images", "mine.py"], "got a file that is no .csv, .tsv or .json file"),
            (["--images", "mine:picture"], "expected an attribute 'picture' of mine, got none"),
            (["--images", "torchvision:MNIST:x:trian"], "did you mean 'train'"),
            (["--encoder", "enc.safetensors"], "--encoder: expected a file that exists"),
            (["--start-from", "nowhere"], "at least one whole shard"),
            (["--generator", "fashoin32"], "did you mean 'fashion32'"),
            (["--preset", "papre"], "did you mean 'paper'"),
            (["--preset", "paper"], "'paper': expected an inversion encoder, got none"),
            (["--preset", "in-domain"], "'in-domain': expected an inversion encoder"),
            (["--align", "cras", "--geometry", "mine.py"], "did you mean 'cars'"),
            (["--align", "cars"], "--geometry: expected --align and --geometry together"),
            (["--geometry", "mine.py"], "--align: expected --align and --geometry together"),
            (["--align", "cars", "--geometry", "mine.py"], "geometry mine.py"),
            (["--root", "images"], "root (--root) of the images 'images': expected a table"),
            (["--workers", "2"], "--workers: expected --engine ray"),
            (["--ray-address", "auto"], "--ray-address: expected --engine ray"),
            (["--out", "s3://bucket/run"], "--out: expected a folder of this machine, got 's3:"),
            (["--steps", "-1"], "steps: expected an integer of at least 0"),
            (["--out", "images/run"], "--out: expected a folder apart from --images"),
            (["--out", "."], "--out: expected a folder apart from --images"),
            (["--device", "gpu9"], "(--device): expected auto, cpu"),
        ],
    )
    def test_each_is_one_clear_line(self, go, here, says_in_one_line, more, message):
        assert go(*more) == 2
        says_in_one_line(message)

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--images", "imagse"], "images 'imagse': expected a folder, a .csv"),
            (["--generator", "fashoin32"], "did you mean 'fashion32'"),
            (["--generator", "mine:decoed"], "expected an attribute 'decoed' of mine"),
            (["--generator", "x.safetensors"], "the files x.safetensors and x.json side by side"),
            (["--preset", "papre"], "did you mean 'paper'"),
        ],
    )
    def test_a_dry_run_finds_words_that_stand_for_nothing(
        self, go, here, says_in_one_line, more, message
    ):
        assert go("--dry-run", *more) == 2
        says_in_one_line(message)
        assert not (here / "run").exists()

    def test_nothing_readable_leaves_no_half_results(self, go, here, capsys):
        for path in list((here / "images").rglob("*.png")):
            path.write_bytes(b"no image")
        assert go() == 2
        error = capsys.readouterr().err
        assert "at least one readable image, got none of 41:" in error
        assert names(here / "run") == {"hashes.json", "log.txt"}
        assert go("--steps", "4") == 2  # no folder of others stands in the way
        assert "at least one readable image" in capsys.readouterr().err

    def test_force_spares_what_is_not_ours(self, go, here):
        (here / "run" / "png").mkdir(parents=True)
        (here / "run" / "png" / "precious.txt").write_text("mine")
        assert go("--force") == 0
        assert (here / "run" / "png" / "precious.txt").exists()


def test_apart(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    check_apart(
        {"--out": tmp_path / "c"}, {"--images": tmp_path / "a", "--other": None, "--x": "mine:f"}
    )
    with pytest.raises(ValueError, match="apart from --images"):
        check_apart({"--out": tmp_path / "a" / "b" / "c"}, {"--images": tmp_path / "a"})


def test_large_images_make_small_shards():
    assert images_in_shard(ImageSpec(channels=3, height=32, width=32), 512) == 512
    large = images_in_shard(ImageSpec(channels=3, height=1024, width=1024), 512)
    assert 8 <= large <= 32


@pytest.mark.slow
def test_ray_equals_local(go, here):
    pytest.importorskip("ray")
    words = ("--images", "images", "--generator", "mine:decode", "--z-dim", "8", "--steps", "3")
    words += ("--out", "b", "--engine", "ray", "--workers", "2", "--device", "cpu")
    # In a process of its own: Ray warns of many things, and warnings are errors here.
    command = [sys.executable, "-m", "genviews.cli", "invert", *words]
    path = str(Path(genviews.__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    assert "mean loss" in done.stderr
    assert go("--out", "a") == 0
    ours, theirs = table(here / "a"), table(here / "b")
    assert [row["id"] for row in ours] == [row["id"] for row in theirs]
    for one, other in zip(ours, theirs, strict=True):
        if one["loss"]:
            assert math.isclose(float(one["loss"]), float(other["loss"]), rel_tol=1e-3)
