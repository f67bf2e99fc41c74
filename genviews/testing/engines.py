"""The contract of engines: the laws that each `Engine` keeps, wherever its workers run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from genviews.engine import Engine
from genviews.testing.laws import expect, laws_of, run_laws

__all__ = ["ENGINE_CHECKS", "check_engine"]

SHARDS = (3, 1, 2, 8)
NO_SPACE = 28  # errno.ENOSPC


def check_engine(engine: Engine) -> None:
    """Run every check of the contract on one engine; a few workers are started.

    Raises:
        AssertionError: a law is broken; the message says which.

    Example:
        >>> from genviews.engine import LocalEngine
        >>> check_engine(LocalEngine())
    """
    run_laws(ENGINE_CHECKS, engine)


def each_shard_is_run_and_reported_once(engine: Engine) -> None:
    """Every shard is reported once, with what its worker returned, in any order."""
    seen, facts = Counter[int](), {}

    def report(index: int, told: dict[str, object]) -> None:
        seen[index] += 1
        facts[index] = told

    engine.run(SHARDS, _squares, report)
    expect(seen == Counter(SHARDS), f"reports {dict(seen)}")
    wanted = {index: {"square": index**2} for index in SHARDS}
    expect(facts == wanted, f"facts {facts}")


def what_a_worker_raises_is_raised_here(engine: Engine) -> None:
    """The error of a worker comes through with its type and arguments; its shard is not done."""
    told: list[int] = []
    try:
        engine.run([7], _full, lambda index, facts: told.append(index))
    except OSError as error:
        expect(error.errno == NO_SPACE, f"the error lost its number: {error!r}")
    else:
        raise AssertionError("the error of a worker was lost")
    expect(not told, "a shard that failed was reported")


def no_shard_is_no_error(engine: Engine) -> None:
    """Nothing to do ends at once."""
    told: list[int] = []
    engine.run([], _squares, lambda index, facts: told.append(index))
    expect(not told, f"shards {told} were reported")


ENGINE_CHECKS = laws_of(globals())


def _squares() -> Callable[[int], dict[str, object]]:
    return lambda index: {"square": index**2}


def _full() -> Callable[[int], dict[str, object]]:
    def worker(index: int) -> dict[str, object]:
        raise OSError(NO_SPACE, "No space left on device")

    return worker
