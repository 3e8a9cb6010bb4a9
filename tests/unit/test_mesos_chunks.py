"""Streams of records: each a chunk, and those that are there together are sent together."""

from __future__ import annotations

import pytest

from pymesos_master.mesos.chunks import Chunks


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    out: list[bytes] = []

    async def write(self: Chunks, data: bytes) -> None:
        out.append(data)

    async def write_eof(self: Chunks, data: bytes = b"") -> None:
        out.append(b"eof")

    monkeypatch.setattr(Chunks, "write", write)
    monkeypatch.setattr(Chunks, "write_eof", write_eof)
    return out


async def test_records_are_chunks_of_one_piece(sent: list[bytes]) -> None:
    response = Chunks({"Content-Type": "application/json"})
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Content-Type"] == "application/json"
    await response.send([b"3\nabc", b"12\n" + b"x" * 12])
    await response.send([])
    await response.end()
    assert sent == [b"5\r\n3\nabc\r\nf\r\n12\nxxxxxxxxxxxx\r\n", b"0\r\n\r\n", b"eof"]
