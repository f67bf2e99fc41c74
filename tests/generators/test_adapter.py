"""Generators as users write them: each shape is taken as it is meant, and said, or refused."""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import nn

from genviews.generators.adapter import Adapter
from genviews.generators.callable import CallableGenerator, load_callable
from genviews.generators.card import generator_description, generator_from
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.optimize import invert
from genviews.kit import GeneratorKit
from genviews.load.classifier import load_classifier
from genviews.load.generator import load_generator
from genviews.rng import Rng
from genviews.types import ImageSpec

WIDTH = 6


def decode(z, channels=1):
    """(N, C, 6, 8) in (-1, 1)."""
    waves = torch.linspace(-2, 2, 6 * channels * 48, device=z.device).reshape(6, -1).cos()
    return (z @ waves.to(z.dtype)).tanh().reshape(len(z), channels, 6, 8)


def z_of(batch):
    return Rng(3).streams(range(batch)).normal(1, (WIDTH,))[:, 0]


class DCGAN(nn.Module):
    """The tutorial's, small: z is (N, Z, 1, 1), images are 8 x 8."""

    def __init__(self, last=nn.Tanh):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(WIDTH, 8, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.ConvTranspose2d(8, 3, 4, 2, 1, bias=False),
            last(),
        )
        chance = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for part in self.parameters():
                part.copy_(torch.randn(part.shape, generator=chance))

    def forward(self, z):
        return self.main(z)


@dataclass
class Output:
    sample: torch.Tensor
    loss: float = 0.0


@dataclass(slots=True)
class Slotted:
    sample: torch.Tensor


class Pair(NamedTuple):
    w: torch.Tensor
    img: torch.Tensor


def told(generator, message):
    return any(re.search(message, note) for note in generator.notes)


