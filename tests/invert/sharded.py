"""A small sharded inversion, for tests in this process and for scenarios in others.

A scenario is a function of folders that runs in a process of its own, where it may fork
(`tests.processes.call`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch

from genviews.data.images import ImageSet
from genviews.data.source import ImageSource, MemorySource, SourceBatch
from genviews.generators.base import Generator
from genviews.generators.toy import ToyGenerator
from genviews.invert.inverter import Inverter
from genviews.invert.job import invert_source
from genviews.invert.objective import Objective
from genviews.invert.start import MeanStart
from genviews.rng import Rng
from genviews.types import ImageSpec, LatentSpec

INVERTER = Inverter(start=MeanStart(), steps=3)
SHARDS, SHARD = 120, 3


class Quick(ToyGenerator):
    """The toy generator, with a mean that costs nothing: a shard takes milliseconds."""

    def mean_latent(self, num=10_000, seed=0):
        return self.mean.float().expand(self.latent_spec.num_layers, -1)


class Watched(MemorySource):
    """What happens when a shard is read.

    Args:
        hold: waits while this file is there, from the second shard on.
        marker: kills its process in its third shard, unless this file is there.
    """

    def __init__(self, images, hold=None, marker=None):
        super().__init__(images)
        self.hold, self.marker, self.shards = hold, marker, 0

    def read(self, rows):
        self.shards += 1
        while self.hold and self.shards > 1 and os.path.exists(self.hold):
            time.sleep(0.01)
        if self.marker and self.shards == 3 and not os.path.exists(self.marker):
            Path(self.marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(rows)


def images(count):
    toy = Quick()
    drawn = toy.synthesize(toy.map(toy.sample(Rng(0, "job").streams(range(count)))))
    return ImageSet(images=drawn.detach().clamp(-1, 1), ids=tuple(f"i{i}" for i in range(count)))


class Flaky(MemorySource):
    """Some rows cannot be read."""

    def __init__(self, images, bad):
        super().__init__(images)
        self.bad = set(bad)

    def read(self, rows):
        batch = super().read([i for i in rows if i not in self.bad])
        skipped = tuple((self.ids[i], f"row {i} is torn") for i in rows if i in self.bad)
        return SourceBatch(images=batch.images, ids=batch.ids, hashes=batch.hashes, skipped=skipped)


def run(folder, **options):
    """Invert all."""
    options = {"shard_size": SHARD, "batch_size": 2, **options}
    source = options.pop("source", None) or MemorySource(images(SHARDS * SHARD))
    return invert_source(source, Quick(), INVERTER, folder, **options)


def files(folder):
    """Name -> bytes of all that lies in a folder."""
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def say(*values):
    sys.stdout.write(" ".join(map(str, values)) + "\n")
    sys.stdout.flush()  # else a forked copy would say it again


def fork(function, *arguments, **options):
    """Call a function in a copy of this process; returns the process id."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            torch.set_num_threads(1)
            function(*arguments, **options)
            code = 0
        os._exit(code)
    return pid


def wait(pid):
    """Wait for a copy; returns its exit status, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def shards_in(folder):
    return len(list(Path(folder).glob("[0-9]*.safetensors")))


def kill_ten_times(killed, whole):
    """Kill a run ten times, each time at a random moment after its first shard; then let it end."""
    for delay in np.random.default_rng(0).uniform(0.0, 0.08, 10):
        before = shards_in(killed)
        pid = fork(run, killed)
        while shards_in(killed) == before:
            time.sleep(0.0005)
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
        assert wait(pid) == -signal.SIGKILL, "ended before it was killed"
        say(shards_in(killed))
    assert wait(fork(run, killed)) == 0
    assert wait(fork(run, whole)) == 0


def two_at_once(shared, whole, logs):
    """Two runs on one folder; each logs what it made and what progress it saw."""
    pids = [fork(logged_run, shared, Path(logs) / f"{i}.txt") for i in range(2)]
    assert [wait(pid) for pid in pids] == [0, 0]
    assert wait(fork(run, whole)) == 0


def logged_run(folder, log, **options):
    with open(log, "w") as file:
        logging.basicConfig(level=logging.INFO, stream=file, format="%(message)s")
        run(folder, progress=lambda *told: print("done", *told[2:], file=file), **options)


def killed_while_another_waits(folder, hold):
    """A run that is killed in its second shard leaves it to the run that was waiting for it."""
    source = MemorySource(images(3 * SHARD))
    Path(hold).touch()
    first = fork(run, folder, source=Watched(images(3 * SHARD), hold))
    while shards_in(folder) < 1:
        time.sleep(0.001)
    second = fork(run, folder, source=source)
    while shards_in(folder) < 2:
        time.sleep(0.001)
    time.sleep(0.8)  # longer than the time between two looks at the shard
    say(shards_in(folder), os.waitpid(second, os.WNOHANG))
    os.kill(first, signal.SIGKILL)
    assert wait(first) == -signal.SIGKILL
    say(wait(second), shards_in(folder))


class Synthetic(ImageSource):
    """Images of 3x64x64 pixels, made when they are read."""

    image_spec = ImageSpec(channels=3, height=64, width=64)

    def __init__(self, count):
        self.ids = tuple(f"i{i}" for i in range(count))

    def read(self, rows):
        drawn = torch.stack([torch.full((3, 64, 64), (i % 9) / 9) for i in rows])
        names = tuple(self.ids[i] for i in rows)
        return SourceBatch(images=drawn, ids=names, hashes=tuple(f"{i:032x}" for i in rows))

    def fingerprint(self):
        return f"synthetic {len(self)}"


class Flat(Generator):
    """Images of one grey level: rendering costs nothing."""

    z_dim, num_classes = 4, 0
    image_spec = Synthetic.image_spec
    latent_spec = LatentSpec(space="w+", num_layers=1, dim=4)

    def map(self, z, label=None, *, psi=1.0, cutoff=None):
        return z[:, None]

    def synthesize(self, latents, label=None):
        return latents.mean((1, 2))[:, None, None, None].expand(-1, 3, 64, 64)

    def mean_latent(self, num=10_000, seed=0):
        return torch.zeros(1, 4)


def peak_memory(folder, count):
    """Print the largest resident size of a process that inverts `count` images, in KiB.

    As VmHWM: `ru_maxrss` begins with the size of the process that started this one.
    """
    inverter = Inverter(start=MeanStart(), steps=1, objective=Objective())
    invert_source(Synthetic(int(count)), Flat(), inverter, folder, shard_size=50, batch_size=25)
    status = Path("/proc/self/status").read_text()
    say(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
