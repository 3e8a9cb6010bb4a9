"""The trial that tells an engine which starts nothing from jobs that cannot be started."""

from __future__ import annotations

import os
from typing import Any

import docker
import pytest
from docker.errors import APIError
from requests.exceptions import ConnectionError as NotReachedError

from pymesos_agent.containers.settings import Settings
from pymesos_agent.runtimes.docker.engine import AGENT_LABEL
from pymesos_agent.runtimes.docker.images import try_engine
from pymesos_agent.runtimes.docker.runtime import DockerRuntime


@pytest.mark.parametrize("host", ["docker_host", "podman_host"])
def test_an_engine_that_starts_containers(host: str, request: pytest.FixtureRequest) -> None:
    client: Any = docker.APIClient(base_url=request.getfixturevalue(host), version="auto")
    name = f"trial-{os.getpid()}"
    before = {image["Id"] for image in client.images(all=True)}
    assert [try_engine(client, name, {}) for _ in range(2)] == ["", ""]
    assert {image["Id"] for image in client.images(all=True)} == before
    left = client.containers(all=True)
    assert not [each for each in left if any(name in made for made in each["Names"])]
    client.close()


class Died(BaseException):
    """The end of a process, which nothing is done after."""


class Dying:
    """An engine of an agent that ends as soon as the trial's container is made."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        self.dead = self.dead or name == "start"
        if self.dead:
            raise Died
        return getattr(self.client, name)


@pytest.mark.parametrize("host", ["docker_host", "podman_host"])
async def test_what_an_agent_left_that_ended_in_a_trial_is_removed(
    host: str, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue(host)
    client: Any = docker.APIClient(base_url=address, version="auto")
    images = {image["Id"] for image in client.images(all=True)}
    tag = f"died-{os.getpid()}"
    with pytest.raises(Died):
        try_engine(Dying(client), f"trial-{tag}", {AGENT_LABEL: tag})
    of_it = {"label": f"{AGENT_LABEL}={tag}"}
    assert len(client.containers(all=True, filters=of_it)) == 1
    runtime = DockerRuntime(tag, address, Settings())
    await runtime.start(lambda event: None)
    assert await runtime.recover({}) == {}
    await runtime.close()
    assert client.containers(all=True, filters=of_it) == []
    assert {image["Id"] for image in client.images(all=True)} == images
    client.close()


class Broken:
    """An engine that fails, and one that is away, at one call."""

    def __init__(self, call: str, error: Exception) -> None:
        self.call = call
        self.error = error
        self.removed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **_: Any) -> str:
            if name == self.call:
                raise self.error
            if name == "remove_image":
                self.removed += arguments
            return '{"status":"sha256:1"}'

        return call


STARTS = ("remove_container", "import_image_from_data", "create_container", "start")


@pytest.mark.parametrize("call", STARTS[1:])
def test_an_engine_that_fails(call: str) -> None:
    client = Broken(call, APIError("500", explanation="no space left on device"))
    assert try_engine(client, "trial", {}) == "no space left on device"
    assert client.removed == ([] if call == STARTS[1] else ["sha256:1"])


@pytest.mark.parametrize("call", STARTS)
def test_an_engine_that_is_away_is_not_broken(call: str) -> None:
    assert try_engine(Broken(call, NotReachedError("away")), "trial", {}) == ""
