"""A stored set is what was streamed, is made again byte for byte, and survives what kills it."""

from __future__ import annotations

import json
import pickle
import threading
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch

from genviews.engine import Engine
from genviews.files import sha256_of
from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.toy import ToyGenerator
from genviews.identity import Identity, describe
from genviews.perturb.noise import Gaussian, Normal, Uniform
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.represent.plan import SamplePlan
from genviews.represent.prior import Prior
from genviews.represent.stored import StoredViews, rebuild, recreate_views, write_views
from genviews.represent.stream import StreamedBatches
from genviews.represent.views import LatentViews
from genviews.store import ShardStore
from tests.stores import put_shard

TOY = ToyGenerator()
CONDITIONAL = ToyGenerator(num_classes=3)
BLACK_BOX = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
KEEPS = pytest.mark.parametrize("keep", ["latents", "images", "both"])

CASES = {
    "toy": LatentViews(TOY, Gaussian("all", 0.2), positives=2, pool=4),
    "none": LatentViews(TOY, None),
    "black box": LatentViews(BLACK_BOX, Uniform("all", 0.3), Prior(noise=Normal.fixed_bound(2.0))),
    "in z": LatentViews(z_space(TOY, psi=0.9), Gaussian("all", 0.25, None), positives=2),
    "conditional": LatentViews(CONDITIONAL, Independent(), Prior(per_class=4), positives=2),
}


@pytest.fixture(params=CASES)
def views(request):
    return CASES[request.param]


def shards(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.glob("[0-9]*.safetensors"))}


def level(images) -> torch.Tensor:
    """Images in the 255 levels of a pixel."""
    return ((images + 1) * 127.5).double()


@KEEPS
def test_stored_views_are_the_streamed_ones(views, keep, tmp_path) -> None:
    write_views(views, tmp_path, 10, keep=keep, shard_size=4)
    stored = StoredViews(tmp_path, views.generator, positives=views.positives)
    for ids, visit in [([0, 1, 2], 0), ([9, 3, 5, 0], 2), ([7], 1)]:
        fixed = 0 if views.pool is None else visit  # without a pool each visit would be fresh
        wanted, found = views(ids, fixed), stored(ids, visit)
        pixels = found.images
        if keep != "latents":
            assert (level(pixels) - level(pixels).round()).abs().max() < 1e-4
            assert (level(pixels) - level(wanted.images)).abs().max() <= 0.5 + 1e-3
        else:
            torch.testing.assert_close(pixels, wanted.images, rtol=0, atol=1e-5)
        assert found.ids == wanted.ids
        expected = set(wanted.tensors()) - ({"latents"} if keep == "images" else set())
        assert set(found.tensors()) == expected
        for name in expected - {"images"}:
            torch.testing.assert_close(
                found.tensors()[name], wanted.tensors()[name], rtol=0, atol=1e-6
            )


def test_z_always_matches_its_image(tmp_path) -> None:
    """The reference stores the wrong z after its first batch."""
    views = LatentViews(CONDITIONAL, Gaussian("all", 0.3), batch_size=3)
    write_views(views, tmp_path, 11, shard_size=5)
    stored = StoredViews(tmp_path)
    for i in range(11):
        batch = stored([i])
        image = CONDITIONAL.synthesize(CONDITIONAL.map(batch.z, batch.labels))
        assert (level(image.clamp(-1, 1)) - level(batch.images[:, 0])).abs().max() <= 0.5 + 1e-3


@KEEPS
def test_recreated_from_its_manifest_byte_for_byte(views, keep, tmp_path) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    manifest = write_views(views, first, 10, keep=keep, shard_size=4)
    assert json.loads((first / "manifest.json").read_text()) == manifest
    assert manifest["sha256"] == shards(first)
    assert recreate_views(first / "manifest.json", views.generator, again) == manifest
    assert shards(again) == shards(first)
    assert (again / "manifest.json").read_bytes() == (first / "manifest.json").read_bytes()


