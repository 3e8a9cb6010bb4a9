"""What docs/containers.md says holds a container, tried on each runtime."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import pwd
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pymesos_agent.containers.disks import disk_of
from pymesos_agent.containers.facets import DECLARED, FACETS
from pymesos_agent.containers.sessions import run_entry
from pymesos_agent.containers.spec import SecretValues
from pymesos_agent.core.events import ContainerStarted
from pymesos_agent.core.ports import Group
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.components import free_port
from pymesos_testing.isolating import has_said, out, own_user
from pymesos_testing.registry import Layer, busybox_layer, write_layout
from pymesos_testing.tried import BASE, OCI, OWN, V2, Tried, tried_on
from pymesos_testing.waiting import until

EAT_MEMORY = "x=; while :; do x=$x$(head -c 1000000 /dev/zero | tr '\\0' a); done"


# Tried elsewhere: `disk` is the agent's (tests/e2e/test_neighbours.py); `root` on
# oci has an image of the disk; no machine here has a GPU; `image_secret` wants a registry
# (test_image_secrets.py).
ELSEWHERE = {"config", "disk", "disk_image", "gpus", "hidden", "volumes", "image_secret"}


PLANTED = b"planted-5c1f-secret"


DIGEST = hashlib.sha256(PLANTED).hexdigest()


async def mem(t: Tried) -> None:
    spec = await t.rig.run(EAT_MEMORY, "cpus:0.5;mem:48", t.image)
    exited = await t.rig.exited(spec)
    if t.rig.runtime.isolation["mem"] == "podman":
        assert exited.exit_status == -signal.SIGKILL
    else:
        assert exited.limit == "memory"


async def cpu(t: Tried) -> None:
    assert await t.group("cpu/cpu.shares", "cpu.weight") == ("20" if V2 else "512")


async def cpu_quota(t: Tried) -> None:
    files = ("cpu/cpu.cfs_quota_us", "cpu.max")
    assert await t.group(*files, cpu_quota=True) == ("50000 100000" if V2 else "50000")
    assert await t.group(*files) == ("max 100000" if V2 else "-1")


async def pids(t: Tried) -> None:
    many = "i=0; while [ $i -lt 40 ]; do sleep 3 & i=$((i+1)); done; wait"
    assert "fork" in (await t.says(many, pids_max=16)).lower()


async def io(t: Tried) -> None:
    numbers = disk_of(t.folder)
    assert numbers is not None
    disk = f"{numbers[0]}:{numbers[1]}"
    assert disk_of(Path("/proc")) is None
    for way in ("read", "write"):
        files = (f"blkio/blkio.throttle.{way}_bps_device", "io.max")
        asked: dict[str, Any] = {f"{way}_mib_per_s": 3}
        said = (await t.group(*files, **asked)).split()
        assert said[0] == disk
        assert (f"{way[0]}bps={3 * 2**20}" if V2 else str(3 * 2**20)) in said


async def network(t: Tried) -> None:
    names = "cat /proc/net/dev"
    mine = Path("/proc/net/dev").read_text()
    other = next(line.split(":")[0].strip() for line in mine.splitlines()[2:] if "lo:" not in line)
    assert f"{other}:" in await t.says(names)
    alone = await t.says(names, network="none")
    assert "lo:" in alone and "eth" not in alone


async def bridge(t: Tried) -> None:
    port = free_port()
    info = pb.ContainerInfo(
        network="bridge", port_mappings=[pb.PortMapping(port_index=0, container_port=8080)]
    )
    serve = "mkdir -p /tmp/w; echo inside > /tmp/w/x; ifconfig; exec httpd -f -p 8080 -h /tmp/w"
    spec = await t.rig.run(serve, f"cpus:0.5;mem:64;ports:[{port}-{port}]", t.image, info)
    answer = await asyncio.to_thread(ask, f"http://127.0.0.1:{port}/x")
    assert answer == b"inside\n"
    assert listening(8080) == [], "the port is the container's alone"
    t.rig.runtime.kill(spec.container_id, force=True)
    await t.rig.exited(spec)
    said = (spec.sandbox / "stdout").read_text()
    assert "eth0" in said and "inet addr:127.0.0.1" in said


async def bandwidth(t: Tried) -> None:
    """Data through its port wait in the queue of each way."""
    port = free_port()
    spec = await t.rig.run(
        "nc -l -p 80 > /dev/null; head -c 1000000 /dev/zero | nc -l -p 80; sleep 60",
        f"cpus:0.5;mem:64;ports:[{port}-{port}]",
        t.image,
        pb.ContainerInfo(
            network="bridge",
            port_mappings=[pb.PortMapping(port_index=0, container_port=80)],
            network_in_mbit_per_s=16,
            network_out_mbit_per_s=24,
        ),
    )
    assert await asyncio.to_thread(sent, port, b"x" * 1_000_000) == b""
    assert len(await asyncio.to_thread(sent, port, b"")) == 1_000_000
    record = t.rig.folder / "oci/networks" / spec.container_id
    links = {link["name"] for link in json.loads(record.read_text())["result"]["interfaces"]}
    said = subprocess.run(["tc", "-s", "-j", "qdisc", "show"], capture_output=True, check=True)
    queues = {
        queue["options"]["rate"]: queue["overlimits"]
        for queue in json.loads(said.stdout)
        if queue["kind"] == "tbf" and queue["dev"] in links
    }
    assert queues.keys() == {2_000_000, 3_000_000}, "bytes a second"
    assert all(queues.values()), queues
    t.rig.runtime.kill(spec.container_id, force=True)
    await t.rig.exited(spec)


def sent(port: int, data: bytes) -> bytes:
    """What a task answers on a port of its own."""
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 20) as to:
            if data:
                to.sendall(data)
                to.shutdown(socket.SHUT_WR)
            with to.makefile("rb") as answer:
                return answer.read()
        time.sleep(0.1)
    raise AssertionError(f"nobody listens on {port}")


async def group(t: Tried) -> None:
    alone = pb.ContainerInfo(network="none")
    serves = t.rig.spec("echo together | nc -l -p 9000", image=t.image, container=alone)
    asks = t.rig.spec(
        "until nc 127.0.0.1 9000; do sleep 0.05; done", image=t.image, container=alone
    )
    shared = Group(f"g{serves.container_id}", (serves.container_id, asks.container_id), ())
    for spec in (serves, asks):
        t.rig.runtime.launch(replace(spec, group=shared))
    await t.rig.exited(asks)
    assert (asks.sandbox / "stdout").read_text() == "together\n"
    t.rig.runtime.destroy(shared.group_id)


def ask(url: str) -> bytes:
    """As soon as it is answered."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bytes(response.read())
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"no answer from {url}")


