"""DNS: names to records, packets in bytes to packets out bytes."""

from __future__ import annotations

import struct

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pymesos_core.discovery.answering import MAX_UDP_BYTES, TTL_S, UDP_BYTES
from pymesos_core.discovery.limiting import MAX_ADDRESSES, Limiter
from pymesos_core.discovery.resolver import Names
from pymesos_core.discovery.zone import domain_problem, name_of, service_label
from pymesos_proto.v1.names_pb2 import NamedTask, NamesBatch, ServedPort, ServedTask

WEB = "web.shop.pymesos"


def named(
    task_id: str = "t",
    ip: str = "10.0.0.1",
    *,
    role: str = "*",
    job: str = "shop",
    task: str = "web",
    instance: int = 0,
    order: int = 1,
    ports: dict[str, int] | None = None,
    protocol: str = "",
) -> NamedTask:
    served = ServedTask(
        task_id=task_id, agent_id="a", role=role, job=job, task=task, instance=instance, order=order
    )
    for name, port in ({"http": 31000} if ports is None else ports).items():
        served.ports.append(ServedPort(name=name, port=port, protocol=protocol))
    return NamedTask(framework_id="f", ip=ip, task=served)


def names_of(*tasks: NamedTask, domain: str = "pymesos") -> Names:
    names = Names(domain)
    names.take(NamesBatch(epoch=1, serves=tasks, whole=True))
    return names


def raw(names: Names, query: dnslib.DNSRecord, *, udp: bool = True) -> bytes:
    answered = names.answer(bytes(query.pack()), udp=udp)
    assert answered is not None
    return answered


def ask(names: Names, name: str, kind: str = "A", *, udp: bool = True) -> dnslib.DNSRecord:
    return dnslib.DNSRecord.parse(raw(names, dnslib.DNSRecord.question(name, kind), udp=udp))


def rcode(reply: dnslib.DNSRecord) -> str:
    return str(dnslib.RCODE.get(reply.header.rcode))


def data(reply: dnslib.DNSRecord) -> list[str]:
    return sorted(str(record.rdata) for record in reply.rr)


class TestAddresses:
    def test_a_service_has_the_addresses_of_what_serves(self) -> None:
        names = names_of(named("t0"), named("t1", "10.0.0.2", instance=1))
        reply = ask(names, WEB)
        assert data(reply) == ["10.0.0.1", "10.0.0.2"]
        assert {record.ttl for record in reply.rr} == {TTL_S}
        assert (reply.header.aa, reply.header.ra, rcode(reply)) == (1, 0, "NOERROR")

    def test_two_on_one_agent_are_one_address(self) -> None:
        assert data(ask(names_of(named("t0"), named("t1", instance=1)), WEB)) == ["10.0.0.1"]

    def test_roles_are_reversed_and_the_first_one_is_left_out(self) -> None:
        names = names_of(named(role="eng/web"), named("t2", "10.0.0.2"))
        assert data(ask(names, "web.shop.web.eng.pymesos")) == ["10.0.0.1"]
        assert data(ask(names, WEB)) == ["10.0.0.2"]

    def test_no_aaaa_is_no_data(self) -> None:
        reply = ask(names_of(named()), WEB, "AAAA")
        assert (rcode(reply), data(reply)) == ("NOERROR", [])
        assert [record.rtype for record in reply.auth] == [dnslib.QTYPE.SOA]

    def test_an_agent_of_ipv6_is_aaaa_alone(self) -> None:
        names = names_of(named(ip="2001:db8::1"))
        assert data(ask(names, WEB, "AAAA")) == ["2001:db8::1"]
        assert data(ask(names, WEB)) == []

    @pytest.mark.parametrize("ip", ["fe80::1%eth0", "node-1", "", "10.0.0.256", "1" * 300])
    def test_an_agent_without_an_address_that_others_reach_has_no_name(self, ip: str) -> None:
        names = names_of(named(ip=ip), named("t2", "10.0.0.2"))
        assert data(ask(names, WEB)) == ["10.0.0.2"] and data(ask(names, WEB, "AAAA")) == []

    def test_underscores_and_capitals(self) -> None:
        names = names_of(named(job="My_Shop", task="web_app"))
        assert data(ask(names, "Web-App.MY-shop.pymesos")) == ["10.0.0.1"]

    def test_who_asks_again_gets_them_in_another_order(self) -> None:
        names = names_of(*(named(f"t{n}", f"10.0.0.{n}") for n in range(8)))
        firsts = set()
        for number in range(16):
            query = dnslib.DNSRecord.question(WEB)
            query.header.id = number
            firsts.add(str(dnslib.DNSRecord.parse(raw(names, query)).rr[0].rdata))
        assert len(firsts) == 8

    def test_a_domain_of_several_labels(self) -> None:
        names = names_of(named(), domain="c1.example.org")
        assert data(ask(names, "web.shop.c1.example.org")) == ["10.0.0.1"]
        assert rcode(ask(names, "web.shop.example.org")) == "REFUSED"


