"""Training against a loop written out by hand, and what its settings promise."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genviews.augment.base import Identity
from genviews.augment.geometry import HorizontalFlip, RandomCrop
from genviews.classify.config import TrainConfig, training_preset
from genviews.classify.model import Classifier, predict_logits
from genviews.classify.network import SmallResNet
from genviews.classify.train import train_classifier
from genviews.classify.views import LatentViewSource
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Isotropic
from genviews.rng import Rng
from genviews.types import ImageSpec

PLAIN = TrainConfig(epochs=3, batch_size=4, warmup=0.0, label_smoothing=0.0)


def data(count: int = 12) -> tuple[Tensor, Tensor]:
    gen = torch.Generator().manual_seed(count)
    images = torch.rand(count, 1, 4, 4, generator=gen) * 2 - 1
    return images, (images[:, 0, :, :2].mean((1, 2)) > images[:, 0, :, 2:].mean((1, 2))).long()


def network(seed: int = 0, dropout: float = 0.0, out: int = 2) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        layers = nn.Linear(16, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, out)
        return nn.Sequential(nn.Flatten(), *layers)


def weights(module: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


class Marked:
    """Views that are constant images, so that the network sees which ones it was shown."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked: list[tuple[list[int], int]] = []

    def __describe__(self) -> dict[str, object]:
        return {"count": self.count}

    def __len__(self) -> int:
        return self.count

    def batch(self, rows: Sequence[int], epoch: int) -> Tensor:
        self.asked.append((list(rows), epoch))
        return torch.stack([torch.full((1, 4, 4), 2 + row / 64) for row in rows])


