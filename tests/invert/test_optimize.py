"""Inversion recovers toy latents, each image as if alone, and never ends worse than it began."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch

from genviews import (
    CallableGenerator,
    Rng,
    StyleGAN2,
    ToyGenerator,
    load_generator,
)
from genviews.data.images import ImageSet
from genviews.data.source import MemorySource
from genviews.identity import describe
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.invert.optimize import invert
from genviews.invert.optimizer import Adam, Optimizer, State
from genviews.invert.start import EncoderStart, GivenStart, MeanStart, Starts
from genviews.types import Status
from genviews.zoo import zoo_images
from tests.networks import small_stylegan2

NUMBERS = CallableGenerator(lambda z: z.reshape(-1, 1, 1, 1), z_dim=1)  # an image is one number


def from_mean(**settings) -> Inverter:
    """An inverter with one start, the mean latent."""
    return Inverter(start=MeanStart(), **settings)


FEW = from_mean(steps=12)
OPTIMIZERS = [LBFGS(), LBFGS.reference(), Adam(lr=0.1)]
IDS = ["lbfgs", "reference", "adam"]


@pytest.fixture(scope="module")
def case():
    toy = ToyGenerator()
    latents = toy.map(toy.sample(Rng(3).streams(range(64))))
    return toy, latents, toy.synthesize(latents)


@pytest.fixture(scope="module")
def styled():
    """A small StyleGAN2 and images that it makes, in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = StyleGAN2(small_stylegan2(8)).double().eval()
        for name, weight in generator.named_parameters():
            if "torgb" in name:  # untrained, it draws far beyond [-1, 1]
                weight.data *= 0.3
    streams = Rng(0).streams(range(40))
    latents = generator.map(generator.sample(streams).double())
    latents = latents + 0.3 * streams.child("rows").normal(1, (4, 6))[:, 0]
    return generator, generator.synthesize(latents).detach()


class TestRecovery:
    @pytest.mark.parametrize(("optimizer", "steps"), [(LBFGS(), 40), (LBFGS.reference(), 60)])
    def test_toy_latents_with_the_squared_error(self, case, optimizer, steps):
        toy, latents, images = case
        inverter = from_mean(
            steps=steps, optimizer=optimizer, objective=Objective((L2(),)), tolerance=0.0
        )
        latents, images = latents[:16], images[:16]
        result = invert(toy, images, inverter=inverter)
        limit = 0.01 if optimizer.faithful else 1e-5
        assert float((result.latents - latents).abs().max()) < limit
        torch.testing.assert_close(result.reconstructions, images, atol=limit, rtol=0)

    def test_toy_latents_with_the_defaults(self, case):
        toy, latents, images = case
        result = invert(toy, images[:16], inverter=from_mean())
        assert float((result.latents - latents[:16]).abs().max()) < 1e-3
        assert (result.status == Status.CONVERGED).all()
        assert int(result.steps.max()) < 100

    def test_adam_comes_near(self, case):
        toy, latents, images = case
        inverter = from_mean(steps=200, optimizer=Adam(lr=0.1), tolerance=0.0)
        result = invert(toy, images[:16], inverter=inverter)
        assert float((result.latents - latents[:16]).abs().max()) < 0.02
        assert (result.status == Status.STEP_LIMIT).all()
        assert (result.steps == 200).all()
        assert (result.evaluations == 201).all()

    def test_smoothing_helps_on_kinks(self, case):
        toy, _, images = case
        smooth, sharp = (
            invert(toy, images[:16], inverter=from_mean(steps=40, smoothing=s, tolerance=0.0))
            for s in (0.02, 0.0)
        )
        assert smooth.loss.mean() < 0.1 * sharp.loss.mean()


