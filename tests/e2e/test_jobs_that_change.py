"""Services change without an outage: real tasks with health checks, and a framework that dies."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import Roles, wait_for

COUNT = 3
# Ready a moment after it runs: its check finds what it writes then.
GOOD = "sleep 0.3; touch up; exec sleep 1000"
CHECK = {"command": "test -f up", "delay_s": 0, "interval_s": 0.2, "grace_period_s": 30}


def shop(command: str = GOOD, **task: Any) -> str:
    """The file of a service that is ready a moment after its start."""
    web = {
        "name": "web",
        "kind": "service",
        "instances": COUNT,
        "command": command,
        "health_check": CHECK,
        "update": {"min_healthy_s": 1, "max_surge": 1},
        "resources": {"cpus": 0.1, "mem": 16},
        **task,
    }
    return json.dumps({"name": "shop", "tasks": [web]})


@pytest.fixture
def cli(roles: Roles) -> Cli:
    master = roles.master()
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    return Cli(master.address)


def versions(task_ids: list[str]) -> list[str]:
    """The same without the job's random part and their attempts."""
    return [task_id.partition(".")[2].rpartition(".")[0] for task_id in task_ids]


@contextmanager
def never_fewer(cli: Cli, least: int) -> Iterator[list[int]]:
    """Look again and again how many run: never fewer than these, and not many more."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.1):  # in a process of its own, unlike Cli.json
            listed = json.loads(cli.ok("tasks", "--json"))
            seen.append(sum(task["state"] == "TASK_RUNNING" for task in listed))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        yield seen
    finally:
        over.set()
        looking.join(30)
    assert min(seen) >= least, seen
    assert max(seen) <= COUNT + 2, "one of surge, and one that is being killed"


def test_a_change_is_no_outage_and_a_bad_one_is_undone(roles: Roles, cli: Cli) -> None:
    roles.binpack(cli.master)
    cli.ok("apply", "-", "--wait", text=shop())
    before = cli.running()
    assert versions(before) == ["web.0", "web.1", "web.2"]
    assert cli.run("apply", "-", "--plan", text=shop()).returncode == 0
    planned = cli.run("apply", "-", "--plan", text=shop(env={"V": "2"}))
    assert (planned.returncode, "3 are replaced" in planned.stdout) == (1, True)
    assert cli.running() == before, "a plan changes nothing"
    refused = cli.run("apply", "-", "--plan", "--if-version", "7", text=shop(env={"V": "2"}))
    assert refused.returncode == 2 and "is at version 1, not 7" in refused.stderr

    with never_fewer(cli, COUNT):
        cli.ok("apply", "-", "--wait", text=shop(env={"V": "2"}))
    good = cli.running()
    assert versions(good) == ["web.0.v2", "web.1.v2", "web.2.v2"]

    with never_fewer(cli, COUNT):
        bad = cli.run("apply", "-", "--wait", text=shop("echo no disk >&2; exit 3"))
    assert bad.returncode == 1
    assert "with status 3; stderr: no disk" in cli.ok("tasks", "--all", "shop")
    assert "3 instances of version 3 ended in a row" in bad.stdout
    assert cli.running() == good, "what had not changed runs on"
    assert [v["what"] for v in cli.json("history", "shop")] == [
        "rollback of web to 2", "apply", "apply", "submit",
    ]  # fmt: skip
    (rollout,) = cli.json("rollout", "status", "shop")
    unknown = cli.run("rollout", "status", "shop.nosuch")
    assert unknown.returncode == 2 and "no task 'nosuch': it has web" in unknown.stderr
    assert rollout["state"] == "rolled_back"

    cli.ok("scale", "shop.web=4", "--wait")
    assert versions(cli.running()) == ["web.0.v2", "web.1.v2", "web.2.v2", "web.3.v5"]
    cli.ok("scale", "shop.web=1", "--wait")
    assert cli.running() == good[:1], "the highest end"
    cli.ok("rollback", "shop", "1", "--wait")
    assert versions(cli.running()) == ["web.0.v7"]
    described = json.loads(cli.ok("describe", "shop", "--json"))["job"]["tasks"][0]
    assert (described["instances"], "env" in described) == (1, False)


def test_what_crashes_says_why_and_when_it_is_tried_again(roles: Roles, cli: Cli) -> None:
    roles.binpack(cli.master)
    again = {"backoff_min_s": 60, "backoff_max_s": 60}
    text = shop("echo no disk >&2; exit 3", instances=1, restart=again)
    cli.ok("apply", "-", text=text)
    waits = re.compile(r"again at 20[0-9T:-]+Z")
    wait_for("it is kept back", lambda: bool(waits.search(cli.ok("jobs", "shop"))))
    for command in (("jobs", "shop"), ("tasks", "--all", "shop"), ("explain", "task", "shop.web")):
        said = cli.ok(*command)
        assert "no disk" in said and waits.search(said), said
    assert waits.search(cli.ok("tasks", "shop")), "none of them lives"


def test_a_framework_that_is_killed_goes_on(roles: Roles, cli: Cli) -> None:
    framework = roles.binpack(cli.master)
    cli.ok("apply", "-", "--wait", text=shop())
    with never_fewer(cli, COUNT):
        cli.ok("apply", "-", text=shop(env={"V": "2"}))
        for number in range(3):
            wait_for_new(cli, number + 1)
            framework.kill()
            framework = roles.binpack(cli.master)
        wait_for("all are new", lambda: rolled(cli) == ["done"], 90)
        wait_for("the old ones are gone", lambda: len(cli.running()) == COUNT, 30)
    assert versions(cli.running()) == ["web.0.v2", "web.1.v2", "web.2.v2"]
    new = [t["task_id"] for t in cli.tasks() if ".v2." in t["task_id"]]
    assert len(new) == COUNT, f"nothing is started twice: {new}"


def wait_for_new(cli: Cli, number: int) -> None:
    """Wait until so many of the second version run."""
    wait_for("the next has begun", lambda: sum(".v2." in t for t in cli.running()) >= number, 60)


def rolled(cli: Cli) -> list[str]:
    """The states of the rollouts; none while the framework is away."""
    done = cli.run("rollout", "status", "shop", "--json")
    return [each["state"] for each in json.loads(done.stdout)] if done.returncode == 0 else []


def test_a_host_port_is_of_one_at_a_time_and_waited_for(roles: Roles, cli: Cli) -> None:
    roles.binpack(cli.master)
    ports = [{"name": "http", "host": 31080}, {"name": "admin"}]
    listens = "env | grep ^PORT_ > up; exec sleep 1000"
    update = {"min_healthy_s": 0}
    of = {"instances": 1, "ports": ports, "update": update}
    cli.ok("apply", "-", "--wait", text=shop(listens, **of))
    (old,) = cli.running()
    assert "PORT_HTTP=31080" in cli.ok("cat", old, "up")
    (shown,) = cli.json("jobs", "shop")
    assert (shown["address"], shown["named_ports"]["http"]) == ("127.0.0.1", 31080)
    assert "31080 (http)" in cli.ok("jobs", "shop")
    planned = cli.run("apply", "-", "--plan", text=shop(listens, **of, env={"V": "2"}))
    assert "its host ports are held" in planned.stdout
    cli.ok("apply", "-", "--wait", text=shop(listens, **of, env={"V": "2"}))

    other = json.loads(shop(listens, **of)) | {"name": "other"}
    cli.ok("run", "-", text=json.dumps(other))
    said = "needs the host port 31080, which others hold: not free on the one agent offered"
    wait_for("it is explained", lambda: said in explained(cli, "other.web.0"), 30)
    cli.ok("stop", "shop")
    wait_for("the other one has it", lambda: versions(cli.running()) == ["web.0"], 30)


def explained(cli: Cli, task: str) -> str:
    """Why a task waits."""
    return str(json.loads(cli.ok("explain", "task", task, "--json"))["reason"])


def test_a_plan_says_who_would_be_preempted_and_preempts_nobody(roles: Roles, cli: Cli) -> None:
    roles.binpack(cli.master)
    (agent,) = cli.json("agents")
    half = agent["resources"]["cpus"] / 2
    low = {"name": "w", "kind": "service", "instances": 2, "command": "exec sleep 1000",
           "resources": {"cpus": half, "mem": 16}}  # fmt: skip
    cli.ok("apply", "-", "--wait", text=json.dumps({"name": "low", "tasks": [low]}))
    before = cli.running()
    urgent = {"name": "high", "priority": 7, "preempt": True, "tasks": [{**low, "instances": 1}]}
    planned = cli.run("apply", "-", "--plan", text=json.dumps(urgent))
    assert planned.returncode == 1
    assert "w: 1 task would be preempted for 1 instance:" in planned.stdout
    assert f"of {before[0].partition('.')[0]} (priority 0): w." in planned.stdout
    assert cli.running() == before


def test_what_each_run_of_a_periodic_task_wrote_is_found_by_its_name(
    roles: Roles, cli: Cli
) -> None:
    roles.binpack(cli.master)
    say = {"name": "say", "kind": "periodic", "command": "echo run $WORD",
           "parameters": [{"name": "WORD", "default": "none"}],
           "resources": {"cpus": 0.1, "mem": 16}}  # fmt: skip
    cli.ok("run", "-", text=json.dumps({"name": "reports", "tasks": [say]}))

    def runs() -> list[str]:
        return re.findall(r"^ +(trigger-\S+): finished", cli.ok("jobs", "reports"), re.MULTILINE)

    for number, word in enumerate(("one", "two"), 1):
        cli.ok("trigger", "reports.say", "--arg", f"WORD={word}")
        wait_for("its end", lambda n=number: len(runs()) == n)  # type: ignore[misc]
    two, one = runs()
    assert cli.ok("logs", f"reports.say@{one}") == "run one\n"
    assert cli.ok("logs", f"reports@{two[:16]}") == "run two\n", "the beginning of its name will do"
    (task,) = cli.json("tasks", "--all", f"reports.say@{one}")
    assert task["run"] == one and task["state"] == "TASK_FINISHED"
    missing = cli.run("logs", "reports.say@trigger-none")
    assert missing.returncode == 2
    assert "there is no task 'reports.say@trigger-none'" in missing.stderr
