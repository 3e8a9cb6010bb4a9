"""Our master and agents answer as a real Mesos did, step by step."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_testing.recordings.excusing import excuses
from pymesos_testing.recordings.replaying import replay

DATA = Path(__file__).with_name("data")
LIST = excuses()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", sorted(DATA.glob("*.json")), ids=lambda path: path.stem)
async def test_what_mesos_answered(path: Path) -> None:
    outcome = await replay(path, LIST)
    assert outcome.unexcused == []
    assert outcome.fields > 1


def test_there_are_recordings() -> None:
    assert len(list(DATA.glob("*.json"))) >= 12
