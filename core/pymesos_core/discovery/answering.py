"""A packet with a question of DNS, and the packet that answers it: bytes in, bytes out.

It answers for one domain with authority, and refuses what is outside. What comes in is read here,
by what a question may be and no more: one name without pointers, one OPT record. So nothing that
somebody sends costs more than its length. dnslib makes the answers.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from dnslib import (
    AAAA,
    CLASS,
    EDNS0,
    QTYPE,
    RCODE,
    RR,
    SOA,
    SRV,
    A,
    DNSHeader,
    DNSLabel,
    DNSQuestion,
    DNSRecord,
)

from pymesos_core.discovery.zone import Address, Found, Target, Zone, address_label

TTL_S = 1
UDP_BYTES = 512  # of an answer to who says nothing of EDNS
MAX_UDP_BYTES = 1232  # which no network takes to pieces
MAX_TCP_BYTES = 65_535
MAX_ASKED_BYTES = 1024  # of a question: a name, and options
MAX_RECORDS = 500  # of an answer; of more instances, which of them is by chance
LEAST_RECORD_BYTES = 16
REFRESH_S, RETRY_S, EXPIRE_S = 60, 10, 3600  # of the SOA record, for secondaries that we have not
RR_HEADER = struct.Struct("!HHIH")
HEADER = struct.Struct("!HHHHHH")
LENGTH_BYTES = 2  # before each message, by TCP
OPT = 41
OPCODE_SHIFT, OPCODE = 11, 0xF
RESPONSE, RECURSION_DESIRED = 0x8000, 0x0100
POINTER = 0xC0

T = TypeVar("T")


class FormatError(ValueError):
    """A packet is no question of DNS."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    id: int
    recursion_desired: bool
    labels: tuple[bytes, ...]  # as they were written
    type: int
    dns_class: int
    udp_bytes: int | None  # what the asker takes at once; None: it says nothing of EDNS
    edns_version: int = 0


def answer(packet: bytes, zone: Zone, *, is_known: bool, udp: bool) -> bytes | None:
    """Return the answer to a packet; None where none is to be sent.

    `is_known`: whether it is known what serves, or that nothing does.
    """
    if len(packet) < HEADER.size:
        return None
    query_id, flags, *_ = HEADER.unpack_from(packet)
    if flags & RESPONSE:
        return None  # or two resolvers would answer each other for ever
    if flags >> OPCODE_SHIFT & OPCODE:
        return _empty(query_id, flags, RCODE.NOTIMP)
    try:
        question = read(packet)
    except FormatError:
        return _empty(query_id, flags, RCODE.FORMERR)
    reply = _reply(question)
    if question.edns_version:
        reply.ar[0].ttl = 1 << 24  # BADVERS is 16, whose upper bits are here
    else:
        _fill(reply, question, zone, is_known=is_known, most=_most(question, udp=udp))
    packed = bytes(reply.pack())
    if len(packed) > (most := _most(question, udp=udp)):
        # The addresses of targets are a courtesy.
        reply.ar = [record for record in reply.ar if record.rtype == OPT]
        packed = bytes(reply.pack())
    return packed if len(packed) <= most else _cut(question)


def is_elsewhere(packet: bytes, domain: str) -> bool:
    """Whether a packet is a question of a name that is not below a domain."""
    if len(packet) < HEADER.size:
        return False
    flags = HEADER.unpack_from(packet)[1]
    if flags & RESPONSE or flags >> OPCODE_SHIFT & OPCODE:
        return False
    try:
        question = read(packet)
    except FormatError:
        return False
    return question.dns_class == CLASS.IN and _below(question.labels, domain) is None


def question_bytes(packet: bytes) -> bytes:
    """Return the name, type and class of a packet that `is_elsewhere`, as they were written."""
    _, at = _read_name(packet, HEADER.size)
    return packet[HEADER.size : at + 4]


def failure(packet: bytes) -> bytes:
    """Return that a question with a header is not answered now."""
    query_id, flags, *_ = HEADER.unpack_from(packet)
    return _empty(query_id, flags, RCODE.SERVFAIL)


def read(packet: bytes) -> Question:
    """Read the question of a packet that has a header. Raises FormatError."""
    query_id, flags, questions, answers, authorities, more = HEADER.unpack_from(packet)
    if len(packet) > MAX_ASKED_BYTES or questions != 1 or answers or authorities or more > 2:
        raise FormatError
    labels, at = _read_name(packet, HEADER.size)
    try:
        asked, dns_class = struct.unpack_from("!HH", packet, at)
        udp_bytes, version = _read_edns(packet, at + 4, more)
    except struct.error:
        raise FormatError from None
    return Question(
        query_id, bool(flags & RECURSION_DESIRED), labels, asked, dns_class, udp_bytes, version
    )


def _read_name(packet: bytes, at: int) -> tuple[tuple[bytes, ...], int]:
    """The labels of a name, and where it ends. Raises FormatError."""
    labels: list[bytes] = []
    begin = at
    while at < len(packet) and (length := packet[at]):
        if length & POINTER or at + 1 + length > len(packet) or at - begin > 254:
            raise FormatError
        labels.append(packet[at + 1 : at + 1 + length])
        at += 1 + length
    if at >= len(packet) or at - begin > 254:
        raise FormatError
    return tuple(labels), at + 1


