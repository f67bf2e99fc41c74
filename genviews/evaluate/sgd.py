"""Linear probe by SGD, as the papers do it: a linear layer on frozen features, cross-entropy.

    v <- m v + g + wd W,   W <- W - lr v,   lr by epoch

Each epoch is a candidate: `score_last` gives the last one, and `score` the one that `select` found
best on a named validation split, never on the test split.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from genviews.checks import check_count, check_number, lookup
from genviews.evaluate.linear import linear_predict
from genviews.evaluate.probe import Probe, ProbeScore
from genviews.rng import Rng
from genviews.signature import checked
from genviews.types import check_shape, check_tensor

__all__ = ["SGDConfig", "SGDProbe", "sgd_preset"]


@dataclass(frozen=True, kw_only=True)
class SGDConfig:
    """How the linear layer is trained.

    Args:
        epochs: passes over the features.
        learning_rate: at the start; give several to sweep, and `select` chooses among them too.
        momentum: m.
        weight_decay: wd.
        batch_size: rows a step; the last step of an epoch takes what is left.
        schedule: "cosine" from the start to `floor` times it, "steps" or "constant".
        floor: of the cosine; 0.008 = 0.2^3 is the authors' (their main_linear.py).
        steps: epochs after which the rate falls by `step_factor`, for schedule "steps".
        step_factor: see `steps`.
        outputs: width of the layer; None is one for each class of the labels. The authors keep 1000
            for ImageNet-100.
        seed: of the initial weights and the order of the rows.

    Raises:
        ValueError: a count below 1, no rate, or a rate that is not above 0.
    """

    epochs: int = 60
    learning_rate: float | tuple[float, ...] = 0.3
    momentum: float = 0.9
    weight_decay: float = 0.0
    batch_size: int = 256
    schedule: Literal["cosine", "steps", "constant"] = "cosine"
    floor: float = 0.2**3
    steps: tuple[int, ...] = (60, 75, 90)
    step_factor: float = 0.2
    outputs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        check_count(self.batch_size, "batch_size")
        check_number(min(self.rates, default=0.0), "learning_rate", above=0, remedy="try 0.3")
        lookup(self.schedule, {"cosine": 1, "steps": 1, "constant": 1}, "schedule")

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates to try."""
        given = self.learning_rate
        return tuple(given) if isinstance(given, (tuple, list)) else (given,)

    def rate(self, epoch: int, start: float) -> float:
        """Return the learning rate of an epoch, counted from 0.

        As in the authors' code, which counts epochs from 1, the first epoch of a cosine is already
        one step down and the last is at the floor.

        Example:
            >>> config = SGDConfig(epochs=2, floor=0.0)
            >>> [config.rate(epoch, 1.0) for epoch in range(2)]
            [0.5, 0.0]
        """
        if self.schedule == "constant":
            return start
        if self.schedule == "steps":
            return start * self.step_factor ** sum(epoch + 1 > step for step in self.steps)
        low = start * self.floor
        return low + (start - low) * (1 + math.cos(math.pi * (epoch + 1) / self.epochs)) / 2


_PRESETS = {
    "paper/real": SGDConfig(epochs=60, learning_rate=0.3),
    "paper/generated": SGDConfig(epochs=60, learning_rate=2.0),
    "paper/cars": SGDConfig(epochs=100, learning_rate=2.0),
    "code": SGDConfig(epochs=100, learning_rate=0.06, schedule="steps"),
}


def sgd_preset(name: str) -> SGDConfig:
    """Return a published configuration: "paper/real", "paper/generated", "paper/cars" or "code".

    The paper's text and the defaults of its code differ (60 epochs, rate 0.3 or 2, cosine; 100
    epochs, 0.06, three steps); neither is silently the other.

    Raises:
        ValueError: an unknown name; the closest are listed.

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4 and the authors' main_linear.py.
    """
    return lookup(name, _PRESETS, "SGD preset")


