"""Networks of the oci runtime: real CNI plugins, real namespaces."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import grpc
import pytest

from pymesos_agent.containers.isolation import refusal
from pymesos_agent.containers.settings import AllowedPath, NetworkSettings, Settings
from pymesos_agent.containers.spec import ContainerSpec
from pymesos_agent.core.events import ContainerFailed, ContainerStarted
from pymesos_agent.health.checking import CheckError, run_check
from pymesos_agent.runtimes.interface import RuntimeUnavailableError
from pymesos_agent.runtimes.oci import networks
from pymesos_agent.runtimes.oci.networks import NAMESPACES
from pymesos_agent.runtimes.oci.runtime import OciRuntime
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import supervisors
from pymesos_testing.rigs import Rig, oci_rig

MODULES = Path(grpc.__file__).parent.parent
PYTHON = Path(sys.base_prefix)
POINT_TO_POINT = {
    "cniVersion": "0.4.0",
    "name": "alone",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.214.0.0/24"}]]},
        }
    ],
}
SERVE_GRPC = """
import grpc, sys, time
from concurrent import futures
def check(request, context):
    return bytes((8, 1 if request == b"\\x0a\\x02ok" else 2))
server = grpc.server(futures.ThreadPoolExecutor(1))
handler = grpc.unary_unary_rpc_method_handler(check)
server.add_generic_rpc_handlers((
    grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
server.add_insecure_port("127.0.0.1:50051")
server.start()
print("serving", flush=True)
time.sleep(60)
"""


# Its last plugin fails, after the firewall has let the container's address through.
HALF_MADE = {
    "cniVersion": "0.4.0",
    "name": "half",
    "plugins": [
        {
            "type": "ptp",
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.215.0.0/24"}]]},
        },
        {"type": "firewall"},
        {"type": "portmap", "snat": "neither true nor false"},
    ],
}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    folder = tmp_path / "cni"
    folder.mkdir()
    (folder / "alone.conflist").write_text(json.dumps(POINT_TO_POINT))
    (folder / "half.conflist").write_text(json.dumps(HALF_MADE))
    work = tmp_path / "work"
    work.mkdir()
    paths = tuple(AllowedPath(path, True) for path in (MODULES, PYTHON))
    settings = Settings(networks=NetworkSettings(config_dir=folder), host_paths=paths)
    async with oci_rig(work, settings) as rig:
        yield rig


def left_of(rig: Rig, owner: str) -> list[str]:
    """The namespace, the record, and the address that the plugin keeps."""
    found = [str(p) for p in NAMESPACES.glob(f"*{owner}*")]
    found += [str(p) for p in (rig.folder / "oci/networks").glob(f"{owner}*")]
    addresses = Path("/var/lib/cni/networks").glob("*/[0-9]*")
    return found + [str(p) for p in addresses if owner in p.read_text()]


async def gone(rig: Rig, owner: str) -> bool:
    for _ in range(200):
        if not left_of(rig, owner):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_nothing_of_a_network_is_left(rig: Rig) -> None:
    spec = await rig.run("sleep 60", container=pb.ContainerInfo(network="bridge"))
    assert len(left_of(rig, spec.container_id)) == 3
    rig.runtime.kill(spec.container_id, force=True)
    await rig.exited(spec)
    rig.runtime.destroy(spec.container_id)
    assert await gone(rig, spec.container_id), left_of(rig, spec.container_id)


async def test_what_a_crash_leaves_is_found(rig: Rig) -> None:
    spec = await rig.run("sleep 60", container=pb.ContainerInfo(network="bridge"))
    await rig.runtime.close()
    for pid in supervisors(rig.folder):
        os.kill(pid, signal.SIGKILL)
    again = OciRuntime(rig.folder, f"test-{os.getpid()}", Settings())
    await again.start(lambda event: None)
    await again.recover({})
    await again.close()
    assert left_of(rig, spec.container_id) == []


async def test_killed_while_its_network_is_made(rig: Rig) -> None:
    spec = rig.spec("sleep 60", container=pb.ContainerInfo(network="bridge"))
    rig.runtime.launch(spec)
    await asyncio.sleep(0.02)
    rig.runtime.kill(spec.container_id, force=True)
    await rig.until(ContainerFailed, spec.container_id)
    assert await gone(rig, spec.container_id), left_of(rig, spec.container_id)


async def test_nothing_is_left_of_a_network_that_is_made_half(rig: Rig) -> None:
    spec = rig.spec("sleep 60", container=pb.ContainerInfo(network="half"))
    rig.runtime.launch(spec)
    failed = await rig.until(ContainerFailed, spec.container_id)
    assert isinstance(failed, ContainerFailed) and "no network half: portmap" in failed.message
    assert await gone(rig, spec.container_id), left_of(rig, spec.container_id)
    rules = subprocess.run(["iptables", "-w", "-S"], capture_output=True, text=True, check=True)
    assert "10.215.0." not in rules.stdout


async def test_a_network_of_the_operator(rig: Rig) -> None:
    assert rig.runtime.isolation["bridge"] == "bridge, alone, half"
    spec = await rig.run("ip -4 addr show eth0", container=pb.ContainerInfo(network="alone"))
    await rig.exited(spec)
    assert "inet 10.214.0." in (spec.sandbox / "stdout").read_text()
    rig.runtime.destroy(spec.container_id)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not a CNI network list"),
        ('{"name": "host", "cniVersion": "0.4.0", "plugins": []}', "cannot be called 'host'"),
        (
            '{"name": "x", "cniVersion": "0.4.0", "plugins": [{"type": "nope"}]}',
            "needs the plugins nope",
        ),
    ],
)
async def test_a_configuration_that_cannot_be_used(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "x.conflist").write_text(text)
    settings = Settings(networks=NetworkSettings(config_dir=tmp_path))
    runtime = OciRuntime(tmp_path, "test", settings)
    with pytest.raises(RuntimeUnavailableError, match=says):
        await runtime.start(lambda event: None)


def mapped(rig: Rig, network: str, index: int = 0, port: int = 80) -> ContainerSpec:
    mapping = pb.PortMapping(port_index=index, container_port=port)
    info = pb.ContainerInfo(network=network, port_mappings=[mapping])
    return rig.spec("true", "cpus:0.1;mem:32;ports:[31000-31000]", container=info)


async def test_what_cannot_be_mapped_is_refused(rig: Rig) -> None:
    def says(spec: ContainerSpec) -> str:
        return refusal(rig.runtime, spec, Settings()) or ""

    assert says(mapped(rig, "bridge")) == ""
    assert "has 1" in says(mapped(rig, "bridge", index=1))
    assert "1 to 65535" in says(mapped(rig, "bridge", port=0))
    assert "no use for it" in says(mapped(rig, "host"))
    assert "it has host, none, bridge, alone" in says(mapped(rig, "elsewhere"))


async def test_what_cannot_be_limited_is_refused(rig: Rig) -> None:
    def says(network: str) -> str:
        info = pb.ContainerInfo(network=network, network_in_mbit_per_s=8)
        return refusal(rig.runtime, rig.spec("true", container=info), Settings()) or ""

    assert rig.runtime.isolation["bandwidth"] == "bridge"
    assert says("bridge") == ""
    for network in ("", "host", "none", "alone"):
        assert "has none that can be limited: ask for one of bridge" in says(network)


async def test_where_limits_do_not_work_they_are_refused(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "_rates", lambda _: {"ingressRate": -1})
    assert not rig.runtime._networks._can_limit()  # type: ignore[attr-defined]
    assert not list(NAMESPACES.glob("pymesos-trial-*"))
    run = networks._run

    def killed(argv: Sequence[str], given: str = "", env: Mapping[str, str] | None = None) -> str:
        """As one that is killed in the middle, which ends nothing."""
        return "" if "delete" in argv else run(argv, given, env)

    with monkeypatch.context() as patch:
        patch.setattr(networks, "_run", killed)
        rig.runtime._networks._can_limit()  # type: ignore[attr-defined]
    assert len(list(NAMESPACES.glob("pymesos-trial-*"))) == 2
    monkeypatch.undo()
    assert rig.runtime._networks._can_limit()  # type: ignore[attr-defined]
    assert not list(NAMESPACES.glob("pymesos-trial-*"))
    rig.runtime._networks._limits = False  # type: ignore[attr-defined]
    info = pb.ContainerInfo(network="bridge", network_in_mbit_per_s=8)
    said = refusal(rig.runtime, rig.spec("true", container=info), Settings())
    assert said is not None
    assert "asks for network_in_mbit_per_s, network_out_mbit_per_s" in said


async def test_a_grpc_check_reaches_into_a_network_of_its_own(rig: Rig) -> None:
    mounts = [pb.ContainerMount(container_path="/modules", host_path=str(MODULES), read_only=True)]
    if not PYTHON.is_relative_to("/usr"):
        here = str(PYTHON)
        mounts.append(pb.ContainerMount(container_path=here, host_path=here, read_only=True))
    info = pb.ContainerInfo(network="none", mounts=mounts)
    spec = rig.spec("", "cpus:0.5;mem:256", container=info)
    spec.info.command.CopyFrom(
        pb.CommandInfo(
            value=os.path.realpath(sys.executable),
            arguments=["-c", SERVE_GRPC],
            environment=[pb.EnvironmentVariable(name="PYTHONPATH", value="/modules")],
        )
    )
    rig.runtime.launch(spec)
    started = await rig.until(ContainerStarted, spec.container_id)
    assert isinstance(started, ContainerStarted)
    for _ in range(200):
        if "serving" in (spec.sandbox / "stdout").read_text():
            break
        await asyncio.sleep(0.05)
    else:
        pytest.fail((spec.sandbox / "stderr").read_text())

    async def ask(service: str, port: int) -> None:
        check = pb.Check(grpc=pb.Check.Grpc(port=port, service=service))
        await run_check(
            check, spec, started.pid, lambda argv: rig.runtime.entry(spec, argv, ""), 10
        )

    await ask("ok", 50051)
    with pytest.raises(CheckError, match="not serving"):
        await ask("other", 50051)
    with pytest.raises(CheckError, match="UNAVAILABLE"):
        await ask("ok", 50052)
    rig.runtime.kill(spec.container_id, force=True)
    await rig.exited(spec)
