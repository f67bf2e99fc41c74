"""Features of images by any network: what probes, kNN and the distances of generators are fed with.

    images -> encoder -> FEATURES h -> probe, kNN, SVM, FID

A `FeatureExtractor` is a network with what images must look like before it; `extract_features` runs
it over a source of any size, a shard at a time. With a folder each shard is kept as soon as it is
made, under a key of all that its values depend on: a killed run loses the shard in flight.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.augment import CentreCrop, PixelViews, Resize
from genviews.checks import check_count, fail
from genviews.classify.model import evaluating
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource, SourceBatch
from genviews.fingerprint import weights_hash
from genviews.rng import Rng
from genviews.shard import key_text
from genviews.store import ShardStore

__all__ = [
    "FeatureExtractor",
    "Features",
    "centre_view",
    "check_features",
    "extract_features",
    "l2_normalise",
]

_ROUND_OFF = 1e-6  # relative spread below which float32 features do not differ


class FeatureExtractor:
    """A frozen network, and the images that it takes.

    Args:
        network: gives (n, E) features, or (n, E, 1, 1) maps, for (n, C, H, W) images in [-1, 1]. A
            module is called in eval mode and every part put back in its mode; a function (M5: the
            encoder of a BigBiGAN, any library's) is called as it is.
        input_size: height and width of what the network sees, in pixels; None takes images as they
            come. Images are brought to it by `centre_view`.
        resize_to: short side before the central crop, in pixels; None is `input_size`. 128 with
            `input_size` 112 is the paper's validation transform.
        mean: subtracted from images in [-1, 1]; a number, or one a channel. `from_unit_range` of
            `genviews.classify.model` converts torchvision's.
        std: divides them then.
        normalise: scale each row of the features to unit length; see `l2_normalise`.
        name: says what a function is, for the key of the cache; change it when the function
            changes. Modules are known by their weights.
        allow_untrained: let a network pass whose batch norms never saw an image. Without, features
            of a network that nobody loaded weights into are an error.
        batch_size: images at once; changes results by round-off only.

    Raises:
        ValueError: a size below 1, `resize_to` without or below `input_size`, an untrained network.

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4; sizes from the authors' main_linear.py.
    Differs: the authors load checkpoints with strict=False and only on a GPU, and so probe random
        weights without a word; here an untrained batch norm is refused.

    Example:
        >>> extract = FeatureExtractor(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
        >>> extract(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 3])
    """

    def __init__(
        self,
        network: nn.Module | Callable[[Tensor], Tensor],
        *,
        input_size: int | None = None,
        resize_to: int | None = None,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        normalise: bool = False,
        name: str | None = None,
        allow_untrained: bool = False,
        batch_size: int = 256,
    ) -> None:
        self.network, self.name, self.normalise = network, name, normalise
        self.input_size, self.resize_to = input_size, resize_to
        self.batch_size = check_count(batch_size, "batch_size")
        self.mean, self.std = torch.as_tensor(mean).float(), torch.as_tensor(std).float()
        owner = network.__self__ if inspect.ismethod(network) else network
        self.module = owner if isinstance(owner, nn.Module) else None
        _check_sizes(input_size, resize_to)
        if self.module is not None and not allow_untrained:
            _check_trained(self.module)

    def __call__(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n E"]:
        """Return float32 features of images in [-1, 1], on the CPU.

        Raises:
            ValueError: features of another shape, or that are not finite (the rows are named).
        """
        parts = [self._chunk(chunk) for chunk in images.split(self.batch_size)]
        return torch.cat(parts)

    def _chunk(self, images: Tensor) -> Tensor:
        device, dtype = _place(self.module)
        with torch.no_grad(), nullcontext() if self.module is None else evaluating(self.module):
            found = self.network(self._prepare(images.to(device, dtype)))
        features = _as_rows(found, len(images)).float().cpu()
        bad = torch.nonzero(~features.isfinite().all(1)).flatten().tolist()
        if bad:
            fail(
                "features",
                expected="finite numbers",
                got=f"NaN or infinity for {len(bad)} of {len(images)} images, e.g. row {bad[0]}",
                remedy="check the network's weights and the range of the images",
            )
        return l2_normalise(features) if self.normalise else features

    def _prepare(self, images: Tensor) -> Tensor:
        if self.input_size is not None:
            images = centre_view(images, self.input_size, self.resize_to)
        mean, std = (
            value.to(images).reshape(-1, 1, 1) if value.ndim else value.to(images)
            for value in (self.mean, self.std)
        )
        return (images - mean) / std

    def describe(self) -> dict[str, object]:
        """All that the features depend on, as JSON values.

        Raises:
            ValueError: a function without `name`.
        """
        function = "" if isinstance(self.network, nn.Module) else _qualified(self.network)
        if self.module is None and self.name is None:
            fail(
                "features of a function",
                expected="a name that says which function they are of",
                got=function,
                remedy="pass FeatureExtractor(..., name=...), or compute without a folder",
            )
        return {
            "network": self.name or "",
            "function": function,
            "module": "" if self.module is None else _hash(repr(self.module)),
            "weights": "" if self.module is None else weights_hash(self.module),
            "input_size": self.input_size,
            "resize_to": self.resize_to,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "normalise": self.normalise,
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Features of the images of a source.

    Args:
        h: (N, E) float32.
        ids: N ids, in the order of the source.
        skipped: (id, reason) of the images that could not be read.
    """

    h: Float[Tensor, "N E"]
    ids: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


def extract_features(
    extractor: FeatureExtractor,
    images: ImageSource | ImageSet,
    *,
    transform: PixelViews | None = None,
    rng: Rng | None = None,
    folder: str | Path | None = None,
    shard_size: int = 2048,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Return the features of every image of a source.

    Args:
        extractor: the network.
        images: N images.
        transform: pixel views seen in place of the images (an augmented probe); None for none.
        rng: of the transform; an image's draw depends on it and on the image's id alone.
        folder: or fsspec URL, where shards are kept, in a subfolder of their own for each network,
            source and setting; a later call reads what is there. None keeps nothing. Two runs at
            once do the same work twice, to the same result.
        shard_size: images a shard, and so in memory at once.
        progress: called after each shard with the number of images done and the number of all.

    Raises:
        ValueError: features that are not finite or the same for every image, no readable image,
            a transform without `rng`, a function without name together with a folder.

    Example:
        >>> extract = FeatureExtractor(nn.Flatten())
        >>> two = ImageSet(images=torch.rand(2, 1, 2, 2), ids=("a", "b"))
        >>> extract_features(extract, two).h.shape
        torch.Size([2, 4])
    """
    source = MemorySource(images) if isinstance(images, ImageSet) else images
    if transform is not None and rng is None:
        fail("rng of the transform", expected="an Rng", got="none", remedy="pass rng=Rng(seed)")
    check_count(shard_size, "shard_size")

    def shard(rows: range) -> tuple[Tensor, SourceBatch]:
        batch = source.read(rows)
        if not len(batch):
            blank = torch.zeros(1, *source.image_spec.shape)
            return extractor(_see(blank, ("",), transform, rng))[:0], batch
        return extractor(_see(batch.images, batch.ids, transform, rng)), batch

    starts = range(0, len(source), shard_size)
    cuts = [range(s, min(s + shard_size, len(source))) for s in starts]
    if folder is None:
        found = _in_memory(cuts, shard, progress)
    else:
        key = _key(extractor, source, transform, rng, shard_size)
        found = _in_store(folder, key, cuts, shard, progress)
    check_features(found.h)
    return found


Made = tuple[Tensor, SourceBatch]


def _in_memory(
    cuts: list[range],
    make: Callable[[range], Made],
    progress: Callable[[int, int], None] | None,
) -> Features:
    parts: list[Made] = []
    for cut in cuts:
        parts.append(make(cut))
        if progress is not None:
            progress(cut.stop, cuts[-1].stop)
    return Features(
        h=torch.cat([features for features, _ in parts]),
        ids=tuple(i for _, batch in parts for i in batch.ids),
        skipped=tuple(s for _, batch in parts for s in batch.skipped),
    )


def _in_store(
    folder: str | Path,
    key: dict[str, object],
    cuts: list[range],
    make: Callable[[range], Made],
    progress: Callable[[int, int], None] | None,
) -> Features:
    store = ShardStore(f"{str(folder).rstrip('/')}/{_hash(key_text(key))}", key)
    missing = set(store.missing(len(cuts)))
    for index, cut in enumerate(cuts):
        if index in missing:
            features, batch = make(cut)
            store.write(index, {"features": features}, batch.ids, dict(batch.skipped))
        if progress is not None:
            progress(cut.stop, cuts[-1].stop)
    kept = store.read_all(len(cuts))
    return Features(h=kept.tensors["features"], ids=kept.ids, skipped=tuple(kept.notes.items()))


def _key(
    extractor: FeatureExtractor,
    source: ImageSource,
    transform: PixelViews | None,
    rng: Rng | None,
    shard_size: int,
) -> dict[str, object]:
    seed = None if transform is None or rng is None else [rng.seed, rng.purpose]
    return {
        "features": extractor.describe(),
        "source": source.fingerprint(),
        "transform": None if transform is None else repr(transform),
        "seed": seed,
        "shard_size": shard_size,
    }


def _see(
    images: Tensor, ids: tuple[str, ...], transform: PixelViews | None, rng: Rng | None
) -> Tensor:
    if transform is None or rng is None:
        return images
    return transform(images, 1, rng.streams(ids))[:, 0]


def centre_view(
    images: Float[Tensor, "n C H W"], size: int, short: int | None = None
) -> Float[Tensor, "n C S S"]:
    """Return the central square of images: the short side resized, then a crop.

    Args:
        images: of any size; smaller ones are enlarged.
        size: S, height and width of the result.
        short: length of the short side before the crop; None is `size`.

    Source: torchvision's Resize and CenterCrop, as in the authors' evaluation scripts.
    Differs: on floats, so not rounded to 256 levels in between.
    """
    _check_sizes(size, short)
    streams = Rng(0).streams(range(len(images)))  # both are the same for every draw
    views = Resize(short or size).augment(images[:, None], streams)
    return CentreCrop(size).augment(views, streams)[:, 0]


def l2_normalise(h: Float[Tensor, "N E"], eps: float = 1e-5) -> Float[Tensor, "N E"]:
    """Scale each row to unit length: h / (|h| + eps).

    Source: Goyal et al. 2019, arXiv:1905.01235 (code), and the VOC07 script of Jahanian et al.
    """
    return h / (h.norm(dim=1, keepdim=True) + eps)


def check_features(h: Float[Tensor, "N E"], what: str = "features") -> None:
    """Raise ValueError unless features are finite and tell at least two images apart."""
    if 0 in h.shape or not bool(h.isfinite().all()):
        got = f"shape {tuple(h.shape)}" if 0 in h.shape else "NaN or infinity"
        fail(what, expected="finite numbers", got=got, remedy="check the images and the network")
    if len(h) > 1:
        spread = (h.amax(0) - h.amin(0)).max()
        if bool(spread <= _ROUND_OFF * h.abs().max()):
            fail(
                what,
                expected="rows that differ",
                got=f"the same row for all {len(h)} images",
                remedy="the encoder has collapsed, or its weights were never loaded",
            )


def _as_rows(found: object, count: int) -> Tensor:
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != count:
        got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        fail(
            "features",
            expected=f"one row for each of {count} images, shape ({count}, E)",
            got=got,
            remedy="pool maps over positions, e.g. `lambda x: trunk(x).mean((2, 3))`",
        )
    return found


def _check_sizes(size: int | None, short: int | None) -> None:
    if size is not None:
        check_count(size, "input_size")
    if short is not None and (size is None or short < size):
        fail("resize_to", expected=f"at least input_size ({size})", got=short, remedy="change it")


def _check_trained(module: nn.Module) -> None:
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    fresh = [
        m
        for m in norms
        if m.running_mean is not None
        and m.running_var is not None
        and not bool(m.running_mean.any())
        and bool((m.running_var == 1).all())
    ]
    if norms and len(fresh) == len(norms):
        fail(
            "network of the features",
            expected="trained weights",
            got=f"{type(module).__name__} whose {len(norms)} batch norms never saw an image",
            remedy="load its weights; for a random encoder as baseline pass allow_untrained=True",
        )


def _place(module: nn.Module | None) -> tuple[torch.device, torch.dtype]:
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    found = next((t for t in tensors if t.is_floating_point()), torch.zeros(()))
    return found.device, found.dtype


def _qualified(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))


def _hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
