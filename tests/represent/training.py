"""A small training for the tests of the loop; run by torchrun it is one of several processes.

torchrun --nproc-per-node 2 tests/represent/training.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import nn

from genviews.represent.config import RepresentationTraining
from genviews.represent.encoder import RepresentationConfig, RepresentationEncoder
from genviews.represent.losses import NTXent, SupCon, VICReg
from genviews.represent.monitor import OnlineKNN
from genviews.represent.schedule import StepCosine
from genviews.rng import Rng

BATCH = 10

OBJECTIVES = {"ntxent": NTXent(), "supcon": SupCon(), "vicreg": VICReg()}


class Blobs:
    """Views of three kinds of noisy pictures; a function of the step."""

    def __init__(self, views: int = 2) -> None:
        self.views = views
        self.asked: list[int] = []
        self.centres = Rng(7).streams(range(3)).normal(1, (1, 8, 8))[:, 0]

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        self.asked.append(step)
        streams = Rng(1).streams([f"{step}/{row}" for row in range(BATCH)])
        labels = torch.arange(BATCH) % 3
        noise = streams.normal(self.views, (1, 8, 8))
        return {"views": (self.centres[labels][:, None] + 0.5 * noise).tanh(), "labels": labels}


class PartBlobs(Blobs):
    """The same, a part at a time; unevenly, all but two rows to process 0."""

    def part(self, step: int, process: int, processes: int) -> dict[str, torch.Tensor]:
        rows = slice(0, BATCH - 2) if process == 0 else slice(BATCH - 2, BATCH)
        return {name: value[rows] for name, value in self.batch(step).items()}


def plain_encoder(normalize: bool = True) -> RepresentationEncoder:
    """An encoder without batch norms: what it says of an image depends on that image alone."""
    torch.manual_seed(3)
    backbone = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1), nn.GELU(), nn.Conv2d(8, 16, 3, 2, 1), nn.GELU(), nn.Flatten()
    )
    config = RepresentationConfig(
        backbone="custom", channels=1, features=64, projection=16, normalize=normalize
    )
    return RepresentationEncoder(config, backbone)


def config(**changes: object) -> RepresentationTraining:
    """Twelve steps, each with a record."""
    fields = {"schedule": StepCosine(steps=12, peak=0.05, warmup_steps=2), "log_every": 1}
    return RepresentationTraining(**{**fields, **changes})


def held_out() -> OnlineKNN:
    """Labelled pictures that are in no batch."""
    data = Blobs(1)
    bank, queries = data.batch(1000), data.batch(1001)
    return OnlineKNN(
        bank=bank["views"][:, 0],
        bank_labels=bank["labels"],
        queries=queries["views"][:, 0],
        query_labels=queries["labels"],
        neighbours=3,
    )


def main(folder: Path) -> None:
    """Train in these processes, and leave what the test compares in a file."""
    from accelerate import Accelerator

    from genviews.represent.gather import gather_rows
    from genviews.represent.train import train_representation

    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    rank = accelerator.process_index
    found: dict[str, object] = {"processes": accelerator.num_processes}

    whole = torch.arange(15.0).view(5, 3)
    own = (whole[:2] if rank == 0 else whole[2:]).clone().requires_grad_()
    gathered = gather_rows(own)
    (gathered.square().sum() * (rank + 1)).backward()
    found["gathered"] = gathered.detach()
    found["slope"] = gather_rows(own.grad)
    found["integers"] = gather_rows(torch.full((rank + 1,), rank))

    for name, objective in OBJECTIVES.items():
        for kind in (Blobs, PartBlobs):
            encoder = plain_encoder(objective.unit)
            reports = []
            trained = train_representation(
                encoder,
                kind(),
                objective,
                config(monitor_every=6),
                knn=held_out(),
                report=reports.append,
                checkpoint=folder / f"{name}-{kind.__name__}.pt",
                accelerator=accelerator,
            )
            key = f"{name}/{kind.__name__}"
            found[f"{key}/loss"] = [record.loss for record in trained.history]
            found[f"{key}/monitors"] = trained.history[-1].monitors
            found[f"{key}/reports"] = len(reports)
            found[f"{key}/weights"] = trained.encoder.state_dict()

    normed = RepresentationEncoder(RepresentationConfig(channels=1))
    try:
        train_representation(normed, Blobs(), NTXent(), config(), accelerator=accelerator)
    except ValueError as error:
        found["batch norms"] = str(error)
    try:
        train_representation(plain_encoder(), Blobs(), NTXent(), config())
    except ValueError as error:
        found["no accelerator"] = str(error)
    torch.save(found, folder / f"process{rank}.pt")
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
