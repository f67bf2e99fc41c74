"""A black-box generator: any function from prior latents to images, with nothing else known of it.

The weakest generator the arrows can use: no style layers, no mapping, no mean but the prior's. Its
latent is z itself, one row (L = 1), and its views are small moves of z. `load_callable` finds the
function by name. `z_space` sees a generator with a mapping as such a function,

    z -> PERTURB -> map -> render        in the place of        z -> map -> perturb -> render

so that every perturbation, and everything else that speaks to a generator, can act before the
mapping.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genviews.checks import check_count, check_different, check_each, check_given, fail, option
from genviews.generators.adapter import CONTRACT, Adapter, refuse
from genviews.generators.arguments import first_width
from genviews.generators.base import Generator
from genviews.generators.prior import PriorGenerator
from genviews.generators.probe import probe
from genviews.modes import evaluated
from genviews.named import find_named
from genviews.signature import checked
from genviews.types import Images, ImageSpec, Label, Latents
from genviews.user_code import user_code
from genviews.weights import check_filled

__all__ = ["CallableGenerator", "load_callable", "named_classes", "z_space"]

MOST_Z = 2**20
"""Widest z, a picture of 512 x 512 x 4: more is a mistake, and would be drawn for minutes."""


class CallableGenerator(PriorGenerator):
    """Wrap a function or module that turns z (B, Z) into images (B, C, H, W) in [-1, 1].

    A conditional function is called as `function(z, c)` with one-hot classes c (B, Y). Its latent
    is z alone, so that nothing that moves a latent can move the class: `synthesize` is told it.

    It is called on 64 samples at first (`genviews.generators.probe`). Another shape of z, other
    axes or another range are found out and said in `notes`, or stated by `adapter`.

    Args:
        function: deterministic and differentiable; a module must be in eval mode, with fixed noise.
            A module moves with `.to(device)`; a plain function must compute where its input is. A
            function without arguments is called once, and what it returns is taken.
        z_dim: Z, the width of the prior latent; None takes that of a module's first layer.
        image_spec: what `function` returns; None finds it out. A range of (0, 1) or (0, 255) says
            that its images are in that range.
        num_classes: number of class conditions Y; 0 when `function` takes z alone.
        adapter: how it is called and what it returns is read, as far as that is known.
        class_names: names of the classes in the order of the function, by which those of a
            classifier are found.

    Attributes:
        adapter: with nothing left open.
        own_spec: of what `function` returns, before its colours are changed.
        notes: what was found to differ from the contract, in sentences.
        differentiable: whether a gradient reaches z, which inversion and walks need.

    Raises:
        TypeError: `function` cannot be called, or returns no tensor.
        ValueError: it raises (its own line is told); images of another shape than (B, C, H, W) or
            `image_spec`, in a range that is in doubt, or mostly not finite; an image that depends
            on the other samples of its batch or on chance.

    Example:
        >>> from genviews import CallableGenerator, Rng
        >>> generator = CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16)
        >>> generator.image_spec.shape, generator.latent_spec.shape
        ((1, 4, 4), (1, 16))
        >>> sigmoid = CallableGenerator(lambda z: z.sigmoid().reshape(-1, 1, 4, 4), z_dim=16)
        >>> print(sigmoid.notes[0])
        values from ... taken for [0, 1] and scaled to [-1, 1]; say otherwise with range...
    """

    def __init__(
        self,
        function: Callable[..., Any],
        z_dim: int | None = None,
        image_spec: ImageSpec | None = None,
        num_classes: int = 0,
        *,
        adapter: Adapter | None = None,
        class_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.notes: tuple[str, ...] = ()
        self.function = made = _made(_check_function(function, "function"))
        if made is not function:
            self.notes = (f"{_name(function)} was called once, for the generator it makes",)
        if isinstance(made, Generator):
            remedy = "use it as it is"
            fail("function", expected="a function of z", got="a Generator", remedy=remedy)
        if isinstance(made, nn.Module):
            check_filled(made, f"generator {_name(made)}")
        self.num_classes = check_count(num_classes, "num_classes", least=0)
        self.class_names = named_classes(class_names, num_classes)
        guessed = z_dim is None
        if z_dim is None:
            z_dim = first_width(made) if num_classes == 0 else None
            expected, remedy = "the width of its z", f"add {option('z_dim')}, for example 128"
            z_dim = check_given(z_dim, f"generator {_name(function)}", expected, remedy)
            self.notes += (f"z has {z_dim} numbers, as the first layer takes",)
        remedy = f"give the width of its z: {option('z_dim')}"
        self.set_prior(check_count(z_dim, "z_dim", most=MOST_Z, remedy=remedy), num_classes)
        self._look(Adapter() if adapter is None else adapter, image_spec)
        if guessed and z_dim == math.prod(self.own_spec.shape):
            self.notes += ("z is as large as an image: if it is an autoencoder, name its decoder",)

    def _look(self, adapter: Adapter, spec: ImageSpec | None) -> None:
        """Find out what is left open."""
        if isinstance(self.function, _Mapped):  # ours: nothing is left open
            self.adapter, self.differentiable = CONTRACT, self.function.generator.differentiable
            self.own_spec = self.image_spec = self.function.generator.image_spec
            return
        what = f"output of {self!r}"
        found = probe(self.function, self.z_dim, self.num_classes, what, adapter, spec, self.device)
        self.adapter, self.own_spec, self.image_spec = (
            found.adapter,
            found.own_spec,
            found.image_spec,
        )
        self.differentiable = found.differentiable
        self.notes += found.notes

    def __repr__(self) -> str:
        classes = f", num_classes={self.num_classes}" if self.num_classes else ""
        return f"CallableGenerator({_name(self.function)}, z_dim={self.z_dim}{classes})"

    def __describe__(self) -> dict[str, object]:
        """See `Generator`; the function as well, and how it is called."""
        stated = self.adapter.stated()
        return {
            **super().__describe__(),
            "function": self.function,
            **({"adapter": stated} if stated else {}),
        }

    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Call the function and read what it returns.

        Raises:
            ValueError: latents of another shape; a label that is missing for a conditional
                function, given for another, or out of range; the function raises, or returns other
                images than when it was probed.
        """
        self.latent_spec.check(latents, batch=True)
        label, z = self.check_label(label, len(latents)), latents[:, 0]
        what = f"output of {self!r}"
        answer = self.adapter.call(self.function, z, label, self.num_classes, what)
        return self.adapter.read(answer, what, z, self.own_spec)


