"""The registry on kazoo's own answers, without a server."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from kazoo.exceptions import (
    ConnectionClosedError,
    ConnectionLoss,
    DataInconsistency,
    SessionExpiredError,
)
from kazoo.handlers.threading import KazooTimeoutError, SequentialThreadingHandler

from pymesos_core.coordination import RegistryError
from pymesos_core.coordination.zk_client import in_words
from pymesos_core.coordination.zk_registry import ZkRegistry
from pymesos_core.store import Change


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionLoss(), "the connection to it broke"),
        (ConnectionClosedError("closed"), "the connection to it is closed"),
        (SessionExpiredError(), "the session has ended"),
        (KazooTimeoutError("10"), "it did not answer in time"),
        (DataInconsistency(), "DataInconsistency"),
        (RegistryError("another instance leads"), "another instance leads"),
    ],
)
def test_what_went_wrong_is_said_in_words(error: Exception, said: str) -> None:
    assert in_words(error) == said


def test_a_write_that_waits_is_given_up() -> None:
    """kazoo may still get its answer, after that."""
    answer = SequentialThreadingHandler().async_result()
    asked = threading.Event()

    def commit_async() -> Any:
        asked.set()
        return answer

    made = SimpleNamespace(check=lambda *_: None, create=lambda *_: None, commit_async=commit_async)
    ready = SimpleNamespace(get=lambda: True)
    client = SimpleNamespace(transaction=lambda: made, ensure_path_async=lambda _: ready)
    registry = ZkRegistry(client, "/p", 0)
    errors: list[Exception] = []

    def write() -> None:
        try:
            registry.commit([Change("agent", "a", b"1")])
        except RegistryError as error:
            errors.append(error)

    writing = threading.Thread(target=write, daemon=True)
    writing.start()
    assert asked.wait(10)
    registry.give_up()
    writing.join(10)
    assert not writing.is_alive() and "the connection to it broke" in str(errors[0])
    answer.set([True])
    with pytest.raises(RegistryError, match="leadership was given up"):
        registry.commit([])


def test_znodes_that_others_made_are_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """No leader could read the registry: what such a name means is written otherwise."""
    children = {
        "/p/registry": ["agent"],
        "/p/registry/agent": ["a%2F1", "a%2f1", "a b", "%FF", "c"],
    }
    contents = {"/p/registry/agent/a%2F1": b"1", "/p/registry/agent/c": b"2"}
    client = SimpleNamespace(
        ensure_path=lambda _: None,
        get_children=children.__getitem__,
        get_children_async=lambda path: SimpleNamespace(get=lambda: children[path]),
        get_async=lambda path, _: SimpleNamespace(get=lambda: (contents[path], None)),
    )
    registry = ZkRegistry(client, "/p", 0)
    assert registry.load() == {("agent", "a/1"): b"1", ("agent", "c"): b"2"}
    assert "/p/registry/agent/a%2f1 in ZooKeeper has no name" in caplog.text
    assert "one of 3" in caplog.text
