"""A study made of numbers, to look at the report without running anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from genviews.ensemble.result import AlphaCurve, Comparison, Gallery, Row, StudyResult
from genviews.ensemble.verdict import verdict

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
NAMES = (
    ("single image", "image", ()),
    ("flip", "pixel", ("flip",)),
    ("crop", "pixel", ("crop",)),
    ("jitter", "pixel", ("jitter",)),
    ("flip+crop", "pixel", ("flip+crop",)),
    ("reconstruction only", "latent", ("reconstruction",)),
    ("isotropic coarse", "latent", ("isotropic_coarse_0.50",)),
    ("isotropic fine", "latent", ("isotropic_fine_0.30",)),
    ("pca coarse", "latent", ("pca_coarse_1.00",)),
    ("pca fine", "latent", ("pca_fine_2.00",)),
    ("stylemix coarse", "latent", ("stylemix_coarse_1.00",)),
    ("stylemix fine", "latent", ("stylemix_fine_1.00",)),
    ("combined", "combined", ("crop+stylemix_fine_1.00",)),
)


def make_row(classifier: str, place: int, size: float, rng: np.random.Generator) -> Row:
    name, group, views = NAMES[place]
    base = group == "image"
    weighed = group in ("latent", "combined") and name != "reconstruction only"
    gain = 0.0 if base else float(rng.normal(0.3 * size, size)) / 100
    if name == "reconstruction only":
        gain = -0.083
    accuracy = 0.8675 + gain
    p = 1.0 if base else float(np.exp(-abs(gain) * 700))
    return Row(
        name=name,
        classifier=classifier,
        group=group,
        views=views,
        num_views=32 * bool(views),
        alpha=round(float(rng.integers(3, 12)) * 0.05, 2) if weighed else None,
        oracle_alpha=0.45 if weighed else None,
        oracle_accuracy=accuracy + 0.002 if weighed else None,
        calibration_accuracy=accuracy + 0.004,
        accuracy=accuracy,
        interval=(accuracy - 0.021, accuracy + 0.019),
        gain=gain,
        gain_interval=(gain - 0.011, gain + 0.011) if not base else (0.0, 0.0),
        fixed=0 if base else 21,
        broke=0 if base else 13,
        p_value=p,
        p_holm=min(1.0, p * 6),
        reference_gain=None if classifier == "images" else gain + 0.004,
        reference_gain_interval=None if classifier == "images" else (gain - 0.01, gain + 0.015),
        reference_p_value=None if classifier == "images" else 0.2,
    )


def make_curve(row: Row) -> AlphaCurve:
    alphas = tuple(round(0.05 * i, 2) for i in range(21))
    chosen = row.alpha or 0.0
    shape = [row.accuracy + 0.12 * ((chosen - 0.4) ** 2 - (a - 0.4) ** 2) for a in alphas]
    return AlphaCurve(
        row=row.name,
        classifier=row.classifier,
        alphas=alphas,
        calibration=tuple(v + 0.004 for v in shape),
        test=tuple(shape),
    )


def make_gallery(
    classes: tuple[str, ...],
    kinds: tuple[str, ...],
    views: int,
    channels: int,
    size: int,
    *,
    labelled: bool,
) -> Gallery:
    torch.manual_seed(0)
    count = len(kinds)
    ramp = torch.linspace(-1, 1, size)
    images = (ramp[None, None, :, None] * torch.randn(count, channels, 1, 1) + ramp.sin()).clamp(
        -1, 1
    )
    keys = (
        "flip",
        "crop",
        "isotropic_coarse_0.50",
        "isotropic_fine_0.30",
        "stylemix_coarse_1.00",
        "stylemix_fine_1.00",
    )

    labels = torch.arange(count) % len(classes)

    def probs(*shape: int, right: float = 2.0) -> torch.Tensor:
        scores = torch.randn(*shape, len(classes)) * 1.5
        scores += right * torch.nn.functional.one_hot(labels, len(classes)).view(
            count, *[1] * (len(shape) - 1), -1
        )
        return scores.softmax(-1)

    noise = {key: 0.2 * torch.randn(count, views, channels, size, size) for key in keys}
    return Gallery(
        ids=tuple(f"test/{i:05d}.png" for i in range(count)),
        images=images,
        reconstructions=images * 0.9,
        views={key: images[:, None] + n for key, n in noise.items()},
        image_probs=probs(count, right=-1.0),
        reconstruction_probs=probs(count),
        view_probs={key: probs(count, views) for key in keys},
        ensemble_probs=probs(count, right=9.0),
        labels=labels if labelled else None,
        kind=kinds,
        loss=torch.linspace(0.01, 0.4, count),
        ensemble="stylemix fine",
    )


@pytest.fixture
def make_result() -> Callable[..., StudyResult]:
    """Build a study, small unless `full`; each argument changes one thing."""

    def make(
        *,
        classes: tuple[str, ...] = CLASSES,
        classifiers: tuple[str, ...] = ("images", "views"),
        size: float = 0.6,
        kinds: tuple[str, ...] = ("fixed", "best reconstruction"),
        views: int = 2,
        channels: int = 1,
        pixels: int = 32,
        labelled: bool = True,
        full: bool = False,
        **changes: object,
    ) -> StudyResult:
        rng = np.random.default_rng(3)
        places = range(len(NAMES)) if full else (0, 2, 4, 5, 11, 12)
        rows = tuple(make_row(c, i, size, rng) for c in classifiers for i in places)
        curves = tuple(make_curve(row) for row in rows if row.alpha is not None)
        pairs = (
            Comparison(
                classifier=classifiers[0],
                row="combined",
                against="flip+crop",
                gain=0.003,
                interval=(-0.004, 0.01),
                fixed=12,
                broke=9,
                p_value=0.66,
            ),
        )
        result = StudyResult(
            title="fashion32: do generated views help?",
            class_names=classes,
            rows=rows,
            curves=curves if full else curves[:1],
            gallery=make_gallery(classes, kinds, views, channels, pixels, labelled=labelled),
            reconstruction={
                "encoder_l1": 0.0912,
                "l1": 0.0571,
                "loss": 0.0623,
                "start_loss": 0.0911,
                "failed": 0.0,
                "accuracy_on_images": 0.8675,
                "accuracy_on_reconstructions": 0.7843,
            },
            num_calibration=1000,
            num_test=1000,
            skipped=(("notes.txt", "not an image"), ("cat/broken.png", "the file ends too early")),
            config={"reference": classifiers[0], "num_views": 32, "layers": {"fine": [5, 8]}},
            versions={"genviews": "0.1.0", "torch": "2.14.1", "numpy": "2.4.6"},
            command="genviews demo --out runs/demo --seed 0",
            seconds={"invert calibration": 14.2, "invert test": 15.1, "views of test": 41.7},
            seed=0,
            verdict=verdict(rows, pairs, reference=classifiers[0], num_test=1000),
            comparisons=pairs,
        )
        return replace(result, **changes)

    return make
