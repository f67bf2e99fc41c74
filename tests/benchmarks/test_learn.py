"""The benchmark of learning compares equal work: loss, training, images and views of both loops."""

from __future__ import annotations

import json
import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import transforms

from benchmarks import augment, learn, learning_paths, plain_learning
from genviews.generators.callable import CallableGenerator
from genviews.perturb.noise import Gaussian
from genviews.represent.losses import NTXent
from genviews.represent.stored import StoredViews, write_views
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews
from genviews.rng import Rng
from genviews.types import ImageSpec

BATCH, STEPS, WARMUP = 8, 2, 1
PLAIN = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def setting():
    return learn.make_setting(BATCH, STEPS, WARMUP, threads=1)


@pytest.fixture
def folder(setting, tmp_path):
    write_views(setting.views, tmp_path / "views", 3 * BATCH, keep="images")
    return tmp_path / "views"


class Given:
    """Batches from a list; each takes its time."""

    def __init__(self, views, seconds=0.0):
        self.views, self.seconds = views, seconds

    def batch(self, step):
        time.sleep(self.seconds)
        return {"views": self.views[step]}

    def __iter__(self):
        return (self.batch(step)["views"] for step in range(len(self.views)))


def random_views(batches=STEPS + WARMUP):
    draws = Rng(3, "views").streams(range(batches)).uniform(BATCH, (2, 1, 32, 32))
    return list(draws * 2 - 1)


# Python from 3.12 on warns of every fork beside a thread, as a DataLoader's.
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_report(tmp_path, capsys):
    path, state = tmp_path / "new" / "learn.json", torch.get_rng_state()
    options = {"batch": 4, "steps": STEPS, "warmup": WARMUP, "repeats": 1, "threads": 1}
    ratio = learn.main(**options, workers=(0, 1), out=path)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"ratio {ratio:.2f} against {learn.LOADER}"
    assert torch.equal(torch.get_rng_state(), state)
    report = json.loads(path.read_text())
    assert str(tmp_path) not in path.read_text()
    assert options.items() <= report["config"].items()
    named = [(learn.STORED, learn.LOADER), (learn.STREAMED, learn.IN_LOOP)]
    paths = {ours + end for ours, _ in named for end in ("", learn.HALF)}
    paths |= {plain + end for _, plain in named for end in ("", learn.HALF, learn.TORCH)}
    assert set(report["anchors_per_second"]) == paths == set(report["chosen"])
    assert all(len(r) == 1 and min(r) > 0 for r in report["anchors_per_second"].values())
    assert set(report["trial"][learn.LOADER]) == {"workers 0, threads 1", "workers 1, threads 1"}
    ahead = {"prefetch 0, threads 1", "prefetch 2, threads 1"}
    assert set(report["trial"][learn.STORED]) == ahead
    assert set(report["waiting"]) == {
        learn.STORED,
        learn.STORED + learn.HALF,
        learn.STREAMED,
        learn.STREAMED + learn.HALF,
    }
    for shares in report["waiting"].values():
        assert 0 <= shares["beyond_rendering"] <= shares["share"] < 1
        assert shares["beyond_the_sum"] < shares["beyond_the_slower"] < 1
    assert 0 < report["waiting_of_the_loader"] < 1
    medians = {name: statistics.median(r) for name, r in report["anchors_per_second"].items()}
    for (_, ours, plain), told in zip(learn.PAIRS, report["ratios"], strict=True):
        assert told["baseline"] == plain
        assert told["ratio"] == pytest.approx(medians[ours] / medians[plain])
    assert {augment.LOOP, learn.SHARED} <= set(report["pixel_views"]["ours_against"])
    assert report["environment"]["device"] == "cpu"


@pytest.mark.parametrize("batch", [2, 5])
def test_the_plain_loss_is_ours_with_its_gradient(batch):
    u = Rng(0).streams(range(batch)).normal(2, (7,)).double()
    found = []
    for loss in (NTXent(), plain_learning.nt_xent):
        rows = nn.functional.normalize(u, dim=-1).requires_grad_()
        value = loss(rows)
        found.append((value.detach(), *torch.autograd.grad(value, rows)))
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