class TestInstances:
    def test_the_newest_of_an_instance(self) -> None:
        names = names_of(
            named("old", "10.0.0.1", instance=3, order=5),
            named("new", "10.0.0.2", instance=3, order=9),
            named("other", "10.0.0.3", instance=4),
        )
        assert data(ask(names, f"3.{WEB}")) == ["10.0.0.2"]
        assert rcode(ask(names, f"5.{WEB}")) == "NXDOMAIN"
        assert rcode(ask(names, f"03.{WEB}")) == "NXDOMAIN"

    def test_a_task_that_is_called_like_an_instance_takes_its_name_from_nobody(self) -> None:
        mine = named("mine", "10.0.0.1", instance=0)
        other = named("other", "10.6.6.6", role="shop", job="web", task="0")
        assert data(ask(names_of(mine, other), f"0.{WEB}")) == ["10.0.0.1"]
        assert rcode(ask(names_of(other), f"0.{WEB}")) == "NXDOMAIN"


class TestServices:
    def test_targets_are_names_with_addresses(self) -> None:
        names = names_of(named("t0"), named("t1", "2001:db8::1", ports={"http": 31001}))
        reply = ask(names, f"_http._tcp.{WEB}", "SRV")
        targets = {(r.rdata.port, str(r.rdata.target)) for r in reply.rr}
        six = "ip6-2001-0db8-0000-0000-0000-0000-0000-0001.pymesos."
        assert targets == {(31000, "ip-10-0-0-1.pymesos."), (31001, six)}
        assert {str(r.rname) for r in reply.ar} == {target for _, target in targets}
        assert data(ask(names, "ip-10-0-0-1.pymesos")) == ["10.0.0.1"]
        assert data(ask(names, six, "AAAA")) == ["2001:db8::1"]
        assert rcode(ask(names, "ip-10-0-0-2.pymesos")) == "NXDOMAIN"

    def test_the_protocol_counts(self) -> None:
        names = names_of(named(ports={"dns": 31053}, protocol="udp"))
        assert len(ask(names, f"_dns._udp.{WEB}", "SRV").rr) == 1
        assert rcode(ask(names, f"_dns._tcp.{WEB}", "SRV")) == "NXDOMAIN"
        assert rcode(ask(names, f"_udp.{WEB}", "SRV")) == "NOERROR"
        assert rcode(ask(names, f"_tcp.{WEB}", "SRV")) == "NXDOMAIN"

    @pytest.mark.parametrize("port, label", [("http", "http"), ("a" * 15, "a" * 15)])
    def test_labels(self, port: str, label: str) -> None:
        assert service_label(port) == label

    def test_a_port_with_a_long_name_has_no_record(self) -> None:
        assert service_label("a" * 16) == ""
        names = names_of(named(ports={"a" * 16: 1}))
        assert rcode(ask(names, f"_{'a' * 16}._tcp.{WEB}", "SRV")) == "NXDOMAIN"


