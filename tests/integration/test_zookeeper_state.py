"""The state of a framework on a real ZooKeeper."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from pymesos_core.addresses import HostPort, ZkUrl, parse_zk
from pymesos_core.coordination import CoordinationError, MasterInfo, StaleEpochError
from pymesos_core.coordination.zk_store import PART_BYTES, ZkStore, framework_url
from pymesos_core.coordination.zk_watched import WatchedRecords
from pymesos_core.coordination.zookeeper import INSTANCES, ZkContender
from pymesos_core.store import Change
from pymesos_testing.components import ZooKeeper

LONG_SESSION_S = 30.0  # a machine that stands still for seconds must not end one


def contender(url: ZkUrl, port: int) -> ZkContender:
    info = MasterInfo(f"instance-{port}", HostPort("127.0.0.1", port))
    return ZkContender(framework_url(url, "binpack"), info, LONG_SESSION_S, elected=INSTANCES)


async def test_large_writes_are_there_for_the_next_leader(zk_url: str) -> None:
    draw = random.Random(1)
    first, second = contender(parse_zk(zk_url), 1), contender(parse_zk(zk_url), 2)
    old = await first.lead()
    store = ZkStore(old.registry)
    assert await asyncio.to_thread(store.load) == {}
    long = "j" * 255 + "/" + "t" * 255 + "/%s" + "\u00e9" * 50
    changes = [
        Change("framework", "", b"id"),
        Change("rollouts", "j", draw.randbytes(5 * PART_BYTES)),
        *(Change("instance", long % n, draw.randbytes(200)) for n in range(3000)),
    ]
    await asyncio.to_thread(store.commit, changes)
    removed = [Change("instance", long % n, None) for n in range(2900)]
    await asyncio.to_thread(store.commit, removed)
    # Its znode is gone, and it does not notice.
    await asyncio.to_thread(first._client.delete, first._node)
    new = await second.lead()
    with pytest.raises(StaleEpochError):
        await asyncio.to_thread(store.commit, [Change("framework", "", b"stale")])
    with pytest.raises(StaleEpochError):
        await asyncio.to_thread(store.commit, changes)
    found = await asyncio.to_thread(ZkStore(new.registry).load)
    gone = {change.key for change in removed}
    assert found == {(c.kind, c.key): c.value for c in changes if c.key not in gone}
    await first.close()
    await second.close()


async def test_a_standby_reads_once_more_what_was_written_since(zk_url: str) -> None:
    first, url = contender(parse_zk(zk_url), 1), framework_url(parse_zk(zk_url), "binpack")
    info = MasterInfo("instance-2", HostPort("127.0.0.1", 2))
    second = ZkContender(url, info, LONG_SESSION_S, records=WatchedRecords, elected=INSTANCES)
    store = ZkStore((await first.lead()).registry)
    await asyncio.to_thread(store.load)
    there = {("job", f"j{n}/é"): b"%d" % n for n in range(300)}
    await asyncio.to_thread(store.commit, [Change(*place, there[place]) for place in there])
    leading = asyncio.create_task(second.lead())
    while not second._client.connected:
        await asyncio.sleep(0.01)
    places = await asyncio.to_thread(second.records.places)
    assert len(await asyncio.to_thread(second.records.read, places)) == 300
    asked: list[str] = []
    ask = second._client.get_async

    def get_async(node: str, watch: Any = None) -> Any:
        asked.append(node)
        return ask(node, watch)

    second._client.get_async = get_async
    written = {("job", "j7/é"): b"x", ("job", "j8/é"): None, ("instance", "new"): b"y"}
    await asyncio.to_thread(
        store.commit, [Change(*place, value) for place, value in written.items()]
    )
    await asyncio.to_thread(first._client.delete, first._node)
    found = await asyncio.to_thread(ZkStore((await leading).registry).load)
    assert found == {k: v for k, v in (there | written).items() if v is not None}
    read = sorted(node.rpartition("_")[2] for node in asked if "/registry/" in node)
    assert read == ["j7%2F%C3%A9", "new"]
    await first.close()
    await second.close()


async def test_with_credentials_nobody_else_reads_the_state(
    zk_url: str, zookeeper_server: ZooKeeper, tmp_path: Path
) -> None:
    def with_credentials(text: str) -> ZkUrl:
        file = tmp_path / text.replace(":", "-")
        file.write_text(text)
        file.chmod(0o600)
        return parse_zk(f"{zk_url}?auth={file}")

    mine = with_credentials("framework:secret")
    one = contender(mine, 1)
    term = await one.lead()
    store = ZkStore(term.registry)
    await asyncio.to_thread(store.load)
    await asyncio.to_thread(store.commit, [Change("job", "j", b"PASSWORD=x")])
    client = KazooClient(zookeeper_server.address)
    client.start()
    path = framework_url(mine, "binpack").path
    with pytest.raises(NoAuthError):
        client.get_children(f"{path}/registry")
    with pytest.raises(NoAuthError):
        client.get(f"{path}/epoch")
    (node,) = (name for name in client.get_children(path) if name.startswith("json.info_"))
    assert MasterInfo.from_json(client.get(f"{path}/{node}")[0]).address.port == 1
    client.stop()
    other = contender(with_credentials("other:secret"), 2)
    with pytest.raises(CoordinationError, match=r"for instances with other credentials"):
        await other.lead()
    await other.close()
    await one.close()
