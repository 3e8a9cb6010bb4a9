"""Our master and agents answer as a real Mesos did, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from pymesos_testing.recordings.excusing import excuses
from pymesos_testing.recordings.reading import read
from pymesos_testing.recordings.replaying import Outcome, replay

DATA = Path(__file__).with_name("data")
LIST = excuses()
AT_ONCE = 4  # each is a cluster of its own, and waits more than it computes


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[Path, Future[Outcome]]]:
    """The recordings that tests were selected for, replayed side by side, the longest first."""
    wanted = [
        Path(str(item.callspec.params["path"]))
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and hasattr(item, "callspec")
    ]
    wanted.sort(key=lambda path: -read(path).steps[-1].t_ms)
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        yield {path: pool.submit(_outcome_of, path) for path in wanted}
    finally:
        pool.shutdown(cancel_futures=True)


def _outcome_of(path: Path) -> Outcome:
    return asyncio.run(replay(path, LIST))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
def test_what_mesos_answered(path: Path, outcomes: dict[Path, Future[Outcome]]) -> None:
    outcome = outcomes[path].result()
    assert outcome.unexcused == []
    assert outcome.fields > 1


def test_there_are_recordings() -> None:
    assert len(list(DATA.glob("*.json"))) >= 12
