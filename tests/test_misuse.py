"""Whatever tensor is given to a public function: an answer, or a message of `checks.fail`."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import jaxtyping
import numpy as np
import pytest
import torch
from torch import nn

from genviews import (
    Classifier,
    Gaussian,
    GenerativeTTA,
    Inverter,
    KNNProbe,
    LinearProbe,
    PCAStatistics,
    PredictionBank,
    Rng,
    StyleMix,
    ToyGenerator,
    invert,
    render,
)
from genviews.evaluate.extractor import FeatureExtractor

TOY = ToyGenerator()
IMAGES = TOY.synthesize(TOY.map(TOY.sample(Rng(0).streams(range(6)))))
LATENTS = TOY.map(TOY.sample(Rng(0).streams(range(6))))
LABELS = torch.arange(6) % 2
NETWORK = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
CLASSIFIER = Classifier(NETWORK, TOY.image_spec, ("a", "b"))
FEATURES = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))

ODD: dict[str, Callable] = {
    "a list": lambda x: x.tolist(),
    "an array": lambda x: x.numpy(),
    "none": lambda x: None,
    "a word": lambda x: "images",
    "empty": lambda x: x[:0],
    "one": lambda x: x[0],
    "no axes": lambda x: x.sum(),
    "more axes": lambda x: x[None],
    "flat": lambda x: x.flatten(),
    "narrow": lambda x: x[..., :-1] if x.ndim > 1 else x[:-1],
    "bytes": lambda x: x.to(torch.uint8),
    "integers": lambda x: x.long(),
    "complex": lambda x: x.to(torch.complex64),
    "bool": lambda x: x > 0,
    "half": lambda x: x.half(),
    "NaN": lambda x: x * torch.nan,
    "infinite": lambda x: x.float() + torch.inf,
    "elsewhere": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "objects": lambda x: np.array([object()]),
}


def tta() -> GenerativeTTA:
    steps = Inverter(steps=1)
    return GenerativeTTA(
        CLASSIFIER, TOY, inverter=steps, perturbation=Gaussian("all", 0.3), num_views=1, alpha=0.5
    )


def fitted(images: object, labels: object) -> object:
    steps = Inverter(steps=1)
    made = GenerativeTTA(CLASSIFIER, TOY, inverter=steps, perturbation="reconstruction")
    return made.fit(images, labels)


def banked(labels: object) -> PredictionBank:
    logits = {"image": torch.zeros(6, 1, 2)}
    names = tuple("abcdef")
    return PredictionBank(
        ids=names, labels=labels, class_names=("a", "b"), split="test", logits=logits
    )


def mixed(latents: object) -> torch.Tensor:
    return StyleMix("fine")(TOY, latents, 2, Rng(0).streams(range(6)))


CALLS: dict[str, tuple[torch.Tensor, Callable]] = {
    "render": (LATENTS, lambda x: render(TOY, x)),
    "render's label": (LABELS, lambda x: render(ToyGenerator(num_classes=2), LATENTS, label=x)),
    "invert": (IMAGES, lambda x: invert(TOY, x, inverter=Inverter(steps=1))),
    "masks": ((IMAGES > 0).float(), lambda x: invert(TOY, IMAGES, x, inverter=Inverter(steps=1))),
    "classifier": (IMAGES, CLASSIFIER),
    "predict": (IMAGES, lambda x: tta().predict_proba(x)),
    "bank": (IMAGES, lambda x: tta().bank(x, split="test")),
    "bank's labels": (LABELS, lambda x: tta().bank(IMAGES, split="test", labels=x)),
    "fit": (IMAGES, lambda x: fitted(x, LABELS)),
    "fit's labels": (LABELS, lambda x: fitted(IMAGES, x)),
    "extractor": (IMAGES, FeatureExtractor(NETWORK)),
    "kNN": (FEATURES, lambda x: KNNProbe((2,)).fit(x, LABELS)),
    "kNN's labels": (LABELS, lambda x: KNNProbe((2,)).fit(FEATURES, x)),
    "linear": (FEATURES, lambda x: LinearProbe((1.0,), max_iter=3).fit(x, LABELS)),
    "linear's labels": (LABELS, lambda x: LinearProbe((1.0,), max_iter=3).fit(FEATURES, x)),
    "draws": (TOY.sample(Rng(0).streams(range(6))), TOY.map),
    "latents": (LATENTS, TOY.synthesize),
    "latents of views": (LATENTS, mixed),
    "labels of predictions": (LABELS, banked),
    "components": (FEATURES, lambda x: PCAStatistics(x, torch.ones(6))),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_an_odd_tensor_is_answered_or_refused_by_us(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users run it
    right, call = CALLS[name]
    call(right)
    raw = []
    for odd, change in ODD.items():
        try:
            call(change(right.detach()))
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            if not last.filename.endswith("checks.py"):
                raw.append(f"{odd}: {type(error).__name__} {str(error)[:90]} {last.filename[-40:]}")
    assert not raw, "\n".join(raw)
