"""HTTP servers of masters on loopback, with and without certificates."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from pymesos_core.http_listening import Listener
from pymesos_core.security.authority import certificate_pem, make_root
from pymesos_core.security.credentials import Credentials
from pymesos_core.security.identities import read_principal
from pymesos_core.security.issuing import issue
from pymesos_core.serving import Listen, make_gate
from pymesos_master.http.server import HttpServer
from pymesos_testing.http_cluster import a_bit_of_everything, closed_answering, leadership_of

LISTEN = Listen("127.0.0.1", 0, None, None)


@asynccontextmanager
async def running(server: Listener) -> AsyncIterator[str]:
    serving = asyncio.ensure_future(server.run())
    try:
        yield server.url
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(serving, 20)


class Closed:
    """A cluster with certificates, and clients with and without them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = make_root("prod", time.time())
        self.signing = self.root.make_intermediate("m1", time.time())
        self.credentials = Credentials(self.issue("master/m1"))

    def issue(self, principal: str) -> Path:
        folder, to = self.folder / principal.replace("/", "-"), read_principal("prod", principal)
        roots = certificate_pem(self.root.certificate)
        issue(folder, to, self.signing, roots, 600, time.time())
        return folder

    def server(self) -> HttpServer:
        gate = make_gate(self.credentials)
        answering = closed_answering(leadership_of(a_bit_of_everything()), gate)
        return HttpServer(answering, LISTEN, self.credentials)

    def context(self, principal: str = "") -> ssl.SSLContext:
        """What a client of the cluster has; none named: no certificate."""
        context = ssl.create_default_context(cadata=self.credentials.current().roots.decode())
        if principal:
            folder = self.issue(principal)
            context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        return context

    async def status(self, url: str, path: str, context: ssl.SSLContext) -> int:
        async with ClientSession(url) as session:
            name = "m1.master.prod.pymesos"
            async with session.get(path, ssl=context, server_hostname=name) as answer:
                return answer.status

    async def get(self, url: str, path: str, context: ssl.SSLContext) -> tuple[int, Any]:
        async with ClientSession(url) as session:
            name = "m1.master.prod.pymesos"
            async with session.get(path, ssl=context, server_hostname=name) as answer:
                return answer.status, await answer.json()