class SGDProbe(Probe):
    """A linear layer trained by SGD on frozen features.

    Args:
        config: see `SGDConfig`.

    Attributes:
        losses_: mean training loss of each setting's epoch.

    Raises:
        ValueError: in `fit`, a loss that is not finite (the rate is too high).

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4 ("linear classifier").
    Differs: features are computed once, unless `fit_epochs` gives new ones for each epoch; the best
        epoch is chosen on the split that `select` names, which in the paper is the reported one.

    Example:
        >>> h = torch.linspace(-1, 1, 40)[:, None]
        >>> y = (h[:, 0] > 0).long()
        >>> probe = SGDProbe(SGDConfig(epochs=20)).fit(h, y, split="train")
        >>> probe.select(h, y, split="val").score(h, y).accuracy
        1.0
    """

    losses_: tuple[float, ...]

    def __init__(self, config: SGDConfig | None = None) -> None:
        self.config = SGDConfig() if config is None else config

    @checked
    def fit_epochs(
        self,
        features: Callable[[int], Float[Tensor, "N E"]],
        y: Int[Tensor, " N"],
        *,
        split: str = "train",
    ) -> SGDProbe:
        """Fit to features that change from epoch to epoch, such as `AugmentedFeatures`.

        Args:
            features: called with 0, 1, ...; rows in the order of `y`.
            y: class of each row.
            split: the name of the data's split; not a test split.

        Returns:
            The probe itself.

        Raises:
            ValueError: as `fit`.
        """
        first = features(0)  # once: it may take as long as an epoch of training the encoder
        what, remedy = "features of the first epoch", "give a row for each label"
        check_shape(check_tensor(first, what, floats=True), (len(y), "E"), what, remedy)
        self._begin(first, y, split)
        targets = torch.searchsorted(self.classes_, y)
        self._end(self._train(lambda epoch: features(epoch) if epoch else first, targets))
        return self

    @checked
    def score_last(
        self, h: Float[Tensor, "N E"], y: Int[Tensor, " N"], *, split: str = "test"
    ) -> ProbeScore:
        """Return the score of the last epoch; with several rates, of the one best on validation.

        Args:
            h: features.
            y: class of each row.
            split: the name of the data's split, for the record.

        Raises:
            ValueError: not fitted, or several learning rates and `select` was not called.
        """
        self._check_fitted()
        last = range(self.config.epochs - 1, len(self.settings_), self.config.epochs)
        if len(last) > 1:
            self._selected()
        return self._score(max(last, key=lambda i: self.curve_[i]), h, y, split)

    def _fit(self, h: Tensor, targets: Tensor) -> Sequence[Mapping[str, float]]:
        return self._train(lambda epoch: h, targets)

    def _train(
        self, features: Callable[[int], Tensor], targets: Tensor
    ) -> Sequence[Mapping[str, float]]:
        config, rng = self.config, Rng(self.config.seed, "linear probe")
        first = self._initial(targets.device, rng)
        weights = [first.clone() for _ in config.rates]
        speeds = [torch.zeros_like(first) for _ in config.rates]
        kept: dict[tuple[int, int], tuple[Tensor, float]] = {}
        for epoch in range(config.epochs):
            h = features(epoch).detach().float()
            order = torch.from_numpy(rng.child(f"order/{epoch}").numpy().permutation(len(h)))
            batches = order.to(h.device).split(config.batch_size)
            for index, start in enumerate(config.rates):
                rate = config.rate(epoch, start)
                loss = self._epoch(h, targets, batches, weights[index], speeds[index], rate)
                what = f"loss of the probe in epoch {epoch} at learning rate {start:g}"
                check_number(loss, what, remedy="lower it, or scale the features")
                kept[index, epoch] = (weights[index].clone(), loss)
        ordered = sorted(kept)
        self.candidates_ = [kept[key][0] for key in ordered]
        self.losses_ = tuple(kept[key][1] for key in ordered)
        return [{"learning_rate": config.rates[i], "epoch": float(e)} for i, e in ordered]

    def _epoch(
        self,
        h: Tensor,
        targets: Tensor,
        batches: Sequence[Tensor],
        weights: Tensor,
        speed: Tensor,
        rate: float,
    ) -> float:
        """One pass; changes weights and speed in place and returns the mean loss before steps."""
        total = torch.zeros((), device=h.device)
        for rows in batches:
            x, labels = h[rows], targets[rows]
            log_probs = (x @ weights[:, :-1].T + weights[:, -1]).log_softmax(1)
            total -= log_probs.gather(1, labels[:, None]).sum()
            error = log_probs.exp()
            error[torch.arange(len(rows), device=h.device), labels] -= 1
            gradient = torch.cat([error.T @ x, error.sum(0)[:, None]], 1) / len(rows)
            gradient += self.config.weight_decay * weights
            speed.mul_(self.config.momentum).add_(gradient)
            weights.sub_(rate * speed)
        return float(total) / len(h)

    def _initial(self, device: torch.device, rng: Rng) -> Tensor:
        """Uniform within 1 / sqrt(E), as torch's Linear starts."""
        classes = len(self.classes_)
        outputs = classes if self.config.outputs is None else self.config.outputs
        check_count(outputs, "outputs", least=classes, remedy="leave it at None")
        shape, source = (outputs, self._width + 1), rng.child("start").torch()
        draws = torch.rand(shape, generator=source, device="cpu")  # whatever the default device
        return ((2 * draws - 1) / math.sqrt(self._width)).to(device)

    def _predict(self, h: Tensor, which: Sequence[int]) -> Tensor:
        candidates = [self.candidates_[i] for i in which]
        # Outputs beyond the classes of the labels are never right; they cannot be predicted.
        return linear_predict(h.float(), [w[: len(self.classes_)] for w in candidates])