class TestWhatIsNotThere:
    def test_is_said_to_be_so_by_whoever_has_the_say(self) -> None:
        reply = ask(names_of(named()), "nothing.shop.pymesos")
        assert (rcode(reply), reply.header.aa) == ("NXDOMAIN", 1)
        (soa,) = reply.auth
        assert str(soa.rname) == "pymesos." and soa.rdata.times[-1] == TTL_S

    def test_names_above_others_have_no_records(self) -> None:
        names = names_of(named(role="eng"))
        for name in ("shop.eng.pymesos", "eng.pymesos", "pymesos"):
            assert (rcode(ask(names, name)), data(ask(names, name))) == ("NOERROR", [])

    def test_what_ended_is_gone_with_all_that_was_above_it(self) -> None:
        names = names_of(named(role="eng"))
        names.take(NamesBatch(epoch=1, ended=[NamesBatch.Ended(framework_id="f", task_id="t")]))
        for name in ("web.shop.eng.pymesos", "eng.pymesos", "ip-10-0-0-1.pymesos"):
            assert rcode(ask(names, name)) == "NXDOMAIN"

    @pytest.mark.parametrize("name", ["example.org", "pymesos.example.org", ".", "notpymesos"])
    def test_what_is_outside_is_refused_and_nobody_is_asked(self, name: str) -> None:
        reply = ask(names_of(named()), name)
        assert (rcode(reply), reply.header.aa, reply.rr, reply.auth) == ("REFUSED", 0, [], [])

    def test_before_anything_is_known_nothing_is_said_not_to_be(self) -> None:
        assert rcode(ask(Names("pymesos"), WEB)) == "SERVFAIL"

    def test_the_domain_has_its_soa(self) -> None:
        reply = ask(names_of(named()), "pymesos", "SOA")
        assert [record.rtype for record in reply.rr] == [dnslib.QTYPE.SOA]

    def test_labels_with_dots_in_them_are_other_names(self) -> None:
        query = dnslib.DNSRecord(q=dnslib.DNSQuestion(dnslib.DNSLabel((b"web.shop", b"pymesos"))))
        assert rcode(dnslib.DNSRecord.parse(raw(names_of(named()), query))) == "NXDOMAIN"


class TestSizes:
    MANY = tuple(named(f"t{n}", f"10.0.{n // 250}.{n % 250}", instance=n) for n in range(400))

    def test_what_is_too_long_for_udp_is_asked_for_by_tcp(self) -> None:
        names = names_of(*self.MANY)
        short = raw(names, dnslib.DNSRecord.question(WEB))
        assert dnslib.DNSRecord.parse(short).header.tc == 1 and len(short) <= UDP_BYTES
        whole = ask(names, WEB, udp=False)
        assert whole.header.tc == 0 and len(whole.rr) == 400

    def test_edns_says_how_much_is_taken(self) -> None:
        names = names_of(*self.MANY[:40])
        query = dnslib.DNSRecord.question(WEB)
        assert dnslib.DNSRecord.parse(raw(names, query)).header.tc == 1
        query.add_ar(dnslib.EDNS0(udp_len=4096))
        answered = raw(names, query)
        reply = dnslib.DNSRecord.parse(answered)
        assert reply.header.tc == 0 and len(reply.rr) == 40
        assert UDP_BYTES < len(answered) <= MAX_UDP_BYTES
        assert [record.rtype for record in reply.ar] == [dnslib.QTYPE.OPT]

    def test_the_addresses_of_targets_are_left_out_first(self) -> None:
        query = dnslib.DNSRecord.question(f"_http._tcp.{WEB}", "SRV")
        reply = dnslib.DNSRecord.parse(raw(names_of(*self.MANY[:8]), query))
        assert (reply.header.tc, len(reply.rr), reply.ar) == (0, 8, [])

    def test_a_later_edns_is_refused_by_its_version(self) -> None:
        query = dnslib.DNSRecord.question(WEB)
        query.add_ar(dnslib.EDNS0(udp_len=1232, version=1))
        reply = dnslib.DNSRecord.parse(raw(names_of(named()), query))
        assert (reply.rr, reply.ar[0].ttl >> 24) == ([], 1)


