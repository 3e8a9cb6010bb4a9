"""A proxy on 127.0.0.1 that passes on what the page asks, with the certificate of the context."""

from __future__ import annotations

import asyncio
import os
import ssl
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import click
from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientSession,
    ClientTimeout,
    ClientWebSocketResponse,
    WSServerHandshakeError,
    web,
)

from pymesos_cli.cluster import Cluster
from pymesos_cli.errors import CliError
from pymesos_cli.interrupts import run_interruptibly
from pymesos_cli.web.guard import Guard, is_of, owners
from pymesos_cli.web.sockets import talk
from pymesos_core.json_dialect import to_json
from pymesos_core.security.credentials import Pem
from pymesos_core.security.identities import Kind, server_name
from pymesos_core.security.server_tls import client_context
from pymesos_core.tasks import beside
from pymesos_core.text import os_problem

LOCAL = "127.0.0.1"
CONNECTIONS = Path("/proc/net/tcp")
MAX_BODY_BYTES = 1 << 20
CONNECT_S = 5.0
SILENCE_S = 60.0  # of the master, in the middle of an answer; streams have heartbeats
RENEW_EVERY_S = 3600.0
# What is said to the master, and what of its answer to the browser: the rest is of the connection.
PASSED_ON = ("Accept", "Cache-Control", "Content-Type", "If-None-Match", "Last-Event-ID")
PASSED_BACK = (
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Security-Policy",
    "Content-Type",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "ETag",
    "Pymesos-Offset",
    "Pymesos-Size",
    "Referrer-Policy",
    "Retry-After",
    "X-Content-Type-Options",
)


async def serve_page(cluster: Cluster, port: int, *, opens: bool) -> int:
    """Serve until a signal comes; the exit status. Raises CliError."""
    async with Upstream(cluster) as upstream:
        await upstream.url()  # that there is none is said before a browser is opened
        server = web.Server(lambda request: proxy.answer(request), handler_cancellation=True)
        runner = web.ServerRunner(server)
        await runner.setup()
        try:
            site = web.TCPSite(runner, LOCAL, port)
            try:
                await site.start()
            except OSError as error:
                raise CliError(
                    f"nothing can listen on {LOCAL}:{port} ({os_problem(error)}): choose another"
                    f" port with --port, or leave it out for a free one"
                ) from error
            proxy = Proxy(upstream, Guard(runner.addresses[0][1]))
            click.echo(f"{proxy.guard.url}\nit works once; Ctrl-C ends it")
            if opens and _has_browser(os.environ):
                await asyncio.to_thread(webbrowser.open, proxy.guard.url)
            async with beside(_renewing(cluster)):
                status = await run_interruptibly(_forever(), words=lambda: "ended")
        finally:
            await runner.cleanup()
    return status


async def _forever() -> int:
    await asyncio.Event().wait()
    return 0


async def _renewing(cluster: Cluster) -> None:
    while True:
        await asyncio.sleep(RENEW_EVERY_S)
        await cluster.renew_if_due()


def _has_browser(environ: Mapping[str, str]) -> bool:
    """Whether there is a screen; elsewhere a browser for terminals would take this one."""
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


