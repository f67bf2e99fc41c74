"""The learning arrow: views of sampled latents, an encoder of them, and how it is trained.

    prior -> sample -> latent -> perturb -> render -> augment -> ENCODE -> representation

Read `genviews.represent.views` first.
"""

from genviews.represent.generate import recreate_views, write_views
from genviews.represent.plan import RATIOS, SamplePlan
from genviews.represent.prior import Anchors, Prior
from genviews.represent.stored import StoredViews
from genviews.represent.stream import StreamStats, ViewStream
from genviews.represent.streamed import StreamedBatches
from genviews.represent.views import AnchorViews, LatentViews, ViewBatch

__all__ = [
    "RATIOS",
    "AnchorViews",
    "Anchors",
    "LatentViews",
    "Prior",
    "SamplePlan",
    "StoredViews",
    "StreamStats",
    "StreamedBatches",
    "ViewBatch",
    "ViewStream",
    "recreate_views",
    "write_views",
]
