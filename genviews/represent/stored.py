"""A stored set of views: made once in shards, read in training, made again from its manifest.

    prior -> sample -> latents -> perturb -> render -> SHARDS -> augment -> encode

Shards hold the samples in the order of their ids, so with `Prior.per_class` equal to the shard size
each class, or pseudo-class, has shards of its own. The store's identity is the whole configuration:
a folder never mixes two sets. `manifest.json` is its exact parts and the SHA-256 of each shard.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import fsspec
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor

from genviews.checks import check_count, fail, lookup
from genviews.described import described_by, parse_object
from genviews.engine import Engine
from genviews.files import atomic_write_bytes, read_metadata
from genviews.generators.base import Generator
from genviews.identity import Identity, identify
from genviews.identity.code import address
from genviews.perturb.base import Perturbation
from genviews.perturb.noise import Angular, Gaussian, Isotropic, Normal, Uniform
from genviews.perturb.redraw import REDRAWN, finite_views
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.render import render
from genviews.represent.prior import Prior, check_ids
from genviews.represent.views import AnchorViews, LatentViews, ViewBatch
from genviews.rows import StoredRows
from genviews.signature import checked
from genviews.store import Shard, ShardStore
from genviews.style_rows import LayerRange
from genviews.types import ImageSpec, Progress
from genviews.work import Tell, run_shards

__all__ = ["StoredViews", "rebuild", "recreate_views", "write_views"]

FORMAT = "genviews-views-1"
MANIFEST = "manifest.json"
Keep = Literal["latents", "images", "both"]

_PERTURBATIONS = (Angular, Gaussian, Independent, Isotropic, StyleMix, Uniform)
_PARTS = (ImageSpec, LayerRange, Normal, Prior)
_TYPES: dict[str, type[Any]] = {address(kind): kind for kind in (*_PERTURBATIONS, *_PARTS)}
"""What `rebuild` makes again: configurations that hold no tensors."""


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

    @checked
    def __init__(
        self,
        folder: str | Path,
        generator: Generator | None = None,
        *,
        positives: int = 1,
        batch_size: int = 64,
    ) -> None:
        store = ShardStore(folder)
        self.identity = store.identity
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
        self.positives = check_count(positives, "positives", most=self.pool, remedy="store more")
        if exact["keep"] == "latents" and generator is None:
            fail("generator", expected="one, to render with", got="none", remedy="pass it")
        if generator is not None:
            # What it rendered, as if it had been described alone.
            answers = {k.removeprefix("views."): v for k, v in self.identity.answers.items()}
            kept = Identity({"generator": made["generator"]}, answers)
            identify(generator=generator).check(kept, f"generator of the views in {folder}")
        self._generator, self._batch_size = generator, check_count(batch_size, "batch_size")
        self._rows = StoredRows(store)

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
        ids = check_ids(ids, self.num_samples)
        anchor = torch.zeros(len(ids), 1, dtype=torch.long, device="cpu")
        shown = torch.cat([anchor, 1 + self.choose(ids, visit)], dim=1)
        read = self._gather(ids, shown).items()
        rows: dict[str, Any] = {name: value.to(self.device) for name, value in read}
        pixels = rows.pop("images", None)
        if pixels is not None:
            images = pixels.float() / 127.5 - 1.0
        else:
            assert self._generator is not None
            label, size = rows.get("labels"), self._batch_size
            images = render(self._generator, rows["latents"], label=label, batch_size=size)
            if not bool(finite_views(images).all()):
                remedy = "store the images as well, which are drawn again then: keep='both'"
                got = "nan or inf in a view whose latent alone was kept"
                fail("views of the generator", expected="finite images", got=got, remedy=remedy)
            images = images.clamp_(-1.0, 1.0)
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


@checked
def write_views(
    views: LatentViews,
    folder: str | Path,
    num_samples: int,
    *,
    keep: Keep = "both",
    shard_size: int = 1000,
    engine: str | Engine = "local",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the views of samples 0 to `num_samples - 1`, what `folder` does not hold yet.

    A run that is killed loses the shard in flight; a second run, at the same time or later, makes
    what is left. A shard made again is equal byte for byte, on the same kind of machine with the
    same number of torch's threads.

    Args:
        views: what to store. All `pool` positives of each sample are (`positives`, without a pool).
        folder: a path, or a URL that fsspec knows.
        num_samples: N.
        keep: "latents" is small and rendered when read, "images" (uint8) needs no generator in
            training, "both". The anchors' z and labels are always kept.
        shard_size: samples in a shard; 1000 as the paper's pseudo-classes.
        engine: "local" (this process), "ray", or an `Engine`.
        progress: called with ("render views", "samples", done, N).

    Returns:
        The manifest, also written to `manifest.json` in the folder. It says how many views were not
        finite and drawn again.

    Raises:
        ValueError: `folder` holds another set (the message lists what differs), or a count out of
            range.
        OSError: the folder cannot be written.
        RuntimeError: an engine ended without making its shards.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, appendix A and its `generate_dataset_*` scripts.

    Differs:
        The authors store PNG files whose names say which belong together, and skip a class whose
        folder exists, half made or not. Pixels are rounded, theirs cut off.

    Example:
        >>> import tempfile
        >>> from genviews import ToyGenerator
        >>> from genviews.perturb.noise import Gaussian
        >>> views = LatentViews(ToyGenerator(), Gaussian("all", 0.2), pool=3)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     manifest = write_views(views, folder, 10, shard_size=4)
        ...     stored = StoredViews(folder)
        ...     len(manifest["sha256"]), stored([9, 0]).images.shape
        (3, torch.Size([2, 2, 1, 8, 8]))
    """
    identity = _identity(views, num_samples, keep, shard_size)
    run_shards(
        ShardStore(folder, identity),
        num_samples,
        partial(_make, _whole(views), keep),
        shard_size=shard_size,
        stage="render views",
        unit="samples",
        engine=engine,
        progress=progress,
    )
    return _write_manifest(folder, identity, -(-num_samples // shard_size), views.batch_size)


@checked
def recreate_views(
    manifest: Mapping[str, Any] | str | Path,
    generator: Generator,
    folder: str | Path,
    perturbation: Perturbation | None = None,
) -> dict[str, Any]:
    """Make a stored set again from its manifest, and compare every shard with it.

    Args:
        manifest: what `write_views` returned, or the path of a `manifest.json`.
        generator: with the weights that the set was made with.
        folder: where to.
        perturbation: needed where it holds tensors (PCA's statistics, a learnt walk); else it is
            made from the manifest.

    Returns:
        The manifest, equal to the given one.

    Raises:
        ValueError: another generator or perturbation than in the manifest, no manifest, or shards
            that are not equal byte for byte (they are named).
    """
    if not isinstance(manifest, Mapping):
        with fsspec.open(str(manifest), "rb") as file:
            manifest = parse_object(file.read(), f"manifest {manifest}")
    if manifest.get("format") != FORMAT:
        fail("manifest", expected=f"format {FORMAT}", got="another", remedy="see `write_views`")
    with described_by("manifest", "what `write_views` wrote"):
        key, digests, batch_size = (manifest[name] for name in ("key", "sha256", "batch_size"))
        options = {name: key[name] for name in ("num_samples", "keep", "shard_size")}
        said = {name: key["views"][name] for name in ("prior", "pool", "seed")}
        if perturbation is None:
            perturbation = rebuild(key["views"]["perturbation"])
        prior = rebuild(said["prior"])
    views = LatentViews(
        generator,
        perturbation,
        prior,
        positives=said["pool"],
        seed=said["seed"],
        batch_size=batch_size,
    )
    made = _identity(views, **options)
    # A manifest is text: it holds no answers.
    Identity(made.exact).check(Identity(key), "generator and perturbation")
    found = write_views(views, folder, **options)
    other = [name for name, digest in digests.items() if found["sha256"].get(name) != digest]
    if other:
        fail(
            "recreated views",
            expected="the bytes of the manifest",
            got=f"others in shards {', '.join(other[:5])}",
            remedy="use the kind of device, the number of threads and the versions of then",
        )
    return found


def rebuild(description: object) -> Any:  # noqa: ANN401  (what was described)
    """Make again what `describe` described.

    Raises:
        ValueError: of a type that is not known here, or that holds tensors.

    Example:
        >>> from genviews.identity import describe
        >>> rebuild(describe(Prior(psi=0.9))) == Prior(psi=0.9)
        True
    """
    if isinstance(description, list):
        return tuple(rebuild(item) for item in description)
    if not isinstance(description, Mapping):
        return description
    made = _TYPES.get(str(description.get("type")))
    if made is None:
        fail(
            "description",
            expected=f"one of {', '.join(sorted(_TYPES))}, which hold no tensors",
            got=repr(description.get("type")),
            remedy="pass the perturbation itself",
        )
    return made(**{k: rebuild(v) for k, v in description.items() if k != "type"})


def _whole(views: LatentViews) -> LatentViews:
    """The same views, showing every positive of the pool."""
    whole = copy.copy(views)
    whole.positives = whole.pool = views.pool or views.positives
    return whole


def _identity(views: LatentViews, num_samples: int, keep: str, shard_size: int) -> Identity:
    """All that the content of the shards depends on."""
    return identify(
        format=FORMAT,
        views=_whole(views),
        num_samples=check_count(num_samples, "num_samples"),
        keep=lookup(keep, {k: k for k in get_args(Keep)}, "keep"),
        shard_size=check_count(shard_size, "shard_size"),
    )


def _make(views: LatentViews, keep: Keep, rows: range, tell: Tell) -> Shard:
    """The samples of a shard."""
    if keep == "latents":
        (anchors, latents), images, redrawn = views.latents(rows), None, 0
    else:
        anchors, latents, images, redrawn = views.rendered(rows)
    found = {
        "z": anchors.z,
        "view_z": views.view_z(anchors.z, latents),
        "labels": anchors.labels,
        "pseudo_labels": anchors.pseudo_labels,
    }
    tensors = {name: value for name, value in found.items() if value is not None}
    if keep != "images":
        tensors["latents"] = latents
    if images is not None:
        tensors["images"] = ((images + 1.0) * 127.5).round().to(torch.uint8)
    notes = {REDRAWN: str(redrawn)} if redrawn else {}
    return Shard(tensors=tensors, ids=tuple(str(i) for i in rows), notes=notes)


def _write_manifest(
    folder: str | Path, identity: Identity, total: int, batch_size: int
) -> dict[str, Any]:
    files, root = fsspec.url_to_fs(str(folder))
    names = [f"{index:05d}.safetensors" for index in range(total)]
    digests, redrawn = {}, 0
    for name in names:
        data = files.cat_file(f"{root}/{name}")
        digests[name] = hashlib.sha256(data).hexdigest()
        redrawn += int(json.loads(read_metadata(data).get("notes", "{}")).get(REDRAWN, 0))
    # The bytes, but nothing else, depend on how many images were rendered at once.
    facts = {"format": FORMAT, "key": dict(identity.exact), "batch_size": batch_size}
    manifest = {**facts, REDRAWN: redrawn, "sha256": digests}
    data = (json.dumps(manifest, indent=2) + "\n").encode()
    if isinstance(files, LocalFileSystem):
        atomic_write_bytes(f"{root}/{MANIFEST}", data)
    else:
        files.pipe_file(f"{root}/{MANIFEST}", data)
    return manifest
