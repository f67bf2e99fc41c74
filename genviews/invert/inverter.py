"""How to invert: a start, an objective and an optimizer, and when an image is done.

    image -> align -> INVERT -> latent -> perturb -> render -> classify -> weigh

Said once, for any images; `genviews.invert.optimize` carries it out. Here are also the published
inversions by name (`inverter_preset`); `genviews.invert.card` has an inverter as the settings on a
card.

LPIPS needs weights that cannot ship (see `perceptual`). Where they are absent, `perceptual` takes
another term in its place, with its own weight: e.g. `Feature(1.0, FeatureDistance(...))`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import nn

from genviews.checks import check_count, check_given, check_number, fail, lookup
from genviews.generators.base import Generator
from genviews.invert.encoder import LatentEncoder
from genviews.invert.features import Feature, FeatureDistance, ReEncode, ToEncoder
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, Term, ToStart
from genviews.invert.optimizer import Adam, Optimizer
from genviews.invert.perceptual import LPIPS
from genviews.invert.samples import SampleStart
from genviews.invert.start import EncoderStart, MeanStart, Start
from genviews.signature import checked

__all__ = [
    "PRESETS",
    "Inverter",
    "default_objective",
    "default_start",
    "in_domain_objective",
    "inverter_preset",
    "paper_objective",
    "reference_objective",
]


@dataclass(frozen=True, kw_only=True)
class Inverter:
    """How to invert.

    Args:
        start: where each image starts; with several candidates, the best result is kept. The
            default needs nothing but the generator; with an encoder take `EncoderStart`.
        objective: what is minimised.
        optimizer: how; `LBFGS()`, `Adam()`, or `LBFGS.reference()` to compare with the reference.
        steps: most optimisation steps for an image; 0 keeps the start.
        patience: an image has converged when its best loss has not fallen by `tolerance` (as a
            fraction) within this many steps.
        tolerance: see `patience`; 0 uses every step.
        smoothing: delta of sqrt(e^2 + delta^2) - delta, which stands for |e| in the L1 term while
            descending, in units of [-1, 1] images; 0 descends on the kinks. Several are stages: an
            image goes on with the next, and its curvature memory, when its best loss has not fallen
            by 5 `tolerance` within half of `patience` steps, or when the optimizer is stuck. The
            default (2.5 and 0.6 grey levels) was chosen by us on fashion32 `val`. Losses and best
            iterates are exact.
        snapshots: steps after which the best iterate is kept as well, for studies of quality
            against steps in one run. Each equals the result of a run that ends there, unless the
            optimizer has a schedule that knows the end (`Adam`, but for `final=1`) or the start
            ends what is outdone (`SampleStart`).
    """

    start: Start = field(default_factory=SampleStart)
    objective: Objective = field(default_factory=Objective)
    optimizer: Optimizer[Any] = field(default_factory=LBFGS)
    steps: int = 150
    patience: int = 10
    tolerance: float = 0.001
    smoothing: float | tuple[float, ...] = (0.02, 0.005)
    snapshots: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        kinds = ((Start, "SampleStart()"), (Objective, "Objective()"), (Optimizer, "LBFGS()"))
        for kind, example in kinds:
            name = kind.__name__.lower()
            if not isinstance(given := getattr(self, name), kind):
                fail(
                    f"{name} of the inverter",
                    expected=f"an object of a kind of {kind.__name__}",
                    got=repr(given),
                    remedy=f"make one, such as {example}",
                    error=TypeError,
                )
        check_count(self.steps, "steps", least=0)
        check_count(self.patience, "patience")
        check_number(self.tolerance, "tolerance", least=0, below=1, remedy="try 0.001")
        finite = all(0 <= delta < math.inf for delta in self.stages)
        falling = all(before > delta for before, delta in pairwise(self.stages))
        if not (self.stages and finite and falling):
            fail(
                "smoothing",
                expected="a finite number of at least 0, or several that fall",
                got=self.smoothing,
                remedy="try (0.02, 0.005)",
            )
        for steps in self.snapshots:
            check_count(steps, "snapshot steps", least=0)

    @property
    def stages(self) -> tuple[float, ...]:
        """The smoothings, one after another."""
        given = self.smoothing
        return (float(given),) if isinstance(given, int | float) else tuple(map(float, given))

    @property
    def encoder(self) -> LatentEncoder | None:
        """The inversion encoder of the start, if it has one."""
        return self.start.encoder

    @checked
    def check(self, generator: Generator) -> None:
        """Raise ValueError where a generator gives no gradient, and there are steps to make."""
        if self.steps:
            generator.check_differentiable("inversion")

    def modules(self) -> list[nn.Module]:
        """The networks that must be where the images are."""
        return [*self.start.modules(), *self.objective.modules()]

    @property
    def settings(self) -> dict[str, object]:
        """What decides the latents, by name: the networks are not looked at."""
        return {
            "start": type(self.start),
            "objective": {term.name: term.weight for term in self.objective.active},
            "steps": (self.steps, self.patience, self.tolerance, self.stages, self.optimizer),
        }

    @checked
    def follow(self, generator: Generator) -> None:
        """Move the networks to the device of a generator."""
        for module in self.modules():
            module.to(generator.device)

    def __describe__(self) -> dict[str, object]:
        """The fields; one smoothing is one stage, however it was given."""
        return {**{f.name: getattr(self, f.name) for f in fields(self)}, "smoothing": self.stages}


PRESETS = ("default", "paper", "reference", "in-domain")


def default_objective() -> Objective:
    """Return L1 + L2, which needs no weights: the objective of the embedded entry.

    Chosen by us: no network ships that has seen neither labels nor test images (docs/decisions.md).

    Example:
        >>> [term.name for term in default_objective().terms]
        ['l1', 'l2']
    """
    return Objective((L1(1.0), L2(1.0)))


def paper_objective(
    encoder: nn.Module,
    lpips_weights: str | Path | None = None,
    *,
    perceptual: Term | None = None,
) -> Objective:
    """Return Chai et al.'s objective as the paper states it.

        |x - G(w)|_1 + LPIPS_alex(x, G(w)) + 0.5 |w - E(x)|^2

    Args:
        encoder: (images, masks) -> latents.
        lpips_weights: see `LPIPS`.
        perceptual: replaces the LPIPS term, weight included.

    Raises:
        ImportError, FileNotFoundError, ValueError: no LPIPS; see `LPIPS`.

    Source: Chai et al. 2021, Eq. 4; lambda = 0.5 in Sec. 3.2. AlexNet: their code.
    Differs: the norms are means over known pixels and over elements, as in their code.
    """
    second = LPIPS(1.0, "alex", lpips_weights) if perceptual is None else perceptual
    return Objective((L1(1.0), second, ToEncoder(0.5, encoder)))


def reference_objective(
    encoder: nn.Module | None,
    lpips_weights: str | Path | None = None,
    *,
    perceptual: Term | None = None,
) -> Objective:
    """Return the objective of Chai et al.'s code.

        0.5 |x - G(w)|_1 + 0.5 LPIPS_alex(x, G(w)) + 0.25 |E(x, m) - E(G(w), m)|^2

    The weights are half the paper's; the last term re-encodes the rendering. Without an encoder
    (their CIFAR10) it is 0.25 |w - w_0|^2.

    Args:
        encoder: (images, masks) -> latents; None where there is none.
        lpips_weights: see `LPIPS`.
        perceptual: replaces the LPIPS term, weight included.

    Raises:
        ImportError, FileNotFoundError, ValueError: no LPIPS; see `LPIPS`.

    Source: Chai et al. 2021, code, `inversions.invert_lbfgs` with its defaults.
    Differs: the encoder sees unknown pixels as 0.
    """
    second = LPIPS(0.5, "alex", lpips_weights, leak=True) if perceptual is None else perceptual
    pull: Term = ToStart(0.25) if encoder is None else ReEncode(0.25, encoder, to="encoder")
    return Objective((L1(0.5), second, pull))


def in_domain_objective(encoder: nn.Module, distance: FeatureDistance) -> Objective:
    """Return the objective of In-Domain GAN inversion, which Chai et al. use for 256-pixel faces.

        (x - G(w))^2 + 5e-5 (F(x) - F(G(w)))^2 + 2 (w - E(G(w)))^2

    Args:
        encoder: (images, masks) -> latents.
        distance: F with `normalise=False`. Theirs is VGG-16 up to the ReLU of block4_conv3, on BGR
            pixels in [0, 255] less (103.939, 116.779, 123.68); 5e-5 belongs to features of that
            size, and another network needs `dataclasses.replace` with another weight.

    Raises:
        ValueError: `distance` normalises its features.

    Source: Zhu et al. 2020, arXiv 2004.00049, domain-regularised optimisation; weights from
        `inverter.StyleGANInverter` of their code.
    Differs: masks are allowed; each image term is then a mean over known positions.
    """
    if distance.normalise:
        fail(
            "distance of the in-domain objective",
            expected="plain squared features",
            got="normalised ones",
            remedy="make it with FeatureDistance(..., normalise=False)",
        )
    return Objective((L2(1.0), Feature(5e-5, distance), ReEncode(2.0, encoder, to="latents")))


def inverter_preset(
    name: str,
    encoder: LatentEncoder | None,
    *,
    lpips_weights: str | Path | None = None,
    perceptual: Term | None = None,
    distance: FeatureDistance | None = None,
    steps: int | None = None,
) -> Inverter:
    """Return a published inversion by name, or ours.

    - "default": L1 + L2, batched L-BFGS on the smoothed loss, early stop. Ours.
    - "paper": the objective of Chai et al.'s Eq. 4, L-BFGS with history 10, 500 steps.
    - "reference": the objective and the optimizer of their code, failure loop included: 500 steps,
      200 without an encoder. To compare with.
    - "in-domain": Zhu et al. 2020 as Chai et al. use it: Adam at 0.01, 100 steps.

    Args:
        name: one of `PRESETS`.
        encoder: gives the start and the latent terms; None starts "default" from `SampleStart`, and
            "reference", as published, from the mean latent.
        lpips_weights: see `LPIPS`.
        perceptual: replaces LPIPS in "paper" and "reference", weight included.
        distance: features of "in-domain", not normalised; None takes the encoder's.
        steps: most steps; None is the preset's.

    Raises:
        ValueError: an unknown name (the closest are listed), or a preset that needs an encoder.
        ImportError, FileNotFoundError: no LPIPS; see `LPIPS`.

    Example:
        >>> inverter_preset("default", None).steps
        150
    """
    lookup(name, dict.fromkeys(PRESETS, True), "inverter preset")
    start = MeanStart() if encoder is None else EncoderStart(encoder)
    found = Inverter(start=start, tolerance=0.0, smoothing=0.0, steps=500)
    if name == "default":
        found = Inverter(start=default_start(encoder), objective=default_objective())
    elif name == "reference":
        objective = reference_objective(encoder, lpips_weights, perceptual=perceptual)
        count = 200 if encoder is None else 500
        found = replace(found, objective=objective, optimizer=LBFGS.reference(), steps=count)
    else:
        what, wanted = f"inverter preset {name!r}", "an inversion encoder"
        remedy = "train one with `train_encoder`, or use the preset 'default'"
        network = check_given(encoder, what, wanted, remedy)
        if name == "paper":
            objective = paper_objective(network, lpips_weights, perceptual=perceptual)
            found = replace(found, objective=objective, optimizer=LBFGS(history=10))
        else:
            plain = distance or FeatureDistance(network.features, normalise=False)
            adam = Adam(lr=0.01, betas=(0.9, 0.999), final=1.0)
            objective = in_domain_objective(network, plain)
            found = replace(found, objective=objective, optimizer=adam, steps=100)
    return found if steps is None else replace(found, steps=steps)


def default_start(encoder: LatentEncoder | None) -> Start:
    """Return the start where nothing else is said: the encoder's, or the nearest samples."""
    return SampleStart() if encoder is None else EncoderStart(encoder, encoder.passes)
