"""The cutoff grid has the ordinary sweep and the plain classifier as its two edges."""

from __future__ import annotations

import pytest
import torch

from genviews.ensemble.cutoff import cutoff_grid, cutoff_thresholds
from genviews.ensemble.weigh import Ensemble, mix


def test_edges_and_one_cell_by_hand(make_bank):
    bank, ensemble = make_bank(), Ensemble("fine")
    loss = torch.rand(40, generator=torch.Generator().manual_seed(3))
    thresholds = cutoff_thresholds(loss, [0.0, 0.3, 1.0])
    grid = cutoff_grid(ensemble, bank, loss, thresholds)
    assert grid.shape == (3, 21)
    assert torch.equal(grid[0], torch.full((21,), bank.accuracy(), dtype=torch.float64))
    assert torch.equal(grid[2], ensemble.curve(bank))
    image, views = ensemble.terms(bank)
    mixed = mix(image, views, 0.7)
    hits = 0
    for i in range(40):
        scores = mixed[i] if float(loss[i]) <= float(thresholds[1]) else image[i]
        hits += int(scores.argmax()) == int(bank.labels[i])
    assert float(grid[1, 14]) == hits / 40
    assert 0 < int((loss <= thresholds[1]).sum()) < 40


def test_thresholds():
    loss = torch.arange(11.0)
    expected = [-torch.inf, 3.0, 5.0, torch.inf]
    assert cutoff_thresholds(loss, [0.0, 0.3, 0.5, 1.0]).tolist() == pytest.approx(expected)
    with pytest.raises(ValueError, match="fraction"):
        cutoff_thresholds(loss, [1.5])


def test_loss_must_fit(make_bank):
    with pytest.raises(ValueError, match="loss: expected 40, one an image, got 3"):
        cutoff_grid(Ensemble("fine"), make_bank(), torch.zeros(3), torch.zeros(1))
