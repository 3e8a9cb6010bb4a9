"""Which questions of DNS go to others, and what is taken for their answer."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

import dnslib
import pytest

from pymesos_core.discovery.forwarding import Forwarder, Server, Upstream, is_answer, is_below
from pymesos_core.discovery.resolver import Names


def packet(name: str, kind: str = "A") -> bytes:
    return bytes(dnslib.DNSRecord.question(name, kind).pack())


@pytest.mark.parametrize(
    "name, is_elsewhere",
    [
        ("example.org", True),
        ("pymesos.org", True),
        ("notpymesos", True),
        ("1.0.0.10.in-addr.arpa", True),
        ("web.shop.pymesos", False),
        ("nothing.PYMESOS", False),
        ("pymesos", False),
    ],
)
def test_what_is_outside_the_domain_goes_to_others(name: str, is_elsewhere: bool) -> None:
    assert Names("pymesos").is_elsewhere(packet(name)) is is_elsewhere


def test_what_is_no_question_goes_to_nobody() -> None:
    names, good = Names("pymesos"), packet("example.org")
    update = good[:2] + b"\x28" + good[3:]
    reply = bytes(dnslib.DNSRecord.parse(good).reply().pack())
    chaos = good[:-1] + b"\x03"
    two = good[:5] + b"\x02" + good[6:]
    for bad in (b"", good[:11], good[:-1], update, reply, chaos, two):
        assert not names.is_elsewhere(bad)
    assert names.is_elsewhere(good)


def test_only_the_answer_to_what_was_asked_is_taken() -> None:
    asked = packet("example.org")
    reply = dnslib.DNSRecord.parse(asked).reply()
    reply.add_answer(*dnslib.RR.fromZone("example.org 60 A 10.0.0.9"))
    good = bytes(reply.pack())
    assert is_answer(good, asked)
    other_id = bytes([good[0] ^ 1]) + good[1:]
    other_name = bytes(dnslib.DNSRecord.parse(packet("example.net")).reply().pack())
    other_name = asked[:2] + other_name[2:]
    other_type = (
        asked[:2] + bytes(dnslib.DNSRecord.question("example.org", "AAAA").reply().pack())[2:]
    )
    for bad in (b"", good[:11], asked, other_id, other_name, other_type):
        assert not is_answer(bad, asked)


def test_the_name_servers_of_a_machine_as_they_are_now(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    servers = Upstream(path, own_ip="10.213.0.1")
    assert servers() == ()
    path.write_text(
        "# nameserver 10.9.9.9\nsearch a.b\nnameserver\nnameserver 10.213.0.1\n"
        "nameserver 10.0.0.2\n nameserver fe80::1%eth0 \nnameserver 10.0.0.4\n"
    )
    assert servers() == (("10.0.0.2", 53), ("fe80::1%eth0", 53)), "three, of which one is ours"
    path.write_text("nameserver 10.0.0.5\n")
    os.utime(path, ns=(1, 1))
    assert servers() == (("10.0.0.5", 53),)
    path.unlink()
    assert servers() == (("10.0.0.5", 53),)


def test_who_is_on_a_bridge() -> None:
    bridge = IPv4Network("10.213.0.0/16")
    asked = ("10.213.0.1", "10.213.9.9", "10.214.0.1", "::1", "")
    assert [is_below(each, bridge) for each in asked] == [True, True, False, False, False]


@pytest.mark.parametrize(
    "answers, rcode, asked",
    [
        (["REFUSED", "NOERROR"], "NOERROR", 2),
        (["SERVFAIL", "NOTIMP", "NXDOMAIN"], "NXDOMAIN", 3),
        (["NXDOMAIN", "NOERROR"], "NXDOMAIN", 1),
        (["REFUSED", "SERVFAIL"], "REFUSED", 2),
        (["NOTIMP", ""], "NOTIMP", 2),
        (["", ""], "SERVFAIL", 2),
    ],
)
@pytest.mark.parametrize("udp", [True, False])
async def test_where_a_server_refuses_the_next_one_is_asked(
    answers: Sequence[str], rcode: str, asked: int, udp: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = [(f"10.0.0.{index}", 53) for index in range(len(answers))]
    heard: list[Server] = []

    async def answer(_: object, server: Server, sent: bytes) -> bytes:
        heard.append(server)
        if not (said := answers[servers.index(server)]):
            raise ConnectionRefusedError
        reply = dnslib.DNSRecord.parse(sent).reply()
        reply.header.rcode = getattr(dnslib.RCODE, said)
        return bytes(reply.pack())

    monkeypatch.setattr(Forwarder, "_by_udp" if udp else "_by_tcp", answer)
    bridge = IPv4Network("10.213.0.0/16")
    forwarder = Forwarder(lambda: servers, random.Random(1), bridge)
    question = packet("example.org")
    answered = dnslib.DNSRecord.parse(await forwarder.ask(question, "10.213.0.2", udp=udp))
    assert answered.header.rcode == getattr(dnslib.RCODE, rcode)
    assert answered.header.id == dnslib.DNSRecord.parse(question).header.id
    assert heard == servers[:asked]
