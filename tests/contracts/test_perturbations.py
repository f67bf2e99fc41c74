"""The laws of a perturbation, over a table of all of them on every kind of generator.

A new perturbation is a new row in `TABLE`: a function from (layers, strength, statistics), and its
largest strength here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

from genviews.generators import CallableGenerator, Generator, StyleGAN2, StyleGAN2Config
from genviews.generators.toy import ToyGenerator
from genviews.generators.zspace import z_space
from genviews.kit import GeneratorKit
from genviews.perturb import (
    PCA,
    Angular,
    Gaussian,
    Independent,
    Isotropic,
    Normal,
    PCAStatistics,
    Perturbation,
    Steer,
    StyleMix,
    Uniform,
    Walks,
)
from genviews.perturb.presets import KINDS
from genviews.perturb.walks import latent_width
from genviews.perturb.warps import directions_of
from genviews.render import render
from genviews.rng import Rng, Streams

Make = Callable[[str, float, PCAStatistics], Perturbation]

WALKS: dict[PCAStatistics, Walks] = {}  # of the generator that the statistics are of

TABLE: dict[str, tuple[Make, float]] = {
    "isotropic": (lambda layers, t, _: Isotropic(layers, t), 0.7),
    "pca": (lambda layers, t, found: PCA(layers, t, found), 2.0),
    "pca-eigenvalue": (lambda layers, t, found: PCA(layers, t, found, "eigenvalue"), 2.0),
    "pca-none": (lambda layers, t, found: PCA(layers, t, found, "none"), 2.0),
    "stylemix": (lambda layers, t, _: StyleMix(layers, t), 1.0),
    "stylemix part": (lambda layers, t, _: StyleMix(layers, t / 2), 1.0),
    "gaussian": (lambda layers, t, _: Gaussian(layers, t), 0.7),
    "gaussian-fixed": (lambda layers, t, _: Gaussian(layers, t, reading="fixed"), 0.7),
    "gaussian-free": (lambda layers, t, _: Gaussian(layers, t, None), 0.7),
    "angular": (lambda layers, t, _: Angular(layers, t), 0.7),
    "uniform": (lambda layers, t, _: Uniform(layers, t), 0.7),
    "uniform-ball": (lambda layers, t, _: Uniform(layers, t, "ball"), 0.7),
    "independent": (lambda layers, t, _: Independent(layers, t), 1.0),
    "steer": (lambda layers, t, found: Steer(layers, WALKS[found], t), 1.0),
    "steer-zoom": (
        lambda layers, t, found: Steer(layers, WALKS[found], t, (("zoom", 1.0), ("colour", 0.3))),
        1.0,
    ),
}

SMALL = StyleGAN2Config(
    resolution=8,
    z_dim=6,
    w_dim=6,
    mapping_layers=2,
    channels={4: 4, 8: 4},
    resample_filter=(1.0, 3.0, 3.0, 1.0),
)
GENERATORS: dict[str, Callable[[], Generator]] = {
    "toy": ToyGenerator,
    "toy conditional": lambda: ToyGenerator(num_classes=3),
    "stylegan2": lambda: StyleGAN2(SMALL),
    "callable": lambda: CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16),
    "toy in z": lambda: z_space(ToyGenerator(), psi=0.9),
}
IDS = ["a.png", 3, "b.png", 2**40, 0]


@cache
def build(name: str) -> tuple[Generator, PCAStatistics]:
    torch.manual_seed(0)  # the weights of StyleGAN2
    generator = GENERATORS[name]().eval()
    statistics = PCAStatistics.measure(generator, num_samples=300)
    names = directions_of(generator.image_spec.channels)
    shape = (generator.latent_spec.num_layers, latent_width(generator))
    directions = 0.3 * Rng(0, "walks").streams(names).normal(1, shape)[:, 0]
    WALKS[statistics] = Walks(directions=directions, names=names)
    return generator, statistics


@pytest.fixture(params=list(GENERATORS))
def world(request: pytest.FixtureRequest) -> tuple[Generator, PCAStatistics]:
    return build(request.param)


@pytest.fixture
def generator(world) -> Generator:
    return world[0]


@pytest.fixture
def statistics(world) -> PCAStatistics:
    return world[1]


@pytest.fixture(params=list(TABLE))
def make(request: pytest.FixtureRequest, statistics) -> Callable[..., Perturbation]:
    create, strongest = TABLE[request.param]
    return lambda layers="all", part=1.0: create(layers, part * strongest, statistics)


def start(
    generator: Generator, ids: list[int | str] = IDS
) -> tuple[Tensor, Streams, Tensor | None]:
    """Latents that differ in every row, streams, and labels where the generator needs them."""
    streams = Rng(5, "start").streams(ids)
    labels = torch.arange(len(ids)) % generator.num_classes if generator.num_classes else None
    with torch.no_grad():
        latents = generator.map(generator.sample(streams), labels)
    latents = latents + streams.child("rows").normal(1, generator.latent_spec.shape)[:, 0]
    return latents, Rng(1).streams(ids), labels


def ranges(generator: Generator) -> list[str]:
    """Every row alone, all of them, and the ranges with a name."""
    spec = generator.latent_spec
    return ["all", *map(str, range(spec.num_layers)), *(found.name for found in spec.ranges)]


def test_the_table_is_complete() -> None:
    assert set(KINDS) <= set(TABLE)


def test_zero_strength_is_the_identity(make, generator) -> None:
    latents, streams, labels = start(generator)
    for layers in ranges(generator):
        views = make(layers, 0.0)(generator, latents, 3, streams, labels)
        assert torch.equal(views, latents[:, None].expand_as(views))


def test_a_view_of_zero_strength_is_the_reconstruction(make, generator) -> None:
    latents, streams, labels = start(generator)
    views = render(generator, make("all", 0.0)(generator, latents, 3, streams, labels))
    assert torch.equal(views, render(generator, latents)[:, None].expand_as(views))


def test_rows_outside_the_range_stay_and_every_row_inside_moves(make, generator) -> None:
    latents, streams, labels = start(generator)
    for layers in ranges(generator):
        views = make(layers)(generator, latents, 4, streams, labels)
        inside = torch.zeros(generator.latent_spec.num_layers, dtype=torch.bool)
        inside[generator.latent_spec.layers(layers).rows] = True
        same = (views == latents[:, None]).all(-1)
        assert same[:, :, ~inside].all()
        assert not same[:, :, inside].any()


def test_the_input_is_not_written_to(make, generator) -> None:
    latents, streams, labels = start(generator)
    before = latents.clone()
    views = make()(generator, latents, 2, streams, labels)
    views.zero_()
    assert torch.equal(latents, before)


def test_batch_mates_and_order_change_nothing(make, generator) -> None:
    latents, streams, labels = start(generator)
    perturb = make()
    whole = perturb(generator, latents, 3, streams, labels)
    for rows in ([1], [4, 0, 2], [3, 3]):
        some = None if labels is None else labels[rows]
        part = perturb(generator, latents[rows], 3, streams[rows], some)
        close(perturb, part, whole[rows])


def test_a_view_is_the_same_alone_or_among_more(make, generator) -> None:
    latents, streams, labels = start(generator)
    perturb = make()
    whole = perturb(generator, latents, 7, streams, labels)
    close(perturb, perturb(generator, latents, 2, streams, labels), whole[:, :2])
    late = perturb(generator, latents, 3, streams.from_view(4), labels)
    close(perturb, late, whole[:, 4:])


def close(perturb: Perturbation, part: Tensor, whole: Tensor) -> None:
    """Bit-equal; a mapping network (style-mix) may round otherwise in another batch size."""
    tolerance = 1e-5 if isinstance(perturb, StyleMix | Independent) else 0.0
    torch.testing.assert_close(part, whole, rtol=0.0, atol=tolerance)


def test_calling_twice_gives_the_same_and_leaves_no_trace(make, generator) -> None:
    latents, streams, labels = start(generator)
    state = torch.get_rng_state()
    first = make()(generator, latents, 2, streams, labels)
    assert torch.equal(make()(generator, latents, 2, streams, labels), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert not first.requires_grad


def test_other_ids_seeds_and_views_give_other_latents(make, generator) -> None:
    latents, streams, labels = start(generator, [0, 1])
    latents = latents[:1].repeat(2, 1, 1)
    labels = None if labels is None else labels[:1].repeat(2)
    perturb = make()
    views = perturb(generator, latents, 2, streams, labels).flatten(0, 1)
    other = perturb(generator, latents, 2, Rng(2).streams([0, 1]), labels).flatten(0, 1)
    assert len(torch.unique(torch.cat([views, other]), dim=0)) == 8


def test_strengths_share_their_draws(make, generator) -> None:
    """A stronger view lies on the same ray, so that scales are compared on the same directions."""
    latents, streams, labels = start(generator)
    full = make("all", 1.0)(generator, latents, 2, streams, labels) - latents[:, None]
    half = make("all", 0.5)(generator, latents, 2, streams, labels) - latents[:, None]
    perturb = make("all", 1.0)
    if isinstance(perturb, Angular):  # on the same great circle, in the plane of start and view
        width = generator.z_dim if generator.latent_spec.space == "z" else latents.shape[-1]
        plane = torch.stack([latents[:, None].expand_as(full), full, half], dim=-2)[..., :width]
        assert (torch.linalg.svdvals(plane.double())[..., 2] < 1e-5).all()
        assert (half.norm(dim=-1) < full.norm(dim=-1)).all()
    elif getattr(perturb, "reading", "") == "fixed":  # the bound weighs more on the stronger
        assert (half * full >= 0).all()
        assert (half.abs() >= full.abs() / 2 - 1e-6).all()
        assert (half.abs() <= full.abs()).all()
    else:
        torch.testing.assert_close(half, full / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_views_have_the_dtype_of_the_latents(make, generator, dtype) -> None:
    latents, streams, labels = start(generator)
    exact = make()(generator, latents, 2, streams, labels)
    views = make()(generator, latents.to(dtype), 2, streams, labels)
    assert views.dtype == dtype
    torch.testing.assert_close(views.float(), exact, rtol=2e-2, atol=2e-2)


def test_gradients_reach_the_latents(make, generator) -> None:
    latents, streams, labels = start(generator)
    leaf = latents.clone().requires_grad_()
    perturb = make()
    perturb(generator, leaf, 2, streams, labels).sum().backward()
    if isinstance(perturb, Angular):  # a curve: against differences in float64
        double = latents.double().requires_grad_()
        assert torch.autograd.gradcheck(
            lambda x: perturb(generator, x, 2, streams, labels), (double,)
        )
        return
    keeps = 1.0 - perturb.strength if isinstance(perturb, StyleMix | Independent) else 1.0
    torch.testing.assert_close(leaf.grad, torch.full_like(leaf, 2 * keeps))


def test_an_empty_batch_is_no_error(make, generator) -> None:
    latents, _, labels = start(generator)
    none = None if labels is None else labels[:0]
    views = make()(generator, latents[:0], 3, Rng(0).streams([]), none)
    assert views.shape == (0, 3, *generator.latent_spec.shape)


def test_the_name_says_all(make, generator, statistics) -> None:
    perturb = make("all", 1.0)
    kit = GeneratorKit(generator, directions=statistics, walks=WALKS[statistics])
    assert kit.perturbation(perturb.name) == perturb
    assert perturb.name != make("all", 0.3).name
    assert hash(perturb) == hash(make("all", 1.0))


def test_repr_is_the_constructor_call(make) -> None:
    perturb = make("all", 1.0)
    assert repr(perturb).startswith(f"{type(perturb).__name__}(layers='all', ")
    if not isinstance(perturb, PCA | Steer):  # which show their statistics and walks in short
        leaves = (Angular, Gaussian, Independent, Isotropic, Normal, StyleMix, Uniform)
        assert eval(repr(perturb), {leaf.__name__: leaf for leaf in leaves}) == perturb


def test_misuse_is_named(make, generator) -> None:
    latents, streams, labels = start(generator)
    perturb = make()
    for count in (0, -1):
        with pytest.raises(ValueError, match="num_views: expected an integer of at least 1"):
            perturb(generator, latents, count, streams, labels)
    with pytest.raises(ValueError, match=r"streams: expected one for each of the 5 images, got 2"):
        perturb(generator, latents, 1, streams[:2], labels)
    with pytest.raises(ValueError, match="layer range: expected one of all"):
        make("alll")(generator, latents, 1, streams, labels)
    bad = torch.tensor([0, 1, 2, 0, generator.num_classes])
    with pytest.raises(ValueError, match=r"label: expected (none|5 class indices)"):
        perturb(generator, latents, 1, streams, bad)
