"""What an agent is told that no machine, kernel or network has."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_agent.containers.facets import _bundle_capabilities, _engine_capabilities
from pymesos_agent.containers.isolation import _not_allowed
from pymesos_agent.containers.settings import Settings
from pymesos_agent.machine import with_overrides
from pymesos_agent.settings import read_capabilities, read_subnet
from pymesos_binpack.jobfiles.parsing import parse_job
from pymesos_binpack.specs import JobError
from pymesos_core import contract
from pymesos_core.capabilities import CAPABILITIES
from pymesos_core.resource_values import ResourceError
from pymesos_core.resources import EMPTY, parse
from pymesos_proto.v1 import types_pb2 as pb


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("ports:5", r"ports are ranges, as in ports:\[31000-32000\]"),
        ("ports:{a,b}", "ports are ranges"),
        ("ports(db):5", "ports are ranges"),
        ("ports:[0-5]", "ports has 0-5; ports are from 1 to 65535"),
        ("ports:[31000-99999]", "ports has 31000-99999; ports are from 1 to 65535"),
        ("cpus:[1-2]", "cpus is a number, as in cpus:4"),
        ("mem:{a}", "mem is a number"),
        ("disk(db):[1-2]", "disk is a number"),
        ("gpus:[0-3]", "gpus is a number"),
    ],
)
def test_resources_of_another_kind_than_all_know(written: str, says: str) -> None:
    """Agents offered these, and jobs waited for an agent that has any."""
    with pytest.raises(ResourceError, match=says):
        with_overrides(EMPTY, parse(written))


@pytest.mark.parametrize(
    "written", ["gpus:{GPU-8a56}", "ports:[1-65535]", "cpus(db):2", "tapes:[1-2]", "tapes:{a}"]
)
def test_resources_that_may_be(written: str) -> None:
    assert with_overrides(EMPTY, parse(written))


@pytest.mark.parametrize(
    "network",
    ["0.0.0.0/0", "10.0.0.0/7", "0.0.0.0/8", "127.0.0.0/8", "127.1.0.0/16", "224.0.0.0/8",
     "169.254.0.0/16", "255.255.255.0/24", "240.0.0.0/8"],
)  # fmt: skip
def test_networks_of_no_hosts(network: str) -> None:
    """A bridge with 0.0.0.0/0 would take what the machine sends anywhere."""
    with pytest.raises(ValueError, match="has addresses that no container can have"):
        read_subnet(network)


@pytest.mark.parametrize("network", ["10.0.0.0/8", "10.213.0.0/16", "192.168.1.0/29"])
def test_networks(network: str) -> None:
    assert read_subnet(network) == network


@pytest.mark.parametrize("key", ["add_capabilities", "drop_capabilities"])
@pytest.mark.parametrize("name", ["NET_RAWW", "CAP_CAP_NET_RAW", "NETRAW", "CAP_"])
def test_what_is_no_capability(key: str, name: str) -> None:
    """A container was said to have dropped what it kept."""
    task = {"name": "t", "command": "x", "image": "a", key: [name]}
    with pytest.raises(JobError, match=f"'{name}' is no capability of Linux"):
        parse_job({"name": "j", "tasks": [task]})
    given: dict[str, Any] = {key: [name]}
    said = contract.problem(pb.ContainerInfo(**given))
    assert said is not None and "is no capability of Linux" in said
    with pytest.raises(ValueError, match="is no capability of Linux"):
        read_capabilities([name])


def spec_of(info: pb.ContainerInfo) -> Any:
    return SimpleNamespace(info=SimpleNamespace(container=info))


def test_a_capability_may_have_its_whole_name() -> None:
    """Engines take it so; the oci runtime had dropped nothing, and added CAP_CAP_NET_ADMIN."""
    info = pb.ContainerInfo(
        image="a", drop_capabilities=["CAP_NET_RAW"], add_capabilities=["CAP_NET_ADMIN"]
    )
    assert contract.problem(info) is None
    spec = spec_of(info)
    kept = _bundle_capabilities(spec, Settings())["process"]["capabilities"]["bounding"]
    assert "CAP_NET_ADMIN" in kept and "CAP_NET_RAW" not in kept and "CAP_CHOWN" in kept
    engine = _engine_capabilities(spec, Settings())
    assert engine == {"cap_add": ["NET_ADMIN"], "cap_drop": ["NET_RAW", "MKNOD"]}
    for allowed in ("CAP_NET_ADMIN", "net_admin", "ALL"):
        settings = Settings(capabilities=read_capabilities([allowed]))
        assert _not_allowed(info, settings) is None
    said = _not_allowed(info, Settings())
    assert said is not None and "--allow-capabilities" in said


def test_all_is_each_of_them() -> None:
    assert read_capabilities(["all"]) == {*CAPABILITIES, "ALL"}


def test_all_capabilities_are_each_of_them() -> None:
    """Runtimes would look for one of the name CAP_ALL, and leave it out or end."""
    info = pb.ContainerInfo(image="a", add_capabilities=["ALL"], drop_capabilities=["NET_RAW"])
    spec = spec_of(info)
    kept = _bundle_capabilities(spec, Settings())["process"]["capabilities"]["bounding"]
    assert kept == [f"CAP_{name}" for name in CAPABILITIES if name != "NET_RAW"]
    assert _engine_capabilities(spec, Settings()) == {"cap_add": ["ALL"], "cap_drop": ["NET_RAW"]}
