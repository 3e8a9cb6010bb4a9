"""Mesos' older endpoints of agents: `/state`, `/containers`, `/files/read` and the like."""

from __future__ import annotations

import asyncio
import logging
import posixpath
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from pymesos_agent.mesos.operators import files, older
from pymesos_agent.mesos.operators.gathering import Gathering
from pymesos_core.mesos import machine
from pymesos_core.mesos.files import HOW_LARGE, not_found, part_of, path_of
from pymesos_core.mesos.http import OURS, PLAIN, abort, written
from pymesos_core.mesos.refusing import RefusalError, bad_request
from pymesos_core.streams import in_thread

log = logging.getLogger(__name__)

Query = Mapping[str, str]
SENDING_S = 30.0  # until a part of a file is read
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


class Endpoints:
    """Answers what one asks of older endpoints."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    async def answer(self, request: web.BaseRequest, path: str, query: Query) -> web.StreamResponse:
        """Answer one of ENDPOINTS. Raises RefusalError."""
        if path == "files/download":
            return await self._download(request, path_of(query))
        if path == "health":
            return web.Response(headers=OURS)
        if path == "logging/toggle":
            if query:
                raise RefusalError(501, "ask for it by SET_LOGGING_LEVEL of /api/v1")
            return web.Response(body=b"%d\n" % self._gathering.verbosity.level, headers=PLAIN)
        value = await ENDPOINTS[path](self, query)
        data, kind = await in_thread(written, value, query)
        return web.Response(body=data, headers={"Content-Type": kind, **OURS})

    async def state(self, query: Query) -> Any:
        """`/state`."""
        return older.state(self._gathering)

    async def flags(self, query: Query) -> Any:
        """`/flags`."""
        return {"flags": dict(self._gathering.flags)}

    async def version(self, query: Query) -> Any:
        """`/version`."""
        return self._gathering.version

    async def stats(self, query: Query) -> Any:
        """`/system/stats.json`."""
        return machine.system()

    async def metrics(self, query: Query) -> Any:
        """`/metrics/snapshot`."""
        return self._gathering.metrics()

    async def containers(self, query: Query) -> Any:
        """`/containers`, or the one that `container_id` names."""
        wanted = query.get("container_id")
        shown = await self._gathering.containers()
        return [older.container(one) for one in shown if wanted in (None, one.container_id.value)]

    async def statistics(self, query: Query) -> Any:
        """`/monitor/statistics`."""
        shown = await self._gathering.containers()
        return [older.statistics(one) for one in shown if one.HasField("resource_statistics")]

    async def pending(self, query: Query) -> Any:
        """`/containerizer/debug`."""
        return {"pending": []}

    async def browse(self, query: Query) -> Any:
        """`/files/browse`."""
        found = await files.listed(self._gathering, path_of(query))
        return [files.older(one) for one in found]

    async def read(self, query: Query) -> Any:
        """`/files/read`."""
        path, part = path_of(query), part_of(query)
        offset = 0 if part.offset == HOW_LARGE else part.offset
        size, data = await files.read(self._gathering, path, offset, part.length)
        shown = size if part.offset == HOW_LARGE else part.offset
        return {"data": files.text_of(data), "offset": shown}

    async def paths(self, query: Query) -> Any:
        """`/files/debug`."""
        return older.paths(self._gathering)

    async def _download(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        """Send a file as it is now, whatever it holds: no browser shows it."""
        try:
            size, data = await files.read(self._gathering, path, 0, None)
        except RefusalError as refusal:
            if refusal.status == 404:
                raise not_found("download") from None
            if refusal.status == 403:
                raise
            raise bad_request(refusal.text.replace("read a", "download a")) from None
        name = _UNSAFE.sub("_", posixpath.basename(path.rstrip("/")))
        response = web.StreamResponse(
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename={name}",
                "X-Content-Type-Options": "nosniff",
                **OURS,
            }
        )
        response.content_length = size
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        sent = 0
        try:
            while data and sent < size:
                data = data[: size - sent]
                async with asyncio.timeout(SENDING_S):
                    await response.write(data)
                sent += len(data)
                _, data = await files.read(self._gathering, path, sent, None)
        except (TimeoutError, ConnectionError, RefusalError) as error:
            log.info("a file is not sent to its end: %s", error)
        if sent == size:
            await response.write_eof()
        else:  # it is gone, shorter, or not read: whoever reads is to know
            abort(request)
        return response


ENDPOINTS: Mapping[str, Callable[[Endpoints, Query], Awaitable[Any]]] = {
    "state": Endpoints.state,
    "flags": Endpoints.flags,
    "version": Endpoints.version,
    "system/stats.json": Endpoints.stats,
    "metrics/snapshot": Endpoints.metrics,
    "containers": Endpoints.containers,
    "monitor/statistics": Endpoints.statistics,
    "containerizer/debug": Endpoints.pending,
    "files/browse": Endpoints.browse,
    "files/read": Endpoints.read,
    "files/debug": Endpoints.paths,
}
PATHS = frozenset({*ENDPOINTS, "health", "logging/toggle", "files/download"})
# What names no task, and nobody is asked who he is for.
OPEN = frozenset({"health", "version"})