class TestHostilePackets:
    NAMES = names_of(named())
    QUERY = bytes(dnslib.DNSRecord.question(WEB).pack())

    @given(st.binary(max_size=2000))
    @settings(max_examples=300, deadline=None)
    def test_random_bytes(self, packet: bytes) -> None:
        for udp in (True, False):
            answered = self.NAMES.answer(packet, udp=udp)
            assert answered is None or len(answered) <= MAX_UDP_BYTES

    @given(st.data())
    @settings(max_examples=300, deadline=None)
    def test_a_question_with_bytes_changed(self, drawn: st.DataObject) -> None:
        packet = bytearray(self.QUERY)
        for _ in range(drawn.draw(st.integers(1, 4))):
            packet[drawn.draw(st.integers(0, len(packet) - 1))] = drawn.draw(st.integers(0, 255))
        self.NAMES.answer(bytes(packet), udp=True)

    def test_a_pointer_is_no_name(self) -> None:
        loop = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + b"\xc0\x0c\x00\x01\x00\x01"
        answered = self.NAMES.answer(loop, udp=True)
        assert answered is not None and answered[3] & 0xF == dnslib.RCODE.FORMERR

    @pytest.mark.parametrize("counts", [(0, 0, 0), (2, 0, 0), (65535, 0, 0), (1, 1, 0), (1, 0, 9)])
    def test_other_counts_than_a_question_has(self, counts: tuple[int, int, int]) -> None:
        questions, answers, more = counts
        head = struct.pack("!HHHHHH", 7, 0x100, questions, answers, 0, more)
        answered = self.NAMES.answer(head + self.QUERY[12:] * 3, udp=True)
        assert answered == struct.pack("!HHHHHH", 7, 0x8101, 0, 0, 0, 0)

    def test_answers_are_not_answered(self) -> None:
        packet = bytearray(self.QUERY)
        packet[2] |= 0x80
        assert self.NAMES.answer(bytes(packet), udp=True) is None

    def test_updates_and_the_like_are_not_implemented(self) -> None:
        packet = bytearray(self.QUERY)
        packet[2] |= 5 << 3
        answered = self.NAMES.answer(bytes(packet), udp=True)
        assert answered is not None and answered[3] & 0xF == dnslib.RCODE.NOTIMP

    def test_names_that_are_too_long(self) -> None:
        name = b"\x3f" + b"a" * 63
        head = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0)
        answered = self.NAMES.answer(head + name * 5 + b"\0\0\1\0\1", udp=True)
        assert answered is not None and answered[3] & 0xF == dnslib.RCODE.FORMERR

    def test_digits_that_are_none(self) -> None:
        label = "²".encode("latin-1")
        query = dnslib.DNSRecord(
            q=dnslib.DNSQuestion(dnslib.DNSLabel((label, b"web", b"shop", b"pymesos")))
        )
        assert raw(self.NAMES, query)[3] & 0xF == dnslib.RCODE.NXDOMAIN

    def test_the_longest_name_of_any_bytes(self) -> None:
        labels = [b"\xff" * 63] * 3 + [b"\0" * 52, b"pymesos"]
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        assert len(name) == 255 - 1
        head = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0)
        answered = self.NAMES.answer(head + name + b"\0\1\0\1", udp=True)
        assert answered is not None and answered[3] & 0xF == dnslib.RCODE.NXDOMAIN


class TestClashes:
    def test_a_name_is_of_one_task_and_never_of_two(self) -> None:
        first = named("t0", "10.0.0.1", job="a-b")
        second = named("t1", "10.0.0.2", job="a_b")
        for order in ((first, second), (second, first)):
            assert data(ask(names_of(*order), "web.a-b.pymesos")) == ["10.0.0.1"]
        names = names_of(first, second)
        names.take(NamesBatch(epoch=1, ended=[NamesBatch.Ended(framework_id="f", task_id="t0")]))
        assert data(ask(names, "web.a-b.pymesos")) == ["10.0.0.2"]

    @pytest.mark.parametrize(
        "parts, name",
        [
            (("*", "shop", "web"), "web.shop"),
            (("eng/A_b", "shop", "web"), "web.shop.a-b.eng"),
            (("*", "shop", "7"), ""),
            (("é", "shop", "web"), ""),
            (("a.b", "shop", "web"), ""),
            (("*", "shop", "a" * 64), ""),
        ],
    )
    def test_names(self, parts: tuple[str, str, str], name: str) -> None:
        assert name_of(*parts) == name

    @pytest.mark.parametrize("domain", ["", ".", "a..b", "A", "a_b", "-a", "x" * 64, "a."])
    def test_domains_that_cannot_be(self, domain: str) -> None:
        assert domain_problem(domain)


class TestLimits:
    def test_who_asks_too_often_waits(self) -> None:
        limiter = Limiter(rate_per_s=10, burst=3)
        assert [limiter.may("a", 0.0) for _ in range(4)] == [True, True, True, False]
        assert limiter.may("b", 0.0)
        assert [limiter.may("a", 0.1) for _ in range(2)] == [True, False]

    def test_no_more_addresses_are_remembered_than_there_is_room_for(self) -> None:
        limiter = Limiter()
        for number in range(MAX_ADDRESSES + 10):
            limiter.may(str(number), 0.0)
        assert len(limiter._left) == MAX_ADDRESSES
