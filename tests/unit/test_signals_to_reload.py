"""A signal to reload reaches a container only where it cannot end what keeps the container."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.settings import LogLimits
from pymesos_agent.runtimes.process import ProcessRuntime
from pymesos_agent.supervision import supervised as module
from pymesos_agent.supervision.supervised import Supervised


@pytest.fixture
def sent() -> list[dict[str, Any]]:
    return []


def supervised(version: int, sent: list[dict[str, Any]]) -> Supervised:
    """One that is connected to a supervisor of some version."""
    made = Supervised("process", Path("/s"), LogLimits(), Path, lambda _: {})
    made._link.version = version
    made._link.send = sent.append  # type: ignore[assignment, method-assign]
    return made


def test_an_old_supervisor_is_asked_nothing_and_the_log_says_so(
    sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda text, *more: said.append(text % more))
    supervised(4, sent).signal("c", "SIGHUP")
    assert not sent, "neither SIGHUP nor SIGTERM, which would end it"
    assert "container c is not sent SIGHUP" in said[0]


def test_the_signal_is_sent_as_it_is(sent: list[dict[str, Any]]) -> None:
    runtime = ProcessRuntime.__new__(ProcessRuntime)
    runtime._supervised = supervised(5, sent)
    runtime.signal("c", "SIGHUP")
    assert sent == [{"op": "kill", "id": "c", "signal": int(signal.SIGHUP)}]


def test_what_has_not_begun_is_not_ended_by_it(sent: list[dict[str, Any]]) -> None:
    made = supervised(5, sent)
    made._unsent["c"] = {"op": "launch", "id": "c"}
    made.signal("c", "SIGHUP")
    assert not sent and "c" in made._unsent, "it begins with what is new"
