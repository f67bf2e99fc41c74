"""The training loop against a loop written out with torch alone, and its resume, bit for bit."""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genviews.augment.geometry import HorizontalFlip
from genviews.perturb.noise import Gaussian
from genviews.represent.batches import PartBatches, local_batch
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses import ClassPrediction, LatentPrediction, NTXent, SupCon, VICReg
from genviews.represent.monitor import alignment, rankme, uniformity
from genviews.represent.plan import SamplePlan
from genviews.represent.schedule import StepCosine
from genviews.represent.stream import StreamedBatches
from genviews.represent.train import train_representation
from genviews.represent.views import LatentViews
from tests.processes import start
from tests.represent.training import (
    BATCH,
    Blobs,
    PartBlobs,
    config,
    dying_training,
    held_out,
    plain_encoder,
)


def compact(**fields):
    return RepresentationEncoder(RepresentationConfig(channels=1, projection=16, **fields))


def linear_encoder(projection):
    """What predicts numbers, from the small network of the other tests."""
    config = RepresentationConfig(
        backbone="custom",
        channels=1,
        features=64,
        projection=projection,
        normalize=False,
        head="linear",
    )
    return RepresentationEncoder(config, plain_encoder().backbone)


def same(a, b):
    return all(torch.equal(value, b[name]) for name, value in a.items()) and a.keys() == b.keys()


class Killed(Exception):
    """What stands for a kill."""


class StopsAt(Blobs):
    """Batches until a step at which the program dies."""

    def __init__(self, stop):
        super().__init__()
        self.stop = stop

    def batch(self, step):
        if step == self.stop:
            raise Killed
        return super().batch(step)


