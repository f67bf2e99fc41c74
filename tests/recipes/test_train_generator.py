"""The training loop: exact resume, refusals, files, signals."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from genviews.generators.stylegan2 import StyleGAN2
from genviews.rng import Rng, Streams
from recipes.fashion32.export_generator import export
from recipes.fashion32.generator_trainer import Data, GeneratorTraining, Trainer
from recipes.fashion32.train_generator import (
    main,
    recipe,
    sample_sheet,
    save_checkpoint,
    synthetic_data,
    train,
)
from recipes.recipe import run

TINY = recipe(quick=True)
TINY = replace(
    TINY,
    generator=replace(TINY.generator, z_dim=4, w_dim=4, channels={4: 4, 8: 4}),
    batch=8,
    r1_interval=3,
    images=80,
)
DATA = synthetic_data(total=20)  # smaller than the run: epochs begin in the middle of a batch


def state_of(trainer: Trainer) -> dict[str, object]:
    return trainer.state_dict()


def assert_same(a: object, b: object, where: str = "state") -> None:
    """Bit for bit."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where


def steps(config: GeneratorTraining, count: int, data: Data = DATA) -> Trainer:
    trainer = Trainer(config, data)
    for _ in range(count):
        trainer.step()
    return trainer


def second_batch(trainer: Trainer) -> tuple[torch.Tensor, torch.Tensor | None, Streams]:
    """Real images and labels of the second step, and the streams of its made images."""
    rows = trainer.data.rows(8, 8, trainer.rng.child("order"))
    labels = trainer.data.labels
    streams = trainer.rng.child("made").streams(range(8, 16))
    return trainer.data.images[rows], None if labels is None else labels[rows], streams


def make(generator: StyleGAN2, streams: Streams, label: torch.Tensor | None) -> torch.Tensor:
    return generator.synthesis(generator.map(generator.sample(streams), label), "random", streams)


def naive_losses(loss: str, fake: torch.Tensor, real: torch.Tensor) -> list[torch.Tensor]:
    """The generator's and the discriminator's."""
    softplus = torch.nn.functional.softplus
    if loss == "relativistic":
        return [softplus(-(fake - real)).mean(), softplus(fake - real).mean()]
    return [softplus(-fake).mean(), softplus(fake).mean() + softplus(-real).mean()]


def assert_gradients(adam: torch.optim.Adam, expected: Sequence[torch.Tensor | None]) -> None:
    """What the last step of an Adam without momentum has seen."""
    for parameter, wanted in zip(adam.param_groups[0]["params"], expected, strict=True):
        if wanted is None:
            continue
        seen = adam.state[parameter]["exp_avg"]
        assert torch.allclose(seen, wanted, rtol=1e-4, atol=1e-6)
    # A last bias is in both logits of a pair and falls out, as may the one before.
    assert sum(wanted is not None and not wanted.any() for wanted in expected) <= 2


