"""Options, fixtures, and runtime checks of the shapes in every signature of genviews."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
import torch

from tests import signatures

signatures.install()  # before the first import of genviews

# What is imported once stays: to look through it again and again for garbage takes a tenth of all.
gc.disable()
gc.set_threshold(20_000, 20, 20)

# Two torch processes whose threads share the cores stall each other (tests run with -n 2).
torch.set_num_threads(1)

# torch shows some warnings once a process; as errors they would fail whichever test came first.
torch.set_warn_always(True)

# Of a test. Most take less than a tenth, so a machine five times slower meets it too.
CPU_SECONDS = 15

# Folders of whole runs: each of their tests calls much of the package.
WHOLE_RUNS = {"benchmarks", "cli", "contracts", "ensembling", "learning"}
WHOLE_RUNS |= {"recipes", "scenarios", "studies"}

# Watches every file that the process opens, and cannot stop: what comes after it would be slower.
WATCHING = "test_hostile.py"

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where tests run, and which of the costly ones do."""
    group = parser.getgroup("genviews")
    group.addoption("--device", default="cpu", help="torch device of the fixtures")
    group.addoption("--dtype", default="float32", choices=sorted(_DTYPES), help="of the fixtures")
    group.addoption("--slow", action="store_true", help="also run tests marked slow")
    group.addoption("--weights", action="store_true", help="also run tests that need weights")


def pytest_collection_finish() -> None:
    """Look for garbage from now on, among what tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine or command line does not allow."""
    allowed = {
        "slow": config.getoption("--slow"),
        "weights": config.getoption("--weights"),
        "gpu": torch.cuda.is_available(),
    }
    reasons = {"slow": "needs --slow", "weights": "needs --weights", "gpu": "needs a CUDA device"}
    for item in items:
        for mark in item.iter_markers():
            if not allowed.get(mark.name, True):
                item.add_marker(pytest.mark.skip(reason=reasons[mark.name]))
    items.sort(key=lambda item: item.path.name == WATCHING)


@pytest.fixture(autouse=True)
def brief(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that takes more processor time, its processes' included, than one may."""
    before = os.times()
    yield
    spent = sum(os.times()[:4]) - sum(before[:4])
    if spent > CPU_SECONDS and request.node.get_closest_marker("slow") is None:
        pytest.fail(f"took {spent:.0f} s of processor time; {CPU_SECONDS} s are the most: ask less")


@pytest.fixture(autouse=True)
def seeded(request: pytest.FixtureRequest) -> None:
    """Fresh networks draw their weights from torch's global generator: the same in each run."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed writes a traceback down each time
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)
    whole = request.path.parent.name in WHOLE_RUNS
    as_installed = request.node.get_closest_marker("as_installed") is not None
    signatures.check_anew(request.path if whole else request.node.nodeid, nothing=as_installed)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of --device."""
    return torch.device(request.config.getoption("--device"))


@pytest.fixture
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    """The floating-point type of --dtype."""
    return _DTYPES[request.config.getoption("--dtype")]


@pytest.fixture
def toy(device: torch.device, dtype: torch.dtype):
    """The analytic, exactly invertible generator: 8x8 grey images from 4 style rows."""
    from genviews.generators.toy import ToyGenerator

    return ToyGenerator().to(device=device, dtype=dtype).eval()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of images of each call of `invert` that a sharded inversion makes."""
    from genviews.invert import job

    calls: list[int] = []
    invert = job.invert

    def counting(generator, images, *more, **options):
        calls.append(len(images))
        return invert(generator, images, *more, **options)

    monkeypatch.setattr(job, "invert", counting)
    return calls
