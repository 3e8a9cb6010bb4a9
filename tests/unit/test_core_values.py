"""Ids, addresses, attributes, timers, back-off, the outbox, the store."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from urllib.parse import quote

import pytest

from pymesos_core import limits
from pymesos_core.addresses import AddressError, HostPort, parse_host_port, parse_master, parse_zk
from pymesos_core.attributes import AttributeSyntaxError, parse_attributes
from pymesos_core.backoff import Backoff
from pymesos_core.coordination import StaleEpochError
from pymesos_core.coordination.standalone import (
    LockedError,
    SqliteRegistry,
    lock_directory,
    raise_epoch,
)
from pymesos_core.ids import hostname_problem, id_problem, name_problem, role_problem
from pymesos_core.outbox import BATCH_BYTES, Outbox, OverflowedError
from pymesos_core.store import Change, Store, StoreError
from pymesos_core.text import duration
from pymesos_core.timers import AT_ONCE, Timers
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb

UNSEEN = ["a\u202eb", "\u200b", "a\u2066", "\ufeffa", "a\u2028b", "a\u00ad", "a\x7f", "a\x9bb"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\u3000",
        "a ",
        " a",
        ".",
        "..",
        "a/b",
        "a\\b",
        "\n",
        "a\0",
        "x" * 256,
        "\ud800",
        *UNSEEN,
    ],
)
def test_what_is_no_id(text: str) -> None:
    assert id_problem(text)
    assert hostname_problem(text)


def test_an_id_is_measured_in_bytes_as_it_may_become_the_name_of_a_file() -> None:
    assert id_problem("é" * 127) is None
    assert id_problem("é" * 128) == "An id has 256 bytes; at most 255 are accepted"


def test_ids_and_names_that_people_write() -> None:
    for text in ("a", "web-1", "a b", "Größe", "東京", "🚀", "x" * 255):
        assert id_problem(text) is None
        assert name_problem(text) is None
    assert name_problem("app.example/part") is None


@pytest.mark.parametrize(
    "role", ["a//b", "/a", "a/", "a/..", "a/*", "a b", "-a", "x" * 300, "é" * 200, *UNSEEN]
)
def test_what_is_no_role(role: str) -> None:
    assert role_problem(role)


def test_a_limit_is_named_with_the_size() -> None:
    assert limits.AGENT_INFO.problem(64 * 1024) is None
    problem = limits.AGENT_INFO.problem(900_000)
    assert problem == "The AgentInfo has 900000 bytes; at most 65536 are accepted"
    assert len({limit.name for limit in limits.TABLE}) == len(limits.TABLE) > 30


def test_roles_form_a_tree() -> None:
    assert role_problem("eng/web") is None
    assert role_problem("*") is None


def test_addresses() -> None:
    assert parse_host_port("h:1") == HostPort("h", 1)
    assert str(parse_host_port("[::1]:5050")) == "[::1]:5050"
    url = parse_zk("zk://a:1,b/x/y/")
    assert (url.hosts, url.path, url.auth, url.tls) == ("a:1,b:2181", "/x/y", None, None)


def test_what_a_zookeeper_url_names(tmp_path: Path) -> None:
    auth, tls = tmp_path / "the auth", tmp_path / "tls"
    auth.write_text("alice:s3:cret\n")
    auth.chmod(0o600)
    tls.mkdir()
    (tls / "roots.pem").touch()
    written = f"zk://a/x?tls={tls}&auth={quote(str(auth))}"
    url = parse_zk(written)
    assert (url.auth, url.tls, str(url)) == ("alice:s3:cret", tls, "zk://a:2181/x")
    assert "s3" not in repr(url)

    refused(f"zk://a/x?tls=/{'x' * 300}", "of the zk:// URL cannot be used: /x")
    (tls / "key.pem").touch()
    (tls / "key.pem").chmod(0o640)
    refused(written, f"key.pem: can be read by others than its owner: chmod 600 {tls}/key.pem")
    (tls / "key.pem").chmod(0o600)
    refused(written, "one of cert.pem and key.pem; both are expected, or none")
    (tls / "roots.pem").unlink()
    refused(written, "holds no roots.pem")
    for content in ("", "alice", "alice:", ":s3cret", "alice:s3\ncret", "a:s3" + "c" * 1024):
        auth.write_text(content)
        refused(written, "one line, user:password")
    auth.chmod(0o640)
    refused(written, f"can be read by others than its owner: chmod 600 '{auth}'")
    auth.unlink()
    refused(written, "cannot be used: No such file or directory")
    auth.mkdir()
    refused(written, "cannot be used: Is a directory")
    for query in ("auth", "auth=", "auth=a&auth=b", "user=a", "tls=a&&x=y"):
        refused(f"zk://a/x?{query}", "auth=FILE and tls=FOLDER are expected there")


def refused(url: str, says: str) -> None:
    with pytest.raises(AddressError) as error:
        parse_zk(url)
    assert says in str(error.value) and "s3" not in str(error.value)


@pytest.mark.parametrize("text", ["", "h", "h:", "h:0", "h:70000", "h:x", "a b:1", "h:1/x"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(AddressError):
        parse_host_port(text)


@pytest.mark.parametrize(
    "text",
    [
        "user:s3cret@h",
        "user:s3cret@h:1",
        "http://user:s3cret@h:1",
        "ZK://user:s3cret@h/x",
        "s3cret@",
    ],
)
def test_a_password_is_never_repeated(text: str) -> None:
    with pytest.raises(AddressError, match=r"only a zk:// address may have") as refused:
        parse_master(text)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("text", ["zk://", "zk://h", "zk://h/", "zk:///x", "zk://h/../x", "h:1"])
def test_what_is_no_zookeeper(text: str) -> None:
    with pytest.raises(AddressError):
        parse_zk(text)


@pytest.mark.parametrize("url", ["zk://alice:s3cret@h", "zk://alice:s3cret@a:1/x", "zk://s3@/"])
def test_a_password_in_a_zookeeper_url_is_not_repeated(url: str) -> None:
    refused(url, "user:password into a file that only you can read, and end the URL in ?auth=FILE")


def test_attributes() -> None:
    assert parse_attributes("rack:a; ssd:true") == {"rack": "a", "ssd": "true"}
    for text in ("rack", "rack:", ":a", "rack:a;rack:b", "r/k:a"):
        with pytest.raises(AttributeSyntaxError):
            parse_attributes(text)


def test_timers() -> None:
    timers: Timers[str] = Timers()
    for name, at in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        timers.set(name, at)
    timers.set("b", 5.0)
    timers.cancel("c")
    assert timers.due(2.0) == ["a"]
    assert timers.next_s() == 5.0
    assert timers.due(10.0) == ["b"]
    assert timers.next_s() is None


def test_deadlines_that_are_due_together_are_met_in_parts() -> None:
    """One step that met thousands would keep everybody waiting."""
    timers: Timers[int] = Timers()
    for number in range(2 * AT_ONCE + 1):
        timers.set(number, 1.0)
    met = []
    while timers.next_s() is not None:
        met.append(list(timers.each_due(1.0)))
    assert [len(part) for part in met] == [AT_ONCE, AT_ONCE, 1]
    assert [number for part in met for number in part] == list(range(2 * AT_ONCE + 1))


def test_timers_that_are_set_again_and_again_do_not_grow() -> None:
    timers: Timers[str] = Timers()
    for at in range(10_000):
        timers.set("a", float(at))
    assert len(timers._heap) < 200


def test_backoff_grows_to_its_ceiling_and_starts_over() -> None:
    backoff = Backoff(0.1, 5.0, random.Random(1))
    delays = [backoff.next_s() for _ in range(50)]
    assert all(0.1 <= delay <= 5.0 for delay in delays)
    assert max(delays[10:]) > 3
    backoff.reset()
    assert backoff.next_s() == 0.1


def event(size: int) -> scheduler_pb.Event:
    return scheduler_pb.Event(error=scheduler_pb.Event.Error(message="x" * size))


async def test_an_outbox_batches_below_the_limit_and_keeps_the_order() -> None:
    outbox: Outbox[scheduler_pb.Event] = Outbox()
    for number in range(1, 101):
        outbox.put(event(number * 200))
    outbox.close()
    seen: list[scheduler_pb.Event] = []
    while (batch := await outbox.batch()) is not None:
        assert scheduler_pb.EventBatch(event=batch).ByteSize() <= BATCH_BYTES + 64
        seen += batch
    assert [len(e.error.message) for e in seen] == [n * 200 for n in range(1, 101)]


async def test_an_outbox_that_nobody_reads_overflows_and_holds_nothing() -> None:
    outbox: Outbox[scheduler_pb.Event] = Outbox(limit_bytes=10_000)
    for _ in range(100):
        outbox.put(event(1000))
    assert not outbox._items
    with pytest.raises(OverflowedError):
        await outbox.batch()


def test_the_store_keeps_what_it_said_it_has(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    store.commit([Change("k", "a", b"1"), Change("k", "b", b"2")])
    store.commit([Change("k", "a", None), Change("k", "b", b"3")])
    store.close()
    assert Store(tmp_path / "s").load() == {("k", "b"): b"3"}


def test_a_refused_commit_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")

    def refuse(_: sqlite3.Cursor) -> None:
        raise StaleEpochError("no")

    with pytest.raises(StaleEpochError):
        store.commit([Change("k", "a", b"1")], refuse)
    assert store.load() == {}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=str(tmp_path / "s")):
        Store(tmp_path / "s")


def test_a_deposed_masters_write_fails(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    old = SqliteRegistry(store, raise_epoch(store))
    old.commit([Change("agent", "a", b"1")])
    new = SqliteRegistry(store, raise_epoch(store))
    with pytest.raises(StaleEpochError):
        old.commit([Change("agent", "a", b"2")])
    assert new.load() == {("agent", "a"): b"1"}


@pytest.mark.parametrize("written", [b"", b"x", b"-1", b"9" * 20, b"9" * 5000])
def test_an_epoch_that_cannot_be_read_is_damage(tmp_path: Path, written: bytes) -> None:
    store = Store(tmp_path / "s")
    registry = SqliteRegistry(store, raise_epoch(store))
    store.commit([Change("epoch", "", written)])
    with pytest.raises(StoreError, match=r"its record epoch holds .* was expected") as said:
        raise_epoch(store)
    assert said.value.damaged
    with pytest.raises(StaleEpochError):
        registry.commit([])


@pytest.mark.parametrize("value", ["'text'", "7", "NULL"])
def test_a_record_that_holds_no_bytes_is_named(tmp_path: Path, value: str) -> None:
    store = Store(tmp_path / "s")
    with sqlite3.connect(tmp_path / "s") as db:
        db.execute(f"INSERT INTO record VALUES ('job', 'j', {value})")
    with pytest.raises(StoreError, match="its record 'job/j' holds no bytes") as said:
        store.load()
    assert said.value.damaged


def test_an_epoch_is_raised_to_what_an_operator_wants(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    assert [raise_epoch(store, least) for least in (0, 1, 7, 7, 3)] == [1, 2, 7, 8, 9]


def test_a_directory_is_for_one_process(tmp_path: Path) -> None:
    lock_directory(tmp_path)
    with pytest.raises(LockedError, match="in use"):
        lock_directory(tmp_path)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (75, "75 s"),
        (119.9, "120 s"),
        (120, "2 minutes"),
        (150, "2 minutes 30 s"),
        (3599.7, "1 hour"),
        (5400, "1 hour 30 minutes"),
        (86399, "1 day"),
        (90000, "1 day 1 hour"),
        (1000 * 86400, "1000 days"),
        (-7200, "-2 hours"),
        (1e300, "1e+300 s"),
        (float("nan"), "nan s"),
        (float("-inf"), "-inf s"),
    ],
)
def test_durations_are_written_as_people_write_them(seconds: float, says: str) -> None:
    assert duration(seconds) == says
