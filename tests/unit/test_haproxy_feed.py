"""The script that feeds HAProxy, from the views of a job and HAProxy's own words to commands.

And what the bench of rollouts counts.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pymesos_cli.jobs import run
from pymesos_lb import slots as runtime
from pymesos_proto.v1 import jobs_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
# As HAProxy 2.6 says it; the last number but five is the port.
HEAD = (
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight"
    " srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health"
    " srv_check_state"
    " srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl"
    " srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n"
)


def _load(script: Path) -> Any:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module  # where dataclasses look for their types
    spec.loader.exec_module(module)
    return module


feed = _load(ROOT / "deploy/haproxy/feed.py")
rollout = _load(ROOT / "bench/rollout.py")


def row(number: int, admin: int, port: int, since_s: int = 9, ip: str = "10.0.0.1") -> str:
    return (
        f"3 web {number} s{number} {ip} 2 {admin} 1 1 {since_s} 1 0 0 8 0 0 0 - {port} - 0 0 - - 0"
    )


def commands(wanted: set[tuple[str, int]], *rows: str) -> list[str]:
    out: list[str] = runtime.commands(
        "web", runtime.read_slots(HEAD + "\n".join(rows) + "\n\n"), wanted
    )
    return out


def test_what_haproxy_has_is_read() -> None:
    slots = runtime.read_slots(HEAD + row(1, 4, 80) + "\n" + row(2, 5, 1, 70) + "\n\n")
    assert slots == [
        runtime.Slot("s1", ("10.0.0.1", 80), True, 9),
        runtime.Slot("s2", ("10.0.0.1", 1), False, 70),
    ]


def test_no_such_backend() -> None:
    with pytest.raises(runtime.FeedError, match=r"no such backend.*Can't find backend"):
        runtime.read_slots("Can't find backend.\n\n")


@pytest.mark.parametrize("line", ["3 web 1 s1", row(1, 4, 80).replace(" 4 ", " ready ")])
def test_a_server_that_is_not_as_expected_is_said(line: str) -> None:
    with pytest.raises(runtime.FeedError, match="HAProxy says of a server '3 web 1 s1"):
        runtime.read_slots(HEAD + line + "\n\n")


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


def test_where_slots_lack_the_free_ones_are_opened_and_the_old_ones_closed() -> None:
    wanted = {("10.0.0.2", 81), ("10.0.0.2", 82)}
    assert commands(wanted, row(1, 4, 80), row(2, 5, 1)) == [
        "set server web/s2 addr 10.0.0.2 port 81",
        "set server web/s2 state ready",
        "set server web/s1 state maint",
    ]


class Backend:
    """A HAProxy that does what it is told, unless it is `deaf`."""

    def __init__(self, *ports: int, closed: int = 0, deaf: bool = False) -> None:
        self.slots = {f"s{n}": [port, 4] for n, port in enumerate((*ports, *(1,) * closed))}
        for slot in list(self.slots.values())[len(ports) :]:
            slot[1] = 5
        self.deaf = deaf

    async def give(self, wanted: set[tuple[str, int]]) -> int:
        """Have it serve from these addresses, as the script does."""
        haproxy = runtime.HaProxy("/nowhere")
        haproxy.ask = self.ask  # type: ignore[method-assign]
        commands: int = await haproxy.give("web", wanted)
        return commands

    async def ask(self, *lines: str) -> str:
        for line in lines:
            words = line.split()
            if words[0] == "show":
                return HEAD + "\n".join(
                    row(int(name[1:]), admin, port) for name, (port, admin) in self.slots.items()
                )
            slot = self.slots[words[2].removeprefix("web/")]
            if words[3] == "addr" and not self.deaf:
                slot[0] = int(words[6])
            elif words[3] == "state" and not self.deaf:
                slot[1] = {"ready": 4, "maint": 5}[words[4]]
        return ""

    def open(self) -> list[int]:
        """The ports of the slots that are given requests."""
        return sorted(port for port, admin in self.slots.values() if admin == 4)


def at(*ports: int) -> set[tuple[str, int]]:
    return {("10.0.0.1", port) for port in ports}


async def test_a_slot_that_was_closed_is_given_to_one_that_had_none() -> None:
    """All of eleven are others at once, and twenty slots are not twice as many."""
    haproxy = Backend(*range(100, 111), closed=9)
    # Nine and eleven, then the two that are left; to open one takes two commands.
    assert await haproxy.give(at(*range(200, 211))) == 2 * 9 + 11 + 2 * 2
    assert haproxy.open() == list(range(200, 211))


async def test_too_few_slots_are_said_after_all_are_used() -> None:
    haproxy = Backend(80, 81)
    with pytest.raises(
        runtime.FeedError, match="3 instances serve, and the backend web has 2 slots"
    ):
        await haproxy.give(at(90, 91, 92))
    assert haproxy.open() == [90, 91]


async def test_what_haproxy_does_not_do_is_said() -> None:
    with pytest.raises(runtime.FeedError, match="did not do 'set server web/s0 state maint'"):
        await Backend(80, deaf=True).give(set())


def instance(name: str, **more: Any) -> pb.InstanceView:
    made = {"task_name": "web", "hostname": "a", "ports": [80, 81], "port_names": ["http"]}
    return pb.InstanceView(**{"name": name, "serving": True, **made, **more})


def feeder(port: str = "http") -> Any:
    return feed.Feeder("shop", "web", port, "web", runtime.HaProxy("/nowhere"))


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
    with pytest.raises(runtime.FeedError, match="the task web has http, and not admin: write"):
        feeder("admin").port_of(instance("a"))
    with pytest.raises(runtime.FeedError, match="has no port with a name"):
        feeder().port_of(instance("a", port_names=[]))


@pytest.mark.parametrize(("silent", "left"), [([], []), (["a framework that is away"], ["a"])])
async def test_a_job_that_is_gone_keeps_no_slots(
    monkeypatch: pytest.MonkeyPatch, silent: list[str], left: list[str]
) -> None:
    """Unless a framework does not answer: it may have the job."""
    answers = [SimpleNamespace(items=[], silent=silent)]

    async def ask_jobs(*_: object, **__: object) -> Any:
        if not answers:
            raise OverError
        return answers.pop()

    monkeypatch.setattr(feed, "ask_jobs", ask_jobs)
    monkeypatch.setattr(feed, "TRY_AGAIN_S", 0)
    it = feeder()
    it.serving["a"] = instance("a")
    with pytest.raises(OverError):
        await it._follow(None)
    assert (sorted(it.serving), it.known, it.changed.is_set()) == (left, not left, not left)


async def test_an_instance_is_reached_at_the_address_that_is_said() -> None:
    """The host is looked up only where there is none, as from older masters, and not kept."""
    it = feeder()
    told = instance("a", hostname="no such host", address="10.0.0.7")
    assert await it._addresses([told]) == {("10.0.0.7", 80)}
    told.address = "10.0.0.8"
    assert await it._addresses([told]) == {("10.0.0.8", 80)}
    assert await it._addresses([instance("a", hostname="127.0.0.1")]) == {("127.0.0.1", 80)}


async def test_one_without_an_address_or_a_port_is_said_and_the_others_are_fed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(feed, "note", notes.append)
    it = feeder()
    told = [
        instance("a", hostname="no such host"),
        instance("b", address="10.0.0.7", port_names=[]),
        instance("c", address="10.0.0.8"),
    ]
    assert await it._addresses(told) == {("10.0.0.8", 80)}
    it._say("job", "something else")
    await it._addresses(told)
    said, _ = notes  # once, whatever else is said in between
    assert "a is left out: the agent's host 'no such host' has no address" in said
    assert "b is left out: the task web has no port with a name" in said


async def test_haproxy_that_is_not_there_is_said() -> None:
    with pytest.raises(runtime.FeedError, match="HAProxy does not answer at /nowhere"):
        await runtime.HaProxy("/nowhere").give("web", set())


class StubRoles:
    """Starts nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def master(self) -> Any:
        return SimpleNamespace(address="127.0.0.1:1")

    def binpack(self, _: str) -> Any:
        return SimpleNamespace(address="127.0.0.1:1", process=SimpleNamespace(pid=7))

    def close(self) -> None:
        """Nothing runs."""


