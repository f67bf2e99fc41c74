"""Objectives against loops in float64, closed forms, laws, and the authors' own loss."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.reference_genrep import VARIABLE, load_losses
from genviews.represent.losses import (
    ClassPrediction,
    Decoupled,
    LatentPrediction,
    MultiPositive,
    NTXent,
    SupCon,
    VICReg,
)
from tests.represent.naive_losses import contrastive, cross_entropy, random_units, vicreg

LABELS = torch.tensor([0, 1, 0, 2, 1, 3])

# Objective -> views, and the arguments of the naive loss.
CONTRASTIVE = [
    (NTXent(), 2, {"base": 0.07}),
    (NTXent(base_temperature=None, temperature=0.5), 2, {"temperature": 0.5}),
    (
        NTXent(similarity="multiply", anchors="first", base_temperature=None, temperature=2.0),
        2,
        {"temperature": 2.0, "multiply": True, "first_only": True},
    ),
    (SupCon(), 2, {"base": 0.07}),
    (SupCon(anchors="first", temperature=0.2), 3, {"base": 0.07, "temperature": 0.2}),
    (MultiPositive(), 4, {}),
    (MultiPositive(base_temperature=0.07), 2, {"base": 0.07}),
    (Decoupled(), 2, {"decoupled": True}),
    (Decoupled(temperature=0.3), 3, {"decoupled": True, "temperature": 0.3}),
]


def targets(objective):
    return LABELS if "labels" in objective.needs else None


class TestContrastive:
    @pytest.mark.parametrize(("objective", "views", "naive"), CONTRASTIVE, ids=repr)
    def test_equals_the_naive_loop(self, objective, views, naive):
        u = random_units(6, views, 5)
        groups = LABELS.tolist() if "labels" in objective.needs else range(6)
        wanted = contrastive(
            u,
            groups,
            first_only=objective.anchors == "first",
            **{k: v for k, v in naive.items() if k != "first_only"},
        )
        assert objective(u, targets(objective)).item() == pytest.approx(wanted, abs=1e-9)
        assert objective(u.float(), targets(objective)).item() == pytest.approx(wanted, abs=1e-5)

    def test_value_at_the_start(self):
        same = torch.zeros(256, 2, 128)
        same[..., 0] = 1
        assert NTXent()(same).item() == pytest.approx(0.1 / 0.07 * math.log(511), abs=1e-5)
        assert NTXent()(same).item() == pytest.approx(8.909, abs=5e-4)
        assert NTXent(base_temperature=None)(same).item() == pytest.approx(math.log(511), abs=1e-5)

    def test_multipositive_of_two_views_is_ntxent(self):
        u = random_units(6, 2, 5)
        torch.testing.assert_close(MultiPositive()(u), NTXent(base_temperature=None)(u))

    def test_supcon_of_different_labels_is_ntxent(self):
        u = random_units(6, 2, 5)
        torch.testing.assert_close(SupCon()(u, torch.arange(6)), NTXent()(u))

    def test_decoupling_takes_the_positive_out_of_the_denominator(self):
        """With the same positive as negatives, ln(2B - 1) becomes ln(2B - 2)."""
        same = torch.ones(8, 2, 1)
        assert Decoupled()(same).item() == pytest.approx(math.log(14), abs=1e-5)

    def test_large_similarities_do_not_overflow(self):
        u = random_units(6, 2, 5).float()
        assert torch.isfinite(NTXent(temperature=1e-3)(u))

    @pytest.mark.parametrize("factor", [0.9, 1.1, math.nan])
    def test_rows_that_are_not_of_length_1(self, factor):
        u = random_units(4, 2, 5)
        u[2, 1] *= factor
        with pytest.raises(ValueError, match=r"projections: expected rows of length 1"):
            NTXent()(u)

    def test_no_positives(self):
        with pytest.raises(ValueError, match=r"2 of 6 anchors without a positive"):
            SupCon()(random_units(6, 1, 5), LABELS)

    def test_one_sample_has_nothing_to_contrast_with(self):
        with pytest.raises(ValueError, match="anchors with nothing but positives"):
            Decoupled()(random_units(1, 2, 5))

    @pytest.mark.parametrize(
        ("objective", "views", "message"),
        [
            (NTXent(), 3, r"of a sample: expected 2, got 3; .* for more views use MultiPositive"),
            (NTXent(), 1, r"of a sample: expected 2, got 1"),
            (MultiPositive(), 1, r"of a sample: expected .* at least 2, got 1"),
            (Decoupled(), 1, r"of a sample: expected .* at least 2, got 1"),
        ],
    )
    def test_number_of_views(self, objective, views, message):
        with pytest.raises(ValueError, match=message):
            objective(random_units(4, views, 5))

    def test_missing_labels(self):
        with pytest.raises(ValueError, match=r"labels for SupCon: expected one for each of the 6"):
            SupCon()(random_units(6, 2, 5))

    @pytest.mark.parametrize("change", [{"temperature": 0.0}, {"base_temperature": -1.0}])
    def test_fields_are_checked(self, change):
        with pytest.raises(ValueError, match=next(iter(change))):
            replace(NTXent(), **change)


class TestVICReg:
    def test_equals_the_naive_loop(self):
        u = torch.randn(7, 2, 4, dtype=torch.float64) * 0.7
        wanted = vicreg(u[:, 0], u[:, 1])
        found = {k: v.item() for k, v in VICReg().terms(u).items()}
        assert found == pytest.approx(wanted, abs=1e-9)
        assert min(wanted.values()) > 0.01
        assert VICReg()(u).item() == pytest.approx(sum(wanted.values()), abs=1e-9)

    def test_more_views_are_the_mean_over_pairs(self):
        u = torch.randn(7, 3, 4, dtype=torch.float64)
        pairs = [VICReg()(u[:, list(p)]) for p in ((0, 1), (0, 2), (1, 2))]
        torch.testing.assert_close(VICReg()(u), sum(pairs) / 3)

    @pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 3)])
    def test_too_few(self, shape):
        with pytest.raises(
            ValueError, match=r"of a VICReg batch: expected an integer of at least 2, got 1"
        ):
            VICReg()(torch.zeros(shape))

    def test_negative_weight(self):
        with pytest.raises(ValueError, match=r"weight of covariance: .* of at least 0"):
            VICReg(covariance=-1.0)


class TestPrediction:
    def test_latent_and_class_equal_the_naive_loop(self):
        u, z = torch.randn(4, 2, 5).double(), torch.randn(4, 2, 3).double()
        y = torch.tensor([1, 0, 0, 1])
        objective = LatentPrediction(z_dim=3, num_classes=2, z_weight=2.0, y_weight=0.5)
        square = sum(
            (float(u[b, v, k]) - float(z[b, v, k])) ** 2
            for b in range(4)
            for v in range(2)
            for k in range(3)
        )
        cross = sum(cross_entropy(u[b, v, 3:], int(y[b])) for b in range(4) for v in range(2))
        wanted = {"z": 2.0 * square / 24, "y": 0.5 * cross / 8}
        found = {k: v.item() for k, v in objective.terms(u, y, z).items()}
        assert found == pytest.approx(wanted, abs=1e-9)
        assert objective.needs == ("z", "labels")

    def test_without_classes_labels_are_not_needed(self):
        objective = LatentPrediction(z_dim=3)
        assert objective.needs == ("z",)
        u = torch.zeros(4, 1, 3)
        assert objective(u, None, torch.ones(4, 3)).item() == 1.0

    def test_the_anchor_latent_for_two_views_is_refused(self):
        """The authors' script pairs the image of a neighbour with the latent of its anchor."""
        with pytest.raises(ValueError, match=r"a latent for each view: expected shape \(4, 2, 3\)"):
            LatentPrediction(z_dim=3)(torch.zeros(4, 2, 3), None, torch.zeros(4, 3))

    def test_missing_latents(self):
        with pytest.raises(ValueError, match="z for LatentPrediction: expected one for each"):
            LatentPrediction(z_dim=3)(torch.zeros(4, 1, 3))

    def test_each_view_counts_with_its_own_latent(self):
        """Swapping the latents of two views changes the loss, swapping both views does not."""
        u, z = torch.randn(4, 2, 3), torch.randn(4, 2, 3)
        objective = LatentPrediction(z_dim=3)
        torch.testing.assert_close(objective(u.flip(1), None, z.flip(1)), objective(u, None, z))
        assert not torch.isclose(objective(u, None, z.flip(1)), objective(u, None, z))

    def test_classes_equal_the_naive_loop(self):
        u, y = torch.randn(4, 2, 3).double(), torch.tensor([2, 0, 1, 2])
        wanted = sum(cross_entropy(u[b, v], int(y[b])) for b in range(4) for v in range(2)) / 8
        assert ClassPrediction(num_classes=3)(u, y).item() == pytest.approx(wanted, abs=1e-9)

    def test_label_out_of_range(self):
        with pytest.raises(ValueError, match=r"classes in \[0, 3\), got 0 to 3"):
            ClassPrediction(num_classes=3)(torch.zeros(2, 1, 3), torch.tensor([0, 3]))

    def test_width(self):
        with pytest.raises(ValueError, match=r"expected 5 wide, as what is predicted, got 4"):
            LatentPrediction(z_dim=3, num_classes=2)(
                torch.zeros(2, 1, 4), torch.zeros(2).long(), torch.zeros(2, 3)
            )


