"""Monitors against scipy, scikit-learn, numpy and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import entropy
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.monitor import OnlineKNN, alignment, rankme, uniformity


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


class TestCollapse:
    def test_alignment_equals_a_loop(self):
        u = torch.randn(5, 3, 4)
        rows = unit(u.double().numpy())
        wanted = np.mean(
            [
                ((rows[b, v] - rows[b, w]) ** 2).sum()
                for b in range(5)
                for v in range(3)
                for w in range(v)
            ]
        )
        assert alignment(u) == pytest.approx(wanted, abs=1e-9)

    def test_uniformity_equals_scipy(self):
        u = torch.randn(20, 4)
        wanted = np.log(np.exp(-2 * pdist(unit(u.double().numpy()), "sqeuclidean")).mean())
        assert uniformity(u) == pytest.approx(wanted, abs=1e-9)

    def test_rankme_equals_scipys_entropy(self):
        h = torch.randn(30, 8) * torch.logspace(0, -3, 8)
        sigma = np.linalg.svd(h.double().numpy(), compute_uv=False)
        assert rankme(h) == pytest.approx(np.exp(entropy(sigma)), rel=1e-5)

    def test_collapse(self):
        same = torch.ones(16, 2, 8)
        assert alignment(same) == 0.0
        assert uniformity(same[:, 0]) == pytest.approx(0.0, abs=1e-12)
        assert rankme(same.flatten(0, 1)) == pytest.approx(1.0, abs=1e-4)
        assert rankme(torch.zeros(4, 3)) == pytest.approx(1.0, abs=1e-4)

    def test_directions_that_are_spread_evenly(self):
        """Orthonormal rows: every pair is at a squared distance of 2, and the rank is full."""
        assert uniformity(torch.eye(6)) == pytest.approx(-4.0)
        assert rankme(torch.eye(6)) == pytest.approx(6.0, rel=1e-4)

    def test_too_few(self):
        with pytest.raises(ValueError, match=r"views for alignment: .* at least 2"):
            alignment(torch.zeros(3, 1, 2))
        with pytest.raises(ValueError, match=r"rows for uniformity: .* at least 2"):
            uniformity(torch.zeros(1, 2))


def flat_encoder():
    config = RepresentationConfig(backbone="custom", channels=1, features=16)
    return RepresentationEncoder(config, nn.Flatten())


class TestOnlineKNN:
    def data(self, count, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(3, (count,), generator=generator)
        centres = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(9))
        noise = torch.randn(count, 1, 4, 4, generator=generator)
        return centres[labels] + 2 * noise, labels

    def test_equals_sklearn(self):
        (bank, bank_y), (queries, query_y) = self.data(120, 1), self.data(80, 2)
        knn = OnlineKNN(
            bank=bank, bank_labels=bank_y, queries=queries, query_labels=query_y, neighbours=9
        )
        theirs = KNeighborsClassifier(
            9, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07)
        ).fit(bank.flatten(1).numpy(), bank_y.numpy())
        wanted = theirs.score(queries.flatten(1).numpy(), query_y.numpy())
        assert 0.4 < wanted < 1.0
        assert knn(flat_encoder()) == pytest.approx(wanted)

    def test_collapsed_features_give_the_share_of_the_commonest_class(self):
        encoder = flat_encoder()
        encoder.backbone = nn.Sequential(nn.Flatten(), nn.Linear(16, 16))
        nn.init.zeros_(encoder.backbone[1].weight)
        x = torch.randn(10, 1, 4, 4)
        y, q = torch.tensor([0] * 4 + [1] * 6), torch.tensor([1] * 3 + [0] * 7)
        knn = OnlineKNN(bank=x, bank_labels=y, queries=x, query_labels=q, neighbours=3)
        assert knn(encoder) == pytest.approx(0.3)

    def test_diverged_features_are_an_error(self):
        x, y = torch.full((10, 1, 4, 4), math.nan), torch.arange(10) % 2
        knn = OnlineKNN(bank=x, bank_labels=y, queries=x, query_labels=y, neighbours=3)
        with pytest.raises(
            ValueError, match=r"expected finite .* lower the learning rate, lr \(--lr"
        ):
            knn(flat_encoder())

    def test_it_leaves_the_encoder_as_it_was(self):
        encoder = RepresentationEncoder(RepresentationConfig(channels=1)).train()
        before = {k: v.clone() for k, v in encoder.state_dict().items()}
        x, y = torch.randn(6, 1, 8, 8), torch.arange(6) % 2
        OnlineKNN(bank=x, bank_labels=y, queries=x, query_labels=y, neighbours=2)(encoder)
        assert all(part.training for part in encoder.modules())
        assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())

    def test_fewer_images_than_neighbours(self):
        x, y = torch.zeros(10, 1, 4, 4), torch.zeros(10, dtype=torch.long)
        with pytest.raises(ValueError, match="bank images: expected an integer of at least 11"):
            OnlineKNN(bank=x, bank_labels=y, queries=x, query_labels=y, neighbours=11)
