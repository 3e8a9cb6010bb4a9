"""What production code takes from the machine it runs on, simulated while a simulation runs.

Everything that is injected is injected; this table is what is left, and should shrink.
"""

from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Iterator
from typing import Any

import pymesos_binpack.shell
import pymesos_core.clock
import pymesos_core.following
import pymesos_master.main
import pymesos_master.watching
import pymesos_sdk.driver
from pymesos_core.addresses import HostPort
from pymesos_core.backoff import Backoff
from pymesos_core.coordination import zookeeper
from pymesos_simulation import frameworks, masters
from pymesos_simulation.network import GrpcChannel
from pymesos_simulation.world import here
from pymesos_simulation.zookeeper import Client


class Clock:
    """Stands for the module `time`."""

    @staticmethod
    def monotonic() -> float:
        """In seconds."""
        return here().now.mono_s

    @staticmethod
    def time() -> float:
        """In seconds."""
        return here().now.wall_s


def _client(_url: Any, _timeout_s: float) -> Client:
    node = here()
    return Client(node.ensemble, node)  # type: ignore[attr-defined]


def _channel(address: HostPort) -> GrpcChannel:
    node = here()
    return GrpcChannel(node.network, node, address)  # type: ignore[attr-defined]


def _backoff(min_s: float, max_s: float) -> Backoff:
    return Backoff(min_s, max_s, here().world.random)


class Secrets:
    """Stands for the module of that name."""

    @staticmethod
    def token_hex(size: int) -> str:
        """Of chance that is in the seed."""
        return here().world.random.randbytes(size).hex()


REPLACED: tuple[tuple[Any, str, Any], ...] = (
    (pymesos_core.clock, "time", Clock),
    (pymesos_master.watching, "time", Clock),
    (zookeeper, "make_client", _client),
    (pymesos_core.following, "open_channel", _channel),
    (pymesos_sdk.driver, "Backoff", _backoff),
    (pymesos_sdk.driver, "DriverCore", frameworks.WatchedDriver),
    (pymesos_binpack.shell, "secrets", Secrets),
    (pymesos_master.main, "MasterCore", masters.WatchedCore),
    (pymesos_master.main, "DrfAllocator", masters.WatchedAllocator),
)


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """While a simulation runs."""
    before = [getattr(module, name) for module, name, _ in REPLACED]
    level, state = logging.root.manager.disable, random.getstate()
    logging.disable(logging.CRITICAL)
    for module, name, value in REPLACED:
        setattr(module, name, value)
    try:
        yield
    finally:
        for (module, name, _), value in zip(REPLACED, before, strict=True):
            setattr(module, name, value)
        logging.disable(level)
        random.setstate(state)
