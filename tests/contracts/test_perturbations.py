"""Every perturbation, on every kind of generator, against the perturbation contract.

One of the registry that `TABLE` does not name is made by its kind, with strength 1 at most. A row
says otherwise: a function from (layers, strength, statistics), and its largest strength here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from genviews.generators.base import Generator
from genviews.generators.callable import CallableGenerator, z_space
from genviews.generators.stylegan2 import StyleGAN2
from genviews.generators.toy import ToyGenerator
from genviews.kit import GeneratorKit
from genviews.perturb.base import KINDS, Perturbation
from genviews.perturb.noise import Angular, Gaussian, Isotropic, Normal, Uniform
from genviews.perturb.pca import PCA, PCAStatistics
from genviews.perturb.stylemix import Independent, StyleMix
from genviews.perturb.walks import Steer, Walks
from genviews.perturb.warps import directions_of
from genviews.rng import Rng, Streams
from genviews.testing import PERTURBATION_CHECKS, check_perturbation
from tests.contracts.complete import leaves
from tests.networks import small_stylegan2

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


def by_kind(kind: str) -> Make:
    kit = GeneratorKit(ToyGenerator())
    return lambda layers, t, _: KINDS[kind].of_kind(kind, layers, t, kit)


TABLE |= {kind: (by_kind(kind), 1.0) for kind in KINDS if kind not in TABLE}

GENERATORS: dict[str, Callable[[], Generator]] = {
    "toy": ToyGenerator,
    "toy conditional": lambda: ToyGenerator(num_classes=3),
    "stylegan2": lambda: StyleGAN2(small_stylegan2()),
    "callable": lambda: CallableGenerator(lambda z: z.tanh().reshape(-1, 1, 4, 4), z_dim=16),
    "toy in z": lambda: z_space(ToyGenerator(), psi=0.9),
}


@cache
def build(name: str) -> tuple[Generator, PCAStatistics]:
    torch.manual_seed(0)  # the weights of StyleGAN2
    generator = GENERATORS[name]().eval()
    statistics = PCAStatistics.measure(generator, num_samples=300)
    names = directions_of(generator.image_spec.channels)
    shape = generator.latent_spec.shape
    directions = 0.3 * Rng(0, "walks").streams(names).normal(1, shape)[:, 0]
    WALKS[statistics] = Walks(directions=directions, names=names)
    return generator, statistics


def make(kind: str, generator: str = "toy", part: float = 1.0) -> Perturbation:
    create, strongest = TABLE[kind]
    return create("all", part * strongest, build(generator)[1])


def test_the_table_is_complete() -> None:
    assert leaves(Perturbation) == {type(make(kind)) for kind in TABLE}


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("kind", TABLE)
def test_perturbation_contract(kind: str, generator: str) -> None:
    check_perturbation(make(kind, generator), build(generator)[0])


def start(generator: Generator) -> tuple[Tensor, Streams]:
    streams = Rng(5).streams(["a.png", 3, "b.png", 2**40, 0])
    return generator.map(generator.sample(streams)), streams


@pytest.mark.parametrize("kind", TABLE)
def test_neighbours_do_not_matter_bit_for_bit(kind: str) -> None:
    """The contract allows round-off; only a mapping network may cause it."""
    toy, perturb = build("toy")[0], make(kind)
    latents, streams = start(toy)
    whole = perturb(toy, latents, 7, streams)
    for rows in ([1], [4, 0, 2], [3, 3]):
        part = perturb(toy, latents[rows], 2, streams[rows])
        if isinstance(perturb, StyleMix | Independent):
            torch.testing.assert_close(part, whole[rows][:, :2], rtol=0.0, atol=1e-5)
        else:
            assert torch.equal(part, whole[rows][:, :2])


@pytest.mark.parametrize("kind", TABLE)
def test_a_stronger_view_lies_on_the_same_ray(kind: str) -> None:
    toy, perturb = build("toy")[0], make(kind)
    latents, streams = start(toy)
    full, half = (make(kind, part=p)(toy, latents, 2, streams) - latents[:, None] for p in (1, 0.5))
    if isinstance(perturb, Angular):  # on the same great circle, in the plane of start and view
        plane = torch.stack([latents[:, None].expand_as(full), full, half], dim=-2)
        assert (torch.linalg.svdvals(plane.double())[..., 2] < 1e-5).all()
        assert (half.norm(dim=-1) < full.norm(dim=-1)).all()
    elif isinstance(perturb, Gaussian) and perturb.reading == "fixed":
        # The bound weighs more on the stronger.
        assert (half * full >= 0).all()
        assert (half.abs() >= full.abs() / 2 - 1e-6).all()
        assert (half.abs() <= full.abs()).all()
    else:
        torch.testing.assert_close(half, full / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", TABLE)
def test_the_gradient_of_a_straight_step_is_what_is_kept(kind: str) -> None:
    toy, perturb = build("toy")[0], make(kind)
    if isinstance(perturb, Angular):  # a curve
        return
    latents, streams = start(toy)
    leaf = latents.clone().requires_grad_()
    perturb(toy, leaf, 2, streams).sum().backward()
    keeps = 1.0 - perturb.strength if isinstance(perturb, StyleMix | Independent) else 1.0
    torch.testing.assert_close(leaf.grad, torch.full_like(leaf, 2 * keeps))


@pytest.mark.parametrize("kind", TABLE)
def test_the_name_says_all(kind: str) -> None:
    generator, statistics = build("toy")
    perturb = make(kind)
    kit = GeneratorKit(generator, directions=statistics, walks=WALKS[statistics])
    assert kit.perturbation(perturb.name) == perturb


@pytest.mark.parametrize("kind", TABLE)
def test_repr_is_the_constructor_call(kind: str) -> None:
    perturb = make(kind)
    assert repr(perturb).startswith(f"{type(perturb).__name__}(layers='all', ")
    if not isinstance(perturb, PCA | Steer):  # which show their statistics and walks in short
        kinds = (Angular, Gaussian, Independent, Isotropic, Normal, StyleMix, Uniform)
        assert eval(repr(perturb), {kind.__name__: kind for kind in kinds}) == perturb


@dataclass(frozen=True)
class Broken(Perturbation):
    """Isotropic noise that breaks one law, named by `law`."""

    law: str = ""
    strength: float = 0.5

    def __describe__(self) -> dict[str, object]:
        told = {"layers": self.layers, "strength": self.strength}
        return {} if self.law == "it_is_described" else told

    kind: ClassVar[str] = "broken"

    @property
    def name(self) -> str:
        if self.law == "the_name_tells_it_apart":
            return self.kind
        return f"{self.kind}_{self.layers_name}_{self.strength}"

    def __call__(self, generator, latents, num_views, streams, labels=None) -> Tensor:
        if self.law == "misuse_is_refused":
            num_views = max(num_views, 1)
        views = super().__call__(generator, latents, num_views, streams, labels)
        if self.law == "the_input_is_not_written_to":
            latents.add_(1.0)
        if self.law == "rows_outside_stay_and_inside_move":
            return views + 1e-6 * self.strength
        return views

    def edit(self, generator, rows, streams, labels) -> Tensor:
        noise = streams.normal(rows.shape[1], rows.shape[2:]).to(rows)
        moved = rows + self.strength * noise
        match self.law:
            case "zero_strength_is_the_identity":
                return moved + 1e-7
            case "neighbours_do_not_matter":
                return moved + 1e-3 * self.strength * noise.mean(0)
            case "the_number_of_views_does_not_matter":
                return moved + 1e-3 * self.strength * noise.mean(1, keepdim=True)
            case "streams_decide":
                return rows + self.strength * torch.randn(rows.shape).to(rows)
            case "strengths_share_their_draws":
                again = streams.child(str(self.strength)).normal(rows.shape[1], rows.shape[2:])
                return rows + self.strength * again.to(rows)
            case "views_have_the_dtype_of_the_latents":
                return moved + (rows.dtype == torch.float16)
            case "gradients_are_those_of_the_views":
                return moved.detach() + 0.5 * (rows - rows.detach())
            case "an_empty_batch_is_no_error":
                return moved + 0 * rows.max()
        return moved


@pytest.mark.parametrize("check", PERTURBATION_CHECKS, ids=lambda check: check.__name__)
def test_a_perturbation_that_breaks_the_law_is_caught(check) -> None:
    toy = ToyGenerator()
    with pytest.raises((AssertionError, RuntimeError)):
        check(Broken("all", law=check.__name__), toy)
    check(Broken("all"), toy)


def test_the_message_names_the_law() -> None:
    with pytest.raises(AssertionError, match=r"^neighbours do not matter: views of the samples"):
        check_perturbation(Broken("all", law="neighbours_do_not_matter"), ToyGenerator())