def test_both_loops_end_with_the_same_weights(setting):
    views = random_views()
    ours = train_representation(setting.encoder, Given(views), NTXent(), setting.training).encoder
    theirs, timing = plain_learning.train(setting.encoder, iter(Given(views)), STEPS, WARMUP)
    first, wanted = setting.encoder.state_dict(), theirs.state_dict()
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-4, atol=1e-5, msg=name)
        assert not torch.equal(value, first[name]), name
    assert set(timing) == {"seconds", "waiting"}


def operations(tensor):
    """Names of all that the gradient of a tensor passes."""
    found, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [before for before, _ in node.next_functions]
    return {node.name() for node in found}


def test_layers_of_torch_are_the_same_network(setting):
    """And they do not take our norm's short way."""
    torchs, views = plain_learning.layers_of_torch(setting.encoder), random_views(1)[0]
    ours, plain = (
        plain_learning.train(encoder, iter([views] * 3), STEPS, WARMUP)[0].state_dict()
        for encoder in (setting.encoder, torchs)
    )
    for name, value in ours.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5, msg=name)
    for encoder, short in ((setting.encoder, True), (torchs, False)):
        features = encoder.train().backbone(views.flatten(0, 1))
        assert any("RectifiedNorm" in name for name in operations(features)) == short
    norms = [type(m) for m in setting.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert set(norms) == {nn.BatchNorm2d}  # the given encoder is as it was


@pytest.mark.parametrize("half", [False, True])
def test_both_loops_have_one_precision(setting, half):
    setting, views = replace(setting, bfloat16=half), random_views()
    seen = []
    setting.encoder.backbone.trunk.stem.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    learning_paths.time_training(setting, Given(views))
    learning_paths.time_plain(setting, iter(Given(views)))
    assert seen == [torch.bfloat16 if half else torch.float32] * 2 * (STEPS + WARMUP)


def test_both_loops_read_the_same_images(setting, folder):
    pairs = learn.read_pairs(setting, folder)
    pairs.transform = PLAIN
    stored = StoredViews(folder)(range(len(pairs))).images
    torch.testing.assert_close(torch.stack(list(pairs)), stored, rtol=0, atol=1e-6)


@pytest.mark.parametrize("streamed", [False, True])
def test_first_batches_are_alike(setting, folder, streamed):
    transform = plain_learning.image_transform(setting.pixels)
    if streamed:
        ours = setting.streamed(prefetch=0)
        plain = plain_learning.render_pairs(setting.generator, transform, BATCH, std=0.2, chunk=5)
    else:
        ours = setting.stored(folder, prefetch=0)
        plain = plain_learning.load_pairs(learn.read_pairs(setting, folder), BATCH, workers=0)
    for views in (ours.batch(0)["views"], next(plain)):
        assert (views.shape, views.dtype) == ((BATCH, 2, 1, 32, 32), torch.float32)
        assert views.min() >= -1
        assert 0.5 < views.max() <= 1 + 1e-6
        assert not torch.equal(views[:, 0], views[:, 1])


def test_pixel_views_have_one_law(setting):
    """Means and spreads of many views of one image that is not its own mirror."""
    count = 3000
    slope = torch.linspace(0, 200, 32).expand(32, 32) + torch.linspace(0, 55, 32)[:, None]
    pixels = slope.round().to(torch.uint8).expand(count, 1, 32, 32)
    pairs = plain_learning.Pairs(pixels.numpy(), plain_learning.image_transform(setting.pixels))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = torch.stack(list(pairs)).flatten(0, 1)
    images = pixels.float() / 127.5 - 1
    ours = setting.pixels(images, 1, Rng(0).streams(range(count)))[:, 0]
    # Twice 4 standard errors of a pixel's mean; 8-bit rounding shifts by less than 0.01.
    torch.testing.assert_close(ours.mean(0), plain.mean(0), rtol=0, atol=0.06)
    for statistic in (lambda v: v.mean((1, 2, 3)), lambda v: v.std((1, 2, 3))):
        a, b = statistic(ours), statistic(plain)
        torch.testing.assert_close(a.mean(), b.mean(), rtol=0, atol=0.02)
        torch.testing.assert_close(a.std(), b.std(), rtol=0.08, atol=0)


def test_neighbours_have_one_law():
    """A generator whose image is its latent shows the step that was made."""
    generator = CallableGenerator(
        nn.Sequential(nn.Unflatten(1, (1, 8, 8)), _Scale(1 / 8)),
        64,
        ImageSpec(channels=1, height=8, width=8),
    )
    plain = next(plain_learning.render_pairs(generator, PLAIN, 200, std=0.2, chunk=64))
    ours = LatentViews(generator, Gaussian("all", 0.2))(range(200)).images
    steps = [(views[:, 1] - views[:, 0]) * 8 for views in (plain, ours)]
    rounding = 8 / 127.5
    for step in steps:
        assert step.abs().max() <= 0.4 + rounding
    assert steps[0].std().item() == pytest.approx(steps[1].std().item(), rel=0.04)
    assert plain.std().item() == pytest.approx(ours.std().item(), rel=0.03)


class _Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.register_buffer("factor", torch.tensor(factor))

    def forward(self, x):
        return x * self.factor


def test_waiting_is_measured_in_both_loops(setting):
    slow = Given(random_views(), seconds=0.05)
    ours = learning_paths.time_training(setting, slow)
    plain = plain_learning.train(setting.encoder, iter(slow), STEPS, WARMUP)[1]
    for timing in (ours, plain):
        assert 0.05 <= timing["waiting"] < timing["seconds"]


def test_no_thread_is_left(setting):
    learning_paths.time_stream(setting, setting.streamed(prefetch=2))
    assert "genviews prefetch" not in {thread.name for thread in threading.enumerate()}


def test_parts_of_waiting():
    timing, alone = {"seconds": 10.0, "waiting": 5.0}, {"making": 3.0, "pixels": 1.0}
    found = learn.parts_of_waiting(timing, alone, 8.0, renders=True)
    assert found == pytest.approx(
        {"share": 0.5, "beyond_rendering": 0.2, "beyond_the_slower": 0.2, "beyond_the_sum": -0.2}
    )
    read = learn.parts_of_waiting(timing, alone, 2.0, renders=False)
    assert read["beyond_rendering"] == read["share"]
    assert read["beyond_the_slower"] == pytest.approx(0.6)  # the views are the slower part


def test_the_fastest_option_is_taken_with_its_threads():
    seen = []

    def run(seconds):
        seen.append(torch.get_num_threads())
        return {"seconds": seconds}

    options = {
        f"threads {n}": learning_paths.with_threads(n, lambda n=n: run(3.0 - n)) for n in (1, 2)
    }
    assert learn.fastest(options) == ("threads 2", {"threads 1": 2.0, "threads 2": 1.0})
    assert seen == [1, 2]
    assert torch.get_num_threads() == 1


def test_another_loss_stops_the_run(setting, monkeypatch):
    views = random_views(1)[0]
    assert learn.check_equal(setting, views)["loss"] < 1e-6
    monkeypatch.setattr(plain_learning, "BASE_TEMPERATURE", 0.08)
    with pytest.raises(SystemExit, match="our loss differs from a cross-entropy by"):
        learn.check_equal(setting, views)


@pytest.mark.parametrize(("option", "least"), [("--batch", 2), ("--warmup", 1), ("--repeats", 1)])
def test_counts_are_checked(option, least, capsys):
    assert learn.arguments([option, str(least)]).out == Path("results/benchmarks/learn.json")
    with pytest.raises(SystemExit):
        learn.arguments([option, str(least - 1)])
    assert "at least" in capsys.readouterr().err
