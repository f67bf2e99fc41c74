"""Probes against scikit-learn, torch.optim and naive loops; no probe is chosen on a test split."""

from __future__ import annotations

import inspect
import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from genviews.ensemble.significance import accuracy_interval
from genviews.evaluate.encoders import probe_encoder
from genviews.evaluate.linear import LinearProbe, _Rows, stratified_folds
from genviews.evaluate.probe import KNNProbe, mean_class_accuracy
from genviews.evaluate.sgd import SGDConfig, SGDProbe, sgd_preset
from genviews.evaluate.svm import MultiLabelSVM
from genviews.rng import Rng


def correlated(seed, num, width=12, classes=3, condition=1e4):
    """(h, y) in float64: overlapping classes; the covariance is far from the axes and from round.

    Its condition number is near `condition`, and stays so when features are standardised.
    """
    shape = torch.Generator().manual_seed(5)
    rotate, mix = (
        torch.linalg.qr(torch.randn(width, width, generator=shape).double()).Q for _ in range(2)
    )
    scales = torch.logspace(0, -math.log10(condition) / 2, width).double()
    centres = torch.randn(classes, width, generator=shape).double()
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (num,), generator=draw)
    x = 0.8 * centres[y] + torch.randn(num, width, generator=draw).double()
    return x @ (rotate * scales) @ mix, y


class TestEveryProbe:
    """What the contract asks for, by the words that a user reads."""

    def test_score_has_its_interval_and_setting(self, make_features):
        probe = KNNProbe((5, 20)).fit(*make_features(0, 600)).select(*make_features(1, 200))
        score = probe.score(*make_features(2, 400))
        assert score.interval == accuracy_interval(score.hits, 400)
        assert (score.accuracy, score.setting) == (score.hits / 400, probe.setting)

    def test_test_split_is_refused(self, make_features):
        data = make_features(0, 100)
        with pytest.raises(ValueError, match="split to fit on"):
            LinearProbe().fit(*data, split="test")
        with pytest.raises(ValueError, match="split to select on"):
            LinearProbe((0.1, 1.0)).fit(*data).select(*data, split="Test")

    def test_score_needs_fit_and_select(self, make_features):
        data = make_features(0, 100)
        with pytest.raises(ValueError, match="call `fit` first"):
            LinearProbe((0.1, 1.0)).score(*data)
        with pytest.raises(ValueError, match="none selected; call `select`"):
            LinearProbe((0.1, 1.0)).fit(*data).score(*data)

    def test_input_is_checked(self, make_features):
        (h, y), make = make_features(0, 100), partial(LinearProbe, (0.1, 1.0))
        with pytest.raises(ValueError, match="different labels: expected an integer of at least 2"):
            make().fit(h, torch.zeros_like(y))
        with pytest.raises(ValueError, match="same row for all"):
            make().fit(torch.ones_like(h), y)
        with pytest.raises(ValueError, match="finite numbers"):
            make().fit(torch.where(h > 3, h, torch.nan), y)
        probe = make().fit(h, y)
        with pytest.raises(ValueError, match=r"shape \(N, 10\) as `fit` saw"):
            probe.select(h[:, :5], y)
        with pytest.raises(ValueError, match=r"finite, shape"):
            probe.select(h / 0, y)


class TestScore:
    def test_mean_class_accuracy_is_sklearns(self):
        found, y = torch.randint(5, (2, 200), generator=torch.Generator().manual_seed(0))
        wanted = balanced_accuracy_score(y.numpy(), found.numpy())
        assert mean_class_accuracy(found, y) == pytest.approx(wanted)


