"""Train a classifier on labelled images, on views of them, or on a mixture of both.

    C* = argmin_C  CE(C(x'), y),    x' = a view G(w~) with probability p, else the image x

A new module is trained from scratch, a trained one is fine-tuned: the loop is the same. What is
random depends on (seed, epoch, image) alone, so a run repeats, and a killed one goes on as it was.

Source: Chai et al. 2021, arXiv:2104.14551, section 3.4, equation 8.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.augment.base import PixelViews
from genviews.checks import check_count, check_each, check_number, check_type, fail
from genviews.classify.config import TrainConfig
from genviews.classify.model import call_module, predict_logits
from genviews.classify.views import ViewSource
from genviews.identity import Identity, identify
from genviews.identity.checkpoint import read_checkpoint, write_checkpoint
from genviews.modes import gradients, own_dropout, place_of
from genviews.rng import Rng
from genviews.types import Progress, check_classes, check_floats, check_shape, check_tensor, silent

__all__ = ["EpochRecord", "Trained", "train_classifier"]

_PLATEAU_EPOCHS, _PLATEAU_FACTOR, _PLATEAU_FLOOR = 10, 0.1, 1e-6


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch did.

    Args:
        epoch: counted from 0.
        loss: mean training loss.
        learning_rate: of its last step.
        view_share: share of its images that were views.
        validation_accuracy: after it, in [0, 1]; None without a validation set.
    """

    epoch: int
    loss: float
    learning_rate: float
    view_share: float
    validation_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained module and how it came about.

    Args:
        module: in eval mode, on the device where training ran.
        history: one record an epoch.
        epoch: the epoch whose weights `module` has.
    """

    module: nn.Module
    history: tuple[EpochRecord, ...]
    epoch: int


@gradients()
def train_classifier(
    module: nn.Module,
    images: Float[Tensor, "N C H W"],
    labels: Int[Tensor, " N"],
    config: TrainConfig,
    *,
    views: ViewSource | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Return a trained copy of a module; the module itself is left as it is.

    Args:
        module: gives logits (n, Y) for images (n, C, H, W) in [-1, 1]; a `Classifier` does, also
            for a single logit and for mean/std. Training runs on its device.
        images: the labelled training images, in [-1, 1].
        labels: their classes.
        config: see `TrainConfig`, and `training_preset` for the published ones.
        views: views of the same images in the same order; None trains on images alone.
        validation: (images, labels) that choose the epoch, the stop and the plateau, never the
            weights. Give reconstructions here to select on them, as the authors' code does.
        checkpoint: a file written after every epoch; when it exists training goes on from it, if it
            is of the same first weights, images, labels, views and settings.
        progress: called with ("train classifier", "epochs", done, all), after each epoch.

    Returns:
        The module of the last epoch, or of the best one on validation, and the history.

    Raises:
        ValueError: other numbers of labels or views than of images, a setting that needs a missing
            validation set, a checkpoint of another run, or a loss that is not finite.

    Differs: the authors' code decides between image and views for a whole batch, `coin="batch"`.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
        >>> x = torch.linspace(-1, 1, 40).view(10, 1, 2, 2)
        >>> y = (x.mean((1, 2, 3)) > 0).long()
        >>> trained = train_classifier(net, x, y, TrainConfig(epochs=30, learning_rate=0.1))
        >>> (predict_logits(trained.module, x).argmax(1) == y).all()
        tensor(True)
    """
    check_type(module, nn.Module, "classifier", "a torch module", "give it as an nn.Module")
    _check(images, labels, config, views, validation)
    run = _Run(copy.deepcopy(module), images, labels, config, views, validation)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None:
        known = run.identity  # while the module has its first weights
        if path.exists():
            run.restore(path, known)
    tell = partial(progress or silent, "train classifier", "epochs")
    tell(len(run.history), config.epochs)
    while not run.finished:
        run.epoch()
        if path is not None:
            run.store(path)
        tell(len(run.history), config.epochs)
    return run.result()


