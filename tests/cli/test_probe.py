"""`genviews probe` on toys, and the folders of labelled images that it reads."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from genviews.cli import main
from genviews.cli.inputs import try_models
from genviews.cli.learning_flags import ProbeFlags
from genviews.evaluate.encoders import probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.load.learning import load_probe
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.studies.result import Result
from genviews.types import ImageSpec
from tests.folders import findings, names
from tests.pages import read_page

FILES = {"hashes.json", "identity.json", "identity.safetensors", "log.txt"}
FILES |= {"report.html", "results.csv", "results.json"}
GREY8 = ImageSpec(channels=1, height=8, width=8)
SPLITS = ("train", "val", "test")


@pytest.fixture
def encoder(here):
    """An encoder of grey images that has seen images, though it never learnt."""
    found = RepresentationEncoder(RepresentationConfig(channels=1), seed=3)
    found.train()
    with torch.no_grad():
        found(torch.linspace(-1, 1, 512).view(8, 1, 8, 8))
    found.eval().save(here / "encoder.safetensors", {"images": "1x8x8"})
    return found


@pytest.fixture
def go(encoder, labelled_data, with_flags):
    """Judge that encoder on the toy data; a function of further flags."""
    words = ["probe", "--encoder", "encoder.safetensors", "--data", "data", "--out", "run"]
    return lambda *more: main(with_flags(words, more))


def pixels_of(folder):
    """Images in [-1, 1] and labels by class name, read here file by file."""
    files = sorted(folder.rglob("*.png"))
    images = [np.asarray(Image.open(file), np.float32) / 127.5 - 1 for file in files]
    return torch.from_numpy(np.stack(images))[:, None], [file.parent.name for file in files]


class TestRun:
    def test_folder_terminal_and_second_call(self, go, here, capsys):
        assert go() == 0
        run = here / "run"
        assert names(run) == FILES
        results = findings(run)
        assert set(results["probes"]) == {"linear", "knn"}
        assert results["training"] is None
        with (run / "results.csv").open(encoding="utf-8", newline="") as text:
            rows = dict(zip(("linear", "knn", *"abc"), csv.DictReader(text), strict=True))
        for name, found in results["probes"].items():
            assert float(rows[name]["test"]) == found["accuracy"]
            ends = [float(rows[name][k]) for k in ("test_low", "test_high")]
            assert ends == found["interval"]
            assert found["hits"] == round(found["accuracy"] * 32)
        page = read_page(run)
        assert results["verdict"] in page
        images = Result.load(run).record.images
        assert images["test"] == "32 images of data (test)" in page
        assert "<svg" not in page  # there is no training to show
        out, _ = capsys.readouterr()
        assert results["verdict"] in " ".join(out.split())
        assert f"{100 * results['probes']['linear']['accuracy']:.1f}" in out

        before = {p: p.stat().st_mtime_ns for p in run.rglob("*")}
        assert go() == 0
        assert "nothing to do" in capsys.readouterr().out
        assert {p: p.stat().st_mtime_ns for p in run.rglob("*")} == before
        test = here / "data" / "test"
        shutil.copy(next((test / "light").glob("*.png")), test / "dark" / "new.png")
        assert go() == 2
        assert "inputs.probe.test." in capsys.readouterr().err

    def test_the_floor_stands_beside_it(self, go, here, encoder, capsys):
        """What an encoder of the same architecture knows that learnt nothing, and the majority."""
        for image in sorted((here / "data" / "test" / "light").glob("*.png"))[:8]:
            image.unlink()  # 16 dark, 8 light
        assert go() == 0
        floor = findings(here / "run")["floor"]
        data = load_probe(str(here / "data"), GREY8)
        fresh = FeatureExtractor(RepresentationEncoder(encoder.config), allow_untrained=True)
        wanted = probe_encoder(fresh, data)
        untrained = {name: one["accuracy"] for name, one in wanted.record().items()}
        assert floor["untrained"] == untrained
        counts = data.test.labels.bincount().tolist()
        most = int(data.train.labels.bincount().argmax())
        assert (floor["majority"]["hits"], floor["majority"]["total"]) == (counts[most], 24)
        assert floor["class"] == data.test.class_names[most]
        words = f"an untrained encoder {100 * untrained['linear']:.1f} %, the most frequent class"
        out = " ".join(capsys.readouterr().out.split())
        page = read_page(here / "run")
        for text in (out, page):
            assert words in text
            assert "untrained encoder" in text.replace(words, "")  # in the table too

    def test_accuracies_are_sklearns(self, go, here, encoder):
        """The settings that were chosen, fitted by other code on images read by other code."""
        assert go() == 0
        found = findings(here / "run")["probes"]
        h, y = {}, {}
        for split in SPLITS:
            images, y[split] = pixels_of(here / "data" / split)
            h[split] = encoder.features(images).double().numpy()
        mean, std = h["train"].mean(0), h["train"].std(0)
        scaled = {split: (h[split] - mean) / np.where(std > 1e-12, std, 1.0) for split in SPLITS}
        # Its penalty is on the sum of losses: C as ours.
        model = LogisticRegression(C=found["linear"]["setting"]["cost"], max_iter=5000)
        accuracy = model.fit(scaled["train"], y["train"]).score(scaled["test"], y["test"])
        assert found["linear"]["accuracy"] == pytest.approx(accuracy, abs=1.01 / 32)

        def weights(distance):
            return np.exp((1 - distance) / 0.07)

        near = KNeighborsClassifier(
            int(found["knn"]["setting"]["neighbours"]), metric="cosine", weights=weights
        )
        accuracy = near.fit(h["train"], y["train"]).score(h["test"], y["test"])
        assert found["knn"]["accuracy"] == pytest.approx(accuracy, abs=1.01 / 32)

    def test_a_learnt_encoder_gets_the_numbers_of_its_run(
        self, user_module, here, labelled_data, capsys
    ):
        words = ["--generator", "mine:decode", "--z-dim", "8", "--data", "data"]
        words += ["--samples", "16", "--batch", "8", "--updates", "2"]
        assert main(["learn", *words, "--out", "learnt"]) == 0
        encoder = ["--encoder", "learnt/encoder.safetensors"]
        assert main(["probe", *encoder, "--data", "data"]) == 0  # the size is in the file
        ours, theirs = findings(here / "runs/probe"), findings(here / "learnt")
        assert ours["probes"] == theirs["probes"]

    def test_images_that_cannot_be_read_are_named(self, go, here, capsys):
        (here / "data" / "val" / "light" / "broken.png").write_bytes(b"no image")
        assert go() == 0
        assert findings(here / "run")["skipped"] == [["val/light/broken.png", "is not an image"]]
        assert "val/light/broken.png" in (here / "run" / "report.html").read_text()
        assert "Left out, with reasons in the report: 1 file" in capsys.readouterr().out

    def test_a_folder_called_as_what_ships_has_images_of_its_own_size(
        self, here, labelled_data, encoder
    ):
        (here / "data").rename(here / "fashion32")
        encoder.save(here / "encoder.safetensors")
        flags = ProbeFlags(encoder=Path("encoder.safetensors"), data="fashion32")
        with pytest.raises(ValueError, match=r"add size \(--size\)"):
            try_models([flags], lambda kit: None)

    def test_size(self, go, here, encoder, capsys):
        encoder.save(here / "encoder.safetensors")  # does not say the size of its images
        assert go() == 2
        assert "add size (--size)" in capsys.readouterr().err
        assert go("--size", "8") == 0
        for path in (here / "data").rglob("*.png"):
            Image.open(path).resize((16, 16), Image.Resampling.NEAREST).save(path)
        assert go("--size", "8", "--out", "b") == 2
        assert "is 16x16 pixels, not 8x8" in capsys.readouterr().err
        assert go("--size", "8", "--out", "b", "--resize") == 0
        ours, theirs = (findings(here / n)["probes"] for n in ("run", "b"))
        for name in ours:  # each pixel was four equal ones, and its neighbours weigh in
            assert abs(ours[name]["hits"] - theirs[name]["hits"]) <= 2

    def test_dry_run(self, go, here, capsys):
        assert go("--dry-run") == 0
        config = json.loads(capsys.readouterr().out)
        assert (config["verb"], config["data"]) == ("probe", "data")
        assert not (here / "run").exists()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--encoder", "nowhere"], "--encoder: expected a file that exists"),
            (["--encoder", "other.safetensors"], "expected a safetensors file"),
            (["--data", "nowhere"], "images 'nowhere': expected a folder"),
            (["--data", "fashion32", "--size", "8"], "an encoder of 32x32 grey images"),
            (["--size", "0"], "--size: expected an integer of at least 1"),
            (["--out", "data/run"], "--out: expected a folder apart from --data"),
            (["--device", "gpu9"], "(--device): expected auto, cpu"),
        ],
    )
    def test_each_mistake_is_one_clear_line(self, go, here, says_in_one_line, more, message):
        (here / "other.safetensors").write_bytes(b"something else")
        assert go(*more) == 2
        says_in_one_line(message)

    def test_a_file_that_does_not_match_is_refused(self, go, here, encoder, capsys):
        encoder.export_backbone(here / "backbone.safetensors")
        assert go("--encoder", "backbone.safetensors") == 2
        assert "expected a file of 'RepresentationEncoder'" in capsys.readouterr().err
        other = RepresentationConfig(backbone="resnet18", channels=1)
        other_encoder = RepresentationEncoder(other)
        other_encoder.config = encoder.config  # the weights of one under the name of another
        other_encoder.save(here / "wrong.safetensors")
        assert go("--encoder", "wrong.safetensors") == 2
        assert "missing " in capsys.readouterr().err


class TestFolders:
    """A folder that is no class would be one, and shift all labels after it."""

    def refused(self, match):
        with pytest.raises(ValueError, match=match):
            load_probe("data", GREY8)

    @pytest.mark.parametrize("stray", [".cache/1.txt", "test/.DS_Store", "README.txt", "val/aaa/x"])
    def test_what_is_no_image_harms_nobody(self, labelled_data, stray):
        (labelled_data / stray).parent.mkdir(exist_ok=True)
        (labelled_data / stray).write_text("no image")
        found = load_probe("data", GREY8)
        assert [len(part) for part in found.splits().values()] == [48, 24, 32]

    def test_a_missing_class(self, labelled_data):
        shutil.rmtree(labelled_data / "val" / "dark")
        self.refused("'dark' in train and test alone, none in val")

    def test_other_names_of_splits(self, labelled_data):
        (labelled_data / "val").rename(labelled_data / "valid")
        assert len(load_probe("data", GREY8).val) == 24

    def test_a_file_beside_the_classes(self, labelled_data):
        (labelled_data / "test" / "loose.png").write_bytes(b"")
        self.refused("every image in a subfolder, .* 'test/loose.png'")

    def test_a_single_class(self, labelled_data):
        for split in SPLITS:
            shutil.rmtree(labelled_data / split / "dark")
        self.refused("expected at least two, got light")

    def test_one_folder_under_three_names(self, labelled_data):
        """It was 100.0 % without a warning."""
        for split in ("val", "test"):
            shutil.rmtree(labelled_data / split)
            (labelled_data / split).symlink_to(labelled_data / "train")
        self.refused("images of train and val: .* 48 with the same content in both: 'train/dark/")

    def test_a_class_without_a_readable_image(self, labelled_data):
        for path in (labelled_data / "val" / "light").iterdir():
            path.write_bytes(b"no image")
        with pytest.raises(ValueError, match=r"class 'light' of val.*is not an image"):
            load_probe("data", GREY8)

    def test_labels_are_those_of_the_folders(self, labelled_data):
        data = load_probe("data", GREY8)
        assert (data.skipped, data.notes) == ((), ())
        for split, part in data.splits().items():
            assert part.class_names == ("dark", "light")
            for name, label in zip(part.ids, part.labels.tolist(), strict=True):
                assert name.split("/")[:2] == [split, part.class_names[label]]
            images, _ = pixels_of(labelled_data / split)
            assert torch.equal(part.images, images)