class TestLinear:
    @pytest.mark.parametrize("standardise", [False, True])
    def test_is_sklearns_logistic_regression(self, make_features, standardise):
        (h, y), (h2, _) = make_features(0, 400, gap=0.5), make_features(2, 300, gap=0.5)
        costs = (1e-3, 1.0, 1e3)
        probe = LinearProbe(costs, standardise=standardise, tolerance=1e-9).fit(h, y)
        scaler = StandardScaler().fit(h.double()) if standardise else None
        x, x2 = (scaler.transform(v.double()) if scaler else v.double().numpy() for v in (h, h2))
        for index, cost in enumerate(costs):
            oracle = LogisticRegression(C=cost, tol=1e-10, solver="newton-cg", max_iter=1000)
            oracle.fit(x, y.numpy())
            ours = probe.candidates_[index]
            logits = (h2 - probe._shift) / probe._scale @ ours[:, :-1].T + ours[:, -1]
            wanted = torch.as_tensor(oracle.predict_log_proba(x2))
            torch.testing.assert_close(logits.log_softmax(1), wanted, atol=2e-4, rtol=1e-3)
            assert torch.equal(probe._predict(h2, [index])[0], torch.as_tensor(oracle.predict(x2)))

    @pytest.mark.parametrize("standardise", [False, True])
    @pytest.mark.parametrize("rows", [16, 8192], ids=["in parts", "at once"])
    def test_objective_and_gradient_are_autograds(
        self, make_features, monkeypatch, rows, standardise
    ):
        monkeypatch.setattr("genviews.evaluate.linear._ROWS", rows)
        h, y = make_features(0, 60)
        probe = LinearProbe((1.0,), standardise=standardise).fit(h, y)
        weights = torch.randn(4, 11, dtype=torch.float64, requires_grad=True)
        kept = _Rows(h, probe._shift, probe._scale)
        value, gradient = probe._objective(kept, y, 0.3, weights.detach())
        deviation = h.double().std(0, correction=0)
        x = (h.double() - h.double().mean(0)) / deviation
        logits = nn.functional.linear(x, weights[:, :-1], weights[:, -1])
        units = 1.0 if standardise else deviation
        penalty = (weights[:, :-1] / units).square().sum() / (2 * 0.3 * 60)
        wanted = nn.functional.cross_entropy(logits, y) + penalty
        wanted.backward()
        assert value == pytest.approx(wanted.item())
        torch.testing.assert_close(gradient, weights.grad)

    @pytest.mark.parametrize("cost", [1e-3, 0.1, 10.0, 1e3])
    @pytest.mark.parametrize("standardise", [False, True])
    def test_optimum_is_sklearns_on_badly_conditioned_features(self, standardise, cost):
        h, y = correlated(0, 500)
        x = torch.as_tensor(StandardScaler().fit_transform(h)) if standardise else h
        condition = np.linalg.cond(np.cov(x.T.numpy()))
        assert 5e3 < condition < 5e4
        probe = LinearProbe((cost,), standardise=standardise, tolerance=1e-9).fit(h, y)
        oracle = LogisticRegression(C=cost, tol=1e-12, solver="newton-cholesky", max_iter=1000)
        oracle.fit(x.numpy(), y.numpy())
        units = 1.0 if standardise else probe._scale
        found, wanted = probe.candidates_[0][:, :-1] / units, torch.as_tensor(oracle.coef_)
        assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
        h2 = correlated(1, 300)[0]
        z = (h2 - probe._shift) / probe._scale
        logits = z @ probe.candidates_[0][:, :-1].T + probe.candidates_[0][:, -1]
        x2 = (h2 - h.mean(0)) / h.std(0, correction=0) if standardise else h2
        wanted = torch.as_tensor(oracle.predict_log_proba(x2.numpy()))
        torch.testing.assert_close(logits.log_softmax(1), wanted, atol=1e-4, rtol=1e-5)

    @pytest.mark.parametrize("standardise", [False, True])
    def test_few_steps_reach_it(self, standardise):
        """Steps in the weights themselves need some 600 (False) and 1,000 (True)."""
        probe = LinearProbe((1e3,), standardise=standardise, tolerance=1e-9, max_iter=200)
        assert probe.fit(*correlated(0, 500)).converged_ == (True,)

    @pytest.mark.parametrize("standardise", [False, True])
    def test_rows_converted_anew_or_in_parts_give_the_same(
        self, make_features, monkeypatch, standardise
    ):
        def fitted():
            return LinearProbe((0.1, 10.0), standardise=standardise, tolerance=1e-9).fit(h, y)

        (h, y), converted = make_features(0, 300, gap=0.5), []
        convert = _Rows._convert
        monkeypatch.setattr(_Rows, "_convert", lambda rows: converted.append(1) or convert(rows))
        whole = fitted()
        assert len(converted) == 1  # once for both costs
        monkeypatch.setattr("genviews.evaluate.linear._KEPT", h.numel() - 1)
        anew = fitted()
        assert len(converted) > 10
        monkeypatch.setattr("genviews.evaluate.linear._ROWS", 64)
        in_parts = fitted()
        for a, b, c in zip(whole.candidates_, anew.candidates_, in_parts.candidates_, strict=True):
            assert torch.equal(a, b)
            torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-6)

    def test_repeated_features_count_as_one_at_twice_the_cost(self, make_features):
        """Two equal columns have weights of one half each, so half the penalty; no curvature."""
        h, y = make_features(0, 400, gap=0.5)
        h = h.double() * 1e6  # the penalty is some 1e-19 of the curvature
        options = {"standardise": False, "tolerance": 1e-9}
        twice = LinearProbe((1e4,), **options).fit(torch.cat([h, h], 1), y)
        once = LinearProbe((2e4,), **options).fit(h, y)
        found = twice.candidates_[0]
        torch.testing.assert_close(
            found[:, :10] + found[:, 10:20], once.candidates_[0][:, :10], atol=1e-5, rtol=1e-5
        )

    def test_standardised_probe_ignores_the_scale_of_features(self, make_features):
        (h, y), (h2, _) = make_features(0, 400), make_features(1, 300)
        scale = torch.logspace(-3, 3, 10)
        one, other = (LinearProbe((0.1,)).fit(h * s, y).predict(h2 * s) for s in (1.0, scale))
        assert (one != other).sum() <= 1  # a float32 tie at most

    def test_constant_feature_does_no_harm(self, make_features):
        h, y = make_features(0, 400)
        wide = torch.cat([h, torch.full((400, 1), 7.0)], 1)
        assert torch.equal(
            LinearProbe((1.0,)).fit(wide, y).predict(wide), LinearProbe((1.0,)).fit(h, y).predict(h)
        )

    def test_tie_takes_the_smallest_cost(self, make_features):
        h, y = make_features(0, 300, classes=2, gap=20)
        probe = LinearProbe((100.0, 1.0, 10.0)).fit(h, y).select(h, y)
        assert probe.curve_ == (1.0, 1.0, 1.0)
        assert probe.setting == {"cost": 1.0}

    def test_unconverged_score_warns(self, make_features):
        data = make_features(0, 300)
        probe = LinearProbe((1e4,), max_iter=1).fit(*data)
        assert probe.converged_ == (False,)
        with pytest.warns(RuntimeWarning, match="cost 10000 did not reach its tolerance"):
            probe.score(*data)

    def test_folds_choose_as_a_loop_over_sklearn(self, make_features):
        h, y = make_features(0, 120, gap=0.6)
        costs = (1e-3, 1e-2, 1.0)
        probe = LinearProbe(costs, standardise=False, tolerance=1e-8).select_by_folds(h, y, folds=3)
        means = []
        for cost in costs:
            hits = []
            for held in stratified_folds(y, 3):
                oracle = LogisticRegression(C=cost, tol=1e-8, solver="newton-cg", max_iter=1000)
                oracle.fit(h[~held].double(), y[~held])
                hits.append(oracle.score(h[held].double(), y[held]))
            means.append(np.mean(hits))
        assert probe.setting == {"cost": costs[int(np.argmax(means))]}
        assert probe.curve_ == pytest.approx((max(means),), abs=0.01)
        assert probe.splits_ == {"fit": "train", "select": "3 folds of train"}
        assert probe.costs == costs

    def test_folds_cover_each_row_once_and_spread_classes(self):
        y = torch.tensor([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2])
        folds = stratified_folds(y, 3)
        assert bool((torch.stack(folds).sum(0) == 1).all())
        assert all({0, 1, 2} == set(y[held].tolist()) for held in folds)
        with pytest.raises(ValueError, match=r"rows of class 1: expected an integer of at least 4"):
            stratified_folds(y, 4)