class TestResume:
    @pytest.mark.parametrize("variant", ["shared", "separate", "classes", "relativistic"])
    def test_resumed_run_equals_uninterrupted_run_bit_for_bit(self, variant, tmp_path):
        config, data = TINY, DATA
        if variant == "separate":
            config = replace(config, shared_fakes=False)
        if variant == "relativistic":
            config = replace(config, loss="relativistic")
        if variant == "classes":
            config = replace(config, generator=replace(config.generator, c_dim=10))
            data = synthetic_data(total=20, classes=True)
        whole = steps(config, 7, data)
        save_checkpoint(steps(config, 4, data), tmp_path)
        torch.rand(5)  # the global state of torch plays no part
        resumed = Trainer(config, data)
        resumed.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
        assert resumed.images_shown == 32
        for _ in range(3):
            resumed.step()
        assert_same(state_of(resumed), state_of(whole))
        assert resumed.metrics() == whole.metrics()

    def test_stopped_and_resumed_folder_equals_one_run(self, tmp_path):
        config = replace(TINY, checkpoint_every=16, metrics_every=16, samples_every=40)
        assert train(config, DATA, tmp_path / "whole")
        assert train(replace(config, images=48), DATA, tmp_path / "parts")
        # What a killed run leaves: records after the checkpoint, and half a line.
        with (tmp_path / "parts/metrics.jsonl").open("a") as file:
            file.write('{"images": 64}\n{"images": 7')
        assert train(config, DATA, tmp_path / "parts")
        whole, parts = (
            torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)
            for name in ("whole", "parts")
        )
        assert_same(whole, parts)
        for name in ("generator.safetensors", "samples/000000040.png", "samples/000000080.png"):
            assert (tmp_path / "whole" / name).read_bytes() == (
                tmp_path / "parts" / name
            ).read_bytes()
        lines = {
            name: [
                json.loads(x) for x in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
            ]
            for name in ("whole", "parts")
        }
        for record in [*lines["whole"], *lines["parts"]]:
            assert record.pop("images_per_second") > 0
        assert [record["images"] for record in lines["whole"]] == [16, 32, 48, 64, 80]
        assert lines["whole"] == lines["parts"]

    def test_finished_run_does_nothing_more(self, tmp_path, monkeypatch):
        train(replace(TINY, images=16), DATA, tmp_path)
        monkeypatch.setattr(Trainer, "step", lambda self: pytest.fail("stepped"))
        assert train(replace(TINY, images=16), DATA, tmp_path)

    def test_changed_config_is_refused_by_name(self, tmp_path):
        config = replace(TINY, images=8)
        train(config, DATA, tmp_path)
        before = (tmp_path / "checkpoint.pt").read_bytes()
        changed = replace(
            config, lr=0.01, generator=replace(config.generator, mapping_layers=3), images=16
        )
        message = r"generator\.mapping_layers: 2 in .*, 3 asked; lr: 0\.0025 in .*; undo"
        with pytest.raises(ValueError, match=message):
            train(changed, DATA, tmp_path)
        assert (tmp_path / "checkpoint.pt").read_bytes() == before
        assert json.loads((tmp_path / "config.json").read_text())["lr"] == 0.0025

    def test_other_data_is_refused(self, tmp_path):
        config = replace(TINY, images=8)
        train(config, DATA, tmp_path)
        with pytest.raises(ValueError, match=r"config of the checkpoint: .* got data: "):
            train(config, synthetic_data(total=20, seed=1), tmp_path)

    def test_no_resume_starts_again(self, tmp_path):
        config = replace(TINY, images=8)
        train(config, DATA, tmp_path)
        train(replace(config, lr=0.01), DATA, tmp_path, resume=False)
        state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
        assert json.loads(state["config"])["lr"] == 0.01
        assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