class StubJobs:
    """Two jobs in a page each, or both in one."""

    def __init__(self, _: object) -> None:
        pass

    def ListJobs(self, request: pb.ListJobsRequest, timeout: float) -> pb.ListJobsResponse:
        if request.page_size or request.page_token:
            return pb.ListJobsResponse(jobs=[pb.JobView()] * (2 if request.page_size else 1))
        return pb.ListJobsResponse(jobs=[pb.JobView()], next_page_token="2")


def test_the_bench_counts_the_cpu_until_it_serves_and_of_the_first_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    used_s = iter([6.5, 6.75, 7.25, 8.0, 8.1, 9.0, 9.1])  # once it serves, around each page
    asked: list[int] = []

    def cpu_s_of(pid: int) -> float:
        asked.append(pid)
        return next(used_s)

    monkeypatch.setattr(rollout, "cpu_s_of", cpu_s_of)
    monkeypatch.setattr(rollout, "Roles", StubRoles)
    monkeypatch.setattr(rollout, "JobsStub", StubJobs)
    monkeypatch.setattr(rollout, "passable_folder", lambda: nullcontext(tmp_path))
    found = rollout.listing(2)
    assert set(asked) == {7}
    assert (found["served_after_cpu_s"], found["first_page"]["cpu_ms"]) == (6.5, 500.0)
    assert set(found["page_ms"]) == {"1 jobs", "2 jobs"}
