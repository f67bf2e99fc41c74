"""Views read from a store: those that `genviews.represent.generate.write_views` made.

prior -> sample -> latents -> perturb -> render -> SHARDS -> augment -> encode
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.represent.manifest import rebuild
from genviews.represent.views import AnchorViews, ViewBatch, check_ids, render_views
from genviews.rows import StoredRows
from genviews.store import ShardStore, stored_identity

__all__ = ["FORMAT", "StoredViews"]

FORMAT = "genviews-views-1"


class StoredViews(AnchorViews):
    """Views that `write_views` made, read by id: the same as the `LatentViews` gave.

    Images are those of `LatentViews` rounded to 8 bits; where latents alone were kept they are
    rendered and equal up to float round-off. A shard is read whole, and its checksum compared, when
    it is first touched; then its rows are read from the disk as they are needed (at a URL it stays
    in memory).

    Args:
        folder: a path, or a URL that fsspec knows.
        generator: to render latents with; needed where only latents were kept.
        positives: K, at most the P that were stored.
        batch_size: images rendered at once, where latents alone were kept.

    Attributes:
        num_samples: N; ids are 0 to N - 1.
        identity: of all that the set was made from.

    Raises:
        FileNotFoundError: no shard is there.
        ValueError: no views; K too large; no generator where it is needed, or another one.
    """

    def __init__(
        self,
        folder: str | Path,
        generator: Generator | None = None,
        *,
        positives: int = 1,
        batch_size: int = 64,
    ) -> None:
        self.identity = stored_identity(folder)
        exact = self.identity.exact
        if exact.get("format") != FORMAT:
            fail(
                f"store {folder}",
                expected="views",
                got=f"a store made from {', '.join(sorted(exact))}",
                remedy="check the path, or make them with write_views",
            )
        made = exact["views"]
        self.image_spec = rebuild(made["image"])
        self.pool = int(made["pool"])
        self.seed, self.num_samples = int(made["seed"]), int(exact["num_samples"])
        self.positives = check_count(positives, "positives")
        if positives > self.pool:
            fail("positives", expected=f"at most {self.pool}", got=positives, remedy="store more")
        if exact["keep"] == "latents" and generator is None:
            fail("generator", expected="one, to render with", got="none", remedy="pass it")
        if generator is not None:
            kept = Identity({"generator": made["generator"]}, _answers(self.identity))
            identify(generator=generator).check(kept, f"generator of the views in {folder}")
        self._generator, self._batch_size = generator, check_count(batch_size, "batch_size")
        self._rows = StoredRows(ShardStore(folder, self.identity))

    def __len__(self) -> int:
        return self.num_samples

    @property
    def device(self) -> torch.device:
        """The generator's, where there is one."""
        return torch.device("cpu") if self._generator is None else self._generator.device

    def __describe__(self) -> dict[str, object]:
        """What the views were made from."""
        return {"stored": self.identity, "positives": self.positives}

    def __call__(self, ids: Sequence[int], visit: int = 0) -> ViewBatch:
        """Return the views of samples.

        Raises:
            ValueError: an id that was not stored, or a damaged shard.
            FileNotFoundError: a shard is missing.
        """
        ids = check_ids(ids)
        if ids and max(ids) >= self.num_samples:
            fail(
                "sample ids",
                expected=f"below {self.num_samples}, the number stored",
                got=max(ids),
                remedy="store more samples, or plan with fewer unique ones",
            )
        anchor = torch.zeros(len(ids), 1, dtype=torch.long)
        shown = torch.cat([anchor, 1 + self.choose(ids, visit)], dim=1)
        rows = {name: value.to(self.device) for name, value in self._gather(ids, shown).items()}
        pixels = rows.pop("images", None)
        if pixels is not None:
            images = pixels.float() / 127.5 - 1.0
        else:
            assert self._generator is not None
            images = render_views(
                self._generator, rows["latents"], self._batch_size, rows.get("labels")
            )
        return ViewBatch(ids=ids, visits=(visit,) * len(ids), images=images, **rows)

    def _gather(self, ids: Sequence[int], shown: Tensor) -> dict[str, Tensor]:
        """Rows of every tensor, in the order of the ids; of views, those shown."""
        found: dict[str, Tensor] = {}
        where = [divmod(i, int(self.identity.exact["shard_size"])) for i in ids]
        for index in sorted({shard for shard, _ in where}):
            places = [n for n, (shard, _) in enumerate(where) if shard == index]
            alone = [(where[n][1],) for n in places]
            seen = [(where[n][1], int(view)) for n in places for view in shown[n]]
            for name in self._rows.names(index):
                views = name in ("latents", "images", "view_z")
                part = self._rows.read(index, name, seen if views else alone)
                part = part.unflatten(0, (len(places), -1)) if views else part
                if name not in found:
                    found[name] = part.new_empty(len(ids), *part.shape[1:])
                found[name][places] = part
        return found


def _answers(identity: Identity) -> dict[str, Tensor]:
    """What the generator of the views renders, as if it had been described alone."""
    return {path.removeprefix("views."): value for path, value in identity.answers.items()}