class TestStep:
    @pytest.mark.parametrize("classes", [False, True])
    @pytest.mark.parametrize("shared", [True, False])
    @pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
    def test_gradients_are_those_of_each_loss_by_itself(self, loss, shared, classes):
        config = replace(TINY, loss=loss, shared_fakes=shared, mixing=0.0)
        config = replace(config, generator=replace(config.generator, c_dim=10 * classes))
        data = synthetic_data(total=20, classes=classes)
        trainer = steps(config, 1, data)
        generator, critic = copy.deepcopy((trainer.generator, trainer.discriminator))
        trainer.step()
        real, label, streams = second_batch(trainer)
        made_label = label
        if classes and loss == "non-saturating":  # drawn for each made image by itself
            at = streams.child("class").uniform(1, (1,)).flatten().double() * 20
            made_label = data.labels[at.long()]
        made = make(generator, streams, made_label)
        expected_g = torch.autograd.grad(
            naive_losses(loss, critic(made, made_label), critic(real, label))[0],
            list(generator.parameters()),
        )
        if not shared:  # new images, by the generator that has made its step
            other = streams.child("for the discriminator")
            if made_label is not label:
                at = other.child("class").uniform(1, (1,)).flatten().double() * 20
                made_label = data.labels[at.long()]
            made = make(trainer.generator, other, made_label)
        expected_d = torch.autograd.grad(
            naive_losses(loss, critic(made.detach(), made_label), critic(real, label))[1],
            list(critic.parameters()),
        )
        assert_gradients(trainer.adam_g, expected_g)
        assert_gradients(trainer.adam_d, expected_d)

    @pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
    def test_penalty_is_r1_and_for_pairs_r2_as_strong_as_the_interval_is_long(self, loss):
        # At a rate of zero the penalty sees the networks of the losses.
        config = replace(TINY, loss=loss, lr=0.0, mixing=0.0, r1_gamma=0.3, r1_interval=1)
        trainer = steps(config, 1)
        trainer.metrics()
        critic = copy.deepcopy(trainer.discriminator)
        trainer.step()
        real, _, streams = second_batch(trainer)
        with torch.no_grad():
            made = make(trainer.generator, streams, None)
        squares = []
        for images in (real, made):
            images.requires_grad_()
            (slope,) = torch.autograd.grad(critic(images).sum(), images, create_graph=True)
            squares.append((slope**2).sum() / 8)
        wanted = squares if loss == "relativistic" else squares[:1]
        weights = list(critic.parameters())
        expected = torch.autograd.grad(0.15 * sum(wanted), weights, allow_unused=True)
        assert [bias is None for bias in expected].count(True) == 1  # the last is in no slope
        assert_gradients(trainer.adam_d, expected)
        metrics = trainer.metrics()
        assert metrics["r1"] == pytest.approx(float(squares[0].detach()), rel=1e-4)
        if loss == "relativistic":
            assert metrics["r2"] == pytest.approx(float(squares[1].detach()), rel=1e-4)
        else:
            assert metrics["r2"] is None

    def test_mean_w_follows_the_first_latents(self):
        trainer = Trainer(TINY, DATA)
        streams = trainer.rng.child("made").streams(range(8))
        with torch.no_grad():
            w = trainer.generator.mapping(trainer.generator.sample(streams)).mean(0)
        trainer.step()
        assert torch.allclose(trainer.generator.mapping.w_avg, 0.005 * w, atol=1e-7)
        assert torch.equal(trainer.average.mapping.w_avg, trainer.generator.mapping.w_avg)

    def test_average_lags_behind(self):
        config = replace(TINY, average_half_life=8, average_ramp=None)
        trainer = Trainer(config, DATA)
        before = trainer.generator.synthesis.b4.const.detach().clone()
        trainer.step()
        now = trainer.generator.synthesis.b4.const.detach()
        assert not torch.equal(before, now)
        assert torch.allclose(trainer.average.synthesis.b4.const, (before + now) / 2, atol=1e-6)

    def test_penalty_comes_at_its_interval(self, monkeypatch):
        trainer, at = Trainer(TINY, DATA), []
        monkeypatch.setattr(trainer, "_step_penalty", lambda *rest: at.append(trainer.steps))
        for _ in range(7):
            trainer.step()
        assert at == [0, 3, 6]

    @pytest.mark.parametrize("shared", [True, False])
    def test_each_made_image_has_its_own_stream(self, shared, monkeypatch):
        trainer, seen = Trainer(replace(TINY, shared_fakes=shared), DATA), []
        plain = trainer._make
        monkeypatch.setattr(
            trainer, "_make", lambda streams, label: seen.append(streams) or plain(streams, label)
        )
        trainer.step()
        trainer.step()
        made = [(streams.rng.purpose, i) for streams in seen for i in streams.ids]
        assert len(set(made)) == len(made) == (16 if shared else 32)
        assert {i for _, i in made} == set(range(16))

    def test_torch_global_state_is_left_alone(self):
        state = torch.get_rng_state()
        steps(TINY, 1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_seed_decides_everything(self):
        a = steps(TINY, 2)
        torch.rand(5)  # another global state
        b, c = steps(TINY, 2), steps(replace(TINY, seed=1), 2)
        assert_same(state_of(a), state_of(b))
        assert not torch.equal(a.generator.synthesis.b4.const, c.generator.synthesis.b4.const)

    def test_it_learns(self):
        # All images are one grey: the generator must move towards it.
        data = Data(torch.full((8, 1, 8, 8), 0.7))
        trainer = Trainer(replace(TINY, lr=0.02, average_half_life=16), data)
        far = abs(np.asarray(sample_sheet(trainer), dtype=float).mean() - 0.85 * 255)
        for _ in range(40):
            trainer.step()
        near = abs(np.asarray(sample_sheet(trainer), dtype=float).mean() - 0.85 * 255)
        assert near < far / 2


class TestData:
    def test_each_epoch_is_a_permutation_whatever_the_batch(self):
        rng = Rng(3)
        in_sevens = torch.cat([DATA.rows(i, 7, rng) for i in range(0, 56, 7)])
        at_once = DATA.rows(0, 56, rng)
        assert torch.equal(in_sevens, at_once)
        for epoch in (at_once[:20], at_once[20:40]):
            assert sorted(epoch.tolist()) == list(range(20))
        assert not torch.equal(at_once[:20], at_once[20:40])

    def test_made_classes_follow_the_data(self):
        config = replace(TINY, batch=400, generator=replace(TINY.generator, c_dim=3))
        labels = torch.tensor([0, 2, 2, 2])
        trainer = Trainer(config, Data(DATA.images[:4], labels))
        _, made = trainer._make(trainer.rng.streams(range(400)), None)
        share = torch.bincount(made, minlength=3) / 400
        assert share.tolist() == pytest.approx([0.25, 0.0, 0.75], abs=0.06)

    def test_wrong_data_is_refused(self):
        conditional = replace(TINY, generator=replace(TINY.generator, c_dim=3))
        with pytest.raises(ValueError, match="training labels: expected labels below 3, got none"):
            Trainer(conditional, DATA)
        labelled = synthetic_data(total=20, classes=True)
        with pytest.raises(ValueError, match="training labels: expected no labels, got labels"):
            Trainer(TINY, labelled)
        with pytest.raises(ValueError, match="expected labels below 3, got 0 to 9"):
            Trainer(conditional, labelled)
        with pytest.raises(
            ValueError, match=r"training images: expected shape \(\.\.\., 1, 8, 8\)"
        ):
            Trainer(TINY, synthetic_data(size=16))

    def test_wrong_settings_are_refused(self):
        with pytest.raises(ValueError, match="batch: expected an integer of at least 1, got 0"):
            replace(TINY, batch=0)
        with pytest.raises(ValueError, match=r"mixing: expected a number in \[0, 1\], got 1\.5"):
            replace(TINY, mixing=1.5)
        with pytest.raises(ValueError, match="loss: expected one of non-saturating, relativistic"):
            replace(TINY, loss="relative")
        for gamma in (-0.1, float("nan")):
            with pytest.raises(ValueError, match="r1_gamma: expected a finite number of at least"):
                replace(TINY, r1_gamma=gamma)


class TestFiles:
    def test_sheet_shows_the_averaged_generator_in_rows(self, tmp_path):
        trainer = Trainer(TINY, DATA)
        sheet = np.asarray(sample_sheet(trainer))
        assert sheet.shape == (64, 80)
        z = trainer.average.sample(Rng(0, "sample sheet").streams([13]))
        image = trainer.average.synthesize(trainer.average.map(z))[0, 0].clamp(-1, 1)
        tile = sheet[8:16, 24:32].astype(float) / 127.5 - 1  # row 1, column 3
        assert np.allclose(tile, image, atol=1 / 127)

    def test_columns_of_a_conditional_sheet_are_classes(self, monkeypatch):
        config = replace(TINY, generator=replace(TINY.generator, c_dim=10))
        trainer, seen = Trainer(config, synthetic_data(total=20, classes=True)), []
        plain = trainer.average.map
        monkeypatch.setattr(
            trainer.average, "map", lambda z, label: seen.append(label) or plain(z, label)
        )
        sample_sheet(trainer)
        assert seen[0].view(8, 10).tolist() == [list(range(10))] * 8

    def test_exported_weights_load_under_official_names(self, tmp_path):
        train(replace(TINY, images=16), DATA, tmp_path)
        weights = load_file(tmp_path / "generator.safetensors")
        card = json.loads((tmp_path / "generator.json").read_text())
        generator = StyleGAN2(TINY.generator).load_weights(weights)
        state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["average"]
        assert_same(dict(generator.state_dict()), dict(state))
        assert {"mapping.fc0.weight", "mapping.w_avg", "synthesis.b8.conv0.affine.bias"} <= set(
            weights
        )
        assert (card["resolution"], card["num_ws"], card["image_range"]) == (8, 4, [-1.0, 1.0])
        assert card["channels"] == {"4": 4, "8": 4}
        assert card["training"]["images_shown"] == 16
        assert export(tmp_path / "generator.safetensors", tmp_path / "entry") == []
        assert card["parameters"] == sum(p.numel() for p in generator.parameters())

    def test_failed_write_keeps_the_earlier_checkpoint(self, tmp_path, monkeypatch):
        trainer = steps(TINY, 1)
        save_checkpoint(trainer, tmp_path)
        before = (tmp_path / "checkpoint.pt").read_bytes()
        trainer.step()

        def full_disk(source, target):
            raise OSError("disk full")

        monkeypatch.setattr(os, "replace", full_disk)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(trainer, tmp_path)
        assert (tmp_path / "checkpoint.pt").read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]

    def test_broken_weights_are_not_saved(self, tmp_path):
        trainer = steps(TINY, 1)
        with torch.no_grad():
            trainer.discriminator.fc.weight[0, 0] = float("nan")
        with pytest.raises(ValueError, match=r"weights at 8 images: .* discriminator\.fc\.weight"):
            save_checkpoint(trainer, tmp_path)
        assert list(tmp_path.iterdir()) == []
        trainer.step()
        with pytest.raises(ValueError, match="losses at 16 images: expected finite numbers"):
            trainer.metrics()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_leaves_a_checkpoint_that_goes_on(number, tmp_path, monkeypatch):
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    plain = Trainer.step

    def interrupted(self):
        if self.steps == 2:
            os.kill(os.getpid(), number)
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", interrupted)
        assert not train(TINY, DATA, tmp_path)
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert_same(state, state_of(steps(TINY, 3)))
    assert not (tmp_path / "generator.safetensors").exists()


