"""`make demo`: a local cluster, the demo job, a look at what it did, and nothing left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

from pymesos_agent.supervision.hiding import way_here
from pymesos_core.text import duration

EXAMPLES = Path(__file__).resolve().parent
REPO = EXAMPLES.parent.parent
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TAG = "PYMESOS_DEMO"  # in the environment of all that the demo starts, to look for it afterwards


def say(text: str) -> None:
    """A heading."""
    print(f"\n— {text}", flush=True)


def cli(*arguments: str) -> list[dict[str, Any]]:
    """A listing of `pymesos-cli --json`."""
    out = subprocess.run(
        ["pymesos-cli", *arguments, "--json"], check=True, stdout=subprocess.PIPE
    ).stdout
    found: list[dict[str, Any]] = json.loads(out)
    return found


def fetch_pages(tasks: list[dict[str, Any]]) -> None:
    """One page from each web server, through its assigned port."""
    for task in tasks:
        if task["name"] == "web":
            port = task["resources"]["ports"][0]
            with NO_PROXY.open(f"http://127.0.0.1:{port}/", timeout=10) as page:
                body = page.read().decode().strip()
            assert str(port) in body, body
            print(f"  {task['task_id']} on {task['hostname']}: {body}")


def use_database(tasks: list[dict[str, Any]]) -> None:
    """Write to the database and read it back."""
    port = next(t["resources"]["ports"][0] for t in tasks if t["name"] == "database")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        stream = connection.makefile("rw")
        stream.write("set greeting hello\nget greeting\n")
        stream.flush()
        answers = [stream.readline().strip(), stream.readline().strip()]
    assert answers == ["ok", "hello"], answers
    print(f"  set greeting, got {answers[1]!r}")


def print_placement(agents: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
    """Which agent ran what, and how much of it is in use by what still runs."""
    ran: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for task in tasks:
        ran[task["hostname"]][task["name"]] += 1
    for agent in agents:
        host, total, used = agent["hostname"], agent["resources"], agent["allocated"]
        share = ", ".join(
            f"{name} {used[name]:g}/{total[name]:g} ({used[name] / total[name]:.0%})"
            for name in ("cpus", "mem", "disk")
        )
        what = ", ".join(f"{number} {name}" for name, number in sorted(ran[host].items()))
        print(f"  {host}: {what or 'nothing'}\n    in use now: {share}")


def left_behind() -> list[str]:
    """Processes that carry our tag and are not us."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int(folder.name) == os.getpid():
                continue
            environ = (folder / "environ").read_bytes()
            if f"{TAG}={os.environ[TAG]}".encode() in environ.split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def run_demo() -> None:
    """On a cluster that is there."""
    settings = [
        f"--set=tasks.{name}.env.REPO={REPO}"
        for name in ("database", "lines", "digest", "compress")
    ]
    say("the demo job: five web servers, one database, forty batch tasks")
    job = str(EXAMPLES / "demo.yaml")
    subprocess.run(["pymesos-cli", "run", job, "--wait", *settings], check=True, timeout=120)
    live = cli("tasks")
    finished = [t for t in cli("tasks", "--all") if t["state"] == "TASK_FINISHED"]
    assert len(finished) == 40, f"{len(finished)} batch tasks finished"
    say("a page from each server")
    wait_for_servers(live)
    fetch_pages(live)
    say("the database")
    use_database(live)
    say("where it ran")
    print_placement(cli("agents"), live + finished)


def wait_for_servers(tasks: list[dict[str, Any]]) -> None:
    """RUNNING means started; a server listens a moment later."""
    deadline = time.monotonic() + 20
    for task in tasks:
        for port in task["resources"]["ports"]:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)


def isolation() -> list[str]:
    """What `local` has to be told where tasks cannot be isolated: ours do no harm."""
    if os.geteuid() == 0 or way_here():
        return []
    print(
        "  this kernel allows neither user namespaces nor Landlock, so the tasks of this demo run"
        " with --no-task-isolation: they could read and do what you may"
    )
    return ["--no-task-isolation"]


def main() -> int:
    """The exit status."""
    if shutil.which("pymesos-cli") is None:
        print(
            "demo: pymesos-cli is not on PATH: `make demo`, or `. .venv/bin/activate` before this",
            file=sys.stderr,
        )
        return 1
    begin = time.monotonic()
    os.environ[TAG] = f"{os.getpid()}.{time.time_ns()}"
    say("a local cluster of 3 agents")
    command = ["pymesos-cli", "local", "--agents", "3", *isolation()]
    local = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert local.stdout is not None
        first = local.stdout.readline().decode().split()
        if first[:1] != ["master"]:
            return 1
        os.environ["PYMESOS_MASTER"] = first[1]
        subprocess.run(["pymesos-cli", "agents"], check=True)
        run_demo()
    finally:
        local.send_signal(signal.SIGINT)
        local.wait(60)
    if local.returncode != 0:
        return 1
    deadline = time.monotonic() + 5
    while (rest := left_behind()) and time.monotonic() < deadline:
        time.sleep(0.1)
    if rest:
        print("left behind:", *rest, sep="\n  ", file=sys.stderr)
        return 1
    say(f"done in {duration(round(time.monotonic() - begin))}; nothing is left running")
    return 0


if __name__ == "__main__":
    sys.exit(main())
