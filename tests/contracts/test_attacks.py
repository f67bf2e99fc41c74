"""Every attack against its contract: a new kind is a new line of `ATTACKS`."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from genviews.robustness.attack import ATTACKS, Attack, Norm, attack
from genviews.robustness.carlini_wagner import CarliniWagner
from genviews.robustness.gradient import FGSM, PGD
from genviews.robustness.random_search import RandomSearch
from genviews.testing import ATTACK_CHECKS, check_attack
from tests.contracts.complete import leaves

TABLE: dict[str, Attack] = {
    "fgsm": FGSM(0.3),
    "pgd": PGD(0.3, steps=4),
    "pgd margin": PGD(0.3, steps=3, loss="margin", restarts=2),
    "pgd_l2": PGD(1.5, steps=4, norm="l2"),
    "random": RandomSearch(0.3, tries=12),
    "random_l2": RandomSearch(1.5, tries=12, norm="l2"),
    "cw": CarliniWagner(3.0, steps=8, searches=4, stride=0.2),
}


def given(row: str) -> Attack:
    made = TABLE[row]
    if isinstance(made, CarliniWagner) and not importlib.util.find_spec("foolbox"):
        pytest.skip(f"foolbox is not installed, which {made.name} needs")
    return made


def test_the_table_is_complete() -> None:
    assert leaves(Attack) == {type(made) for made in TABLE.values()}
    assert {made.label for made in TABLE.values()} == set(ATTACKS)


@pytest.mark.parametrize("row", TABLE)
def test_attack_contract(row: str) -> None:
    check_attack(given(row))


@dataclass(frozen=True)
class Broken(Attack):
    """A step of the gradient that breaks one law, named by `law`."""

    law: str = "none"

    kind: ClassVar[str] = "broken"
    norm: ClassVar[Norm] = "linf"

    def __describe__(self) -> dict[str, object]:
        return {} if self.law == "it_is_described" else {"budget": self.budget}

    @property
    def name(self) -> str:
        return self.kind if self.law == "the_name_tells_it_apart" else super().name

    def __call__(self, model, images, labels, streams) -> Tensor:
        match self.law:
            case "misuse_is_refused":
                streams = streams if len(streams) == len(images) else streams[[0] * len(images)]
            case "streams_decide":
                model.eval()
            case "budget_and_range_are_held":
                return super().__call__(model, images, labels, streams) * 1.5
            case "no_budget_is_the_identity":
                return super().__call__(model, images, labels, streams) + 1e-7
            case "a_bad_image_harms_no_other":
                images = images.nan_to_num(0.0)
            case "neighbours_do_not_matter":
                found = super().__call__(model, images, labels, streams)
                return torch.lerp(found, images, 1e-3 * found.mean().abs())
        return super().__call__(model, images, labels, streams)

    def search(self, ask, images, streams) -> Tensor:
        budget = -self.budget if self.law == "it_attacks" else self.budget
        if self.law == "more_budget_is_no_worse":
            budget = min(budget, 0.01)
        return images + budget * ask.slope(images, "margin", 0).sign()


@pytest.mark.parametrize("check", ATTACK_CHECKS, ids=lambda check: check.__name__)
def test_an_attack_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises((AssertionError, RuntimeError)):
        check(Broken(0.3, law=check.__name__))
    check(Broken(0.3))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pgt:0.1", "kind of attack: expected one of .* did you mean 'pgd'"),
        ("pgd", "attack 'pgd': expected a budget, got ''; write pgd:0.05"),
        ("fgsm:much", "expected a budget, got 'much'"),
        ("pgd:-1", "budget of PGD: expected a finite number of at least 0"),
        ("pgd:inf", "budget of PGD: expected a finite number"),
        ("cw:nan", "budget of CarliniWagner: expected"),
    ],
)
def test_a_name_that_is_none_is_told(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        attack(name)


def test_names_say_what_is_not_usual() -> None:
    assert attack("pgd_l2:1").name == "pgd_l2:1"
    assert attack("cw").name == "cw"
    assert replace(attack("pgd:0.05"), steps=40).name == "pgd:0.05-steps=40"
    assert replace(attack("cw"), budget=2.0).name == "cw:2"