def named_classes(names: Sequence[str], num_classes: int) -> tuple[str, ...]:
    """Return the names of a generator's classes, one for each, or none at all.

    Raises:
        ValueError: another number of names, or one that is there twice.
    """
    if names:
        remedy = "name each class once, in the order of the generator"
        check_each(names, num_classes, "class names of the generator", "class", remedy)
        check_different(names, "class names of the generator", remedy)
    return tuple(names)


def _made(function: Callable[..., Any]) -> Callable[..., Any]:
    """What a function without arguments makes; any other as it is."""
    if isinstance(function, nn.Module):
        return function
    try:
        takes = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return function
    if takes:
        return function
    with user_code(f"factory {_name(function)}"):
        made = function()
    return _check_function(made, f"what {_name(function)} returns")


def _name(function: object) -> str:
    return getattr(function, "__qualname__", type(function).__name__)


def _check_function(found: Any, what: str) -> Callable[..., Any]:  # noqa: ANN401 (checked)
    """Return `found`, a function or module, or raise TypeError."""
    if not callable(found) or isinstance(found, type):  # a class would only make an object of z
        refuse(
            what,
            expected="a function or module that turns z into images",
            got=repr(found),
            remedy="name the function itself, or an instance of the class",
            error=TypeError,
        )
    function: Callable[..., Any] = found
    return function


def load_callable(
    name: str,
    z_dim: int | None = None,
    image_spec: ImageSpec | None = None,
    num_classes: int = 0,
    adapter: Adapter | None = None,
) -> Generator:
    """Import `package.module:function` and wrap it. Importing runs code: load only what you trust.

    A module, which then is this program's alone, is put in eval mode.

    Args:
        name: importable module and, after the colon, a function or module object in it, or a
            function without arguments that makes one; an attribute of an object, as in
            "net.decode", also works. A `Generator` is taken as it is.
        z_dim: Z, the width of the prior latent; None takes that of a module's first layer.
        image_spec: what it returns; None finds it out.
        num_classes: number of class conditions; 0 for none.
        adapter: see `CallableGenerator`.

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
    found = _check_function(find_named(name, what), what)
    made = _made(found)
    if isinstance(made, nn.Module):
        evaluated(made)
    if isinstance(made, Generator):
        return made
    generator = CallableGenerator(made, z_dim, image_spec, num_classes, adapter=adapter)
    if made is not found:
        generator.notes = (f"{name} was called once, for the generator it makes", *generator.notes)
    return generator


@checked
def z_space(
    generator: Generator, *, psi: float = 1.0, cutoff: int | None = None
) -> CallableGenerator:
    """Return the generator in z space: latents (B, 1, Z).

    Args:
        generator: one whose latents are "w" or "w+"; shared, not copied.
        psi: truncation of the mapping at each rendering; 0.9 for the cars of Jahanian et al. 2022.
        cutoff: truncate rows [0, cutoff) only; None truncates every row.

    Raises:
        ValueError: the generator is in z space already, or there is no such truncation.

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
    mapped = _Mapped(generator, psi, generator.check_truncation(psi, cutoff))
    return CallableGenerator(
        mapped,
        generator.z_dim,
        generator.image_spec,
        num_classes=generator.num_classes,
        class_names=generator.class_names,
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
        latents = self.generator.latents_of(z, label, psi=self._psi, cutoff=self._cutoff)
        return self.generator.synthesize(latents, label)
