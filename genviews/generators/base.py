"""The generator protocol: sample a prior latent, map it, synthesise an image, and specs of both.

Everything downstream (perturb, render, invert, represent) speaks to a generator through this class
alone. Latents are always (B, L, D). A generator without style layers has L = 1 and works in "z" or
"w" space.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from genviews.checks import check_count, check_number, check_type, fail, finite_rows
from genviews.identity.answers import shrink
from genviews.rng import Rng, Streams
from genviews.signature import checked
from genviews.types import (
    Draws,
    Images,
    ImageSpec,
    Label,
    Latents,
    LatentSpec,
    check_floats,
    check_shape,
    check_tensor,
)
from genviews.user_code import GUIDE, user_code

__all__ = ["Generator", "check_is_generator"]


class Generator(nn.Module, ABC):
    """Abstract generator; subclasses set the specs and implement `map` and `synthesize`.

    Attributes:
        image_spec: what `synthesize` returns.
        latent_spec: what `map` returns and `synthesize` takes.
        z_dim: Z, the width of the prior latent.
        num_classes: number of class conditions; 0 for an unconditional generator.
        class_names: of the classes in their order; () where nobody said them.
        renders_label: whether the class is not in the latents, so that `synthesize` needs it too.
        differentiable: whether a gradient of the images reaches the latents, which inversion and
            the learning of walks need.
        notes: what was found of it, in sentences for whoever uses it.
    """

    image_spec: ImageSpec
    latent_spec: LatentSpec
    z_dim: int
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    renders_label: bool = False
    differentiable: bool = True
    notes: tuple[str, ...] = ()

    def sample(self, streams: Streams) -> Draws:
        """Draw one prior latent z ~ N(0, I) for each sample id, (B, Z) on the generator's device.

        Example:
            >>> from genviews import Rng, ToyGenerator
            >>> ToyGenerator().sample(Rng(0).streams(range(5))).shape
            torch.Size([5, 8])
        """
        return self.place(streams.child("z").normal(1, (self.z_dim,))[:, 0])

    @abstractmethod
    def map(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """Map prior latents to the latents that `synthesize` takes.

        Args:
            z: prior latents.
            label: class indices in [0, num_classes); required by a conditional generator.
            psi: truncation towards the mean latent; 1 is none, 0 the mean.
            cutoff: truncate rows [0, cutoff) only; None truncates every row.
        """

    @abstractmethod
    def synthesize(self, latents: Latents, label: Label | None = None) -> Images:
        """Render latents to images; deterministic (fixed noise), differentiable, not clamped.

        Args:
            latents: of the images.
            label: class indices, needed where `renders_label`; elsewhere the latents carry the
                class, and it is not looked at.
        """

    @checked
    def images_of(self, latents: Latents, label: Label | None = None) -> Images:
        """`synthesize`, checked: what calls a generator that may be a user's own class calls this.

        Raises:
            ValueError: what `synthesize` raised, with its own line, or images of another shape.
            TypeError: no float tensor.
        """
        what = f"output of {type(self).__name__}"
        with user_code(what, latents):
            images = self.synthesize(latents, label)
        remedy = "let `synthesize` give what `image_spec` says"
        check_shape(
            check_floats(images, what), (len(latents), *self.image_spec.shape), what, remedy
        )
        return images.to(latents.dtype)

    def latents_of(
        self, z: Draws, label: Label | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Latents:
        """`map`, checked, as `images_of` checks `synthesize`."""
        what = f"latents of {type(self).__name__}"
        with user_code(what, z):
            latents = self.map(z, label, psi=psi, cutoff=cutoff)
        remedy = "let `map` give what `latent_spec` says"
        check_tensor(latents, what, floats=True)
        check_shape(latents, (len(z), *self.latent_spec.shape), what, remedy)
        return latents

    @checked
    def synthesize_views(
        self, latents: Float[Tensor, "B K L D"], shared_rows: int = 0, label: Label | None = None
    ) -> Float[Tensor, "B K C H W"]:
        """Render K views of each image, whose rows [0, shared_rows) are equal over its K views.

        A generator with layers overrides this to compute the shared prefix once. The views of an
        image are of its class.
        """
        b, k = latents.shape[:2]
        each = None if label is None else label.repeat_interleave(k)
        images: Tensor = self.images_of(latents.flatten(0, 1), each).unflatten(0, (b, k))
        return images

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU for a generator that has none."""
        tensor: Tensor | None = next(self.parameters(), None)
        if tensor is None:  # the largest: single numbers that stand beside may lie elsewhere
            tensor = max(self.buffers(), key=Tensor.numel, default=None)
        return torch.device("cpu") if tensor is None else tensor.device

    def place(self, values: Tensor) -> Tensor:
        """The values on the generator's device, and of its parameters' type where it has any."""
        first = next((p for p in self.parameters() if p.is_floating_point()), None)
        return values.to(self.device) if first is None else values.to(first.device, first.dtype)

    def mean_latent(self, num: int = 10_000, seed: int = 0) -> Float[Tensor, "L D"]:
        """Mean of `num` mapped latents, over classes too, leaving out what is not finite.

        Kept until a weight changes, because every batch of an inversion asks for it.
        """
        tensors = (*self.parameters(), *self.buffers())
        key = (num, seed, *((t.data_ptr(), t._version, t.dtype, t.device) for t in tensors))
        kept: tuple[object, Tensor] | None = getattr(self, "_mean_kept", None)
        if kept is None or kept[0] != key:
            with torch.no_grad():
                z = self.sample(Rng(seed, "mean_latent").streams(range(num)))
                latents = self.latents_of(z, self.labels_in_turn(range(num)))
                finite = finite_rows(latents)
                kept = (key, (latents if finite.all() else latents[finite]).mean(0))
            self._mean_kept = kept
        return kept[1].clone()

    def check_differentiable(self, needs: str) -> None:
        """Raise ValueError unless a gradient of the images reaches the latents.

        Args:
            needs: what needs it, such as "inversion".
        """
        if not self.differentiable:
            fail(
                f"generator of {needs}",
                expected="images whose gradient reaches z",
                got=f"{self!r}, which gives none",
                remedy="leave out torch.no_grad(), torch.inference_mode(), .detach(), .numpy() and "
                f"rounding between z and the images ({GUIDE} shows how); where it has none of "
                "these, z changes nothing in its images",
            )

    def labels_in_turn(self, rows: range) -> Label | None:
        """Class i mod `num_classes` for each row i; None where there are no classes."""
        if not self.num_classes:
            return None
        return torch.tensor(rows, device=self.device) % self.num_classes

    def __describe__(self) -> dict[str, object]:
        """What its results depend on besides its tensors."""
        return {
            "images": self.image_spec,
            "latents": self.latent_spec,
            "z_dim": self.z_dim,
            "num_classes": self.num_classes,
            **({"class_names": self.class_names} if self.class_names else {}),
        }

    def __answers__(self) -> Float[Tensor, "N C H W"]:
        """What it renders for four fixed samples, of the first classes of a conditional one."""
        z = self.sample(Rng(0, "answers").streams(range(4)))
        label = self.labels_in_turn(range(len(z)))
        latents = self.latents_of(z, label)
        images = [  # one by one: the memory of a large image
            self.images_of(latents[i : i + 1], None if label is None else label[i : i + 1])
            for i in range(len(z))
        ]
        return shrink(torch.cat(images), self.image_spec)

    def classes_of(self, names: Sequence[str]) -> Int[Tensor, " Y"] | None:
        """Which of the generator's classes each of some named classes is; None where it is unclear.

        By name, where all are classes of the generator. Where none is, or the generator's classes
        have no names, as many classes as it has are its own, in their order.

        Example:
            >>> from genviews import ToyGenerator
            >>> generator = ToyGenerator(num_classes=3)
            >>> generator.class_names = ("bag", "coat", "shoe")
            >>> generator.classes_of(["shoe", "bag"]).tolist(), generator.classes_of(["hat", "bag"])
            ([2, 0], None)
        """
        if self.num_classes and names and set(names) <= set(self.class_names):
            return torch.tensor([self.class_names.index(name) for name in names])
        if len(names) == self.num_classes > 0 and not set(names) & set(self.class_names):
            return torch.arange(self.num_classes)
        return None

    def check_draws(self, z: Tensor, label: Tensor | None) -> Tensor | None:
        """Raise unless z is (B, Z) of floats; return its classes as `check_label` does."""
        check_tensor(z, "z", floats=True)
        remedy = "make it with `generator.sample(streams)`"
        check_shape(z, ("B", self.z_dim), "z", remedy)
        return self.check_label(label, len(z))

    def check_label(self, label: Tensor | None, batch: int) -> Tensor | None:
        """Return valid class indices for this generator, or raise.

        Raises:
            ValueError: missing for a conditional generator, given for an unconditional one, or out
                of range.
        """
        classes = self.num_classes
        if classes == 0:
            if label is not None:
                fail(
                    "label",
                    expected="none",
                    got="a label",
                    remedy="this generator is unconditional",
                )
            return None
        if isinstance(label, Tensor):
            check_tensor(label, "label")
            whole = label.dtype in (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
            if whole and label.shape == (batch,) and ((label >= 0) & (label < classes)).all():
                return label.long()  # bytes as indices would be a mask
            some = (
                f" in [{label.min()}, {label.max()}]"
                if label.numel() and not label.is_complex()
                else ""
            )
            got = f"{tuple(label.shape)}{some} of {str(label.dtype).removeprefix('torch.')}"
        else:
            got = "none" if label is None else f"a {type(label).__name__}"
        expected = f"{batch} class indices in [0, {classes})"
        remedy = "pass the class of each sample, a tensor of integers"
        fail("label", expected=expected, got=got, remedy=remedy)

    def check_truncation(self, psi: float, cutoff: int | None = None) -> int:
        """Return how many style rows `psi` truncates, or raise.

        Raises:
            ValueError: `psi` is no finite number, or `cutoff` no number of rows.
        """
        rows = self.latent_spec.num_layers
        check_number(psi, "psi", remedy="1 is no truncation, 0 the mean latent")
        what = "cutoff, of style rows (None truncates all)"
        return rows if cutoff is None else check_count(cutoff, what, least=0, most=rows)


def check_is_generator(value: object) -> None:
    """Raise TypeError for what is no `Generator`, such as a network that nobody wrapped."""
    remedy = "wrap a network or function: CallableGenerator(network, z_dim)"
    check_type(value, Generator, "generator", "a genviews.Generator", remedy)
