"""Truncation that is none: refused by every generator and by all that passes it on."""

from __future__ import annotations

import math

import pytest
import torch

from genviews import Rng, ToyGenerator
from genviews.evaluate.fidelity import GeneratedSource
from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.stylegan2 import StyleGAN2
from genviews.perturb.stylemix import Independent
from genviews.represent.prior import Prior
from tests.networks import small_stylegan2

TOY = ToyGenerator()
STREAMS = Rng(0).streams(range(2))
GENERATORS = {
    "toy": TOY,
    "stylegan2": StyleGAN2(small_stylegan2()).eval(),
    "callable": CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 2, 2), z_dim=4),
    "in z space": z_space(TOY),
}
PASSED_ON = {
    **{
        name: lambda generator=generator, **how: generator.map(generator.sample(STREAMS), **how)
        for name, generator in GENERATORS.items()
    },
    "z space": lambda **how: z_space(TOY, **how),
    "prior": lambda **how: Prior(**how).sample(TOY, STREAMS),
    "independent": lambda **how: Independent(**how)(TOY, torch.zeros(2, 4, 4), 2, STREAMS),
}


pytestmark = pytest.mark.as_installed


@pytest.mark.parametrize("place", PASSED_ON)
@pytest.mark.parametrize("psi", [None, math.nan, math.inf, "0.7", True])
def test_psi_is_a_finite_number(place, psi):
    with pytest.raises(ValueError, match=r"psi: expected a finite number, .* 1 is no truncation"):
        PASSED_ON[place](psi=psi)


@pytest.mark.parametrize("place", PASSED_ON)
@pytest.mark.parametrize("cutoff", [-1, 1.5, 99, "all"])
def test_cutoff_is_a_number_of_rows(place, cutoff):
    with pytest.raises(ValueError, match=r"cutoff, of style rows .*: expected an integer"):
        PASSED_ON[place](psi=0.5, cutoff=cutoff)


def test_generated_images_have_one_too():
    with pytest.raises(ValueError, match="psi: expected a finite number"):
        GeneratedSource(TOY, 3, psi=None)


def test_it_is_always_applied_to_its_rows_alone():
    for generator in (TOY, GENERATORS["stylegan2"]):
        z, rows = generator.sample(STREAMS), generator.latent_spec.num_layers
        plain = generator.map(z)
        for cutoff in (0, 1, rows, None):
            stop = rows if cutoff is None else cutoff
            found = generator.map(z, psi=0.0, cutoff=cutoff)
            assert torch.equal(found[:, stop:], plain[:, stop:])
            assert bool((found[0, :stop] == found[1, :stop]).all())
        with pytest.raises(ValueError, match=rf"cutoff, .* at most {rows}, got {rows + 1}"):
            generator.map(z, cutoff=rows + 1)
