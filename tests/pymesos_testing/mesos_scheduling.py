"""A master that schedulers of Mesos call."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakValueDictionary

from pymesos_core.addresses import HostPort
from pymesos_core.caller import Caller, Method
from pymesos_core.coordination import MasterInfo
from pymesos_core.mesos.media import Media
from pymesos_core.outbox import Outbox
from pymesos_core.security.revocations import Revocations
from pymesos_master.mesos.authenticating import Authenticator
from pymesos_master.mesos.events import Here
from pymesos_master.mesos.frameworks import Format
from pymesos_master.mesos.scheduler import Scheduler
from pymesos_master.mesos.server import MesosServer
from pymesos_master.mesos.subscriptions import Subscription
from pymesos_master.services.leading import Leadership

ME = MasterInfo("me", HostPort("10.0.0.1", 5050), "h", mesos=HostPort("10.0.0.1", 5055))


HERE = Here("me", HostPort("10.0.0.1", 5055), "h")


CALLER = Caller("framework/a", Method.BASIC, peer="ipv4:1.2.3.4", via="mesos")


class Connection:
    """What the shell has of a stream: what is fed, and what waits to be sent."""

    def __init__(self) -> None:
        self.connection_id = 7
        self.fed: list[Any] = []
        self.outbox: Outbox[Any] = Outbox()

    def feed(self, event: Any) -> None:
        self.fed.append(event)


def subscription(caller: Caller = CALLER) -> tuple[Subscription, Connection]:
    connection = Connection()
    made = Subscription("stream-1", caller, Media.JSON, Format(), cast(Any, connection))
    return made, connection


def scheduler(leadership: Leadership | None = None) -> Scheduler:
    return Scheduler(leadership or Leadership(ME), HERE)


def bare_server() -> MesosServer:
    server = object.__new__(MesosServer)
    server._of_one, server._bodies = WeakValueDictionary(), asyncio.Semaphore(1)
    server._authenticator = Authenticator({}, (), Revocations())
    server._redirecting = cast(Any, SimpleNamespace(leader=lambda path: None))
    return server
