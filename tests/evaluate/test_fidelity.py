"""Distances of sets of features against closed forms, scipy and naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from genviews.data.pixels import StoredPixels
from genviews.evaluate.extractor import FeatureExtractor, extract_features
from genviews.evaluate.fidelity import (
    GeneratedSource,
    _squared_distances,
    frechet_distance,
    frechet_inception_distance,
    kernel_inception_distance,
    measure_fidelity,
    moments,
    precision_recall_manifolds,
)
from genviews.generators.callable import CallableGenerator
from genviews.rng import Rng


def sets(num=40, others=30, width=5, shift=0.4, scale=1.3):
    draw = torch.Generator().manual_seed(0)
    real = torch.randn(num, width, generator=draw) @ torch.randn(width, width, generator=draw)
    other = scale * torch.randn(others, width, generator=draw) + shift
    return real, other


class TestFID:
    def test_diagonal_gaussians_in_closed_form(self):
        draw = torch.Generator().manual_seed(1)
        a, b = torch.rand(2, 6, generator=draw, dtype=torch.float64) * 3
        m, n = torch.randn(2, 6, generator=draw, dtype=torch.float64)
        wanted = ((m - n) ** 2).sum() + ((a.sqrt() - b.sqrt()) ** 2).sum()
        assert frechet_distance(m, a.diag(), n, b.diag()) == pytest.approx(float(wanted))

    @pytest.mark.parametrize("num", [40, 4])  # 4 rows of 5 features: a singular covariance
    def test_is_scipys_matrix_root(self, num):
        real, other = sets(num)
        a, b = real.double().numpy(), other.double().numpy()
        left, right = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        # Shifted a little, as the published code does where the product is singular.
        offset = 1e-10 * np.eye(5) if num == 4 else 0
        root = np.trace(sqrtm((left + offset) @ (right + offset)).real)
        wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(left + right) - 2 * root
        assert frechet_inception_distance(real, other) == pytest.approx(wanted, rel=1e-5)

    def test_moments_are_numpys_in_chunks(self):
        # More than are added up at once; float32 sums of squares would lose the covariance.
        real = sets(9_001)[0] + 1000
        mean, covariance = moments(real)
        np.testing.assert_allclose(mean, real.double().numpy().mean(0))
        np.testing.assert_allclose(covariance, np.cov(real.double().numpy(), rowvar=False))

    def test_same_set_is_zero_and_symmetric(self):
        real, other = sets()
        assert frechet_inception_distance(real, real.flip(0)) == pytest.approx(0, abs=1e-9)
        # Fewer images than features: the covariance is singular, and its round-off is not rooted.
        few = 30 * torch.randn(20, 200, generator=torch.Generator().manual_seed(0)) + 5
        assert 0 <= frechet_inception_distance(few, few.flip(0)) < 1e-6
        there, back = (frechet_inception_distance(*p) for p in ((real, other), (other, real)))
        assert there == pytest.approx(back)


def naive_mmd(x, y) -> float:
    def k(a, b):
        return (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) + 1) ** 3

    n, m = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


class TestKID:
    def test_whole_sets_are_the_naive_loop(self):
        real, other = sets(25, 25)
        found, deviation = kernel_inception_distance(real, other, subsets=3)
        wanted = naive_mmd(real.double().tolist(), other.double().tolist())
        assert found == pytest.approx(wanted, rel=1e-9)
        assert deviation == pytest.approx(0, abs=1e-9)  # every subset is the whole set

    def test_subsets_are_drawn_and_averaged(self):
        real, other = sets()
        found = kernel_inception_distance(real, other, subsets=4, subset_size=12, seed=7)
        values = []
        for index in range(4):
            draw = Rng(7, "KID").child(str(index)).numpy()
            x, y = (
                h[draw.choice(len(h), 12, replace=False)].double().tolist() for h in (real, other)
            )
            values.append(naive_mmd(x, y))
        assert found == pytest.approx((np.mean(values), np.std(values)))
        assert found != kernel_inception_distance(real, other, subsets=4, subset_size=12, seed=8)

    def test_unbiased(self):
        """Over many pairs of sets from one distribution the mean is zero: some are negative."""
        draw = torch.Generator().manual_seed(2)
        found = [
            kernel_inception_distance(*torch.randn(2, 20, 4, generator=draw), subsets=1)[0]
            for _ in range(60)
        ]
        assert min(found) < 0
        assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(60)

    def test_subset_size_is_checked(self):
        with pytest.raises(ValueError, match=r"subset_size: expected .* at most 30, got 31"):
            kernel_inception_distance(*sets(), subset_size=31)


def naive_precision(rows, centres, k) -> float:
    rows, centres = rows.double(), centres.double()
    hits = 0
    for row in rows:
        for i, centre in enumerate(centres):
            others = sorted(
                float((centre - c).square().sum()) for j, c in enumerate(centres) if j != i
            )
            if float((row - centre).square().sum()) <= others[k - 1]:
                hits += 1
                break
    return hits / len(rows)


class TestPrecisionRecall:
    @pytest.mark.parametrize("k", [1, 3, 5])
    def test_is_brute_force(self, k):
        real, other = sets(24, 20, scale=1.5, shift=0.8)
        found = precision_recall_manifolds(real, other, neighbours=k)
        assert found == (naive_precision(other, real, k), naive_precision(real, other, k))
        assert 0 < found[0] < 1
        assert 0 < found[1] < 1

    def test_in_parts_it_is_the_same(self):
        """More rows than are compared at once, in distances of torch's own."""
        real, other = (part.double() for part in sets(4_200, 100, scale=1.5, shift=0.8))

        def share(rows, centres):
            nearest = torch.cdist(centres, centres).topk(4, largest=False).values
            radii = nearest[:, -1]  # of 3 neighbours: the first is the centre itself
            return float((torch.cdist(rows, centres) <= radii).any(1).double().mean())

        found = precision_recall_manifolds(real, other, neighbours=3)
        assert found == pytest.approx((share(other, real), share(real, other)), abs=1e-3)
        assert 0 < found[0] < 1
        assert 0 < found[1] < 1

    def test_collapsed_generator_is_precise_without_recall(self):
        real = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        collapsed = real[:1] + 1e-3 * torch.randn(50, 3, generator=torch.Generator().manual_seed(1))
        precision, recall = precision_recall_manifolds(real, collapsed)
        assert precision == 1.0
        assert recall < 0.02

    def test_far_away(self):
        real, other = sets()
        assert precision_recall_manifolds(real, other + 100) == (0.0, 0.0)

    def test_equal_rows_are_at_distance_zero(self):
        """Lengths and products round differently; the ball around copies has no size."""
        rows = 1e3 * torch.randn(37, 100, generator=torch.Generator().manual_seed(0)) + 1e4
        found = _squared_distances(rows, rows)
        assert bool((found.diagonal() == 0).all())
        wanted = (rows.double()[:, None] - rows.double()).square().sum(2)
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-6)