WAYS = {
    "in 0 to 1": (lambda z: decode(z) / 2 + 0.5, {"range": "0..1"}, r"for \[0, 1\] and scaled"),
    "in 0 to 255": (lambda z: decode(z) * 127.5 + 127.5, {"range": "0..255"}, "for 0 to 255 and"),
    "channels last": (lambda z: decode(z, 3).movedim(1, -1), {"axes": "channels-last"}, "for chan"),
    "no channels": (lambda z: decode(z)[:, 0], {"axes": "no-channels"}, "taken for no-channels"),
    "a tuple": (lambda z: (decode(z), z), {"output": "0"}, "'0' is taken for the images"),
    "a list of one": (lambda z: [decode(z)], {"output": "0"}, "'0' is taken for the images"),
    "a dict": (lambda z: {"w": z, "img": decode(z)}, {"output": "img"}, "'img' is taken"),
    "an object": (lambda z: Output(decode(z)), {"output": "sample"}, "'sample' is taken"),
    "a named tuple": (lambda z: Pair(z, decode(z)), {"output": "img"}, "'img' is taken"),
    "an object without a dict": (lambda z: Slotted(decode(z)), {"output": "sample"}, "'sample'"),
    "squeezed": (lambda z: decode(z).squeeze(), {"axes": "no-channels"}, "taken for no-channels"),
    "squeezed colours": (lambda z: decode(z, 3).squeeze(), {}, ""),
    "double precision": (lambda z: decode(z.double()), {}, ""),
    "numpy": (lambda z: decode(z.detach()).numpy(), {}, ""),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_plain_is_taken_and_said(way: str) -> None:
    function, found, note = WAYS[way]
    generator = CallableGenerator(function, WIDTH)
    assert generator.adapter.stated() == found
    assert told(generator, note) == bool(note)
    images = generator.synthesize(z_of(4)[:, None])
    assert images.dtype == torch.float32
    wanted = decode(z_of(4), generator.image_spec.channels)
    assert torch.allclose(images, wanted, atol=1e-6)
    stated = CallableGenerator(function, WIDTH, adapter=generator.adapter)
    assert (stated.notes, stated.adapter) == ((), generator.adapter)


def test_a_gradient_is_looked_for_where_images_are_finite() -> None:
    first = Rng(0, "probe").streams(range(2)).child("z").normal(1, (WIDTH,))[:, 0, 0]  # asked first
    generator = CallableGenerator(
        lambda z: decode(z).where((z[:, 0] < first.min())[:, None, None, None], torch.nan), WIDTH
    )
    assert generator.differentiable


def test_a_function_may_write_to_its_z() -> None:
    generator = CallableGenerator(lambda z: decode(z.mul_(0.5)), WIDTH)
    latents = z_of(3)[:, None]
    first, second = generator.synthesize(latents), generator.synthesize(latents)
    assert torch.equal(first, decode(0.5 * z_of(3)))
    assert torch.equal(first, second)
    assert generator.differentiable


def test_the_smallest_squares_are_told_by_their_sides() -> None:
    last = CallableGenerator(lambda z: decode(z).reshape(-1, 4, 4, 3), WIDTH)
    first = CallableGenerator(lambda z: decode(z).reshape(-1, 3, 4, 4), WIDTH)
    assert last.image_spec.shape == first.image_spec.shape == (3, 4, 4)
    assert torch.equal(
        last.synthesize(z_of(2)[:, None]).movedim(1, -1).flatten(),
        first.synthesize(z_of(2)[:, None]).flatten(),
    )


@pytest.mark.parametrize("place", ["1", "-1", "img"])
def test_an_output_is_named_by_place_or_name(place: str) -> None:
    generator = CallableGenerator(
        lambda z: Pair(decode(-z), decode(z)), WIDTH, adapter=Adapter(output=place)
    )
    assert torch.equal(generator.synthesize(z_of(2)[:, None]), decode(z_of(2)))


def test_what_may_be_another_model_is_said() -> None:
    autoencoder = nn.Sequential(nn.Linear(16, 3), nn.Linear(3, 16), nn.Tanh())
    whole = nn.Sequential(autoencoder, nn.Unflatten(1, (1, 4, 4)))
    assert told(CallableGenerator(whole), "if it is an autoencoder, name its decoder")
    unasked = CallableGenerator(lambda z, c: decode(z), WIDTH, num_classes=3)
    assert told(unasked, "two classes have the same images")


@pytest.mark.parametrize("last", [nn.Tanh, nn.Sigmoid])
def test_a_tutorial_dcgan(last: type[nn.Module]) -> None:
    module = DCGAN(last).eval()
    generator = CallableGenerator(module)
    assert (generator.z_dim, generator.image_spec.shape) == (WIDTH, (3, 8, 8))
    assert told(generator, r"given as \(N, 6, 1, 1\)")
    assert told(generator, r"\[0, 1\] and scaled to \[-1, 1\]") == (last is nn.Sigmoid)
    with torch.no_grad():
        own = module(z_of(3)[:, :, None, None])
    images = generator.synthesize(z_of(3)[:, None])
    assert torch.allclose(images, own if last is nn.Tanh else 2 * own - 1, atol=1e-6)
    assert generator.differentiable


def test_bytes_are_images_of_0_to_255_without_a_gradient() -> None:
    generator = CallableGenerator(lambda z: (decode(z) * 127.5 + 127.5).byte(), WIDTH)
    images = generator.synthesize(z_of(4)[:, None])
    assert (images - decode(z_of(4))).abs().max() < 2 / 255
    assert not generator.differentiable


def test_half_precision_is_called_in_its_own() -> None:
    module = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
    generator = CallableGenerator(module.bfloat16(), WIDTH)
    assert generator.synthesize(z_of(2)[:, None]).dtype == torch.float32


def test_colours_are_made_as_asked() -> None:
    grey = CallableGenerator(lambda z: decode(z, 3), WIDTH, adapter=Adapter(colours="grey"))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    wanted = (decode(z_of(2), 3) * weights).sum(1, keepdim=True)
    assert torch.allclose(grey.synthesize(z_of(2)[:, None]), wanted)
    rgb = CallableGenerator(decode, WIDTH, adapter=Adapter(colours="rgb"))
    assert rgb.image_spec.shape == (3, 6, 8)
    assert torch.equal(rgb.synthesize(z_of(2)[:, None])[:, 2:], decode(z_of(2)))


def test_flat_images_are_of_the_size_that_is_given() -> None:
    spec = ImageSpec(channels=1, height=6, width=8, range=(0, 1))
    generator = CallableGenerator(lambda z: decode(z).flatten(1) / 2 + 0.5, WIDTH, spec)
    assert torch.allclose(generator.synthesize(z_of(2)[:, None]), decode(z_of(2)), atol=1e-6)
    assert generator.image_spec == ImageSpec(channels=1, height=6, width=8)


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.classes = nn.Embedding(3, WIDTH)

    def forward(self, z, label):
        return decode(z + self.classes(label))


class Truncated(Embedded):
    def forward(self, z, c, psi):
        return super().forward(psi * z, c)


def joined(z, c):
    return decode(torch.cat([z[:, :3], c], 1))


@pytest.mark.parametrize(("function", "way"), [(Embedded(), "index"), (joined, "one-hot")])
def test_classes_are_given_as_the_function_takes_them(function, way: str) -> None:
    generator = CallableGenerator(function, WIDTH, num_classes=3)
    assert generator.adapter.classes == way
    label = torch.tensor([2, 0])
    given = label if way == "index" else nn.functional.one_hot(label, 3).float()
    with torch.no_grad():
        assert torch.equal(generator.synthesize(z_of(2)[:, None], label), function(z_of(2), given))


def noisy(z):
    return decode(z + 0.1 * torch.randn_like(z))


def bright(z):
    return decode(z).abs() / 2 + 0.5


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (joined, {}, "it asks for z, c: if it takes a class, .*--num-classes"),
        (lambda z: decode(z), {"num_classes": 3}, "it takes z alone: leave out num_classes"),
        (nn.Sequential(nn.Linear(9, 4)), {}, r"first layer takes 9 numbers and z has 6: see z_dim"),
        (Truncated(), {}, "it asks for z, c, psi: if it takes a class, .*--num-classes"),
        (Truncated(), {"num_classes": 3}, "it asks for z, c, psi: name a function of the first"),
        (nn.Linear(6, 4), {"num_classes": 3}, "it takes z alone: leave out num_classes"),
        (Embedded(), {"num_classes": 40}, "IndexError.* or number of classes with num_classes"),
        (lambda z: decode(z).to_sparse(), {}, "tensor of images, got torch.sparse_coo"),
        (DCGAN(), {}, r"BatchNorm2d 'main.1' in training mode; call \.eval\(\)"),
        (noisy, {}, r"differ by .* when it is called twice: they change by chance"),
        (lambda z: decode((z - z.mean(0)) / z.std(0)), {}, "by inf alone and in a batch: they"),
        (lambda z: decode(z - z.mean(0)), {}, "alone and in a batch: they change with its batch"),
        (
            lambda z: decode(z) * 0.05 + 0.5,
            {"adapter": Adapter(range="0..255")},
            "0 to 255, got",
        ),
        (decode, {"adapter": Adapter(range="0..1")}, r"values in \[0, 1\], got values from -"),
        (lambda z: decode(z) * 0.55 + 0.45, {}, "say the range with range"),
        (lambda z: decode(z) + 1, {}, "say the range with range"),
        (lambda z: decode(z) * 0, {}, "say the range with range"),
        (lambda z: decode(z, 5), {}, r"of 1 to 4 channels, got \(5, 5, 6, 8\)"),
        (lambda z: (decode(z), decode(z)), {}, r"tuple of 0, 1; .*output \(--generator-output\)"),
        (decode, {"adapter": Adapter(output="img")}, "a part 'img', as output says, got Tensor"),
        (lambda z: decode(z).sqrt().sqrt() * 2, {}, r"finite images, got nan or inf in \d\d of 64"),
        (
            decode,
            {"image_spec": ImageSpec(channels=1, height=8, width=6)},
            r"\(5, 1, 8, 6\),",
        ),
    ],
)
def test_what_is_in_doubt_is_refused(function, options, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        CallableGenerator(function, WIDTH, **options)
    assert "docs/bring_your_own.md" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stated_range_is_never_doubted() -> None:
    generator = CallableGenerator(bright, WIDTH, adapter=Adapter(range="-1..1"))
    assert torch.equal(generator.synthesize(z_of(2)[:, None]), bright(z_of(2)))


def test_unknown_words_list_the_known_ones() -> None:
    adapter = inspect.unwrap(Adapter.__init__)  # without the type check of the tests
    with pytest.raises(ValueError, match=r"axes: expected .* did you mean 'channels-last'"):
        adapter(object.__new__(Adapter), axes="channel-last")


class TestNotFinite:
    """Some z give no numbers."""

    def test_a_few_are_told(self) -> None:
        generator = CallableGenerator(lambda z: decode(z) / (z[:, :1, None, None] < 1.4), WIDTH)
        assert told(generator, r"^\d of 64 samples are not finite")

    def test_most_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"nan or inf in \d\d of 64 samples; mend"):
            CallableGenerator(lambda z: decode(z) / (z[:, :1, None, None] > 1), WIDTH)


