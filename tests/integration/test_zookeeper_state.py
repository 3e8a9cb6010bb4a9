"""The state of a framework on a real ZooKeeper."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError

from pymesos_core.addresses import HostPort, ZkUrl, parse_zk
from pymesos_core.coordination import CoordinationError, MasterInfo, StaleEpochError
from pymesos_core.coordination.zk_store import PART_BYTES, ZkStore, framework_url
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
