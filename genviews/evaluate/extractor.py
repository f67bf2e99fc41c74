"""A frozen network as a function of images in [-1, 1]: the first half of every evaluation.

    images -> ENCODER -> features h -> probe, kNN, SVM, FID

With a folder each shard of the features of a source is kept as soon as it is made, under a key of
all that its values depend on: a killed run loses the shard in flight.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.augment.base import PixelViews
from genviews.augment.geometry import CentreCrop, Resize
from genviews.checks import check_count, check_finite, check_pixels, fail
from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, as_source
from genviews.engine import Engine
from genviews.identity import identify
from genviews.memory import images_in_shard
from genviews.modes import evaluating, place_of
from genviews.rng import Rng
from genviews.shard import Shard
from genviews.signature import checked
from genviews.store import MemoryStore, ShardStore
from genviews.types import Progress, check_tensor
from genviews.user_code import user_code
from genviews.work import Tell, run_shards

__all__ = [
    "AugmentedFeatures",
    "FeatureExtractor",
    "Features",
    "centre_view",
    "check_features",
    "extract_features",
    "l2_normalise",
]

SHARD = 2048  # images, or fewer where they are large

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
        allow_untrained: let a network pass whose norms are as they were first set. Without,
            features of a network that nobody loaded weights into are an error. A network without
            norms cannot be told, and passes.
        batch_size: images at once; changes results by round-off only.

    Raises:
        ValueError: a size below 1, `resize_to` without or below `input_size`, an untrained network.

    Source: Jahanian et al. 2022, arXiv:2106.05258, Sec. 4; sizes from the authors' main_linear.py.
    Differs: the authors load checkpoints with strict=False and only on a GPU, and so probe random
        weights without a word; here a network is refused whose norms were never trained.

    Example:
        >>> extract = FeatureExtractor(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
        >>> extract(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 3])
    """

    @checked
    def __init__(
        self,
        network: nn.Module | Callable[[Tensor], Tensor],
        *,
        input_size: int | None = None,
        resize_to: int | None = None,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        normalise: bool = False,
        allow_untrained: bool = False,
        batch_size: int = 256,
    ) -> None:
        self.network, self.normalise = network, normalise
        self.input_size, self.resize_to = input_size, resize_to
        self.batch_size = check_count(batch_size, "batch_size")
        self.mean, self.std = torch.as_tensor(mean).float(), torch.as_tensor(std).float()
        owner = network.__self__ if inspect.ismethod(network) else network
        self.module = owner if isinstance(owner, nn.Module) else None
        _check_sizes(input_size, resize_to)
        if self.module is not None and not allow_untrained:
            _check_trained(self.module)

    @checked
    def __call__(self, images: Float[Tensor, "n C H W"]) -> Float[Tensor, "n E"]:
        """Return float32 features of images in [-1, 1], on the CPU.

        Raises:
            ValueError: images of 0 to 255 or 0 to 1; features of another shape, or that are not
                finite (the rows are named).
        """
        check_pixels(images, "images of the extractor", as_set=True)
        parts = [self._chunk(chunk) for chunk in images.split(self.batch_size)]
        return torch.cat(parts)

    def _chunk(self, images: Tensor) -> Tensor:
        device, dtype = place_of(nn.Identity() if self.module is None else self.module, "network")
        with torch.no_grad(), nullcontext() if self.module is None else evaluating(self.module):
            shown = self._prepare(images.to(device, dtype))
            with user_code("network of the extractor", shown):
                found = self.network(shown)
        features = _as_rows(found, len(images)).float().cpu()
        remedy = "check the network's weights and the range of the images"
        rows = [f"row {i}" for i in range(len(images))]
        check_finite(features, f"features of {len(images)} images", rows, remedy)
        return l2_normalise(features) if self.normalise else features

    def _prepare(self, images: Tensor) -> Tensor:
        if self.input_size is not None:
            images = centre_view(images, self.input_size, self.resize_to)
        mean, std = (value.to(images).reshape(-1, 1, 1) for value in (self.mean, self.std))
        return (images - mean) / std

    def __describe__(self) -> dict[str, object]:
        """All that the features depend on."""
        names = ("network", "module", "input_size", "resize_to", "mean", "std", "normalise")
        return {name: getattr(self, name) for name in names}


@checked
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
    cropped: Tensor = CentreCrop(size).augment(views, streams)
    return cropped[:, 0]


@checked
def l2_normalise(h: Float[Tensor, "N E"], eps: float = 1e-5) -> Float[Tensor, "N E"]:
    """Scale each row to unit length: h / (|h| + eps).

    Source: Goyal et al. 2019, arXiv:1905.01235 (code), and the VOC07 script of Jahanian et al.
    """
    rows: Tensor = h / (h.norm(dim=1, keepdim=True) + eps)
    return rows


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


