"""Walks: a known edit of an analytic generator is found, training resumes, and steps are taken."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from genviews.files import load_tensors, save_tensors
from genviews.generators.callable import CallableGenerator
from genviews.generators.toy import ToyGenerator
from genviews.identity import key
from genviews.kit import GeneratorKit
from genviews.perturb.train_steer import SteerTraining, measure_walks, train_walks
from genviews.perturb.walks import Steer, Walks
from genviews.perturb.warps import StepRanges, directions_of, steering_loss, warp
from genviews.represent.prior import Prior
from genviews.rng import Rng

SIZE = 16
REACH = 3.0  # pixels that a unit of z moves the blob


def blob(z: Tensor, c: Tensor | None = None) -> Tensor:
    """A bump whose place is z[0], z[1] and whose brightness, with the ground's, is z[2]."""
    line = torch.arange(SIZE, dtype=z.dtype, device=z.device) - (SIZE - 1) / 2
    x = line - REACH * z[:, 0, None, None]
    y = line[:, None] - REACH * z[:, 1, None, None]
    picture = torch.exp(-(x.square() + y.square()) / 18) + z[:, 2, None, None] - 0.5
    return picture[:, None]


def blobs(num_classes: int = 0) -> CallableGenerator:
    return CallableGenerator(blob, z_dim=4, num_classes=num_classes)


RANGES = StepRanges(shift=0.25)
# What the walks of the blob are: a step of one is a quarter of 16 pixels.
KNOWN = torch.zeros(3, 1, 4)
KNOWN[0, 0, 0] = KNOWN[1, 0, 1] = 0.25 * SIZE / REACH
KNOWN[2, 0, 2] = 1.0
QUICK = SteerTraining(
    samples=16 * 150,
    batch=16,
    lr=0.05,
    edits=("shiftx", "shifty", "colour"),
    ranges=RANGES,
    prior=Prior(),
)


def some_walks(generator, names: tuple[str, ...] | None = None) -> Walks:
    names = directions_of(generator.image_spec.channels) if names is None else names
    shape = generator.latent_spec.shape
    drawn = 0.3 * Rng(3, "walks").streams(names).normal(1, shape)[:, 0]
    return Walks(directions=drawn, names=names)


def start(generator, count: int = 3):
    streams = Rng(0).streams(range(count))
    label = torch.arange(count) % generator.num_classes if generator.num_classes else None
    return generator.map(generator.sample(streams), label), streams, label


@pytest.mark.parametrize("num_classes", [0, 2])
def test_walks_of_a_generator_that_can_do_the_edits_are_found(num_classes: int) -> None:
    generator = blobs(num_classes)
    walks = train_walks(generator, QUICK)
    assert walks.names == ("shiftx", "shifty", "colour0")
    # Not z[3], which does nothing: there a walk keeps its start.
    torch.testing.assert_close(walks.directions[..., :3], KNOWN[..., :3], rtol=0, atol=0.1)
    measured = measure_walks(generator, walks, QUICK, samples=64)
    for name in walks.names:
        assert measured[name]["loss"] < 0.05 * measured[name]["unmoved"]


def test_the_known_walk_is_the_least_loss() -> None:
    walks = Walks(directions=KNOWN, names=("shiftx", "shifty", "colour0"), ranges=RANGES)
    measured = measure_walks(blobs(), walks, QUICK, samples=64)
    assert max(found["loss"] for found in measured.values()) < 2e-3  # of the interpolation
    far = replace(walks, directions=1.3 * KNOWN)
    for name, found in measure_walks(blobs(), far, QUICK, samples=64).items():
        assert found["loss"] > 4 * measured[name]["loss"]


def test_rows_and_ties() -> None:
    generator = ToyGenerator()
    config = replace(QUICK, samples=64, layers="fine", edits=("zoom",))
    tied = train_walks(generator, config).directions
    assert tied.shape == (1, 4, 4)
    assert (tied[:, :2] == 0).all()
    assert torch.equal(tied[:, 2], tied[:, 3])
    assert (tied[:, 2] != 0).all()
    free = train_walks(generator, replace(config, tied=False)).directions
    assert (free[:, :2] == 0).all()
    assert not torch.equal(free[:, 2], free[:, 3])


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path) -> None:
    config, path = replace(QUICK, samples=100), tmp_path / "state.pt"
    whole, losses = train_walks(blobs(), config), []
    train_walks(blobs(), replace(config, samples=48), checkpoint=path)
    resumed = train_walks(
        blobs(), config, checkpoint=path, report=lambda step, found: losses.append(step)
    )
    assert torch.equal(resumed.directions, whole.directions)
    assert losses == [4, 5, 6, 7]
    again = train_walks(blobs(), config, checkpoint=path, report=lambda *_: pytest.fail("no step"))
    assert torch.equal(again.directions, whole.directions)


