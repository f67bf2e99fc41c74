"""Ensemble size, cutoffs and optimisation steps: each figure against what it is made from."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
import torch
from scipy import stats

from genviews.ensemble.cutoff import cutoff_grid, cutoff_thresholds
from genviews.ensemble.resample import ensemble_size_study, resample_pixels
from genviews.ensemble.significance import holm
from genviews.ensemble.views import ViewSet
from genviews.ensemble.weigh import Ensemble
from genviews.invert.optimize import invert
from genviews.perturb.stylemix import StyleMix
from genviews.store import ShardStore
from genviews.studies.blocks import Curves, Images
from genviews.studies.ensembling import fig6, fig14, table2
from genviews.types import Status
from tests.problem import toy_problem
from tests.studies.ensembling.benches import toy_bench

MIX = StyleMix("fine")


@pytest.fixture
def bench():
    return toy_bench(perturbations=(MIX,))


def banks(bench, num_views):
    sets = [ViewSet(perturbation=MIX), *(ViewSet(pixels=p) for p in bench.pixel_views)]
    return [bench.bank(s, sets, num_views=num_views)["images"] for s in ("calibration", "test")]


def test_figure6_draws_the_size_study(bench):
    options = fig6.EnsembleSize(sizes=(0, 1, 4), times=3)
    found = fig6.STUDY.run(bench, options)
    first, last = banks(bench, 4)
    points = ensemble_size_study(
        Ensemble(MIX.name), first, last, sizes=options.sizes, members=4, times=3, seed=bench.seed
    )
    (curves,) = [b for b in found.blocks if isinstance(b, Curves)]
    series = {s.name: s for s in curves.charts[0].series}
    assert list(series) == [MIX.name, "flip", "crop"]
    assert series[MIX.name].y == tuple(p.mean for p in points)
    single = float((last.get("image")[:, 0].argmax(-1) == last.labels).double().mean())
    assert {s.y[0] for s in series.values()} == {single}
    assert series[MIX.name].low[0] == series[MIX.name].y[0]  # the image alone is not drawn anew
    assert {len(s.low) for s in series.values()} <= {0, 3}
    assert found.answer.rows[2][0] == 4
    assert found.answer.rows[2][1].value == points[2].mean
    assert repr(MIX.name) in found.verdict
    assert said_of_level(points) in found.verdict


def said_of_level(points):
    """Two one-sided t-tests of each size against the largest, from the largest down."""
    last, least = points[-1], points[-1].size
    for point in reversed(points[:-1]):
        error = math.sqrt(point.stderr**2 + last.stderr**2)
        difference, free = point.mean - last.mean, len(last.accuracies) - 1
        tests = (stats.t.sf((0.01 + side * difference) / error, free) for side in (1, -1))
        if max(tests) >= 0.025:
            break
        least = point.size
    if least == last.size:
        return f"No smaller ensemble is seen to be level with that of {least}."
    return f"From {least} views on the curve is level with its end, within 1 point."


def test_pixel_views_are_averaged_with_the_image(bench):
    """A sure flip counts once, however many are drawn."""
    _, last = banks(bench, 4)
    curve = fig6.pixel_size_study(last, ["flip"], sizes=(1, 3), times=2)
    image, flip = last.probs("image")[:, 0], last.probs("flip")[:, 0]
    for point in curve:
        hits = ((image + flip).argmax(-1) == last.labels).double().mean()
        assert (point.mean, point.stderr) == (pytest.approx(float(hits)), 0.0)
    assert resample_pixels(last, ["flip"], size=2, times=1).accuracies


def test_figure14_reads_on_test_the_cell_chosen_on_calibration(bench):
    options = fig14.Cutoff(num_views=4, fractions=(0.0, 0.5, 1.0))
    found = fig14.STUDY.run(bench, options)
    (first, last), losses = (
        banks(bench, 4),
        [bench.inversions(s).columns("loss")["loss"] for s in ("calibration", "test")],
    )
    cuts = cutoff_thresholds(losses[0], options.fractions)
    grids = [
        cutoff_grid(Ensemble(MIX.name), b, loss, cuts)
        for b, loss in zip((first, last), losses, strict=True)
    ]
    assert found.record.data["calibration"] == grids[0].tolist()
    places = torch.nonzero(grids[0] == grids[0].max()).tolist()
    least = min(weight for _, weight in places)
    cut = max(c for c, weight in places if weight == least)
    both, alone, over = found.answer.rows
    single = float(grids[1][0, 0])
    best = int(grids[0][-1].argmax())
    assert both[1].value == pytest.approx(float(grids[1][cut, least]) - single)
    assert alone[1].value == pytest.approx(float(grids[1][-1, best]) - single)
    assert over[1].value == pytest.approx(both[1].value - alone[1].value)


def test_figure14_colours():
    (images,) = [
        b
        for b in fig14.STUDY.run(toy_bench(perturbations=(MIX,)), fig14.Cutoff().quick()).blocks
        if isinstance(b, Images)
    ]
    (pair,) = images.grids[0].pictures
    for picture in pair:
        assert picture.pixels.shape == (3, 21 * 12, 3 * 12)
        assert picture.pixels.abs().max() <= 1
        assert torch.equal(picture.pixels[:, :, :12], torch.ones(3, 21 * 12, 12))  # none ensembled
        assert torch.equal(picture.pixels[:, :12], torch.ones(3, 12, 36))  # alpha 0


def test_a_failed_inversion_leaves_the_cutoff_at_work(bench):
    """Its loss is NaN; it lies above every cutoff, and the others are cut as before."""
    inversion = bench.inversions("calibration")
    store = ShardStore(inversion.folder, inversion.identity)
    shard = store.read(0)
    shard.tensors["loss"][:3] = torch.nan
    shard.tensors["status"][:3] = Status.FAILED
    store.write(0, shard)
    found = fig14.STUDY.run(bench, fig14.Cutoff(num_views=4, fractions=(0.0, 0.5, 1.0)))
    half = found.record.data["calibration"][1]
    assert len(set(half)) > 1
    assert half != found.record.data["calibration"][2]


def test_table2_equals_an_inversion_of_each_length(bench):
    options = table2.Steps(steps=(0, 2, 5), num_views=3)
    found = table2.STUDY.run(bench, options)
    problem = toy_problem()
    assert [row[0] for row in found.answer.rows] == [0, 2, 5]
    names = [column.name for column in found.answer.columns]
    *_, last = found.record.data["rows"]
    together = holm([last["reconstructions"]["p_value"], last["ensemble"]["p_value"]])
    told = re.findall(r"\(exact McNemar p ([=<]) ([\d.]+), Holm\)", found.verdict)
    assert [float(p) for _, p in told] == pytest.approx(together, rel=0.1)
    assert last["against_last"]["fixed"] == last["against_last"]["broke"] == 0
    assert "within 1 point" in found.verdict
    for steps, row in zip(options.steps, found.answer.rows, strict=True):
        inverter = replace(bench.kit.inverter, steps=steps, tolerance=0.0)
        alone = [
            invert(problem.generator, s.images, inverter=inverter)
            for s in (problem.calibration, problem.test)
        ]
        error = (alone[1].reconstructions - problem.test.images).double()
        assert row[names.index("L1")] == pytest.approx(float(error.abs().mean()), rel=1e-4)
        assert row[names.index("L2")] == pytest.approx(float(error.square().mean()), rel=1e-4)
        with torch.no_grad():
            said = problem.classifier(alone[1].reconstructions).argmax(1)
        kept = (said == problem.test.labels).double().mean()
        assert row[names.index("accuracy on reconstructions")].value == pytest.approx(float(kept))
        both = [
            bench.bank(split, [ViewSet(perturbation=MIX)], num_views=3, latents=own.latents)[
                "images"
            ]
            for split, own in zip(("calibration", "test"), alone, strict=True)
        ]
        right = Ensemble(MIX.name).fit(both[0]).predict(both[1]) == both[1].labels
        assert row[names.index("accuracy of the ensemble")].value == pytest.approx(
            float(right.double().mean())
        )


@pytest.mark.parametrize(
    "options",
    [
        fig6.EnsembleSize(sizes=(4, 2)),
        fig6.EnsembleSize(sizes=()),
        fig14.Cutoff(fractions=(0.5, 0.5)),
        table2.Steps(steps=(-1, 2)),
    ],
)
def test_options_ascend(options):
    with pytest.raises(ValueError, match="expected ascending numbers of at least 0"):
        options.check()