class TestNeighbours:
    """A result depends on its image alone."""

    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
    def test_a_batch_of_stylegan2_gives_each_image_what_it_gets_alone(self, styled, optimizer):
        generator, images = styled
        inverter, images = from_mean(steps=10, optimizer=optimizer), images[:24]
        whole = invert(generator, images, inverter=inverter)
        assert (whole.loss < 0.8 * whole.start_loss).float().mean() > 0.9
        for i in (5, 23):
            same(invert(generator, images[i : i + 1], inverter=inverter), pick(whole, [i]))

    def test_a_batch_of_real_images_gives_each_what_it_gets_alone(self):
        """Bit for bit, for a long descent magnifies round-off: every part is computed alike."""
        kit = load_generator("fashion32")
        images = zoo_images("fashion32", "val").images[:5]
        inverter = Inverter(start=EncoderStart(kit.encoder), steps=6)
        whole = invert(kit.generator, images, inverter=inverter)
        assert (whole.loss < whole.start_loss).all()
        alone = invert(kit.generator, images[3:4], inverter=inverter)
        assert torch.equal(alone.loss, whole.loss[3:4])
        for batch_size, order in ((1, [4]), (3, [2, 4, 1, 0]), (8, list(range(4, -1, -1)))):
            turned = invert(kit.generator, images[order], inverter=inverter, batch_size=batch_size)
            assert torch.equal(turned.loss, whole.loss[order])
            assert torch.equal(turned.latents, whole.latents[order])

    def test_the_size_of_the_batch_changes_nothing(self, styled):
        generator, images = styled
        inverter = from_mean(steps=8, tolerance=0.25, patience=1)
        expected = invert(generator, images, inverter=inverter, batch_size=20)
        assert len(expected.steps.unique()) > 2  # images leave, and others take their place
        for batch_size, count in ((1, 3), (7, 20), (None, 40)):
            got = invert(generator, images[:count], inverter=inverter, batch_size=batch_size)
            same(got, pick(expected, range(count)))

    def test_order_changes_nothing(self, styled):
        generator, images = styled[0], styled[1][:12]
        inverter = from_mean(steps=5, snapshots=(0, 3))
        order = torch.randperm(12, generator=torch.Generator().manual_seed(2))
        forward = invert(generator, images, inverter=inverter, batch_size=4)
        mixed = invert(generator, images[order], inverter=inverter, batch_size=4)
        same(mixed, pick(forward, order))

    def test_never_more_under_way_than_asked_for(self, case):
        toy, latents, images = case
        sizes = []

        class Watched(Adam):
            def advance(self, state, loss, gradient, steps):
                sizes.append(len(loss))
                super().advance(state, loss, gradient, steps)

        for starts, batch_size in ((1, 5), (3, 8)):
            sizes.clear()
            given = GivenStart(latents[:, None].expand(-1, starts, -1, -1) + 0.3)
            settings = {"steps": 4, "tolerance": 0.2, "patience": 1}
            inverter = Inverter(start=given, optimizer=Watched(), **settings)
            invert(toy, images[:24], inverter=inverter, batch_size=batch_size)
            whole = batch_size // starts * starts or starts  # those of an image begin together
            assert max(sizes) == whole

    def test_no_images_are_no_error(self, case):
        toy, _, images = case
        result = invert(toy, images[:0], inverter=from_mean(steps=2, snapshots=(1,)))
        assert result.latents.shape == (0, 4, 4)
        assert result.snapshots.shape == (0, 1, 4, 4)
        assert result.failed() == []

    def test_progress_counts_images(self, case):
        toy, latents, images = case
        latents, images = latents[:24], images[:24].clone()
        images[4] = math.nan
        start = GivenStart(torch.stack([latents + 0.3, latents - 0.1], 1))
        calls = []
        invert(
            toy,
            images,
            inverter=replace(FEW, start=start, steps=6),
            batch_size=10,
            progress=lambda *call: calls.append(call),
        )
        assert {(what, unit, total) for what, unit, _, total in calls} == {("invert", "images", 24)}
        done = [count for _, _, count, _ in calls]
        assert done == sorted(set(done))
        assert (done[0], done[-1]) == (1, 24)  # the one that is not finite is done at once

    def test_progress_within_a_batch(self, case):
        """All images end at the last step, and yet the bar moves with the steps."""
        toy, _, images = case
        calls = []
        invert(
            toy,
            images[:8],
            inverter=replace(FEW, steps=4, patience=100),
            batch_size=8,
            progress=lambda *call: calls.append(call[2:]),
        )
        done = [count for count, _ in calls]
        assert (done[0], done[-1]) == (0, 8)
        assert done == sorted(set(done))
        assert len(done) > 4


def pick(result, rows):
    rows = torch.as_tensor(list(rows))
    return type(result)(**{k: None if v is None else v[rows] for k, v in vars(result).items()})


def same(one, other):
    """Equal up to the round-off of float64."""
    for name, value in vars(one).items():
        expected = getattr(other, name)
        if expected is None or not value.is_floating_point():
            assert value is expected or torch.equal(value, expected), name
        else:
            torch.testing.assert_close(
                value,
                expected,
                rtol=0,
                atol=1e-6,
                equal_nan=True,
                msg=lambda m, n=name: f"{n}: {m}",
            )
    torch.testing.assert_close(one.loss, other.loss, rtol=0, atol=1e-9, equal_nan=True)