@dataclass(eq=False)
class _Run:
    """One training in progress; what it did so far says how it goes on."""

    module: nn.Module
    images: Tensor
    labels: Tensor
    config: TrainConfig
    views: ViewSource | None
    validation: tuple[Tensor, Tensor] | None
    history: list[EpochRecord] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        self.device = place_of(self.module)[0]
        self.rng = Rng(self.config.seed, "train classifier")
        self.optimizer = _make_optimizer(self.module, self.config)
        self.steps = math.ceil(len(self.images) / self.config.batch_size)

    @cached_property
    def identity(self) -> Identity:
        """Of the run, first weights included; asked before the first step.

        Raises:
            TypeError: views that do not say what they are made from (`__describe__`).
        """
        return identify(
            module=self.module,
            images=self.images,
            labels=self.labels,
            config=self.config,
            views=self.views,
            validation=self.validation,
        )

    @property
    def finished(self) -> bool:
        done, config = len(self.history), self.config
        if done >= config.epochs:
            return True
        if config.patience is None or done < config.min_epochs:
            return False
        best, scale = self._standing()
        highest = max(group["base"] for group in self.optimizer.param_groups)
        at_floor = highest * scale <= _PLATEAU_FLOOR * (1 + 1e-9)
        falling = config.schedule == "plateau" and not at_floor
        return not falling and done - 1 - best >= config.patience

    def _standing(self) -> tuple[int, float]:
        """The best epoch on validation, the earliest of equals; the factor after plateaus."""
        best, epoch, waited, scale = -1.0, -1, 0, 1.0
        for record in self.history:
            accuracy = record.validation_accuracy
            if accuracy is None:
                break
            waited += 1  # epochs since the last gain, or since the rate was lowered
            if accuracy > best:
                best, epoch, waited = accuracy, record.epoch, 0
            if self.config.schedule == "plateau" and waited > _PLATEAU_EPOCHS:
                scale, waited = scale * _PLATEAU_FACTOR, 0
        return epoch, scale

    def epoch(self) -> None:
        """Make one pass over the training images, and look at validation."""
        number, (_, scale) = len(self.history), self._standing()
        order = self.rng.child(f"order/{number}").numpy().permutation(len(self.images))
        total, shown = 0.0, 0
        self.module.train()
        with own_dropout(self.rng.child(f"dropout/{number}"), self.device):
            for step, rows in enumerate(torch.from_numpy(order).tensor_split(self.steps)):
                rate = self._set_rate(number * self.steps + step, scale)
                batch, targets, made = self._batch(rows.tolist(), number, step)
                total += self._step(batch, targets) * len(rows)
                shown += made
        loss = total / len(self.images)
        remedy = "lower learning_rate, and check the images for values that are not finite"
        check_number(loss, f"training loss of epoch {number}", remedy=remedy)
        record = EpochRecord(
            epoch=number,
            loss=loss,
            learning_rate=rate,
            view_share=shown / len(self.images),
            validation_accuracy=self._validate(),
        )
        self.history.append(record)
        if self.config.select == "best" and self._standing()[0] == number:
            weights = self.module.state_dict()
            self.best_weights = {k: v.detach().clone() for k, v in weights.items()}

    def _batch(self, rows: list[int], epoch: int, step: int) -> tuple[Tensor, Tensor, int]:
        """Images and labels of a step, and how many of them are views; the views come last."""
        seen = self._draw_views(rows, epoch, step)
        plain = [row for row in rows if row not in seen]
        made = [row for row in rows if row in seen]
        parts = []
        if plain:
            batch = self.images[plain].to(self.device)
            parts.append(self._augment(self.config.augment, batch, plain, epoch))
        if made and self.views is not None:
            batch = self.views.batch(made, epoch).to(self.device, self.images.dtype)
            transform = self.config.augment_views or self.config.augment
            parts.append(self._augment(transform, batch, made, epoch))
        targets = self.labels[plain + made].to(self.device).long()
        return torch.cat(parts), targets, len(made)

    def _draw_views(self, rows: list[int], epoch: int, step: int) -> set[int]:
        """The rows that are shown as views."""
        if self.views is None:
            return set()
        coin = self.rng.child("coin")
        if self.config.coin == "batch":
            head = coin.streams([f"batch {epoch}/{step}"]).uniform(1, ()).item()
            return set(rows) if head < self.config.view_fraction else set()
        heads = coin.streams([f"{row}/{epoch}" for row in rows]).uniform(1, ()).flatten()
        chosen = (heads < self.config.view_fraction).tolist()
        return {row for row, head in zip(rows, chosen, strict=True) if head}

    def _augment(
        self, transform: PixelViews | None, batch: Tensor, rows: Sequence[int], epoch: int
    ) -> Tensor:
        if transform is None:
            return batch
        streams = self.rng.child("augment").streams([f"{row}/{epoch}" for row in rows])
        return transform(batch, 1, streams)[:, 0]

    def _step(self, batch: Tensor, targets: Tensor) -> float:
        """One step of the optimiser; the mean loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            logits = call_module(self.module, batch)
            _check_classes(logits, self.labels)
            smoothing = self.config.label_smoothing
            loss = F.cross_entropy(logits, targets, label_smoothing=smoothing)
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def _set_rate(self, step: int, scale: float) -> float:
        """Set the learning rate of a step, counted from 0 over all epochs; the main rate."""
        config, total = self.config, self.steps * self.config.epochs
        factor = scale * min(1.0, (step + 1) / max(1.0, config.warmup * total))
        if config.schedule == "cosine":
            factor *= 0.5 * (1 + math.cos(math.pi * step / total))
        for group in self.optimizer.param_groups:
            floor = _PLATEAU_FLOOR if config.schedule == "plateau" else 0.0
            group["lr"] = max(group["base"] * factor, floor)
        return float(self.optimizer.param_groups[0]["lr"])

    def _validate(self) -> float | None:
        if self.validation is None:
            return None
        images, labels = self.validation
        found = predict_logits(self.module, images).argmax(-1)
        return float((found == labels).double().mean().item())

    def result(self) -> Trained:
        """The chosen weights and the history."""
        epoch = len(self.history) - 1
        if self.best_weights is not None:
            self.module.load_state_dict(self.best_weights)
            epoch = self._standing()[0]
        return Trained(module=self.module.eval(), history=tuple(self.history), epoch=epoch)

    def store(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        content = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "best_weights": self.best_weights,
            "history": [asdict(record) for record in self.history],
        }
        write_checkpoint(path, self.identity, content)

    def restore(self, path: Path, identity: Identity) -> None:
        """Go on from a checkpoint of the same run."""
        content = read_checkpoint(path, identity, self.device)
        self.module.load_state_dict(content["module"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.best_weights = content["best_weights"]
        self.history = [EpochRecord(**record) for record in content["history"]]


def _make_optimizer(module: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser, its parameters grouped by rate and decay; `base` is a group's highest rate."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    head = config.head_learning_rate
    found = False
    for name, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        is_head = head is not None and f".{name}".find(f".{config.head}.") >= 0
        found |= is_head
        rate = head if head is not None and is_head else config.learning_rate
        decay = config.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    if head is not None and not found:
        names = sorted({n.split(".")[0] for n, _ in module.named_parameters()})
        fail(
            "head",
            expected=f"one of the module's parts {', '.join(names)}",
            got=repr(config.head),
            remedy="name the last layer, or leave head_learning_rate at None",
        )
    if not groups:
        remedy = "make its weights require gradients; a function without weights learns nothing"
        fail("classifier", expected="weights to train", got="none", remedy=remedy)
    ordered = sorted(groups.items(), key=lambda item: item[0][0] != config.learning_rate)
    params = [
        {"params": p, "lr": rate, "weight_decay": decay, "base": rate}
        for (rate, decay), p in ordered
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(params, momentum=0.9)
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(params)


def _check_classes(logits: Tensor, labels: Tensor) -> None:
    """Find labels that are none of the classes, and what cannot be trained."""
    remedy = "count classes from 0, and give the module a logit for each"
    check_classes(labels, logits.shape[1], "training labels", remedy)
    if not logits.requires_grad:
        remedy = "make its weights require gradients, and take no_grad out of its forward"
        fail("classifier", expected="logits with a gradient", got="none", remedy=remedy)


def _check_pairs(images: Tensor, labels: Tensor, which: str) -> None:
    """Find images that are none, and labels that are no class indices of them."""
    what, remedy = f"{which} images", "add the axes of batch and channels"
    check_shape(check_floats(images, what), ("N", "C", "H", "W"), what, remedy)
    what, remedy = f"{which} labels", "give class indices, such as labels.long()"
    check_shape(check_tensor(labels, what), ("N",), what, "give one class index for each image")
    if labels.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
        fail(what, expected="integers", got=labels.dtype, remedy=remedy)
    check_each(labels, len(images), what)


def _check(
    images: Tensor,
    labels: Tensor,
    config: TrainConfig,
    views: ViewSource | None,
    validation: tuple[Tensor, Tensor] | None,
) -> None:
    _check_pairs(images, labels, "training")
    check_count(len(images), "number of training images", least=2)
    if views is not None:
        check_each(views, len(images), "training views")
    if validation is not None:
        _check_pairs(*validation, "validation")
    elif config.needs_validation:
        fail(
            "validation",
            expected='images and labels for select="best", patience or schedule="plateau"',
            got="none",
            remedy="give a validation set, never the test set",
        )
