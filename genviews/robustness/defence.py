"""What an attack may be aimed at: a whole defence, with the gradient that an attacker would use.

    image -> invert -> latent -> perturb -> render -> classify -> weigh -> logits
      d     unrolled                       exact        exact    exact

A `Defence` is a function of images and their streams that gives logits, differentiable by the
images. Its numbers are what the defence says; where a step of it has no derivative, or a useless
one, its gradient is that of something near it (`straight_through`): the backward pass
differentiable approximation, BPDA. A defence that was only attacked as if it were the classifier
behind it has not been attacked.

Source: Athalye, Carlini and Wagner 2018, arXiv 1802.00420 (BPDA, expectation over randomness).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genviews.checks import check_count, check_fraction, check_words, fail
from genviews.classify.model import Classifier
from genviews.classify.task import Task
from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.fill import conditioning_task, predicted_label
from genviews.ensemble.merge import find_merge
from genviews.ensemble.notice import NoticingEnsemble
from genviews.ensemble.rule import MergeName
from genviews.generators.base import Generator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.modes import evaluating, frozen
from genviews.perturb.base import Perturbation
from genviews.rng import Streams
from genviews.types import Images, Inversion

__all__ = ["Defence", "Preprocessed", "Undefended", "ViewsDefence", "straight_through"]

Defence = Callable[[Tensor, Streams], Tensor]
"""(images (B, C, H, W), one stream for each) -> logits (B, Y); no row depends on another."""


def straight_through(values: Tensor, path: Tensor) -> Tensor:
    """The numbers of `values`, with the gradient of `path`, which has the same shape.

    Example:
        >>> x = torch.tensor([0.4, 1.7], requires_grad=True)
        >>> rounded = straight_through(x.round(), x)
        >>> rounded.tolist(), torch.autograd.grad(rounded.sum(), x)[0].tolist()
        ([0.0, 2.0], [1.0, 1.0])
    """
    found: Tensor = _StraightThrough.apply(values, path)
    return found


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, path: Tensor) -> Tensor:  # noqa: ANN401  (torch's)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:  # noqa: ANN401  (torch's)
        return None, grad


@dataclass(frozen=True, kw_only=True, eq=False)
class Undefended:
    """A classifier as it is.

    Args:
        model: images -> logits, called in eval mode.
    """

    model: nn.Module

    def __call__(self, images: Images, streams: Streams) -> Float[Tensor, "B Y"]:
        """Its logits."""
        with evaluating(self.model):
            logits: Tensor = self.model(images)
        return logits


@dataclass(frozen=True, kw_only=True, eq=False)
class Preprocessed:
    """A classifier of images that something was done to, such as rounding or a filter.

    Args:
        model: images -> logits, called in eval mode.
        process: images -> images, each on its own.
        through: the gradient of `process` that an attack uses: "identity" takes it for one that
            leaves images as they are (BPDA), "own" takes its own, which may be 0 everywhere.
    """

    model: nn.Module
    process: Callable[[Tensor], Tensor]
    through: Literal["identity", "own"] = "identity"

    def __post_init__(self) -> None:
        check_words(self)

    def __call__(self, images: Images, streams: Streams) -> Float[Tensor, "B Y"]:
        """The logits of what comes out."""
        seen = self.process(images)
        if self.through == "identity":
            seen = straight_through(seen, images)
        with evaluating(self.model):
            logits: Tensor = self.model(seen)
        return logits


def _check_alike(defence: ViewsDefence, noticing: NoticingEnsemble) -> None:
    """Raise ValueError unless weights were fitted on what the defence puts together."""
    ensemble, made = noticing.ensemble, defence.perturbation
    fitted = {
        "merge": ensemble.rule.merge,
        "include_reconstruction": ensemble.include_reconstruction,
        "views": ensemble.views,
        "image_views": ensemble.image_views,
        "a loss": noticing.has_loss,
    }
    own = {
        "merge": defence.merge,
        "include_reconstruction": defence.include_reconstruction,
        "views": () if made is None else (made.name,),
        "image_views": (),
        "a loss": True,
    }
    for name, value in own.items():
        if fitted[name] != value:
            fail(
                f"alpha of the defence: {name}",
                expected=f"{value}, as the defence has it",
                got=fitted[name],
                remedy="fit the ensemble that notices on a bank of this defence's views, with the "
                "losses of their inversions",
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewsDefence:
    """An ensemble with generated views: what `GenerativeTTA` says, as logits, with a gradient.

        log( (1 - alpha) C(x) + alpha mean_k C(G(perturb_k(w*(x)))) )

    Its numbers are those of `GenerativeTTA` without pixel views, from streams
    `Rng(seed, "views").streams(ids)`.

    Args:
        classifier: C.
        generator: G.
        inverter: how w* is found; steps of 0 ask the encoder alone.
        perturbation: makes views of w*; None for the reconstruction alone.
        num_views: K.
        alpha: weight of the views, or a `NoticingEnsemble` that was fitted on the same views, with
            the losses of their inversions, and gives each image its own; the gradient goes through
            that.
        include_reconstruction: it is one view more.
        merge: how predictions become one, see `genviews.ensemble.merge`.
        unroll: first steps of the inversion through which the gradient is exact, see `invert`;
            0 takes the encoder's. Of no use where the start does not look at the image.
        through: "latents" follows the gradient as far as `unroll`; "pixels" takes what was rendered
            for the image itself (BPDA with the identity), which costs no derivative of G.
    """

    classifier: Classifier
    generator: Generator
    inverter: Inverter
    perturbation: Perturbation | None = None
    num_views: int = 10
    alpha: float | NoticingEnsemble = 1.0
    include_reconstruction: bool = True
    merge: MergeName = "mean"
    unroll: int = 10
    through: Literal["latents", "pixels"] = "latents"

    def __post_init__(self) -> None:
        check_words(self)
        find_merge(self.merge)
        check_count(self.num_views, "num_views")
        check_count(self.unroll, "unroll", least=0)
        if not isinstance(self.alpha, NoticingEnsemble):
            check_fraction(self.alpha, "alpha")
        if isinstance(self.alpha, NoticingEnsemble):
            _check_alike(self, self.alpha)
        if self.perturbation is None and not self.include_reconstruction:
            remedy = "name a perturbation, or include the reconstruction"
            fail("views of the defence", expected="at least one", got="none", remedy=remedy)
        if self.perturbation is not None:
            self.perturbation.check(self.generator)

    def __call__(self, images: Images, streams: Streams) -> Float[Tensor, "B Y"]:
        """Logarithms of the ensemble's probabilities, in the type of the images."""
        rule = find_merge(self.merge)
        with evaluating(self.classifier), evaluating(self.generator), frozen(self.generator):
            own = self.classifier(images[:, None])
            if self.alpha == 0.0:
                probs = rule.probs(rule.join(rule.values(own.double())))
            else:
                shown, found = self._shown(images, streams)
                seen = self.classifier(shown)
                alpha = self._weight(images, shown[:, 0], found, own, seen)
                pool = seen if self.include_reconstruction else seen[:, 1:]
                image, views = (rule.join(rule.values(z.double())) for z in (own, pool))
                probs = rule.probs((1.0 - alpha) * image + alpha * views)
        return probs.clamp_min(torch.finfo(torch.float64).tiny).log().to(images.dtype)

    def _weight(
        self, images: Images, rendered: Images, found: Inversion, own: Tensor, seen: Tensor
    ) -> float | Tensor:
        """The weight of the views, or (B, 1) of the views of each image."""
        if not isinstance(self.alpha, NoticingEnsemble):
            return self.alpha
        logits = {"image": own, "reconstruction": seen[:, :1]}
        if self.perturbation is not None:
            logits[self.perturbation.name] = seen[:, 1:]
        bank = PredictionBank(
            ids=tuple(map(str, range(len(own)))),
            labels=None,
            class_names=self.classifier.class_names,
            split="test",
            logits={key: values.nan_to_num() for key, values in logits.items()},
        )
        objective, masks = self.inverter.objective, torch.ones_like(images[:, :1])
        target = objective.target(images, masks, found.latents, graded=torch.is_grad_enabled())
        loss = straight_through(found.loss, objective(target, rendered, found.latents))
        return self.alpha.weights(bank, loss)[:, None]

    def _shown(self, images: Images, streams: Streams) -> tuple[Tensor, Inversion]:
        """Reconstruction and views of each image, (B, 1 + K, C, H, W), and its inversion."""
        graded = torch.is_grad_enabled() and images.requires_grad
        with torch.set_grad_enabled(graded and self.through == "latents"):
            label = self._label(images)
            found = invert(
                self.generator,
                images,
                inverter=self.inverter,
                label=label if self.generator.renders_label else None,
                unroll=self.unroll if torch.is_grad_enabled() else None,
            )
            latents = found.latents
            every, shared = latents[:, None], self.generator.latent_spec.num_layers
            if self.perturbation is not None:
                views = self.perturbation(
                    self.generator, latents, self.num_views, streams, label=label
                )
                every = torch.cat([every, views], 1)
                shared = self.generator.latent_spec.layers(self.perturbation.layers).indices[0]
            rendered = self.generator.synthesize_views(every, shared, label)
        if graded and self.through == "pixels":
            rendered = straight_through(rendered, images[:, None].expand_as(rendered))
        return rendered, found

    def _label(self, images: Images) -> Tensor | None:
        """The class that a conditional generator is asked for: what the classifier sees."""
        if not self.generator.num_classes:
            return None
        task = conditioning_task(
            [Task(name="classifier", classifier=self.classifier)], self.generator
        )
        assert task is not None
        return predicted_label(task, self.generator, images.detach())
