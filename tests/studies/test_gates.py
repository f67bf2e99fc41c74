"""Gates of whole studies: planted faults end without a verdict, sound inputs with one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from genviews.augment.geometry import RandomCrop
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.source import MemorySource
from genviews.gates.gate import Gate
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.start import GivenStart
from genviews.kit import GeneratorKit
from genviews.perturb.noise import Isotropic
from genviews.studies import predict
from genviews.studies.base import run_study
from genviews.studies.bench import Watcher
from genviews.studies.blocks import Bars, Note, Table
from genviews.studies.ensembling import fig6, fig14, main
from genviews.studies.gates import gates_of_inputs, gates_of_inversions
from genviews.studies.result import Result
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench
from tests.studies.results import result

SHUT = Gate(name="n", found="Seen.", threshold="none", remedy="Mend it.", passed=False)


def task(after=None, names=None):
    """The first classifier of the toy problem, its answers changed."""
    known = toy_problem().classifier
    module = known.module if after is None else nn.Sequential(known.module, after)
    found = Classifier(module, known.image_spec, known.class_names)
    return Task(name="images", classifier=found)


class Exchanged(nn.Module):
    def forward(self, logits):
        return logits.flip(1)


class Dead(ToyGenerator):
    """Draws one picture, whatever the latents: all of its rectifiers are shut."""

    def synthesize(self, latents, label=None):
        return 0 * super().synthesize(latents) + 0.1


class Limited(ToyGenerator):
    """Overflows for latents far out, as half precision does."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def synthesize(self, latents, label=None):
        far = latents[:, 0, 0] > self.mean_latent()[0, 0] + self.limit
        return super().synthesize(latents).where(~far[:, None, None, None], torch.nan)


def names(gates):
    return [gate.name for gate in gates if not gate.passed]


def test_what_chance_does_to_photos_does_not_depend_on_the_batch_size():
    bench = toy_bench()
    inputs = replace(bench.inputs, photo_transform=RandomCrop(padding=4))
    told = [
        [gate.found for gate in gates_of_inputs(replace(bench, inputs=inputs, batch_size=size))]
        for size in (3, 256)
    ]
    assert told[0] == told[1]


class Told(Watcher):
    def __init__(self):
        self.said = []

    def tell(self, text):
        self.said.append(text)


class TestResult:
    def test_a_gate_that_decides_takes_what_is_said_and_leaves_the_numbers(self):
        open_ = result(gates=(), tone="better")
        found = open_.behind([SHUT])
        assert found.verdict.startswith("No verdict: ")
        assert found.record.data["verdict_withheld"] == open_.verdict
        assert {claim.outcome for claim in found.claims} == {"not judged"}
        assert found.tone is None
        table = found.answer
        assert (table.highlight, set(table.tones)) == (None, {"reference", ""})
        assert table.rows[1][2] == replace(open_.answer.rows[1][2], significant=False)
        bars = next(block for block in found.blocks if isinstance(block, Bars))
        assert set(bars.columns[0].tones) == {""}
        assert Result.from_json(found.to_json()) == found

    def test_further_gates_change_no_verdict_again(self):
        found = result(gates=()).behind([SHUT]).behind([SHUT])
        assert len(found.shut) == 2
        assert not found.record.data["verdict_withheld"].startswith("No verdict")

    def test_one_that_does_not_decide_is_shown_alone(self):
        found = result(gates=()).behind([replace(SHUT, decides=False)])
        assert found.verdict == result().verdict
        assert found.alarm == "Beware: 1 of 1 checks failed"


