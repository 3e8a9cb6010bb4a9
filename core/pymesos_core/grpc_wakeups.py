"""What gRPC has for the event loop is taken in at once, however often it woke the loop for that.

gRPC's thread puts each of its events into a queue, then writes a byte to a socket that the loop
watches. The loop reads one byte in each turn, and then takes the whole queue in: after a hundred
events at once it has a hundred turns for nothing, and the socket, which holds some two hundred
bytes, is full meanwhile, so that gRPC's thread waits. Under load an event took 60 ms to arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

HANDLER = "_handle_events"  # grpc.aio's, which reads a byte and takes the queue in
MOST_BYTES = 4096
LOOK, TAKE = int(socket.MSG_PEEK | socket.MSG_DONTWAIT), int(socket.MSG_DONTWAIT)


def take_all(waking: socket.socket, handle: Callable[..., Any]) -> Callable[..., Any]:
    """`handle`, which reads one byte, and then the others that waited before it was called.

    What those stand for was in the queue by then, and is taken in. If `handle` raises they are
    left, so that it is called again for the rest of the queue. One loop in a process is assumed, as
    all loops share the socket.
    """

    def on_readable(*arguments: Any) -> None:
        try:
            waiting = len(waking.recv(MOST_BYTES, LOOK))
        except BlockingIOError:
            return  # nothing woke us
        handle(*arguments)
        if waiting > 1:
            with contextlib.suppress(BlockingIOError):
                waking.recv(waiting - 1, TAKE)

    return on_readable


def prepare(loop: asyncio.AbstractEventLoop) -> None:
    """Have a loop take all in that gRPC has; to be called before anything of gRPC uses it."""
    watch = loop.add_reader
    if getattr(watch, "takes_all", False):
        return

    def add_reader(fd: Any, callback: Callable[..., Any], *arguments: Any) -> None:
        handler = getattr(callback, "func", callback)  # it comes as a partial of its method
        if isinstance(fd, socket.socket) and getattr(handler, "__name__", "") == HANDLER:
            callback = take_all(fd, callback)
        watch(fd, callback, *arguments)

    add_reader.takes_all = True  # type: ignore[attr-defined]
    loop.add_reader = add_reader  # type: ignore[method-assign, assignment]
