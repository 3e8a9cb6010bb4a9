"""What an engine says of its settings is what an agent says of its containers."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.settings import Settings
from pymesos_agent.runtimes.docker.engine import bridge_of, held_by
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


USUAL_BRIDGE = {
    "Name": "bridge",
    "IPAM": {"Config": [{"Subnet": "172.17.0.0/16", "Gateway": "172.17.0.1"}]},
    "Options": {"com.docker.network.bridge.name": "docker0"},
}  # as Docker 28 answers, in part


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (USUAL_BRIDGE, "172.17.0.1"),
        (
            {
                **USUAL_BRIDGE,
                "IPAM": {
                    "Config": [
                        {"Subnet": "fd00::/64", "Gateway": "fd00::1"},
                        {"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"},
                    ]
                },
            },
            "10.1.0.1",
        ),
        ({**USUAL_BRIDGE, "Options": {"com.docker.network.bridge.name": "elsewhere0"}}, None),
        ({**USUAL_BRIDGE, "Options": None}, None),
        ({**USUAL_BRIDGE, "IPAM": {"Config": [{"Subnet": "172.17.0.0/16"}]}}, None),
        ({**USUAL_BRIDGE, "IPAM": {"Config": None}}, None),
    ],
)
def test_where_its_containers_reach_the_machine(
    network: dict[str, Any], expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "docker0").mkdir()
    found = bridge_of(network, tmp_path)
    assert (found.ip if found else None) == expected
    if found is not None:
        assert found.link == "docker0" and IPv4Network(f"{found.ip}/32").subnet_of(found.clients)