class Upstream:
    """The HTTP of a master, and of another one when that is not reached."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._url = ""
        self._pem: Pem | None = None
        self._tls: ssl.SSLContext | None = None
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Upstream:
        timeout = ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        self._session = ClientSession(timeout=timeout, auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def url(self) -> str:
        """Where a master serves HTTP. Raises CliError."""
        if not self._url:
            scheme = "http" if self._cluster.credentials is None else "https"
            self._url = f"{scheme}://{await self._cluster.http_address()}"
        return self._url

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Any:
        """The answer of a master, as it begins to come. Raises CliError, and what aiohttp does."""
        assert self._session is not None
        for last in (False, True):
            url = await self.url()
            try:
                return await self._session.request(
                    method,
                    url + target,
                    headers=headers,
                    data=body or None,
                    allow_redirects=False,
                    **self._verified(),
                )
            except ClientConnectorError:  # so nothing was done
                self._url = ""
                if last:
                    raise
        raise AssertionError("the last try returns or raises")

    async def open(self, target: str) -> ClientWebSocketResponse:
        """A WebSocket to a master. Raises CliError, and what aiohttp does."""
        assert self._session is not None
        url = await self.url() + target
        opened: ClientWebSocketResponse = await self._session.ws_connect(
            url, max_msg_size=0, **self._verified()
        )
        return opened

    def _verified(self) -> dict[str, Any]:
        """How the master is known, and this operator to it."""
        credentials = self._cluster.credentials
        if credentials is None:
            return {}
        if (pem := credentials.current()) is not self._pem:
            self._pem, self._tls = pem, client_context(pem)
        name = server_name(credentials.identity.cluster, Kind.MASTER)
        return {"ssl": self._tls, "server_hostname": name}


class Proxy:
    """Passes requests on that the guard lets pass, and answers back as they come."""

    def __init__(self, upstream: Upstream, guard: Guard) -> None:
        self.guard = guard
        self._upstream = upstream
        self._users = owners(os.getuid(), os.environ)
        self._ours: WeakKeyDictionary[asyncio.Transport, bool] = WeakKeyDictionary()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if not self._is_ours(request):
            return _refusal(403, "PERMISSION_DENIED", "this is the proxy of another user")
        headers = {name.lower(): value for name, value in request.headers.items()}
        refused = self.guard.check(request.method, request.raw_path, headers)
        if refused is not None:
            if refused.headers:  # it leads on, with the cookie
                return web.Response(status=refused.status, headers={**refused.headers, **NO_STORE})
            return _refusal(refused.status, "PERMISSION_DENIED", refused.text)
        if headers.get("upgrade", "").lower() == "websocket":
            return await self._talk(request)
        if int(headers.get("content-length", "0") or 0) > MAX_BODY_BYTES:
            return _refusal(413, "INVALID_ARGUMENT", f"at most {MAX_BODY_BYTES} bytes are accepted")
        body = await request.read()
        passed = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        try:
            answer = await self._upstream.ask(request.method, request.raw_path, passed, body)
            async with answer:
                return await self._pass_back(request, answer)
        except CliError as error:
            return _refusal(503, "UNAVAILABLE", error.message)
        except (ClientError, TimeoutError) as error:
            told = f"the master does not answer ({type(error).__name__}); ask again"
            return _refusal(503, "UNAVAILABLE", told)

    async def _talk(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            master = await self._upstream.open(request.raw_path)
        except CliError as error:
            return _refusal(503, "UNAVAILABLE", error.message)
        except WSServerHandshakeError as error:
            return _refusal(error.status, "UNAVAILABLE", "the master opens no WebSocket for this")
        except (ClientError, TimeoutError) as error:
            told = f"the master does not answer ({type(error).__name__}); ask again"
            return _refusal(503, "UNAVAILABLE", told)
        return await talk(request, master)

    async def _pass_back(self, request: web.BaseRequest, answer: Any) -> web.StreamResponse:
        headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        response = web.StreamResponse(status=answer.status, headers=headers)
        await response.prepare(request)
        try:
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
        except (ClientError, TimeoutError, ConnectionError):
            # One of the two has gone: what has come is not the whole, and must not look like it.
            if request.transport is not None:
                request.transport.abort()
        return response

    def _is_ours(self, request: web.BaseRequest) -> bool:
        """Whether it comes from a process of this user; where that cannot be told, it is let be."""
        assert request.transport is not None
        known = self._ours.get(request.transport)
        if known is None:
            known = self._ours[request.transport] = self._is_own(request.transport)
        return known

    def _is_own(self, transport: asyncio.Transport) -> bool:
        try:
            table = CONNECTIONS.read_text("ascii")
        except OSError:
            return True
        peer = transport.get_extra_info("peername")
        own = transport.get_extra_info("sockname")
        return is_of(peer[:2], own[:2], self._users, table)


NO_STORE = {"Cache-Control": "no-store"}


def _refusal(status: int, code: str, message: str) -> web.Response:
    """An error as a master says it."""
    return web.Response(
        status=status,
        text=to_json({"error": {"code": code, "message": message}}, None),
        content_type="application/json",
        headers=NO_STORE,
    )
