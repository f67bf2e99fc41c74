"""A description holds what changes a result, and nothing else."""

from __future__ import annotations

import enum
import functools
import importlib
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from genviews import ToyGenerator
from genviews.identity import describe, identify, key
from genviews.perturb.noise import Gaussian
from genviews.perturb.stylemix import StyleMix

ROOT = Path(__file__).resolve().parents[2]


class Colour(enum.IntEnum):
    RED = 1


@dataclass(frozen=True)
class Point:
    x: float
    device: str = field(default="cpu", metadata={"identity": False})


class Scaled:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


class Saying(Scaled):
    def __describe__(self):
        return {"factor": self.factor}


def add(x, y=1, *, z=2):
    return x + y + z


@functools.cache
def wrapped(x):
    return x


def _scaled(factor):
    return lambda x: x * factor


class TestValues:
    def test_each_value_is_another(self):
        different = [
            None,
            False,
            True,
            0,
            2,
            0.5,
            float("nan"),
            float("inf"),
            "a",
            b"a",
            [1],
            [1, 2],
            {"a": 1},
            {"a": 2},
            {1, 2},
            {1, 3},
            range(3),
            range(4),
            slice(3),
            Colour.RED,
            torch.float32,
            torch.float64,
            torch.zeros(2),
            torch.zeros(2, dtype=torch.float64),
            torch.zeros(2, 1),
            torch.ones(2),
            np.ones(3),
            Point(1.0),
            Point(2.0),
            Point,
            Scaled,
        ]
        assert len({key(value) for value in different}) == len(different)

    def test_equal_values_have_equal_descriptions(self):
        for one, other in [
            (1, 1.0),
            ((1, 2), [1, 2]),
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
            ({"x", "y", "z"}, {"z", "y", "x"}),
            (np.float64(0.5), 0.5),
            (torch.ones(4)[::2], torch.ones(2)),
            (torch.ones(2, requires_grad=True), torch.ones(2)),
            (np.ones(2, np.float32), torch.ones(2)),
            (Point(1.0, device="cpu"), Point(1, device="cuda")),
        ]:
            if not isinstance(one, np.ndarray):
                assert key(one) == key(other), (one, other)

    def test_is_json_without_places_or_addresses(self):
        text = str(describe([Point(1.0), torch.zeros(2), add, _scaled(2), Gaussian("all", 0.2)]))
        assert " at 0x" not in text
        assert "cpu" not in text

    def test_a_file_is_its_content(self, tmp_path):
        one, other = tmp_path / "a", tmp_path / "b"
        one.write_bytes(b"same")
        other.write_bytes(b"same")
        assert key(one) == key(other)
        other.write_bytes(b"more")
        assert key(one) != key(other)

    def test_what_is_not_described_says_how(self):
        with pytest.raises(TypeError, match=r"part of a result \(size.1\).*`__describe__`"):
            identify(size=[1, Scaled(2.0)])
        assert describe(Saying(2.0))["factor"] == 2
        assert key(Saying(2.0)) != key(Saying(3.0))

    def test_something_that_holds_itself_ends(self):
        def outer(n):
            return outer(n - 1)

        assert key(outer) == key(outer)


