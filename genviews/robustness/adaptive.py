"""Adaptive attacks: on a whole defence by one who knows all of it, and on many images in shards.

    defence, images, labels -> ATTACK -> attacked images, what the defence says of them

The gradient is that of the defence itself: through encoder, optimiser steps and generator
(`genviews.robustness.defence`), and the mean over draws of what is random in it. With "fresh"
randomness the attacker draws views of his own at each step, and the defence then draws others that
he does not know; with "fixed" he knows the defence's own draws, which come from its seed. An
attack without gradients looks at answers of the same draws. Of several repeats (`restarts` of the
attack) the worst for the defence counts, image by image.

Source: Athalye et al. 2018, arXiv 1802.00420; Tramer et al. 2020, arXiv 2002.08347 (what an
adaptive attack must do); on purification by generators, arXiv 2411.16598.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.checks import check_count, check_different, check_each, check_words
from genviews.engine import Engine
from genviews.identity import identify
from genviews.invert.batch import ALIKE
from genviews.rng import Rng, Streams
from genviews.robustness.ask import Ask, right_of
from genviews.robustness.attack import Attack
from genviews.robustness.defence import Defence
from genviews.signature import checked
from genviews.store import MemoryStore, Shard, ShardStore
from genviews.types import Images, Label, Progress
from genviews.work import Tell, run_shards

__all__ = ["AdaptiveAttack", "Attacked", "answers", "attack_defence", "view_streams"]


def view_streams(ids: Sequence[str], seed: int = 0) -> Streams:
    """The streams from which the pipeline draws the views of images with these ids."""
    return Rng(seed, "views").streams(ids)


@dataclass(frozen=True, kw_only=True)
class AdaptiveAttack:
    """An attack on a defence, with what it does about randomness.

    Args:
        attack: norm, budget, steps, loss, and the repeats (`restarts`) of which the worst counts.
        randomness: "fresh" or "fixed", see the module.
        samples: draws that each gradient, or answer, is the mean over; a defence with K views has K
            in each.
    """

    attack: Attack
    randomness: Literal["fresh", "fixed"] = "fresh"
    samples: int = 1

    def __post_init__(self) -> None:
        check_words(self)
        check_count(self.samples, "samples")

    @property
    def name(self) -> str:
        """Short name that keys results: "adaptive-pgd:0.05"."""
        tail = "" if self.randomness == "fresh" else f"-{self.randomness}"
        return f"adaptive-{self.attack.name}{tail}" + (
            f"-samples={self.samples}" if self.samples > 1 else ""
        )

    @checked
    def __call__(
        self,
        defence: Defence,
        images: Images,
        labels: Label,
        streams: Streams,
        *,
        gradient_of: Defence | None = None,
    ) -> Images:
        """Attacked images, see `Attack.__call__`.

        Args:
            defence: that is to err; it judges repeats with its own draws, those of `streams`.
            images: (B, C, H, W) in [-1, 1].
            labels: true classes.
            streams: of the defence, see `view_streams`.
            gradient_of: whose gradient is followed, or whose answers are looked at; None is the
                defence's. Such as one with fewer views, which costs less, or the classifier alone,
                for an attack that does not know the defence (and then without `restarts`, of which
                the defence chooses).

        Raises:
            TypeError, ValueError: as `Attack.__call__`.
        """
        followed = defence if gradient_of is None else gradient_of

        def answer(part: Tensor, rows: Tensor, draw: int) -> Tensor:
            own = streams[rows.cpu()]
            if draw < 0:
                return defence(part, own)
            return followed(part, own.child(f"draw {draw}") if self.randomness == "fresh" else own)

        ask = Ask(answer, labels, samples=self.samples)
        return self.attack.against(ask, images, streams.child("attack"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Attacked:
    """Images after an attack, and what the defence says of each before and after.

    Args:
        ids: of the images.
        labels: true classes.
        images: attacked.
        clean_logits: of the images as they were.
        logits: of the attacked images.
    """

    ids: tuple[str, ...]
    labels: Int[Tensor, " N"]
    images: Float[Tensor, "N C H W"]
    clean_logits: Float[Tensor, "N Y"]
    logits: Float[Tensor, "N Y"]

    @property
    def right(self) -> Bool[Tensor, " N"]:
        """Whose label the defence says after the attack; logits that are not finite are wrong."""
        return right_of(self.logits, self.labels)

    @property
    def clean_right(self) -> Bool[Tensor, " N"]:
        """Whose label it says before."""
        return right_of(self.clean_logits, self.labels)

    @property
    def accuracy(self) -> float:
        """Share of images that it is right about after the attack."""
        return float(self.right.double().mean())

    @property
    def clean_accuracy(self) -> float:
        """Share of images that it is right about before."""
        return float(self.clean_right.double().mean())


@checked
def attack_defence(
    defence: Defence,
    images: Images,
    labels: Label,
    ids: Sequence[str],
    attack: AdaptiveAttack,
    *,
    gradient_of: Defence | None = None,
    seed: int = 0,
    folder: str | Path | None = None,
    shard_size: int = ALIKE,
    engine: str | Engine = "local",
    stage: str = "attack",
    progress: Progress | None = None,
) -> Attacked:
    """Attack a defence on many images, in shards that a killed run does not lose.

    Args:
        defence: that is to err.
        images: (N, C, H, W) in [-1, 1].
        labels: true classes.
        ids: of the images, different ones; they seed the defence's views and the attack.
        attack: what is done.
        gradient_of: see `AdaptiveAttack.__call__`.
        seed: of the defence, as that of `GenerativeTTA`.
        folder: of this attack and others, each of which has a subfolder that is known by defence,
            attack and images; or its URL. None keeps the shards in memory.
        shard_size: images of a shard; changes no result.
        engine: "local", "ray" or an `Engine`.
        stage: what `progress` is told.
        progress: called with (stage, "images", done, all).

    Raises:
        TypeError, ValueError: as `Attack.__call__`; no image; ids that are not of that number, or
            not different.
    """
    check_count(len(images), "images to attack")
    check_each(ids, len(images), "ids")
    check_different(ids, "ids of the images to attack", "give each image its own")
    check_each(labels, len(images), "labels")
    names, streams = tuple(ids), view_streams(ids, seed)

    def make(rows: range, tell: Tell) -> Shard:
        own = slice(rows.start, rows.stop)
        part, classes, drawn = images[own], labels[own], streams[own]
        changed = attack(defence, part, classes, drawn, gradient_of=gradient_of)
        said = [answers(defence, some, drawn) for some in (part, changed)]
        tensors = {"images": changed, "clean_logits": said[0], "logits": said[1]}
        return Shard(tensors={k: v.cpu() for k, v in tensors.items()}, ids=names[own])

    store: ShardStore | MemoryStore = MemoryStore()
    if folder is not None:
        identity = identify(
            defence=defence,
            gradient_of=gradient_of,
            attack=attack,
            images=images,
            labels=labels,
            ids=list(names),
            seed=seed,
            shard_size=shard_size,
        )
        store = ShardStore(f"{folder}/{identity.digest}", identity)
    run_shards(
        store,
        len(images),
        make,
        shard_size=shard_size,
        stage=stage,
        engine=engine,
        progress=progress,
    )
    found = store.read_all(-(-len(images) // shard_size))
    return Attacked(ids=names, labels=labels.cpu(), **found.tensors)


@checked
def answers(defence: Defence, images: Images, streams: Streams) -> Float[Tensor, "B Y"]:
    """What a defence says when it counts, in parts as an attack asks them, without a gradient.

    Args:
        defence: that is asked.
        images: (B, C, H, W) in [-1, 1].
        streams: of the defence, see `view_streams`.

    Raises:
        ValueError: no image, or another number of streams.
    """
    check_count(len(images), "images to ask about")
    check_each(streams, len(images), "streams")

    def answer(part: Tensor, rows: Tensor, draw: int) -> Tensor:
        return defence(part, streams[rows.cpu()])

    with torch.no_grad():
        return Ask(answer, torch.zeros(len(images), dtype=torch.long)).logits(images)
