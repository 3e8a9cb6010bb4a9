"""A real Prometheus scrapes a real cluster, and every panel of the dashboard has data."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pymesos_testing.cli import Cli, job
from pymesos_testing.components import INSTALL, Roles, free_port, process, wait_for

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip(f"prometheus is missing; {INSTALL}")


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A server's address, and the ports that it scrapes: of masters, agents and a framework."""
    ports = [free_port() for _ in range(6)]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    of = (ports[0:2], ports[2:4], ports[5:6])
    for scrape, scraped in zip(config["scrape_configs"], of, strict=True):
        scrape["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in scraped]}]
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{ports[4]}"
    argv = (
        "prometheus",
        *("--config.file", str(tmp_path / "prometheus.yml")),
        *("--storage.tsdb.path", str(tmp_path / "data"), "--web.listen-address", address),
    )
    with process(*argv, log=tmp_path / "prometheus.log"):
        yield f"http://{address}", [*ports[:4], ports[5]]


def test_every_panel_has_data(roles: Roles, zk_url: str, prometheus: tuple[str, list[int]]) -> None:
    """Two masters and two agents as they come: both agents offer the same ports."""
    server, ports = prometheus
    for n in range(2):
        roles.master(f"master{n}", "--zk", zk_url, "--metrics-port", str(ports[n]))
    for n in range(2):
        flags = ("--runtime", "process", "--kill-tasks-on-exit")
        roles.agent(zk_url, f"agent{n}", *flags, "--metrics-port", str(ports[2 + n]))
    roles.binpack(zk_url, "binpack", "--metrics-port", str(ports[4]))
    cli = Cli(zk_url)
    cli.wait_for_agents(2)
    cli.ok("run", "-", text=job("service", 2, "exec sleep 99", resources={"ports": 1}))
    cli.wait_for_tasks(2, state="TASK_RUNNING")

    def query(expression: str) -> list[dict[str, Any]]:
        url = f"{server}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            found: list[dict[str, Any]] = json.loads(get(url))["data"]["result"]
        except urllib.error.URLError:
            return []  # it is still starting
        return found

    def value(expression: str) -> float:
        return float(query(expression)[0]["value"][1])

    wait_for("two scrapes", lambda: bool(query("rate(pymesos_task_cpu_seconds_total[1m])")), 30)
    assert [row["value"][1] for row in query("up")] == ["1"] * 5
    for name in ("wanted", "running", "ready"):
        expression = f"sum(pymesos_job_{name}) == 2"
        wait_for(expression, lambda expression=expression: bool(query(expression)))  # type: ignore[misc]
    assert value("sum(pymesos_master_leads)") == 1
    assert value('pymesos_master_ports{kind="total"}') == 2 * 1001, "each agent has 31000-32000"
    assert value('pymesos_master_ports{kind="allocated"}') == 2
    dashboard = json.loads((DEPLOY / "grafana/pymesos.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            wait_for(
                f"{panel['title']}: data for {target['expr']}",
                lambda expression=target["expr"]: bool(query(expression)),  # type: ignore[misc]
            )
    for port in ports:
        subprocess.run(
            ["promtool", "check", "metrics"],
            input=get(f"http://127.0.0.1:{port}/metrics"), text=True, check=True, timeout=60,
        )  # fmt: skip


def test_the_configuration_that_we_ship() -> None:
    config = str(DEPLOY / "prometheus/prometheus.yml")
    subprocess.run(["promtool", "check", "config", config], check=True, timeout=60)
    rules = str(DEPLOY / "prometheus/rules_test.yml")
    subprocess.run(["promtool", "test", "rules", rules], check=True, timeout=60)


def test_what_is_wanted_and_ready_stays_when_nothing_runs(roles: Roles) -> None:
    port = free_port()
    master = roles.master()
    roles.binpack(master.address, "binpack", "--metrics-port", str(port))
    text = job("service", 2, "exec sleep 99")
    Cli(master.address).ok("run", "-", text=text)
    said = get(f"http://127.0.0.1:{port}/metrics")
    assert "pymesos_framework_leads 1.0" in said
    numbers = dict(re.findall(r"^pymesos_job_(\w+)\{job=.*\} (\S+)$", said, re.M))
    assert numbers == {"wanted": "2.0", "running": "0.0", "ready": "0.0"}, said
