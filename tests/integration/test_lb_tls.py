"""HAProxy shows the certificates that are there now, and is not started anew for them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pymesos_lb import balancer as lb
from pymesos_lb.certificates import Certificates
from pymesos_lb.config import Doors
from pymesos_lb.main import PATH
from pymesos_lb.routes import Route, Routes
from pymesos_lb.slots import HaProxy
from pymesos_testing.certificates import public_pem
from pymesos_testing.components import free_port

A, B = "a.example.org", "b.example.org"


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a request by what it says."""
    said = await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + said)
    await writer.drain()
    writer.close()


async def ask(port: int, host: str, sni: str = "") -> tuple[bytes, bytes]:
    """Return what is answered for a host, and the certificate that was shown; empty: none."""
    tls = None
    if sni:
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname=sni or None
            )
            secure = writer.get_extra_info("ssl_object")
            shown = secure.getpeercert(True) if secure else b""
            writer.write(f"GET /x HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            said = await reader.read()
            writer.close()
            return said, shown
    except OSError:
        return b"", b""


@contextlib.asynccontextmanager
async def balancing(folder: Path, doors: Doors, serves: int) -> AsyncIterator[None]:
    program = shutil.which("haproxy", path=PATH)
    if program is None:
        pytest.skip("haproxy is missing; deploy/test-deps.sh installs it")
    here = frozenset({("127.0.0.1", serves)})
    routes = Routes({Route(doors.tls_ports[0], host): here for host in (A, B)})
    certificates = Certificates(folder / "source", Path(doors.certificates))
    balancer = lb.Balancer(program, folder / "lb", doors, time.monotonic, certificates=certificates)
    task = asyncio.create_task(balancer.run(lambda: routes))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def put(source: Path, host: str) -> bytes:
    """Give a host a new certificate, and return it as a server shows it."""
    pem = public_pem(host)
    new = source / ".new"
    new.touch(0o600)
    new.write_bytes(pem)
    new.rename(source / f"{host}.pem")
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


async def pids(socket: HaProxy) -> list[str]:
    """The lines of HAProxy's socket that name its process."""
    return [line for line in (await socket.ask("show info")).splitlines() if "Pid" in line]


async def eventually(what: str, port: int, host: str, shown: bytes) -> None:
    """Wait until a host is served with a certificate; empty: until it is not served."""
    for _ in range(100):
        said, found = await ask(port, host, sni=host)
        if found == shown and (b" 200 " in said) == bool(shown):
            assert not said or b"x-forwarded-proto: https\r\n" in said.lower()
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what}: {said!r}")


async def test_certificates_come_and_are_renewed_without_a_new_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lb, "LOOK_AGAIN_S", 0.1)
    source = tmp_path / "source"
    source.mkdir()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    tls_port, plain_port = free_port(), free_port()
    doors = Doors("127.0.0.1", (tls_port,), plain_port, str(tmp_path / "lb/certificates"))
    first = put(source, A)
    async with server, balancing(tmp_path, doors, server.sockets[0].getsockname()[1]):
        await eventually("the one of before the start", tls_port, A, first)
        socket = HaProxy(str(tmp_path / "lb" / lb.SOCKET))
        process = await pids(socket)
        assert process
        assert await ask(tls_port, B, sni=B) == (b"", b""), "a's certificate is not shown to b's"
        await eventually("one that is new", tls_port, B, put(source, B))
        for _ in range(3):
            await eventually("one that is renewed", tls_port, A, put(source, A))
        (source / f"{B}.pem").unlink()
        await eventually("one that is gone", tls_port, B, b"")
        assert await pids(socket) == process, "nothing was started anew"
        said, _ = await ask(plain_port, A)
        assert b" 308 " in said and f"https://{A}:{tls_port}/x".encode() in said
        said, _ = await ask(plain_port, "c.example.org")
        assert b" 404 " in said