class TestLoop:
    def test_equals_a_loop_of_torch(self):
        """SGD with momentum and decay on SimCLR, written with torch's own parts."""
        start, data = plain_encoder(), Blobs()
        trained = train_representation(start, data, NTXent(), config())
        encoder = plain_encoder()
        optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0, momentum=0.9, weight_decay=1e-4)
        losses = []
        for step in range(12):
            ramp = 0.5 * (step + 1) if step < 2 else 0.5 * (1 + math.cos(math.pi * (step - 2) / 10))
            optimizer.param_groups[0]["lr"] = 0.05 * ramp
            views = data.batch(step)["views"]
            rows = torch.cat([views[:, 0], views[:, 1]])
            u = F.normalize(encoder.head(encoder.backbone(rows)), dim=1)
            logits = (u @ u.T / 0.1).fill_diagonal_(-math.inf)
            other = torch.arange(2 * BATCH).roll(BATCH)
            loss = 0.1 / 0.07 * F.cross_entropy(logits, other)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert [record.loss for record in trained.history] == pytest.approx(losses, rel=1e-4)
        torch.testing.assert_close(
            dict(trained.encoder.state_dict()),
            dict(encoder.state_dict()),
            rtol=1e-3,
            atol=1e-5,
        )
        assert losses[-1] < 0.95 * losses[0]

    def test_records(self):
        seen, schedule = [], StepCosine(steps=12, peak=1e-3)
        settings = config(schedule=schedule, log_every=5)
        start = compact(normalize=False)
        trained = train_representation(start, Blobs(), VICReg(), settings, report=seen.append)
        assert tuple(seen) == trained.history
        assert [record.step for record in seen] == [5, 10, 12]
        for record in seen:
            assert record.loss == pytest.approx(sum(record.terms.values()))
            assert set(record.terms) == {"invariance", "variance", "covariance"}
            assert record.learning_rate == schedule.rate(record.step - 1)
            assert record.samples_per_second > 0
            assert 0 < record.data_share < 1
            assert record.monitors == {}

    def test_records_are_means_over_their_steps(self):
        each = train_representation(plain_encoder(), Blobs(), NTXent(), config()).history
        some = train_representation(plain_encoder(), Blobs(), NTXent(), config(log_every=5)).history
        losses = [record.loss for record in each]
        wanted = [sum(losses[:5]) / 5, sum(losses[5:10]) / 5, sum(losses[10:]) / 2]
        assert [record.loss for record in some] == pytest.approx(wanted)

    def test_data_share_and_speed(self):
        """Batches that take 50 ms each: nearly all the time of this training."""

        class Slow(Blobs):
            def batch(self, step):
                time.sleep(0.05)
                return super().batch(step)

        (record,) = train_representation(
            plain_encoder(), Slow(), NTXent(), config(log_every=100)
        ).history
        assert record.data_share > 0.5
        assert record.samples_per_second < BATCH / 0.05

    def test_the_encoder_given_is_left_as_it_is(self):
        start = compact().train()
        before = {k: v.clone() for k, v in start.state_dict().items()}
        trained = train_representation(start, Blobs(), NTXent(), config())
        assert same(before, start.state_dict())
        assert start.training
        assert not trained.encoder.training
        assert not same(before, trained.encoder.state_dict())

    def test_monitors(self):
        """They are of the batch and the weights before the step; kNN of the weights after it."""
        knn, data = held_out(), Blobs()
        one = config(schedule=StepCosine(steps=1, peak=0.05), monitor_every=1)
        start = plain_encoder()
        trained = train_representation(start, data, NTXent(), one, knn=knn)
        h = start(data.batch(0)["views"]).detach()
        u = start.project(h).detach()
        assert trained.history[0].monitors == pytest.approx(
            {
                "alignment": alignment(u),
                "uniformity": uniformity(u[:, 0]),
                "rankme": rankme(h.flatten(0, 1)),
                "knn": knn(trained.encoder),
            },
            rel=1e-4,
        )

    def test_monitors_do_not_change_the_training(self):
        plain = train_representation(compact(), Blobs(), NTXent(), config())
        watched = train_representation(
            compact(), Blobs(), NTXent(), config(monitor_every=3), knn=held_out()
        )
        assert same(plain.encoder.state_dict(), watched.encoder.state_dict())
        due = [record.step for record in watched.history if record.monitors]
        assert due == [3, 6, 9, 12]

    def test_it_learns(self):
        """To the least loss that three classes of 8, 6 and 6 views allow, all apart by cos -1/2."""
        trained = train_representation(
            compact(),
            Blobs(),
            SupCon(),
            config(
                schedule=StepCosine(steps=40, peak=5e-3),
                optimizer="adamw",
                log_every=10,
                monitor_every=10,
            ),
            knn=held_out(),
        )
        least = sum(n * math.log((n - 1) + (20 - n) * math.exp(-15)) for n in (8, 6, 6)) / 20 / 0.7
        first, *_, last = trained.history
        assert first.loss > 1.1 * least
        assert last.loss == pytest.approx(least, rel=0.01)
        assert last.monitors["alignment"] < 0.1
        assert last.monitors["knn"] == 1.0
        assert last.monitors["rankme"] > 2

    @pytest.mark.parametrize(
        ("objective", "projection"),
        [
            (LatentPrediction(z_dim=4, num_classes=3), 7),
            (ClassPrediction(num_classes=3), 3),
        ],
    )
    def test_objectives_that_predict(self, objective, projection):
        class WithLatents(Blobs):
            def batch(self, step):
                batch = super().batch(step)
                return {**batch, "z": batch["views"].flatten(2)[..., :4], "ids": None}

        start = linear_encoder(projection)
        schedule = StepCosine(steps=40, peak=5e-3)
        trained = train_representation(
            start, WithLatents(), objective, config(schedule=schedule, optimizer="adamw")
        )
        assert trained.history[-1].loss < 0.6 * trained.history[0].loss

    def test_bfloat16_is_close_and_not_the_same(self):
        full = train_representation(plain_encoder(), Blobs(), NTXent(), config()).history
        half = train_representation(plain_encoder(), Blobs(), NTXent(), config(bfloat16=True))
        assert [r.loss for r in half.history] == pytest.approx([r.loss for r in full], rel=0.03)
        assert half.history[-1].loss != full[-1].loss
        assert {v.dtype for v in half.encoder.state_dict().values()} == {torch.float32}

    def test_global_random_numbers_are_left_alone(self):
        torch.manual_seed(11)
        before = torch.get_rng_state()
        start = plain_encoder()
        torch.set_rng_state(before)
        start.backbone.append(nn.Dropout(0.5))
        one = train_representation(start, Blobs(), NTXent(), config())
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3)
        again = train_representation(start, Blobs(), NTXent(), config())
        other = train_representation(start, Blobs(), NTXent(), config(seed=1))
        assert same(one.encoder.state_dict(), again.encoder.state_dict())
        assert not same(one.encoder.state_dict(), other.encoder.state_dict())


