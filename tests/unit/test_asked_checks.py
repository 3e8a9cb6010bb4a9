"""What a check that cannot be asked says: a sentence, or what nobody foresaw, which is logged."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pymesos_agent.containers.users import UserError
from pymesos_agent.core.effects import RunCheck, StartContainer
from pymesos_agent.core.events import Checked
from pymesos_agent.health.checks import Checks
from pymesos_agent.runtimes.interface import Runtime
from pymesos_proto.v1 import types_pb2 as pb

EFFECT = RunCheck(
    "c", "ready", pb.Check(), 1.0, StartContainer("c", "f", "oci", "", pb.TaskInfo()), 1
)


class Folders:
    """Folders that know no container, for a reason."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def spec(self, start: StartContainer) -> Any:
        raise self.error


def asked(error: Exception, *runtimes: str) -> str | None:
    told: list[Checked] = []

    async def run() -> None:
        known: dict[str, Runtime] = {name: cast(Any, object()) for name in runtimes}
        nothing = cast(Any, None)
        checks = Checks(known, cast(Any, Folders(error)), nothing, told.append, nothing)
        checks.start(EFFECT)
        while not told:
            await asyncio.sleep(0)

    asyncio.run(run())
    return told[0].problem


def test_what_cannot_be_asked_is_said_in_a_sentence(caplog: pytest.LogCaptureFixture) -> None:
    assert asked(UserError("there is no user x")) == "the runtime oci does not answer now"
    assert asked(UserError("there is no user x"), "oci") == "there is no user x"
    assert not caplog.messages
    assert asked(KeyError("x"), "oci") == "it cannot be asked: KeyError: 'x'"
    assert caplog.messages == ["checking c"]
