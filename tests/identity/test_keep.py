"""An identity kept beside work refuses what the work was not made from, by name."""

from __future__ import annotations

import json
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

from genviews import CallableGenerator, Classifier, ToyGenerator
from genviews.identity import TOLERANCE, Identity, identify
from genviews.types import ImageSpec

SPEC = ImageSpec(channels=1, height=4, width=4)
SIGN = {"factor": 1.0}


def sample(z):
    """Code behind a name that stays; what it renders hangs on something outside it."""
    return (SIGN["factor"] * z).tanh().reshape(-1, 1, 4, 4)


class Sum(nn.Module):
    """A classifier without weights, which hangs on something outside it."""

    def forward(self, images):
        total = SIGN["factor"] * images.flatten(1).sum(1)
        return torch.stack([total, -total, total / 2], dim=1)


@pytest.fixture
def sign(monkeypatch):
    return lambda value: monkeypatch.setitem(SIGN, "factor", value)


def generator():
    return CallableGenerator(sample, z_dim=16)


def classifier():
    return Classifier(Sum(), SPEC, ("a", "b", "c"))


class TestAnswers:
    def test_a_function_is_known_by_what_it_renders(self, sign, tmp_path):
        identify(generator=generator()).keep(tmp_path, "latents")
        identify(generator=generator()).keep(tmp_path, "latents")
        sign(-1.0)
        match = (
            r"latents: expected what it was made from, got generator tests?.*:sample as it was "
            r"then: it now renders other images \(largest difference 0\.\d+ on 4 fixed latents; "
            r"allowed 0\.02\)"
        )
        match = match.replace("tests?.*", ".*")
        with pytest.raises(ValueError, match=match):
            identify(generator=generator()).keep(tmp_path, "latents")

    def test_a_classifier_is_known_by_what_it_answers(self, sign, tmp_path):
        identify(classifier=classifier()).keep(tmp_path, "bank")
        sign(-1.0)
        match = r"classifier genviews:Classifier as .*other answers \(.* on 8 fixed images; allowed"
        with pytest.raises(ValueError, match=match):
            identify(classifier=classifier()).keep(tmp_path, "bank")

    @pytest.mark.parametrize("make", [generator, classifier])
    def test_round_off_is_no_difference_and_more_is(self, make, sign):
        kept = identify(it=make())
        sign(1.0 + TOLERANCE / 10)
        identify(it=make()).check(kept, "work")
        sign(1.0 + TOLERANCE * 10)
        with pytest.raises(ValueError, match="as it was then"):
            identify(it=make()).check(kept, "work")

    def test_nothing_is_left_changed(self):
        def noisy(z):
            np.random.rand()  # noqa: NPY002  (as users do)
            return (z + torch.rand(1) * random.random() * 0).reshape(-1, 1, 4, 4)

        made = CallableGenerator(noisy, 16, image_spec=SPEC)
        made.train()

        def state():
            numpy_state = np.random.get_state()[1].tolist()  # noqa: NPY002  (read)
            chance = random.getstate(), numpy_state, torch.get_rng_state().tolist()
            return chance, torch.is_grad_enabled(), made.training

        before = state()
        identify(generator=made)
        assert state() == before

    def test_each_generator_and_classifier_inside_is_asked_once(self):
        toy, judge = ToyGenerator(), classifier()
        found = identify(a={"generator": toy, "rest": [1, judge]}, again=toy, steps=2)
        assert sorted(found.answers) == ["a.generator", "a.rest.1"]
        assert found.answers["a.generator"].shape == (4, 1, 8, 8)
        assert found.answers["a.rest.1"].shape == (8, 3)

    def test_answers_are_small_images_in_zero_to_one(self):
        large = ToyGenerator(channels=3, size=64, num_classes=2)
        answers = identify(generator=large).answers["generator"]
        assert answers.shape == (4, 3, 32, 32)
        assert 0 <= answers.min() < answers.max() <= 1

    def test_not_a_number_is_a_difference_but_not_from_itself(self):
        one = Identity({}, {"g": torch.tensor([[1.0, float("nan")]])})
        one.check(one, "work")
        with pytest.raises(ValueError, match="largest difference inf"):
            Identity({}, {"g": torch.tensor([[1.0, 0.0]])}).check(one, "work")


class TestKeeping:
    def test_exact_parts_first(self, sign, tmp_path):
        identify(generator=generator(), steps=2).keep(tmp_path, "latents")
        sign(-1.0)
        with pytest.raises(ValueError, match="got steps: 2 in the store, 3 asked; use another"):
            identify(generator=generator(), steps=3).keep(tmp_path, "latents")

    def test_people_can_read_the_exact_parts(self, tmp_path):
        identity = identify(steps=2, names=("a", "b"))
        identity.keep(tmp_path / "new", "work")
        assert json.loads((tmp_path / "new/identity.json").read_text()) == {
            "steps": 2,
            "names": ["a", "b"],
        }
        found = Identity.kept_in(tmp_path / "new")
        assert found is not None
        assert found.digest == identity.digest

    def test_at_a_url(self):
        identify(toy=ToyGenerator()).keep("memory://identity-test", "work")
        identify(toy=ToyGenerator()).keep("memory://identity-test", "work")
        with pytest.raises(ValueError, match=r"toy\.weights"):
            identify(toy=ToyGenerator(seed=1)).keep("memory://identity-test", "work")

    def test_a_damaged_one_is_named(self, tmp_path):
        identify(steps=2).keep(tmp_path, "work")
        path = tmp_path / "identity.safetensors"
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(ValueError, match=r"identity\.safetensors: expected the file that"):
            identify(steps=2).keep(tmp_path, "work")

    def test_the_first_of_several_writers_wins(self, tmp_path):
        refused = []

        def keep(number):
            try:
                identify(number=number).keep(tmp_path, "work")
            except ValueError:
                refused.append(number)

        threads = [threading.Thread(target=keep, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = Identity.kept_in(tmp_path)
        assert found is not None
        assert sorted([*refused, found.exact["number"]]) == list(range(8))
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "identity.json",
            "identity.safetensors",
        ]

    def test_an_identity_is_a_part_of_another(self, sign):
        inner = identify(generator=generator())
        outer = identify(inversions=inner, steps=1)
        assert outer.exact["inversions"] == inner.exact
        assert list(outer.answers) == ["inversions.generator"]
        sign(-1.0)
        with pytest.raises(ValueError, match=r"inversions\.generator .*:sample as it was then"):
            identify(inversions=identify(generator=generator()), steps=1).check(outer, "rows")

    def test_in_a_file_of_other_tensors(self):
        identity = identify(generator=ToyGenerator())
        tensors, text = identity.pack()
        found = Identity.unpack({**tensors, "weight": torch.ones(1)}, {**text, "other": "text"})
        assert found is not None
        found.check(identity, "file")
        assert list(found.answers) == ["generator"]
        assert Identity.unpack({"weight": torch.ones(1)}, {}) is None
