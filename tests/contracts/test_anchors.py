"""Every source of anchors and positives against its contract: a new one is a new row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from genviews.data.images import ImageSet
from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.toy import ToyGenerator
from genviews.perturb.noise import Gaussian
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.represent.prior import Prior
from genviews.represent.real import MixedViews, RealViews
from genviews.represent.stored import StoredViews, write_views
from genviews.represent.views import AnchorViews, LatentViews, ViewBatch
from genviews.rng import Rng
from genviews.testing import ANCHOR_VIEWS_CHECKS, check_anchor_views
from tests.contracts.complete import leaves

TOY = ToyGenerator()
CONDITIONAL = ToyGenerator(num_classes=3)
BLACK_BOX = CallableGenerator(lambda z: 2 * z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
IMAGES = Rng(3).streams(range(12)).normal(1, (1, 8, 8))[:, 0].tanh()
REAL = RealViews(
    ImageSet(
        images=IMAGES,
        ids=tuple(map(str, range(12))),
        labels=torch.arange(12) % 3,
        class_names=("a", "b", "c"),
    ),
    positives=2,
)
MADE = LatentViews(CONDITIONAL, Gaussian("all", 0.2), positives=2)


def stored(folder: Path, keep: str) -> AnchorViews:
    views = LatentViews(CONDITIONAL, Gaussian("all", 0.3), positives=2, pool=4)
    write_views(views, folder, 10, keep=keep, shard_size=4)
    return StoredViews(folder, CONDITIONAL, positives=2)


VIEWS: dict[str, Callable[[Path], AnchorViews]] = {
    "none": lambda _: LatentViews(TOY, None),
    "style-mix": lambda _: LatentViews(TOY, StyleMix("fine"), positives=3, seed=4),
    "in z": lambda _: LatentViews(z_space(TOY, psi=0.9), Gaussian("all", 0.2)),
    "overshooting": lambda _: LatentViews(BLACK_BOX, Gaussian("all", 0.2)),
    "independent": lambda _: LatentViews(CONDITIONAL, Independent(), positives=2, pool=2),
    "pool": lambda _: LatentViews(TOY, Gaussian("all", 0.2), positives=2, pool=6),
    "by class": lambda _: LatentViews(CONDITIONAL, prior=Prior(per_class=4)),
    "stored latents": lambda folder: stored(folder, "latents"),
    "stored images": lambda folder: stored(folder, "images"),
    "real": lambda _: REAL,
    "mixed": lambda _: MixedViews(REAL, MADE, 0.4, 12),
}


def test_the_table_is_complete(tmp_path: Path) -> None:
    assert leaves(AnchorViews) == {type(make(tmp_path / name)) for name, make in VIEWS.items()}


@pytest.mark.parametrize("name", VIEWS)
def test_anchor_views_contract(name: str, tmp_path: Path) -> None:
    check_anchor_views(VIEWS[name](tmp_path))


def test_a_mix_by_coin_keeps_all_laws_but_one() -> None:
    """It tosses the coin at each visit, as the authors' code does, so an anchor may change."""
    views = MixedViews(REAL, MADE, 0.4, 12, mix="sampled")
    for check in ANCHOR_VIEWS_CHECKS:
        if check.__name__ != "the_anchor_stays":
            check(views)


class Broken(LatentViews):
    """Views that break one law, named by `law`."""

    def __init__(self, law: str) -> None:
        super().__init__(TOY, Gaussian("all", 0.2), positives=2)
        self.law = law

    def __describe__(self) -> dict[str, object]:
        return {"law": self.law, "copies": id(self) if self.law == "it_is_described" else 0}

    def __call__(self, ids, visit: int = 0) -> ViewBatch:
        if self.law == "wrong_ids_are_refused":
            ids = [abs(i) for i in ids]
        batch = super().__call__(ids, visit)
        match self.law:
            case "images_are_what_the_spec_says":
                batch.images.mul_(3)
            case "ids_and_visits_decide":
                batch.images.mul_(torch.rand(()))
            case "neighbours_do_not_matter":
                batch.images.mul_(batch.images.abs().max())
            case "the_anchor_stays":
                batch.images.mul_(1 / (1 + visit))
        return batch


@pytest.mark.parametrize("check", ANCHOR_VIEWS_CHECKS, ids=lambda check: check.__name__)
def test_views_that_break_the_law_are_caught(check) -> None:
    with pytest.raises(AssertionError):
        check(Broken(check.__name__))
    check(Broken("none"))
