"""Somebody is paged: the example of docs/alerts.md on a real cluster, with real receivers."""

from __future__ import annotations

import json
import re
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from pymesos_testing.cli import Cli
from pymesos_testing.components import INSTALL, Roles, free_port, process, wait_for

PAGE = Path(__file__).resolve().parents[2] / "docs/alerts.md"
TOKEN = "s3cret-token"


def example(name: str) -> str:
    pattern = rf"<!-- tested: {name} -->\n```yaml\n(.*?)```"
    (block,) = re.findall(pattern, PAGE.read_text("utf-8"), re.S)
    return str(block)


class Hook(ThreadingHTTPServer):
    """A receiver of pages."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"

    @property
    def told(self) -> list[str]:
        return [body["status"] for _, body in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.headers["Authorization"], body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A server of Debian's package."""
    if not shutil.which("prometheus-alertmanager"):
        pytest.skip(f"prometheus-alertmanager is missing; {INSTALL}")
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    address = f"127.0.0.1:{free_port()}"
    argv = (
        "prometheus-alertmanager",
        *("--config.file", str(config), "--storage.path", str(tmp_path / "data")),
        *("--web.listen-address", address, "--cluster.listen-address", ""),
    )
    with process(*argv, log=tmp_path / "alertmanager.log"):
        wait_for("Alertmanager", lambda: alerts(f"http://{address}") == [])
        yield f"http://{address}"


def alerts(server: str) -> list[dict[str, Any]] | None:
    """Return the alerts that are active; None: it does not answer."""
    try:
        with urllib.request.urlopen(f"{server}/api/v2/alerts?active=true", timeout=10) as answer:
            return list(json.loads(answer.read()))
    except OSError:
        return None


def receivers(folder: Path, hook: Hook, alertmanager: str) -> Path:
    """The example's, with the servers and the secrets that there are here."""
    text = example("receivers").replace("https://hooks.example.org/pymesos", hook.url)
    text = re.sub(r"urls: \[.*\]", f'urls: ["{alertmanager}"]', text)
    for path in re.findall(r"/etc/pymesos/[a-z.]+", text):
        here = folder / Path(path).name
        here.write_text(f"{TOKEN}\n")
        here.chmod(0o600)
        text = text.replace(path, str(here))
    made = folder / "receivers.yaml"
    made.write_text(text)
    return made


def databases() -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if p.info["cmdline"] == ["sleep", "86399"]]