def listening(port: int) -> list[str]:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return [line for line in lines if line.split()[1].endswith(f":{port:04X}") and " 0A " in line]


async def root(t: Tried) -> None:
    assert str(t.folder) not in await t.says(f"ls -d {t.folder} /work 2>/dev/null; true")


async def read_only(t: Tried) -> None:
    assert "read-only" in (await t.says("touch /new", read_only=True)).lower()
    assert await t.says('touch "$PYMESOS_SANDBOX/new" && echo -n ok', read_only=True) == "ok"


async def mounts(t: Tried) -> None:
    (t.folder / "shared").mkdir()
    (t.folder / "shared").chmod(0o777)  # for those, too, who are nobody on the machine
    (t.folder / "shared/file").write_text("theirs")
    host = str(t.folder / "shared")
    given = [
        pb.ContainerMount(container_path="/data", host_path=host, read_only=True),
        pb.ContainerMount(container_path="own", host_path=host),
        pb.ContainerMount(container_path="/cache", size_mib=1),
    ]
    said = await t.says(
        "cat /data/file; touch /data/x; touch $PYMESOS_SANDBOX/own/y; dd if=/dev/zero of=/cache/z"
        " bs=1M count=3",
        mounts=given,
    )
    assert said.startswith("theirs") and "read-only" in said.lower() and "no space" in said.lower()
    assert not (t.folder / "shared/x").exists() and (t.folder / "shared/y").exists()


async def ulimits(t: Tried) -> None:
    limits = [pb.Ulimit(name="nofile", soft=77, hard=77)]
    assert (await t.says("ulimit -n", ulimits=limits)).strip() == "77"


def _status(said: str, name: str) -> str:
    return next(line.split()[1] for line in said.splitlines() if line.startswith(f"{name}:"))


async def user(t: Tried) -> None:
    spec = t.rig.spec("id -u; touch $PYMESOS_SANDBOX/own", image=t.image)
    if t.image:
        spec.info.command.user = "app"
    else:
        nobody = pwd.getpwnam("nobody")
        spec = replace(spec, user="nobody", owner=(nobody.pw_uid, nobody.pw_gid))
        os.chown(spec.sandbox, nobody.pw_uid, nobody.pw_gid)
    t.rig.runtime.launch(spec)
    await t.rig.exited(spec)
    said = "".join((spec.sandbox / n).read_text() for n in ("stdout", "stderr")).strip()
    assert said.isdigit() and int(said) != 0, said


