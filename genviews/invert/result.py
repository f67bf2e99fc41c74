"""The result of inverting a data set: what is in the summary, the table and the page of a run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from genviews.invert.quality import ImageQuality
from genviews.invert.store import spread
from genviews.types import Status

__all__ = ["InversionResult", "Picture"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One image with its reconstruction, to look at.

    Args:
        quality: of the inversion.
        image: in [-1, 1].
        mask: 1 where a pixel is known; None: all known.
        reconstruction: as the generator drew it.
    """

    quality: ImageQuality
    image: Float[Tensor, "C H W"]
    mask: Float[Tensor, "1 H W"] | None
    reconstruction: Float[Tensor, "C H W"]


@dataclass(frozen=True, kw_only=True, eq=False)
class InversionResult:
    """What an inversion run found.

    Args:
        title: of the page.
        command: that asks for it again.
        config: its resolved options.
        qualities: every image that could be read, in the order of the source.
        ranked_by: the error that tells the best from the worst.
        best: best first.
        worst: worst first.
        skipped: (file, reason) of the images that could not be read.
        seconds: stage -> its duration in this run.
        earlier: images that earlier runs had inverted.
        versions: of the packages that numbers depend on.
    """

    title: str
    command: str
    config: Mapping[str, Any]
    qualities: Sequence[ImageQuality]
    ranked_by: str
    best: Sequence[Picture] = ()
    worst: Sequence[Picture] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    earlier: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        count, every = len(self.qualities), len(self.qualities) + len(self.skipped)
        loss, start = self.spread_of("loss"), self.spread_of("start_loss")
        text = f"Inverted {count:,} of {every:,} images" if self.skipped else f"{count:,} images"
        text += "" if self.skipped else " inverted"
        if loss and start:
            before, after = f"{start['mean']:.4g}", f"{loss['mean']:.4g}"
            fell = f"fell from {before} at the start to {after}"
            text += f"; the mean loss {fell if before != after else f'is {after}, as at the start'}"
        failed = sum(one.status == Status.FAILED for one in self.qualities)
        return text + (f"; {failed:,} failed" if failed else "") + "."

    @property
    def rate(self) -> float | None:
        """Images a second of the inversion in this run; None if all were done before."""
        made = len(self.qualities) + len(self.skipped) - self.earlier
        spent = self.seconds.get("invert", 0.0)
        return made / spent if made > 0 and spent > 0 else None

    def spread_of(self, name: str) -> dict[str, float] | None:
        """Mean, median and 90th percentile of a loss or an error; None of no finite value.

        Images that failed do not count.
        """
        values = [_value(one, name) for one in self.qualities if one.status != Status.FAILED]
        return spread(np.array([v for v in values if math.isfinite(v)]))

    def errors(self) -> tuple[str, ...]:
        """The names of the errors that were measured."""
        return tuple(self.qualities[0].errors) if self.qualities else ()

    def summary(self) -> dict[str, Any]:
        """All numbers but those of single images, as JSON values."""
        statuses = [one.status for one in self.qualities]
        done = [one for one in self.qualities if one.status != Status.FAILED]
        names = ("loss", "start_loss", *self.errors())
        return {
            "verdict": self.verdict,
            "images": len(self.qualities) + len(self.skipped),
            "inverted": len(self.qualities),
            "inverted_by_earlier_runs": self.earlier,
            "status": {s.name: statuses.count(s) for s in Status if s in statuses},
            "skipped": [list(pair) for pair in self.skipped],
            **{name: self.spread_of(name) for name in names},
            "steps_mean": float(np.mean([one.steps for one in done])) if done else None,
            "images_per_second": self.rate,
            "seconds": dict(self.seconds),
            "seed": None,  # an inversion draws no random number
            "config": dict(self.config),
            "versions": dict(self.versions),
            "command": self.command,
        }

    def csv_text(self) -> str:
        """One line an image, those that were skipped at the end with status SKIPPED."""
        out = io.StringIO()
        names = self.errors()
        columns = ("id", "status", "loss", "start_loss", "steps", *names, "source_hash", "reason")
        table = csv.DictWriter(out, columns, lineterminator="\n", restval="")
        table.writeheader()
        for one in self.qualities:
            numbers = {n: _value(one, n) for n in ("loss", "start_loss", *names)}
            table.writerow(
                {
                    "id": one.id,
                    "status": one.status.name,
                    **{n: f"{v:.7g}" if math.isfinite(v) else "" for n, v in numbers.items()},
                    "steps": one.steps,
                    "source_hash": one.source_hash,
                }
            )
        for name, reason in self.skipped:
            table.writerow({"id": name, "status": "SKIPPED", "reason": reason})
        return out.getvalue()


def _value(one: ImageQuality, name: str) -> float:
    own = {"loss": one.loss, "start_loss": one.start_loss}
    return own[name] if name in own else one.errors[name]