def test_images_beyond_the_range_are_clamped_and_never_wrap_around(tmp_path) -> None:
    loud = CallableGenerator(lambda z: 3 * z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
    write_views(LatentViews(loud, Gaussian("all", 0.2)), tmp_path, 8, keep="images")
    batch = StoredViews(tmp_path)(range(8))
    wanted = (3 * batch.z.tanh()).clamp(-1, 1).reshape(-1, 1, 4, 4)
    assert (batch.images[:, 0] - wanted).abs().max() <= 0.5 / 127.5 + 1e-5


def test_a_perturbation_with_tensors_is_passed_and_checked(tmp_path) -> None:
    perturbation = PCA("fine", 1.0, PCAStatistics.measure(TOY, num_samples=200))
    manifest = write_views(LatentViews(TOY, perturbation), tmp_path / "a", 5)
    with pytest.raises(
        ValueError, match=r"expected one of .* got 'genviews:PCA'; pass the perturbation itself"
    ):
        recreate_views(manifest, TOY, tmp_path / "b")
    other = PCA("fine", 1.0, PCAStatistics.measure(TOY, num_samples=300))
    with pytest.raises(ValueError, match=r"perturbation\.statistics\.components\.tensor"):
        recreate_views(manifest, TOY, tmp_path / "b", other)
    assert recreate_views(manifest, TOY, tmp_path / "b", perturbation) == manifest


def test_recreation_names_what_differs(tmp_path) -> None:
    manifest = write_views(LatentViews(TOY, StyleMix("fine")), tmp_path / "a", 9, shard_size=4)
    with pytest.raises(
        ValueError, match=r"generator and perturbation: .*views\.generator\.weights"
    ):
        recreate_views(manifest, ToyGenerator(seed=1), tmp_path / "b")
    manifest["sha256"]["00001.safetensors"] = "0" * 64
    with pytest.raises(ValueError, match=r"others in shards 00001\.safetensors;"):
        recreate_views(manifest, TOY, tmp_path / "c")
    with pytest.raises(ValueError, match="manifest: expected format genviews-views-1"):
        recreate_views({"format": "something"}, TOY, tmp_path / "d")


def test_a_killed_run_loses_the_shard_in_flight_and_resumes(tmp_path, monkeypatch) -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2))
    whole = tmp_path / "whole"
    write_views(views, whole, 20, shard_size=5)
    broken, rendered = tmp_path / "broken", []
    make = LatentViews.rendered

    def dying(self, ids, visit=0):
        rendered.append(len(ids))
        if len(rendered) == 3:
            raise KeyboardInterrupt
        return make(self, ids, visit)

    monkeypatch.setattr(LatentViews, "rendered", dying)
    with pytest.raises(KeyboardInterrupt):
        write_views(views, broken, 20, shard_size=5)
    assert sorted(shards(broken)) == ["00000.safetensors", "00001.safetensors"]
    assert not (broken / "manifest.json").exists()
    seen = []
    write_views(views, broken, 20, shard_size=5, progress=lambda *told: seen.append(told[2:]))
    assert len(rendered) == 5  # two made, one lost, two left
    assert seen == [(10, 20), (15, 20), (20, 20)]
    assert shards(broken) == shards(whole)
    write_views(views, broken, 20, shard_size=5)
    assert len(rendered) == 5  # a finished run made again is no work
    assert not list(broken.glob(".*"))


def test_a_damaged_shard_is_refused_and_made_again(tmp_path) -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2))
    write_views(views, tmp_path, 8, shard_size=4)
    before = shards(tmp_path)
    path = tmp_path / "00001.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 255
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=r"shard 1 of .*checksum"):
        StoredViews(tmp_path)([5])
    with pytest.warns(RuntimeWarning, match=r"shard 1 of .* is damaged"):
        write_views(views, tmp_path, 8, shard_size=4)
    assert shards(tmp_path) == before
    path.unlink()
    with pytest.raises(FileNotFoundError, match="shard 1"):
        StoredViews(tmp_path)([5])


