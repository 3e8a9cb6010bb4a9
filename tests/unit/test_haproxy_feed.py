"""The script that feeds HAProxy: from the views of a job and HAProxy's own words to commands."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_cli.jobs import run
from pymesos_proto.v1 import jobs_pb2 as pb

FEED = Path(__file__).resolve().parents[2] / "deploy/haproxy/feed.py"
# As HAProxy 2.6 says it; the last number but five is the port.
HEAD = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
    " srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health"
    " srv_check_state"
    " srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl"
    " srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
)


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("feed", FEED)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["feed"] = module  # where dataclasses look for their types
    spec.loader.exec_module(module)
    return module


feed = _load()


def row(number: int, admin: int, port: int, since_s: int = 9, ip: str = "10.0.0.1") -> str:
    return (
        f"3 web {number} s{number} {ip} 2 {admin} 1 1 {since_s} 1 0 0 8 0 0 0 - {port} - 0 0 - - 0"
    )


def commands(wanted: set[tuple[str, int]], *rows: str) -> list[str]:
    out: list[str] = feed.commands("web", feed.read_slots(HEAD + "\n".join(rows) + "\n\n"), wanted)
    return out


def test_what_haproxy_has_is_read() -> None:
    slots = feed.read_slots(HEAD + row(1, 4, 80) + "\n" + row(2, 5, 1, 70) + "\n\n")
    assert slots == [
        feed.Slot("s1", ("10.0.0.1", 80), True, 9),
        feed.Slot("s2", ("10.0.0.1", 1), False, 70),
    ]


def test_no_such_backend() -> None:
    with pytest.raises(feed.FeedError, match=r"no such backend.*Can't find backend"):
        feed.read_slots("Can't find backend.\n\n")


@pytest.mark.parametrize("line", ["3 web 1 s1", row(1, 4, 80).replace(" 4 ", " ready ")])
def test_a_server_that_is_not_as_expected_is_said(line: str) -> None:
    with pytest.raises(feed.FeedError, match="HAProxy says of a server '3 web 1 s1"):
        feed.read_slots(HEAD + line + "\n\n")


def test_nothing_is_changed_that_is_right() -> None:
    assert commands({("10.0.0.1", 80)}, row(1, 4, 80), row(2, 5, 1)) == []


def test_a_new_one_is_opened_before_an_old_one_is_closed() -> None:
    assert commands({("10.0.0.2", 81)}, row(1, 4, 80), row(2, 5, 1)) == [
        "set server web/s2 addr 10.0.0.2 port 81",
        "set server web/s2 state ready",
        "set server web/s1 state maint",
    ]


def test_the_slot_that_was_closed_first_is_used_again_first() -> None:
    first, *_ = commands({("10.0.0.2", 81)}, row(1, 5, 80, 3), row(2, 5, 82, 40), row(3, 5, 83, 9))
    assert first == "set server web/s2 addr 10.0.0.2 port 81"


def test_one_that_was_drained_by_hand_is_opened_again() -> None:
    assert commands({("10.0.0.1", 80)}, row(1, 8, 80))[-1] == "set server web/s1 state ready"


def test_an_address_has_one_slot() -> None:
    assert commands({("10.0.0.1", 80)}, row(1, 4, 80), row(2, 4, 80)) == [
        "set server web/s2 state maint"
    ]


def test_too_few_slots_are_said_before_anything_is_changed() -> None:
    with pytest.raises(feed.FeedError, match="2 instances serve, and the backend web has 1 slots"):
        commands({("10.0.0.1", 80), ("10.0.0.1", 81)}, row(1, 5, 1))


def instance(name: str, **more: Any) -> pb.InstanceView:
    made = {"task_name": "web", "hostname": "a", "ports": [80, 81], "port_names": ["http"]}
    return pb.InstanceView(**{"name": name, "serving": True, **made, **more})


def feeder(port: str = "http") -> Any:
    return feed.Feeder("shop", "web", port, "web", feed.HaProxy("/nowhere"))


def test_only_those_that_serve_are_given() -> None:
    it = feeder()
    it.take(pb.JobView(instances=[instance("a"), instance("b")], more=True))
    assert not it.changed.is_set(), "there is more to come: those that are not told yet stay"
    it.take(pb.JobView(instances=[instance("c", serving=False), instance("d", task_name="db")]))
    assert (sorted(it.serving), it.changed.is_set()) == (["a", "b"], True)
    it.take(pb.JobView(instances=[instance("a", serving=False), instance("b", removed=True)]))
    assert it.serving == {}


async def test_what_is_gone_between_two_watches_serves_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when the job was not found for a while, or another of its name runs by now."""
    watches = [
        [pb.JobView(state="running", instances=[instance("a"), instance("b")])],
        [
            pb.JobView(state="running", instances=[instance("c")], more=True),
            pb.JobView(state="running", instances=[instance("b")]),
        ],
    ]

    class Stub:
        async def WatchJob(self, _: object) -> AsyncIterator[pb.JobView]:
            for view in watches.pop(0):
                yield view

    @asynccontextmanager
    async def jobs_at(*_: object) -> AsyncIterator[Stub]:
        yield Stub()

    async def ask_jobs(*_: object, **__: object) -> Any:
        if not watches:
            raise OverError
        return SimpleNamespace(items=[("a:1", pb.JobView(job_id="j", name="shop"))])

    monkeypatch.setattr(run, "jobs_at", jobs_at)
    monkeypatch.setattr(feed, "ask_jobs", ask_jobs)
    monkeypatch.setattr(feed, "TRY_AGAIN_S", 0)
    it = feeder()
    with pytest.raises(OverError):
        await it._follow(None)
    assert sorted(it.serving) == ["b", "c"]


class OverError(Exception):
    """Nothing more is to be asked."""


def test_a_port_is_found_by_its_name() -> None:
    assert feeder().port_of(instance("a")) == 80
    with pytest.raises(feed.FeedError, match="the task web has http, and not admin: write"):
        feeder("admin").port_of(instance("a"))
    with pytest.raises(feed.FeedError, match="has no port with a name"):
        feeder().port_of(instance("a", port_names=[]))


async def test_a_host_without_an_address_is_said() -> None:
    it = feeder()
    assert await it._addresses([instance("a", hostname="127.0.0.1")]) == {("127.0.0.1", 80)}
    with pytest.raises(feed.FeedError, match="the agent's host 'no such host' has no address"):
        await it._addresses([instance("a", hostname="no such host")])


async def test_haproxy_that_is_not_there_is_said() -> None:
    with pytest.raises(feed.FeedError, match="HAProxy does not answer at /nowhere"):
        await feed.HaProxy("/nowhere").give("web", set())
