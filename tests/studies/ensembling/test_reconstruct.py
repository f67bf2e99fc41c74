"""Errors of reconstructions: of known pixels, and of images whose inversion did not fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource, SourceBatch
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.invert.encoder import EncoderConfig, InversionEncoder
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L1, L2
from genviews.invert.quality import reconstruct
from genviews.invert.start import EncoderStart
from genviews.kit import GeneratorKit
from genviews.rng import Rng
from genviews.store import ShardStore
from genviews.studies.ensembling import table2
from genviews.studies.ensembling.reconstruct import distances, measure_reconstructions
from genviews.studies.gates import gates_of_inversions, gates_of_reconstructions
from genviews.types import Status
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench

FAILED = 3  # images at the beginning, of which the inversion failed


def masked_bench(**changes):
    """A bench in which a third of the pixels is unknown, and is noise."""
    splits = {}
    for name in ("calibration", "test"):
        images = getattr(toy_problem(), name)
        masks = (torch.arange(8) % 3 > 0).float().expand(len(images), 1, 8, 8)
        noise = torch.rand(images.images.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
        known = images.images.where(masks > 0, noise)
        splits[name] = MemorySource(replace(images, images=known), masks)
    return toy_bench(splits=splits, **changes)


def fail_some(store):
    """Let the first inversions be such as `invert` leaves where it failed."""
    files = ShardStore(store.folder, store.identity)
    shard = files.read(0)
    tensors = {name: value.clone() for name, value in shard.tensors.items()}
    tensors["status"][:FAILED] = Status.FAILED
    tensors["loss"][:FAILED] = torch.nan
    for name in ("latents", "snapshots"):
        if name in tensors:
            tensors[name][:FAILED] = toy_problem().generator.mean_latent()
    files.write(0, replace(shard, tensors=tensors))


def test_unknown_pixels_count_for_nothing():
    """As in the errors of `genviews invert`, term by term."""
    bench, terms = masked_bench(), (L1(), L2())
    store, source = bench.inversions("test"), bench.images("test")
    made = reconstruct(store, source, bench.kit.generator, bench.place / "made", terms=terms)
    wanted = [one.errors for one in made.qualities()]
    found = distances(bench, store, source.ids, terms)
    for name in ("l1", "l2"):
        mean = sum(one[name] for one in wanted) / len(wanted)
        assert found[name] == pytest.approx(mean, rel=1e-5)


def test_an_image_without_an_inversion_has_no_error():
    bench = toy_bench()
    store, ids = bench.inversions("test"), bench.images("test").ids
    before = distances(bench, store, ids[FAILED:], (L1(),))
    fail_some(store)
    assert distances(bench, store, ids, (L1(),)) == pytest.approx(before)
    assert distances(bench, store, ids[:FAILED], (L1(),)) == {}
    bank = bench.bank("test", (), num_views=1)["images"]
    measured = measure_reconstructions(bench, bank)
    assert (measured["failed"], measured["l1"]) == (FAILED, pytest.approx(before["l1"]))


def test_a_failed_inversion_has_no_view_at_any_number_of_steps():
    """Its latents are the mean's at each snapshot: the answer to the image stands for its views."""
    bench = toy_bench()
    options = table2.Steps(steps=(0, 3), num_views=2)
    inverter = replace(bench.kit.inverter, steps=3, snapshots=options.steps, tolerance=0.0)
    store = bench.inversions("test", inverter)
    fail_some(store)
    for place in (0, 1):
        bank = bench.bank("test", (), num_views=1, latents=store.at(place))["images"]
        same = (bank.get("reconstruction") == bank.get("image")).flatten(1).all(1)
        assert same.nonzero().flatten().tolist() == list(range(FAILED))
    assert bench.plain_answers["test"] == set(bench.images("test").ids[:FAILED])
    assert table2.STUDY.run(bench, options).record.data["rows"][0]["distances"]["l1"] > 0


def conditional_bench(start=None, source=MemorySource):
    """A bench of a generator that is told which class to draw, two images a batch."""
    toy, shift = ToyGenerator(), torch.tensor([-0.3, 0.3])

    def draw(z, classes):
        moved = toy.synthesize(toy.map(z)) + (classes @ shift)[:, None, None, None]
        return moved.clamp(-1, 1)

    names = ("dark", "light")
    generator = CallableGenerator(draw, toy.z_dim, num_classes=2, class_names=names)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 64))
    task = Task(name="images", classifier=Classifier(network, generator.image_spec, names))
    labels = torch.arange(8) % 2
    z = generator.sample(Rng(0).streams(range(8)))
    images = ImageSet(
        images=generator.synthesize(generator.map(z, labels), labels).detach(),
        ids=tuple(map(str, range(8))),
        labels=labels,
        class_names=names,
    )
    how = Inverter(steps=1) if start is None else Inverter(start=start(generator), steps=1)
    return toy_bench(
        kit=GeneratorKit(generator, inverter=how),
        tasks=(task,),
        splits={"calibration": source(images), "test": source(images)},
        perturbations=(),
        pixel_views=(),
        batch_size=2,
    )


def test_an_encoder_beside_a_generator_that_renders_the_class():
    def start(generator):
        config = EncoderConfig.for_generator(generator, widths=(8,))
        return EncoderStart(InversionEncoder(config).eval())

    bench = conditional_bench(start)
    measured = measure_reconstructions(bench, bench.bank("test", (), num_views=1)["images"])
    assert 0 < measured["l1"] <= measured["encoder_l1"]


class Broken(MemorySource):
    """Some images cannot be read."""

    def is_broken(self, name):
        return int(name) < 4

    def read(self, rows):
        batch = super().read(rows)
        good = [place for place, name in enumerate(batch.ids) if not self.is_broken(name)]
        return SourceBatch(
            images=batch.images[good],
            ids=tuple(batch.ids[place] for place in good),
            hashes=tuple(batch.hashes[place] for place in good),
            skipped=tuple((name, "is broken") for name in batch.ids if self.is_broken(name)),
        )


def test_a_class_for_each_image_where_a_whole_batch_cannot_be_read():
    bench = conditional_bench(source=Broken)
    store = bench.inversions("test")
    assert [name for name, _ in store.skipped] == ["0", "1", "2", "3"]
    assert store.read_all().ids == ("4", "5", "6", "7")


class Odd(Broken):
    """Every image is broken that a look at a few of them would take, were they not left out."""

    def is_broken(self, name):
        return int(name) % 2 == 0


def test_gates_look_at_what_was_inverted():
    """Of a large set some are looked at; if none of these can be read, there are others."""
    known = toy_problem().calibration
    rows = torch.arange(127) % len(known)  # 64 of them, evenly spread, are the even ones
    many = ImageSet(
        images=known.images[rows],
        ids=tuple(map(str, range(127))),
        labels=known.labels[rows],
        class_names=known.class_names,
    )
    bench = toy_bench(splits={"calibration": Odd(many), "test": MemorySource(known)})
    store = bench.inversions("calibration")
    names = {gate.name for gate in gates_of_inversions(bench)}
    assert "likeness of reconstructions" in names
    source = bench.images("calibration")
    made = reconstruct(store, source, bench.kit.generator, bench.place / "made")
    assert len(gates_of_reconstructions(source, made)) == 2
