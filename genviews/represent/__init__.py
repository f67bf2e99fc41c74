"""The learning arrow: views of sampled latents, an encoder of them, and how it is trained.

    prior -> sample -> latent -> perturb -> render -> augment -> ENCODE -> representation

Read `genviews.represent.views` first, then `genviews.represent.train`. Objectives are in
`genviews.represent.losses`.
"""

from genviews.represent.config import RepresentationTraining, published_training
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.monitor import OnlineKNN
from genviews.represent.plan import RATIOS, SamplePlan
from genviews.represent.prior import Anchors, Prior
from genviews.represent.real import MixedViews, RealViews
from genviews.represent.schedule import EpochCosine, StepCosine
from genviews.represent.stored import StoredViews, recreate_views, write_views
from genviews.represent.stream import StreamedBatches, StreamStats
from genviews.represent.train import TrainedRepresentation, train_representation
from genviews.represent.views import AnchorViews, LatentViews, ViewBatch

__all__ = [
    "RATIOS",
    "AnchorViews",
    "Anchors",
    "EpochCosine",
    "LatentViews",
    "MixedViews",
    "OnlineKNN",
    "Prior",
    "RealViews",
    "RepresentationConfig",
    "RepresentationEncoder",
    "RepresentationTraining",
    "SamplePlan",
    "StepCosine",
    "StoredViews",
    "StreamStats",
    "StreamedBatches",
    "TrainedRepresentation",
    "ViewBatch",
    "published_training",
    "recreate_views",
    "train_representation",
    "write_views",
]
