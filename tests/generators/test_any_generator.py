"""Generators that a user could write: each is used as it is meant, or refused in one sentence."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from genviews.classify.model import Classifier
from genviews.evaluate.fidelity import GeneratedSource
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.kit import GeneratorKit
from genviews.perturb.noise import Gaussian
from genviews.perturb.train_steer import SteerTraining, train_walks
from genviews.pipeline import GenerativeTTA
from genviews.render import render
from genviews.represent.stored import write_views
from genviews.represent.views import LatentViews
from genviews.rng import Rng

WIDTH = 4

SHAPES: dict[str, Callable] = {
    "first": lambda x: x,
    "last": lambda x: x.movedim(1, -1),
    "none": lambda x: x[:, 0],
    "flat": lambda x: x.flatten(1),
    "one row": lambda x: x[:1],
    "five axes": lambda x: x[None],
    "no pixels": lambda x: x[..., :0],
    "no channels left": lambda x: x[:, :0],
    "joined": lambda x: x.flatten(),
}
RANGES: dict[str, Callable] = {
    "signed": lambda x: x,
    "unit": lambda x: x / 2 + 0.5,
    "bytes": lambda x: x * 127.5 + 127.5,
    "loud": lambda x: x * 300,
    "bright": lambda x: x * 0.2 + 0.7,
    "constant": lambda x: x * 0 + 0.3,
}
TYPES = {name: getattr(torch, name) for name in ("float32", "float64", "float16", "bfloat16")}
TYPES |= {name: getattr(torch, name) for name in ("uint8", "int64", "bool", "complex64")}
ANSWERS: dict[str, Callable] = {
    "tensor": lambda x, z: x,
    "tuple": lambda x, z: (x, z),
    "dict": lambda x, z: {"loss": 0.0, "images": x},
    "object": lambda x, z: SimpleNamespace(sample=x),
    "two": lambda x, z: [x, x],
    "array": lambda x, z: np.asarray(x.detach().float()),
    "none": lambda x, z: None,
    "function": lambda x, z: lambda: x,
}
GRADIENTS: dict[str, Callable] = {
    "whole": lambda z: z,
    "detached": lambda z: z.detach(),
    "rounded": lambda z: (z * 4).round() / 4,
}
FAULTS: dict[str, Callable] = {
    "none": lambda x, z: x,
    "noise": lambda x, z: x + 0.1 * torch.rand_like(x),
    "batch": lambda x, z: x * 0.5 + 0.1 * z.mean().tanh(),
    "few nan": lambda x, z: x.where(_high(z, 1.3, x), torch.nan),
    "few inf": lambda x, z: x.where(_high(z, 1.3, x), -torch.inf),
    "all nan": lambda x, z: x * torch.nan,
    "half inf": lambda x, z: x.where(_high(z, 0.0, x), torch.inf),
    "raises": lambda x, z: {}["a key of mine"],
    "alone": lambda x, z: x if len(z) > 1 else x.squeeze(),
    "large batch": lambda x, z: x.reshape(7, 7) if len(z) > 20 else x,
}


def _high(z, limit, x):
    return (z.flatten(1)[:, 0] < limit).reshape(-1, *[1] * (x.ndim - 1))


PARTS = (SHAPES, RANGES, TYPES, ANSWERS, GRADIENTS, FAULTS)


class Written(nn.Module):
    """A generator of these parts."""

    def __init__(self, parts, channels: int, pixels: bool, classes: bool):
        super().__init__()
        self.names = (*parts, channels, pixels, classes)
        self.parts = [table[name] for table, name in zip(PARTS, parts, strict=True)]
        self.pixels, self.classes = pixels, classes
        chance = torch.Generator().manual_seed(0)
        self.first = (
            nn.Conv2d(WIDTH, channels * 12, 1) if pixels else nn.Linear(WIDTH, channels * 12)
        )
        with torch.no_grad():
            for part in self.first.parameters():
                part.copy_(torch.randn(part.shape, generator=chance))

    def __repr__(self):
        return f"Written{self.names}"

    def forward(self, z, *label):
        shape, range_, dtype, answer, gradient, fault = self.parts
        if len(label) != self.classes:
            raise TypeError("another number of arguments")
        x = self.first(gradient(z)).flatten(1).tanh().reshape(len(z), -1, 3, 4)
        if label:
            x = x * (0.5 + label[0].argmax(1).reshape(-1, 1, 1, 1) / 4)
        return answer(fault(shape(range_(x)), z).to(dtype), z)


@contextmanager
def one_sentence(refusals: list[str]):
    """Only our own messages may leave the block."""
    try:
        yield
    except (ValueError, TypeError) as error:
        text = str(error)
        assert re.match(r"[^\n]+: expected [^\n]+, got [^\n]+; [^\n]+\.$", text), text
        refusals.append(text)


@st.composite
def written(draw):
    """A generator, at most two of whose parts are odd."""
    parts = [next(iter(table)) for table in PARTS]
    for place in draw(st.lists(st.integers(0, len(PARTS) - 1), max_size=2, unique=True)):
        parts[place] = draw(st.sampled_from(list(PARTS[place])))
    channels = draw(st.sampled_from((1, 3, 2, 4, 5)))
    return Written(parts, channels, draw(st.booleans()), draw(st.integers(0, 4)) == 0)


def wrapped(module: Written, refusals: list[str], **options) -> CallableGenerator | None:
    with one_sentence(refusals):
        return CallableGenerator(module, WIDTH, num_classes=3 * module.classes, **options)
    return None


@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(module=written(), data=st.data())
def test_images_are_the_same_whatever_batch_order_chunk_and_type(module, data) -> None:
    refusals: list[str] = []
    generator = wrapped(module, refusals)
    if generator is None:
        assert len(refusals) == 1
        return
    ids = data.draw(st.permutations(range(6)))
    latents = generator.map(
        generator.sample(Rng(1).streams(ids)), generator.labels_in_turn(range(6))
    )
    label = generator.labels_in_turn(range(6))
    with one_sentence(refusals):
        whole = render(generator, latents, label=label)
        assert whole.shape == (6, *generator.image_spec.shape)
        assert whole.dtype == latents.dtype
        size = data.draw(st.integers(1, 6))
        chunks = render(generator, latents, label=label, batch_size=size)
        torch.testing.assert_close(chunks, whole, rtol=0, atol=2e-3, equal_nan=True)
        order = data.draw(st.permutations(range(6)))
        turned = render(generator, latents[order], label=None if label is None else label[order])
        torch.testing.assert_close(turned, whole[order], rtol=0, atol=2e-3, equal_nan=True)
        double = render(generator, latents.double(), label=label)
        torch.testing.assert_close(double.float(), whole, rtol=0, atol=2e-2, equal_nan=True)
        finite = whole[whole.isfinite()]
        assert not len(finite) or finite.abs().max() <= 10


ODD = {
    "detached": ({4: "detached"}, False),
    "rounded": ({4: "rounded"}, True),
    "half": ({2: "float16"}, False),
    "bytes": ({1: "bytes", 2: "uint8"}, True),
    "few nan": ({5: "few nan"}, True),
    "half inf": ({5: "half inf"}, False),
    "large batch": ({5: "large batch"}, False),
    "dict": ({3: "dict"}, True),
}


@pytest.mark.parametrize("odd", ODD)
def test_every_function_answers_or_says_why(odd: str, tmp_path) -> None:
    changed, classes = ODD[odd]
    parts = [changed.get(place, next(iter(table))) for place, table in enumerate(PARTS)]
    refusals: list[str] = []
    generator = wrapped(Written(parts, 1, True, classes), refusals)
    assert generator is not None
    ids, label = range(3), generator.labels_in_turn(range(3))
    images = torch.rand(3, 1, 3, 4) * 2 - 1
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    classifier = Classifier(network, generator.image_spec, ("a", "b", "c"))
    shape = Gaussian("all", 0.3)

    def ensemble() -> None:
        tta = GenerativeTTA(
            classifier, generator, inverter=Inverter(steps=2), perturbation=shape, num_views=2
        )
        tta.fit(images, torch.tensor([0, 1, 2]))
        assert tta.predict_proba(images).isfinite().all()

    def learn() -> None:
        batch = LatentViews(generator, shape, positives=2)(ids)
        assert batch.images.isfinite().all()
        write_views(LatentViews(generator, shape), tmp_path, 30, shard_size=30)

    calls = (
        ensemble,
        learn,
        lambda: invert(generator, images, inverter=Inverter(steps=2), label=label),
        lambda: GeneratedSource(generator, 30).read(range(30)),
        lambda: train_walks(generator, SteerTraining(samples=32, batch=32, edits=("zoom",))),
        lambda: GeneratorKit(generator).candidates,
        lambda: generator.synthesize(torch.zeros(2, 1, WIDTH + 1)),
        lambda: generator.synthesize(torch.zeros(2, WIDTH)),
        lambda: generator.map(torch.zeros(2, WIDTH), torch.tensor([0, 7])),
    )
    for call in calls:
        with one_sentence(refusals):
            call()
    if odd in ("detached", "rounded", "bytes"):
        assert sum("gradient" in text for text in refusals) >= 3


class Own(ToyGenerator):
    """A class of the user's own, which does not keep the protocol."""

    def __init__(self, fault):
        super().__init__()
        self.fault = fault

    def synthesize(self, latents, label=None):
        return self.fault(super().synthesize(latents, label))


OWN_FAULTS = {
    "another size": lambda x: x[..., :-1],
    "one image": lambda x: x[0],
    "a list": lambda x: [x],
    "raises": lambda x: x @ torch.zeros(3, 3),
}


@pytest.mark.parametrize("fault", OWN_FAULTS)
def test_a_generator_of_the_users_own_class_is_told_apart_from_ours(fault: str) -> None:
    generator, refusals = Own(OWN_FAULTS[fault]), []
    latents = generator.map(generator.sample(Rng(0).streams(range(3))))
    images = ToyGenerator().synthesize(latents)
    for call in (
        lambda: render(generator, latents),
        lambda: render(generator, latents[:, None].repeat(1, 2, 1, 1)),
        lambda: invert(generator, images, inverter=Inverter(steps=2)),
        lambda: LatentViews(generator, Gaussian("all", 0.2))(range(3)),
    ):
        with one_sentence(refusals):
            call()
    assert len(refusals) == 4, refusals
