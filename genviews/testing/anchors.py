"""The contract of views of anchors: the laws that each `AnchorViews` keeps."""

from __future__ import annotations

import torch

from genviews.represent.views import AnchorViews, ViewBatch
from genviews.testing.laws import (
    described_apart,
    expect,
    laws_of,
    leaves_no_trace,
    refuses,
    run_laws,
    same,
)

__all__ = ["ANCHOR_VIEWS_CHECKS", "check_anchor_views"]

IDS = (5, 0, 3, 6)


def check_anchor_views(views: AnchorViews) -> None:
    """Run every check of the contract on one source of views.

    Args:
        views: with the samples 0 to 6 at least.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews import Isotropic, ToyGenerator
        >>> from genviews.represent.views import LatentViews
        >>> check_anchor_views(LatentViews(ToyGenerator(), Isotropic("fine", 0.3)))
    """
    run_laws(ANCHOR_VIEWS_CHECKS, views)


def images_are_what_the_spec_says(views: AnchorViews) -> None:
    """(B, 1+K, C, H, W) in [-1, 1], finite, a row of everything for each id; no gradient."""
    with leaves_no_trace():
        batch = views(IDS)
    shape = (len(IDS), 1 + views.positives, *views.image_spec.shape)
    expect(batch.images.shape == shape, f"images {tuple(batch.images.shape)}, not {shape}")
    expect(bool((batch.images.abs() <= 1).all()), "values outside [-1, 1]")
    expect(batch.ids == IDS, f"ids {batch.ids}")
    expect(batch.visits == (0,) * len(IDS), f"visits {batch.visits}")
    for name, value in batch.tensors().items():
        expect(len(value) == len(IDS), f"{name}: {len(value)} rows")
        expect(value.device.type == views.device.type, f"{name} are on {value.device}")
        expect(not value.requires_grad, f"{name} carry a gradient")
        expect(not value.is_floating_point() or bool(value.isfinite().all()), f"{name} not finite")


def ids_and_visits_decide(views: AnchorViews) -> None:
    """Equal ids at equal visits give equal views, bit for bit; other ids other images."""
    first, again = views(IDS, visit=1), views(IDS, visit=1)
    for name, value in again.tensors().items():
        expect(torch.equal(value, first.tensors()[name]), f"{name} differ from call to call")
    anchors = first.images[:, 0].flatten(1)
    expect(len(anchors.unique(dim=0)) == len(IDS), "two samples have one image")


def neighbours_do_not_matter(views: AnchorViews) -> None:
    """A sample alone or in another order has the same views, latents and labels."""
    whole = views(IDS, visit=2)
    for rows in ([1], [3, 0, 2]):
        part = views([IDS[row] for row in rows], visit=2)
        _same(part, whole, rows)


def the_anchor_stays(views: AnchorViews) -> None:
    """At another visit the anchor and its label are the same; with a whole pool, all is."""
    first, later = views(IDS), views(IDS, visit=3)
    expect(later.visits == (3,) * len(IDS), f"visits {later.visits}")
    same(later.images[:, 0], first.images[:, 0], "anchors")
    same(later.z, first.z, "z of the anchors")
    if first.labels is not None and later.labels is not None:
        expect(torch.equal(later.labels, first.labels), "labels")
    if views.pool == views.positives:
        same(later.images, first.images, "a whole pool")


def wrong_ids_are_refused(views: AnchorViews) -> None:
    """An id below 0 is an error."""
    refuses(lambda: views([0, -1]), "the id -1")


def it_is_described(views: AnchorViews) -> None:
    """A copy has the same key for stored results."""
    described_apart(views)


ANCHOR_VIEWS_CHECKS = laws_of(globals())


def _same(part: ViewBatch, whole: ViewBatch, rows: list[int]) -> None:
    wanted = whole.tensors()
    expect(set(part.tensors()) == set(wanted), f"it holds {sorted(part.tensors())}")
    for name, value in part.tensors().items():
        same(value, wanted[name][rows], f"{name} of the samples {[IDS[row] for row in rows]}")