@torch.no_grad()
def blind(z):
    return decode(z)


@torch.inference_mode()
def inferred(z):
    return decode(z)


STEPS = (lambda z: decode(z.detach()), lambda z: (decode(z) * 99).round() / 99, blind, inferred)


@pytest.mark.parametrize("function", STEPS)
def test_inversion_refuses_what_has_no_gradient_before_it_begins(function) -> None:
    generator = CallableGenerator(function, WIDTH)
    images = generator.synthesize(z_of(2)[:, None])
    with pytest.raises(ValueError, match=r"generator of inversion: .*leave out torch.no_grad\(\)"):
        invert(generator, images, inverter=Inverter(steps=2))
    assert len(invert(generator, images, inverter=Inverter(steps=0))) == 2


@pytest.fixture
def users(tmp_path, monkeypatch):
    """A module of the user's."""
    code = """
    import torch
    from torch import nn
    from genviews import ToyGenerator

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh())

        def forward(self, z):
            return self.main(z).reshape(-1, 1, 4, 4)

    torch.manual_seed(0)
    net, toy = Net(), ToyGenerator()

    def build():
        return net

    def broken():
        return net.nothing

    def nested():
        return Net

    def raising(z):
        raise KeyError("my own words")

    class Exported(Net):
        def train(self, mode=True):
            raise NotImplementedError("Calling train() is not supported yet.")

    def exported():
        return nn.Sequential(Exported())

    def empty():
        return Net().to("meta")

    def lazy():
        return nn.Sequential(nn.LazyLinear(16), nn.Unflatten(1, (1, 4, 4)))
    """
    (tmp_path / "own.py").write_text(re.sub("^    ", "", code, flags=re.MULTILINE))
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("own", None)


