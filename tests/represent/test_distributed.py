"""Two gloo processes against one with the whole batch: gathering, losses, weights."""

from __future__ import annotations

import pytest
import torch

from genviews.represent.batches import gather_rows, process_count
from genviews.represent.train import train_representation
from tests.processes import start
from tests.represent.training import (
    OBJECTIVES,
    Blobs,
    config,
    distributed_training,
    held_out,
    plain_encoder,
)


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("processes")
    started = [
        start(distributed_training, folder, rank, 2, printed=folder / f"printed{rank}.txt")
        for rank in (0, 1)
    ]
    for rank, process in enumerate(started):
        process.join()
        assert process.exitcode == 0, (folder / f"printed{rank}.txt").read_text()
    return [torch.load(folder / f"process{rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone():
    """The same trainings in this process with the whole batch."""
    return {
        name: train_representation(
            plain_encoder(objective.unit),
            Blobs(),
            objective,
            config(monitor_every=6),
            knn=held_out(),
        )
        for name, objective in OBJECTIVES.items()
    }


def test_there_are_two(processes):
    assert [found["processes"] for found in processes] == [2, 2]


def test_rows_are_gathered_in_order_with_the_sum_of_the_gradients(processes):
    """Rows 0-1 and 2-4; the losses are |x|^2 in process 0 and 2 |x|^2 in process 1: slope 6 x."""
    whole = torch.arange(15.0).view(5, 3)
    for found in processes:
        assert torch.equal(found["gathered"], whole)
        assert torch.equal(found["slope"], 6 * whole)
        assert found["integers"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("split", ["Blobs", "PartBlobs"])
@pytest.mark.parametrize("name", OBJECTIVES)
class TestSameAsOneProcess:
    def test_loss_curve(self, processes, alone, name, split):
        wanted = [record.loss for record in alone[name].history]
        assert len(wanted) == 12
        assert wanted[-1] < 0.95 * wanted[0]
        for found in processes:
            assert found[f"{name}/{split}/loss"] == pytest.approx(wanted, rel=2e-5)

    def test_weights(self, processes, alone, name, split):
        wanted = alone[name].encoder.state_dict()
        for found in processes:
            weights = found[f"{name}/{split}/weights"]
            torch.testing.assert_close(dict(weights), dict(wanted), rtol=1e-4, atol=1e-5)

    def test_monitors_and_reports_of_the_main_process(self, processes, alone, name, split):
        main, other = processes
        wanted = alone[name].history[-1].monitors
        assert set(wanted) == {"alignment", "uniformity", "rankme", "knn"}
        assert main[f"{name}/{split}/monitors"] == pytest.approx(wanted, rel=1e-3)
        assert (main[f"{name}/{split}/reports"], other[f"{name}/{split}/reports"]) == (12, 0)


def test_batch_norms_on_processors_are_refused(processes):
    for found in processes:
        assert "sync_batch_norm: expected GPUs" in found["batch norms"]


def test_processes_that_would_train_on_their_own_are_refused(processes):
    for found in processes:
        assert "got WORLD_SIZE=2" in found["no accelerator"]
        assert "accelerator=accelerate.Accelerator()" in found["no accelerator"]


def test_gathering_in_one_process_changes_nothing():
    rows = torch.randn(3, 2)
    assert process_count() == 1
    assert gather_rows(rows) is rows
