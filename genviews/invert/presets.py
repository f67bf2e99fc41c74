"""The published inversions by name, and ours: objectives, and whole inverters.

LPIPS needs weights that cannot ship (see `perceptual`). Where they are absent, `perceptual` takes
another term in its place, with its own weight: e.g. `Feature(1.0, FeatureDistance(...))`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from genviews.checks import fail, lookup
from genviews.invert.adam import Adam
from genviews.invert.consistency import ReEncode, ToEncoder
from genviews.invert.encoder import InversionEncoder
from genviews.invert.features import Feature, FeatureDistance
from genviews.invert.inverter import Inverter
from genviews.invert.lbfgs import LBFGS
from genviews.invert.objective import L1, L2, Objective, ToStart
from genviews.invert.perceptual import LPIPS
from genviews.invert.start import EncoderStart, MeanStart
from genviews.invert.term import Term

__all__ = [
    "PRESETS",
    "default_objective",
    "in_domain_objective",
    "inverter_preset",
    "paper_objective",
    "reference_objective",
]

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
    encoder: InversionEncoder | None,
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
        encoder: gives the start and the latent terms; None starts from the mean latent.
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
    exact = Inverter(start=start, tolerance=0.0, smoothing=0.0, steps=500)
    if name == "default":
        found = Inverter(start=start, objective=default_objective())
    elif name == "reference":
        objective = reference_objective(encoder, lpips_weights, perceptual=perceptual)
        count = 200 if encoder is None else 500
        found = replace(exact, objective=objective, optimizer=LBFGS.reference(), steps=count)
    elif encoder is None:
        fail(
            f"inverter preset {name!r}",
            expected="an inversion encoder",
            got="none",
            remedy="train one with `train_encoder`, or use the preset 'default'",
        )
    elif name == "paper":
        objective = paper_objective(encoder, lpips_weights, perceptual=perceptual)
        found = replace(exact, objective=objective, optimizer=LBFGS(history=10))
    else:
        plain = FeatureDistance(encoder.features, normalise=False) if distance is None else distance
        adam = Adam(lr=0.01, betas=(0.9, 0.999), final=1.0)
        objective = in_domain_objective(encoder, plain)
        found = replace(exact, objective=objective, optimizer=adam, steps=100)
    return found if steps is None else replace(found, steps=steps)
