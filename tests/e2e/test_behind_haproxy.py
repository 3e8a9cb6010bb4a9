"""Versions come and go behind HAProxy, fed by the example or by pymesos-lb: no request fails."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pymesos_testing.components import MissingError, Roles, free_port, wait_for
from pymesos_testing.proxied import RETRIES, Load, Proxied, balanced, begin, change, proxied, shop

INSTANCES = 2
CHANGES = 6  # applied and rolled back, in turn
RATE_PER_S = 60


@pytest.mark.parametrize("behind", [proxied, balanced])
def test_no_request_fails_while_versions_come_and_go(
    behind: Callable[[Roles, Path], AbstractContextManager[Proxied]], roles: Roles, tmp_path: Path
) -> None:
    try:
        with behind(roles, tmp_path) as it:
            begin(it, INSTANCES)
            before = it.stats()
            with Load(it.port, RATE_PER_S).going() as load:
                change(it, INSTANCES, CHANGES)
            after = it.stats()
    except MissingError as error:
        pytest.skip(str(error))
    asked = sum(load.answered.values())
    print(f"{asked} requests in {load.seconds:.1f} s, the slowest {load.slowest_s * 1000:.0f} ms")
    assert (load.failed, load.failures) == (0, [])
    assert asked > 0
    served = {who.rpartition(".")[0] for who in load.answered}
    assert len(served) == INSTANCES * (1 + CHANGES), f"each of every version has served: {served}"
    # And it was not HAProxy that asked again.
    again = {name: int(after[name]) - int(before[name]) for name in RETRIES}
    assert again == dict.fromkeys(RETRIES, 0)


def status(port: int, host: str) -> int:
    """What is answered to a request for a host; 0: nothing."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as connection:
            connection.sendall(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            return int(connection.makefile().readline().split()[1])
    except (OSError, IndexError):
        return 0


def test_routes_come_and_a_port_that_is_taken_is_nobodys_trouble(
    roles: Roles, tmp_path: Path
) -> None:
    try:
        with balanced(roles, tmp_path) as it:
            begin(it, 1)
            assert status(it.port, "SHOP:80") == 200 and status(it.port, "other") == 404
            with socket.create_server(("127.0.0.1", 0)) as taken, Load(it.port, 20).going() as load:
                for number, port in enumerate((taken.getsockname()[1], free_port())):
                    name = f"other{number}"
                    exposed = {"http": f"{name}.example.org", "port": port}
                    text = shop(it.program, 1, expose=exposed).replace('"shop"', f'"{name}"', 1)
                    it.cli.ok("apply", "-", "--wait", text=text)
                wait_for("the other one", lambda: status(port, f"{name}.example.org") == 200, 60)
            assert (load.failed, load.failures) == (0, []) and sum(load.answered.values()) > 0
    except MissingError as error:
        pytest.skip(str(error))