class TestGeneratedViews:
    """From a generator to an encoder, with the real stream of views."""

    def stream(self, toy, perturbation=Gaussian("all", 0.2)):  # noqa: B008 (frozen)
        views = LatentViews(toy, perturbation)
        plan = SamplePlan(batch_size=8, num_unique=16)
        return StreamedBatches(views, plan, HorizontalFlip(), prefetch=1)

    def test_resume_is_that_of_the_whole(self, toy, tmp_path):
        stream, stopped = self.stream(toy), self.stream(toy)
        whole = train_representation(compact(), stream, NTXent(), config())
        settings = config(checkpoint_every=5)

        def stop(record):
            if record.step == 7:
                raise Killed

        path = tmp_path / "run.pt"
        with pytest.raises(Killed):
            train_representation(
                compact(), stopped, NTXent(), settings, checkpoint=path, report=stop
            )
        resumed = train_representation(compact(), stopped, NTXent(), settings, checkpoint=path)
        stream.close(), stopped.close()
        assert same(whole.encoder.state_dict(), resumed.encoder.state_dict())

    def test_the_inverter_gets_the_latent_of_each_view(self, toy):
        objective = LatentPrediction(z_dim=toy.z_dim)
        start = linear_encoder(8)
        settings = config(optimizer="adamw", schedule=StepCosine(steps=40, peak=5e-3))
        stream = self.stream(toy, perturbation=None)
        trained = train_representation(start, stream, objective, settings)
        stream.close()
        assert trained.history[-1].loss < 0.8 * trained.history[0].loss
        stream = self.stream(toy)
        with pytest.raises(ValueError, match="views perturbed after the mapping have none"):
            train_representation(start, stream, objective, settings)
        stream.close()


class TestErrors:
    @pytest.mark.parametrize(
        ("encoder", "objective", "message"),
        [
            (compact(normalize=False), NTXent(), "encoder for NTXent: expected normalize=True"),
            (compact(), VICReg(), "encoder for VICReg: expected normalize=False"),
        ],
        ids=["ntxent", "vicreg"],
    )
    def test_encoder_and_objective(self, encoder, objective, message):
        with pytest.raises(ValueError, match=message):
            train_representation(encoder, Blobs(), objective, config())

    def test_several_processes_without_accelerator(self, monkeypatch):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(ValueError, match="expected to be the only one, got WORLD_SIZE=2"):
            train_representation(plain_encoder(), Blobs(), NTXent(), config())

    @pytest.mark.parametrize(
        ("change", "error", "message"),
        [
            ({"views": None}, ValueError, "views of step 0: expected shape"),
            ({"views": torch.zeros(4, 1, 8, 8)}, ValueError, "views of step 0: expected shape"),
            ({"views": torch.zeros(0, 2, 1, 8, 8)}, ValueError, "with a sample for every process"),
            ({"views": torch.zeros(10, 2, 1, 8, 8).byte()}, TypeError, "convert uint8"),
            (
                {"labels": torch.arange(9)},
                ValueError,
                "labels of step 0: expected 10",
            ),
            ({"labels": None}, ValueError, "labels for SupCon"),
        ],
    )
    def test_batches(self, change, error, message):
        class Wrong(Blobs):
            def batch(self, step):
                return {**super().batch(step), **change}

        with pytest.raises(error, match=message):
            train_representation(plain_encoder(), Wrong(), SupCon(), config())

    def test_a_loss_that_is_not_finite_is_never_stored(self, tmp_path):
        class Broken(Blobs):
            def batch(self, step):
                batch = super().batch(step)
                return {**batch, "views": batch["views"] * (math.nan if step == 5 else 1)}

        path = tmp_path / "run.pt"
        with pytest.raises(ValueError, match="training loss up to step 6: expected finite"):
            train_representation(
                plain_encoder(normalize=False),
                Broken(),
                VICReg(),
                config(log_every=12, checkpoint_every=3),
                checkpoint=path,
            )
        assert torch.load(path, weights_only=True)["step"] == 3

    def test_parts(self):
        """What two processes get is the whole batch, from either kind of batches."""
        for kind in (Blobs, PartBlobs):
            whole = kind().batch(3)
            parts = [local_batch(kind(), 3, torch.device("cpu"), i, 2) for i in (0, 1)]
            for name, value in whole.items():
                assert torch.equal(torch.cat([part[name] for part in parts]), value)
        assert isinstance(PartBlobs(), PartBatches)
        assert not isinstance(Blobs(), PartBatches)


