"""What cannot be handled ends nothing but itself, at once and at every restart."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pymesos_core.store import Change, Store
from pymesos_proto.v1 import scheduler_pb2 as scheduler_pb
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_sdk import Driver, Scheduler
from pymesos_testing.cli import Cli, job
from pymesos_testing.components import Role, Roles, wait_for

SERVICE = job("service", command="exec sleep 1000")


def broken(roles: Roles, master: str) -> Role:
    place = str(roles.folder / "binpack")
    listen = ("--listen", "--master", master, "--state-dir", place)
    return roles.start("broken", "pymesos_testing.broken_binpack", *listen)


def named(name: str, text: str) -> str:
    return json.dumps({**json.loads(text), "name": name})


def state_of(cli: Cli, name: str) -> dict[str, Any]:
    (found,) = [j for j in cli.json("jobs", "--all") if j["name"] == name]
    return found


def test_a_job_that_the_framework_cannot_handle(roles: Roles) -> None:
    """Set aside while it is handled, kept over a restart, released when the fault is mended."""
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    framework = broken(roles, master.address)
    cli.ok("run", "-", "--wait", text=named("good", job("service", command="sleep 1000")))
    before = cli.tasks(state="TASK_RUNNING")
    cli.run("run", "-", text=named("bad", job("service", command="sleep 1000")))
    wait_for("it is set aside", lambda: state_of(cli, "bad")["state"] == "quarantined")
    assert framework.process.poll() is None, "the framework goes on"
    assert state_of(cli, "good")["state"] == "running"
    assert cli.tasks(state="TASK_RUNNING")[0]["task_id"] == before[0]["task_id"]
    assert "quarantined" in cli.ok("jobs")
    cli.ok("run", "-", "--wait", text=named("third", job()))

    framework.kill()
    mended = roles.binpack(master.address)
    wait_for("it is known again", lambda: bool(cli.json("quarantine", "list")))
    (aside,) = cli.json("quarantine", "list")
    assert aside["kind"] == "job" and "TypeError: planted" in aside["reason"]
    assert "sleep 1000" in cli.ok("quarantine", "show", aside["id"])
    refused = cli.run("stop", aside["id"])
    assert refused.returncode == 1 and "quarantine show" in refused.stderr
    assert "goes on" in cli.ok("quarantine", "release", aside["id"])
    cli.wait_for_tasks(2, 60, state="TASK_RUNNING")
    assert cli.json("quarantine", "list") == []
    for role in (framework, mended):
        assert "Traceback" not in role.log.read_text()


def test_a_job_of_another_version(roles: Roles) -> None:
    """A job that cannot be read keeps its tasks, which are shown; discarded, it goes with them."""
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    framework = roles.binpack(master.address)
    for name in ("good", "bad"):
        cli.ok("run", "-", "--wait", text=named(name, job("service", command="sleep 1000")))
    bad = state_of(cli, "bad")["job_id"]
    framework.kill()
    store = Store(roles.folder / "binpack" / "state.sqlite")
    record = json.loads(store.load()["job", bad])
    record["document"] = record["document"].replace("command", "\u202ecommand")
    store.commit([Change("job", bad, json.dumps(record).encode())])
    store.close()

    framework = roles.binpack(master.address)
    known = ["quarantined", "running"]  # and no longer unreachable
    wait_for("they are known again", lambda: sorted(j["state"] for j in cli.json("jobs")) == known)
    assert state_of(cli, "bad")["state"] == "quarantined"
    assert state_of(cli, "good")["state"] == "running"
    (left,) = [t for t in cli.tasks(state="TASK_RUNNING") if t["quarantined"]]
    assert left["task_id"].startswith(bad) and "U+202E" in left["quarantined"]
    assert "RUNNING (quarantined)" in cli.ok("tasks")
    assert cli.run("quarantine", "release", bad).returncode == 1
    assert cli.run("quarantine", "release", bad[:-1]).returncode == 2, "exact ids only"
    assert "is forgotten; ended: 1 task of it" in cli.ok("quarantine", "release", bad, "--discard")
    cli.wait_for_tasks(1, 60, state="TASK_RUNNING")
    assert cli.json("quarantine", "list") == []
    assert [j["name"] for j in cli.json("jobs")] == ["good"]


def test_odd_jobs_run_and_outlive_a_restart(roles: Roles) -> None:
    """F1, F2, W17: characters beyond U+FFFF, whole numbers as 1.0, the longest strings."""
    master = roles.master()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    framework = roles.binpack(master.address)
    assert "🚀" in cli.ok("run", "--", "echo 🚀")
    longest = {"command": ":" + " " * (128 * 1024 - 2)}
    variable = {"command": 'test "${#A}" = 131069', "env": {"A": "a" * (128 * 1024 - 3)}}
    tasks: list[dict[str, Any]] = [
        {"name": "longest", "instances": 1.0, **longest},
        {"name": "variable", "resources": {"ports": 1.0, "cpus": 0.30000000000000004}, **variable},
    ]
    done = cli.run("run", "-", "--wait", text=json.dumps({"name": "odd", "tasks": tasks}))
    assert done.returncode == 0, done.stdout + done.stderr
    tasks[0]["command"] = ":" + " " * (128 * 1024 - 1)
    refused = cli.run("run", "-", text=json.dumps({"name": "odd", "tasks": tasks}))
    assert refused.returncode == 2 and "has 131072 bytes" in refused.stderr
    framework.kill()
    framework = roles.binpack(master.address)
    wait_for("it is back", lambda: len(cli.json("jobs", "--all")) == 2)
    assert cli.json("quarantine", "list") == []
    assert "Traceback" not in framework.log.read_text()


def is_back(cli: Cli) -> bool:
    found = [f for f in cli.json("frameworks") if f["name"] == "binpack"]
    return all(f["state"] != "disconnected" for f in found)


class Hostile(Scheduler):
    """Notes what is refused."""

    def __init__(self) -> None:
        self.subscriptions = 0
        self.refusals: list[str] = []

    def subscribed(self, driver: Driver, framework_id: str) -> None:
        self.subscriptions += 1

    def refused(self, driver: Driver, refused: scheduler_pb.Event.Refused) -> None:
        self.refusals.append(refused.message)


async def test_a_framework_that_finds_a_fault_of_the_master(roles: Roles) -> None:
    """A bad call costs one failover, however often it comes; others go on, and operators see it."""

    def start(port: int = 0) -> Role:
        place = ("--work-dir", str(roles.folder / "master"), "--port", str(port))
        return roles.start("master", "pymesos_testing.broken_master", *place)

    async def until(what: str, condition: Callable[[], bool]) -> None:
        await asyncio.to_thread(wait_for, what, condition)

    master = start()
    cli = Cli(master.address)
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    roles.binpack(master.address)
    await asyncio.to_thread(cli.ok, "run", "-", "--wait", text=named("good", SERVICE))
    hostile = Hostile()
    info = pb.FrameworkInfo(name="hostile", failover_timeout_s=1000)
    driver = Driver(hostile, info, master.address)
    running = asyncio.create_task(driver.run())
    await until("it is subscribed", lambda: hostile.subscriptions == 1)
    driver.kill("boom")
    assert await asyncio.to_thread(master.ended) == 70
    assert "broken_master" not in master.log.read_text().splitlines()[-1], "a sentence, at its end"
    (crash,) = (roles.folder / "master").glob("crash-*.txt")
    assert "TypeError: planted" in crash.read_text()

    again = start(int(master.address.rpartition(":")[2]))
    # Its driver asks again for what it was not told about.
    await until("it is refused", lambda: bool(hostile.refusals))
    for _ in range(3):
        driver.kill("boom")
    await until("it is refused again", lambda: len(hostile.refusals) >= 4)
    assert all("is in quarantine" in message for message in hostile.refusals)
    assert again.process.poll() is None, "this leader stays"
    await until("the other is back", lambda: is_back(cli))
    await asyncio.to_thread(cli.ok, "run", "-", "--wait", text=named("third", job()))
    (aside,) = await asyncio.to_thread(cli.json, "quarantine", "list")
    assert aside["id"] == f"call/{driver.framework_id}:KILL" and "planted" in aside["reason"]
    assert '"call": "KILL"' in await asyncio.to_thread(cli.ok, "quarantine", "show", aside["id"])
    released = await asyncio.to_thread(cli.ok, "quarantine", "release", aside["id"])
    assert "goes on" in released
    assert await asyncio.to_thread(cli.json, "quarantine", "list") == []
    driver.stop()
    await asyncio.wait_for(running, 20)
