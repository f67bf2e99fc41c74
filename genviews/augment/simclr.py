"""T_x of contrastive learning: crop, flip, colour jitter, grey, blur, all in one transform.

    prior -> sample -> latents -> perturb -> render -> AUGMENT -> encode -> representation

Every view draws its parameters once, from one stream (`SimCLR.draw`); a batch is then transformed
in few passes (`SimCLR.apply`).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from genviews.augment.base import PixelViews
from genviews.augment.colour import change_colours, check_jitter, to_grey
from genviews.augment.geometry import check_window
from genviews.augment.resample import ATTEMPTS, blur, blur_size, crop_and_resize, random_boxes
from genviews.checks import check_count, check_fraction, fail
from genviews.rng import Streams

__all__ = ["SimCLR", "SimCLRDraws"]

# Places of the uniform draws of a view: box attempts, then those below.
_FLIP, _JITTERED, _GREY, _BLURRED, _SIGMA, _ORDER, _AMOUNTS, _WIDTH = 0, 1, 2, 3, 4, 5, 9, 13


@dataclass(frozen=True, kw_only=True, eq=False)
class SimCLRDraws:
    """What was drawn for N views; all on the CPU.

    Args:
        box: (top, left, height, width) of the crop, in pixels of the input.
        flip: mirrored left and right?
        order: the permutation in which brightness (0), contrast (1), saturation (2) and hue (3)
            change.
        amounts: three factors, and the turn of the hue as a fraction of the circle.
        jittered: do the colours change at all?
        grey: is colour replaced by luma?
        blurred: is the result blurred?
        sigma: of the blur, in pixels of the output.
    """

    box: Int[Tensor, "N 4"]
    flip: Bool[Tensor, " N"]
    order: Int[Tensor, "N 4"]
    amounts: Float[Tensor, "N 4"]
    jittered: Bool[Tensor, " N"]
    grey: Bool[Tensor, " N"]
    blurred: Bool[Tensor, " N"]
    sigma: Float[Tensor, " N"]


@dataclass(frozen=True)
class SimCLR(PixelViews):
    """Random resized crop, flip, colour jitter in random order, grey, and blur when asked for.

    The parameters are laws of torchvision's transforms of the same names, and each step computes
    what torchvision's `functional` does, antialiased crop included. Normalisation is not part of
    it: that is the encoder's border.

    Args:
        size: height and width of the result, in pixels.
        area: least and most share of the image that is cropped.
        ratio: least and most width / height of the crop.
        flip: probability of a mirror image.
        brightness: factor ~ U(max(0, 1 - s), 1 + s); 0 leaves it, likewise below.
        contrast: s of contrast.
        saturation: s of saturation; without effect on grey images, as hue and grey.
        hue: largest turn, a fraction of the colour circle in [0, 0.5].
        jitter: probability that the colours change at all.
        grey: probability that colour is replaced by luma.
        blurred: probability of a blur; 0 as in GenRep, 0.5 as in SimCLR.
        sigma: least and most standard deviation of the blur, in pixels.

    Raises:
        ValueError: a value out of range.

    Source:
        Chen, Kornblith, Norouzi, Hinton, "A simple framework for contrastive learning", ICML 2020,
        arXiv:2002.05709, appendix A; the defaults are those of Jahanian et al., ICLR 2022,
        arXiv:2106.05258, and its code (`main_unified.py`).

    Differs:
        SimCLR's own blur has the kernel of a tenth of the image; so has this one. The reference
        reads 8-bit images; here nothing is rounded, and only a changed colour is clamped.

    Example:
        >>> import torch
        >>> from genviews.rng import Rng
        >>> views = SimCLR(24)(torch.rand(2, 3, 32, 32), 2, Rng(0).streams(range(2)))
        >>> views.shape
        torch.Size([2, 2, 3, 24, 24])
    """

    size: int
    area: tuple[float, float] = (0.2, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    _: KW_ONLY
    flip: float = 0.5
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    jitter: float = 0.8
    grey: float = 0.2
    blurred: float = 0.0
    sigma: tuple[float, float] = (0.1, 2.0)

    name: ClassVar[str] = "simclr"

    def __post_init__(self) -> None:
        check_window(self.area, self.ratio)
        check_jitter(*self._strengths)
        check_count(self.size, "crop size")
        for chance in ("flip", "jitter", "grey", "blurred"):
            check_fraction(getattr(self, chance), f"probability of {chance}")
        if not 0 < self.sigma[0] <= self.sigma[1] < math.inf:
            wanted, got = "0 < least <= most", self.sigma
            fail("sigma of the blur", expected=wanted, got=got, remedy="swap them")

    def draw(self, streams: Streams, num_views: int, size: tuple[int, int]) -> SimCLRDraws:
        """Draw the parameters of K views of each image, (B K) in all.

        Args:
            streams: one for each of the B images.
            num_views: K.
            size: (H, W) of the images.
        """
        unit = streams.child("simclr").uniform(num_views, (4 * ATTEMPTS + _WIDTH,)).flatten(0, 1)
        boxes, unit = unit.tensor_split([4 * ATTEMPTS], dim=1)
        strengths = torch.tensor(self._strengths, device="cpu")
        least = torch.cat([(1 - strengths[:3]).clamp(min=0), -strengths[3:]])
        most = torch.cat([1 + strengths[:3], strengths[3:]])
        low, high = self.sigma
        return SimCLRDraws(
            box=random_boxes(boxes.unflatten(1, (ATTEMPTS, 4)), size, self.area, self.ratio),
            flip=unit[:, _FLIP] < self.flip,
            order=unit[:, _ORDER:_AMOUNTS].argsort(dim=1),
            amounts=least + unit[:, _AMOUNTS:] * (most - least),
            jittered=unit[:, _JITTERED] < self.jitter,
            grey=unit[:, _GREY] < self.grey,
            blurred=unit[:, _BLURRED] < self.blurred,
            sigma=low + unit[:, _SIGMA] * (high - low),
        )

    def apply(
        self, images: Float[Tensor, "N C H W"], draws: SimCLRDraws
    ) -> Float[Tensor, "N C h w"]:
        """Transform N images, each by its own parameters; differentiable in the images.

        Args:
            images: values in [-1, 1], with 1 or 3 channels, on any device.
            draws: what `draw` returned for images of this size.

        Raises:
            ValueError: another number of channels.
        """
        if images.shape[1] not in (1, 3):
            got = images.shape[1]
            fail("SimCLR views", expected="1 or 3 channels", got=got, remedy="convert the images")
        views = crop_and_resize(images, draws.box, draws.flip, (self.size, self.size))
        chosen = draws.jittered[:, None] & (torch.tensor(self._strengths, device="cpu") > 0)
        views = change_colours(views, draws.order, draws.amounts, chosen)
        views = to_grey(views, draws.grey)
        if draws.blurred.any():
            rows = draws.blurred.nonzero().flatten()
            here = rows.to(views.device)
            soft = blur(views.index_select(0, here), draws.sigma[rows], blur_size(self.size))
            views = views.index_copy(0, here, soft)
        return views

    @property
    def _strengths(self) -> tuple[float, float, float, float]:
        return (self.brightness, self.contrast, self.saturation, self.hue)

    def _transform(self, views: Tensor, streams: Streams) -> Tensor:
        draws = self.draw(streams, views.shape[1], (views.shape[-2], views.shape[-1]))
        made = self.apply(views.flatten(0, 1), draws)
        return made.reshape(*views.shape[:2], *made.shape[1:])