class TestResume:
    @pytest.mark.parametrize(("optimizer", "stop"), [("sgd", 1), ("sgd", 7), ("adamw", 11)])
    def test_bit_for_bit(self, optimizer, stop, tmp_path):
        settings = config(optimizer=optimizer, checkpoint_every=3, log_every=4)
        start = compact()
        start.backbone.norm.register_forward_hook(lambda m, i, o: F.dropout(o, 0.2, m.training))
        whole = train_representation(start, Blobs(), NTXent(), settings)
        path = tmp_path / "run.pt"
        with pytest.raises(Killed):
            train_representation(start, StopsAt(stop), NTXent(), settings, checkpoint=path)
        data = Blobs()
        resumed = train_representation(start, data, NTXent(), settings, checkpoint=path)
        assert data.asked[0] == stop // 3 * 3
        assert same(whole.encoder.state_dict(), resumed.encoder.state_dict())
        assert [(r.step, r.loss, r.terms) for r in whole.history] == [
            (r.step, r.loss, r.terms) for r in resumed.history
        ]

    def test_a_finished_training_is_a_no_op(self, tmp_path):
        path = tmp_path / "run.pt"
        first = train_representation(compact(), Blobs(), NTXent(), config(), checkpoint=path)
        written, data, seen = path.read_bytes(), Blobs(), []
        again = train_representation(
            compact(), data, NTXent(), config(), checkpoint=path, report=seen.append
        )
        assert data.asked == seen == []
        assert path.read_bytes() == written
        assert same(first.encoder.state_dict(), again.encoder.state_dict())
        assert first.history == again.history

    def test_a_killed_process(self, tmp_path):
        """Dies at once in the middle of step 7, as by a signal; leaves one whole checkpoint."""
        path = tmp_path / "run.pt"
        printed = tmp_path / "printed.txt"
        process = start(dying_training, path, printed=printed)
        process.join()
        assert (process.exitcode, printed.read_text()) == (9, "")
        assert {p.name for p in tmp_path.iterdir()} == {"run.pt", "printed.txt"}
        assert torch.load(path, weights_only=True)["step"] == 6
        settings = config(checkpoint_every=2)
        resumed = train_representation(
            plain_encoder(), Blobs(), NTXent(), settings, checkpoint=path
        )
        whole = train_representation(plain_encoder(), Blobs(), NTXent(), settings)
        assert same(whole.encoder.state_dict(), resumed.encoder.state_dict())

    def stored(self, path):
        settings = config(checkpoint_every=3)
        with pytest.raises(Killed):
            train_representation(plain_encoder(), StopsAt(4), NTXent(), settings, checkpoint=path)
        return settings

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"weight_decay": 0.5}, r"config\.weight_decay: 0\.0001 in the store, 0\.5 asked"),
            (
                {"schedule": StepCosine(steps=13, peak=0.05)},
                r"config\.schedule\.steps: .* in the store, 13 asked",
            ),
            ({"data": "other pictures"}, r'config\.data: "" in the store, "other pictures" asked'),
        ],
    )
    def test_of_other_settings_is_refused(self, change, message, tmp_path):
        settings = replace(self.stored(tmp_path / "run.pt"), **change)
        with pytest.raises(ValueError, match=message):
            train_representation(
                plain_encoder(), Blobs(), NTXent(), settings, checkpoint=tmp_path / "run.pt"
            )

    def test_of_another_objective_or_encoder_is_refused(self, tmp_path):
        path = tmp_path / "run.pt"
        settings = self.stored(path)
        with pytest.raises(
            ValueError, match=r"objective\.temperature: .* in the store, 0\.5 asked"
        ):
            train_representation(
                plain_encoder(), Blobs(), NTXent(temperature=0.5), settings, checkpoint=path
            )
        with pytest.raises(ValueError, match=r"encoder\.config\.backbone"):
            train_representation(compact(), Blobs(), NTXent(), settings, checkpoint=path)
        other = plain_encoder()
        nn.init.zeros_(other.head[2].bias)
        with pytest.raises(ValueError, match=r"encoder\.weights: .* in the store"):
            train_representation(other, Blobs(), NTXent(), settings, checkpoint=path)

    def test_of_batches_that_say_otherwise_is_refused(self, tmp_path):
        class Described(StopsAt):
            def __describe__(self):
                return {"stop": self.stop}

        path = tmp_path / "run.pt"
        with pytest.raises(Killed):
            train_representation(
                plain_encoder(),
                Described(4),
                NTXent(),
                config(checkpoint_every=3),
                checkpoint=path,
            )
        with pytest.raises(ValueError, match=r"batches\.stop: 4 in the store, 99 asked"):
            train_representation(
                plain_encoder(),
                Described(99),
                NTXent(),
                config(checkpoint_every=3),
                checkpoint=path,
            )

    def test_what_is_only_looked_at_may_change(self, tmp_path):
        settings = self.stored(tmp_path / "run.pt")
        looked = replace(settings, log_every=2, monitor_every=2, checkpoint_every=1)
        resumed = train_representation(
            plain_encoder(), Blobs(), NTXent(), looked, checkpoint=tmp_path / "run.pt"
        )
        whole = train_representation(plain_encoder(), Blobs(), NTXent(), settings)
        assert same(whole.encoder.state_dict(), resumed.encoder.state_dict())

    @pytest.mark.parametrize(
        "content", [b"no checkpoint", pickle.dumps({"training": 1}, protocol=2)]
    )
    def test_of_no_training_is_refused(self, content, tmp_path):
        path = tmp_path / "run.pt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"checkpoint run\.pt: expected a file that this"):
            train_representation(plain_encoder(), Blobs(), NTXent(), config(), checkpoint=path)
