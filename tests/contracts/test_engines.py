"""Every engine against its contract; Ray's run is in tests/test_engine.py, in its own process."""

from __future__ import annotations

import pytest

from genviews.engine import Engine, LocalEngine, RayEngine
from genviews.testing import ENGINE_CHECKS, check_engine
from tests.contracts.complete import leaves


def test_the_table_is_complete() -> None:
    assert leaves(Engine) == {LocalEngine, RayEngine}


def test_local_engine_contract() -> None:
    check_engine(LocalEngine())


class Broken(Engine):
    """Runs here, and breaks one law, named by `law`."""

    def __init__(self, law: str) -> None:
        self.law = law

    def run(self, shards, make_worker, report) -> None:
        worker = make_worker()
        if self.law == "no_shard_is_no_error" and not shards:
            worker(0)
            report(0, {})
        for index in shards:
            try:
                report(index, worker(index))
            except OSError as error:
                if self.law == "what_a_worker_raises_is_raised_here":
                    raise OSError(str(error)) from None
                raise
        if self.law == "each_shard_is_run_and_reported_once":
            report(shards[0], worker(shards[0]))


@pytest.mark.parametrize("check", ENGINE_CHECKS, ids=lambda check: check.__name__)
def test_an_engine_that_breaks_the_law_is_caught(check) -> None:
    with pytest.raises(AssertionError):
        check(Broken(check.__name__))
    check(Broken("none"))