def test_paged_when_the_database_is_unhealthy(
    roles: Roles, tmp_path: Path, hook: Hook, alertmanager: str
) -> None:
    """The process of the database is killed; the framework, too, while it pages."""
    file = receivers(tmp_path, hook, alertmanager)
    master = roles.master()
    roles.agent(master.address, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    binpack = roles.binpack(master.address, "binpack", "--receivers", str(file))
    cli = Cli(master.address)
    cli.wait_for_agents(1)
    cli.ok("apply", "-", text=example("job"))
    wait_for("the database", lambda: len(databases()) == 1)
    # A failure before the first check that passes is one of its start.
    cli.wait_for_tasks(1, state="TASK_RUNNING", healthy=True)

    databases()[0].kill()
    wait_for("a page", lambda: hook.told[:1] == ["firing"])
    (token, page), *_ = hook.got
    assert token == f"Bearer {TOKEN}"
    (alert,) = page["alerts"]
    assert alert["labels"]["task"] == "database" and alert["labels"]["job"] == "shop"
    assert "1 of 1 instance is unhealthy: database.0: Unhealthy" in alert["annotations"]["summary"]
    wait_for("that it is over", lambda: hook.told == ["firing", "resolved"])
    assert len({body["groupKey"] for _, body in hook.got}) == 1
    wait_for("Alertmanager to hear so", lambda: alerts(alertmanager) == [])

    databases()[0].kill()
    wait_for("Alertmanager to have it", lambda: bool(alerts(alertmanager)))
    before = (alerts(alertmanager) or [{}])[0]
    binpack.kill()
    roles.binpack(master.address, "binpack", "--receivers", str(file))
    wait_for("that it is over", lambda: hook.told[2:][-1:] == ["resolved"], 40)
    wait_for("Alertmanager to hear so", lambda: alerts(alertmanager) == [], 40)
    assert before["labels"]["alertname"] == "PymesosUnhealthy"
    assert before["labels"]["receiver"] == "alertmanagers"
    keys = {body["groupKey"] for _, body in hook.got}
    assert len(keys) == 1 and keys.pop().endswith("/database/unhealthy/hook")
    assert TOKEN not in binpack.log.read_text()


def test_who_is_not_known_is_told_before_the_job_is_taken(roles: Roles, tmp_path: Path) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text("hook: {kind: webhook, url: 'http://127.0.0.1:1'}\n")
    master = roles.master()
    roles.binpack(master.address, "binpack", "--receivers", str(file))
    for command in ("apply", "run"):
        refused = Cli(master.address).run(command, "-", text=example("job"))
        assert refused.returncode != 0
        said = refused.stdout + refused.stderr
        assert "'alertmanagers', and the receivers here are hook" in " ".join(said.split()), said


def test_silenced_listed_and_tested(roles: Roles, tmp_path: Path, hook: Hook) -> None:
    file = tmp_path / "receivers.yaml"
    file.write_text(
        f"hook: {{kind: webhook, url: '{hook.url}'}}\n"
        "gone: {kind: webhook, url: 'http://127.0.0.1:1'}\n"
    )
    master = roles.master()
    roles.binpack(master.address, "binpack", "--receivers", str(file))
    cli = Cli(master.address)
    assert "no alerts" in cli.ok("alerts", "list")
    assert "hook has taken a test" in cli.ok("alerts", "test", "hook")
    assert hook.told == ["firing", "resolved"]
    refused = cli.run("alerts", "test", "gone")
    assert refused.returncode and "gone has not taken a test: Connect" in refused.stderr
    refused = cli.run("alerts", "test", "boss")
    assert refused.returncode and "there is no receiver 'boss': these are gone, hook" in (
        " ".join(refused.stderr.split())
    )

    rule = {"when": "unplaced", "for_s": 0, "to": "hook"}
    task = {"name": "t", "command": "true", "alerts": [{**rule, "for_s": 604800}]}
    job = {"name": "waits", "tasks": [task]}
    cli.ok("apply", "-", text=json.dumps(job))
    said = cli.ok("alerts", "silence", "waits", "--for", "1h", "--why", "known to us")
    assert "nobody is told for 1 hour" in said
    told = cli.run("alerts", "list").stderr  # also while there is no alert
    assert "all alerts of waits-" in told and ": known to us" in told
    task["alerts"] = [rule]
    cli.ok("apply", "-", text=json.dumps(job))
    wait_for("it to fire", lambda: cli.json("alerts", "list")[0]["state"] == "firing")
    (listed,) = cli.json("alerts", "list")
    assert (listed["when"], listed["known"], listed["silenced_for"]) == (
        "unplaced", False, "known to us",
    )  # fmt: skip
    assert "silenced" in cli.ok("alerts", "list")
    assert hook.told == ["firing", "resolved"]
    assert cli.run("alerts", "silence", "waits", "--for", "1h", "--task", "u").returncode
    assert cli.run("alerts", "silence", "waits").returncode == 2
    near = cli.run("alerts", "silence", "wait", "--for", "1h")
    assert near.returncode == 2 and "a whole id or name is needed here" in near.stderr
    cli.ok("alerts", "silence", "waits", "--end")
    wait_for("a page", lambda: hook.told[2:] == ["firing"])
    cli.ok("stop", "waits")
    wait_for("that it is over", lambda: hook.told[2:] == ["firing", "resolved"])


def test_paged_for_the_cluster_itself_and_for_want_of_a_leader(
    roles: Roles, tmp_path: Path, hook: Hook, zk_url: str
) -> None:
    """An agent is lost, then the leader; the other master tells that nobody leads, and leads."""
    file, token = tmp_path / "receivers.yaml", tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    token.chmod(0o600)
    file.write_text(f"hook: {{kind: webhook, url: '{hook.url}', token_file: {token}}}\n")
    more = ("--zk", zk_url, "--zk-session-timeout", "5", "--max-agent-ping-timeouts", "2")
    told = ("--receivers", str(file), "--alert-for", "0.5")
    first = roles.master("first", *more, *told)
    cli = Cli(zk_url)
    agent = roles.agent(zk_url, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    cli.wait_for_agents(1)
    roles.master("second", *more, *told)
    (agent_id,) = (one["agent_id"] for one in cli.json("agents"))
    agent.kill()

    def keys(status: str) -> list[str]:
        return [body["groupKey"] for _, body in hook.got if body["status"] == status]

    lost, unled = f"agent_unreachable/{agent_id}/hook", "no_leader//hook"
    wait_for("a page", lambda: keys("firing") == [lost])
    (alert,) = cli.json("alerts", "list")
    assert (alert["key"], alert["state"], alert["known"]) == (lost, "firing", True)
    assert "is unreachable" in alert["summary"]

    cli.ok("alerts", "silence", "--cluster", "--when", "quota_unmet", "--for", "1h", "--why", "x")
    said = cli.ok("alerts", "list")
    assert "agent_unreachable" in said
    first.kill()
    wait_for("that nobody leads", lambda: keys("firing")[1:2] == [unled])
    wait_for("that somebody leads", lambda: keys("resolved") == [unled], 40)
    roles.agent(zk_url, "agent", "--runtime", "process", "--kill-tasks-on-exit")
    wait_for("that the agent is back", lambda: keys("resolved") == [unled, lost], 40)
    assert set(keys("firing")) == {lost, unled}
    assert cli.json("alerts", "list") == []
    (receiver,) = cli.json("alerts", "receivers")
    assert (receiver["name"], receiver["told_by"]) == ("hook", "the masters")
    assert receiver["problem"] is None

    hook.shutdown()
    hook.server_close()
    refused = cli.run("alerts", "test", "hook")
    assert refused.returncode == 1 and "hook has not taken a test" in refused.stderr
