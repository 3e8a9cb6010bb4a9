"""Election and registry on a real ZooKeeper."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError, NodeExistsError

from pymesos_core.addresses import HostPort, parse_zk
from pymesos_core.coordination import (
    CoordinationError,
    MasterInfo,
    RegistryError,
    StaleEpochError,
)
from pymesos_core.coordination.zk_registry import MAX_RECORD_BYTES
from pymesos_core.coordination.zookeeper import ZkContender, ZkDetector
from pymesos_core.security.authority import certificate_pem, key_pem, new_key
from pymesos_core.store import Change
from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Roles, ZooKeeper, wait_for

SESSION_S = 2.0  # of those whose session has to end by itself
LONG_SESSION_S = 30.0  # a machine that stands still for seconds must not end one


def contender(zk_url: str, port: int) -> ZkContender:
    info = MasterInfo(f"master-{port}", HostPort("127.0.0.1", port))
    return ZkContender(parse_zk(zk_url), info, LONG_SESSION_S)


@pytest.fixture
async def detector(zk_url: str) -> AsyncIterator[ZkDetector]:
    made = ZkDetector(parse_zk(zk_url), LONG_SESSION_S)
    await made.start()
    yield made
    await made.close()


async def leads(detector: ZkDetector, port: int) -> None:
    async with asyncio.timeout(15):
        leader = detector.leader
        while leader is None or leader.address.port != port:
            leader = await detector.changed(leader)


async def test_the_first_leads_and_the_next_takes_over(zk_url: str, detector: ZkDetector) -> None:
    first, second = contender(zk_url, 1), contender(zk_url, 2)
    term = await first.lead()
    await leads(detector, 1)
    waiting = asyncio.create_task(second.lead())
    await asyncio.sleep(0.5)
    assert not waiting.done()
    await first.close()
    taken = await asyncio.wait_for(waiting, 15)
    await leads(detector, 2)
    assert taken.epoch == term.epoch + 1
    await second.close()


async def test_a_path_that_is_created_while_it_is_looked_for(
    zk_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch on its existence does not tell of its children; found by the chaos test."""
    one = contender(zk_url, 1)
    detector = ZkDetector(parse_zk(zk_url), LONG_SESSION_S)
    exists = detector._client.exists

    def slow_exists(path: str, watch: Callable[..., None]) -> Any:
        with contextlib.suppress(NodeExistsError):
            detector._client.create(path)
        return exists(path, watch)

    monkeypatch.setattr(detector._client, "exists", slow_exists)
    await detector.start()
    await asyncio.sleep(0.3)
    await one.lead()
    await leads(detector, 1)
    await detector.close()
    await one.close()


