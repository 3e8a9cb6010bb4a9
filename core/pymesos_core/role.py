"""`serve_role`: how the process of every role starts, serves and ends.

A role is given a `RoleProcess`, with which it opens what it needs. All of that is closed in reverse
order, however the role ends: asked to by SIGTERM or SIGINT, by an error that says why, or by a
fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import sys
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from pathlib import Path
from typing import Any, TypeVar

import click
import grpc.aio
from prometheus_client.core import Metric

from pymesos_core.addresses import HostPort
from pymesos_core.coordination.standalone import LockedError, lock_directory
from pymesos_core.directories import disk_problem
from pymesos_core.exits import ExitStatus, RoleError
from pymesos_core.garbage import give_back_memory
from pymesos_core.limits import Limit
from pymesos_core.log import set_up_logging
from pymesos_core.lookups import look_up_in_own_threads
from pymesos_core.metrics import certificate_metrics, serve_metrics
from pymesos_core.processes import keep_to_itself
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.gate import OnRefused
from pymesos_core.serving import Listen, bind, make_server
from pymesos_core.store import Records, Store, StoreError
from pymesos_core.tasks import beside
from pymesos_core.text import os_problem

STOP_GRACE_S = 1.0
LOOPBACK = "127.0.0.1"
MACHINE_ERRORS = frozenset(
    {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENAMETOOLONG, errno.ELOOP}
)

log = logging.getLogger(__name__)

T = TypeVar("T")
Snapshot = TypeVar("Snapshot")


class RoleProcess:
    """What the process of a role has open while it serves. `stop` is set by SIGTERM and SIGINT."""

    def __init__(self, name: str, listen: Listen, closing: contextlib.AsyncExitStack) -> None:
        self.name = name
        self.stop = asyncio.Event()
        self.not_closed: Exception | None = None  # what went wrong first while it was closed
        self._listen = listen
        self._closing = closing
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)

    def close_later(self, close: Callable[[], Awaitable[object] | None]) -> None:
        """Have something closed when the role ends, before all that was opened earlier."""

        async def closing() -> None:
            try:
                if (awaitable := close()) is not None:
                    await awaitable
            except Exception as error:
                # The rest is closed, too, and why the role ends is said before this.
                self.not_closed = self.not_closed or error

        self._closing.push_async_callback(closing)

    def hold(self, lock: contextlib.AbstractContextManager[None]) -> None:
        """Hold a lock, as of `holding`, until the role ends."""
        self._closing.enter_context(lock)

    def open_store(self, path: Path, if_damaged: str) -> tuple[Store, Records]:
        """As the function `open_store`; it is closed when the role ends."""
        store, records = open_store(path, if_damaged)
        self.close_later(store.close)
        return store, records

    def bind(
        self,
        limits: Mapping[str, Limit],
        credentials: Credentials | None = None,
        listen: Listen | None = None,
        flags: str = "--port or --ip",
        *,
        for_joining: bool = False,
        on_refused: OnRefused | None = None,
    ) -> tuple[grpc.aio.Server, HostPort]:
        """A server, and the address that others reach it at. Raises ServingError.

        With credentials it is for those who have a certificate of the cluster, or who join it.
        `flags` say what an operator may change when the address is taken; `on_refused` is told of
        each call that the gate refuses.
        """
        listen = listen or self._listen
        server = make_server(limits, credentials, for_joining=for_joining, on_refused=on_refused)
        self.close_later(lambda: server.stop(STOP_GRACE_S))
        port = bind(server, listen, credentials, flags, for_joining=for_joining)
        return server, listen.advertised(port)

    async def start(self, server: grpc.aio.Server) -> None:
        """Let a server answer. It ends before what was opened since it was bound."""
        await server.start()
        self.close_later(lambda: server.stop(STOP_GRACE_S))

    def announce(self, address: HostPort) -> None:
        """Tell whoever started this process that it can be reached."""
        click.echo(f"listening on {address}")

    def serve_metrics(
        self,
        at: tuple[str | None, int | None],
        snapshot: Callable[[], Coroutine[Any, Any, Snapshot]],
        to_metrics: Callable[[Snapshot], Iterable[Metric]],
        credentials: Credentials | None = None,
    ) -> None:
        """Serve /metrics, with what credentials say, if there is a port for it.

        Without an address it is served on loopback alone by who has certificates, which it knows
        nothing of. Raises ServingError.
        """
        ip, port = at

        def all_metrics(taken: Snapshot) -> Iterator[Metric]:
            yield from to_metrics(taken)
            if credentials is not None:
                yield from certificate_metrics(credentials)

        if port is not None:
            usual = self._listen.ip if credentials is None else LOOPBACK
            close = serve_metrics(ip or usual, port, snapshot, all_metrics)
            self.close_later(lambda: asyncio.to_thread(close))


def serve_role(
    name: str,
    listen: Listen,
    log_level: str,
    serve: Callable[[RoleProcess], Coroutine[Any, Any, ExitStatus | None]],
) -> None:
    """Run a role to its end, and exit the process with its status (see ExitStatus).

    `serve` returns when the role has done its work or was asked to stop, and raises RoleError when
    it cannot go on. Any other error is a fault, whose traceback is logged.
    """
    set_up_logging(log_level)
    keep_to_itself()
    sys.exit(end_of(name, lambda: asyncio.run(_serve(name, listen, serve))))


async def _serve(
    name: str,
    listen: Listen,
    serve: Callable[[RoleProcess], Coroutine[Any, Any, ExitStatus | None]],
) -> ExitStatus | None:
    look_up_in_own_threads()
    async with contextlib.AsyncExitStack() as closing:
        process = RoleProcess(name, listen, closing)
        async with beside(give_back_memory()):
            status = await serve(process)
    if process.not_closed is not None:
        raise process.not_closed
    return status


def end_of(name: str, work: Callable[[], ExitStatus | None]) -> ExitStatus:
    """Do the work of a command, say what keeps it from its end, and return the exit status."""
    try:
        return work() or ExitStatus.STOPPED
    except Exception as error:
        return _failed(name, _alone(error))


def _alone(error: Exception) -> Exception:
    """What a group of one error is of, as of a TaskGroup with a task that failed."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _machine_problem(error: OSError) -> str | None:
    """A sentence for what this machine lacks or breaks; None for what is no fault of it."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}" if error.errno in MACHINE_ERRORS else None


def _failed(name: str, error: Exception) -> ExitStatus:
    if isinstance(error, RoleError):
        click.echo(f"{name}: {error}", err=True)
        return error.status
    if isinstance(error, OSError) and (problem := disk_problem(error) or _machine_problem(error)):
        click.echo(f"{name}: {problem}", err=True)
        return ExitStatus.FAILED
    log.error("a fault of pymesos ends this process", exc_info=error)
    click.echo(
        f"{name}: a fault of pymesos has ended it ({type(error).__name__}); the log above says"
        f" where. Started again it goes on from what is stored; please report it with the log",
        err=True,
    )
    return ExitStatus.CRASHED


@contextlib.contextmanager
def holding(directory: Path, flag: str) -> Iterator[None]:
    """Hold a directory, which is the value of `flag`, for this process alone. Raises RoleError."""
    what = {"--work-dir": "work directory", "--folder": "folder"}.get(flag, "state directory")
    try:
        lock = lock_directory(directory)
    except OSError as error:
        why = disk_problem(error) or os_problem(error)
        raise RoleError(f"cannot use the {what} ({flag}): {why}") from error
    except LockedError as error:
        raise RoleError(f"cannot use the {what}: {error}") from error
    try:
        yield
    finally:
        os.close(lock)


def open_store(path: Path, if_damaged: str) -> tuple[Store, Records]:
    """A store, and what is in it. Raises RoleError, with the ways out `if_damaged`."""
    try:
        store = Store(path)
    except StoreError as error:
        raise unusable(error, if_damaged) from error
    try:
        return store, store.load()
    except StoreError as error:
        store.close()
        raise unusable(error, if_damaged) from error


def unusable(error: StoreError, if_damaged: str) -> RoleError:
    """The error of a store that cannot be used, with what to do `if_damaged`."""
    return RoleError(f"{error}. {if_damaged}" if error.damaged else str(error))