class TestStudies:
    @pytest.mark.parametrize(
        ("study", "options"),
        [
            (main.STUDY, replace(main.MainStudy().quick(), gallery_images=0)),
            (fig6.STUDY, fig6.EnsembleSize().quick()),
            (fig14.STUDY, fig14.Cutoff().quick()),
        ],
    )
    def test_classes_in_another_order(self, study, options, tmp_path):
        """In every study of the test-time arrow, though it declares no gate."""
        listens = Told()
        bench = replace(toy_bench(tasks=(task(Exchanged()),)), watcher=listens)
        found = run_study(study, bench, options, tmp_path)
        assert names(found.gates) == ["order of the classes"]
        assert found.is_withheld
        assert len(listens.said) == 1  # before the work
        assert "fit the order down, up" in listens.said[0]
        kept = Result.load(tmp_path)
        assert (kept.verdict, kept.gates) == (found.verdict, found.gates)

    def test_a_generator_of_one_picture(self, tmp_path):
        dead = GeneratorKit(Dead(), name="dead", inverter=Inverter(steps=3))
        bench = toy_bench(kit=dead, tasks=(task(),))
        found = run_study(fig6.STUDY, bench, fig6.EnsembleSize().quick(), tmp_path)
        shut = names(found.gates)
        assert "differences of samples of the generator" in shut
        assert "starts of inversions of calibration images" in shut
        assert "differences of reconstructions" in shut
        assert "starts of inversions of test images" in shut

    @pytest.mark.parametrize(("limit", "passed"), [(2.5, True), (1.0, False)])
    def test_views_drawn_again(self, tmp_path, limit, passed):
        """Few are noted below the verdict; of many no verdict is given."""
        kit = GeneratorKit(Limited(limit), name="limited", inverter=Inverter(steps=3))
        bench = toy_bench(kit=kit, tasks=(task(),), perturbations=(Isotropic("all", 1.0),))
        found = run_study(fig6.STUDY, bench, fig6.EnsembleSize().quick(), tmp_path)
        told = [gate for gate in found.gates if "drawn again" in gate.found]
        pattern = r"(\d+) of (\d+) generated views of (calibration|test) images had"
        counts = [re.match(pattern, gate.found.replace(",", "")).groups() for gate in told]
        assert [what for _, _, what in counts] == ["calibration", "test"]
        assert all(0 < int(bad) < int(every) for bad, every, _ in counts)
        assert ([gate.passed for gate in told], found.is_withheld) == ([passed] * 2, not passed)
        notes = [block.text for block in found.blocks if isinstance(block, Note)]
        assert [gate.found in notes for gate in told] == [passed] * 2

    @pytest.mark.parametrize(("limit", "passed"), [(2.5, True), (1.0, False)])
    def test_views_drawn_again_by_a_saved_ensemble(self, tmp_path, limit, passed):
        """As where it was fitted."""
        kit = GeneratorKit(Limited(limit), name="limited", inverter=Inverter(steps=3))
        bench = toy_bench(kit=kit, tasks=(task(),))
        inputs = replace(bench.inputs, images=bench.images("test"), splits={})
        options = predict.SavedEnsemble(
            task="images",
            class_names=task().class_names,
            row="isotropic",
            perturbation="isotropic_all_1.00",
            alpha=0.5,
            num_views=4,
        )
        found = run_study(predict.STUDY, replace(bench, inputs=inputs), options, tmp_path)
        told = [gate for gate in found.gates if "drawn again" in gate.found]
        assert [gate.passed for gate in told] == [passed]
        notes = [block.text for block in found.blocks if isinstance(block, Note)]
        assert [gate.found in notes for gate in told] == [gate.passed for gate in told]
        total = 4 * found.record.data["images"]
        assert all(f" of {total} generated views of images had" in gate.found for gate in told)
        assert not found.record.skipped

    def test_sound(self, tmp_path):
        found = run_study(fig6.STUDY, toy_bench(), fig6.EnsembleSize().quick(), tmp_path)
        assert len(found.gates) > 12
        assert found.shut == ()
        assert "(task" not in found.verdict
        tables = [block for block in found.blocks if isinstance(block, Table)]
        assert tables


