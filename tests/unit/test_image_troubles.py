"""What registries say of an image, as a value: whether waiting may help."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from docker.errors import APIError
from requests import Response

from pymesos_agent.core import events as ev
from pymesos_agent.runtimes.docker.images import PullError, fetch
from pymesos_agent.runtimes.image_troubles import trouble_with_image
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_testing.agent_harness import AgentHarness

DENIED = "pull access denied for x, repository does not exist or may require 'docker login'"


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (DENIED, pb.IMAGE_REFUSED),
        ("manifest for x:2 not found: manifest unknown", pb.IMAGE_REFUSED),
        ("reading manifest 2: unauthorized: authentication required", pb.IMAGE_REFUSED),
        ("received unexpected HTTP status: 503 Service Unavailable", pb.IMAGE_UNAVAILABLE),
        ("toomanyrequests: You have reached your pull rate limit", pb.IMAGE_UNAVAILABLE),
        ("dial tcp 127.0.0.1:5000: connect: connection refused", pb.IMAGE_UNAVAILABLE),
        ("lookup r.example: no such host", pb.IMAGE_UNAVAILABLE),
        ("the layer is damaged", pb.IMAGE_TROUBLE_UNSPECIFIED),
    ],
)  # fmt: skip
def test_words_of_registries(said: str, trouble: pb.ImageTrouble) -> None:
    assert trouble_with_image(said) == trouble


class Registry:
    """An engine's stream of a pull, which ends as it is told to."""

    def __init__(self, ending: dict[str, Any] | Exception) -> None:
        self.ending = ending

    def pull(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield {"status": "Pulling"}
        if isinstance(self.ending, Exception):
            raise self.ending
        yield self.ending


@pytest.mark.parametrize(
    "ending", [{"error": DENIED}, APIError("404", Response(), explanation=DENIED)]
)
def test_docker_says_it_in_two_ways(ending: dict[str, Any] | Exception) -> None:
    with pytest.raises(PullError, match="pull access denied"):
        fetch(Registry(ending), "x", lambda _: None, lambda: False)


def test_the_update_of_the_task_says_it() -> None:
    h = AgentHarness()
    h.connect()
    h.launch()
    h.feed(ev.ContainerFailed(h.container(), DENIED, image=pb.IMAGE_REFUSED))
    status = h.updates()[-1].status
    assert (status.state, status.image_trouble) == (pb.TASK_FAILED, pb.IMAGE_REFUSED)
