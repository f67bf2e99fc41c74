"""Every generator of the field from the command line, with every perturbation and inverter.

What the specification of a generator allows is made; what it does not allow is refused in a
sentence that says what is missing and what to do. All of it is looked up: a new format needs a row
of `tests.cli.families`, and a new perturbation or inverter none.
"""

from __future__ import annotations

import csv
import json
import shutil
import sys
from functools import cache, cached_property
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import alexnet

from genviews.cli import main
from genviews.cli.app import app
from genviews.cli.check import class_names_of, function_settings
from genviews.cli.flags import FunctionFlags
from genviews.generators.callable import z_space
from genviews.generators.checkpoints import READERS
from genviews.generators.checkpoints.contents import open_contents
from genviews.generators.families import FAMILIES, family_of
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.inverter import PRESETS
from genviews.kit import GeneratorKit
from genviews.load.generator import load_generator
from genviews.perturb.base import KINDS
from genviews.perturb.train_steer import SteerTraining, train_walks
from tests.cli.families import FORMATS, MODULE, NAME

SPACES = ("own", "z")
LEAST = 31
"""Pixels of a side that LPIPS needs."""
BELOW_NAME = 20
"""Where the pictures of a sheet begin."""


class Tried:
    """One of `FORMATS`, written into a folder that was empty."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.format, self.folder = name, FORMATS[name], folder
        (folder / f"{NAME}.py").write_text(MODULE)
        self.words = self.format.write(folder)

    @cached_property
    def kit(self) -> GeneratorKit:
        """What the library makes of the words."""
        given = app.parse_args(["generator", "show", *self.words], exit_on_error=False)[1].arguments
        flags = given.get("function", FunctionFlags())
        names = class_names_of(flags)
        return load_generator(given["word"], **function_settings(flags), class_names=names)

    def walks(self, space: str) -> list[str]:
        """Flags with a file of walks; none where they cannot be learnt."""
        generator = self.kit.generator
        if space == "z" and generator.latent_spec.space != "z":
            generator = z_space(generator)
        if not generator.differentiable:
            return []
        path = self.folder / f"walks-{space}.safetensors"
        if not path.exists():
            train_walks(generator, SteerTraining(samples=8, batch=8, lr=0.1)).save(path)
        return ["--walks", path.name]

    @cached_property
    def encoder(self) -> list[str]:
        """Flags with a file of an encoder for inversions."""
        generator = self.kit.generator
        config = EncoderConfig.for_generator(generator, widths=(8,))
        made = InversionEncoder(config, generator.mean_latent(100))
        made.save(self.folder / "encoder.safetensors")
        return ["--encoder", "encoder.safetensors"]

    @cached_property
    def images(self) -> str:
        """A folder of its own images, two or one of each class."""
        more = ["--views", "none", "--samples", str(self.format.classes or 2), "--out", "made"]
        more += ["--per-class", "1"] if self.format.classes else []
        assert main(["generator", "views", *self.words, *more]) == 0
        return "made/images"

    @cached_property
    def photos(self) -> str:
        """A folder of images with labels: of its classes, or of two that say nothing."""
        classes = self.format.classes
        more = ["--views", "none", "--samples", str(6 * (classes or 2)), "--out", "taken"]
        more += ["--per-class", "1"] if classes else []
        assert main(["generator", "views", *self.words, *more]) == 0
        folder = self.folder / "taken/images"
        if not classes:
            (folder / "other").mkdir()
            for path in sorted((folder / "00000").iterdir())[::2]:
                path.rename(folder / "other" / path.name)
        return "taken/images"


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A function (name) that changes into the folder of a format; returns it."""

    @cache
    def make(name):
        folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            return Tried(name, folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.setenv("COLUMNS", "200")

        def enter(name):
            made = make(name)
            patch.chdir(made.folder)
            sys.path.append(str(made.folder))  # where the module is; it is the same in each
            return made

        yield enter
    sys.modules.pop(NAME, None)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    """Flags with a file like that of AlexNet, for LPIPS."""
    pytest.importorskip("lpips")
    with torch.device("meta"):
        shapes = {k: v for k, v in alexnet().state_dict().items() if k.startswith("features")}
    noise = torch.Generator().manual_seed(0)
    weights = {k: 0.05 * torch.randn(v.shape, generator=noise) for k, v in shapes.items()}
    path = tmp_path_factory.mktemp("backbone") / "alexnet.pth"
    torch.save(weights, path)
    return ["--lpips-weights", str(path)]


def told(capsys, *words):
    """Exit code, and what the terminal showed."""
    capsys.readouterr()
    code = main([*map(str, words)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def refused(outcome, sentence):
    """Nothing was made, and the last line says why."""
    code, _, error = outcome
    assert code == 2, error
    last = error.splitlines()[-1]
    assert last.startswith("genviews: ")
    assert sentence in last, last
    assert "; " in last  # what to do


def why_not_views(kind, name, space):
    """What says that a format has no such views; None where it has."""
    chosen = FORMATS[name]
    if kind.startswith("pca") and "z" in (space, chosen.space):
        return "in z space all are alike: take isotropic_all_0.50"
    if kind == "steer" and not chosen.gradient:
        return "expected learnt walks of the generator, got none; learn them with `train_walks`"
    return None


def why_not_inverted(preset, encoder, name):
    """What says that a format is not inverted so; None where it is."""
    chosen = FORMATS[name]
    if preset in ("paper", "in-domain") and not (encoder or chosen.encoder):
        return "expected an inversion encoder, got none; train one with `train_encoder`"
    if not chosen.gradient:
        return "expected images whose gradient reaches z"
    if preset in ("paper", "reference") and chosen.size < LEAST:
        return f"height and width of at least {LEAST} pixels"
    return None


def show_views(one, kind, space, capsys):
    """Write views of a kind, or find that they are refused."""
    out = f"{kind}-{space}"
    words = ["generator", "views", *one.words, "--views", f"{kind}_all_0.50", "--space", space]
    words += [
        "--samples",
        2,
        "--force",
        "--out",
        out,
        *(one.walks(space) if kind == "steer" else []),
    ]
    outcome, why = told(capsys, *words), why_not_views(kind, one.name, space)
    if why is not None:
        refused(outcome, why)
        return
    assert outcome[0] == 0, outcome[2]
    assert f"2 anchors with 1 view each are in images/, {one.format.size} x" in outcome[1]
    pictures = sorted((one.folder / out / "images").rglob("*.png"))
    anchor, view, *_ = (np.asarray(Image.open(path), dtype=int) for path in pictures)
    assert anchor.shape[:2] == (one.format.size,) * 2
    assert len(pictures) == 4
    assert (anchor != view).any()


def find_latents(one, preset, encoder, backbone, capsys):
    """Invert images of the generator, or find that it is refused."""
    out = f"{preset}-{encoder}"
    words = ["invert", "--generator", *one.words, "--images", one.images, "--preset", preset]
    words += ["--steps", 2, "--out", out, *(one.encoder if encoder else [])]
    words += backbone if preset in ("paper", "reference") else []
    outcome, why = told(capsys, *words), why_not_inverted(preset, encoder, one.name)
    if why is not None:
        refused(outcome, why)
        return
    assert outcome[0] in (0, 3), outcome[2]  # 3: two steps do not reproduce a picture
    with (one.folder / out / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (one.format.classes or 2)
    for row in rows:
        assert float(row["loss"]) <= float(row["start_loss"])


def why_no_views(kind, name):
    return why_not_views(kind, name, "own")


def why_no_inverter(inverter, name):
    return why_not_inverted(*inverter, name)


def in_turn(things, why):
    """Each format with the first thing that it allows, which is then the last of the queue."""
    found, queue = [], list(things)
    for name in FORMATS:
        able = [one for one in queue if why(one, name) is None]
        if able:
            found.append((name, able[0]))
            queue.remove(able[0])
            queue.append(able[0])
    return found


def first_refusals(things, why):
    """The first format and thing of each reason that there is."""
    cases = [(name, one) for name in reversed(FORMATS) for one in things]
    reasons = {why(one, name): (name, one) for name, one in cases}
    return [case for reason, case in reasons.items() if reason is not None]


INVERTERS = list(product(PRESETS, (False, True)))
VIEWS = in_turn(KINDS, why_no_views)
INVERSIONS = in_turn(INVERTERS, why_no_inverter)
INVERSIONS = list({inverter: (name, inverter) for name, inverter in INVERSIONS}.values())


class TestSample:
    """Every family, perturbation and inverter once, and every reason for which one is refused."""

    def test_it_has_all_of_them(self):
        assert {name for name, _ in VIEWS} == set(FORMATS)
        assert {kind for _, kind in VIEWS} == set(KINDS)
        assert {inverter for _, inverter in INVERSIONS} == set(INVERTERS)

    def test_every_reader_and_family_is_tried(self, tried):
        known, families = set(), set()
        for name in FORMATS:
            one = tried(name)
            path, family = one.folder / one.words[0], family_of(one.kit.generator)
            families |= {family[0]} if family else set()
            if path.is_file() and path.suffix not in (".json", ".safetensors"):
                contents = open_contents(path)
                known |= {reader.what for reader in READERS if reader.knows(contents)}
        assert known == {reader.what for reader in READERS}
        assert families == set(FAMILIES)

    @pytest.mark.parametrize("name", FORMATS)
    def test_it_is_shown(self, name, tried, capsys):
        one = tried(name)
        code, shown, error = told(capsys, "generator", "show", *one.words, "--json")
        assert code == 0, error
        facts, chosen = json.loads(shown), one.format
        wanted = {"channels": chosen.channels, "height": chosen.size, "width": chosen.size}
        assert facts["images"] == {**wanted, "range": [-1.0, 1.0]}
        assert facts["latents"]["space"] == chosen.space
        assert (facts["classes"], facts["gradient"]) == (chosen.classes, chosen.gradient)

    @pytest.mark.parametrize(("name", "kind"), [*VIEWS, *first_refusals(KINDS, why_no_views)])
    def test_perturbation(self, name, kind, tried, capsys):
        show_views(tried(name), kind, "own", capsys)

    @pytest.mark.parametrize(
        ("name", "inverter"), [*INVERSIONS, *first_refusals(INVERTERS, why_no_inverter)]
    )
    def test_inverter(self, name, inverter, tried, backbone, capsys):
        find_latents(tried(name), *inverter, backbone, capsys)

    def test_images_without_classes_of_a_generator_that_renders_them(self, tried, capsys):
        one = tried("biggan")
        (one.folder / "flat").mkdir()
        for path in (one.folder / one.images).rglob("*.png"):
            shutil.copy(path, "flat")
        words = ["invert", "--generator", *one.words, "--images", "flat", "--out", "none"]
        refused(told(capsys, *words), "sort the images into a subfolder for each class of the")


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
class TestEvery:
    def test_perturbation(self, name, tried, capsys):
        for kind, space in product(KINDS, SPACES):
            show_views(tried(name), kind, space, capsys)

    def test_inverter(self, name, tried, backbone, capsys):
        for preset, encoder in INVERTERS:
            find_latents(tried(name), preset, encoder, backbone, capsys)

    def test_converted(self, name, tried, capsys):
        """What has a family becomes a file of our own, which makes the same images."""
        one = tried(name)
        outcome = told(capsys, "generator", "convert", *one.words, "--out", "again.safetensors")
        if family_of(one.kit.generator) is None:
            refused(outcome, "expected one of a family")
            return
        sheets = []
        for words in (one.words, ["again.safetensors"]):
            assert main(["generator", "sample", *words, "--out", "sheet.png", "--force"]) == 0
            with Image.open("sheet.png") as sheet:
                sheets.append(np.asarray(sheet)[BELOW_NAME:])
        assert np.array_equal(*sheets)

    def test_ensemble(self, name, tried, capsys):
        """All perturbations in one run, from images to views of what was inverted."""
        one = tried(name)
        allowed = [kind for kind in KINDS if why_not_views(kind, name, "own") is None]
        words = ["ensemble", "--generator", *one.words, "--images", one.photos, "--steps", 1]
        words += ["--classifier", f"{NAME}:{'three' if one.format.classes == 3 else 'two'}"]
        words += [word for kind in allowed for word in ("--perturb", f"{kind}_all_0.50")]
        words += ["--num-views", 2, "--out", "ensemble", *one.walks("own")]
        outcome = told(capsys, *words)
        if not one.format.gradient:
            refused(outcome, "expected images whose gradient reaches z")
            return
        assert outcome[0] in (0, 3), outcome[2]
        for kind in allowed:
            assert f"{KINDS[kind].kind} all" in outcome[1]
        words = ["predict", "--ensemble", "ensemble", "--images", one.photos, "--out", "predicted"]
        outcome = told(capsys, *words)
        assert outcome[0] in (0, 3), outcome[2]
