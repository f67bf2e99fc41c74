"""Weights that notice a shift: fitted on clean and shifted images, or chosen without labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from genviews.ensemble.bank import PredictionBank
from genviews.ensemble.notice import NoticingEnsemble, alpha_without_labels
from genviews.ensemble.weigh import Ensemble


def bank(*, shifted, count=200, split="calibration", seed=0):
    """Under the shift the image is unsure and often wrong, and views are right; else reversed."""
    rng = np.random.default_rng(seed)
    labels = torch.tensor(rng.integers(0, 3, count))
    truth = torch.nn.functional.one_hot(labels, 3).double()

    def answers(accuracy, sureness, views):
        right = torch.tensor(rng.random((count, 1, 1)) < accuracy)
        wrong = torch.nn.functional.one_hot((labels + 1) % 3, 3).double()[:, None]
        noise = torch.tensor(rng.normal(0, 0.2, (count, views, 3)))
        return sureness * torch.where(right, truth[:, None], wrong) + noise

    image = answers(0.4, 1.0, 1) if shifted else answers(0.95, 5.0, 1)
    views = answers(0.9, 3.0, 4) if shifted else answers(0.7, 3.0, 4)
    return PredictionBank(
        ids=tuple(f"{shifted}{i}" for i in range(count)),
        labels=labels,
        class_names=("a", "b", "c"),
        split=split,
        logits={"image": image, "reconstruction": views[:, :1], "views": views[:, 1:]},
    )


def both(seed=0):
    return PredictionBank.concatenate([bank(shifted=s, seed=seed) for s in (False, True)])


def accuracy(proba, found):
    return float((proba.argmax(1) == found.labels).double().mean())


def test_each_image_gets_the_weight_that_serves_it():
    found = NoticingEnsemble(Ensemble("views")).fit(both())
    clean, shifted = (bank(shifted=s, split="test", seed=1) for s in (False, True))
    for one, low, high in ((clean, 0.0, 0.4), (shifted, 0.6, 1.0)):
        apart = one.get("image")[:, 0].argmax(-1) != one.get("views").mean(1).argmax(-1)
        assert low <= float(found.weights(one)[apart].mean()) <= high  # where it decides
    one = Ensemble("views").fit(both())
    for other in (clean, shifted):
        assert accuracy(found.predict_proba(other), other) >= accuracy(
            one.predict_proba(other), other
        )


def test_the_fit_is_the_least_log_loss_by_an_independent_search():
    calibration, ridge = both(), 0.01
    found = NoticingEnsemble(Ensemble("views"), ridge=ridge).fit(calibration)
    image = calibration.probs("image")[:, 0].numpy()
    views = torch.cat([calibration.probs("reconstruction"), calibration.probs("views")], 1)
    mean, labels = views.mean(1).numpy(), calibration.labels.numpy()

    def odds(p):
        best = p.max(1)
        return np.log(best) - np.log1p(-best)

    def entropy(p):
        return -(p * np.log(p)).sum(-1)

    each = views.numpy()
    same = each.argmax(-1) == image.argmax(-1)[:, None]
    columns = [
        odds(image),
        odds(mean),
        np.sqrt(image * mean).sum(1),
        same.mean(1),
        entropy(mean) - entropy(each).mean(1),
    ]
    known = np.stack([(c - c.mean()) / c.std() for c in columns], 1).clip(-5, 5)

    def loss(point):
        alpha = 1 / (1 + np.exp(-(point[0] + known @ point[1:])))[:, None]
        mixed = (1 - alpha) * image + alpha * mean
        return (
            -np.log(mixed[np.arange(len(labels)), labels]).mean() + ridge * (point[1:] ** 2).sum()
        )

    own = np.array([found.bias_, *found.slopes_.tolist()])
    best = minimize(
        loss, np.zeros(6), method="Nelder-Mead", options={"maxiter": 20000, "xatol": 1e-6}
    )
    assert loss(own) <= best.fun + 1e-5


def test_the_weight_of_an_image_does_not_depend_on_the_others():
    found = NoticingEnsemble(Ensemble("views")).fit(both(), torch.arange(400.0))
    test, loss = bank(shifted=True, split="test"), torch.linspace(1, 9, 200)
    whole = found.weights(test, loss)
    assert torch.equal(whole[5:9], found.weights(test.select(slice(5, 9)), loss[5:9]))


def test_an_image_that_counts_twice_is_as_good_as_two():
    clean, shifted = (bank(shifted=one, count=60) for one in (False, True))
    again = replace(clean, ids=tuple(f"again {name}" for name in clean.ids))
    copied = NoticingEnsemble(Ensemble("views")).fit(
        PredictionBank.concatenate([clean, again, shifted])
    )
    counts = torch.tensor([2.0] * 60 + [1.0] * 60)
    counted = NoticingEnsemble(Ensemble("views")).fit(
        PredictionBank.concatenate([clean, shifted]), counts=counts
    )
    assert torch.allclose(counted.weights(shifted), copied.weights(shifted), atol=1e-4)
    for wrong in (counts[:-1], -counts, torch.where(counts > 1, torch.nan, counts)):
        with pytest.raises(ValueError, match="counts"):
            NoticingEnsemble(Ensemble("views")).fit(both(), counts=wrong)


def test_a_failed_inversion_counts_as_far_off_whatever_its_neighbours():
    loss = torch.linspace(1, 4, 400)
    found = NoticingEnsemble(Ensemble("views")).fit(both(), loss)
    lost = loss.clone()
    lost[7] = torch.nan
    weights = found.weights(both(), lost)
    loss[7] = 4.0  # the largest of calibration
    assert torch.equal(weights, found.weights(both(), loss))
    alone = found.weights(both().select([7, 8]), torch.tensor([torch.nan, 0.1]))
    assert alone[0] == weights[7]


@pytest.mark.parametrize("fitted", [False, True])
def test_weights_before_a_fit_or_without_its_loss_are_refused(fitted):
    found = NoticingEnsemble(Ensemble("views"))
    if fitted:
        found.fit(both(), torch.ones(400))
    with pytest.raises(ValueError, match="`fit` first, with a loss where there is one here"):
        found.weights(both())


def test_nothing_is_fitted_on_test():
    test = bank(shifted=True, split="test")
    with pytest.raises(ValueError, match="split"):
        NoticingEnsemble(Ensemble("views")).fit(test)
    with pytest.raises(ValueError, match="split"):
        alpha_without_labels(Ensemble("views"), test, test)


class TestWithoutLabels:
    def test_the_weight_follows_the_images(self):
        clean, ensemble = bank(shifted=False), Ensemble("views")
        assert alpha_without_labels(ensemble, clean, bank(shifted=False, seed=2)) < 0.5
        assert alpha_without_labels(ensemble, clean, bank(shifted=True, seed=2)) > 0.5

    def test_no_label_of_the_others_is_looked_at(self):
        from dataclasses import replace

        clean, shifted = bank(shifted=False), bank(shifted=True)
        without = replace(shifted, labels=None, split="test")
        ensemble = Ensemble("views")
        assert alpha_without_labels(ensemble, clean, shifted) == alpha_without_labels(
            ensemble, clean, without
        )

    def test_it_is_the_published_estimate_by_a_plain_loop(self):
        clean, shifted, ensemble = (
            bank(shifted=False),
            bank(shifted=True),
            Ensemble("views", grid=6),
        )
        promised = []
        for alpha in np.linspace(0, 1, 6):
            scores = []
            for one in (clean, shifted):
                views = torch.cat([one.probs("reconstruction"), one.probs("views")], 1).mean(1)
                mixed = (1 - alpha) * one.probs("image")[:, 0] + alpha * views
                scores.append((mixed.numpy() * np.log(mixed.numpy())).sum(1))
                if one is clean:
                    wrong = (mixed.argmax(1) != one.labels).double().mean().item()
            threshold = np.quantile(scores[0], wrong)
            promised.append((scores[1] > threshold).mean())
        best = np.linspace(0, 1, 6)[int(np.argmax(promised))]
        assert alpha_without_labels(ensemble, clean, shifted) == pytest.approx(best)