needs_checkout = pytest.mark.skipif(
    VARIABLE not in os.environ, reason=f"{VARIABLE} names no GenRep checkout"
)


@pytest.fixture(scope="module")
def reference():
    return load_losses(Path(os.environ[VARIABLE]))


@needs_checkout
class TestReference:
    """The authors' losses.py on random inputs."""

    @pytest.mark.parametrize("labelled", [False, True])
    @pytest.mark.parametrize(("mode", "anchors"), [("all", "all"), ("one", "first")])
    @pytest.mark.parametrize("temperature", [0.1, 0.5])
    def test_contrastive(self, reference, labelled, mode, anchors, temperature):
        u = random_units(32, 2, 16, seed=3).requires_grad_()
        theirs = reference.SupConLoss(temperature=temperature, contrast_mode=mode)
        y = torch.arange(32) % 5 if labelled else None
        kind = SupCon if labelled else NTXent
        ours = kind(temperature=temperature, anchors=anchors)
        wanted, got = theirs(u, y), ours(u, y)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6, check_dtype=False)
        (wanted_slope,) = torch.autograd.grad(wanted, u)
        (slope,) = torch.autograd.grad(got, u)
        torch.testing.assert_close(slope, wanted_slope, rtol=0, atol=1e-6)

    def test_more_views(self, reference):
        u = random_units(8, 3, 16)
        wanted = reference.SupConLoss(temperature=0.1, base_temperature=0.1)(u)
        torch.testing.assert_close(MultiPositive()(u), wanted, rtol=0, atol=1e-6)

    def test_inverter(self, reference):
        u, z, y = torch.randn(8, 1, 14), torch.randn(8, 4), torch.arange(8)
        wanted = reference.SupInverterLoss()([u[:, 0, :4], u[:, 0, 4:]], z, y)[0]
        got = LatentPrediction(z_dim=4, num_classes=10)(u, y, z)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-6)

    def test_inverter_without_classes(self, reference):
        u, z = torch.randn(8, 1, 4), torch.randn(8, 4)
        wanted = reference.UnsupInverterLoss()(u[:, 0], z)
        torch.testing.assert_close(LatentPrediction(z_dim=4)(u, None, z), wanted, rtol=0, atol=1e-6)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a folder with losses\.py"):
        load_losses(tmp_path)