def _read_edns(packet: bytes, at: int, records: int) -> tuple[int | None, int]:
    """What an OPT record says of sizes, and its version; None: there is none.

    Raises FormatError, struct.error.
    """
    for _ in range(records):
        labels, at = _read_name(packet, at)
        kind, size, ttl, length = RR_HEADER.unpack_from(packet, at)
        at += RR_HEADER.size + length
        if at > len(packet):
            raise FormatError
        if kind == OPT and not labels:
            return size, ttl >> 16 & 0xFF
    return None, 0


def _most(question: Question, *, udp: bool) -> int:
    if not udp:
        return MAX_TCP_BYTES
    return min(MAX_UDP_BYTES, max(UDP_BYTES, question.udp_bytes or 0))


def _empty(query_id: int, flags: int, rcode: int) -> bytes:
    """An answer that says only what is wrong."""
    said = RESPONSE | flags & (OPCODE << OPCODE_SHIFT) | flags & RECURSION_DESIRED | rcode
    return HEADER.pack(query_id, said, 0, 0, 0, 0)


def _reply(question: Question) -> DNSRecord:
    header = DNSHeader(id=question.id, qr=1, aa=0, ra=0, rd=int(question.recursion_desired))
    asked = DNSQuestion(DNSLabel(question.labels), question.type, question.dns_class)
    reply = DNSRecord(header, q=asked)
    if question.udp_bytes is not None:
        reply.add_ar(EDNS0(udp_len=MAX_UDP_BYTES))
    return reply


def _cut(question: Question) -> bytes:
    """Ask for it by TCP."""
    reply = _reply(question)
    reply.header.aa = reply.header.tc = 1
    return bytes(reply.pack())


def _fill(reply: DNSRecord, question: Question, zone: Zone, *, is_known: bool, most: int) -> None:
    below = _below(question.labels, zone.domain)
    if below is None or question.dns_class != CLASS.IN:
        reply.header.rcode = RCODE.REFUSED
        return
    if not is_known:
        reply.header.rcode = RCODE.SERVFAIL
        return
    reply.header.aa = 1
    found = zone.find(below)
    if found is None:
        reply.header.rcode = RCODE.NXDOMAIN
    else:
        _add(reply, question, zone, found, most)
    if not below and question.type == QTYPE.SOA:
        reply.add_answer(_soa(zone))
    elif not reply.rr:
        reply.add_auth(_soa(zone))


def _add(reply: DNSRecord, question: Question, zone: Zone, found: Found, most: int) -> None:
    """Add the records of that type: those that somebody else gets first come in another order."""
    name = DNSLabel(question.labels)
    if question.type == QTYPE.SRV:
        targets = _some(found.targets, question.id, most)
        for target in targets:
            reply.add_answer(_srv(name, target, zone.domain))
        for address in dict.fromkeys(target.address for target in targets):
            reply.add_ar(_address(DNSLabel(_host(address, zone.domain)), address))
        return
    versions = {QTYPE.A: (4,), QTYPE.AAAA: (6,), QTYPE.ANY: (4, 6)}.get(question.type, ())
    fitting = [address for address in found.addresses if address.version in versions]
    for address in _some(fitting, question.id, most):
        reply.add_answer(_address(name, address))


def _some(items: Sequence[T], turn: int, most: int) -> list[T]:
    """As many as could have room and one more, in an order that the number of a question makes."""
    first = turn % len(items) if items else 0
    enough = min(MAX_RECORDS, most // LEAST_RECORD_BYTES + 1)
    return [*items[first:], *items[:first]][:enough]


def _below(labels: tuple[bytes, ...], domain: str) -> tuple[str, ...] | None:
    """The labels before the domain, in small letters; None for what is not below it."""
    asked = tuple(label.decode("latin-1").lower().replace(".", "\\.") for label in labels)
    of_domain = tuple(domain.split("."))
    if asked[-len(of_domain) :] != of_domain:
        return None
    return asked[: -len(of_domain)]


def _host(address: Address, domain: str) -> str:
    return f"{address_label(address)}.{domain}"


def _srv(name: DNSLabel, target: Target, domain: str) -> RR:
    data = SRV(priority=0, weight=1, port=target.port, target=_host(target.address, domain))
    return RR(name, QTYPE.SRV, ttl=TTL_S, rdata=data)


def _address(name: DNSLabel, address: Address) -> RR:
    if address.version == 4:
        return RR(name, QTYPE.A, ttl=TTL_S, rdata=A(str(address)))
    return RR(name, QTYPE.AAAA, ttl=TTL_S, rdata=AAAA(str(address)))


def _soa(zone: Zone) -> RR:
    times = (zone.serial, REFRESH_S, RETRY_S, EXPIRE_S, TTL_S)
    data = SOA(zone.domain, f"hostmaster.{zone.domain}", times)
    return RR(zone.domain, QTYPE.SOA, ttl=TTL_S, rdata=data)