async def capabilities(t: Tried) -> None:
    status = "cat /proc/self/status"
    sys_admin = 1 << 21
    assert int(_status(await t.says(status), "CapEff"), 16) & sys_admin == 0
    assert int(_status(await t.says(status, drop_capabilities=["ALL"]), "CapBnd"), 16) == 0
    more = _status(await t.says(status, add_capabilities=["NET_ADMIN"]), "CapEff")
    assert int(more, 16) & 1 << 12


async def seccomp(t: Tried) -> None:
    assert _status(await t.says("cat /proc/self/status"), "Seccomp") == "2"


async def no_new_privileges(t: Tried) -> None:
    assert _status(await t.says("cat /proc/self/status"), "NoNewPrivs") == "1"
    spec = await t.rig.run("sleep 60", image=t.image)
    entry = t.rig.runtime.entry(spec, ["cat", "/proc/self/status"], "")
    assert _status((await run_entry(entry, 20))[1], "NoNewPrivs") == "1"
    t.rig.runtime.kill(spec.container_id, force=True)
    await t.rig.exited(spec)


async def guard(t: Tried) -> None:
    """The folder around it is tried by tests/unit/test_guards.py."""
    said = await t.says("cat /proc/self/status; grep pymesos/sandbox /proc/mounts; true")
    if t.image:
        assert int(_status(said, "CapBnd"), 16) & 1 << 27 == 0, "MKNOD"
    # In a user namespace nobody makes devices, and set-uid files are nobody's; crun 1.8 forgets
    # the options of mounts there.
    if t.rig.runtime.name == "oci" and "user_namespace" not in t.rig.runtime.isolation:
        options = said.splitlines()[-1].split()[3].split(",")
        assert {"nosuid", "nodev"} <= set(options)


async def namespaces(t: Tried) -> None:
    said = await t.says("ls -d /proc/[0-9]*; ls -l /proc/self/ns")
    assert len([line for line in said.splitlines() if line.startswith("/proc/")]) < 8
    for kind in ("pid", "ipc", "uts", "mnt"):
        assert os.readlink(f"/proc/self/ns/{kind}") not in said, kind  # noqa: PTH115


async def user_namespace(t: Tried) -> None:
    """Root within, nobody outside; and an image is what its layers make it."""
    hidden, seen = b"of a lower layer", b"of the upper"
    low = Layer().file("app/gone", hidden).file("app/sub/gone", hidden).file("etc/kept", b"kept\n")
    top = Layer().file("app/.wh.gone", b"").file("app/sub/.wh..wh..opq", b"")
    top.file("app/sub/new", seen)
    write_layout(t.folder / "layers", [busybox_layer(), low, top], {})
    spec = await t.rig.run(
        "id -u; find /app -type f; cat /etc/kept; echo y > /etc/mine;"
        " cd $PYMESOS_SANDBOX; echo x > own; chown 7 own;"
        " echo end > /dev/stdout; exec sleep 30",
        image=f"oci:{t.folder}/layers:image",
    )
    pid = t.pid(spec)
    async with asyncio.timeout(10):
        while "end" not in (spec.sandbox / "stdout").read_text():
            await asyncio.sleep(0.02)
    (ids,) = [s for s in Path(f"/proc/{pid}/status").read_text().splitlines() if "Uid:" in s]
    assert set(ids.split()[1:]) == {str(BASE)}
    assert (spec.sandbox / "stdout").read_text() == "0\n/app/sub/new\nkept\nend\n"
    assert (spec.sandbox / "own").stat().st_uid == BASE + 7
    assert spec.sandbox.stat().st_uid == BASE
    entry = t.rig.runtime.entry(spec, ["cat", "/proc/self/uid_map", "/etc/mine"], "")
    status, said = await run_entry(entry, 20)
    assert (status, said.split()) == (0, ["0", str(BASE), "65536", "y"])
    t.rig.runtime.kill(spec.container_id, force=True)
    await t.rig.exited(spec)


