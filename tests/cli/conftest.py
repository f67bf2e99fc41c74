"""Parts of a run that are small enough for a test."""

from __future__ import annotations

import importlib
import shutil
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from genviews.classify.model import Classifier
from genviews.data.images import ImageSet
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.kit import GeneratorKit
from genviews.perturb.pca import PCAStatistics
from genviews.represent.train import TrainingRun
from genviews.rng import Rng

CLASSES = ("dark", "light")
_FIRST = pytest.StashKey()  # what the first test of a class ran

MODULE = """
import torch
from torch import nn
from genviews.generators.toy import ToyGenerator

toy = ToyGenerator()


def decode(z):
    return toy.synthesize(toy.map(z))


def decode_class(z, c):
    return (decode(z) + (c[:, 1] - c[:, 0])[:, None, None, None] / 2).clamp(-1, 1)


def holes(z):
    return decode(z).masked_fill((z[:, :1, None, None] > 0.25), torch.nan)


class Mean(nn.Module):
    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


def network():
    return Mean()
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


@pytest.fixture
def begin_with(here, capsys, request, tmp_path_factory):
    """A function (run) that fills `here` by it, or as it did for the first test of a class.

    Returns what the terminal showed. A later test gets a copy, so it may change what it likes.
    """
    kept = request.config.stash.setdefault(_FIRST, {})

    def begin(run):
        place = request.node.parent.nodeid
        if place not in kept:
            capsys.readouterr()
            run()
            folder = tmp_path_factory.mktemp("first") / "here"
            shutil.copytree(here, folder, symlinks=True)
            kept[place] = (folder, capsys.readouterr())
        folder, shown = kept[place]
        shutil.copytree(folder, here, symlinks=True, dirs_exist_ok=True)
        return shown

    return begin


@pytest.fixture
def user_module(here, monkeypatch):
    """The user's own module `mine`, with a generator `decode` and a classifier `network`."""
    (here / "mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(here)
    yield "mine"
    sys.modules.pop("mine", None)


def draw_images(count: int, split: str) -> ImageSet:
    toy = ToyGenerator()
    streams = Rng(0, split).streams(range(count))
    images = toy.synthesize(toy.map(toy.sample(streams))).detach().clamp(-1, 1)
    order = images.mean((1, 2, 3))
    return ImageSet(
        images=images,
        ids=tuple(f"{split}/{i}" for i in range(count)),
        labels=(order > order.median()).long(),
        class_names=CLASSES,
    )


def write_images(folder, count, split):
    """Write images of the toy in a folder for each class."""
    images = draw_images(count, split)
    for i, (image, label) in enumerate(zip(images.images, images.labels, strict=True)):
        place = folder / CLASSES[int(label)]
        place.mkdir(parents=True, exist_ok=True)
        pixels = ((image[0] + 1) * 127.5).round().numpy().astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{i:02d}.png")


@pytest.fixture(scope="session")
def written_images(tmp_path_factory):
    """Folders of images that tests copy, or look at where they lie."""
    place = tmp_path_factory.mktemp("written")
    write_images(place / "images", 40, "folder")
    shutil.copytree(place / "images", place / "readable")
    (place / "images" / "dark" / "broken.png").write_bytes(b"no image")
    for split, count in (("train", 48), ("val", 24), ("test", 32)):
        write_images(place / "data" / split, count, split)
    return place


# Without times and permissions, which cost more than the few bytes of an image.
_copied = partial(shutil.copytree, copy_function=shutil.copyfile)


@pytest.fixture
def image_folder(here, written_images):
    """40 images in two subfolders, and one file that is no image."""
    return Path(_copied(written_images / "images", here / "images"))


@pytest.fixture
def labelled_data(here, written_images):
    """A folder with train, val and test, each with the two classes: 48, 24 and 32 images."""
    return Path(_copied(written_images / "data", here / "data"))


@pytest.fixture
def readable_images(here, written_images):
    """The 40 images, which no test may change."""
    (here / "images").symlink_to(written_images / "readable")


@pytest.fixture
def readable_data(here, written_images):
    """As `labelled_data`, which no test may change."""
    (here / "data").symlink_to(written_images / "data")


class Mean(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean((1, 2, 3))
        return torch.stack([-mean, mean], 1)


@pytest.fixture
def toy_entry(tmp_path_factory, monkeypatch):
    """A stand-in for the embedded entry, put in its place."""
    toy = ToyGenerator()
    folder = tmp_path_factory.getbasetemp() / "entry"  # one for all: a run stamps its files
    if not folder.exists():
        scales = {"isotropic": {"fine": [0.1]}, "stylemix": {"fine": [1.0]}}
        directions = PCAStatistics.measure(toy, num_samples=2000)
        kit = GeneratorKit(toy, inverter=Inverter(steps=5), scales=scales, directions=directions)
        kit.save(folder / "fashion32")
    classifier = Classifier(Mean(), toy.image_spec, CLASSES)
    importlib.import_module("genviews.load.images")  # keeps the real sample for later tests
    monkeypatch.setattr("genviews.zoo.ENTRIES", folder)
    monkeypatch.setattr("genviews.zoo.zoo_classifiers", lambda name: {"images": classifier})
    monkeypatch.setattr("genviews.zoo.zoo_images", lambda name, split: draw_images(24, split))
    return folder / "fashion32"


@pytest.fixture
def toy_images():
    """A function (count, split) -> an ImageSet of the toy generator, with labels."""
    return draw_images


class Clock:
    """A clock that a test sets: `now`, in seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """A clock that stands at 0."""
    return Clock()


@pytest.fixture
def trained(monkeypatch):
    """The steps of all updates that trainings made, in their order."""
    made = []
    advance = TrainingRun.advance
    monkeypatch.setattr(
        TrainingRun, "advance", lambda run: (made.append(run.step), advance(run))[1]
    )
    return made


@pytest.fixture
def killed_after(monkeypatch):
    """A function: a context in which a training is interrupted once it made so many updates."""

    @contextmanager
    def killed(updates):
        made = []
        advance = TrainingRun.advance

        def dying(run):
            if len(made) == updates:
                raise KeyboardInterrupt
            made.append(run.step)
            return advance(run)

        with monkeypatch.context() as patch:
            patch.setattr(TrainingRun, "advance", dying)
            yield

    return killed


@pytest.fixture
def says_in_one_line(capsys):
    """A function (message) that asserts what a mistake of the user ends with."""

    def check(message):
        error = capsys.readouterr().err.splitlines()
        assert message in error[-1]
        assert error[-1].startswith("genviews: ")
        assert not any("Traceback" in line for line in error)

    return check


@pytest.fixture
def with_flags():
    """A function (words, more) -> `words` with the flags of `more` in the place of its own."""

    def pairs(words):
        flags, last = {}, ""
        for word in words:
            if word.startswith("--"):
                flags[word], last = [], word
            else:
                flags[last].append(word)
        return flags

    def replace(words, more):
        flags = pairs(words[1:]) | pairs(more)
        return [words[0], *(word for flag, values in flags.items() for word in (flag, *values))]

    return replace
