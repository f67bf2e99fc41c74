"""The user's classifier with its image spec, a small network to train, and how it is trained.

`Classifier` wraps any module; `train_classifier` trains one on images, or on views of them.
"""

from __future__ import annotations

from genviews.classify.config import TrainConfig, training_preset
from genviews.classify.model import Classifier, GreyToRGB, from_unit_range, predict_logits
from genviews.classify.network import SmallResNet
from genviews.classify.task import Task, attribute_tasks
from genviews.classify.train import EpochRecord, Trained, train_classifier
from genviews.classify.views import LatentViewSource, ViewSource

__all__ = [
    "Classifier",
    "EpochRecord",
    "GreyToRGB",
    "LatentViewSource",
    "SmallResNet",
    "Task",
    "TrainConfig",
    "Trained",
    "ViewSource",
    "attribute_tasks",
    "from_unit_range",
    "predict_logits",
    "train_classifier",
    "training_preset",
]