def test_a_checkpoint_of_another_run_is_refused(tmp_path) -> None:
    config, path = replace(QUICK, samples=32), tmp_path / "state.pt"
    train_walks(blobs(), config, checkpoint=path)
    with pytest.raises(ValueError, match=r"got config\.lr: 0\.05 in the store, 0\.1 asked"):
        train_walks(blobs(), replace(config, lr=0.1), checkpoint=path)
    with pytest.raises(
        ValueError, match=r"a finite number of at most \d+, got \d+; name another file"
    ):
        train_walks(blobs(), replace(config, samples=16), checkpoint=path)
    toy = replace(config, edits=("zoom",))
    train_walks(ToyGenerator(), toy, checkpoint=tmp_path / "toy.pt")
    with pytest.raises(ValueError, match=r"got generator\.weights"):
        train_walks(ToyGenerator(seed=1), toy, checkpoint=tmp_path / "toy.pt")


def test_training_leaves_no_trace() -> None:
    generator, state = ToyGenerator(), torch.get_rng_state()
    before = {k: v.clone() for k, v in generator.state_dict().items()}
    train_walks(generator, replace(QUICK, samples=32))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert all(torch.equal(v, before[k]) for k, v in generator.state_dict().items())


def test_first_loss_is_that_of_the_formula() -> None:
    """A step by hand: sample, edit, mask, move, compare."""
    generator, found = blobs(), []
    config = replace(QUICK, samples=16, masking="published")
    train_walks(generator, config, report=lambda step, losses: found.append(losses["loss"]))
    rng = Rng(config.seed, "steer")
    streams = rng.streams(range(16))
    z = generator.sample(streams)
    steps = RANGES.draw(streams.child("steps"), 1, 1)[:, 0]
    steps[:, 2:5] = 0.0  # zoom and the rotations have no walk here
    begun = 0.1 * rng.child("start").streams(["shiftx", "shifty", "colour0"]).normal(1, (1, 4))
    moved = z + steps[:, [0, 1, 5]] @ begun[:, 0, 0]
    target, mask = warp(blob(z), steps, RANGES, "published")
    want = steering_loss(blob(moved), target, mask).item()
    assert found == [pytest.approx(want, rel=1e-5)]


def test_a_generator_without_gradient_is_explained() -> None:
    generator = CallableGenerator(lambda z: blob(z.detach()), z_dim=4)
    with pytest.raises(
        ValueError, match="generator of walks: expected images whose gradient reaches z"
    ):
        train_walks(generator, replace(QUICK, samples=16))


def test_walks_are_kept_with_their_card(tmp_path) -> None:
    generator = ToyGenerator()
    walks = train_walks(generator, replace(QUICK, samples=32, seed=5))
    walks.save(tmp_path / "walks.safetensors")
    read = Walks.load(tmp_path / "walks.safetensors", generator)
    assert torch.equal(read.directions, walks.directions)
    assert (read.names, read.ranges) == (walks.names, RANGES)
    assert dict(read.card) == dict(walks.card)
    assert read.card["seed"] == 5
    assert read.card["image"] == [1, 8, 8]
    with pytest.raises(ValueError, match=r"walks: .* it now renders other images"):
        Walks.load(tmp_path / "walks.safetensors", ToyGenerator(seed=1))
    with pytest.raises(ValueError, match=r"walks: expected shape \(J, 3, 4\)"):
        Walks.load(tmp_path / "walks.safetensors", ToyGenerator(num_layers=3))
    assert Walks.load(tmp_path / "walks.safetensors").edits == ("shiftx", "shifty", "colour")
    from genviews.perturb.pca import PCAStatistics

    PCAStatistics.measure(generator, num_samples=50).save(tmp_path / "pca.safetensors")
    with pytest.raises(ValueError, match=r"expected directions with names, ranges and card"):
        Walks.load(tmp_path / "pca.safetensors")


@pytest.mark.parametrize("law", ["published", "magnify"])
def test_walks_keep_the_law_of_their_zoom(law, tmp_path) -> None:
    """Steps and edits are read by the law that the walks were learnt under, never by the other."""
    path, generator = tmp_path / "walks.safetensors", ToyGenerator()
    config = replace(QUICK, samples=16, edits=("zoom",), ranges=StepRanges(zoom_law=law))
    walks = train_walks(generator, config, checkpoint=tmp_path / "state.pt")
    walks.save(path)
    assert Walks.load(path).ranges.zoom_law == law
    assert ("magnify" in repr(walks)) == (law == "magnify")
    other = replace(
        config, ranges=StepRanges(zoom_law={"published": "magnify"}.get(law, "published"))
    )
    with pytest.raises(ValueError, match=r"config\.ranges\.zoom_law: .* in the store"):
        train_walks(generator, other, checkpoint=tmp_path / "state.pt")
    assert key(Steer("all", walks)) != key(Steer("all", replace(walks, ranges=other.ranges)))
    # Measured by the law of the walks, whatever the config's.
    assert measure_walks(generator, walks, other, 8) == measure_walks(generator, walks, config, 8)


def test_a_file_that_names_no_law_is_of_the_older_one(tmp_path) -> None:
    path, walks = tmp_path / "walks.safetensors", some_walks(ToyGenerator())
    walks.save(path)
    tensors, header = load_tensors(path, what="walks")
    ranges = json.loads(header["ranges"])
    del ranges["zoom_law"]
    save_tensors(path, tensors, {**header, "ranges": json.dumps(ranges)})
    assert Walks.load(path).ranges.zoom_law == "magnify"