def test_two_runs_on_one_folder_share_the_work(tmp_path, monkeypatch) -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2))
    write_views(views, tmp_path / "alone", 40, shard_size=2)
    made: list[int] = []
    latents = LatentViews.latents

    def noting(self, ids, visit=0):
        made.append(next(iter(ids)))
        return latents(self, ids, visit)

    monkeypatch.setattr(LatentViews, "latents", noting)
    runs = [
        threading.Thread(
            target=write_views, args=(views, tmp_path / "both", 40), kwargs={"shard_size": 2}
        )
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(made) == list(range(0, 40, 2))  # no shard twice
    assert shards(tmp_path / "both") == shards(tmp_path / "alone")


class Elsewhere(Engine):
    """Workers that get the job as bytes, as those of another process; `lose`: on another disk."""

    def __init__(self, lose: bool = False) -> None:
        self.lose = lose

    def run(self, shards, make_worker, report) -> None:
        worker = pickle.loads(pickle.dumps(make_worker))()
        for index in shards:
            report(index, {"state": "made"} if self.lose else worker(index))


def test_on_another_engine(tmp_path) -> None:
    views = CASES["toy"]
    manifest = write_views(views, tmp_path / "here", 10, shard_size=4)
    assert write_views(views, tmp_path / "there", 10, shard_size=4, engine=Elsewhere()) == manifest
    with pytest.raises(RuntimeError, match=r"shards \[0, 1, 2\]: expected to be in the store"):
        write_views(views, tmp_path / "lost", 10, shard_size=4, engine=Elsewhere(lose=True))


def test_a_folder_never_mixes_two_sets(tmp_path) -> None:
    write_views(LatentViews(TOY, Gaussian("all", 0.2)), tmp_path, 5)
    for views, options, field in [
        (LatentViews(TOY, Gaussian("all", 0.3)), {}, r"views\.perturbation\.std: 0\.2 .* 0\.3"),
        (LatentViews(TOY, Gaussian("all", 0.2), seed=1), {}, r"views\.seed"),
        (LatentViews(TOY, Gaussian("all", 0.2)), {"keep": "images"}, "keep"),
    ]:
        with pytest.raises(ValueError, match=field):
            write_views(views, tmp_path, 5, **options)


def test_pseudo_classes_have_shards_of_their_own(tmp_path) -> None:
    views = LatentViews(BLACK_BOX, None, Prior(per_class=4, pseudo_classes=3))
    write_views(views, tmp_path, 12, shard_size=4)
    store = ShardStore(tmp_path, StoredViews(tmp_path).identity)
    for index in range(3):
        assert store.read(index).tensors["pseudo_labels"].tolist() == [index] * 4
    assert StoredViews(tmp_path)([11, 0]).pseudo_labels.tolist() == [2, 0]


def test_at_a_url() -> None:
    url = "memory://stored-views"
    try:
        manifest = write_views(CASES["toy"], url, 6, shard_size=4)
        found = StoredViews(url)([5, 1])
        torch.testing.assert_close(
            found.latents, replace_positives(CASES["toy"], 1)([5, 1]).latents, rtol=0, atol=1e-6
        )
        again = recreate_views(f"{url}/manifest.json", TOY, f"{url}-again")
        assert again == manifest
    finally:
        fsspec.filesystem("memory").store.clear()


def replace_positives(views: LatentViews, positives: int) -> LatentViews:
    return LatentViews(
        views.generator, views.perturbation, views.prior, positives=positives, pool=views.pool
    )


@KEEPS
def test_training_reads_it_as_it_reads_a_stream(keep, tmp_path) -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2), positives=2, pool=3)
    write_views(views, tmp_path, 12, keep=keep, shard_size=5)
    stored = StoredViews(tmp_path, TOY, positives=2)
    plan = SamplePlan(batch_size=4, num_unique=12)
    batches = [StreamedBatches(source, plan, reuse=2) for source in (views, stored)]
    for step in range(8):
        streamed, read = (b.batch(step) for b in batches)
        tolerance = 1e-5 if keep == "latents" else 0.5 / 127.5 + 1e-5
        torch.testing.assert_close(read["views"], streamed["views"], rtol=0, atol=tolerance)
        assert torch.equal(read["ids"], streamed["ids"])
    for b in batches:
        b.close()
    assert describe(batches[1])["views"]["stored"]["num_samples"] == 12


def test_misuse_is_named(tmp_path) -> None:
    views = LatentViews(TOY, Gaussian("all", 0.2), pool=2)
    with pytest.raises((ValueError, TypeError), match="keep"):
        write_views(views, tmp_path / "a", 5, keep="everything")
    with pytest.raises(ValueError, match="num_samples: expected an integer of at least 1"):
        write_views(views, tmp_path / "a", 0)
    write_views(views, tmp_path / "a", 5, keep="latents")
    with pytest.raises(ValueError, match="generator: expected one, to render with"):
        StoredViews(tmp_path / "a")
    with pytest.raises(ValueError, match=r"generator of the views in .*generator\.weights"):
        StoredViews(tmp_path / "a", ToyGenerator(seed=1))
    with pytest.raises(ValueError, match=r"positives: expected .* at most 2, got 3"):
        StoredViews(tmp_path / "a", TOY, positives=3)
    with pytest.raises(ValueError, match=r"sample ids: expected integers from 0, below 5, got 5"):
        StoredViews(tmp_path / "a", TOY)([5])
    with pytest.raises(FileNotFoundError, match="at least one whole shard"):
        StoredViews(tmp_path / "nothing")
    put_shard(ShardStore(tmp_path / "other", Identity({"a": 1})), 0, {"x": torch.zeros(1)}, ["0"])
    with pytest.raises(ValueError, match=r"expected views, got a store made from a;"):
        StoredViews(tmp_path / "other")


@pytest.mark.parametrize(
    "value",
    [
        Gaussian("fine", 0.2, 3.0, "fixed"),
        Gaussian((1, 2), 0.2, None),
        Gaussian(TOY.latent_spec.layers("fine"), 0.2),
        StyleMix("fine", 0.5),
        Independent(noise=Normal.fixed_bound(0.9), psi=0.8, cutoff=2),
        Prior(noise=Normal.scaled_bound(0.4), classes=(1, 2), per_class=3),
        TOY.image_spec,
        None,
    ],
    ids=repr,
)
def test_descriptions_are_json_and_come_back(value) -> None:
    assert rebuild(json.loads(json.dumps(describe(value)))) == value


def test_what_cannot_be_described_is_named() -> None:
    with pytest.raises(ValueError, match=r"one of genviews:Angular, .* pass the perturbation"):
        rebuild({"type": "Nothing"})
    assert describe(BLACK_BOX)["type"] == "genviews:CallableGenerator"
    assert replace(Gaussian("all", 0.1), std=0.2) == Gaussian("all", 0.2)