class Watching(nn.Module):
    """Keeps every batch that it is shown in training."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 2)
        self.seen: list[Tensor] = []

    def __deepcopy__(self, memo: object) -> Watching:
        return self  # let the test see the copy that is trained

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen.append(x.detach().clone())
        return self.fc(x.flatten(1) / 30)


def by_hand(config: TrainConfig, module: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    """AdamW or SGD with the rate written out; no augmentation, no views."""
    module = copy.deepcopy(module)
    decayed = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    optimizers: list[torch.optim.Optimizer] = []
    for params, decay in ((decayed, config.weight_decay), (others, 0.0)):
        if config.optimizer == "sgd":
            optimizers.append(torch.optim.SGD(params, 1.0, momentum=0.9, weight_decay=decay))
        elif config.optimizer == "adam":
            optimizers.append(torch.optim.Adam(params, 1.0, weight_decay=decay))
        else:
            optimizers.append(torch.optim.AdamW(params, 1.0, weight_decay=decay))
    steps = math.ceil(len(images) / config.batch_size)
    total, step = steps * config.epochs, 0
    for epoch in range(config.epochs):
        purpose = f"order/{epoch}"
        order = Rng(config.seed, "train classifier").child(purpose).numpy().permutation(len(images))
        for rows in np.array_split(order, steps):
            rate = config.learning_rate
            if config.schedule == "cosine":
                rate *= (1 + math.cos(math.pi * step / total)) / 2
            if step + 1 < config.warmup * total:
                rate *= (step + 1) / (config.warmup * total)
            logits = module(images[rows])
            target = F.one_hot(labels[rows], 2) * (1 - config.label_smoothing)
            target = target + config.label_smoothing / 2
            loss = -(target * logits.log_softmax(1)).sum(1).mean()
            for optimizer in optimizers:
                optimizer.param_groups[0]["lr"] = rate
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            step += 1
    return module


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        replace(PLAIN, optimizer="sgd", weight_decay=0.1, learning_rate=0.05),
        replace(PLAIN, optimizer="adam", schedule="constant", seed=5),
        replace(PLAIN, epochs=5, warmup=0.4, label_smoothing=0.2, batch_size=5),
    ],
    ids=["adamw", "sgd", "adam", "warmup"],
)
def test_it_is_the_loop_written_out(config: TrainConfig) -> None:
    images, labels = data()
    trained = train_classifier(network(), images, labels, config)
    want = by_hand(config, network(), images, labels)
    torch.testing.assert_close(weights(trained.module), weights(want))
    assert len(trained.history) == config.epochs
    assert trained.epoch == config.epochs - 1
    assert not trained.module.training


def test_the_given_module_is_left_alone_and_global_random_numbers_too() -> None:
    images, labels = data()
    module = network(dropout=0.5)
    before, state = weights(module).clone(), torch.get_rng_state()
    train_classifier(module, images, labels, PLAIN)
    assert torch.equal(weights(module), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training


def test_a_seed_decides_the_run_dropout_included() -> None:
    images, labels = data()
    config = replace(PLAIN, augment=RandomCrop(1), seed=3)

    def run(seed: int) -> Tensor:
        module = network(dropout=0.5)
        torch.rand(seed + 1)  # what the rest of the program draws does not matter
        made = train_classifier(module, images, labels, replace(config, seed=seed))
        return weights(made.module)

    assert torch.equal(run(3), run(3))
    assert not torch.equal(run(3), run(4))


def test_every_epoch_shows_every_image_once_in_a_new_order() -> None:
    images, labels = data(10)
    module = Watching()
    train_classifier(module, images, labels, PLAIN)
    sizes = [len(batch) for batch in module.seen]
    assert sizes == [4, 3, 3] * 3  # equal batches, none of a single image
    epochs = torch.cat(module.seen).view(3, 10, -1)
    assert not torch.equal(epochs[0], epochs[1])
    for epoch in epochs:
        assert torch.equal(epoch.unique(dim=0), images.flatten(1).unique(dim=0))


def test_augmentation_is_per_image_and_fresh_each_epoch() -> None:
    images, labels = data(20)
    images[:] = images[0]
    module = Watching()
    train_classifier(module, images, labels, replace(PLAIN, augment=HorizontalFlip(), epochs=2))
    flipped = torch.cat([(b == images[0].flip(-1)).flatten(1).all(1) for b in module.seen])
    plain = torch.cat([(b == images[0]).flatten(1).all(1) for b in module.seen])
    assert bool((flipped ^ plain).all())
    assert 8 <= int(flipped.sum()) <= 32


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_views_take_the_place_of_a_share_of_the_images(fraction: float) -> None:
    images, labels = data(200)
    module, views = Watching(), Marked(200)
    config = replace(PLAIN, epochs=4, batch_size=50, view_fraction=fraction)
    trained = train_classifier(module, images, labels, config, views=views)
    shown = torch.cat(module.seen)[:, 0, 0, 0]
    is_view = shown >= 2
    share = is_view.float().mean().item()
    assert share == pytest.approx(fraction, abs=4 * math.sqrt(fraction * (1 - fraction) / 800))
    assert np.mean([r.view_share for r in trained.history]) == pytest.approx(share)
    # Only what is shown is rendered, once, and it is asked for by its own row and epoch.
    asked = sorted(2 + row / 64 for rows, _ in views.asked for row in rows)
    assert asked == sorted(shown[is_view].tolist())
    if fraction == 1.0:
        assert sorted(shown[:200].tolist()) == [2 + i / 64 for i in range(200)]
        assert {epoch for _, epoch in views.asked} == {0, 1, 2, 3}


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_the_epoch_is_chosen_on_the_given_images_whatever_it_was_trained_on(fraction) -> None:
    class Judged(Watching):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                judged.append(x.detach().clone())
            return super().forward(x)

    judged: list[Tensor] = []
    images, labels = data(40)
    config = replace(PLAIN, view_fraction=fraction, augment=HorizontalFlip(), select="best")
    validation = data(7)
    train_classifier(Judged(), images, labels, config, views=Marked(40), validation=validation)
    assert torch.equal(torch.cat(judged[-config.epochs :]), validation[0].repeat(3, 1, 1, 1))


def test_labels_follow_their_images_through_the_mixture() -> None:
    images, labels = data(40)
    seen: list[tuple[Tensor, Tensor]] = []
    real = F.cross_entropy

    def spy(logits: Tensor, targets: Tensor, **more: float) -> Tensor:
        seen.append((module.seen[-1], targets))
        return real(logits, targets, **more)

    module = Watching()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "cross_entropy", spy)
        train_classifier(module, images, labels, PLAIN, views=Marked(40))
    for batch, targets in seen:
        for image, target in zip(batch, targets, strict=True):
            value = image[0, 0, 0].item()
            row = (
                round((value - 2) * 64)
                if value >= 2
                else int((images == image).flatten(1).all(1).nonzero())
            )
            assert target == labels[row]


def test_a_batch_coin_shows_whole_batches_of_views() -> None:
    images, labels = data(120)
    module = Watching()
    config = replace(PLAIN, epochs=10, batch_size=10, coin="batch")
    train_classifier(module, images, labels, config, views=Marked(120))
    shares = [(b[:, 0, 0, 0] >= 2).float().mean().item() for b in module.seen]
    assert set(shares) == {0.0, 1.0}
    assert np.mean(shares) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(120))


def test_the_coins_are_fresh_each_epoch_and_do_not_depend_on_the_batch() -> None:
    images, labels = data(60)

    def chosen(batch_size: int) -> list[set[float]]:
        module = Watching()
        config = replace(PLAIN, epochs=2, batch_size=batch_size)
        train_classifier(module, images, labels, config, views=Marked(60))
        firsts = torch.cat(module.seen)[:, 0, 0, 0].view(2, 60)
        return [set(epoch[epoch >= 2].tolist()) for epoch in firsts]

    small, large = chosen(5), chosen(60)
    assert small == large
    assert small[0] != small[1]


def test_views_have_their_own_augmentation() -> None:
    images, labels = data(40)
    images = images.clamp(-0.9, 0.9)
    config = replace(PLAIN, augment=RandomCrop(1), augment_views=Identity())
    module = Watching()
    train_classifier(module, images, labels, config, views=Marked(40))
    batch = torch.cat(module.seen)
    views = batch[batch.flatten(1).max(1).values >= 2]
    assert bool((views.flatten(1).min(1).values >= 2).all())
    module = Watching()
    train_classifier(module, images, labels, replace(config, augment_views=None), views=Marked(40))
    batch = torch.cat(module.seen)
    views = batch[batch.flatten(1).max(1).values >= 2]
    assert bool((views == -1).any())


def scripted(monkeypatch: pytest.MonkeyPatch, accuracies: list[float]) -> list[Tensor]:
    """Make validation give these accuracies; keep the weights that each was asked for."""
    kept: list[Tensor] = []

    def predict(module: nn.Module, images: Tensor) -> Tensor:
        share = accuracies[min(len(kept), len(accuracies) - 1)]
        kept.append(weights(module).clone())
        right = torch.arange(len(images)) < round(share * len(images))
        return F.one_hot(1 - right.long(), 2).float()

    monkeypatch.setattr("genviews.classify.train.predict_logits", predict)
    return kept


VALIDATION = torch.zeros(10, 1, 4, 4), torch.zeros(10, dtype=torch.long)


@pytest.mark.parametrize(("select", "want"), [("last", 4), ("best", 1)])
def test_selection_takes_the_last_or_the_earliest_best(monkeypatch, select: str, want: int) -> None:
    kept = scripted(monkeypatch, [0.2, 0.8, 0.5, 0.8, 0.3])
    images, labels = data()
    config = replace(PLAIN, epochs=5, select=select)
    trained = train_classifier(network(), images, labels, config, validation=VALIDATION)
    assert trained.epoch == want
    assert torch.equal(weights(trained.module), kept[want])
    got = [r.validation_accuracy for r in trained.history]
    assert got == pytest.approx([0.2, 0.8, 0.5, 0.8, 0.3])


@pytest.mark.parametrize(
    ("patience", "min_epochs", "epochs"), [(2, 0, 4), (3, 0, 5), (2, 8, 8), (None, 0, 20)]
)
def test_training_stops_after_patience(monkeypatch, patience, min_epochs: int, epochs: int) -> None:
    scripted(monkeypatch, [0.2, 0.8, 0.8, 0.7, 0.6])
    images, labels = data()
    config = replace(PLAIN, epochs=20, patience=patience, min_epochs=min_epochs)
    trained = train_classifier(network(), images, labels, config, validation=VALIDATION)
    assert len(trained.history) == epochs


def test_a_plateau_lowers_the_rate_to_its_floor_and_then_stops(monkeypatch) -> None:
    scripted(monkeypatch, [0.5])
    images, labels = data()
    config = replace(PLAIN, epochs=99, schedule="plateau", learning_rate=1e-4, patience=20)
    trained = train_classifier(network(), images, labels, config, validation=VALIDATION)
    # As torch's ReduceLROnPlateau with patience 10: epoch 0 gains, the 11th without lowers it.
    rates = [r.learning_rate for r in trained.history]
    want = [1e-4] * 12 + [1e-5] * 11
    assert rates == pytest.approx(want + [1e-6] * (len(rates) - len(want)))
    assert len(rates) == 23


def test_the_head_has_its_own_rate() -> None:
    images, labels = data()
    config = replace(PLAIN, epochs=1, batch_size=12, learning_rate=1e-9, weight_decay=0.0)
    config = replace(config, head="4", head_learning_rate=1e-2, schedule="constant")
    trained = train_classifier(network(), images, labels, config)
    moved = {
        name: (after - before).abs().max().item()
        for (name, after), before in zip(
            trained.module.named_parameters(), network().parameters(), strict=True
        )
    }
    assert moved["1.weight"] < 1e-7
    assert moved["4.weight"] == pytest.approx(1e-2, rel=0.01)  # the first step of Adam is the rate
    assert trained.history[0].learning_rate == 1e-9
    with pytest.raises(ValueError, match="head: expected one of the module's parts 1, 4, got 'fc'"):
        train_classifier(network(), images, labels, replace(config, head="fc"))


class Killed(Exception):
    pass


@pytest.mark.parametrize("kill_after", [1, 3])
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path, kill_after: int) -> None:
    images, labels = data(30)
    config = replace(PLAIN, epochs=5, augment=HorizontalFlip(), select="best")
    validation = data(17)

    def run(checkpoint=None, progress=None):
        return train_classifier(
            network(dropout=0.3),
            images,
            labels,
            config,
            views=Marked(30),
            validation=validation,
            checkpoint=checkpoint,
            progress=progress,
        )

    def kill(stage: str, unit: str, done: int, total: int) -> None:
        assert total == 5
        if done == kill_after:
            raise Killed

    path = tmp_path / "run" / "state.pt"
    with pytest.raises(Killed):
        run(path, kill)
    seen: list[int] = []
    resumed = run(path, lambda *told: seen.append(told[2]))
    whole = run()
    assert seen == list(range(kill_after, 6))
    assert resumed.history == whole.history
    assert resumed.epoch == whole.epoch
    assert torch.equal(weights(resumed.module), weights(whole.module))
    again = run(path, lambda *told: seen.append(told[2]))
    assert seen[-1:] == [5]  # a finished run is not run again
    assert len(seen) == 7 - kill_after
    assert torch.equal(weights(again.module), weights(whole.module))
    assert [p.name for p in path.parent.iterdir()] == ["state.pt"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    images, labels = data()
    path = tmp_path / "state.pt"
    train_classifier(network(), images, labels, PLAIN, checkpoint=path)
    with pytest.raises(ValueError, match=r"checkpoint state\.pt: .*config\.seed: 0"):
        train_classifier(network(), images, labels, replace(PLAIN, seed=1), checkpoint=path)
    for other in ((-images, labels), (images, 1 - labels)):
        with pytest.raises(ValueError, match=r"(images|labels)\.tensor: .* in the store"):
            train_classifier(network(), *other, PLAIN, checkpoint=path)
    for seen in ({"views": Marked(len(images))}, {"validation": data(9)}):
        with pytest.raises(ValueError, match=r"checkpoint state\.pt: .* in the store"):
            train_classifier(network(), images, labels, PLAIN, checkpoint=path, **seen)
    fine_tuned = network()  # the same architecture, other weights to start from
    torch.nn.init.zeros_(next(fine_tuned.parameters()))
    with pytest.raises(ValueError, match=r"module\.weights"):
        train_classifier(fine_tuned, images, labels, PLAIN, checkpoint=path)


def test_a_single_logit_trains_through_the_wrapper() -> None:
    images, labels = data(64)
    spec = ImageSpec(channels=1, height=4, width=4)
    classifier = Classifier(network(out=1), spec, ("right", "left"))
    config = replace(PLAIN, epochs=30, batch_size=16, learning_rate=0.02)
    trained = train_classifier(classifier, images, labels, config)
    held_out, truth = data(101)
    accuracy = (predict_logits(trained.module, held_out).argmax(-1) == truth).float().mean()
    assert accuracy > 0.85


def test_training_on_views_learns_the_classes_of_the_generator() -> None:
    generator = ToyGenerator()
    latents = generator.map(generator.sample(Rng(0).streams(range(96))))
    labels = (latents[:, 1, 0] > 0).long()  # a class of the middle row: fine changes keep it
    images = generator.synthesize(latents)
    views = LatentViewSource(generator, latents, Isotropic("fine", 0.3), seed=1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    config = TrainConfig(epochs=30, batch_size=32, learning_rate=0.1, view_fraction=1.0)
    trained = train_classifier(module, images, labels, config, views=views)
    accuracy = (predict_logits(trained.module, images).argmax(-1) == labels).float().mean()
    assert accuracy > 0.9


def test_frozen_parameters_stay() -> None:
    images, labels = data()
    module = network()
    module[1].weight.requires_grad_(False)
    trained = train_classifier(module, images, labels, PLAIN)
    assert torch.equal(trained.module[1].weight, module[1].weight)
    assert not torch.equal(trained.module[4].weight, module[4].weight)


PRESETS = {
    "attribute": ("adam", 1e-3, 32, 5),
    "attribute-views": ("adam", 1e-3, 8, 5),
    "attribute-combined": ("adam", 1e-3, 8, 5),
    "car": ("adam", 1e-4, 32, 20),
    "car-rotate": ("adam", 1e-4, 32, 20),
    "car-views": ("adam", 1e-6, 8, 50),
    "cat": ("adam", 1e-4, 32, 20),
    "cat-views": ("adam", 1e-6, 8, 50),
    "cifar10": ("sgd", 0.1, 128, None),
    "cifar10-views": ("sgd", 1e-3, 128, None),
    "fashion32": ("adamw", 4e-3, 64, None),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_published_numbers_and_trains(name: str) -> None:
    config = training_preset(name)
    found = (config.optimizer, config.learning_rate, config.batch_size, config.patience)
    assert found == PRESETS[name]
    assert config.select == ("last" if name == "fashion32" else "best")
    assert config.coin == ("batch" if "view" in name or "combined" in name else "sample")
    size = {"car": 512, "cat": 256, "cif": 32, "fas": 32}.get(name[:3], 16)
    channels = 1 if name == "fashion32" else 3
    images = torch.rand(4, channels, size, size, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(4) % 2

    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(channels, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.mean((2, 3)))

    class Renders:
        def __len__(self) -> int:
            return 4

        def batch(self, rows: Sequence[int], epoch: int) -> Tensor:
            return images[list(rows)]

    trained = train_classifier(
        Small(),
        images,
        labels,
        replace(config, epochs=1),
        views=Renders() if config.coin == "batch" else None,
        validation=(images, labels),
    )
    assert math.isfinite(trained.history[0].loss)


def test_the_small_network_trains() -> None:
    gen = torch.Generator().manual_seed(0)
    labels = torch.arange(48) % 3
    images = (
        torch.rand(48, 1, 16, 16, generator=gen) * 0.5 + labels[:, None, None, None] * 0.2 - 0.6
    )
    config = TrainConfig(epochs=6, batch_size=16)
    trained = train_classifier(SmallResNet(1, 3, width=8), images, labels, config)
    assert trained.history[-1].loss < trained.history[0].loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs: expected an integer of at least 1"),
        ({"batch_size": 1}, "batch_size: expected an integer of at least 2"),
        ({"view_fraction": 1.5}, r"view_fraction: expected a number in \[0, 1\]"),
        ({"label_smoothing": -0.1}, "label_smoothing: expected a number"),
        ({"warmup": 2.0}, "warmup: expected a number"),
        ({"patience": 0}, "patience: expected an integer of at least 1"),
        ({"learning_rate": 0.0}, "learning_rate: expected a finite number above 0"),
        ({"weight_decay": -1.0}, "weight_decay: expected a finite number of at least 0"),
        ({"optimizer": "adamm"}, "did you mean 'adam"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"coin": "bach"}, "did you mean 'batch'"),
        ({"select": "beast"}, "did you mean 'best'"),
    ],
)
@pytest.mark.as_installed
def test_wrong_settings_are_explained(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


@pytest.mark.parametrize(
    "change", [{"select": "best"}, {"patience": 3}, {"schedule": "plateau"}], ids=str
)
def test_settings_that_need_a_validation_set_say_so(change: dict[str, object]) -> None:
    images, labels = data()
    with pytest.raises(ValueError, match="validation: expected images and labels for select="):
        train_classifier(network(), images, labels, replace(PLAIN, **change))


@pytest.mark.as_installed
def test_wrong_data_are_explained() -> None:
    images, labels = data()
    with pytest.raises(ValueError, match="training labels: expected 12, one for each image"):
        train_classifier(network(), images, labels[:5], PLAIN)
    with pytest.raises(ValueError, match="training views: expected 12, one for each image"):
        train_classifier(network(), images, labels, PLAIN, views=Marked(3))
    with pytest.raises(ValueError, match="validation labels: expected 12, one for each image"):
        train_classifier(network(), images, labels, PLAIN, validation=(images, labels[:5]))
    with pytest.raises(ValueError, match="training images: expected an integer of at least 2"):
        train_classifier(network(), images[:1], labels[:1], PLAIN)
    images[3] = math.nan
    with pytest.raises(ValueError, match="training loss of epoch 0: expected a finite number"):
        train_classifier(network(), images, labels, PLAIN)


@pytest.mark.parametrize("module", [nn.Flatten(), network().requires_grad_(False)])
def test_a_module_without_weights_to_train(module: nn.Module) -> None:
    images, labels = data()
    with pytest.raises(ValueError, match="classifier: expected weights to train, got none"):
        train_classifier(module, images, labels, PLAIN)


def test_an_unknown_preset_lists_the_closest() -> None:
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        training_preset("cifar-10")
