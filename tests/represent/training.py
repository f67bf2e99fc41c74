"""A small training for tests of the loop, also as one of several processes or as one that dies."""

from __future__ import annotations

import os
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


class Dies(Blobs):
    """Ends its process at once in the middle of step 7, as by a signal."""

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        if step == 7:
            os._exit(9)
        return super().batch(step)


def dying_training(checkpoint: Path) -> None:
    """Train until `Dies` does."""
    from genviews.represent.train import train_representation

    settings = config(checkpoint_every=2)
    train_representation(plain_encoder(), Dies(), NTXent(), settings, checkpoint=checkpoint)


def distributed_training(folder: Path, rank: int, processes: int) -> None:
    """Train as one of several processes, and leave what the test compares in a file."""
    # What torchrun sets; but they meet in a file, since a free port may be taken by then.
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    meeting = f"file://{folder}/meeting"
    torch.distributed.init_process_group("gloo", meeting, rank=rank, world_size=processes)

    from accelerate import Accelerator

    from genviews.represent.batches import gather_rows
    from genviews.represent.train import train_representation

    accelerator = Accelerator(cpu=True)
    assert accelerator.process_index == rank
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