class TestSGD:
    def test_is_torchs_sgd_on_a_linear_layer(self, make_features):
        h, y = make_features(0, 90)
        config = SGDConfig(
            epochs=5, learning_rate=0.02, momentum=0.9, weight_decay=0.01, batch_size=32, seed=4
        )
        probe = SGDProbe(config).fit(h, y)
        layer = nn.Linear(10, 4)
        start = probe._initial(torch.device("cpu"), Rng(4, "linear probe"))
        with torch.no_grad():
            layer.weight.copy_(start[:, :-1])
            layer.bias.copy_(start[:, -1])
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.02, momentum=0.9, weight_decay=0.01)
        for epoch in range(5):
            floor = 0.02 * 0.008
            for group in optimizer.param_groups:
                cosine = (1 + math.cos(math.pi * (epoch + 1) / 5)) / 2
                group["lr"] = floor + (0.02 - floor) * cosine
            order = Rng(4, "linear probe").child(f"order/{epoch}").numpy().permutation(90)
            for rows in torch.from_numpy(order).split(32):
                optimizer.zero_grad()
                nn.functional.cross_entropy(layer(h[rows]), y[rows]).backward()
                optimizer.step()
            wanted = torch.cat([layer.weight, layer.bias[:, None]], 1).detach()
            torch.testing.assert_close(probe.candidates_[epoch], wanted, atol=1e-5, rtol=1e-4)

    def test_agrees_with_lbfgs_within_the_intervals(self, make_features):
        train, val, test = (
            make_features(seed, num, classes=6, gap=0.5)
            for seed, num in enumerate((3000, 1000, 3000))
        )
        lbfgs = LinearProbe().fit(*train).select(*val).score(*test)
        config = SGDConfig(epochs=30, learning_rate=(0.03, 0.3))
        sgd = SGDProbe(config).fit(*train).select(*val)
        for score in (sgd.score(*test), sgd.score_last(*test)):
            assert lbfgs.interval[0] < score.accuracy < lbfgs.interval[1]
            assert score.interval[0] < lbfgs.accuracy < score.interval[1]
        # Neither is trivially right: classes overlap, and chance is 0.17.
        assert 0.5 < lbfgs.accuracy < 0.95

    def test_last_and_best_epoch(self, make_features):
        h, y = make_features(0, 60, gap=0.3)
        probe = SGDProbe(SGDConfig(epochs=25, learning_rate=0.1, schedule="constant")).fit(h, y)
        with pytest.raises(ValueError, match="none selected"):
            probe.score(h, y)
        last = probe.score_last(h, y)  # a single rate needs no validation
        assert last.setting == {"learning_rate": 0.1, "epoch": 24.0}
        probe.select(*make_features(1, 500, gap=0.3))
        best = probe.score(*make_features(1, 500, gap=0.3), split="val")
        assert best.accuracy == max(probe.curve_) >= probe.curve_[-1]

    def test_rates_are_swept_and_each_is_as_alone(self, make_features):
        h, y = make_features(0, 100)
        both = SGDProbe(SGDConfig(epochs=3, learning_rate=(0.01, 0.1))).fit(h, y)
        alone = SGDProbe(SGDConfig(epochs=3, learning_rate=0.1)).fit(h, y)
        assert torch.equal(both.candidates_[5], alone.candidates_[2])
        with pytest.raises(ValueError, match="none selected"):
            both.score_last(h, y)
        assert both.select(h, y).score_last(h, y).setting["epoch"] == 2.0

    def test_schedules_equal_the_formulas_of_the_papers_code(self):
        cosine = sgd_preset("paper/generated")
        assert (cosine.epochs, cosine.learning_rate, cosine.batch_size) == (60, 2.0, 256)
        low = 2.0 * 0.2**3
        for epoch in range(1, 61):  # util.adjust_learning_rate counts from 1
            wanted = low + (2.0 - low) * (1 + math.cos(math.pi * epoch / 60)) / 2
            assert cosine.rate(epoch - 1, 2.0) == pytest.approx(wanted)
        code = sgd_preset("code")
        rates = [code.rate(epoch - 1, 0.06) for epoch in (60, 61, 75, 76, 90, 91, 100)]
        assert rates == pytest.approx([0.06, *[0.012] * 2, *[0.0024] * 2, *[0.00048] * 2])
        assert all(a >= b for a, b in pairwise(cosine.rate(e, 2.0) for e in range(60)))
        assert (sgd_preset("paper/real").learning_rate, sgd_preset("paper/cars").epochs) == (
            0.3,
            100,
        )
        with pytest.raises(ValueError, match="did you mean 'paper/real'"):
            sgd_preset("paper/reel")

    def test_more_outputs_than_classes(self, make_features):
        h, y = make_features(0, 300)
        probe = SGDProbe(SGDConfig(epochs=10, learning_rate=0.01, outputs=1000)).fit(h, y)
        assert probe.candidates_[-1].shape == (1000, 11)
        assert probe.score_last(h, y).accuracy > 0.6
        with pytest.raises(ValueError, match="outputs: expected an integer of at least 4"):
            SGDProbe(SGDConfig(outputs=3)).fit(h, y)

    def test_features_of_each_epoch(self, make_features):
        h, y = make_features(0, 100)
        asked = []

        def features(epoch: int):
            asked.append(epoch)
            return h + epoch

        probe = SGDProbe(SGDConfig(epochs=4, learning_rate=(0.01, 0.02))).fit_epochs(features, y)
        assert asked == [0, 1, 2, 3]
        constant = SGDProbe(SGDConfig(epochs=4, learning_rate=(0.01, 0.02))).fit(h, y)
        assert torch.equal(probe.candidates_[0], constant.candidates_[0])
        assert not torch.equal(probe.candidates_[1], constant.candidates_[1])

    def test_too_high_a_rate_is_told(self, make_features):
        with pytest.raises(ValueError, match=r"loss of the probe in epoch \d+ at .*: .* lower it"):
            SGDProbe(SGDConfig(learning_rate=1e38)).fit(*make_features(0, 100))


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
@pytest.mark.parametrize("probe", [KNNProbe((10,)), LinearProbe((1.0,))], ids=["knn", "linear"])
def test_answers_do_not_hang_on_the_unit_of_features(make_features, probe, scale):
    (h, y), (h2, _) = make_features(0, 90), make_features(1, 40)
    wanted = probe.fit(h, y).predict(h2)
    assert torch.equal(probe.fit(h * scale, y).predict(h2 * scale), wanted)