@pytest.mark.parametrize("generator", [ToyGenerator(channels=3), blobs(), blobs(2)], ids=repr)
def test_a_steered_latent_is_the_sum_of_the_steps(generator) -> None:
    walks = some_walks(generator)
    latents, streams, label = start(generator)
    views = Steer.published(walks)(generator, latents, 4, streams, label)
    channels = generator.image_spec.channels
    steps = walks.ranges.draw(streams.child("steer"), 4, channels).double()
    gains = torch.tensor([5.0 if name == "rot3d" else 1.0 for name in walks.names])
    want = latents.double()[:, None].repeat(1, 4, 1, 1)
    width = walks.directions.shape[-1]
    want[..., :width] += torch.einsum("bkj,jld->bkld", steps * gains, walks.directions.double())
    torch.testing.assert_close(views.double(), want, rtol=1e-5, atol=1e-5)
    assert torch.equal(views[..., width:], latents[:, None, :, width:].expand(-1, 4, -1, -1))


def test_only_the_chosen_edits_are_used_and_share_their_steps() -> None:
    generator = ToyGenerator()
    walks = some_walks(generator)
    latents, streams, _ = start(generator)
    zoom = Steer("all", walks, gains=(("zoom", 2.0),))(generator, latents, 3, streams)
    along = walks.directions[walks.names.index("zoom")]
    parts = (zoom - latents[:, None]) / along
    steps = walks.ranges.draw(streams.child("steer"), 3, 1)[..., 2]
    want = 2 * steps[..., None, None].expand_as(parts)
    torch.testing.assert_close(parts, want, rtol=1e-3, atol=1e-3)
    nothing = Steer("all", walks, gains=(("zoom", 0.0),))(generator, latents, 3, streams)
    assert torch.equal(nothing, latents[:, None].expand_as(nothing))


def test_names_say_all() -> None:
    generator = ToyGenerator()
    walks = some_walks(generator)
    for steer in (
        Steer("fine", walks, 0.5),
        Steer("all", walks, gains=(("shiftx", 1.0), ("rot3d", 5.0), ("colour", 0.125))),
        Steer.published(walks),
    ):
        assert GeneratorKit(generator, walks=walks).perturbation(steer.name).name == steer.name
    assert Steer("fine", walks, 0.5).name == "steer_fine_0.50"
    assert Steer.published(walks).name == (
        "steer-shiftx-shifty-zoom-rot2d-rot3d@5.00-colour_all_1.00"
    )


def test_a_walk_moves_the_picture_as_the_edit_that_it_imitates() -> None:
    generator = blobs()
    walks = Walks(directions=KNOWN, names=("shiftx", "shifty", "colour0"), ranges=RANGES)
    latent = torch.tensor([[0.2, -0.1, 0.0, 0.0]])
    image = generator.synthesize(latent[None])
    every = directions_of(1)
    for index, name in enumerate(walks.names):
        for step in (-1.0, -0.5, 0.0, 0.5, 1.0):
            along = step * (walks.ranges.colour if name == "colour0" else 1.0)
            steps = along * torch.eye(3)[index]
            moved = latent.clone()
            moved[0, index] += along * KNOWN[index, 0, index]
            picture = generator.synthesize(walks.move(latent, steps)[None])
            torch.testing.assert_close(picture[0], blob(moved)[0], rtol=0, atol=1e-5)
            edit = along * torch.tensor([[float(name == other) for other in every]])
            target, _ = warp(image, edit, RANGES)
            centre = (slice(None), slice(None), slice(5, 11), slice(5, 11))
            torch.testing.assert_close(picture[centre], target[centre], rtol=0, atol=0.05)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda w: Steer("all", w, -1.0), "strength of Steer: expected a finite number"),
        (lambda w: Steer("all", w, 1.0, (("zom", 1.0),)), "edit of Steer: .* mean 'zoom'"),
        (lambda w: Steer("all", w, 1.0, (("zoom", math.nan),)), "gain of zoom: expected a finite"),
        (lambda w: Walks(directions=w.directions[:2], names=w.names), "directions of walks"),
        (lambda w: Walks(directions=w.directions, names=w.names[::-1]), "names of walks"),
        (lambda w: SteerTraining(edits=("zom",)), "edit of a walk"),
        (lambda w: SteerTraining(edits=()), "number of edits: expected an integer of at least 1"),
        (
            lambda w: GeneratorKit(ToyGenerator()).perturbation("steer_all_1.00"),
            "steer perturbation: .* learnt walks",
        ),
        (
            lambda w: GeneratorKit(ToyGenerator(), walks=w).perturbation("steer-zoom@x_all_1.00"),
            "gain of zoom: expected a number",
        ),
        (
            lambda w: Steer("all", w)(ToyGenerator(num_layers=2),
                                      torch.zeros(1, 2, 4), 1, Rng(0).streams([0])),
            r"walks: expected shape \(J, 2, 4\)",
        ),
    ],
)  # fmt: skip
def test_misuse_is_explained(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(some_walks(ToyGenerator()))