def with_labels(split, change):
    """The toy splits, the labels of one changed."""
    own = {"calibration": toy_problem().calibration, "test": toy_problem().test}
    own[split] = replace(own[split], labels=change(own[split].labels))
    return {name: MemorySource(images) for name, images in own.items()}


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_labels_of_both_splits_are_asked(split):
    """A verdict is measured on test: a spreadsheet may have its labels in another order."""
    bench = toy_bench(splits=with_labels(split, lambda labels: 1 - labels), tasks=(task(),))
    (shut,) = (gate for gate in gates_of_inputs(bench) if not gate.passed)
    assert shut.name == "order of the classes"
    assert f"{split} images are right as given" in shut.found


@pytest.mark.parametrize("split", ["calibration", "test"])
def test_copies_within_a_split(split, tmp_path):
    """Six images, many times each: tests would count every copy as new evidence."""
    own = {"calibration": toy_problem().calibration, "test": toy_problem().test}
    some = own[split]
    few = torch.arange(len(some)) % 6
    own[split] = replace(some, images=some.images[few], labels=some.labels[few])
    splits = {name: MemorySource(images) for name, images in own.items()}
    bench = toy_bench(splits=splits, tasks=(task(),))
    found = run_study(fig6.STUDY, bench, fig6.EnsembleSize().quick(), tmp_path)
    assert f"copies among {split} images" in names(found.gates)
    assert found.is_withheld


@pytest.mark.parametrize("moved", [0, 1])
def test_latents_of_other_images(moved):
    """A table of latents that is a row off: reconstructions differ, and are of no image."""
    toy, images = ToyGenerator(), toy_problem().calibration.images
    given = GivenStart(toy.invert(images).roll(moved, 0))
    inverter = Inverter(steps=0, start=given)
    bench = toy_bench(kit=GeneratorKit(toy, name="toy", inverter=inverter), tasks=(task(),))
    bench.inversions("calibration")
    found = {gate.name: gate.passed for gate in gates_of_inversions(bench)}
    assert found["differences of reconstructions"]
    assert found["likeness of reconstructions"] is (moved == 0)


@pytest.mark.parametrize("masked", [True, False])
def test_what_unknown_pixels_hold_tells_nothing(masked):
    """Five rows of each image are of the next one, and its mask says so."""
    toy, known = ToyGenerator(), toy_problem().calibration
    masks = (torch.arange(8) < 3).float()[:, None].expand(len(known), 1, 8, 8)
    mixed = torch.where(masks > 0, known.images, known.images.roll(1, 0))
    inverter = Inverter(steps=0, start=GivenStart(toy.invert(known.images)))
    source = MemorySource(replace(known, images=mixed), masks if masked else None)
    kit = GeneratorKit(toy, name="toy", inverter=inverter)
    bench = toy_bench(splits={"calibration": source}, kit=kit, tasks=(task(),))
    bench.inversions("calibration")
    found = {gate.name: gate.passed for gate in gates_of_inversions(bench)}
    assert found["likeness of reconstructions"] is masked


def test_a_split_of_one_class():
    bench = toy_bench(splits=with_labels("test", torch.zeros_like), tasks=(task(),))
    shut = {gate.name: gate.found for gate in gates_of_inputs(bench) if not gate.passed}
    assert shut["classes of calibration and test"] == "All 120 test images are 'up'."


def test_each_task_has_its_own_gates_and_all_share_the_level():
    bench = toy_bench(tasks=(task(), replace(task(Exchanged()), name="other")))
    found = gates_of_inputs(bench)
    (wrong,) = (gate for gate in found if not gate.passed)
    assert "of 60 calibration images for 'other'" in wrong.found
    assert "p < 0.0005" in wrong.threshold


def test_a_generator_alone_is_asked_for_numbers():
    bench = toy_bench(tasks=(), splits={})
    assert [gate.name for gate in gates_of_inputs(bench)] == ["numbers of samples of the generator"]
    assert torch.is_grad_enabled()
