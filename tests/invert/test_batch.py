"""The bytes that an image costs, counted by hand on small networks, and the batch that fits."""

import pytest
import torch
from torch import nn

from genviews import CallableGenerator, StyleGAN2, ToyGenerator
from genviews.invert import batch, optimize
from genviews.invert.batch import ALIKE, bytes_per_image, fitting_batch, in_parts
from genviews.invert.features import Feature, FeatureDistance, ModuleFeatures
from genviews.invert.inverter import Inverter
from genviews.invert.objective import L1, L2, Objective
from genviews.invert.optimize import invert
from tests.networks import small_stylegan2

PIXELS = 48  # of 3 channels


class Waves(nn.Module):
    """A linear map and some sines, each of which keeps what went into it for the backward pass."""

    def __init__(self, sines):
        super().__init__()
        self.linear, self.sines = nn.Linear(5, PIXELS), sines

    def forward(self, z):
        x = self.linear(z)
        for _ in range(self.sines):
            x = x.sin()
        return x.reshape(-1, 3, 4, 4)


def waves(sines=3, trained=False):
    return CallableGenerator(Waves(sines).requires_grad_(trained), z_dim=5)


def by_hand(sines, size=4, errors=1, known=1, inputs=0):
    numbers = PIXELS * (sines + errors)  # each sine's input; the error, for |.| or its square
    mask = PIXELS // 3  # as numbers to multiply with, and as truth values where it blanks
    return size * (numbers + known * mask + known + inputs) + known * mask


@pytest.mark.parametrize("sines", [0, 1, 3, 10])
@pytest.mark.parametrize("term", [L1(), L2()])
def test_bytes_counted_by_hand(sines, term):
    assert bytes_per_image(waves(sines), Objective((term,))) == by_hand(sines)


def test_bytes_of_more_terms_and_wider_numbers():
    both = Objective((L1(), L2()))
    # The mask's numbers are shared, its truth values and its count are made for each term.
    assert bytes_per_image(waves(), both) == by_hand(3) + 4 * (PIXELS + 1) + PIXELS // 3
    wide = waves().double()
    assert bytes_per_image(wide, Objective(), torch.float64) == by_hand(3, size=8)
    # Rounding |e| keeps the root beside the error.
    assert bytes_per_image(waves(), Objective((L1(smoothing=0.1),))) == by_hand(3, errors=2)
    # Trained weights need what the linear map saw; `invert` freezes them.
    assert bytes_per_image(waves(trained=True), Objective()) == by_hand(3, inputs=5)


def test_features_cost_too():
    net = nn.Sequential(nn.Conv2d(3, 7, 3, padding=1)).requires_grad_(False)
    distance = FeatureDistance(ModuleFeatures(net, ("0",)), normalise=False)
    objective = Objective((L1(), Feature(1.0, distance)))
    more = bytes_per_image(waves(), objective) - bytes_per_image(waves(), Objective())
    assert more >= 4 * 7 * 16


def stylegan2(resolution):
    config = small_stylegan2(resolution=resolution, channels=dict.fromkeys((4, 8, 16), 8))
    return StyleGAN2(config).eval().requires_grad_(False)


def kept(generator, objective, count):
    """Bytes of all that an evaluation of so many images keeps for the backward pass."""
    storages = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor

    latents = torch.zeros(count, *generator.latent_spec.shape)
    images = torch.zeros(count, *generator.image_spec.shape)
    target = objective.target(images, torch.ones_like(images[:, :1]), latents)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(target, generator.synthesize(latents.requires_grad_()), latents)
    return sum(storage.nbytes() for storage in storages.values())


def test_each_further_image_costs_the_same():
    objective = Objective()
    for generator in (waves(), stylegan2(8), ToyGenerator()):
        eight = kept(generator, objective, 9) - kept(generator, objective, 1)
        assert eight / 8 == pytest.approx(bytes_per_image(generator, objective), rel=0.01)


def test_larger_images_cost_more():
    small, large = (bytes_per_image(stylegan2(r), Objective()) for r in (8, 16))
    assert 3 * small < large < 8 * small


def test_the_batch_is_the_largest_power_of_two_that_fits():
    generator, objective = waves(), Objective()
    cost = 2 * bytes_per_image(generator, objective)
    found = []
    for memory in [1, cost - 1, *(k * cost for k in (1, 2, 3, 4, 7, 8, 100, 256, 300)), 10**15]:
        batch = fitting_batch(generator, objective, memory=memory)
        fits = [2**k for k in range(9) if 2**k * cost <= memory]
        assert batch == max(fits, default=1)
        found.append(batch)
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-1] == 256


def test_the_count_does_not_depend_on_the_machine():
    generator, objective = stylegan2(8), Objective((L1(), L2()))
    first = bytes_per_image(generator, objective)
    state = torch.get_rng_state()
    ballast = [torch.zeros(1000 + i) for i in range(50)]
    with torch.no_grad():
        assert bytes_per_image(generator, objective) == first
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    assert fitting_batch(generator, objective) == fitting_batch(generator, objective)
    assert len(ballast) == 50


def test_memory_is_checked():
    with pytest.raises(ValueError, match="memory in bytes: expected an integer of at least 1"):
        fitting_batch(waves(), Objective(), memory=0)


def test_invert_takes_what_fits(monkeypatch):
    toy, sizes, asked = ToyGenerator(), [], []

    def three(generator, objective, dtype):
        asked.append((generator, objective, dtype))
        return 3

    class Watched(ToyGenerator):
        def synthesize(self, w, label=None):
            sizes.append(len(w))
            return super().synthesize(w)

    for module in (batch, optimize):
        monkeypatch.setattr(module, "fitting_batch", three)
    watched, inverter = Watched(), Inverter(steps=1)
    images = toy.synthesize(torch.randn(8, 4, 4).double())
    invert(watched, images, inverter=inverter, batch_size=None)
    assert max(sizes) == 3
    assert set(asked) == {(watched, inverter.objective, torch.float64)}


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 40])
def test_parts_cover_every_row_once_and_have_one_size(rows):
    parts = []

    def note(part):
        parts.append(part)
        return part, 2 * part

    covered, twice = in_parts(note, rows, torch.device("cpu"), ALIKE)
    assert {len(part) for part in parts} == {ALIKE}
    assert covered.tolist() == list(range(rows))
    assert torch.equal(twice, 2 * covered)
    assert all(int(part.max()) < rows for part in parts)  # what fills up is a row, too


def test_an_accelerator_takes_as_many_rows_as_it_may():
    for size, wanted in ((64, [40]), (16, [16, 16, 8])):
        sizes = []

        def note(part, sizes=sizes):
            sizes.append(len(part))
            return (part,)

        (found,) = in_parts(note, 40, torch.device("meta"), size)
        assert (sizes, len(found)) == (wanted, 40)
