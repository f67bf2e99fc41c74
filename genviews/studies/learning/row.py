"""A row of the learning arrow's tables: what is shown to the encoder, and what it is asked.

    data x latent views x pixel views x objective

Source: Jahanian et al. 2022, arXiv:2106.05258, tables 1-6.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, NoReturn

from genviews.checks import check_count, check_fraction, check_number, fail, lookup
from genviews.represent.losses import OBJECTIVES

__all__ = ["LearningRow"]

Data = Literal["generated", "real", "mixed", "none"]
Space = Literal["z", "own"]


@dataclass(frozen=True, kw_only=True)
class LearningRow:
    """One way to learn an encoder.

    Args:
        name: of the row, unique in a table.
        data: "generated", "real", "mixed", or "none" for the encoder as it is drawn.
        views: perturbation that makes the positives of generated anchors, by its name, such as
            "gaussian_all_0.20", "stylemix_fine", "independent_all", or "steer_all_1.00"; None: the
            anchor itself.
        space: where the perturbation acts: "z", before the mapping, as in the paper; "own", in the
            generator's own latents (w+ of a style-based one).
        pixels: whether pixel views T_x are made of every view.
        objective: one of `genviews.represent.losses.OBJECTIVES`.
        positives: K, seen with each anchor.
        pool: P >= K different positives of each anchor; None is K, fixed for good, as in the paper.
        ratio: unique samples, in units of the base size.
        share: of generated samples in "mixed" data.
        mix: "fixed" or "sampled", see `MixedViews`.
        updates: in units of the base number of updates.

    Raises:
        ValueError: a number out of its range, an unknown word, views of real data, or a share of
            data that is not mixed.

    Example:
        >>> LearningRow(name="Gaussian + T_x", views="gaussian_all_0.20", pixels=True).ratio
        1.0
    """

    name: str
    data: Data = "generated"
    views: str | None = None
    space: Space = "z"
    pixels: bool = False
    objective: str = "nt-xent"
    positives: int = 1
    pool: int | None = None
    ratio: float = 1.0
    share: float | None = None
    mix: Literal["fixed", "sampled"] = "fixed"
    updates: float = 1.0

    def __post_init__(self) -> None:
        what = f"row {self.name!r}"
        lookup(self.data, dict.fromkeys(("generated", "real", "mixed", "none")), f"data of {what}")
        lookup(self.space, dict.fromkeys(("z", "own")), f"space of {what}")
        lookup(self.mix, dict.fromkeys(("fixed", "sampled")), f"mix of {what}")
        lookup(self.objective, OBJECTIVES, f"objective of {what}")
        check_count(self.positives, f"positives of {what}")
        if self.pool is not None:
            check_count(self.pool, f"pool of {what}", least=self.positives)
        for name in ("ratio", "updates"):
            check_number(getattr(self, name), f"{name} of {what}", above=0, remedy="1 is the base")
        if self.views is not None and self.data not in ("generated", "mixed"):
            got = f"{self.views!r} of {self.data} data"
            remedy = "leave `views` out, or take generated data"
            self.refuse("latent views of generated samples", got, remedy)
        if (self.share is not None) != (self.data == "mixed"):
            expected = "a share of generated samples for mixed data, and for no other"
            got = f"share={self.share}, data={self.data!r}"
            self.refuse(expected, got, "give both or neither")
        if self.share is not None:
            check_fraction(self.share, f"share of {what}")

    def refuse(self, expected: str, got: object, remedy: str) -> NoReturn:
        """Raise ValueError that names the row."""
        fail(f"row {self.name!r}", expected=expected, got=got, remedy=remedy)

    @property
    def fields(self) -> dict[str, Any]:
        """What the row is, whatever it is called."""
        return {name: value for name, value in asdict(self).items() if name != "name"}

    @property
    def slug(self) -> str:
        """Name of its folder: of what the row is, so that tables share it."""
        digest = hashlib.blake2b(json.dumps(self.fields, sort_keys=True).encode(), digest_size=4)
        words = [self.data, self.views or "", "pixels" if self.pixels else "", digest.hexdigest()]
        return "-".join(word for word in words if word)
