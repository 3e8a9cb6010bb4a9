"""What an engine says of its settings is what an agent says of its containers."""

from __future__ import annotations

import pytest

from pymesos_agent.containers.settings import Settings
from pymesos_agent.runtimes.docker.engine import held_by
from pymesos_agent.runtimes.docker.runtime import DockerRuntime

USUAL = ["name=seccomp,profile=builtin", "name=cgroupns"]  # as Docker 28 answers


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([*USUAL, "name=userns"], {"user_namespace": "userns-remap"}),
        ([*USUAL, "name=rootless"], {"user_namespace": "rootless"}),
        ([*USUAL, "name=apparmor"], {}),
        (["name=seccomp,profile=userns"], {}),
        ([""], {}),
        (None, {}),
    ],
)
def test_whose_root_its_containers_have(
    options: list[str] | None, expected: dict[str, str]
) -> None:
    assert held_by({"SecurityOptions": options}) == expected
    runtime = DockerRuntime("tag", None, Settings())
    runtime._engine.holds = held_by({"SecurityOptions": options})
    holds = runtime.isolation
    assert {name: how for name, how in holds.items() if name == "user_namespace"} == expected
    assert holds["no_new_privileges"] == "docker", "each of its containers is started so"