class TestReport:
    def test_holds_the_four(self):
        real, other = sets()
        report = measure_fidelity(real, other, subsets=5, subset_size=10, seed=3)
        assert report.fid == frechet_inception_distance(real, other)
        kid = kernel_inception_distance(real, other, subsets=5, subset_size=10, seed=3)
        assert (report.kid, report.kid_deviation) == kid
        assert (report.precision, report.recall) == precision_recall_manifolds(real, other)
        assert (report.num_real, report.num_generated) == (40, 30)

    def test_refusals(self):
        real, other = sets()
        with pytest.raises(ValueError, match=r"same width, and at least 2 rows"):
            frechet_inception_distance(real, other[:1])
        with pytest.raises(ValueError, match="at least 4 rows each"):
            precision_recall_manifolds(real, other[:3])
        with pytest.raises(ValueError, match="features of generated images: expected rows that"):
            measure_fidelity(real, torch.ones(9, 5))
        with pytest.raises(ValueError, match="features of real images: expected finite"):
            measure_fidelity(real / 0, other)


class TestGeneratedSource:
    def test_an_image_depends_on_seed_and_id_alone(self, toy):
        source = GeneratedSource(toy, 10, seed=3, batch_size=3)
        whole = source.read(range(10))
        torch.testing.assert_close(source.read([7, 2]).images, whole.images[[7, 2]])
        assert whole.images.abs().max() <= 1
        assert not torch.equal(
            GeneratedSource(toy, 10, seed=4).read(range(10)).images, whole.images
        )
        streams = Rng(3, "generated source").streams(source.ids)
        wanted = toy.synthesize(toy.map(toy.sample(streams))).clamp(-1, 1)
        torch.testing.assert_close(whole.images, wanted.detach().float().cpu())

    def test_overshoot_is_clamped_as_in_a_file(self, toy):
        class Loud(type(toy)):
            def synthesize(self, latents, label=None):
                return 4 * super().synthesize(latents)

        loud = Loud().to(toy.device).eval()
        pixels = GeneratedSource(loud, 5).read(range(5)).images
        assert (pixels.min(), pixels.max()) == (-1, 1)
        quiet = GeneratedSource(toy, 5).read(range(5)).images
        torch.testing.assert_close(pixels, (4 * quiet).clamp(-1, 1))

    def test_fingerprint_knows_weights_seed_and_truncation(self, toy):
        sources = [
            GeneratedSource(toy, 4),
            GeneratedSource(toy, 5),
            GeneratedSource(toy, 4, seed=1),
            GeneratedSource(toy, 4, psi=0.5),
        ]
        prints = [s.fingerprint() for s in sources]
        with torch.no_grad():
            next(iter(toy.buffers() if not list(toy.parameters()) else toy.parameters())).mul_(0.9)
        assert len({*prints, sources[0].fingerprint()}) == 5

    @pytest.mark.parametrize(
        "way", [lambda s: s, lambda s: s.select(range(3)), lambda s: s.as_split("test")]
    )
    @pytest.mark.parametrize("kept", ["features", "pixels"])
    def test_code_behind_a_name_is_not_taken_for_what_it_was(self, kept, way, tmp_path):
        factor = {"of z": 1.0}

        def sample(z):
            return (factor["of z"] * z).tanh().reshape(-1, 1, 2, 2)

        def read():
            source = way(GeneratedSource(CallableGenerator(sample, z_dim=4), 5))
            if kept == "pixels":
                return StoredPixels(source, tmp_path)
            return extract_features(FeatureExtractor(torch.nn.Flatten()), source, folder=tmp_path)

        assert len(read()) == len(read())
        factor["of z"] = -1.0
        with pytest.raises(ValueError, match="it now renders other images"):
            read()

    def test_truncated_generator_is_precise_and_narrow(self, toy):
        extract = FeatureExtractor(torch.nn.Flatten())
        real, whole, narrow = (
            extract_features(extract, GeneratedSource(toy, 300, seed=s, psi=p)).h
            for s, p in ((0, 1.0), (1, 1.0), (2, 0.3))
        )
        good, bad = (measure_fidelity(real, h, subsets=5, subset_size=200) for h in (whole, narrow))
        assert bad.fid > good.fid
        assert bad.kid > good.kid
        assert bad.recall < 0.5 * good.recall
        assert bad.precision > good.precision