class TestByName:
    @pytest.mark.parametrize("name", ["own:net", "own:build"])
    def test_a_module_or_what_makes_it_in_training_mode(self, users, name: str) -> None:
        generator = load_callable(name)
        assert (generator.z_dim, generator.image_spec.shape) == (6, (1, 4, 4))
        assert told(generator, "called once, for the generator it makes") == (name == "own:build")

    def test_a_module_without_modes_is_taken(self, users) -> None:
        assert not load_generator("own:exported").generator.function[0].main[1].training

    def test_a_generator_is_taken_as_it_is(self, users) -> None:
        assert isinstance(load_callable("own:toy"), ToyGenerator)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("own:broken", r"factory .*AttributeError: .*'nothing', .*own.py, line 21: return net"),
            ("own:nested", "what nested returns: .*name the function itself, or an instance"),
            ("own:empty", r"generator Net: expected weights, got empty ones \(meta\)"),
            ("own:Net", "name the function itself, or an instance of the class"),
            ("own:raising", r"got KeyError: 'my own words', in .*own.py, line 27: raise KeyError"),
        ],
    )
    def test_errors_name_the_users_line(self, users, name: str, message: str) -> None:
        with pytest.raises((ValueError, TypeError), match=message):
            load_callable(name, 6)

    def test_a_lazy_layer_does_not_say_the_width(self, users) -> None:
        with pytest.raises(ValueError, match="expected the width of its z, got none; add z_dim"):
            load_callable("own:lazy")


@pytest.mark.as_installed
def test_what_is_no_word_is_said_on_one_line(tmp_path) -> None:
    network = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Unflatten(1, (1, 4, 4)))
    calls = [
        lambda: load_generator(network),
        lambda: load_classifier(network),
        lambda: load_generator(tmp_path),
        lambda: GeneratorKit(CallableGenerator(network)).save(tmp_path / "kit"),
    ]
    words = ["GeneratorKit.Call", "Classifier.network", "a folder with a card", "can be imported"]
    for call, word in zip(calls, words, strict=True):
        with pytest.raises((TypeError, ValueError, FileNotFoundError), match=word) as caught:
            call()
        assert "\n" not in str(caught.value)


def in_0_to_1(z):
    return decode(z) / 2 + 0.5


def flat(z):
    return decode(z).flatten(1)


@pytest.mark.parametrize("function", [in_0_to_1, bright, flat])
def test_a_card_holds_how_a_function_is_called(function) -> None:
    spec = ImageSpec(channels=1, height=6, width=8)
    adapter = Adapter(range="-1..1") if function is bright else None
    generator = CallableGenerator(function, WIDTH, spec, adapter=adapter)
    again = generator_from(generator_description(generator), lambda: pytest.fail("no weights"))
    assert (again.adapter, again.notes) == (generator.adapter, ())
    latents = z_of(2)[:, None]
    assert torch.equal(again.synthesize(latents), generator.synthesize(latents))