async def secrets(t: Tried) -> None:
    """Only its user reads them, and nothing of them is on a disk."""
    for user in ("", "app"):
        command = (
            "sha256sum < $PYMESOS_SECRETS/pw; ls $PYMESOS_SECRETS; echo x > $PYMESOS_SECRETS/y"
        )
        uses = pb.ContainerInfo(secrets=[pb.SecretUse(name="db", path="pw")])
        spec = t.rig.spec(f"{command}; exec sleep 600", image=t.image, container=uses)
        if t.image:
            spec.info.command.user = user
        elif user:
            nobody = pwd.getpwnam("nobody")
            spec = replace(spec, user="nobody", owner=(nobody.pw_uid, nobody.pw_gid))
        else:
            spec = replace(spec, own_uid=OWN, owner=(OWN, OWN))
        if spec.owner is not None:
            os.chown(spec.sandbox, *spec.owner)
        t.memory.put(spec.container_id, {"pw": PLANTED})
        t.rig.runtime.launch(spec)
        await t.rig.until(ContainerStarted, spec.container_id)
        await until("it has said all", partial(has_said, spec, "pw\n"))
        assert out(spec).split() == [DIGEST, "-", "pw"]
        file = t.memory.secrets_of(spec.container_id) / "pw"
        assert file.stat().st_mode & 0o777 == 0o400
        assert file.stat().st_uid == spec.sandbox.stat().st_uid
        assert sorted(p.name for p in file.parent.iterdir()) == ["pw"], "it made none itself"
        stranger = ("setpriv", "--reuid", "7654", "--regid", "7654", "--clear-groups", "cat")
        read = subprocess.run([*stranger, str(file)], capture_output=True, check=False)
        assert read.returncode and not read.stdout
        assert not planted_below(t.folder)
        t.rig.runtime.kill(spec.container_id, force=True)
        await t.rig.exited(spec)
        t.rig.runtime.destroy(spec.container_id)
        t.memory.remove(spec.container_id)


async def secret_env(t: Tried) -> None:
    """What a tool writes down of its environment is in memory, and goes with it."""
    uses = pb.ContainerInfo(secrets=[pb.SecretUse(name="db", env="PASSWORD")])
    tells = "printf %s $PASSWORD | sha256sum"
    spec = t.rig.spec(f"{tells}; exec sleep 600", image=t.image, container=uses)
    spec = replace(spec, secrets=SecretValues({"PASSWORD": PLANTED.decode()}))
    t.rig.runtime.launch(spec)
    await t.rig.until(ContainerStarted, spec.container_id)
    await until("it has said all", partial(has_said, spec, "-\n"))
    assert out(spec).split() == [DIGEST, "-"]
    known = replace(spec, secrets=SecretValues())  # as the agent has it from now on
    status, said = await run_entry(t.rig.runtime.entry(known, ["sh", "-c", tells], ""), 20)
    assert status == 0 and (said.split()[0] == DIGEST) == (t.rig.runtime.name == "oci")
    assert not planted_below(t.folder)
    command_lines = b"".join(p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline"))
    assert PLANTED not in command_lines
    t.rig.runtime.kill(spec.container_id, force=True)
    await t.rig.exited(spec)
    t.rig.runtime.destroy(spec.container_id)
    await until("it is gone", lambda: not planted_below(t.memory.folder))
    t.memory.remove(spec.container_id)


def planted_below(folder: Path) -> list[str]:
    """The files below a folder that have the planted secret in them."""
    found = subprocess.run(
        ["grep", "-rlF", "--binary-files=text", PLANTED.decode(), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return found.stdout.split()


TRIALS: dict[str, Callable[[Tried], Awaitable[None]]] = {
    trial.__name__: trial
    for trial in (mem, cpu, cpu_quota, pids, io, network, bridge, bandwidth, group, root,
                  read_only, mounts, ulimits, user, own_user, capabilities, seccomp,
                  no_new_privileges, guard, namespaces, user_namespace, secrets, secret_env)
}  # fmt: skip


def test_every_facet_is_tried() -> None:
    assert {facet.name for facet in FACETS} == TRIALS.keys() | ELSEWHERE
    assert all(set(declared) <= {f.name for f in FACETS} for declared in DECLARED.values())


@pytest.mark.parametrize("runtime", ["process", "docker", "podman", *OCI])
async def test_what_is_declared_holds(
    runtime: str, request: pytest.FixtureRequest, passable: Path
) -> None:
    async with tried_on(runtime, request, passable) as tried:
        of = "oci" if runtime in OCI else "docker" if runtime == "podman" else runtime
        declared = {**DECLARED[of]}
        declared.pop("hidden", None)  # by agents that root does not run: see test_hiding.py
        declared.pop("volumes")  # see test_volume_limits.py
        if not OCI.get(runtime, (0, ""))[0]:
            declared.pop("user_namespace", None)  # of an engine: see test_engine_settings.py
        assert tried.rig.runtime.isolation.keys() >= declared.keys()
        assert tried.rig.runtime.can_resize == (runtime != "podman")
        for facet in declared:
            if facet not in ELSEWHERE:
                try:
                    await TRIALS[facet](tried)
                except BaseException as error:
                    error.add_note(f"the facet {facet} on {runtime}")
                    raise


@pytest.fixture
async def oci(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Tried]:
    async with tried_on("oci", request, tmp_path) as tried:
        yield tried
