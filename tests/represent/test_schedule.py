"""Learning-rate tables against the formulas of the authors' util.py, written out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from genviews.represent.config import RepresentationTraining, published_training
from genviews.represent.schedule import EpochCosine, StepCosine


def authors_table(epochs, per_epoch, *, lr=0.03, batch=256):
    """The rate of every step as util.py sets it: per epoch, then overwritten by the warm-up."""
    floor = lr * 0.1**3
    warm_to = floor + (lr - floor) * (1 + math.cos(math.pi * 10 / epochs)) / 2
    table = []
    for epoch in range(1, epochs + 1):
        for index in range(per_epoch):
            rate = floor + (lr - floor) * (1 + math.cos(math.pi * epoch / epochs)) / 2
            if batch > 256 and epoch <= 10:
                share = (index + (epoch - 1) * per_epoch) / (10 * per_epoch)
                rate = 0.01 + share * (warm_to - 0.01)
            table.append(rate)
    return table


class TestEpochCosine:
    @pytest.mark.parametrize(("epochs", "batch"), [(20, 256), (200, 256), (20, 512), (200, 1024)])
    def test_table(self, epochs, batch):
        schedule = EpochCosine(epochs=epochs, steps_per_epoch=3, batch=batch)
        found = [schedule.rate(step) for step in range(schedule.total_steps)]
        assert found == pytest.approx(authors_table(epochs, 3, batch=batch), rel=1e-12)
        assert len(found) == 3 * epochs

    def test_first_epoch_is_one_step_down_and_the_last_at_the_floor(self):
        """Numbers by a pocket calculator: cos(pi/20) = 0.987688340595."""
        schedule = EpochCosine(epochs=20, steps_per_epoch=2)
        first = 0.00003 + 0.02997 * 1.987688340595 / 2
        assert [schedule.rate(0), schedule.rate(1)] == pytest.approx([first, first], rel=1e-10)
        assert schedule.rate(39) == pytest.approx(0.03 * 1e-3, rel=1e-12)

    def test_warm_up_only_above_256(self):
        assert EpochCosine(epochs=20, steps_per_epoch=2, batch=257).rate(0) == 0.01
        assert EpochCosine(epochs=20, steps_per_epoch=2, batch=256).rate(0) > 0.029

    def test_warm_up_longer_than_the_training(self):
        with pytest.raises(ValueError, match=r"warmup_epochs: expected .* at most 5"):
            EpochCosine(epochs=5, steps_per_epoch=2, batch=512)

    @pytest.mark.parametrize("step", [-1, 40])
    def test_step_out_of_range(self, step):
        with pytest.raises(ValueError, match=r"step: expected .* at most 39"):
            EpochCosine(epochs=20, steps_per_epoch=2).rate(step)

    @pytest.mark.parametrize("change", [{"peak": 0.0}, {"decay": math.inf}, {"epochs": 0}])
    def test_fields(self, change):
        with pytest.raises(ValueError, match=next(iter(change))):
            EpochCosine(**{"epochs": 20, "steps_per_epoch": 2, **change})


class TestStepCosine:
    def test_equals_torch(self):
        """torch's own cosine, from the step after the warm-up on."""
        schedule = StepCosine(steps=30, peak=0.2, warmup_steps=5, floor=0.01)
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=25, eta_min=0.01)
        for step in range(5, 30):
            assert schedule.rate(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-6)
            optimizer.step()
            theirs.step()
        warm = [schedule.rate(step) for step in range(5)]
        assert warm == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])

    @pytest.mark.parametrize("change", [{"warmup_steps": 10}, {"floor": 1.0}, {"peak": -1.0}])
    def test_fields(self, change):
        with pytest.raises(ValueError, match=next(iter(change))):
            StepCosine(**{"steps": 10, "peak": 0.1, **change})


class TestPublished:
    @pytest.mark.parametrize(
        ("setting", "steps", "epochs"),
        [("imagenet1000", 5079, 20), ("imagenet100", 508, 200), ("cars", 3489, 20)],
    )
    def test_steps(self, setting, steps, epochs):
        """5,079 updates an epoch are in the authors' log."""
        config = published_training(setting)
        assert config.schedule.total_steps == steps * epochs
        assert (config.optimizer, config.momentum, config.weight_decay) == ("sgd", 0.9, 1e-4)
        assert config.schedule.peak == 0.03

    def test_unknown(self):
        with pytest.raises(ValueError, match="did you mean 'cars'"):
            published_training("car")


class TestOptimizer:
    def module(self):
        return torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))

    def test_sgd_decays_everything_as_the_authors_do(self):
        config = published_training("cars")
        found, net = config.make_optimizer(self.module()), self.module()
        assert isinstance(found, torch.optim.SGD)
        (group,) = found.param_groups
        assert len(group["params"]) == len(list(net.parameters())) == 4
        assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)

    def test_adamw_can_spare_biases_and_norms(self):
        config = RepresentationTraining(
            schedule=StepCosine(steps=4), optimizer="adamw", weight_decay=0.05, decay_all=False
        )
        found = config.make_optimizer(self.module())
        assert isinstance(found, torch.optim.AdamW)
        decays = [(g["weight_decay"], [p.ndim for p in g["params"]]) for g in found.param_groups]
        assert decays == [(0.05, [2]), (0.0, [1, 1, 1])]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"log_every": 4, "monitor_every": 6}, "a multiple of log_every, 4"),
            ({"momentum": 1.0}, "momentum or beta: .* of at least 0 and below 1"),
            ({"weight_decay": -1.0}, "weight_decay: .* of at least 0"),
            ({"checkpoint_every": 0}, "checkpoint_every"),
        ],
    )
    def test_fields(self, change, message):
        with pytest.raises(ValueError, match=message):
            RepresentationTraining(schedule=StepCosine(steps=4), **change)
