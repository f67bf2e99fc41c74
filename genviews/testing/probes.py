"""The contract of probes: the laws that each `Probe` of features keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from genviews.evaluate.probe import Probe
from genviews.rng import Rng
from genviews.testing.laws import expect, laws_of, leaves_no_trace, refuses, run_laws

__all__ = ["PROBE_CHECKS", "check_probe"]

CLASSES, WIDTH = 4, 10
CHANCE = 1 / CLASSES
LEARNS = 0.9  # accuracy on classes that hardly overlap


def check_probe(make: Callable[[], Probe]) -> None:
    """Run every check of the contract on one kind of probe.

    Args:
        make: gives a fresh probe, which is fitted to 400 rows of ten features.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.evaluate.probe import KNNProbe
        >>> check_probe(lambda: KNNProbe((5, 20)))
    """
    run_laws(PROBE_CHECKS, make)


def it_learns_what_the_features_know(make: Callable[[], Probe]) -> None:
    """Classes that are apart are told apart, and the score is that of the predictions."""
    probe, (h, y) = _fitted(make, gap=3.0), _features(2, 300, gap=3.0)
    score, found = probe.score(h, y), probe.predict(h)
    hits = int((found == y).sum())
    expect((score.hits, score.total) == (hits, len(y)), f"{score.hits} hits, not {hits}")
    expect(score.splits == {"fit": "train", "select": "val", "score": "test"}, f"{score.splits}")
    expect(score.accuracy > LEARNS, f"an accuracy of {score.accuracy:.2f}")


def features_that_know_nothing_give_chance(make: Callable[[], Probe]) -> None:
    """Where features and classes are independent, chance is within the interval."""
    low, high = _fitted(make, gap=0.0).score(*_features(2, 2000, gap=0.0)).interval
    expect(low < CHANCE < high, f"an accuracy from {low:.2f} to {high:.2f}")


def the_first_of_the_best_is_selected(make: Callable[[], Probe]) -> None:
    """`select` takes the setting that does best on its split, of equals the first."""
    probe = _fitted(make)
    best = probe.curve_.index(max(probe.curve_))
    expect(probe.setting == probe.settings_[best], f"{probe.setting} of {probe.curve_}")
    expect(probe.score(*_features(1, 100), split="x").accuracy == max(probe.curve_), "its curve")


def nothing_is_chosen_on_a_test_split(make: Callable[[], Probe]) -> None:
    """`fit` and `select` refuse every split that is not one to fit or choose on."""
    data = _features(0, 100)
    for name in ("test", "Test", " test2007 ", "val-report"):
        refuses(partial(make().fit, *data, split=name), f"fit on {name!r}")
        refuses(partial(make().fit(*data).select, *data, split=name), f"select on {name!r}")


def steps_come_in_their_order(make: Callable[[], Probe]) -> None:
    """Nothing is scored or selected before `fit`, nor with several settings before `select`."""
    data = _features(0, 100)
    refuses(lambda: make().score(*data), "score before fit")
    refuses(lambda: make().select(*data), "select before fit")
    fitted = make().fit(*data)
    if len(fitted.settings_) > 1:
        refuses(lambda: fitted.score(*data), "score before select")


def neighbours_do_not_matter(make: Callable[[], Probe]) -> None:
    """A row is predicted the same alone, in another order, and by a probe fitted again."""
    probe, h = _fitted(make), _features(2, 50)[0]
    found = probe.predict(h)
    expect(torch.equal(probe.predict(h.flip(0)).flip(0), found), "another order")
    expect(torch.equal(probe.predict(h[7:8]), found[7:8]), "a row alone")
    expect(torch.equal(_fitted(make).predict(h), found), "fitted again")


def labels_may_be_any_integers(make: Callable[[], Probe]) -> None:
    """Labels with gaps are predicted as they are; one that `fit` did not see is wrong."""
    h, y = _features(0, 200, gap=3.0)
    labels = y * 7 + 3
    probe = make().fit(h, labels).select(h, labels)
    expect(set(probe.predict(h).tolist()) <= set(labels.tolist()), "labels that nobody gave")
    expect(probe.score(h, torch.full_like(y, 5)).accuracy == 0.0, "an unseen class was found")


def input_is_checked(make: Callable[[], Probe]) -> None:
    """One class, one row again and again, another width and NaN are errors."""
    h, y = _features(0, 100)
    holes = torch.where(h > 1, torch.nan, h)
    refuses(lambda: make().fit(h, torch.zeros_like(y)), "a single class")
    refuses(lambda: make().fit(torch.ones_like(h), y), "features that are all the same")
    refuses(lambda: make().fit(holes, y), "features that are NaN")
    probe = make().fit(h, y)
    refuses(lambda: probe.select(h[:, :5], y), "features of another width")
    refuses(lambda: probe.select(holes, y), "features that are NaN, in select")


def nothing_global_changes(make: Callable[[], Probe]) -> None:
    """No global random number is drawn, of torch or NumPy; the features stay."""
    (h, y), state = _features(0, 100), _state_of_numpy()
    kept = h.clone()
    with leaves_no_trace():
        make().fit(h, y).select(h, y).score(h, y)
    expect(_state_of_numpy() == state, "a global random number of NumPy was drawn")
    expect(torch.equal(h, kept), "the features were changed")


PROBE_CHECKS = laws_of(globals())


def _state_of_numpy() -> bytes:
    return pickle.dumps(np.random.get_state())  # noqa: NPY002  (read)


def _fitted(make: Callable[[], Probe], gap: float = 1.0) -> Probe:
    return make().fit(*_features(0, 400, gap)).select(*_features(1, 100, gap))


def _features(seed: int, num: int, gap: float = 1.0) -> tuple[Tensor, Tensor]:
    """Gaussian classes whose centres are some `gap` deviations apart, and the class of each row."""
    centres = Rng(99, "centres").streams(range(CLASSES)).normal(1, (WIDTH,))[:, 0]
    streams = Rng(seed, "probe contract").streams(range(num))
    y = (streams.child("class").uniform(1, ()).flatten() * CLASSES).long()
    h = gap * centres[y] + streams.normal(1, (WIDTH,))[:, 0]
    return h * torch.logspace(-0.5, 0.5, WIDTH) + 0.3, y