class TestFunctions:
    def test_parts_of_a_function_count(self):
        functions = [
            add,
            wrapped,
            torch.tanh,
            torch.relu,
            functools.partial(add, 1),
            functools.partial(add, 2),
            functools.partial(add, y=2),
            _scaled(2),
            _scaled(3),
            _scaled(torch.ones(2)),
            lambda x: x,
            lambda x: -x,
            lambda x, y=1: x,
            lambda x, y=2: x,
            Saying(1.0).__call__,
            Saying(2.0).__call__,
            Gaussian("all", 0.1).__call__,
            Gaussian("all", 0.2).__call__,
        ]
        found = [key(function) for function in functions]
        assert len(set(found)) == len(found)

    def test_the_same_function_made_twice(self):
        assert key(_scaled(2)) == key(_scaled(2))
        assert key(functools.partial(add, 1)) == key(functools.partial(add, 1))
        assert key(Saying(2.0).__call__) == key(Saying(2.0).__call__)

    def test_the_library_is_known_by_name(self):
        from genviews.render import render

        assert describe(render) == {"function": "genviews:render"}

    CODE = """
SIZE = {size}
def helper(x):
    return x {operator} SIZE
def view(x):
    '''{doc}'''
    # {doc}
    return helper(x)
class Net:
    def forward(self, x):
        return x {operator} 1
def own_key():
    from genviews.identity import key
    return key(view, Net, {{'b', 'a', 'c'}}, lambda x: x in {{'p', 'q', 'r'}})
"""

    @pytest.fixture
    def edited(self, tmp_path, monkeypatch):
        """A module written and imported: code of a user behind a name that stays."""
        monkeypatch.syspath_prepend(tmp_path)

        def write(size=1, operator="+", doc="one"):
            text = self.CODE.format(size=size, operator=operator, doc=doc)
            (tmp_path / "edited_module.py").write_text(text)
            sys.modules.pop("edited_module", None)
            importlib.invalidate_caches()
            monkeypatch.setattr(sys, "dont_write_bytecode", True)
            return importlib.import_module("edited_module")

        yield write
        sys.modules.pop("edited_module", None)

    def test_code_edited_behind_a_name(self, edited):
        before = key(edited().view)
        assert key(edited().view) == before
        assert key(edited(doc="other").view) == before
        assert key(edited(size=2).view) != before
        assert key(edited(operator="-").view) != before  # in a function that it calls
        assert key(edited(operator="-").Net) != key(edited().Net)

    def test_the_same_in_another_process(self, edited, tmp_path):
        """Whose hashes, by which sets are ordered, are others."""
        found = [str(edited().own_key())]
        found += subprocess.run(
            [sys.executable, "-c", "import edited_module; print(edited_module.own_key())"],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PYTHONHASHSEED": "1"},
        ).stdout.split()
        assert len(found) == 2
        assert len(set(found)) == 1


class TestModules:
    def test_settings_without_tensors_count(self):
        nets = [
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU()),
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.LeakyReLU(0.1)),
            nn.Sequential(nn.Conv2d(1, 1, 3), nn.LeakyReLU(0.2)),
            nn.Sequential(nn.Conv2d(1, 1, 3, stride=2), nn.ReLU()),
            nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.ReLU()),
        ]
        for net in nets[1:]:
            net.load_state_dict(nets[0].state_dict())
        assert len({key(net) for net in nets}) == len(nets)

    def test_attributes_and_hooks_count(self):
        """A user's network keeps numbers, functions and tensors in no tensor of torch's."""

        class Net(nn.Module):
            def __init__(self, **own):
                super().__init__()
                vars(self).update(own)

            @functools.cached_property
            def worked_out(self):
                return 3

        def hooked(way):
            net = Net()
            getattr(net, way)(lambda *given: given[1])
            return net

        nets = [Net(), Net(scale=1), Net(scale=2), Net(act=torch.tanh), Net(act=torch.relu)]
        nets += [Net(mean=torch.zeros(2)), Net(mean=torch.ones(2)), Net(sizes=[2]), Net(sizes=[3])]
        nets += [Net(parts=[nn.Linear(1, 1)]), Net(scale=1), Net(place=torch.device("cpu"))]
        nets += [hooked("register_forward_hook"), hooked("register_forward_pre_hook")]
        found = [key(nn.Sequential(net)) for net in nets]
        assert found[-4] == found[1]
        assert found[-3] == found[0]
        assert len(set(found)) == len(nets) - 2
        bound = [key(net.forward) for net in nets[:3]]
        assert len(set(bound)) == 3
        assert nets[0].worked_out == 3
        assert key(nn.Sequential(nets[0])) == found[0]

    def test_how_it_is_used_does_not_count(self):
        net = nn.Sequential(nn.Conv2d(1, 1, 3), nn.Dropout(0.1))
        before = key(net)
        assert key(net.eval().requires_grad_(False)) == before
        net.to(memory_format=torch.channels_last)
        assert key(net) == before

    def test_a_generator_by_what_its_specs_say(self):
        toys = [ToyGenerator(), ToyGenerator(seed=1), ToyGenerator(num_classes=2)]
        toys += [ToyGenerator(channels=3), ToyGenerator(num_layers=3)]
        assert len({key(toy) for toy in toys}) == len(toys)

    def test_what_a_generator_remembers_does_not_count(self):
        toy = ToyGenerator()
        before = key(toy)
        toy.mean_latent(100)
        assert key(toy) == before


def test_perturbations_by_their_fields():
    assert key(StyleMix("fine")) != key(StyleMix("coarse"))
    assert key(StyleMix("fine")) == key(StyleMix("fine"))
