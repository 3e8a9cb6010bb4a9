"""Which requests go where, and what HAProxy is told of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pymesos_binpack import core as c
from pymesos_binpack.jobfiles.parsing import parse_job, read_job_file
from pymesos_binpack.specs import JobError
from pymesos_core import contract
from pymesos_lb.config import SLOTS, Doors, Layout, write
from pymesos_lb.routes import Route, routes_of
from pymesos_proto.v1 import types_pb2 as pb
from pymesos_proto.v1.names_pb2 import Exposed, NamedTask, ServedPort, ServedTask
from pymesos_testing.binpack_harness import BinpackHarness

SHOP = Route(80, "shop.example.org")


def named(
    ip: str = "10.0.0.1", port: int = 31000, *, role: str = "*", to: str = "http", **said: object
) -> NamedTask:
    exposed = Exposed(http_host="shop.example.org", port=80, port_name=to)
    task = ServedTask(
        task_id=f"{ip}:{port}", role=role, job="shop", task="web", exposed=[exposed],
        ports=[ServedPort(name="http", port=port)],
    )  # fmt: skip
    return NamedTask(framework_id="f", ip=ip, task=task)


class TestRoutes:
    def test_instances_of_a_route(self) -> None:
        routes = routes_of([named(), named("10.0.0.2", 31001)])
        assert routes.served == {SHOP: {("10.0.0.1", 31000), ("10.0.0.2", 31001)}}
        assert routes.refused == {}

    def test_one_that_two_want_is_of_the_first_and_never_of_both(self) -> None:
        tasks = [named("10.0.0.1", role="a"), named("10.6.6.6", role="b")]
        for order in (tasks, tasks[::-1]):
            routes = routes_of(order)
            assert routes.served == {SHOP: {("10.0.0.1", 31000)}}
            assert routes.refused == {("b", "shop", "web"): SHOP}

    @pytest.mark.parametrize("ip", ["", "db.example", "10.0.0.9:1 weight 256", "fe80::1%eth0"])
    def test_what_is_no_ip_reaches_no_configuration(self, ip: str) -> None:
        """HAProxy would not start with it, and so serve none of the others."""
        assert routes_of([named(ip), named()]).served == {SHOP: {("10.0.0.1", 31000)}}

    def test_an_ip_is_as_haproxy_writes_it(self) -> None:
        assert routes_of([named("2001:DB8::0001")]).served == {SHOP: {("2001:db8::1", 31000)}}

    def test_a_port_that_is_not_there_is_no_route(self) -> None:
        assert routes_of([named(to="admin")]).served == {}


class TestConfig:
    def test_slots_only_grow_and_are_twice_as_many(self) -> None:
        served = {SHOP: frozenset(("10.0.0.1", port) for port in range(11))}
        few = Layout({}).grown({SHOP: frozenset()})
        assert few.slots == {SHOP: SLOTS}
        many = few.grown(served)
        assert many.slots == {SHOP: 2 * SLOTS}
        assert many.grown({SHOP: frozenset()}) == many
        assert many.grown({}).slots == {}

    def test_what_is_written(self) -> None:
        served = {SHOP: frozenset({("10.0.0.1", 31000), ("2001:db8::1", 31001)})}
        text = write(Layout({SHOP: 3, Route(80, "b"): 1}), served, Doors("127.0.0.1"), "/run/s")
        assert "\nfrontend 80\n  bind 127.0.0.1:80\n" in text
        assert (
            "  use_backend shop.example.org:80 if { var(txn.host) -m str shop.example.org }" in text
        )
        assert "  server slot1 10.0.0.1:31000\n  server slot2 [2001:db8::1]:31001\n" in text
        assert "  server slot3 127.0.0.1:1 disabled\n" in text
        assert text.count("\nfrontend ") == 1 and text.count("\nbackend ") == 3

    def test_tls_and_what_is_sent_there(self) -> None:
        routes = {Route(443, "a"): 1, Route(443, "b"): 1, Route(80, "b"): 1}
        doors = Doors("127.0.0.1", (443,), 80, "/etc/certificates")
        text = write(Layout(routes), {}, doors, "/run/s")
        assert "ssl-min-ver TLSv1.2" in text
        plain, tls = text.split("\nfrontend ")[1:]
        assert "  bind 127.0.0.1:443 ssl crt /etc/certificates strict-sni alpn h2,http/1.1\n" in tls
        assert "X-Forwarded-Proto https" in tls and "redirect" not in tls
        assert "  bind 127.0.0.1:80\n" in plain and "X-Forwarded-Proto http\n" in plain
        sent = [line for line in plain.splitlines() if "redirect prefix" in line]
        (only,) = sent  # as b serves there itself
        assert "prefix https://a code 308 if { var(txn.host) -m str a }" in only
        assert "use_backend b:80" in plain

    def test_it_listens_for_tls_before_there_is_a_route_and_says_another_port(self) -> None:
        doors = Doors("127.0.0.1", (8443, 9443), 8080, "/c")
        empty = write(Layout({}), {}, doors, "/run/s")
        assert empty.count("\nfrontend ") == 3 and empty.count("strict-sni") == 2
        text = write(Layout({Route(8443, "a"): 1}), {}, doors, "/run/s")
        assert "redirect prefix https://a:8443 code 308" in text

    def test_without_certificates_nothing_is_of_tls(self) -> None:
        text = write(Layout({Route(443, "a"): 1}), {}, Doors("127.0.0.1"), "/run/s")
        assert "ssl" not in text and "redirect prefix" not in text


class TestJobFiles:
    def of(self, **expose: object) -> c.Publish:
        web = {"name": "web", "kind": "service", "command": "x", "ports": [{"name": "http"}]}
        h = BinpackHarness()
        h.feed(c.Subscribed("f"))
        h.submit(parse_job({"name": "shop", "tasks": [{**web, "expose": expose}]}))
        h.offer("cpus:4;mem:400;ports:[1-9]")
        (task_id,) = h.launched()
        h.update(task_id, pb.TASK_RUNNING)
        said = h.of(c.Publish)[-1]
        assert isinstance(said, c.Publish)
        return said

    def test_what_is_exposed_is_published(self) -> None:
        (served,) = self.of(http="shop.example.org").serves
        (exposed,) = served.exposed
        assert (exposed.http_host, exposed.port, exposed.port_name) == (SHOP.host, 80, "http")

    @pytest.mark.parametrize(
        "expose, problem",
        [
            (
                {"http": "shop.example.org", "to": "admin"},
                "expose.to: the task has no port 'admin'",
            ),
            ({"http": "Shop"}, "expected: the name of a host"),
            ({"http": "a b"}, "expected: the name of a host"),
            ({"http": "a\n"}, "a control character"),
            ({"http": "a", "port": 0}, "at least 1"),
            ({"port": 80}, "'http' is missing"),
        ],
    )
    def test_what_cannot_be_exposed(self, expose: dict[str, object], problem: str) -> None:
        with pytest.raises(JobError) as refused:
            self.of(**expose)
        assert problem in str(refused.value)

    def test_the_balancer_is_a_job(self) -> None:
        path = Path(__file__).resolve().parents[2] / "deploy/haproxy/lb.yaml"
        (task,) = parse_job(read_job_file(path)).tasks
        assert (task.is_service, task.host_ports) == (True, (80,))

    @pytest.mark.parametrize("host", ["a b", "a\nbackend x", "A", "a}", "-a", "a..b", "a" * 64])
    def test_a_host_that_would_be_more_than_that_in_a_configuration(self, host: str) -> None:
        assert contract.problem(Exposed(http_host=host)) is not None