@dataclass(frozen=True)
class Scripted(Optimizer[State]):
    """Shows each image a list of points; a step ends where the list says so."""

    points: tuple[float, ...]
    ends: tuple[int, ...] = ()  # evaluations that end no step: trials
    stuck_after: int = 10**6
    heard: list[tuple[int, float]] = field(default_factory=list)  # what evaluation, what loss

    def begin(self, start, steps):
        made = torch.full((len(start),), -1)
        return Told(point=start.clone(), made=made, stuck=made > 0, turn=made + 1)

    def advance(self, state, loss, gradient, steps):
        self.heard.extend(zip(state.turn.tolist(), loss.tolist(), strict=True))
        trial = torch.isin(state.turn, torch.tensor(self.ends))
        state.made = state.made + (~trial).long()
        state.turn = state.turn + 1
        state.stuck = state.turn > self.stuck_after
        path = torch.tensor([*self.points, 0.0], dtype=state.point.dtype)
        state.point = path[state.turn.clamp(max=len(self.points)) - 1][:, None]


@dataclass
class Told(State):
    turn: torch.Tensor


class TestLoop:
    """Against a naive loop: one number a latent, an image that is this number, a path by script."""

    START = 0.9
    TARGETS = (0.0, 0.25, -0.5, 0.9, 0.8)
    PATH = (0.7, 0.75, 0.3, 0.1, -0.4, 0.6, -0.1, 0.05, 0.26, 0.5, 0.9, 0.85, 0.0, 0.4)

    def invert(self, optimizer, targets: Sequence[float] = TARGETS, smoothing=0.0, **settings):
        images = torch.tensor(targets, dtype=torch.float64).reshape(-1, 1, 1, 1)
        start = GivenStart(torch.full((len(targets), 1, 1), self.START, dtype=torch.float64))
        inverter = Inverter(start=start, optimizer=optimizer, smoothing=smoothing, **settings)
        return invert(NUMBERS, images, inverter=inverter, batch_size=2)

    def naive(self, target, script, smoothing, steps, patience, tolerance, snapshots):
        points = [self.START, *script.points]
        best, best_loss, made = points[0], abs(points[0] - target), 0
        mark, mark_step, shots, spent = best_loss, 0, {0: best}, 1
        stage, heard = 0, [(0, math.hypot(best_loss, smoothing[0]) - smoothing[0])]
        status = Status.STEP_LIMIT if steps == 0 else None
        if steps and target == self.START:  # the slope is 0 there: no step can be made
            status = Status.START_KEPT
        while status is None:
            point = points[spent]
            trial = spent in script.ends
            delta = smoothing[stage]
            heard.append((spent, math.hypot(point - target, delta) - delta))
            spent += 1
            if abs(point - target) < best_loss:
                best, best_loss = point, abs(point - target)
            if not trial:
                made += 1
                shots[made] = best
            last = stage == len(smoothing) - 1
            if best_loss < mark * (1 - (tolerance if last else 5 * tolerance)):
                mark, mark_step = best_loss, made
            stuck = spent > script.stuck_after
            stalled = made - mark_step >= (patience if last else max(patience // 2, 1))
            if made >= steps:
                status = Status.STEP_LIMIT
            elif not last and (stuck or stalled):
                stage, mark, mark_step = stage + 1, best_loss, made
            elif stuck or (tolerance and stalled):
                status = Status.CONVERGED
        if made and best_loss == abs(self.START - target):
            status = Status.START_KEPT
        last = shots[max(shots)] if status == Status.STEP_LIMIT else best
        snapshots = [shots.get(k, last) for k in snapshots]
        return best, best_loss, status, made, spent, snapshots, heard

    SMOOTHING = ((0.0,), (0.3, 0.1), (0.3, 0.1, 0.0))
    RULES = (
        (10, 10, 0.0),
        (10, 3, 0.002),
        (10, 3, 0.6),
        (10, 1, 0.1),
        (0, 3, 0.1),
        (1, 1, 0.1),
    )  # steps, patience, tolerance

    # Each rule with each kind of script, and each of these with each smoothing in turn.
    @pytest.mark.parametrize("kind", range(4))
    @pytest.mark.parametrize("rule", range(6))
    def test_equals_the_naive_loop(self, kind, rule):
        ends, stuck_after = ((), (2, 3, 7))[kind % 2], (10**6, 6)[kind // 2]
        smoothing = self.SMOOTHING[(kind + rule) % 3]
        steps, patience, tolerance = self.RULES[rule]
        script = Scripted(self.PATH, ends, stuck_after)
        rules = {"steps": steps, "patience": patience, "tolerance": tolerance}
        rules |= {"smoothing": smoothing, "snapshots": (0, 1, 2, 5, 9)}
        result = self.invert(script, **rules)
        expected = []
        for i, target in enumerate(self.TARGETS):
            best, loss, status, made, spent, shots, heard = self.naive(target, script, **rules)
            expected += heard
            assert float(result.latents[i]) == best
            assert float(result.loss[i]) == pytest.approx(loss)
            assert float(result.start_loss[i]) == pytest.approx(abs(self.START - target))
            assert result.status[i] == status
            assert result.steps[i] == made
            assert result.evaluations[i] == spent
            assert result.snapshots[i].flatten().tolist() == shots
        # Each image has descended on the smoothing of its own stage.
        np.testing.assert_allclose(sorted(script.heard), sorted(expected), rtol=0, atol=1e-12)

    def test_stages_are_reached_one_by_one(self):
        """By an image that finds nothing better: 5 steps for each stage, then 10 of the last."""
        script = Scripted(20 * (0.9,))
        result = self.invert(script, (0.4,), smoothing=(0.4, 0.3, 0.0), steps=30)
        assert result.status == Status.START_KEPT
        assert result.steps == 20
        found = [loss for _, loss in script.heard]
        deltas = 6 * [0.4] + 5 * [0.3] + 10 * [0.0]
        assert found == pytest.approx([math.hypot(0.5, delta) - delta for delta in deltas])

    def test_what_is_no_number_on_the_way_is_not_kept(self):
        script = Scripted((0.5, math.nan, 0.1, math.inf))
        result = self.invert(script, (0.0, 0.4), steps=4, tolerance=0.0)
        assert result.latents.flatten().tolist() == [0.1, 0.5]
        assert (result.status == Status.STEP_LIMIT).all()

    def test_every_status_is_reached(self):
        found = set()
        for rules in ({"steps": 3, "tolerance": 0.0}, {"steps": 9, "patience": 1}):
            found |= set(self.invert(Scripted(self.PATH), **rules).status.tolist())
        found |= set(self.invert(Scripted(self.PATH), (math.nan,), steps=1).status.tolist())
        assert found == set(Status)


class TestLosses:
    def test_never_ends_worse_and_the_loss_is_that_of_the_latents(self, case):
        toy, _, images = case
        images = images[:16]
        # A rate so large that steps leave the start for good.
        inverter = from_mean(steps=10, optimizer=Adam(lr=50.0))
        result = invert(toy, images, inverter=inverter)
        assert (result.loss <= result.start_loss).all()
        l1 = (toy.synthesize(result.latents) - images).abs().mean((1, 2, 3))
        torch.testing.assert_close(result.loss, l1)
        mean = toy.mean_latent()
        kept = result.status == Status.START_KEPT
        assert kept.any()
        torch.testing.assert_close(result.latents[kept], mean.expand_as(result.latents[kept]))

    @pytest.mark.parametrize("smoothing", [0.0, 0.02, 0.5])
    def test_losses_are_exact_however_the_descent_is_smoothed(self, case, smoothing):
        toy, _, images = case
        images, objective = images[:16], Objective((L1(0.5), L2(2.0), ToStart(0.1)))
        masks = torch.ones_like(images)
        masks[:, :, 2:5] = 0
        inverter = from_mean(steps=12, objective=objective, smoothing=smoothing)
        result = invert(toy, images, masks, inverter=inverter)
        start = toy.mean_latent().expand_as(result.latents)
        target = objective.target(images, masks, start)
        exact = objective(target, toy.synthesize(result.latents), result.latents)
        torch.testing.assert_close(result.loss, exact, rtol=0, atol=1e-6)
        exact = objective(target, toy.synthesize(start), start)
        torch.testing.assert_close(result.start_loss, exact, rtol=0, atol=1e-6)

    def test_smooth_and_exact_equal_a_naive_sum(self):
        rng = torch.Generator().manual_seed(0)
        images, rendered = torch.rand(2, 3, 2, 4, 4, generator=rng, dtype=torch.float64)
        masks = (torch.rand(3, 1, 4, 4, generator=rng) < 0.7).double()
        latents = torch.randn(3, 2, 2, generator=rng, dtype=torch.float64)
        objective = Objective((L1(0.5), L2(2.0)))
        target = objective.target(images, masks, latents)
        for deltas in ((0.0, 0.0, 0.0), (0.1, 0.1, 0.1), (0.02, 0.0, 0.1)):
            rendered.requires_grad_(True)
            smoothing = torch.tensor(deltas, dtype=torch.float64)
            smooth, exact = objective.smooth_and_exact(target, rendered, latents, smoothing)
            assert (smooth.requires_grad, exact.requires_grad) == (True, False)
            assert torch.equal(exact, objective(target, rendered, latents))
            smooth = smooth.detach()
            for i, delta in enumerate(deltas):
                known = masks[i].bool().expand(2, -1, -1)
                e = (rendered - images)[i][known].detach().numpy()
                rounded = [math.hypot(x, delta) - delta for x in e]
                assert float(smooth[i]) == pytest.approx(
                    0.5 * np.mean(rounded) + 2 * np.mean(e**2), rel=1e-12
                )
                assert float(exact[i]) == pytest.approx(
                    0.5 * np.mean(np.abs(e)) + 2 * np.mean(e**2), rel=1e-12
                )

    def test_smoothing_of_the_objective_itself_is_part_of_the_loss(self):
        """`L1(smoothing=...)` asks for the rounded error; the loss is this one."""
        images, rendered = torch.rand(2, 3, 1, 4, 4, dtype=torch.float64)
        latents, masks = torch.zeros(3, 1, 1, dtype=torch.float64), torch.ones_like(images)
        objective = Objective((L1(smoothing=0.3),))
        target = objective.target(images, masks, latents)
        expected = objective(target, rendered, latents)
        smoothing = torch.tensor([0.0, 0.1, 0.5], dtype=torch.float64)
        smooth, exact = objective.smooth_and_exact(target, rendered, latents, smoothing)
        assert torch.equal(exact, expected)
        torch.testing.assert_close(smooth[:2], expected[:2])  # its own is larger
        more = Objective((L1(smoothing=0.5),))(target, rendered, latents)
        torch.testing.assert_close(smooth[2], more[2])

    def test_an_image_without_smoothing_has_the_slope_of_the_absolute_error(self):
        """Bit for bit, and 0 at a kink, whatever its neighbours' smoothing."""
        images, rendered = torch.rand(2, 3, 1, 4, 4)
        rendered[:, :, 1] = images[:, :, 1]
        latents, masks = torch.zeros(3, 1, 1), torch.ones_like(images)
        rendered.requires_grad_(True)
        slopes = []
        for objective, smoothing in (
            (Objective(), torch.tensor([0.0, 0.2, 0.0])),
            (Objective((L1(smoothing=0.2),)), torch.zeros(3)),
        ):
            target = objective.target(images, masks, latents)
            smooth, _ = objective.smooth_and_exact(target, rendered, latents, smoothing)
            slopes += torch.autograd.grad(smooth.sum(), rendered)
        target = Objective().target(images, masks, latents)
        (sharp,) = torch.autograd.grad(Objective()(target, rendered, latents).sum(), rendered)
        mixed, smoothed = slopes
        assert torch.equal(mixed[[0, 2]], sharp[[0, 2]])
        torch.testing.assert_close(mixed[1], smoothed[1])
        assert (mixed[:, :, 1] == 0).all()


class TestStages:
    """On images that the toy generator cannot quite draw: each smoothing has another optimum."""

    @pytest.fixture
    def noisy(self, case):
        images = case[2][:24].double()
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        return ToyGenerator().double(), images + 0.1 * noise

    @pytest.fixture
    def seen(self, monkeypatch):
        """The smoothings of each call of the objective."""
        calls, plain = [], Objective.smooth_and_exact

        def watched(self, target, rendered, latents, smoothing):
            calls.append(smoothing.tolist())
            return plain(self, target, rendered, latents, smoothing)

        monkeypatch.setattr(Objective, "smooth_and_exact", watched)
        return calls

    @pytest.mark.parametrize(
        ("optimizer", "tolerance"), [(OPTIMIZERS[0], 0.001), *((o, 0.0) for o in OPTIMIZERS[1:])]
    )
    def test_the_next_stage_goes_on_to_a_lower_loss(self, noisy, optimizer, tolerance):
        toy, images = noisy
        inverter = from_mean(steps=60, optimizer=optimizer, tolerance=tolerance)
        one, two = (
            invert(toy, images[:6], inverter=replace(inverter, smoothing=smoothing))
            for smoothing in (0.3, (0.3, 0.02))
        )
        assert (two.loss <= one.loss + 1e-12).all()
        assert two.loss.mean() < 0.98 * one.loss.mean()
        assert tolerance or (two.steps == 60).float().mean() > 0.8

    def test_images_at_different_stages_do_not_know_of_each_other(self, noisy, seen):
        toy, images = noisy
        inverter = from_mean(smoothing=(0.3, 0.05, 0.0), steps=24, snapshots=(3, 12))
        whole = invert(toy, images, inverter=inverter, batch_size=16)
        assert max(len(set(call)) for call in seen) == 3
        for i in (0, 16):
            alone = invert(toy, images[i : i + 1], inverter=inverter, batch_size=16)
            for name, value in vars(alone).items():
                if (
                    name != "reconstructions" and value is not None
                ):  # rendered in parts of other sizes
                    assert torch.equal(value, getattr(whole, name)[i : i + 1]), name

    def test_snapshots_before_and_after_a_stage_ends(self, noisy, seen):
        toy, images = noisy
        inverter = from_mean(smoothing=(0.3, 0.0), steps=50, snapshots=(0, 10, 40))
        result = invert(toy, images[:1], inverter=inverter)
        deltas = [call[0] for call in seen]
        assert len(deltas) == int(result.evaluations)
        early = deltas.count(0.3)
        assert 10 < early < 41
        assert deltas == early * [0.3] + (len(deltas) - early) * [0.0]
        for column, steps in enumerate(inverter.snapshots):
            short = invert(toy, images[:1], inverter=replace(inverter, steps=steps, snapshots=()))
            assert torch.equal(short.latents, result.snapshots[:, column])

    def test_an_objective_that_smoothing_leaves_as_it_is_has_one_stage(self, noisy):
        toy, images = noisy
        for objective in (Objective((L2(),)), Objective((L1(smoothing=0.3), ToStart(0.1)))):
            many, one = (
                invert(
                    toy, images[:8], inverter=from_mean(objective=objective, smoothing=smoothing)
                )
                for smoothing in ((0.3, 0.02, 0.0), 0.0)
            )
            for name, value in vars(many).items():
                assert value is None or torch.equal(value, getattr(one, name)), name


class TestEnds:
    def test_zero_steps_keep_the_start(self, case):
        toy, _, images = case
        result = invert(toy, images[:16], inverter=from_mean(steps=0))
        torch.testing.assert_close(result.latents, toy.mean_latent().expand_as(result.latents))
        assert torch.equal(result.loss, result.start_loss)
        assert (result.steps == 0).all()
        assert (result.evaluations == 1).all()
        assert (result.status == Status.STEP_LIMIT).all()

    def test_stops_early_per_image(self, case):
        toy, _, images = case
        images = images[:16].clone()
        images[4] = toy.synthesize(toy.mean_latent()[None])[0]  # already inverted
        inverter = from_mean(steps=120, optimizer=Adam(lr=0.05), patience=10)
        result = invert(toy, images, inverter=inverter)
        assert (int(result.steps[4]), int(result.evaluations[4])) == (0, 1)  # the slope is 0
        assert result.status[4] == Status.START_KEPT
        assert result.steps.max() > 50

    def test_a_searcher_that_can_do_no_more_is_done(self, case):
        toy, latents, images = case
        objective = Objective((L2(),))
        start = GivenStart(latents[:5])
        inverter = Inverter(start=start, objective=objective, steps=30, tolerance=0.0)
        result = invert(toy, images[:5], inverter=inverter)
        assert (result.status != Status.STEP_LIMIT).any()
        assert (result.loss < 1e-10).all()

    @pytest.mark.parametrize("optimizer", [LBFGS(), Adam(lr=0.1, final=1.0)], ids=["lbfgs", "adam"])
    def test_a_snapshot_is_a_run_that_ends_there(self, styled, optimizer):
        generator, images = styled
        images = images[:10]
        counts = (0, 4, 9, 12)
        whole = from_mean(steps=12, optimizer=optimizer, patience=2, tolerance=0.25)
        result = invert(generator, images, inverter=replace(whole, snapshots=counts))
        plain = invert(generator, images, inverter=whole)
        assert plain.snapshots is None
        assert torch.equal(plain.latents, result.latents)
        if isinstance(optimizer, LBFGS):
            assert (result.steps < 12).any()
        mean = generator.mean_latent().expand_as(images.new_zeros(10, 4, 6))
        torch.testing.assert_close(result.snapshots[:, 0], mean)
        for column, steps in enumerate(counts[:-1]):
            short = invert(generator, images, inverter=replace(whole, steps=steps))
            torch.testing.assert_close(
                result.snapshots[:, column], short.latents, rtol=0, atol=1e-9
            )
        assert torch.equal(result.snapshots[:, -1], result.latents)
        ended = result.steps < 9
        assert torch.equal(result.snapshots[ended, 2], result.latents[ended])

    def test_a_snapshot_of_several_starts_is_the_best_at_that_step(self, case):
        toy, latents, images = case
        near = GivenStart(latents[:8] + 0.05)
        far = GivenStart(latents[:8] - 1.5)
        whole = Inverter(
            start=Starts((near, far)),
            steps=20,
            optimizer=Drift(),
            tolerance=0.0,
            snapshots=(0, 2, 20),
        )
        result = invert(toy, images[:8], inverter=whole)
        # The near one is the best until the far one has come nearer.
        offsets = (result.snapshots - latents[:8, None]).mean((0, 2, 3))
        torch.testing.assert_close(offsets, torch.tensor([0.05, 0.05, 0.0]), rtol=0, atol=1e-5)
        for column, steps in enumerate(whole.snapshots):
            short = invert(toy, images[:8], inverter=replace(whole, steps=steps, snapshots=()))
            torch.testing.assert_close(
                result.snapshots[:, column], short.latents, rtol=0, atol=1e-5
            )


@dataclass(frozen=True)
class Drift(Optimizer[State]):
    """Adds 0.1 to every latent in each step."""

    def begin(self, start, steps):
        made = torch.full((len(start),), -1)
        return State(point=start.clone(), made=made, stuck=made > 0)

    def advance(self, state, loss, gradient, steps):
        state.made, state.point = state.made + 1, state.point + 0.1


class TestBadImages:
    def test_a_bad_image_fails_alone(self, styled):
        generator, images = styled
        images = images[:20]
        damaged = images.clone()
        damaged[2, 0, 1, 1] = math.nan
        masks = torch.ones_like(images[:, :1])
        masks[5], masks[7, 0, 0, 0] = 0, math.nan
        damaged[11] = math.inf
        inverter = from_mean(steps=4, snapshots=(2,))
        result = invert(generator, damaged, masks, inverter=inverter, batch_size=6)
        good = invert(generator, images, inverter=inverter, batch_size=6)
        failed = [2, 5, 7, 11]
        assert result.failed() == failed
        assert result.loss[failed].isnan().all()
        assert (result.evaluations[failed] == 0).all()
        mean = generator.mean_latent().expand(4, -1, -1)
        torch.testing.assert_close(result.latents[failed], mean)
        torch.testing.assert_close(result.snapshots[failed, 0], mean)
        rest = [i for i in range(20) if i not in failed]
        same(pick(result, rest), pick(good, rest))

    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
    def test_a_generator_that_breaks_down_far_away_harms_nobody(self, case, optimizer):
        _, _, images = case

        class Cracked(ToyGenerator):
            def synthesize(self, w, label=None):
                broken = (w.abs() > 3).any(2).any(1)
                return torch.where(broken[:, None, None, None], math.nan, super().synthesize(w))

        result = invert(Cracked(), images[:24], inverter=from_mean(steps=15, optimizer=optimizer))
        assert result.latents.isfinite().all()
        assert result.reconstructions.isfinite().all()
        assert (result.loss <= result.start_loss).all()
        assert result.failed() == []

    @pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=IDS)
    def test_a_generator_that_is_broken_everywhere_fails_every_image(self, case, optimizer):
        toy, _, images = case

        class Broken(ToyGenerator):
            def synthesize(self, w, label=None):
                return super().synthesize(w) * math.nan

        result = invert(Broken(), images[:3], inverter=replace(FEW, optimizer=optimizer))
        assert result.failed() == [0, 1, 2]
        assert (result.evaluations == 1).all()
        torch.testing.assert_close(result.latents, toy.mean_latent().expand(3, -1, -1))


def test_gradients_and_modes_are_left_as_they_were(styled):
    generator, images = styled
    weights = {k: v.clone() for k, v in generator.state_dict().items()}
    first, *rest = generator.parameters()
    first.requires_grad_(False)
    with torch.no_grad():
        invert(generator, images[:2], inverter=from_mean(steps=3))
        assert not torch.is_grad_enabled()
    assert not first.requires_grad
    assert all(p.requires_grad for p in rest)
    assert all(p.grad is None for p in generator.parameters())
    assert all(torch.equal(v, weights[k]) for k, v in generator.state_dict().items())
    first.requires_grad_(True)


@pytest.mark.as_installed
def test_wrong_input_is_refused(case):
    toy, _, images = case
    with pytest.raises(ValueError, match=r"images: expected shape \(..., 1, 8, 8\)"):
        invert(toy, images[:, :, :4], inverter=from_mean())
    with pytest.raises(ValueError, match="masks: expected shape"):
        invert(toy, images, torch.ones(64, 2, 8, 8), inverter=from_mean())
    with pytest.raises(ValueError, match="rows: expected 64, one for each image, got 2"):
        invert(toy, images, inverter=from_mean(), rows=[0, 1])
    with pytest.raises(ValueError, match="batch_size: expected an integer of at least 1"):
        invert(toy, images, inverter=from_mean(), batch_size=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps: expected an integer of at least 0"),
        ({"patience": 0}, "patience: expected an integer of at least 1"),
        ({"tolerance": 1.0}, "tolerance: .* at least 0 and below 1, got 1.0"),
        ({"tolerance": math.nan}, "tolerance: expected a finite number of at least 0 and below 1"),
        ({"smoothing": -0.1}, "smoothing: expected a finite number of at least 0"),
        ({"smoothing": math.inf}, "smoothing: expected a finite number of at least 0"),
        ({"smoothing": (0.1, math.nan)}, "smoothing: expected a finite number of at least 0"),
        ({"smoothing": (0.1, -0.1)}, "smoothing: expected a finite number of at least 0"),
        ({"smoothing": (0.1, 0.1)}, r"or several that fall, got \(0.1, 0.1\); try"),
        ({"smoothing": (0.1, 0.2)}, "or several that fall"),
        ({"smoothing": ()}, r"smoothing: expected .*, got \(\); try \(0.02, 0.005\)"),
        ({"snapshots": (3, -1)}, "snapshot steps: expected an integer of at least 0"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        from_mean(**settings)


def test_the_settings_are_described():
    different = [
        from_mean(),
        from_mean(steps=3),
        from_mean(patience=3),
        from_mean(tolerance=0.1),
        from_mean(smoothing=0),
        from_mean(smoothing=0.02),
        from_mean(smoothing=(0.02, 0.0)),
        from_mean(snapshots=(1,)),
        from_mean(objective=Objective((L2(),))),
        from_mean(optimizer=Adam()),
        from_mean(optimizer=LBFGS(history=3)),
        Inverter(start=GivenStart(torch.zeros(1, 4, 4))),
    ]
    texts = [json.dumps(describe(inverter), allow_nan=False) for inverter in different]
    assert len(set(texts)) == len(texts)
    alike = [from_mean(smoothing=smoothing) for smoothing in (0, 0.0, (0.0,), (0,))]
    assert len({json.dumps(describe(inverter)) for inverter in alike}) == 1
    assert describe(alike[0])["smoothing"] == [0]
    assert json.loads(texts[7]) == describe(different[7])


def test_networks_are_listed():
    kit = load_generator("fashion32")
    inverter = Inverter(start=EncoderStart(kit.encoder))
    assert inverter.modules() == [kit.encoder]
    assert inverter.encoder is kit.encoder
    assert from_mean().encoder is None


class TestLabels:
    """A function of z and a class: what is rendered depends on the class that it is told."""

    @staticmethod
    def generator() -> CallableGenerator:
        def decode(z, c):
            shift = (c * torch.arange(3).to(c)).sum(1, keepdim=True)
            return (0.5 * z + shift - 1).tanh().reshape(-1, 1, 2, 3)

        return CallableGenerator(decode, z_dim=6, num_classes=3)

    def test_images_are_inverted_with_their_class(self):
        generator, label = self.generator(), torch.tensor([0, 1, 2, 1, 0])
        z = generator.sample(Rng(0).streams(range(5)))
        images = generator.synthesize(generator.map(z, label), label)
        inverter = from_mean(steps=40, smoothing=0.0, tolerance=0.0)
        found = invert(generator, images, inverter=inverter, label=label, batch_size=2)
        assert float((found.reconstructions - images).abs().max()) < 0.01
        assert torch.equal(found.label, label)
        torch.testing.assert_close(found.latents[:, 0], z, rtol=0, atol=0.1)
        alone = invert(generator, images[2:3], inverter=inverter, label=label[2:3])
        torch.testing.assert_close(alone.latents, found.latents[2:3], rtol=0, atol=1e-3)

    def test_the_class_is_asked_for(self):
        images = torch.zeros(2, 1, 2, 3)
        for wrong in (None, torch.tensor([0, 3]), torch.tensor([0])):
            with pytest.raises(ValueError, match="label: expected 2 class indices"):
                invert(self.generator(), images, inverter=from_mean(steps=1), label=wrong)

    def test_a_store_keeps_them(self, tmp_path):
        generator, label = self.generator(), torch.tensor([0, 1, 2, 1])
        z = generator.sample(Rng(1).streams(range(4)))
        images = generator.synthesize(generator.map(z, label), label)
        source = MemorySource(ImageSet(images=images, ids=("a", "b", "c", "d")))
        inverter = from_mean(steps=5)
        store = invert_source(
            source, generator, inverter, tmp_path, label=label, shard_size=3, batch_size=2
        )
        whole = invert(generator, images, inverter=inverter, label=label)
        again = store.inversion(generator)
        torch.testing.assert_close(again.reconstructions, whole.reconstructions)
        assert torch.equal(again.label, label)
        with pytest.raises(ValueError, match="label"):
            invert_source(source, generator, inverter, tmp_path, label=label.flip(0), shard_size=3)
