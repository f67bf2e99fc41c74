"""Probes of an encoder against scikit-learn on the same features, splits kept apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from torch import nn

from genviews.data.images import ImageSet
from genviews.evaluate.encoders import ProbeData, probe_encoder
from genviews.evaluate.extractor import FeatureExtractor
from genviews.rng import Rng

COSTS = (0.01, 0.1, 1.0, 10.0)


def images(name, count, classes=3, size=8):
    """Noisy pictures, brighter by class in another quarter of the image."""
    labels = torch.arange(count) % classes
    pixels = 0.6 * Rng(2, name).streams(range(count)).normal(1, (1, size, size))[:, 0]
    for i, label in enumerate(labels.tolist()):
        pixels[i, :, 4 * (label // 2) :, 4 * (label % 2) :][:, :4, :4] += 0.4
    return ImageSet(
        images=pixels.clamp(-1, 1),
        ids=tuple(f"{name}/{i}" for i in range(count)),
        labels=labels,
        class_names=tuple("abcde"[:classes]),
    )


def splits(train=120, val=90, test=150):
    return {name: images(name, n) for name, n in (("train", train), ("val", val), ("test", test))}


@pytest.fixture
def extractor():
    torch.manual_seed(0)
    return FeatureExtractor(nn.Sequential(nn.Conv2d(1, 6, 4, 2), nn.ReLU(), nn.Flatten()))


class TestProbeEncoder:
    def test_is_sklearn_with_the_setting_that_is_best_on_val(self, extractor):
        data = ProbeData(**splits())
        scores = probe_encoder(extractor, data)
        h = {k: extractor(v.images).double().numpy() for k, v in data.splits().items()}
        y = {k: v.labels.numpy() for k, v in data.splits().items()}
        scaler = StandardScaler().fit(h["train"])
        x = {k: scaler.transform(v) for k, v in h.items()}
        linear = [
            LogisticRegression(C=c, tol=1e-10, solver="newton-cg", max_iter=1000) for c in COSTS
        ]
        near = [
            KNeighborsClassifier(
                k, metric="cosine", algorithm="brute", weights=lambda d: np.exp((1 - d) / 0.07)
            )
            for k in (10, 20, 50)
        ]
        for name, models, features in (("linear", linear, x), ("knn", near, h)):
            val = [
                m.fit(features["train"], y["train"]).score(features["val"], y["val"])
                for m in models
            ]
            best = models[int(np.argmax(val))]
            score = {"linear": scores.linear, "knn": scores.knn}[name]
            wanted = best.C if name == "linear" else best.n_neighbors
            assert list(score.setting.values()) == [wanted]
            assert scores.val[name] == pytest.approx(max(val), abs=1.5 / 90)
            answers = scores.answers[name]
            # At the looser tolerance an image on a border may change sides.
            assert int((answers.numpy() != best.predict(features["test"])).sum()) <= 1
            assert score.accuracy == float((answers == data.test.labels).double().mean())
            assert score.splits == {"fit": "train", "select": "val", "score": "test"}
            assert 0.5 < score.accuracy < 1

    def test_labels_of_test_change_scores_alone(self, extractor):
        parts = splits()
        scores = probe_encoder(extractor, ProbeData(**parts))
        other = replace(parts["test"], labels=parts["test"].labels.flip(0))
        shuffled = probe_encoder(extractor, ProbeData(**{**parts, "test": other}))
        for name in ("linear", "knn"):
            assert torch.equal(shuffled.answers[name], scores.answers[name])
        assert shuffled.val == scores.val
        assert shuffled.linear.setting == scores.linear.setting
        assert shuffled.linear.hits != scores.linear.hits

    @pytest.mark.parametrize(("train", "wanted"), [(12, {10.0}), (6, {6.0}), (30, {10.0, 20.0})])
    def test_neighbours_of_a_small_train_split(self, extractor, train, wanted):
        scores = probe_encoder(extractor, ProbeData(**splits(train=train)))
        assert scores.knn.setting["neighbours"] in wanted

    def test_given_candidates(self, extractor):
        scores = probe_encoder(extractor, ProbeData(**splits()), costs=(0.5,), neighbours=(7,))
        assert scores.linear.setting == {"cost": 0.5}
        assert scores.knn.setting == {"neighbours": 7.0}


class TestProbeData:
    def test_splits_in_order(self):
        parts = splits(6, 7, 8)
        data = ProbeData(**parts)
        assert list(data.splits().items()) == list(parts.items())

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"val": replace(images("val", 6), labels=None)}, r"got \['val'\] without labels"),
            ({"test": images("test", 6, classes=4)}, "2 kinds of images or classes"),
            ({"val": images("val", 6, size=16)}, "2 kinds of images or classes"),
            ({"test": images("train", 4)}, "4 ids twice"),
            (
                {"train": replace(images("train", 6), split="test")},
                "fit probes on: .*test",
            ),
            (
                {"val": replace(images("val", 6), split="test")},
                "settings on: .*test",
            ),
        ],
        ids=["labels", "classes", "size", "ids", "train", "val"],
    )
    def test_splits_that_do_not_fit(self, changes, message):
        with pytest.raises(ValueError, match=message):
            ProbeData(**{**splits(6, 6, 6), **changes})
