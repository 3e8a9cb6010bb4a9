"""A key of a container is in three places: the contract, the job schema, the table of facets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pymesos_binpack
from pymesos_agent.containers.facets import DECLARED, FACETS, engine_arguments, with_bundle_parts
from pymesos_agent.containers.settings import Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_binpack.containers import CONTAINER_KEYS
from pymesos_core.containers import fitting_runtimes
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb

SCHEMA = json.loads(
    (Path(pymesos_binpack.__file__).parent / "jobfiles/job.schema.json").read_text("utf-8")
)["$defs"]
FIELDS = {field.name: field for field in pb.ContainerInfo.DESCRIPTOR.fields}
NOT_ASKED = {"runtime", "port_mappings"}  # which of them; with a network of its own
OF_NETWORKS = {"network", "port_mappings", "network_in_mbit_per_s", "network_out_mbit_per_s"}
OF_A_GROUP = {"runtime", *OF_NETWORKS}  # sidecars have those of their main task


def some(field: Any) -> Any:
    """A value that asks for something."""
    match field.name:
        case "network":
            return "none"
        case "mounts":
            return [pb.ContainerMount(container_path="/m")]
        case "ulimits":
            return [pb.Ulimit(name="nofile", soft=7, hard=8)]
        case "secrets":
            return [pb.SecretUse(name="db", path="db")]
        case "config":
            return [pb.ConfigFile(path="a", content="x")]
    value: Any = {field.TYPE_STRING: "NET_RAW", field.TYPE_BOOL: True}.get(field.type, 7)
    return [value] if field.is_repeated else value


@pytest.mark.parametrize("name", CONTAINER_KEYS)
def test_a_job_can_ask_for_every_key(name: str) -> None:
    assert name in SCHEMA["task"]["properties"]
    assert name in SCHEMA["sidecar"]["properties"] or name in OF_A_GROUP


@pytest.mark.parametrize("name", sorted(FIELDS.keys() - NOT_ASKED))
def test_what_is_asked_for_is_given_or_refused(name: str) -> None:
    """A key without a facet would be left out silently where a runtime does not know it."""
    container = pb.ContainerInfo(**{name: some(FIELDS[name])})
    asking = [facet.name for facet in FACETS if facet.asks(container)]
    assert asking, f"no facet is asked for by {name}: a row in containers/facets.py is missing"
    fits = fitting_runtimes(container)
    assert any(set(asking) <= DECLARED[runtime].keys() for runtime in fits), (name, fits)


def test_what_the_table_gives() -> None:
    container = pb.ContainerInfo(
        read_only=True,
        cpu_quota=True,
        pids_max=9,
        ulimits=[pb.Ulimit(name="nofile", soft=7, hard=8)],
        add_capabilities=["NET_ADMIN"],
        drop_capabilities=["ALL"],
    )
    info = pb.TaskInfo(container=container)
    spec = ContainerSpec("c", "f", "", None, info, parse("cpus:0.5"), Path("/sandbox"))
    assert engine_arguments(spec, Settings()) == {
        "read_only": True,
        "cpu_quota": 50_000,
        "cpu_period": 100_000,
        "pids_limit": 9,
        "ulimits": [{"Name": "nofile", "Soft": 7, "Hard": 8}],
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["ALL"],
    }
    before: dict[str, Any] = {
        "root": {"path": "r", "readonly": False},
        "linux": {"resources": {"cpu": {"shares": 2}}},
    }
    config = with_bundle_parts(before, spec, Settings())
    assert config["root"] == {"path": "r", "readonly": True}
    assert config["linux"]["resources"] == {
        "cpu": {"shares": 2, "quota": 50_000, "period": 100_000},
        "pids": {"limit": 9},
    }
    assert config["process"]["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 7, "hard": 8}]
    assert config["process"]["capabilities"]["bounding"] == ["CAP_NET_ADMIN"]
    assert not before["root"]["readonly"], "it is a copy"
