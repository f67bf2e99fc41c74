"""A classifier whose batch norms take their statistics from the images that it is asked about.

    images of one shift -> mean and variance of every batch norm -> CLASSIFY

A shift moves what a network sees inside; statistics of shifted images move it back, without labels
or training. It wants many images of one and the same shift at once, and **an image's answer then
depends on the others**, which nothing else in this package allows: it is here to be compared with.

Source: Schneider et al. 2020, "Improving robustness against common corruptions by covariate shift
    adaptation", arXiv:2006.16971, without statistics of the training images (N = 0); Nado et al.
    2020, arXiv:2006.10963.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm

from genviews.checks import check_count, check_finite, check_type, fail
from genviews.classify.model import call_module
from genviews.modes import evaluating, place_of
from genviews.types import Images

__all__ = ["batch_norms", "with_batch_statistics"]

Module = TypeVar("Module", bound=nn.Module)


def batch_norms(classifier: nn.Module) -> list[BatchNorm]:
    """Its batch norms that keep running statistics."""
    every = classifier.modules()
    return [m for m in every if isinstance(m, BatchNorm) and m.track_running_stats]


@torch.no_grad()
def with_batch_statistics(classifier: Module, images: Images) -> Module:
    """Return a copy of a classifier with the statistics of these images in its batch norms.

    The copy is an ordinary classifier, but for what it owes to the images; ask it about them, and
    about no others.

    Args:
        classifier: with batch norms that keep running statistics; left as it is.
        images: (N, C, H, W) in [-1, 1], passed through the network at once: N is the size of the
            batch, and 200 or more are wanted for steady statistics.

    Raises:
        ValueError: a network without such batch norms, a single image, or one that is not finite.

    Differs: the variance is the unbiased one, as running statistics have it.

    Example:
        >>> from genviews.classify.network import SmallResNet
        >>> net, dark = SmallResNet(width=8).eval(), torch.rand(8, 1, 16, 16) - 1
        >>> with_batch_statistics(net, dark)(dark).shape
        torch.Size([8, 10])
    """
    check_type(classifier, nn.Module, "classifier", "a torch module", "give it as an nn.Module")
    check_count(len(images), "images that give the statistics", least=2)
    rows = [f"row {row}" for row in range(len(images))]
    check_finite(images, "images that give the statistics", rows, "leave them out")
    adapted = copy.deepcopy(classifier)
    norms = batch_norms(adapted)
    if not norms:
        remedy = "leave this rival out: other norms keep no statistics"
        fail("classifier", expected="batch norms with statistics", got="none", remedy=remedy)
    momenta = [norm.momentum for norm in norms]
    with evaluating(adapted):
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
            norm.momentum = None  # the mean over all batches, of which there is one
        call_module(adapted, images.to(place_of(adapted)[0]))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return adapted
