"""Containers on the bridge find what the cluster serves, and everything else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import dnslib
import pytest

from pymesos_agent.containers.settings import NetworkSettings, Settings
from pymesos_core.discovery import forwarding, stand_in
from pymesos_core.discovery.forwarding import PORT, Bridge, Forwarder, Server
from pymesos_core.discovery.resolver import CannotListenError, Names, Resolver, bind
from pymesos_core.discovery.server import NameServer
from pymesos_core.outside import OUTSIDE
from pymesos_core.tasks import beside
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import NamedTask, NamesBatch, ServedPort, ServedTask
from pymesos_testing.components import IMAGE, free_port
from pymesos_testing.rigs import docker_rig, oci_rig

WEB = "web.shop.pymesos"
BRIDGE = IPv4Network(NetworkSettings.bridge_subnet)
BRIDGE_IP = str(BRIDGE[1])
LOOPBACK = IPv4Network("127.0.0.0/8")


class Other(asyncio.DatagramProtocol):
    """A name server of everything, at 10.9.9.9; one that lies sends nonsense before."""

    def __init__(self, *, lies: bool = False) -> None:
        self.lies = lies
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def answered(self, packet: bytes) -> bytes:
        asked = dnslib.DNSRecord.parse(packet)
        self.asked.append(str(asked.q.qname))
        reply = asked.reply(ra=1, aa=0)
        reply.add_answer(*dnslib.RR.fromZone(f"{asked.q.qname} 60 A 10.9.9.9"))
        return bytes(reply.pack())

    def datagram_received(self, data: bytes, addr: Any) -> None:
        good = self.answered(data)
        if self.lies:
            self.transport.sendto(bytes([good[0] ^ 1]) + good[1:-1] + b"\x01", addr)
        self.transport.sendto(good, addr)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        good = self.answered(packet)
        writer.write(len(good).to_bytes(2, "big") + good)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def other(*, lies: bool = False) -> AsyncIterator[tuple[Other, Server]]:
    loop, port, it = asyncio.get_running_loop(), free_port(), Other(lies=lies)
    transport, _ = await loop.create_datagram_endpoint(lambda: it, ("127.0.0.1", port))
    async with await asyncio.start_server(it.serve, "127.0.0.1", port):
        try:
            yield it, ("127.0.0.1", port)
        finally:
            transport.close()


def names() -> Names:
    task = ServedTask(
        task_id="t", agent_id="a", role="*", job="shop", task="web", order=1,
        ports=[ServedPort(name="http", port=31000)],
    )  # fmt: skip
    known = Names("pymesos")
    served = NamedTask(framework_id="f", ip="10.0.0.1", task=task)
    known.take(NamesBatch(epoch=1, serves=[served], whole=True))
    return known


def resolver(
    servers: Callable[[], Sequence[Server]],
    ip: str = "127.0.0.1",
    port: int = 0,
    clients: IPv4Network = LOOPBACK,
) -> Resolver:
    forwarder = Forwarder(servers, random.Random(1), clients)
    return Resolver(names(), bind(ip, port, early=True), time.monotonic, forwarder)


async def ask(port: int, name: str, *, tcp: bool) -> dnslib.DNSRecord:
    question = dnslib.DNSRecord.question(name)
    while True:
        try:
            packet = await asyncio.to_thread(question.send, "127.0.0.1", port, tcp=tcp, timeout=5)
            break
        except ConnectionRefusedError:  # it has not begun to listen
            await asyncio.sleep(0.01)
    answered = dnslib.DNSRecord.parse(packet)
    assert answered.header.id == question.header.id
    return answered


@pytest.mark.parametrize("tcp", [False, True])
async def test_other_names_are_asked_of_others(tcp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "WITHIN_S", 0.3)
    async with other(lies=True) as (it, server):
        silent = ("127.0.0.1", free_port())
        known = [silent, server]
        here = resolver(lambda: known)
        port = here.address.port
        async with beside(here.run()):
            for name, ip in ((WEB, "10.0.0.1"), ("example.org", "10.9.9.9")):
                assert [str(r.rdata) for r in (await ask(port, name, tcp=tcp)).rr] == [ip]
            assert it.asked == ["example.org."], "nobody is asked of what is ours"
            known[:] = [silent]
            nobody = await ask(port, "example.org", tcp=tcp)
            assert dnslib.RCODE.get(nobody.header.rcode) == "SERVFAIL"
            assert (await ask(port, "no.pymesos", tcp=tcp)).header.rcode == dnslib.RCODE.NXDOMAIN
        here.close()


def test_a_port_that_is_taken_is_said_with_what_helps() -> None:
    here = resolver(list)
    ip, port = "127.0.0.1", here.address.port
    try:
        with pytest.raises(CannotListenError, match="of the agents of a machine one answers there"):
            bind(ip, port, early=True)
        with pytest.raises(CannotListenError, match="choose another port with --dns-port; below"):
            bind(ip, port)
    finally:
        here.close()


async def test_nobody_else_than_containers_has_others_asked() -> None:
    async with other() as (it, server):
        here = resolver(lambda: [server], clients=BRIDGE)
        async with beside(here.run()):
            refused = await ask(here.address.port, "example.org", tcp=False)
            assert dnslib.RCODE.get(refused.header.rcode) == "SERVFAIL" and not it.asked
            assert (await ask(here.address.port, WEB, tcp=False)).rr
        here.close()


async def test_one_container_that_asks_much_leaves_others_their_places(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forwarding, "MAX_ASKING_OF_ONE", 2)
    async with other() as (_, server):
        packet = bytes(dnslib.DNSRecord.question("example.org").pack())
        asking = Forwarder(lambda: [server], random.Random(1), LOOPBACK)
        many = [
            asking.ask(packet, peer, udp=True)
            for peer in ("127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2")
        ]
        rcodes = [dnslib.DNSRecord.parse(p).header.rcode for p in await asyncio.gather(*many)]
        assert rcodes == [0, 0, dnslib.RCODE.SERVFAIL, 0]
        assert (
            dnslib.DNSRecord.parse(await asking.ask(packet, "127.0.0.1", udp=True)).header.rcode
            == 0
        )


@pytest.mark.skipif(os.geteuid() != 0, reason="networks need root")
async def test_a_container_on_the_bridge_asks_the_bridge(tmp_path: Path) -> None:
    async with other() as (it, server):
        try:
            here = resolver(lambda: [server], BRIDGE_IP, PORT, BRIDGE)  # before the bridge is there
        except CannotListenError as error:
            pytest.skip(str(error))
        networks = replace(NetworkSettings(), name_server=BRIDGE_IP)
        async with (
            oci_rig(tmp_path, Settings(networks=networks)) as rig,
            beside(here.run()),
        ):
            asks = f"getent ahostsv4 {WEB}; getent ahostsv4 example.org"
            spec = await rig.run(asks, container=pb.ContainerInfo(network="bridge"))
            await rig.exited(spec)
            said = (spec.sandbox / "stdout").read_text().split()
            assert "10.0.0.1" in said and "10.9.9.9" in said and "example.org." in it.asked
            rig.runtime.destroy(spec.container_id)
        here.close()
        # The rig has ended by a runtime that knows of no name server.
        assert BRIDGE_IP not in (tmp_path / "oci/resolv.conf").read_text(), "it is given back"


async def test_a_stand_in_answers_until_its_agent_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in, "LINKS", tmp_path)
    monkeypatch.setattr(stand_in, "LOOK_S", 0.05)
    (container := tmp_path / "bridge0/brif/veth0").mkdir(parents=True)
    (tmp_path / "names").write_bytes(names().held.keep(time.time()))
    (tmp_path / stand_in.FOLDER).mkdir()
    async with other() as (_, server):
        monkeypatch.setattr(stand_in, "Upstream", lambda own_ip: lambda: [server])
        for is_wanted_back in (True, False):
            sockets = bind("127.0.0.1", 0)
            back = socket.socket(socket.AF_UNIX)
            back.bind(str(tmp_path / stand_in.FOLDER / "127.0.0.1"))
            back.listen()
            back.setblocking(False)
            port = sockets.udp.getsockname()[1]
            plan = stand_in.Plan(
                *("127.0.0.1", "127.0.0.0/8", "bridge0", "pymesos", str(tmp_path / "names")),
                *(each.detach() for each in (*sockets, back)),
            )
            standing_in = asyncio.create_task(stand_in.serve(plan))
            for name, ip in ((WEB, "10.0.0.1"), ("example.org", "10.9.9.9")):
                assert [str(r.rdata) for r in (await ask(port, name, tcp=False)).rr] == [ip]
            given = {}
            if is_wanted_back:
                given = await asyncio.to_thread(stand_in.end_all, tmp_path)
            else:
                container.rmdir()
            async with asyncio.timeout(10):
                await standing_in
            stand_in.close_all(given.values())
            stand_in.close_all([bind("127.0.0.1", port)])  # it is free


@asynccontextmanager
async def standing_in(folder: Path) -> AsyncIterator[tuple[str, int]]:
    """A process that has the place of an agent which is away; and where it answers."""
    ip, port = "127.0.53.2", free_port()
    (folder / "names").write_bytes(names().held.keep(time.time()))
    stand_in.close_all(stand_in.end_all(folder).values())
    sockets = bind(ip, port)
    sockets.tcp.listen()  # as the agent had it
    # The loopback has no ports of a bridge: it is the file system that has containers here.
    bridge = Bridge(ip, LOOPBACK, str(folder / "link"))
    (folder / "link/brif/veth0").mkdir(parents=True, exist_ok=True)
    stand_in.have_wait(bridge, sockets, "pymesos", folder / "names", folder).close()
    stand_in.close_all([sockets])
    try:
        yield ip, port
    finally:
        shutil.rmtree(folder / "link")
        stand_in.close_all(stand_in.end_all(folder).values())


async def test_nobody_is_refused_while_a_stand_in_hands_over(tmp_path: Path) -> None:
    asked = bytes(dnslib.DNSRecord.question(WEB).pack())

    def ask_on(at: tuple[str, int], over: threading.Event, *, tcp: bool) -> int:
        """How often it was answered until it is over. Raises OSError when it is not."""
        answered = 0
        while not over.is_set():
            kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, kind) as asking:
                asking.settimeout(5)
                asking.connect(at)
                asking.sendall(len(asked).to_bytes(2, "big") + asked if tcp else asked)
                answered += b"\x0a\x00\x00\x01" in asking.recv(512)
        return answered

    async with standing_in(tmp_path) as at:
        over = threading.Event()
        asking = [
            asyncio.create_task(asyncio.to_thread(ask_on, at, over, tcp=tcp))
            for tcp in (False, True)
        ]
        await asyncio.sleep(1)  # it is answered by the stand-in
        given = await asyncio.to_thread(stand_in.end_all, tmp_path)
        assert [*given] == [at[0]] and not any(os.get_inheritable(s.fileno()) for s in given[at[0]])
        back = Resolver(names(), given[at[0]], time.monotonic)
        async with beside(back.run()):
            await asyncio.sleep(0.3)
            over.set()
            assert all(answered > 100 for answered in await asyncio.gather(*asking))
        back.close()


def test_of_two_stand_ins_that_do_not_end_both_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stand_in, "LEAVE_WITHIN_S", 0.01)
    (tmp_path / stand_in.FOLDER).mkdir()
    ips = ("127.0.0.1", "127.0.0.2")
    with contextlib.ExitStack() as stack:
        for ip in ips:
            back = stack.enter_context(socket.socket(socket.AF_UNIX))
            back.bind(str(tmp_path / stand_in.FOLDER / ip))
            back.listen()
        stand_in.end_all(tmp_path)
    assert all(caplog.text.count(f"at {ip} without an agent does not end") == 1 for ip in ips)


@pytest.mark.skipif(os.geteuid() != 0, reason="port 53 needs root")
async def test_of_two_agents_of_a_machine_the_first_answers_at_a_bridge(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bridge = Bridge("127.0.53.1", LOOPBACK, "bridge-of-nobody")
    first, second = (
        NameServer("127.0.0.1", 0, "pymesos", OUTSIDE, tmp_path / name) for name in "ab"
    )
    try:
        assert first.answer_at(bridge) == bridge.ip
        assert second.answer_at(bridge) == ""
    finally:
        await second.close()
        await first.close()
    (said,) = (record.getMessage() for record in caplog.records if record.levelname == "WARNING")
    assert said.startswith("containers on bridge-of-nobody have other name servers: DNS cannot be")
    assert "of the agents of a machine one answers there" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="port 53 needs root")
async def test_a_container_of_an_engine_asks_its_bridge(tmp_path: Path, docker_host: str) -> None:
    bridges: list[Bridge] = []

    def answer_at(bridge: Bridge) -> str:
        bridges.append(bridge)
        return bridge.ip

    async with (
        other() as (it, server),
        docker_rig(tmp_path, docker_host, answer_at=answer_at) as rig,
    ):
        (bridge,) = bridges
        try:
            here = resolver(lambda: [server], bridge.ip, PORT, bridge.clients)
        except CannotListenError as error:
            pytest.skip(str(error))
        async with beside(here.run()):
            asks = f"cat /etc/resolv.conf; nslookup {WEB}; nslookup example.org"
            said = {}
            for network in ("bridge", "host"):
                container = pb.ContainerInfo(network=network)
                spec = await rig.run(asks, image=IMAGE, container=container)
                await rig.exited(spec)
                said[network] = (spec.sandbox / "stdout").read_text()
            assert "10.0.0.1" in said["bridge"] and "10.9.9.9" in said["bridge"]
            assert f"nameserver {bridge.ip}" in said["bridge"] and "example.org." in it.asked
            assert f"nameserver {bridge.ip}" not in said["host"]
        here.close()
