"""A name of the package that is also a module means one thing: the module, which can be called."""

from __future__ import annotations

import inspect
import pickle
from types import ModuleType

import pytest
import torch

import genviews
import genviews.invert as invert_module
import genviews.render as render_module
from genviews import ImageSpec, Inverter, Rng, ToyGenerator, invert, render
from genviews.invert.optimize import invert as invert_function
from genviews.render import render as render_function


def test_importing_a_module_gives_a_module() -> None:
    assert isinstance(invert_module, ModuleType)
    assert isinstance(render_module, ModuleType)
    assert invert_module.optimize.invert is invert_function
    assert render_module.render is render_function
    assert genviews.invert is invert_module is invert
    assert genviews.render is render_module is render


def test_they_do_what_their_functions_do() -> None:
    toy = ToyGenerator()
    latents = toy.map(toy.sample(Rng(0).streams(range(2))))
    images = render(toy, latents)
    torch.testing.assert_close(images, render_function(toy, latents))
    found, wanted = (
        one(toy, images.float(), inverter=Inverter(steps=2)) for one in (invert, invert_function)
    )
    torch.testing.assert_close(found.latents, wanted.latents)


@pytest.mark.parametrize(
    ("module", "function"), [(invert, invert_function), (render, render_function)]
)
def test_they_are_seen_as_their_functions(module: object, function: object) -> None:
    assert inspect.signature(module) == inspect.signature(function)
    assert pickle.loads(pickle.dumps(function)) is function


def test_every_public_name_that_is_a_module_can_be_called() -> None:
    both = [name for name in genviews.__all__ if isinstance(getattr(genviews, name), ModuleType)]
    assert sorted(both) == ["invert", "render"]
    assert all(callable(getattr(genviews, name)) for name in both)


def test_the_spec_of_images_is_public() -> None:
    assert ImageSpec(channels=1, height=2, width=3).shape == (1, 2, 3)
