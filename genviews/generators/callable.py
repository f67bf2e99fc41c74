"""A black-box generator: any function from prior latents to images, with nothing else known of it.

The weakest generator the arrows can use: no style layers, no mapping, no mean but the prior's. Its
latent is z itself, one row (L = 1), and its views are small moves of z. `load_callable` finds the
function by name. `z_space` sees a generator with a mapping as such a function,

    z -> PERTURB -> map -> render        in the place of        z -> map -> perturb -> render

so that every perturbation, and everything else that speaks to a generator, can act before the
mapping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from genviews.checks import check_count, fail
from genviews.generators.base import Generator
from genviews.named import find_named
from genviews.rng import Rng
from genviews.types import (
    Draws,
    Images,
    ImageSpec,
    Label,
    Latents,
    LatentSpec,
    check_floats,
    check_shape,
)

__all__ = ["CallableGenerator", "load_callable", "z_space"]

LARGEST = 10.0  # beyond +-10 an image does not overshoot [-1, 1] but is in another range
SAME = 1e-3  # a sample alone and in a batch may differ by round-off, not by more


class CallableGenerator(Generator):
    """Wrap a function or module that turns z (B, Z) into images (B, C, H, W) in [-1, 1].

    A conditional function is called as `function(z, c)` with one-hot classes c (B, Y). Its latent
    is z alone, so that nothing that moves a latent can move the class: `synthesize` is told it.

    Args:
        function: deterministic and differentiable; a module must be in eval mode, with fixed noise.
            A module moves with `.to(device)`; a plain function must compute where its input is.
        z_dim: Z, the width of the prior latent.
        image_spec: what `function` returns; None finds it out by rendering two samples.
        num_classes: number of class conditions Y; 0 when `function` takes z alone.

    Raises:
        TypeError: `function` cannot be called, or returns no float tensor.
        ValueError: the images have another shape than (B, C, H, W) or `image_spec`. The probe
            also refuses values far outside [-1, 1], and an image that depends on the other samples
            of its batch or on chance.

    Example:
        >>> from genviews import CallableGenerator, Rng
        >>> generator = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
        >>> generator.image_spec.shape, generator.latent_spec.shape
        ((1, 4, 4), (1, 16))
    """

    def __init__(
        self,
        function: Callable[..., Tensor],
        z_dim: int,
        image_spec: ImageSpec | None = None,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.function = _check_function(function, "function")
        self.z_dim = check_count(z_dim, "z_dim")
        self.num_classes = check_count(num_classes, "num_classes", least=0)
        self.latent_spec = LatentSpec(space="z", num_layers=1, dim=z_dim)
        self.renders_label = num_classes > 0
        self.image_spec = self._probe() if image_spec is None else image_spec

    def __repr__(self) -> str:
        name = getattr(self.function, "__qualname__", type(self.function).__name__)
        classes = f", num_classes={self.num_classes}" if self.num_classes else ""
        return f"CallableGenerator({name}, z_dim={self.z_dim}{classes})"

    def __describe__(self) -> dict[str, object]:
        """See `Generator`; the function as well."""
        return {**super().__describe__(), "function": self.function}

    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Return z as the one latent row; the class is checked, and goes to `synthesize`.

        Truncation shrinks z towards 0, the mean of the prior: psi * z. That narrows the prior and
        keeps its shape; it is not the bounded normal of the BigGAN paper. `cutoff=0` truncates
        nothing.
        """
        self.check_label(label, len(z))
        rows = z if cutoff == 0 else psi * z
        return rows[:, None]

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Call the function and check what it returns.

        Raises:
            ValueError: latents of another shape; a label that is missing for a conditional
                function, given for another, or out of range.
        """
        self.latent_spec.check(latents)
        images = self._call(latents, self.check_label(label, len(latents)))
        self.image_spec.check(images, f"output of {self!r}")
        return images

    def _call(self, latents: Tensor, label: Tensor | None) -> Tensor:
        z = latents[:, 0]
        if label is None:
            images = self.function(z)
        else:
            one_hot = nn.functional.one_hot(label.to(z.device).long(), self.num_classes)
            images = self.function(z, one_hot.to(z.dtype))
        _check_images(images, len(z), f"output of {self!r}")
        return images

    @torch.no_grad()
    def _probe(self) -> ImageSpec:
        """Render two samples to see their shape, and one of them alone to see that it stays."""
        z = self.sample(Rng(0, "probe").streams(range(2)))
        label = self.labels_in_turn(range(2))
        latents = self.map(z, label)
        images = self._call(latents, label)
        largest = images.abs().max().item()
        if not largest <= LARGEST:
            fail(
                f"output of {self!r}",
                expected="images with values in [-1, 1]",
                got=f"values up to {largest:.3g}",
                remedy="scale the images inside the function, as x / 127.5 - 1 for 0 to 255",
            )
        alone = self._call(latents[:1], None if label is None else label[:1])
        if not torch.allclose(alone, images[:1], rtol=0.0, atol=SAME):
            fail(
                f"output of {self!r}",
                expected="the same image for the same z, alone or in a batch",
                got=f"images that differ by {(alone - images[:1]).abs().max():.3g}",
                remedy="call .eval() on the module and fix its noise",
            )
        channels, height, width = images.shape[1:]
        return ImageSpec(channels=channels, height=height, width=width)


def _check_function(found: Any, what: str) -> Callable[..., Tensor]:  # noqa: ANN401 (checked)
    """Return `found`, a function or module, or raise TypeError."""
    if not callable(found) or isinstance(found, type):  # a class would only make an object of z
        fail(
            what,
            expected="a function or module that turns z into images",
            got=repr(found),
            remedy="name the function itself, or an instance of the class",
            error=TypeError,
        )
    function: Callable[..., Tensor] = found
    return function


def _check_images(images: object, batch: int, what: str) -> None:
    """Raise unless `images` is a float tensor (batch, C, H, W)."""
    remedy = "keep the batch dimension and return channels before height and width"
    note, found = f", one image for each of the {batch} rows of z", check_floats(images, what)
    check_shape(found, (batch, "C", "H", "W"), what, remedy, note=note)


def load_callable(
    name: str, z_dim: int, image_spec: ImageSpec | None = None, num_classes: int = 0
) -> CallableGenerator:
    """Import `package.module:function` and wrap it. Importing runs code: load only what you trust.

    Args:
        name: importable module and, after the colon, a function or module object in it; an
            attribute of an object, as in "net.decode", also works.
        z_dim: Z, the width of the prior latent.
        image_spec: what it returns; None finds it out.
        num_classes: number of class conditions; 0 for none.

    Raises:
        ValueError: `name` is not of this form; no such module or attribute; or as
            `CallableGenerator`.
        TypeError: as `CallableGenerator`.

    Example:
        >>> load_callable("nowhere:decode", z_dim=8)
        Traceback (most recent call last):
        ValueError: generator 'nowhere:decode': expected an importable module, got no module named
        'nowhere'; install the package, or add its folder to PYTHONPATH.
    """
    what = f"generator {name!r}"
    found = find_named(name, what)
    return CallableGenerator(_check_function(found, what), z_dim, image_spec, num_classes)


def z_space(
    generator: Generator, *, psi: float = 1.0, cutoff: int | None = None
) -> CallableGenerator:
    """Return the generator in z space: latents (B, 1, Z).

    Args:
        generator: one whose latents are "w" or "w+"; shared, not copied.
        psi: truncation of the mapping at each rendering; 0.9 for the cars of Jahanian et al. 2022.
        cutoff: truncate rows [0, cutoff) only; None truncates every row.

    Raises:
        ValueError: the generator is in z space already.

    Source:
        Jahanian et al. 2022, arXiv:2106.05258, section 4: latent views of StyleGAN2 are made in z;
        in its code the mapped latent is truncated afterwards.

    Example:
        >>> from genviews import Rng, ToyGenerator
        >>> from genviews.perturb.noise import Gaussian
        >>> generator, streams = z_space(ToyGenerator(), psi=0.9), Rng(0).streams(range(2))
        >>> latents = generator.map(generator.sample(streams))
        >>> Gaussian("all", 0.25)(generator, latents, 3, streams).shape
        torch.Size([2, 3, 1, 8])
    """
    if generator.latent_spec.space == "z":
        fail(
            "generator",
            expected="one with a mapping, in w or w+ space",
            got="one in z space",
            remedy="use it as it is",
        )
    rows = generator.latent_spec.num_layers if cutoff is None else cutoff
    mapped = _Mapped(generator, psi, rows)
    return CallableGenerator(
        mapped, generator.z_dim, generator.image_spec, num_classes=generator.num_classes
    )


class _Mapped(nn.Module):
    """z, and the one-hot class of a conditional generator, to images."""

    def __init__(self, generator: Generator, psi: float, cutoff: int) -> None:
        super().__init__()
        self.generator = generator
        # Buffers, so that a fingerprint of the weights tells two truncations apart.
        self.register_buffer("psi", torch.tensor(psi, dtype=torch.float64))
        self.register_buffer("cutoff", torch.tensor(cutoff))
        self._psi, self._cutoff = psi, cutoff

    def forward(self, z: Tensor, one_hot: Tensor | None = None) -> Tensor:
        label = None if one_hot is None else one_hot.argmax(-1)
        latents = self.generator.map(z, label, psi=self._psi, cutoff=self._cutoff)
        return self.generator.synthesize(latents, label)
