"""Versions come and go behind HAProxy, fed as deploy/haproxy shows, and no request fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_testing.components import MissingError, Roles
from pymesos_testing.proxied import RETRIES, Load, begin, change, proxied

INSTANCES = 2
CHANGES = 6  # applied and rolled back, in turn
RATE_PER_S = 60


def test_no_request_fails_while_versions_come_and_go(roles: Roles, tmp_path: Path) -> None:
    try:
        with proxied(roles, tmp_path) as it:
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
