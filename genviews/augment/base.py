"""The transform protocol, and the two transforms that change no pixel by themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor

from genviews.checks import check_count, check_each, check_pixels
from genviews.rng import Streams
from genviews.types import Images, check_floats, check_shape

__all__ = ["Compose", "Identity", "PixelViews", "Renamed"]


class PixelViews(ABC):
    """A random transform of pixels; call it on images, or `augment` views that exist already.

    Subclasses give `name` (the key of these views in a prediction bank) and `_transform`; one that
    leaves nothing to chance says so by `is_random`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Short name, such as "flip"."""

    @property
    def is_random(self) -> bool:
        """Whether two views of an image can differ; one that is sure, such as a flip, needs one."""
        return True

    @abstractmethod
    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        """Transform checked (B, K, C, H, W) views, each by its own draw from its image's stream."""

    def __call__(
        self, images: Images, num_views: int, streams: Streams
    ) -> Float[Tensor, "B K C H2 W2"]:
        """Return `num_views` transformed copies of each image.

        Args:
            images: values in [-1, 1].
            num_views: K; 1 for the augmentation of training.
            streams: the B streams of these images; view k of an image is the same whatever K is.

        Returns:
            Views on the device of `images`.

        Raises:
            ValueError: images that are not (B, C, H, W), or of 0 to 255; another number of streams.

        Example:
            >>> import torch
            >>> from genviews.augment.geometry import HorizontalFlip
            >>> from genviews.rng import Rng
            >>> views = HorizontalFlip()(torch.rand(4, 1, 8, 8), 3, Rng(0).streams(range(4)))
            >>> views.shape
            torch.Size([4, 3, 1, 8, 8])
        """
        check_count(num_views, "num_views")
        remedy = "add the batch axis; views (B, K, C, H, W) go through `augment`"
        check_shape(check_floats(images, "images"), ("B", "C", "H", "W"), "images", remedy)
        check_pixels(images, "images of pixel views")
        return self.augment(images.unsqueeze(1).expand(-1, num_views, -1, -1, -1), streams)

    def augment(
        self, views: Float[Tensor, "B K C H W"], streams: Streams
    ) -> Float[Tensor, "B K C H2 W2"]:
        """Transform views that exist already, such as rendered ones; each by a draw of its own.

        Args:
            views: values in [-1, 1].
            streams: the B streams of the images that the views belong to.

        Returns:
            Views on the device of `views`.

        Raises:
            ValueError: views that are not (B, K, C, H, W), or another number of streams.
        """
        check_shape(views, ("B", "K", "C", "H", "W"), "views", "add the axes of images and views")
        remedy = "make them with `Rng(seed).streams(ids)`, one id an image"
        check_each(streams, len(views), "streams", remedy=remedy)
        return self._transform(views, streams)

    def __describe__(self) -> dict[str, object]:
        """Its settings: two transforms of one name are told apart by them."""
        return dict(vars(self))

    def __repr__(self) -> str:
        fields = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"{type(self).__name__}({fields})"


class Identity(PixelViews):
    """The image itself, K times."""

    name = "identity"
    is_random = False

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        return views


class Compose(PixelViews):
    """One transform after the other, each with draws of its own.

    Args:
        parts: the transforms in order.
        name: key of these views in a prediction bank; None joins the parts' names with "+".
    """

    def __init__(self, *parts: PixelViews, name: str | None = None) -> None:
        self.parts = parts
        self._name = "+".join(part.name for part in parts) if name is None else name

    @property
    def name(self) -> str:
        """The given name, or the parts' names joined."""
        return self._name

    @property
    def is_random(self) -> bool:
        """Whether any part is."""
        return any(part.is_random for part in self.parts)

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        for index, part in enumerate(self.parts):
            views = part.augment(views, streams.child(str(index)))
        return views

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.parts))}, name={self._name!r})"


class Renamed(PixelViews):
    """The same transform with the same draws, under a name of its own.

    Args:
        views: the transform.
        name: key of these views in a prediction bank.
    """

    def __init__(self, views: PixelViews, name: str) -> None:
        self.views = views
        self._name = name

    @property
    def name(self) -> str:
        """The given name."""
        return self._name

    @property
    def is_random(self) -> bool:
        """Whether the transform is."""
        return self.views.is_random

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        return self.views.augment(views, streams)

    def __repr__(self) -> str:
        return f"Renamed({self.views!r}, {self._name!r})"