class TestKNN:
    @pytest.mark.parametrize("temperature", [0.07, 1.0])
    def test_is_the_naive_loop(self, make_features, temperature):
        (h, y), (h2, _) = make_features(0, 150), make_features(1, 40)
        probe = KNNProbe((1, 20, 150), temperature=temperature).fit(h.double(), y)
        found = probe._predict(h2.double(), range(3))
        for column, x in enumerate(h2.double()):
            cosines = [float(x @ row / (x.norm() * row.norm())) for row in h.double()]
            near = sorted(range(150), key=lambda i: -cosines[i])
            for index, k in enumerate((1, 20, 150)):
                votes = [0.0] * 4
                for i in near[:k]:
                    votes[int(y[i])] += math.exp(cosines[i] / temperature)
                assert int(found[index, column]) == votes.index(max(votes))

    def test_is_sklearns(self, make_features):
        (h, y), (h2, _) = make_features(0, 300), make_features(1, 100)
        oracle = KNeighborsClassifier(
            25, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
        ).fit(h.double(), y)
        ours = KNNProbe((25,)).fit(h.double(), y).predict(h2.double())
        assert torch.equal(ours, torch.as_tensor(oracle.predict(h2.double())))

    def test_chunks_change_nothing(self, make_features, monkeypatch):
        (h, y), (h2, _) = make_features(0, 300), make_features(1, 100)
        probe = KNNProbe((20,)).fit(h, y)
        whole = probe.predict(h2)
        monkeypatch.setattr("genviews.evaluate.probe._ELEMENTS", 300 * 7)
        assert torch.equal(probe.predict(h2), whole)

    def test_too_few_rows(self, make_features):
        with pytest.raises(
            ValueError, match="neighbours: expected an integer of at least 1 and at most 100"
        ):
            KNNProbe().fit(*make_features(0, 100))


@pytest.mark.parametrize(
    ("tries", "told"),
    [
        (probe_encoder, "three decades"),
        (LinearProbe, "Nine decades by default"),
        (MultiLabelSVM, "The authors' 26 by default"),
    ],
)
def test_the_docs_tell_how_many_costs_are_tried(tries, told):
    costs = inspect.signature(tries).parameters["costs"].default
    assert len(costs) == {"three": 3, "Nine": 9, "The": 26}[told.split()[0]]
    assert told in " ".join(tries.__doc__.split())
    if "decades" in told:
        assert np.diff(np.log10(costs)) == pytest.approx(1)
