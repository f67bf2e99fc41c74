"""How a classifier is trained: one frozen object, and the published settings by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from genviews.augment.base import PixelViews
from genviews.augment.geometry import HorizontalFlip
from genviews.augment.presets import pixel_views
from genviews.checks import check_count, check_fraction, check_number, check_words, lookup

__all__ = ["TrainConfig", "training_preset"]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train_classifier`; the defaults are the embedded classifier's, chosen by us.

    Args:
        epochs: passes over the labelled images.
        batch_size: images a step; the images of an epoch are split into equal batches of about it.
        optimizer: "adamw", "adam" (betas 0.9 and 0.999) or "sgd" (momentum 0.9).
        learning_rate: highest rate.
        head_learning_rate: rate of the last layer, whose parameters' names start with `head`; None
            is `learning_rate`. A new layer on a trained network learns faster than the rest.
        head: first part of the names of the last layer's parameters, such as "head" or "fc".
        weight_decay: of weights with two or more axes; biases and norms have none.
        schedule: "cosine" falls to 0 at the last step, "constant" stays, "plateau" multiplies by
            0.1 after 10 epochs without a gain on validation, down to 1e-6.
        warmup: share of all steps in which the rate rises linearly from 0, in [0, 1).
        label_smoothing: share of the target spread over all classes.
        augment: pixel transform of each training image, drawn anew each epoch; None is none.
        augment_views: the same for views; None is `augment`.
        view_fraction: p, share of training images replaced by a view, in [0, 1]; used with views
            only. 1 is the paper's equation, 0.5 the authors' code.
        coin: "sample" decides for each image, "batch" for whole batches as the authors' code does.
        select: "last" keeps the last epoch, "best" the most accurate on validation; the earliest
            of equals.
        patience: stop after this many epochs without a gain on validation (with "plateau", once the
            rate is at its floor); None never stops early.
        min_epochs: never stop before this many.
        seed: of the order, the coins, the augmentation and any dropout; not of the first weights.

    Raises:
        ValueError: a number out of its range, or an unknown word.
    """

    epochs: int = 60
    batch_size: int = 64
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 4e-3
    head_learning_rate: float | None = None
    head: str = "head"
    weight_decay: float = 0.05
    schedule: Literal["cosine", "constant", "plateau"] = "cosine"
    warmup: float = 0.1
    label_smoothing: float = 0.1
    augment: PixelViews | None = None
    augment_views: PixelViews | None = None
    view_fraction: float = 0.5
    coin: Literal["sample", "batch"] = "sample"
    select: Literal["last", "best"] = "last"
    patience: int | None = None
    min_epochs: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_count(self.epochs, "epochs")
        check_count(self.batch_size, "batch_size", least=2)
        check_fraction(self.view_fraction, "view_fraction")
        check_fraction(self.warmup, "warmup")
        check_fraction(self.label_smoothing, "label_smoothing")
        check_words(self)
        if self.patience is not None:
            check_count(self.patience, "patience")
        check_number(self.learning_rate, "learning_rate", above=0)
        check_number(self.weight_decay, "weight_decay", least=0)

    @property
    def needs_validation(self) -> bool:
        """Whether some setting looks at the validation accuracy."""
        return self.select == "best" or self.patience is not None or self.schedule == "plateau"


# Every published setting keeps the epoch that is best on validation.
_PUBLISHED = TrainConfig(weight_decay=0.0, warmup=0.0, label_smoothing=0.0, select="best")

_ATTRIBUTE = replace(
    _PUBLISHED,
    epochs=201,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    patience=5,
    augment=HorizontalFlip(),
)

_ATTRIBUTE_VIEWS = replace(_ATTRIBUTE, batch_size=8, min_epochs=11, coin="batch")

_TRANSFER = replace(
    _PUBLISHED,
    epochs=501,
    batch_size=32,
    optimizer="adam",
    learning_rate=1e-4,
    head_learning_rate=1e-3,
    head="fc",
    schedule="plateau",
    patience=20,
)

_TRANSFER_VIEWS = replace(
    _TRANSFER,
    batch_size=8,
    learning_rate=1e-6,
    head_learning_rate=None,
    schedule="constant",
    patience=50,
    coin="batch",
)

_CIFAR10 = replace(
    _PUBLISHED,
    epochs=200,
    batch_size=128,
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=5e-4,
    augment=pixel_views("cifar10/train"),
)

_PRESETS: dict[str, TrainConfig] = {
    "attribute": _ATTRIBUTE,
    "attribute-views": _ATTRIBUTE_VIEWS,
    "attribute-combined": replace(
        _ATTRIBUTE_VIEWS, augment_views=pixel_views("celebahq/gan-mixed")
    ),
    "car": replace(_TRANSFER, augment=pixel_views("car/train")),
    "car-rotate": replace(_TRANSFER, augment=pixel_views("car/train-rotate")),
    "car-views": replace(
        _TRANSFER_VIEWS,
        augment=pixel_views("car/train"),
        augment_views=pixel_views("car/gan-train"),
    ),
    "cat": replace(_TRANSFER, augment=pixel_views("cat/train"), seed=3),
    "cat-views": replace(
        _TRANSFER_VIEWS,
        augment=pixel_views("cat/train"),
        augment_views=pixel_views("cat/gan-train"),
        seed=3,
    ),
    "cifar10": _CIFAR10,
    "cifar10-views": replace(_CIFAR10, learning_rate=1e-3, coin="batch"),
    "fashion32": TrainConfig(augment=pixel_views("fashion32/flip+crop")),
}


def training_preset(name: str) -> TrainConfig:
    """Return the settings of a published training, or of the embedded classifier.

    "-views" trains on a half-and-half mixture of images and views, chosen a batch at a time as in
    the authors' code; car, cat and cifar10 then start from the network trained on images, attribute
    from scratch. Change a field with `dataclasses.replace`.

    Args:
        name: attribute, attribute-views, attribute-combined, car, car-rotate, car-views, cat,
            cat-views, cifar10, cifar10-views or fashion32.

    Raises:
        ValueError: unknown; the closest names are listed.

    Source: Chai et al. 2021, arXiv:2104.14551, supplement 7.3 and 8.5, and the released code.

    Differs: weight decay spares biases and norms; the released code decays them in CIFAR10. Each
        batch of an epoch is as large as the next.

    Example:
        >>> training_preset("cat-views").learning_rate
        1e-06
    """
    return lookup(name, _PRESETS, "training preset")
