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


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_failed_inversion_is_above_every_cutoff(make_bank, bad):
    bank, ensemble = make_bank(), Ensemble("fine")
    loss = torch.arange(40.0)
    failed = loss.clone()
    failed[:4] = bad
    # Four of forty are on top: the lower 30 % are those of 4 to 15, nine tenths are all others.
    assert cutoff_thresholds(failed, [0.0, 0.3, 0.95, 1.0]).tolist() == pytest.approx(
        [-torch.inf, 15.7, 39.0, torch.inf]
    )
    grid = cutoff_grid(ensemble, bank, failed, torch.tensor([39.0, torch.inf]))
    image, views = ensemble.terms(bank)
    kept = torch.where((torch.arange(40) < 4)[:, None], image, views)
    for place, alpha in enumerate(torch.linspace(0, 1, 21).tolist()):
        hits = mix(image, kept, alpha).argmax(-1) == bank.labels
        assert grid[:, place].tolist() == pytest.approx([float(hits.double().mean())] * 2)


def test_all_inversions_failed(make_bank):
    loss = torch.full((40,), torch.nan)
    thresholds = cutoff_thresholds(loss, [0.0, 0.5, 1.0])
    assert cutoff_grid(Ensemble("fine"), make_bank(), loss, thresholds).unique().tolist() == [
        make_bank().accuracy()
    ]


def test_loss_must_fit(make_bank):
    with pytest.raises(ValueError, match="loss: expected 40, one for each image, got 3"):
        cutoff_grid(Ensemble("fine"), make_bank(), torch.zeros(3), torch.zeros(1))
