"""What a container's bundle says; containers made of them are met in tests/integration."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pymesos_agent.containers.environment import DEFAULT_PATH, path_of_everybody
from pymesos_agent.containers.settings import AllowedPath, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.runtimes.oci import bundle as bundles
from pymesos_agent.runtimes.oci.bundle import Host, Image, write_bridge_names, write_bundle
from pymesos_core.resources import parse
from pymesos_proto.v1 import types_pb2 as pb


def test_the_path_of_a_container(tmp_path: Path) -> None:
    own, everybodys = tmp_path / "own", tmp_path / "own/everybodys"
    everybodys.mkdir(parents=True)
    own.chmod(0o700)
    path = path_of_everybody(f"{own}:{everybodys}:/no/such:/usr/bin")
    assert path == "/usr/bin"
    assert path_of_everybody(str(own)) == DEFAULT_PATH
    info = pb.TaskInfo(command=pb.CommandInfo(shell=True, value="true"))
    spec = ContainerSpec("c", "f", "", None, info, parse("cpus:1"), tmp_path / "sandbox")
    spec.sandbox.mkdir()
    layers = (tmp_path / "layers/one",)
    host = Host({"PATH": "/of/the/agent"})
    for image, expected in (
        (None, "/of/the/agent"),
        (Image(layers), DEFAULT_PATH),
        (Image(layers, environment=("PATH=/of/the/image",)), "/of/the/image"),
    ):
        bundle = tmp_path / expected.replace("/", "-")
        write_bundle(bundle, spec, image, Settings(), host, "/group").held.close()
        config = json.loads((bundle / "config.json").read_text())
        assert f"PATH={expected}" in config["process"]["env"]


def test_what_a_mount_of_the_machine_forbids_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict, usual = tmp_path / "strict", tmp_path / "usual"
    for folder in (strict, usual):
        folder.mkdir()

    def statvfs(path: Path | int) -> SimpleNamespace:
        is_strict = isinstance(path, int) and Path(f"/proc/self/fd/{path}").samefile(strict)
        return SimpleNamespace(f_flag=os.ST_NOEXEC | os.ST_RDONLY if is_strict else 0)

    monkeypatch.setattr(os, "statvfs", statvfs)
    mounts = [pb.ContainerMount(host_path=str(p), container_path=p.name) for p in (strict, usual)]
    info = pb.TaskInfo(
        command=pb.CommandInfo(shell=True, value="true"),
        container=pb.ContainerInfo(mounts=mounts),
    )
    spec = ContainerSpec("c", "f", "", None, info, parse("cpus:1"), tmp_path / "sandbox")
    settings = Settings(host_paths=(AllowedPath(tmp_path),))
    write_bundle(tmp_path / "bundle", spec, None, settings, Host(), "/group").held.close()
    config = json.loads((tmp_path / "bundle/config.json").read_text())
    options = {Path(m["destination"]).name: set(m["options"]) for m in config["mounts"]}
    assert options["strict"] - options["usual"] == {"ro", "noexec"}
    assert options["usual"] - options["strict"] == {"rw"}


def test_only_containers_on_the_bridge_ask_the_agent_for_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine"
    machine.write_text("search example.org\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n")
    monkeypatch.setattr(bundles, "RESOLVED", machine)
    names = tmp_path / "names"
    (tmp_path / "sandbox").mkdir()
    write_bridge_names(names, "10.213.0.1")
    assert names.read_text() == "nameserver 10.213.0.1\nsearch example.org\n"
    for network in ("bridge", "other", "none", ""):
        info = pb.TaskInfo(
            command=pb.CommandInfo(shell=True, value="true"),
            container=pb.ContainerInfo(network=network),
        )
        spec = ContainerSpec("c", "f", "", None, info, parse("cpus:1"), tmp_path / "sandbox")
        host, bundle = Host(bridge_names=names), tmp_path / f"bundle-{network}"
        write_bundle(bundle, spec, None, Settings(), host, "/group").held.close()
        mounts = json.loads((bundle / "config.json").read_text())["mounts"]
        found = [m["source"] for m in mounts if m["destination"] == "/etc/resolv.conf"]
        expected = {"bridge": [str(names)], "other": [str(machine)]}
        assert found == expected.get(network, []), network
    inode = names.stat().st_ino
    write_bridge_names(names, "")
    assert names.read_text() == machine.read_text()
    assert names.stat().st_ino == inode, "it is mounted in containers that run"
