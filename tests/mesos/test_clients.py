"""Clients that were written for Mesos run here as they are."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from pymesos_cli.main import main
from pymesos_testing.components import passable_folder, wait_for
from pymesos_testing.recordings.cluster import USUAL, Cluster, cluster


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    with passable_folder() as folder, cluster(folder, (USUAL,), (), ()) as made:
        yield made


def test_what_is_served_here_is_said_to_work(running: Cluster) -> None:
    url = f"http://127.0.0.1:{running.mesos_port}"
    result = CliRunner().invoke(main, ["migrate", "check", "--mesos", url, "--agents", "0"])
    assert result.exit_code == 0 and "0 missing, 0 differs" in result.output, result.output


class Avmesos:
    """A framework as the documentation of avmesos shows one: it runs one task."""

    def __init__(self, url: str) -> None:
        from avmesos.client import MesosClient

        self.client = MesosClient(mesos_urls=[url], frameworkName="avmesos", max_reconnect=1)
        self.states: list[str] = []
        self.launched = False
        self.driver: Any = None
        self.client.on(MesosClient.SUBSCRIBED, self.subscribed)
        self.client.on(MesosClient.OFFERS, self.offered)
        self.client.on(MesosClient.UPDATE, self.updated)

    def subscribed(self, driver: Any) -> None:
        self.driver = driver

    def offered(self, offers: list[Any]) -> None:
        for offer in offers:
            if self.launched:
                offer.decline()
                continue
            self.launched = True
            agent = offer.get_offer()["agent_id"]["value"]
            task = {
                "name": "hello",
                "task_id": {"value": "hello-1"},
                "agent_id": {"value": agent},
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
                ],
                "command": {"value": "echo hello", "shell": True},
            }
            offer.accept([task])

    def updated(self, update: dict[str, Any]) -> None:
        self.states.append(update["status"]["state"])


def test_avmesos(running: Cluster) -> None:
    pytest.importorskip("avmesos", reason="pip install avmesos")
    framework = Avmesos(f"http://127.0.0.1:{running.mesos_port}")
    thread = threading.Thread(target=framework.client.register, daemon=True)
    thread.start()
    wait_for("the end of the task", lambda: "TASK_FINISHED" in framework.states, 60)
    assert framework.states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]
    framework.client.stop = True
    framework.driver.tearDown()
    deadline = time.monotonic() + 20
    while thread.is_alive() and time.monotonic() < deadline:
        thread.join(0.2)
    assert not thread.is_alive(), "its stream has ended"