async def test_waiting_for_leadership_can_be_cancelled(zk_url: str) -> None:
    first, second = contender(zk_url, 1), contender(zk_url, 2)
    await first.lead()
    waiting = asyncio.create_task(second.lead())
    await asyncio.sleep(0.3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await second.close()
    await first.close()


async def test_the_znodes_are_what_the_contract_says(
    zk_url: str, zookeeper_server: ZooKeeper
) -> None:
    one = contender(zk_url, 5)
    await one.lead()
    client = KazooClient(zookeeper_server.address)
    client.start()
    path = parse_zk(zk_url).path
    (node,) = (c for c in client.get_children(path) if c.startswith("json.info_"))
    data, stat = client.get(f"{path}/{node}")
    assert stat.ephemeralOwner != 0
    assert MasterInfo.from_json(data).address == HostPort("127.0.0.1", 5)
    assert client.get(f"{path}/epoch")[0] == b"1"
    client.stop()
    await one.close()


async def test_a_deposed_leaders_write_fails(zk_url: str) -> None:
    first, second = contender(zk_url, 1), contender(zk_url, 2)
    old = await first.lead()
    old.registry.load()
    old.registry.commit([Change("agent", "a/b %", b"1"), Change("agent", "c", b"2")])
    old.registry.commit([Change("agent", "c", None), Change("agent", "c", b"3")])
    # The znode of the old leader is gone: it notices nothing, and its session has not ended yet.
    await asyncio.to_thread(first._client.delete, first._node)
    new = await second.lead()
    with pytest.raises(StaleEpochError):
        old.registry.commit([Change("agent", "a/b %", b"stale")])
    assert new.registry.load() == {("agent", "a/b %"): b"1", ("agent", "c"): b"3"}
    new.registry.commit([Change("agent", "c", None)])
    new.registry.commit([Change("agent", "c", b"again")])
    assert new.registry.load()[("agent", "c")] == b"again"
    await first.close()
    await second.close()


async def test_many_records_go_in_batches_and_one_too_large_is_refused(zk_url: str) -> None:
    one = contender(zk_url, 1)
    term = await one.lead()
    changes = [Change("agent", f"a{n}", b"x" * 4000) for n in range(500)]
    await asyncio.to_thread(term.registry.commit, changes)
    assert len(term.registry.load()) == 500
    with pytest.raises(RegistryError, match="at most"):
        term.registry.commit([Change("agent", "big", b"x" * MAX_RECORD_BYTES)])
    await one.close()


async def test_a_lost_session_ends_the_term(zk_url: str, zookeeper_server: ZooKeeper) -> None:
    one = contender(zk_url, 1)
    term = await one.lead()
    # Another client with this session's id and password closes it, as an expiry would.
    session, password = one._client.client_id
    thief = KazooClient(zookeeper_server.address, client_id=(session, password))
    thief.start()
    thief.stop()
    await asyncio.wait_for(term.lost.wait(), 15)
    again = await asyncio.wait_for(one.lead(), 15)
    assert again.epoch > term.epoch
    await one.close()


async def test_an_epoch_that_is_no_number_is_said_to_be(
    zk_url: str, zookeeper_server: ZooKeeper
) -> None:
    client = KazooClient(zookeeper_server.address)
    client.start()
    client.create(f"{parse_zk(zk_url).path}/epoch", b"x", makepath=True)
    one = contender(zk_url, 1)
    with pytest.raises(CoordinationError, match=r"/epoch in ZooKeeper holds b'x', and the epoch"):
        await one.lead()
    await one.close()
    client.stop()


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    """A file of credentials."""
    file = tmp_path / "zk-auth"
    file.write_text("alice:s3cret\n")
    file.chmod(0o600)
    return file


def certificates(folder: Path) -> Path:
    """A folder with what a server on 127.0.0.1 shows, server.pem, and what clients trust."""
    folder.mkdir(exist_ok=True)
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a ZooKeeper")])
    now = datetime.now(UTC)
    at = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    made = builder.add_extension(at, critical=False).sign(key, SHA256())
    (folder / "roots.pem").write_bytes(certificate_pem(made))
    (folder / "server.pem").write_bytes(key_pem(key) + certificate_pem(made))
    return folder


def rights_of_others(client: KazooClient, path: str) -> list[str]:
    """What who has no credentials may do with a znode."""
    return [r for acl in client.get_acls(path)[0] if acl.id.scheme == "world" for r in acl.acl_list]


async def test_who_has_no_credentials_reads_who_leads_and_nothing_else(
    zk_url: str, detector: ZkDetector, auth: Path, zookeeper_server: ZooKeeper
) -> None:
    """The credentials come to a cluster that had none, and close what it has written."""
    path = parse_zk(zk_url).path
    before = contender(zk_url, 1)
    (await before.lead()).registry.commit([Change("agent", "a/1", b"x")])
    await before.close()

    one = contender(f"{zk_url}?auth={auth}", 2)
    term = await one.lead()
    await leads(detector, 2)
    term.registry.commit([Change("agent", "a/2", b"y"), Change("role", "b", b"z")])
    assert set(term.registry.load()) == {("agent", "a/1"), ("agent", "a/2"), ("role", "b")}

    stranger = KazooClient(zookeeper_server.address)
    stranger.start()
    closed = ["/epoch", "/registry", "/registry/agent", "/registry/role"]
    for below in (*closed, "/registry/agent/a%2F1", "/registry/agent/a%2F2"):
        with pytest.raises(NoAuthError):
            stranger.get(path + below)
    (contending,) = (c for c in stranger.get_children(path) if c.startswith("json.info_"))
    assert rights_of_others(stranger, path) == ["READ"]
    assert rights_of_others(stranger, f"{path}/{contending}") == ["READ"]
    stranger.stop()

    with pytest.raises(CoordinationError, match=r"for masters with other credentials; end the"):
        await contender(zk_url, 3).lead()
    await one.close()


async def test_no_zookeeper_is_said() -> None:
    nobody = ZkDetector(parse_zk("zk://127.0.0.1:1/x"), 1.0)
    with pytest.raises(CoordinationError, match="no ZooKeeper server answers"):
        await nobody.start()


def test_who_starts_before_zookeeper_waits_for_it(roles: Roles, tmp_path: Path, auth: Path) -> None:
    """Over TLS, and with credentials, which are shown nowhere."""
    tls = certificates(tmp_path)
    server = ZooKeeper(tmp_path / "zk", tls=tls / "server.pem")
    url = f"zk://{server.secure_address}/pymesos?auth={auth}&tls={tls}"
    shown = f"no server answers at zk://{server.secure_address}/pymesos"
    master = roles.master("m", "--zk", url, "--zk-session-timeout", "2")
    agent = roles.agent(url, "agent", "--kill-tasks-on-exit")
    framework = roles.binpack(url)
    for role in (master, agent, framework):
        wait_for("what it says", lambda r=role: shown in r.log.read_text())  # type: ignore[misc]
        assert "s3cret" not in role.log.read_text()
    gives_up = roles.master("gives-up", "--zk", url)
    gives_up.signal(signal.SIGTERM)
    assert gives_up.ended(10) == 0
    asked = Cli(url).run("--timeout", "1", "tasks")
    assert asked.returncode == 3 and "no ZooKeeper server answers" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1 and "s3cret" not in asked.stderr
    try:
        server.start()
        cli = Cli(url)
        cli.wait_for_agents(1)
        assert cli.run("run", "--", "echo", "late").stdout == "late\n"
        (tls / "roots.pem").write_bytes(
            (certificates(tmp_path / "other") / "roots.pem").read_bytes()
        )
        distrusts = cli.run("--timeout", "1", "tasks")
        assert distrusts.returncode == 3 and "its certificate one of" in distrusts.stderr
    finally:
        server.stop()


def test_everyone_follows_the_leader(zk_url: str, roles: Roles) -> None:
    """kill -9 of the leading master: agent, framework and CLI go on with the next."""
    zk = ("--zk", zk_url, "--zk-session-timeout", str(SESSION_S))
    masters = {role.address: role for role in (roles.master(f"m{n}", *zk) for n in range(3))}
    cli = Cli(zk_url)
    roles.agent(zk_url, "agent", "--kill-tasks-on-exit")
    roles.binpack(zk_url)
    cli.wait_for_agents(1)
    service = job("service", command="sleep 100")
    assert cli.run("run", "-", text=service).returncode == 0
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    before = cli.tasks()
    leader = cli.ok("leader").split()[0]

    other = next(address for address in masters if address != leader)
    ids = [t["task_id"] for t in before]
    assert [t["task_id"] for t in Cli(other).tasks()] == ids, "one that does not lead names it"

    masters[leader].kill()
    wait_for("another leader", lambda: Cli(zk_url).ok("leader").split()[0] != leader, 30)
    cli.wait_for_agents(1)
    cli.wait_for_tasks(1, state="TASK_RUNNING")
    assert [t["task_id"] for t in cli.tasks()] == [t["task_id"] for t in before]
    ended = cli.run("run", "--", "echo", "after the failover")
    assert (ended.returncode, ended.stdout) == (0, "after the failover\n")


def test_zookeeper_goes_away_and_comes_back(roles: Roles, tmp_path: Path) -> None:
    """Within the session timeout: no failover, no task lost; meanwhile nothing is launched.

    When it is away again the master can still be stopped.
    """
    server = ZooKeeper(tmp_path / "zk")
    server.start()
    url = f"zk://{server.address}/pymesos"
    try:
        # Nor does a stream end for the silence, however long it takes to start ZooKeeper again.
        patient = ("--zk-session-timeout", "60", "--agent-ping-timeout", "60")
        master = roles.master("m", "--zk", url, *patient)
        cli = Cli(master.address)
        roles.agent(master.address, "agent", "--kill-tasks-on-exit")
        roles.binpack(master.address)
        cli.wait_for_agents(1)
        service = job("service", command="exec sleep 100")
        assert cli.run("run", "-", "--wait", text=service).returncode == 0
        server.stop()
        wait_for("the pause", lambda: "sends are paused" in master.log.read_text())
        assert len(cli.tasks(state="TASK_RUNNING")) == 1, "reads are answered, tasks run on"
        other = job().replace('"name": "job"', '"name": "other"')
        assert cli.run("run", "-", text=other).returncode == 0
        assert cli.tasks(state="TASK_FINISHED") == []
        server.start()
        cli.wait_for_tasks(1, state="TASK_FINISHED")
        assert "epoch 1" in cli.ok("leader"), "the same session goes on in the same epoch"
        assert len(cli.tasks(state="TASK_RUNNING")) == 1
        server.stop()
        wait_for("another pause", lambda: master.log.read_text().count("sends are paused") == 2)
        master.signal(signal.SIGTERM)
        assert master.ended(15) == 0, "it cannot resign, and ends all the same"
    finally:
        server.stop()


def test_zookeeper_is_away_for_longer_than_a_session(roles: Roles, tmp_path: Path) -> None:
    """Nobody leads, tasks run on; when it is back a master leads by itself, and nothing is lost."""
    server = ZooKeeper(tmp_path / "zk")
    server.start()
    url = f"zk://{server.address}/pymesos"
    try:
        master = roles.master("m", "--zk", url, "--zk-session-timeout", "2")
        cli = Cli(master.address, timeout_s=30)
        roles.agent(master.address, "agent", "--kill-tasks-on-exit")
        roles.binpack(master.address)
        cli.wait_for_agents(1)
        service = job("service", command="exec sleep 100")
        assert cli.run("run", "-", "--wait", text=service).returncode == 0
        before = [t["task_id"] for t in cli.tasks()]
        server.stop()
        wait_for("the end of the term", lambda: "leadership is given up" in master.log.read_text())
        away = cli.run("--timeout", "0.5", "tasks")
        assert away.returncode == 3 and "nobody does yet" in away.stderr
        server.start()
        cli.wait_for_tasks(1, state="TASK_RUNNING")
        assert [t["task_id"] for t in cli.tasks()] == before
        assert "epoch 2" in cli.ok("leader")
        assert cli.run("run", "--", "true").returncode == 0
    finally:
        server.stop()


def test_a_record_that_cannot_be_read_is_set_aside(
    zk_url: str, zookeeper_server: ZooKeeper, roles: Roles
) -> None:
    path = parse_zk(zk_url).path
    client = KazooClient(zookeeper_server.address)
    client.start()
    client.create(f"{path}/registry/agent/a1", b"\xff nonsense", makepath=True)
    master = roles.master("m", "--zk", zk_url, "--zk-session-timeout", "2")
    cli = Cli(master.address, timeout_s=30)
    (aside,) = cli.json("quarantine", "list")
    assert aside["id"] == "agent/a1" and aside["kind"] == "record"
    assert "the registry's record agent/a1: set aside" in master.log.read_text()
    assert cli.json("agents")[0]["state"] == "quarantined"
    assert "ff206e6f 6e73656e" in cli.ok("quarantine", "show", "agent/a1")
    assert client.get(f"{path}/registry/agent/a1")[0] == b"\xff nonsense"
    refused = cli.run("quarantine", "release", "agent/a1")
    assert refused.returncode == 2 and "no better than before" in refused.stderr
    assert "is forgotten" in cli.ok("quarantine", "release", "agent/a1", "--discard")
    assert cli.json("quarantine", "list") == [] == cli.json("agents")
    assert client.exists(f"{path}/registry/agent/a1") is None
    client.stop()