@checked
def extract_features(
    extractor: FeatureExtractor,
    images: ImageSource | ImageSet,
    *,
    transform: PixelViews | None = None,
    rng: Rng | None = None,
    folder: str | Path | None = None,
    shard_size: int | None = None,
    engine: str | Engine = "local",
    stage: str = "features",
    progress: Progress | None = None,
) -> Features:
    """Return the features of every image of a source.

    Args:
        extractor: the network.
        images: N images.
        transform: pixel views seen in place of the images (an augmented probe); None for none.
        rng: of the transform; an image's draw depends on it and on the image's id alone.
        folder: or fsspec URL, where shards are kept, in a subfolder of their own for each network,
            source and setting; a later call reads what is there. None keeps nothing.
        shard_size: images a shard, and so in memory at once; None takes 2048, or fewer where they
            are large.
        engine: "local" (this process); with a folder also "ray", or an `Engine`.
        stage: what `progress` calls it.
        progress: called with (stage, "images", done, all).

    Raises:
        ValueError: features that are not finite or the same for every image, no readable image,
            a transform without `rng`.

    Example:
        >>> extract = FeatureExtractor(torch.nn.Flatten())
        >>> two = ImageSet(images=torch.rand(2, 1, 2, 2), ids=("a", "b"))
        >>> extract_features(extract, two).h.shape
        torch.Size([2, 4])
    """
    source = as_source(images)
    if transform is not None and rng is None:
        fail("rng of the transform", expected="an Rng", got="none", remedy="pass rng=Rng(seed)")
    if shard_size is None:
        shard_size = images_in_shard(source.image_spec, SHARD)
    check_count(shard_size, "shard_size")

    def make(rows: range, tell: Tell) -> Shard:
        batch = source.read(rows)
        ids = batch.ids or ("",)  # a blank image tells the width of features
        images = batch.images if len(batch) else torch.zeros(1, *source.image_spec.shape)
        if transform is not None and rng is not None:
            images = transform(images, 1, rng.streams(ids))[:, 0]
        found = extractor(images)[: len(batch)]
        return Shard(tensors={"features": found}, ids=batch.ids, notes=dict(batch.skipped))

    store: MemoryStore | ShardStore = MemoryStore()
    if folder is not None:
        identity = identify(
            features=extractor,
            source=source,
            transform=transform,
            rng=None if transform is None else rng,
            shard_size=shard_size,
        )
        store = ShardStore(f"{str(folder).rstrip('/')}/{identity.digest}", identity)
    run_shards(
        store,
        len(source),
        make,
        shard_size=shard_size,
        stage=stage,
        engine=engine,
        progress=progress,
    )
    kept = store.read_all(-(-len(source) // shard_size))
    check_features(kept.tensors["features"])
    return Features(h=kept.tensors["features"], ids=kept.ids, skipped=tuple(kept.notes.items()))


@checked
@dataclass(frozen=True, kw_only=True)
class AugmentedFeatures:
    """Features of freshly augmented images for each epoch: what `SGDProbe.fit_epochs` takes.

    Args:
        extractor: the network.
        images: the training images; all must be readable.
        transform: e.g. a random resized crop with a flip.
        rng: an image's draw depends on it, the epoch and the image's id alone.
        folder: where each epoch's features are kept; see `extract_features`.

    Example:
        >>> from genviews.augment.geometry import HorizontalFlip
        >>> images = ImageSet(images=torch.rand(4, 1, 2, 2), ids=tuple("abcd"))
        >>> features = AugmentedFeatures(
        ...     extractor=FeatureExtractor(torch.nn.Flatten()), images=images,
        ...     transform=HorizontalFlip(), rng=Rng(0))
        >>> features(3).shape
        torch.Size([4, 4])
    """

    extractor: FeatureExtractor
    images: ImageSource | ImageSet
    transform: PixelViews
    rng: Rng
    folder: str | Path | None = None

    def __call__(self, epoch: int) -> Float[Tensor, "N E"]:
        """Return the features of an epoch, in the order of the images.

        Raises:
            ValueError: images that cannot be read.
        """
        found = extract_features(
            self.extractor,
            self.images,
            transform=self.transform,
            rng=self.rng.child(f"epoch/{epoch}"),
            folder=self.folder,
        )
        if found.skipped:
            fail(
                "training images of the probe",
                expected="readable ones",
                got=f"{len(found.skipped)} unreadable, e.g. {found.skipped[0]}",
                remedy="leave them out of the source",
            )
        return found.h


def _as_rows(found: object, count: int) -> Tensor:
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[2:] == (1, 1):
        found = found.flatten(1)
    if isinstance(found, Tensor):
        check_tensor(found, "features")
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
    fresh = [known for part in module.modules() if (known := _is_fresh(part)) is not None]
    if fresh and all(fresh):
        fail(
            "network of the features",
            expected="trained weights",
            got=f"{type(module).__name__} whose {len(fresh)} norms are as they were first set: "
            "scales of 1 or 0, shifts of 0, and no image seen",
            remedy="load its weights; a random encoder is a baseline where allow_untrained=True "
            "says so, and `genviews probe` shows one beside every encoder",
        )


def _is_fresh(part: nn.Module) -> bool | None:
    """Whether a norm is as it was made; None for what is no norm, or does not say it.

    By its name, since networks bring norms of their own. The mean and variance of a batch norm
    change with the first image; scale and shift of any norm with the first step.
    """
    if "norm" not in type(part).__name__.lower():
        return None
    own = dict(part.named_buffers(recurse=False)) | dict(part.named_parameters(recurse=False))
    mean, variance = own.get("running_mean"), own.get("running_var")
    scale, shift = own.get("weight"), own.get("bias")
    if mean is not None and variance is not None:
        return not bool(mean.any()) and bool((variance == 1).all())
    if scale is None:
        return None
    as_made = bool((scale == 1).all()) or not bool(scale.any())
    return as_made and (shift is None or not bool(shift.any()))