def test_quick_command(tmp_path):
    assert main(out=tmp_path, quick=True, classes=True, images=64).startswith("done: ")
    assert {path.name for path in tmp_path.iterdir()} == {
        "checkpoint.pt",
        "config.json",
        "env.json",
        "generator.json",
        "generator.safetensors",
        "metrics.jsonl",
        "samples",
    }
    with Image.open(tmp_path / "samples/000000064.png") as sheet:
        assert sheet.size == (80, 64)
    assert json.loads((tmp_path / "config.json").read_text())["generator"]["c_dim"] == 10


def test_loss_and_penalty_are_flags(tmp_path):
    words = ["--quick", "--images", "16", "--loss", "relativistic", "--gamma", "0.1"]
    run(main, ["--out", str(tmp_path), *words, "--interval", "8"])
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["loss"], config["r1_gamma"], config["r1_interval"]) == ("relativistic", 0.1, 8)
    (record,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(record)["r2"] >= 0


def test_published_settings():
    config = recipe()
    assert (config.images, config.batch, config.lr, config.betas) == (
        2_000_000,
        32,
        0.0025,
        (0.0, 0.99),
    )
    assert config.loss == "non-saturating"
    assert (config.r1_gamma, config.r1_interval, config.mixing) == (0.02, 16, 0.9)
    assert (config.average_half_life, config.average_ramp, config.w_avg_beta) == (
        10_000,
        0.05,
        0.995,
    )
    assert config.generator.c_dim == 0
    assert recipe(classes=True).generator.c_dim == 10
