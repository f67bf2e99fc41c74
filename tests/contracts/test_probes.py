"""Every probe against its contract: a new one is a new row."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor

from genviews.evaluate.linear import LinearProbe
from genviews.evaluate.probe import KNNProbe, Probe
from genviews.evaluate.sgd import SGDConfig, SGDProbe
from genviews.testing import PROBE_CHECKS, check_probe
from tests.contracts.complete import leaves

PROBES = {
    "linear": lambda: LinearProbe((0.1, 1.0)),
    "linear, one cost": lambda: LinearProbe((1.0,), standardise=False),
    "sgd": lambda: SGDProbe(SGDConfig(epochs=4, learning_rate=0.1)),
    "knn": lambda: KNNProbe((5, 20)),
}


def test_the_table_is_complete() -> None:
    assert leaves(Probe) == {type(make()) for make in PROBES.values()}


@pytest.mark.parametrize("name", PROBES)
def test_probe_contract(name: str) -> None:
    check_probe(PROBES[name])


class Broken(KNNProbe):
    """A probe of neighbours that breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        super().__init__((5, 20))
        self.law = law

    def fit(self, h: Tensor, y: Tensor, *, split: str = "train") -> Probe:
        match self.law:
            case "it_learns_what_the_features_know":
                y = y.roll(1)
            case "nothing_is_chosen_on_a_test_split":
                split = "train"
            case "labels_may_be_any_integers":
                y = y % 5
            case "input_is_checked":
                h = h.nan_to_num(0.0)
            case "nothing_global_changes":
                np.random.random()  # noqa: NPY002  (what the law forbids)
            case "features_that_know_nothing_give_chance":
                self.fitted_features = h
        return super().fit(h, y, split=split)

    def select(self, h: Tensor, y: Tensor, *, split: str = "val") -> Probe:
        super().select(h, y, split=split)
        if self.law == "the_first_of_the_best_is_selected":
            self._chosen = self.curve_.index(min(self.curve_))
        return self

    def score(self, h: Tensor, y: Tensor, *, split: str = "test"):
        if self.law == "features_that_know_nothing_give_chance":  # it has seen the answers
            return super().score(self.fitted_features, super().predict(self.fitted_features))
        if self.law == "steps_come_in_their_order":
            self._chosen = 0
        return super().score(h, y, split=split)

    def predict(self, h: Tensor) -> Tensor:
        if self.law == "neighbours_do_not_matter":
            return super().predict(h - h.mean(0))
        return super().predict(h)


@pytest.mark.parametrize("check", PROBE_CHECKS, ids=lambda check: check.__name__)
def test_a_probe_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises(AssertionError):
        check(lambda: Broken(check.__name__))
    check(lambda: Broken("none"))
